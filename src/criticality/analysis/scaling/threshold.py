"""Power law of an order parameter near a threshold: A = A_c + a |p - p_c|^beta, p_c free.

Pesce, He and Caldarelli, Eqs. (3) and (4): accuracy and prediction entropy against the distance of
the connectivity from its critical value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as distributions

from criticality.analysis import stats
from criticality.analysis.scaling.curve import Curve
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.powerlaw import LEAST, as_curve, search
from criticality.analysis.stats import Array, one_thread
from criticality.base import InputError, unknown

POOR = 0.01  # probability of the fit below which it is doubted
AT_BOUND = 0.05  # of the draws may end at a bound
NARROW = 3.0  # ratio of distances below which a power law cannot be told from a line

Window = float | tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """A = offset + amplitude |p - p_c|^beta on one side of p_c, A = offset on the other.

    Attributes
    ----------
    p_c, beta, amplitude
        Estimates; NaN if there are too few points.
    errors
        Half the central 68 % of the draws, for (p_c, beta, amplitude).
    intervals
        (low, high) of each.
    covariance
        [3, 3] of the draws.
    chi2, dof, p_value
        Of the fit; the probability is that of an F distribution, as errors are estimated.
    points
        Number of fitted points.
    window
        Least and greatest distance |p - p_c|.
    flags
        "too few points"; "flat" (a constant fits as well); "at bound" (the search ended at a bound
        of p_c or beta); "ill-determined" (so did more than 5 % of the draws); "poor fit";
        "p_c outside data" (no measured point on the other side); "narrow window" (distances within
        a factor 3); "unsettled window" (the points in the window depend on p_c and back again).
    draws
        [draws, 3].
    """

    p_c: float
    beta: float
    amplitude: float
    errors: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    covariance: Array
    chi2: float
    dof: int
    p_value: float
    points: int
    window: tuple[float, float]
    flags: tuple[str, ...]
    draws: Array

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts, without the draws."""
        names = ("p_c", "beta", "amplitude", "chi2", "dof", "p_value", "points")
        return {name: getattr(self, name) for name in names} | {
            "errors": list(self.errors),
            "intervals": [list(i) for i in self.intervals],
            "covariance": self.covariance.tolist(),
            "window": list(self.window),
            "flags": list(self.flags),
        }


