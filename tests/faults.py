"""Faults from outside: runs that are killed at random moments, and what must hold of their stores.

A `Case` is a way to run a study: `start` gives processes as a user has them.  `Disturbed` kills,
waits, goes on, and at last finishes; after every kill the store must hold nothing that an
undisturbed run has not given bit for bit, and at the end all of it, each result once and nothing
else.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from criticality import InputError, Store

STAND_IN = Path(__file__).parent / "stand_in.py"
PATIENCE_S = 120.0  # for a process that should end by itself
KILL, TERM, INT, USR1 = signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
# what a process that was told to end, and not killed, exits with
ENDS = {TERM: 143, USR1: 138, INT: 130}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A way to run a study.

    Attributes
    ----------
    system, study
        Which stand-in, and the text of the study file.
    words
        What the command is given beyond study, store and system; of each process that runs.
    targets
        Whom a kill may hit: "parent" is a process that was started here, "worker" one below it.
    signals
        That a parent gets; a worker is killed.
    torn
        Seconds that every write to a file takes, in two halves; so that kills hit writes.
    """

    name: str
    system: str
    study: str
    words: tuple[tuple[str, ...], ...] = (("--workers", "1"),)
    targets: tuple[str, ...] = ("parent",)
    signals: tuple[signal.Signals, ...] = (KILL, KILL, TERM, USR1, INT)
    torn: float = 0.0
    saved: float = 0.0


@dataclass
class Tally:
    """What was done: kills by case, target and signal; how many hit a write; what came of them."""

    kills: Counter[tuple[str, str, str]] = field(default_factory=collections.Counter)
    late: int = 0
    in_writes: Counter[str] = field(default_factory=collections.Counter)
    resumed: int = 0  # runs that went on from a checkpoint
    exits: Counter[str] = field(default_factory=collections.Counter)
    twice: int = 0

    def __str__(self) -> str:
        by_signal: Counter[str] = collections.Counter()
        by_target: Counter[str] = collections.Counter()
        for (case, target, name), count in self.kills.items():
            by_signal[name] += count
            by_target[f"{case}/{target}"] += count
        return (
            f"{self.kills.total()} kills ({said(by_signal)}; {said(by_target)}), {self.late} came "
            f"too late; in a write: {self.in_writes.total()} ({said(self.in_writes)}); "
            f"exits {said(self.exits)}; {self.resumed} stores with checkpoints left; "
            f"{self.twice} results twice"
        )


