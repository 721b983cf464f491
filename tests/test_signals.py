"""Signals, sent to real processes: one is enough, nothing is lost, and the same command goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from criticality import Store, Study, catalog, run
from criticality.engine import ensemble, signals, stop
from criticality.engine.checkpoint import Checkpoints
from tests.test_checkpoint import assert_identical, walks

SLEEPER = """
import pathlib, time
from criticality import control, system

@system(observables={"m": "standard normal"})
def sleeper(rng, x=control(0), seconds=control(0.05)):
    pathlib.Path(f"begun/{x}").touch()
    time.sleep(seconds)
    return {"m": rng.normal()}
"""
STUDY = 'system = "sleeper"\n[grid]\nx = [{}]\n'
# whoever started the tests may ignore signals, as nohup does
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from criticality.cli import main
print("here", flush=True)
main()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("begun").mkdir()
    Path("sleeper.py").write_text(SLEEPER)
    return tmp_path


def started(tasks: int, workers: int, *words: str) -> subprocess.Popen[str]:
    """Begin the command on so many tasks, with signal handlers of its own from then on."""
    Path("study.toml").write_text(STUDY.format(", ".join(map(str, range(tasks)))))
    command = [sys.executable, "-c", COMMAND, "run", "study.toml", "--store", "s"]
    options = ["--system", "sleeper.py:sleeper", "--workers", str(workers), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*command, *options], **pipes, text=True, start_new_session=True)
    assert process.stdout.readline() == "here\n"
    return process


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun() -> set[int]:
    return {int(path.name) for path in Path("begun").iterdir()}


def done(store: str = "s") -> set[int]:
    return {entry.point["x"] for entry in Store(store).entries()[0]}


def ended(process: subprocess.Popen[str], number: int, seconds: float) -> str:
    """What a process said that a signal has ended in this time."""
    _, said = process.communicate(timeout=seconds)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert "warn" not in said
    return said


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_once_it_finishes_what_is_under_way_and_no_more(workers, folder):
    process = started(40, workers, "--set", "seconds=1.0")
    wait_until(lambda: len(begun()) > workers)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    time.sleep(0.2)
    there = begun()
    said = ended(process, signal.SIGINT, 15)
    assert "finishing what is under way; Ctrl-C again stops it now" in said
    assert done() == begun() == there
    assert f"interrupted by Ctrl-C after {len(there)} new results" in said


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_twice_it_stops_now(workers, folder):
    process = started(4, workers, "--set", "seconds=60.0")
    wait_until(lambda: len(begun()) == workers)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    ended(process, signal.SIGINT, 5)
    assert not done()


@pytest.mark.parametrize("number", signals.SAVING)
@pytest.mark.parametrize(("workers", "group"), [(1, False), (2, False), (2, True)])
def test_what_schedulers_send_ends_at_once_what_cannot_be_saved(number, workers, group, folder):
    process = started(4, workers, "--set", "seconds=60.0")
    wait_until(lambda: len(begun()) == workers)
    (os.killpg if group else os.kill)(process.pid, number)
    said = ended(process, number, 5)
    assert f"interrupted by {signal.Signals(number).name} after 0 new results" in said
    assert not done()


def survives(count: int, seed: int, folder: Path, *words: str) -> None:
    """Signals at random moments lose nothing, and every one of them is heeded."""
    chance, tasks = random.Random(seed), 400
    sent = 0
    while sent < count:
        process = started(tasks, chance.choice([1, 2]), *words)
        time.sleep(chance.uniform(0, 4))
        number = chance.choice(signals.EVERY)
        (os.killpg if chance.random() < 0.5 else os.kill)(process.pid, number)
        _, said = process.communicate(timeout=20)
        assert "Traceback" not in said, said
        if f"{tasks}/{tasks} tasks" in said:  # it came too late
            tasks += 200
        else:
            assert process.returncode == 128 + number, said
            sent += 1
    process = started(tasks, 2, *words)
    process.communicate(timeout=120)
    assert process.returncode == 0
    study = Study(system=catalog.find("sleeper.py:sleeper")(seconds=0.01), grid={"x": range(tasks)})
    assert begun() == set(range(tasks))
    xr.testing.assert_identical(Store("s").open(), run(study, "whole", workers=1))


@pytest.mark.slow
def test_signals_at_random_moments_lose_nothing(folder):
    survives(4, 1, folder, "--set", "seconds=0.01")


@pytest.mark.slow
def test_many_signals_at_random_moments_lose_nothing(folder):
    survives(60, 2, folder, "--set", "seconds=0.01")


# --- in Python ---------------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, threading, time
from criticality import Study, catalog, run

kind = catalog.find("sleeper.py:sleeper")
study = Study(system=kind(seconds=0.1), grid={"x": range(40)})
heard = []

def later(number, seconds=0.6):
    def send():
        while not os.listdir("begun"):
            time.sleep(0.02)
        time.sleep(seconds)
        os.kill(os.getpid(), number)
    threading.Thread(target=send, daemon=True).start()
"""
INTERRUPTED = """
before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
later(signal.SIGINT)
try:
    run(study, "s", workers=1)
except KeyboardInterrupt as error:
    print(error)
print(before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)))
later(signal.SIGTERM)
try:
    run(study, "s", workers=1)
finally:
    print("finally", flush=True)
"""
OWN = """
def mine(number, frame):
    heard.append(number)

signal.signal(signal.SIGTERM, mine)
later(signal.SIGTERM)
print(run(study, "s", workers=1)["m"].notnull().all().item(), heard)
print(signal.getsignal(signal.SIGTERM) is mine)
"""
THREAD = """
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
found = []
thread = threading.Thread(target=lambda: found.append(run(study, "s", workers=1)))
thread.start()
while not os.listdir("begun"):
    time.sleep(0.02)
print(before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
thread.join()
print(found[0]["m"].notnull().all().item())
"""


