"""Small systems with known answers, one or two for each edge of the protocol.

The forms of a pair are the same system: a plain function, and four JAX functions.

    sweep           ordered inner axis: a field up and down; hysteresis for J > 1
    paramagnet      common disorder: the same random fields at every temperature
    passage         censored and undefined observables: a geometric first-passage time
    sum64, sum32    numbers of 64 and of 32 bits, and the same with 32
    power           deterministic: a power law with a wiggle, exponent 1 - T
    walk            recorders: a random walk in bounded memory
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality import Study, keys, run
from criticality.base import (
    Card,
    Observable,
    Phase,
    Rule,
    System,
    Task,
    canonical,
    control,
    plain,
)
from criticality.engine import ensemble, host
from criticality.nn import recorders
from criticality.nn.streams import stream

# --- an ordered inner axis ---

LOOP = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 0.5, 0.25, 0.0, -0.25, -0.5, -1.0)
RELAX = 200  # steps at each field


def spinodal(coupling: float) -> float:
    """Field at which the magnetization of m = tanh(J m + h) jumps."""
    m = math.sqrt(1 - 1 / coupling)
    return coupling * m - math.atanh(m)


SWEEP: dict[str, Any] = {
    "observables": (
        Observable(name="magnetization", dims=("field",), label="magnetization"),
        Observable(name="first", doc="where the first field started"),
    ),
    "plane": ("coupling",),
}


@dataclass(frozen=True, kw_only=True)
class PlainSweep:
    """Mean-field magnet whose field is changed step by step, from a random start."""

    card: ClassVar[Card] = Card(name="plain-sweep", **SWEEP)

    coupling: float = control(2.0, symbol="J", interval="(0, inf)")
    field: tuple[float, ...] = control(LOOP, symbol="h", inner=True, ordered=True)

    def compute(self, rng, data):
        m = first = rng.uniform(-1, 1)
        found = []
        for h in self.field:
            for _ in range(RELAX):
                m += 0.5 * (math.tanh(self.coupling * m + h) - m)
            found.append(m)
        return {"magnetization": found, "first": first}


class _Magnet(NamedTuple):
    place: jax.Array
    m: jax.Array
    first: jax.Array
    found: jax.Array


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The same; an advance is one field."""

    card: ClassVar[Card] = Card(name="sweep", **SWEEP)

    coupling: float = control(2.0, symbol="J", interval="(0, inf)")
    field: tuple[float, ...] = control(LOOP, symbol="h", inner=True, ordered=True)

    def work(self):
        return 10.0 * RELAX * len(self.field)

    def begin(self, key, data):
        m = jax.random.uniform(stream(key, "start"), minval=-1.0)
        return _Magnet(jnp.int32(0), m, m, jnp.zeros(len(self.field)))

    def advance(self, state, data):
        h = jnp.asarray(self.field)[state.place]

        def relax(_, m):
            return m + 0.5 * (jnp.tanh(self.coupling * m + h) - m)

        m = jax.lax.fori_loop(0, RELAX, relax, state.m)
        return _Magnet(state.place + 1, m, state.first, state.found.at[state.place].set(m))

    def finished(self, state):
        return state.place == len(self.field)

    def observe(self, state, data):
        return {"magnetization": state.found, "first": state.first}


# --- disorder that points share ---

