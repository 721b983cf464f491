"""Differences of means of a few realizations, and what share of one difference another one is.

Groups of independent realizations with scatters of their own: Welch's statistic with the degrees of
freedom of Satterthwaite [Welch, Biometrika 34, 28 (1947)].  A ratio of two sums of means has the
interval of Fieller: all values that the data do not exclude.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from criticality.analysis.stats import Array
from criticality.base import Estimate, InputError

Group = tuple[Array, Array]  # what each of its realizations adds to the part, and to the whole


def _finite(groups: Sequence[Group]) -> list[Array]:
    """Realizations [2, realizations] of each group, without those that are not finite."""
    kept = []
    for group in groups:
        if len({np.shape(x) for x in group}) > 1 or np.ndim(group[0]) != 1:
            shapes = ", ".join(str(np.shape(x)) for x in group)
            raise InputError(f"expected as many numbers in part and whole, got shapes {shapes}.")
        both = np.array(group, float)
        kept.append(both[:, np.isfinite(both).all(axis=0)])
    return kept


class _Sums:
    """Sums of the means of parts and of wholes, and how they scatter."""

    def __init__(self, groups: Sequence[Array]) -> None:
        counts = np.array([group.shape[1] for group in groups])
        self.means = np.sum([group.mean(axis=1) for group in groups], axis=0)
        self.covariances = np.array([np.cov(group) for group in groups]) / counts[:, None, None]
        self.degrees = counts - 1

    def combined(self, part: float, whole: float) -> tuple[float, float, float]:
        """Weigh and add both: value, error, degrees of freedom."""
        weights = np.array([part, whole])
        squares = np.maximum(self.covariances @ weights @ weights, 0)
        total = float(squares.sum())
        dof = total**2 / float((squares**2 / self.degrees).sum()) if total else math.inf
        return float(weights @ self.means), math.sqrt(total), dof


def _half(error: float, dof: float, level: float) -> float:
    """Half of an interval."""
    return float(stdtrit(dof, (1 + level) / 2)) * error if error else 0.0


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
    groups = _finite([(x, np.zeros_like(x)) for x in (np.asarray(ones), -np.asarray(others))])
    n = min(group.shape[1] for group in groups)
    method = "difference of means; Welch's degrees of freedom"
    if n < 2:
        return Estimate(value=math.nan, level=level, n=n, method=method)
    value, error, dof = _Sums(groups).combined(1, 0)
    half = _half(error, dof, level)
    return Estimate(
        value=value,
        error=error,
        low=value - half,
        high=value + half,
        level=level,
        n=n,
        method=method,
    )


def share(groups: Sequence[Group], level: float = 0.95) -> Estimate:
    """Ratio of two sums of means, part to whole, with the interval of Fieller.

    Parameters
    ----------
    groups
        Independent of each other, of two realizations at least: (part, whole), [realizations]
        each, is what every realization adds to the sum above and to that below.  What stands behind
        both counts once; realizations that are not finite are left out.
    level
        Probability of the interval, which has no ends where the whole may be zero.

    Raises
    ------
    InputError
        For a part and a whole of other lengths.
    """
    kept = _finite(groups)
    n = min(group.shape[1] for group in kept)
    method = "ratio of sums of means; Fieller's interval"
    if n < 2:
        return Estimate(value=math.nan, level=level, n=n, method=method)
    sums = _Sums(kept)

    def excess(angle: float) -> float:
        """How far beyond chance is part - tan(angle) whole; below 0 what is not excluded."""
        value, error, dof = sums.combined(math.cos(angle), -math.sin(angle))
        return abs(value) - _half(error, dof, level)

    above, below = (float(mean) for mean in sums.means)
    if not excess(math.pi / 2) > 0:  # NaN of a whole that is zero for all
        value = above / below if below else math.nan
        return Estimate(value=value, low=-math.inf, high=math.inf, level=level, n=n, method=method)
    value = above / below
    middle = math.atan(value)
    low, high = (
        math.tan(brentq(excess, middle, end)) if excess(middle) < 0 else value
        for end in (-math.pi / 2, math.pi / 2)
    )
    error = sums.combined(1, -value)[1] / abs(below)
    return Estimate(value=value, error=error, low=low, high=high, level=level, n=n, method=method)


def chance(groups: Sequence[Group], at: float) -> float:
    """Probability of a ratio as far from `at`, on either side, as that of `share`, were it `at`.

    Values inside of the interval of `share` have more than 1 - level.  1 with fewer than two
    realizations in a group.

    Raises
    ------
    InputError
        As `share`.
    """
    kept = _finite(groups)
    if min(group.shape[1] for group in kept) < 2:
        return 1.0
    value, error, dof = _Sums(kept).combined(1, -at)
    if not error:
        return float(value == 0)
    return 2 * float(stdtr(dof, -abs(value) / error))
