"""The command that makes the figures of papers and findings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError, unknown
from criticality.cli.app import FORMATS, DataDir, Json, app, say, write, write_json
from criticality.cli.study import (
    DryRun,
    Quiet,
    Workers,
    at_least_one,
    begin,
    compute,
    priced,
    say_cost,
)

if TYPE_CHECKING:
    from criticality.study import Study

LIST = "list"


@app.command()
def paper(
    name: Annotated[
        str, typer.Argument(help="Which, as in findings/line; all are listed without.")
    ] = LIST,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Compute it: quick (minutes on two cores) or full (hours, resumable); by default "
            "it is drawn from the kept numbers; the list says of which scale."
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
    from criticality.papers import entry, make

    at_least_one("--workers", workers)
    if name == LIST:
        if scale is not None or store is not None or out is not None or as_is or dry_run:
            raise InputError("of which entry? Its name comes first, as in findings/line.")
        _list(as_json)
        return
    wanted = entry(name)
    plans = {} if scale is None else wanted.plans(scale)
    formats = file_format.split(",")
    for kind in formats:
        if kind not in FORMATS:
            raise unknown("format", kind, FORMATS, "--format")
    if as_is and dry_run:
        raise InputError("--as-is computes nothing, so that --dry-run has nothing to say.")
    if scale is None:
        if store is not None or as_is or dry_run:
            raise InputError("--store, --as-is and --dry-run are of results; say which: --scale.")
    elif store is None:
        raise InputError(f"--scale {scale}: results need a place; give --store DIR.")
    elif store.exists() and not store.is_dir():
        raise InputError(f"--store {store}: is a file; stores are directories in a directory.")
    if dry_run:
        _price(plans, Path(store or ".", scale or ""), workers, as_json)
        return
    numbers, origin = make.kept(wanted) if scale is None else ({}, {})
    if out is not None:
        make.writable(wanted, out)  # before hours of computing
    if scale is not None and store is not None:
        for count, (stem, plan) in enumerate(plans.items() if not as_is else (), start=1):
            place = store / scale / stem
            begin(plan, place, workers, None, False, as_json)
            done = f"{count} of {len(plans)}"
            say(f"{stem} ({done}): {len(plan.tasks())} tasks, results in {place}")
            compute(plan, place, workers, None, None, data_dir, quiet)
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


def _list(as_json: bool) -> None:
    """Name all entries, with what the kept numbers are of: how much, and of which scale."""
    from criticality.papers import entry, make, names

    told: dict[str, dict[str, Any]] = {}
    for name in names():
        found = entry(name)
        origin = make.kept(found)[1] if found.done else None
        state = ", ".join(make.marks(origin)) if origin else "to be computed"
        told[name] = {"title": found.title, "kept": found.done, "state": state or "complete"}
    if as_json:
        write_json(told)
        return
    for name, about in told.items():
        state = f" ({about['state']})" if about["state"] != "complete" else ""
        write(f"{name:<24} {about['title']}{state}")


def _price(plans: Mapping[str, Study], folder: Path, workers: int | None, as_json: bool) -> None:
    """Say what each study would cost, and all of them."""
    from criticality.study import Store
    from criticality.study.cost import human_time

    found = {stem: priced(plan, Store(folder / stem), workers) for stem, plan in plans.items()}
    tasks, missing = (
        sum(getattr(c, n) for c, _, _ in found.values()) for n in ("tasks", "missing")
    )
    seconds = sum(each for _, each, _ in found.values())
    if as_json:
        studies = {
            stem: {**vars(cost), "seconds": each, "workers": count}
            for stem, (cost, each, count) in found.items()
        }
        write_json({"studies": studies, "tasks": tasks, "missing": missing, "seconds": seconds})
        return
    for stem, each in found.items():
        write(stem)
        say_cost(*each)
    long = f", about {human_time(seconds)}" if math.isfinite(seconds) else ""
    write(f"all {len(plans)} studies: {tasks} tasks, {missing} to compute{long}")
