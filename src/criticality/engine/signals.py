"""Signals while a run computes: what they ask for is noted, and done between two results.

Ctrl-C once: what is under way is finished.  Twice: everything stops at once.  SIGTERM and SIGUSR1,
which schedulers send before they kill, and SIGHUP of a terminal that was closed: what is under way
is saved, and everything stops.

Nothing is raised in the middle of anything: Python loses what is raised inside of a callback of the
garbage collector or of a weak reference.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from criticality.engine import stop
from criticality.engine.stop import Stop

NAMES = ("SIGTERM", "SIGUSR1", "SIGHUP")
SAVING = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
EVERY = (signal.SIGINT, *SAVING)


@dataclass
class Heard:
    """What a run has heard.

    Attributes
    ----------
    asked
        What is asked of those who compute in this process.
    number
        The signal, 0 if there was none.
    at_once
        Whether nothing is to be waited for any more.
    """

    asked: Stop = field(default_factory=stop.current)
    number: int = 0
    at_once: bool = False

    @property
    def name(self) -> str:
        """Name of the signal, as people know it."""
        known = signal.Signals(self.number).name if self.number else ""
        return "Ctrl-C" if self.number == signal.SIGINT else known


def leave(number: int, frame: Any) -> None:
    """End this process as the signal says: there is nothing to save, and nothing half written."""
    with contextlib.suppress(OSError):
        os.write(2, f"ended by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)


@contextmanager
def leaving() -> Iterator[None]:
    """End this process at once, and for certain, by any of these signals during the block."""
    with _handling(leave, (signal.SIG_DFL, signal.default_int_handler)):
        yield


@contextmanager
def last(act: Callable[[], None]) -> Iterator[None]:
    """Do one thing more before `leaving` ends this process during the block."""

    def end(number: int, frame: Any) -> None:
        try:
            act()
        finally:
            leave(number, frame)

    with _handling(end, (leave,)):
        yield


@contextmanager
def listening(wake: Callable[[], None]) -> Iterator[Heard]:
    """Note signals during the block; `wake` is called after each, and must not wait for anything.

    Only in the main thread, where Python handles signals, and only in place of what Python does by
    itself: who has other handlers wants them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Heard()
        return
    heard = Heard(stop.renewed())

    def note(number: int, frame: Any) -> None:
        if number in SAVING:
            heard.number = number
            heard.asked.save()
        elif heard.number:
            heard.at_once = True
            heard.asked.save()
            put_back()  # one more is Python's own affair
        else:
            heard.number = number
            heard.asked.finishing = True
        wake()

    try:
        with _handling(note, (signal.SIG_DFL, signal.default_int_handler, leave)) as put_back:
            yield heard
    finally:
        stop.renewed()  # a run of another thread, which hears no signals, begins anew too


@contextmanager
def _handling(
    handler: Callable[[int, Any], None], instead_of: tuple[Any, ...]
) -> Iterator[Callable[[], None]]:
    """Handle signals in the main thread, instead of these handlers; give what undoes it."""
    before: dict[int, Any] = {}

    def put_back() -> None:
        while before:
            signal.signal(*before.popitem())

    try:
        if threading.current_thread() is threading.main_thread():
            for number in EVERY:
                if (there := signal.getsignal(number)) in instead_of:
                    before[number] = there
                    signal.signal(number, handler)
        yield put_back
    finally:
        put_back()


@contextmanager
def held() -> Iterator[None]:
    """Keep signals from processes and threads that are begun in the block, till they let them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, EVERY)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey(savable: bool) -> None:
    """Let a worker do as its scheduler says; interrupts are for who hands work out.

    One that computes what cannot be saved ends at once, as by default.
    """

    def note(number: int, frame: Any) -> None:
        stop.current().save()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in SAVING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, note if savable else signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EVERY)
