"""Percolation of layered graphs: against counting path by path, enumeration and branching."""

import itertools

import numpy as np
import pytest
from scipy import stats

from criticality.analysis.layered import (
    NEVER,
    conduction,
    outputs_reached,
    remaining,
    removed_anywhere,
    removed_in_layers,
    share_reached,
)
from criticality.base import InputError

UNITS = (7, 5, 4, 6, 3)
PLACES = np.array([a * b for a, b in itertools.pairwise(UNITS)])


def on_paths(masks):
    """Edges and units that occur on any chain of edges, each chain looked at by itself."""
    edges, units = [set() for _ in masks], [set() for _ in range(len(masks) + 1)]
    chains = [[i] for i in range(masks[0].shape[1])]
    for mask in masks:
        chains = [[*c, j] for c in chains for j in range(mask.shape[0]) if mask[j, c[-1]]]
    for chain in chains:
        for layer, pair in enumerate(itertools.pairwise(chain)):
            edges[layer].add(pair)
        for layer, unit in enumerate(chain):
            units[layer].add(unit)
    return [len(e) for e in edges], [len(u) for u in units]


@pytest.mark.parametrize("seed", range(3))
def test_what_conducts_is_what_lies_on_a_chain_at_every_step(seed):
    steps = 12
    shares = np.linspace(0.9, 0, steps + 1) ** np.array([1, 2, 0.7, 1])[:, None]
    counts = np.floor(PLACES * shares.T).astype(int)
    last = removed_in_layers(counts, UNITS, np.random.default_rng(seed))
    found = conduction(last, steps)
    for step in range(steps + 1):
        masks = [layer >= step for layer in last]
        assert [mask.sum() for mask in masks] == counts[step].tolist()
        assert remaining(last, steps)[step].tolist() == counts[step].tolist()
        edges, units = on_paths(masks)
        assert found.edges[step].tolist() == edges
        assert found.units[step].tolist() == units
    assert found.units[-1].tolist() == [0] * 5


def test_edges_that_are_there_from_never_to_ever():
    last = [np.array([[NEVER, 3], [9, 1]]), np.array([[2, 9]])]
    found = conduction(last, 4)
    assert found.units.tolist() == [[2, 2, 1], [2, 2, 1], [2, 2, 1], [1, 1, 1], [1, 1, 1]]
    assert found.edges.tolist() == [[3, 2], [3, 2], [2, 2], [1, 1], [1, 1]]


def test_every_edge_is_as_likely_to_stay():
    rng = np.random.default_rng(0)
    counts = np.array([[12, 6], [5, 2]])
    draws = [removed_in_layers(counts, (4, 3, 2), rng) for _ in range(1500)]
    for layer, left in ((0, 5), (1, 2)):
        stayed = np.sum([draw[layer] >= 1 for draw in draws], axis=0).ravel()
        share = left / counts[0, layer]
        # of sampling without replacement
        variance = 1500 * share * (1 - share) * len(stayed) / (len(stayed) - 1)
        chi2 = np.sum((stayed - 1500 * share) ** 2) / variance
        assert 0.001 < stats.chi2.sf(chi2, len(stayed) - 1) < 0.999


def test_removal_anywhere_is_blind_to_layers():
    rng = np.random.default_rng(2)
    units, totals = (6, 5, 4), np.array([50, 30, 10, 0])
    draws = [removed_anywhere(totals, units, rng) for _ in range(400)]
    counts = np.array(
        [[[(layer >= t).sum() for layer in draw] for t in range(4)] for draw in draws]
    )
    assert (counts.sum(axis=2) == totals).all()
    # hypergeometric: 10 of 50 edges, 30 of them in the first layer
    first = counts[:, 2, 0]
    exact = 400 * stats.hypergeom.pmf(np.arange(11), 50, 30, 10)
    some = exact > 5
    found = np.bincount(first, minlength=11)
    assert (
        stats.chisquare(
            [*found[some], found[~some].sum()], [*exact[some], exact[~some].sum()]
        ).pvalue
        > 0.001
    )


def test_exact_probabilities_are_those_of_all_graphs():
    units, density = (2, 2, 2), 0.37
    exact = np.zeros(3)
    for bits in itertools.product((0, 1), repeat=8):
        first, second = np.reshape(bits, (2, 2, 2))
        outputs = int(np.sum(second @ first @ np.ones(2) > 0))
        exact[outputs] += density ** sum(bits) * (1 - density) ** (8 - sum(bits))
    np.testing.assert_allclose(outputs_reached(density, units), exact, atol=1e-14)
    assert outputs_reached(0.0, UNITS)[0] == 1
    assert outputs_reached(1.0, UNITS)[-1] == 1


def test_simulation_agrees_with_the_exact_distribution():
    units, density, number = (20, 9, 9, 9, 5), 0.16, 2000
    rng = np.random.default_rng(1)
    outputs = [
        conduction([np.where(rng.random((b, a)) < density, 0, NEVER)
                    for a, b in itertools.pairwise(units)], 0).units[0, -1]
        for _ in range(number)
    ]  # fmt: skip
    counts = np.bincount(outputs, minlength=6)
    exact = outputs_reached(density, units)
    assert exact.min() > 0.01
    assert stats.chisquare(counts, number * exact).pvalue > 0.001
    wrong = outputs_reached(density * 1.1, units)
    assert stats.chisquare(counts, number * wrong).pvalue < 0.001  # the test can see 10 %


def test_wide_layers_do_as_branching_processes():
    units = (784, 300, 300, 300, 10)
    density = np.array([0.003, 0.004, 0.006])
    exact = [outputs_reached(p, units) @ np.arange(11) / 10 for p in density]
    np.testing.assert_allclose(share_reached(density, units), exact, atol=0.01)
    narrow = (784, 8, 8, 8, 10)
    lost = (
        share_reached(np.array([0.1]), narrow)[0]
        - outputs_reached(0.1, narrow) @ np.arange(11) / 10
    )
    assert lost > 0.01  # fluctuations of few units cost outputs


def test_where_half_of_the_outputs_are_reached_goes_from_one_power_to_another():
    """W << 784: a number of edges for each unit; W >> 784: 784 W^3 density^4 paths to an output."""
    density = np.geomspace(1e-9, 0.9, 20_000)

    def half(width):
        share = share_reached(density, (784, width, width, width, 10))
        return np.interp(0.5, share, np.log(density))

    local = [half(4 * w) - half(w) for w in (20, 1e8)] / np.log(4)
    assert local[0] == pytest.approx(-1, abs=0.02)
    assert local[1] == pytest.approx(-0.75, abs=0.005)


def test_bad_graphs_are_told():
    with pytest.raises(InputError, match="layer 2"):
        conduction([np.zeros((3, 2), int), np.zeros((1, 4), int)], 2)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="do not grow"):
        removed_in_layers(np.array([[1, 1], [2, 0]]), (2, 2, 1), rng)
    with pytest.raises(InputError, match="places"):
        removed_in_layers(np.array([[5, 1]]), (2, 2, 1), rng)
    with pytest.raises(InputError, match="density"):
        outputs_reached(1.5, (2, 2))
