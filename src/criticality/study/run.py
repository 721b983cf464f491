"""`run`: compute what a store lacks of a study, and only that."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import logging
import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from criticality import catalog, data
from criticality.base import (
    DataError,
    InputError,
    RunError,
    Task,
    axes,
    card,
    plain,
    required,
    work,
)
from criticality.engine.templates import template
from criticality.study import job, manifest
from criticality.study.job import Outcome
from criticality.study.journal import Journal
from criticality.study.plan import Study
from criticality.study.store import Store
from criticality.study.workers import default_workers, pool

log = logging.getLogger("criticality")
QUEUE = 8  # realizations that a worker with an accelerator is given, for each lane
WIDEST = 65_536  # lanes, or processes, that anyone can mean
LANES = 64  # in that count, where the worker is to choose their number


@dataclass(frozen=True)
class Progress:
    """How far a run is: tasks, and estimated work in FLOP (or tasks), which is what time goes with.

    `workers` compute at once.
    """

    done: int
    total: int
    failed: int
    work_done: float
    work_total: float
    workers: int = 1


Finished = Generator[tuple[list[Task], list[tuple[Task, Outcome]] | BaseException]]


def effort(task: Task) -> float:
    """Work of a task, or 1 where its system knows none."""
    return work(task.system) or 1.0


def batches(tasks: Sequence[Task], size: int) -> list[list[Task]]:
    """Group tasks that share a template, those of most work first.

    Tasks of like work share a batch, and the long ones start early, so that neither lanes nor
    cores idle for long at the end.
    """
    groups: dict[Any, list[Task]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: -effort(task)):
        alike = task.checksum if plain(task.system) else template(task.system)
        groups[alike].append(task)
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How tasks are computed, whoever computes them.

    Attributes
    ----------
    folder
        Where to look for data sets first.
    checkpoints
        Where states of long realizations are kept.
    width
        Realizations advanced together in lanes, None if measured; or tasks in a batch.
    lanes
        Whether realizations are advanced together.
    """

    folder: str | None
    checkpoints: str
    width: int | None
    lanes: bool

    @property
    def together(self) -> int | None:
        """Width of the lanes; 1 where there are none."""
        return self.width if self.lanes else 1

    def queue(self, tasks: Sequence[Task]) -> list[list[Task]]:
        """Give what goes to a worker as one call each."""
        size = QUEUE * (self.width or LANES) if self.lanes else self.width or 1
        return batches(tasks, size)

    def here(self, tasks: Sequence[Task]) -> Finished:
        """Compute in this thread, on an accelerator; a batch is all that shares a template."""
        for batch in batches(tasks, len(tasks)):
            left = {task.key: task for task in batch}
            try:
                for task, outcome in job.stream(
                    batch, self.folder, self.together, self.checkpoints
                ):
                    del left[task.key]
                    yield [task], [(task, outcome)]
            except Exception as error:
                # without its traceback, which would keep what is on the device
                yield list(left.values()), error.with_traceback(None)

    def elsewhere(self, executor: cf.Executor, queue: Iterable[list[Task]]) -> Finished:
        """Compute on an executor, in whatever order it finishes."""
        futures: dict[cf.Future[list[tuple[Task, Outcome]]], list[Task]] = {}
        for batch in queue:
            arguments = (batch, self.folder, self.together, self.checkpoints)
            try:
                futures[executor.submit(job.compute, *arguments)] = batch
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
    interruption (a plain system is computed task by task).

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
        If the store belongs to another study or cannot be written, or the executor cannot work.
    DataError
        If the data cannot be had; nothing is written then.
    RunError
        If tasks failed; all others are in the store.
    """
    store = store if isinstance(store, Store) else Store(store)
    for name, value in (("workers", workers), ("width", width)):
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}: expected a whole number of 1 or more.")
        if value is not None and value > WIDEST:
            raise InputError(f"{name} = {value}: expected {WIDEST} at most.")
    _check_executor(executor)
    catalog.check(type(study.system), type(study.system).__name__)
    store.admit(study.plan())
    tasks = {task.key: task for task in study.tasks()}
    folder = str(Path(data_dir).absolute()) if data_dir else None
    for source in {required(task.system) for task in tasks.values()} - {""}:
        data.load(source, folder)  # verified before anything is written
    todo = _begun(study, store, tasks)
    isolated = plain(study.system)
    lanes = not isolated and (job.accelerated() if vectorize is None else vectorize)
    machine = Machine(
        folder=folder,
        checkpoints=str(store.checkpoints.absolute()),  # a worker may stand elsewhere
        width=width,
        lanes=lanes,
    )
    with contextlib.ExitStack() as stack:
        count = 1
        if lanes and executor is None:
            results = machine.here(todo)
        else:
            queue = machine.queue(todo)
            if executor is None:
                # two processes do not share the memory of one accelerator
                single = not isolated and job.accelerated()
                most = 1 if single else default_workers([task for part in queue for task in part])
                count = min(workers or most, len(queue) or 1)
                executor = stack.enter_context(pool(count))
            results = machine.elsewhere(executor, queue)
        stack.enter_context(contextlib.closing(results))
        journal = stack.enter_context(store.recording())
        failures = _gathered(store, journal, tasks, todo, results, watch, count)
    if failures:
        raise RunError(
            f"{len(failures)} of {len(tasks)} tasks failed; the others are in {store.path}, and "
            f"the same command tries these again:\n  " + "\n  ".join(failures[:10])
        )
    return store.open(study.plan(), observables)


def _check_executor(executor: cf.Executor | None) -> None:
    """Refuse forks of a process in which jax has threads: they would wait for ever."""
    if not isinstance(executor, cf.ProcessPoolExecutor) or "jax" not in sys.modules:
        return
    context: Any = executor._mp_context
    if context.get_start_method() == "fork":
        raise InputError(
            "executor: its processes are forks of this one, in which jax is loaded already; they "
            "would hang. Use ProcessPoolExecutor(..., mp_context=multiprocessing.get_context("
            "'spawn')), or no executor: the default is a process a core."
        )


def _begun(study: Study, store: Store, tasks: dict[str, Task]) -> list[Task]:
    """Tasks that are to be computed; the store's plan and card are written."""
    plan = study.plan()
    done, missing, damaged = store.survey(tasks)
    store.sweep()
    if missing or damaged:
        for path in store.damaged():
            log.warning("%s is damaged; what it held is computed again", path)
    place = catalog.place(type(study.system))
    about = manifest.card_data(card(study.system), axes(study.system), place)
    there = (store.path / "study.json").exists() and (store.path / "card.json").exists()
    kept = manifest.read_card(store.path)
    # of an own system the kept card is all that others have: what it says now is what holds
    new = bool(place) and (kept is None or manifest.card_data(*kept) != about)
    if missing or damaged or not there or new or store.admit(plan) != store.plan():
        store.begin(plan, about)
    source = catalog.source_sha256(study.system)
    if done and source and (older := store.other_sources(done, source)):
        told = card(study.system)
        log.warning(
            "the source of %s has changed since %d of the results here were computed, and its "
            "version is %d as then; they are kept. If its numbers changed, raise the version and "
            "use another store.",
            told.name,
            older,
            told.version,
        )
    return [tasks[key] for key in (*missing, *damaged)]


def _gathered(
    store: Store,
    journal: Journal,
    tasks: dict[str, Task],
    todo: Sequence[Task],
    results: Finished,
    watch: Callable[[Progress], None] | None,
    workers: int,
) -> list[str]:
    """Write results as they come; what failed, in words."""
    failures: list[str] = []
    whole = sum(effort(task) for task in tasks.values())
    ready = whole - math.fsum(effort(task) for task in todo)
    finished = len(tasks) - len(todo)

    def tell() -> None:
        if watch:
            watch(Progress(finished, len(tasks), len(failures), ready, whole, workers))

    tell()
    for batch, result in results:
        if isinstance(result, BaseException):
            failures.extend(_failure(task, result) for task in batch)
        else:
            for task, outcome in result:
                store.write(task, outcome.arrays, outcome.provenance, journal)
            finished += len(batch)
        ready += sum(effort(task) for task in batch)
        tell()
    return failures


def _failure(task: Task, error: BaseException) -> str:
    text = str(error) if isinstance(error, DataError | RunError) else repr(error)
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    return f"realization {task.realization} of {task.system}: {first}"
