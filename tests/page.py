"""The files and commands of a page of the docs, run as it says, and what they write compared."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
Command = Callable[..., tuple[int, str, str]]


def follow(page: str, command: Command) -> Iterator[tuple[str, str]]:
    """Do in the working folder what a page says; of every output, what it should be and what it is.

    Blocks of Python and TOML that begin with the name of a file are written; `sh` is run in this
    process; `text` is what the commands before it write.
    """
    written = ""
    for language, body in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if language in ("python", "toml") and body.startswith("# "):
            Path(body.splitlines()[0][2:]).write_text(body, encoding="utf-8")
        elif language == "sh":
            lines = body.replace("\\\n", " ").splitlines()
            written = "".join(run(line, command) for line in lines)
        elif language == "text":
            yield body, written


def run(line: str, command: Command) -> str:
    """Run one line as a user does; what it writes to its standard output."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "python":
        sys.path.insert(0, "")
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                runpy.run_path(arguments[0], run_name="__main__")
        finally:
            sys.path.remove("")
        return said.getvalue()
    assert program == "criticality", line
    code, out, said_of_it = command(*arguments)
    assert code == 0, f"{line}\n{said_of_it}"
    return out


def agree(should: str, does: str) -> None:
    """The same words; numbers may differ in the last digits from processor to processor."""
    assert NUMBER.sub("#", plain(does)) == NUMBER.sub("#", plain(should))
    for one, other in zip(NUMBER.findall(does), NUMBER.findall(should), strict=True):
        a, b = float(one), float(other)
        assert abs(a - b) <= 0.02 + 0.05 * abs(b), (one, other)


def plain(text: str) -> str:
    """Without blanks that depend on how long numbers are."""
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())
