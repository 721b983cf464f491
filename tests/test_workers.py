"""Worker processes: as many as the work is worth, one thread each, and gone with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
        for child in map(int, task.read_text().split()):
            found |= {child} | children(child)
    return found


def test_a_script_without_a_guard_runs_once(tmp_path):
    out, _ = started(tmp_path, 2).communicate(timeout=120)
    assert out.splitlines() == ["once", "0 0", "1 0", "2 0", "3 0", "4 0", "True"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_leave_with_their_parent(tmp_path, end):
    process = started(tmp_path, 2_000)
    for line in process.stdout:
        if line.startswith("4 "):
            break
    family = children(process.pid)
    assert len(family) >= 2
    process.send_signal(end)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(Path(f"/proc/{p}").exists() for p in family):
        time.sleep(0.2)
    left = [p for p in family if Path(f"/proc/{p}").exists()]
    process.kill()
    process.communicate()
    for p in left:
        os.kill(p, signal.SIGKILL)
    assert not left


def test_a_worker_computes_in_one_thread():
    with workers.pool(2) as pool:
        assert {pool.submit(os.getenv, "NPROC").result() for _ in range(4)} == {"1"}
        assert all(pool.submit(os.getpid).result() != os.getpid() for _ in range(4))
    with workers.pool(1) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()


def test_little_work_needs_few_workers(monkeypatch):
    monkeypatch.setattr(workers, "available_cores", lambda: 8)
    assert [workers.default_workers(w * workers.WORTHWHILE) for w in (0, 0.5, 1, 3.5, 100)] == [
        1,
        1,
        1,
        3,
        8,
    ]
