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
from collections.abc import Iterator
from contextlib import contextmanager

WORTHWHILE = 5e11  # FLOP, some five seconds of a core: about what starting a process costs
WATCH_S = 1.0


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(work: float) -> int:
    """As many as there are cores, but fewer for little work (FLOP)."""
    return max(1, min(available_cores(), int(work / WORTHWHILE)))


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
        env={"NPROC": "1"},  # read by XLA: threads of its pool
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
