"""The store: write-once, resumable, extensible, and honest about damage."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from criticality import InputError, Store, Study, run
from criticality.systems import DropoutNetwork


def with_grid(study: Study, **grid) -> Study:
    return dataclasses.replace(study, grid={**study.grid, **grid})


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (store / "results").iterdir()}


def test_run_gives_labelled_arrays_with_units(tiny_study, tmp_path):
    ds = run(tiny_study, tmp_path / "s")
    assert ds["loss"].dims == ("p_train", "n_train", "realization", "p_eval", "pass")
    assert ds["loss"].attrs["units"] == "nat"
    assert ds["n_train"].attrs["units"] == "sample"
    assert ds["loss"].dtype == np.float64
    assert np.isfinite(ds["loss"]).all()
    assert ds["epochs"].dims == ("p_train", "n_train", "realization")
    xr.testing.assert_identical(ds, Store(tmp_path / "s").open())


def test_each_value_stands_at_its_coordinates(tiny_study, tmp_path):
    ds = run(tiny_study, tmp_path / "s")
    point = dataclasses.replace(tiny_study.system, p_train=0.5, n_train=100)
    alone = run(Study(system=point, realizations=2, seed=tiny_study.seed), tmp_path / "alone")
    np.testing.assert_array_equal(alone["loss"], ds["loss"].sel(p_train=0.5, n_train=100))


def test_running_again_computes_nothing(tiny_study, tmp_path):
    run(tiny_study, tmp_path / "s")
    before = contents(tmp_path / "s")
    run(tiny_study, tmp_path / "s")
    assert contents(tmp_path / "s") == before  # provenance holds the time: a rewrite would differ


@pytest.mark.parametrize(
    "extend",
    [
        lambda s: with_grid(s, p_train=[0.0, 0.25, 0.5]),
        lambda s: with_grid(s, n_train=[100, 150, 200, 300]),
        lambda s: dataclasses.replace(s, realizations=3),
        lambda s: with_grid(s, width=[12, 16]),
    ],
    ids=["control", "size", "realizations", "new axis"],
)
def test_extending_recomputes_nothing_and_changes_nothing(tiny_study, tmp_path, extend):
    old = run(tiny_study, tmp_path / "s")
    before = contents(tmp_path / "s")
    larger = extend(tiny_study)
    new = run(larger, tmp_path / "s")
    after = contents(tmp_path / "s")
    assert len(after) == len(larger.tasks())
    assert all(after[name] == content for name, content in before.items())
    if "width" in new.dims:
        new = new.sel(width=12)
    same = new.sel(p_train=old["p_train"], n_train=old["n_train"], realization=old["realization"])
    np.testing.assert_array_equal(same["loss"], old["loss"])
    # the smaller study still reads its own part of the larger store
    np.testing.assert_array_equal(run(tiny_study, tmp_path / "s")["loss"], old["loss"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 8}, "seed"),
        ({"system": dataclasses.replace(DropoutNetwork.tiny(), width=13)}, "width"),
        ({"system": dataclasses.replace(DropoutNetwork.tiny(), p_eval=(0.0, 0.6))}, "p_eval"),
        ({"system": dataclasses.replace(DropoutNetwork.tiny(), batch_size=16)}, "batch_size"),
    ],
)
def test_a_store_of_another_study_is_refused_untouched(tiny_study, tmp_path, change, word):
    run(tiny_study, tmp_path / "s")
    before = contents(tmp_path / "s"), (tmp_path / "s" / "study.json").read_bytes()
    with pytest.raises(InputError, match=f"belongs to another study: {word}"):
        run(dataclasses.replace(tiny_study, **change), tmp_path / "s")
    assert (contents(tmp_path / "s"), (tmp_path / "s" / "study.json").read_bytes()) == before


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_flip(path: Path) -> None:
    with h5py.File(path) as file:
        at = file["loss"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_truncate, damage_empty, damage_flip])
def test_a_damaged_file_is_noticed_and_computed_again(tiny_study, tmp_path, damage, caplog):
    whole = run(tiny_study, tmp_path / "s")
    victim = sorted((tmp_path / "s" / "results").iterdir())[1]
    damage(victim)
    partial = Store(tmp_path / "s").open()
    assert int(np.isnan(partial["epochs"]).sum()) == 1
    xr.testing.assert_identical(run(tiny_study, tmp_path / "s"), whole)
    assert victim.name in caplog.text
    assert "computed again" in caplog.text


def test_leftovers_of_a_killed_run_are_ignored(tiny_study, tmp_path):
    whole = run(tiny_study, tmp_path / "s")
    (tmp_path / "s" / "results" / "0123.nc.99-abcd.tmp").write_bytes(b"half a file")
    xr.testing.assert_identical(run(tiny_study, tmp_path / "s"), whole)


def test_a_directory_with_other_things_is_refused(tiny_study, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="not empty and not a store"):
        run(tiny_study, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run(tiny_study, tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        run(tiny_study, tmp_path / "file" / "below")
    with pytest.raises(InputError, match="not a store"):
        Store(tmp_path / "none").open()


def test_a_result_says_where_it_comes_from(tiny_study, tmp_path):
    run(tiny_study, tmp_path / "s")
    (entry, *_), damaged = Store(tmp_path / "s").entries()
    assert not damaged
    for name in ("criticality", "commit", "libraries", "device", "dtype", "data", "created"):
        assert entry.attributes[name]
    assert float(entry.attributes["wall_seconds"]) > 0
    assert len(entry.attributes["data"]) == 64


STUDY = """
system = "dropout"
realizations = 6
[controls]
dataset = "synthetic"
n_validation = 100
width = 12
batch_size = 32
max_epochs = 60
p_eval = [0.0, 0.5]
[grid]
p_train = [0.0, 0.5]
n_train = [400, 800]
"""


def test_killed_half_way_and_resumed_is_the_same_as_never_interrupted(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY)

    def command(store: str, workers: int) -> list[str]:
        words = [sys.executable, "-m", "criticality", "run", str(file)]
        return [*words, "--store", str(tmp_path / store), "--workers", str(workers)]

    process = subprocess.Popen(command("killed", 1), stderr=subprocess.DEVNULL)
    results = tmp_path / "killed" / "results"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(results.glob("*.nc"))) < 4:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(results.glob("*.nc")))
    assert 4 <= done < 24, "the kill came too late to be a test"
    for store in ("killed", "whole"):
        subprocess.run(command(store, 2), check=True, capture_output=True)
    killed, whole = (Store(tmp_path / store).open() for store in ("killed", "whole"))
    assert np.isfinite(whole["loss"]).all()
    xr.testing.assert_identical(killed, whole)


def test_interrupt_leaves_a_resumable_store_and_exits_130(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    words = [sys.executable, "-m", "criticality", "run", str(file), "--store", str(tmp_path / "s")]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    results = tmp_path / "s" / "results"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(results.glob("*.nc"))) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert len(Store(tmp_path / "s").entries()[0]) >= 2
    assert not Store(tmp_path / "s").entries()[1]
