"""What is derived of stored numbers of the Potts model."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr


def from_order(ds: xr.Dataset) -> xr.DataArray:
    """Order parameter from the most ordered start."""
    return _of_start(ds["order_parameter"], -1)


def from_disorder(ds: xr.Dataset) -> xr.DataArray:
    """Order parameter from the most disordered start."""
    return _of_start(ds["order_parameter"], 0)


def interface_tension(ds: xr.Dataset) -> xr.DataArray:
    r"""Reduced tension 2 sigma of two interfaces: P_min / P_max falls as exp(-2 sigma L).

    K. Binder, Phys. Rev. A 25, 1699 (1982).
    """
    if "length" in ds.coords:
        length = ds["length"].drop_attrs()  # its symbol is not that of what is derived
    else:
        length = xr.DataArray(json.loads(ds.attrs["controls"])["length"])
    return -ds["dip"] / length


def distance(ds: xr.Dataset) -> xr.DataArray:
    """Relative distance of a refined transition from its target."""
    return abs(ds["deviation"])


def sampled(array: xr.DataArray) -> xr.DataArray:
    """Choose what was sampled at the temperature of each point, or reweighted the least."""
    if "reweighting" not in array.dims:
        return array
    return array.isel(reweighting=int(abs(np.log(array["reweighting"].values)).argmin()), drop=True)


def _of_start(array: xr.DataArray, which: int) -> xr.DataArray:
    array = sampled(array)
    return array.isel(start=which, drop=True) if "start" in array.dims else array
