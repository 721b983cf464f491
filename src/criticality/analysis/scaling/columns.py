"""Columns of data: read from a CSV, and checked."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from criticality.analysis.stats import Array
from criticality.base import InputError

Column = np.ndarray[Any, Any]
LABEL = "realization"  # the role whose values may be text
DELIMITERS = ",;\t|"
LARGEST = 1e100  # squares of larger numbers, and products of those, are none


def read_csv(path: str | os.PathLike[str], wanted: Mapping[str, str]) -> list[Column]:
    """Read columns of a CSV with a header.

    Fields are separated by commas, semicolons, tabs, bars or blanks, whichever the header has; a
    byte-order mark and blank lines are allowed.

    Parameters
    ----------
    path
        Of the file.
    wanted
        Name in the header for each role; values of the role "realization" may be text.

    Raises
    ------
    InputError
        If the file cannot be read or is empty, a column is missing, named twice or wanted twice,
        or a row has more or fewer fields than the header, or no number where one is due.
    """
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}).") from error
    if len(rows) < 2:
        state = "holds a header only" if rows else "is empty"
        raise InputError(f"{path} {state}; expected a header and a row for each measurement.")
    header = rows[0][1]
    for role, name in wanted.items():
        if name not in header:
            raise InputError(f"{path}: no column {name!r}; it has {', '.join(header)}.")
        if header.count(name) > 1:
            raise InputError(f"{path}: {header.count(name)} columns are named {name!r}; rename.")
        first = next(other for other, same in wanted.items() if same == name)
        if first != role:
            raise InputError(f"{path}: column {name!r} cannot be both the {first} and the {role}.")
    for line, fields in rows[1:]:
        if len(fields) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(fields)} fields where the header has {len(header)}; "
                f"which belongs to which column is not known."
            )
    columns = []
    for role, name in wanted.items():
        place = header.index(name)
        texts = [(f"{path}, line {line}", fields[place]) for line, fields in rows[1:]]
        for where, text in texts:
            if not text:
                raise InputError(
                    f"{where}: the {role} {name!r} is blank; expected "
                    f"{'a number or a name' if role == LABEL else 'a finite number'}, leave the "
                    f"row out if there is none."
                )
        columns.append(_labels(texts) if role == LABEL else _numbers(texts, name))
    return columns


def _rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every line that is not blank."""
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    header = next((line for line in lines if line.strip()), "")
    mark = max(DELIMITERS, key=header.count)
    if mark not in header:
        yield from ((n, line.split()) for n, line in enumerate(lines, 1) if line.strip())
        return
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    for row in reader:
        fields = [field.strip() for field in row]
        if any(fields):
            yield reader.line_num, fields


def _labels(texts: list[tuple[str, str]]) -> Column:
    """Whole numbers if all are, that they sort as such."""
    values = [text for _, text in texts]
    try:
        return np.array([int(value) for value in values])
    except (ValueError, OverflowError):
        return np.array(values)


def _numbers(texts: list[tuple[str, str]], name: str) -> Column:
    values = []
    for where, text in texts:
        try:
            values.append(float(text))
        except ValueError:
            raise InputError(f"{where}: column {name!r}: {text[:40]!r} is not a number.") from None
        _refuse(values[-1], f"{where}: column {name!r}: {text:.40}")
    return np.array(values)


def checked(columns: Mapping[str, ArrayLike], text: tuple[str, ...] = ()) -> list[Column]:
    """Columns of equal length, each of finite numbers unless listed in `text`.

    Raises
    ------
    InputError
        If they are not.
    """
    arrays = []
    for name, column in columns.items():
        array = np.ravel(np.asarray(column))
        if name in text:
            blank = pd.isna(array) | np.array([str(value).strip() == "" for value in array], bool)
            if blank.any():
                raise InputError(f"column {name!r}: blank in row {int(blank.argmax()) + 1}.")
        else:
            try:
                array = array.astype(float)
            except (TypeError, ValueError, OverflowError):
                wrong = next(value for value in array if not _is_number(value))
                raise InputError(f"column {name!r}: {wrong!r} is not a number.") from None
            bad = np.flatnonzero(~(np.abs(array) < LARGEST))
            if len(bad):
                _refuse(array[bad[0]], f"column {name!r}: {array[bad[0]]} in row {bad[0] + 1}")
        arrays.append(array)
    lengths = {name: len(array) for name, array in zip(columns, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns of unequal length: {lengths}.")
    return arrays


def check_covariance(matrix: Array) -> None:
    """Raise `InputError` for what is no covariance."""
    square = matrix.shape[0] == matrix.shape[1] and np.isfinite(matrix).all()
    if not square or not np.allclose(matrix, matrix.T, rtol=1e-6, atol=0):
        raise InputError("covariance: expected a symmetric matrix of finite numbers.")
    if np.linalg.eigvalsh(matrix)[0] <= 0:
        raise InputError("covariance: not positive definite; shrink it, or give standard errors.")


def _refuse(value: float, what: str) -> None:
    """Raise `InputError` for what cannot be computed with."""
    if not math.isfinite(value):
        raise InputError(f"{what}; expected a finite number, leave the row out if there is none.")
    if abs(value) >= LARGEST:
        raise InputError(f"{what}; expected less than {LARGEST:g}: choose another unit.")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
