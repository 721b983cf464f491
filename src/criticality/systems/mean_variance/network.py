"""Mean-variance regression by two networks: one gives the mean, the other the precision.

The loss is that of the package's docstring, with R the squared length of all parameters of a
network, weights and biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from criticality import data
from criticality.base import Card, InputError, Observable, Search, control
from criticality.systems.mean_variance import measures

__all__ = ["MeanVarianceNetwork"]

SINE = "sine"
SINE_TRAIN, SINE_TEST = 64, 1000  # samples of the sine problem: the paper's number, and ours
SLOPE = 0.01  # of the leaky ReLU below 0
# rho of the search along rho = 1 - gamma
LINE = tuple(
    percent / 100
    for percent in (50, 60, 70, 75, 80, 84, 87, 90, 92, 94, 95, 96, 97, 98, 99, 99.5, 99.8)
)
PLACES = tuple(i / 50 for i in range(51))


class Counts(NamedTuple):
    """Samples of each part."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Controls of data, networks and training, whatever is done with rho and gamma."""

    dataset: str = control(
        SINE,
        symbol="data",
        doc="the sine problem, or samples of a data set that has targets",
        choices=(SINE, *data.TABLES),
        files=True,
        static=True,
    )
    n_train: int = control(
        0,
        symbol=r"$N_\mathrm{train}$",
        unit="sample",
        doc=f"training samples; 0: {SINE_TRAIN} of the sine problem, of a data set all that are "
        "neither for test nor for validation",
        interval="[0, inf)",
        static=True,
        label="training samples",
    )
    test_share: float = control(
        1 / 3,
        doc="share of the samples of a data set that is for test",
        interval="(0, 1)",
        static=True,
    )
    validation_share: float = control(
        0.2,
        doc="of what is not for test, share that is for validation; the sine problem draws them",
        interval="(0, 1)",
        static=True,
    )
    width: int = control(
        18,
        symbol="$W$",
        unit="unit",
        doc="hidden units of a layer",
        interval="[1, inf)",
        static=True,
        shared=True,
    )
    depth: int = control(
        2,
        symbol="$L$",
        unit="layer",
        doc="hidden layers of each network",
        interval="[1, inf)",
        static=True,
        shared=True,
    )
    gain: float = control(
        1.0,
        doc="deviation of initial weights over sqrt(2/inputs); biases begin at 0",
        interval="[0, inf)",
        shared=True,
    )
    per_parameter: bool = control(
        False,
        doc="R is the mean square of a network's parameters, not the sum of squares",
        static=True,
        shared=True,
    )
    epochs: int = control(
        5_000,
        unit="epoch",
        doc="of training, warm-up included",
        interval="[1, 16777216]",
        shared=True,
    )
    warmup: int = control(
        2_000,
        unit="epoch",
        doc="at first, in which the mean alone is trained, at precision 1",
        interval="[0, 16777216]",
        shared=True,
    )
    batch_size: int = control(
        0,
        unit="sample",
        doc="samples in a mini-batch; 0: all",
        interval="[0, inf)",
        static=True,
        shared=True,
    )
    rate_low: float = control(
        1e-3,
        doc="learning rate of Adam at both ends of a cycle",
        interval="[0, inf)",
        shared=True,
    )
    rate_high: float = control(
        1e-2,
        symbol=r"$\eta$",
        doc="learning rate in the middle of the first cycle; every further cycle halves what it "
        "has above rate_low",
        interval="[0, inf)",
        shared=True,
    )
    half_cycle: int = control(
        500,
        unit="epoch",
        doc="from the lowest learning rate to the highest",
        interval="[1, inf)",
        shared=True,
    )
    clip: float = control(
        1000.0,
        doc="length of the gradient, of both networks together, beyond which it is shortened",
        interval="(0, inf)",
        shared=True,
    )
    level: tuple[float, ...] = measures.level_control()

    def requires(self) -> str:
        """Source of the data set; none for the sine problem."""
        return "" if self.dataset == SINE else self.dataset

    def counts(self, rows: int = 0) -> Counts:
        """Count the samples of each part, of a data set that has so many rows."""
        if not self.requires():
            train = self.n_train or SINE_TRAIN
            drawn = train * self.validation_share / (1 - self.validation_share)
            return Counts(train, max(1, round(drawn)), SINE_TEST)
        test = round(self.test_share * rows)
        validation = round(self.validation_share * (rows - test))
        return Counts(self.n_train or rows - test - validation, validation, test)

    def rows(self) -> int:
        """Rows of the data set; its two parts are joined, since each realization splits anew."""
        if not self.requires():
            return 0
        found = data.shape(self.dataset)
        return found.train + found.test

    def check_data(self) -> None:
        """Raise `InputError` for classes, or for parts without samples."""
        if self.n_train == 1:
            raise InputError(
                "n_train = 1: a single sample has no deviation to standardise by; expected 2 or "
                "more, or 0 for the number of the data set."
            )
        if not self.requires():
            return
        if data.shape(self.dataset).kind != "targets":
            raise InputError(
                f"dataset = {self.dataset!r}: its labels are classes; expected targets, numbers "
                f"of a floating type."
            )
        rows = self.rows()
        found = self.counts(rows)
        left = rows - found.test - found.validation
        if min(found.validation, found.test) < 1 or left < 2:
            raise InputError(
                f"{self.dataset} has {rows} samples, which are {found.test} for test, "
                f"{found.validation} for validation and {left} for training; expected 1, 1 and 2 "
                f"or more: change test_share or validation_share."
            )
        if found.train > left:
            raise InputError(
                f"n_train = {self.n_train}: {self.dataset} has {left} samples that are neither for "
                f"test nor for validation; use fewer, or 0 for all."
            )

    def flop_per_epoch(self) -> float:
        """FLOP of one network: three products of each weight with each sample."""
        source = self.requires()
        features = data.shape(source).features if source else 1
        weights = self.width * (features + 1 + (self.depth - 1) * self.width)
        return 6.0 * weights * self.counts(self.rows()).train


