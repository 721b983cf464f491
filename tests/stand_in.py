"""Systems that stand in for physics where only what happens around a task is tested.

    Nothing    plain: does nothing, or sleeps a moment, and gives 200 bytes
    Large      plain: gives a megabyte
    Faulty     plain: raises, gives NaN, leaves its process or is wrong of shape at some points
    Walk       a state machine in JAX with long realizations, which an interruption would change if
               anything of the state were lost

All are given by `--system tests/stand_in.py:NAME`, so that workers, shards and clusters have them.
The environment variables STAND_IN_* are read in the process that computes.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from criticality import Card, Observable, Phase, Rule, control

HERE = Path(__file__)
NUMBERS = 24  # of 8 bytes, beside a single one
SAVED_S = "STAND_IN_SAVED_S"  # seconds between checkpoints, in place of half a minute
TORN_S = "STAND_IN_TORN_S"  # seconds between two halves of every write to a file
SHORT = 200  # bytes that are written at once


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """A task that costs nothing: what is measured is what surrounds it."""

    card: ClassVar[Card] = Card(
        name="nothing",
        observables=(
            Observable(name="level", doc="x and noise"),
            Observable(name="numbers", dims=("place",)),
        ),
        plane=("x",),
        phases=(Phase(name="low", letter="L"), Phase(name="high", letter="H")),
        rules=(
            Rule(phase="low", quantity="level", below=0.5),
            Rule(phase="high", quantity="level", above=0.5),
        ),
    )

    x: float = control(0.0)
    seconds: float = control(0.0, unit="s", interval="[0, inf)", doc="that it sleeps")

    def inner(self):
        return {"place": range(NUMBERS)}

    def compute(self, rng, data):
        time.sleep(self.seconds)
        numbers = rng.normal(size=NUMBERS)
        return {"numbers": numbers, "level": self.x + 0.1 * numbers[0]}


@dataclass(frozen=True, kw_only=True)
class Large:
    """Numbers that no compression makes smaller."""

    card: ClassVar[Card] = Card(
        name="large",
        observables=(Observable(name="numbers", dims=("place",)),),
    )

    x: float = control(0.0)
    size: int = control(125_000, interval="[1, inf)", static=True, doc="numbers of 8 bytes")

    def inner(self):
        return {"place": range(self.size)}

    def compute(self, rng, data):
        return {"numbers": rng.random(self.size) + self.x}


KINDS = ("fine", "raises", "nan", "leaves", "killed", "shape", "once")


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """One kind of fault at each point; `once` is a fault of the machine, gone the second time.

    What is to happen once is noted in the folder that STAND_IN_ONCE names.
    """

    card: ClassVar[Card] = Card(
        name="faulty",
        observables=(
            Observable(name="number"),
            Observable(name="maybe", undefined=True),
        ),
    )

    kind: str = control("fine", choices=KINDS)

    def compute(self, rng, data):
        number = rng.random()
        if self.kind == "raises":
            raise ValueError("this point has no solution")
        if self.kind == "leaves":
            os._exit(3)
        if self.kind == "killed" or (self.kind == "once" and _first(f"{number}")):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "shape":
            return {"number": [number, number], "maybe": 0.0}
        return {"number": np.nan if self.kind == "nan" else number, "maybe": np.nan}


def _first(name: str) -> bool:
    """Whether nobody asked for this name before."""
    try:
        (Path(os.environ["STAND_IN_ONCE"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class _Walker(NamedTuple):
    count: Any
    key: Any
    place: Any
    coarse: Any
    nothing: Any


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A random walk whose every step depends on all before, with leaves of many types."""

    card: ClassVar[Card] = Card(
        name="long-walk",
        observables=(
            Observable(name="count", doc="advances"),
            Observable(name="place", dims=("axis",), doc="where it is"),
        ),
    )

    x: float = control(1.5, doc="how far a step goes")
    units: int = control(40, symbol="u", doc="advances", interval="[0, inf)")
    steps: int = control(1_000, doc="of an advance", interval="[1, inf)")

    def __post_init__(self):
        if seconds := os.environ.get(SAVED_S):  # also where it was sent to
            from criticality.engine import checkpoint, ensemble

            checkpoint.CHECKPOINT_S = ensemble.SLICE_S = float(seconds)
            checkpoint.SHARE = float("inf")

    def inner(self):
        return {"axis": (0.0, 1.0, 2.0)}

    def work(self):
        return 1e9 * self.units  # worth a process

    def begin(self, key, data):
        import jax.numpy as jnp

        zeros = jnp.zeros(3)
        return _Walker(jnp.int32(0), key, zeros, zeros.astype(jnp.bfloat16), jnp.zeros((0, 2)))

    def advance(self, state, data):
        import jax
        import jax.numpy as jnp

        noise = jax.random.normal(jax.random.fold_in(state.key, state.count), (3,))

        def step(_, place):
            return self.x * jnp.sin(place) + noise

        place = jax.lax.fori_loop(0, self.steps, step, state.place)
        coarse = state.coarse + place.astype(jnp.bfloat16)
        return _Walker(state.count + 1, state.key, place + coarse, coarse, state.nothing)

    def finished(self, state):
        return state.count >= self.units

    def observe(self, state, data):
        return {"count": state.count, "place": state.place}


def _tear(seconds: float) -> None:
    """Write files in two halves with pauses between and after, as a slow disk might."""
    whole, synced = os.write, os.fsync

    def write(file: int, content: Any) -> int:
        if len(content) < SHORT or not stat.S_ISREG(os.fstat(file).st_mode):
            return whole(file, content)
        half = whole(file, content[: len(content) // 2])
        time.sleep(seconds)
        return half + whole(file, content[half:])

    def write_bytes(path: Path, content: Any) -> int:
        with path.open("wb", buffering=0) as file:
            return write(file.fileno(), content)

    def fsync(file: int) -> None:
        time.sleep(seconds)
        synced(file)

    os.write, os.fsync, Path.write_bytes = write, fsync, write_bytes


if os.environ.get(TORN_S):
    _tear(float(os.environ[TORN_S]))
