"""Worker processes on this machine: one a core, each computing in one thread.

Threads would share one pool inside the compiled programs, which cuts every small matrix product
and loop into as many parts as there are cores and waits for all: a tenth slower on two cores, and
worse on more.  Processes have nothing to wait for.
"""

from __future__ import annotations

import concurrent.futures as cf
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from criticality.base import Task, plain, work

WORTHWHILE = 5e11  # FLOP, some five seconds of a core: about what starting a process costs
FEW = 100  # tasks, that take about as long however small they are
WATCH_S = 1.0
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


@contextmanager
def pool(workers: int) -> Iterator[cf.Executor]:
    """Executor of so many worker processes, or of one thread of this one; stopped at the end.

    The processes do not import the caller's script again, as those of the standard library would.
    What they are still computing at the end is not waited for.
    """
    if workers == 1:
        thread = cf.ThreadPoolExecutor(1)
        try:
            yield thread
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
        return
    from loky.process_executor import ProcessPoolExecutor

    processes = ProcessPoolExecutor(
        workers,
        initializer=_begin,
        initargs=(os.getpid(),),
        env=dict.fromkeys(ONE_THREAD, "1"),
    )
    try:
        yield processes
    finally:
        processes.shutdown(wait=True, kill_workers=True)


def _begin(parent: int) -> None:
    """Leave interrupts to the parent, and leave with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
