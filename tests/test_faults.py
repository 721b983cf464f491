"""Faults that happen: what dies, what fills up, what is lost, what is forged.

Many more kills are in test_faults_many.py.
"""

from __future__ import annotations

import concurrent.futures as cf
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from criticality import InputError, RunError, Store, Study, catalog, files, run
from tests import faults
from tests.faults import INT, KILL, STAND_IN, TERM, USR1, Case, Disturbed, Process, Tally, text

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")


def stand_in(name):
    return catalog.find(f"{STAND_IN}:{name}")


def short(name, **more):
    return Case(name=name, system="Nothing", study=text("nothing", 75, seconds=0.002), **more)


# --- kills ---


@pytest.mark.parametrize(
    "case",
    [
        short("in this process", torn=0.005),
        pytest.param(
            short("in workers", words=(("--workers", "2"),), targets=("parent", "worker")),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Case(
                name="long",
                system="Walk",
                study=text("long-walk", 1, values=3, units=5_000),
                words=(("--workers", "1"),),
                signals=(KILL, TERM, USR1),
                saved=0.05,
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda case: case.name,
)
def test_a_run_that_is_killed_some_times_ends_as_if_it_was_not(case, tmp_path):
    tally = Tally()
    Disturbed(case, tmp_path, seed=0).run(4, 4, tally)
    print(tally)


def test_a_dead_worker_costs_no_task_at_all(tmp_path):
    case = Case(
        name="killed",
        system="Nothing",
        study=text("nothing", 10, seconds=0.1),
        words=(("--workers", "2"),),
    )
    process = faults.start(case, tmp_path, tmp_path / "s", 0)
    while len(faults.lines_of(tmp_path / "s")) < 2:
        assert not process.ended(), process.said()
        time.sleep(0.01)
    victim = faults.workers_of(process.pid)[0]
    os.kill(victim, KILL)
    assert process.end() == 0, process.said()
    assert len(faults.lines_of(tmp_path / "s")) == 40
    study = Study(
        system=stand_in("Nothing")(seconds=0.1), grid={"x": [0.5]}, realizations=10, seed=3
    )
    alone = run(study, tmp_path / "alone", workers=1)
    xr.testing.assert_identical(
        alone["numbers"].isel(x=0), Store(tmp_path / "s").open()["numbers"].isel(x=0)
    )


def test_every_fault_costs_its_own_task_and_keeps_its_reason(tmp_path, monkeypatch):
    (tmp_path / "once").mkdir()
    monkeypatch.setenv("STAND_IN_ONCE", str(tmp_path / "once"))
    study = tmp_path / "faulty.toml"
    kinds = ["fine", "raises", "nan", "killed", "shape", "once"]
    study.write_text(f'system = "faulty"\nrealizations = 2\n[grid]\nkind = {kinds}\n')
    words = [sys.executable, "-m", "criticality", "run", str(study)]
    words += ["--store", str(tmp_path / "s"), "--system", f"{STAND_IN}:Faulty", "--workers", "2"]
    process = Process(words, tmp_path)
    assert process.end() == 1, process.said()
    assert "Traceback" not in process.said()
    ds = Store(tmp_path / "s").open()
    fine = ds["number"].notnull().all("realization")
    assert {str(kind) for kind in ds["kind"].values[fine.values]} == {"fine", "once"}
    reasons = reasons_in(tmp_path / "s")
    mine = [reason for own, reason in reasons if own]
    assert sum("this point has no solution" in reason for reason in mine) == 2
    assert sum("number has the shape (2,)" in reason for reason in mine) == 2
    assert [own for own, _ in reasons].count(False) == 2  # killed: the machine's
    done = subprocess.run(
        [*words[:3], "status", str(tmp_path / "s")], capture_output=True, text=True, check=False
    )
    assert all(
        word in done.stdout
        for word in ("this point has no solution", "number has the shape", "SIGKILL")
    ), done.stdout
    again = Process(words, tmp_path)
    assert again.end() == 1, again.said()
    assert "--retry-failed" in again.said()
    assert reasons_in(tmp_path / "s") == reasons
    counts = faults.lines_of(tmp_path / "s")
    last = Process([*words, "--retry-failed"], tmp_path)
    assert last.end() == 1, last.said()
    assert reasons_in(tmp_path / "s") == reasons  # the same faults, and no task more
    assert counts.keys() == faults.lines_of(tmp_path / "s").keys()


def reasons_in(path):
    store = Store(path)
    store.refresh()
    return sorted((one.own, one.reason) for one in store.failures().values())


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "code"), [((INT,), 130), ((INT, INT), 130), ((TERM,), 143)])
def test_a_signal_ends_a_run_soon_and_once(signals, code, tmp_path):
    case = Case(
        name="sleeps",
        system="Nothing",
        study=text("nothing", 10, seconds=0.5 if signals == (INT,) else 20.0),
        words=(("--workers", "2"),),
    )
    store = tmp_path / "s"
    process = faults.start(case, tmp_path, store, 0)
    end = time.monotonic() + 60
    while len(faults.workers_of(process.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(2.0)
    family = faults.below(process.pid)
    begun = time.monotonic()
    for name in signals:
        process.popen.send_signal(name)
        time.sleep(1.0)
    assert process.end(30) == code, process.said()
    assert time.monotonic() - begun < 15  # of 200 s of sleep
    assert "Traceback" not in process.said(), process.said()
    while any(Path(f"/proc/{pid}").exists() for pid in family):
        assert time.monotonic() - begun < 30, "workers stay behind"
        time.sleep(0.1)


# --- executors of others ---


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.slow  # test_executors has quicker ones
def test_an_executor_that_is_shut_down_under_a_run_is_an_error_and_no_wait(tmp_path):
    store, study = (
        tmp_path / "s",
        Study(system=stand_in("Nothing")(seconds=0.02), grid={"x": [0.0]}, realizations=300),
    )
    pool, came = cf.ThreadPoolExecutor(1), []

    def compute():
        try:
            run(study, store, executor=pool)
        except Exception as error:
            came.append(error)

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    while not faults.written(store):
        time.sleep(0.01)
    pool.shutdown(wait=False, cancel_futures=True)
    thread.join(30)
    assert not thread.is_alive()
    assert isinstance(came[0], RunError)
    done = len(faults.lines_of(store))
    assert 0 < done < 300
    ds = run(study, store, workers=1)
    xr.testing.assert_identical(ds, run(study, tmp_path / "alone", workers=1))


# --- disks ---


@pytest.mark.parametrize(
    ("system", "realizations", "megabytes"),
    [pytest.param("Large", 2, 2.0, marks=pytest.mark.slow), ("Nothing", 500, 0.4)],
)
def test_a_full_disk_is_an_error_and_the_run_goes_on_when_there_is_room(
    system, realizations, megabytes, tmp_path, capsys
):
    case = Case(name="full", system=system, study=text(system.lower(), realizations))
    with faults.disk(tmp_path / "disk", megabytes) as again:
        if again is None:
            with capsys.disabled():
                print(" not tested: mounting a small disk needs root")
            return
        store = tmp_path / "disk" / "s"
        for codes in ((1,), (1, 2)):  # also one that begins on a full disk
            process = faults.start(case, tmp_path, store, 0)
            assert process.end() in codes, process.said()
            assert "No space left" in process.said()
            assert "Traceback" not in process.said()
            assert len(process.said().splitlines()) < 12
            assert not list(store.rglob("*.tmp"))
        before = faults.lines_of(store)
        assert 0 < len(before) < 4 * realizations
        again("size=64m")
        process = faults.start(case, tmp_path, store, 0)
        assert process.end() == 0, process.said()
        faults.start(case, tmp_path, tmp_path / "whole", 0).end()
        faults.assert_whole(case, store, Store(tmp_path / "whole").open(), Tally())


def test_a_store_that_is_deleted_under_a_run_is_an_error(tmp_path):
    case = short("deleted")
    store = tmp_path / "s"
    process = faults.start(case, tmp_path, store, 0)
    while not faults.written(store):
        time.sleep(0.002)
    shutil.rmtree(store, ignore_errors=True)
    if store.exists():
        shutil.rmtree(store, ignore_errors=True)
    assert process.end() == 1, process.said()
    assert str(store) in process.said()
    assert "Traceback" not in process.said(), process.said()
    again = faults.start(case, tmp_path, store, 0)
    assert again.end() == 0, again.said()
    assert len(Store(store).entries()[0]) == 300


def test_a_store_that_becomes_read_only_is_an_error_and_the_run_goes_on_later(tmp_path, capsys):
    case = short("read-only")
    store = tmp_path / "s"
    process = faults.start(case, tmp_path, store, 0)
    while not faults.written(store):
        time.sleep(0.002)
    changed = subprocess.run(["chattr", "-R", "+i", str(store)], capture_output=True, check=False)
    try:
        code = process.end()
        if changed.returncode == 0 and code == 0:  # it was quicker
            assert len(faults.lines_of(store)) == 300
        elif changed.returncode == 0:
            assert code == 1, process.said()
            assert "Traceback" not in process.said(), process.said()
            later = faults.start(case, tmp_path, store, 0)  # read-only from the start
            assert later.end() in (1, 2), later.said()
            assert "Traceback" not in later.said(), later.said()
    finally:
        subprocess.run(["chattr", "-R", "-i", str(store)], capture_output=True, check=False)
    if changed.returncode:
        with capsys.disabled():
            print(" not tested: this file system or user has no immutable files")
    last = faults.start(case, tmp_path, store, 0)
    assert last.end() == 0, last.said()
    assert len(Store(store).entries()[0]) == 300


# --- two at once ---

EXTEND = """
import sys, time
from pathlib import Path
from criticality import Store, Study, catalog
kind = catalog.find(sys.argv[1])
number, folder = int(sys.argv[2]), Path(sys.argv[3])
for trial in range(int(sys.argv[4])):
    study = Study(system=kind(), grid={"x": [float(number)]})
    (folder / f"here-{number}-{trial}").touch()
    while not (folder / f"here-{1 - number}-{trial}").exists():
        pass
    Store(folder / f"{trial}").begin(study.plan())
"""


def test_two_extensions_at_the_same_moment_lose_nothing(tmp_path):
    trials = 30
    for trial in range(0, trials, 2):  # the others are new stores
        there = Study(system=stand_in("Nothing")(), grid={"x": [9.0]})
        Store(tmp_path / f"{trial}").begin(there.plan())
    words = [sys.executable, "-c", EXTEND, f"{STAND_IN}:Nothing"]
    both = [Process([*words, str(i), str(tmp_path), str(trials)], tmp_path) for i in range(2)]
    for process in both:
        assert process.end() == 0, process.said()
    for trial in range(trials):
        found = Store(tmp_path / f"{trial}").plan()["grid"]["x"]
        assert found == [0.0, 1.0, 9.0][: 2 + (trial % 2 == 0)]


# --- forged cards and results ---


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["axes"]["x"].update(scale=["log"]),
        lambda card: card["axes"]["x"].update(label={"a": 1}),
        lambda card: card["card"]["rules"][0].update(below=10**400),
        lambda card: card["card"].update(source="NESTED"),  # json.dumps could not write it
        lambda card: card["card"].update(classify="os:system", pages="antigravity:fly"),
    ],
    ids=["scale", "label", "rule", "depth", "functions"],
)
def test_a_card_that_was_changed_is_not_used_or_read_as_data(change, tmp_path, command):
    store = tmp_path / "s"
    run(Study(system=stand_in("Nothing")(), grid={"x": [0.0, 1.0]}, realizations=2), store)
    file = store / "card.json"
    card = json.loads(file.read_text())
    change(card)
    file.write_text(json.dumps(card).replace('"NESTED"', "[" * 100_000 + "]" * 100_000))
    for words in (("status", store), ("phases", store, "--draws", "20"), ("verify", store)):
        code, _, said = command(*words)
        assert code in (0, 1, 2)
        assert code == 0 or said.startswith("error: "), said
    assert "antigravity" not in sys.modules
    assert Store(store).open().sizes["x"] == 2


def forged(path, change):
    """Change a sealed netCDF file, and seal it again."""
    scratch = path.with_suffix(".scratch")
    scratch.write_bytes(bytes(files.unsealed(path)))
    with h5py.File(scratch, "r+") as file:
        change(file)
    content = scratch.read_bytes()
    scratch.unlink()
    path.write_bytes(content + files.seal([content]))


@pytest.mark.parametrize("way", ["external storage", "external link", "virtual"])
def test_a_forged_result_reads_no_other_file(way, tmp_path):
    secret = tmp_path / "secret.h5"
    numbers = np.arange(125_000.0)
    with h5py.File(secret, "w") as file:
        file["numbers"] = numbers
    raw = tmp_path / "secret.bin"
    raw.write_bytes(numbers.tobytes())

    def change(file):
        shape = file["numbers"].shape
        del file["numbers"]
        if way == "external storage":
            place = [(str(raw), 0, 8 * shape[0])]
            file.create_dataset("numbers", shape=shape, dtype="f8", external=place)
        elif way == "external link":
            file["numbers"] = h5py.ExternalLink(str(secret), "numbers")
        else:
            layout = h5py.VirtualLayout(shape=shape, dtype="f8")
            layout[:] = h5py.VirtualSource(str(secret), "numbers", shape=shape)
            file.create_virtual_dataset("numbers", layout)

    study = Study(system=stand_in("Large")(), grid={"x": [0.0]})
    whole = run(study, tmp_path / "s", workers=1)
    (path,) = (tmp_path / "s" / "results").glob("*.nc")
    forged(path, change)
    try:
        found = Store(tmp_path / "s").open()["numbers"].values
        assert not np.isin(found, numbers[1:]).any()
    except InputError as error:
        assert "damaged" in str(error)  # noqa: PT017
    xr.testing.assert_identical(run(study, tmp_path / "s", workers=1), whole)
    assert io.BytesIO(raw.read_bytes()).getbuffer().nbytes == numbers.nbytes
