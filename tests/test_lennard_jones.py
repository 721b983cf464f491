"""Energies, forces and tails of one box; what is read off a configuration."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from criticality.systems.lennard_jones.model import measure, pairs

BASIS = pairs.Basis(cutoff=2.4, terms=4, span=(0.8, 2.1))
features, virial_features, energy, forces = (
    jax.jit(function, static_argnums=0)
    for function in (pairs.features, pairs.virial_features, pairs.energy, pairs.forces)
)
bond_order, pair_correlation = jax.jit(measure.bond_order), jax.jit(measure.pair_correlation)
C = jnp.array([4.2, -3.7, 0.5, -0.4, 0.3, 0.2])


def crystal(cells=3, density=0.8, shake=0.08, seed=0):
    """Give a shaken lattice in a box whose sides differ: scaled coordinates and sides."""
    rng = np.random.default_rng(seed)
    box = (4 * cells**3 / density) ** (1 / 3) * np.array([0.94, 1.0, 1 / 0.94])
    s = np.asarray(pairs.fcc(cells), float) + rng.normal(0, shake, (3, 4 * cells**3)) / box[:, None]
    return jnp.asarray(s + rng.integers(-2, 3, s.shape), jnp.float32), jnp.asarray(box, jnp.float32)


def gas(atoms=108, side=6.0, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.random((3, atoms)), jnp.float32), jnp.full(3, side, jnp.float32)


def term(k, r, basis=BASIS):
    """b_k(r) of one distance, as the docstring of `pairs` has it."""
    if k < 2:
        return r ** -pairs.POWERS[k]
    a, b = basis.span
    if r >= b:
        return 0.0
    q = max(r, a) ** 2
    series = np.eye(basis.terms)[k - 2]
    x = 1 - 2 * (q - a**2) / (b**2 - a**2)
    return (1 - q / b**2) ** 2 * np.polynomial.chebyshev.chebval(x, series)


def plain_features(s, box, basis=BASIS):
    """B by a loop over all pairs in float64."""
    s, box, edge = np.asarray(s, float), np.asarray(box, float), float(basis.cutoff)
    atoms, found = s.shape[1], np.zeros(basis.size)
    for i in range(atoms):
        for j in range(i):
            apart = s[:, i] - s[:, j]
            r = float(np.linalg.norm((apart - np.round(apart)) * box))
            if r < edge:
                found += [term(k, r, basis) - term(k, edge, basis) for k in range(basis.size)]
    return found + mean_field(atoms, float(np.prod(box)), basis)


def mean_field(atoms, volume, basis=BASIS):
    edge = float(basis.cutoff)
    beyond = [quad(lambda r, n=n: r ** (2.0 - n), edge, math.inf)[0] for n in pairs.POWERS]
    shift = [edge**3 / 3 * edge ** float(-n) for n in pairs.POWERS]
    found = np.zeros(basis.size)
    found[:2] = 2 * math.pi * atoms**2 / volume * (np.array(beyond) + shift)
    found[:2] -= [atoms / 2 * edge ** float(-n) for n in pairs.POWERS]  # not its own neighbour
    return found


def test_features_are_those_of_a_loop_over_pairs():
    for seed in range(2):
        s, box = crystal(seed=seed)
        expected = plain_features(s, box)
        scale = np.maximum(np.abs(expected), 1.0)
        assert np.abs(features(BASIS, s, box) - expected).max() < 2e-6 * scale.max()
        np.testing.assert_allclose(features(BASIS, s, box)[:2], expected[:2], rtol=1e-6)
        total = energy(BASIS, s, box, C)
        np.testing.assert_allclose(total, np.asarray(C, float) @ expected, rtol=2e-6)


def test_rows_in_blocks_are_the_same_box():
    s, box = crystal(cells=6)  # of 864 atoms
    basis = pairs.Basis(cutoff=2.4)
    apart = np.asarray(s, float)[:, :, None] - np.asarray(s, float)[:, None, :]
    vectors = (apart - np.round(apart)) * np.asarray(box, float)[:, None, None]
    r = np.sqrt((vectors**2).sum(0))
    np.fill_diagonal(r, np.inf)
    inside = r < 2.4
    c = np.array([4.0, -4.0])
    push = np.where(inside, sum(c[k] * n * r ** (-n - 2.0) for k, n in enumerate((12, 6))), 0)
    expected = (push * vectors).sum(axis=2)
    found = forces(basis, s, box, jnp.asarray(c, jnp.float32))
    assert np.abs(found - expected).max() < 3e-5 * np.abs(expected).max()
    total = [(r[inside] ** -n - 2.4**-n).sum() / 2 for n in (12.0, 6.0)]
    total += mean_field(864, float(np.prod(np.asarray(box, float))), basis)
    np.testing.assert_allclose(features(basis, s, box), total, rtol=1e-6)


def test_forces_are_minus_the_gradient():
    s, box = crystal()
    found = forces(BASIS, s, box, C)
    scale = float(jnp.abs(found).max())
    for total in (lambda s: features(BASIS, s, box) @ C, lambda s: energy(BASIS, s, box, C)):
        slope = jax.jit(jax.grad(total))(s)
        assert jnp.abs(found + slope / box[:, None]).max() < 2e-6 * scale
    assert jnp.abs(found.sum(axis=1)).max() < 1e-5 * scale  # action and reaction
    # the loop over pairs, moved by hand
    step, moved = 1e-4, np.asarray(s, float)
    ends = []
    for sign in (1, -1):
        moved[1, 7] += sign * step
        ends.append(np.asarray(C, float) @ plain_features(moved, box))
        moved[1, 7] -= sign * step
    by_hand = -(ends[0] - ends[1]) / (2 * step * float(box[1]))
    np.testing.assert_allclose(found[1, 7], by_hand, rtol=1e-3, atol=1e-4 * scale)


def test_the_virial_is_the_derivative_by_the_volume():
    s, box = crystal()
    found = virial_features(BASIS, s, box)
    step, sides = 1e-5, np.asarray(box, float)
    high, low = (plain_features(s, sides * math.exp(x / 3)) for x in (step, -step))
    expected = -3 * (high - low) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-4)
    assert np.abs(expected[2:]).min() > 1  # that of the Chebyshev functions counts


@pytest.mark.parametrize("edge", [2.5, 3.0])
def test_the_tail_is_that_of_the_full_potential(edge):
    """Energy: shift inside and potential beyond; pressure: -(2 pi / 3) rho^2 int u' r^3 dr."""
    atoms, volume, c = 256, 300.0, np.array([4.0, -4.0])
    tail = pairs.tails(pairs.Basis(cutoff=edge), atoms, volume)

    def u(r):
        return 4 * (r**-12 - r**-6)

    def slope(r):
        return 4 * (-12 * r**-13 + 6 * r**-7)

    density = atoms / volume
    beyond = quad(lambda r: u(r) * r**2, edge, np.inf)[0]
    inside = quad(lambda r: u(edge) * r**2, 0, edge)[0]
    expected = 2 * math.pi * density * (beyond + inside)
    np.testing.assert_allclose(c @ np.asarray(tail) / atoms, expected, rtol=1e-6)
    pressure = c @ np.asarray(3 * tail) / (3 * volume)
    by_slope = -2 * math.pi / 3 * density**2 * quad(lambda r: slope(r) * r**3, edge, np.inf)[0]
    np.testing.assert_allclose(pressure, by_slope, rtol=1e-6)
    assert not pairs.tails(pairs.Basis(cutoff=edge, tail=False), atoms, volume).any()


