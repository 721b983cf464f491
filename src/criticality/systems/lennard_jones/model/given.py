"""What is given to a refinement: the potential and its correction, the targets, the simulator."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.lennard_jones import published
from criticality.systems.lennard_jones.model import absolute, dynamics, measure, pairs
from criticality.systems.lennard_jones.refinement import LennardJonesRefinement
from criticality.thermo import refinement

SOLID = 0.5  # share of solid-like atoms
FRICTION = 5.0  # of sampling: energies forget fastest
INNER = 0.85  # the pair term is constant below
MOVE = 0.35  # width of moves of ln V, over sqrt(N)
PATH = 3  # temperatures of an absolute calculation
LEAST = 0.15  # of the scale of the potential energy, that of the pair term


def basis(system: LennardJonesRefinement) -> pairs.Basis:
    """Give what pair potentials are made of."""
    return pairs.Basis(cutoff=system.cutoff, terms=system.terms, span=(INNER, system.cutoff))


def schedule(system: LennardJonesRefinement) -> absolute.Schedule:
    """Give the windows of an absolute free energy."""
    return absolute.Schedule(
        cells=system.cells,
        nodes=system.nodes,
        path=PATH,
        equilibration=system.settling,
        samples=system.samples,
        dt=system.dt,
    )


def problem(system: LennardJonesRefinement, key: jax.Array) -> refinement.Problem:
    """Give the inverse problem; the hidden weights of the pair term are drawn from the key."""
    hidden, points = system.hidden, system.states
    pressure = jnp.linspace(system.lowest, system.highest, points, dtype=jnp.float32)
    temperature = system.target * melting_line(pressure)
    weights = jax.random.normal(stream(key, "pair term"), (2, hidden))
    theta = jnp.concatenate([jnp.zeros(2), (weights * jnp.array([[2.0], [1.0]])).reshape(-1)])
    theta = jnp.concatenate([theta, jnp.zeros(hidden)])
    powers = jnp.where(system.learned != "neural", system.power_width, 0.0)
    neural = jnp.where(system.learned != "powers", system.neural_width, 0.0)
    width = jnp.concatenate([jnp.full(2, powers), jnp.full(3 * hidden, neural)])
    check = jnp.array([[SOLID, jnp.inf], [-jnp.inf, SOLID]])
    none = jnp.array([[-jnp.inf, jnp.inf]] * 2)
    lines = jnp.stack(_table(temperature / system.target), axis=-1)
    return refinement.Problem(
        sample=sampler(system),
        coefficients=lambda theta: coefficients(system, theta),
        theta=theta,
        width=width,
        temperature=temperature,
        pressure=pressure,
        bounds=jnp.where(system.phase_check, check, none),
        continuation=system.continuation,
        floor=system.floor,
        observables=lambda c, features, volume: (system.atoms / volume)[..., None],
        targets=lines[..., None],
        gamma=system.gamma,
        gammas=jnp.reshape(system.density_weight, (1,)),
        tolerance=system.tolerance,
        settle=system.settle,
        rounds=system.rounds,
        blocks=max(2, 10 // system.replicas),
    )


def melting_line(pressure: jax.Array) -> jax.Array:
    """Temperature of the published line."""
    t = np.linspace(published.LOWEST, published.HIGHEST, 2000)
    p = published.pressure(t)
    return jnp.interp(pressure, jnp.asarray(p, jnp.float32), jnp.asarray(t, jnp.float32))


def _table(temperature: jax.Array) -> list[jax.Array]:
    t = np.linspace(published.LOWEST, published.HIGHEST, 2000)
    at = jnp.asarray(t, jnp.float32)
    return [jnp.interp(temperature, at, jnp.asarray(d)) for d in published.densities(t)]


def densities(problem: refinement.Problem) -> jax.Array:
    """Give those of the line, [states, 2]."""
    return jnp.asarray(problem.targets)[..., 0]


def coefficients(system: LennardJonesRefinement, theta: jax.Array) -> jax.Array:
    """c(theta): factors of both powers, and the pair term projected on Chebyshev polynomials.

    The projection is that of interpolation at the zeros of T_terms.
    """
    given = pairs.lennard_jones(system.epsilon, system.sigma)
    w, b, v = theta[2:].reshape(3, system.hidden)
    angle = math.pi * (np.arange(system.terms) + 0.5) / system.terms
    values = jnp.tanh(np.cos(angle)[:, None] * w + b) @ v * LEAST
    cosines = np.cos(np.outer(np.arange(system.terms), angle)) * 2 / system.terms
    cosines[0] /= 2
    series = jnp.asarray(cosines, jnp.float32) @ values
    return jnp.concatenate([given * (1 + theta[:2]), series])


# --- the simulator ---------------------------------------------------------------------------


def sampler(system: LennardJonesRefinement) -> refinement.Sampler:
    """Give the simulator: all boxes of a phase, one after another."""
    of_pairs = basis(system)

    def sample(
        key: jax.Array,
        state: dynamics.Particles,
        phase: jax.Array,
        coefficients: jax.Array,
        temperature: jax.Array,
        pressure: jax.Array,
    ) -> tuple[dynamics.Particles, refinement.Samples]:
        potential = dynamics.Potential(basis=of_pairs, c=coefficients)
        seeds = bits.seeds(key, (system.replicas, 2))

        def on(
            box: dynamics.Particles, seed: jax.Array, first: jax.Array, moves: int
        ) -> dynamics.Particles:
            return dynamics.npt(
                potential,
                box,
                temperature,
                pressure,
                seed,
                dt=system.dt,
                friction=FRICTION,
                moves=moves,
                width=MOVE / math.sqrt(system.atoms),
                first=first,
            )[0]

        def one(
            given: tuple[dynamics.Particles, jax.Array],
        ) -> tuple[dynamics.Particles, refinement.Samples]:
            box, seed = given
            box = box._replace(forces=potential.forces(box.s, box.box))
            box = on(box, seed, jnp.int32(0), system.equilibration)

            def snapshot(
                box: dynamics.Particles, number: jax.Array
            ) -> tuple[dynamics.Particles, refinement.Samples]:
                first = system.equilibration + number * system.spacing
                box = on(box, seed, first, system.spacing)
                order = jnp.mean(measure.bond_order(box.s, box.box).solid)
                features = pairs.features(of_pairs, box.s, box.box)
                return box, refinement.Samples(features, jnp.prod(box.box), order)

            return jax.lax.scan(snapshot, box, jnp.arange(system.snapshots))

        after: tuple[dynamics.Particles, refinement.Samples] = jax.lax.map(one, (state, seeds))
        return after

    return sample
