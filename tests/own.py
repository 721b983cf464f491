"""The files and commands of docs/your_own_system.md, for the tests that run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from criticality.cli import main
from criticality.study import journal

PAGE = (Path(__file__).parent.parent / "docs/your_own_system.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {
    body.splitlines()[0][2:]: body
    for kind, body in BLOCKS
    if kind in ("python", "toml") and body.startswith("# ")
}
COMMANDS = [line for kind, body in BLOCKS if kind == "sh" for line in body.splitlines()]


def write(folder: Path, *names: str) -> Path:
    """Write files of the page into a folder."""
    for name in names:
        (folder / name).write_text(FILES[name], encoding="utf-8")
    return folder


def words(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "criticality", *map(str, arguments)]


def criticality(folder: Path, *arguments: object, code: int = 0, **options: Any) -> str:
    """Run a command in a folder, as a user does; what it writes."""
    done = subprocess.run(
        words(*arguments), cwd=folder, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def parsed(folder: Path, *arguments: object) -> Any:
    return json.loads(criticality(folder, *arguments, "--json"))


def results(store: Path) -> dict[str, bytes]:
    """What the journals of a store hold of each task, as it was written."""
    found: dict[str, bytes] = {}
    for path in sorted((store / "results").glob("*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n") and "result" in (content := journal.unsealed(line)):
                assert content["result"] not in found, "twice"
                found[content["result"]] = line
    return found


@pytest.fixture
def command(monkeypatch, capsys):
    """Call a command in this process, which is quicker; gives exit code, output and errors."""

    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["criticality", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
