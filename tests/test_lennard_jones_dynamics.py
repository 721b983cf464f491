"""Dynamics of one box: what they sample and what they conserve, against exact answers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, kstest

from criticality.nn import bits
from criticality.systems.lennard_jones.model import dynamics, pairs

IDEAL = dynamics.Potential(basis=pairs.Basis(cutoff=0.1, tail=False), c=jnp.zeros(2))


def seeds(number, many=None):
    shape = (2,) if many is None else (many, 2)
    return bits.seeds(jax.random.key(number), shape)


def liquid(cells=3, density=0.8, cutoff=2.2, **more):
    atoms = 4 * cells**3
    box = jnp.full(3, (atoms / density) ** (1 / 3), jnp.float32)
    basis = pairs.Basis(cutoff=cutoff)
    potential = dynamics.Potential(basis=basis, c=pairs.lennard_jones(), **more)
    return potential, pairs.fcc(cells), box


def test_normal_numbers_are_normal_and_depend_on_the_step():
    one, two = (np.asarray(dynamics.normals(seeds(k), (3, 20_000))) for k in (0, 1))
    assert kstest(one.ravel(), "norm").pvalue > 1e-3
    assert kstest(one.ravel() * 1.05, "norm").pvalue < 1e-3
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 4 / math.sqrt(60_000)


@pytest.mark.parametrize("fixed", [False, True], ids=["free", "fixed centre"])
def test_a_harmonic_well_is_sampled_exactly_at_any_step(fixed):
    """Var x = T/k whatever dt; BAOAB momenta are colder, by 1 - (omega dt)^2 / 4."""
    stiffness, temperature, dt = 4.0, 0.7, 0.5  # omega dt = 1
    sites, box = pairs.fcc(2), jnp.array([3.0, 4.0, 5.0])
    springs = dynamics.Springs(jnp.float32(stiffness), sites)
    well = dynamics.Potential(basis=IDEAL.basis, c=IDEAL.c, scale=0.0, springs=springs)

    @jax.jit
    @jax.vmap
    def run(seed):
        start = dynamics.begin(well, sites, box, temperature, seed, fixed_centre=fixed)
        many = {"dt": dt, "friction": 1.0, "fixed_centre": fixed}
        at = dynamics.langevin(well, start, temperature, seed, steps=60, first=1, **many)
        return (at.s - sites) * box[:, None], at.momenta

    moved, momenta = (np.asarray(x, float) for x in run(seeds(2, 300)))
    freedom = 3 * sites.shape[1] - (3 if fixed else 0)
    total, error = 300 * freedom, math.sqrt(2 / (300 * freedom))
    assert abs((moved**2).sum() * stiffness / temperature / total - 1) < 4 * error
    share = (momenta**2).sum() / temperature / total
    assert abs(share - 0.75) < 4 * error
    assert abs(share - 1) > 10 * error
    if fixed:
        assert np.abs(moved.mean(axis=2)).max() < 1e-5
        assert np.abs(momenta.sum(axis=2)).max() < 1e-4
    else:  # the centre of mass is in a well of its own
        centre = (moved.mean(axis=2) ** 2).sum() * 32 * stiffness / temperature
        assert chi2(900).cdf(centre) == pytest.approx(0.5, abs=0.4999)


def test_a_liquid_has_one_temperature_kinetic_and_configurational():
    """T = <|grad U|^2> / <lap U> [Rugh, Phys. Rev. Lett. 78, 772 (1997)], and <K> = 3N T / 2.

    Of soft atoms, whose force vanishes at the cutoff: a jump there would count in lap U.
    """
    temperature, copies = 1.3, 32
    _, lattice, box = liquid(cells=2, density=0.5)
    soft = pairs.Basis(cutoff=1.95, terms=3, span=(0.1, 1.9))
    potential = dynamics.Potential(basis=soft, c=jnp.array([0, 0, 4.0, 4.0, 2.0]))

    @jax.jit
    @jax.vmap
    def run(seed):
        at = dynamics.begin(potential, lattice, box, temperature, seed)

        def more(i, found):
            at, sums = found
            at = dynamics.langevin(
                potential, at, temperature, seed, dt=0.004, friction=1.0, steps=25, first=25 * i
            )

            def slope(x):
                return -potential.forces(x / box[:, None], box)

            ones = jnp.eye(at.s.size).reshape(-1, *at.s.shape)
            x = at.s * box[:, None]
            rows = jax.vmap(lambda one: jnp.sum(jax.jvp(slope, (x,), (one,))[1] * one))(ones)
            new = jnp.stack([jnp.sum(at.forces**2), jnp.sum(rows), jnp.sum(at.momenta**2)])
            return at, sums + jnp.where(i < 40, 0.0, new)

        return jax.lax.fori_loop(0, 120, more, (at, jnp.zeros(3)))[1]

    sums = np.asarray(run(seeds(3, copies)), float)
    ratios = sums[:, 0] / sums[:, 1], sums[:, 2] / (80 * 3 * 32)
    for found in ratios:
        error = found.std(ddof=1) / math.sqrt(copies)
        assert error < 0.02 * temperature
        assert abs(found.mean() - temperature) < 4 * error


def test_steps_in_two_calls_are_the_steps_in_one():
    potential, lattice, box = liquid(cells=2, density=0.5, cutoff=1.99)
    start = dynamics.begin(potential, lattice, box, 1.0, seeds(4))

    @jax.jit
    def run(at, first, steps):
        return dynamics.langevin(
            potential, at, 1.0, seeds(5), dt=0.004, friction=1.0, steps=steps, first=first
        )

    whole = run(start, 0, 30)
    parts = run(run(start, 0, 11), 11, 19)
    again = run(run(start, 0, 11), 0, 19)
    np.testing.assert_array_equal(whole.s, parts.s)
    assert np.abs(whole.s - again.s).max() > 1e-4  # noise that comes again


def test_energy_is_conserved_to_second_order_and_momentum_exactly():
    potential, lattice, box = liquid(cells=3, density=0.7, cutoff=2.6)
    melted = jax.jit(
        lambda: dynamics.langevin(
            potential,
            dynamics.begin(potential, lattice, box, 1.5, seeds(6)),
            1.5,
            seeds(7),
            dt=0.004,
            friction=1.0,
            steps=500,
        )
    )()
    start = melted._replace(momenta=dynamics.centred(melted.momenta))

    @jax.jit
    def scatter(dt, steps):
        def total(at):
            return potential.energy(at.s, at.box) + dynamics.kinetic(at.momenta)

        def one(at, _):
            at = dynamics.nve(potential, at, dt=dt, steps=steps)
            return at, total(at)

        end, energies = jax.lax.scan(one, start, None, length=100)
        return jnp.std(energies), energies[-20:].mean() - energies[:20].mean(), end

    coarse, _, _ = scatter(0.008, 1)
    fine, drift, end = scatter(0.004, 2)
    assert 3.2 < coarse / fine < 4.8
    assert abs(drift) < 3 * fine
    assert jnp.abs(end.momenta.sum(axis=1)).max() < 1e-3
    assert jnp.abs(end.momenta).max() > 1
    assert jnp.abs(melted.momenta.sum(axis=1)).max() > 1  # of Langevin dynamics it is not


def volumes(potential, s, box, pressure, *, axis=None, temperature=1.0, moves=400, boxes=400):
    """Volumes of independent boxes after moves of the volume alone."""

    @jax.jit
    @jax.vmap
    def run(seed):
        at = dynamics.Particles(s, jnp.zeros_like(s), jnp.zeros_like(s), box)

        def move(i, at):
            new = bits.reseed(seed, i)
            return dynamics.volume_move(
                potential, at, temperature, pressure, new, width=1.0, axis=axis
            )[0]

        end = jax.lax.fori_loop(0, moves, move, at)
        return end.box

    return np.asarray(run(seeds(8, boxes)), float)


def test_an_ideal_gas_has_its_volume():
    """V of weight V^N exp(-P V / T): mean (N+1) T/P, and not N T/P."""
    boxes = volumes(IDEAL, pairs.fcc(1), jnp.full(3, 1.5), 2.0, boxes=2000, moves=100)
    volume = boxes.prod(axis=1)
    assert kstest(2 * 2.0 * volume, chi2(10).cdf).pvalue > 1e-3
    assert kstest(2 * 2.0 * volume, chi2(8).cdf).pvalue < 1e-9
    np.testing.assert_allclose(boxes, boxes[:, :1].repeat(3, axis=1), rtol=1e-5)


@pytest.mark.parametrize("axis", [None, 2])
def test_moves_of_the_volume_obey_detailed_balance(axis):
    """Four atoms at fixed scaled coordinates: the density of V is known up to a constant."""
    s = jnp.array([[0.0, 0.3, 0.1, 0.6], [0.0, 0.1, 0.5, 0.4], [0.0, 0.2, 0.7, 0.1]])
    cutoff, temperature, pressure = 1.0, 0.8, 0.3
    potential = dynamics.Potential(
        basis=pairs.Basis(cutoff=cutoff), c=pairs.lennard_jones(1.5, 0.7)
    )
    box = jnp.full(3, 2.2)
    found = volumes(potential, s, box, pressure, axis=axis, temperature=temperature)
    volume = found.prod(axis=1)
    energy = jax.jit(potential.energy)

    def weight(v):
        sides = np.full(3, v ** (1 / 3)) if axis is None else np.array([2.2, 2.2, v / 2.2**2])
        if sides.min() < 2 * cutoff:
            return 0.0
        u = float(energy(s, jnp.asarray(sides, jnp.float32)))
        return math.exp(4 * math.log(v) - (u + pressure * v) / temperature + 12)

    least = (2 * cutoff) ** 3 if axis is None else 2 * cutoff * 2.2**2
    grid = np.linspace(least, 80, 400)
    weights = np.array([weight(v) for v in grid])
    shares = np.concatenate([[0], np.cumsum((weights[1:] + weights[:-1]) / 2)])
    assert kstest(volume, lambda v: np.interp(v, grid, shares / shares[-1])).pvalue > 1e-3
    ideal = grid**4 * np.exp(-pressure * grid / temperature)
    other = np.concatenate([[0], np.cumsum((ideal[1:] + ideal[:-1]) / 2)])
    assert kstest(volume, lambda v: np.interp(v, grid, other / other[-1])).pvalue < 1e-3
    if axis is not None:
        assert (found[:, :2] == np.float32(2.2)).all()


def test_constant_pressure_gives_the_gas_its_second_virial_coefficient():
    """Z = 1 + B_2 rho, to the accuracy of the next term."""
    temperature, pressure, copies = 1.5, 0.02, 64
    potential = dynamics.Potential(basis=pairs.Basis(cutoff=3.0), c=pairs.lennard_jones())
    lattice = pairs.fcc(2)

    @jax.jit
    @jax.vmap
    def run(seed):
        box = jnp.full(3, (32 * temperature / pressure) ** (1 / 3), jnp.float32)
        at = dynamics.begin(potential, lattice, box, temperature, seed)
        more = {"dt": 0.01, "friction": 0.5, "every": 10, "width": 0.3}
        at, _ = dynamics.npt(potential, at, temperature, pressure, seed, moves=100, first=0, **more)

        def one(i, found):
            at, volume, yes = found
            at, accepted = dynamics.npt(
                potential, at, temperature, pressure, seed, moves=1, first=i, **more
            )
            return at, volume + jnp.prod(at.box), yes + accepted

        _, volume, yes = jax.lax.fori_loop(100, 700, one, (at, 0.0, 0))
        return volume / 600, yes / 600

    volume, accepted = (np.asarray(x, float) for x in run(seeds(9, copies)))

    def mayer(r):
        return (math.exp(-4 * (r**-12 - r**-6) / temperature) - 1) * r**2

    second = -2 * math.pi * (quad(mayer, 0.3, 3)[0] + quad(mayer, 3, np.inf)[0] - 0.3**3 / 3)
    # N + 1 and N - 1 are for the finite number of atoms
    expected = 33 * temperature / pressure + 31 * second
    error = volume.std(ddof=1) / math.sqrt(copies)
    assert abs(volume.mean() - expected) < 4 * error
    assert abs(second) * 31 > 6 * error  # an ideal gas would not do
    assert 0.3 < accepted.mean() < 0.9
