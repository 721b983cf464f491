"""Many realizations advanced together by `vmap`, each in a lane; what an accelerator wants.

A lane whose realization has finished is given the next one of the queue, so that early stopping
idles nothing: the finished state moves to a waiting room, and is measured when that is full or a
minute has passed, since measuring is as wide as training.  Once the queue is empty, idle lanes
repeat a busy one.

One call advances every lane by one unit (an epoch).  A mini-batch loop is as long as the longest
among the lanes, so the queue is best sorted by size; the order does not change any number.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from criticality import keys
from criticality.base import System
from criticality.engine import checkpoint, programs
from criticality.engine.checkpoint import Checkpoints

log = logging.getLogger("criticality")
# values of the traced controls, and state of the root key: on the host, where stacking is cheap
Realization = tuple[programs.Traced, np.ndarray[Any, np.dtype[np.uint32]]]
Result = dict[str, np.ndarray[Any, Any]]
Lane = Any  # a tuple of the same values and the system's state

FIRST_WIDTH = 16  # tried, and then doubled while that pays
WORTHWHILE = 1.1  # gain in throughput
PATIENCE_S = 60.0  # that a finished realization waits for others, at most, to be measured
MEMORY_SHARE = 0.7  # of the device; the rest is for fragmentation and others


def _begin(form: System, traced: programs.Traced, words: jax.Array, data: Any) -> Lane:
    return traced, dataclasses.replace(form, **traced).begin(keys.root(words), data)


def _finished(form: System, lane: Lane) -> Any:
    return dataclasses.replace(form, **lane[0]).finished(lane[1])


def _advance(form: System, lane: Lane, data: Any) -> Lane:
    return lane[0], dataclasses.replace(form, **lane[0]).advance(lane[1], data)


def _observe(form: System, lane: Lane, data: Any) -> dict[str, jax.Array]:
    return dataclasses.replace(form, **lane[0]).observe(lane[1], data)


def _move(source: jax.Array, taken: jax.Array, into: Lane, other: Lane) -> Lane:
    """Lanes in which lane i is lane source[i] of `other` where taken[i], else as it was."""

    def moved(old: jax.Array, new: jax.Array) -> jax.Array:
        mask = taken.reshape(-1, *[1] * (old.ndim - 1))
        return jnp.where(mask, new[source], old)

    return jax.tree.map(moved, into, other)


class Ensemble:
    """Programs of one template at one width, and the lanes that they act on."""

    def __init__(self, form: System, width: int, data: Any) -> None:
        self.form, self.width, self.data = form, width, data

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._program(function, *arguments)(*arguments)

    def _program(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Compile one of the functions above, mapped over lanes (data are common to all)."""
        last = arguments[-1] is self.data
        axes = (*[0] * (len(arguments) - last), *[None] * last)

        def together(*args: Any) -> Any:
            return jax.vmap(lambda *one: function(self.form, *one), in_axes=axes)(*args)

        name = f"{function.__name__.strip('_')}, {self.width} lanes"
        return programs.compiled(self.form, name, together, arguments)

    def begin(self, realizations: Sequence[Realization]) -> Lane:
        """Lanes with new realizations; spare lanes repeat the first."""
        spare = [realizations[0]] * (self.width - len(realizations))
        every = [*realizations, *spare]
        traced, states = jax.tree.map(lambda *x: np.stack(x), *every)
        return self._run(_begin, traced, states, self.data)

    def finished(self, lanes: Lane) -> np.ndarray[Any, Any]:
        """Which lanes have nothing left to advance, bool [width]."""
        return np.asarray(self._run(_finished, lanes))

    def advance(self, lanes: Lane) -> Lane:
        """Lanes one unit of work later."""
        return self._run(_advance, lanes, self.data)

    def observe(self, lanes: Lane, count: int) -> list[Result]:
        """Observables of the first `count` lanes."""
        out = jax.device_get(self._run(_observe, lanes, self.data))
        return [{name: np.asarray(value[i]) for name, value in out.items()} for i in range(count)]

    def move(self, pairs: Sequence[tuple[int, int]], into: Lane, other: Lane) -> Lane:
        """Copy lane a of `other` to lane b of `into`, for pairs (a, b)."""
        source, taken = np.arange(self.width, dtype=np.int32), np.zeros(self.width, bool)
        for a, b in pairs:
            source[b], taken[b] = a, True
        arguments = (source, taken, into, other)
        name = f"move, {self.width} lanes"
        return programs.compiled(self.form, name, _move, arguments)(*arguments)

    def bytes_a_lane(self, lanes: Lane) -> float:
        """Memory of a lane at most: busy before and after, waiting, new, and at work."""
        wide = (
            self._program(_advance, lanes, self.data),
            self._program(_observe, lanes, self.data),
        )
        work = max(program.memory_analysis().temp_size_in_bytes for program in wide)
        state = sum(x.nbytes for x in jax.tree.leaves(lanes))
        return float(work + 4 * state) / self.width


