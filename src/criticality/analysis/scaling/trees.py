"""Draws of the parameters of a form as a tree of data sets, in the layout of ArviZ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.stats import Array
from criticality.base import InputError

MOST = 4000  # draws of a tree
POSTERIOR, BOOTSTRAP = "posterior", "bootstrap"
SAID = {
    POSTERIOR: (
        "independent importance draws, resampled systematically to equal weights; copies of a draw "
        "follow each other"
    ),
    BOOTSTRAP: (
        "estimates from resamplings of whole realizations: the sampling distribution of the "
        "estimator, and no posterior"
    ),
}


def tree(
    group: str,
    sample: dict[str, Array],
    weights: Array | None,
    data: ScalingData,
    name: str,
    choices: NDArray[np.intp] | None = None,
) -> xr.DataTree:
    """Draws, and the points that were fitted.

    Parameters
    ----------
    group
        `POSTERIOR` or `BOOTSTRAP`.
    sample, weights
        [draws] of each parameter, and of the draws; None: equal.
    data
        What was fitted.
    name
        Of the form.
    choices
        [draws]: number of the choice of the analysis that each is of.

    Returns
    -------
    xarray.DataTree
        The group with dims (chain, draw), one chain; `observed_data` and `constant_data` over the
        points; `sample_stats` with the choices, if there are any.  `n_effective` of the group is
        the number of draws of equal weight that say as much.

    Raises
    ------
    InputError
        Without draws.
    """
    if not sample:
        raise InputError(f"{name}: no draws; nothing was fitted, or ask for collapse(draws=...).")
    count = len(next(iter(sample.values())))
    share = np.full(count, 1 / count) if weights is None else weights / weights.sum()
    kept = np.arange(count) if weights is None else _systematic(share, min(count, MOST))
    about = {
        "inference_library": "criticality",
        "ansatz": name,
        "sampling": SAID[group],
        "n_effective": float(1 / np.sum(share**2)),
        "realizations": data.realizations,
    }
    control, size, observable = data.names
    columns = {control: data.control, size: data.size, f"{observable}_error": data.error}
    groups = {
        group: _drawn({n: draws[kept] for n, draws in sample.items()}).assign_attrs(about),
        "observed_data": xr.Dataset({observable: ("point", data.mean)}),
        "constant_data": xr.Dataset({n: ("point", column) for n, column in columns.items()}),
    }
    if choices is not None:
        groups["sample_stats"] = _drawn({"choice": choices[kept]})
    return xr.DataTree.from_dict({f"/{n}": ds for n, ds in groups.items()})


def _drawn(columns: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    """One chain of draws."""
    number = len(next(iter(columns.values())))
    return xr.Dataset(
        {name: (("chain", "draw"), column[None]) for name, column in columns.items()},
        coords={"chain": [0], "draw": np.arange(number)},
    )


def _systematic(share: Array, number: int) -> NDArray[np.intp]:
    """Places of so many draws, each as often as its share says, to less than one."""
    ends = np.cumsum(share)
    return np.searchsorted(ends / ends[-1], (np.arange(number) + 0.5) / number)
