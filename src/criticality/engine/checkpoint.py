"""Checkpoints: states of long realizations in files, from which an interrupted run goes on.

    FOLDER/<key>.state    names, shapes and types of the leaves (a line of JSON), the leaves, a seal

A checkpoint only ever saves time.  One that is damaged, of another task or of other versions is
ignored with a word, and so is a folder that cannot be written.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from criticality import files
from criticality.base import Task
from criticality.engine import stop

log = logging.getLogger("criticality")
State = Any  # a pytree of arrays
Leaves = dict[str, np.ndarray[Any, Any]]  # of a state, by their path in it, on the host

CHECKPOINT_S = 30.0  # between two checkpoints
MOST = 2.0**62  # advances, or seconds; NaN is not less
SHARE = 0.02  # of the time that saving may take; the pause grows where the disk is slow
FORMAT = 1

_refused: set[str] = set()  # folders that could not be written, of which we have told


def _is_key(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def leaves(state: State) -> Leaves:
    """Arrays of a state on the host; of random keys, their words."""
    return {
        jax.tree_util.keystr(path): np.asarray(jax.random.key_data(x) if _is_key(x) else x)
        for path, x in jax.tree_util.tree_leaves_with_path(state)
    }


def restored(like: State, found: Leaves) -> State:
    """State with the structure of `like` and the numbers of `found`, in memory of its own."""

    def leaf(old: Any, new: np.ndarray[Any, Any]) -> jax.Array:
        array = jnp.array(new)  # a copy, which may be given away
        if _is_key(old):
            array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(old))
        return array

    old, form = jax.tree.flatten(like)
    return jax.tree.unflatten(form, [leaf(*pair) for pair in zip(old, found.values(), strict=True)])


class Checkpoints:
    """States of some tasks in a folder.

    Parameters
    ----------
    folder
        Made when it is needed, within one that is there; None keeps nothing.
    tasks
        They are meant where a number is.
    asked
        What is asked of those who compute them; by default what is asked of this process.

    Attributes
    ----------
    earlier
        For each number that was loaded: advances and seconds up to its checkpoint.
    stop
        Whether what is computed is to be saved at once, and to end.
    """

    def __init__(
        self, folder: str | None, tasks: Sequence[Task], asked: stop.Stop | None = None
    ) -> None:
        self.folder = Path(folder) if folder else None
        self.tasks = tasks
        self.earlier: dict[int, tuple[int, float]] = {}
        self.stop = asked or stop.current()
        self.wait()

    def wait(self) -> None:
        """Start the clock."""
        self._next = time.monotonic() + CHECKPOINT_S

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.folder is not None and (self.stop.saving or time.monotonic() >= self._next)

    def save(self, states: Iterable[tuple[int, Leaves, int, float]]) -> None:
        """Write number, leaves, advances and seconds (of this process) of some realizations."""
        start, steps = time.monotonic(), []
        try:
            for number, found, advances, seconds in states:
                before, already = self.earlier.get(number, (0, 0.0))
                steps.append(before + advances)
                self._write(number, found, (steps[-1], already + seconds))
        except OSError as error:
            assert self.folder is not None
            if isinstance(error, FileNotFoundError) and self.folder.is_dir():
                self.wait()  # another run has finished this task, and removed what there was of it
                return
            if str(self.folder) not in _refused:
                _refused.add(str(self.folder))
                log.warning("no checkpoints, so an interruption would cost more: %s", error)
            self.folder = None
            return
        end = time.monotonic()
        self._next = end + max(CHECKPOINT_S, (end - start) / SHARE)
        if steps:
            log.info("checkpoint of %d realization(s), %d advances in all", len(steps), sum(steps))

    def _write(self, number: int, found: Leaves, progress: tuple[int, float]) -> None:
        path = self._file(number)
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(_header(self.tasks[number], found)).encode() + b"\n"
        numbers = [np.array(progress, np.float64), *found.values()]
        parts: list[Any] = [
            text,
            *(np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in numbers),
        ]
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            for part in (*parts, files.seal(parts)):
                file.write(part)

    def _file(self, number: int) -> Path:
        assert self.folder is not None
        return files.checkpoint(self.folder, self.tasks[number].key)

    def there(self, number: int) -> bool:
        """Whether there is a file to load, good or not."""
        return self.folder is not None and self._file(number).exists()

    def load(self, number: int, like: Leaves) -> Leaves | None:
        """Leaves of a realization as they were saved; None if they are of no use.

        Parameters
        ----------
        like
            Leaves of any state of this realization.
        """
        path = self._file(number)
        try:
            content = files.unsealed(path)
            text = io.BytesIO(content).readline()
            there, here = json.loads(text), _header(self.tasks[number], like)
            if other := [name for name in here if there[name] != here[name]]:
                raise ValueError(f"it has another {' and another '.join(other)}")
            progress, at = np.ndarray(2, np.float64, content, len(text)), len(text) + 16
            if not all(0 <= number < MOST for number in progress):
                raise ValueError(f"it has made {progress[0]} advances in {progress[1]} s")
            found = {}
            for name, x in like.items():
                found[name] = np.ndarray(x.shape, x.dtype, content, at)
                at += x.nbytes
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is not used: %s", path, error)
            return None
        steps, seconds = int(progress[0]), float(progress[1])
        self.earlier[number] = steps, seconds
        log.info("realization %d goes on after %d advances", self.tasks[number].realization, steps)
        return found


def _header(task: Task, found: Leaves) -> dict[str, Any]:
    """All that must be the same where a checkpoint is used."""
    versions = {name: importlib.metadata.version(name) for name in ("criticality", "jax", "jaxlib")}
    shapes = [[name, list(x.shape), str(x.dtype)] for name, x in found.items()]
    return {"format": FORMAT, "key": task.key, **versions, "leaves": shapes}
