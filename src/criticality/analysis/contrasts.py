"""Differences of means of a few realizations, and what share of one difference another one is.

Two groups of independent realizations with scatters of their own: Welch's statistic with the
degrees of freedom of Satterthwaite [Welch, Biometrika 34, 28 (1947)].  A ratio of differences has
the interval of Fieller: all values that the data do not exclude, which may be without an end.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats as distributions

from criticality.analysis.stats import Array
from criticality.base import Estimate, InputError

METHOD = "difference of means; Welch's degrees of freedom"
SHARES = np.linspace(-5, 5, 2_001)  # in which ends of an interval are looked for
Pair = tuple[Array, Array]


def _finite(values: Array, name: str) -> Array:
    array = np.asarray(values, float)
    if array.ndim != 1:
        raise InputError(f"{name}: expected one number a realization, got shape {array.shape}.")
    kept: Array = array[np.isfinite(array)]
    return kept


def _welch(mean: Array, squares: list[Array], dof: list[int], level: float) -> tuple[Array, Array]:
    """Give the standard error, and half the interval, from the squared errors of both means."""
    total = squares[0] + squares[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = total**2 / sum(s**2 / d for s, d in zip(squares, dof, strict=True))
        wide = distributions.t.isf((1 - level) / 2, degrees) * np.sqrt(total)
    return np.sqrt(total), np.where(total > 0, wide, 0.0) + 0 * mean


def difference(ones: Array, others: Array, level: float = 0.95) -> Estimate:
    """Mean of some realizations minus that of others that are independent of them.

    Parameters
    ----------
    ones, others
        [realizations] each; those that are not finite are left out.
    level
        Probability of the interval.  `error` is the standard error, without a quantile for few.

    Returns
    -------
    Estimate
        NaN with fewer than two realizations on a side.
    """
    groups = _finite(ones, "ones"), _finite(others, "others")
    n = min(map(len, groups))
    if n < 2:
        return Estimate(value=math.nan, level=level, n=n, method=METHOD)
    value = np.asarray(groups[0].mean() - groups[1].mean())
    squares = [np.asarray(g.var(ddof=1) / len(g)) for g in groups]
    error, half = _welch(value, squares, [len(g) - 1 for g in groups], level)
    return Estimate(
        value=float(value),
        error=float(error),
        low=float(value - half),
        high=float(value + half),
        level=level,
        n=n,
        method=METHOD,
    )


def share(part: Pair, whole: Pair, level: float = 0.95) -> Estimate:
    """Ratio of two differences, (a - b) / (c - d), with the interval of Fieller.

    The same realization may stand behind a and c, and another behind b and d, as where networks of
    the same seeds are treated in two ways: what they have in common counts once.

    Parameters
    ----------
    part
        (a, b), [realizations] each.
    whole
        (c, d): as many as a and b, of the same realizations or of others.
    level
        Probability of the interval; infinite where c - d may be zero.

    Raises
    ------
    InputError
        For groups of other lengths.
    """
    if any(len(x) != len(y) for x, y in zip(part, whole, strict=True)):
        raise InputError("share: expected as many realizations in the part as in the whole.")
    method = "ratio of differences of means; Fieller's interval"
    sides = []
    for x, y in zip(part, whole, strict=True):
        both = np.stack([np.asarray(x, float), np.asarray(y, float)])
        sides.append(both[:, np.isfinite(both).all(axis=0)])
    n = min(side.shape[1] for side in sides)
    if n < 2:
        return Estimate(value=math.nan, level=level, n=n, method=method)
    means = [side.mean(axis=1) for side in sides]
    above, below = means[0] - means[1]
    covariances = [np.cov(side) / side.shape[1] for side in sides]
    dof = [side.shape[1] - 1 for side in sides]

    def contrast(e: Array) -> tuple[Array, list[Array]]:
        squares = [c[0, 0] - 2 * e * c[0, 1] + e * e * c[1, 1] for c in covariances]
        return above - e * below, [np.maximum(s, 0) for s in squares]

    def ends(probability: float) -> tuple[float, float]:
        away, squares = contrast(SHARES)
        _, half = _welch(away, squares, dof, probability)
        there = SHARES[np.abs(away) <= half]
        if not len(there) or abs(value) > SHARES[-1]:
            return (value, value) if not len(there) else (-math.inf, math.inf)
        low, high = float(there[0]), float(there[-1])
        open_ended = low == SHARES[0] or high == SHARES[-1]
        return (-math.inf, math.inf) if open_ended else (low, high)

    value = float(above / below) if below else math.nan
    if not math.isfinite(value):
        return Estimate(value=value, low=-math.inf, high=math.inf, level=level, n=n, method=method)
    low, high = ends(level)
    _, squares = contrast(np.asarray(value))
    error = float(np.sqrt(sum(squares)) / abs(below))
    return Estimate(value=value, error=error, low=low, high=high, level=level, n=n, method=method)
