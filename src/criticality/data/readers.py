"""Readers of a user's own data, one for each way to keep them.

Each gives the arrays as they are, under the names train_x, train_y, test_x and test_y, or x and y
where they are not yet split.  Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from criticality.base import DataError
from criticality.data.dataset import ARRAYS, Array

WHOLE = ("x", "y")
PARTS = ("train", "test")
LABELS = ("y", "label", "target")


def archive(path: Path) -> dict[str, Array]:
    """Arrays of an `.npz`; others than those named above are ignored."""
    wanted: tuple[str, ...] = ()
    try:
        # opened here, since numpy leaves a file open that is no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as packed:
            held = set(packed.files)
            for names, other in ((ARRAYS, WHOLE), (WHOLE, ARRAYS)):
                if held >= set(names) and not held & set(other):
                    wanted = names
            arrays = {name: packed[name] for name in wanted}
    except Exception as error:  # of many kinds, where a file is damaged or made to do damage
        raise _unreadable(path, error, "an .npz of arrays") from None
    if not wanted:
        raise DataError(
            f"{path}: holds {', '.join(sorted(held)) or 'nothing'}; expected either "
            f"{', '.join(ARRAYS)}, or x and y."
        )
    return arrays


def table(path: Path, delimiter: str) -> dict[str, Array]:
    """Columns of numbers below a line of their names: x all but the label, y the label.

    Labels that are all written as whole numbers are classes, others are targets.
    """
    try:
        first, *rows = (line for line in path.read_text("utf-8-sig").splitlines() if line.strip())
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    except (OSError, ValueError, csv.Error) as error:
        raise _unreadable(path, error, "a text in UTF-8 with the names of columns") from None
    if all(_number(name) for name in names):
        raise DataError(f"{path}: the first line holds numbers; it has to name the columns.")
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(
            f"{path}: its columns are {', '.join(names)}; expected distinct names, at least 2."
        )
    if not rows:
        raise DataError(f"{path}: no rows below the names of columns.")
    named = [i for i, name in enumerate(names) if name in LABELS]
    if len(named) > 1:
        raise DataError(
            f"{path}: {' and '.join(names[i] for i in named)} may each be the label; rename one."
        )
    label = named[0] if named else len(names) - 1
    form: dict[str, Any] = {"delimiter": delimiter, "quotechar": '"', "comments": None}
    try:
        numbers = np.loadtxt(rows, ndmin=2, **form)
        if numbers.shape[1] != len(names):
            raise ValueError(f"{numbers.shape[1]} cells in every row")
    except ValueError as error:
        raise _wrong_cell(path, csv.reader(rows, delimiter=delimiter), names, error) from None
    y = numbers[:, label]
    if np.all(y == np.rint(y)):  # but 3.0 is a target
        written = np.loadtxt(rows, dtype=str, usecols=label, ndmin=1, **form)
        with contextlib.suppress(ValueError, OverflowError):
            y = written.astype(np.int64)
    return {"x": np.delete(numbers, label, axis=1), "y": y}


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _wrong_cell(
    path: Path, rows: Iterable[list[str]], names: list[str], error: ValueError
) -> DataError:
    """Say which cell of a table is none."""
    with contextlib.suppress(csv.Error):
        for number, row in enumerate(rows, start=1):
            where = f"{path}: row {number}"
            if len(row) != len(names):
                return DataError(
                    f"{where} has {len(row)} cells below {len(names)} names of columns."
                )
            for name, cell in zip(names, row, strict=True):
                if not _number(cell):
                    return DataError(
                        f"{where} has {cell[:40]!r} in column {name!r}; expected a number."
                    )
    return _unreadable(path, error, "numbers")


def tree(path: Path) -> dict[str, Array]:
    """Arrays of a folder: PATH/train/CLASS/*.npy and PATH/test/CLASS/*.npy, a sample a file.

    Classes are numbered in the order of their names as texts.
    """
    classes = [folder.name for folder in _visible(path / "train")]
    parts: dict[str, Array] = {}
    for part in PARTS:
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
    except Exception as error:
        raise _unreadable(file, error, "an .npy array") from None
    return array


def _unreadable(path: Path, error: BaseException, expected: str) -> DataError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(f"{path}: cannot be read ({reason[0]}); expected {expected}.")
