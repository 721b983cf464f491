"""`run`: compute what a store lacks of a study, and only that."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import logging
import math
import os
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from criticality import catalog, data
from criticality.base import InputError, RunError, Task, axes, card, plain, required
from criticality.study import job, manifest, shards
from criticality.study.computation import Computation, Fault, Progress
from criticality.study.flight import Flight, Machine
from criticality.study.plan import Study
from criticality.study.store import Store
from criticality.study.workers import default_workers, pool

log = logging.getLogger("criticality")
WIDEST = 65_536  # lanes, or processes, that anyone can mean
SHOWN = 10  # failures in a message


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
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
) -> xr.Dataset:
    """Compute what is missing of a study, and give all of it as a labelled data set.

    Realizations that take long are saved every half minute, and go on from there after an
    interruption (a plain system is computed task by task).  Runs on one store, at one moment, share
    what there is to do, and each gives all of it at its end.

    Ctrl-C once lets finish what is under way, twice stops at once.  SIGTERM and SIGUSR1, which
    schedulers send before they kill, and SIGHUP of a closed terminal save what is under way and
    end.  Who has handlers of his own for these signals, or calls this outside of the main thread,
    keeps them.

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
    retry_failed
        Compute also what has failed before by its own fault: it raised, had another shape, or
        numbers that are not finite where its card does not allow it.  What a machine was to blame
        for, as memory, data or a worker that was killed, is always tried again.
    shard
        (I, N) computes the I-th of N parts only, from 1 (`study.shards`); default is all.

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
        If tasks failed, now or before; all others are in the store, and reasons too.  A result that
        is not finite is kept as well.  At once if the executor is lost, or if the store cannot be
        written any more: what was written stays, and the same call goes on from it.
    KeyboardInterrupt
        After Ctrl-C.
    SystemExit
        After SIGTERM, SIGUSR1 or SIGHUP, with 128 and the number of the signal.
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
    tasks = {task.key: task for task in shards.shard(study.tasks(), shard)}
    folder = str(Path(data_dir).absolute()) if data_dir else None
    for source in {required(task.system) for task in tasks.values()} - {""}:
        data.load(source, folder)  # verified before anything is written
    todo, again, faults = _begun(study, store, tasks, retry_failed)
    isolated = plain(study.system)
    lanes = not isolated and (job.accelerated() if vectorize is None else vectorize)
    machine = Machine(
        folder=folder,
        checkpoints=str(store.checkpoints.absolute()),  # a worker may stand elsewhere
        width=width,
        lanes=lanes,
    )
    with contextlib.ExitStack() as stack:
        if executor is None and todo:
            # two processes do not share the memory of one accelerator
            single = not isolated and (lanes or job.accelerated())
            count = 1 if lanes else workers or (1 if single else default_workers(todo))
            calls = math.ceil(len(todo) / (width or 1))
            executor = stack.enter_context(pool(min(count, calls), savable=not isolated))
        computation = Computation(store, tasks, todo, again, faults, watch)
        if executor is not None and todo:
            computation.through(Flight(machine, executor), executor)
        else:
            computation.tell()
    if computation.faults:
        raise RunError(_said(computation.faults, len(tasks), store))
    return store.open(study.plan(), observables)


def _said(faults: Sequence[Fault], total: int, store: Store) -> str:
    """Say which tasks have no good result, why, and what to do."""
    own = sum(fault.own for fault in faults)
    machine = len(faults) - own
    hints = [f"The same command tries {machine} of these again."] * (machine > 0)
    hints += [f"{own} would fail again; --retry-failed (retry_failed=True) tries."] * (own > 0)
    first = f"{len(faults)} of {total} tasks failed; the others are in {store.path}."
    lines = [*map(str, faults[:SHOWN]), *["..."] * (len(faults) > SHOWN)]
    return "\n  ".join([" ".join([first, *hints]), *lines])


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


def _begun(
    study: Study, store: Store, tasks: dict[str, Task], retry_failed: bool
) -> tuple[list[Task], list[str], list[Fault]]:
    """Tasks to compute, keys of those that have a result, and those that are known to fail.

    The store's plan and card are written.
    """
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
    left = [*missing, *damaged]
    wrong = store.wrong(done)
    if retry_failed:
        return [tasks[key] for key in (*left, *wrong)], list(wrong), []
    faults = [Fault.not_finite(tasks[key], names) for key, names in wrong.items()]
    before = store.failures()
    for key in left:
        failure = before.get(key)
        if failure and failure.own and failure.source_sha256 == source:
            faults.append(Fault(tasks[key], failure.reason, own=True))
    known = {fault.task.key for fault in faults}
    return [tasks[key] for key in left if key not in known], [], faults
