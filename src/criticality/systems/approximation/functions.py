"""Elements of the classes that are approximated, known exactly.

A class has smoothness r and dimension d: a function on [0, 1]^d and all its partial derivatives up
to order r are at most 1 in absolute value (those of order r where they exist; those of order r - 1
are Lipschitz).  All values are ratios of integers, and distances are proved, not sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from criticality import keys

Integers = NDArray[Any]  # int64, or Python's own where these do not suffice
LEVELS, STEPS = 20, 24
PIECES = 1 << LEVELS  # of random functions
UNITS = 1 << STEPS  # their values are multiples of 1/UNITS
FINEST = 1 << 18  # intervals of a network, so that all that is computed fits into 64 bits


class Space(NamedTuple):
    """A class of functions."""

    smoothness: int
    dimension: int


SPACES = {0.5: Space(1, 2), 1.0: Space(1, 1), 2.0: Space(2, 1)}  # by r/d


class Values(NamedTuple):
    """Numbers numerators / denominator, [n+1] or [n+1, n+1] on a regular grid."""

    numerators: Integers
    denominator: int


class Function(Protocol):
    """An element of a class."""

    def __call__(self, *x: Fraction) -> Fraction:
        """Exact value."""

    def knots(self, n: int) -> Values:
        """Exact values on the grid of spacing 1/n."""

    def distance(self, n: int, values: Values) -> Fraction:
        """Bound of the distance to straight lines between `values`, in two dimensions on lines.

        These run along the second coordinate.
        """


def element(space: Space, name: str, n: int, rng: np.random.Generator) -> Function:
    """Give an element of a class: "worst" for straight lines between values at spacing 1/n.

    Or a "random" one, whatever n.
    """
    if name == "worst":
        return Parabola(n) if space.smoothness == 2 else Cone(n, space.dimension)
    first, second = (path(keys.stream(rng, name, which)) for which in (1, 2))
    if space.smoothness == 2:
        return Integral(first)
    return Path(first) if space.dimension == 1 else Ridges(Path(first), Path(second))


def path(rng: np.random.Generator) -> Integers:
    """Draw a random function with Lipschitz constant 1 that is 0 at both ends, x UNITS.

    Values half-way between known ones are uniform where the constant allows them, scale by scale:
    so there are steep and flat parts on all scales.
    """
    values = np.zeros(2, np.int64)
    for level in range(1, LEVELS + 1):
        reach = 2 ** (STEPS - level)
        left, right = values[:-1], values[1:]
        low, high = np.maximum(left, right) - reach, np.minimum(left, right) + reach
        finer = np.empty(2 * len(values) - 1, np.int64)
        finer[::2], finer[1::2] = values, rng.integers(low, high, endpoint=True)
        values = finer
    return values


def rounding(values: Values, other: Values) -> Fraction:
    """Largest distance of two functions on a grid."""
    left, right = (np.asarray(v.numerators).astype(object) for v in (values, other))
    apart = np.abs(left * other.denominator - right * values.denominator).max()
    return Fraction(int(apart), values.denominator * other.denominator)


@dataclass(frozen=True)
class Path:
    """A broken line through values [PIECES + 1] / UNITS."""

    values: Integers

    def __call__(self, *x: Fraction) -> Fraction:
        """Value between two of the grid."""
        place = x[0] * PIECES
        left = min(int(place), PIECES - 1)
        low, high = int(self.values[left]), int(self.values[left + 1])
        return (low + (high - low) * (place - left)) / UNITS

    def knots(self, n: int) -> Values:
        """Values at k/n."""
        place, rest = _places(np.arange(n + 1), PIECES, n)
        left = self.values[place]
        return Values(left * n + (self.values[place + 1] - left) * rest, n * UNITS)

    def distance(self, n: int, values: Values) -> Fraction:
        """Exact: both are broken lines, so the largest is at a break of one of them."""
        place, rest = _places(np.arange(PIECES + 1), n, PIECES)
        g = values.numerators
        assert values.denominator == n * UNITS  # so all is below 2^62
        line = g[place] * PIECES + (g[place + 1] - g[place]) * rest
        apart = int(np.abs(self.values * (n * PIECES) - line).max())
        of_breaks = Fraction(apart, n * UNITS * PIECES)
        return max(of_breaks, rounding(self.knots(n), values))


def _places(k: Integers, per: int, n: int) -> tuple[Integers, Integers]:
    """Whole part and rest of k per / n, the last one at the end of its interval."""
    place = np.minimum(k * per // n, per - 1)
    return place, k * per - place * n


@dataclass(frozen=True)
class Integral:
    """Integral from 0 of a broken line: its second derivative is at most 1."""

    slopes: Integers

    def __call__(self, *x: Fraction) -> Fraction:
        """Value of the parabola between two places of the grid."""
        place = x[0] * PIECES
        left = min(int(place), PIECES - 1)
        low, high, rest = int(self.slopes[left]), int(self.slopes[left + 1]), place - left
        whole = 2 * self.slopes[:left].sum() - self.slopes[0] + low if left else 0
        curved = 2 * low * rest + (high - low) * rest * rest
        return (int(whole) + curved) / (2 * UNITS * PIECES)

    def knots(self, n: int) -> Values:
        """Values at k/n."""
        place, rest = _places(np.arange(n + 1), PIECES, n)
        whole = np.append(0, np.cumsum(self.slopes[1:] + self.slopes[:-1]))[place].astype(object)
        left = self.slopes[place]
        within = 2 * left * rest * n + (self.slopes[place + 1] - left) * rest**2
        return Values(whole * n**2 + within, n**2 * 2 * UNITS * PIECES)

    def distance(self, n: int, values: Values) -> Fraction:
        """Bound: rounding, and spacing^2 / 8, since the class allows no more between knots."""
        return rounding(self.knots(n), values) + Fraction(1, 8 * n**2)


@dataclass(frozen=True)
class Ridges:
    """Sum of a broken line of (x + y)/2 and another of (1 + x - y)/2."""

    first: Path
    second: Path

    def __call__(self, *x: Fraction) -> Fraction:
        """Value."""
        return self.first((x[0] + x[1]) / 2) + self.second((1 + x[0] - x[1]) / 2)

    def knots(self, n: int) -> Values:
        """Values at (i/n, j/n)."""
        i, j = np.indices((n + 1, n + 1))
        first, second = self.first.knots(2 * n), self.second.knots(2 * n)
        total = first.numerators[i + j] + second.numerators[n + i - j]
        return Values(total, first.denominator)

    def distance(self, n: int, values: Values) -> Fraction:
        """Bound: rounding, and what each of the two broken lines has between knots."""
        between = (part.distance(2 * n, part.knots(2 * n)) for part in (self.first, self.second))
        return rounding(self.knots(n), values) + sum(between)


@dataclass(frozen=True)
class Cone:
    """Minus the distance sum |x_i - c_i| to the middle of a cell of the grid of spacing 1/n.

    In two dimensions c is added, an odd multiple of 1/(2n): values at the corners of the cell then
    lie half-way between multiples of 1/n, and rounded down they are as far as they can be.
    """

    n: int
    dimension: int

    def __call__(self, *x: Fraction) -> Fraction:
        """Value."""
        tip = Fraction(2 * (self.n // 2) + 1, 2 * self.n)
        return (self.dimension - 1) * tip - sum(abs(part - tip) for part in x)

    def knots(self, n: int) -> Values:
        """Values on the grid of any spacing."""
        tip = 2 * (self.n // 2) + 1
        side = np.abs(2 * self.n * np.arange(n + 1) - tip * n)  # x 2 n self.n
        apart = side if self.dimension == 1 else side[:, None] + side
        return Values((self.dimension - 1) * tip * n - apart, 2 * n * self.n)

    def distance(self, n: int, values: Values) -> Fraction:
        """Bound: rounding, and half the spacing, since the class allows no more between knots."""
        return rounding(self.knots(n), values) + Fraction(1, 2 * n)


@dataclass(frozen=True)
class Parabola:
    """(h^2 - x (x - h)) / 2 with h = 1/n.

    Its values at k/n lie half-way between multiples of h^2.
    """

    n: int

    def __call__(self, *x: Fraction) -> Fraction:
        """Value."""
        h = Fraction(1, self.n)
        return (h**2 - x[0] * (x[0] - h)) / 2

    def knots(self, n: int) -> Values:
        """Values at k/n."""
        k = np.arange(n + 1).astype(object)
        return Values(n**2 - self.n**2 * k**2 + self.n * n * k, 2 * (self.n * n) ** 2)

    def distance(self, n: int, values: Values) -> Fraction:
        """Bound: rounding, and spacing^2 / 8, since the class allows no more between knots."""
        return rounding(self.knots(n), values) + Fraction(1, 8 * n**2)
