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
from criticality.study.plan import Study
from criticality.study.store import Store
from criticality.study.workers import default_workers, pool

log = logging.getLogger("criticality")
WIDEST = 65_536  # lanes, or processes, that anyone can mean
TICK_S = 1.0  # between two looks at what others do
SAVE_S = 20.0  # that what is under way is given to be saved; schedulers kill after 30


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
        if executor is None:
            # two processes do not share the memory of one accelerator
            single = not isolated and (lanes or job.accelerated())
            count = 1 if lanes else workers or (1 if single else default_workers(todo))
            calls = machine.calls(todo)
            executor = stack.enter_context(pool(min(count, calls or 1), savable=not isolated))
        crew = _Crew(store, tasks, todo, Flight(machine, executor), executor, watch)
        failures = crew.work(wait=not isolated)
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
    for key in done:  # killed between a result and its checkpoint
        store.forget(key)
    for key in damaged:
        log.warning("%s is damaged; it is computed again", store.file(key))
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


