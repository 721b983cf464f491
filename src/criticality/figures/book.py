"""Pages of figures: what a system's own pages are drawn into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from criticality.analysis.classify import PhaseDiagram
from criticality.base import Axis, Card, InputError, meant
from criticality.figures.parts import assigned

HEIGHT = 4.2


class Source(Protocol):
    """Where pages get their numbers from: a store, at the values that were selected."""

    card: Card
    axes: dict[str, Axis]
    here: bool

    def open(self, *observables: str) -> xr.Dataset:
        """Observables, all if none is named."""

    def diagram(self, at: Mapping[str, Any] | None = None) -> PhaseDiagram:
        """Phases over the plane, at these values of other axes that are swept."""


class Book:
    """Pages by name, each with rows of axes.

    A system's `pages` function is called as (source, book, at) and draws what it has; `at` holds
    the values of axes that the user asked for, as texts.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Figure] = {}

    def page(
        self, name: str, columns: int, width: float, titles: Sequence[str] = ("",)
    ) -> list[Sequence[Axes]]:
        """Begin a page of so many columns, with a row for each title; give its rows of axes."""
        figure = Figure(figsize=(width, HEIGHT * len(titles)), layout="constrained")
        self.pages[name] = figure
        rows = figure.subfigures(len(titles), 1, squeeze=False).ravel()
        for row, title in zip(rows, titles, strict=True):
            if title:
                row.suptitle(title)
        return [row.subplots(1, columns, squeeze=False)[0] for row in rows]

    def save(self, folder: Path, file_format: str) -> dict[str, str]:
        """Write every page into a folder; give the file of each.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = {}
            for name, figure in self.pages.items():
                found[name] = str(folder / f"{name}.{file_format}")
                figure.savefig(found[name], dpi=160)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error}).") from error
        return found


def all_used(at: Mapping[str, str], *names: str) -> None:
    """Raise `InputError` for a value of an axis of which no figure shows one value."""
    for name, value in at.items():
        if name not in names:
            raise InputError(
                f"--at {name}={value}: none of these figures shows one value of {name}; to draw a "
                f"part of the store, use --select {name}={value}."
            )


def chosen(ds: xr.Dataset, name: str, at: Mapping[str, str], default: Any) -> Any:
    """Measured value of an axis: the one asked for, or the nearest to a default.

    Raises
    ------
    InputError
        If what is asked for was not measured.
    """
    values = ds[name].values
    if name in at:
        return meant("--at", name, at[name], values)
    if values.dtype.kind in "iuf":
        return values[abs(values - default).argmin()]
    return default if default in values else values[0]


def at_point(
    ds: xr.Dataset, dims: Sequence[str], at: Mapping[str, str], default: int
) -> tuple[xr.Dataset, str]:
    """Choose one value of each of these axes, and say which.

    Parameters
    ----------
    ds
        What was measured.
    dims
        Axes; of an ordered one that has the value again, the first time is taken.
    at, default
        Values that were asked for, and the place of the one where none was: 0 or -1.

    Raises
    ------
    InputError
        As `chosen`.
    """
    said = []
    for dim in dims:
        values = list(ds[dim].values)
        value = chosen(ds, dim, at, values[default])
        ds = ds.isel({dim: values.index(value)})
        if len(values) > 1:
            said.append(assigned(ds, dim, value))
    return ds, ", ".join(said)
