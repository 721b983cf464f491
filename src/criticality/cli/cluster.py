"""Clusters: job arrays for Slurm."""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError, axes, card, required
from criticality.cli.app import DataDir, Json, Own, app, say, write, write_json
from criticality.cli.study import Changes, Vectorize, Width, at_least_one

if TYPE_CHECKING:
    from criticality.study import Store, Study


@app.command()
def slurm(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).", show_default=False)],
    store: Annotated[Path, typer.Option(help="Directory of results, which all nodes see.")],
    hours: Annotated[float, typer.Option(help="Time limit of a job.")],
    cpus: Annotated[int, typer.Option(help="Cores of a job, each for one worker.")] = 1,
    memory: Annotated[
        str | None, typer.Option(help="Of a job, as 4G; default the cluster's.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Of the cluster.")] = None,
    account: Annotated[str | None, typer.Option(help="Which is charged.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--sbatch",
            help="Any option of sbatch, as --sbatch=--gres=gpu:1; may be repeated.",
            metavar="--NAME=VALUE",
        ),
    ] = None,
    max_array: Annotated[int, typer.Option(help="Jobs in one array.")] = 1000,
    tasks_per_job: Annotated[
        int | None, typer.Option(help="Default: 30 to 60 minutes, by the estimate of cost.")
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Submit it, when agreed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the cost unasked.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask also for what failed by its own fault.")
    ] = False,
    system: Own = None,
    width: Width = None,
    vectorize: Vectorize = None,
    changes: Changes = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write, or submit, Slurm arrays that compute what is missing of a study."""
    from criticality import catalog
    from criticality.study import Store, Study, cost
    from criticality.study import slurm as arrays

    if submit and not yes and not sys.stdin.isatty():
        raise InputError("--submit: nobody can be asked here; --yes agrees to the cost.")
    at_least_one("--width", width)
    job = arrays.Job(
        hours=hours,
        cpus=cpus,
        memory=memory,
        partition=partition,
        account=account,
        options=options or (),
        most=max_array,
    )
    kind = catalog.find(system) if system is not None else None
    plan, there = Study.from_toml(study, kind, changes or []), Store(store.absolute())
    found = cost.survey(plan, there)
    failed = set() if retry_failed else _failed(there, plan).intersection(found.missing)
    found = dataclasses.replace(found, missing=[k for k in found.missing if k not in failed])
    made = arrays.cut(found, job, tasks_per_job)
    if submit and (waiting := arrays.waiting(there.path)):
        raise InputError(
            f"{there.path}: {len(waiting)} of its jobs are queued or running ({waiting[0]}...); "
            f"wait for them, or scancel --name={arrays.name(there.path)}."
        )
    content: dict[str, Any] = {
        "tasks": len(found.tasks),
        "missing": len(found.missing),
        "failed": len(failed),
        "shards": made.count,
        "jobs": len(made.shards),
        "core_hours_most": len(made.shards) * cpus * job.minutes / 60,
        "core_hours_estimate": made.seconds / 3600,
        "basis": found.rate.basis,
    }
    paths: list[Path] = []
    if made.shards:
        folder = _begun(plan, there, data_dir)
        command = [sys.executable, "-m", "criticality", "run", str(_copied(study, folder))]
        command += ["--store", str(there.path), "--workers", str(cpus), "--quiet"]
        command += ["--retry-failed"] if retry_failed else []
        command += ["--system", _absolute(system)] if system is not None else []
        command += ["--width", str(width)] if width is not None else []
        command += ["--vectorize" if vectorize else "--serial"] if vectorize is not None else []
        command += [word for change in changes or () for word in ("--set", change)]
        command += ["--data-dir", str(data_dir.absolute())] if data_dir is not None else []
        paths = arrays.write(folder, job, made, command, there.path)
    say(_in_words(content, made.longest > 60 * job.minutes))
    agreed = submit and bool(paths) and (yes or _agreed())
    ids = [arrays.submit(path) for path in paths] if agreed else [None] * len(paths)
    pairs = zip(map(str, paths), ids, strict=True)
    content["arrays"] = [{"file": file, "id": number} for file, number in pairs]
    if as_json:
        write_json(content)
        return
    for array in content["arrays"]:
        if agreed:
            write(f"submitted as job {array['id']}: {array['file']}")
        else:
            write(f"sbatch {shlex.quote(array['file'])}")


def _failed(store: Store, plan: Study) -> set[str]:
    """Keys of tasks that would fail again, so that `run` leaves them out."""
    from criticality import catalog

    source = catalog.source_sha256(plan.system)
    failures = store.failures().items()
    return {key for key, why in failures if why.own and why.source_sha256 == source}


def _agreed() -> bool:
    say("proceed? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _begun(plan: Study, store: Store, data_dir: Path | None) -> Path:
    """Store with this plan, and data that are here before a thousand jobs look for them."""
    from criticality import catalog, data
    from criticality.study.manifest import card_data

    for source in {required(point) for point in plan.systems()} - {""}:
        data.load(source, str(data_dir.absolute()) if data_dir else None)
    place = catalog.place(type(plan.system))
    store.begin(plan.plan(), card_data(card(plan.system), axes(plan.system), place))
    folder = store.path / "slurm"
    folder.mkdir(exist_ok=True)
    return folder


def _copied(study: Path, folder: Path) -> Path:
    """Copy of a study file, which a later edit does not change."""
    from criticality import files

    content = study.read_bytes()
    copy = folder / f"study-{hashlib.sha256(content).hexdigest()[:8]}.toml"
    with files.replacing(copy) as temporary:
        temporary.write_bytes(content)
    return copy


def _absolute(system: str) -> str:
    """Place of an own system, wherever a job stands."""
    where, _, name = system.rpartition(":")
    return f"{Path(where).absolute()}:{name}" if where.endswith(".py") else system


def _in_words(content: dict[str, Any], too_long: bool) -> str:
    """Say what there is to do, and what may be spent on it."""
    failed = f"{content['failed']} failed; --retry-failed asks for them again\n"
    failed = failed if content["failed"] else ""
    if not content["missing"]:
        done = content["tasks"] - content["failed"]
        return f"{failed}{done} of {content['tasks']} tasks are done; there is nothing to submit"
    estimate = content["core_hours_estimate"]
    about = f", about {_number(estimate)} core-hours by {content['basis']}" if estimate >= 0 else ""
    text = (
        f"{failed}{content['missing']} of {content['tasks']} tasks are missing{about}\n"
        f"up to {_number(content['core_hours_most'])} core-hours in {content['jobs']} "
        f"job{'s' * (content['jobs'] > 1)}, which is what the time limit allows"
    )
    if too_long:
        text += (
            "\nnote: the longest task will not end within the limit; where its system has "
            "checkpoints, the same command later goes on from them, else raise --hours"
        )
    return text


def _number(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
