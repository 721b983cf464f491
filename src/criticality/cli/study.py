"""Commands that compute, and that say what there is."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import (
    InputError,
    Observable,
    System,
    axes,
    card,
    default,
    unknown,
)
from criticality.cli.app import (
    DataDir,
    Json,
    Own,
    app,
    data_app,
    say,
    write,
    write_json,
)

NARROW, WIDE = 60, 100  # columns of a table, whatever the terminal
Workers = Annotated[int | None, typer.Option(help="Processes; default one a core.")]
Width = Annotated[
    int | None,
    typer.Option(help="Realizations in a batch (1), or in lanes if vectorized (measured)."),
]
Vectorize = Annotated[
    bool | None,
    typer.Option("--vectorize/--serial", help="Advance many together; default on a GPU."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change seed, realizations or a control, as in --set width='[50, 100]'; "
        "a list sweeps an outer control.",
        metavar="KEY=VALUE",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")]
Retry = Annotated[
    bool, typer.Option("--retry-failed", help="Compute also what failed by its own fault.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Executor = Annotated[
    str | None,
    typer.Option(
        help="Who computes: a Dask cluster, dask://HOST:PORT, or mpi; default processes here.",
        metavar="PLACE",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(help="Only the I-th of N parts of the study, from 1.", metavar="I/N"),
]

if TYPE_CHECKING:
    from criticality.data import Shape
    from criticality.study import Store, Study
    from criticality.study.cost import Cost


@app.command("list")
def list_systems(
    name: Annotated[str | None, typer.Argument(help="One system only.")] = None,
    system: Own = None,
    as_json: Json = False,
) -> None:
    """List the systems with their control parameters and observables."""
    from criticality import catalog

    found: dict[str, type[System]] = {}
    if system is not None:
        kind = catalog.find(system)
        found[card(kind).name] = kind
    else:
        for known, there in catalog.installed():
            if isinstance(there, InputError):
                say(f"{known}: {there}")
            else:
                found[known] = there
    if name is not None:
        if name not in found:
            raise unknown("system", name, list(found))
        found = {name: found[name]}
    if as_json:
        write_json({known: _described(kind) for known, kind in found.items()})
        return
    for known, kind in found.items():
        told = card(kind)
        _entry(
            "", f"{known} (version {told.version}): {told.source or (kind.__doc__ or '').strip()}"
        )
        names = [*axes(kind), *(observable.name for observable in told.observables)]
        wide = max(map(len, names))
        for axis in axes(kind).values():
            value = default(kind, axis.name)
            shown = f"{value[0]} ... {value[-1]}" if isinstance(value, tuple) else value
            allowed = " | ".join(axis.allowed()) or axis.interval
            allowed = "true | false" if isinstance(value, bool) else allowed
            kind_of = "inner" if axis.inner else "outer"
            text = "; ".join(part for part in (axis.doc, allowed) if part)
            _entry(f"  {kind_of}  {axis.name:<{wide}} {shown!s:<12} ", text)
        for observable in told.observables:
            _entry(f"  gives  {observable.name:<{wide}} {_dims(observable):<12} ", observable.doc)


def _described(kind: type[System]) -> dict[str, Any]:
    told = card(kind)
    content = told.to_dict()
    controls = {a.name: {**vars(a), "default": default(kind, a.name)} for a in axes(kind).values()}
    observables = {o["name"]: o for o in content["observables"]}
    return content | {"controls": controls, "observables": observables}


def _dims(observable: Observable) -> str:
    return f"({', '.join(observable.dims)})"


def _entry(head: str, text: str) -> None:
    """Write a row of a table, its last column wrapped."""
    columns = max(NARROW, min(WIDE, shutil.get_terminal_size((WIDE, 24)).columns))
    for line in textwrap.wrap(
        text, columns, initial_indent=head, subsequent_indent=" " * min(len(head), 38) or "  "
    ) or [head.rstrip()]:
        write(line)


@data_app.command("list")
def data_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    from criticality import data

    rows = {}
    for name in (*data.NAMES, *data.TABLES):
        state, folder = data.state(name, data_dir)
        title, licence = data.described(name)
        rows[name] = {
            "state": state,
            "folder": folder,
            **_sizes(data.shape(name)),
            "title": title,
            "licence": licence,
        }
    if as_json:
        write_json(rows)
        return
    for name, row in rows.items():
        labels = f"{row['classes']} classes" if row["classes"] else "targets"
        _entry(
            f"{name:<14} {row['state']:<8} {row['training']:>6} + {row['test']:<6} "
            f"{row['features']:>4} features {labels:<10}  ",
            "; ".join(str(row[part]) for part in ("title", "licence", "folder") if row[part]),
        )


@data_app.command("fetch")
def data_fetch(name: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Bring a data set to this machine and verify it."""
    from criticality import data

    data.fetch(name, data_dir)
    _report_files(name, data_dir, as_json)


