"""From a store to its page: once, or again and again while the study runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from criticality import files
from criticality.base import InputError
from criticality.engine import signals
from criticality.report.document import document
from criticality.report.page import page
from criticality.results import Results
from criticality.study.status import status


@dataclass(frozen=True)
class Written:
    """A page: its size, and how many tasks of how many it shows."""

    bytes: int
    done: int
    total: int


@dataclass(frozen=True)
class Writing:
    """How a page is made.

    Attributes
    ----------
    open
        Opens the store anew.
    target
        Of the page.
    scaling
        Whether it has finite-size scaling.
    tell
        Is told what is being done.
    """

    open: Callable[[], Results]
    target: Path
    scaling: bool
    tell: Callable[[str], None]

    def once(self, live: float | None = None) -> Written:
        """Write the page; `live` seconds later it is read again.

        Raises
        ------
        InputError
            As `document`, or if it cannot be written.
        """
        return self.write(self.made(self.open(), live))

    def made(self, results: Results, live: float | None = None) -> dict[str, Any]:
        """Give the document; a live one has no scaling."""
        scaling = self.scaling and live is None
        return document(results, scaling=scaling, live=live, tell=self.tell)

    def write(self, made: dict[str, Any]) -> Written:
        """Write the page of a document."""
        content = page(made).encode("utf-8", "backslashreplace")  # of a name that is no text
        try:
            with files.replacing(self.target) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise InputError(f"{self.target}: cannot be written ({error}).") from error
        return Written(len(content), made["status"]["done"], made["status"]["total"])


def watched(writing: Writing, every: float, most: float = float("inf")) -> Written:
    """Write a page whenever its store has changed, until nothing is left that `run` would compute.

    A page of a study that runs has no finite-size scaling, which takes longer than what it waits
    for; the last one has.  A page that is left does not say any more that it follows the study.

    Raises
    ------
    InputError
        As `Writing.once`, but for a store that has no result yet.
    """
    made: dict[str, Any] = {}
    alone = False

    def left() -> None:
        if made:
            writing.write({**made, "live": None})

    began = time.monotonic()
    try:
        with signals.last(left):
            while True:
                results = writing.open()
                found = status(results.store)
                over = results.done >= results.total or (not found.waiting and not found.running)
                if (results.done and over) or time.monotonic() - began > most:
                    return writing.once()
                if over:
                    raise InputError(
                        f"{results.store.path}: {len(found.failed)} failed, no result."
                    )
                if not found.running and not alone:
                    writing.tell(
                        f"{found.done} of {found.total} tasks, and nothing computes: waiting for "
                        f"`criticality run` (Ctrl-C ends this)"
                    )
                alone = not found.running
                if results.done and (not made or found.done != made["status"]["done"]):
                    made = writing.made(results, every)
                    writing.write(made)
                    done, total = (made["status"][name] for name in ("done", "total"))
                    writing.tell(f"{writing.target}: {done} of {total} tasks")
                time.sleep(every)
    except BaseException:
        with contextlib.suppress(InputError):
            left()
        raise
