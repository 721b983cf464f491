"""What a study would cost, before it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from criticality.base import Task
from criticality.engine import programs
from criticality.study.plan import Study
from criticality.study.store import Store

FILE_OVERHEAD = 16_000  # bytes of netCDF structure and provenance at most, measured
EXPANSION = 1.01  # of an array that does not compress, and of its chunks
EFFICIENCY = 0.7  # share of the matrix-product rate in the demo, by the guess of its epochs


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
        With the given number of workers; good to a factor of about two.
    disk_bytes
        Of the missing results.
    basis
        What the rate comes from.
    """

    tasks: int
    missing: int
    work: float
    seconds: float
    disk_bytes: int
    basis: str


def result_bytes(task: Task) -> int:
    """Size of one result file at most: large arrays are compressed, by how much is not known."""
    sizes = {name: len(values) for name, values in task.system.inner().items()}
    numbers = sum(
        math.prod(sizes[dim] for dim in observable.dims)
        for observable in type(task.system).observables
    )
    return FILE_OVERHEAD + math.ceil(EXPANSION * (4 * numbers + 8 * sum(sizes.values())))


def estimate(study: Study, store: Store | None = None, workers: int = 1) -> Cost:
    """Estimate time and disk of what is missing; nothing is written.

    The rate comes from the wall times in the store where there are any, else from a short timing
    of matrix products on this machine.

    Raises
    ------
    InputError
        If the store belongs to another study.
    """
    tasks = {task.key: task for task in study.tasks()}
    done: list[str] = []
    left = list(tasks)
    measured, seconds = 0.0, 0.0
    if store is not None:
        store.admit(study.plan())
        done, missing, damaged = store.survey(tasks)
        left = [*missing, *damaged]
        if done:
            measured = sum(tasks[key].system.work() for key in done)
            wall = {e.attributes["key"]: e.attributes["wall_seconds"] for e in store.entries()[0]}
            seconds = sum(wall.get(key, 0.0) for key in done)
    work = sum(tasks[key].system.work() for key in left)
    if seconds > 0:
        rate, basis = measured / seconds, f"{len(done)} results in the store"
    else:
        rate = EFFICIENCY * programs.product_rate()
        basis = f"{rate / 1e9:.0f} GFLOP/s a core, from a timing of matrix products"
    return Cost(
        tasks=len(tasks),
        missing=len(left),
        work=work,
        seconds=work / rate / workers,
        disk_bytes=sum(result_bytes(tasks[key]) for key in left),
        basis=basis,
    )


def human_time(seconds: float) -> str:
    """Duration in the unit that people would use."""
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
