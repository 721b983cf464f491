"""Dynamics of one box of atoms of unit mass: Langevin, velocity Verlet, and moves of the volume.

Positions are scaled coordinates that are never folded back, so that displacements are their
differences.  All noise is a function of (seed, number of the step) alone: neither batching nor how
steps are grouped into calls changes a result.

Langevin dynamics act on all 3N momenta, and the centre of mass diffuses freely: the kinetic energy
is 3N T / 2.  With `fixed_centre`, forces, noise and momenta are projected on a total of zero at
every step, which leaves 3N - 3 degrees of freedom; so does `nve` from momenta without a total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jax.typing import ArrayLike

from criticality.nn import bits
from criticality.systems.lennard_jones.model import pairs


class Springs(NamedTuple):
    """Harmonic springs k |x - x_0|^2 / 2 that tie the atoms to sites.

    Attributes
    ----------
    stiffness
        k, scalar.
    sites
        Scaled coordinates [3, N] of the x_0; not by the nearest image.
    """

    stiffness: ArrayLike
    sites: jax.Array


@dataclass(frozen=True, kw_only=True)
class Potential:
    """What drives the atoms: lambda c . B, and springs.

    Attributes
    ----------
    basis, c
        The pair potential, and its coefficients [F].
    scale
        lambda.
    springs
        None for none.
    """

    basis: pairs.Basis
    c: jax.Array
    scale: ArrayLike = 1.0
    springs: Springs | None = None

    def energy(self, s: jax.Array, box: jax.Array) -> jax.Array:
        """Energy of scaled coordinates [3, N] in a box of sides [3]."""
        found = jnp.asarray(self.scale) * pairs.energy(self.basis, s, box, self.c)
        return found + spring_energy(self.springs, s, box) if self.springs else found

    def forces(self, s: jax.Array, box: jax.Array) -> jax.Array:
        """Give the forces [3, N]."""
        found = jnp.asarray(self.scale) * pairs.forces(self.basis, s, box, self.c)
        if self.springs:
            apart = (self.springs.sites - s) * box[:, None]
            found += jnp.asarray(self.springs.stiffness) * apart
        return found


class Particles(NamedTuple):
    """State of one box.

    Attributes
    ----------
    s
        Scaled coordinates [3, N], unfolded.
    momenta
        [3, N].
    forces
        [3, N], of these coordinates.
    box
        Its sides [3].
    """

    s: jax.Array
    momenta: jax.Array
    forces: jax.Array
    box: jax.Array


def spring_energy(springs: Springs, s: jax.Array, box: jax.Array) -> jax.Array:
    """Energy of the springs."""
    apart = (s - springs.sites) * box[:, None]
    return jnp.asarray(springs.stiffness) * jnp.sum(jnp.sum(apart**2, axis=0)) / 2


def normals(seed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw standard normal numbers, each from its own number under a seed [2]."""
    return ndtri(_uniforms(seed, shape))


def begin(
    potential: Potential,
    s: jax.Array,
    box: jax.Array,
    temperature: ArrayLike,
    seed: jax.Array,
    *,
    fixed_centre: bool = False,
) -> Particles:
    """Atoms with momenta drawn at a temperature."""
    momenta = jnp.sqrt(temperature) * normals(seed, s.shape)
    momenta = centred(momenta) if fixed_centre else momenta
    return Particles(s, momenta, potential.forces(s, box), box)


def centred(momenta: jax.Array) -> jax.Array:
    """Momenta [3, N] without their total."""
    return momenta - jnp.mean(momenta, axis=1, keepdims=True)


def kinetic(momenta: jax.Array) -> jax.Array:
    """Kinetic energy."""
    return jnp.sum(jnp.sum(momenta**2, axis=0)) / 2


def langevin(
    potential: Potential,
    particles: Particles,
    temperature: ArrayLike,
    seed: jax.Array,
    *,
    dt: ArrayLike,
    friction: ArrayLike,
    steps: ArrayLike,
    first: ArrayLike = 0,
    fixed_centre: bool = False,
) -> Particles:
    """Langevin dynamics by the BAOAB splitting, a force a step.

    Configurations are sampled with an error of order dt^2, exactly so in a harmonic well whatever
    dt [Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013)].

    Parameters
    ----------
    seed
        uint32 [2].
    friction
        gamma, a rate: momenta forget themselves as exp(-gamma t).
    steps, first
        How many, and the number of the first, which chooses its noise.
    fixed_centre
        Whether the centre of mass stays where it is.
    """
    keep = jnp.exp(-jnp.asarray(friction) * dt)
    kick = jnp.sqrt((1 - keep**2) * temperature)
    project = centred if fixed_centre else lambda x: x
    box = particles.box
    drift = dt / 2 / box[:, None]

    def step(i: jax.Array, at: Particles) -> Particles:
        noise = project(normals(bits.reseed(seed, i), at.s.shape))
        momenta = at.momenta + dt / 2 * at.forces
        s = at.s + drift * momenta
        momenta = keep * momenta + kick * noise
        s = s + drift * momenta
        forces = project(potential.forces(s, box))
        return Particles(s, momenta + dt / 2 * forces, forces, box)

    first = jnp.asarray(first, jnp.int32)
    after: Particles = jax.lax.fori_loop(first, first + steps, step, particles)
    return after


