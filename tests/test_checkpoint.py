"""Checkpoints: an interrupted realization goes on where it was, with the same bits."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from criticality import RunError, Store, Study, data, files, run
from criticality.base import Card, Observable, Task, canonical, control
from criticality.cli.store import report
from criticality.engine import checkpoint, ensemble, lanes
from criticality.engine.checkpoint import Checkpoints
from criticality.systems import DropoutNetwork
from tests.test_executors import Serial

UNITS = 40


class WalkState(NamedTuple):
    count: jax.Array
    key: jax.Array
    place: jax.Array
    coarse: jax.Array
    nothing: jax.Array


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A random walk whose every step depends on all before, with leaves of many types."""

    card: ClassVar[Card] = Card(
        name="walk",
        source="a system that an interruption would change if anything were lost",
        observables=(
            Observable(name="count", doc="advances"),
            Observable(name="place", dims=("axis",), doc="where it is"),
        ),
    )

    units: int = control(UNITS, symbol="u", doc="units of work", interval="[0, inf)")

    def inner(self):
        return {"axis": (0.0, 1.0, 2.0)}

    def work(self):
        return 1.0

    def begin(self, key, data):
        zeros = jnp.zeros(3)
        return WalkState(jnp.int32(0), key, zeros, zeros.astype(jnp.bfloat16), jnp.zeros((0, 2)))

    def advance(self, state, data):
        key = jax.random.fold_in(state.key, state.count)
        place = 1.5 * jnp.sin(state.place) + jax.random.normal(key, (3,))
        coarse = state.coarse + place.astype(jnp.bfloat16)
        return WalkState(state.count + 1, key, place + coarse, coarse, state.nothing)

    def finished(self, state):
        return state.count >= self.units

    def observe(self, state, data):
        return {"count": state.count, "place": state.place}


def walks(*units):
    return [
        Task(system=canonical(Walk(), units=u), seed=0, realization=r, checksum="none")
        for r, u in enumerate(units)
    ]


class InterruptedRunError(Exception):
    pass


@pytest.fixture
def always(monkeypatch):
    """Saves after every slice or round."""
    monkeypatch.setattr(checkpoint, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))


@pytest.fixture
def interrupt(always, monkeypatch):
    """Call it to stop whatever computes after some number of saves; None never stops it.

    What it gives is filled with the advances that this process had made at every save.
    """
    real = Checkpoints.save

    def after(saves):
        made = []

        def save(self, states):
            states = list(states)
            real(self, states)
            made.append({number: advances for number, _, advances, _ in states})
            if len(made) == saves:
                raise InterruptedRunError

        monkeypatch.setattr(Checkpoints, "save", save)
        return made

    return after


