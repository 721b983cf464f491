"""Networks of exact numbers: every weight is an integer or a fraction, and so is the output.

A network is a list of units in an order in which each takes its inputs from units before it; layers
may be skipped, as in the theory of Yarotsky.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

Number = int | Fraction
RELU, WAVE = "relu", "wave"


def wave(z: Number) -> Fraction:
    """Triangle wave of period 1, odd, between -1 and 1 (like a sine): 1 at 1/4, -1 at 3/4."""
    part = (z + Fraction(1, 4)) % 1
    return 1 - 4 * abs(part - Fraction(1, 2))


class Unit(NamedTuple):
    """A unit: what it does with bias + sum of weight x input; RELU, WAVE, or nothing.

    Without a bias (None) there is no such weight.
    """

    activation: str
    bias: Number | None
    inputs: tuple[tuple[int, Number], ...]


class Network(NamedTuple):
    """Inputs are the numbers from 0 on, then come the units; the last one is the output."""

    dimension: int
    units: tuple[Unit, ...]

    def __call__(self, *x: Number) -> Fraction:
        """Run the forward pass, in rational arithmetic."""
        values: list[Number] = [*x]
        for activation, bias, inputs in self.units:
            z = sum((weight * values[place] for place, weight in inputs), start=bias or 0)
            if activation == RELU:
                z = max(z, 0)
            values.append(wave(z) if activation == WAVE else z)
        return Fraction(values[-1])

    def weights(self) -> Iterator[Number]:
        """Give all weights and biases, also those that happen to be zero."""
        for unit in self.units:
            yield from (weight for _, weight in unit.inputs)
            if unit.bias is not None:
                yield unit.bias

    def depth(self) -> int:
        """Count the units with an activation on the longest way through."""
        depths = [0] * self.dimension
        for unit in self.units:
            before = max((depths[place] for place, _ in unit.inputs), default=0)
            depths.append(before + bool(unit.activation))
        return depths[-1]


def bits(weight: Number) -> int:
    """Length of a weight: of its numerator and its denominator."""
    number = Fraction(weight)
    return abs(number.numerator).bit_length() + (number.denominator - 1).bit_length()


@dataclass(frozen=True)
class Affine:
    """Sum of units and a constant, with a place for a weight even where that is zero."""

    terms: Mapping[int, Number]
    constant: Number | None = None

    def __add__(self, other: Affine | Number) -> Affine:
        if not isinstance(other, Affine):
            return Affine(self.terms, (self.constant or 0) + other)
        terms = dict(self.terms)
        for place, weight in other.terms.items():
            terms[place] = terms.get(place, 0) + weight
        given = [c for c in (self.constant, other.constant) if c is not None]
        return Affine(terms, sum(given) if given else None)

    def __mul__(self, factor: Number) -> Affine:
        constant = None if self.constant is None else self.constant * factor
        return Affine({place: weight * factor for place, weight in self.terms.items()}, constant)

    def __sub__(self, other: Affine | Number) -> Affine:
        return self + other * -1


def combine(weights: Sequence[Number], parts: Sequence[Affine]) -> Affine:
    """Weighted sum of many parts, in linear time."""
    terms: dict[int, Number] = {}
    constant: Number | None = None
    for factor, part in zip(weights, parts, strict=True):
        for place, weight in part.terms.items():
            terms[place] = terms.get(place, 0) + factor * weight
        if part.constant is not None:
            constant = (constant or 0) + factor * part.constant
    return Affine(terms, constant)


@dataclass
class Builder:
    """A network in the making."""

    dimension: int
    units: list[Unit] = field(default_factory=list)

    def input(self, number: int) -> Affine:
        """One of the inputs."""
        return Affine({number: 1})

    def relu(self, z: Affine) -> Affine:
        """Add a unit max(z, 0)."""
        return self._unit(RELU, z)

    def wave(self, z: Affine) -> Affine:
        """Add a unit with the periodic activation."""
        return self._unit(WAVE, z)

    def clip(self, z: Affine) -> Affine:
        """Add two units that give max(0, min(z, 1))."""
        return self.relu(z) - self.relu(z - 1)

    def network(self, output: Affine) -> Network:
        """Finish with the output, which has no activation."""
        self._unit("", output)
        return Network(self.dimension, tuple(self.units))

    def _unit(self, activation: str, z: Affine) -> Affine:
        self.units.append(Unit(activation, z.constant, tuple(z.terms.items())))
        return Affine({self.dimension + len(self.units) - 1: 1})
