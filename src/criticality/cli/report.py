"""The command that writes a study as one page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from criticality.base import InputError
from criticality.cli.app import (
    Json,
    Own,
    Plane,
    Select,
    StoreDir,
    app,
    opened,
    say,
    write,
    write_json,
)

WATCH_S = 5.0
LARGE = 20_000_000  # bytes


@app.command()
def report(
    store: StoreDir,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Page to write; default: NAME OF THE STORE.html."),
    ] = None,
    select: Select = None,
    plane: Plane = None,
    system: Own = None,
    scaling: Annotated[
        bool,
        typer.Option("--scaling/--no-scaling", help="Finite-size scaling, which takes minutes."),
    ] = True,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Again and again, until the study is done; the page follows."),
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks (with --watch).")] = (
        WATCH_S
    ),
    as_json: Json = False,
) -> None:
    """Write a study as one page: plane, curves, borders, scaling, doubts and numbers."""
    from criticality.report.write import Writing, watched
    from criticality.results import Results

    target = out or Path(f"{store.absolute().name}.html")
    if target.suffix not in (".html", ".htm"):
        raise InputError(f"--out {target}: expected a name that ends in .html.")
    if not target.parent.is_dir():
        raise InputError(f"--out {target}: there is no folder {target.parent}.")
    if target.is_dir():
        raise InputError(f"--out {target}: is a folder.")
    if not 0.5 <= every <= 3600:
        raise InputError(f"--every {every:g}: expected seconds between 0.5 and 3600.")

    began = time.monotonic()
    look = Results if watch else opened  # which says that the study is not finished
    writing = Writing(lambda: look(store, select, system, plane), target, scaling, say)
    found = watched(writing, every) if watch else writing.once()
    if found.bytes > LARGE:
        say(
            f"{target}: {found.bytes / 1e6:.0f} MB, slow to open and to send: --select AXIS=VALUE "
            f"makes a page of a part."
        )
    if as_json:
        write_json({"file": str(target), **vars(found), "seconds": time.monotonic() - began})
    else:
        write(str(target))
