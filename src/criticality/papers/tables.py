"""Tables of numbers in a folder: a CSV file each, and where they come from."""

from __future__ import annotations

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


def write(tables: Tables, origin: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write tables and where they come from; give the files.

    Raises
    ------
    InputError
        If they cannot be written.
    """
    found = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            found.append(folder / f"{name}.csv")
            with files.replacing(found[-1]) as temporary:
                table.to_csv(temporary, index=False, float_format=DIGITS)
        found.append(folder / ORIGIN)
        with files.replacing(found[-1]) as temporary:
            temporary.write_text(json.dumps(origin, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error}).") from error
    return found


def read(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read the tables of a folder, and where they come from.

    Raises
    ------
    InputError
        If there are none, or they cannot be read.
    """
    if not (folder / ORIGIN).is_file():
        raise InputError(f"{folder}: no numbers are kept there; compute them with --scale.")
    try:
        tables = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv"))}
        return tables, json.loads((folder / ORIGIN).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: cannot be read ({error}).") from error
