"""A whole store in one file."""

from __future__ import annotations

import math
from pathlib import Path

import xarray as xr

from criticality import files
from criticality.base import InputError

MOST = 20_000_000  # rows of a table


def write_to(ds: xr.Dataset, path: Path) -> dict[str, int]:
    """Write a data set into a netCDF file or, a row for each point, into a CSV file.

    Returns
    -------
    dict
        Length of every dimension.

    Raises
    ------
    InputError
        For another kind of file, one that cannot be written, or a table without end.
    """
    sizes = {str(name): size for name, size in ds.sizes.items()}
    if path.suffix not in (".nc", ".csv"):
        raise InputError(f"--out {path}: expected a name that ends in .nc or .csv.")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.parent}.")
    rows = math.prod(sizes.values())
    if path.suffix == ".csv" and rows > MOST:
        raise InputError(
            f"{path}: a table over {', '.join(sizes)} would have {rows} rows; choose observables "
            f"of fewer dimensions with --observable, or write a .nc file."
        )
    try:
        with files.replacing(path) as temporary:
            if path.suffix == ".csv":
                ds.to_dataframe().reset_index().to_csv(temporary, index=False)
            else:
                ds.to_netcdf(temporary, engine="h5netcdf")
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error}).") from error
    return sizes
