"""When a network begins to learn, and how patient early stopping must be to see it.

The network of the system `dropout`, watched epoch by epoch until its validation loss has fallen
below that of a guess.  Patience does nothing but stop a training, so one training tells what every
patience would have done: it sees the beginning if no stall before it was as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, Observable, control
from criticality.systems.dropout import DropoutTraining


@dataclass(frozen=True, kw_only=True)
class Onset(DropoutTraining):
    """Network with dropout in training, watched until it has begun to learn.

    `patience` ends a training that may still begin; give one that is never reached, and
    `max_epochs` as the time for which it is watched.
    """

    card: ClassVar[Card] = Card(
        name="onset",
        model="criticality.papers.systems.onset.model",
        source="Pan, Aggarwal & Pixley, Pruning-induced phases (Sec. II): the border of amentia",
        observables=(
            Observable(
                name="start",
                dims=("margin",),
                unit="epoch",
                doc="first epoch at which the validation loss is below (1 - margin) ln K",
                censored=True,
            ),
            Observable(
                name="stall",
                dims=("margin",),
                unit="epoch",
                doc="most epochs in a row without improvement before that, or before the end",
            ),
            Observable(name="epochs", unit="epoch", doc="epochs that were watched"),
            Observable(name="validation_loss", unit="nat", doc="lowest validation cross-entropy"),
            Observable(
                name="alive",
                doc="share of all hidden units that are positive for any validation sample, at the "
                "end and without dropout",
            ),
            Observable(
                name="signal",
                unit="nat",
                doc="standard deviation of the logits over the validation samples, at the end and "
                "without dropout, mean over classes",
            ),
        ),
        plane=("p_train",),
        size="n_train",
    )

    margin: tuple[float, ...] = control(
        (0.01, 0.1),
        symbol=r"$\epsilon$",
        doc="part of ln K by which the loss is below that of a guess",
        interval="(0, 1)",
        inner=True,
    )

    @classmethod
    def tiny(cls) -> Onset:
        """Give a preset on the synthetic set that runs in a second."""
        return cls(
            dataset="synthetic",
            n_train=200,
            width=12,
            depth=2,
            n_validation=100,
            batch_size=32,
            max_epochs=4,
            p_train=0.1,
        )
