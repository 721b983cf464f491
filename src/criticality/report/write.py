"""From a store to its page: once, or again and again while the study runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from criticality import files
from criticality.base import InputError
from criticality.report.document import document
from criticality.report.page import page
from criticality.results import Results


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
        results = self.open()
        made = document(results, scaling=self.scaling and live is None, live=live, tell=self.tell)
        content = page(made).encode("utf-8", "backslashreplace")  # of a name that is no text
        try:
            with files.replacing(self.target) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise InputError(f"{self.target}: cannot be written ({error}).") from error
        return Written(len(content), results.done, results.total)


def watched(writing: Writing, every: float, most: float = float("inf")) -> Written:
    """Write a page whenever its store has changed, until the study is done.

    A page of a study that runs has no finite-size scaling, which takes longer than what it waits
    for; the last one has.

    Raises
    ------
    InputError
        As `Writing.once`, but for a store that has no result yet.
    """
    shown = -1
    began = time.monotonic()
    while True:
        results = writing.open()
        if results.done >= results.total or time.monotonic() - began > most:
            return writing.once()
        if results.done > 0 and results.done != shown:
            shown = writing.once(live=every).done
            writing.tell(f"{writing.target}: {shown} of {results.total} tasks")
        time.sleep(every)