def assert_identical(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


DROPOUT = Task(system=canonical(DropoutNetwork.tiny()), seed=0, realization=0, checksum="synthetic")
EITHER = pytest.mark.parametrize("task", [*walks(UNITS), DROPOUT], ids=["walk", "dropout"])


def arrays_for(task):
    return data.load("synthetic").arrays() if task is DROPOUT else {}


def total(task):
    return UNITS if task is not DROPOUT else task.system.max_epochs


@EITHER
@pytest.mark.parametrize("seconds", [0.0, float("inf")], ids=["of one advance", "doubling"])
def test_slices_of_any_length_give_the_same_bits(task, seconds, interrupt, monkeypatch, tmp_path):
    (whole,) = ensemble.realize([task], arrays_for(task))
    monkeypatch.setattr(ensemble, "SLICE_S", seconds)
    made = interrupt(None)
    kept = Checkpoints(str(tmp_path / "c"), [task])
    ((_, sliced),) = ensemble.stream([task], arrays_for(task), kept=kept)
    assert_identical(sliced, whole)
    ends = [saved[0] for saved in made]
    one_by_one, doubling = range(1, 99), [1, 3, 7, 15, 31]
    expected = [n for n in (doubling if seconds else one_by_one) if n < total(task)]
    assert ends == [*expected, total(task)]


@EITHER
@pytest.mark.parametrize("saves", [1, 2])
def test_an_interrupted_realization_goes_on_where_it_was(task, saves, interrupt, tmp_path, caplog):
    (whole,) = ensemble.realize([task], arrays_for(task))
    made = interrupt(saves)
    with pytest.raises(InterruptedRunError):
        list(ensemble.stream([task], arrays_for(task), 1, Checkpoints(str(tmp_path), [task])))
    before = made[-1][0]
    assert 0 < before < total(task)
    caplog.set_level(logging.INFO, logger="criticality")
    made = interrupt(None)
    kept = Checkpoints(str(tmp_path), [task])
    ((_, result),) = ensemble.stream([task], arrays_for(task), 1, kept)
    assert_identical(result, whole)
    assert kept.earlier[0][0] == before
    assert f"goes on after {before} advances" in caplog.text
    assert made[-1][0] == total(task) - before  # those that this process made


def test_a_realization_interrupted_many_times_counts_all_of_its_advances(interrupt, tmp_path):
    tasks = walks(UNITS)
    (whole,) = ensemble.realize(tasks, {})
    for _ in range(5):  # slices of 1 and 2 advances
        interrupt(2)
        with pytest.raises(InterruptedRunError):
            list(ensemble.stream(tasks, {}, 1, Checkpoints(str(tmp_path), tasks)))
    kept = Checkpoints(str(tmp_path), tasks)
    interrupt(None)
    ((_, result),) = ensemble.stream(tasks, {}, 1, kept)
    assert kept.earlier[0][0] == 15
    assert kept.earlier[0][1] > 0
    assert_identical(result, whole)


def saved(tmp_path, task, change=lambda leaves: leaves):
    """Checkpoint of a walk after one advance, changed."""
    kept = Checkpoints(str(tmp_path), [task])
    begun = task.system.begin(jax.random.key(5), {})
    kept.save([(0, change(checkpoint.leaves(task.system.advance(begun, {}))), 1, 2.5)])
    return files.checkpoint(tmp_path, task.key)


def test_a_state_that_was_saved_stands_in_place_of_a_new_one(tmp_path):
    (task,) = walks(UNITS)
    (whole,) = ensemble.realize([task], {})
    saved(tmp_path, task)  # of another root key
    kept = Checkpoints(str(tmp_path), [task])
    ((_, result),) = ensemble.stream([task], {}, 1, kept)
    assert kept.earlier[0] == (1, 2.5)
    assert result["count"] == UNITS
    assert not np.array_equal(result["place"], whole["place"])


def flipped(path, task):
    content = bytearray(path.read_bytes())
    content[-files.SEAL - 8] ^= 1  # in a leaf
    path.write_bytes(content)


def shorter(path, task):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path, task):
    path.write_bytes(b"")


def of_another_task(path, task):
    other = Task(system=task.system, seed=1, realization=0, checksum="none")
    shutil.copy(saved(path.parent, other), path)


def of_another_shape(path, task):
    saved(path.parent, task, lambda leaves: leaves | {".place": np.zeros(4, np.float32)})


def of_another_type(path, task):
    saved(path.parent, task, lambda leaves: leaves | {".place": np.zeros(3, np.int32)})


def of_other_leaves(path, task):
    saved(path.parent, task, lambda leaves: {f"{name}_": x for name, x in leaves.items()})


def of_no_progress(path, task):
    content = path.read_bytes()[: -files.SEAL]
    at = content.index(b"\n") + 1
    content = content[:at] + np.array([np.nan, -1.0]).tobytes() + content[at + 16 :]
    path.write_bytes(content + files.seal([content]))


def another_kind_of_file(path, task):
    path.write_bytes(b"[1]\nsealed" + files.seal([b"[1]\nsealed"]))


