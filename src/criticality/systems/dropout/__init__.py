"""Fully-connected network with dropout in training and in evaluation.

Pan, Aggarwal and Pixley, "Pruning-induced phases in fully-connected neural networks: the
eumentia, the dementia, and the amentia", Sec. II and App. D.  Where the text that we worked from
has lost a number (batch size, patience, validation size), the default is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from criticality import data
from criticality.base import Card, InputError, Observable, Phase, control
from criticality.nn.controls import Supervised, check_samples

__all__ = ["DropoutNetwork", "DropoutTraining"]

TYPICAL_EPOCHS = 40  # before early stopping, for estimates of work only
LEVELS = 2.0**32  # of the random words that masks are made of


@dataclass(frozen=True, kw_only=True)
class DropoutTraining(Supervised):
    """A network with dropout in training: what is trained, and not what is measured of it.

    Every hidden layer has inverted dropout (Eq. 20), a fresh mask at every forward pass, at rate
    `p_train`.  Grey values of pixels are divided by 255.  Validation is without dropout.
    """

    p_train: float = control(
        0.0,
        symbol=r"$p_\mathrm{train}$",
        doc="dropout rate in training",
        interval="[0, 1)",
        label="training dropout",
    )
    width: int = control(
        100,
        symbol="$W$",
        unit="unit",
        doc="units in a hidden layer",
        interval="[1, inf)",
        static=True,
    )
    depth: int = control(
        3, symbol="$L$", unit="layer", doc="hidden layers", interval="[1, inf)", static=True
    )

    def network(self) -> Any:
        """Give another network for the same protocol: `model.Network`; None is this one."""
        return None

    def validate(self) -> None:
        """Raise `InputError` for more samples than there are."""
        check_samples(self)

    def requires(self) -> str:
        """Source of the data set."""
        return self.dataset

    def products(self) -> tuple[float, float]:
        """Multiplications of a sample before all dropout, and after it: exact matrix products."""
        shape = data.shape(self.dataset)
        first = shape.features * self.width
        return first, (self.depth - 1) * self.width**2 + self.width * shape.classes

    def work(self) -> float:
        """FLOP of a training with a guess of the epochs; no slope goes on to the data."""
        clean, rest = self.products()
        epoch = self.n_train * (4 * clean + 6 * rest) + 2 * self.n_validation * (clean + rest)
        return min(self.max_epochs, TYPICAL_EPOCHS) * epoch


@dataclass(frozen=True, kw_only=True)
class DropoutNetwork(DropoutTraining):
    """Network of `depth` hidden ReLU layers of `width` units, trained with Adam.

    Every hidden layer has inverted dropout (Eq. 20), a fresh mask at every forward pass, at rate
    `p_train` in training and, independently, at each rate `p_eval` in evaluation.
    """

    card: ClassVar[Card] = Card(
        name="dropout",
        version=2,
        source="Pan, Aggarwal & Pixley, Pruning-induced phases (Sec. II, App. D)",
        model="criticality.systems.dropout.model",
        observables=(
            Observable(
                name="loss",
                dims=("p_eval", "pass"),
                unit="nat",
                doc="cross-entropy on the whole test set, Eq. (2)",
                label=r"test cross-entropy $\langle\mathcal{L}\rangle$",
            ),
            Observable(
                name="accuracy",
                dims=("p_eval", "pass"),
                doc="fraction of the test set that is classified correctly, Eq. (3)",
                label=r"test accuracy $\langle\mathcal{A}\rangle$",
            ),
            Observable(name="epochs", unit="epoch", doc="epochs trained until stopped"),
            Observable(
                name="validation_loss",
                unit="nat",
                doc="validation cross-entropy of the parameters that are evaluated",
            ),
        ),
        plane=("p_train", "p_eval"),
        size="n_train",
        order=("loss", "accuracy"),
        repeated=("pass",),
        # told apart in colour-blind vision and, by lightness, in grey print
        phases=(
            Phase(name="eumentia", letter="E", colour="#8fd0f5"),
            Phase(name="dementia", letter="D", colour="#d55e00"),
            Phase(name="amentia", letter="A", colour="#595959"),
        ),
        classify="criticality.systems.dropout.phases:classify",
        pages="criticality.systems.dropout.figures:pages",
    )

    restore_best: bool = control(
        True,
        symbol="restore best",
        doc="evaluate the parameters of the best validation loss, not the last",
        static=True,
    )
    p_eval: tuple[float, ...] = control(
        tuple(round(0.05 * i, 2) for i in range(20)),
        symbol=r"$p_\mathrm{eval}$",
        doc="dropout rates in evaluation",
        label="evaluation dropout",
        interval="[0, 1)",
        inner=True,
    )
    passes: int = control(
        4,
        symbol="passes",
        unit="pass",
        doc="stochastic evaluations of the test set at every rate",
        interval="[1, inf)",
        inner=True,
    )

    @classmethod
    def tiny(cls) -> Self:
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
            p_eval=(0.0, 0.5),
            passes=2,
        )

    def validate(self) -> None:
        """Raise `InputError` for more samples than there are, or rates that are one to us."""
        if len({int(np.float32(rate) * LEVELS) for rate in self.p_eval}) < len(self.p_eval):
            raise InputError(
                f"p_eval = {list(self.p_eval)}: rates that are one number in 32 bits are the same."
            )
        super().validate()

    def inner(self) -> dict[str, tuple[float, ...]]:
        """Coordinates of the inner dimensions `p_eval` and `pass`."""
        return {"p_eval": self.p_eval, "pass": tuple(range(self.passes))}

    def work(self) -> float:
        """FLOP of a training and of its evaluations, which do what is before all dropout once."""
        clean, rest = self.products()
        test = data.shape(self.dataset).test
        return super().work() + 2 * test * (clean + len(self.p_eval) * self.passes * rest)