@data_app.command("verify")
def data_verify(name: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check the files of a data set against their checksums."""
    _report_files(name, data_dir, as_json)


def _sizes(shape: Shape) -> dict[str, int]:
    return {
        "training": shape.train,
        "test": shape.test,
        "features": shape.features,
        "classes": shape.classes,
    }


def _report_files(name: str, data_dir: Path | None, as_json: bool) -> None:
    from criticality import data

    paths, shape = data.verify(name, data_dir), data.shape(name, data_dir)
    checksum, columns = data.checksum(name, data_dir), data.columns(name, data_dir)
    if as_json:
        files = {part: str(path) for part, path in paths.items()}
        table = {"columns": columns[0], "target": columns[1]} if columns else {}
        write_json({"name": name, "files": files, **_sizes(shape), **table, "checksum": checksum})
        return
    for path in paths.values():
        write(f"ok  {path}")
    labels = f"{shape.classes} classes" if shape.classes else "targets of a regression"
    samples = f"{shape.train} + {shape.test} samples of {shape.features} features, {labels}"
    if columns:
        features = f"{shape.features} feature{'s' * (shape.features > 1)} {', '.join(columns[0])}"
        samples = f"{shape.train} rows, not split; target {columns[1]}; {features}"
    how = "verified" if paths else "made on the spot, no files"
    write(f"{name}: {how}; {samples}; sha256 {checksum[:12]}")


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).", show_default=False)],
    store: Annotated[Path, typer.Option(help="Directory of results; made or resumed.")],
    system: Own = None,
    workers: Workers = None,
    width: Width = None,
    vectorize: Vectorize = None,
    executor: Executor = None,
    shard: Shard = None,
    changes: Changes = None,
    data_dir: DataDir = None,
    retry_failed: Retry = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute what is missing of a study; interrupted, it goes on where it was."""
    from criticality import catalog
    from criticality.cli.store import report
    from criticality.study import Store, Study, shards

    kind = catalog.find(system) if system is not None else None
    if executor is not None and workers is not None:
        raise InputError(
            f"--workers {workers}: with --executor {executor}, as many compute as were started "
            f"there; leave one of the two out."
        )
    part = shards.parse(shard) if shard is not None else None
    plan = Study.from_toml(study, kind, changes or [])
    if begin(plan, store, workers, width, dry_run, as_json, part):
        compute(
            plan,
            store,
            workers,
            width,
            vectorize,
            data_dir,
            quiet,
            retry_failed=retry_failed,
            executor=executor,
            shard=part,
        )
        report(Store(store), as_json)


def begin(
    plan: Study,
    store: Path,
    workers: int | None,
    width: int | None,
    dry_run: bool,
    as_json: bool,
    shard: tuple[int, int] | None = None,
) -> bool:
    """Check options and say what is to be known before; False if only that was wanted."""
    from criticality.study import Store

    at_least_one("--workers", workers)
    at_least_one("--width", width)
    _say_notes(plan)
    if dry_run:
        _dry_run(plan, Store(store), workers, as_json, shard)
    return not dry_run


def at_least_one(option: str, value: int | None) -> None:
    """Raise `InputError` for a number of workers, or the like, below 1."""
    if value is not None and value < 1:
        raise InputError(f"{option} {value}: expected a whole number of 1 or more.")


def compute(
    plan: Study,
    store: Path,
    workers: int | None,
    width: int | None,
    vectorize: bool | None,
    data_dir: Path | None,
    quiet: bool,
    retry_failed: bool = False,
    executor: str | None = None,
    shard: tuple[int, int] | None = None,
) -> None:
    """Compute what is missing, showing how far it is; a signal ends the process."""
    from criticality.progress import Display
    from criticality.study import executors
    from criticality.study import run as runner
    from criticality.study.workers import HERE

    with contextlib.ExitStack() as stack:
        others = stack.enter_context(executors.opened(executor)) if executor is not None else None
        display = stack.enter_context(Display(quiet))
        try:
            runner.run(
                plan,
                store,
                executor=others,
                workers=workers,
                shard=shard,
                width=width,
                vectorize=vectorize,
                data_dir=data_dir,
                watch=display.update,
                observables=(),
                retry_failed=retry_failed,
            )
        except (KeyboardInterrupt, SystemExit) as ended:
            display.close()
            by_hand = isinstance(ended, KeyboardInterrupt)
            if by_hand:
                say(str(ended) or f"interrupted; the same command goes on from what is in {store}")
            sys.stdout.flush()
            code = 128 + signal.SIGINT if by_hand else int(str(ended))
            if any(thread.name == HERE for thread in threading.enumerate()):
                # It cannot be stopped, and holds nothing that is not in the store or cheap to do
                # again: do not wait for it.
                os._exit(code)
            sys.exit(code)


def _say_notes(plan: Study) -> None:
    """Say what the system notes about points of the study, each note once."""
    swept = [name for name, values in plan.swept().items() if len(values) > 1]
    total = len(plan.systems())
    for text, points in plan.notes().items():
        first = ", ".join(f"{name} = {getattr(points[0], name)}" for name in swept)
        where = f"  ({len(points)} of {total} points, first at {first})" if swept else ""
        say(f"note: {text}{where}")


def priced(
    plan: Study, store: Store, workers: int | None, shard: tuple[int, int] | None = None
) -> tuple[Cost, float, int]:
    """Cost of what is missing, and how many seconds it takes so many workers."""
    from criticality.study.cost import estimate
    from criticality.study.workers import default_workers

    cost = estimate(plan, store, shard)
    count = workers or default_workers(plan.tasks()[: cost.missing])
    return cost, cost.with_workers(count), count


def _dry_run(
    plan: Study, store: Store, workers: int | None, as_json: bool, shard: tuple[int, int] | None
) -> None:
    cost, seconds, count = priced(plan, store, workers, shard)
    if as_json:
        write_json({**vars(cost), "seconds": seconds, "workers": count})
    else:
        say_cost(cost, seconds, count)


def say_cost(cost: Cost, seconds: float, count: int) -> None:
    """Say what a study would cost so many workers."""
    from criticality.study.cost import human_size, human_time

    write(f"{cost.tasks} tasks, {cost.missing} to compute ({cost.work / 1e12:.3g} TFLOP)")
    if math.isfinite(seconds):
        write(f"about {human_time(seconds)} with {count} worker(s), within a factor of two")
        write(f"  rate: {cost.basis}; epochs before early stopping are a guess")
    else:
        write("how long is not known: the system has no work(), and no result is in the store")
    if cost.compiling:
        write(f"  of this, {human_time(cost.compiling)} for compiling, less if it was done before")
    write(f"about {human_size(cost.disk_bytes)} on disk; nothing was written")
