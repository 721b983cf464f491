"""Shards, Dask and MPI: parts of a study, computed by whoever, are the same bits."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from criticality import Card, InputError, Observable, Store, Study, control, run
from criticality.base import Task, work
from criticality.engine.templates import template
from criticality.study import executors, shards
from criticality.systems import DropoutNetwork
from tests.clusters import count, dask, mpi, process, run_words, until, words, written
from tests.test_executors import Serial

__all__ = ["dask"]  # a fixture

needs_mpi = pytest.mark.skipif(
    not (shutil.which("mpiexec") and importlib.util.find_spec("mpi4py")),
    reason="needs mpiexec and mpi4py",
)


@dataclass(frozen=True, kw_only=True)
class Load:
    """A system of any work."""

    card: ClassVar[Card] = Card(name="load", observables=(Observable(name="x"),))

    flop: float = control(1e9, interval="[0, inf)")

    def work(self):
        return self.flop

    def compute(self, rng, data):
        return {"x": self.flop}


def loads(flops):
    return [Task(system=Load(flop=x), seed=0, realization=0, checksum="") for x in flops]


def cost(tasks):
    return sum(work(task.system) / shards.FLOPS + shards.TASK_S for task in tasks)


def keys(tasks):
    return [task.key for task in tasks]


# --- the partition ---


@given(st.data(), st.lists(st.floats(0, 1e15), min_size=1, max_size=60))
def test_every_task_is_in_one_shard_and_none_is_empty(data, flops):
    tasks = loads(flops)
    number = data.draw(st.integers(1, len(tasks)))
    parts = shards.partition(tasks, number)
    assert len(parts) == number
    assert all(parts)
    assert Counter(keys(itertools.chain(*parts))) == Counter(keys(tasks))
    # the same ones again, each by itself
    assert [shards.shard(tasks, (i + 1, number)) for i in range(number)] == parts


@given(st.lists(st.floats(0, 1e12), min_size=20, max_size=60), st.integers(1, 5))
def test_shards_are_of_like_cost(flops, number):
    tasks = loads(flops)
    mean, most = cost(tasks) / number, max(cost([task]) for task in tasks)
    if most <= mean:
        for part in shards.partition(tasks, number):
            assert abs(cost(part) - mean) <= most * (1 + 1e-9)


def test_few_programs_are_compiled_in_a_shard():
    grid = {"width": [8, 12, 16], "n_train": [100, 200, 400], "p_train": [0.0, 0.5]}
    tasks = Study(system=DropoutNetwork.tiny(), grid=grid, realizations=2).tasks()

    def compiled(parts):
        return sum(len({template(task.system) for task in part}) for part in parts)

    for number in (2, 5, 9):
        assert compiled(shards.partition(tasks, number)) <= 3 + number - 1
        assert compiled([tasks[i::number] for i in range(number)]) > 3 + number - 1  # dealt out


def test_the_partition_is_the_same_in_another_process(tmp_path):
    written(tmp_path)
    program = (
        "import sys; from criticality import Study, catalog; from criticality.study import shards\n"
        f"study = Study.from_toml({str(tmp_path / 'study.toml')!r}, catalog.find('slow.py:slow'))\n"
        "print([[t.key[:8] for t in part] for part in shards.partition(study.tasks(), 5)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(said) == 1


NONSENSE = [
    "0/4",
    "5/4",
    "1/0",
    "0/0",
    "-1/4",
    "1/-4",
    "1.5/2",
    "1",
    "/",
    "a/b",
    "",
    "1/4/2",
    "²/4",
]


@pytest.mark.parametrize("text", [*NONSENSE, "1/99999999999", "1/13"])
def test_no_shard_is_refused_before_anything_is_written(text, tmp_path, command):
    written(tmp_path)
    place = f"{tmp_path / 'slow.py'}:slow"
    arguments = ["run", tmp_path / "study.toml", "--store", tmp_path / "s", "--system", place]
    for more in ([], ["--dry-run"]):
        code, _, said = command(*arguments, f"--shard={text}", *more)
        assert code == 2
        assert "shard" in said
    assert not (tmp_path / "s").exists()


def test_a_dry_run_of_a_shard_counts_what_that_shard_lacks(tmp_path, command):
    written(tmp_path)
    place = f"{tmp_path / 'slow.py'}:slow"
    arguments = ["run", tmp_path / "study.toml", "--store", tmp_path / "s", "--system", place]
    assert command(*arguments, "--shard=1/5", "--workers=1", "--quiet")[0] == 0
    shown = [command(*arguments, f"--shard={i}/5", "--dry-run", "--json")[1] for i in range(1, 6)]
    counts = [(cost["tasks"], cost["missing"]) for cost in map(json.loads, shown)]
    assert counts[0][1] == 0
    assert all(tasks == missing for tasks, missing in counts[1:])
    assert sum(tasks for tasks, _ in counts) == 12


def test_a_shard_computes_its_own_tasks_only_and_again_nothing(tmp_path):
    study = Study(system=Load(), grid={"flop": [1e9, 2e9, 4e9]}, realizations=4)
    parts = shards.partition(study.tasks(), 3)
    seen = []
    for _ in range(2):
        run(study, tmp_path / "s", shard=(2, 3), workers=1, watch=seen.append)
        done, missing, _ = Store(tmp_path / "s").survey(keys(study.tasks()))
        assert set(done) == set(keys(parts[1]))
        assert set(missing) == set(keys(parts[0] + parts[2]))
    assert [p.done for p in seen] == [*range(len(parts[1]) + 1), len(parts[1])]
    with pytest.raises(InputError, match=r"0/3.*counted from 1 to 3"):
        run(study, tmp_path / "s", shard=(0, 3))


# --- all of them ---

NETWORKS = """
system = "dropout"
realizations = 2
[controls]
dataset = "synthetic"
width = 8
depth = 1
n_validation = 50
batch_size = 50
max_epochs = 3
p_eval = [0.0, 0.5]
passes = 1
[grid]
p_train = [0.0, 0.5]
n_train = [100, 200]
"""


def test_serial_processes_dask_and_shards_at_once_give_the_same_bits(tmp_path, dask):
    (tmp_path / "study.toml").write_text(NETWORKS)
    study = Study.from_toml(tmp_path / "study.toml")
    serial = run(study, tmp_path / "serial", executor=Serial())
    assert bool(serial.loss.notnull().all())
    for values in (serial.loss.isel(realization=0), serial.loss.isel(realization=1)):
        assert len(np.unique(values)) == values.size  # they differ, and could be mixed up

    arguments = ["run", tmp_path / "study.toml", "--quiet"]
    subprocess.run(
        words(*arguments, "--store", tmp_path / "dask", "--executor", dask.place), check=True
    )
    xr.testing.assert_identical(Store(tmp_path / "dask").open(), serial)

    each = [
        subprocess.Popen(
            words(*arguments, "--store", tmp_path / "shards", "--workers", 1, "--shard", f"{i}/4"),
            stdout=subprocess.DEVNULL,
        )
        for i in (1, 2, 3, 4)
    ]
    assert [process.wait(120) for process in each] == [0] * 4
    xr.testing.assert_identical(Store(tmp_path / "shards").open(), serial)

    xr.testing.assert_identical(run(study, tmp_path / "two", workers=2), serial)


# --- Dask ---


@pytest.mark.slow
def test_a_dask_worker_is_killed_and_then_the_scheduler(tmp_path, dask):
    written(tmp_path)
    undisturbed = tmp_path / "undisturbed"
    subprocess.run(run_words(tmp_path, "--store", undisturbed, "--workers", 1), check=True)

    def on_dask(store, seconds):
        options = ["--set", f"seconds={seconds}", "--executor", dask.place]
        words = run_words(tmp_path, "--store", tmp_path / store, *options)
        return process(*words, log=tmp_path / "said")

    with on_dask("worker", 0.4) as running:
        until(lambda: count(tmp_path / "worker") >= 2)
        dask.workers[0].kill()
        assert running.wait(60) == 0
        assert count(tmp_path / "worker") == 12
    with on_dask("scheduler", 0.4) as running:
        until(lambda: count(tmp_path / "scheduler") >= 2)
        dask.scheduler.kill()
        assert running.wait(60) == 1
        said = (tmp_path / "said").read_text()
        assert "Traceback" not in said
        assert f"{dask.place}: the scheduler was lost" in said
    assert 2 <= count(tmp_path / "scheduler") < 12
    again = ["--store", tmp_path / "scheduler", "--workers", 1, "--set", "seconds=0.4"]
    subprocess.run(run_words(tmp_path, *again), check=True)
    expected = Store(undisturbed).open().distance
    for store in ("worker", "scheduler"):
        np.testing.assert_array_equal(Store(tmp_path / store).open().distance, expected)


@pytest.mark.parametrize("place", ["dask://", "dask://host", "tcp://a:1", "slurm", "dask://a:b"])
def test_an_executor_of_another_kind_is_refused(place, tmp_path, command):
    written(tmp_path)
    system = f"{tmp_path / 'slow.py'}:slow"
    arguments = [tmp_path / "study.toml", "--store", tmp_path / "s", "--system", system]
    code, _, said = command("run", *arguments, f"--executor={place}")
    assert code == 2
    assert "expected dask://HOST:PORT, or mpi" in said


def test_processes_here_and_an_executor_elsewhere_are_not_both(tmp_path, command):
    written(tmp_path)
    arguments = ["run", tmp_path / "study.toml", "--store", tmp_path / "s", "--workers", 2]
    place = f"{tmp_path / 'slow.py'}:slow"
    code, _, said = command(*arguments, "--system", place, "--executor", "dask://127.0.0.1:1")
    assert code == 2
    assert "--workers 2: with --executor dask://127.0.0.1:1" in said
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("silent", [False, True])
def test_no_scheduler_is_said_within_seconds(silent, tmp_path, command, monkeypatch):
    written(tmp_path)
    monkeypatch.setattr(executors, "CONNECT_S", 0.5)
    system = f"{tmp_path / 'slow.py'}:slow"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # somebody else listens there, as Dask's dashboard
        if not silent:
            server.close()
        arguments = [tmp_path / "study.toml", "--store", tmp_path / "s", "--system", system]
        start = time.monotonic()
        code, _, said = command("run", *arguments, "--executor", f"dask://127.0.0.1:{port}")
    assert code == 2
    assert f"dask://127.0.0.1:{port}: no scheduler answers" in said
    assert time.monotonic() - start < 5
    assert not (tmp_path / "s").exists()


def test_other_versions_are_said(caplog):
    here = executors.versions()
    executors._compare("tcp://a:1", here)
    assert not caplog.text
    executors._compare("tcp://b:2", {**here, "numpy": "1.0"})
    assert f"worker tcp://b:2 has numpy 1.0, here {here['numpy']}" in caplog.text


# --- MPI ---


def test_mpi_that_nobody_started_is_refused(tmp_path, command):
    written(tmp_path)
    system = f"{tmp_path / 'slow.py'}:slow"
    arguments = [tmp_path / "study.toml", "--store", tmp_path / "s", "--system", system]
    code, _, said = command("run", *arguments, "--executor", "mpi")
    assert code == 2
    assert "mpi4py" in said


@needs_mpi
def test_mpi_gives_the_same_bits(tmp_path):
    (tmp_path / "study.toml").write_text(NETWORKS)
    serial = run(Study.from_toml(tmp_path / "study.toml"), tmp_path / "serial", executor=Serial())
    arguments = ["run", tmp_path / "study.toml", "--store", tmp_path / "mpi", "--quiet"]
    done = mpi(*arguments, "--executor", "mpi")
    assert done.returncode == 0, done.stderr
    xr.testing.assert_identical(Store(tmp_path / "mpi").open(), serial)
    other = mpi(*arguments, "--executor", "mpi", "--set", "seed=9")
    assert other.returncode == 2
    assert "belongs to another study" in other.stderr
