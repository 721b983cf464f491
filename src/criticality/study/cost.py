"""What a study would cost, before it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from criticality.base import Task, card, inner, plain, work
from criticality.engine.templates import template
from criticality.study.plan import Study
from criticality.study.shards import TASK_S, shard
from criticality.study.store import INLINE, Store

FILE_OVERHEAD = 16_000  # bytes of netCDF structure and provenance at most, measured
LINE_OVERHEAD = 600  # of a line in a journal, and of its share in what many lines have in common
CODED = 4 / 3  # of numbers as text
EXPANSION = 1.01  # of an array that does not compress, and of its chunks
EFFICIENCY = 0.7  # share of the matrix-product rate in the demo, by the guess of its epochs
COMPILING_S = 5.0  # of each template, in each process


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Estimate of what is left to do.

    Attributes
    ----------
    tasks, missing
        Tasks of the study, and how many of them the store lacks.
    work
        Of the missing ones, in FLOP; the number of epochs is a guess.
    seconds
        Of one worker, with compiling; good to a factor of about two.  NaN where nothing is known.
    compiling
        What of it each worker does for itself.
    disk_bytes
        Of the missing results.
    basis
        What the rate comes from.
    """

    tasks: int
    missing: int
    work: float
    seconds: float
    compiling: float
    disk_bytes: int
    basis: str

    def with_workers(self, workers: int) -> float:
        """Seconds that so many workers take."""
        return self.compiling + (self.seconds - self.compiling) / workers


def product_rate(size: int = 512, repeats: int = 8) -> float:
    """FLOP/s of a float32 matrix product on one core: the best of short timings."""
    a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    times = []
    with threadpool_limits(1):
        for _ in range(repeats):
            start = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def result_bytes(task: Task) -> int:
    """Size of one result at most: large arrays are compressed, by how much is not known."""
    sizes = {name: len(values) for name, values in inner(task.system).items()}
    told = card(task.system)
    width = 8 if plain(task.system) or told.precision == "float64" else 4
    numbers = sum(math.prod(sizes[dim] for dim in o.dims) for o in told.observables)
    size = width * numbers + 8 * sum(sizes.values())
    if size <= INLINE:
        return LINE_OVERHEAD + math.ceil(CODED * width * numbers)
    return FILE_OVERHEAD + math.ceil(EXPANSION * size)


def compiling_seconds(tasks: Sequence[Task]) -> float:
    """Seconds that each process spends on compiling."""
    forms = {template(task.system) for task in tasks if not plain(task.system)}
    return COMPILING_S * len(forms)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Seconds of a core that tasks take, without compiling.

    Attributes
    ----------
    flop, task
        Of an operation; of a task beyond its operations, NaN where nothing is known.
    basis
        What the rate comes from.
    """

    flop: float
    task: float
    basis: str

    def seconds(self, tasks: Sequence[Task]) -> float:
        """Of all these tasks."""
        return self.flop * sum(work(t.system) for t in tasks) + self.task * len(tasks)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a study asks for, by task key, what of it a store lacks, and how fast it goes."""

    tasks: Mapping[str, Task]
    missing: Sequence[str]
    rate: Rate


def survey(study: Study, store: Store | None = None) -> Survey:
    """Look what is missing, and how long what is there has taken; nothing is written.

    The rate comes from the wall times in the store where there are any, else from a short timing
    of matrix products on this machine.

    Raises
    ------
    InputError
        If the store belongs to another study.
    """
    tasks = {task.key: task for task in study.tasks()}
    if store is None:
        return Survey(tasks=tasks, missing=list(tasks), rate=_rate(list(tasks.values()), [], 0.0))
    store.admit(study.plan())
    done, missing, damaged = store.survey(tasks)
    seconds = 0.0
    if done:
        about = {e.attributes["key"]: e.attributes for e in store.entries()[0]}
        seconds = sum(_net_seconds(about[key]) for key in done if key in about)
    rate = _rate(list(tasks.values()), [tasks[key] for key in done], seconds)
    return Survey(tasks=tasks, missing=[*missing, *damaged], rate=rate)


def _rate(tasks: Sequence[Task], done: Sequence[Task], seconds: float) -> Rate:
    """Rate, where the tasks `done` took so many seconds."""
    measured = sum(work(task.system) for task in done)
    results = f"{len(done)} results in the store"
    if seconds > 0 and measured > 0:
        return Rate(flop=seconds / measured, task=0.0, basis=results)
    if seconds > 0:  # no estimate of work: all tasks alike
        return Rate(flop=0.0, task=seconds / len(done), basis=results)
    if any(work(task.system) > 0 for task in tasks):
        rate = EFFICIENCY * product_rate()
        basis = f"{rate / 1e9:.0f} GFLOP/s a core, from a timing of matrix products"
        return Rate(flop=1 / rate, task=TASK_S, basis=basis)
    basis = "nothing: the system has no work(), and the store no result"
    return Rate(flop=0.0, task=math.nan, basis=basis)


def estimate(study: Study, store: Store | None = None, part: tuple[int, int] | None = None) -> Cost:
    """Estimate time and disk of what is missing, of one shard or of all; nothing is written.

    Raises
    ------
    InputError
        If the store belongs to another study, or there is no such shard.
    """
    found = survey(study, store)
    tasks = {task.key: task for task in shard(list(found.tasks.values()), part)}
    todo = [tasks[key] for key in found.missing if key in tasks]
    compiling = compiling_seconds(todo)
    return Cost(
        tasks=len(tasks),
        missing=len(todo),
        work=sum(work(task.system) for task in todo),
        seconds=found.rate.seconds(todo) + compiling if todo else 0.0,
        compiling=compiling,
        disk_bytes=sum(result_bytes(task) for task in todo),
        basis=found.rate.basis,
    )


def _net_seconds(attributes: dict[str, float]) -> float:
    return attributes.get("wall_seconds", 0.0) - attributes.get("compile_seconds", 0.0)


def human_time(seconds: float) -> str:
    """Duration in the unit that people would use."""
    if not math.isfinite(seconds):
        return "an unknown time"
    for unit, length in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def human_size(size: float) -> str:
    """Size in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
