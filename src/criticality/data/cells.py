"""Tables as text: names of columns, numbers below them, and what is said of a cell that is none."""

from __future__ import annotations

import contextlib
import csv
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from criticality.base import DataError
from criticality.data.dataset import Array

MISSING = ("", "?", ".", "-", "na", "n/a", "#n/a", "nan", "none", "null", "missing")
LISTED = 10  # names in an error
TAB = "\t"


def lines(path: Path, delimiter: str) -> tuple[list[str], list[str], dict[str, Any]]:
    """Names of the columns of a text, its rows as they are written, and how they are read.

    Semicolons are between the columns where these make more cells of the first line than commas.
    """
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
        first, *rows = [line for line in text.splitlines() if line.strip()] or [""]
        if not first:
            raise ValueError("it is empty")
        likely = (",", ";") if delimiter == "," else (delimiter,)
        heads = {mark: next(csv.reader([first], delimiter=mark)) for mark in likely}
        delimiter = max(likely, key=lambda mark: len(heads[mark]))
        names = [name.strip() for name in heads[delimiter]]
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        raise unreadable(path, error, "a text in UTF-8 with the names of columns") from None
    if all(_number(name) for name in names):
        raise DataError(f"{path}: the first line holds numbers; it has to name the columns.")
    if len(names) < 2:
        raise DataError(
            f"{path}: has one column, {names[0][:40]!r}; expected at least 2, with "
            f"{'tabs' if delimiter == TAB else 'commas'} between them."
        )
    if rows and not names[-1] and all(row.rstrip(" ").endswith(delimiter) for row in rows):
        raise DataError(
            f"{path}: every line ends in {delimiter!r} with nothing behind it, which is a last "
            f"column without name and numbers. Leave it out."
        )
    check_distinct(path, names)
    for number, row in enumerate(rows, start=1):
        if row.count('"') % 2:  # joined with the next row, two numbers would become one
            raise DataError(f"{path}: row {number} has a quotation mark that is not closed in it.")
    if not rows:
        raise DataError(f"{path}: no rows below the names of columns.")
    return names, rows, {"delimiter": delimiter, "quotechar": '"', "comments": None}


def check_distinct(path: Path, names: Sequence[str]) -> None:
    """Raise `DataError` for a name that comes twice."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise DataError(
                f"{path}: more than one column is called {name!r}; expected distinct names."
            )


def numbers(
    path: Path,
    names: list[str],
    rows: list[str],
    form: dict[str, Any],
    only: Sequence[int] | None = None,
) -> Array:
    """Cells [rows, columns] of the columns `only`, by default all, in float64."""
    try:
        values = np.loadtxt(rows, ndmin=2, usecols=only, **form)
        if only is None and values.shape[1] != len(names):
            raise ValueError(f"{values.shape[1]} cells in every row")
    except ValueError as error:
        raise _wrong_row(path, rows, names, form, error) from None
    return values


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # as in Python's 1_000


def _wrong_row(
    path: Path, rows: list[str], names: list[str], form: dict[str, Any], error: ValueError
) -> DataError:
    """Say which cell of a text is no number."""
    first: dict[str, tuple[int, str]] = {}
    with contextlib.suppress(csv.Error):
        for number, row in enumerate(csv.reader(rows, delimiter=form["delimiter"]), start=1):
            if len(row) != len(names):
                return DataError(
                    f"{path}: row {number} has {len(row)} cells below {len(names)} names of "
                    f"columns."
                )
            for name, cell in zip(names, row, strict=True):
                if not _number(cell):
                    first.setdefault(name, (number, cell))
    if not first:
        return unreadable(path, error, "numbers")
    return wrong_cell(path, {name: (row, repr(cell[:40])) for name, (row, cell) in first.items()})


def wrong_cell(path: Path, first: Mapping[str, tuple[int, str]]) -> DataError:
    """Say what is no number, of every column that has such a cell: its first row, and the cell."""
    (name, (row, cell)), *others = first.items()
    bare = cell.strip("' ").lower()
    if bare in MISSING:
        hint = "A value is missing: fill it in, or leave out the row or the column."
    elif re.fullmatch(r"[-+]?\d+,\d+(e[-+]?\d+)?", bare):
        hint = "Decimals are written with a point, thousands with nothing."
    else:
        hint = "Leave the column out, or write its text, dates or truth values as numbers."
    also = ", ".join(repr(other) for other, _ in others[:LISTED])
    more = f" and {len(others) - LISTED} more" if len(others) > LISTED else ""
    return DataError(
        f"{path}: row {row} has {cell} in column {name!r}; expected a number. {hint}"
        + (f" Other columns with such cells: {also}{more}." if others else "")
    )


def unreadable(path: Path, error: BaseException, expected: str) -> DataError:
    """Say why a file is not what it should be."""
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(f"{path}: cannot be read ({reason[0]}); expected {expected}.")
