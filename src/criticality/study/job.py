"""What a worker does: compute some tasks.  Who hands them out loads no jax."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from criticality import data
from criticality.base import DataError, RunError, System, Task, card, plain, reason, required
from criticality.engine import host, stop

LIBRARIES = ("jax", "jaxlib", "numpy", "scipy", "torch", "numba")
# what is the machine's fault and not the task's: data, memory, disk, a library that is not there
ELSEWHERE = (OSError, MemoryError, ImportError)
EXHAUSTED = "RESOURCE_EXHAUSTED"  # memory, as XLA says it


@dataclass(frozen=True)
class Outcome:
    """What a worker sends back of one task."""

    arrays: dict[str, np.ndarray[Any, Any]]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """Why there is no outcome of a task, in words.

    Attributes
    ----------
    reason
        One line for people.
    own
        Whether it is the task's own fault, so that another attempt would fail as well; else the
        machine's.
    """

    reason: str
    own: bool


def stream(
    batch: Sequence[Task], folder: str | None, width: int | None, checkpoints: str | None = None
) -> Iterator[tuple[int, Outcome | Failed]]:
    """Compute tasks that share a template, and give each as soon as it is there.

    Parameters
    ----------
    batch
        Tasks, those of most work first.
    folder
        Where to look for data sets first.
    width
        Realizations advanced together; None measures what is best.
    checkpoints
        Folder where states of long realizations are kept, and those of an interrupted run are.

    Yields
    ------
    number, outcome
        Place in `batch`, and what came of that task.  One that fails stops none of the others,
        but those that are advanced together fail together.

    Raises
    ------
    StoppedError
        If this process is asked to stop; states are saved by then.
    """
    try:
        arrays = _arrays(batch[0], folder)
    except Exception as error:
        yield from ((number, _failed(batch[0].system, error)) for number in range(len(batch)))
        return
    serial = plain(batch[0].system) or width == 1
    asked = stop.current()
    left = list(range(len(batch)))
    while left and not asked.finishing:
        numbers, part = tuple(left), [batch[number] for number in left]
        try:
            for place, outcome in _outcomes(part, arrays, width, checkpoints, asked):
                left.remove(numbers[place])
                yield numbers[place], outcome
        except stop.StoppedError:
            raise
        except (Exception, SystemExit) as error:  # one's own code may exit
            # in words: its traceback would keep what is on the device
            failed = _failed(part[0].system, error, alone=serial or len(part) == 1)
            guilty = left[:1] if serial else left[:]
            del left[: len(guilty)]
            yield from ((number, failed) for number in guilty)


def _outcomes(
    batch: Sequence[Task],
    arrays: Mapping[str, Any],
    width: int | None,
    checkpoints: str | None,
    asked: stop.Stop,
) -> Iterator[tuple[int, Outcome]]:
    """Add to what a system gives where it comes from."""
    steps = (
        _plain(batch, arrays, asked)
        if plain(batch[0].system)
        else _mapped(batch, arrays, width, checkpoints, asked)
    )
    start = time.perf_counter()
    for number, result, about in steps:
        seconds = time.perf_counter() - start + about.pop("earlier_seconds", 0.0)
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        about |= {**_versions(), "wall_seconds": seconds, "created": stamp}
        yield number, Outcome(result, about)
        start = time.perf_counter()


def _failed(system: System, error: BaseException, *, alone: bool = True) -> Failed:
    """Say why, with the line in the file of a user's own system.

    What several give that are advanced together has the same shape; what else one of them fails
    at is not known to be its fault.
    """
    if isinstance(error, DataError | RunError):
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        return Failed(said, own=isinstance(error, RunError))
    own = alone and not isinstance(error, ELSEWHERE) and EXHAUSTED not in str(error)
    module = sys.modules.get(type(system).__module__)
    return Failed(reason(error, str(getattr(module, "__file__", ""))), own)


def _plain(
    batch: Sequence[Task], arrays: Mapping[str, Any], asked: stop.Stop
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    about = {"device": f"cpu: {_processor()}", "dtype": "as returned", "lanes": 1}
    for number, result in host.stream(batch, arrays):
        yield number, result, {**about, "resumed_after": 0, "compile_seconds": 0.0}
        if asked.finishing:
            return


def _mapped(
    batch: Sequence[Task],
    arrays: Mapping[str, Any],
    width: int | None,
    checkpoints: str | None,
    asked: stop.Stop,
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    from criticality.engine import ensemble, programs
    from criticality.engine.checkpoint import Checkpoints

    compiling = programs.compile_seconds()
    together = width or ensemble.best_width(batch, arrays)
    kept = Checkpoints(checkpoints, batch, asked)
    about = {"device": programs.device_name(), "dtype": card(batch[0].system).precision}
    for number, result in ensemble.stream(batch, arrays, together, kept):
        resumed, earlier = kept.earlier.get(number, (0, 0.0))
        yield (
            number,
            host.checked(batch[number].system, result),
            {
                **about,
                "lanes": together,
                "resumed_after": resumed,  # advances, by a run that was interrupted
                "earlier_seconds": earlier,
                "compile_seconds": programs.compile_seconds() - compiling,  # of wall_seconds
            },
        )
        compiling = programs.compile_seconds()


def compute(
    batch: Sequence[Task],
    folder: str | None,
    width: int | None,
    checkpoints: str | None = None,
    give: Callable[[int, Outcome | Failed], None] | None = None,
) -> list[tuple[int, Outcome | Failed]]:
    """All that `stream` gives; what an executor is given.

    Less than all, if this process was asked to stop; `give` is handed each instead, as soon as it
    is there, where it can be.

    Raises
    ------
    StoppedError
        If this process was asked to stop before.
    """
    stop.current().check()
    results: list[tuple[int, Outcome | Failed]] = []
    with data.looking_in(folder), contextlib.suppress(stop.StoppedError):
        for number, outcome in stream(batch, folder, width, checkpoints):
            if give:
                give(number, outcome)
            else:
                results.append((number, outcome))
    return results


def _arrays(task: Task, folder: str | None) -> dict[str, Any]:
    """Arrays that a task requires.

    Raises
    ------
    DataError
        Also if they are not those that its key was made of.
    """
    source = required(task.system)
    if not source:
        return {}
    found = data.load(source, folder)
    if found.checksum != task.checksum:
        raise DataError(
            f"{source}: changed since the study was made, or another file here (sha256 "
            f"{found.checksum[:12]}, not {task.checksum[:12]}). Start again for the new data."
        )
    return found.arrays()


def accelerated() -> bool:
    """Whether jax has an accelerator here; it is not even loaded where it cannot have one."""
    from importlib.util import find_spec

    plugins = importlib.metadata.entry_points(group="jax_plugins")
    with contextlib.suppress(ModuleNotFoundError):
        if not (plugins or find_spec("jax_plugins") or find_spec("libtpu")):
            return False
    from criticality.engine import programs

    return programs.accelerated()


def _versions() -> dict[str, str]:
    """Versions and commit; the libraries are those that this process has loaded."""
    return _versions_of(tuple(name for name in LIBRARIES if name in sys.modules))


@cache
def _versions_of(loaded: tuple[str, ...]) -> dict[str, str]:
    with_version = []
    for name in loaded:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            with_version.append(f"{name} {importlib.metadata.version(name)}")
    return {
        "criticality": importlib.metadata.version("criticality"),
        "commit": _commit(),
        "libraries": ", ".join(with_version),
        "python": platform.python_version(),
    }


@cache
def _processor() -> str:
    return host.processor_name()


@cache
def _commit() -> str:
    """Commit of this package, where it is run from its repository."""
    here = Path(__file__).parent
    flags = ("--always", "--dirty", "--abbrev=40", "--exclude=*")
    command = ["git", "-C", str(here), "describe", *flags]
    # a repository around an installed package is not this package's
    if here.parents[1].name != "src":
        return "unknown"
    try:
        git = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return "unknown"
    return git.stdout.strip() or "unknown"
