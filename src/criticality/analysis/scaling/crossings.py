"""Where curves of two sizes cross, and where crossings go as sizes grow.

Every curve is interpolated by itself (`interpolate`), so that sizes may have different control
values; a crossing is a zero of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as distributions

from criticality.analysis.scaling.checks import positive, probability, whole
from criticality.analysis.scaling.curve import Curve
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.estimates import from_draws
from criticality.analysis.scaling.extrapolate import Extrapolation, extrapolate
from criticality.analysis.scaling.interpolate import interpolations
from criticality.analysis.stats import Array, one_thread
from criticality.base import Estimate, Flag, InputError, html, unknown

LEAST_DRAWS = 20
RESOLVED = 0.95  # of the draws must have exactly one crossing
METHOD = (
    "zeros of the difference of Gaussian-process interpolations (Matern 5/2); whole realizations "
    "resampled"
)


@dataclass(frozen=True)
class Crossing:
    """Where the curves of two sizes cross.

    Attributes
    ----------
    sizes
        The smaller and the larger.
    at
        Control value; NaN where there is none.
    flags
        None: clean; "none": one curve lies above the other; "multiple": several significant
        crossings; "touching": no single crossing in 95 % of the draws, or an interval that reaches
        the end of the measured range (a value, if any, is then of those draws that cross: a
        guess); "flat": the curves differ significantly nowhere.
    """

    sizes: tuple[float, float]
    at: Estimate
    flags: tuple[Flag, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts."""
        flags = [flag.to_dict() for flag in self.flags]
        return {"sizes": list(self.sizes), "at": self.at.to_dict(), "flags": flags}


