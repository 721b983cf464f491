"""One result in one netCDF file, sealed: those of many numbers, and all of the first edition."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from criticality import files
from criticality.study.journal import OWN, Arrays, DamagedError, Head, Result
from criticality.study.reader import FAULTS, checked

if TYPE_CHECKING:
    import h5py

SUFFIX = ".nc"
PACKED = 65_536  # bytes above which an array is compressed: pruned weights are mostly zero
CHUNK = 2**20  # bytes that are compressed together
DENSEST = 1_100  # numbers' bytes for a byte of the file: zlib packs no denser


def content(head: Head, result: Result, arrays: Arrays) -> bytes:
    """Give a result as the bytes of a netCDF file.

    It is made in memory: HDF5 does not survive a disk that is full.
    """
    import xarray as xr

    told = {"controls": result.point, "axes": head.axes, "observables": head.observables}
    units = {
        name: {"units": unit, "long_name": doc} for name, (_, unit, doc) in head.observables.items()
    }
    ds = xr.Dataset(
        {name: (dims, arrays[name], units[name]) for name, (dims, *_) in head.observables.items()},
        coords={name: ((name,), values) for name, values in head.inner.items()},
        attrs=result.attributes | {name: json.dumps(about) for name, about in told.items()},
    )
    packed = {name: _packing(x) for name, x in ds.variables.items() if x.nbytes > PACKED}
    return bytes(ds.to_netcdf(engine="h5netcdf", encoding=packed))


def _packing(x: Any) -> dict[str, Any]:
    """How a large array is compressed: in chunks along its first axis, say of snapshots."""
    rows = max(1, min(len(x), CHUNK * len(x) // x.nbytes))
    return {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": (rows, *x.shape[1:])}


def read(path: Path) -> Result:
    """Give a result without its arrays.

    Raises
    ------
    DamagedError
        If it is not bit for bit as it was written, or not by us.
    """
    with _opened(path) as (file, size):
        found = {
            name: value.item() if isinstance(value, np.ndarray | np.generic) else value
            for name, value in file.attrs.items()
            if not name.startswith("_NC")
        }
        controls, axes, observables = (
            _json(str(found.pop(name))) for name in ("controls", "axes", "observables")
        )
        about = checked(found)
        own = {name: about.pop(name) for name in OWN if name in about}
        for name, (dims, _, _) in observables.items():
            shape = tuple(_array(file, dim, size).size for dim in dims)
            if _array(file, name, size).shape != shape:
                raise ValueError(f"{name} is not over {dims}")
        return Result(
            key=str(about.pop("key")),
            realization=int(about.pop("realization")),
            controls=dict(controls),
            own=own,
            head=Head(
                attributes=about,
                controls={},
                axes={name: [symbol, unit, doc] for name, (symbol, unit, doc) in axes.items()},
                observables={name: list(about) for name, about in observables.items()},
                inner={},
                numbers={},
            ),
            path=path,
        )


def numbers(result: Result, names: Collection[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of some observables of a result, and of their inner dimensions.

    Raises
    ------
    DamagedError
        As `read`.
    """
    dims = {dim for name in names for dim in result.head.observables[name][0]}
    with _opened(result.path) as (file, size):
        return {name: np.asarray(_array(file, name, size)) for name in {*names, *dims}}


def whole(result: Result, found: Arrays) -> Head:
    """Head of a result that is to stand in a journal, with all that was read of it."""
    head = result.head
    return replace(
        head,
        controls=result.point,
        inner={name: x for name, x in found.items() if name not in head.observables},
        numbers={name: (found[name].dtype, found[name].shape) for name in head.observables},
    )


@lru_cache(4096)
def _json(text: str) -> Any:
    """Parse once what files repeat."""
    return json.loads(text)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[h5py.File, int]]:
    """Open a file that is as it was written, and its size; what is wrong in it is its damage."""
    import h5py

    try:
        # checked before anything else looks at it: HDF5 may loop without end on a damaged file
        whole = files.unsealed(path)
        with h5py.File(io.BytesIO(whole), "r") as file:
            yield file, len(whole)
    except (OSError, RuntimeError, MemoryError, *FAULTS) as error:
        raise DamagedError(f"{path}: cannot be read ({error})") from error


def _array(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    """Array that lies in this file and nowhere else, and is as large as it can hold."""
    import h5py

    link = file.get(name, getlink=True)
    there = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(there, h5py.Dataset) or there.is_virtual or there.external:
        raise ValueError(f"{name} is not in the file")
    if there.nbytes > DENSEST * size:
        raise ValueError(f"{name} is larger than its file")
    return there
