"""The objective around a fit, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from criticality.analysis.scaling.checks import finite, positive, whole
from criticality.analysis.scaling.fit import OBJECTIVES, Fit, Objective
from criticality.analysis.scaling.search import Search
from criticality.analysis.stats import Array, one_thread
from criticality.base import InputError, unknown


@dataclass(frozen=True, eq=False)
class Landscape:
    """Objective over p_c and the exponent, all else at its fitted value.

    Attributes
    ----------
    p_c, exponent
        float64 [columns], [rows].
    values
        [rows, columns]: -ln posterior less its minimum for "gp", else the objective.
    objective, exponent_name
        Names.
    """

    p_c: Array
    exponent: Array
    values: Array
    objective: str
    exponent_name: str


@one_thread
def landscape(
    fit: Fit,
    *,
    p_c: Array | None = None,
    exponent: Array | None = None,
    points: int = 40,
    objective: Objective | None = None,
) -> Landscape:
    """Compute the objective around a fit.

    Parameters
    ----------
    fit
        With p_c and an exponent free.
    p_c, exponent
        Values; by default `points` over five errors either way.
    objective
        By default that of the fit.

    Raises
    ------
    InputError
        If p_c or the exponent was not fitted, or an option is out of range.
    """
    name = fit.exponent
    if not {"p_c", name} <= set(fit.free):
        raise InputError("a landscape needs p_c and the exponent both free.")
    whole("points", points, 2)
    if objective is not None and objective not in OBJECTIVES:
        raise unknown("objective", str(objective), OBJECTIVES)
    ranges = []
    for key, given, check in (("p_c", p_c, finite), (name, exponent, positive)):
        fitted = fit.params[key]
        width = 5 * (fitted.error if fitted.error > 0 else 0.1 * abs(fitted.value))
        low, high = fitted.value - width, fitted.value + width
        if key == name:
            low, high = max(low, fitted.value / 5), min(high, fitted.value * 5)
        else:  # nowhere else has p_c a meaning
            low, high = max(low, fit.data.control.min()), min(high, fit.data.control.max())
        if given is not None:
            ranges.append(np.array([check(key, value) for value in np.ravel(given)]))
        else:
            ranges.append(np.linspace(low, high, points))
    grid = np.tile(fit.theta, (ranges[0].size * ranges[1].size, 1))
    rows, columns = np.meshgrid(ranges[1], ranges[0], indexing="ij")
    grid[:, fit.free.index("p_c")] = columns.ravel()
    grid[:, fit.free.index(name)] = np.log(rows.ravel())
    chosen = objective or fit.objective
    if chosen == "gp":
        values = -fit.model.log_posterior(grid)
        values = values - values.min()
    else:
        search = Search(fit.data, fit.ansatz, chosen, False, {})
        values = search.classic(grid[:, : len(fit.free)])
    return Landscape(ranges[0], ranges[1], values.reshape(rows.shape), chosen, name)
