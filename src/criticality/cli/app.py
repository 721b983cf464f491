"""What the commands share: the application, options, and how it speaks and fails."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import Card, DataError, InputError, RunError, meant, unknown
from criticality.engine.signals import leaving

if TYPE_CHECKING:
    import xarray as xr

    from criticality.analysis.classify import PhaseDiagram

app = typer.Typer(
    help="A laboratory for phase transitions in neural networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
FORMATS = ("png", "pdf", "svg")  # of figures
data_app = typer.Typer(help="Data sets: list, fetch, verify.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def _looking_in(context: typer.Context, folder: Path | None) -> Path | None:
    """Look for data in this folder for as long as the command runs."""
    from criticality import data

    context.with_resource(data.looking_in(folder))
    return folder


Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of data: published files, and what file: and table: mean; looked in first.",
        envvar="CRITICALITY_DATA",
        callback=_looking_in,
    ),
]
StoreDir = Annotated[Path, typer.Argument(help="Directory of a store.", show_default=False)]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select", help="AXIS=VALUE: one value of another swept axis.", metavar="AXIS=VALUE"
    ),
]
Own = Annotated[
    str | None,
    typer.Option(
        "--system",
        help="An own system, FILE.py:NAME or PACKAGE.MODULE:NAME; it is run.",
        metavar="PLACE",
    ),
]
Plane = Annotated[
    str | None,
    typer.Option(
        help="Over which axes phases are mapped, the horizontal one first; default: the system's.",
        metavar="AXIS[,AXIS]",
    ),
]
MOST_AXES = 2  # of a plane
MOST = 1_000_000  # resamplings
Draws = Annotated[int, typer.Option(help="Bootstrap resamplings.", min=20, max=MOST)]
Level = Annotated[float, typer.Option(help="Probability of the intervals, in (0, 1).")]
Seed = Annotated[int, typer.Option(help="Of the bootstrap.", min=0)]


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        write(f"criticality {importlib.metadata.version('criticality')}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Accept what all commands accept."""


def write(text: str = "") -> None:
    """Write a line of results; who reads no more of them, as `head`, ends the command."""
    try:
        sys.stdout.write(text + "\n")
    except BrokenPipeError:
        os._exit(0)


