from __future__ import annotations

import sys
from pathlib import Path

import pytest

from criticality import Study
from criticality.cli import main
from criticality.data import download
from criticality.systems import DropoutNetwork

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def tiny_study() -> Study:
    """Two rates, two sizes, two realizations of a network that trains in milliseconds."""
    return Study(
        system=DropoutNetwork.tiny(),
        grid={"p_train": [0.0, 0.5], "n_train": [100, 200]},
        realizations=2,
        seed=7,
    )


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["criticality", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with an empty cache that reaches nothing; gives the cache folder."""

    def refuse(address: str) -> bytes:
        raise OSError(f"no route to {address}")

    download.load.cache_clear()
    monkeypatch.setattr(download, "_download", refuse)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CRITICALITY_DATA", raising=False)
    return tmp_path / "cache"
