"""Values at infinite size: a straight line in a power of the size, with errors that hold."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from scipy.stats import norm

from criticality.analysis import stats
from criticality.analysis.exponents import absent
from criticality.base import InputError

ROUNDING = 1e-12  # of the largest value: what differs by less is the same


def limits(
    means: xr.Dataset,
    quantity: str,
    size: str,
    *,
    correction: float = 0.5,
    sigmas: float = 2.0,
) -> xr.Dataset:
    """Limit of a quantity at infinite size: a weighted line y = limit + amplitude size^-correction.

    Weights are inverse variances, shrunk over sizes (`stats.moderated`), so that realizations
    which agree at some size do not decide alone.  The error is propagated from the scatter of
    realizations at every size (the pooled one where they agree), and widened by sqrt(chi2/dof)
    where the line does not fit.  Two sizes have no chi2: that corrections fall as supposed is then
    not tested.  Sizes are independent; points of other axes need not be.

    Without any scatter of realizations (a deterministic system, a single realization, some that
    agree) sizes are weighted equally and the error comes from their scatter about the line.  Where
    all of them agree too, the limit is known to be that value if so many agree that they would not
    have hidden what differs in half of all at infinite size: of a share q_i that differs at size i,
    with sum c_i q_i = 1/2 for the coefficients c_i of the limit, n_i realizations there show
    nothing with probability prod (1 - q_i)^n_i <= exp(-min(n_i / c_i) / 2).  Two sizes that differ
    by a factor 2 need 26 realizations each, four of them 8.

    Parameters
    ----------
    means
        Of the quantity, with its errors, as `classify.values` gives them; one axis is `size`.
    quantity, size
        Names.
    correction
        Power with which the leading finite-size correction falls.
    sigmas
        Of the interval, as in `classify.values`.

    Returns
    -------
    xarray.Dataset
        Over the other dimensions: `limit`, `limit_error` (standard error), `limit_dof` (of it,
        Satterthwaite's), `limit_low` and `limit_high`, `amplitude`, `chi2_dof`, `fit_probability`
        (of a chi2 as large by chance) and `sizes_used`.  Where a median is infinite at some size,
        there is no limit (NaN).

    Raises
    ------
    InputError
        If there is no such size axis, or fewer than two sizes.
    """
    if size not in means.dims:
        raise InputError(
            absent(means, size, f"the limit of {quantity} at infinite {size} needs it")
        )
    sizes = means[size].values.astype(float)
    if len(sizes) < 2 or not (sizes > 0).all() or not np.isfinite(sizes).all():
        raise InputError(
            f"{size} = {', '.join(f'{n:g}' for n in sizes)}: a limit at infinite {size} needs at "
            f"least two values of it, above zero."
        )
    x = sizes**-correction
    dims = [d for d in means[quantity].dims if d != size]
    y, error, dof, low, high = (
        means[f"{quantity}{end}"].transpose(*dims, size).values
        for end in ("", "_error", "_dof", "_low", "_high")
    )
    used = np.isfinite(y)
    several = used & np.isfinite(dof)  # realizations
    used = np.where(several.sum(-1, keepdims=True) >= 2, several, used)
    spare = np.where(used & several, dof, 0.0)
    variance = np.where(np.isnan(error), 0.0, error) ** 2 * (spare + 1)  # of one realization
    variance = np.where(spare > 0, variance, 0.0)
    top = np.where(used, y, -math.inf).max(-1)  # exact where all sizes agree
    rise = np.where(used, y - top[..., None], 0.0)
    same = -rise.min(-1) <= ROUNDING * np.abs(top)
    moving = variance.max(-1) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        shrunk = stats.moderated(variance, spare, axis=-1)
        pooled = (variance * spare).sum(-1, keepdims=True) / spare.sum(-1, keepdims=True)
        weights = np.where(moving[..., None], (spare + 1) / shrunk, 1.0)
        slope, line = stats.line_weights(x, np.where(used, weights, 0.0))
        limit, amplitude = (line * rise).sum(-1), (slope * rise).sum(-1)
        residual = np.where(used, rise - limit[..., None] - amplitude[..., None] * x, 0.0)
        chi2, free = (weights * residual**2).sum(-1), used.sum(-1) - 2
        parts = line**2 * np.where(variance > 0, variance, pooled) / (spare + 1)
        parts = np.where(used, parts, 0.0)
        wide = np.where(free > 0, np.sqrt(np.maximum(1.0, chi2 / free)), 1.0)
        own = wide * np.sqrt(parts.sum(-1))
        own_dof = parts.sum(-1) ** 2 / np.where(used, parts**2 / spare, 0.0).sum(-1)
        apart = np.sqrt(chi2 / free * (line**2).sum(-1))  # without scatter of realizations
        apart = np.where((free > 0) & ~same, apart, np.nan)
        limit_error = np.where(moving, own, apart)
        limit_dof = np.where(moving, own_dof, np.where(free > 0, free, np.nan))
        reach = stats.quantile_of_few(sigmas, limit_dof) * limit_error
        exact = np.isnan(error) & (low == high)  # deterministic
        unseen = np.exp(-np.where(used, (spare + 1) / np.abs(line), np.inf).min(-1) / 2)
        known = ~moving & same & ((unseen < norm.sf(sigmas)) | (exact | ~used).all(-1))
        ends = np.where(known, 0.0, reach)
        sure = known & ~exact.any(-1)
        limit_error = np.where(sure, 0.0, limit_error)
        limit_dof = np.where(sure, spare.sum(-1), limit_dof)
        enough = (free >= 0) & ~np.isposinf(y).any(-1)
    found = {
        "limit": limit + top,
        "limit_error": limit_error,
        "limit_dof": limit_dof,
        "limit_low": limit + top - ends,
        "limit_high": limit + top + ends,
        "amplitude": amplitude,
        "chi2_dof": np.where(moving & (free > 0), chi2 / np.maximum(free, 1), np.nan),
        "fit_probability": np.where(
            moving, stats.fit_probability(chi2, free, spare.sum(-1)), np.nan
        ),
    }
    return xr.Dataset(
        {name: (dims, np.where(enough, value, np.nan)) for name, value in found.items()}
        | {"sizes_used": (dims, used.sum(-1))},
        coords={d: means[d] for d in dims},
        attrs={
            "error_method": (
                f"of limits: propagated through a line in {size}^-{correction:g}, or from the "
                f"scatter of sizes about it; widened by sqrt(chi2/dof) where it does not fit"
            ),
        },
    )
