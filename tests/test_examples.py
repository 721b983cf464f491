"""What the README and the study files say is true."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from criticality import Study, phase_diagram, run
from criticality.systems.dropout.phases import AMENTIA, DEMENTIA, EUMENTIA

ROOT = Path(__file__).parent.parent
STUDIES = sorted((ROOT / "examples").rglob("*.toml"))


@pytest.mark.parametrize("file", STUDIES, ids=[f.stem for f in STUDIES])
def test_every_study_file_is_a_study(file):
    study = Study.from_toml(file)
    assert len({task.key for task in study.tasks()}) == len(study.tasks())
    certain = dict(study.system.__dict__).get("function") == "worst"  # the same in all realizations
    assert study.realizations == 1 if certain else study.realizations >= 4


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "p_train" in capsys.readouterr().out


def test_the_commands_of_the_readme_exist(capsys, monkeypatch):
    from criticality.cli import main

    readme = (ROOT / "README.md").read_text()
    text = "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.DOTALL))
    commands = set(re.findall(r"^criticality ((?:data )?[a-z]+)", text, re.MULTILINE))
    assert {"run", "phases", "figures", "status", "data fetch"} <= commands
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["criticality", *command.split(), "--help"])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code


@pytest.mark.slow
def test_the_demo_shows_the_three_phases_and_the_crossing(tmp_path):
    study = Study.from_toml(ROOT / "examples/demo.toml")
    found = phase_diagram(run(study, tmp_path / "store")).cells
    pulls = found["alpha"] / found["alpha_error"]
    assert pulls.sel(p_train=0.0, p_eval=0.0) < -3
    assert pulls.sel(p_train=0.0, p_eval=0.95) > 2
    assert found["phase"].sel(p_train=0.0, p_eval=0.0) == EUMENTIA
    assert found["phase"].sel(p_train=0.0, p_eval=0.95) == DEMENTIA
    assert (found["phase"].sel(p_train=0.95) == AMENTIA).all()
    line = found.sel(p_train=0.0)
    assert str(line["boundary_status"].values) == "crossing"
    assert 0 < line["boundary_low"] < line["boundary"] < line["boundary_high"] < 0.95
