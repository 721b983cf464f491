r"""Absolute free energies of solid and liquid at (T, P), and where they are equal.

A state machine over windows, for any potential c . B; nothing here knows a system's controls, so
that it may be a part of another realization.  The windows, one after another:

1. both phases at (T, P): densities, enthalpies, the springs of the Einstein crystal;
2. the solid at its mean volume with a fixed centre of mass, U_s = s^3 U + (1 - s^3) E with springs
   E = k sum |x - x_0|^2 / 2, at Gauss-Legendre nodes in s, from s = 1 down;
3. the liquid at its mean volume, U_s = s^4 U, at the same nodes;
4. both phases at (T_1, P), (T_2, P), ...: steps towards Delta phi = 0.

Free energies are without the momenta (thermal wavelengths are 1), which are the same in both
phases.  With N atoms, v = V/N and k_B = 1:

    F_s/T = -ln v - 3/2 ln N - 3/2 (N - 1) ln(2 pi T / k) + int_0^1 3 s^2 <U - E>_s ds / T
    F_l/T = ln N! - N ln V + int_0^1 4 s^3 <U>_s ds / T

The first is the Einstein crystal of fixed centre of mass [Frenkel & Ladd, J. Chem. Phys. 81, 3188
(1984); Polson, Trizac, Pronk & Frenkel, J. Chem. Phys. 112, 5339 (2000)].  In both <U> grows as
lambda^-3/4 with the scale lambda of a vanishing U, since atoms of r^-12 come close; in the crystal
they seldom do, but enough to spoil a quadrature in lambda.  In s integrands are smooth.  On the way
the liquid is heated at constant density, T / lambda: there is no transition.

Of both, what is not proportional to N is taken away (`size_terms`), so that what is left is that
of an infinite system but for terms of the next order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from criticality.nn import bits
from criticality.systems.lennard_jones.melting import BLOCKS
from criticality.systems.lennard_jones.melting import LIQUID as THINNER
from criticality.systems.lennard_jones.model import dynamics, measure, pairs
from criticality.systems.lennard_jones.model.references import (
    einstein_crystal,
    ideal_gas,
    size_terms,
)
from criticality.thermo.free_energy import legendre

SOLID, LIQUID = 0, 1
FRICTION = 5.0  # energies forget fastest: 1 and 30 take twice as long
LONGER = 4  # windows of the scaled liquid, whose energies fluctuate most
MOVE = 0.35  # width of moves of ln V, over sqrt(N): some half are accepted
MELT = 0.05  # scale of the potential at which the lattice is molten, of the first liquid
LARGEST = 0.05  # step along temperature, relative
NPT, EINSTEIN, SCALED = 0, 1, 2
POWERS = (3, 4)  # of s in the scale of the potential, of solid and liquid


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What fixes shapes.

    Attributes
    ----------
    cells
        Of 4 atoms each, along every axis.
    nodes
        Of each of the two integrals.
    path
        Temperatures at which both phases are sampled, the first included.
    equilibration, samples, stride
        Steps before measuring at every window; samples a block; steps between two samples.
    dt
        Step of time; the smaller, the smaller lambda of the liquid.
    """

    cells: int = 4
    nodes: int = 10
    path: int = 3
    equilibration: int = 1000
    samples: int = 50
    stride: int = 10
    dt: float = 0.005

    @property
    def atoms(self) -> int:
        """N of each phase."""
        return 4 * self.cells**3

    @cached_property
    def parts(self) -> NDArray[Any]:
        """What is done, [parts, 4]: window, kind, phase, and block (-1: none is measured)."""
        start = [(p, NPT, p) for p in (SOLID, LIQUID)]
        nodes = range(2, 2 + self.nodes)
        crystal = [(w, EINSTEIN, SOLID) for w in nodes]
        scaled = [(w + self.nodes, SCALED, LIQUID) for w in nodes]
        later = range(2 + 2 * self.nodes, 2 * (self.path + self.nodes))
        path = [(w, NPT, w % 2) for w in later]
        every: list[tuple[int, ...]] = []
        for window, kind, phase in [*start, *crystal, *scaled, *path]:
            warm = 3 if window < 2 else 1
            every += [(window, kind, phase, block) for block in range(-warm, BLOCKS)]
            if window == LIQUID:
                every[-warm - BLOCKS] = (window, SCALED, phase, -warm)  # the lattice is molten
        return np.array(every)

    @property
    def windows(self) -> int:
        """Number of windows."""
        return 2 * (self.nodes + self.path)

    @property
    def steps(self) -> int:
        """Steps of dynamics in all."""
        measured = self.parts[:, 3] >= 0
        stride = np.where(self.parts[:, 1] == SCALED, LONGER, 1) * self.stride
        each = np.where(measured, self.samples * stride, self.equilibration)
        return int(each.sum())


