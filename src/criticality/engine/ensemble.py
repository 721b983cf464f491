"""Mapping a system, which is written for one realization, over many.

On a CPU one realization at a time fills a core: its parameters and Adam moments stay in cache,
where those of a wide batch do not; other cores have processes of their own (`study.workers`).  On
an accelerator the wide batch is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from criticality import keys
from criticality.base import System, Task
from criticality.engine import checkpoint, lanes, programs, realization
from criticality.engine.checkpoint import Checkpoints
from criticality.engine.realization import Realization, Result, in_precision
from criticality.engine.templates import Traced, split

SLICE_S = 2.0  # that the device computes without a word, about
LONGEST = np.int32(2**30)  # slice; of advances that take no time


def _slice(
    form: System, traced: Traced, state: Any, count: jax.Array, data: Any
) -> tuple[Any, jax.Array, jax.Array]:
    """State after `count` advances or fewer, how many they were, and whether it is finished."""

    def going(carry: tuple[Any, jax.Array]) -> Any:
        state, done = carry
        return (done < count) & ~realization.finished(form, traced, state)

    def step(carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, done = carry
        return realization.advance(form, traced, state, data), done + 1

    state, done = jax.lax.while_loop(going, step, (state, jnp.int32(0)))
    return state, done, realization.finished(form, traced, state)


def _one(form: System, one: Realization, data: Any, number: int, kept: Checkpoints) -> Any:
    """Observables of one whole realization.

    It is advanced in slices, each a program without a round trip to the host, which double until
    they take `SLICE_S`: where they end changes no number, and there it can be saved.
    """

    def program(function: Callable[..., Any], *arguments: Any, donate: tuple[int, ...] = ()) -> Any:
        def of_form(*arguments: Any) -> Any:
            return function(form, *arguments)

        name = f"{function.__name__.strip('_')} of one realization"
        return programs.compiled(form, name, of_form, arguments, donate)

    kept.stop.check()
    traced, words = jax.device_put(one)
    kept.wait()
    begun, advances = time.monotonic(), 0
    state = program(realization.begin, traced, words, data)(traced, words, data)
    if kept.there(number) and (found := kept.load(number, checkpoint.leaves(state))):
        state = checkpoint.restored(state, found)
        del found  # it may be large
    count, finished = np.int32(1), False
    # the state is donated: it may be large, and the new one takes its place in memory
    advance = program(_slice, traced, state, count, data, donate=(1,))
    while not finished:
        start = time.monotonic()
        state, done, finished = advance(traced, state, count, data)
        advances += int(done)  # waits
        now = time.monotonic()
        if kept.due():
            kept.save([(number, checkpoint.leaves(state), advances, now - begun)])
        kept.stop.check()
        if now - start < SLICE_S / 2:
            count = min(2 * count, LONGEST)
        elif now - start > 2 * SLICE_S:
            count = max(count // 2, np.int32(1))
    return program(realization.observe, traced, state, data)(traced, state, data)


def _prepared(
    tasks: Sequence[Task], data: Mapping[str, Any]
) -> tuple[System, list[Realization], Any]:
    """Template of all tasks, what each adds to it, and the data on the device."""
    parts = [split(task.system) for task in tasks]
    form = parts[0][0]
    if any(other != form for other, _ in parts):
        raise ValueError("tasks of one batch must differ in traced controls only")
    realizations = [
        (traced, keys.words(task.lineage)) for (_, traced), task in zip(parts, tasks, strict=True)
    ]
    return form, realizations, programs.on_device(tasks[0].checksum, data)


def best_width(tasks: Sequence[Task], data: Mapping[str, Any]) -> int:
    """How many realizations are best advanced together on this device, measured."""
    measured = (lanes.best_width(*_prepared(tasks, data)) for _ in "1")
    return next(in_precision(tasks[0].system, measured))


def stream(
    tasks: Sequence[Task],
    data: Mapping[str, Any],
    width: int = 1,
    kept: Checkpoints | None = None,
) -> Iterator[tuple[int, Result]]:
    """Compute realizations that share a template, and give each as soon as it is there.

    Parameters
    ----------
    tasks
        What to compute; with lanes, best in an order of falling work.
    data
        Arrays of the data set that has the tasks' checksum.
    width
        Realizations advanced together; with 1 they come one after another.
    kept
        Where states of these tasks are saved, and those of an interrupted run are.

    Yields
    ------
    number, result
        Place in `tasks`, and observables, each in its declared inner dimensions.

    Raises
    ------
    StoppedError
        If this process is asked to stop; states are saved by then.
    """
    found = _stream(tasks, data, width, kept or Checkpoints(None, tasks))
    return in_precision(tasks[0].system, found)


def _stream(
    tasks: Sequence[Task], data: Mapping[str, Any], width: int, kept: Checkpoints
) -> Iterator[tuple[int, Result]]:
    form, realizations, arrays = _prepared(tasks, data)
    if width > 1:
        yield from lanes.stream(form, realizations, arrays, width, kept)
        return
    for number, one in enumerate(realizations):
        if kept.stop.finishing:
            return
        out = _one(form, one, arrays, number, kept)
        yield number, {name: np.asarray(value) for name, value in out.items()}


def realize(tasks: Sequence[Task], data: Mapping[str, Any], width: int = 1) -> list[Result]:
    """All that `stream` gives, in the order of the tasks."""
    found = dict(stream(tasks, data, width))
    return [found[number] for number in range(len(tasks))]
