"""What tables share: the row of an estimate, its words, points of curves, whole networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from criticality.base import Estimate, Flag, InputError, with_error

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

NUMBERS = ("value", "error", "low", "high", "n")
OPEN = "open"
DECIMALS = 3  # where nothing says how many are known


def row(found: Estimate, flags: Iterable[Flag] = ()) -> dict[str, Any]:
    """Give columns of an estimate: `NUMBERS`, and the names of its flags."""
    numbers = {name: getattr(found, name) for name in NUMBERS}
    return numbers | {"flags": "; ".join(flag.name for flag in flags)}


def said(of: Mapping[str, Any]) -> str:
    """Value, interval and flags of a row in words: "0.512(17) [0.478, open] (coarse grid)".

    A row without a value says "none", and its interval where it has an end.
    """
    value, error, low, high = (float(of[name]) for name in NUMBERS[:4])
    given = [float(x) for x in (error, high - low) if math.isfinite(x) and x > 0]
    digits = max(0, 1 - math.floor(math.log10(given[0]))) if given else DECIMALS
    between = ""
    if not (math.isnan(low) or math.isnan(high)) and (math.isfinite(low) or math.isfinite(high)):
        ends = (f"{x:.{digits}f}" if math.isfinite(x) else OPEN for x in (low, high))
        between = f" [{', '.join(ends)}]"
    flags = of.get("flags", "")
    doubt = f" ({flags})" if isinstance(flags, str) and flags else ""  # NaN in a CSV
    return f"{'none' if math.isnan(value) else with_error(value, error)}{between}{doubt}"


def points(array: xr.DataArray) -> pd.DataFrame:
    """Give means over realizations of the passes' means, and "<name>_error", at every point."""
    from criticality.analysis.classify import values

    name = str(array.name)
    found = values(array.to_dataset(), name)[[name, f"{name}_error"]]
    return found.to_dataframe().reset_index()[[*found.dims, *found.data_vars]]


def whole(ds: xr.Dataset, observable: str) -> xr.Dataset:
    """Give the realizations of which all numbers of an observable are there."""
    there = ds[observable].notnull()
    return ds.isel(realization=there.all([d for d in there.dims if d != "realization"]).values)


def too_little(what: str) -> InputError:
    """Say that stores do not hold yet what an answer needs: "no networks of the base"."""
    return InputError(
        f"too little to measure: {what}; the same command without --as-is computes what is missing."
    )
