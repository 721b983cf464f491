"""The package is what its names say, and loads no more than it needs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import criticality
from criticality.base import axes
from criticality.systems import SYSTEMS

ROOT = Path(__file__).parent.parent


def loaded_after(code: str) -> set[str]:
    show = f"import sys; {code}; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True
    ).stdout
    return {name.split(".")[0] for name in out.split()}


def test_every_public_name_resolves_and_there_are_few():
    assert len(criticality.__all__) <= 20
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
    ],
)
def test_stored_numbers_do_not_load_the_tensor_stack(code):
    assert not loaded_after(code) & {"jax", "jaxlib"}


def test_the_command_line_starts_without_heavy_libraries():
    heavy = {"jax", "numpy", "scipy", "xarray", "pandas", "matplotlib", "h5py"}
    assert not loaded_after("import criticality.cli") & heavy


def test_every_system_names_its_source_and_documents_its_controls():
    for name, kind in SYSTEMS.items():
        assert kind.name == name
        assert kind.source
        assert kind.version >= 1
        assert kind.__doc__
        assert set(axes(kind)) == {field.name for field in dataclasses.fields(kind)}
        assert all(axis.doc and axis.symbol for axis in axes(kind).values())


def test_the_changelog_has_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
