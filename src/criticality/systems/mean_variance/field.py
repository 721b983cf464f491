"""The field theory as a system: warm-started sweeps of rho, up and down, at any gamma."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from criticality.base import Card, InputError, Observable, control
from criticality.systems.mean_variance import measures, sine, theory

__all__ = ["MeanVarianceField"]

Array = NDArray[np.float64]
DIMS = ("start", "rho")
TESTED = 1000  # fresh targets, at as many equal parts of [0, 1]
RARE = tuple(float(f"{theory.weight(-place):.3g}") for place in range(9, 0, -1))
RHO = (*RARE, 0.5, *(round(1 - rho, 9) for rho in RARE[::-1]))  # steps of 1 in logit rho
LINES = ("gamma", "rho = 1 - gamma")
NODES = round((theory.LAST - theory.FIRST) / theory.STEP)


def _told(name: str, doc: str, label: str = "", dims: tuple[str, ...] = DIMS) -> Observable:
    return Observable(name=name, dims=dims, doc=doc, label=label, undefined=True)


@dataclass(frozen=True, kw_only=True)
class MeanVarianceField:
    """Minima mu(x), Lambda(x) of the regularised likelihood of the sine problem.

    Every point (gamma, rho) is reached along the path of its gamma, in steps of logit rho that the
    code fixes: from constant fields and small rho up, or from interpolating ones and large rho
    down.  Where a minimum ends, the fields go down to another.  All gamma, rho and resolutions of
    a realization have the same targets.
    """

    card: ClassVar[Card] = Card(
        name="mean_variance_theory",
        source="Wong-Toi et al., arXiv:2511.22004 (field theory); resolution, paths: ours",
        observables=(
            *(
                dataclasses.replace(one, undefined=True)
                for one in measures.observables(DIMS, validation=False)
            ),
            Observable(
                name="bounded",
                dims=DIMS,
                doc="1 where there is a minimum, 0 where the path has ended without one; all that "
                "depends on it is then not defined",
            ),
            _told(
                "log_precision", "mean of ln precision over the targets", r"mean of $\ln\Lambda$"
            ),
            _told(
                "curvature",
                "least eigenvalue of the Hessian in the Fisher metric diag(2 Lambda, 1) / n",
                "least curvature",
            ),
            _told("free_energy", "L", "$L$"),
            _told("residual", "largest violation of the equations"),
            _told(
                "spinodal",
                "rho where the minimum that the path begins with ends; undefined if it does not",
                r"spinodal $\rho$",
                ("start",),
            ),
            _told(
                "transition",
                "rho of the largest jump of the training MSE along the path",
                r"largest jump at $\rho$",
                ("start",),
            ),
            _told(
                "jump", "largest jump of the training MSE", "jump of the training MSE", ("start",)
            ),
            Observable(
                name="jumps",
                dims=("start",),
                doc="number of jumps along the whole path",
                label="jumps",
            ),
            _told("maxwell", "rho where both minima have the same L", r"equal $L$ at $\rho$", ()),
        ),
        plane=("gamma", "rho"),
        size="n",
        order=("train_mse", "test_ece", "precision_spread"),
        phases=measures.PHASES,
        rules=measures.rules(),
        pages="criticality.systems.mean_variance.field_figures:pages",
    )

    gamma: float = measures.gamma_control()
    rho: tuple[float, ...] = control(RHO, inner=True, **measures.RHO)
    start: tuple[float, ...] = control(
        (0.0, 1.0),
        symbol="start",
        doc="share of the targets that mu follows where the path begins: up to 1/2 at the least "
        "rho, and the path rises; above at the greatest, and it falls",
        interval="[0, 1]",
        inner=True,
    )
    n: int = control(
        64, symbol="$n$", doc="number of targets", interval="[4, 65536]", label="targets"
    )
    resolution: float = control(
        0.01,
        symbol="$e$",
        doc="deviation to which standardised targets are known; at 0 nothing is bounded beyond the "
        "end of a branch",
        interval="[0, inf)",
        shared=True,
    )
    line: str = control(
        LINES[0],
        doc="what is kept along a path: gamma, or rho = 1 - gamma whatever gamma is",
        choices=LINES,
        shared=True,
    )
    level: tuple[float, ...] = measures.level_control()

    @classmethod
    def tiny(cls) -> MeanVarianceField:
        """Give a preset that runs in a fifth of a second."""
        return cls(n=16, rho=(0.1, 0.9, 0.999), level=(0.3, 0.9))

    def validate(self) -> None:
        """Raise `InputError` for a resolution at which 64 bits cannot tell where a minimum is."""
        if 0 < self.resolution < theory.FINEST:
            raise InputError(
                f"resolution = {self.resolution:g}: rounding would exceed what it resolves; "
                f"expected {theory.FINEST:g} or more, or 0 for targets without resolution."
            )

    def notes(self) -> tuple[str, ...]:
        """Say where a path cannot begin."""
        if self.resolution == 0 and max(self.start) > 0.5:
            return (
                f"start = {list(self.start)}: with resolution = 0 there is no overfit minimum for "
                f"a path to begin with; use a resolution, or start = [0.0]",
            )
        return ()

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        return {"start": self.start, "rho": self.rho, "level": self.level}

    def work(self) -> float:
        """FLOP of one realization: some five Newton steps a node, and a measurement a point."""
        points = len(self.start) * len(self.rho)
        return 400.0 * self.n * 5 * NODES * len(self.start) + 2e5 * points

    def path(self) -> theory.Path:
        """Give alpha and beta along the path."""
        return theory.at_share(self.gamma) if self.line == LINES[0] else theory.diagonal

    def compute(self, rng: np.random.Generator, data: Any) -> dict[str, Any]:
        """Draw targets, follow both paths, and measure at every rho."""
        drawn = [_drawn(count, rng) for count in (self.n, TESTED)]
        centre, width = drawn[0].mean(), drawn[0].std()
        y, fresh = ((part - centre) / width for part in drawn)
        path, e = self.path(), self.resolution
        branches = {start: theory.follow(y, path, e, start) for start in self.start}
        found = [[self._measured(branches[s], rho, fresh) for rho in self.rho] for s in self.start]
        point = {
            name: np.array([[np.asarray(one[name], float) for one in row] for row in found])
            for name in found[0][0]
        }
        largest = [branch.largest() for branch in branches.values()]
        up, down = (branches.get(s) or theory.follow(y, path, e, s) for s in (0.0, 1.0))
        return point | {
            "spinodal": [theory.weight(branch.first()) for branch in branches.values()],
            "transition": [theory.weight(jump.place) for jump in largest],
            "jump": [abs(jump.after - jump.before) for jump in largest],
            "jumps": [len(branch.jumps) for branch in branches.values()],
            "maxwell": theory.weight(theory.equal(up, down)),
        }

    def _measured(self, branch: theory.Branch, rho: float, fresh: Array) -> dict[str, Any]:
        """Everything of one point; NaN where nothing is bounded."""
        place = theory.place(rho)
        fields, weights, y, e = branch.at(place), branch.path(place), branch.y, branch.e
        if fields is None:
            names = [o.name for o in self.card.observables if o.dims[:2] == DIMS]
            nothing = dict.fromkeys(names, math.nan)
            return nothing | {"bounded": 0.0, "coverage": np.full(len(self.level), math.nan)}
        at = sine.places(self.n, np), sine.places(TESTED, np)
        precision = np.exp(fields.log_precision)
        # minima are piecewise linear, and constant beyond the outermost targets
        parts = {
            name: measures.Predicted(
                target, np.interp(x, at[0], fields.mean), np.interp(x, at[0], precision)
            )
            for name, target, x in zip(("train", "test"), (y, fresh), at, strict=True)
        }
        energies = theory.energies(fields, weights)
        return measures.measured(parts, np.array(self.level), np, ndtr) | {
            "mean_energy": energies[0],
            "precision_energy": energies[1],
            "bounded": 1.0,
            "log_precision": fields.log_precision.mean(),
            "curvature": theory.curvature(fields, y, weights, e),
            "free_energy": rho * theory.objective(*fields[:2], y, weights, e),
            "residual": theory.residual(fields, y, weights, e),
        }


def _drawn(count: int, rng: np.random.Generator) -> Array:
    """Draw a target at each of `count` places."""
    x = sine.places(count, np)
    found: Array = sine.mean(x, np) + sine.deviation(x, np) * rng.normal(size=count)
    return found
