"""Stored networks: masks, degrees and what conducts, against brute force and exact laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from criticality import InputError
from criticality.systems.pruning import degrees as networks
from criticality.systems.pruning.model import percolation

SHAPES = [(3, 2, 3, 3), (4, 12), (2, 4)]  # 3 channels at 4 positions feed a dense layer


def sparse(seed: int, density: float = 0.15) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(shape) < density for shape in SHAPES]


def by_paths(layers):
    """Edges and units on a path, found by following every path of single edges."""
    edges = [np.zeros_like(mask) for mask in layers]
    widths = [layers[0].shape[1], *(len(mask) for mask in layers)]
    units = [np.zeros(width, bool) for width in widths]

    def follow(path):
        level = len(path)
        if level == len(layers):
            for mask, unit, edge in zip(edges, units, path, strict=False):
                mask[edge] = True
                unit[edge[1] // (mask.shape[1] // len(unit))] = True
            units[-1][path[-1][0]] = True
            return
        positions = layers[level].shape[1] // widths[level]
        for edge in map(tuple, np.argwhere(layers[level])):
            if not path or edge[1] // positions == path[-1][0]:
                follow([*path, edge])

    follow([])
    return edges, units


def test_an_edge_remains_until_the_step_that_removes_it():
    removed = np.array([1, 3, 2, 4, 1, 2.0])
    for step, expected in enumerate([(4, 2), (3, 1), (2, 0), (1, 0), (0, 0)]):
        first, second = networks.masks(removed, [(2, 2), (1, 2)], step)
        assert (first.sum(), second.sum()) == expected
    first, second = networks.masks(removed, [(2, 2), (1, 2)], 1)
    assert np.array_equal(first, [[False, True], [True, True]])
    assert np.array_equal(second, [[False, True]])


def test_masks_take_layers_in_order_and_each_in_c_order():
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    removed = np.arange(sum(sizes))
    layers = networks.masks(removed, SHAPES, 60)
    assert [mask.shape for mask in layers] == SHAPES
    assert not layers[0].any()
    assert layers[1].sum() == sizes[0] + sizes[1] - 61
    assert not layers[1][0, :7].any()
    assert layers[1][0, 7:].all()
    assert layers[2].all()


@pytest.mark.parametrize(
    ("removed", "message"),
    [(np.ones(5), "expected \\(6,\\)"), (np.ones((2, 3)), "shape"), ([1, 2, np.nan] * 2, "NaN")],
    ids=["too few", "not flat", "not computed"],
)
def test_weights_that_do_not_fit_the_layers_are_refused(removed, message):
    with pytest.raises(InputError, match=message):
        networks.masks(removed, [(2, 2), (1, 2)], 1)


def test_degrees_count_the_edges_at_each_unit():
    into, out_of = networks.degrees(np.array([[1, 1, 0], [0, 1, 0]], bool))
    assert np.array_equal(into, [2, 1])
    assert np.array_equal(out_of, [1, 2, 0])


def test_a_convolution_counts_every_position_of_its_kernels():
    kernels = sparse(0, 0.5)[0]
    into, out_of = networks.degrees(kernels)
    for channel in range(3):
        assert into[channel] == kernels[channel].sum()
    for channel in range(2):
        assert out_of[channel] == kernels[:, channel].sum()


def test_the_degree_distribution_is_that_of_hand_counted_units():
    found = networks.degree_distribution([[0, 1, 1, 3], [1, 1, 1, 1]])
    assert np.array_equal(found.degree, [0, 1, 2, 3])
    np.testing.assert_allclose(found.probability, [1 / 8, 6 / 8, 0, 1 / 8])
    np.testing.assert_allclose(found.cumulative, [1, 7 / 8, 1 / 8, 1 / 8])
    np.testing.assert_allclose(found.probability_error, [1 / 8, 1 / 4, 0, 1 / 8])
    np.testing.assert_allclose(found.cumulative_error, [0, 1 / 8, 1 / 8, 1 / 8])
    assert found.n == 2


def test_a_random_layer_has_binomial_degrees_within_its_errors():
    rng = np.random.default_rng(1)
    p, width, n = 0.1, 40, 200
    samples = [networks.degrees(rng.random((60, width)) < p)[0] for _ in range(n)]
    found = networks.degree_distribution(samples)
    common = found.probability > 0.02
    law = stats.binom(width, p)
    for value, error, exact in (
        (found.probability, found.probability_error, law.pmf(found.degree)),
        (found.cumulative, found.cumulative_error, law.sf(found.degree - 1)),
    ):
        score = ((value - exact) / np.where(error > 0, error, 1))[common]
        assert np.abs(score).max() < 4
        assert np.abs(score).max() > 0.3  # nor are the errors too wide
    units = 60 * n
    exact = np.sqrt(law.pmf(found.degree) * (1 - law.pmf(found.degree)) / units)
    np.testing.assert_allclose(found.probability_error[common], exact[common], rtol=0.25)


def test_one_realization_has_no_error_and_none_no_distribution():
    found = networks.degree_distribution([np.array([2, 2, 5])])
    assert np.isnan(found.probability_error).all()
    assert found.probability[2] == pytest.approx(2 / 3)
    for samples in ([], [[]]):
        with pytest.raises(InputError, match="needs realizations"):
            networks.degree_distribution(samples)


@pytest.mark.parametrize("seed", range(20))
def test_what_conducts_lies_on_a_path_that_can_be_followed(seed):
    layers = sparse(seed)
    layers[0] &= sparse(seed + 100)[0]  # some channels are not reached
    found = networks.conducting(layers)
    edges, units = by_paths(layers)
    for ours, theirs in itertools.chain(
        zip(found.edges, edges, strict=True), zip(found.units, units, strict=True)
    ):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("density", [0.05, 0.15, 0.5])
def test_stored_networks_conduct_what_the_engine_counted(density):
    layers = sparse(1, density)
    found = networks.conducting(layers)
    edges, live = percolation.conducting(layers, [2, 3, 4, 2])
    assert [mask.sum() for mask in found.edges] == edges.tolist()
    assert [unit.sum() for unit in found.units] == live.tolist()


def test_dead_ends_on_either_side_do_not_conduct():
    first = np.array([[1, 0], [0, 1], [0, 0]], bool)  # the third unit has no input
    second = np.array([[1, 0, 1]], bool)  # the second leads nowhere
    found = networks.conducting([first, second])
    assert np.array_equal(found.edges[0], [[True, False], [False, False], [False, False]])
    assert np.array_equal(found.edges[1], [[True, False, False]])
    assert [unit.tolist() for unit in found.units] == [[True, False], [True, False, False], [True]]


def test_a_flattened_channel_reaches_a_dense_layer_from_any_of_its_positions():
    convolution = np.zeros((3, 1, 3, 3), bool)
    convolution[1, 0, 2, 2] = True
    dense = np.zeros((1, 12), bool)
    dense[0, [3, 5, 6, 8]] = True  # channels 0, 1, 1, 2
    found = networks.conducting([convolution, dense])
    assert np.array_equal(np.flatnonzero(found.edges[1]), [5, 6])
    assert np.array_equal(found.edges[0], convolution)
    assert np.array_equal(found.units[1], [False, True, False])


def test_a_cut_layer_leaves_nothing_and_a_full_network_everything():
    full = [np.ones(shape, bool) for shape in SHAPES]
    found = networks.conducting(full)
    assert all(array.all() for array in found.edges + found.units)
    found = networks.conducting([full[0], full[1] & False, full[2]])
    assert not any(array.any() for array in found.edges + found.units)


def test_layers_that_do_not_join_are_refused():
    with pytest.raises(InputError, match="layer 2 has 5 inputs"):
        networks.conducting([np.ones((3, 2), bool), np.ones((1, 5), bool)])
