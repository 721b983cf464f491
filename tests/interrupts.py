"""Ctrl-C, as a person gives it."""

from __future__ import annotations

import contextlib
import signal
import subprocess


def interrupt(process: subprocess.Popen[str], patience: float = 10.0, most: int = 3) -> int:
    """Interrupt a process; again if nothing has come of it.

    Python loses an interrupt that comes inside of a callback of the garbage collector or of a weak
    reference, with a traceback.  Gives how many it took.
    """
    sent = 0
    while sent < most and process.poll() is None:
        process.send_signal(signal.SIGINT)
        sent += 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    return sent
