"""The replica-symmetric theory as a system, so that its lines are drawn over what is sampled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from criticality.base import Card, Observable, Phase, Rule, control, like
from criticality.systems.rbm import RBM
from criticality.systems.rbm.theory import (
    Model,
    Saddle,
    glass_line,
    global_line,
    solve,
    spinodal,
)

__all__ = ["ReplicaSymmetric"]

SOLUTION = 2e6  # FLOP, of a solution; a line costs about twenty
PLANE = ("load", "temperature")


def _of_pattern(name: str, doc: str, label: str = "") -> Observable:
    return Observable(name=name, dims=PLANE, doc=doc, label=label, undefined=True)


@dataclass(frozen=True, kw_only=True)
class ReplicaSymmetric:
    """Retrieval, glass and paramagnet of a restricted Boltzmann machine, replica symmetric.

    Every point is solved from its own equations: no result depends on the grid around it.
    """

    card: ClassVar[Card] = Card(
        name="rbm_theory",
        source="Amit, Gutfreund & Sompolinsky, Ann. Phys. 173, 30 (1987), for the gaussian prior",
        observables=(
            Observable(
                name="overlap",
                dims=PLANE,
                doc="m of the retrieved pattern, 0 where it is not retrieved",
                label="overlap $m$",
            ),
            _of_pattern("gain", "free energy by which the pattern is below the other solution"),
            _of_pattern("replica_overlap", "q of the retrieved pattern", "replica overlap $q$"),
            _of_pattern("noise", "r of the retrieved pattern", "hidden noise $r$"),
            _of_pattern("free_energy", "of a visible spin, of the retrieved pattern"),
            _of_pattern("stability", "of the retrieved pattern, as rest_stability"),
            Observable(
                name="rest_overlap",
                dims=PLANE,
                doc="q of the solution with m = 0",
                label="replica overlap $q$ of $m = 0$",
            ),
            Observable(name="rest_noise", dims=PLANE, doc="r of the solution with m = 0"),
            Observable(
                name="rest_free_energy",
                dims=PLANE,
                doc="of a visible spin, of the solution with m = 0",
            ),
            Observable(
                name="rest_stability",
                dims=PLANE,
                doc="1/(2 - lambda), lambda the replicon eigenvalue of the solution with m = 0: "
                "unstable below 1/2, 0 at T = 0 (de Almeida and Thouless)",
            ),
            Observable(name="residual", dims=PLANE, doc="largest violation of the equations"),
            Observable(
                name="spinodal",
                dims=("temperature",),
                doc="largest load at which the pattern is retrieved; +inf: at any",
                label=r"spinodal load $\alpha$",
                censored=True,
                undefined=True,
            ),
            Observable(
                name="global_load",
                dims=("temperature",),
                doc="largest load at which the pattern has the least free energy; +inf: at any",
                label=r"global load $\alpha$",
                censored=True,
                undefined=True,
            ),
            Observable(
                name="glass_temperature",
                dims=("load",),
                doc="below which the solution with m = 0 is unstable; +inf: all of order one",
                censored=True,
                undefined=True,
            ),
        ),
        plane=PLANE,
        order=("overlap", "rest_stability"),
        phases=(
            Phase(name="retrieval", letter="R", colour="#8fd0f5"),
            Phase(name="metastable retrieval", letter="M", colour="#56b4e9"),
            Phase(name="spin glass", letter="S", colour="#d55e00"),
            Phase(name="paramagnet", letter="P", colour="#595959"),
        ),
        rules=(
            Rule(phase="retrieval", quantity="gain", above=0.0),
            Rule(phase="metastable retrieval", quantity="gain", below=0.0),
            Rule(phase="metastable retrieval", quantity="overlap", above=0.1),
            Rule(phase="spin glass", quantity="overlap", below=0.1),
            Rule(phase="spin glass", quantity="rest_stability", below=0.5),
            Rule(phase="paramagnet", quantity="overlap", below=0.1),
            Rule(phase="paramagnet", quantity="rest_stability", above=0.5),
        ),
        deterministic=True,
    )

    prior: str = like(RBM, "prior", "gaussian", static=False, shared=False)
    threshold: float = like(RBM, "threshold", 0.0, shared=False)
    bias: float = like(RBM, "bias", 0.0, shared=False)
    scaling: float = like(RBM, "scaling", 0.5, shared=False)
    temperature: tuple[float, ...] = control(
        tuple(round(0.05 * i, 2) for i in range(31)),
        symbol="$T$",
        doc="temperature",
        interval="[0, inf)",
        inner=True,
        label="temperature",
    )
    load: tuple[float, ...] = control(
        tuple(round(0.01 * i, 2) for i in range(1, 21)),
        symbol=r"$\alpha$",
        doc="hidden units, and patterns, for a visible spin",
        interval="(0, inf)",
        inner=True,
        label="load",
    )

    @classmethod
    def tiny(cls) -> ReplicaSymmetric:
        """Give a preset that runs in a tenth of a second."""
        return cls(scaling=0.25, temperature=(0.0, 0.6, 1.5), load=(0.1, 0.4))

    def model(self) -> Model:
        """Give what is solved."""
        return Model(
            prior=self.prior, threshold=self.threshold, bias=self.bias, scaling=self.scaling
        )

    def work(self) -> float:
        """FLOP, all in all a guess."""
        points = len(self.temperature) * len(self.load)
        return SOLUTION * (2 * points + 20 * (len(self.temperature) + len(self.load)))

    def compute(self, rng: Any, data: Any) -> dict[str, Any]:
        """Solve every point, and find the lines."""
        model = self.model()
        pattern, rest = (
            [[solve(model, T, load, start) for T in self.temperature] for load in self.load]
            for start in ("pattern", "random")
        )
        found, other = _columns(pattern), _columns(rest)
        return {
            "overlap": np.nan_to_num(found["m"]),
            "gain": other["f"] - found["f"],
            "replica_overlap": found["q"],
            "noise": found["r"],
            "free_energy": found["f"],
            "stability": 1 / (2 - found["replicon"]),
            "rest_overlap": other["q"],
            "rest_noise": other["r"],
            "rest_free_energy": other["f"],
            "rest_stability": 1 / (2 - other["replicon"]),
            "residual": np.fmax(found["residual"], other["residual"]),
            "spinodal": [spinodal(model, T) for T in self.temperature],
            "global_load": [global_line(model, T) for T in self.temperature],
            "glass_temperature": [glass_line(model, load) for load in self.load],
        }


def _columns(table: list[list[Saddle]]) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays [load, temperature] of what solutions have."""
    return {
        field.name: np.array([[getattr(one, field.name) for one in row] for row in table])
        for field in dataclasses.fields(Saddle)
    }
