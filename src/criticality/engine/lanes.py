"""Many realizations advanced together by `vmap`, each in a lane; what an accelerator wants.

A lane whose realization has finished is given the next one of the queue, so that early stopping
idles nothing: the finished state moves to a waiting room, and is measured when that is full or a
minute has passed, since measuring is as wide as training.  Once the queue is empty, idle lanes
repeat a busy one.

One call advances every lane by one unit (an epoch).  A mini-batch loop is as long as the longest
among the lanes, so the queue is best sorted by size; the order does not change any number.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from criticality.base import System
from criticality.engine import checkpoint, programs, realization
from criticality.engine.checkpoint import Checkpoints
from criticality.engine.realization import Realization, Result
from criticality.engine.templates import Traced

log = logging.getLogger("criticality")
Lane = Any  # a tuple of the same values and the system's state

FIRST_WIDTH = 16  # tried, and then doubled while that pays
WORTHWHILE = 1.1  # gain in throughput
PATIENCE_S = 60.0  # that a finished realization waits for others, at most, to be measured
MEMORY_SHARE = 0.7  # of the device; the rest is for fragmentation and others


def _begin(form: System, traced: Traced, words: jax.Array, data: Any) -> Lane:
    return traced, realization.begin(form, traced, words, data)


def _finished(form: System, lane: Lane) -> Any:
    return realization.finished(form, lane[0], lane[1])


def _advance(form: System, lane: Lane, data: Any) -> Lane:
    return lane[0], realization.advance(form, lane[0], lane[1], data)


def _observe(form: System, lane: Lane, data: Any) -> dict[str, jax.Array]:
    return realization.observe(form, lane[0], lane[1], data)


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


class _Refilled:
    """Lanes, the queue that refills them, and the room where finished realizations wait.

    Attributes
    ----------
    queue
        Realizations that are still to begin.
    busy
        Lane -> realization that is in it.
    waiting
        Realizations that have finished, by their place in the waiting room.
    """

    def __init__(
        self, ensemble: Ensemble, realizations: Sequence[Realization], kept: Checkpoints
    ) -> None:
        self.ensemble, self.realizations, self.kept = ensemble, realizations, kept
        self.queue = list(range(len(realizations)))
        self.waiting: list[int] = []
        self.room = ensemble.begin([realizations[0]])
        self.rounds = self.used = self.saved = 0
        self.looked = time.monotonic()
        self.born: dict[int, tuple[int, float]] = {}  # realization -> round and time
        first = self._take(ensemble.width)
        self.busy = dict(enumerate(first))
        self.lanes = self._begun(first)

    def _take(self, count: int) -> list[int]:
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken

    def _begun(self, numbers: Sequence[int]) -> Lane:
        """Lanes with these realizations, new or as they were saved."""
        self.born.update(dict.fromkeys(numbers, (self.rounds, time.monotonic())))
        fresh = self.ensemble.begin([self.realizations[i] for i in numbers])
        saved = [(lane, number) for lane, number in enumerate(numbers) if self.kept.there(number)]
        if not saved:
            return fresh
        every = {name: x.copy() for name, x in checkpoint.leaves(fresh[1]).items()}
        for lane, number in saved:
            like = {name: x[lane] for name, x in every.items()}
            for name, x in (self.kept.load(number, like) or {}).items():
                every[name][lane] = x
        return fresh[0], checkpoint.restored(fresh[1], every)

    def measure(self) -> Iterator[tuple[int, Result]]:
        """Empty the waiting room."""
        if self.waiting:
            results = self.ensemble.observe(self.room, len(self.waiting))
            numbers, self.waiting = self.waiting, []
            self.looked = time.monotonic()
            yield from zip(numbers, results, strict=True)

    def collect(self) -> Iterator[tuple[int, Result]]:
        """Move what has finished into the waiting room; measure if it is full, or in a minute."""
        flags, width = self.ensemble.finished(self.lanes), self.ensemble.width
        done = [lane for lane in self.busy if flags[lane]]
        while done:
            first = len(self.waiting)
            leaving, done = done[: width - first], done[width - first :]
            pairs = [(lane, first + place) for place, lane in enumerate(leaving)]
            self.room = self.ensemble.move(pairs, self.room, self.lanes)
            self.waiting += [self.busy.pop(lane) for lane in leaving]
            if len(self.waiting) == width:
                yield from self.measure()
        if time.monotonic() - self.looked > PATIENCE_S:
            yield from self.measure()

    def refill(self) -> bool:
        """Give free lanes the next realizations; whether there were any."""
        if self.kept.stop.finishing:
            self.queue.clear()
        free = [lane for lane in range(self.ensemble.width) if lane not in self.busy]
        taken = self._take(len(free))
        if taken:
            pairs = list(enumerate(free[: len(taken)]))
            self.lanes = self.ensemble.move(pairs, self.lanes, self._begun(taken))
            self.busy |= dict(zip(free, taken, strict=False))
        elif free and self.busy:  # an idle lane that is the longest would hold up the others
            model = next(iter(self.busy))
            pairs = [(model, lane) for lane in free]
            self.lanes = self.ensemble.move(pairs, self.lanes, self.lanes)
        return bool(taken)

    def advance(self) -> None:
        """Advance all lanes by one unit, and save them when it is time."""
        self.lanes = self.ensemble.advance(self.lanes)
        self.used += len(self.busy)
        self.rounds += 1
        if self.kept.due():
            self.save()

    def save(self) -> None:
        """Save the state of every lane."""
        self.saved = self.rounds
        every, now = checkpoint.leaves(self.lanes[1]), time.monotonic()
        self.kept.save(
            (
                number,
                {name: x[lane] for name, x in every.items()},
                self.rounds - self.born[number][0],
                (now - self.born[number][1]) / len(self.busy),  # shared among them
            )
            for lane, number in self.busy.items()
        )


def stream(
    form: System, realizations: Sequence[Realization], data: Any, width: int, kept: Checkpoints
) -> Iterator[tuple[int, Result]]:
    """Compute realizations in lanes, and give (number, observables) of each as it is measured.

    A result depends on the realization and the width, which fixes how sums are rounded, and on
    nothing else: not on the neighbours, nor on the lane.
    """
    work = _Refilled(Ensemble(form, width, data), realizations, kept)
    while work.busy:
        yield from work.collect()
        # some systems have nothing to advance: what is new may have finished already
        if not work.refill() and work.busy:
            work.advance()
        if kept.stop.saving:
            if kept.due() and work.saved < work.rounds:
                work.save()
            break
    yield from work.measure()
    kept.stop.check()
    if work.rounds:
        busy = 100 * work.used / (work.rounds * width)
        log.info("%d lanes, busy %.0f %% of the time", width, busy)


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
