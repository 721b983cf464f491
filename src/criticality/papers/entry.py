"""What an entry is, and which there are."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from criticality.base import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store, Study

HERE = Path(__file__).parent
PAPERS = (
    "findings",
    "pan2026",
    "pesce2026",
    "bonnaire2025",
    "fuchs2025",
    "liu2022",
    "wongtoi2025",
    "yarotsky2020",
    "zhou2022",
)  # the rooms of entries
SCALES = ("quick", "full")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A figure, and all that it takes to make it.

    Attributes
    ----------
    name, title
        "findings/line", and what it is in a line.
    studies
        Stems of its study files.  Entries that name the same share its store.
    needs
        Of these, those without whose results there is nothing to measure; all by default.
    own
        Systems that are not installed, "package.module:Name", by the stem of their study; none
        by default.
    measure
        Tables of everything that is drawn or said, from the stores by stem of the studies that
        have results.
    draw
        Figure of these tables.
    say
        The answer in words, from these tables.
    """

    name: str
    title: str
    studies: tuple[str, ...]
    needs: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    measure: Callable[[Mapping[str, Store]], dict[str, pd.DataFrame]]
    draw: Callable[[Tables], Figure]
    say: Callable[[Tables], str]

    def __post_init__(self) -> None:
        """Need all studies where nothing else is said."""
        object.__setattr__(self, "needs", self.needs or self.studies)

    def plans(self, scale: str) -> dict[str, Study]:
        """Read its studies at a scale, by stem.

        Raises
        ------
        InputError
            If there is no such scale.
        """
        from criticality import catalog
        from criticality.study import Study

        if scale not in SCALES:
            raise unknown("scale", scale, SCALES, "--scale")
        plans = {}
        for stem in self.studies:
            kind = catalog.find(self.own[stem]) if stem in self.own else None
            plans[stem] = Study.from_toml(HERE / "studies" / scale / f"{stem}.toml", kind)
        return plans

    @property
    def kept(self) -> Path:
        """Folder of the numbers that are kept of it, of the scale that they say."""
        return HERE / "numbers" / self.name

    @property
    def done(self) -> bool:
        """Whether there are such numbers."""
        return self.kept.is_dir()


def names() -> tuple[str, ...]:
    """Names of all entries."""
    return tuple(_entries())


def entry(name: str) -> Entry:
    """Find an entry by its name.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if mine := [one for one in names() if one.startswith(f"{name}/")]:
        raise InputError(f"which of {name}? It has {', '.join(mine)}.")
    if name not in names():
        raise unknown("entry", name, names())
    return _entries()[name]


@cache
def _entries() -> dict[str, Entry]:
    """Find the entries of all rooms, by name, in the order of papers and figures."""
    found: dict[str, Entry] = {}
    for paper in PAPERS:
        modules = (
            importlib.import_module(f"criticality.papers.{paper}.{module.name}")
            for module in pkgutil.iter_modules([str(HERE / paper)])
        )
        there = [one for module in modules for one in declared(module, paper)]
        found |= {one.name: one for one in sorted(there, key=lambda one: natural(one.name))}
    return found


def declared(module: ModuleType, paper: str) -> tuple[Entry, ...]:
    """Give the entries of a module: its `ENTRIES`, or itself if it has a title."""
    if not hasattr(module, "TITLE"):
        several: tuple[Entry, ...] = getattr(module, "ENTRIES", ())
        return several
    about = {name: getattr(module, name.upper()) for name in ("title", "studies")}
    about |= {name: getattr(module, name) for name in ("measure", "draw", "say")}
    more = {n: getattr(module, n.upper()) for n in ("needs", "own") if hasattr(module, n.upper())}
    return (Entry(name=f"{paper}/{module.__name__.rpartition('.')[2]}", **about, **more),)


def natural(name: str) -> list[str | int]:
    """Sort figure 2 before figure 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
