"""A study that takes its time, and processes of others, for the tests of clusters."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from criticality import InputError, Store

SYSTEM = """
import time

from criticality import control, system


@system(observables={"distance": "from the start, after all steps"})
def slow(
    rng,
    drift=control(0.0, doc="mean of a step", interval="[-1, 1]"),
    seconds=control(0.0, doc="that it takes", interval="[0, inf)", shared=True),
):
    time.sleep(seconds)
    return {"distance": abs((drift + rng.normal(size=100)).sum())}
"""
STUDY = """
system = "slow"
realizations = 6
[grid]
drift = [0.0, 0.1]
"""


def written(folder: Path) -> Path:
    """Put the study of 12 tasks into a folder."""
    (folder / "slow.py").write_text(SYSTEM)
    (folder / "study.toml").write_text(STUDY)
    return folder


def words(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "criticality", *map(str, arguments)]


def run_words(folder: Path, *arguments: object) -> list[str]:
    """Command that runs the study of a folder."""
    place = f"{folder / 'slow.py'}:slow"
    return words("run", folder / "study.toml", "--system", place, "--quiet", *arguments)


def count(store: Path) -> int:
    """Results that are there."""
    try:
        return len(Store(store).entries()[0])
    except InputError:  # not begun
        return 0


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@contextlib.contextmanager
def process(*command: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Process that ends with the block; what it says goes into a file."""
    with log.open("w") as file:
        started = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.send_signal(signal.SIGKILL)
            started.wait()


class Dask:
    """A scheduler and two workers, each a process, over TCP on loopback."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        file, dask = folder / "scheduler.json", [sys.executable, "-m", "distributed.cli."]
        local = ["--host", "127.0.0.1", "--no-dashboard"]

        def start(name: str, *options: object) -> subprocess.Popen[bytes]:
            command = [*dask[:2], dask[2] + name, *local, *options]
            return stack.enter_context(process(*command, log=folder / f"{name}.txt"))

        self.scheduler = start("dask_scheduler", "--port", 0, "--scheduler-file", file)
        until(lambda: file.exists() and file.read_text().endswith("}"))
        tcp = json.loads(file.read_text())["address"]
        self.place = tcp.replace("tcp", "dask")
        worker = ["dask_worker", tcp, "--nthreads", 1, "--no-nanny", "--local-directory", folder]
        self.workers = [start(*worker) for _ in range(2)]


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    with contextlib.ExitStack() as stack:
        yield Dask(tmp_path, stack)


MPI_HERE = {  # of Open MPI: as root, more processes than cores, no network but loopback
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_btl": "self,vader,tcp",
    "OMPI_MCA_btl_tcp_if_include": "lo",
}


def mpi(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run criticality under `mpiexec -n 3`."""
    command = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", "-m", "criticality"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        env={**os.environ, **MPI_HERE},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