@one_thread
def power_law(
    control: Curve | ArrayLike,
    values: ArrayLike | None = None,
    *,
    error: ArrayLike | None = None,
    side: Literal["above", "below"] = "above",
    offset: float = 0.0,
    window: Window = None,
    beyond: bool = True,
    draws: int = 500,
    seed: int = 0,
    level: float = 0.95,
) -> PowerLaw:
    """Fit an order parameter near its threshold by generalised least squares.

    The likelihood is that of a fixed set of points, those beyond p_c included, where the model is
    A = `offset`.  Leaving out whatever a trial p_c puts on the wrong side would compare chi2 of
    different data, and a fit could improve by moving p_c past points that it misses.  Points
    beyond p_c bound it from one side; where the transition is rounded by the finite size, their
    tail pulls p_c towards it, and the fit is poor: leave out a neighbourhood of p_c (`window`), or
    all points beyond (`beyond` = False).  Both depend on p_c, so that points are chosen by the
    last fit, fitted again until they stay the same, and kept for all bootstrap draws; the errors
    are conditional on that choice, and without points beyond p_c they are long-tailed.

    The amplitude is solved linearly, p_c and beta are searched on a grid and polished from the
    three best stretches between points, for every draw.  Draws scatter about the fit; they are
    widened by sqrt((n+1)/(n-3)), as weights are estimated from n realizations.  Measured at n = 30:
    intervals of 68 % cover 60-70 %, those of 95 % cover 90-95 %; at n = 8 they are too narrow
    (59-67 % and 82-95 %).

    Parameters
    ----------
    control
        A `Curve`, or control values [points].
    values
        Unless a `Curve` is given: samples [realizations, points], or means [points] with `error`.
    error
        [points]: standard errors of independent means.
    side
        Of p_c, where A differs from `offset`.
    offset
        A in the disordered phase, known: chance accuracy, ln 10, ...
    window
        (least, greatest) distance |p - p_c| of fitted points, or the greatest.
    beyond
        Whether points on the other side take part.
    draws, seed
        Of the bootstrap over whole realizations.
    level
        Probability of the intervals.

    Raises
    ------
    InputError
        For arrays that do not match, fewer than five points, points that do not vary, or a window
        that is none.
    """
    curve = as_curve(control, values, error)
    if side not in ("above", "below"):
        raise unknown("side", str(side), ("above", "below"), "power_law")
    if draws < 20 or not 0 < level < 1:
        raise InputError(
            f"power_law: draws = {draws}, level = {level}: expected draws >= 20, level in (0, 1)."
        )
    if window is None:
        window = np.inf
    pair = np.ravel(np.asarray(window, float))
    low, high = (0.0, float(pair[0])) if len(pair) == 1 else map(float, pair[:2])
    if len(pair) > 2 or not 0 <= low < high:
        raise InputError(f"power_law: window = {window}: expected distances 0 <= least < greatest.")
    if not np.isfinite(offset):
        raise InputError(f"power_law: offset = {offset}: expected a finite number.")
    data = ScalingData((curve,))
    deviations = data.resampled_deviations(draws, np.random.default_rng(seed))
    # in units u, ascending, the ordered side is above and the range is 1
    sign, span = (1 if side == "above" else -1), float(np.ptp(curve.control))
    order = np.argsort(sign * curve.control)
    u = (sign * curve.control[order] - (sign * curve.control).min()) / span
    y = (curve.mean - offset)[None, order]
    noise = data.covariance[np.ix_(order, order)]

    mask = np.ones(len(u), bool)
    seen: list[NDArray[np.bool_]] = []
    flags: list[str] = []
    while True:
        few = mask.sum() <= LEAST
        if few:
            break
        white = np.linalg.inv(np.linalg.cholesky(noise[np.ix_(mask, mask)]))
        c = search(u[mask], y[:, mask], white)[0][0]
        ordered = mask & (u > c)
        few = ordered.sum() < LEAST
        distance = np.abs(u - c) * span
        wanted = (distance >= low) & (distance <= high) & (beyond | (u > c))
        if few or np.array_equal(wanted, mask):
            break
        if any(np.array_equal(wanted, before) for before in seen):
            flags.append("unsettled window")
            break
        seen.append(mask)
        mask = wanted
    if few:
        return _nothing(int(mask.sum()), (low, high), draws)

    # draws about the fit, not about the data: a datum can pin p_c to the cusp at its own control
    # value, in every draw about the data alike, and the error would vanish
    c, beta, a, *_ = (v[0] for v in search(u[mask], y[:, mask], white))
    fitted = a * np.maximum(u - c, 0) ** beta
    scatter = deviations[:, order] * _unknown_weights(curve)
    y = np.concatenate([y, fitted + scatter])
    c_all, beta_all, a_all, chi2_all, bound = search(u[mask], y[:, mask], white)
    p_c = sign * (c_all * span + (sign * curve.control).min())
    every = np.stack([p_c, beta_all, a_all / span**beta_all], axis=1)
    tail = 50 * (1 - level)
    lower, first, last, upper = np.percentile(every[1:], [tail, 15.87, 84.13, 100 - tail], axis=0)
    chi2, dof = float(chi2_all[0]), int(mask.sum()) - 3
    known = curve.samples is None
    dof_noise = 1e6 if known else float(np.diag(curve.pairs).min() - 1)
    probability = float(stats.fit_probability(np.array(chi2), dof, dof_noise))
    one, z = white.sum(axis=1), white @ y[0, mask]
    constant = float(z @ z - (one @ z) ** 2 / (one @ one))
    distances = u[ordered] - c_all[0]
    tests = {
        "flat": constant - chi2 < distributions.chi2.isf(POOR, 2),
        "at bound": bool(bound[0]),
        "ill-determined": not bound[0] and bound[1:].mean() > AT_BOUND,
        "poor fit": probability < POOR,
        "p_c outside data": c_all[0] <= 0,
        "narrow window": distances.max() < NARROW * distances.min(),
    }
    flags += [flag for flag, holds in tests.items() if holds]
    return PowerLaw(
        p_c=float(every[0, 0]),
        beta=float(every[0, 1]),
        amplitude=float(every[0, 2]),
        errors=tuple(float(e) for e in (last - first) / 2),
        intervals=tuple((float(a), float(b)) for a, b in zip(lower, upper, strict=True)),
        covariance=np.cov(every[1:].T),
        chi2=chi2,
        dof=dof,
        p_value=probability,
        points=int(mask.sum()),
        window=(low, high),
        flags=tuple(flags),
        draws=every[1:],
    )


def window_scan(
    control: Curve | ArrayLike,
    values: ArrayLike | None = None,
    *,
    windows: Sequence[Window] | None = None,
    **options: Any,
) -> tuple[PowerLaw, ...]:
    """Fit in a sequence of windows: p_c and beta must not drift where the power law holds.

    Parameters
    ----------
    control, values
        As of `power_law`.
    windows
        By default no limit, then five greatest distances in equal ratios, down to that of the
        fifth point on the ordered side.
    **options
        As of `power_law`, without `window`.
    """
    if windows is None:
        whole = power_law(control, values, **options)
        at = control.control if isinstance(control, Curve) else np.asarray(control, float)
        sign = 1 if options.get("side", "above") == "above" else -1
        distance = np.sort(sign * (at - whole.p_c))
        distance = distance[distance > 0]
        if len(distance) < 6:
            return (whole,)
        cutoffs = np.geomspace(distance[-1], distance[4], 6)[1:] * (1 + 1e-9)
        return (
            whole,
            *window_scan(control, values, windows=[float(c) for c in cutoffs], **options),
        )
    return tuple(power_law(control, values, window=w, **options) for w in windows)


def _nothing(points: int, window: tuple[float, float], draws: int) -> PowerLaw:
    """Say that a window holds too few points."""
    nan, none = float("nan"), np.full((draws, 3), np.nan)
    numbers = (nan, nan, nan, (nan,) * 3, ((nan, nan),) * 3, np.full((3, 3), nan), nan)
    return PowerLaw(*numbers, points - 3, nan, points, window, ("too few points",), none)


def _unknown_weights(curve: Curve) -> float:
    """Factor by which errors grow because the weights are estimated from n realizations.

    With variances from n-1 degrees of freedom the variance of a weighted mean is (n+1)/(n-1) of
    the best, and is stated as (n-3)/(n-1) of it, to first order and for independent points.
    """
    if curve.samples is None:
        return 1.0
    n = float(np.diag(curve.pairs).min())
    return float(np.sqrt((n + 1) / max(n - 3, 1)))