def script(text: str) -> tuple[int, list[str], str]:
    words = [sys.executable, "-c", SCRIPT + text]
    process = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    return process.returncode, process.stdout.splitlines(), process.stderr


def test_a_script_hears_of_signals_as_of_any_and_its_handlers_come_back(folder):
    code, (interrupted, restored, last), said = script(INTERRUPTED)
    assert interrupted.startswith("interrupted by Ctrl-C after ")
    assert restored == "True"
    assert last == "finally"
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in said
    assert len(begun() - done()) <= 1


def test_who_has_a_handler_of_his_own_keeps_it(folder):
    assert script(OWN)[:2] == (0, [f"True [{int(signal.SIGTERM)}]", "True"])


def test_outside_of_the_main_thread_no_handler_changes(folder):
    assert script(THREAD)[:2] == (0, ["True", "True"])


# --- what computes -----------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """What is asked of those who compute here, in this test only."""
    monkeypatch.setattr(stop, "_current", stop.Stop())
    return stop.current()


def after(calls: int, then: Callable[[], None], function: Callable[..., object]) -> object:
    """Function that does something more at one of its calls."""
    made: list[int] = []

    def counted(*arguments: object) -> object:
        made.append(1)
        if len(made) == calls:
            then()
        return function(*arguments)

    return counted


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("moment", [1, 2, 5])
def test_what_is_told_to_save_goes_on_with_the_same_bits(
    width, moment, asked, tmp_path, monkeypatch
):
    tasks = walks(9, 4, 12, 7)
    whole = ensemble.realize(tasks, {}, width)
    kept = Checkpoints(str(tmp_path), tasks)  # long before the first checkpoint is due
    monkeypatch.setattr(ensemble, "SLICE_S", 0.0)  # of one advance
    looked = after(moment, asked.save, Checkpoints.due)
    monkeypatch.setattr(Checkpoints, "due", lambda self: looked(self))
    first: dict[int, object] = {}  # filled as far as it goes
    stream = ensemble.stream(tasks, {}, width, kept)
    with pytest.raises(stop.StoppedError):
        first.update(stream)
    assert 1 <= len(list(tmp_path.iterdir())) <= width
    monkeypatch.setattr(stop, "_current", stop.Stop())
    left = [number for number in range(len(tasks)) if number not in first]
    kept = Checkpoints(str(tmp_path), [tasks[number] for number in left])
    again = ensemble.stream([tasks[number] for number in left], {}, width, kept)
    found = first | {left[place]: result for place, result in again}
    assert sum(steps for steps, _ in kept.earlier.values()) > 0
    for number, one in enumerate(whole):
        assert_identical(found[number], one)


@pytest.mark.parametrize("width", [1, 2])
def test_what_is_told_to_finish_begins_no_other(width, asked, monkeypatch, tmp_path):
    tasks = walks(*[6] * 8)
    whole = ensemble.realize(tasks, {}, width)
    observed = []
    for number, found in ensemble.stream(tasks, {}, width, Checkpoints(str(tmp_path), tasks)):
        assert_identical(found, whole[number])
        observed.append(number)
        asked.finishing = True
    # lanes were refilled before the first pair was measured
    assert len(observed) == {1: 1, 2: 4}[width] or len(observed) == width
    assert not list(tmp_path.iterdir())


def test_who_was_asked_before_is_not_asked_anew(asked):
    """A thread that cannot be stopped at once must not go on since another run begins."""
    asked.save()
    assert stop.renewed() is stop.current()
    assert not stop.current().saving
    with pytest.raises(stop.StoppedError):
        asked.check()


ON_A_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_is_closed_ends_a_run_which_leaves_nobody_behind(workers, folder):
    Path("study.toml").write_text(STUDY.format("0, 1, 2, 3"))
    ours, its = os.openpty()
    words = ["-m", "criticality", "run", "study.toml", "--store", "s", "--workers", str(workers)]
    words += ["--system", "sleeper.py:sleeper", "--set", "seconds=60.0"]
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, *words], stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    wait_until(lambda: len(begun()) == workers)
    os.close(ours)
    assert process.wait(15) == 128 + signal.SIGHUP
    ending = next(Path("s/results").glob("*.jsonl")).read_bytes().splitlines()[-1]
    assert b'{"end"' in ending


def test_a_long_training_is_saved_at_once_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(LONG)
    words = [sys.executable, "-m", "criticality", "run", "study.toml", "--store", "s"]
    for wait in (1.0, 4.0, 16.0):  # till both have begun to train
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([*words, "--workers", "2"], **pipes, text=True)
        wait_until(lambda: any(Path("s/results").glob("*.jsonl")))
        time.sleep(wait)
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        _, said = process.communicate(timeout=25)  # schedulers kill after 30 s
        assert process.returncode == 128 + signal.SIGTERM
        if (saved := Store("s").begun()) == 2:
            break
    assert saved == 2
    assert "2 begun are saved" in said
    assert time.monotonic() - start < 15
    process = subprocess.Popen([*words, "--workers", "1"], **pipes, text=True)
    line = ""
    while "goes on after" not in line:
        line = process.stderr.readline()
    assert int(line.split()[5]) > 0
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=25)


LONG = """
system = "dropout"
realizations = 2
[controls]
dataset = "synthetic"
n_train = 800
n_validation = 100
width = 12
batch_size = 32
max_epochs = 1000000
patience = 1000000
p_eval = [0.0, 0.5]
"""
