"""Networks that are written down, not trained, and how far they are from what they approximate.

After Yarotsky and Zhevnerchuk, "The phase diagram of approximation rates for deep neural networks"
(arXiv:1906.09477).  The constructions are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from criticality.base import Card, InputError, Observable, control, like
from criticality.systems.approximation import code, lookup
from criticality.systems.approximation.functions import FINEST, SPACES, Values, element
from criticality.systems.approximation.network import Network, bits
from criticality.systems.approximation.phases import (
    CLASSIFY,
    PERIODIC,
    PERIODIC_RULES,
    PHASES,
    RULES,
    SCALED,
)

__all__ = ["ApproximatingNetwork", "LookupNetwork"]

SOURCE = "Yarotsky and Zhevnerchuk, arXiv:1906.09477 (rates); constructions: ours"
PAGES = "criticality.systems.approximation.figures:"
LEAST = 250  # weights, of the smallest network
MOST = {"random": FINEST, "worst": 1 << 22}  # steps; the worst are computed in 2 GiB
STEP = 5e4  # FLOP in the time of a step, in exact numbers
OBSERVABLES = (
    Observable(
        name="error",
        doc="largest distance to the function: a bound that is proved; where the function is a "
        "broken line of one variable, or the worst one, it is reached",
        label="largest error",
    ),
    Observable(
        name=SCALED,
        doc="error^(d/r), which continuous weights bring down as 1/W, and ReLUs as 1/W^2 at most",
        label="error$^{d/r}$",
    ),
    Observable(
        name="weights_used",
        unit="weight",
        doc="weights and biases of the largest network that the budget allows, zeros included",
        label="weights used",
    ),
    Observable(name="depth", unit="layer", doc="activations on the longest way", label="depth"),
    Observable(
        name="bits",
        unit="bit",
        doc="of the longest weight: of its numerator and its denominator",
        label="bits of a weight",
    ),
    Observable(name="total_bits", unit="bit", doc="of all weights", label="bits of all weights"),
)


def _described(ratio: float, error: Fraction, made: Network) -> dict[str, Any]:
    """Observables of a network."""
    lengths = [bits(weight) for weight in made.weights()]
    return {
        "error": float(error),
        SCALED: float(error) ** (1 / ratio),
        "weights_used": len(lengths),
        "depth": made.depth(),
        "bits": max(lengths),
        "total_bits": sum(lengths),
    }


def _check_ratio(ratio: float) -> None:
    if ratio not in SPACES:
        raise InputError(
            f"ratio = {ratio:g}: expected r/d = 0.5 (r = 1, d = 2), 1 (r = d = 1) or 2 (r = 2, "
            f"d = 1)."
        )


@dataclass(frozen=True, kw_only=True)
class ApproximatingNetwork:
    """ReLU networks that interpolate a function, at rates from r/d to 2r/d.

    At the rate r/d a network joins values of the function by straight lines.  At higher rates most
    values are in codes: weights of many digits, which one deep decoder reads.  A random function is
    the same for all budgets and rates; the worst one is that of each network.
    """

    card: ClassVar[Card] = Card(
        name="approximation",
        source=SOURCE,
        observables=(
            *OBSERVABLES,
            Observable(
                name="jump",
                dims=("shift",),
                doc="largest change of a weight, over its size or 1, when the shift is added to "
                "the function",
                label="largest relative change of a weight",
            ),
        ),
        plane=("ratio", "rate"),
        size="weights",
        order=("error", SCALED),
        phases=PHASES,
        rules=RULES,
        classify=CLASSIFY,
        pages=PAGES + "pages",
    )

    ratio: float = control(
        1.0,
        symbol="$r/d$",
        doc="smoothness over dimension: 0.5 (r = 1, d = 2), 1 (r = d = 1) or 2 (r = 2, d = 1)",
        label="smoothness / dimension",
        interval="[0.5, 2]",
        shared=True,
    )
    rate: float = control(
        1.0,
        symbol=r"$p\,d/r$",
        doc="rate that the network is made for, in units of r/d: 1 joins values by straight lines, "
        "beyond it ~ W^(rate - 1) digits are in one weight",
        label="rate in units of $r/d$",
        interval="[1, 2]",
        shared=True,
    )
    weights: int = control(
        1000,
        symbol="$W$",
        unit="weight",
        doc="allowed: the largest network of no more is built",
        label="weights",
        interval=f"[{LEAST}, 1000000]",
        shared=True,
    )
    function: str = control(
        "random",
        symbol="f",
        doc="of the class: a random one, or the worst for each network",
        choices=("random", "worst"),
        shared=True,
    )
    shift: tuple[float, ...] = control(
        (0.001,),
        symbol=r"$\varepsilon$",
        doc="added to the function, to see what that changes in the weights",
        label="distance of two functions",
        interval="(0, 1]",
        inner=True,
    )

    @classmethod
    def tiny(cls) -> ApproximatingNetwork:
        """Give a preset that takes a fraction of a second."""
        return cls(weights=300)

    def validate(self) -> None:
        """Raise `InputError` for classes that are none, or networks of too many steps."""
        _check_ratio(self.ratio)
        steps, most = self._steps(self.weights), MOST[self.function]
        if steps > most:
            allowed = code.largest(lambda weights: self._steps(weights) <= most)
            why = "random functions are known at" if self.function == "random" else "is computed"
            raise InputError(
                f"weights = {self.weights} at rate = {self.rate:g} and r/d = {self.ratio:g}: "
                f"{steps} steps, more than {why}, {most}; expected weights = {allowed} at most."
            )

    def _steps(self, weights: int) -> int:
        """Count steps on all lines; for random functions those of the finest line."""
        space = SPACES[self.ratio]
        n = code.plan(space, self.rate, weights).n
        return n * space.dimension if self.function == "random" else n**space.dimension

    def work(self) -> float:
        """FLOP in the time of what is done in exact numbers: the function, and the weights."""
        space = SPACES[self.ratio]
        steps = float(code.plan(space, self.rate, self.weights).n) ** space.dimension
        return 5e9 + 1e6 * self.weights + STEP * steps * (1 + len(self.shift))

    def compute(self, rng: np.random.Generator, data: Any) -> dict[str, Any]:
        """Write the network down, and measure it."""
        space = SPACES[self.ratio]
        chosen = code.plan(space, self.rate, self.weights)
        f = element(space, self.function, chosen.n, rng)
        given = code.assignment(space, chosen, code.stored(space, chosen, f))
        jumps = []
        for shift in self.shift:
            size, over = Fraction(shift).as_integer_ratio()
            numerators, denominator = f.knots(chosen.n)
            moved = numerators.astype(object) * over + size * denominator
            values = Values(moved, denominator * over)
            if chosen.digits > 1:
                values = code.rounded(values, chosen.n, space.smoothness)
            jumps.append(code.moved(given, code.assignment(space, chosen, values)))
        made = code.network(space, chosen, given)
        error = code.error(space, chosen, f)
        return _described(self.ratio, error, made) | {"jump": np.array(jumps)}


@dataclass(frozen=True, kw_only=True)
class LookupNetwork:
    """Networks of ReLUs and of a periodic unit, which read any bit of one weight.

    Values on a grid of spacing 2^-n need n bits, each of which is looked up by n products.
    """

    card: ClassVar[Card] = Card(
        name="approximation_lookup",
        source=SOURCE,
        observables=OBSERVABLES,
        plane=("ratio",),
        size="weights",
        order=("error", SCALED),
        phases=PERIODIC,
        rules=PERIODIC_RULES,
        classify=CLASSIFY,
        pages=PAGES + "lookup_pages",
    )

    ratio: float = like(ApproximatingNetwork, "ratio", 1.0)
    weights: int = like(ApproximatingNetwork, "weights", 1000, interval="[100, 1000000]")
    function: str = like(ApproximatingNetwork, "function", "random")
    once: bool = control(
        False,
        symbol="once",
        doc="the products that lead to a bit serve all bits of a value: W ~ n instead of n^2",
        shared=True,
    )

    @classmethod
    def tiny(cls) -> LookupNetwork:
        """Give a preset that takes a fraction of a second."""
        return cls(weights=700)

    def validate(self) -> None:
        """Raise `InputError` for classes that are none, or weights of too many bits."""
        _check_ratio(self.ratio)
        space = SPACES[self.ratio]
        chosen = lookup.plan(space, self.weights, self.once)
        least = lookup.weights_of(space, chosen)
        if least > self.weights:
            raise InputError(
                f"weights = {self.weights}: expected {least} or more for r/d = {self.ratio:g}."
            )
        address = chosen.level * space.dimension
        if address > lookup.MOST:
            raise InputError(
                f"weights = {self.weights}: a weight would hold 2^{address} bits; this is for "
                f"2^{lookup.MOST} at most; use fewer weights."
            )

    def work(self) -> float:
        """FLOP in the time of what is done in exact numbers: the function, and the weights."""
        return 5e9 + 1e6 * self.weights

    def compute(self, rng: np.random.Generator, data: Any) -> dict[str, Any]:
        """Write the network down, and measure it."""
        space = SPACES[self.ratio]
        chosen = lookup.plan(space, self.weights, self.once)
        f = element(space, self.function, 2**chosen.level, rng)
        made = lookup.network(space, chosen, f)
        return _described(self.ratio, lookup.error(space, chosen, f), made)