def say(text: str) -> None:
    """Write a line that is no result."""
    with contextlib.suppress(OSError):  # a terminal that was closed
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def write_json(content: Any) -> None:
    """Print JSON; what is not a finite number becomes null."""

    def finite(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): finite(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [finite(v) for v in value]
        if hasattr(value, "tolist"):
            return finite(value.tolist())
        return None if isinstance(value, float) and not math.isfinite(value) else value

    write(json.dumps(finite(content), indent=1, allow_nan=False))


def between_0_and_1(option: str, value: float) -> None:
    """Raise `InputError` for an option that is no probability."""
    if not 0 < value < 1:
        raise InputError(f"{option} {value}: expected a number between 0 and 1.")


def positive(option: str, value: float | None) -> None:
    """Raise `InputError` for an option that is no positive, finite number."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} {value}: expected a positive number.")


class Results:
    """What a store holds, as far as it was asked for.

    Attributes
    ----------
    card, axes
        What the system tells about itself: the installed one, or else what the store has kept.
    here
        Whether the system itself can be had, and its functions with it.

    Raises
    ------
    InputError
        If this is no store, or the choices are none.
    """

    def __init__(
        self,
        store: Path,
        select: list[str] | None,
        system: str | None = None,
        plane: str | None = None,
    ) -> None:
        from criticality import catalog
        from criticality.study.store import Store

        self.store = Store(store)
        self._plan = self.store.plan()
        self.card, self.axes, self.here = catalog.card_of(self.store, system)
        if plane is not None:
            self.card = _over(self.card, plane, [*self.axes, *self._inner()])
        entries, total = self.store.entries()[0], self.store.total()
        if entries and len(entries) < total:
            say(f"not finished: {len(entries)} of {total} tasks are done")
        self._points = [entry.point for entry in entries]
        self._choices = [choice.partition("=")[::2] for choice in select or []]
        grid = self._plan["grid"]
        for name, text in self._choices:
            if name in grid:
                grid[name] = [meant("--select", name, text, grid[name])]

    def open(self, *observables: str) -> xr.Dataset:
        """Observables (all if none is named), and the derived quantities where they can be had.

        Axes of which one value was selected are dropped; so are outer axes of a single value, but
        those of the plane and of the size.

        Raises
        ------
        InputError
            As `Store.open`, or for a choice of no value, or of an axis that there is not.
        """
        return self._read(*observables) if observables else self._whole.copy()

    @functools.cached_property
    def _whole(self) -> xr.Dataset:
        return self._read()

    def _read(self, *observables: str) -> xr.Dataset:
        from criticality import catalog

        grid = self._plan["grid"]
        try:
            ds = self.store.open(self._plan, observables or None)
        except InputError as error:
            swept = ", ".join(name for name, values in grid.items() if len(values) > 1)
            there = any(all(p[n] in values for n, values in grid.items()) for p in self._points)
            if swept and there:
                raise InputError(
                    f"{error} Use --select AXIS=VALUE with one of: {swept}."
                ) from error
            if self._points and not there and self._choices:
                said = " ".join(f"--select {name}={text}" for name, text in self._choices)
                raise InputError(
                    f"{said}: nothing was measured there; expected values that were measured "
                    f"together."
                ) from error
            raise
        free = [str(dim) for dim in ds.dims]
        for name, text in self._choices:
            if name in free and name not in grid:
                value = meant("--select", name, text, ds[name].values)
                at = [i for i, there in enumerate(ds[name].values) if there == value]
                if len(at) > 1:
                    raise InputError(
                        f"--select {name}={text}: {name} has this value {len(at)} times, in an "
                        f"order that matters; choose one in Python: ds.isel({name}={at[0]})."
                    )
                ds = ds.isel({name: at})
            elif name not in free and name not in self._inner():
                raise unknown("axis", name, free, "--select")
        chosen = {name for name, _ in self._choices}
        kept = {*self.card.plane, self.card.size, *self._inner()}
        ds = ds.squeeze(
            [
                d
                for d, n in ds.sizes.items()
                if n == 1 and d != "realization" and (d in chosen or d not in kept)
            ]
        )
        found: xr.Dataset = catalog.described(
            ds, self.card, self.axes, self.here and not observables
        )
        return found

    def diagram(
        self,
        at: Mapping[str, Any] | None = None,
        *,
        sigmas: float = 2.0,
        draws: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> PhaseDiagram:
        """Phases over the plane, at these values of other axes; as `criticality.phase_diagram`.

        Raises
        ------
        InputError
            As `criticality.phase_diagram`, or for a value that was not measured.
        """
        from criticality.phases import by_card

        ds = self.open()
        for name, value in (at or {}).items():
            if name not in ds.dims:
                raise unknown("axis", name, [str(dim) for dim in ds.dims], "at")
            ds = ds.sel({name: meant("at", name, str(value), ds[name].values)})
        return by_card(
            ds,
            self.card,
            self.axes,
            self.here,
            sigmas=sigmas,
            draws=draws,
            level=level,
            seed=seed,
        )

    def _inner(self) -> set[str]:
        return {dim for observable in self.card.observables for dim in observable.dims}

    def function(self, name: str) -> Any:
        """Give a function that the card names, or None if it names none.

        Raises
        ------
        InputError
            If it cannot be had here.
        """
        from criticality import catalog

        named = getattr(self.card, name)
        if not named:
            return None
        if not self.here:
            raise InputError(
                f"{self.card.name}: its {name} ({named}) is not here; name the file that has it "
                f"with --system FILE.py:NAME."
            )
        return catalog.resolve(named)


def _over(told: Card, plane: str, axes: Sequence[str]) -> Card:
    """Give a card with another plane.

    Raises
    ------
    InputError
        For an axis that there is not, axes that are no plane, or phases that a function of the
        system decides.
    """
    names = tuple(name.strip() for name in plane.split(","))
    for name in names:
        if name not in axes:
            raise unknown("axis", name, sorted({*axes}), "--plane")
    if len({*names}) != len(names) or len(names) > MOST_AXES or told.size in names:
        size = f", and not {told.size}, the size" if told.size else ""
        raise InputError(f"--plane {plane}: expected one axis, or two different ones{size}.")
    if told.classify:
        raise InputError(
            f"--plane {plane}: the phases of {told.name} are decided over "
            f"{', '.join(told.plane)}, by a function of its own."
        )
    return dataclasses.replace(told, plane=names)


def main() -> None:
    """Run the command; a user's mistake is a message, never a traceback."""
    try:
        with leaving():
            app()
    except (InputError, DataError) as error:
        say(f"error: {error}")
        sys.exit(2)
    except RunError as error:
        say(f"error: {error}")
        sys.exit(1)
    except OSError as error:  # a path that the system refuses
        say(f"error: {error}")
        sys.exit(2)
    except Exception as error:
        from criticality.catalog import own_fault

        if not (fault := own_fault(error)):
            raise
        say(f"error: {fault}")
        sys.exit(2)
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(0)