def said(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def text(system: str, realizations: int, values: int = 4, **controls: Any) -> str:
    """Study file of a grid over x."""
    fixed = "\n".join(f"{name} = {value}" for name, value in controls.items())
    grid = ", ".join(f"{0.5 + i / 8}" for i in range(values))
    return (
        f'system = "{system}"\nrealizations = {realizations}\nseed = 3\n[controls]\n{fixed}\n'
        f"[grid]\nx = [{grid}]\n"
    )


# --- processes ---


@cache
def offers(option: str) -> bool:
    """Whether `criticality run` has this option."""
    words = [sys.executable, "-m", "criticality", "run", "--help"]
    wide = {**os.environ, "COLUMNS": "200"}
    return option in subprocess.run(words, capture_output=True, text=True, env=wide).stdout


class Process:
    """A command that was started; what it said goes into a file, so that it never waits."""

    def __init__(self, words: list[str], folder: Path, **environment: str) -> None:
        self.out = folder / f"said-{time.monotonic_ns()}.txt"
        self.words = words
        with self.out.open("wb") as file:
            self.popen = subprocess.Popen(
                words,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def said(self) -> str:
        return self.out.read_text(encoding="utf-8", errors="replace")

    def ended(self) -> bool:
        return self.popen.poll() is not None

    def end(self, patience: float = PATIENCE_S) -> int:
        """Wait for it; what does not end is killed, and an error."""
        try:
            return self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            where = Path(f"/proc/{self.pid}/stack")
            self.kill()
            raise AssertionError(f"hangs: {self.words}\n{self.said()[-2000:]}\n{where}") from None

    def kill(self) -> None:
        """End it and all below it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, KILL)
        self.popen.wait()


def start(case: Case, folder: Path, store: Path, number: int) -> Process:
    """Start one of the processes of a case."""
    file = folder / f"{case.name}.toml"
    if not file.exists():
        file.write_text(case.study)
    words = [sys.executable, "-m", "criticality", "run", str(file), "--store", str(store)]
    words += ["--system", f"{STAND_IN}:{case.system}", *case.words[number]]
    more = {"STAND_IN_TORN_S": str(case.torn)} if case.torn else {}
    if case.saved:
        more["STAND_IN_SAVED_S"] = str(case.saved)
    return Process(words, folder, **more)


def below(process: int) -> list[int]:
    """Processes below a process, at any depth."""
    found: list[int] = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *below(child)]
    return found


def frozen(process: int, seconds: float) -> None:
    """Stop a process for a while."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(process, signal.SIGCONT)


def workers_of(process: int) -> list[int]:
    """Those below it that compute: not what keeps track of semaphores, nor git, which is asked."""
    found = []
    for child in below(process):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes()
            if words and b"resource_tracker" not in words and not words.startswith(b"git"):
                found.append(child)
    return found


# --- what must hold ---


def lines_of(store: Path) -> Counter[str]:
    """How often every key has a result, in files and in whole lines of journals."""
    found: Counter[str] = collections.Counter()
    for path in (store / "results").glob("*.nc"):
        found[path.stem[:32]] += 1
    for path in (store / "results").glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            digest, _, rest = line.partition(b" ")
            if digest.decode("ascii", "replace") == hashlib.sha256(rest).hexdigest():
                for key in results_in(json.loads(rest)):
                    found[key[:32]] += 1
    return found


def results_in(line: Any) -> list[str]:
    """Keys of which a line of a journal is the result."""
    return [line["result"]] if isinstance(line, dict) and "result" in line else []


def leftovers(store: Path) -> list[str]:
    """Temporary files, and states of tasks that are done."""
    kept = [*store.rglob("*.tmp"), *(store / "checkpoints").glob("*")]
    return [str(path.relative_to(store)) for path in kept]


def torn(store: Path, process: int) -> list[str]:
    """Traces of writes of a process that did not end; its number is in the names of its files."""
    found = ["temporary file" for path in store.rglob(f"*.{process}-*.tmp")]
    for path in (store / "results").glob(f"*-{process}-*.jsonl"):
        with contextlib.suppress(OSError):
            found += ["torn line"] * (not path.read_bytes().endswith(b"\n"))
    return found


def assert_part_of(store: Path, whole: xr.Dataset) -> int:
    """Check that all that a store holds is as in the whole; how many numbers are there."""
    try:
        found = Store(store).open()
    except InputError as error:
        assert any(w in str(error) for w in ("no result yet", "not a store")), error  # noqa: PT017
        return 0
    count = 0
    for name, x in found.data_vars.items():
        there = ~np.isnan(x.values)
        known = whole[name].sel({dim: found[dim] for dim in found[name].dims})
        np.testing.assert_array_equal(x.values[there], known.values[there])
        count += int(there.sum())
    return count


def assert_whole(case: Case, store: Path, whole: xr.Dataset, tally: Tally) -> None:
    """Check that a store is as that of an undisturbed run, and holds nothing else."""
    xr.testing.assert_identical(Store(store).open(), whole)
    for x in Store(store).open().data_vars.values():
        assert not np.isnan(x.values).any()
    counts = lines_of(store)
    assert len(counts) == len(Store(store).entries()[0])
    tally.twice += sum(count - 1 for count in counts.values())
    if len(case.words) == 1 or "--shard" in case.words[0]:
        assert max(counts.values()) == 1, "a result is there twice"
    for path in store.rglob("*.tmp"):  # of a process that was killed, long ago
        os.utime(path, (0, 0))
    last = start(case, store.parent, store, 0)
    assert last.end() == 0, last.said()
    assert not leftovers(store), leftovers(store)
    assert lines_of(store) == counts
    if offered("verify"):
        words = [sys.executable, "-m", "criticality", "verify", str(store)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@cache
def offered(command: str) -> bool:
    """Whether there is such a command."""
    words = [sys.executable, "-m", "criticality", command, "--help"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


# --- the disturbance ---


class Disturbed:
    """A case under disturbance; its undisturbed run comes first."""

    def __init__(self, case: Case, folder: Path, seed: int) -> None:
        self.case, self.folder = case, folder
        folder.mkdir(parents=True, exist_ok=True)
        # as a string: a number and a name
        self.rng = random.Random(f"{case.name} {seed}")
        begun = time.monotonic()
        alone = Case(name=case.name, system=case.system, study=case.study, words=case.words[:1])
        if "--shard" in case.words[0]:
            alone = Case(name=case.name, system=case.system, study=case.study)
        whole = start(alone, folder, folder / "whole", 0)
        while not written(folder / "whole") and not whole.ended():
            time.sleep(0.01)
        first = time.monotonic() - begun
        assert whole.end() == 0, whole.said()
        self.seconds = time.monotonic() - begun
        self.active = max(0.2, self.seconds - first)
        self.whole = Store(folder / "whole").open()

    def run(self, kills: int, most: int, tally: Tally, bystanders: Callable[[], list[int]] = list):
        """Disturb new stores until there were so many kills, each at most `most` times.

        `bystanders` gives processes that compute without being below one that is started here.
        """
        number, sought = 0, tally.kills.total() + kills
        while tally.kills.total() < sought:
            store = self.folder / f"{number}"
            number += 1
            assert number < 5 * kills + 5, "the kills come too late"
            self._one(store, min(most, sought - tally.kills.total()), tally, bystanders)
            shutil.rmtree(store)

    def _one(
        self, store: Path, kills: int, tally: Tally, bystanders: Callable[[], list[int]]
    ) -> None:
        case, rng = self.case, self.rng
        running = {i: start(case, self.folder, store, i) for i in range(len(case.words))}
        try:
            for _ in range(kills):
                self._await(store, running)
                target = rng.choice(case.targets)
                name = rng.choice(case.signals) if target == "parent" else KILL
                number = rng.choice(sorted(running))
                hit = self._kill(running[number], target, name, tally, bystanders)
                if not hit:
                    tally.late += 1
                elif target == "parent":
                    self._ended(running[number], name, tally)
                if hit and name is KILL:
                    tally.in_writes.update(torn(store, hit))
                assert_part_of(store, self.whole)
                if any((store / "checkpoints").glob("*.state")):
                    tally.resumed += 1
                for i, process in running.items():
                    if process.ended():
                        running[i] = start(case, self.folder, store, i)
            for process in running.values():
                self._finished(process)
            assert_whole(case, store, self.whole, tally)
        finally:
            for process in running.values():
                process.kill()

    def _await(self, store: Path, running: dict[int, Process]) -> None:
        """Wait for a random moment: mostly while results come, sometimes before."""
        end = time.monotonic() + PATIENCE_S
        if self.rng.random() < 0.85:
            size = written(store)
            while written(store) == size and time.monotonic() < end:
                if all(process.ended() for process in running.values()):
                    return
                time.sleep(0.002)
            # the longer, the more is done; most is left for the next kills
            time.sleep(self.rng.random() ** 2 * self.active)
        else:
            time.sleep(self.rng.random() * (self.seconds - self.active))

    def _kill(
        self,
        process: Process,
        target: str,
        name: signal.Signals,
        tally: Tally,
        bystanders: Callable[[], list[int]],
    ) -> int:
        """Process that was killed; 0 if nobody was there to be."""
        if process.ended():
            return 0
        there = [process.pid]
        if target != "parent":
            there = bystanders() or workers_of(process.pid)
        if not there:
            return 0
        killed = self.rng.choice(there)
        try:
            os.kill(killed, name)
        except ProcessLookupError:
            return 0
        tally.kills[self.case.name, target, name.name] += 1
        return killed

    def _ended(self, process: Process, name: signal.Signals, tally: Tally) -> None:
        """Check how a process ends that got a signal; it may just have been done."""
        code = process.end()
        tally.exits[f"{name.name} {code}"] += 1
        if name is not KILL:
            # Python has hardly begun, nobody listens yet; or all is said and done
            apart = " tasks, " not in process.said() or " tasks done in " in process.said()
            assert code in (0, ENDS[name]) or apart, f"{name.name}: {code}\n{process.said()}"
            assert "Traceback" not in process.said() or apart, process.said()

    def _finished(self, process: Process) -> None:
        """Check how a process ends that nobody told to: its workers may have been killed."""
        code = process.end()
        assert code == 0, f"{code}\n{process.said()}"
        assert "Traceback" not in process.said(), process.said()


def written(store: Path) -> int:
    """Bytes of results and states, roughly."""
    total = 0
    for part in ("results", "checkpoints"):
        with contextlib.suppress(OSError):
            for entry in os.scandir(store / part):
                with contextlib.suppress(OSError):
                    total += entry.stat().st_size
    return total


# --- a Dask cluster of processes over TCP ---


@dataclass
class Cluster:
    """Scheduler and workers, each a process as a user starts it."""

    address: str
    scheduler: Process
    nannies: list[Process]

    def workers(self) -> list[int]:
        return [pid for nanny in self.nannies for pid in workers_of(nanny.pid)]


@contextlib.contextmanager
def cluster(folder: Path, workers: int = 2, **environment: str) -> Iterator[Cluster]:
    """Start a scheduler, and workers that a nanny starts again if they die."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    many = {"NPROC": "1", **environment}
    begun: list[Process] = []
    try:
        words = [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        begun.append(Process(words, folder, **many))
        for _ in range(workers):
            words = [*dask, "worker", f"tcp://{address}", "--nthreads", "1", "--no-dashboard"]
            words += ["--local-directory", str(folder / "scratch"), "--host", "127.0.0.1"]
            begun.append(Process(words, folder, **many))
        yield Cluster(address, begun[0], begun[1:])
    finally:
        for process in reversed(begun):
            process.kill()


# --- small disks ---


@contextlib.contextmanager
def disk(folder: Path, megabytes: float) -> Iterator[Callable[[str], None] | None]:
    """Mount a small disk in memory; gives a function that mounts it again with other options.

    None where that is not allowed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={int(megabytes * 1024)}k"
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        yield None
        return

    def again(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    try:
        yield again
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
