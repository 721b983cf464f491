"""Numbers with errors, from draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from criticality.analysis import stats
from criticality.analysis.stats import Array
from criticality.base import Estimate, html

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


def summary(params: Mapping[str, Estimate]) -> pd.DataFrame:
    """Table of parameters: a row each, by its name."""
    columns = ("value", "error", "low", "high", "level", "n")
    rows = {
        name: {column: getattr(found, column) for column in columns}
        | {"fixed": getattr(found, "fixed", False), "method": found.method}
        for name, found in params.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis("parameter")


def shown(
    params: Mapping[str, Estimate], more: Mapping[str, Mapping[str, float]] | None = None
) -> html.Markup:
    """Table of parameters for a notebook; `more` has further columns, name -> parameter -> value.

    What is given, and not estimated, has no interval.
    """
    more = more or {}
    rows = [
        [name, found, "given" if getattr(found, "fixed", False) else found.interval()]
        + [column.get(name, "") for column in more.values()]
        for name, found in params.items()
    ]
    level = max((found.level for found in params.values()), default=0.95)
    return html.table(["parameter", "value", f"{100 * level:g} % interval", *more], rows)
