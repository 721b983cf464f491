"""Tables of numbers in a folder: a CSV file each, and where they come from, which seals them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from criticality import files
from criticality.base import InputError

Tables = Mapping[str, pd.DataFrame]
DIGITS = "%.6g"  # of what is drawn
ORIGIN = "provenance.json"
SEALS = "tables"  # in it: sha256 of every table


def as_kept(tables: Tables) -> dict[str, pd.DataFrame]:
    """Give tables as they will be read again, so that all who draw and say have the same digits."""
    return {name: _table(_text(table)) for name, table in tables.items()}


def _text(table: pd.DataFrame) -> str:
    found: str = table.to_csv(index=False, float_format=DIGITS, lineterminator="\n")
    return found


def _table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text)) if text.strip() else pd.DataFrame()


def write(tables: Tables, origin: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write tables and where they come from; give the files.

    Raises
    ------
    InputError
        If they cannot be written.
    """
    texts = {f"{name}.csv": _text(table) for name, table in tables.items()}
    seals = {name: _seal(text.encode()) for name, text in texts.items()}
    texts[ORIGIN] = json.dumps({**origin, SEALS: seals}, indent=1) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with files.replacing(folder / name) as temporary:
                temporary.write_bytes(text.encode())
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error}).") from error
    return [folder / name for name in texts]


def read(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read the tables of a folder, and where they come from.

    Raises
    ------
    InputError
        If there are none, or they are not as they were written.
    """
    about = origin(folder)
    seals, found = about.pop(SEALS), {}
    for name in sorted({*seals, *(path.name for path in folder.glob("*.csv"))}):
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise InputError(f"{folder / name}: cannot be read ({error}).") from error
        if _seal(content) != seals.get(name):
            raise InputError(
                f"{folder / name}: not as it was written, by its sha256 in {ORIGIN}; "
                f"numbers that are kept are measured, not edited."
            )
        found[name.removesuffix(".csv")] = _table(content.decode())
    return found, about


def origin(folder: Path, *wanted: str) -> dict[str, Any]:
    """Read where the tables of a folder come from, with their seals; `wanted` must be told there.

    Raises
    ------
    InputError
        If it is not there, or cannot be read.
    """
    try:
        about = dict(json.loads((folder / ORIGIN).read_text()))
        missing = {SEALS, *wanted} - about.keys()
        if not missing and isinstance(about[SEALS], dict):
            return about
        raise ValueError(f"nothing about {', '.join(sorted(missing))}")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder / ORIGIN}: does not say where numbers come from ({error})."
        ) from error


def _seal(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
