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

    from criticality.study import Store, Study

DPI = 160
TOLD = ("version", "data", "device", "libraries", "python", "criticality", "commit")


def measured(
    entry: Entry, scale: str, folder: Path
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Measure what the stores of its studies hold; tables, and where they come from.

    Raises
    ------
    InputError
        If a store is of another study, or one that the entry needs is missing or holds nothing.
    """
    from criticality.study import Store

    there, studies = {}, {}
    for stem, plan in entry.plans(scale).items():
        store = Store(folder / scale / stem)
        found = _origin(store, plan)
        if found["done"]:
            there[stem], studies[stem] = store, found
        elif stem in entry.needs:
            raise InputError(
                f"{store.path}: no results yet; `criticality paper {entry.name} --scale {scale} "
                f"--store {folder}` computes what is missing."
            )
        else:
            studies[stem] = found
    return tables.as_kept(entry.measure(there)), {
        "entry": entry.name,
        "scale": scale,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "studies": studies,
    }


def _origin(store: Store, plan: Study) -> dict[str, Any]:
    """Say what the study asks for, how much of it is done, and by what."""
    asked = plan.plan()
    about: dict[str, Any] = {n: asked[n] for n in ("system", "seed", "realizations", "grid")}
    done, seconds = 0, 0.0
    if store.path.is_dir():
        _check(store, asked)
        store.refresh()
        for done, (_, result) in enumerate(store.of(asked), start=1):  # noqa: B007
            seconds += result.own.get("wall_seconds", 0.0)
        for entry in store.entries()[0]:
            for name in TOLD:
                value = entry.attributes.get(name)
                if value is not None and value not in about.setdefault(name, []):
                    about[name].append(value)
    total = len(plan.systems()) * plan.realizations
    return about | {"tasks": total, "done": done, "core_hours": round(seconds / 3600, 2)}


def _check(store: Store, asked: Mapping[str, Any]) -> None:
    """Raise `InputError` for a store that holds more than the study, or another."""
    from criticality.study.manifest import values

    store.admit(asked)
    plan = store.plan()
    plan = plan | {"controls": asked.get("before", {}) | plan["controls"]}
    for name in asked["controls"]:
        other = [value for value in values(plan, name) if value not in values(asked, name)]
        if other:
            raise InputError(
                f"{store.path}: is of another study: {name} is {', '.join(map(str, other))} there, "
                f"which this one has not. Use another --store."
            )


def kept(entry: Entry) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read the numbers that are kept of an entry, and where they come from.

    Raises
    ------
    InputError
        If there are none yet, or they are not as they were written.
    """
    if not entry.done:
        raise InputError(
            f"{entry.name} has no kept numbers yet; --scale quick --store DIR computes a small "
            f"version, in minutes."
        )
    try:
        marks(tables.origin(entry.kept, "scale", "studies"))
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{entry.kept}: {tables.ORIGIN} does not say how much is done ({error!r})."
        ) from error
    return tables.read(entry.kept)


def marks(origin: Mapping[str, Any]) -> list[str]:
    """Say what the numbers lack: the full scale, or how many networks of how many are done."""
    done, tasks = (sum(s[name] for s in origin["studies"].values()) for name in ("done", "tasks"))
    short = [f"{done} of {tasks} networks"] if done < tasks else []
    return ["quick version"] * (origin["scale"] == "quick") + short


def writable(entry: Entry, out: Path) -> None:
    """Raise `InputError` if nothing can be written there."""
    place = out / entry.name
    try:
        place.mkdir(parents=True, exist_ok=True)
        trial = place / ".trial"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error}).") from error


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
    if lacking := marks(origin):
        style: dict[str, Any] = {"x": 0.998, "ha": "right", "fontsize": 8, "alpha": 0.7}
        figure.supxlabel(", ".join(lacking), **style)  # for which the layout makes room
    files = tables.write(found, origin, out / entry.name)
    for kind in formats:
        files.append(out / f"{entry.name}.{kind}")
        try:
            figure.savefig(files[-1], dpi=DPI)
        except OSError as error:
            raise InputError(f"{files[-1]}: cannot be written ({error}).") from error
    return files
