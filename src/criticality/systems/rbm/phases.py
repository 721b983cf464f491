"""Phases of the RBM: what decides them, and where the sampling cannot be trusted."""

from __future__ import annotations

import dataclasses

import xarray as xr

from criticality.analysis.classify import PhaseDiagram, by_rules
from criticality.systems.rbm import RBM

EQUILIBRATED = ("long_enough", "starts_agree")


def retrieval(ds: xr.Dataset) -> xr.DataArray:
    """Overlap that is kept: from the start nearest to the pattern, at the end of the annealing."""
    return _end(_of_start(ds["overlap"], "max"))


def glass(ds: xr.Dataset) -> xr.DataArray:
    """Glassiness from the most random start, at the end of the annealing."""
    return _end(_of_start(ds["glassiness"], "min"))


def equilibrated(ds: xr.Dataset) -> xr.DataArray:
    """1 where every run was long enough and all starts agree, at the end of the annealing."""
    long_enough, agree = (_end(ds[name]) for name in EQUILIBRATED)
    if "start" in long_enough.dims:
        long_enough = long_enough.min("start", skipna=False)
    return long_enough * agree


def classify(ds: xr.Dataset, *, sigmas: float, draws: int, level: float, seed: int) -> PhaseDiagram:
    """Find the phases by the rules of the card, and doubt them where most samples drift.

    Its cells hold `equilibrated` too, the share of the largest samples that are, and `doubted`,
    where that is less than half.

    Raises
    ------
    InputError
        As `by_rules`.
    """
    card = RBM.card
    found = by_rules(
        ds,
        card.phases,
        card.rules,
        card.plane,
        card.size,
        sigmas=sigmas,
        draws=draws,
        level=level,
        seed=seed,
    )
    cells = found.cells
    share = ds["equilibrated"].mean("realization")
    if card.size in share.dims:
        share = share.sel({card.size: share[card.size].max()})
    share = share.squeeze([d for d in share.dims if d not in card.plane], drop=True)
    cells = cells.assign(equilibrated=share.broadcast_like(cells["phase"]).transpose(*card.plane))
    cells["doubted"] = cells["equilibrated"] < 0.5
    cells["doubted"].attrs["long_name"] = (
        "not in equilibrium: starts differ in energy, or the run is under 50 autocorrelation times"
    )
    return dataclasses.replace(found, cells=cells)


def _of_start(array: xr.DataArray, which: str) -> xr.DataArray:
    if "start" not in array.dims:
        return array
    start = array["start"].max() if which == "max" else array["start"].min()
    return array.sel(start=start, drop=True)


def _end(array: xr.DataArray) -> xr.DataArray:
    return array.isel(annealing=-1, drop=True) if "annealing" in array.dims else array
