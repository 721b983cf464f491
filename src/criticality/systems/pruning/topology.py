"""What in the structure of a pruned network lets it learn: four topologies, trained anew."""

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

# the inner dimension `topology`, in this order
TOPOLOGIES = ("pruned", "same degrees", "random in layers", "random")
ATTEMPTS = 100  # per edge, plenty: see `model.rewiring`


@dataclass(frozen=True, kw_only=True)
class TopologyNetwork(Masked):
    """Network that is pruned to a density, then trained from its pruned initial weights.

    All topologies of a realization come from the same pruned network, keep the same initial
    weights where they have an edge, and see the same mini-batches: they are compared in pairs.

    - pruned (0): the edges that pruning left.
    - same degrees (1): these, randomised by swaps of edges that keep the in- and out-degree of
      every unit, layer by layer; in a convolution, an input channel counts once for every place
      of the kernel.
    - random in layers (2): as many random edges in each layer.
    - random (3): as many random edges in all.
    """

    card: ClassVar[Card] = Card(
        name="topology",
        version=1,
        source="Pesce, He & Caldarelli, Phase transitions in neural networks pruning (Fig. 4)",
        model="criticality.systems.pruning.model.topology",
        observables=(
            Observable(
                name="accuracy",
                dims=("topology", "epoch"),
                doc="fraction of the test set that is classified correctly",
            ),
            Observable(
                name="loss",
                dims=("topology", "epoch"),
                unit="nat",
                doc="cross-entropy on the test set",
            ),
            Observable(name="dense_accuracy", doc="test accuracy of the dense network"),
            Observable(
                name="pruned_accuracy",
                doc="test accuracy of the pruned and fine-tuned network",
            ),
            Observable(name="edges", dims=("topology", "layer"), doc="weights of each layer"),
            Observable(
                name="overlap",
                dims=("topology",),
                doc="share of the edges that the pruned network has too",
            ),
            Observable(
                name="conducting",
                dims=("topology", "layer"),
                doc="weights of a layer on a path from the input to the output",
            ),
            Observable(
                name="live_units",
                dims=("topology", "unit_layer"),
                doc="units on a path from the input (0) to the output (last)",
            ),
        ),
        order=("accuracy", "loss"),
        pages="criticality.systems.pruning.pages:topology_pages",
    )

    steps: int = control(
        100,
        symbol="$T$",
        unit="step",
        doc="prunings in equal ratios, each followed by fine-tuning",
        interval="[1, 100000]",
        static=True,
    )
    density: float = control(
        0.01,
        symbol=r"$\rho$",
        doc="share of the edges that remain",
        interval="(0, 1]",
        static=True,
    )
    epochs: int = control(
        20,
        symbol="epochs",
        unit="epoch",
        doc="training of each topology",
        interval="[1, 10000]",
        static=True,
    )
    attempts: int = control(
        ATTEMPTS,
        symbol="attempts",
        doc="attempted swaps for each edge",
        interval="[0, 100000]",
    )

    @classmethod
    def tiny(cls) -> TopologyNetwork:
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
            steps=4,
            updates=3,
            density=0.2,
            epochs=2,
            attempts=20,
        )

    def validate(self) -> None:
        """Raise `InputError` for a density that leaves no edge."""
        check(self)
        if self.counts()[-1].sum() == 0:
            raise InputError(
                f"density = {self.density}: not one of {sum(network(self).edges)} edges remains; "
                f"use a larger one."
            )

    def requires(self) -> str:
        """Source of the data set."""
        return self.dataset

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions; topologies are numbered as in `TOPOLOGIES`."""
        layers = len(network(self).shapes)
        return {
            "topology": range(len(TOPOLOGIES)),
            "epoch": range(self.epochs + 1),
            "layer": range(1, layers + 1),
            "unit_layer": range(layers + 1),
        }

    def work(self) -> float:
        """FLOP of one realization: a guess of the first epochs, then exact matrix products."""
        epoch = training_work(self, self.n_train / self.batch_size) + test_work(self)
        pruned = self.steps * training_work(self, self.updates)
        return dense_work(self) + pruned + len(TOPOLOGIES) * self.epochs * epoch

    def counts(self) -> schedules.Counts:
        """Weights that remain in each layer if scope fixes them, int64 [steps+1, layers]."""
        edges = np.array(network(self).edges)
        total = schedules.remaining("geometric", int(edges.sum()), self.steps, self.density, 1.0)
        return schedules.apportioned(total, edges)
