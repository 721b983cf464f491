"""From the stores of an entry to its figure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from criticality.base import InputError
from criticality.papers import tables
from criticality.papers.entry import Entry
from criticality.papers.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

    from criticality.study import Store

DPI = 160
TOLD = ("version", "data", "device", "libraries", "python", "criticality", "commit")


def stores(entry: Entry, scale: str, folder: Path) -> dict[str, Store]:
    """Where the results of its studies are, or go, by stem."""
    from criticality.study import Store

    return {stem: Store(folder / scale / stem) for stem in entry.studies}


def measured(
    entry: Entry, scale: str, folder: Path
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Measure what the stores hold; tables, and where they come from.

    Raises
    ------
    InputError
        If a store is missing or holds too little.
    """
    there = stores(entry, scale, folder)
    missing = [stem for stem, store in there.items() if not store.path.is_dir()]
    if missing:
        raise InputError(
            f"{folder / scale}: no results of {', '.join(missing)}; to compute them, "
            f"leave --as-is out."
        )
    return entry.measure(there), {
        "entry": entry.name,
        "scale": scale,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "studies": {stem: _origin(store) for stem, store in there.items()},
    }


def _origin(store: Store) -> dict[str, Any]:
    """Say what was asked for, how much of it is done, and by what."""
    from criticality.study.status import status

    state = status(store)
    plan = {name: state.plan[name] for name in ("system", "seed", "realizations", "grid")}
    about: dict[str, Any] = {}
    for entry in store.entries()[0]:
        for name in TOLD:
            value = entry.attributes.get(name)
            if value is not None and value not in about.setdefault(name, []):
                about[name].append(value)
    done = {"tasks": state.total, "done": state.done, "core_hours": round(state.seconds / 3600, 2)}
    return plan | done | about


def save(
    entry: Entry, found: Tables, origin: Mapping[str, Any], out: Path, formats: Sequence[str]
) -> list[Path]:
    """Draw the figure and write what it shows; give the files.

    Raises
    ------
    InputError
        If they cannot be written.
    """
    figure = entry.draw(found)
    if origin["scale"] == "quick":
        figure.text(0.998, 0.002, "quick version", ha="right", va="bottom", fontsize=8, alpha=0.7)
    files = tables.write(found, origin, out / entry.name)
    for kind in formats:
        files.append(out / f"{entry.name}.{kind}")
        try:
            figure.savefig(files[-1], dpi=DPI)
        except OSError as error:
            raise InputError(f"{files[-1]}: cannot be written ({error}).") from error
    return files
