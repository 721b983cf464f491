"""What an entry is, and which there are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from criticality.base import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store, Study

HERE = Path(__file__).parent
PAPERS = ("findings",)  # the rooms of entries
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
        Of these, those without whose results there is nothing to measure.
    own
        Systems that are not installed, "package.module:Name", by the stem of their study.
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
    needs: tuple[str, ...]
    own: Mapping[str, str]
    measure: Callable[[Mapping[str, Store]], dict[str, pd.DataFrame]]
    draw: Callable[[Tables], Figure]
    say: Callable[[Tables], str]

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
        """Folder of the numbers that its full studies gave."""
        return HERE / "numbers" / self.name

    @property
    def done(self) -> bool:
        """Whether there are such numbers."""
        return self.kept.is_dir()


def names() -> tuple[str, ...]:
    """Names of all entries."""
    return tuple(
        f"{paper}/{module.name}"
        for paper in PAPERS
        for module in pkgutil.iter_modules([str(HERE / paper)])
    )


def entry(name: str) -> Entry:
    """Find an entry by its name.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if name not in names():
        raise unknown("entry", name, names())
    module = importlib.import_module(f"criticality.papers.{name.replace('/', '.')}")
    try:
        return Entry(
            name=name,
            title=module.TITLE,
            studies=module.STUDIES,
            needs=getattr(module, "NEEDS", module.STUDIES),
            own=getattr(module, "OWN", {}),
            measure=module.measure,
            draw=module.draw,
            say=module.say,
        )
    except AttributeError as error:
        raise InputError(f"{module.__file__}: {error}") from error
