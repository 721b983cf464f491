"""Readers of a user's own data, one for each way to keep them.

Each gives the arrays as they are, under the names train_x, train_y, test_x and test_y, or x and y
where they are not yet split.  Nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from criticality.base import DataError
from criticality.data.dataset import ARRAYS, Array

WHOLE = ("x", "y")
LABELS = ("y", "label", "target")
# what numpy and zipfile raise of a file that is damaged, or made to do damage
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def archive(path: Path) -> dict[str, Array]:
    """Arrays of an `.npz`; others than those named above are ignored."""
    try:
        with np.load(path, allow_pickle=False) as packed:
            held = set(packed.files)
            split, whole = held & set(ARRAYS), held & set(WHOLE)
            names = ARRAYS if split else WHOLE
            if (split and whole) or not held >= set(names):
                raise DataError(
                    f"{path}: holds {_listed(held)}; expected either {_listed(ARRAYS)}, or x and y."
                )
            return {name: packed[name] for name in names}
    except DataError:
        raise
    except (*BROKEN, AttributeError) as error:  # of which the last: no archive but one array
        raise _unreadable(path, error, "an .npz with train_x, train_y, test_x and test_y") from None


def table(path: Path, delimiter: str) -> dict[str, Array]:
    """Columns of numbers below a line of their names: x all but the label, y the label.

    Labels that are all written as whole numbers are classes, others are targets.
    """
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error, "a text in UTF-8") from None
    if len(lines) < 2:
        raise DataError(f"{path}: no rows; expected a line of column names, then lines of numbers.")
    names = [name.strip() for name in next(csv.reader(lines[:1], delimiter=delimiter))]
    if all(_number(name) for name in names):
        raise DataError(f"{path}: the first line holds numbers; it has to name the columns.")
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(
            f"{path}: its columns are {', '.join(names)}; expected distinct names, at least 2."
        )
    named = [i for i, name in enumerate(names) if name in LABELS]
    if len(named) > 1:
        raise DataError(
            f"{path}: {' and '.join(names[i] for i in named)} may each be the label; rename one."
        )
    label = named[0] if named else len(names) - 1
    try:
        cells = np.loadtxt(
            lines[1:], dtype=str, delimiter=delimiter, quotechar='"', comments=None, ndmin=2
        )
    except BROKEN as error:
        raise _unreadable(path, error, "as many cells in every row") from None
    if cells.shape[1] != len(names):
        raise DataError(
            f"{path}: rows of {cells.shape[1]} cells below {len(names)} names of columns."
        )
    columns = [_column(path, names[i], cells[:, i], i == label) for i in range(len(names))]
    y = columns.pop(label)
    return {"x": np.stack(columns, axis=1), "y": y}


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _column(path: Path, name: str, cells: Array, whole: bool) -> Array:
    """Numbers of one column; whole ones stay so if that is asked for."""
    for kind in (np.int64, np.float64) if whole else (np.float64,):
        try:
            return cells.astype(kind)
        except (ValueError, OverflowError):
            pass
    row = next(i for i, cell in enumerate(cells) if not _number(cell))
    raise DataError(
        f"{path}: row {row + 1} has {str(cells[row])!r} in column {name!r}; expected a number."
    )


def tree(path: Path) -> dict[str, Array]:
    """Arrays of a folder: PATH/train/CLASS/*.npy and PATH/test/CLASS/*.npy, a sample a file.

    Classes are numbered in the order of their names as texts.
    """
    classes = [folder.name for folder in _visible(path / "train")]
    parts: dict[str, Array] = {}
    for part in ("train", "test"):
        samples: list[Array] = []
        labels: list[int] = []
        for folder in _visible(path / part):
            if folder.name not in classes:
                raise DataError(f"{folder}: no class of this name in {path / 'train'}.")
            for file in _visible(folder):
                samples.append(_sample(file))
                labels.append(classes.index(folder.name))
                this, first = samples[-1], samples[0]
                if (this.shape, this.dtype) != (first.shape, first.dtype):
                    raise DataError(
                        f"{file}: {this.dtype} of shape {this.shape}, where the first sample is "
                        f"{first.dtype} of shape {first.shape}."
                    )
        if not samples:
            raise DataError(f"{path / part}: holds no sample; expected CLASS/*.npy, one a sample.")
        parts[f"{part}_x"] = np.stack([sample.reshape(-1) for sample in samples])
        parts[f"{part}_y"] = np.array(labels)
    return parts


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise _unreadable(folder, error, "train/CLASS/*.npy and test/CLASS/*.npy") from None


def _sample(file: Path) -> Array:
    if file.suffix != ".npy":
        raise DataError(
            f"{file}: expected .npy arrays only; of a picture, "
            f"np.save('{file.stem}.npy', matplotlib.pyplot.imread('{file.name}')) makes one."
        )
    try:
        array: Array = np.load(file, allow_pickle=False)
    except BROKEN as error:
        raise _unreadable(file, error, "an .npy array") from None
    return array


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _unreadable(path: Path, error: BaseException, expected: str) -> DataError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(f"{path}: cannot be read ({reason[0]}); expected {expected}.")
