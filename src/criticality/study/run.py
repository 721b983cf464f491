"""`run`: compute what a store lacks of a study, and only that."""

from __future__ import annotations

import concurrent.futures as cf
import datetime
import importlib.metadata
import logging
import os
import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import xarray as xr

from criticality import data
from criticality.base import DataError, InputError, RunError, Task
from criticality.engine import ensemble
from criticality.study.plan import Study
from criticality.study.store import Store

log = logging.getLogger("criticality")
LIBRARIES = ("jax", "jaxlib", "numpy", "optax")


@dataclass(frozen=True)
class Progress:
    """How far a run is: tasks, and estimated work in FLOP, which is what time goes with."""

    done: int
    total: int
    failed: int
    work_done: float
    work_total: float


@dataclass(frozen=True)
class Outcome:
    """What a worker sends back of one task."""

    arrays: ensemble.Result
    provenance: dict[str, Any]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _provenance() -> dict[str, str]:
    """Versions and commit, the same for every task of this process."""
    here = Path(__file__).parent
    command = [
        "git",
        "-C",
        str(here),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        git = subprocess.run(command, capture_output=True, text=True, check=False)
        # a repository around an installed package is not this package's
        commit = git.stdout.strip() if here.parents[1].name == "src" else ""
    except OSError:  # no git on this machine
        commit = ""
    return {
        "criticality": importlib.metadata.version("criticality"),
        "commit": commit or "unknown",
        "libraries": ", ".join(f"{n} {importlib.metadata.version(n)}" for n in LIBRARIES),
        "python": platform.python_version(),
        "device": ensemble.device_name(),
        "dtype": "float32",
    }


def compute(batch: Sequence[Task], folder: str | None, lanes: int) -> list[Outcome]:
    """Compute tasks that share a template; what an executor is given.

    Parameters
    ----------
    batch
        Tasks: with one lane one after another, else together.
    folder
        Where to look for data sets first.
    lanes
        Realizations advanced together.
    """
    name: str | None = getattr(batch[0].system, "dataset", None)
    arrays = data.load(name, folder).arrays() if name else {}
    start = time.perf_counter()
    results = ensemble.realize(batch, arrays, lanes)
    seconds = (time.perf_counter() - start) / len(batch)
    stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {**_provenance(), "lanes": lanes, "wall_seconds": seconds, "created": stamp}
    return [Outcome(arrays=result, provenance=about) for result in results]


def batches(tasks: Sequence[Task], width: int) -> list[list[Task]]:
    """Group tasks that can be advanced together, those of most work first.

    Tasks of like work share a batch, and the long ones start early, so that neither lanes nor
    cores idle for long at the end.
    """
    groups: dict[Any, list[Task]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: -task.system.work()):
        groups[ensemble.template(task.system)].append(task)
    return [group[i : i + width] for group in groups.values() for i in range(0, len(group), width)]


def run(
    study: Study,
    store: Store | str | os.PathLike[str],
    *,
    executor: cf.Executor | None = None,
    workers: int | None = None,
    width: int | None = None,
    vectorize: bool | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Compute what is missing of a study, and give all of it as a labelled data set.

    Results depend on control values, study seed and realization number alone: not on order,
    workers, interruptions, or the rest of the grid.  On one kind of CPU they are the same bit for
    bit, in whatever batches.  Vectorized, sums are rounded in another order; a long training
    amplifies that, and the results then agree in distribution.

    Parameters
    ----------
    study
        The plan.
    store
        Where results are and go.
    executor
        Any `concurrent.futures.Executor` (processes, Dask, MPI); default is a thread a core.
    workers
        Threads of the default executor.
    width
        Realizations in a batch, which goes to a worker as one; default 1, or 64 if vectorized.
    vectorize
        Advance a batch together (`vmap`), the default where there is an accelerator; otherwise
        one after another.  On a CPU this is slower, and rounds differently.
    data_dir
        Where to look for data sets first.
    watch
        Called with a `Progress` at the start and after every task.

    Returns
    -------
    xarray.Dataset
        As `Store.open`, for the points of `study`.

    Raises
    ------
    InputError
        If the store belongs to another study or cannot be written.
    DataError
        If the data cannot be had; nothing is written then.
    RunError
        If tasks failed; all others are in the store.
    """
    store = store if isinstance(store, Store) else Store(store)
    for name, value in (("workers", workers), ("width", width)):
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}: expected a whole number of 1 or more.")
    store.admit(study.plan())
    tasks = {task.key: task for task in study.tasks()}
    folder = str(data_dir) if data_dir else None
    for needed in {getattr(task.system, "dataset", None) for task in tasks.values()}:
        if needed:
            data.load(needed, folder)  # verified before anything is written
    done, missing, damaged = store.survey(tasks)
    for key in damaged:
        log.warning("%s is damaged; it is computed again", store.file(key))
    todo = [tasks[key] for key in (*missing, *damaged)]
    if todo or store.admit(study.plan()) != store.plan():
        store.begin(study.plan())
    together = ensemble.accelerated() if vectorize is None else vectorize
    width = width or (ensemble.ACCELERATOR_WIDTH if together else 1)
    lanes = width if together else 1
    failures: list[str] = []
    work = sum(task.system.work() for task in tasks.values())
    ready = work - sum(task.system.work() for task in todo)

    def tell(finished: int, work_done: float) -> None:
        if watch:
            watch(Progress(finished, len(tasks), len(failures), work_done, work))

    tell(len(done), ready)
    finished, own = len(done), executor is None
    pool = executor or cf.ThreadPoolExecutor(workers or (1 if together else available_cores()))
    try:
        queue = {pool.submit(compute, b, folder, lanes): b for b in batches(todo, width)}
        pending = set(queue)
        while pending:
            complete, pending = cf.wait(pending, return_when=cf.FIRST_COMPLETED)
            for future in complete:
                batch = queue.pop(future)
                error = future.exception()
                if error is not None:
                    failures.extend(_failure(task, error) for task in batch)
                else:
                    for task, outcome in zip(batch, future.result(), strict=True):
                        store.write(task, outcome.arrays, outcome.provenance)
                    finished += len(batch)
                ready += sum(task.system.work() for task in batch)
                tell(finished, ready)
    finally:
        if own:
            pool.shutdown(wait=False, cancel_futures=True)
    if failures:
        raise RunError(
            f"{len(failures)} of {len(tasks)} tasks failed; the others are in {store.path}, and "
            f"the same command tries these again:\n  " + "\n  ".join(failures[:10])
        )
    return store.open(study.plan())


def _failure(task: Task, error: BaseException) -> str:
    text = str(error) if isinstance(error, DataError) else repr(error)
    reason = (text.strip().splitlines() or [type(error).__name__])[0]
    return f"{reason}: realization {task.realization} of {task.system}"
