"""Grokking: embeddings and a decoder that learn a table of sums, and may generalise late.

Liu et al., Sec. 3 and 4.  Where the text that we worked from has lost a number, the default is that
of the authors' released code, or our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, InputError, Observable, Phase, Rule, control
from criticality.systems.grokking.tables import ORDER, TASKS, table

__all__ = ["GrokkingNetwork"]

LAG = 1000  # steps of t_test - t_train from which on generalising late is grokking
CURVES = ("time",)
TIMES = (1, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass(frozen=True, kw_only=True)
class GrokkingNetwork:
    """Embeddings E_k of p symbols, combined in pairs, and a decoder that reads the answer.

    The decoder, an MLP with tanh, sees E_i + E_j (addition, modular) or the matrix product E_i E_j
    (permutations).  Training is full batch, AdamW, with rates and weight decays of their own for
    embeddings and decoder.  Regression: each answer has a random target vector, and the nearest
    one is what is read; classification: cross-entropy.
    """

    card: ClassVar[Card] = Card(
        name="grokking",
        source="Liu et al., Towards understanding grokking, arXiv:2205.10343",
        model="criticality.systems.grokking.model",
        observables=(
            Observable(
                name="generalized",
                doc="1 if the test accuracy passed within the budget, else 0",
                label="probability of generalising",
            ),
            Observable(
                name="learned",
                doc="1 if the training accuracy passed within the budget, else 0",
                label="probability of learning",
            ),
            Observable(
                name="t_train",
                unit="step",
                doc="first look at which the training accuracy passes",
                label=r"$t_\mathrm{train}$",
                censored=True,
            ),
            Observable(
                name="t_test",
                unit="step",
                doc="first look at which the test accuracy passes",
                label=r"$t_\mathrm{test}$",
                censored=True,
            ),
            Observable(
                name="t_rqi",
                unit="step",
                doc="first look at which the representation is formed, RQI >= 0.95",
                label=r"$t_\mathrm{RQI}$",
                censored=True,
            ),
            Observable(
                name="lag",
                unit="step",
                doc="t_test - t_train; undefined where nothing was learned",
                label=r"$t_\mathrm{test}-t_\mathrm{train}$",
                censored=True,
                undefined=True,
            ),
            Observable(
                name="rqi",
                doc="representation quality index at the end: share of pairs of samples with the "
                "same answer whose inputs to the decoder, of standardised embeddings, differ by a "
                "mean square below 0.01; on Z_p no embedding on a line has all",
                label="RQI",
            ),
            Observable(name="accuracy", doc="of the test samples, at the end"),
            Observable(name="total_accuracy", doc="of all samples, at the end"),
            Observable(
                name="predicted_accuracy",
                doc="share of all samples that are trained on, or whose input is as near as for "
                "RQI to that of a training sample with the same answer, at the end",
                label="predicted accuracy",
            ),
            Observable(name="train_loss", doc="at the end: mean square, or cross-entropy in nat"),
            Observable(name="test_loss", doc="at the end: mean square, or cross-entropy in nat"),
            Observable(
                name="contrast",
                doc="of the last hidden layer on test samples: variance in the leading tenth of "
                "its principal directions less that in all others, over the total",
                label="held-out spectral contrast",
                undefined=True,
            ),
            Observable(
                name="null_dimension",
                doc="n_0 = p - rank A of the training set, as in grokking_theory; at least 2 of "
                "addition, 1 of modular; undefined for permutations, which are no linear problem",
                label="dimension $n_0$",
                undefined=True,
            ),
            Observable(
                name="predicted_steps",
                unit="step",
                doc="1 / (lambda_3 eta_E) of the training set, as in grokking_theory; +inf where "
                "something is never formed, undefined but for addition",
                label=r"predicted steps $1/(\lambda_3\eta_E)$",
                censored=True,
                undefined=True,
            ),
            Observable(
                name="train_curve",
                dims=CURVES,
                doc="training accuracy",
                label="training accuracy",
                undefined=True,
            ),
            Observable(
                name="test_curve",
                dims=CURVES,
                doc="test accuracy",
                label="test accuracy",
                undefined=True,
            ),
            Observable(name="rqi_curve", dims=CURVES, doc="RQI", label="RQI", undefined=True),
        ),
        plane=("decoder_rate", "decoder_decay"),
        size="p",
        order=("generalized", "rqi"),
        # told apart in colour-blind vision and, by lightness, in grey print
        phases=(
            Phase(name="comprehension", letter="C", colour="#8fd0f5"),
            Phase(name="grokking", letter="G", colour="#e8c33c"),
            Phase(name="memorization", letter="M", colour="#d55e00"),
            Phase(name="confusion", letter="X", colour="#595959"),
        ),
        rules=(
            Rule(phase="comprehension", quantity="generalized", of="each", above=0.5),
            Rule(phase="comprehension", quantity="lag", of="each", below=LAG - 0.5),
            Rule(phase="grokking", quantity="generalized", of="each", above=0.5),
            Rule(phase="grokking", quantity="lag", of="each", above=LAG - 0.5),
            Rule(phase="memorization", quantity="learned", of="each", above=0.5),
            Rule(phase="memorization", quantity="generalized", of="each", below=0.5),
            Rule(phase="confusion", quantity="learned", of="each", below=0.5),
        ),
    )

    task: str = control("addition", doc="how symbols are combined", choices=TASKS, static=True)
    loss: str = control(
        "regression",
        doc="how answers are read: nearest of random target vectors, or cross-entropy",
        choices=("regression", "classification"),
        static=True,
    )
    p: int = control(
        10,
        symbol="$p$",
        unit="symbol",
        doc="symbols; 6 of permutations",
        interval="[3, 256]",
        static=True,
        label="symbols",
    )
    fraction: float = control(
        0.8,
        symbol="$r$",
        doc="share of the table that is trained on",
        interval="(0, 1)",
        label="training fraction",
    )
    embedding_dimension: int = control(
        1,
        symbol="$d_E$",
        doc="numbers of an embedding; of permutations a square, the matrix",
        interval="[1, 10000]",
        static=True,
    )
    width: int = control(
        200, symbol="$W$", unit="unit", doc="hidden units of a layer", interval="[1, inf)",
        static=True,
    )  # fmt: skip
    depth: int = control(
        2, symbol="$L$", unit="layer", doc="hidden layers", interval="[1, inf)", static=True
    )
    targets: int = control(
        30,
        doc="numbers of the target vector of an answer, in regression",
        interval="[1, 10000]",
        static=True,
    )
    embedding_scale: float = control(
        0.5, doc="initial embeddings are uniform within plus and minus it", interval="(0, inf)"
    )
    embedding_rate: float = control(
        1e-3,
        symbol=r"$\eta_E$",
        doc="learning rate of the embeddings",
        interval="[0, inf)",
        label="embedding rate",
    )
    decoder_rate: float = control(
        1e-3,
        symbol=r"$\eta_D$",
        doc="learning rate of the decoder",
        interval="[0, inf)",
        label="decoder rate",
    )
    embedding_decay: float = control(
        0.0,
        symbol="$w_E$",
        doc="decoupled weight decay of the embeddings: a step takes away rate x decay of them",
        interval="[0, inf)",
    )
    decoder_decay: float = control(
        0.0,
        symbol="$w_D$",
        doc="decoupled weight decay of the decoder",
        interval="[0, inf)",
        label="decoder weight decay",
    )
    passing: float = control(
        0.9,
        doc="accuracy that passes, of training and test samples",
        interval="(0, 1]",
        shared=True,
    )
    steps: int = control(
        10_000,
        unit="step",
        doc="budget of optimiser steps",
        interval="[1, 16777216]",
        shared=True,
    )
    every: int = control(
        10,
        unit="step",
        doc="steps from look to look at accuracies and RQI",
        interval="[1, inf)",
        shared=True,
    )
    time: tuple[float, ...] = control(
        TIMES, symbol="$t$", unit="step", doc="when curves are recorded", interval="[0, inf)",
        inner=True, label="optimiser step",
    )  # fmt: skip

    @classmethod
    def tiny(cls) -> GrokkingNetwork:
        """Give a preset that runs in a second."""
        return cls(p=5, width=12, targets=4, steps=200, time=(0.0, 200.0), decoder_rate=3e-3)

    @property
    def samples(self) -> int:
        """Samples of the whole table."""
        return ORDER**2 if self.task == "permutations" else self.p * (self.p + 1) // 2

    def validate(self) -> None:
        """Raise `InputError` for symbols that are not the task's, or nothing to train or test."""
        if self.task == "permutations" and self.p != ORDER:
            raise InputError(f"p = {self.p}: the permutations of S_3 are {ORDER}; use p = {ORDER}.")
        if self.task == "permutations" and math.isqrt(self.embedding_dimension) ** 2 != (
            self.embedding_dimension
        ):
            raise InputError(
                f"embedding_dimension = {self.embedding_dimension}: permutations are square "
                f"matrices here; use a square, as 9."
            )
        if not 1 <= round(self.fraction * self.samples) < self.samples:
            raise InputError(
                f"fraction = {self.fraction:g} of {self.samples} samples leaves nothing to train "
                f"on or nothing to test; expected {1 / self.samples:.2g} to "
                f"{1 - 1 / self.samples:.3g}."
            )

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimension: times of the curves."""
        return {"time": self.time}

    def work(self) -> float:
        """FLOP of one realization: matrix products of all steps and looks."""
        answers = (
            table(self.task, self.p).classes if self.loss == "classification" else self.targets
        )
        hidden = (self.depth - 1) * self.width**2
        weights = self.width * (self.embedding_dimension + answers) + hidden
        looks = self.steps / self.every
        return 2.0 * weights * self.samples * (3 * self.fraction * self.steps + looks)
