"""Readers of a user's own data, one for each way to keep them.

Each gives the arrays as they are, under the names train_x, train_y, test_x and test_y, or x and y
where they are not yet split.  Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from criticality.base import DataError
from criticality.data.cells import lines, numbers, unreadable
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
        raise unreadable(path, error, "an .npz of arrays") from None
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
    names, rows, form = lines(path, delimiter)
    named = [i for i, name in enumerate(names) if name in LABELS]
    if len(named) > 1:
        raise DataError(
            f"{path}: {' and '.join(names[i] for i in named)} may each be the label; rename one."
        )
    label = named[0] if named else len(names) - 1
    values = numbers(path, names, rows, form)
    y = values[:, label]
    if np.all(y == np.rint(y)):  # but 3.0 is a target
        written = np.loadtxt(rows, dtype=str, usecols=label, ndmin=1, **form)
        with contextlib.suppress(ValueError, OverflowError):
            y = written.astype(np.int64)
    return {"x": np.delete(values, label, axis=1), "y": y}


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
        raise unreadable(folder, error, "train/CLASS/*.npy and test/CLASS/*.npy") from None


def _sample(file: Path) -> Array:
    if file.suffix != ".npy":
        raise DataError(
            f"{file}: expected .npy arrays only; of a picture, "
            f"np.save('{file.stem}.npy', matplotlib.pyplot.imread('{file.name}')) makes one."
        )
    try:
        array: Array = np.load(file, allow_pickle=False)
    except Exception as error:
        raise unreadable(file, error, "an .npy array") from None
    return array
