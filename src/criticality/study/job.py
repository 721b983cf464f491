"""What a worker does: compute some tasks.  Who hands them out loads no jax."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from criticality import catalog, data
from criticality.base import DataError, RunError, System, Task, card, plain, reason, required

log = logging.getLogger("criticality")
T = TypeVar("T")
LIBRARIES = ("jax", "jaxlib", "numpy", "scipy", "torch", "numba")


@dataclass(frozen=True)
class Outcome:
    """What a worker sends back of one task."""

    arrays: dict[str, np.ndarray[Any, Any]]
    provenance: dict[str, Any]


def stream(
    batch: Sequence[Task], folder: str | None, width: int | None, checkpoints: str | None = None
) -> Iterator[tuple[Task, Outcome]]:
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
    """
    arrays = _arrays(batch[0], folder)
    steps = (
        _plain(batch, arrays)
        if plain(batch[0].system)
        else _mapped(batch, arrays, width, checkpoints)
    )
    start = time.perf_counter()
    for number, result, about in _in_words(batch[0].system, steps):
        seconds = time.perf_counter() - start + about.pop("earlier_seconds", 0.0)
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        task = batch[number]
        known = {**_versions(), "source_sha256": catalog.source_sha256(task.system), **about}
        provenance = {**known, "wall_seconds": seconds, "created": stamp}
        yield task, Outcome(arrays=result, provenance=provenance)
        start = time.perf_counter()


def _in_words(system: System, steps: Iterator[T]) -> Iterator[T]:
    """Raise errors of a system's own code as `RunError`, with the line in its file."""
    try:
        yield from steps
        return
    except (DataError, RunError):
        raise
    except Exception as error:
        module = sys.modules.get(type(system).__module__)
        said = RunError(reason(error, str(getattr(module, "__file__", ""))))
    raise said  # not while the other is handled: its traceback keeps what is on the device


def _plain(
    batch: Sequence[Task], arrays: Mapping[str, Any]
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    from criticality.engine import host

    about = {"device": f"cpu: {host.processor_name()}", "dtype": "as returned", "lanes": 1}
    for number, result in host.stream(batch, arrays):
        yield number, result, {**about, "resumed_after": 0, "compile_seconds": 0.0}


def _mapped(
    batch: Sequence[Task], arrays: Mapping[str, Any], width: int | None, checkpoints: str | None
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    from criticality.engine import ensemble, host, programs
    from criticality.engine.checkpoint import Checkpoints

    compiling = programs.compile_seconds()
    together = width or ensemble.best_width(batch, arrays)
    kept = Checkpoints(checkpoints, batch)
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
    batch: Sequence[Task], folder: str | None, width: int | None, checkpoints: str | None = None
) -> list[tuple[Task, Outcome]]:
    """All that `stream` gives; what an executor is given."""
    with data.looking_in(folder):
        return list(stream(batch, folder, width, checkpoints))


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
    loaded = [name for name in LIBRARIES if name in sys.modules]
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
