"""Finding the best point of an objective, from everywhere: no guess decides the answer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize

from criticality.analysis.scaling import classic
from criticality.analysis.scaling.ansatz import NU, Ansatz
from criticality.analysis.scaling.checks import finite, positive
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.gaussian import Model
from criticality.analysis.stats import Array
from criticality.base import unknown

GRID = {
    "p_c": 25,
    "nu": 25,
    "sigma": 25,
    "beta": 21,
    "L0": 3,
    "p_0": 25,
    "L_x": 25,
    "theta": 9,
}  # of the coarse landscape
USUAL = {"nu": (0.2, 30.0), "beta": (-2.0, 2.0)}  # where it looks; nu_eff for sigma
STARTS = 3  # distinct minima of the coarse landscape that are polished
CANDIDATES = 48  # points of it that are ranked by the objective itself
ROUGH, WIDE = 1e-7, 4.0  # exactness and first box of polishes that start near their end
STRONGER = 3.0  # factor by which an exponent may be too large without a regular dependence
SAME = 0.05  # steps of the optimiser (`Model.unit`): maxima closer than that are one
BLURS = (
    0.1,
    0.03,
    0.003,
    0.0003,
)  # in spreads of a curve: the way to very exact data


class Search:
    """Objective, starts and best point on given data."""

    def __init__(
        self,
        data: ScalingData,
        ansatz: Ansatz,
        objective: str,
        corrections: bool,
        start: Mapping[str, float],
        regular: bool = False,
        near: Sequence[tuple[Model, Array]] = (),
        sizes: Array | None = None,
    ) -> None:
        self.data, self.objective, self.start, self.near = data, objective, start, near
        columns = (data.control, data.size, data.mean, data.covariance)
        self.model = Model(ansatz, *columns, corrections, regular, sizes)
        names = [parameter.name for parameter in self.model.free]
        for name in start:
            if name not in names:
                raise unknown("free parameter", name, names, "start")
            check = positive if self.model.free[names.index(name)].log else finite
            check(f"start: {name}", start[name])
        lengths = [len(curve.mean) for curve in data.curves]
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        self.others: list[tuple[Array, float]] = []

    def again(self, data: ScalingData) -> Search:
        """Give the same search on other points."""
        model = self.model
        kind = (model.ansatz, self.objective, model.corrections, self.start, model.regular)
        return Search(data, *kind)

    def classic(self, theta: Array, mean: Array | None = None, name: str = "") -> Array:
        """Value of a classic objective at the form's free parameters [B, n] -> [B]."""
        values = self.model.values(theta)
        (x,), log_d = self.model.ansatz.coordinates(
            values, self.data.control, self.data.size, self.model.largest
        )
        x = np.broadcast_to(x, (len(theta), len(self.data.control)))
        d = np.exp(np.broadcast_to(log_d, x.shape))
        y = self.data.mean if mean is None else mean
        if (name or self.objective) == "houdayer-hartmann":
            return classic.houdayer_hartmann(x, y / d, self.data.error / d, self.starts)
        return classic.local_linear(x, y / d, self.data.error / d, len(self.model.free))

    def grid(self) -> tuple[Array, list[int]]:
        """Points of a coarse landscape [B, n], and the number along each parameter."""
        axes = []
        for number, parameter in enumerate(self.model.free):
            low, high = self.model.lower[number], self.model.upper[number]
            if parameter.name in USUAL:
                limits = np.array(USUAL[parameter.name])
                low, high = np.log(limits) if parameter.log else limits
            elif parameter.name == "sigma":
                low, high = np.log(np.array(USUAL["nu"]) * parameter.low / NU[0])
            count = GRID[parameter.name]
            if len(self.model.free) > 2:
                count = max(3, round(count * 0.7))
            axes.append(np.linspace(low, high, count + 2)[1:-1])
        points = np.array(list(itertools.product(*axes))).reshape(-1, len(axes))
        return points, [len(axis) for axis in axes]

    def minima(
        self, count: int, mean: Array | None = None, name: str = "", apart: int = 3
    ) -> list[Array]:
        """Best points of the coarse landscape, more than `apart` cells from each other."""
        points, shape = self.grid()
        values = self.classic(points, mean, name)
        cells = np.stack(np.unravel_index(np.arange(len(points)), shape), axis=1)
        chosen: list[int] = []
        for candidate in np.argsort(values):
            if all(np.abs(cells[candidate] - cells[c]).max() > apart for c in chosen):
                chosen.append(int(candidate))
            if len(chosen) == count:
                break
        return [points[c] for c in chosen]

    def likely(self) -> list[Array]:
        """Points of the coarse landscape that are the likeliest for blurred data."""
        model = self.model
        points = np.array(self.minima(CANDIDATES, name="local-linear", apart=1))
        theta = np.hstack([points, np.tile(model.centre, (len(points), 1))])
        values = model.blurred(BLURS[0]).log_posterior(theta)
        return [points[i] for i in np.argsort(-values)[:STARTS]]

    def given(self) -> list[Array]:
        """Give the user's start, as a point of the form's free parameters, if there is one."""
        if not self.start:
            return []
        middle = {
            p.name: math.sqrt(p.low * p.high) if p.log else (p.low + p.high) / 2
            for p in self.model.free
        }
        return [self.model.start({**middle, **self.start})[: len(self.model.free)]]

    def best(self) -> Array:
        """Best point, hyperparameters included for "gp".

        From everywhere, or only from `near`: best points of other models of nearly the same data.
        """
        model = self.model
        if self.objective != "gp":
            if not model.free:
                return np.array([])
            return self.descend([*self.minima(STARTS + 2), *self.given()])
        if self.near:
            starts = self.beside([model.adopted(*other) for other in self.near])
            return self.likeliest(
                self.distinct([model.polish(t, exact=ROUGH, size=WIDE) for t in starts], model)
            )
        firsts = [*self.likely(), *self.given()] if model.free else []
        # without parameters of the form, a long and a short correlation length
        hypers = [model.centre, model.centre - (np.array(model.hyper) == "ln l")]
        starts = (
            [np.concatenate([first, model.centre]) for first in firsts] if model.free else hypers
        )
        if model.corrections or model.regular:
            plain = Search(self.data, model.ansatz, self.objective, False, self.start).best()
            starts.append(np.concatenate([plain, model.centre[len(plain) - len(model.free) :]]))
        return self.likeliest(self.approach(starts))

    def beside(self, starts: list[Array]) -> list[Array]:
        """Add to starts what they may have missed.

        Usual hyperparameters, where those went astray; and a stronger dependence on the size, that
        is weakened by a regular one on the control.
        """
        model, first = self.model, starts[0]
        usual = first.copy()
        usual[len(model.free) :] = model.centre
        added = [usual]
        if model.regular:
            strong = first.copy()
            for number, parameter in enumerate(model.free):
                if parameter.name in ("nu", "sigma"):
                    strong[number] -= math.log(STRONGER)
            strong[len(model.free) + model.hyper.index("ln r")] = math.log(STRONGER / 2)
            added.append(strong)
        return [*starts, *added]

    def distinct(self, found: list[tuple[Array, float]], model: Model) -> list[tuple[Array, float]]:
        """Maxima, the highest first, without those that were reached twice."""
        reached: list[tuple[Array, float]] = []
        for theta, value in sorted(found, key=lambda pair: -pair[1]):
            away = [np.abs((theta - other) / model.unit).max() for other, _ in reached]
            if all(distance > SAME for distance in away):
                reached.append((theta, value))
        return reached

    def likeliest(self, found: list[tuple[Array, float]]) -> Array:
        """Of several maxima that of the largest integral: a high needle is not a likely place."""
        ranked = sorted(((t, self.mass(t, value)) for t, value in found), key=lambda pair: -pair[1])
        self.others = [(t, mass - ranked[0][1]) for t, mass in ranked[1:]]
        return ranked[0][0]

    def mass(self, theta: Array, value: float) -> float:
        """Integral over a maximum of the posterior in Gaussian approximation, its logarithm."""
        _, log_det = np.linalg.slogdet(self.model.curvature(theta))
        return value + 0.5 * float(log_det)

    def approach(self, starts: list[Array]) -> list[tuple[Array, float]]:
        """Distinct maxima that are reached with large errors, then smaller and smaller ones.

        The posterior of very exact data is a needle that a gradient does not find from afar.
        """
        noise = float(np.median(self.data.error / self.model.spread))
        reached: list[tuple[Array, float]] = []
        for blur in (*(blur for blur in BLURS if blur > noise), 0.0):
            model = self.model.blurred(blur) if blur else self.model
            reached = self.distinct([model.polish(start) for start in starts], model)
            starts = [theta for theta, _ in reached]
        return reached

    def descend(self, firsts: list[Array], mean: Array | None = None) -> Array:
        """Lowest of the minima of a classic objective that Nelder and Mead reach."""
        model = self.model
        n = len(model.free)
        low, high = model.lower[:n], model.upper[:n]

        def value(theta: Array) -> float:
            inside = np.clip(theta, low, high)
            return float(self.classic(inside[None], mean)[0] + np.sum((theta - inside) ** 2))

        size = 0.02 * (high - low)
        best, lowest = firsts[0], np.inf
        for first in firsts:
            simplex = np.vstack([first, first + np.diag(size)])
            found = optimize.minimize(
                value,
                first,
                method="Nelder-Mead",
                options={"initial_simplex": simplex, "xatol": 1e-5, "fatol": 1e-7, "maxfev": 300},
            )
            if found.fun < lowest:
                best, lowest = np.clip(found.x, low, high), found.fun
        return best
