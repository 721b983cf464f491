"""Results of a study as tables, and back: so that a system's own figures draw what is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import InputError

if TYPE_CHECKING:
    import xarray as xr

    from criticality.papers.tables import Tables

ABOUT = "_about"  # behind the name of a table: what is said of its columns
DATA = ""  # in it: the data set itself


def to_tables(name: str, ds: xr.Dataset, *observables: str) -> dict[str, pd.DataFrame]:
    """Give observables over the same axes as a row for each measured point, and what is said of it.

    Raises
    ------
    InputError
        If their axes differ.
    """
    dims = [str(dim) for dim in ds[observables[0]].dims]
    for other in observables:
        if set(ds[other].dims) != set(dims):
            raise InputError(f"table {name}: {other} has other axes than {', '.join(dims)}.")
    rows = ds[list(observables)].to_dataframe(dim_order=dims).dropna(how="all", subset=observables)
    said = [(DATA, key, value) for key, value in ds.attrs.items()]
    said += [(n, key, v) for n in (*dims, *observables) for key, v in ds[n].attrs.items()]
    about = [{"of": of, "what": key, "value": json.dumps(_plain(v))} for of, key, v in said]
    return {name: rows.reset_index()[[*dims, *observables]], name + ABOUT: pd.DataFrame(about)}


def to_dataset(tables: Tables, name: str, *observables: str) -> xr.Dataset:
    """Give back what `to_tables` made tables of; NaN where there was nothing."""
    rows = tables[name]
    dims = [column for column in rows if column not in observables]
    orders = {dim: rows[dim].unique() for dim in dims}
    ds: xr.Dataset = rows.set_index(dims).to_xarray().reindex(orders)
    for one in tables[name + ABOUT].itertuples():
        about: dict[Any, Any] = (ds[one.of] if isinstance(one.of, str) else ds).attrs  # NaN: DATA
        about[one.what] = json.loads(one.value)
    return ds


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
