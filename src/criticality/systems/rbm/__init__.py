"""Retrieval phases of the restricted Boltzmann machine: spins, hidden units, patterns as weights.

After Bonnaire, Catania, Decelle and Seoane, "On the role of non-linear latent features in bipartite
generative neural networks" (arXiv:2506.10552).  Only its abstract was at hand: the energy and its
normalisation below are our choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, Derived, InputError, Observable, Phase, Rule, control

__all__ = ["PRIORS", "RBM"]

PRIORS = ("gaussian", "binary", "zero_one", "ternary", "relu")
STATES = {"binary": (-1.0, 1.0), "zero_one": (0.0, 1.0), "ternary": (-1.0, 0.0, 1.0)}
MOST_LOAD = 2  # patterns a spin
# limits at infinite N: a pattern is retrieved above, forgotten below; copies are frozen apart above
RETRIEVED, FORGOTTEN, APART = 0.5, 0.2, 0.1
AVERAGES = ("start", "annealing")


@dataclass(frozen=True, kw_only=True)
class RBM:
    r"""N spins and P hidden units, one for each pattern, sampled in blocks (Gibbs).

    E(s, h) = -sum_{i mu} W_{i mu} s_i (h_mu - c) + sum_mu [u(h_mu) + theta_N a(h_mu)], where
    W_{i mu} = xi_i^mu N^-x with patterns xi = +-1 and theta_N = theta N^(1-2x).  Priors:

    - gaussian: u = h^2/2 (the Hopfield model at x = 1/2); it has no threshold
    - binary: h = +-1, a = h
    - zero_one: h = 0 or 1, a = h
    - ternary: h = -1, 0 or 1, a = |h|
    - relu: h >= 0, u = h^2/2, a = h

    The patterns are a realization: all temperatures, priors, thresholds, biases, scalings and
    starts have the same.
    """

    card: ClassVar[Card] = Card(
        name="rbm",
        source="Bonnaire, Catania, Decelle & Seoane, arXiv:2506.10552 (abstract); energy: ours",
        model="criticality.systems.rbm.model",
        observables=(
            Observable(
                name="overlap",
                dims=AVERAGES,
                doc="mean of |m|, m = sum_i xi_i s_i / N with the first pattern",
                label=r"overlap $\langle|m|\rangle$",
            ),
            Observable(
                name="best_overlap",
                dims=AVERAGES,
                doc="mean of the largest |m| with any pattern",
                label="largest overlap",
            ),
            Observable(
                name="replica_overlap",
                dims=AVERAGES,
                doc="mean of |q|, q = sum_i s_i s'_i / N of two copies",
                label=r"replica overlap $\langle|q|\rangle$",
            ),
            Observable(
                name="self_overlap",
                dims=AVERAGES,
                doc="mean of q', of a copy with itself when measuring began, in the second half",
                label=r"self-overlap $q'$",
            ),
            Observable(
                name="glassiness",
                dims=AVERAGES,
                doc="root mean square of q - q' in the second half: 0 where there is one state, "
                "which all copies are in",
                label=r"$\langle(q-q')^2\rangle^{1/2}$",
            ),
            Observable(
                name="activity",
                dims=AVERAGES,
                doc="mean of |h| over the hidden units",
                label="hidden activity",
            ),
            Observable(name="energy", dims=AVERAGES, doc="E / N", label="energy a spin"),
            Observable(
                name="susceptibility",
                dims=AVERAGES,
                doc="N (<m^2> - <|m|>^2) / T",
                label=r"susceptibility $\chi$",
            ),
            Observable(
                name="binder",
                dims=AVERAGES,
                doc="1 - <m^4> / (3 <m^2>^2); undefined where the overlap never leaves 0",
                label="Binder cumulant",
                undefined=True,
            ),
            Observable(
                name="autocorrelation_time",
                dims=AVERAGES,
                unit="sweep",
                doc="integrated, the longer one of |m| and the energy; undefined if neither moved",
                label="autocorrelation time",
                undefined=True,
            ),
            Observable(
                name="autocorrelation_time_error",
                dims=AVERAGES,
                unit="sweep",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="long_enough",
                dims=AVERAGES,
                doc="1 if the run has 50 autocorrelation times or more, else 0",
            ),
            Observable(
                name="starts_agree",
                dims=("annealing",),
                doc="1 if the energies from all starts agree within 4 standard errors, else 0",
            ),
        ),
        derived=(
            Derived(
                name="retrieval",
                function="criticality.systems.rbm.phases:retrieval",
                doc="overlap from the start nearest to the pattern, at the end of the annealing",
                label="overlap kept",
            ),
            Derived(
                name="glass",
                function="criticality.systems.rbm.phases:glass",
                doc="glassiness from the most random start, at the end of the annealing",
                label="glassiness",
            ),
            Derived(
                name="equilibrated",
                function="criticality.systems.rbm.phases:equilibrated",
                doc="1 where all runs are long enough and agree, at the end of the annealing",
            ),
        ),
        plane=("load", "temperature"),
        size="spins",
        order=("retrieval", "glass"),
        # told apart in colour-blind vision and, by lightness, in grey print
        phases=(
            Phase(name="retrieval", letter="R", colour="#8fd0f5"),
            Phase(name="spin glass", letter="S", colour="#d55e00"),
            Phase(name="paramagnet", letter="P", colour="#595959"),
        ),
        rules=(
            Rule(phase="retrieval", quantity="retrieval", of="limit", above=RETRIEVED),
            Rule(phase="spin glass", quantity="retrieval", of="limit", below=RETRIEVED),
            Rule(phase="spin glass", quantity="glass", of="limit", above=APART),
            Rule(phase="paramagnet", quantity="retrieval", of="limit", below=RETRIEVED),
            Rule(phase="paramagnet", quantity="retrieval", of="limit", below=FORGOTTEN),
            Rule(phase="paramagnet", quantity="glass", of="limit", below=APART),
        ),
        classify="criticality.systems.rbm.phases:classify",
        pages="criticality.systems.rbm.figures:pages",
    )

    temperature: float = control(
        0.5, symbol="$T$", doc="temperature", interval="(0, inf)", shared=True
    )
    load: float = control(
        0.05,
        symbol=r"$\alpha$",
        doc="patterns a spin",
        interval=f"(0, {MOST_LOAD}]",
        label="load",
    )
    patterns: int = control(
        0,
        symbol="$P$",
        unit="pattern",
        doc="their number, in place of a load; 0: as the load says",
        interval="[0, inf)",
    )
    prior: str = control(
        "gaussian",
        doc="values of hidden units",
        choices=PRIORS,
        static=True,
        shared=True,
        label="hidden units",
    )
    threshold: float = control(
        0.0,
        symbol=r"$\theta$",
        doc="cost of an active hidden unit, in units of N^(1-2x)",
        interval="[0, inf)",
        shared=True,
    )
    bias: float = control(
        0.0,
        symbol="$c$",
        doc="value of hidden units whose field on the spins local biases take away",
        shared=True,
        label="local bias",
    )
    scaling: float = control(
        0.5,
        symbol="$x$",
        doc="weights are of size N^-x",
        interval="[0, 0.5]",
        shared=True,
        label="exponent of weights",
    )
    spins: int = control(
        100, symbol="$N$", unit="spin", doc="visible units", interval="[2, 10000]", static=True
    )
    start: tuple[float, ...] = control(
        (0.0, 1.0),
        symbol="$m_0$",
        doc="overlap with the first pattern at the start: 1 the pattern, 0 random spins",
        interval="[0, 1]",
        inner=True,
    )
    annealing: tuple[float, ...] = control(
        (1.0,),
        symbol="$T/T_0$",
        doc="temperatures one after another, over that of the point: a leg down or up, or both",
        interval="(0, inf)",
        inner=True,
        ordered=True,
        label="temperature of the annealing",
    )
    equilibration: int = control(
        100,
        unit="sweep",
        doc="sweeps before measuring, at each temperature",
        interval="[0, 10000000]",
        static=True,
        shared=True,
    )
    sweeps: int = control(
        400,
        unit="sweep",
        doc="sweeps that are measured, at each temperature",
        interval="[2, 10000000]",
        static=True,
        shared=True,
    )
    copies: int = control(
        8,
        doc="of each start, which have the same patterns and noise of their own",
        interval="[2, 1000]",
        static=True,
    )

    @classmethod
    def tiny(cls) -> RBM:
        """Give a preset that runs in a second."""
        return cls(spins=40, load=0.1, equilibration=20, sweeps=60, copies=4, scaling=0.25)

    def validate(self) -> None:
        """Raise `InputError` for less than a pattern, too many, or a schedule with more turns."""
        if self.patterns > MOST_LOAD * self.spins:
            raise InputError(
                f"patterns = {self.patterns} of {self.spins} spins: expected at most "
                f"{MOST_LOAD * self.spins}; use more spins."
            )
        if not self.patterns and self.load * self.spins < 1 - 1e-9:
            raise InputError(
                f"load = {self.load:g} of {self.spins} spins is less than one pattern; use more "
                f"spins, a load of at least {1 / self.spins:g}, or patterns = 1."
            )
        steps = list(itertools.pairwise(self.annealing))
        turns = sum((b > a) != (c > b) for (a, b), (_, c) in itertools.pairwise(steps))
        if turns > 1 or any(a == b for a, b in steps):
            raise InputError(
                f"annealing = {list(self.annealing)}: not monotonic within a leg; expected a leg "
                f"down or up, or one of each, as [2.0, 1.0, 0.5, 1.0, 2.0]."
            )

    def notes(self) -> tuple[str, ...]:
        """Say where no retrieval is to be expected, as N grows."""
        if max(self.start) == 0:
            return (
                f"start = {list(self.start)}: no run begins at the pattern, so that whether it is "
                f"kept cannot be seen; use start = [0.0, 1.0]",
            )
        bounded, silent = self.prior in STATES, self.prior != "gaussian" and self.threshold > 0
        if bounded and self.scaling > 0:
            return (
                f"{self.prior} units cannot retrieve at scaling = {self.scaling:g}: they are "
                f"bounded, and the unit of a pattern moves each spin by N^-{self.scaling:g} only; "
                f"at scaling = 0 they can",
            )
        if self.scaling == 0 and silent and self.threshold >= 1:
            return (
                f"threshold = {self.threshold:g}: no overlap is large enough to activate a hidden "
                f"unit at scaling = 0; use less than 1",
            )
        rest = -1.0 if self.prior == "binary" else 0.0
        if (
            self.scaling == 0
            and bounded
            and not self.patterns
            and (not silent or self.bias != rest)
        ):
            return (
                f"{self.prior} units cannot retrieve at scaling = 0 with threshold = "
                f"{self.threshold:g}, bias = {self.bias:g}: the other patterns add noise of "
                f"order sqrt(load N); they are silent with a threshold between 0 and 1 and bias = "
                f"{rest:g}",
            )
        return ()

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        return {"start": self.start, "annealing": self.annealing}

    def work(self) -> float:
        """FLOP of one realization: two products with the patterns a sweep."""
        sweeps = len(self.annealing) * (self.equilibration + self.sweeps)
        chains = len(self.start) * self.copies
        many = self.patterns or self.load * self.spins
        return 4.0 * many * self.spins * chains * sweeps
