"""A user's own data: "file:PATH" or "table:PATH#COLUMN", found, read, and known by their content.

Of "file:", PATH is an `.npz`, a `.csv` or `.tsv`, or a folder of `.npy` (details in `readers`).
Samples that are not split are split here: the last fifth, in the order of the file, is the test
part.  Bytes are grey values and stay so; all other numbers become float32.  Details of "table:" are
in `table`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from criticality.base import FILE, TABLE, DataError, InputError
from criticality.data import readers, table
from criticality.data.dataset import Array, Dataset, Shape, content_hash
from criticality.data.folders import Folder, user_folder

READERS: dict[str, Callable[[Path], dict[str, Array]]] = {
    ".npz": readers.archive,
    ".csv": partial(readers.table, delimiter=","),
    ".tsv": partial(readers.table, delimiter="\t"),
}
TEST_SHARE = 5  # one sample in so many
UNSETTLED_NS = 2_000_000_000  # clocks of file systems are no finer than this
Stamp = tuple[Any, ...]


def named(name: str) -> bool:
    """Whether a source is a file."""
    return name.startswith((FILE, TABLE))


# --- finding ---------------------------------------------------------------------------------


def _asked(name: str) -> tuple[str, str | None]:
    """Path that is meant and, of a table, its target column: "" if none is named."""
    if name.startswith(TABLE):
        return table.parts(name.removeprefix(TABLE))
    return name.removeprefix(FILE), None


def _candidates(name: str, folder: Folder) -> list[Path]:
    given, column = _asked(name)
    if not given.strip() or "\0" in given:
        form = f"{FILE}PATH" if column is None else f"{TABLE}PATH#COLUMN"
        raise InputError(f"{name!r}: names no file; expected {form}.")
    path = Path(given)
    with contextlib.suppress(RuntimeError):  # no such user: then it is a name like others
        path = path.expanduser()
    if path.is_absolute():
        return [path]
    user = user_folder(folder)
    return [*([user / path] if user else []), Path.cwd() / path]


def _located(name: str, folder: Folder) -> Path | None:
    return next((path for path in _candidates(name, folder) if path.exists()), None)


def _found(name: str, folder: Folder) -> Path:
    path = _located(name, folder)
    if path is None:
        raise DataError(
            f"{name}: no such file or folder. Looked at "
            f"{', '.join(map(str, _candidates(name, folder)))}. Give its whole path, or name its "
            f"folder with --data-dir or CRITICALITY_DATA."
        )
    return path


def places(name: str, folder: Folder) -> list[Path]:
    """Folders in which the file is looked for, in order."""
    return [path.parent for path in _candidates(name, folder)]


# --- checking --------------------------------------------------------------------------------


def _samples(array: Array, name: str, where: Path) -> Array:
    """Give samples [samples, features] of bytes or float32, all finite."""
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(
            f"{where}: {name} has the shape {array.shape}; expected [samples, features], "
            f"or more dimensions of a sample, none of them 0."
        )
    if array.dtype.kind not in "buif":
        raise DataError(f"{where}: {name} holds {array.dtype}; expected real numbers.")
    flat = array.reshape(len(array), -1)
    return flat if array.dtype == np.uint8 else _float32(flat, name, where)


def _float32(array: Array, name: str, where: Path) -> Array:
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    wrong = ~np.isfinite(single)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{where}: {name}{list(at)} is {array[at]}; expected finite numbers of 32 bits."
        )
    return single


def _labels(array: Array, name: str, where: Path) -> Array:
    """Give labels [samples]: int32 classes if they are of a whole type, else float32 targets."""
    if array.ndim != 1:
        raise DataError(
            f"{where}: {name} has the shape {array.shape}; expected [samples]. Of one-hot labels, "
            f"y.argmax(axis=1) are the classes."
        )
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{where}: {name} holds {array.dtype}; expected classes numbered from 0, or targets."
        )
    if array.dtype.kind == "f":
        return _float32(array, name, where)
    if array.size and not 0 <= array.min() <= array.max() < 2**31:
        raise DataError(
            f"{where}: {name} goes from {array.min()} to {array.max()}; classes are numbered from "
            f"0 (targets of a regression have a floating type)."
        )
    return array.astype(np.int32)


def _classes(train: Array, test: Array, where: Path) -> int:
    """Count the classes; 0 for targets."""
    if train.dtype != test.dtype:
        raise DataError(f"{where}: classes in one part, targets (of a floating type) in the other.")
    if train.dtype.kind == "f":
        return 0
    found = np.unique(train)
    if len(found) < 2:
        raise DataError(f"{where}: the training part has one class only; expected 2 or more.")
    if found[-1] >= len(found):
        absent = next(i for i, label in enumerate(found) if i != label)
        raise DataError(
            f"{where}: no training sample has class {absent}, but there is a class {found[-1]}; "
            f"expected numbers from 0 without gaps."
        )
    if only := set(test.tolist()) - set(found.tolist()):
        raise DataError(f"{where}: class {min(only)} is in the test part only.")
    return len(found)


def _split(x: Array, y: Array, where: Path) -> dict[str, Array]:
    """Make the last fifth the test part."""
    cut = len(x) - len(x) // TEST_SHARE
    if cut == len(x):
        raise DataError(f"{where}: {len(x)} samples; expected {TEST_SHARE} or more.")
    if y.dtype.kind != "f" and len(np.unique(y[cut:])) < len(np.unique(y)):
        raise DataError(
            f"{where}: the last fifth, which is the test part, does not have every class. Shuffle "
            f"the samples, or give the two parts (train_x, train_y, test_x, test_y in an .npz)."
        )
    return {"train_x": x[:cut], "train_y": y[:cut], "test_x": x[cut:], "test_y": y[cut:]}


def _dataset(raw: Mapping[str, Array], where: Path) -> Dataset:
    """Check what a reader gave, split it if need be, and bring it to the types that we keep."""
    for x, y in ((name, f"{name[:-1]}y") for name in raw if name.endswith("x")):
        if raw[x].shape[:1] != raw[y].shape[:1]:
            raise DataError(
                f"{where}: {x} has the shape {raw[x].shape} and {y} {raw[y].shape}; expected as "
                f"many samples as labels."
            )
    ready = {
        name: (_samples if name.endswith("x") else _labels)(array, name, where)
        for name, array in raw.items()
    }
    if "x" in ready:
        ready = _split(ready["x"], ready["y"], where)
    train, test = ready["train_x"], ready["test_x"]
    if (train.shape[1], train.dtype) != (test.shape[1], test.dtype):
        raise DataError(
            f"{where}: {train.shape[1]} features of {train.dtype} in the training part, "
            f"{test.shape[1]} of {test.dtype} in the test part; expected the same."
        )
    return Dataset(
        **ready,
        classes=_classes(ready["train_y"], ready["test_y"], where),
        checksum=content_hash(ready),
    )


# --- reading, once for as long as the file stays as it is ------------------------------------


def _stamp(path: Path) -> Stamp:
    """Size and time of every file: as long as it stays the same, so does the content.

    What was written a moment ago may be written again at the same time by its clock; its stamp is
    never the same.
    """
    try:
        about = [(str(path), path.stat())]
        for folder in (path / part for part in readers.PARTS):
            about += _inside(folder) if folder.is_dir() else []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    newest = max(stat.st_mtime_ns for _, stat in about)
    settled = abs(time.time_ns() - newest) > UNSETTLED_NS
    known = sorted((file, stat.st_mtime_ns, stat.st_size) for file, stat in about)
    return (*known, () if settled else time.monotonic_ns())


def _inside(folder: str | os.PathLike[str]) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.path, entry.stat()
            if entry.is_dir():
                yield from _inside(entry.path)


@lru_cache(maxsize=2)
def _read(path: Path, column: str | None, stamp: Stamp) -> Dataset:
    if column is not None:
        return table.read(path, column)[2]
    if path.is_dir():
        return _dataset(readers.tree(path), path)
    if path.suffix not in READERS or not path.is_file():
        raise DataError(
            f"{path}: expected {', '.join(READERS)}, or a folder with train/CLASS/*.npy and "
            f"test/CLASS/*.npy."
        )
    return _dataset(READERS[path.suffix](path), path)


@lru_cache(maxsize=256)
def _known(path: Path, column: str | None, stamp: Stamp) -> tuple[Shape, str]:
    """Shape and checksum; small, so that they outlive the arrays."""
    dataset = _read(path, column, stamp)
    return dataset.shape, dataset.checksum


def load(name: str, folder: Folder) -> Dataset:
    """Read and check it."""
    path = _found(name, folder)
    return _read(path, _asked(name)[1], _stamp(path))


def shape(name: str, folder: Folder) -> Shape:
    """Sizes, from the file."""
    path = _found(name, folder)
    return _known(path, _asked(name)[1], _stamp(path))[0]


def checksum(name: str, folder: Folder) -> str:
    """sha256 of the arrays, however they are packed and wherever they are."""
    path = _found(name, folder)
    return _known(path, _asked(name)[1], _stamp(path))[1]


def columns(name: str, folder: Folder) -> tuple[list[str], str] | None:
    """Names of a table's features and of its target."""
    column = _asked(name)[1]
    return None if column is None else table.read(_found(name, folder), column)[:2]


def verify(name: str, folder: Folder) -> dict[str, Path]:
    """Read and check it; there is no published hash to compare with."""
    load(name, folder)
    return {"file": _found(name, folder)}


fetch = verify


def state(name: str, folder: Folder) -> tuple[str, str]:
    """Whether it is there and can be used."""
    path = _located(name, folder)
    if path is None:
        return "absent", ""
    try:
        load(name, folder)
    except DataError:
        return "damaged", str(path.parent)
    return "ready", str(path.parent)
