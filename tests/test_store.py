"""The store: write-once, resumable, extensible, and honest about damage."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality import InputError, RunError, Store, Study, run
from criticality.base import Card, Observable, control, system
from criticality.engine import programs
from criticality.study import export, job, journal
from criticality.study.cost import result_bytes
from criticality.study.status import status
from criticality.systems import DropoutNetwork, PruningNetwork, TopologyNetwork
from tests.own import results


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
    assert len(results(tmp_path / "s")) == len(larger.tasks())
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


def damage_end(path: Path) -> None:
    """As a kill in the middle of a line, a while ago."""
    path.write_bytes(path.read_bytes()[:-200])
    os.utime(path, (0, 0))


def damage_line(path: Path) -> None:
    content = path.read_bytes()
    at = content.index(b'"result"')
    path.write_bytes(content[: at + 100] + b"x" + content[at + 101 :])


@pytest.mark.parametrize("damage", [damage_end, damage_line])
def test_a_damaged_line_costs_one_result_which_is_computed_again(
    tiny_study, tmp_path, damage, caplog
):
    whole = run(tiny_study, tmp_path / "s")
    (victim,) = (tmp_path / "s" / "results").iterdir()
    damage(victim)
    partial = Store(tmp_path / "s").open()
    assert int(np.isnan(partial["epochs"]).sum()) == 1
    xr.testing.assert_identical(run(tiny_study, tmp_path / "s"), whole)
    # what a kill has torn is no damage
    assert (victim.name in caplog.text) == (damage is damage_line)
    assert Store(tmp_path / "s").entries()[1] == [victim] * (damage is damage_line)


def test_every_flipped_bit_is_found(tiny_study, tmp_path):
    whole = run(tiny_study, tmp_path / "s")
    (path,) = (tmp_path / "s" / "results").iterdir()
    content = path.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(content), 300, replace=False):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        store = Store(tmp_path / "s")
        entries, damaged = store.entries()
        assert damaged == [path] or bytes(changed[-1:]) != b"\n"
        if entries:
            found = store.open()["loss"]
            there = found.notnull()
            assert len(entries) == there.all(("p_eval", "pass")).sum()
            assert ((found == whole["loss"]) | ~there).all()
    path.write_bytes(content)
    xr.testing.assert_identical(Store(tmp_path / "s").open(), whole)


def test_a_head_that_is_damaged_is_told_again(tmp_path):
    study = Study(system=Wide(), realizations=journal.AGAIN + 10)
    whole = run(study, tmp_path / "s", workers=1)
    (path,) = (tmp_path / "s" / "results").iterdir()
    content = path.read_bytes()
    at = content.index(b'"head"')
    assert content.count(b'"head"') == 2
    path.write_bytes(content[: at + 10] + b"x" + content[at + 11 :])
    store = Store(tmp_path / "s")
    xr.testing.assert_identical(store.open(), whole)
    assert store.damaged() == [path]


def test_a_journal_is_lines_of_json_for_everyone(tiny_study, tmp_path):
    ours = run(tiny_study, tmp_path / "s")
    (path,) = (tmp_path / "s" / "results").iterdir()
    found = [json.loads(line.partition(" ")[2]) for line in path.read_text().splitlines()]
    (head,) = [line for line in found if "head" in line]
    results = [line for line in found if "result" in line]
    assert len(results) == 8
    for line in results:
        point, at = head["controls"] | line["controls"], 0
        there = ours.sel(p_train=point["p_train"], n_train=point["n_train"])
        there = there.sel(realization=line["realization"])
        content = base64.b64decode(line["arrays"])
        for name, (kind, shape) in head["numbers"].items():
            array = np.frombuffer(content, kind, math.prod(shape), at).reshape(shape)
            np.testing.assert_array_equal(array, there[name])
            at += array.nbytes


def test_another_studys_files_in_the_directory_are_not_taken_for_ours(tiny_study, tmp_path):
    ours = run(tiny_study, tmp_path / "s")
    for number, other in enumerate(
        [
            dataclasses.replace(tiny_study, seed=8),
            dataclasses.replace(
                tiny_study, system=dataclasses.replace(tiny_study.system, p_eval=(0.0, 0.6))
            ),
        ]
    ):
        run(other, tmp_path / str(number))
        for path in (tmp_path / str(number) / "results").iterdir():
            shutil.copy(path, tmp_path / "s" / "results")
    assert len(results(tmp_path / "s")) == 3 * 8
    assert len(Store(tmp_path / "s").entries()[0]) == 8
    xr.testing.assert_identical(Store(tmp_path / "s").open(), ours)


def test_overlapping_extensions_count_what_was_asked_for(tiny_study, tmp_path):
    run(tiny_study, tmp_path / "s")
    run(with_grid(tiny_study, p_train=[0.5, 0.7]), tmp_path / "s")  # 4 old and 4 new points
    run(dataclasses.replace(with_grid(tiny_study, p_train=[0.0]), realizations=3), tmp_path / "s")
    store = Store(tmp_path / "s")
    assert store.total() == len(store.entries()[0]) == 8 + 4 + 2
    assert store.open().sizes["p_train"] == 3
    assert int(np.isnan(store.open()["epochs"]).sum()) == 3 * 2 * 3 - 14


def test_a_path_asks_for_its_points_and_may_be_extended_to_the_plane(tiny_study, tmp_path):
    grid = with_grid(tiny_study, p_train=[0.0, 0.5], n_train=[50, 60])
    path = dataclasses.replace(grid, grid={}, path={"p_train": (0.0, 0.5), "n_train": (60, 50)})
    run(path, tmp_path / "s")
    store, n = Store(tmp_path / "s"), path.realizations
    assert store.total() == len(store.entries()[0]) == 2 * n
    opened = store.open(observables=["epochs"])["epochs"]
    there = np.isfinite(opened).all("realization")
    assert [there.sel(p_train=p, n_train=m).item() for p, m in ((0, 60), (0.5, 50))] == [True] * 2
    assert there.sum() == 2
    before = contents(tmp_path / "s")
    run(grid, tmp_path / "s")
    assert store.total() == len(store.entries()[0]) == 4 * n
    assert before.items() < contents(tmp_path / "s").items()
    # of a store that has more, a path opens as its own points
    again = np.isfinite(store.open(path.plan(), ["epochs"])["epochs"]).all("realization")
    assert again.equals(there)
    assert np.isfinite(store.open(observables=["epochs"])["epochs"]).all()


@pytest.mark.parametrize("links", [True, False], ids=["", "no hard links"])
@pytest.mark.parametrize("there", [False, True], ids=["new store", "old store"])
def test_runs_that_begin_at_once_lose_nothing(tiny_study, tmp_path, monkeypatch, there, links):
    def refused(*_, **__):
        raise OSError(errno.EPERM, "no hard links")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    studies = [dataclasses.replace(tiny_study, realizations=1 + i) for i in range(4)]
    if there:
        Store(tmp_path / "s").begin(studies.pop().plan())
    admit, together = Store.admit, threading.Barrier(len(studies))

    def slow(self, plan):
        merged = admit(self, plan)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.5)  # for all to have read before any writes, unless they are kept apart
        return merged

    monkeypatch.setattr(Store, "admit", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda study: Store(tmp_path / "s").begin(study.plan()), studies))
    plan = Store(tmp_path / "s").plan()
    assert sorted(ask["realizations"] for ask in plan["asked"]) == [1, 2, 3, 4]
    assert plan["realizations"] == 4
    assert Store(tmp_path / "s").total() == 4 * 4
    assert not list((tmp_path / "s").glob("*.tmp"))


def test_who_comes_second_to_an_empty_directory_sees_the_first(tiny_study, tmp_path, monkeypatch):
    other = dataclasses.replace(tiny_study, seed=8)
    admit, calls = Store.admit, []

    def late(self, plan):
        merged = admit(self, plan)
        if not calls:  # another run begins between our look and our write
            calls.append(1)
            Store(tmp_path / "s").begin(other.plan())
        return merged

    monkeypatch.setattr(Store, "admit", late)
    with pytest.raises(InputError, match="belongs to another study: seed"):
        Store(tmp_path / "s").begin(tiny_study.plan())
    assert Store(tmp_path / "s").plan()["seed"] == 8


@pytest.mark.parametrize(("number", "kind"), [(errno.EACCES, InputError), (errno.ENOSPC, RunError)])
def test_a_directory_that_cannot_be_written_is_an_error_of_input_but_a_full_disk_is_none(
    tiny_study, tmp_path, monkeypatch, number, kind
):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", refused)
    with pytest.raises(kind, match=rf"cannot be written.*{os.strerror(number)}"):
        run(tiny_study, tmp_path / "s")


def test_a_result_that_cannot_be_written_stops_the_run_and_keeps_the_rest(
    tiny_study, tmp_path, monkeypatch
):
    write = os.write

    def filling(file, content):
        if b'"result"' in content and len(results(tmp_path / "s")) == 2:
            return write(file, content[: len(content) // 2])  # what is left of the disk
        return write(file, content)

    monkeypatch.setattr(os, "write", filling)
    with pytest.raises(RunError, match=r"No space left.*the rest is kept"):
        run(tiny_study, tmp_path / "s", workers=1)
    monkeypatch.undo()
    assert len(results(tmp_path / "s")) == 2
    run(tiny_study, tmp_path / "s")
    assert len(results(tmp_path / "s")) == 8
    assert not Store(tmp_path / "s").entries()[1]


def test_a_machine_without_git_still_runs(tiny_study, tmp_path, monkeypatch):
    def forget():
        for remembered in (job._commit, job._versions_of):
            remembered.cache_clear()

    def absent(*_, **__):
        raise FileNotFoundError("git")

    forget()
    monkeypatch.setattr(subprocess, "run", absent)
    run(tiny_study, tmp_path / "s", workers=1)
    monkeypatch.undo()
    forget()
    assert Store(tmp_path / "s").entries()[0][0].attributes["commit"] == "unknown"


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


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """As a system that gives its weights at many times."""

    card: ClassVar[Card] = Card(
        name="snapshots",
        source="a system with a large result",
        observables=(
            Observable(name="weight", dims=("time", "link"), doc="weights"),
            Observable(name="norm", dims=("time",), doc="something small"),
            Observable(name="count", doc="of the times"),
        ),
    )

    times: int = control(100, symbol="t", doc="times", interval="[0, inf)", inner=True)
    links: int = control(10_100, symbol="l", doc="links", interval="[0, inf)", inner=True)

    def inner(self):
        return {"time": tuple(range(self.times)), "link": tuple(range(self.links))}

    def arrays(self, zeros: float):
        rng = np.random.default_rng(0)
        shape = (self.times, self.links)
        words = rng.integers(0, 2**32, shape, dtype=np.uint32) & np.uint32(0xBFFFFFFF)  # finite
        weight = np.where(rng.random(shape) < zeros, np.float32(0), words.view(np.float32))
        return {"weight": weight, "norm": weight[:, 0], "count": np.int32(self.times)}


def written(path: Path, system: Snapshots, zeros: float) -> tuple[Store, Study, dict]:
    study, store = Study(system=system), Store(path)
    store.begin(study.plan())
    arrays = system.arrays(zeros)
    (task,) = study.tasks()
    store.write(task, arrays, {"device": "none", "wall_seconds": 1.0})
    return store, study, arrays


def test_large_arrays_are_compressed_and_come_back_bit_for_bit(tmp_path):
    store, _, arrays = written(tmp_path / "s", Snapshots(), zeros=0.95)
    (file,) = (tmp_path / "s" / "results").iterdir()
    assert file.stat().st_size < arrays["weight"].nbytes / 6
    ds = store.open()
    np.testing.assert_array_equal(ds["weight"][0], arrays["weight"])
    np.testing.assert_array_equal(ds["norm"][0], arrays["norm"])
    assert ds["weight"].dtype == np.float32  # more than a million of them
    assert ds["norm"].dtype == ds["count"].dtype == np.float64
    with xr.open_dataset(file, engine="h5netcdf") as plain:
        np.testing.assert_array_equal(plain["weight"], arrays["weight"])
        assert plain["weight"].encoding["zlib"]
        assert not plain["norm"].encoding["zlib"]


def test_only_what_is_asked_for_is_opened(tmp_path):
    store, study, arrays = written(tmp_path / "s", Snapshots(), zeros=0.5)
    ds = store.open(observables=["norm"])
    assert set(ds.data_vars) == {"norm"}
    assert set(ds.coords) == {"realization", "time"}
    np.testing.assert_array_equal(ds["norm"][0], arrays["norm"])
    assert not store.open(study.plan(), observables=()).data_vars
    xr.testing.assert_identical(store.open()[["norm"]].drop_vars("link", errors="ignore"), ds)
    with pytest.raises(InputError, match=r"unknown observable 'nrom'; did you mean 'norm'"):
        store.open(observables=["nrom"])


def test_what_is_done_is_told_without_decoding_but_with_the_seal(tmp_path, monkeypatch):
    store, study, _ = written(tmp_path / "s", Snapshots(), zeros=0.5)
    (key,) = [task.key for task in study.tasks()]

    def decoded(*_):
        raise AssertionError("an array was read")

    monkeypatch.setattr(h5py.Dataset, "__array__", decoded)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", decoded)
    assert store.survey([key]) == ([key], [], [])
    ((entry,), damaged) = store.entries()
    assert entry.attributes["key"] == key
    assert not damaged
    file = store.file(key)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert store.survey([key]) == ([], [], [key])
    assert store.entries() == ([], [file])


@pytest.mark.parametrize("shape", [(1, 17_000), (1_000, 17), (100, 300), (30, 20_000), (2, 2)])
def test_the_size_on_disk_is_foretold_from_above(tmp_path, shape):
    times, links = shape
    _, study, arrays = written(tmp_path / "s", Snapshots(times=times, links=links), zeros=0.0)
    (file,) = (tmp_path / "s" / "results").iterdir()
    assert file.stat().st_size > 0.8 * arrays["weight"].nbytes  # hardly compressible
    shared = 0 if file.suffix == ".nc" else 3_000  # by all lines of a journal
    assert file.stat().st_size <= result_bytes(study.tasks()[0]) + shared


def test_a_directory_in_which_a_run_is_just_beginning_is_admitted(tiny_study, tmp_path):
    for name in ("checkpoints", "results"):
        (tmp_path / name).mkdir()
    run(tiny_study, tmp_path)
    assert len(results(tmp_path)) == 8


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


@pytest.mark.slow  # and test_faults with smaller ones
def test_killed_half_way_and_resumed_is_the_same_as_never_interrupted(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY)

    def command(store: str, workers: int) -> list[str]:
        words = [sys.executable, "-m", "criticality", "run", str(file)]
        return [*words, "--store", str(tmp_path / store), "--workers", str(workers)]

    process = subprocess.Popen(command("killed", 1), stderr=subprocess.DEVNULL)
    killed = Store(tmp_path / "killed")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (killed.refresh() or len(killed) >= 4):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed.refresh()
    done = len(killed)
    assert 4 <= done < 24, "the kill came too late to be a test"
    for store in ("killed", "whole"):
        subprocess.run(command(store, 2), check=True, capture_output=True)
    whole = Store(tmp_path / "whole").open()
    assert np.isfinite(whole["loss"]).all()
    xr.testing.assert_identical(killed.open(), whole)


@system(observables=(Observable(name="accuracy"), Observable(name="weights", dims=("weight",))))
class Wide:
    """Gives as many weights as it is wide."""

    width: int = control(4, interval="[1, inf)")

    def inner(self):
        return {"weight": tuple(range(self.width))}

    def compute(self, rng, data):
        weights = rng.normal(size=self.width)
        return {"accuracy": weights.mean(), "weights": weights}


def test_observables_of_different_sizes_are_left_out_or_refused(tmp_path, caplog):
    ds = run(Study(system=Wide(), grid={"width": [4, 6]}), tmp_path / "s")
    assert "weights" not in ds
    assert "weights is not over the same weight" in caplog.text
    assert np.isfinite(ds["accuracy"]).all()
    store = Store(tmp_path / "s")
    with pytest.raises(InputError, match=r"weights .*\(width\); open one value"):
        store.open(observables=["accuracy", "weights"])
    one = Study(system=Wide(width=4)).plan()
    narrow = {**one, "grid": {"width": [4]}}
    weights = store.open(narrow, ["weights"])["weights"]
    assert weights.sizes["weight"] == 4
    np.testing.assert_allclose(weights.mean("weight").squeeze(), ds["accuracy"].sel(width=4)[0])


FIRST_EDITION = Path(__file__).parent / "first_edition"
FIRST = {"dropout": DropoutNetwork, "pruning": PruningNetwork, "topology": TopologyNetwork}
GRIDS = {"dropout": {"p_train": [0.0, 0.5], "n_train": [100, 200]}}
PROCESSOR = "6c07bfbebf50"  # on which these stores were made; others round in other ways


def first_study(name: str, **changes) -> Study:
    return Study(
        **{"system": FIRST[name].tiny(), "grid": GRIDS.get(name, {}), "realizations": 2, "seed": 7}
        | changes
    )


@pytest.mark.parametrize("name", FIRST)
def test_a_store_of_the_first_edition_has_the_same_keys_and_numbers(name, tmp_path):
    study, old = first_study(name), Store(FIRST_EDITION / name)
    _, missing, damaged = old.survey(task.key for task in study.tasks())
    assert (missing, damaged) == ([], [])
    before = old.open(study.plan())
    now = run(study, tmp_path / "s", workers=1)
    assert set(now) == set(before)
    same = programs._processor() == PROCESSOR
    for observable in before:
        a, b = now[observable].values, before[observable].values
        if same:
            np.testing.assert_array_equal(a, b, err_msg=observable)
        else:  # few epochs, so that rounding stays rounding; a weight may fall a step earlier
            close = np.isclose(a, b, rtol=1e-2, atol=5e-3, equal_nan=True)
            assert close.mean() > 0.98, observable


@pytest.mark.parametrize("name", FIRST)
def test_a_store_of_the_first_edition_is_extended(name, tmp_path):
    shutil.copytree(FIRST_EDITION / name, tmp_path / "s")
    before = contents(tmp_path / "s")
    ds = run(first_study(name, realizations=3), tmp_path / "s", workers=1)
    after = contents(tmp_path / "s")
    assert len(Store(tmp_path / "s").entries()[0]) == len(before) * 3 // 2
    assert all(after[file] == content for file, content in before.items())
    assert np.isfinite(ds["accuracy"]).all()
    assert Store(tmp_path / "s").card()[0] == FIRST[name].card  # kept from now on


def test_a_store_without_its_plan_is_used_again(tiny_study, tmp_path):
    whole = run(tiny_study, tmp_path / "s")
    before = contents(tmp_path / "s")
    (tmp_path / "s" / "study.json").unlink()
    with pytest.raises(InputError, match="finds the results that are there"):
        Store(tmp_path / "s").plan()
    xr.testing.assert_identical(run(tiny_study, tmp_path / "s"), whole)
    assert contents(tmp_path / "s") == before


def test_one_value_of_a_swept_control_extends_the_store(tiny_study, tmp_path):
    run(tiny_study, tmp_path / "s")
    point = dataclasses.replace(tiny_study.system, p_train=0.25)
    ds = run(
        Study(system=point, grid={"n_train": [100]}, realizations=2, seed=tiny_study.seed),
        tmp_path / "s",
    )
    assert np.isfinite(ds["loss"]).all()
    store = Store(tmp_path / "s")
    assert store.plan()["grid"]["p_train"] == [0.0, 0.25, 0.5]
    assert (store.total(), len(store.entries()[0])) == (10, 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"realizations": 10**9}, "tasks; a study has 1000000 at most"),
        ({"realizations": "two"}, "realizations = 'two'; expected a whole number"),
        ({"grid": {"p_train": 0.5}}, "not a plan"),
        ({"grid": {"p_train": [[0.5]]}}, "not a plan"),
        ({"grid": []}, "grid = []"),
        ({"controls": None}, "controls = None"),
        ({"asked": [3]}, "not a plan"),
        ({"asked": [{"grid": {}, "realizations": -1}]}, "not a plan"),
        ({"seed": None}, "seed = None"),
        ({"grid": {"p_train": [0.0, "x"]}}, "values of one kind"),
        ({"grid": {"p_train": [0.0, float("nan")]}}, "values of one kind"),
        ({"grid": {"n_train": [100, True]}}, "values of one kind"),
    ],
)
def test_a_plan_with_wrong_contents_is_refused(tiny_study, tmp_path, change, words):
    store = Store(tmp_path / "s")
    store.begin(tiny_study.plan())
    plan = json.loads((tmp_path / "s" / "study.json").read_text())
    (tmp_path / "s" / "study.json").write_text(json.dumps(plan | change))
    with pytest.raises(InputError, match=r"study\.json") as error:
        store.total()
    assert words in str(error.value)


def test_a_plan_of_texts_where_the_study_has_numbers_is_another_study(tiny_study, tmp_path):
    store = Store(tmp_path / "s")
    store.begin(tiny_study.plan())
    plan = json.loads((tmp_path / "s" / "study.json").read_text())
    plan["grid"]["p_train"] = ["x"]
    (tmp_path / "s" / "study.json").write_text(json.dumps(plan))
    with pytest.raises(InputError, match="belongs to another study: p_train is x there"):
        store.begin(tiny_study.plan())


def test_a_store_does_not_grow_beyond_what_can_be_read(tiny_study, tmp_path):
    store = Store(tmp_path / "s")
    store.begin(dataclasses.replace(tiny_study, grid={}, realizations=600_000).plan())
    more = dataclasses.replace(tiny_study, grid={"n_train": [100, 200]}, realizations=1)
    with pytest.raises(InputError, match="would hold too much: 2 points with 600000"):
        store.begin(more.plan())
    assert store.total() == 600_000


def test_a_file_in_the_place_of_the_results_is_an_error_of_input(tiny_study, tmp_path):
    store = Store(tmp_path / "s")
    store.begin(tiny_study.plan())
    (tmp_path / "s" / "results").rmdir()
    (tmp_path / "s" / "results").write_text("")
    with pytest.raises(InputError, match=r"s: cannot be written \(.*exists"):
        run(tiny_study, store)


def test_networks_that_diverged_are_told(tiny_study, tmp_path):
    study = dataclasses.replace(tiny_study, grid={"learning_rate": [1e-3, 1e30]})
    with pytest.raises(RunError, match=r"2 of 4 tasks failed[\s\S]*validation_loss not finite"):
        run(study, tmp_path / "s")
    assert status(Store(tmp_path / "s")).not_finite == {"validation_loss": 2}


def test_a_whole_store_goes_into_one_file(tiny_study, tmp_path):
    ds = run(tiny_study, tmp_path / "s")
    export.write_to(ds, tmp_path / "all.nc")
    with xr.open_dataset(tmp_path / "all.nc", engine="h5netcdf") as again:
        xr.testing.assert_equal(again.load(), ds)
    assert export.write_to(ds[["loss"]], tmp_path / "all.csv")["pass"] == 2
    table = pd.read_csv(tmp_path / "all.csv")
    row = table[(table.p_train == 0.5) & (table.n_train == 100) & (table.p_eval == 0.5)]
    expected = ds["loss"].sel(p_train=0.5, n_train=100, p_eval=0.5).values.ravel()
    np.testing.assert_allclose(np.sort(row["loss"]), np.sort(expected))
    with pytest.raises(InputError, match=r"\.nc or \.csv"):
        export.write_to(ds, tmp_path / "all.txt")


def test_the_greatest_seed_is_read_again(tiny_study, tmp_path):
    study = dataclasses.replace(tiny_study, seed=2**63 - 1)
    run(study, tmp_path)
    found = status(Store(tmp_path))
    assert (found.done, found.damaged) == (found.total, [])
