"""Slurm arrays: what is asked for, with a stand-in for `sbatch`, and with Slurm itself."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from criticality import InputError, Store, Study, catalog, run
from criticality.study import cost, shards
from criticality.study.slurm import Job, cut, name
from tests.clusters import count, process, run_words, until, written
from tests.test_clusters import keys, loads
from tests.test_executors import Serial

# --- how a study is cut ---


def survey(flops, seconds, missing=None):
    """Tasks of so many FLOP, of which 1e9 take this many seconds."""
    tasks = {f"{number}": task for number, task in enumerate(loads(flops))}
    tasks = {task.key: task for task in tasks.values()}
    rate = cost.Rate(flop=seconds / 1e9, task=0.0, basis="a stopwatch")
    return cost.Survey(tasks=tasks, missing=list(tasks if missing is None else missing), rate=rate)


@pytest.mark.parametrize("tasks", [100, 1000, 3001])
@pytest.mark.parametrize(("hours", "cpus"), [(2, 1), (24, 1), (2, 8), (1, 1)])
def test_a_shard_takes_30_to_60_minutes_and_half_the_limit_at_most(tasks, hours, cpus):
    # distinct works, 100 s each
    found = survey([1e9 * (1 + 1e-6 * i) for i in range(tasks)], 100.0)
    made = cut(found, Job(hours=hours, cpus=cpus))
    mean = 100.0 * tasks / made.count / cpus
    longest = min(3600.0, hours * 1800)
    assert min(longest / 2, 100.0 * tasks / cpus) <= mean * 1.001
    assert mean <= longest * 1.001
    assert made.shards == tuple(range(1, made.count + 1))
    assert made.seconds == pytest.approx(100.0 * tasks, rel=1e-2)


def test_every_core_of_a_job_has_a_task():
    found = survey([1e9 * (1 + i) for i in range(20)], 1e4)  # hours each
    assert cut(found, Job(hours=2, cpus=1)).count == 20
    assert cut(found, Job(hours=2, cpus=8)).count == 2
    assert cut(found, Job(hours=2, cpus=64)).count == 1


def test_only_shards_that_lack_something_are_asked_for():
    flops = [1e9 * (1 + i) for i in range(40)]
    whole = survey(flops, 600.0)
    parts = shards.partition(list(whole.tasks.values()), cut(whole, Job(hours=2)).count)
    lost = [parts[2][0].key, *keys(parts[5])]
    made = cut(survey(flops, 600.0, lost), Job(hours=2))
    assert (made.count, made.shards) == (len(parts), (3, 6))
    assert cut(survey(flops, 600.0, []), Job(hours=2)).shards == ()


def test_what_is_not_known_is_asked_for():
    rate = cost.Rate(flop=0.0, task=float("nan"), basis="nothing")
    tasks = {task.key: task for task in loads([0.0, 1.0, 2.0, 3.0, 4.0])}
    found = cost.Survey(tasks=tasks, missing=list(tasks), rate=rate)
    with pytest.raises(InputError, match=r"--tasks-per-job[\s\S]*5 are missing"):
        cut(found, Job(hours=2))
    assert cut(found, Job(hours=2), tasks_per_job=2).count == 3


@pytest.mark.parametrize(
    "options",
    [
        {"hours": 0},
        {"hours": float("nan")},
        {"hours": -1},
        {"hours": 2, "cpus": 0},
        {"hours": 2, "most": 0},
        {"hours": 2, "memory": "lots"},
        {"hours": 2, "partition": "a b"},
        {"hours": 2, "account": "x\n#SBATCH --uid=0"},
        {"hours": 2, "options": ["--x=1\nrm -rf"]},
        {"hours": 2, "options": ["qos"]},
    ],
    ids=str,
)
def test_nonsense_is_refused(options):
    with pytest.raises(InputError, match="expected"):
        Job(**options)


@pytest.mark.parametrize(
    ("hours", "limit"), [(2, "02:00:00"), (0.5, "00:30:00"), (30, "1-06:00:00"), (0.1, "00:06:00")]
)
def test_the_time_limit_is_written_as_slurm_reads_it(hours, limit):
    assert f"--time={limit}" in Job(hours=hours).directives()


# --- a stand-in for sbatch ---

SBATCH = """#!{python}
import json, os, re, subprocess, sys
here = os.path.dirname(sys.argv[0])
with open(here + "/asked", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
text = open(sys.argv[-1]).read()
if "--account=broke" in text:
    sys.exit("sbatch: error: Invalid account")
last = int(re.search(r"^#SBATCH --array=1-([0-9]+)$", text, re.M)[1])
for number in range(1, last + 1):
    if str(number) not in os.environ.get("LOST", "").split():
        env = dict(os.environ, SLURM_ARRAY_TASK_ID=str(number))
        subprocess.run(["bash", sys.argv[-1]], env=env, stdout=subprocess.DEVNULL, check=True)
print("77;cluster")
"""


@pytest.fixture
def standin(tmp_path, monkeypatch):
    """Folder of a `sbatch` that runs each element, but those of LOST, and keeps what it is asked.

    There is a study, and it is where the commands are run.
    """
    there = tmp_path / "bin"
    there.mkdir()
    (there / "sbatch").write_text(SBATCH.format(python=sys.executable))
    (there / "squeue").write_text(f'#!/bin/sh\necho "$@" > {there}/queue; cat {there}/jobs\n')
    (there / "jobs").write_text("")
    for file in there.iterdir():
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{there}:/usr/bin:/bin")
    monkeypatch.delenv("LOST", raising=False)
    monkeypatch.chdir(written(tmp_path))
    return there


ARRAY = ["slurm", "study.toml", "--store", "s", "--system", "slow.py:slow", "--hours", 1]
ONCE = [*ARRAY, "--tasks-per-job", 3, "--max-array", 3]  # 12 tasks, 4 jobs in 2 arrays


def undisturbed(folder):
    study = Study.from_toml(folder / "study.toml", catalog.find(f"{folder / 'slow.py'}:slow"))
    return run(study, folder / "undisturbed", executor=Serial())


def test_an_array_is_submitted_a_job_lost_and_submitted_again(
    standin, tmp_path, command, monkeypatch
):
    monkeypatch.setenv("LOST", "2")
    code, out, said = command(*ONCE, "--submit", "--yes")
    assert code == 0
    assert "12 of 12 tasks are missing" in said
    assert "up to 4 core-hours in 4 jobs" in said
    assert out.count("submitted as job 77: ") == 2
    assert count(tmp_path / "s") == 9
    monkeypatch.delenv("LOST")
    code, out, said = command(*ONCE, "--submit", "--yes", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["missing"], told["shards"], told["jobs"]) == (3, 4, 1)
    assert told["core_hours_most"] == 1
    (array,) = told["arrays"]
    assert array["id"] == "77"
    assert "shards=(\n    2\n)" in Path(array["file"]).read_text()
    xr.testing.assert_identical(Store(tmp_path / "s").open(), undisturbed(tmp_path))
    code, out, said = command(*ONCE, "--submit", "--yes")
    assert (code, out) == (0, "")
    assert "12 of 12 tasks are done" in said
    asked = [json.loads(line) for line in (standin / "asked").read_text().splitlines()]
    assert asked == [["--parsable", str(tmp_path / f"s/slurm/array-{i}.sbatch")] for i in (1, 2, 3)]


def test_the_script_says_all_that_was_asked_for(standin, tmp_path, command):
    options = ["--cpus", 2, "--memory", "4G", "--partition", "short", "--account", "physics"]
    options += ["--sbatch=--gres=gpu:1", "--sbatch=--comment=a b", "--width", 5, "--set", "seed=3"]
    code, out, _ = command(*ONCE, *options)
    assert code == 0
    first, second = out.splitlines()
    assert first == f"sbatch {tmp_path}/s/slurm/array-1.sbatch"
    text = (tmp_path / "s/slurm/array-1.sbatch").read_text()
    directives = re.findall(r"^#SBATCH (.*)$", text, re.M)
    assert directives == [
        f"--job-name={name(tmp_path / 's')}",
        "--array=1-3",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=2",
        "--time=01:00:00",
        "--mem=4G",
        "--partition=short",
        "--account=physics",
        "--gres=gpu:1",
        "'--comment=a b'",
        "--signal=B:TERM@120",
        f"--output={tmp_path}/s/slurm/logs/%A_%a.txt",
        "--open-mode=append",
        "--requeue",
        f"--chdir={tmp_path}",
    ]
    (copy,) = (tmp_path / "s/slurm").glob("study-*.toml")
    assert copy.read_bytes() == (tmp_path / "study.toml").read_bytes()
    shown = f"exec {sys.executable} -m criticality run {copy} --store {tmp_path}/s --workers 2 "
    shown += f"--quiet --system {tmp_path}/slow.py:slow --width 5 --set seed=3 \\\n"
    assert shown + '    --shard "${shards[SLURM_ARRAY_TASK_ID - 1]}/4"\n' in text
    assert "export NPROC=1 OMP_NUM_THREADS=1" in text
    assert "shards=(\n    4\n)" in Path(second.removeprefix("sbatch ")).read_text()
    assert not (standin / "asked").exists()


def test_an_edit_of_the_study_does_not_change_the_array(standin, tmp_path, command):
    _, out, _ = command(*ARRAY, "--tasks-per-job", 12)
    (tmp_path / "study.toml").write_text("not a study")
    subprocess.run(out, shell=True, check=True, capture_output=True)
    assert count(tmp_path / "s") == 12


def test_nothing_is_spent_unasked(standin, tmp_path, command, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    code, _, said = command(*ONCE, "--submit")  # nobody there
    assert code == 2
    assert "--yes" in said
    assert not (tmp_path / "s").exists()
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, out, said = command(*ONCE, "--submit")
    assert code == 0
    assert "proceed?" in said
    assert out.startswith("sbatch ")
    assert not (standin / "asked").exists()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    monkeypatch.setenv("LOST", "1 2 3")  # so that none is run
    code, out, _ = command(*ONCE, "--submit")
    assert out.count("submitted") == 2
    assert len((standin / "asked").read_text().splitlines()) == 2


def test_what_every_job_would_refuse_is_refused_before(standin, tmp_path, command):
    code, _, said = command(*ONCE, "--width", 0, "--submit", "--yes")
    assert code == 2
    assert "--width 0: expected" in said
    assert not (tmp_path / "s").exists()
    assert not (standin / "asked").exists()


def test_a_path_cannot_add_options(standin, tmp_path, command):
    code, _, said = command(*ONCE, "--store", tmp_path / "s\n#SBATCH --uid=0")
    assert code == 2
    assert "line break" in said


def test_jobs_that_are_queued_are_not_queued_again(standin, tmp_path, command):
    (standin / "jobs").write_text("12_1\n12_2\n")
    code, _, said = command(*ONCE, "--submit", "--yes")
    assert code == 2
    assert "2 of its jobs are queued or running" in said
    assert f"--name={name(tmp_path / 's')}" in (standin / "queue").read_text()
    assert not (standin / "asked").exists()


def test_a_refusal_of_slurm_is_passed_on(standin, command, monkeypatch):
    code, _, said = command(*ONCE, "--submit", "--yes", "--account", "broke")
    assert code == 1
    assert "sbatch refused it: sbatch: error: Invalid account" in said
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, said = command(*ONCE, "--submit", "--yes")
    assert code == 2
    assert "on a machine that has Slurm" in said


def test_the_rate_comes_from_the_store(standin, tmp_path, command):
    code, _, said = command(*ARRAY)
    assert code == 2
    assert "no result is in the store" in said
    assert not (tmp_path / "s").exists()
    few = ["--set", "realizations=1", "--set", "seconds=0.2", "--workers", 1]
    subprocess.run(run_words(tmp_path, "--store", "s", *few), check=True, capture_output=True)
    code, out, _ = command(*ARRAY, "--set", "seconds=0.2", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["missing"], told["shards"], told["basis"]) == (10, 1, "2 results in the store")
    assert 10 * 0.2 < 3600 * told["core_hours_estimate"] < 10 * 0.4


@pytest.mark.parametrize(("own", "missing"), [(True, 11), (False, 12)])
def test_a_task_that_would_fail_again_is_not_asked_for(standin, tmp_path, command, own, missing):
    assert command(*ONCE)[0] == 0  # begins the store
    kind = catalog.find("slow.py:slow")
    task = Study.from_toml("study.toml", kind).tasks()[0]
    with Store("s").recording() as journal:
        about = {"source_sha256": catalog.source_sha256(kind)}
        journal.fail(task.key, "ValueError: no", own=own, about=about)
    _, out, _ = command(*ONCE, "--json")
    told = json.loads(out)
    assert (told["missing"], told["failed"]) == (missing, 12 - missing)
    _, out, _ = command(*ONCE, "--retry-failed", "--json")
    assert json.loads(out)["missing"] == 12
    assert "--retry-failed" in Path(json.loads(out)["arrays"][0]["file"]).read_text()


# --- Slurm itself ---

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "scontrol")
lacking = [program for program in PROGRAMS if not shutil.which(program)]
needs_slurm = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(lacking), reason=f"needs Slurm and munge ({', '.join(lacking)})"),
]
LONG = """
import os
import time
from dataclasses import dataclass
from typing import ClassVar

import jax
from jax.experimental import io_callback

from criticality import Card, Observable, control


@dataclass(frozen=True, kw_only=True)
class Long:
    card: ClassVar[Card] = Card(name="long", observables=(Observable(name="place"),))

    units: int = control(300, doc="advances", interval="[1, inf)")

    def begin(self, key, data):
        return jax.numpy.int32(0), key, jax.numpy.float32(0)

    def advance(self, state, data):
        count, key, place = state
        io_callback(lambda: time.sleep(float(os.environ.get("PAUSE", "0"))), None, ordered=True)
        step = jax.random.normal(jax.random.fold_in(key, count))
        return count + 1, key, 1.5 * jax.numpy.sin(place) + step

    def finished(self, state):
        return state[0] >= self.units

    def observe(self, state, data):
        return {"place": state[2]}
"""
CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
MaxArraySize=5
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def slurm(monkeypatch) -> Iterator[Path]:
    """A Slurm of one node with two cores, and arrays of four; gives the folder that it lives in."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path, for the socket
    for part in ("state", "spool"):
        (folder / part).mkdir()
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    conf = CONF.format(host=host, user=getpass.getuser(), folder=folder, ports=free_ports(2))
    (folder / "slurm.conf").write_text(conf)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    munge = {"key-file": "key", "socket": "munge.socket", "pid-file": "munge.pid"}
    munge |= {"log-file": "munge.log", "seed-file": "seed"}
    paths = [f"--{option}={folder / file}" for option, file in munge.items()]
    try:
        with (
            process("munged", "--foreground", "--force", *paths, log=folder / "munged.log"),
            process("slurmctld", "-D", log=folder / "slurmctld.log"),
            process("slurmd", "-D", log=folder / "slurmd.log"),
        ):
            until(lambda: "idle" in asked("sinfo", "--noheader", "--format=%t"))
            yield folder
            asked("scancel", "--signal=KILL", "--full", "--me")
            asked("scancel", "--me")
            until(lambda: not asked("squeue", "--noheader"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def asked(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def queued() -> list[str]:
    return asked("squeue", "--noheader", "--array", "--format=%i").split()


def running(folder: Path, but: str) -> list[int]:
    """Processes that compute shards of the store in a folder, but one."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (each / "cmdline").read_text().split("\0")
            if str(folder / "s") in words and "--shard" in words and but not in words:
                found.append(int(each.name))
    return found


class TestSlurm:
    pytestmark = needs_slurm

    def test_jobs_are_killed_and_asked_for_again(self, slurm, tmp_path, command, monkeypatch):
        folder = tmp_path / "a folder"  # with a space
        folder.mkdir()
        monkeypatch.chdir(written(folder))
        # 6 jobs, in arrays of 4 as this Slurm allows, two at once
        array = [*ARRAY, "--set", "seconds=4.0", "--tasks-per-job", 2, "--max-array", 4]
        code, out, said = command(*array, "--submit", "--yes")
        assert code == 0, said
        ids = [line.split()[3].rstrip(":") for line in out.splitlines()]
        assert len(ids) == 2
        code, _, said = command(*array, "--submit", "--yes")
        assert code == 2
        assert "6 of its jobs are queued or running" in said
        asked("scancel", f"{ids[0]}_1")
        until(lambda: count(Path("s")) >= 1)
        until(lambda: f"{ids[0]}_1" not in queued())

        # another, as by the kernel
        until(lambda: running(folder, but="1/6"))
        os.kill(running(folder, but="1/6")[-1], signal.SIGKILL)
        until(lambda: not queued(), 180)
        done = count(Path("s"))
        assert 6 <= done < 12
        code, out, said = command(*array, "--submit", "--yes", "--json")
        assert code == 0, said
        told = json.loads(out)
        assert told["missing"] == 12 - done
        assert told["jobs"] == 2, [log.read_text() for log in Path("s/slurm/logs").iterdir()]
        until(lambda: not queued(), 180)
        # how long they take does not enter the numbers
        xr.testing.assert_identical(Store("s").open().distance, undisturbed(folder).distance)

    def test_the_time_limit_costs_nothing(self, slurm, tmp_path, command, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("long.py").write_text(LONG)
        Path("long.toml").write_text('system = "long"')
        study = Study.from_toml("long.toml", catalog.find("long.py:Long"))
        alone = run(study, "alone", executor=Serial())
        monkeypatch.setenv("PAUSE", "0.5")  # 150 s in all, of which Slurm allows 120
        place = ["--store", "s", "--system", "long.py:Long"]
        array = ["slurm", "long.toml", *place, "--hours", 1 / 30, "--tasks-per-job", 1]
        code, _, said = command(*array, "--submit", "--yes")
        assert code == 0, said
        until(lambda: not queued(), 180)
        ended = time.time()
        (log,) = Path("s/slurm/logs").iterdir()
        assert "DUE TO TIME LIMIT" not in log.read_text()  # it had ended before
        (checkpoint,) = Path("s/checkpoints").iterdir()
        assert ended - checkpoint.stat().st_mtime < 10  # and not half a minute ago
        assert count(Path("s")) == 0
        monkeypatch.setenv("PAUSE", "0")
        code, _, said = command(*array, "--submit", "--yes")
        assert code == 0, said
        until(lambda: not queued(), 120)
        xr.testing.assert_identical(Store("s").open(), alone)
        (entry,) = Store("s").entries()[0]
        assert entry.attributes["resumed_after"] > 50  # advances of half a second
