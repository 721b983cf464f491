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
from criticality.analysis.scaling.checks import finite, probability, whole
from criticality.analysis.scaling.curve import Curve
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.estimates import from_draws
from criticality.analysis.scaling.powerlaw import LEAST, Laws, as_curve, search
from criticality.analysis.stats import Array, one_thread
from criticality.base import Estimate, Flag, InputError, unknown

POOR = 0.01  # probability of the fit below which it is doubted
AT_BOUND = 0.05  # of the draws may end at a bound
NARROW = 3.0  # ratio of distances below which a power law cannot be told from a line
PARAMETERS = ("p_c", "beta", "amplitude")
LEAST_DRAWS = 20
METHOD = "generalised least squares; whole realizations resampled about the fit"
GIVEN = "generalised least squares; Gaussian errors of the means"
KNOWN = 1e6  # degrees of freedom of errors that are given

Mask = NDArray[np.bool_]
Window = float | tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """A = offset + amplitude |p - p_c|^beta on one side of p_c, A = offset on the other.

    Attributes
    ----------
    params
        Estimates of "p_c", "beta" and "amplitude"; NaN if there are too few points.
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
        "outside data" of p_c (no measured point on the other side); "narrow window" (distances
        within a factor 3); "unsettled window" (the points in the window depend on p_c and back
        again).
    draws
        [draws, 3].
    """

    params: dict[str, Estimate]
    covariance: Array
    chi2: float
    dof: int
    p_value: float
    points: int
    window: tuple[float, float]
    flags: tuple[Flag, ...]
    draws: Array

    @property
    def p_c(self) -> float:
        """Control value of the threshold."""
        return self.params["p_c"].value

    @property
    def beta(self) -> float:
        """Exponent."""
        return self.params["beta"].value

    @property
    def amplitude(self) -> float:
        """Order parameter at distance 1."""
        return self.params["amplitude"].value

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts, without the draws."""
        names = ("chi2", "dof", "p_value", "points")
        return {name: getattr(self, name) for name in names} | {
            "params": {name: found.to_dict() for name, found in self.params.items()},
            "covariance": self.covariance.tolist(),
            "window": list(self.window),
            "flags": [flag.to_dict() for flag in self.flags],
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
        For arrays that do not match, fewer than five points, points that do not vary, a window
        that is none, or an option out of range.
    """
    curve = as_curve(control, values, error)
    if side not in ("above", "below"):
        raise unknown("side", str(side), ("above", "below"), "power_law")
    level, offset = probability("level", level), finite("offset", offset)
    draws, seed = whole("draws", draws, LEAST_DRAWS), whole("seed", seed)
    limits = _limits(window)
    points = _Points.of(curve, 1 if side == "above" else -1, offset)
    mask, law, settled = points.chosen(limits, beyond)
    if law is None:
        return _nothing(curve, int(mask.sum()), limits, draws, level)
    # draws about the fit, not about the data: a datum can pin p_c to the cusp at its own control
    # value, in every draw about the data alike, and the error would vanish
    deviations = ScalingData((curve,)).resampled_deviations(draws, np.random.default_rng(seed))
    fitted = law.a[0] * np.maximum(points.u - law.c[0], 0) ** law.beta[0]
    drawn = fitted + deviations[:, points.order] * _unknown_weights(curve)
    laws = points.laws(mask, np.concatenate([points.y[None], drawn]))
    every = points.natural(laws)
    dof = int(mask.sum()) - len(PARAMETERS)
    dof_noise = KNOWN if curve.samples is None else float(curve.realizations - 1)
    p_value = float(stats.fit_probability(laws.chi2[0], dof, dof_noise))
    how: dict[str, Any] = {"level": level, "n": curve.realizations, "method": _method(curve)}
    return PowerLaw(
        params={
            name: from_draws(column[0], column[1:], **how)
            for name, column in zip(PARAMETERS, every.T, strict=True)
        },
        covariance=np.cov(every[1:].T),
        chi2=float(laws.chi2[0]),
        dof=dof,
        p_value=p_value,
        points=int(mask.sum()),
        window=limits,
        flags=_flags(points, mask, law, laws, p_value, settled),
        draws=every[1:],
    )


