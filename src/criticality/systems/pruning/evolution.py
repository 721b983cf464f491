"""Evolution Metric: how far remaining weights move while others are pruned.

Pesce, He and Caldarelli: EM(t, t') = 1 - AdjR2 of w_t' as a prediction of w_t, over the weights
that remain at the later step.  Nothing is fitted: the prediction is the identity.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from criticality.analysis.stats import Array
from criticality.base import InputError, unknown

Target = Literal["later", "earlier"]
TARGETS = ("later", "earlier")


def evolution_metric(
    later: ArrayLike, earlier: ArrayLike, remaining: ArrayLike, target: Target = "later"
) -> float:
    """Evolution Metric between two steps: RSS/TSS (n-1)/(n-2).

    RSS is the sum of (w_t - w_t')^2, TSS the sum of squares of the target about its mean, and
    (n-1)/(n-p-1) with p = 1 adjusts R^2 = 1 - RSS/TSS for the number n of remaining weights.

    Parameters
    ----------
    later, earlier
        [weights]: at steps t > t'.
    remaining
        bool [weights]: those that still remain at the later step; only they count.
    target
        What is predicted.  R^2 is not symmetric; the printed text of the paper has lost which
        it is.

    Returns
    -------
    float
        0 if nothing moved, 1 if the prediction is as bad as the mean; NaN for two weights or fewer,
        or weights that are all equal, or not all finite.
    """
    if target not in TARGETS:
        raise unknown("target", str(target), TARGETS, "evolution_metric")
    kept = np.asarray(remaining, bool)
    new, old = np.asarray(later, float)[kept], np.asarray(earlier, float)[kept]
    goal = new if target == "later" else old
    n = len(goal)
    if n <= 2 or not np.isfinite(new).all() or not np.isfinite(old).all():
        return float("nan")
    total = float(np.sum((goal - goal.mean()) ** 2))
    if total <= 0:
        return float("nan")
    return float(np.sum((new - old) ** 2)) / total * (n - 1) / (n - 2)


def evolution_map(ds: xr.Dataset, target: Target = "later") -> xr.DataArray:
    """Evolution Metric between all pairs of snapshots, of the whole network and of each layer.

    Parameters
    ----------
    ds
        `weights` (realization, snapshot, weight), `removed` (realization, weight), `snapshot_step`
        (realization, snapshot) and `edges` (realization, step, layer) of one outer point.
    target
        As of `evolution_metric`.

    Returns
    -------
    xarray.DataArray
        (realization, part, snapshot, other): part 0 is the network, l its weight layer l.
        Symmetric in the snapshots; NaN where one was not reached.

    Raises
    ------
    InputError
        If an observable is missing, or an outer axis is left.
    """
    needed = {"weights": ("snapshot", "weight"), "removed": ("weight",)}
    needed |= {"snapshot_step": ("snapshot",), "edges": ("step", "layer")}
    for name, dims in needed.items():
        if name not in ds:
            raise InputError(f"no observable {name!r} in the data: {', '.join(map(str, ds))}.")
        left = [str(d) for d in ds[name].dims if d not in (*dims, "realization")]
        if left:
            raise InputError(f"{name} also varies with {', '.join(left)}: choose one value.")
    each = [_map(ds.isel(realization=[r]), target) for r in range(ds.sizes["realization"])]
    densities = ds["snapshot"].values
    result = xr.DataArray(
        np.stack(each),
        dims=("realization", "part", "snapshot", "other"),
        coords={
            "realization": ds["realization"],
            "part": np.arange(ds.sizes["layer"] + 1),
            "snapshot": densities,
            "other": densities,
            # all realizations are pruned by one schedule
            "snapshot_step": ("snapshot", _last(ds["snapshot_step"].transpose(..., "snapshot"))),
        },
        name="evolution",
        attrs={"target": target, "long_name": "Evolution Metric", "units": "1"},
    )
    return result


def evolution_profile(
    found: xr.DataArray, lag: int = 1, unit: Literal["snapshot", "step"] = "snapshot"
) -> xr.DataArray:
    """Evolution Metric between each snapshot and the one a fixed lag before it.

    Parameters
    ----------
    found
        As `evolution_map` gives it.
    lag
        In snapshots, or in pruning steps.
    unit
        With "step", snapshots that have none exactly `lag` steps before them are NaN.

    Returns
    -------
    xarray.DataArray
        (realization, part, snapshot), at the density of the later snapshot.
    """
    if unit not in ("snapshot", "step"):
        raise unknown("unit", str(unit), ("snapshot", "step"), "evolution_profile")
    if lag < 1:
        raise InputError(f"evolution_profile: lag = {lag}: expected a whole number of 1 or more.")
    steps = found["snapshot_step"].values
    later = np.arange(len(steps))
    if unit == "snapshot":
        earlier = np.argsort(np.argsort(-found["snapshot"].values)) - lag  # rank by time
        earlier = np.where(earlier >= 0, np.argsort(-found["snapshot"].values)[earlier], -1)
    else:
        match = steps[None, :] == steps[:, None] - lag
        earlier = np.where(match.any(axis=1), match.argmax(axis=1), -1)
    values = found.transpose(..., "snapshot", "other").values[..., later, earlier]
    profile = found.isel(other=0, drop=True).copy(data=np.where(earlier >= 0, values, np.nan))
    profile.attrs |= {"lag": lag, "lag_unit": unit}
    return profile


def _map(ds: xr.Dataset, target: Target) -> Array:
    """[parts, S, S] of one realization."""
    one = ds.isel(realization=0)
    weights = one["weights"].transpose("snapshot", "weight").values
    removed, steps = one["removed"].values, one["snapshot_step"].values
    sizes = one["edges"].isel(step=0).values
    if not np.isfinite(sizes).all():  # not computed
        return np.full((len(sizes) + 1, len(steps), len(steps)), np.nan)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    if ends[-1] != weights.shape[1]:
        raise InputError(
            f"{weights.shape[1]} weights, but layers of {ends[-1]} edges in all at step 0."
        )
    result = np.full((len(ends), len(steps), len(steps)), np.nan)
    order = [int(i) for i in np.argsort(steps) if np.isfinite(steps[i])]
    for place, late in enumerate(order):
        kept = np.flatnonzero(removed > steps[late])
        new = weights[late, kept]
        cuts = np.searchsorted(kept, ends)
        parts = [slice(0, len(kept)), *(slice(*cut) for cut in pairwise(cuts))]
        for early in order[: place + 1]:
            old = weights[early, kept]
            for number, part in enumerate(parts):
                here = np.ones(part.stop - part.start, bool)
                value = evolution_metric(new[part], old[part], here, target)
                result[number, late, early] = result[number, early, late] = value
    return result


def _last(steps: xr.DataArray) -> Array:
    """Give the steps [snapshots] of the first realization that is there."""
    rows = steps.values.reshape(-1, steps.sizes["snapshot"])
    there = rows[np.isfinite(rows).any(axis=1)]
    first: Array = there[0] if len(there) else rows[0]
    return first
