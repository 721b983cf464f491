"""What the commands share: the application, options, and how it speaks and fails."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import DataError, InputError, RunError, unknown

if TYPE_CHECKING:
    import xarray as xr

app = typer.Typer(
    help="A laboratory for phase transitions in neural networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
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
        help="Folder of data: published files, and what file:PATH means; looked in first.",
        envvar="CRITICALITY_DATA",
        callback=_looking_in,
    ),
]
StoreDir = Annotated[Path, typer.Argument(help="Directory of a store.", show_default=False)]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select", help="axis=value: one value of another swept axis.", metavar="AXIS=VALUE"
    ),
]


def write(text: str = "") -> None:
    """Write a line of results."""
    sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """Write a line that is no result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def write_json(content: Any) -> None:
    """Print JSON; what is not a finite number becomes null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: finite(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [finite(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    write(json.dumps(finite(content), indent=1, allow_nan=False))


PLANE = ("p_train", "n_train", "p_eval")


def expect_system(store: Path, command: str, *allowed: str) -> str:
    """Give the name of a store's system.

    Raises
    ------
    InputError
        If the command is for others.
    """
    from criticality.study.store import Store

    name = str(Store(store).plan()["system"])
    if name not in allowed:
        other = {"dropout": "phases", "pruning": "threshold", "topology": "figures"}.get(name)
        hint = f"; `criticality {other}` is for it" if other else ""
        raise InputError(
            f"{store}: holds results of {name}{hint}; `criticality {command}` is for "
            f"{' or '.join(allowed)}."
        )
    return name


def open_results(
    store: Path,
    select: list[str] | None,
    keep: tuple[str, ...] = PLANE,
    observables: tuple[str, ...] | None = None,
) -> xr.Dataset:
    """Open what a store holds, at the chosen values; single-valued axes but `keep` are dropped.

    Raises
    ------
    InputError
        As `Store.open`, or for a choice of an axis in `keep` that is not swept, or of no value.
    """
    from criticality.study.store import Store

    results = Store(store)
    plan, (entries, _) = results.plan(), results.entries()
    total = results.total()
    if entries and len(entries) < total:
        say(f"not finished: {len(entries)} of {total} tasks are done")
    choices = [(choice, *choice.partition("=")[::2]) for choice in select or []]
    for choice, name, text in choices:
        if name in plan["grid"]:
            plan["grid"][name] = [_value(choice, name, text, plan["grid"][name])]
    grid = plan["grid"]
    try:
        ds = results.open(plan, observables)
    except InputError as error:
        swept = ", ".join(name for name, values in grid.items() if len(values) > 1)
        there = any(all(e.point[n] in values for n, values in grid.items()) for e in entries)
        if swept and there:
            raise InputError(f"{error} Use --select AXIS=VALUE with one of: {swept}.") from error
        raise
    free = [str(d) for d in ds.dims if d not in keep or d in grid or d == "realization"]
    for choice, name, text in choices:
        if name not in free:
            raise unknown("axis", name, free, "--select")
        ds = ds.sel({name: _value(choice, name, text, ds[name].values)})
        free.remove(name)
    keep = (*keep, "realization", "pass")
    return ds.squeeze([dim for dim, n in ds.sizes.items() if n == 1 and dim not in keep])


def _value(choice: str, name: str, text: str, values: Iterable[Any]) -> Any:
    """Find the value of an axis that `choice` means."""
    for value in values:
        if str(value).lower() == text.lower() or _same(value, text):
            return value
    listed = ", ".join(map(str, values))
    raise InputError(f"--select {choice}: {name} has the values {listed}.")


def _same(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except ValueError:
        return False


def main() -> None:
    """Run the command; a user's mistake is a message, never a traceback."""
    try:
        app()
    except (InputError, DataError) as error:
        say(f"error: {error}")
        sys.exit(2)
    except RunError as error:
        say(f"error: {error}")
        sys.exit(1)
    except BrokenPipeError:
        os._exit(0)
    except OSError as error:  # a path that the system refuses
        say(f"error: {error}")
        sys.exit(2)
