"""Runs on one store share its work, and each ends with all of it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from criticality import RunError, Store, Study, control, run, system
from criticality.study import journal
from criticality.study.sharing import Share

SLEEPER = """
import time
from criticality import control, system

@system(observables={"m": "standard normal"})
def sleeper(rng, x=control(0), seconds=control(0.05)):
    time.sleep(seconds)
    return {"m": rng.normal()}
"""


def lines(store: str | Path, kind: str) -> Counter[str]:
    """How often each key stands in lines of this kind."""
    found: Counter[str] = Counter()
    for path in (Path(store) / "results").glob(f"*{journal.SUFFIX}"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n") and kind in (content := journal.unsealed(line)):
                keys = content[kind]
                found.update(keys if isinstance(keys, list) else [keys])
    return found


@system(observables={"m": "standard normal"})
class Drawn:
    x: int = control(0)

    def compute(self, rng, data):
        return {"m": rng.normal()}


def study(points: int) -> Study:
    return Study(system=Drawn(), grid={"x": range(points)})


def begun(folder: Path, points: int, runs: int) -> list[Share]:
    """Runs on one store, of which each has its own view of it."""
    plan = study(points)
    Store(folder).begin(plan.plan())
    shares = []
    for _ in range(runs):
        store = Store(folder)
        store.refresh()
        shares.append(Share(store, journal.Journal(folder / "results"), plan.tasks()))
    return shares


@pytest.mark.parametrize("seed", range(3))
def test_what_runs_take_is_disjoint_and_all(seed, tmp_path):
    shares, chance = begun(tmp_path / "s", 60, 3), random.Random(seed)
    taken: Counter[str] = Counter()
    idle = 0
    while idle < 20:
        share = chance.choice(shares)
        batch = share.batch(lambda left: chance.randint(1, 5), chance.randint(0, 8))
        taken.update(task.key for task in batch)
        idle = 0 if batch else idle + 1
    assert set(taken) == {task.key for task in study(60).tasks()}
    assert set(taken.values()) == {1}
    for share in shares:
        assert share.left == 0
        assert share.runs == 2


class Late(journal.Journal):
    """Of a run that looks, and claims only after another has: both claim the same."""

    other: Share

    def claim(self, keys):
        if self.other.left == 60:
            self.batch = self.other.batch(lambda left: 10, 10)
        return super().claim(keys)


def test_of_two_that_claim_at_once_the_first_keeps_the_task(tmp_path):
    (first,) = begun(tmp_path / "s", 60, 1)
    store = Store(tmp_path / "s")
    late = Late(tmp_path / "s" / "results")
    late.other = first
    second = Share(store, late, study(60).tasks())
    batch = second.batch(lambda left: 10, 10)
    assert len(late.batch) == 10
    assert {task.key for task in batch}.isdisjoint(task.key for task in late.batch)
    assert {task.key for task in late.batch} == second.others.keys()
    assert sum(lines(tmp_path / "s", "release").values()) == 10


def test_what_another_has_done_or_given_up_is_seen(tmp_path):
    first, second = begun(tmp_path / "s", 6, 2)
    mine = first.batch(lambda left: 4, 4)
    assert len(second.batch(lambda left: 6, 6)) == 2
    assert second.others.keys() == {task.key for task in mine}
    store, other = first._store, first._journal
    about = {"wall_seconds": 1.0, "compile_seconds": 0.0}
    store.write(mine[0], {"m": np.float64(1.0)}, about, other)
    other.fail(mine[1].key, "no such lattice", own=True, about={})
    other.fail(mine[2].key, "no memory", own=False, about={})
    done, failed = second.settled()
    assert done == [mine[0]]
    assert [(task, failure.reason) for task, failure in failed] == [(mine[1], "no such lattice")]
    assert second.left == 1  # the machine was to blame; this is another
    assert second.others.keys() == {mine[3].key}
    other.close()
    assert second.settled() == ([], [])
    free = [*second.batch(lambda left: 6, 6), *second.batch(lambda left: 6, 6)]
    assert {task.key for task in free} == {mine[2].key, mine[3].key}


def started(store: str, points: int, seconds: float, workers: int) -> subprocess.Popen[str]:
    Path("sleeper.py").write_text(SLEEPER)
    Path("study.toml").write_text(f'system = "sleeper"\n[grid]\nx = {list(range(points))}\n')
    command = [sys.executable, "-m", "criticality", "run", "study.toml", "--store", store]
    options = ["--system", "sleeper.py:sleeper", "--workers", str(workers), "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = [*command, *options, "--set", f"seconds={seconds}"]
    return subprocess.Popen(words, **pipes, text=True)


@pytest.mark.parametrize(
    ("seconds", "workers"), [(0.05, 1), pytest.param(0.001, 2, marks=pytest.mark.slow)]
)
def test_three_runs_compute_every_task_once_and_each_has_all(
    seconds, workers, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    points = int(10 / seconds)
    runs = [started("s", points, seconds, workers) for _ in range(3)]
    for process in runs:
        out, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert json.loads(out)["done"] == points
    written = lines("s", "result")
    assert len(written) == points
    # a few at the very start at most: claims are no locks
    assert sum(written.values()) - points <= 2
    assert len(list(Path("s/results").iterdir())) == 3


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_its_work_to_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [started("s", 150, 0.1, 1) for _ in range(3)]
    deadline = time.monotonic() + 60
    results = Path("s/results")
    while not results.exists() or len(list(results.iterdir())) < 3 or len(lines("s", "result")) < 9:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(runs[1].pid, signal.SIGKILL)
    killed = time.monotonic()
    for process in (runs[0], runs[2]):
        out, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert json.loads(out)["done"] == 150
    runs[1].communicate()
    assert time.monotonic() - killed < journal.EXPIRES_S / 2  # its end is seen on this machine
    written = lines("s", "result")
    assert len(written) == 150
    assert sum(written.values()) - 150 <= 2
    store = Store("s")
    assert not store.claims()


def test_claims_of_a_run_that_is_not_heard_of_expire(tmp_path, monkeypatch):
    plan = study(5)
    folder = tmp_path / "s"
    Store(folder).begin(plan.plan())
    elsewhere = journal.Journal(folder / "results")
    monkeypatch.setattr(journal, "_here", lambda: {"host": "far", "process": 1, "machine": "far"})
    elsewhere.claim([task.key for task in plan.tasks()[:3]])
    store = Store(folder)
    store.refresh()
    assert len(store.claims()) == 3
    old = time.time() - journal.EXPIRES_S - 1
    os.utime(elsewhere.path, (old, old))
    assert run(plan, folder, workers=1)["m"].notnull().all()


@system(observables={"m": "a number, or none"})
class Sometimes:
    x: int = control(0)

    def compute(self, rng, data):
        time.sleep(0.01)
        return {"m": np.nan if self.x % 3 == 0 else self.x}


def test_threads_share_a_store_and_each_tells_all_that_is_not_finite(tmp_path):
    store, said = Store(tmp_path / "s"), []
    plan = Study(system=Sometimes(), grid={"x": range(150)})

    def compute():
        with pytest.raises(RunError) as error:
            run(plan, store, workers=1)
        said.append(str(error.value))

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [text[:22] for text in said] == ["50 of 150 tasks failed"] * 2
    assert not store.damaged()
    assert len(list((tmp_path / "s" / "results").iterdir())) == 2


def test_a_run_in_a_thread_begins_after_a_signal_has_ended_another(tmp_path):
    def stop(progress):
        if progress.done:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit):
        run(study(200), tmp_path / "s", workers=1, watch=stop)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(run(study(3), tmp_path / "t", workers=1)["m"].notnull().all())
    )
    thread.start()
    thread.join(60)
    assert found == [True]


def test_lanes_leave_a_share_to_the_other_runs(tmp_path):
    first, second = begun(tmp_path / "s", 60, 2)
    assert len(first.batch(lambda left: 7, 0)) == 7
    assert second.batch(lambda left: 5, 0)
    assert second.runs == 1
    asked = []
    second.batch(lambda left: asked.append(left) or 5, 0)
    assert max(asked) <= 30