def stream(
    form: System, realizations: Sequence[Realization], data: Any, width: int, kept: Checkpoints
) -> Iterator[tuple[int, Result]]:
    """Compute realizations in lanes, and give (number, observables) of each as it is measured.

    A result depends on the realization and the width, which fixes how sums are rounded, and on
    nothing else: not on the neighbours, nor on the lane.
    """
    ensemble = Ensemble(form, width, data)
    born: dict[int, tuple[int, float]] = {}  # realization -> round and time

    def begun(numbers: Sequence[int]) -> Lane:
        born.update(dict.fromkeys(numbers, (rounds, time.monotonic())))
        return _resumed(ensemble.begin([realizations[i] for i in numbers]), numbers, kept)

    used, rounds, looked = 0, 0, time.monotonic()
    queue = list(range(len(realizations)))
    first, queue = queue[:width], queue[width:]
    lanes = begun(first)
    busy: dict[int, int] = dict(enumerate(first))  # lane -> realization
    waiting: list[int] = []  # realizations that have finished, by place in the waiting room
    room = ensemble.begin([realizations[0]])
    while busy:
        flags = ensemble.finished(lanes)
        done = [lane for lane in busy if flags[lane]]
        while done:
            leaving = done[: width - len(waiting)]
            done = done[len(leaving) :]
            places = range(len(waiting), len(waiting) + len(leaving))
            room = ensemble.move(list(zip(leaving, places, strict=True)), room, lanes)
            waiting += [busy.pop(lane) for lane in leaving]
            if len(waiting) == width:
                yield from zip(waiting, ensemble.observe(room, width), strict=True)
                waiting, looked = [], time.monotonic()
        if waiting and time.monotonic() - looked > PATIENCE_S:
            yield from zip(waiting, ensemble.observe(room, len(waiting)), strict=True)
            waiting, looked = [], time.monotonic()
        free = [lane for lane in range(width) if lane not in busy]
        if free and queue:
            taken, queue = queue[: len(free)], queue[len(free) :]
            lanes = ensemble.move(list(enumerate(free[: len(taken)])), lanes, begun(taken))
            busy |= dict(zip(free, taken, strict=False))
            continue  # some systems have nothing to advance
        if busy:
            if free:  # an idle lane that is the longest would hold up the others
                model = next(iter(busy))
                lanes = ensemble.move([(model, lane) for lane in free], lanes, lanes)
            lanes = ensemble.advance(lanes)
            used, rounds = used + len(busy), rounds + 1
            if kept.due():
                _save(lanes, busy, rounds, born, kept)
    if waiting:
        yield from zip(waiting, ensemble.observe(room, len(waiting)), strict=True)
    if rounds:
        log.info("%d lanes, busy %.0f %% of the time", width, 100 * used / (rounds * width))


def _resumed(lanes: Lane, numbers: Sequence[int], kept: Checkpoints) -> Lane:
    """Lanes with the states that were saved of the realizations `numbers` in place of new ones."""
    saved = [(lane, number) for lane, number in enumerate(numbers) if kept.there(number)]
    if not saved:
        return lanes
    every = {name: x.copy() for name, x in checkpoint.leaves(lanes[1]).items()}
    for lane, number in saved:
        found = kept.load(number, {name: x[lane] for name, x in every.items()}) or {}
        for name, x in found.items():
            every[name][lane] = x
    return lanes[0], checkpoint.restored(lanes[1], every)


def _save(
    lanes: Lane,
    busy: Mapping[int, int],
    rounds: int,
    born: Mapping[int, tuple[int, float]],
    kept: Checkpoints,
) -> None:
    """Save the state of every busy lane; the time that has passed is shared among them."""
    every, now = checkpoint.leaves(lanes[1]), time.monotonic()
    kept.save(
        (
            number,
            {name: x[lane] for name, x in every.items()},
            rounds - born[number][0],
            (now - born[number][1]) / len(busy),
        )
        for lane, number in busy.items()
    )


def device_bytes() -> float:
    """Memory of the device that computes."""
    statistics = jax.devices()[0].memory_stats() or {}
    host = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    return float(statistics.get("bytes_limit", host))


def best_width(form: System, realizations: Sequence[Realization], data: Any) -> int:
    """Width of the highest measured throughput that fits into memory.

    Doubled from `FIRST_WIDTH` while advancing by a unit gains at least 10 % a realization.  Not
    wider than there are realizations, since lanes would then idle from the start.
    """
    best, rate, most = 1, 0.0, len(realizations)
    width = min(FIRST_WIDTH, most)
    while width <= most:
        ensemble = Ensemble(form, width, data)
        lanes = ensemble.begin(realizations[:width])
        if rate == 0:
            room = MEMORY_SHARE * device_bytes() / ensemble.bytes_a_lane(lanes)
            most = min(most, int(room))
        lanes = ensemble.advance(lanes)
        ensemble.finished(lanes)  # waits
        start = time.perf_counter()
        ensemble.finished(ensemble.advance(lanes))
        found = width / (time.perf_counter() - start)
        log.info("%d lanes: %.3g epochs a second", width, found)
        if found < WORTHWHILE * rate:
            break
        best, rate, width = width, found, 2 * width
    return best
