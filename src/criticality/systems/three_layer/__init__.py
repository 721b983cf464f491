"""Three-layer networks under gradient flow: which layers stay near their start, and which condense.

After Zhou et al., "Empirical phase diagram for three-layer neural networks with infinite width"
(arXiv:2205.12101).  The definition of gamma_2 and the data are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from criticality import data
from criticality.base import Card, Derived, InputError, Observable, Phase, Rule, control

__all__ = ["ThreeLayer"]

POINTS = (-0.9, -0.3, 0.3, 0.9)
TARGETS = (-1.0, -0.2, 0.4, 0.8)
ONE_DIMENSION = "points"


@dataclass(frozen=True, kw_only=True)
class ThreeLayer:
    r"""Gradient flow of f(x) = (1/alpha) a . relu(W2 relu(W1 x)), both hidden widths m.

    x has a 1 appended.  Entries of the layers are N(0, beta_l^2), beta_2 = beta_3.  In weights of
    unit variance f = kappa a . relu(W2 relu(W1 x)) with kappa = beta_1 beta_2 beta_3 / alpha =
    m^-gamma_3, and the layers flow with rates 1/beta_l^2, of which that of W1 is m^(2 gamma_2) of
    the others': beta_1 / beta_2 = m^-gamma_2.  Time is in units in which beta_2 = 1.

    All points of one width have the same initial weights.
    """

    card: ClassVar[Card] = Card(
        name="three_layer",
        source="Zhou et al., arXiv:2205.12101 (abstract); gamma_2 and data: ours",
        model="criticality.systems.three_layer.model.realization",
        precision="float64",
        observables=(
            Observable(
                name="change_1",
                doc="|W1(T) - W1(0)| / |W1(0)|, Frobenius norms; relative error: the tolerance; "
                "NaN, as all that depends on the end, if the target was not reached",
                label="relative change of $W_1$",
            ),
            Observable(
                name="change_2",
                doc="|W2(T) - W2(0)| / |W2(0)|, Frobenius norms",
                label="relative change of $W_2$",
            ),
            Observable(
                name="change_3",
                doc="|a(T) - a(0)| / |a(0)|",
                label="relative change of $a$",
            ),
            Observable(
                name="directions_1",
                doc="effective number of directions of the rows of W1 at the end; relative "
                "error: 10 tolerances",
                label="directions of $W_1$",
            ),
            Observable(
                name="directions_2",
                doc="effective number of directions of the rows of W2 at the end",
                label="directions of $W_2$",
            ),
            Observable(
                name="initial_directions_1",
                doc="effective number of directions of the rows of W1 at the start",
            ),
            Observable(
                name="time",
                doc="at which the target was reached; relative error: 10 tolerances, since losses "
                "have plateaus",
                label="time $T$",
            ),
            Observable(name="loss", doc="at the end, over that of f = 0"),
            Observable(name="steps", unit="step", doc="accepted steps"),
            Observable(name="evaluations", doc="of the gradient", label="evaluations"),
        ),
        derived=tuple(
            Derived(
                name=f"log_change_{layer}",
                function=f"criticality.systems.three_layer.phases:log_change_{layer}",
                doc=f"ln change_{layer}, of which curves of several widths cross smoothly",
                label=f"ln change of ${name}$",
            )
            for layer, name in ((1, "W_1"), (2, "W_2"), (3, "a"))
        ),
        plane=("gamma_2", "gamma_3"),
        size="width",
        order=("change_1", "change_2"),
        phases=(
            Phase(name="linear", letter="L", colour="#8fd0f5"),
            Phase(name="W1 condensed", letter="1", colour="#e69f00"),
            Phase(name="W2 condensed", letter="2", colour="#cc79a7"),
            Phase(name="condensed", letter="C", colour="#d55e00"),
        ),
        rules=(
            Rule(phase="linear", quantity="change_1", of="exponent", below=0.0),
            Rule(phase="linear", quantity="change_2", of="exponent", below=0.0),
            Rule(phase="W1 condensed", quantity="change_1", of="exponent", above=0.0),
            Rule(phase="W1 condensed", quantity="change_2", of="exponent", below=0.0),
            Rule(phase="W2 condensed", quantity="change_1", of="exponent", below=0.0),
            Rule(phase="W2 condensed", quantity="change_2", of="exponent", above=0.0),
            Rule(phase="condensed", quantity="change_1", of="exponent", above=0.0),
            Rule(phase="condensed", quantity="change_2", of="exponent", above=0.0),
        ),
        classify="criticality.systems.three_layer.phases:classify",
        pages="criticality.systems.three_layer.figures:pages",
    )

    gamma_3: float = control(
        1.5,
        symbol=r"$\gamma_3$",
        doc="kappa = m^-gamma_3: how the output is scaled down with the width",
        label="scale of the output",
        interval="[-2, 8]",
        shared=True,
    )
    gamma_2: float = control(
        0.0,
        symbol=r"$\gamma_2$",
        doc="beta_1 / beta_2 = m^-gamma_2: W1 is smaller, and flows faster",
        label="scale of the first layer",
        interval="[-4, 4]",
        shared=True,
    )
    width: int = control(
        256,
        symbol="$m$",
        unit="neuron",
        doc="of both hidden layers",
        interval="[2, 20000]",
        static=True,
    )
    dataset: str = control(
        ONE_DIMENSION,
        symbol="data",
        doc="four points of one dimension, or samples of a data set with its label as target",
        choices=(ONE_DIMENSION, *data.NAMES),
        files=True,
        static=True,
        shared=True,
    )
    samples: int = control(
        45,
        symbol="$n$",
        unit="sample",
        doc="drawn from the data set; the points are always four",
        interval="[2, 1000]",
        static=True,
        shared=True,
    )
    centred: bool = control(
        True, doc="the network is f - f(0), which starts at zero", static=True, shared=True
    )
    target: float = control(
        1e-3,
        doc="loss at which the flow ends, over that of f = 0",
        interval="(0, 1)",
        shared=True,
    )
    tolerance: float = control(
        1e-2,
        doc="local error of each layer in a step, over the length of its path",
        interval="[1e-10, 0.1]",
        shared=True,
    )
    budget: int = control(
        100_000,
        unit="step",
        doc="tried at most; without the target by then, the realization has failed",
        interval="[1, inf)",
        shared=True,
    )

    @classmethod
    def tiny(cls) -> ThreeLayer:
        """Give a preset that runs in a second."""
        return cls(width=24, gamma_3=1.0, target=0.1)

    def validate(self) -> None:
        """Raise `InputError` for more samples than there are."""
        if not self.requires():
            return
        pool = data.shape(self.dataset).train
        if self.samples > pool:
            raise InputError(
                f"samples = {self.samples}: {self.dataset} has {pool} training samples; use fewer."
            )

    def requires(self) -> str:
        """Source of the data set; none for the points."""
        return "" if self.dataset == ONE_DIMENSION else self.dataset

    def work(self) -> float:
        """FLOP of one realization: some hundred evaluations, each two products with W2."""
        n = self.samples if self.requires() else len(POINTS)
        return 1e3 * 4.0 * n * self.width**2
