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

from criticality.study import workers
from tests.interrupts import interrupt

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
    gone = False
    for _ in range(3):  # an interrupt that falls into a garbage collection is lost in Python
        process.send_signal(end)
        gone = gone or wait_until(lambda: not any(map(alive, family)), 10)
    process.kill()
    process.communicate()
    assert gone


BUSY = """
import time
from criticality.study import workers
from tests.interrupts import interrupt

try:
    with workers.pool(2) as pool:
        futures = [pool.submit(time.sleep, 60) for _ in range(12)]
        pool.submit(int).done()
        print("busy", flush=True)
        if ENDS:
            raise OSError("disk full")
        for future in futures:
            future.result()
except (OSError, KeyboardInterrupt):
    print("stopped", flush=True)
"""


@PROC
@pytest.mark.parametrize("ends", [True, False], ids=["error", "interrupt"])
def test_long_trainings_are_not_waited_for(tmp_path, ends):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY.replace("ENDS", str(ends))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "busy\n"
    if not ends:
        assert wait_until(lambda: len(children(process.pid)) >= 2)
    start, took = time.monotonic(), 1
    if not ends:
        took = interrupt(process)
    out, error = process.communicate(timeout=60)
    assert time.monotonic() - start < 20  # of 12 minutes of sleep for each of two workers
    assert out == "stopped\n"
    assert not error or took > 1


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
