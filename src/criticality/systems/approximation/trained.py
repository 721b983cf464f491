"""Networks of ReLUs that are trained, not written down: which rate can be learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, InputError, Observable, control
from criticality.systems.approximation.phases import CLASSIFY, PHASES, RULES, SCALED

__all__ = ["TrainedApproximation"]

INPUTS = 2  # weights of a neuron of the first layer: one input and a bias


@dataclass(frozen=True, kw_only=True)
class TrainedApproximation:
    """ReLU networks of constant width, trained by Adam on a function of one variable.

    The function is a random one with Lipschitz constant 1 (r = d = 1), as those of `approximation`
    but with 2^levels pieces; it is the same for all budgets and times.  Of several trainings from
    different starts the best one counts.
    """

    card: ClassVar[Card] = Card(
        name="approximation_trained",
        source="ours; functions and rates as those of approximation",
        model="criticality.systems.approximation.model",
        observables=(
            Observable(
                name="error",
                doc="largest distance to the function at the ends and middles of its pieces, which "
                "is sampled; of the best training",
                label="largest error",
            ),
            Observable(name=SCALED, doc="the same: r/d = 1", label="error"),
            Observable(name="typical_error", doc="median over trainings", label="typical error"),
            Observable(name="worst_error", doc="of the worst training", label="error of the worst"),
            Observable(
                name="root_mean_square",
                doc="distance to the function, of the best training",
                label="r.m.s. error",
            ),
            Observable(
                name="lines_error",
                doc="of straight lines between values of the same function at equal distances, "
                "with no more weights; largest at the same places",
                label="error of straight lines",
            ),
            Observable(
                name="codes_error",
                doc="of the codes of rate 2 on the same function, with no more weights",
                label="error of codes",
                undefined=True,
            ),
            Observable(
                name="weights_used",
                unit="weight",
                doc="weights and biases of the deepest network that the budget allows",
                label="weights used",
            ),
            Observable(
                name="depth", unit="layer", doc="activations on the longest way", label="depth"
            ),
        ),
        plane=("steps",),
        size="weights",
        order=("error", "root_mean_square"),
        phases=PHASES,
        rules=RULES,
        classify=CLASSIFY,
        pages="criticality.systems.approximation.figures:trained_pages",
    )

    weights: int = control(
        361,
        symbol="$W$",
        unit="weight",
        doc="allowed: the deepest network of no more is trained",
        label="weights",
        interval="[4, 1000000]",
        static=True,
        shared=True,
    )
    steps: int = control(
        4000,
        symbol="$t$",
        unit="step",
        doc="of Adam, each with the whole training set",
        label="steps of training",
        interval="[1, inf)",
        shared=True,
    )
    width: int = control(
        10,
        symbol="width",
        unit="neuron",
        doc="of all hidden layers",
        interval="[1, 1000]",
        static=True,
        shared=True,
    )
    learning_rate: float = control(
        0.003,
        symbol=r"$\eta$",
        doc="at the start; it falls to zero as a cosine",
        interval="(0, 1]",
        shared=True,
    )
    levels: int = control(
        9,
        symbol="levels",
        doc="the function has 2^levels pieces, the ends of which are trained on",
        interval="[1, 16]",
        static=True,
        shared=True,
    )
    attempts: int = control(
        4,
        symbol="attempts",
        doc="trainings from different starts",
        interval="[1, 100]",
        static=True,
        shared=True,
    )

    @classmethod
    def tiny(cls) -> TrainedApproximation:
        """Give a preset that runs in a second."""
        return cls(weights=40, steps=20, levels=4, attempts=2)

    def validate(self) -> None:
        """Raise `InputError` if not even one hidden layer is allowed."""
        if self.weights < self._outer:
            raise InputError(
                f"weights = {self.weights}: expected {self._outer} or more, those of one hidden "
                f"layer of width = {self.width}; allow more weights, or use a smaller width."
            )

    @property
    def depth(self) -> int:
        """Hidden layers, as many as the weights suffice for."""
        return 1 + (self.weights - self._outer) // self._inner

    @property
    def weights_used(self) -> int:
        """Weights and biases."""
        return self._outer + (self.depth - 1) * self._inner

    @property
    def _outer(self) -> int:
        return INPUTS * self.width + self.width + 1

    @property
    def _inner(self) -> int:
        return self.width * (self.width + 1)

    def work(self) -> float:
        """FLOP of one realization: three products a layer, step, sample and training."""
        products = self.depth * 2.0 * self.width**2
        return 3 * products * (2.0**self.levels + 1) * self.steps * self.attempts
