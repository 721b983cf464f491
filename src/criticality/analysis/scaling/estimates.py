"""Numbers with errors, from draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from criticality.analysis import stats
from criticality.analysis.stats import Array
from criticality.base import Estimate

SIGMA = 0.158655  # of a Gaussian beyond one standard deviation, one side


@dataclass(frozen=True, kw_only=True)
class Fitted(Estimate):
    """A parameter of a form.

    Attributes
    ----------
    fixed
        Whether the value was given; the error is 0 then, and the interval is the value.
    """

    fixed: bool = False


def given(value: float, level: float) -> Fitted:
    """Parameter that is not estimated."""
    return Fitted(
        value=value, error=0.0, low=value, high=value, level=level, method="given", fixed=True
    )


def weighted(
    value: float, drawn: Array | None, weights: Array | None, *, level: float, n: int, method: str
) -> Fitted:
    """Parameter from a sample [draws] with weights (None: equal); NaN errors without a sample."""
    tail = (1 - level) / 2
    ends = [math.nan] * 4
    if drawn is not None:
        ends = stats.weighted_quantiles(drawn, weights, [tail, SIGMA, 1 - SIGMA, 1 - tail])
    low, left, right, high = ends
    # the maximum of a joint posterior may lie beside the bulk of one parameter's
    return Fitted(
        value=value,
        error=(right - left) / 2,
        low=min(low, value),
        high=max(high, value),
        level=level,
        n=n,
        method=method,
    )


def from_draws(value: float, draws: Array, *, level: float, n: int, method: str) -> Estimate:
    """Estimate whose error is half the central 68 % of draws, with their percentile interval.

    Draws that are NaN are left out.
    """
    tail = 50 * (1 - level)
    low, first, last, high = np.nanpercentile(draws, [tail, 15.87, 84.13, 100 - tail])
    return Estimate(
        value=float(value),
        error=float(last - first) / 2,
        low=float(low),
        high=float(high),
        level=level,
        n=n,
        method=method,
    )
