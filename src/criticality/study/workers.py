"""Worker processes on this machine: one a core, each computing in one thread.

Threads would share one pool inside the compiled programs, which cuts every small matrix product
and loop into as many parts as there are cores and waits for all: a tenth slower on two cores, and
worse on more.  Processes have nothing to wait for.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from criticality.base import Task, plain, work
from criticality.engine import signals
from criticality.engine.stop import StoppedError

WORTHWHILE = 5e11  # FLOP, some five seconds of a core: about what starting a process costs
FEW = 100  # tasks, that take about as long however small they are
WATCH_S = 1.0
HERE = "criticality computes"  # a thread
# read by XLA, and by the usual libraries of linear algebra: threads of their pools
ONE_THREAD = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(tasks: Sequence[Task]) -> int:
    """As many as there are cores, but fewer for little work, and for few tasks.

    Plain systems, of which nothing is known, are given all cores.
    """
    cores = available_cores()
    if any(plain(task.system) for task in tasks):
        return cores
    worth = sum(work(task.system) for task in tasks) / WORTHWHILE + len(tasks) / FEW
    return max(1, min(cores, int(worth)))


class DiedError(RuntimeError):
    """A worker died while it computed; the others have not noticed."""


class _Call(NamedTuple):
    future: cf.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Processes(cf.Executor):
    """Worker processes, of which each dies alone.

    Each is an executor of its own, with one call at a time.  They do not import the caller's
    script again, as those of the standard library would.
    """

    def __init__(self, count: int, savable: bool) -> None:
        self._max_workers = count
        self._savable = savable
        self._lock = threading.RLock()
        self._waiting: deque[_Call] = deque()
        self._idle: list[Any] = []
        self._busy: set[Any] = set()
        self._ending = False
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> cf.Future[Any]:
        """Call a function in one of the processes."""
        with self._lock:
            if self._ending:
                raise RuntimeError("cannot schedule new futures after shutdown")
            call = _Call(cf.Future(), partial(fn, **kwargs) if kwargs else fn, args)
            self._waiting.append(call)
            self._hand_out()
        return call.future

    def _hand_out(self) -> None:
        while self._waiting and not self._ending:
            if not self._idle and len(self._busy) == self._max_workers:
                return
            call = self._waiting.popleft()
            if call.future.running() or call.future.set_running_or_notify_cancel():
                try:
                    self._begin(call)
                except Exception as error:  # no memory for a process; nobody else would hear of it
                    broken = cf.BrokenExecutor(f"no worker process can be begun: {error}")
                    call.future.set_exception(broken)

    def _begin(self, call: _Call) -> None:
        while self._idle and _gone(self._idle[-1]):  # which it has not noticed itself yet
            self._idle.pop().shutdown(wait=False, kill_workers=True)
        worker = self._idle.pop() if self._idle else self._new()
        try:
            inner = self._given(worker, call)
        except cf.BrokenExecutor:  # it died while it had nothing to do
            worker = self._new()
            inner = self._given(worker, call)
        self._busy.add(worker)
        process = next(iter(worker._processes.values()), None)
        inner.add_done_callback(partial(self._back, worker, process, call))

    def _new(self) -> Any:
        from loky.process_executor import ProcessPoolExecutor

        with signals.held():
            # it lets signals in again when it begins, so that it must not begin with a worker
            resource_tracker.ensure_running()
            return ProcessPoolExecutor(
                1,
                initializer=_begin,
                initargs=(os.getpid(), self._savable),
                env=dict.fromkeys(ONE_THREAD, "1"),
            )

    @staticmethod
    def _given(worker: Any, call: _Call) -> cf.Future[Any]:
        with signals.held():  # the process is begun by its first call, and has no handlers yet
            given: cf.Future[Any] = worker.submit(call.function, *call.arguments)
        return given

    def _back(self, worker: Any, process: Any, call: _Call, inner: cf.Future[Any]) -> None:
        error = inner.exception()
        gone = isinstance(error, cf.BrokenExecutor | StoppedError)
        with self._lock:
            self._busy.discard(worker)
            if gone:
                worker.shutdown(wait=False, kill_workers=True)
            else:
                self._idle.append(worker)
            again = isinstance(error, StoppedError) and not self._ending
            if again:  # it alone was told to stop, before this call
                self._waiting.appendleft(call)
            ending = self._ending
            self._hand_out()
        if again:
            return
        if error is None:
            call.future.set_result(inner.result())
        elif gone or ending:
            call.future.set_exception(StoppedError() if ending else DiedError(_end(process)))
        else:
            call.future.set_exception(error)

    def _watch(self) -> None:
        """Notice who died while it sent a result, of which the rest would be waited for."""
        suspects: set[Any] = set()
        while not self._ending:
            time.sleep(WATCH_S)
            with self._lock:
                gone = {worker for worker in self._busy if _gone(worker)}
                for worker in gone & suspects:  # else it is just being noticed
                    _cut_off(worker)
            suspects = gone

    def pass_on(self, number: int) -> None:
        """Send a signal to all processes; no other call is begun."""
        with self._lock:
            self._end()
            for worker in self._busy:
                for pid in list(worker._processes):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)

    def _end(self) -> None:
        self._ending = True
        for call in self._waiting:
            call.future.cancel()
        self._waiting.clear()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes; what they are computing is not waited for."""
        with self._lock:
            self._end()
            workers = [*self._idle, *self._busy]
            self._idle.clear()
            busy = [*self._busy]
        managers = [worker._executor_manager_thread for worker in workers]
        for worker in workers:
            worker.shutdown(wait=False, kill_workers=True)
        for worker in busy:  # its result is not waited for, wherever in sending it
            for pid in list(worker._processes or ()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _cut_off(worker)
        for thread in managers if wait else ():
            thread.join()


def _gone(worker: Any) -> bool:
    """Whether the process of an executor has died."""
    processes = list((worker._processes or {}).values())
    return bool(processes) and all(wait([process.sentinel], 0) for process in processes)


def _cut_off(worker: Any) -> None:
    """Close our end of the pipe through which an executor's process sends what it has.

    As long as it is open, who reads a result that was half sent waits for the other half.
    """
    with contextlib.suppress(OSError, AttributeError):
        worker._result_queue._writer.close()


class Here(cf.Executor):
    """A thread of this process, which does not outlive it."""

    _max_workers = 1

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._compute, name=HERE, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> cf.Future[Any]:
        """Call a function in the thread."""
        call = _Call(cf.Future(), partial(fn, **kwargs) if kwargs else fn, args)
        self._calls.put(call)
        return call.future

    def _compute(self) -> None:
        while call := self._calls.get():
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                call.future.set_result(call.function(*call.arguments))
            except BaseException as error:
                # without its traceback, which would keep what is on the device
                call.future.set_exception(error.with_traceback(None))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread; what it is computing is not waited for."""
        self._calls.put(None)


@contextmanager
def pool(workers: int, *, savable: bool = False) -> Iterator[Processes | Here]:
    """Executor of so many worker processes, or of one thread of this one; stopped at the end.

    What they are still computing at the end is not waited for.

    Parameters
    ----------
    workers
        How many compute at once.
    savable
        Whether what they compute can be saved when they are told to stop; else they just end.
    """
    executor = Here() if workers == 1 else Processes(workers, savable)
    try:
        yield executor
    finally:
        executor.shutdown()


def _end(process: Any) -> str:
    """Say how a worker process ended."""
    code = getattr(process, "exitcode", None)
    if code is None or code >= 0:
        return f"the worker process ended (exit code {code})"
    with contextlib.suppress(ValueError):
        code = signal.Signals(-code).name
    memory = "; out of memory?" if code == "SIGKILL" else ""
    return f"the worker process was killed ({code}{memory})"


def _begin(parent: int, savable: bool) -> None:
    """Obey signals, and leave with the parent, however it ends."""
    signals.obey(savable)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
