"""Every file and every command of docs/your_own_system.md, run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from criticality import Store, Study, catalog
from tests.own import COMMANDS, FILES, command, criticality, parsed, write

__all__ = ["command"]  # a fixture

LONG = ("percolation", "curie_weiss")  # run by test_own_systems.py
TORCH = "perceptron"


def run_page(folder, name, command, monkeypatch):
    """Run the commands of the page that are about one system; what they write."""
    monkeypatch.chdir(folder)
    written, stores = {}, []
    for line in COMMANDS:
        first, *arguments = shlex.split(line)
        assert first == "criticality"
        if f"{name}.py" in line:
            stores += [arguments[i + 1] for i, word in enumerate(arguments) if word == "--store"]
        elif not set(stores) & set(arguments):
            continue
        code, out, said = command(*arguments)
        assert code == 0, said
        written[arguments[0]] = out
    return written


def test_every_file_and_command_of_the_page_is_run_by_a_test():
    systems = {line.partition(".py")[0] for line in FILES if f"{line[:-3]}.toml" in FILES}
    assert systems == {*LONG, TORCH, "learner", "walk", "climber", "exits", "nearest"}
    assert set(FILES) - {f"{s}.{end}" for s in systems for end in ("py", "toml")} == {
        "walk_in_python.py",
        "points.py",
        "ridge.py",  # tuned, without a study file
    }
    for line in COMMANDS:
        _, name, *arguments = shlex.split(line)
        if name in ("run", "list"):
            place = arguments[arguments.index("--system") + 1]
            assert place.partition(".py:")[0] in systems
        if name == "tune":
            assert arguments[0].partition(":")[0] in FILES


def test_the_shortest_system_of_the_page(tmp_path, command, monkeypatch):
    write(tmp_path, "walk.py", "walk.toml", "walk_in_python.py")
    run_page(tmp_path, "walk", command, monkeypatch)
    distance = Store("walks").open()["distance"].mean("realization")
    ratio = distance.sel(steps=1600) / distance.sel(steps=100)
    assert 2 < float(ratio.sel(drift=0.0)) < 8  # diffusive: 4
    assert 10 < float(ratio.sel(drift=0.1)) < 25  # ballistic: 16
    assert Path("walk_figures/curves.png").stat().st_size > 10_000
    done = subprocess.run(
        [sys.executable, "walk_in_python.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "drift" in done.stdout


def test_inner_axes_common_disorder_and_censored_times_of_the_page(tmp_path, command, monkeypatch):
    write(tmp_path, "climber.py", "climber.toml")
    run_page(tmp_path, "climber", command, monkeypatch)
    ds = Store("climbs").open()
    assert ds["field"].values.tolist() == [0, 0.5, 1, 0.5, 0]
    assert np.isinf(ds["passage"]).any()
    assert np.isfinite(ds["passage"]).any()
    kind = catalog.find("climber.py:climber")
    lineages = {
        task.lineage for task in Study(system=kind(), grid={"temperature": [0.3, 3.0]}).tasks()
    }
    assert len(lineages) == 1


def test_an_own_data_set_of_the_page(tmp_path, command, monkeypatch):
    monkeypatch.chdir(write(tmp_path, "nearest.py", "nearest.toml", "points.py"))
    exec(compile(FILES["points.py"], "points.py", "exec"), {})
    run_page(tmp_path, "nearest", command, monkeypatch)
    ds = Store("neighbours").open()
    assert (ds["accuracy"].mean("realization") > 0.6).all()  # of three classes
    (checksum,) = {e.attributes["data"] for e in Store("neighbours").entries()[0]}
    np.savez("points.npz", **{k: v[::-1] for k, v in np.load("points.npz").items()})
    changed = Study.from_toml("nearest.toml", catalog.find("nearest.py:nearest"))
    assert {task.checksum for task in changed.tasks()} != {checksum}


def test_a_training_loop_in_jax_learns_up_to_the_capacity(tmp_path, command, monkeypatch):
    write(tmp_path, "learner.py", "learner.toml")
    run_page(tmp_path, "learner", command, monkeypatch)
    (border,) = json.loads(command("phases", "learners", "--json")[1])["boundaries"]
    assert 1.6 < border["estimate"]["low"] < 2 < border["estimate"]["high"] < 2.4  # Cover: 2


def test_a_training_loop_in_pytorch_learns_up_to_the_capacity(tmp_path):
    pytest.importorskip("torch")
    write(tmp_path, "perceptron.py", "perceptron.toml")
    criticality(
        tmp_path, "run", "perceptron.toml", "--store", "s", "--system", "perceptron.py:perceptron"
    )
    (border,) = (line["estimate"] for line in parsed(tmp_path, "phases", "s")["boundaries"])
    assert 1.6 < border["low"] < 2 < border["high"] < 2.4  # Cover: 2


def test_the_best_values_of_the_page(tmp_path, command, monkeypatch):
    write(tmp_path, "ridge.py")
    written = run_page(tmp_path, "ridge", command, monkeypatch)
    assert "best: penalty = " in written["tune"]
    assert Path("tuned_figures/search.png").stat().st_size > 10_000
    found = json.loads(command("best", "tuned", "--json")[1])
    assert 1e-5 <= found["best"]["penalty"] <= 1e-2
    # the noise has a variance of 0.09, and a fit of ten coefficients to 30 points adds to it
    assert 0.09 < found["shown"]["test"]["value"] < 0.16
    scores = [point["score"]["value"] for point in found["points"]]
    assert scores[-1] > 1.5 * min(scores)


def test_phases_as_probabilities_of_the_page(tmp_path, command, monkeypatch):
    write(tmp_path, "exits.py", "exits.toml")
    written = run_page(tmp_path, "exits", command, monkeypatch)
    assert "right exit" in written["phases"]
    assert set(map(str, Path("walker_figures").iterdir())) >= {
        "walker_figures/phases.png",
        "walker_figures/probabilities.png",
    }
    cells = json.loads(command("phases", "walkers", "--json")[1])["cells"]
    covered = []
    for cell in cells:
        against = (1 - cell["bias"]) / (1 + cell["bias"])  # odds of a step to the left
        right = cell["start"] / 10
        if cell["bias"]:
            right = (1 - against ** cell["start"]) / (1 - against**10)  # the gambler's ruin
        ends = cell["probability_right_exit_low"], cell["probability_right_exit_high"]
        covered.append(ends[0] <= right <= ends[1])
        assert cell["probability_wandering"] == 0
        assert cell["realizations"] == cell["labelled"] == 12
    assert len(covered) == 9
    assert sum(covered) >= 8
    assert {cell["phase"] for cell in cells} == {"left exit", "right exit", "unresolved"}
