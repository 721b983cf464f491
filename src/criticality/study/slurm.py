"""Slurm: job arrays of shards, as scripts that a person can read and `sbatch` takes.

Slurm queues, starts, limits and kills; all that is done here is to cut a study into jobs of a
sensible length and to write down the command of each.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import math
import re
import shlex
import subprocess
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from criticality.base import InputError, RunError
from criticality.study.cost import Survey, compiling_seconds
from criticality.study.shards import partition
from criticality.study.workers import ONE_THREAD

LONGEST_S = 3600.0  # of a shard: with more, a killed job costs much; with far less, starting does
CAREFUL = 0.5  # share of the time limit that an estimate within a factor of two may fill
WARNING_S = 120  # before the time limit, or a quarter of it: time to save checkpoints
DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Job:
    """What each job of the array asks of Slurm.

    Attributes
    ----------
    hours
        Time limit.
    cpus
        Cores of one job, each for one worker.
    memory, partition, account
        As `sbatch` takes them, None for the cluster's default.
    options
        Further options of `sbatch`, as "--gres=gpu:1".
    most
        Jobs in one array; `scontrol show config` tells a cluster's MaxArraySize, less one.
    """

    hours: float
    cpus: int = 1
    memory: str | None = None
    partition: str | None = None
    account: str | None = None
    options: Sequence[str] = ()
    most: int = 1000

    def __post_init__(self) -> None:
        if not (math.isfinite(self.hours) and 1 / 60 <= self.hours <= 8760):
            raise InputError(f"--hours {self.hours}: expected hours, from a minute to a year.")
        for name, value in (("--cpus", self.cpus), ("--max-array", self.most)):
            if not 1 <= value <= 1_000_000:
                raise InputError(f"{name} {value}: expected a whole number of 1 or more.")
        if self.memory is not None and not re.fullmatch(r"[0-9]+[KMGT]?", self.memory):
            raise InputError(f"--memory {self.memory}: expected as 4G or 800M.")
        for option in self.options:
            if not re.fullmatch(r"--[a-z][a-z-]*(=[^\n]*)?", option):
                raise InputError(f"--sbatch {option}: expected an option, as --sbatch=--qos=long.")
        for name, text in (("--partition", self.partition), ("--account", self.account)):
            if text is not None and not re.fullmatch(r"[^\s\"']+", text):
                raise InputError(f"{name} {text!r}: expected a name without spaces.")

    @property
    def minutes(self) -> int:
        """Time limit; Slurm counts whole minutes."""
        return math.ceil(round(60 * self.hours, 6))

    def directives(self) -> list[str]:
        """Options of `sbatch` that do not depend on the study."""
        days, rest = divmod(60 * self.minutes, DAY_S)
        limit = f"{rest // 3600:02}:{rest // 60 % 60:02}:00"
        named = (("mem", self.memory), ("partition", self.partition), ("account", self.account))
        return [
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={self.cpus}",
            f"--time={days}-{limit}" if days else f"--time={limit}",
            *(f"--{name}={text}" for name, text in named if text is not None),
            *self.options,
        ]


@dataclass(frozen=True)
class Cut:
    """How a study is cut into jobs.

    Attributes
    ----------
    count
        Shards of the whole study.
    shards
        Numbers of those that lack something, from 1.
    seconds
        Of one core, for all that is missing; NaN if not known.
    longest
        Seconds of the longest task; NaN if not known.
    """

    count: int
    shards: tuple[int, ...]
    seconds: float
    longest: float


def cut(found: Survey, job: Job, tasks_per_job: int | None = None) -> Cut:
    """Cut a study into shards of 30 to 60 minutes of a job's cores, or of so many tasks.

    They are shorter where the time limit is below two hours, and there is a task at least for each
    core.  The count comes from all tasks of the study, so that shards that were killed are found
    again.

    Raises
    ------
    InputError
        If nothing is known of what tasks cost, or `tasks_per_job` is no number of tasks.
    """
    tasks = list(found.tasks.values())
    if tasks_per_job is not None:
        if tasks_per_job < 1:
            raise InputError(f"--tasks-per-job {tasks_per_job}: expected 1 or more.")
        count = math.ceil(len(tasks) / tasks_per_job)
    else:
        seconds = found.rate.seconds(tasks) + compiling_seconds(tasks)
        if not math.isfinite(seconds):
            raise InputError(
                f"what a task costs is not known: the system has no work(), and no result is in "
                f"the store. Say how many are to go into a job (--tasks-per-job), or let "
                f"`criticality run` compute a few first; {len(found.missing)} are missing."
            )
        target = job.cpus * min(LONGEST_S, CAREFUL * 60 * job.minutes)
        count = max(1, min(math.ceil(seconds / target), len(tasks) // job.cpus))
    missing = set(found.missing)
    parts = [[task for task in part if task.key in missing] for part in partition(tasks, count)]
    lacking = [part for part in parts if part]
    compiling = sum(map(compiling_seconds, lacking))
    return Cut(
        count=count,
        shards=tuple(number for number, part in enumerate(parts, 1) if part),
        seconds=sum(map(found.rate.seconds, lacking)) + compiling,
        longest=max((found.rate.seconds([task]) for part in lacking for task in part), default=0.0),
    )


def name(store: Path) -> str:
    """Name of all jobs of a store, by which `squeue` and `scancel` find them."""
    return f"criticality-{hashlib.sha256(str(store).encode()).hexdigest()[:8]}"


def write(folder: Path, job: Job, made: Cut, command: Sequence[str], store: Path) -> list[Path]:
    """Write a script for each array; give their paths.

    Parameters
    ----------
    folder
        Of scripts and logs.
    job, made
        What is asked for.
    command
        Computes a shard, when --shard I/N follows.
    store
        Whose jobs they are.
    """
    paths = []
    (folder / "logs").mkdir(exist_ok=True)
    for start in range(0, len(made.shards), job.most):
        shards = made.shards[start : start + job.most]
        text = script(folder, job, shards, made.count, command, store)
        for number in itertools.count(1):
            path = folder / f"array-{number}.sbatch"
            try:
                with path.open("x", encoding="utf-8") as file:  # of another command, if it is there
                    file.write(text)
            except FileExistsError:
                continue
            paths.append(path)
            break
    return paths


def script(
    folder: Path, job: Job, shards: Sequence[int], count: int, command: Sequence[str], store: Path
) -> str:
    """Text of the script of one array."""
    warning = min(WARNING_S, 15 * job.minutes)
    logs = str(folder / "logs").replace("%", "%%") + "/%A_%a.txt"
    options = [
        f"--job-name={name(store)}",
        f"--array=1-{len(shards)}",
        *job.directives(),
        f"--signal=B:TERM@{warning}",
        f"--output={logs}",
        "--open-mode=append",
        "--requeue",
        f"--chdir={Path.cwd()}",
    ]
    if any("\n" in option for option in options):
        raise InputError(f"{folder}: a line break in a path; Slurm cannot be told of it.")
    directives = "\n".join(f"#SBATCH {shlex.quote(option)}" for option in options)
    numbers = textwrap.fill(" ".join(map(str, shards)), 96, initial_indent=" " * 4,
                            subsequent_indent=" " * 4)  # fmt: skip
    threads = " ".join(f"{variable}=1" for variable in ONE_THREAD)
    return f"""#!/bin/bash
