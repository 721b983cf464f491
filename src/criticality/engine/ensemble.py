"""Mapping a system, which is written for one realization, over many.

On a CPU one realization at a time fills a core: its parameters and Adam moments stay in cache,
where those of a wide batch do not; other cores have processes of their own (`study.workers`).  On
an accelerator the wide batch is right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from criticality import keys
from criticality.base import System, Task
from criticality.engine import lanes, programs
from criticality.engine.lanes import Result


def _whole(
    form: System, traced: programs.Traced, words: jax.Array, data: Any
) -> dict[str, jax.Array]:
    """One whole realization as a single traced computation."""
    system = dataclasses.replace(form, **traced)
    state = jax.lax.while_loop(
        lambda state: ~system.finished(state),
        lambda state: system.advance(state, data),
        system.begin(keys.root(words), data),
    )
    return system.observe(state, data)


def _prepared(
    tasks: Sequence[Task], data: Mapping[str, Any]
) -> tuple[System, list[lanes.Realization], Any]:
    """Template of all tasks, what each adds to it, and the data on the device."""
    parts = [programs.split(task.system) for task in tasks]
    form = parts[0][0]
    if any(other != form for other, _ in parts):
        raise ValueError("tasks of one batch must differ in traced controls only")
    realizations = [
        (traced, keys.words(task.lineage)) for (_, traced), task in zip(parts, tasks, strict=True)
    ]
    return form, realizations, programs.on_device(tasks[0].checksum, data)


def best_width(tasks: Sequence[Task], data: Mapping[str, Any]) -> int:
    """How many realizations are best advanced together on this device, measured."""
    return lanes.best_width(*_prepared(tasks, data))


def stream(
    tasks: Sequence[Task], data: Mapping[str, Any], width: int = 1
) -> Iterator[tuple[int, Result]]:
    """Compute realizations that share a template, and give each as soon as it is there.

    Parameters
    ----------
    tasks
        What to compute; with lanes, best in an order of falling work.
    data
        Arrays of the data set that has the tasks' checksum.
    width
        Realizations advanced together; with 1 they come one after another, each in a program
        without a round trip to the host.

    Yields
    ------
    number, result
        Place in `tasks`, and observables, each in its declared inner dimensions.
    """
    form, realizations, arrays = _prepared(tasks, data)
    if width > 1:
        yield from lanes.stream(form, realizations, arrays, width)
        return

    def whole(*arguments: Any) -> dict[str, jax.Array]:
        return _whole(form, *arguments)

    for number, realization in enumerate(realizations):
        arguments = (*realization, arrays)
        program = programs.compiled(form, "one realization", whole, arguments)
        out = program(*arguments)
        yield number, {name: np.asarray(value) for name, value in out.items()}


def realize(tasks: Sequence[Task], data: Mapping[str, Any], width: int = 1) -> list[Result]:
    """All that `stream` gives, in the order of the tasks."""
    found = dict(stream(tasks, data, width))
    return [found[number] for number in range(len(tasks))]
