"""The lattice of the Potts model: energies, and both updates against enumeration."""

from __future__ import annotations

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from criticality.nn import bits
from criticality.systems.potts.model import lattice

COUPLINGS = np.array([0.7, 0.4, 0.2])
MIXED = np.array([0.7, -0.4, 0.2])  # unlike spins preferred along diagonals
TEMPERATURE = 2.5
RARE = 1e-4  # probability of a test that fails by chance


def counted(spins):
    """Features by the letter of their definition: pairs and right angles, site by site."""
    rows, columns = spins.shape

    def at(i, j):
        return spins[i % rows, j % columns]

    near = diagonal = corners = 0
    for i, j in np.ndindex(rows, columns):
        here = spins[i, j]
        near += int(here == at(i + 1, j)) + int(here == at(i, j + 1))
        diagonal += int(here == at(i + 1, j + 1)) + int(here == at(i + 1, j - 1))
        for up, left in itertools.product((1, -1), repeat=2):
            corners += int(here == at(i + up, j) == at(i, j + left))
    return [-near, -diagonal, -corners]


def configurations(states, rows, columns):
    """Give all of them [number, rows, columns]."""
    flat = np.indices((states,) * (rows * columns)).reshape(rows * columns, -1).T
    return flat.reshape(-1, rows, columns).astype(np.int32)


def number_of(spins, states):
    """Give the places of configurations [n, rows, columns] among all of them."""
    flat = np.asarray(spins).reshape(len(spins), -1)
    return flat @ states ** np.arange(flat.shape[1])[::-1]


def boltzmann(every, couplings):
    weight = np.exp(-np.array([counted(s) for s in every]) @ couplings / TEMPERATURE)
    return weight / weight.sum()


@partial(jax.jit, static_argnums=(0, 3))
def updated(update, spins, couplings, states, seed):
    """Update each of many configurations [n, rows, columns] once."""
    seeds = bits.seeds(jax.random.key(seed), (len(spins), 2))
    temperature = jnp.float32(TEMPERATURE)
    return jax.vmap(lambda s, k: update(s, couplings, temperature, k, states))(spins, seeds)


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (3, 3), (4, 6), (5, 8)])
def test_features_are_numbers_of_equal_pairs_and_corners(shape):
    rng = np.random.default_rng(0)
    for _ in range(20):
        spins = rng.integers(0, 3, shape)
        np.testing.assert_array_equal(lattice.features(jnp.asarray(spins)), counted(spins))


def test_a_uniform_lattice_has_two_two_and_four_terms_a_site():
    spins = jnp.ones((6, 8), jnp.int8)
    np.testing.assert_array_equal(lattice.features(spins), [-96, -96, -192])
    assert float(lattice.ordered(spins, 7)) == 1
    even = jnp.arange(49).reshape(7, 7) % 7
    assert float(lattice.ordered(even, 7)) == pytest.approx(0, abs=1e-6)


def sweep_matrix(states, side, couplings):
    """Transition probabilities of one heat-bath sweep over a lattice whose colours are sites."""
    every = configurations(states, side, side)
    weight = boltzmann(every, couplings)
    total = np.eye(len(every))
    for i, j in np.ndindex(side, side):
        one = np.zeros_like(total)
        for state in range(states):
            new = every.copy()
            new[:, i, j] = state
            one[np.arange(len(every)), number_of(new, states)] = weight[number_of(new, states)]
        total = total @ (one / one.sum(axis=1, keepdims=True))
    return total


def sweep_probability(states, side, couplings, told):
    """Probability of the counts of transitions, if couplings are as told."""
    every = configurations(states, side, side)
    repeats = 40000 // len(every) * 10
    start = np.repeat(every, repeats, axis=0)
    end = updated(lattice.heat_bath, jnp.asarray(start), jnp.asarray(couplings), states, 3)
    counts = np.zeros((len(every), len(every)))
    np.add.at(counts, (number_of(start, states), number_of(end, states)), 1)
    expected = repeats * sweep_matrix(states, side, told)
    enough = expected > 5
    chi2 = ((counts - expected)[enough] ** 2 / expected[enough]).sum()
    return stats.chi2.sf(chi2, enough.sum() - len(every))


@pytest.mark.parametrize(("states", "side"), [(3, 2), (2, 3)])
def test_a_sweep_draws_each_spin_from_its_conditional_probability(states, side):
    assert sweep_probability(states, side, MIXED, MIXED) > RARE


def test_a_wrong_coupling_or_a_frozen_colour_would_be_seen(monkeypatch):
    for k in range(3):
        wrong = MIXED * np.where(np.arange(3) == k, 1.1, 1)
        assert sweep_probability(3, 2, MIXED, wrong) < RARE / 100
    monkeypatch.setattr(lattice, "_colours", lambda side: [slice(0, side, 2)])
    jax.clear_caches()
    assert sweep_probability(3, 2, MIXED, MIXED) < RARE / 100
    monkeypatch.undo()
    jax.clear_caches()


def cluster_probabilities(couplings, told):
    """Probabilities that clusters keep the weights told, and that no flow has a direction."""
    states, many = 3, 400000
    every = configurations(states, 2, 2)
    weight = boltzmann(every, told)
    before = np.random.default_rng(1).choice(len(every), many, p=weight)
    end = updated(lattice.cluster, jnp.asarray(every[before]), jnp.asarray(couplings), states, 4)
    after = number_of(end, states)
    counts = np.zeros((len(every), len(every)))
    np.add.at(counts, (before, after), 1)
    there, back = counts, counts.T
    pairs = np.triu(there + back > 10, 1)
    flow = ((there - back)[pairs] ** 2 / (there + back)[pairs]).sum()
    kept = ((counts.sum(axis=0) - many * weight) ** 2 / (many * weight)).sum()
    return stats.chi2.sf(kept, len(every) - 1), stats.chi2.sf(flow, pairs.sum())


