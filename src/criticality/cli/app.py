"""What the commands share: the application, options, and how it speaks and fails."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import DataError, InputError, RunError, finite
from criticality.engine.signals import leaving

if TYPE_CHECKING:
    from criticality.results import Results

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
    write(json.dumps(finite(content), indent=1, allow_nan=False))


def between_0_and_1(option: str, value: float) -> None:
    """Raise `InputError` for an option that is no probability."""
    if not 0 < value < 1:
        raise InputError(f"{option} {value}: expected a number between 0 and 1.")


def positive(option: str, value: float | None) -> None:
    """Raise `InputError` for an option that is no positive, finite number."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} {value}: expected a positive number.")


def opened(
    store: Path, select: list[str] | None, system: str | None = None, plane: str | None = None
) -> Results:
    """Open what a store holds, as far as it was asked for, and say if it is not finished.

    Raises
    ------
    InputError
        As `Results`.
    """
    from criticality.results import Results

    found = Results(store, select, system, plane)
    if 0 < found.done < found.total:
        say(f"not finished: {found.done} of {found.total} tasks are done")
    return found


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
