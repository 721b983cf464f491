"""A user's own table: "table:PATH#COLUMN", one column of which is the target of a regression.

It is not split: parts of it are drawn by whoever uses it.  Every other column is a feature, so what
is no number is refused and never dropped or encoded in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from criticality.base import DataError, unknown
from criticality.data import cells
from criticality.data.dataset import ARRAYS, Array, Dataset, content_hash

FORMATS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
TARGETS = ("y", "target", "label")
FEWEST = 5  # rows
# of a name of an index that pandas wrote along with the table: to CSV, from there, to Parquet
INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
# Whoever standardises a column in 32 bits loses a spread below this share of its numbers, and
# squares that are too large or too small.
RESOLVED = 1e-5
SPREADS = (1e-15, 1e15)


def parts(text: str) -> tuple[str, str]:
    """Path and column of PATH#COLUMN; no column is "".  Either may have another "#" in it."""
    ends = "|".join(re.escape(form) for form in FORMATS)
    found = re.fullmatch(rf"(.*?(?:{ends}))(?:#(.*))?", text, re.IGNORECASE | re.DOTALL)
    path, column = (found[1], found[2]) if found else text.partition("#")[::2]
    return path, (column or "").strip()


def read(path: Path, column: str) -> tuple[list[str], str, Dataset]:
    """Names of the features, that of the target, and the numbers, all of them training samples.

    Raises
    ------
    DataError
        For a file, a column or a cell that cannot be used.
    """
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower() + suffix
    if suffix not in FORMATS:
        raise DataError(
            f"{path}: a table is {', '.join(FORMATS)}. Save that of a spreadsheet as CSV."
        )
    if not path.is_file():
        raise DataError(f"{path}: no file; expected one table, {', '.join(FORMATS)}.")
    if suffix == ".parquet":
        names, frame = _parquet(path)
        target = _target(path, names, column)
        values = _numbers(path, names, frame)
    else:
        names, rows, form = cells.lines(path, cells.TAB if suffix.startswith(".tsv") else ",")
        target = _target(path, names, column)
        values = cells.numbers(path, names, rows, form)
    dataset = regression(values, names, target, path)
    return [name for name in names if name != target], target, dataset


def _parquet(path: Path) -> tuple[list[str], Any]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path}: Parquet is read by pyarrow, which is not installed; "
            f"`pip install 'criticality[tables]'`, or save the table as CSV."
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            frame = file.read()
    except Exception as error:  # of many kinds, where a file is damaged
        raise cells.unreadable(path, error, "a Parquet table") from None
    names = [name.strip() for name in frame.column_names]
    if len(names) < 2 or not frame.num_rows:
        raise DataError(
            f"{path}: {frame.num_rows} rows of {len(names)} columns; expected 2 columns or more, "
            f"and rows."
        )
    cells.check_distinct(path, names)
    return names, frame


def _numbers(path: Path, names: Sequence[str], frame: Any) -> Array:
    """Cells [rows, columns] of an Arrow table in float64."""
    from pyarrow import float64, types

    wrong: dict[str, tuple[int, str]] = {}
    columns = []
    for name, column in zip(names, frame.columns, strict=True):
        kind = column.type
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        if column.null_count:
            empty = np.asarray(column.is_null())
            wrong[name] = (1 + int(empty.argmax()), "null")
        elif not number:
            shown = str(column[0].as_py())
            wrong[name] = (1, repr(shown[:40] + "..." * (len(shown) > 40)))
        else:
            columns.append(np.asarray(column.cast(float64(), safe=False)))
    if wrong:
        raise cells.wrong_cell(path, wrong)
    return np.stack(columns, axis=1)


def _target(path: Path, names: Sequence[str], column: str) -> str:
    if index := [name for name in names if INDEX.fullmatch(name)]:
        at = names.index(index[0]) + 1
        called = f"is called {index[0]!r}" if index[0] else "has no name"
        raise DataError(
            f"{path}: column {at} {called}, as an index that pandas has written, and would be "
            f"taken for a feature. Write the table with index=False, or give the column a name."
        )
    if column:
        if column not in names:
            raise DataError(str(unknown("column", column, names, str(path))))
        return column
    likely = [name for name in names if name.lower() in TARGETS]
    if len(likely) != 1:
        why = f"{' and '.join(likely)} may each be the target" if likely else "names no target"
        raise DataError(
            f"{path}: {why}. Name its column: table:{path.name}#COLUMN, one of {', '.join(names)}."
        )
    return likely[0]


def regression(values: Array, names: Sequence[str], target: str, where: Path) -> Dataset:
    """Check the numbers [rows, columns] of a table and make them samples and targets of 32 bits.

    Raises
    ------
    DataError
        For numbers that 32 bits do not hold, and columns that say nothing.
    """
    if len(values) < FEWEST:
        raise DataError(f"{where}: rows: {len(values)}; expected {FEWEST} or more.")
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    wrong = ~np.isfinite(single)
    if wrong.any():
        row, at = (int(i) for i in np.argwhere(wrong)[0])
        if np.isnan(values[row, at]):
            raise cells.wrong_cell(where, {names[at]: (row + 1, "nan")})
        raise DataError(
            f"{where}: row {row + 1} has {values[row, at]} in column {names[at]!r}; expected "
            f"finite numbers of 32 bits. Leave the row out, or change the unit of the column."
        )
    for name, column in zip(names, values.T, strict=True):
        low, high, spread = column.min(), column.max(), column.std()
        if low == high:
            more = "a target has to vary" if name == target else "leave the column out"
            raise DataError(f"{where}: column {name!r} is {low} in every row; {more}.")
        if not SPREADS[0] < spread < SPREADS[1] or spread < RESOLVED * max(abs(low), abs(high)):
            raise DataError(
                f"{where}: column {name!r} goes from {low} to {high} with a deviation of "
                f"{spread:.2g}, which would be lost in 32 bits. Change its unit, or subtract a "
                f"constant from it."
            )
    at = list(names).index(target)
    x = np.ascontiguousarray(np.delete(single, at, axis=1))
    y = np.ascontiguousarray(single[:, at])
    arrays = dict(zip(ARRAYS, (x, y, x[:0], y[:0]), strict=True))
    return Dataset(**arrays, classes=0, checksum=content_hash(arrays))
