"""Progress of a run: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast

from criticality.study.cost import human_time

if TYPE_CHECKING:
    from criticality.study.computation import Progress

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.1
LOG = logging.getLogger("criticality")


class Display(logging.Handler):
    """Shows tasks done, rate and remaining time, and what the package logs.

    The remaining time goes by estimated work, not by tasks: a network on 16,000 samples takes
    many times as long as one on 500.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(logging.WARNING if quiet else logging.NOTSET)
        self._quiet = quiet
        self._start = self._last = 0.0
        self._first: Progress | None = None
        self._warm: tuple[Progress, float] | None = None
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        LOG.addHandler(self)
        LOG.setLevel(logging.INFO)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
        LOG.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log message on a line of its own, above the bar if there is one."""
        if self._bar is not None:
            self._bar.console.print(record.getMessage(), highlight=False)
        else:
            _write(record.getMessage())

    def close(self) -> None:
        """End the bar, leaving its last state on the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        super().close()

    def update(self, progress: Progress) -> None:
        """Show the state of a run; the first call starts the clock."""
        if self._quiet:
            return
        now = time.monotonic()
        if self._first is None:
            self._first, self._start, self._last = progress, now, 0.0
            if sys.stderr.isatty():
                self._open_bar()
        elapsed = now - self._start
        # the first of each worker hold compiling, which does not come again
        if self._warm is None and progress.done - self._first.done >= max(1, progress.workers):
            self._warm = progress, elapsed
        every = LINE_EVERY_S if self._bar is None else BAR_EVERY_S
        if now - self._last < every and progress.done + progress.failed < progress.total:
            return
        self._last = now
        text = self._text(progress, elapsed)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=progress.work_done, total=progress.work_total, text=text
            )
        else:
            _write(text)

    def _text(self, progress: Progress, elapsed: float) -> str:
        assert self._first is not None
        text = f"{progress.done}/{progress.total} tasks"
        if progress.failed:
            text += f", {progress.failed} failed"
        new = progress.done - self._first.done
        if progress.done < progress.total and not new:
            return f"{text}, {progress.workers} at once; the first takes longest"
        if progress.others:
            text += f", {progress.others} under way in other runs"
        if self._warm is None:
            return text
        since, began = self._warm
        work, seconds = progress.work_done - since.work_done, elapsed - began
        if work > 0 and seconds > 0:
            left = (progress.work_total - progress.work_done) * seconds / work
            rate = 3600 * (progress.done - since.done) / seconds
            text += f", {rate:.0f} an hour, {human_time(left)} left"
        return text

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=Console(file=cast(IO[str], _Stderr())),
        )
        self._task = self._bar.add_task("", text="")
        self._bar.start()


class _Stderr:
    """stderr, which may be gone: a terminal that was closed is no reason not to save."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _write(text: str) -> None:
    stderr = _Stderr()
    stderr.write(text + "\n")
    stderr.flush()
