"""The files and commands of a page of the docs, run as it says, and what they write compared."""

from __future__ import annotations

import os
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


def steps(page: str) -> Iterator[tuple[str, str, re.Match[str]]]:
    """Blocks of a page in their order: their language, what is in them, and where."""
    for match in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8")):
        yield match[1], match[2], match


def follow(page: str, folder: Path, command: Command, capsys) -> Iterator[tuple[str, str]]:
    """Do in a folder what a page says; of every block of output what it should be, and what it is.

    Blocks of Python and TOML that begin with the name of a file are written; `sh` is run in this
    process, with its working folder changed; `text` is what the commands before it write.
    """
    os.chdir(folder)
    written = ""
    for language, body, _ in steps(page):
        if language in ("python", "toml") and body.startswith("# "):
            Path(body.splitlines()[0][2:]).write_text(body, encoding="utf-8")
        elif language == "sh":
            written = "".join(run(line, command, capsys) for line in lines(body))
        elif language == "text":
            yield body, written


def lines(body: str) -> list[str]:
    """Commands of a block; one may go on after a backslash."""
    return body.replace("\\\n", " ").splitlines()


def run(line: str, command: Command, capsys) -> str:
    """Run one line as a user does; what it writes to its standard output."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "python":
        sys.path.insert(0, "")
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        finally:
            sys.path.remove("")
        return capsys.readouterr().out
    assert program == "criticality", line
    code, out, said = command(*arguments)
    assert code == 0, f"{line}\n{said}"
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