def curves() -> tuple[Observable, ...]:
    """Declare the fitted functions of the sine problem."""
    return (
        Observable(
            name="mean_curve",
            dims=("x",),
            doc="fitted mean, in units of y; of the sine problem alone",
            label="mean",
            undefined=True,
        ),
        Observable(
            name="deviation_curve",
            dims=("x",),
            doc="fitted standard deviation, in units of y; of the sine problem alone",
            label="standard deviation",
            undefined=True,
        ),
    )


SKIPPED = Observable(
    name="skipped",
    unit="step",
    doc="steps not made, since the gradient was not finite",
    label="skipped steps",
)


@dataclass(frozen=True, kw_only=True)
class MeanVarianceNetwork(Networks):
    """Two networks with leaky ReLU, trained together by Adam after the mean was trained alone."""

    card: ClassVar[Card] = Card(
        name="mean_variance",
        source="Wong-Toi, Boyd, Fortuin & Mandt, arXiv:2511.22004",
        model="criticality.systems.mean_variance.model",
        observables=(
            *measures.observables(),
            Observable(name="loss", doc="of the training samples, at the end"),
            SKIPPED,
            *curves(),
        ),
        plane=("gamma", "rho"),
        size="n_train",
        order=("train_mse", "precision_spread", "test_ece"),
        phases=measures.PHASES,
        rules=measures.rules(),
        pages="criticality.systems.mean_variance.figures:pages",
        search=Search(
            minimise="validation_crps",  # of few samples the likelihood is that of the worst one
            path={"rho": LINE, "gamma": tuple(round(1 - rho, 9) for rho in LINE)},
            show=("test_crps", "test_nll", "test_mse", "test_ece", "test_chi2", "coverage"),
            test_share="test_share",
        ),
    )

    rho: float = measures.rho_control()
    gamma: float = measures.gamma_control()
    x: tuple[float, ...] = control(
        PLACES,
        symbol="$x$",
        doc="where the fitted functions of the sine problem are told",
        interval="[0, 1]",
        inner=True,
    )

    @classmethod
    def tiny(cls) -> MeanVarianceNetwork:
        """Give a preset that runs in a second."""
        return cls(
            rho=0.95,
            n_train=16,
            width=6,
            depth=1,
            epochs=120,
            warmup=40,
            level=(0.2, 0.8),
            x=(0.0, 0.5, 1.0),
        )

    def validate(self) -> None:
        """Raise `InputError` for data that cannot be used, or a warm-up beyond the end."""
        self.check_data()
        if self.warmup > self.epochs:
            raise InputError(
                f"warmup = {self.warmup} of epochs = {self.epochs}: expected at most as many."
            )

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        return {"level": self.level, "x": self.x}

    def work(self) -> float:
        """FLOP of one realization."""
        return self.flop_per_epoch() * (2 * self.epochs - self.warmup)
