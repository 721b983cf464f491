"""`run`: compute what a store lacks of a study, and only that."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import datetime
import importlib.metadata
import logging
import os
import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import xarray as xr

from criticality import data
from criticality.base import DataError, InputError, RunError, Task, required
from criticality.engine import ensemble, lanes, programs
from criticality.engine.checkpoint import Checkpoints
from criticality.study.plan import Study
from criticality.study.store import Store
from criticality.study.workers import default_workers, pool

log = logging.getLogger("criticality")
LIBRARIES = ("jax", "jaxlib", "numpy")
QUEUE = 8  # realizations that a worker with an accelerator is given, for each lane
LANES = 64  # in that count, where the worker is to choose their number


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

    arrays: lanes.Result
    provenance: dict[str, Any]


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
        "device": programs.device_name(),
        "dtype": "float32",
    }


def stream(
    batch: Sequence[Task], folder: str | None, width: int | None, checkpoints: str | None = None
) -> Iterator[tuple[Task, Outcome]]:
    """Compute tasks that share a template, and give each as soon as it is there.

    Parameters
    ----------
    batch
        Tasks, those of most work first.
    folder
        Where to look for data sets first.
    width
        Realizations advanced together; None measures what is best.
    checkpoints
        Folder where states of long realizations are kept, and those of an interrupted run are.
    """
    arrays = _arrays(batch[0], folder)
    start, compiling = time.perf_counter(), programs.compile_seconds()
    together = width or ensemble.best_width(batch, arrays)
    kept = Checkpoints(checkpoints, batch)
    for number, result in ensemble.stream(batch, arrays, together, kept):
        seconds = time.perf_counter() - start
        resumed, earlier = kept.earlier.get(number, (0, 0.0))
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        about = {
            **_provenance(),
            "lanes": together,
            "wall_seconds": seconds + earlier,
            "resumed_after": resumed,  # advances, by a run that was interrupted
            "compile_seconds": programs.compile_seconds() - compiling,  # of these
            "created": stamp,
        }
        yield batch[number], Outcome(arrays=result, provenance=about)
        start, compiling = time.perf_counter(), programs.compile_seconds()


def _arrays(task: Task, folder: str | None) -> dict[str, Any]:
    """Arrays that a task requires.

    Raises
    ------
    DataError
        Also if they are not those that its key was made of.
    """
    source = required(task.system)
    if not source:
        return {}
    found = data.load(source, folder)
    if found.checksum != task.checksum:
        raise DataError(
            f"{source}: changed since the study was made, or another file here (sha256 "
            f"{found.checksum[:12]}, not {task.checksum[:12]}). Start again for the new data."
        )
    return found.arrays()


def compute(
    batch: Sequence[Task], folder: str | None, width: int | None, checkpoints: str | None = None
) -> list[tuple[Task, Outcome]]:
    """All that `stream` gives; what an executor is given."""
    with data.looking_in(folder):
        return list(stream(batch, folder, width, checkpoints))


def batches(tasks: Sequence[Task], size: int) -> list[list[Task]]:
    """Group tasks that share a template, those of most work first.

    Tasks of like work share a batch, and the long ones start early, so that neither lanes nor
    cores idle for long at the end.
    """
    groups: dict[Any, list[Task]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: -task.system.work()):
        groups[programs.template(task.system)].append(task)
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]


Finished = Generator[tuple[list[Task], list[tuple[Task, Outcome]] | BaseException]]


def _here(
    todo: Sequence[Task], folder: str | None, width: int | None, checkpoints: str
) -> Finished:
    """Compute in this thread, on an accelerator; a batch is all that shares a template."""
    for batch in batches(todo, len(todo)):
        left = {task.key: task for task in batch}
        try:
            for task, outcome in stream(batch, folder, width, checkpoints):
                del left[task.key]
                yield [task], [(task, outcome)]
        except Exception as error:
            # without its traceback, which would keep what is on the device
            yield list(left.values()), error.with_traceback(None)


def _elsewhere(
    executor: cf.Executor,
    queue: list[list[Task]],
    folder: str | None,
    width: int | None,
    checkpoints: str,
) -> Finished:
    """Compute on an executor, in whatever order it finishes."""
    futures: dict[cf.Future[list[tuple[Task, Outcome]]], list[Task]] = {}
    for batch in queue:
        try:
            futures[executor.submit(compute, batch, folder, width, checkpoints)] = batch
        except cf.BrokenExecutor as error:  # a worker was killed; the others went with it
            yield batch, error
    pending = set(futures)
    while pending:
        complete, pending = cf.wait(pending, return_when=cf.FIRST_COMPLETED)
        for future in complete:
            yield futures.pop(future), future.exception() or future.result()


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
    observables: Collection[str] | None = None,
) -> xr.Dataset:
    """Compute what is missing of a study, and give all of it as a labelled data set.

    Realizations that take long are saved every half minute, and go on from there after an
    interruption.

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
        Any `concurrent.futures.Executor` (processes, Dask, MPI); default is a process a core.
    workers
        Processes of the default executor; by default one a core, or fewer for little work.  Lanes
        on an accelerator are advanced by this process alone.
    width
        Realizations that are advanced together, if vectorized; by default the width that
        memory allows and a short measurement finds best.  Else realizations that go to a worker
        as one batch, default 1.
    vectorize
        Advance realizations together (`vmap`), the default where there is an accelerator;
        otherwise one after another.  On a CPU this is slower, and rounds differently.
    data_dir
        Where to look for data sets first.
    watch
        Called with a `Progress` at the start and after every task.
    observables
        Names of those to give; default is all.

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
    folder = str(Path(data_dir).absolute()) if data_dir else None
    for needed in {required(task.system) for task in tasks.values()} - {""}:
        data.load(needed, folder)  # verified before anything is written
    done, missing, damaged = store.survey(tasks)
    for key in done:  # killed between a result and its checkpoint
        store.forget(key)
    checkpoints = str(store.checkpoints.absolute())  # a worker may stand in another directory
    for key in damaged:
        log.warning("%s is damaged; it is computed again", store.file(key))
    todo = [tasks[key] for key in (*missing, *damaged)]
    if todo or store.admit(study.plan()) != store.plan():
        store.begin(study.plan())
    together = programs.accelerated() if vectorize is None else vectorize
    failures: list[str] = []
    work = sum(task.system.work() for task in tasks.values())
    ready = work - sum(task.system.work() for task in todo)

    def tell(finished: int, work_done: float) -> None:
        if watch:
            watch(Progress(finished, len(tasks), len(failures), work_done, work))

    tell(len(done), ready)
    finished = len(done)
    with contextlib.ExitStack() as stack:
        if together and executor is None:
            results = _here(todo, folder, width, checkpoints)
        else:
            queue = batches(todo, QUEUE * (width or LANES) if together else width or 1)
            if executor is None:
                # two processes do not share the memory of one accelerator
                most = 1 if programs.accelerated() else default_workers(work - ready)
                executor = stack.enter_context(pool(min(workers or most, len(queue) or 1)))
            lane_count = width if together else 1
            results = _elsewhere(executor, queue, folder, lane_count, checkpoints)
        stack.enter_context(contextlib.closing(results))
        for batch, result in results:
            if isinstance(result, BaseException):
                failures.extend(_failure(task, result) for task in batch)
            else:
                for task, outcome in result:
                    store.write(task, outcome.arrays, outcome.provenance)
                finished += len(batch)
            ready += sum(task.system.work() for task in batch)
            tell(finished, ready)
    if failures:
        raise RunError(
            f"{len(failures)} of {len(tasks)} tasks failed; the others are in {store.path}, and "
            f"the same command tries these again:\n  " + "\n  ".join(failures[:10])
        )
    return store.open(study.plan(), observables)


def _failure(task: Task, error: BaseException) -> str:
    text = str(error) if isinstance(error, DataError) else repr(error)
    reason = (text.strip().splitlines() or [type(error).__name__])[0]
    return f"{reason}: realization {task.realization} of {task.system}"
