"""Calls under way: tasks that an executor was given, and that are not back yet."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import math
import queue
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from criticality.base import RunError, Task, plain, work
from criticality.engine.stop import StoppedError
from criticality.engine.templates import template
from criticality.study import job
from criticality.study.job import Failed, Outcome
from criticality.study.workers import DiedError, Here

QUEUE = 8  # realizations that a worker with an accelerator is given, for each lane
LANES = 64  # in that count, where the worker is to choose their number
CALL_S = 0.2  # that a call is worth, where a task takes less
HANDED_S = 3e-4  # that handing out a task, and writing what comes back, takes this process
LONG_S = 2.0  # that a task takes, from which on a worker is given no second one to wait for
ATTEMPTS = 3  # at a task that workers die of
RECENT = 0.2  # weight of the last result in how long tasks take
MANY = 64  # calls under way, where nobody knows how many workers there are

Result = tuple[Task, Outcome | Failed]


def effort(task: Task) -> float:
    """Work of a task, or 1 where its system knows none."""
    return work(task.system) or 1.0


def alike(tasks: Iterable[Task]) -> list[deque[Task]]:
    """Group tasks that share a template, those of most work first.

    Tasks of like work share a batch, and the long ones start early, so that neither lanes nor
    cores idle for long at the end.
    """
    groups: dict[Any, deque[Task]] = defaultdict(deque)
    for task in sorted(tasks, key=lambda task: -effort(task)):
        groups[task.checksum if plain(task.system) else template(task.system)].append(task)
    return list(groups.values())


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

    def size(self, left: int, workers: int, seconds: float) -> int:
        """Tasks of one call, with so many left, of which each takes these seconds (or NaN)."""
        if self.lanes:
            return QUEUE * (self.width or LANES)
        if self.width:
            return self.width
        worth = int(CALL_S / max(seconds, HANDED_S)) if seconds > 0 else 1
        return max(1, min(worth, math.ceil(left / (2 * workers))))


def capacity(executor: cf.Executor) -> int | None:
    """How many calls an executor makes at once, where it tells."""
    known: Any = executor
    if hasattr(known, "_client"):  # Dask's, of which the scheduler knows
        return sum(known._client.nthreads().values()) or None
    count = getattr(known, "num_workers", None) or getattr(known, "_max_workers", None)  # MPI's
    return count if isinstance(count, int) and count > 0 else None


@dataclass
class _Call:
    """Tasks that went to the executor together, and those of them that are not back."""

    tasks: list[Task]
    left: dict[int, Task]


class Flight:
    """Calls to an executor that are under way, and how long tasks take.

    Whatever happens arrives in one queue: a call that is complete, a result that a thread of this
    process has, and None for anything else that is to be looked at.

    Attributes
    ----------
    workers
        How many compute at once, as far as that is known.
    seconds
        That a task takes a worker, lately; NaN before the first.
    """

    def __init__(self, machine: Machine, executor: cf.Executor) -> None:
        self._machine, self._executor = machine, executor
        self.workers = capacity(executor) or MANY
        self.seconds = math.nan
        self._near = isinstance(executor, Here)
        self._arrivals: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._calls: dict[cf.Future[Any], _Call] = {}
        self._again: deque[Task] = deque()
        self._deaths: dict[str, int] = defaultdict(int)
        self._ending = False

    def __len__(self) -> int:
        return len(self._calls)

    def wake(self) -> None:
        """Let who waits for an arrival go on; a signal handler may call it."""
        self._arrivals.put(None)

    @property
    def room(self) -> int:
        """Calls that can be begun, so that no worker waits and results are taken as they come.

        Of those that take long, one a worker: another run may be free before.
        """
        if self._ending or not self._arrivals.empty():
            return 0
        single = self._machine.lanes or not self.seconds <= LONG_S
        return max(0, (1 if single else 2) * self.workers - len(self._calls))

    def size(self, left: int) -> int:
        """Tasks that are best given as one call, with so many left."""
        size = self._machine.size(left, self.workers, self.seconds)
        # lanes of this process give results one by one, and idle at the end of every call
        return max(size, left) if self._near and self._machine.lanes else size

    def worth(self, seconds: float) -> int:
        """Tasks that are done in this time; 0 where nothing is known."""
        if math.isnan(self.seconds):
            return 0
        return int(seconds / max(self.seconds / self.workers, HANDED_S))

    def begin(self, tasks: Sequence[Task]) -> None:
        """Give tasks that share a template to the executor.

        Raises
        ------
        RunError
            If it takes none any more.
        """
        call = _Call(list(tasks), dict(enumerate(tasks)))
        of = self._machine
        arguments: list[Any] = [call.tasks, of.folder, of.together, of.checkpoints]
        if self._near:
            arguments.append(lambda *found: self._arrivals.put((call, found)))
        try:
            future = self._executor.submit(job.compute, *arguments)
        except Exception as error:
            raise _lost(error) from error
        self._calls[future] = call
        future.add_done_callback(self._arrivals.put)

    def end(self) -> None:
        """Call back what no worker has begun; what is under way still arrives."""
        self._ending = True
        for future in list(self._calls):
            future.cancel()

    def arrivals(self, timeout: float) -> Iterator[tuple[list[Result], list[Task]]]:
        """Wait for results, and for tasks that come back without one; give what there is.

        Raises
        ------
        RunError
            If the executor is broken, or was shut down.
        """
        with contextlib.suppress(queue.Empty):
            arrived = self._arrivals.get(timeout=timeout)
            while True:
                if isinstance(arrived, tuple):
                    call, found = arrived
                    yield self._results(call, [found]), []
                elif arrived is not None:
                    yield self._back(arrived)
                while self._again and not self._ending:
                    self.begin([self._again.popleft()])
                arrived = self._arrivals.get_nowait()

    def _results(self, call: _Call, found: Iterable[tuple[int, Outcome | Failed]]) -> list[Result]:
        for _, outcome in found:
            if isinstance(outcome, Outcome):
                about = outcome.provenance
                seconds = max(1e-6, about["wall_seconds"] - about["compile_seconds"])
                old = self.seconds if self.seconds > 0 else seconds
                self.seconds = old + RECENT * (seconds - old)
        return [(call.left.pop(number), outcome) for number, outcome in found]

    def _back(self, future: cf.Future[Any]) -> tuple[list[Result], list[Task]]:
        """Results of a call, and its tasks that have none and may be tried again."""
        call = self._calls.pop(future)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, StoppedError):  # it may have heard a signal before us
            return [], list(call.left.values())
        if future.cancelled() or isinstance(error, cf.CancelledError):
            if not self._ending:
                raise _lost(error or cf.CancelledError("its calls were cancelled"))
            return [], list(call.left.values())
        if error is None:
            return self._results(call, future.result()), list(call.left.values())
        if isinstance(error, cf.BrokenExecutor):
            raise _lost(error)
        if len(call.tasks) > 1:  # whose fault it was is seen when each is alone
            self._again.extend(call.left.values())
            return [], []
        ((task),) = call.left.values()
        if isinstance(error, DiedError):
            self._deaths[task.key] += 1
            if self._deaths[task.key] < ATTEMPTS:
                self._again.append(task)
                return [], []
            said = f"{error}, and so {ATTEMPTS} times"
        else:
            said = repr(error).splitlines()[0]
        return [(task, Failed(said, own=False))], []


def _lost(error: BaseException) -> RunError:
    """Say that an executor is of no use any more."""
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return RunError(
        f"the executor is lost ({said}); what was computed is in the store, and the same command, "
        f"with another executor, goes on from it."
    )