def a_folder(path, task):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        shorter,
        empty,
        of_another_task,
        of_another_shape,
        of_another_type,
        of_other_leaves,
        of_no_progress,
        another_kind_of_file,
        a_folder,
    ],
)
@pytest.mark.parametrize("width", [1, 2])
def test_a_checkpoint_that_is_not_whole_and_ours_is_ignored_with_a_word(
    damage, width, tmp_path, caplog
):
    tasks = walks(UNITS, 3)
    whole = ensemble.realize(tasks, {}, width)
    damage(saved(tmp_path, tasks[0]), tasks[0])
    kept = Checkpoints(str(tmp_path), tasks)
    results = dict(ensemble.stream(tasks, {}, width, kept))
    assert "is not used" in caplog.text
    assert not kept.earlier
    for number in range(2):
        assert_identical(results[number], whole[number])


@pytest.mark.parametrize("name", ["criticality", "jax", "jaxlib"])
def test_a_checkpoint_of_other_versions_is_ignored(name, tmp_path, monkeypatch, caplog):
    (task,) = walks(UNITS)
    path = saved(tmp_path, task)
    real = checkpoint.importlib.metadata.version
    monkeypatch.setattr(
        checkpoint.importlib.metadata, "version", lambda n: "0.0" if n == name else real(n)
    )
    kept = Checkpoints(str(tmp_path), [task])
    like = checkpoint.leaves(task.system.begin(jax.random.key(0), {}))
    assert kept.load(0, like) is None
    assert f"{path} is not used: it has another {name}" in caplog.text
    monkeypatch.undo()
    assert kept.load(0, like) is not None


@pytest.mark.parametrize("width", [1, 2])
def test_a_folder_that_cannot_be_had_is_told_once_and_stops_nothing(
    width, always, tmp_path, caplog
):
    tasks = walks(UNITS, 3)
    (tmp_path / "file").touch()
    for place in ("absent/checkpoints", "file"):
        caplog.clear()
        for _ in range(2):
            kept = Checkpoints(str(tmp_path / place), tasks)
            results = dict(ensemble.stream(tasks, {}, width, kept))
            assert [int(results[i]["count"]) for i in range(2)] == [UNITS, 3]
        warnings = [r for r in caplog.records if r.levelname == "WARNING"]
        assert len(warnings) == 1
        assert "no checkpoints" in warnings[0].getMessage()
    assert not (tmp_path / "absent").exists()  # another machine's disk is left alone


def test_nothing_is_saved_before_its_time_and_slow_disks_are_spared(monkeypatch, tmp_path):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(checkpoint, "time", clock)
    (task,) = walks(3)
    kept = Checkpoints(str(tmp_path), [task])
    assert not Checkpoints(None, [task]).due()

    def next_after(seconds):
        def slowly():
            clock.now += seconds
            yield from ()

        kept.save(slowly())
        start, clock.now = clock.now, clock.now + 29.0
        while not kept.due():
            clock.now += 1
        return clock.now - start

    assert next_after(0.1) == 30
    assert next_after(6.0) == 300  # a fiftieth of the time


TOGETHER = [
    canonical(DropoutNetwork.tiny(), p_train=p, max_epochs=e)
    for p, e in [(0.1, 7), (0.5, 1), (0.0, 6), (0.9, 2), (0.2, 5)]
]


@pytest.mark.parametrize("system", ["walk", "dropout"])
@pytest.mark.parametrize("saves", [1, 3, 6])
def test_lanes_go_on_where_they_were(system, saves, interrupt, tmp_path, monkeypatch):
    tasks, arrays = walks(9, 2, 0, 7, 5, 5), {}
    if system == "dropout":
        arrays = data.load("synthetic").arrays()
        tasks = [
            Task(system=s, seed=i, realization=i, checksum="synthetic")
            for i, s in enumerate(TOGETHER)
        ]
    whole = ensemble.realize(tasks, arrays, width=2)
    made = interrupt(saves)
    with pytest.raises(InterruptedRunError):
        for _ in ensemble.stream(tasks, arrays, 2, Checkpoints(str(tmp_path), tasks)):
            pass
    under_way = made[-1]
    advances = []
    real = lanes.Ensemble.advance
    monkeypatch.setattr(lanes.Ensemble, "advance", lambda *a: (advances.append(1), real(*a))[1])
    made = interrupt(None)
    kept = Checkpoints(str(tmp_path), tasks)
    results = dict(ensemble.stream(tasks, arrays, 2, kept))
    for number, one in enumerate(whole):
        assert_identical(results[number], one)
    for number, before in under_way.items():
        assert kept.earlier[number][0] == before
        here = max(saved.get(number, 0) for saved in made)
        name = "count" if system == "walk" else "epochs"
        assert before + here == int(whole[number][name])