def nve(
    potential: Potential, particles: Particles, *, dt: ArrayLike, steps: ArrayLike
) -> Particles:
    """Velocity Verlet: energy is conserved but for oscillations of order dt^2."""
    box = particles.box

    def step(_: jax.Array, at: Particles) -> Particles:
        momenta = at.momenta + dt / 2 * at.forces
        s = at.s + dt * momenta / box[:, None]
        forces = potential.forces(s, box)
        return Particles(s, momenta + dt / 2 * forces, forces, box)

    after: Particles = jax.lax.fori_loop(0, steps, step, particles)
    return after


def volume_move(
    potential: Potential,
    particles: Particles,
    temperature: ArrayLike,
    pressure: ArrayLike,
    seed: jax.Array,
    *,
    width: ArrayLike,
    axis: int | None = None,
) -> tuple[Particles, jax.Array]:
    """Metropolis move of ln V at fixed scaled coordinates and momenta, and whether it was accepted.

    The weight of (s, ln V) is V^(N+1) exp[-(U + P V) / T].  Boxes with a side below twice the
    cutoff are no states.

    Parameters
    ----------
    seed
        uint32 [2], of this move.
    width
        ln V is moved by up to it, either way.
    axis
        Of the side that moves; None: all, which keep their ratios.
    """
    atoms = particles.s.shape[1]
    step, level = _uniforms(seed, (2,))
    change = width * (2 * step - 1)
    if axis is None:
        box = particles.box * jnp.exp(change / 3)
    else:
        box = particles.box.at[axis].multiply(jnp.exp(change))
    before = jnp.prod(particles.box)
    work = potential.energy(particles.s, box) - potential.energy(particles.s, particles.box)
    work += pressure * before * jnp.expm1(change)
    gain = (atoms + 1) * change - work / temperature
    accepted = (jnp.log(level) < gain) & jnp.all(box >= 2 * jnp.asarray(potential.basis.cutoff))
    box = jnp.where(accepted, box, particles.box)
    forces = potential.forces(particles.s, box)
    return Particles(particles.s, particles.momenta, forces, box), accepted


def npt(
    potential: Potential,
    particles: Particles,
    temperature: ArrayLike,
    pressure: ArrayLike,
    seed: jax.Array,
    *,
    dt: ArrayLike,
    friction: ArrayLike,
    moves: ArrayLike,
    every: int = 10,
    width: ArrayLike,
    first: ArrayLike = 0,
    axis: int | None = None,
) -> tuple[Particles, jax.Array]:
    """Langevin dynamics with a move of the volume after each `every` steps.

    Parameters
    ----------
    moves, first
        How many moves of the volume, and the number of the first.
    others
        As of `langevin` and `volume_move`.

    Returns
    -------
    particles, accepted
        And how many moves were accepted, int32.
    """
    noise, choice = (bits.reseed(seed, jnp.uint32(part)) for part in (0, 1))

    def move(i: jax.Array, now: tuple[Particles, jax.Array]) -> tuple[Particles, jax.Array]:
        at, accepted = now
        at = langevin(
            potential,
            at,
            temperature,
            noise,
            dt=dt,
            friction=friction,
            steps=every,
            first=i * every,
        )
        at, yes = volume_move(
            potential,
            at,
            temperature,
            pressure,
            bits.reseed(choice, i),
            width=width,
            axis=axis,
        )
        return at, accepted + yes

    first = jnp.asarray(first, jnp.int32)
    after: tuple[Particles, jax.Array] = jax.lax.fori_loop(
        first, first + moves, move, (particles, jnp.int32(0))
    )
    return after


def adapted(width: ArrayLike, accepted: ArrayLike, target: float = 0.4) -> jax.Array:
    """Width of moves after a share of them was accepted; for equilibration only.

    Wider if more than the target were, narrower if less, and at most 0.5.
    """
    return jnp.minimum(width * jnp.exp(jnp.asarray(accepted) - target), 0.5)


def _uniforms(seed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw numbers inside of (0, 1), each from its own number under a seed [2]."""
    uniform: jax.Array = ((bits.words(seed, shape) >> 9).astype(jnp.float32) + 0.5) * (
        jnp.float32(2.0**-23)
    )
    return uniform
