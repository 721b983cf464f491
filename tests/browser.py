"""A Chromium without a screen, and pages of it that note all that they say and ask for.

`python -m tests.browser` says which browser it is, or ends with 1.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
QUIET = (  # asks for nothing by itself; a container's root has no sandbox
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 800, "height": 900}


def executable(own: str) -> str | None:
    """Find a browser: the one that CHROMIUM names, one on the PATH, Playwright's own."""
    named = os.environ.get("CHROMIUM")
    found = [named] if named else [*filter(None, map(shutil.which, NAMES)), own]
    return next((place for place in found if Path(place).is_file()), None)


@dataclass
class Opened:
    """A page, and what it said and asked for since it was made."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._asked)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, file: Path, ready: str = "html") -> Page:
        """Open a file from disk and wait until there is what a selector names."""
        self.page.goto(file.as_uri())
        self.page.wait_for_selector(ready)
        return self.page

    def assert_silent(self) -> None:
        """It complained of nothing and read nothing but files and what it made itself."""
        assert not self.complaints, self.complaints
        asked = [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]
        assert not asked, asked


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module; none between modules, whose own event loops it would forbid."""
    with sync_playwright() as playwright:
        found = executable(playwright.chromium.executable_path)
        if found is None:
            reason = "no Chromium: `make browser` installs one, CHROMIUM names another"
            if os.environ.get("CI", "").lower() == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        yield (launched := playwright.chromium.launch(executable_path=found, args=[*QUIET]))
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Make pages, each with a profile of its own; all must have been silent at the end."""
    with contextlib.ExitStack() as stack:
        made: list[Opened] = []

        def new(**options: Any) -> Opened:
            context = browser.new_context(**{"viewport": WIDE, **options})
            stack.callback(context.close)
            context.set_default_timeout(120_000)  # others may compute beside
            made.append(Opened(context.new_page()))
            return made[-1]

        yield new
        for page in made:
            page.assert_silent()


if __name__ == "__main__":
    with sync_playwright() as started:
        which = executable(started.chromium.executable_path)
    sys.stdout.write(f"{which or 'no browser'}\n")
    sys.exit(which is None)
