"""Worker processes: as many as the work is worth, one thread each, and gone with their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import xarray as xr

from criticality import RunError, Store, Study, catalog, run
from criticality.engine.stop import StoppedError
from criticality.study import workers

SCRIPT = """
from criticality import Study, run
from criticality.systems import DropoutNetwork

print("once", flush=True)  # and not again in every worker: there is no guard around this script
study = Study(system=DropoutNetwork.tiny(), grid={"p_train": [0.0, 0.5]}, realizations=REALIZATIONS)
ds = run(study, "store", workers=2, watch=lambda p: print(p.done, p.failed, flush=True))
print(ds["loss"].notnull().all().item(), flush=True)
"""


def started(folder: Path, realizations: int) -> subprocess.Popen:
    (folder / "script.py").write_text(SCRIPT.replace("REALIZATIONS", str(realizations)))
    return subprocess.Popen(
        [sys.executable, "script.py"], cwd=folder, stdout=subprocess.PIPE, text=True
    )


def children(process: int) -> set[int]:
    """Processes below a process, at any depth."""
    found: set[int] = set()
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, task.read_text().split()):
                found |= {child} | children(child)
    return found


def test_a_script_without_a_guard_runs_once(tmp_path):
    out, _ = started(tmp_path, 2).communicate(timeout=120)
    assert out.splitlines() == ["once", "0 0", "1 0", "2 0", "3 0", "4 0", "True"]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


PROC = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")


@PROC
@pytest.mark.parametrize(
    "end", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_workers_leave_with_their_parent(tmp_path, end):
    process = started(tmp_path, 2_000)
    for line in process.stdout:
        if line.startswith("4 "):
            break
    family = children(process.pid)
    assert len(family) >= 2
    process.send_signal(end)
    gone = wait_until(lambda: not any(map(alive, family)), 20)
    process.kill()
    process.communicate()
    assert gone


BUSY = """
import time
from criticality.study import workers

try:
    with workers.pool(2) as pool:
        futures = [pool.submit(time.sleep, 60) for _ in range(12)]
        pool.submit(int).done()
        raise OSError("disk full")
except OSError:
    print("stopped", flush=True)
"""


@PROC
def test_long_trainings_are_not_waited_for():
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60, check=True
    )
    assert time.monotonic() - start < 20  # of 12 minutes of sleep for each of two workers
    assert done.stdout == "stopped\n"
    assert not done.stderr


def pid(seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return os.getpid()


@PROC
def test_a_worker_dies_alone_and_another_takes_its_place():
    with workers.pool(2) as pool:
        first = {future.result() for future in [pool.submit(pid, 0.5) for _ in range(2)]}
        assert len(first) == 2
        calls = [pool.submit(pid, 3.0) for _ in range(2)]
        time.sleep(0.5)
        killed = min(first)
        os.kill(killed, signal.SIGKILL)
        ends = [call.exception() for call in calls]
        (died,) = [end for end in ends if end is not None]
        assert isinstance(died, workers.DiedError)
        assert "SIGKILL" in str(died)
        (other,) = [call.result() for call in calls if call.exception() is None]
        assert other in first - {killed}
        after = {future.result() for future in [pool.submit(pid, 0.5) for _ in range(2)]}
        assert other in after
        assert killed not in after
        assert len(after) == 2


@PROC
def test_a_worker_that_dies_while_it_has_nothing_to_do_costs_nothing():
    with workers.pool(2) as pool:
        for _ in range(3):
            idle = pool.submit(pid).result()
            os.kill(idle, signal.SIGKILL)
            assert wait_until(lambda idle=idle: not alive(idle), 5)
            time.sleep(0.1)
            assert pool.submit(pid).result() != idle


@PROC
def test_a_worker_that_its_scheduler_ends_is_replaced_and_its_calls_are_made():
    with workers.pool(2, savable=True) as pool:
        told = pool.submit(pid).result()
        os.kill(told, signal.SIGTERM)
        time.sleep(0.1)
        # it is asked between two slices, as here: at its next call
        found = [pool.submit(stopping).result() for _ in range(6)]
        assert told not in found


def stopping() -> int:
    from criticality.engine import stop

    stop.current().check()
    return os.getpid()


DEADLY = """
import os, signal, time
from criticality import control, system