def test_a_pair_at_and_beyond_the_cutoff():
    basis = pairs.Basis(cutoff=2.5, terms=4, span=(0.8, 2.1), tail=False)
    box = jnp.full(3, 10.0)
    r = jnp.array([0.5, 0.79, 0.81, 1.0, 2.09, 2.11, 2.4999, 2.5001, 4.0])
    u = pairs.potential(basis, C, r)
    expected = [
        sum(float(C[k]) * (term(k, float(x), basis) - term(k, 2.5, basis)) for k in range(6))
        for x in r[:7]
    ]
    np.testing.assert_allclose(u[:7], expected, rtol=1e-5, atol=1e-6)
    assert -1e-4 < u[6] < 0
    assert (u[7:] == 0).all()
    for x in (2.4999, 2.5001):
        s = jnp.array([[0.0, x / 10], [0, 0], [0, 0]])
        force = forces(basis, s, box, C)[0, 1]
        inside = x < 2.5
        full = 12 * C[0] / 2.5**13 + 6 * C[1] / 2.5**7
        np.testing.assert_allclose(force, full if inside else 0.0, rtol=1e-3)


def test_fcc_has_twelve_neighbours_and_the_bond_order_of_the_literature():
    s, box = pairs.fcc((3, 4, 5)), jnp.array([3.0, 4.0, 5.0]) * 1.6
    order = bond_order(s, box)
    assert s.shape == (3, 240)
    for q6 in (order.q6, order.averaged, order.whole):
        np.testing.assert_allclose(q6, 0.57452, atol=2e-5)
    assert order.solid.all()
    shell = pair_correlation(s, box, jnp.array([1.6 / math.sqrt(2)]), 0.2)[0]
    low, high = (1.6 / math.sqrt(2) + end for end in (-0.1, 0.1))
    volume = 4 * math.pi / 3 * (high**3 - low**3)
    np.testing.assert_allclose(shell * volume * 239 / float(jnp.prod(box)), 12, rtol=1e-5)


