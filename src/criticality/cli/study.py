"""Commands that compute, and that say what there is."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError
from criticality.cli.app import DataDir, Json, StoreDir, app, data_app, say, write, write_json

if TYPE_CHECKING:
    from criticality.data import Shape


@app.command("list")
def list_systems(as_json: Json = False) -> None:
    """List the systems with their control parameters and observables."""
    from criticality.base import axes
    from criticality.systems import SYSTEMS

    if as_json:
        write_json(
            {
                name: {
                    "version": cls.version,
                    "source": cls.source,
                    "controls": {
                        a.name: {**vars(a), "default": cls.__dataclass_fields__[a.name].default}
                        for a in axes(cls).values()
                    },
                    "observables": {o.name: vars(o) for o in cls.observables},
                }
                for name, cls in SYSTEMS.items()
            }
        )
        return
    for name, cls in SYSTEMS.items():
        write(f"{name} (version {cls.version}): {cls.source}")
        for axis in axes(cls).values():
            default = cls.__dataclass_fields__[axis.name].default
            shown = f"{default[0]} ... {default[-1]}" if isinstance(default, tuple) else default
            texts = (*axis.choices, "file:PATH") if axis.files else axis.choices
            allowed = " | ".join(texts) or axis.interval
            allowed = "true | false" if isinstance(default, bool) else allowed
            kind = "inner" if axis.inner else "outer"
            write(f"  {kind}  {axis.name:<15} {shown!s:<12} {axis.doc}; {allowed}")
        for observable in cls.observables:
            dims = ", ".join(observable.dims)
            write(f"  gives  {observable.name:<15} {f'({dims})':<12} {observable.doc}")


@data_app.command("list")
def data_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    from criticality import data

    rows = {}
    for name in data.NAMES:
        source = data.SOURCES.get("kmnist" if name == data.KMNIST_10K else name)
        state, folder = data.state(name, data_dir)
        rows[name] = {
            "state": state,
            "folder": folder,
            **_sizes(data.shape(name)),
            "title": source.title if source else "seeded synthetic patterns, not real data",
            "licence": source.licence if source else "",
        }
    if as_json:
        write_json(rows)
        return
    for name, row in rows.items():
        write(
            f"{name:<14} {row['state']:<8} {row['training']:>6} + {row['test']:<6} "
            f"{row['features']:>4} features {row['classes']} classes  "
            f"{row['title']}{', ' if row['licence'] else ''}{row['licence']}  {row['folder']}"
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
    checksum = data.checksum(name, data_dir)
    if as_json:
        files = {part: str(path) for part, path in paths.items()}
        write_json({"name": name, "files": files, **_sizes(shape), "checksum": checksum})
        return
    for path in paths.values():
        write(f"ok  {path}")
    labels = f"{shape.classes} classes" if shape.classes else "targets of a regression"
    write(
        f"{name}: {'verified' if paths else 'made on the spot, no files'}; {shape.train} + "
        f"{shape.test} samples of {shape.features} features, {labels}; sha256 {checksum[:12]}"
    )


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).", show_default=False)],
    store: Annotated[Path, typer.Option(help="Directory of results; made or resumed.")],
    workers: Annotated[int | None, typer.Option(help="Processes; default one a core.")] = None,
    width: Annotated[
        int | None,
        typer.Option(help="Realizations in a batch (1), or in lanes if vectorized (measured)."),
    ] = None,
    vectorize: Annotated[
        bool | None,
        typer.Option("--vectorize/--serial", help="Advance many together; default on a GPU."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change seed, realizations or a control, as in --set p_train='[0.0, 0.1]'; "
            "a list sweeps an outer control.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    data_dir: DataDir = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would cost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute what is missing of a study; interrupted, it goes on where it was."""
    from criticality.study import Store, Study
    from criticality.systems import SYSTEMS

    plan = Study.from_toml(study, SYSTEMS, changes or [])
    for option, value in (("--workers", workers), ("--width", width)):
        if value is not None and value < 1:
            raise InputError(f"{option} {value}: expected a whole number of 1 or more.")
    if dry_run:
        _dry_run(plan, Store(store), workers, as_json)
        return
    from criticality.progress import Display
    from criticality.study import run as runner

    with Display() as display:
        try:
            runner.run(
                plan,
                store,
                workers=workers,
                width=width,
                vectorize=vectorize,
                data_dir=data_dir,
                watch=display.update,
                observables=(),
            )
        except KeyboardInterrupt:
            display.close()
            say(f"interrupted; what is done is in {store}, and the same command goes on from it")
            sys.stdout.flush()
            # A thread that is training cannot be stopped, and it holds nothing that is not in the
            # store or cheap to do again: do not wait for it.
            os._exit(130)
    _report_status(Store(store), as_json)


def _dry_run(plan: Any, store: Any, workers: int | None, as_json: bool) -> None:
    from criticality.study.cost import estimate, human_size, human_time
    from criticality.study.workers import default_workers

    alone = estimate(plan, store)
    count = workers or default_workers(alone.work)
    cost = dataclasses.replace(alone, seconds=alone.seconds / count)
    if as_json:
        write_json({**vars(cost), "workers": count})
        return
    write(f"{cost.tasks} tasks, {cost.missing} to compute ({cost.work / 1e12:.3g} TFLOP)")
    write(f"about {human_time(cost.seconds)} with {count} worker(s), within a factor of two")
    write(f"  rate: {cost.basis}; epochs before early stopping are a guess")
    write(f"about {human_size(cost.disk_bytes)} on disk; nothing was written")


@app.command()
def status(store: StoreDir, as_json: Json = False) -> None:
    """Say how far a study is."""
    from criticality.study import Store

    _report_status(Store(store), as_json)


def _report_status(store: Any, as_json: bool) -> None:
    plan = store.plan()
    entries, damaged = store.entries()
    total, begun = store.total(), store.begun()
    seconds, compiling = (
        sum(float(entry.attributes.get(name, 0)) for entry in entries)
        for name in ("wall_seconds", "compile_seconds")
    )
    content = {
        "store": str(store.path),
        "system": plan["system"],
        "seed": plan["seed"],
        "realizations": plan["realizations"],
        "grid": plan["grid"],
        "total": total,
        "done": len(entries),
        "begun": begun,
        "damaged": [str(path) for path in damaged],
        "missing": total - len(entries),
        "core_seconds": round(seconds, 1),
        "compile_seconds": round(compiling, 1),
        "devices": sorted({str(entry.attributes["device"]) for entry in entries}),
    }
    if as_json:
        write_json(content)
        return
    write(f"{store.path}: {plan['system']}, seed {plan['seed']}")
    for name, values in plan["grid"].items():
        write(f"  {name:<15} {', '.join(map(str, values))}")
    write(f"  {'realizations':<15} {plan['realizations']}")
    write(
        f"{len(entries)} of {total} tasks done in {seconds / 3600:.2f} core hours, "
        f"of which {compiling:.0f} s compiling"
    )
    if begun:
        write(f"{begun} more begun; the next run goes on from their checkpoints")
    for path in damaged:
        write(f"cannot be read; if it is this study's, the next run computes it again: {path}")
