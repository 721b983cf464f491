"""Pruning of a trained network to its breakdown, with fine-tuning after every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from criticality.base import Card, InputError, Observable, control
from criticality.systems.pruning import schedules
from criticality.systems.pruning.controls import (
    Masked,
    check,
    dense_work,
    network,
    test_work,
    training_work,
)


@dataclass(frozen=True, kw_only=True)
class PruningNetwork(Masked):
    """Network that is trained, then loses weights step by step, fine-tuned after each.

    The test set is looked at after every step, and never used for a decision.
    """

    card: ClassVar[Card] = Card(
        name="pruning",
        version=1,
        source="Pesce, He & Caldarelli, Phase transitions in neural networks pruning",
        model="criticality.systems.pruning.model.pruning",
        observables=(
            Observable(
                name="accuracy",
                dims=("step",),
                doc="fraction of the test set that is classified correctly",
            ),
            Observable(
                name="loss", dims=("step",), unit="nat", doc="cross-entropy on the test set"
            ),
            Observable(
                name="prediction_entropy",
                dims=("step",),
                unit="nat",
                doc="entropy of how often each class is predicted, Eq. (1)",
            ),
            Observable(
                name="outcome_entropy",
                dims=("step",),
                unit="nat",
                doc="mean entropy of the softmax, Eq. (2)",
            ),
            Observable(name="density", dims=("step",), doc="share of the edges that remain"),
            Observable(name="edges", dims=("step", "layer"), doc="weights that remain in a layer"),
            Observable(
                name="conducting",
                dims=("step", "layer"),
                doc="remaining weights of a layer on a path from the input to the output",
            ),
            Observable(
                name="live_units",
                dims=("step", "unit_layer"),
                doc="units on a path from the input (0) to the output (last)",
            ),
            Observable(
                name="evolution",
                dims=("step", "part"),
                undefined=True,
                doc="Evolution Metric from one step to the next; part 0 is the whole network",
            ),
            Observable(
                name="weights",
                dims=("snapshot", "weight"),
                doc="all weights, layer after layer, at the first step of at most this density",
            ),
            Observable(
                name="snapshot_step", dims=("snapshot",), unit="step", doc="step of the snapshot"
            ),
            Observable(
                name="removed",
                dims=("weight",),
                unit="step",
                doc="step that removed a weight; steps + 1 where none did",
            ),
            Observable(
                name="epochs", unit="epoch", doc="epochs in which the dense network trained"
            ),
            Observable(
                name="validation_loss",
                unit="nat",
                doc="lowest validation cross-entropy of the dense network",
            ),
        ),
        order=("accuracy", "prediction_entropy"),
        threshold="criticality.systems.pruning.breakdown:threshold",
        pages="criticality.systems.pruning.pages:pruning_pages",
    )

    schedule: str = control(
        "equal",
        symbol="schedule",
        doc="equal numbers, equal ratios, or equal numbers only below the density focus",
        choices=schedules.SCHEDULES,
        static=True,
    )
    final_density: float = control(
        0.0,
        symbol=r"$\rho_T$",
        doc="share of the edges that remain at the end",
        interval="[0, 1)",
        static=True,
    )
    focus: float = control(
        0.05,
        symbol=r"$\rho_f$",
        doc="density at which a focused schedule becomes fine, after a tenth of its steps",
        interval="(0, 1]",
        static=True,
    )
    hold: int = control(
        0,
        symbol="$T_h$",
        unit="step",
        doc="of the steps, so many remove nothing: fine-tuning alone",
        interval="[0, 100000)",
        static=True,
        shared=True,
        before=0,
    )
    hold_after: float = control(
        0.0,
        symbol="$r_h$",
        doc="share of the edges that are gone when the schedule pauses for `hold` steps",
        interval="[0, 1)",
        static=True,
        shared=True,
        before=0.0,
    )
    snapshots: tuple[float, ...] = control(
        tuple(float(f"{x:.3g}") for x in np.geomspace(0.001, 1, 31)),
        symbol=r"$\rho_s$",
        doc="densities at which all weights are kept, 4 bytes a weight before compression",
        interval="[0, 1]",
        inner=True,
    )

    @classmethod
    def tiny(cls) -> PruningNetwork:
        """Give a preset on the synthetic set that runs in a second."""
        return cls(
            dataset="synthetic",
            width=12,
            n_train=200,
            n_validation=100,
            batch_size=32,
            max_epochs=4,
            learning_rate=0.01,
            tuning_rate=0.01,
            steps=12,
            updates=3,
            schedule="geometric",
            final_density=0.1,
            snapshots=(0.2, 0.5, 1.0),
        )

    def validate(self) -> None:
        """Raise `InputError` for a schedule that cannot be, or snapshots that it does not reach."""
        check(self)
        if self.schedule == "geometric" and self.final_density == 0:
            raise InputError(
                "final_density = 0: a geometric schedule never ends there; use some 0.001, or "
                "schedule = 'focused'."
            )
        if self.hold >= self.steps:
            raise InputError(
                f"hold = {self.hold} of steps = {self.steps}: none is left that removes weights; "
                f"expected hold < steps."
            )
        if 1 - self.hold_after < self.final_density:
            raise InputError(
                f"hold_after = {self.hold_after}: final_density = {self.final_density} is reached "
                f"before so many edges are gone."
            )
        if self.schedule == "focused" and self.steps - self.hold < 2:
            raise InputError(
                f"steps = {self.steps}, hold = {self.hold}: a focused schedule has two parts; "
                f"expected 2 or more that remove weights."
            )
        if self.schedule == "focused" and self.final_density >= self.focus:
            raise InputError(
                f"final_density = {self.final_density}: expected less than focus = {self.focus}, "
                f"where a focused schedule begins to be fine."
            )
        if self.snapshots[0] < self.final_density:
            raise InputError(
                f"snapshots: density {self.snapshots[0]} is below final_density = "
                f"{self.final_density}, where the schedule ends."
            )

    def totals(self) -> schedules.Counts:
        """Weights that remain in all, int64 [steps+1]."""
        edges, steps = sum(network(self).edges), self.steps - self.hold
        moving = schedules.remaining(self.schedule, edges, steps, self.final_density, self.focus)
        return schedules.paused(moving, self.hold, edges * (1 - self.hold_after))

    def counts(self) -> schedules.Counts:
        """Weights that remain in each layer if scope fixes them, int64 [steps+1, layers]."""
        return schedules.apportioned(self.totals(), np.array(network(self).edges))

    def snapshot_steps(self) -> np.ndarray:
        """First step of at most each snapshot's density, int64 [snapshots]."""
        total = self.totals()
        wanted = np.maximum(np.rint(total[0] * np.array(self.snapshots)), total[-1])
        return np.array([int(np.argmax(total <= count)) for count in wanted])

    def requires(self) -> str:
        """Source of the data set."""
        return self.dataset

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        layers = len(network(self).shapes)
        return {
            "step": range(self.steps + 1),
            "layer": range(1, layers + 1),
            "unit_layer": range(layers + 1),
            "part": range(layers + 1),
            "snapshot": self.snapshots,
            "weight": range(sum(network(self).edges)),
        }

    def work(self) -> float:
        """FLOP of one realization: a guess of the first epochs, then exact matrix products."""
        step = training_work(self, self.updates) + test_work(self)
        return dense_work(self) + self.steps * step