class State(NamedTuple):
    """State of one calculation.

    Attributes
    ----------
    seed
        uint32 [2].
    part
        int32 scalar: parts done.
    free, held
        Boxes of both phases at given pressure, and at given volume.
    temperatures
        [path], as far as they are known.
    series
        float32 [windows, blocks, samples, 3]: energy c . B, volume, sum of squared distances from
        the lattice sites, at equal centres of mass.
    """

    seed: jax.Array
    part: jax.Array
    free: tuple[dynamics.Particles, dynamics.Particles]
    held: tuple[dynamics.Particles, dynamics.Particles]
    temperatures: jax.Array
    series: jax.Array


class Result(NamedTuple):
    """What is known when all windows are done; phases in the order solid, liquid; per atom.

    Attributes
    ----------
    temperatures
        [path].
    delta_phi, delta_phi_error
        (mu_liquid - mu_solid) / T, [path].
    enthalpy, density
        [path, 2].
    free_energy, free_energy_error
        Of an infinite system, at the first temperature and the density there, [2].
    size
        What was taken away for that, [2].
    melting_temperature, melting_temperature_error
        Where Delta phi = 0, from the last temperature by its enthalpies.
    coexistence
        Densities there, [2].
    melting_enthalpy
        h_liquid - h_solid there.
    slope
        dP/dT of the line there, by Clapeyron's equation.
    lindemann
        Root of the mean square displacement of the solid over its distance of neighbours, [path].
    """

    temperatures: jax.Array
    delta_phi: jax.Array
    delta_phi_error: jax.Array
    enthalpy: jax.Array
    density: jax.Array
    free_energy: jax.Array
    free_energy_error: jax.Array
    size: jax.Array
    melting_temperature: jax.Array
    melting_temperature_error: jax.Array
    coexistence: jax.Array
    melting_enthalpy: jax.Array
    slope: jax.Array
    lindemann: jax.Array


def begin(
    schedule: Schedule,
    basis: pairs.Basis,
    c: jax.Array,
    temperature: ArrayLike,
    seed: jax.Array,
    density: ArrayLike = 1.0,
) -> State:
    """Both phases on the lattice sites.

    Parameters
    ----------
    c
        Coefficients of the pair potential [F].
    seed
        uint32 [2].
    density
        Of the solid, about: the pressure soon finds its own.
    """
    potential, sites = dynamics.Potential(basis=basis, c=c), pairs.fcc(schedule.cells)
    boxes = [
        dynamics.begin(
            potential,
            sites,
            jnp.full(3, jnp.cbrt(schedule.atoms / share / density), jnp.float32),
            temperature,
            bits.reseed(seed, jnp.uint32(2**31 + phase)),
        )
        for phase, share in ((SOLID, 1.0), (LIQUID, THINNER))
    ]
    both = (boxes[SOLID], boxes[LIQUID])
    return State(
        seed,
        jnp.int32(0),
        both,
        both,
        jnp.full(schedule.path, temperature, jnp.float32),
        jnp.zeros((schedule.windows, BLOCKS, schedule.samples, 3), jnp.float32),
    )


def finished(schedule: Schedule, state: State) -> jax.Array:
    """Whether all windows are done."""
    return state.part >= len(schedule.parts)