def test_simple_cubic_and_a_turned_crystal():
    grid = np.indices((6, 6, 6)).reshape(3, -1) / 6
    order = bond_order(jnp.asarray(grid, jnp.float32), jnp.full(3, 6.0))
    np.testing.assert_allclose(order.q6, math.sqrt(1 / 8), rtol=1e-5)
    # rotations about an axis of the box by a right angle leave q6 alone, one by one
    s, box = crystal(shake=0.1)
    one = bond_order(s, box)
    two = bond_order(jnp.stack([-s[1], s[0], s[2]]), box[jnp.array([1, 0, 2])])
    np.testing.assert_allclose(one.q6, two.q6, atol=1e-5)
    np.testing.assert_allclose(one.averaged, two.averaged, atol=1e-5)
    assert one.q6.std() > 0.01


def test_bonds_without_order_add_up_as_a_random_walk():
    whole = []
    for seed in range(40):
        s, box = gas(seed=seed)
        order = bond_order(s, box)
        whole.append(float(order.whole))
        assert order.solid.mean() < 0.05
    bonds = 4 * math.pi / 3 * measure.REACH**3 * 108 / 2
    expected = bonds**-0.5
    error = np.std(whole) / math.sqrt(len(whole))
    mean_square = float(np.mean(np.square(whole)))
    # 13 components, so that the mean of |Q|^2 is 1 over the number of bonds
    assert abs(math.sqrt(mean_square) - expected) < 4 * error
    assert error < 0.05 * expected


def test_an_ideal_gas_has_no_correlations():
    r = jnp.array([0.3, 0.8, 1.5, 2.4, 2.9])
    found = np.array([pair_correlation(*gas(seed=k), r, 0.2) for k in range(60)])
    assert np.isnan(pair_correlation(*gas(), jnp.array([3.0]), 0.2)).all()
    mean, error = found.mean(axis=0), found.std(axis=0) / math.sqrt(60)
    assert (np.abs(mean - 1) < 4 * error).all()
    assert (error[1:] < 0.03).all()


def test_displacements_are_unfolded_and_without_the_centre_of_mass():
    s, box = crystal()
    rng = np.random.default_rng(3)
    moved = rng.normal(0, 1, s.shape)
    drift = np.array([2.0, -1.0, 0.5])[:, None]
    after = s + jnp.asarray((moved + drift) / np.asarray(box)[:, None], jnp.float32)
    centred = moved - moved.mean(axis=1, keepdims=True)
    expected = (centred**2).sum(axis=0).mean()
    np.testing.assert_allclose(measure.square_displacement(s, after, box), expected, rtol=1e-5)