@dataclass(frozen=True, eq=False)
class Crossings:
    """Crossings of all pairs, and extrapolations of the clean ones of adjacent sizes.

    Attributes
    ----------
    crossings
        By size.
    extrapolations
        Of the forms "power", "logarithm" and "constant".
    draws
        [draws, crossings]: crossings of every bootstrap draw, NaN where not exactly one.
    """

    crossings: tuple[Crossing, ...]
    extrapolations: tuple[Extrapolation, ...]
    draws: Array = field(default_factory=lambda: np.empty((0, 0)), repr=False)

    def table(self) -> pd.DataFrame:
        """Every pair of sizes, and where their curves cross."""
        columns = ["smaller", "larger", "value", "error", "low", "high", "flags"]
        rows = [
            (*c.sizes, c.at.value, c.at.error, c.at.low, c.at.high, html.several(c.flags))
            for c in self.crossings
        ]
        return pd.DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        pairs = [
            (f"{c.sizes[0]:g}, {c.sizes[1]:g}", c.at, c.at.interval(), html.several(c.flags))
            for c in self.crossings
        ]
        ends = [
            (
                end.form,
                p_c := end.params["p_c"],
                p_c.interval(),
                f"{end.p_value:.2g}",
                html.several(end.flags),
            )
            for end in self.extrapolations
        ]
        level = next((c.at.level for c in self.crossings), 0.95)
        interval = f"{100 * level:g} % interval"
        return html.panel(
            "Crossings",
            html.table(("sizes", "crossing", interval, "doubts"), pairs),
            html.table(("to infinite size", "p_c", interval, "p", "doubts"), ends),
        )

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts; NaN where there is no number."""
        return {
            "crossings": [crossing.to_dict() for crossing in self.crossings],
            "extrapolations": [end.to_dict() for end in self.extrapolations],
        }


@one_thread
def crossings(
    data: ScalingData,
    *,
    pairs: Literal["adjacent", "all"] = "adjacent",
    draws: int = 500,
    seed: int = 0,
    level: float = 0.95,
    L0: float = 1.0,
    sigma: float = 0.5,
) -> Crossings:
    """Crossings of the curves of two sizes, and their extrapolation to infinite size.

    Significant is what a Student test at every measured point finds with probability 1 - `level`
    anywhere along the pair (Bonferroni).  Significant differences of opposite sign bracket a
    crossing; zeros outside, where curves merge, are not counted.  A draw resamples realizations
    whole and adds a path of the interpolation's uncertainty.  Measured with 20 realizations at
    25 points: intervals of 68 % cover 64-71 %, those of 95 % cover 91-97 %; with four realizations
    61 % and 85 %.  Where points are few or nearly exact the interpolation's uncertainty dominates
    and covers more than stated: 75 % and 97 % at 15 points, 90 % and 99 % with a tenth of the
    noise.

    Parameters
    ----------
    data
        Curves; control values may differ between sizes, a pair is compared where both reach.
    pairs
        "adjacent" sizes or "all".  Extrapolated are crossings of adjacent sizes in either case:
        the others are made of the same curves, and nearly determined by them.
    draws, seed
        Of the bootstrap.
    level
        Probability of the intervals.
    L0, sigma
        Of the logarithmic form, p_c + a / ln(L / L0)^(1/sigma).

    Raises
    ------
    InputError
        For fewer than 20 draws, another option out of range, or points without scatter.
    """
    data.check_errors()
    if pairs not in ("adjacent", "all"):
        raise unknown("value for pairs:", str(pairs), ("adjacent", "all"), "crossings")
    draws, seed = whole("draws", draws, LEAST_DRAWS), whole("seed", seed)
    level = probability("level", level)
    _check_form(data, L0, sigma)
    grid, estimates, paths = interpolations(data, draws, np.random.default_rng(seed))
    number = len(data.curves)
    found, zeros, adjacent = [], [], []
    for i in range(number):
        for j in range(i + 1, number if pairs == "all" else min(i + 2, number)):
            two = (data.curves[i], data.curves[j])
            difference = np.concatenate([(estimates[j] - estimates[i])[None], paths[j] - paths[i]])
            crossing, drawn = _crossing(two, grid, difference, level)
            found.append(crossing)
            zeros.append(drawn)
            adjacent.append(j == i + 1)
    every = np.stack(zeros, axis=1)
    keep = np.array(adjacent)
    chain = [c for c, wanted in zip(found, keep, strict=True) if wanted]
    limits = _limits(data, chain, every[:, keep], level, L0, sigma)
    return Crossings(tuple(found), limits, every)


@one_thread
def scan_size_min(
    data: ScalingData,
    *,
    draws: int = 500,
    seed: int = 0,
    level: float = 0.95,
    L0: float = 1.0,
    sigma: float = 0.5,
) -> tuple[tuple[float, tuple[Extrapolation, ...]], ...]:
    """Extrapolations of crossings from every least size on: a drift shows corrections to scaling.

    Parameters as of `crossings`; gives pairs of a least size and its extrapolations.
    """
    whole = crossings(data, draws=draws, seed=seed, level=level, L0=L0, sigma=sigma)
    scan = []
    for first, size in enumerate(data.sizes[:-1]):
        rest, drawn = whole.crossings[first:], whole.draws[:, first:]
        scan.append((float(size), _limits(data, rest, drawn, level, L0, sigma)))
    return tuple(scan)


def _check_form(data: ScalingData, L0: float, sigma: float) -> None:
    positive("sigma", sigma)
    if not positive("L0", L0) < data.sizes[0]:
        raise InputError(
            f"L0 = {L0:g}: expected L0 between 0 and the least {data.names[1]}, "
            f"{data.sizes[0]:g}: ln(L / L0) must be positive."
        )


def _limits(
    data: ScalingData,
    found: Sequence[Crossing],
    drawn: Array,
    level: float,
    L0: float,
    sigma: float,
) -> tuple[Extrapolation, ...]:
    """Extrapolations of the clean ones among crossings of adjacent sizes."""
    clean = np.array([not c.flags for c in found], bool)
    kept = [c for c in found if not c.flags]
    links = np.array([c.sizes for c in kept]).reshape(-1, 2)
    return extrapolate(
        links,
        np.array([c.at.value for c in kept]),
        drawn[:, clean],
        level=level,
        L0=L0,
        sigma=sigma,
        n=data.realizations,
        dof_noise=_dof(data.curves),
    )


def _dof(curves: Sequence[Curve]) -> float:
    """Degrees of freedom of the errors: realizations less one each, over all curves or a pair."""
    if any(c.samples is None for c in curves):
        return 1e6  # errors are given
    return float(sum(c.realizations - 1 for c in curves))


def _crossing(
    curves: tuple[Curve, Curve], grid: Array, difference: Array, level: float
) -> tuple[Crossing, Array]:
    """Crossing of two curves from differences [1 + draws, grid], the first of the estimate."""
    sizes = (float(curves[0].size), float(curves[1].size))
    n = min(curve.realizations for curve in curves)
    none = np.full(len(difference) - 1, np.nan)

    def nowhere(name: str) -> tuple[Crossing, Array]:
        nan = Estimate(value=float("nan"), level=level, n=n, method=METHOD)
        return Crossing(sizes, nan, (Flag(name),)), none

    there = np.isfinite(difference[0])
    if there.sum() < 2:  # the curves share no range
        return nowhere("none")
    x, d = grid[there], difference[:, there]
    points = max(sum((c.control >= x[0]) & (c.control <= x[-1])) for c in curves)
    least = distributions.t.isf((1 - level) / 2 / max(points, 1), _dof(curves))
    sign = np.where(np.abs(d[0]) > least * d[1:].std(axis=0), np.sign(d[0]), 0)
    at = np.flatnonzero(sign)
    changes = np.flatnonzero(np.diff(sign[at]))
    if len(at) == 0 or len(changes) > 1:
        return nowhere("multiple" if len(at) else "flat")
    if len(changes):
        bracket = slice(at[changes[0]], at[changes[0] + 1] + 1)
        x, d = x[bracket], d[:, bracket]
    flips, zero = _zeros(x, d)
    single = float((flips[1:] == 1).mean())
    if len(changes) == 0 and (flips[1:] == 0).mean() >= RESOLVED:
        return nowhere("none")
    if np.isnan(zero[0]) or single < 0.5:
        return nowhere("touching")
    found = from_draws(zero[0], zero[1:], level=level, n=n, method=METHOD)
    inside = x[0] < found.low and found.high < x[-1]
    clean = len(changes) and single >= RESOLVED and inside
    return Crossing(sizes, found, () if clean else (Flag("touching"),)), zero[1:]


def _zeros(x: Array, d: Array) -> tuple[NDArray[np.int64], Array]:
    """Numbers of sign changes along d [draws, grid], and the zero where there is just one."""
    above = d > 0
    change = above[:, 1:] != above[:, :-1]
    flips = change.sum(axis=1)
    row, k = np.arange(len(d)), change.argmax(axis=1)
    left, right = d[row, k], d[row, k + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        zero = x[k] + (x[k + 1] - x[k]) * left / (left - right)
    return flips, np.where(flips == 1, zero, np.nan)
