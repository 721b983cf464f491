"""The command that makes the figures of papers and findings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from criticality.base import InputError, unknown
from criticality.cli.app import FORMATS, DataDir, Json, app, say, write, write_json
from criticality.cli.study import DryRun, Quiet, Workers, begin, compute

LIST = "list"


@app.command()
def paper(
    name: Annotated[str, typer.Argument(help='Which, as in findings/line; or "list".')],
    scale: Annotated[
        str | None,
        typer.Option(
            help="Compute it: quick (minutes on two cores) or full (hours, resumable); by default "
            "it is drawn from the numbers that full gave us."
        ),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Directory of the stores of its studies; made or resumed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the figure and the numbers in it.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Compute nothing; measure what the stores hold.")
    ] = False,
    file_format: Annotated[str, typer.Option("--format", help="png, pdf, svg; or several.")] = (
        "png,pdf"
    ),
    workers: Workers = None,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a figure of a paper, or the answer to a question, and say what it shows."""
    from criticality.papers import entry, make, names, tables

    if name == LIST:
        found = {known: entry(known) for known in names()}
        if as_json:
            write_json({k: {"title": each.title, "kept": each.done} for k, each in found.items()})
            return
        for known, each in found.items():
            write(f"{known:<24} {each.title}{'' if each.done else ' (to be computed)'}")
        return
    wanted = entry(name)
    formats = file_format.split(",")
    for kind in formats:
        if kind not in FORMATS:
            raise unknown("format", kind, FORMATS, "--format")
    if scale is None:
        if store is not None or as_is or dry_run:
            raise InputError("--store, --as-is and --dry-run are of results; say which: --scale.")
        numbers, origin = tables.read(wanted.kept)
    else:
        if store is None:
            raise InputError(f"--scale {scale}: results need a place; give --store DIR.")
        plans = {} if as_is else wanted.plans(scale)
        for stem, plan in plans.items():
            place = store / scale / stem
            if dry_run:
                say(stem)
            if begin(plan, place, workers, None, dry_run, as_json):
                say(f"{stem}: {len(plan.tasks())} tasks, results in {place}")
                compute(plan, place, workers, None, None, data_dir, quiet)
        if dry_run:
            return
        numbers, origin = make.measured(wanted, scale, store)
    files = make.save(wanted, numbers, origin, out, formats) if out is not None else []
    if as_json:
        content = {key: table.to_dict("records") for key, table in numbers.items()}
        answer = {"answer": wanted.say(numbers), "numbers": content, "provenance": origin}
        write_json(answer | {"files": [str(file) for file in files]})
        return
    write(wanted.say(numbers))
    for file in files:
        write(str(file))