@dataclass(frozen=True, eq=False)
class _Points:
    """A curve as `search` wants it: u ascends, the ordered side is above, the range is 1.

    Attributes
    ----------
    u, y
        [points]: control and order parameter.
    noise
        [points, points]: covariance of y.
    order
        [points]: where each is in the curve.
    sign, start, span
        p = sign (start + span u).
    """

    u: Array
    y: Array
    noise: Array
    order: NDArray[np.int64]
    sign: int
    start: float
    span: float

    @classmethod
    def of(cls, curve: Curve, sign: int, offset: float) -> _Points:
        """Points of a curve whose ordered side is above p_c (sign 1) or below (-1)."""
        at, span = sign * curve.control, float(np.ptp(curve.control))
        order, start = np.argsort(at), float(at.min())
        noise = ScalingData((curve,)).covariance[np.ix_(order, order)]
        y = (curve.mean - offset)[order]
        return cls((at[order] - start) / span, y, noise, order, sign, start, span)

    def white(self, mask: Mask) -> Array:
        """Inverse Cholesky factor of the covariance of these points."""
        factor: Array = np.linalg.inv(np.linalg.cholesky(self.noise[np.ix_(mask, mask)]))
        return factor

    def laws(self, mask: Mask, y: Array) -> Laws:
        """Fit every row of y [draws, points] at these points."""
        return search(self.u[mask], y[:, mask], self.white(mask))

    def natural(self, laws: Laws) -> Array:
        """Parameters [draws, 3] in the units of the curve."""
        p_c = self.sign * (laws.c * self.span + self.start)
        return np.stack([p_c, laws.beta, laws.a / self.span**laws.beta], axis=1)

    def chosen(self, limits: tuple[float, float], beyond: bool) -> tuple[Mask, Laws | None, bool]:
        """Points which the fit to themselves puts into the window, that fit, whether it settled.

        No fit where too few points are left.
        """
        mask = np.ones(len(self.u), bool)
        seen: list[Mask] = []
        while mask.sum() > LEAST:
            law = self.laws(mask, self.y[None])
            ordered = self.u > law.c[0]
            if (mask & ordered).sum() < LEAST:
                break
            distance = np.abs(self.u - law.c[0]) * self.span
            wanted = (distance >= limits[0]) & (distance <= limits[1]) & (beyond | ordered)
            if np.array_equal(wanted, mask):
                return mask, law, True
            if any(np.array_equal(wanted, before) for before in seen):
                return mask, law, False
            seen.append(mask)
            mask = wanted
        return mask, None, True


def _flags(
    points: _Points, mask: Mask, law: Laws, laws: Laws, p_value: float, settled: bool
) -> tuple[Flag, ...]:
    """Doubts about the fit of the data, the first of `laws`; the others are its draws."""
    white = points.white(mask)
    one, z = white.sum(axis=1), white @ points.y[mask]
    constant = float(z @ z - (one @ z) ** 2 / (one @ one))
    distances = points.u[mask & (points.u > law.c[0])] - laws.c[0]
    tests = {
        Flag("unsettled window"): not settled,
        Flag("flat"): constant - laws.chi2[0] < distributions.chi2.isf(POOR, 2),
        Flag("at bound"): laws.bound[0],
        Flag("ill-determined"): not laws.bound[0] and laws.bound[1:].mean() > AT_BOUND,
        Flag("poor fit"): p_value < POOR,
        Flag("outside data", "p_c"): laws.c[0] <= 0,
        Flag("narrow window"): distances.max() < NARROW * distances.min(),
    }
    return tuple(flag for flag, holds in tests.items() if holds)


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


def _limits(window: Window) -> tuple[float, float]:
    """Least and greatest distance."""
    pair = np.ravel(np.asarray(np.inf if window is None else window, float))
    low, high = (0.0, float(pair[0])) if len(pair) == 1 else map(float, pair[:2])
    if len(pair) > 2 or not 0 <= low < high:
        raise InputError(f"power_law: window = {window}: expected distances 0 <= least < greatest.")
    return low, high


def _nothing(
    curve: Curve, points: int, window: tuple[float, float], draws: int, level: float
) -> PowerLaw:
    """Say that a window holds too few points."""
    nan = float("nan")
    none = Estimate(value=nan, level=level, n=curve.realizations, method=_method(curve))
    return PowerLaw(
        params=dict.fromkeys(PARAMETERS, none),
        covariance=np.full((3, 3), nan),
        chi2=nan,
        dof=points - len(PARAMETERS),
        p_value=nan,
        points=points,
        window=window,
        flags=(Flag("too few points"),),
        draws=np.full((draws, 3), nan),
    )


def _method(curve: Curve) -> str:
    return GIVEN if curve.samples is None else METHOD


def _unknown_weights(curve: Curve) -> float:
    """Factor by which errors grow because the weights are estimated from n realizations.

    With variances from n-1 degrees of freedom the variance of a weighted mean is (n+1)/(n-1) of
    the best, and is stated as (n-3)/(n-1) of it, to first order and for independent points.
    """
    if curve.samples is None:
        return 1.0
    n = curve.realizations
    return float(np.sqrt((n + 1) / max(n - 3, 1)))