def advance(
    schedule: Schedule,
    basis: pairs.Basis,
    c: jax.Array,
    temperature: ArrayLike,
    pressure: ArrayLike,
    state: State,
) -> State:
    """Do one part of a window: its equilibration, or a block of samples."""
    window, kind, phase, block = jnp.asarray(schedule.parts)[state.part]
    seed = bits.reseed(state.seed, state.part.astype(jnp.uint32))
    measured = block >= 0
    stride = jnp.where(kind == SCALED, LONGER, 1) * schedule.stride
    stride = jnp.where(measured, stride, schedule.equilibration)
    count = jnp.where(measured, schedule.samples, 1)
    later = 2 + 2 * schedule.nodes
    stage = jnp.where(window < later, 0, (window - later) // 2 + 1)
    now = state.temperatures[stage]

    def free(state: State) -> State:
        potential = dynamics.Potential(basis=basis, c=c)

        def step(at: dynamics.Particles, number: jax.Array) -> dynamics.Particles:
            return dynamics.npt(
                potential,
                at,
                now,
                pressure,
                bits.reseed(seed, number.astype(jnp.uint32)),
                dt=schedule.dt,
                friction=FRICTION,
                moves=stride // 10,
                width=MOVE / math.sqrt(schedule.atoms),
            )[0]

        box = jax.tree.map(lambda *x: jnp.stack(x)[phase], *state.free)
        box, series = _sampled(schedule, basis, c, potential, box, step, count)
        return _stored(state, window, block, series)._replace(free=_put(state.free, phase, box))

    def held(
        particles: dynamics.Particles, mixed: dynamics.Potential, dt: ArrayLike, fixed: bool
    ) -> tuple[dynamics.Particles, jax.Array]:
        def step(at: dynamics.Particles, number: jax.Array) -> dynamics.Particles:
            return dynamics.langevin(
                mixed,
                at,
                now,
                bits.reseed(seed, number.astype(jnp.uint32)),
                dt=dt,
                friction=FRICTION,
                steps=stride,
                fixed_centre=fixed,
            )

        return _sampled(schedule, basis, c, mixed, particles, step, count, fixed=fixed)

    first = block < 0
    nodes = legendre(schedule.nodes)[0].astype(np.float32)

    def einstein(state: State) -> State:
        node = window - 2
        scale = jnp.asarray(nodes[::-1])[node] ** POWERS[SOLID]
        fresh = _at_mean_volume(schedule, state, SOLID)
        box = _chosen(first & (node == 0), fresh, state.held[SOLID])
        springs = dynamics.Springs(
            (1 - scale) * stiffness(schedule, state), pairs.fcc(schedule.cells)
        )
        mixed = dynamics.Potential(basis=basis, c=c, scale=scale, springs=springs)
        box, series = held(box, mixed, schedule.dt, True)
        return _stored(state, window, block, series)._replace(held=(box, state.held[LIQUID]))

    def scaled(state: State) -> State:
        melting = window == LIQUID
        node = jnp.clip(window - 2 - schedule.nodes, 0)
        at = jnp.where(melting, MELT ** (1 / POWERS[LIQUID]), jnp.asarray(nodes[::-1])[node])
        fresh = _at_mean_volume(schedule, state, LIQUID)
        box = _chosen(first & (node == 0), fresh, state.held[LIQUID])
        box = _chosen(melting, state.free[LIQUID], box)
        mixed = dynamics.Potential(basis=basis, c=c, scale=at ** POWERS[LIQUID])
        box, series = held(box, mixed, schedule.dt * jnp.cbrt(at), False)
        kept = _stored(state, window, block, series)._replace(held=(state.held[SOLID], box))
        molten = (state.free[SOLID], _chosen(melting, box, state.free[LIQUID]))
        return kept._replace(free=molten)

    state = jax.lax.switch(kind, (free, einstein, scaled), state)
    state = state._replace(part=state.part + 1)
    ends = (block == BLOCKS - 1) & (phase == LIQUID) & (window >= later - 1)
    following = jnp.clip(jnp.where(window < later, 1, stage + 1), 0, schedule.path - 1)
    found = result(schedule, temperature, pressure, state)
    before = jnp.where(window < later, 0, stage)
    aim = _next(found, before)
    temperatures = state.temperatures.at[following].set(
        jnp.where(ends & (before + 1 < schedule.path), aim, state.temperatures[following])
    )
    return state._replace(temperatures=temperatures)


def stiffness(schedule: Schedule, state: State) -> jax.Array:
    """Springs of the Einstein crystal: its mean square displacement is that of the solid."""
    return 3 * (schedule.atoms - 1) * state.temperatures[0] / jnp.mean(state.series[SOLID, ..., 2])


def integrands(schedule: Schedule, state: State) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Integrands of solid and liquid at their nodes, means and errors, per atom and over T.

    Returns
    -------
    mean, error
        [2, nodes].
    weights
        [nodes], of both.
    """
    nodes, atoms = schedule.nodes, schedule.atoms
    at, weight = (jnp.asarray(x, jnp.float32) for x in legendre(nodes))
    series = state.series[2 : 2 + 2 * nodes].reshape(2, nodes, BLOCKS, schedule.samples, 3)
    springs = stiffness(schedule, state) / 2 * series[SOLID, ..., 2]
    energy = series[..., 0].at[SOLID].add(-springs)
    factor = jnp.stack([power * at ** (power - 1) for power in POWERS])
    mean, error = _averaged(energy[:, ::-1] / (atoms * state.temperatures[0]))
    mean, error = factor * mean, factor * error
    return mean, error, weight


def result(schedule: Schedule, temperature: ArrayLike, pressure: ArrayLike, state: State) -> Result:
    """Free energies and their difference along the path; NaN or wrong before all is `finished`."""
    atoms, path = schedule.atoms, schedule.path
    later = 2 + 2 * schedule.nodes
    ends = [state.series[:2], state.series[later:]]
    free = jnp.concatenate(ends).reshape(path, 2, BLOCKS, schedule.samples, 3)
    volumes, (enthalpy, enthalpy_error) = (
        jnp.mean(free[..., 1], axis=(-2, -1)),
        _averaged((free[..., 0] + pressure * free[..., 1]) / atoms),
    )
    density = atoms / volumes
    displacement = jnp.mean(free[:, SOLID, ..., 2], axis=(-2, -1)) / atoms
    variance = (jnp.std(free[0, LIQUID, ..., 1]) * density[0, LIQUID]) ** 2

    mean, error, weight = integrands(schedule, state)
    size = size_terms(atoms, volumes[0, SOLID], displacement[0], variance)
    over = stiffness(schedule, state) / state.temperatures[0]
    reference = jnp.stack(
        [einstein_crystal(atoms, volumes[0, SOLID], over), ideal_gas(atoms, volumes[0, LIQUID])]
    )
    helmholtz = mean @ weight + (reference - size) / atoms
    uncertain = jnp.sqrt(error**2 @ weight**2)
    gibbs = helmholtz + pressure / (density[0] * temperature)

    gap, gap_variance = enthalpy[:, 1] - enthalpy[:, 0], jnp.sum(enthalpy_error**2, axis=1)
    steps = jnp.diff(1 / state.temperatures)
    changes = steps * (gap[1:] + gap[:-1]) / 2
    phi = (gibbs[1] - gibbs[0]) + jnp.concatenate([jnp.zeros(1), jnp.cumsum(changes)])
    spread = steps**2 * (gap_variance[1:] + gap_variance[:-1]) / 4
    phi_error = jnp.sqrt(
        jnp.sum(uncertain**2) + jnp.concatenate([jnp.zeros(1), jnp.cumsum(spread)])
    )
    inverse = 1 / state.temperatures[-1] - phi[-1] / gap[-1]
    inverse_error = jnp.hypot(phi_error[-1], phi[-1] / gap[-1] * jnp.sqrt(gap_variance[-1]))
    melting = 1 / inverse
    # densities and the gap at the melting temperature: lines through the last two, or the last
    slope = (density[-1] - density[-2]) / (state.temperatures[-1] - state.temperatures[-2])
    beyond = jnp.nan_to_num(slope * (melting - state.temperatures[-1]), posinf=0, neginf=0)
    coexistence = density[-1] + beyond
    expansion = 1 / coexistence[1] - 1 / coexistence[0]
    apart = jnp.cbrt(math.sqrt(2) / density[:, SOLID])
    return Result(
        state.temperatures,
        phi,
        phi_error,
        enthalpy,
        density,
        helmholtz * temperature,
        uncertain * temperature,
        size * temperature / atoms,
        melting,
        melting**2 * inverse_error / jnp.abs(gap[-1]),
        coexistence,
        gap[-1],
        gap[-1] / (melting * expansion),
        jnp.sqrt(displacement) / apart,
    )


def solid_shares(state: State) -> jax.Array:
    """Share of solid-like atoms in both phases at the end, [2]: a lost phase does not come back."""
    return jnp.stack([jnp.mean(measure.bond_order(b.s, b.box).solid) for b in state.free])


def room(schedule: Schedule, basis: pairs.Basis, state: State) -> jax.Array:
    """Side of the smaller box over twice the cutoff: near 1 a box cannot shrink any further."""
    least = jnp.min(jnp.mean(state.series[:2, ..., 1], axis=(1, 2)))
    later = jnp.mean(state.series[2 + 2 * schedule.nodes :, ..., 1], axis=(1, 2))
    return jnp.cbrt(jnp.minimum(least, jnp.min(later))) / (2 * jnp.asarray(basis.cutoff))


def _next(found: Result, stage: jax.Array) -> jax.Array:
    """Temperature after that of `stage`: where Delta phi = 0 by its enthalpies, or on the way."""
    now, gap = found.temperatures[stage], found.enthalpy[stage, 1] - found.enthalpy[stage, 0]
    aim = 1 / (1 / now - found.delta_phi[stage] / gap)
    aim = jnp.where(jnp.isfinite(aim) & (aim > 0), aim, now)
    return jnp.clip(aim, now * (1 - LARGEST), now * (1 + LARGEST))


def _averaged(samples: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean of samples [..., blocks, samples], and its error from the means of blocks."""
    blocks = jnp.mean(samples, axis=-1)
    error = jnp.std(blocks, axis=-1, ddof=1) / math.sqrt(BLOCKS)
    return jnp.mean(blocks, axis=-1), error


def _sampled(
    schedule: Schedule,
    basis: pairs.Basis,
    c: jax.Array,
    potential: dynamics.Potential,
    box: dynamics.Particles,
    step: Any,
    count: jax.Array,
    *,
    fixed: bool = False,
) -> tuple[dynamics.Particles, jax.Array]:
    """Take `count` samples [samples, 3], each after a step; forces are made anew before."""
    sites = pairs.fcc(schedule.cells)
    pull = potential.forces(box.s, box.box)
    box = box._replace(
        forces=dynamics.centred(pull) if fixed else pull,
        momenta=dynamics.centred(box.momenta) if fixed else box.momenta,
    )

    def sample(
        i: jax.Array, now: tuple[dynamics.Particles, jax.Array]
    ) -> tuple[dynamics.Particles, jax.Array]:
        at, series = now
        at = step(at, i)
        seen = jnp.stack(
            [
                pairs.energy(basis, at.s, at.box, c),
                jnp.prod(at.box),
                jnp.sum((dynamics.centred(at.s - sites) * at.box[:, None]) ** 2),
            ]
        )
        return at, series.at[i].set(seen)

    empty = jnp.zeros((schedule.samples, 3), jnp.float32)
    after: tuple[dynamics.Particles, jax.Array] = jax.lax.fori_loop(0, count, sample, (box, empty))
    return after


def _stored(state: State, window: jax.Array, block: jax.Array, series: jax.Array) -> State:
    old = state.series[window, block]
    return state._replace(
        series=state.series.at[window, block].set(jnp.where(block >= 0, series, old))
    )


def _at_mean_volume(schedule: Schedule, state: State, phase: int) -> dynamics.Particles:
    """Give the box at pressure P, brought to its mean volume and the centre of the lattice."""
    box = state.free[phase]
    side = jnp.cbrt(jnp.mean(state.series[phase, ..., 1]))
    middle = jnp.mean(box.s - pairs.fcc(schedule.cells), axis=1, keepdims=True)
    return box._replace(s=box.s - middle, box=jnp.full(3, side))


def _chosen(
    which: jax.Array, one: dynamics.Particles, other: dynamics.Particles
) -> dynamics.Particles:
    chosen: dynamics.Particles = jax.tree.map(lambda a, b: jnp.where(which, a, b), one, other)
    return chosen


def _put(
    boxes: tuple[dynamics.Particles, dynamics.Particles],
    phase: jax.Array,
    box: dynamics.Particles,
) -> tuple[dynamics.Particles, dynamics.Particles]:
    return (
        _chosen(phase == SOLID, box, boxes[SOLID]),
        _chosen(phase == LIQUID, box, boxes[LIQUID]),
    )