@system(observables={"m": "standard normal"})
def deadly(rng, x=control(0), seconds=control(0.1)):
    with open("begun", "a") as file:
        file.write(f"{x} {os.getpid()}\\n")
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)
    return {"m": rng.normal()}
"""


@PROC
def test_a_task_that_kills_its_worker_is_tried_three_times_and_costs_no_other(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("deadly.py").write_text(DEADLY)
    kind = catalog.find("deadly.py:deadly")
    study = Study(system=kind(), grid={"x": range(12)})
    with pytest.raises(RunError, match=r"1 of 12 tasks failed[\s\S]*killed \(SIGKILL.*3 times"):
        run(study, "s", workers=2)
    begun = [int(line.split()[0]) for line in Path("begun").read_text().splitlines()]
    assert begun.count(3) == 3
    assert all(begun.count(x) == 1 for x in range(12) if x != 3)
    store = Store("s")
    assert len(store.entries()[0]) == 11
    (failure,) = store.failures().values()
    assert not failure.own  # memory, perhaps: another machine may have more
    assert "SIGKILL" in failure.reason


@PROC
@pytest.mark.slow
def test_killed_workers_cost_their_own_tasks_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("deadly.py").write_text(DEADLY.replace("if x == 3", "if x < 0"))
    kind = catalog.find("deadly.py:deadly")
    study = Study(system=kind(seconds=0.3), grid={"x": range(24)})
    kills = []

    def watch(progress):
        if progress.done in (3, 6, 10, 15):
            lines = Path("begun").read_text().splitlines()
            for line in lines[::-1]:
                process = int(line.split()[1])
                if process not in kills and alive(process):
                    os.kill(process, signal.SIGKILL)
                    kills.append(process)
                    break

    ds = run(study, "s", workers=2, watch=watch)
    assert len(kills) == 4
    begun = [int(line.split()[0]) for line in Path("begun").read_text().splitlines()]
    assert len(begun) <= 24 + 4
    xr.testing.assert_identical(ds, run(study, "whole", workers=1))


def compute_threads() -> int:
    """Threads of XLA's pool in this process, once it has computed something."""
    import jax.numpy as jnp

    jnp.ones(3).sum().block_until_ready()
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return sum(name.startswith("tf_XLAEigen") for name in names)


@PROC
def test_a_worker_computes_in_one_thread(monkeypatch):
    monkeypatch.delenv("NPROC", raising=False)  # as the workers of the tests have it
    with workers.pool(2) as pool:
        assert {pool.submit(compute_threads).result() for _ in range(4)} == {1}
        assert all(pool.submit(os.getpid).result() != os.getpid() for _ in range(4))
    with workers.pool(1) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()


def test_little_work_needs_few_workers_and_many_tasks_more(monkeypatch):
    monkeypatch.setattr(workers, "available_cores", lambda: 8)

    def of(flop, count=1):
        system = SimpleNamespace(work=lambda: flop * workers.WORTHWHILE)
        return workers.default_workers([SimpleNamespace(system=system)] * count)

    assert [of(flop) for flop in (0, 0.5, 1, 3.5, 100)] == [1, 1, 1, 3, 8]
    assert of(0, count=3_000) == 8  # however small, each takes its time
    unknown = SimpleNamespace(compute=None)  # a plain function, of which nothing is known
    assert workers.default_workers([SimpleNamespace(system=unknown)]) == 8


def half_sent() -> bytes:
    """Die in the middle of sending what this gives."""
    from multiprocessing.connection import Connection

    def send(self, content, write=None):
        os.write(self.fileno(), bytes(content[: len(content) // 2]))
        os.kill(os.getpid(), signal.SIGKILL)

    Connection._send = send
    return bytes(1_000_000)


@PROC
def test_a_worker_that_dies_while_it_sends_a_result_is_noticed():
    with workers.pool(2) as pool:
        with pytest.raises(workers.DiedError, match="SIGKILL"):
            pool.submit(half_sent).result(timeout=30)
        assert pool.submit(os.getpid).result(timeout=30) != os.getpid()
    with workers.pool(2) as pool:  # nor does its end wait for it
        future = pool.submit(half_sent)
        while not future.running():
            time.sleep(0.01)
        time.sleep(0.5)
    assert isinstance(future.exception(timeout=30), workers.DiedError | StoppedError)