def test_clusters_keep_the_weights_and_detailed_balance():
    kept, flow = cluster_probabilities(COUPLINGS, COUPLINGS)
    assert kept > RARE
    assert flow > RARE


@pytest.mark.parametrize("k", range(3))
def test_clusters_of_a_wrong_coupling_would_be_seen(k):
    wrong = COUPLINGS * np.where(np.arange(3) == k, 0.8, 1)
    assert min(cluster_probabilities(wrong, COUPLINGS)) < RARE / 100


def exact_features(states, side, couplings):
    """Mean features of a square lattice, by its transfer matrix."""
    rows = configurations(states, 1, side)[:, 0]
    equal = {
        shift: (rows[:, None] == np.roll(rows, -shift, axis=1)[None]).astype(int)
        for shift in (-1, 0, 1)
    }
    along = (rows == np.roll(rows, -1, axis=1)).astype(int)
    below, right, left = equal[0], equal[1], equal[-1]
    across = along[:, None] * below + along[:, None] * np.roll(below, -1, axis=2)
    across += along[None] * below + along[None] * np.roll(below, -1, axis=2)
    parts = np.stack([along.sum(1)[:, None] + below.sum(2), (right + left).sum(2), across.sum(2)])
    transfer = np.exp(np.tensordot(couplings, parts, 1) / TEMPERATURE)
    transfer /= transfer.max()
    power = np.linalg.matrix_power(transfer, side - 1)
    return (
        -side
        * np.array([np.sum(part * transfer * power.T) for part in parts])
        / np.sum(transfer * power.T)
    )


def sampled_features(update, states, side, couplings):
    """Means of features over chains, and their standard errors."""
    chains, sweeps, left_out = 64, 600, 60

    @partial(jax.jit, static_argnums=1)
    def run(couplings, states):
        seeds = bits.seeds(jax.random.key(2), (chains, 2))
        spins = jax.vmap(lambda k: lattice.random(k, (side, side), states))(seeds)

        def one(spins, sweep):
            spins = jax.vmap(
                lambda s, k: update(
                    s, couplings, jnp.float32(TEMPERATURE), bits.reseed(k, sweep), states
                )
            )(spins, seeds)
            return spins, jax.vmap(lattice.features)(spins)

        return jax.lax.scan(one, spins, jnp.arange(sweeps))[1]

    of_chain = np.asarray(run(jnp.asarray(couplings), states), float)[left_out:].mean(axis=0)
    return of_chain.mean(axis=0), of_chain.std(axis=0, ddof=1) / np.sqrt(chains)


def test_the_transfer_matrix_is_that_of_the_enumeration():
    every = configurations(2, 4, 4)
    features = np.asarray(jax.jit(jax.vmap(lattice.features))(jnp.asarray(every)), float)
    weight = np.exp(-features @ MIXED / TEMPERATURE)
    np.testing.assert_allclose(
        exact_features(2, 4, MIXED), weight @ features / weight.sum(), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("update", "couplings"),
    [(lattice.heat_bath, MIXED), (lattice.heat_bath, COUPLINGS), (lattice.cluster, COUPLINGS)],
    ids=["heat bath, mixed signs", "heat bath", "cluster"],
)
@pytest.mark.parametrize(("states", "side"), [(2, 8), (3, 5), (3, 6)])
def test_averages_are_those_of_the_transfer_matrix(update, couplings, states, side):
    mean, error = sampled_features(update, states, side, couplings)
    exact = exact_features(states, side, couplings)
    assert np.all(error < 0.01 * np.abs(exact))
    assert np.all(np.abs(mean - exact) < 4 * error)


def test_bonds_join_what_a_search_of_the_graph_joins():
    rng = np.random.default_rng(5)
    side = 12
    site = np.arange(side * side).reshape(side, side)
    ends = [
        (site, np.roll(site, -1, 1)),
        (site, np.roll(site, -1, 0)),
        (site, np.roll(site, (-1, -1), (0, 1))),
        (np.roll(site, -1, 1), np.roll(site, -1, 0)),
    ]
    labels = jax.jit(lattice._labels)
    for chance in (0.05, 0.2, 0.35, 0.5):
        bonds = rng.random((4, side, side)) < chance
        for both in (False, True):
            used = bonds if both else bonds[:2]
            a, b = (
                np.concatenate([pair[k][bond] for pair, bond in zip(ends, used, strict=False)])
                for k in (0, 1)
            )
            graph = coo_matrix((np.ones(len(a)), (a, b)), (side * side, side * side))
            _, component = connected_components(graph, directed=False)
            _, first = np.unique(component, return_index=True)
            slanted = tuple(jnp.asarray(bond & both) for bond in bonds[2:])
            found = labels(tuple(jnp.asarray(b) for b in bonds[:2]), slanted, jnp.bool_(both))
            np.testing.assert_array_equal(np.ravel(found), first[component])


def test_random_spins_are_uniform():
    spins = lattice.random(bits.seeds(jax.random.key(0), (2,)), (300, 300), 7)
    assert stats.chisquare(np.bincount(np.ravel(spins), minlength=7)).pvalue > RARE
