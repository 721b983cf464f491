"""Networks of ReLUs that interpolate, between values that codes of many digits hold.

Straight lines join the values of f on N groups of M steps each, 1/n wide.  If M > 1, values are
multiples of n^-r, whose second differences are -2, ..., 2: those of a group are M - 1 digits of
base 5 in one weight, and one decoder of depth ~ M serves all groups.  With M = 1 there is no code,
and weights are continuous in f.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from criticality.systems.approximation.functions import Function, Space, Values
from criticality.systems.approximation.network import (
    Affine,
    Builder,
    Network,
    Number,
    combine,
)

BASE = 5  # of the codes: second differences are -2, ..., 2
ZONE = 1024  # codes change within 1/(ZONE M) of a step
PER_KNOT, PER_GROUP, PER_DIGIT = 3, 8, 52  # weights
STEEP = Fraction(3, 4)  # of the spacing of lines: beyond, a line falls behind its neighbours


class Plan(NamedTuple):
    """Architecture: groups on a line, steps in a group, steps along a side of the cube."""

    groups: int
    digits: int
    n: int


class Assignment(NamedTuple):
    """What depends on f: first value, changes of the slope between groups, and codes."""

    first: Number
    slopes: Sequence[Number]
    codes: Sequence[int]


def plan(space: Space, rate: float, weights: int) -> Plan:
    """Give the architecture of at most so many weights, for a rate in units of r/d.

    Half of the weights are for groups; of the others, W', a number ~ W'^(rate - 1) is for digits.
    """
    copies = space.dimension  # of the network along a line
    half = weights / 2 / PER_DIGIT / copies
    digits = 1 if rate == 1 else max(2, round(half ** (rate - 1)))
    most = weights if digits == 1 else weights // 2

    def fits(groups: int, n: int) -> bool:
        made = Plan(groups, digits, n)
        return cost(space.dimension, made) - PER_DIGIT * copies * (digits - 1) <= most

    if space.dimension == 1:
        groups = largest(lambda groups: fits(groups, 0))
        return Plan(groups, digits, groups * digits)
    n = largest(lambda n: fits(_groups(n, digits), n))
    return Plan(_groups(n, digits), digits, n)


def largest(fits: Callable[[int], bool]) -> int:
    """Largest number that fits, at least 1."""
    high = 1
    while fits(2 * high):
        high *= 2
    low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _groups(n: int, digits: int) -> int:
    return math.ceil(((n + 1) ** 2 - 1) / digits)


def cost(dimension: int, chosen: Plan) -> int:
    """Weights of a network."""
    groups, digits, n = chosen
    if digits == 1:
        line = PER_KNOT * groups - 1
    else:
        line = PER_GROUP * groups + PER_DIGIT * (digits - 1) - 12
    return line + 1 if dimension == 1 else 2 * line + 7 * n + 12


def rounded(values: Values, n: int, smoothness: int) -> Values:
    """Multiples of n^-smoothness next to values; of two, the lower one."""
    size = n**smoothness
    unit = values.denominator // size
    scaled = values.numerators.astype(object) if smoothness == 2 else values.numerators
    whole = -((unit - 2 * scaled) // (2 * unit))
    return Values(whole * unit, values.denominator)


def stored(space: Space, chosen: Plan, f: Function) -> Values:
    """Values of f that the network has on its grid."""
    values = f.knots(chosen.n)
    return values if chosen.digits == 1 else rounded(values, chosen.n, space.smoothness)


def error(space: Space, chosen: Plan, f: Function) -> Fraction:
    """Bound of the largest distance of the network to f.

    Where a code changes, within 1/(ZONE M) steps from the end of a group, what is decoded is wrong
    by less than 2 M units for each step.  In two dimensions f is between two bounds that the
    nearest lines allow, which are at most 1/n apart, and the network is in the middle.
    """
    lines = f.distance(chosen.n, stored(space, chosen, f))
    if chosen.digits > 1:
        zone = Fraction(1, 2) + Fraction(2, ZONE)
        lines = max(lines, zone / chosen.n**space.smoothness)
    return lines + Fraction(space.dimension - 1, 2 * chosen.n)


def assignment(space: Space, chosen: Plan, values: Values) -> Assignment:
    """Give the weights for these values on the grid."""
    groups, digits, n = chosen
    numerators = values.numerators
    if space.dimension == 2:
        numerators = numerators.copy()
        numerators[1::2] = numerators[1::2, ::-1]  # every other line backwards
        numerators = numerators.ravel()
        numerators = np.pad(numerators, (0, groups * digits + 1 - len(numerators)), "edge")
    rise = np.diff(numerators[::digits]).tolist()
    scale = values.denominator * digits
    bends = [rise[0], *(after - before for before, after in itertools.pairwise(rise))]
    first = Fraction(int(numerators[0]), values.denominator)
    slopes = [Fraction(bend, scale) for bend in bends]
    if digits == 1:
        return Assignment(first, slopes, [])
    unit = values.denominator // n**space.smoothness
    second = 2 - np.diff((numerators // unit).astype(np.int64), 2)
    letters = np.append(second, 0).reshape(groups, digits)[:, :-1]
    letters[1::2] = letters[1::2, ::-1]  # the decoder reads every other group backwards
    codes = np.zeros(groups, object)
    for column in letters.T:
        codes = codes * BASE + column.astype(object)
    return Assignment(first, slopes, codes.tolist())


def network(space: Space, chosen: Plan, given: Assignment) -> Network:
    """Write the network down."""
    net = Builder(space.dimension)
    if space.dimension == 1:
        z = net.input(0) * chosen.n
        return net.network(_line(net, z, space, chosen, given))
    return net.network(_between_lines(net, space, chosen, given))


def _line(net: Builder, z: Affine, space: Space, chosen: Plan, given: Assignment) -> Affine:
    """Values between 0 and groups x digits steps z from the beginning."""
    groups, digits, n = chosen
    knots = [net.relu(z - k * digits if k else z) for k in range(groups)]
    line = combine(given.slopes, knots) + given.first
    if digits == 1:
        return line
    width = Fraction(1, ZONE * digits)
    # the place in a group, backwards in every other one: it and the sums below are continuous
    place = net.relu(combine([1, *(2 * (-1) ** k for k in range(1, groups))], knots))
    late = [net.relu(z - (k * digits + width)) for k in range(1, groups)]
    steps = [(b - a) / width for a, b in itertools.pairwise(given.codes)]
    code = net.relu(combine(steps + [-step for step in steps], knots[1:] + late) + given.codes[0])
    parts, weights = [place], [Fraction(1 - digits)]  # -2 times the sum of (M - m)/M
    for m in range(1, digits):
        power = BASE ** (digits - 1 - m)
        hinge = net.relu(place - m)
        # a tent with its top at step m: zero at both ends of the group, whatever the code is there
        tent = place * Fraction(digits - m, digits) - hinge
        parts.append(hinge)
        weights.append(Fraction(2))
        letter = []
        for threshold in range(1, BASE):
            found = net.relu(code - (threshold * power - 1)) - net.relu(code - threshold * power)
            letter.append(found)
            parts.append(net.relu(tent + found * digits - digits))  # tent x found
            weights.append(Fraction(1))
        if m + 1 < digits:
            code = net.relu(combine([1, *[-power] * len(letter)], [code, *letter]))
    unit = Fraction(1, n**space.smoothness)
    return line + combine([weight * unit for weight in weights], parts)


def _between_lines(net: Builder, space: Space, chosen: Plan, given: Assignment) -> Affine:
    """Middle of what two neighbouring lines allow, f being at most the distance from each.

    Of the lines x = i/n those with even i are read by one copy of the decoder, the others by
    another.  While a copy goes over to its next line, it is behind the other one.
    """
    n, width = chosen.n, Fraction(1, ZONE)
    x, y = net.input(0) * n, net.input(1) * n
    knots = [net.relu(x - j if j else x) for j in range(n)]
    late = [net.relu(x - (j + width)) for j in range(1, n)]
    even = net.relu(combine([1, *(2 * (-1) ** j for j in range(1, n))], knots))
    steep = 16 * n + 64
    heights = []
    for parity, away in enumerate((even, even * -1 + 1)):
        jumps = [j for j in range(1, n) if j % 2 != parity]
        over = [knots[j] for j in jumps] + [late[j - 1] for j in jumps]
        high = 2 * (n + 1) / width
        weights = [sign * high for sign in (1, -1) for _ in jumps]
        z = combine(weights, over) + (y * -1 + (2 * n + 1) if parity else y)
        line = _line(net, net.relu(z), space, chosen, given)
        behind = net.relu(away - STEEP)
        heights.append(line - (away + behind * steep) * Fraction(1, n))
    most = 4 + Fraction(steep, n)
    odd = net.relu(heights[1] + most)
    ahead = net.relu(heights[0] - (odd - most))
    return odd + ahead + (Fraction(1, 2 * n) - most)


def moved(one: Assignment, other: Assignment) -> float:
    """Largest change of a weight, over its size, or over 1 where that is more."""
    most = 0.0
    for before, after in zip(_weights(one), _weights(other), strict=True):
        if before != after:
            size = max(abs(before), abs(after), Fraction(1))
            most = max(most, float(abs(before - after) / size))
    return most


def _weights(given: Assignment) -> list[Fraction]:
    """Weights that depend on f, but for the common factor of the changes of codes."""
    steps = [after - before for before, after in itertools.pairwise(given.codes)]
    return [Fraction(w) for w in (given.first, *given.slopes, *given.codes[:1], *steps)]