SPINS = 50
SWEEPS = 50
PARAMAGNET: dict[str, Any] = {
    "observables": (
        Observable(name="patterns", dims=("spin",), doc="the random fields"),
        Observable(name="energy", doc="energy of a spin, averaged over sweeps"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class PlainParamagnet:
    """Independent spins in Gaussian random fields; the fields are the disorder."""

    card: ClassVar[Card] = Card(name="plain-paramagnet", **PARAMAGNET)

    temperature: float = control(1.0, symbol="T", interval="(0, inf)", shared=True)
    strength: float = control(1.0, interval="(0, inf)")

    def inner(self):
        return {"spin": range(SPINS)}

    def compute(self, rng, data):
        patterns = self.strength * rng.normal(size=SPINS)
        noise = keys.stream(rng, "noise", self.temperature)
        up = noise.random((SWEEPS, SPINS)) < 1 / (1 + np.exp(-2 * patterns / self.temperature))
        return {"patterns": patterns, "energy": -np.mean(patterns * np.where(up, 1, -1))}


class _Spins(NamedTuple):
    key: jax.Array
    patterns: jax.Array
    sweep: jax.Array
    energy: recorders.Moments


@dataclass(frozen=True, kw_only=True)
class Paramagnet:
    """The same; an advance is one sweep."""

    card: ClassVar[Card] = Card(name="paramagnet", **PARAMAGNET)

    temperature: float = control(1.0, symbol="T", interval="(0, inf)", shared=True)
    strength: float = control(1.0, interval="(0, inf)")

    def work(self):
        return 10.0 * SPINS * SWEEPS

    def inner(self):
        return {"spin": range(SPINS)}

    def begin(self, key, data):
        patterns = self.strength * jax.random.normal(stream(key, "patterns"), (SPINS,))
        noise = stream(key, "noise", self.temperature)
        return _Spins(noise, patterns, jnp.int32(0), recorders.Moments.none(0.0))

    def advance(self, state, data):
        key = jax.random.fold_in(state.key, state.sweep)
        up = jax.random.bernoulli(key, jax.nn.sigmoid(2 * state.patterns / self.temperature))
        energy = -jnp.mean(state.patterns * jnp.where(up, 1.0, -1.0))
        return state._replace(sweep=state.sweep + 1, energy=state.energy.add(energy))

    def finished(self, state):
        return state.sweep == SWEEPS

    def observe(self, state, data):
        return {"patterns": state.patterns, "energy": state.energy.mean}


# --- what may not happen, and what may not be defined ---

PASSAGE: dict[str, Any] = {
    "observables": (
        Observable(name="time", unit="step", doc="of the first event", censored=True),
        Observable(name="wait", unit="step", doc="between the first two events", undefined=True),
    ),
    "plane": ("temperature",),
    "size": "size",
    "phases": (Phase(name="fast", letter="F"), Phase(name="slow", letter="S")),
    "rules": (
        Rule(phase="fast", quantity="time", below=100.0),
        Rule(phase="slow", quantity="time", above=100.0),
    ),
}


def median_time(chance: float) -> float:
    """Median of the geometric distribution, as that of the exponential one: for small chances."""
    return -math.log(2) / math.log1p(-chance)


@dataclass(frozen=True, kw_only=True)
class PlainPassage:
    """Events of chance 1 / (size T) a step, within a budget of steps."""

    card: ClassVar[Card] = Card(name="plain-passage", **PASSAGE)

    size: int = control(16, symbol="L", interval="[1, inf)")
    temperature: float = control(1.0, symbol="T", interval="(0, inf)")
    budget: int = control(100, unit="step", interval="[1, inf)")

    def compute(self, rng, data):
        chance = 1 / (self.size * self.temperature)
        first, wait = rng.geometric(chance, size=2).astype(float)
        return {
            "time": first if first <= self.budget else np.inf,
            "wait": wait if first + wait <= self.budget else np.nan,
        }


class _Events(NamedTuple):
    key: jax.Array
    step: jax.Array
    first: jax.Array
    second: jax.Array


@dataclass(frozen=True, kw_only=True)
class Passage:
    """The same; an advance is one step."""

    card: ClassVar[Card] = Card(name="passage", **PASSAGE)

    size: int = control(16, symbol="L", interval="[1, inf)")
    temperature: float = control(1.0, symbol="T", interval="(0, inf)")
    budget: int = control(100, unit="step", interval="[1, inf)")

    def work(self):
        return 10.0 * self.budget

    def begin(self, key, data):
        return _Events(stream(key, "events"), jnp.int32(0), recorders.never(), recorders.never())

    def advance(self, state, data):
        step = state.step + 1
        chance = 1 / (self.size * self.temperature)
        event = jax.random.uniform(jax.random.fold_in(state.key, step)) < chance
        again = event & jnp.isfinite(state.first)
        return _Events(
            state.key,
            step,
            recorders.first_passage(state.first, step, event),
            recorders.first_passage(state.second, step, again),
        )

    def finished(self, state):
        return (state.step == self.budget) | jnp.isfinite(state.second)

    def observe(self, state, data):
        wait = jnp.where(jnp.isfinite(state.second), state.second - state.first, jnp.nan)
        return {"time": state.first, "wait": wait}


# --- 64 bits ---

TERMS = 100
SUM = (Observable(name="total"), Observable(name="gained", doc="total less what it began with"))


@dataclass(frozen=True, kw_only=True)
class Sum64:
    """A number between 1 and 2 to which a small one is added a hundred times."""

    card: ClassVar[Card] = Card(name="sum64", observables=SUM, precision="float64")

    small: float = control(1e-12, interval="[0, 1]")
    offset: int = control(2**40 + 1, doc="beyond 32 bits")

    def work(self):
        return 1.0 * TERMS

    def begin(self, key, data):
        start = jax.random.uniform(stream(key, "start"), minval=1.0, maxval=2.0)
        if "start" in data:
            start = jnp.asarray(data["start"])
        return jnp.int32(0), start, start

    def advance(self, state, data):
        return state[0] + 1, state[1], state[2] + self.small

    def finished(self, state):
        return state[0] == TERMS

    def observe(self, state, data):
        offset = (self.offset - 2**40) if self.card.precision == "float64" else 0
        return {"total": state[2] + offset, "gained": state[2] - state[1]}


@dataclass(frozen=True, kw_only=True)
class Sum32:
    """The same functions with 32 bits: what is added is lost."""

    card: ClassVar[Card] = Card(name="sum32", observables=SUM)

    small: float = control(1e-12, interval="[0, 1]")
    offset: int = control(0)

    work, begin, advance = Sum64.work, Sum64.begin, Sum64.advance
    finished, observe = Sum64.finished, Sum64.observe


# --- no chance ---

POWER: dict[str, Any] = {
    "observables": (Observable(name="order"), Observable(name="field")),
    "plane": ("temperature",),
    "size": "size",
    "deterministic": True,
    "phases": (Phase(name="growing", letter="G"), Phase(name="falling", letter="F")),
    "rules": (
        Rule(phase="growing", quantity="order", of="exponent", above=0.0),
        Rule(phase="falling", quantity="order", of="exponent", below=0.0),
    ),
}


@dataclass(frozen=True, kw_only=True)
class PlainPower:
    """y = size^(1 - T) with a wiggle of a per cent; and the distance from T = 1.05."""

    card: ClassVar[Card] = Card(name="plain-power", **POWER)

    size: int = control(8, symbol="L", interval="[1, inf)")
    temperature: float = control(0.5, symbol="T", interval="[0, inf)")

    def compute(self, rng, data):
        wiggle = 1 + 0.01 * np.sin(self.size + 7 * self.temperature)
        order = self.size ** (1 - self.temperature) * wiggle
        return {"order": order, "field": self.temperature - 1.05}


@dataclass(frozen=True, kw_only=True)
class Power:
    """The same, with nothing to advance."""

    card: ClassVar[Card] = Card(name="power", **POWER)

    size: int = control(8, symbol="L", interval="[1, inf)")
    temperature: float = control(0.5, symbol="T", interval="[0, inf)")

    def work(self):
        return 10.0

    def begin(self, key, data):
        return jnp.zeros(())

    def advance(self, state, data):
        return state

    def finished(self, state):
        return jnp.bool_(True)

    def observe(self, state, data):
        wiggle = 1 + 0.01 * jnp.sin(self.size + 7 * self.temperature)
        order = jnp.float32(self.size) ** (1 - self.temperature) * wiggle
        return {"order": order, "field": self.temperature - 1.05}


# --- time series in bounded memory ---


class _Walker(NamedTuple):
    key: jax.Array
    step: jax.Array
    place: jax.Array
    series: jax.Array
    moments: recorders.Moments
    passed: jax.Array


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Random walkers with Gaussian steps: <x^2> = t."""

    card: ClassVar[Card] = Card(
        name="walk",
        observables=(
            Observable(name="square", dims=("time",), doc="mean square of the places"),
            Observable(name="variance", doc="of the steps of the first walker"),
            Observable(name="fourth", doc="the same, fourth central moment"),
            Observable(name="passage", doc="first time above `barrier`", censored=True),
        ),
    )

    steps: int = control(100, unit="step", interval="[1, inf)", static=True)
    walkers: int = control(20, interval="[1, inf)", static=True)
    points: int = control(12, doc="times that are recorded", interval="[1, inf)", static=True)
    barrier: float = control(3.0)

    def work(self):
        return 10.0 * self.steps * self.walkers

    def recorder(self):
        return recorders.Recorder(recorders.times(self.steps, self.points))

    def inner(self):
        return {"time": self.recorder().times}

    def begin(self, key, data):
        return _Walker(
            stream(key, "steps"),
            jnp.int32(0),
            jnp.zeros(self.walkers),
            self.recorder().empty(0.0),
            recorders.Moments.none(0.0),
            recorders.never(),
        )

    def advance(self, state, data):
        step = state.step + 1
        drawn = jax.random.normal(jax.random.fold_in(state.key, step), (self.walkers,))
        place = state.place + drawn
        return _Walker(
            state.key,
            step,
            place,
            self.recorder().record(state.series, step, jnp.mean(place**2)),
            state.moments.add(drawn[0]),
            recorders.first_passage(state.passed, step, place[0] > self.barrier),
        )

    def finished(self, state):
        return state.step == self.steps

    def observe(self, state, data):
        return {
            "square": state.series,
            "variance": state.moments.variance,
            "fourth": state.moments.fourth,
            "passage": state.passed,
        }


EDGES: dict[str, type[System]] = {
    kind.card.name: kind
    for kind in (
        PlainSweep,
        Sweep,
        PlainParamagnet,
        Paramagnet,
        PlainPassage,
        Passage,
        Sum64,
        Sum32,
        PlainPower,
        Power,
        Walk,
    )
}


def forms(plain_kind, jax_kind):
    """The three ways in which a pair of systems is computed: (kind, whether in lanes)."""
    several = [(plain_kind, None), (jax_kind, False), (jax_kind, True)]
    return pytest.mark.parametrize(("kind", "lanes"), several, ids=["plain", "serial", "lanes"])


def computed(kind, lanes, path, realizations=1, changes=None, **grid):
    study = Study(system=kind(**(changes or {})), grid=grid, realizations=realizations)
    how = {"vectorize": True, "width": 4} if lanes else {"vectorize": False, "workers": 1}
    return run(study, path, **how)


def realized(kind, lanes, realizations, **changes):
    """Observables [realization, ...] of one point, without a store."""
    one = canonical(kind(), **changes)
    tasks = [Task(system=one, seed=1, realization=r, checksum="") for r in range(realizations)]
    if plain(kind):
        results = [result for _, result in host.stream(tasks, {})]
    else:
        results = ensemble.realize(tasks, {}, width=64 if lanes else 1)
    return {name: np.array([result[name] for result in results]) for name in results[0]}
