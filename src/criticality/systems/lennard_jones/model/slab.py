"""A crystal and its melt in one box, at given temperature and pressure: which of them grows.

A state machine over samples, each after a number of steps, for any potential c . B.  The stages:

1. the whole box is the crystal at (T, P): its lattice constant;
2. at the mean volume, the upper half is molten: its atoms are hot, those of the lower half are tied
   to their sites;
3. all atoms at T; the pressure moves the long side alone, so that the crystal is not strained;
4. the same, measured: the share of solid-like atoms rises below T_m and falls above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.nn import bits
from criticality.systems.lennard_jones.model import dynamics, measure, pairs

EVERY = 10  # steps between moves of the volume
MOVE = 0.35  # width of moves of ln V, over sqrt(N)
QUICK, SLOW = 5.0, 1.0  # friction before measuring, and while interfaces shall move freely
TIE = 100.0  # stiffness of the springs of the lower half, in T rho^(2/3)
BULK, MELT, RELAX, MEASURE = range(4)
GONE = (0.15, 0.85)  # share of solid-like atoms at which a phase has nearly vanished


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What fixes shapes.

    Attributes
    ----------
    cells
        Of 4 atoms each, along the two short sides.
    length
        Of the long side over the short ones.
    equilibration
        Samples of each half of stage 1 (the second is averaged) and of stage 2; of stage 3, which
        must be short since the crystal grows or melts already, a quarter.
    samples
        That are measured.
    stride
        Steps from one sample to the next, a multiple of 10.
    dt
        Step of time.
    hot
        Temperature of the half that is molten, over T.
    """

    cells: int = 4
    length: int = 2
    equilibration: int = 40
    samples: int = 400
    stride: int = 50
    dt: float = 0.005
    hot: ArrayLike = 3.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along the sides."""
        return self.cells, self.cells, self.cells * self.length

    @property
    def atoms(self) -> int:
        """N."""
        return 4 * math.prod(self.shape)

    @property
    def before(self) -> int:
        """Samples before measuring."""
        return 3 * self.equilibration + self.equilibration // 4

    @property
    def total(self) -> int:
        """Samples in all."""
        return self.before + self.samples


class State(NamedTuple):
    """State of one box.

    Attributes
    ----------
    seed
        uint32 [2].
    particles
        The box.
    sample
        int32 scalar: samples done.
    series
        float32 [total, 3]: share of solid-like atoms, energy c . B and volume an atom.
    """

    seed: jax.Array
    particles: dynamics.Particles
    sample: jax.Array
    series: jax.Array


class Result(NamedTuple):
    """What the measured samples say.

    Attributes
    ----------
    rate
        Slope of the share of solid-like atoms with time, by least squares.
    share
        [samples], with time; NaN after a phase has vanished.
    enthalpy
        (U + P V)/N, [samples]; the same.
    lasted
        Time until one of the phases had nearly vanished, or all that was measured.
    density
        Of the crystal of stage 1.
    """

    rate: jax.Array
    share: jax.Array
    enthalpy: jax.Array
    lasted: jax.Array
    density: jax.Array


def begin(
    schedule: Schedule,
    basis: pairs.Basis,
    c: jax.Array,
    temperature: ArrayLike,
    seed: jax.Array,
    density: ArrayLike = 1.0,
) -> State:
    """Atoms on the sites of a lattice of about this density."""
    side = jnp.cbrt(4 / jnp.asarray(density, jnp.float32))
    box = side * jnp.asarray(schedule.shape, jnp.float32)
    particles = dynamics.begin(
        dynamics.Potential(basis=basis, c=c),
        pairs.fcc(schedule.shape),
        box,
        temperature,
        bits.reseed(seed, jnp.uint32(2**31)),
    )
    series = jnp.zeros((schedule.total, 3), jnp.float32)
    return State(seed, particles, jnp.int32(0), series)


def finished(schedule: Schedule, state: State) -> jax.Array:
    """Whether all samples are taken, or one of the phases has vanished."""
    share = state.series[jnp.maximum(state.sample - 1, 0), 0]
    gone = (state.sample > schedule.before) & ((share < GONE[0]) | (share > GONE[1]))
    return gone | (state.sample >= schedule.total)


def advance(
    schedule: Schedule,
    basis: pairs.Basis,
    c: jax.Array,
    temperature: ArrayLike,
    pressure: ArrayLike,
    state: State,
) -> State:
    """Go on to the next sample."""
    many = schedule.equilibration
    stages = jnp.asarray([2 * many, 3 * many, schedule.before])
    stage = jnp.sum(state.sample >= stages)
    seed = bits.reseed(state.seed, state.sample.astype(jnp.uint32))
    sites = pairs.fcc(schedule.shape)
    potential = dynamics.Potential(basis=basis, c=c)

    def moved(at: dynamics.Particles, axis: int | None, friction: ArrayLike) -> dynamics.Particles:
        return dynamics.npt(
            potential,
            at,
            temperature,
            pressure,
            seed,
            dt=schedule.dt,
            friction=friction,
            moves=schedule.stride // EVERY,
            every=EVERY,
            width=MOVE / math.sqrt(schedule.atoms),
            axis=axis,
        )[0]

    def bulk(at: dynamics.Particles) -> dynamics.Particles:
        return moved(at, None, QUICK)

    def melt(at: dynamics.Particles) -> dynamics.Particles:
        volume = jnp.mean(state.series[many : 2 * many, 2]) * schedule.atoms
        scale = jnp.cbrt(volume / jnp.prod(at.box))
        middle = jnp.mean(at.s - sites, axis=1, keepdims=True)
        first = state.sample == 2 * many
        at = at._replace(
            s=jnp.where(first, at.s - middle, at.s), box=jnp.where(first, scale, 1.0) * at.box
        )
        upper = sites[2] >= 0.5
        tie = TIE * temperature * (schedule.atoms / volume) ** (2 / 3)
        springs = dynamics.Springs(jnp.where(upper, 0.0, tie), sites)
        tied = dynamics.Potential(basis=basis, c=c, springs=springs)
        return dynamics.langevin(
            tied,
            at._replace(forces=tied.forces(at.s, at.box)),
            jnp.where(upper, schedule.hot, 1.0) * temperature,
            seed,
            dt=schedule.dt / jnp.sqrt(jnp.asarray(schedule.hot)),
            friction=QUICK,
            steps=schedule.stride,
        )

    def slab(at: dynamics.Particles) -> dynamics.Particles:
        friction = jnp.where(stage == RELAX, QUICK, SLOW)
        return moved(at._replace(forces=potential.forces(at.s, at.box)), 2, friction)

    at = jax.lax.switch(jnp.minimum(stage, RELAX), (bulk, melt, slab), state.particles)
    seen = jnp.stack(
        [
            jnp.mean(measure.bond_order(at.s, at.box).solid),
            pairs.energy(basis, at.s, at.box, c) / schedule.atoms,
            jnp.prod(at.box) / schedule.atoms,
        ]
    )
    return State(state.seed, at, state.sample + 1, state.series.at[state.sample].set(seen))


def result(
    schedule: Schedule,
    pressure: ArrayLike,
    state: State,
) -> Result:
    """Rate of growth while there were two phases, from the last sample before measuring on."""
    share, energy, volume = state.series[schedule.before - 1 :].T
    times = schedule.dt * schedule.stride * jnp.arange(schedule.samples + 1)
    lasted = jnp.maximum(state.sample - schedule.before, 1)
    kept = jnp.arange(schedule.samples + 1) <= lasted
    weight = kept / jnp.sum(kept)
    t, x = times - weight @ times, share - weight @ share
    rate = (weight * t) @ x / ((weight * t) @ t)
    many = schedule.equilibration
    return Result(
        rate,
        jnp.where(kept, share, jnp.nan)[1:],
        jnp.where(kept, energy + pressure * volume, jnp.nan)[1:],
        lasted * schedule.dt * schedule.stride,
        1 / jnp.mean(state.series[many : 2 * many, 2]),
    )