# Made by criticality on {datetime.date.today()}: {len(shards)} of {count} shards of a study.
# A shard computes what the store lacks of it, so that it may be submitted or requeued again.
# SIGTERM comes {warning} s before the time limit: the run saves checkpoints, and ends.
{directives}

shards=(
{numbers}
)
# of a process, which are as many as the job has cores
export {threads}
# exec: the signal goes to the run itself
exec {shlex.join(command)} \\
    --shard "${{shards[SLURM_ARRAY_TASK_ID - 1]}}/{count}"
"""


def waiting(store: Path) -> list[str]:
    """Jobs of a store that are queued or running, if Slurm is here to be asked."""
    # each element by itself
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i", f"--name={name(store)}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return []
    return asked.stdout.split()


def submit(path: Path) -> str:
    """Give a script to Slurm; the number of the array.

    Raises
    ------
    InputError
        If there is no Slurm here.
    RunError
        If it refuses.
    """
    command = ["sbatch", "--parsable", str(path)]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(
            f"sbatch: cannot be run ({error}); submit {path} on a machine that has Slurm."
        ) from error
    if asked.returncode:
        why = asked.stderr.strip() or asked.stdout.strip()
        if "job array" in why:
            why += "; a lower --max-array (`scontrol show config`: MaxArraySize, less one) may do"
        raise RunError(f"{path}: sbatch refused it: {why}")
    return asked.stdout.strip().partition(";")[0]
