"""The package is what its names say, and loads no more than it needs."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import criticality
from criticality.base import axes, card
from criticality.catalog import find
from criticality.papers.entry import PAPERS
from criticality.systems import BUILT_IN

ROOT = Path(__file__).parent.parent


def loaded_after(code: str) -> set[str]:
    show = f"import sys; {code}; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True
    ).stdout
    return {name.split(".")[0] for name in out.splitlines()[-1].split()}


def test_every_public_name_resolves_and_there_are_few():
    assert len(criticality.__all__) <= 25
    for name in criticality.__all__:
        assert getattr(criticality, name).__module__.startswith("criticality")
    assert set(criticality.__all__) == set(criticality._HOME)
    with pytest.raises(AttributeError, match="nothing"):
        _ = criticality.nothing


@pytest.mark.parametrize(
    "code",
    [
        "import criticality",
        "from criticality import Study, Store, InputError",
        "from criticality import phase_diagram",
        "import criticality.figures",
        "import criticality.cli",
        "from criticality import run",
        "from criticality.systems import DropoutNetwork, PruningNetwork; DropoutNetwork.tiny()",
        "from criticality import catalog; [*catalog.installed()]",
    ],
)
def test_stored_numbers_do_not_load_the_tensor_stack(code):
    assert not loaded_after(code) & {"jax", "jaxlib"}


STORES = Path(__file__).parent / "first_edition"


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("run", str(ROOT / "examples" / "demo.toml"), "--store", "none", "--dry-run"),
        ("status", str(STORES / "dropout")),
        ("phases", str(STORES / "dropout")),
        ("figures", str(STORES / "dropout"), "--out", "figures"),
        ("figures", str(STORES / "topology"), "--out", "figures"),
        ("threshold", str(STORES / "pruning")),
        ("report", str(STORES / "dropout"), "--no-scaling"),
    ],
    ids=" ".join,
)
def test_commands_on_stored_numbers_do_not_load_the_tensor_stack(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = f"from criticality.cli import main; sys.argv = ['criticality', *{words!r}]; main()"
    assert not loaded_after(code) & {"jax", "jaxlib"}


def test_the_command_line_starts_without_heavy_libraries():
    heavy = {"jax", "numpy", "scipy", "xarray", "pandas", "matplotlib", "h5py"}
    assert not loaded_after("import criticality.cli") & heavy


def test_every_system_names_its_source_and_documents_its_controls():
    for name in BUILT_IN:
        kind = find(name)
        told = card(kind)
        assert told.name == name
        assert told.source
        assert told.version >= 1
        assert kind.__doc__
        assert set(axes(kind)) == {field.name for field in dataclasses.fields(kind)}
        assert all(axis.doc and axis.symbol for axis in axes(kind).values())
        assert all(observable.doc for observable in told.observables)


# papers and findings ask questions of systems, nn is a toolbox for networks that train, and keys
# pins the numbers of the first streams
OWN = ("systems", *(f"papers/{room}" for room in PAPERS), "papers/systems", "nn", "keys.py")
OWN_WORDS = re.compile("dropout|pruning|topology|p_eval|p_train|n_train", re.IGNORECASE)


def test_generic_rooms_know_no_system():
    package = ROOT / "src" / "criticality"
    own = [package / place for place in OWN]
    files = [f for f in package.rglob("*.py") if not {f, *f.parents} & {*own}]
    assert package / "papers" / "make.py" in files
    assert len(files) > 70
    found = [
        f"{file.relative_to(package)}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if OWN_WORDS.search(line)
    ]
    assert not found, "\n".join(found)


def test_the_changelog_has_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