def test_a_run_goes_on_from_checkpoints_and_removes_them(interrupt, tmp_path, tiny_study):
    whole = run(tiny_study, tmp_path / "whole")
    interrupt(4)
    store = Store(tmp_path / "s")
    with pytest.raises(RunError, match="1 of 8 tasks failed"):
        run(tiny_study, store, executor=Serial())
    assert store.begun() == 1
    (left,) = store.checkpoints.iterdir()
    killed = left.with_name(f"{left.name}.9-abcd.tmp")
    killed.write_bytes(b"what a kill leaves")
    os.utime(killed, (0, 0))
    interrupt(None)
    whole_again = run(tiny_study, store, executor=Serial(), retry_failed=True)
    xr.testing.assert_identical(whole_again, whole)
    assert store.begun() == 0
    assert not list(store.checkpoints.iterdir())
    resumed = [entry.attributes["resumed_after"] for entry in store.entries()[0]]
    assert sorted(resumed) == [0] * 7 + [1]


def test_a_checkpoint_of_a_task_that_is_done_is_removed(tiny_study, tmp_path, always):
    store = Store(tmp_path / "s")
    run(tiny_study, store)
    path = files.checkpoint(store.checkpoints, tiny_study.tasks()[0].key)
    path.write_bytes(b"left by a kill between the result and this")
    assert store.begun() == 0
    run(tiny_study, store)
    assert not path.exists()


def test_short_realizations_leave_no_trace(tiny_study, tmp_path):
    run(tiny_study, tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "card.json",
        "results",
        "study.json",
    ]


STUDY = """
system = "dropout"
[controls]
dataset = "synthetic"
n_train = 800
n_validation = 100
width = 12
batch_size = 32
max_epochs = 4000
patience = 4000
p_eval = [0.0, 0.5]
"""
COMMAND = """
import sys
from criticality.cli import main
from criticality.engine import checkpoint, ensemble
checkpoint.CHECKPOINT_S, checkpoint.SHARE, ensemble.SLICE_S = 0.05, 1.0, 0.02
main()
"""


def test_killed_in_the_middle_of_a_realization_it_goes_on_from_there(tmp_path, capsys, caplog):
    file, store = tmp_path / "study.toml", Store(tmp_path / "s")
    file.write_text(STUDY)
    words = [sys.executable, "-c", COMMAND, "run", str(file), "--store", str(store.path)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*words, "--workers", "1"], **silent)
    deadline, seen = time.monotonic() + 120, set()
    while time.monotonic() < deadline and process.poll() is None and len(seen) < 2:
        time.sleep(0.005)
        for path in store.checkpoints.glob(f"*{files.CHECKPOINT}"):
            with contextlib.suppress(FileNotFoundError):  # the run has ended
                seen.add(path.stat().st_mtime_ns)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    store.refresh()
    assert len(store) == 0, "the kill came too late to be a test"
    report(store, True)
    status = json.loads(capsys.readouterr().out)
    assert (status["begun"], status["done"]) == (1, 0)
    report(store, False)
    assert "1 more begun" in capsys.readouterr().out
    study = Study.from_toml(file)
    caplog.set_level(logging.INFO, logger="criticality")
    resumed = run(study, store)
    ((entry,), _) = store.entries()
    assert 10 < entry.attributes["resumed_after"] < 4000
    assert f"goes on after {entry.attributes['resumed_after']} advances" in caplog.text
    assert store.begun() == 0
    whole = run(study, tmp_path / "whole")
    assert whole["epochs"] == 4000
    xr.testing.assert_identical(resumed, whole)
