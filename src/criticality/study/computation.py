"""What a run does: hands tasks out, writes what comes back, heeds signals and other runs."""

from __future__ import annotations

import concurrent.futures as cf
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from criticality import catalog
from criticality.base import Task, axes, controls, plain
from criticality.engine.signals import SAVING, Heard, listening
from criticality.study.flight import Flight, effort
from criticality.study.job import Failed, Outcome
from criticality.study.journal import Journal
from criticality.study.sharing import Share, writing
from criticality.study.store import Store
from criticality.study.workers import Here, Processes

log = logging.getLogger("criticality")
TICK_S = 1.0  # between two looks at what others do
CLAIM_S = 1.5  # of work that is claimed at once, where tasks take less
SAVE_S = 20.0  # that what is under way is given to be saved; schedulers kill after 30


@dataclass(frozen=True)
class Progress:
    """How far a run is: tasks, and estimated work in FLOP (or tasks), which is what time goes with.

    `workers` compute at once; `others` are tasks that other runs compute at this moment.
    """

    done: int
    total: int
    failed: int
    work_done: float
    work_total: float
    workers: int = 1
    others: int = 0


class Fault(NamedTuple):
    """Why there is no good result of a task; `own` if it would fail again."""

    task: Task
    reason: str
    own: bool

    @classmethod
    def not_finite(cls, task: Task, names: Iterable[str]) -> Fault:
        """Of a result that is kept, and not what the card allows."""
        return cls(task, f"{', '.join(names)} not finite", own=True)

    def __str__(self) -> str:
        return f"realization {self.task.realization} of {self.task.system}: {self.reason}"


class Computation:
    """What is to be computed, and what has come of it.

    Parameters
    ----------
    tasks
        All of the study.
    todo
        Those that are computed, or waited for.
    again
        Keys of those that are computed although there is a result.
    faults
        Of the others.

    Attributes
    ----------
    faults
        Of all tasks.
    """

    def __init__(
        self,
        store: Store,
        tasks: Mapping[str, Task],
        todo: Sequence[Task],
        again: Collection[str],
        faults: Sequence[Fault],
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self._store, self._todo, self._again, self._watch = store, todo, again, watch
        self.faults = [*faults]
        self._total, self._new = len(tasks), 0
        self._done = len(tasks) - len(todo) - len(faults)
        self._whole = math.fsum(effort(task) for task in tasks.values())
        self._ready = self._whole - math.fsum(effort(task) for task in todo)
        self._plain = any(plain(task.system) for task in todo[:1])
        # a worker has another main module than the script that wrote the system
        self._about = {"source_sha256": catalog.source_sha256(todo[0].system)} if todo else {}

    def through(self, flight: Flight, executor: cf.Executor) -> None:
        """Compute it.

        Raises
        ------
        KeyboardInterrupt, SystemExit
            If a signal has ended it: Ctrl-C, or SIGTERM, SIGUSR1 or SIGHUP.
        RunError
            If the executor is lost, or the store cannot be written.
        """
        with self._store.recording() as journal, listening(flight.wake) as heard:
            share = Share(self._store, journal, self._todo, self._again)
            try:
                self._loop(flight, share, journal, heard, executor)
            finally:
                flight.end()
        if heard.asked.finishing:
            self._ended(heard)

    def _loop(
        self,
        flight: Flight,
        share: Share,
        journal: Journal,
        heard: Heard,
        executor: cf.Executor,
    ) -> None:
        deadline, looked, waiting = math.inf, time.monotonic(), False
        told: tuple[int, bool] | None = None
        self.tell(flight.workers, 0)
        while not heard.at_once and time.monotonic() < deadline:
            asked = heard.asked
            if asked.finishing and told != (now := (heard.number, asked.saving)):
                told, deadline = now, self._ends(flight, heard, executor)
            while flight.room and not asked.finishing:
                batch = share.batch(flight.size, flight.worth(CLAIM_S))
                if not batch:
                    break
                flight.begin(batch)
            if not flight and (asked.finishing or not (share.left or share.others)):
                self._look(share, flight)
                return
            if not flight and share.others and not waiting:
                waiting = True
                log.info("waiting for what other runs compute: %d task(s)", len(share.others))
            for results, back in flight.arrivals(TICK_S):
                for task, outcome in results:
                    self._take(task, outcome, journal)
                    self.tell(flight.workers, len(share.others))
                share.back(back)
                if heard.at_once:
                    return
            if time.monotonic() - looked > TICK_S:
                looked = time.monotonic()
                with writing(self._store):
                    journal.beat()
                self._look(share, flight)

    def _ends(self, flight: Flight, heard: Heard, executor: cf.Executor) -> float:
        """Begin to end as a signal asks; until when to wait for what is under way."""
        flight.end()
        if not heard.asked.saving:
            log.warning("finishing what is under way; Ctrl-C again stops it now")
            return math.inf
        if isinstance(executor, Processes):
            executor.pass_on(heard.number)
        # processes of others hear from their own scheduler, if they do
        near = isinstance(executor, Processes | Here | cf.ThreadPoolExecutor)
        return time.monotonic() + (SAVE_S if near and not self._plain else 0.0)

    def _ended(self, heard: Heard) -> None:
        saved = f", {self._store.begun()} begun are saved" * (heard.number in SAVING)
        text = (
            f"interrupted by {heard.name or 'a signal'} after {self._new} new results{saved}; "
            f"the same command goes on from what is in {self._store.path}"
        )
        if heard.number in SAVING:
            log.warning(text)
            raise SystemExit(128 + heard.number)
        raise KeyboardInterrupt(text)

    def _take(self, task: Task, outcome: Outcome | Failed, journal: Journal) -> None:
        """Write what has come of a task."""
        self._ready += effort(task)
        if isinstance(outcome, Failed):
            fault = Fault(task, outcome.reason, outcome.own)
            with writing(self._store):
                journal.fail(task.key, *fault[1:], self._about, _point(task))
            self.faults.append(fault)
            return
        wrong = self._store.write(task, outcome.arrays, outcome.provenance | self._about, journal)
        self._new += 1
        if wrong:
            self.faults.append(Fault.not_finite(task, wrong))
        else:
            self._done += 1

    def _look(self, share: Share, flight: Flight) -> None:
        """Count what others have done, and what they have failed at."""
        done, failed = share.settled()
        wrong = self._store.wrong(task.key for task in done)
        self._done += len(done) - len(wrong)
        self.faults += [
            Fault.not_finite(task, wrong[task.key]) for task in done if task.key in wrong
        ]
        self.faults += [Fault(task, failure.reason, failure.own) for task, failure in failed]
        for task in (*done, *(task for task, _ in failed)):
            self._ready += effort(task)
        if done or failed:
            self.tell(flight.workers, len(share.others))

    def tell(self, workers: int = 1, others: int = 0) -> None:
        """Say how far it is."""
        if self._watch:
            failed = len(self.faults)
            work = self._ready, self._whole
            self._watch(Progress(self._done, self._total, failed, *work, workers, others))


def _point(task: Task) -> dict[str, Any]:
    """Which task it is, for people: what it has of the outer axes."""
    declared = axes(task.system)
    values = controls(task.system).items()
    outer = {name: value for name, value in values if not declared[name].inner}
    return {**outer, "realization": task.realization}
