"""Networks of ReLUs and of a periodic unit, which reads any of 2^n bits from one weight.

Binary digits of f on a grid of spacing 2^-n are stored, a weight for each place of the digits.  The
frequency of a wave is that weight times 8^j, if the bit of number j is asked for: the wave then is
positive or negative.  The power 8^j comes from the n binary digits of j by n products.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from criticality.systems.approximation.code import rounded
from criticality.systems.approximation.functions import Function, Space, rounding
from criticality.systems.approximation.network import Affine, Builder, Network, Number, combine

STEP = 8  # of the numbers that hold bits; the wave then is beyond 4/7 or below -4/7
SPARE = 10  # binary digits by which zones of wrong bits are too small to matter
MOST = 18  # binary digits of the number of a bit; weights then have 3/2 x 2^18 bits
Parity = tuple[int, ...]


class Plan(NamedTuple):
    """Architecture: spacing 2^-level, binary digits of the values, powers computed once or not."""

    level: int
    digits: int
    once: bool


def plan(space: Space, weights: int, once: bool) -> Plan:
    """Give the finest architecture of at most so many weights; the coarsest has level 2."""
    level = 2
    while weights_of(space, _plan(space, level + 1, once)) <= weights:
        level += 1
    return _plan(space, level, once)


def _plan(space: Space, level: int, once: bool) -> Plan:
    return Plan(level, space.smoothness * level + space.dimension, once)


def weights_of(space: Space, chosen: Plan) -> int:
    """Count the weights."""
    level, digits, once = chosen
    address = level * space.dimension
    copies = 1 << space.dimension
    power = (6 * address - 3) * (1 if once else digits)
    tents = 2 if space.dimension == 1 else 6  # inputs of products, in all copies
    copy = 7 * address + 3 * (space.dimension - 1) + 9 * digits + power
    return copies * copy + tents * digits + 1


def error(space: Space, chosen: Plan, f: Function) -> Fraction:
    """Bound of the largest distance of the network to f.

    Between knots of a line as `Function.distance`; in two dimensions f and what interpolates on
    triangles differ by at most the spacing.  Where bits are wrong, f is next to a knot.
    """
    n = 1 << chosen.level
    values = rounded(f.knots(n), n, space.smoothness)
    if space.dimension == 2:
        return rounding(f.knots(n), values) + Fraction(1, n)
    zone = Fraction(1, 2) + Fraction(2, 2**SPARE)
    return max(f.distance(n, values), Fraction(zone, n**space.smoothness))


def stored(space: Space, chosen: Plan, f: Function) -> tuple[int, NDArray[np.int64]]:
    """Least of the rounded values, and what they are above it, in units of n^-r on the grid.

    Raises
    ------
    ValueError
        If a value needs more digits: such a function is not in the class.
    """
    n = 1 << chosen.level
    values = rounded(f.knots(n), n, space.smoothness)
    whole = (values.numerators // (values.denominator // n**space.smoothness)).astype(np.int64)
    least, most = int(whole.min()), int(whole.max())
    if (most - least).bit_length() > chosen.digits:
        raise ValueError(f"values rise by {most - least} units, beyond {chosen.digits} digits")
    return least, whole - least


def network(space: Space, chosen: Plan, f: Function) -> Network:
    """Write the network down."""
    level, digits, once = chosen
    least, above = stored(space, chosen, f)
    net = Builder(space.dimension)
    parts: list[Affine] = []
    factors: list[Number] = []
    unit = Fraction(1, 2 ** (level * space.smoothness))
    for parity in itertools.product((0, 1), repeat=space.dimension):
        mine = above[tuple(slice(p, None, 2) for p in parity)]
        tent = _tent(net, parity, level)
        address = _address(net, parity, chosen)
        strides = [1, mine.shape[0]]  # numbers of values: the first coordinate runs fastest
        powers = None
        for place in range(digits):
            if powers is None or not once:
                powers = _power(net, address, strides)
            held = mine.ravel(order="F") >> place & 1
            frequency = powers * _held(held.tolist())
            seen = net.wave(frequency)
            bit = net.clip(seen * Fraction(-7, 8) + Fraction(1, 2))
            parts.append(net.relu(tent + bit - 1))  # tent x bit
            factors.append(unit * 2**place)
    return net.network(combine(factors, parts) + least * unit)


def _held(held: list[int]) -> Fraction:
    """Hold bits in a number, sum over j of (bit/2 + 1/4) / 8^j.

    Times 8^j, its fractional part is between 2/7 and 5/14 if the bit is 0, and 1/2 more else.
    """
    octal = "".join("13"[bit] for bit in held)
    return Fraction(int(octal, STEP), 4 * STEP ** (len(held) - 1))


def _tent(net: Builder, parity: Parity, level: int) -> Affine:
    """1 at the knots of a parity, 0 at the others, and straight between: on triangles in 2-D."""
    half = Fraction(1, 2)
    near = [
        net.wave(net.input(i) * 2 ** (level - 1) + (Fraction(1, 4) + half * p)) * half + half
        for i, p in enumerate(parity)
    ]
    if len(near) == 1:
        return near[0]
    first, second = near
    if sum(parity) % 2:
        return net.relu(first + second - 1)
    return first - net.relu(first - second)


def _address(net: Builder, parity: Parity, chosen: Plan) -> list[list[Affine]]:
    """Binary digits, the first of weight 1, of the number of the next knot of a parity."""
    level, digits, _ = chosen
    sharp = 2 ** (digits + SPARE)
    found = []
    for i, p in enumerate(parity):
        rest = net.input(i) * 2 ** (level - 1) + (0 if p else Fraction(1, 2))
        mine = []
        for power in reversed(range(level)):
            mine.append(net.clip((rest - 2**power) * sharp + 1))
            if power:
                rest = net.relu(rest - mine[-1] * 2**power)
        found.append(mine[::-1])
    return found


def _power(net: Builder, address: list[list[Affine]], strides: list[int]) -> Affine:
    """8^j for the number j with these digits, by a product with 1 or with 8^(2^k) for each."""
    result, most = None, 1
    for digits, stride in zip(address, strides, strict=False):
        for k, bit in enumerate(digits):
            factor = STEP ** (stride * 2**k)
            if result is None:
                result = net.relu(bit * (factor - 1) + 1)
            else:
                more = net.relu(result + (bit - 1) * most)  # result x bit
                result = net.relu(result + more * (factor - 1))
            most *= factor
    assert result is not None
    return result
