"""Topology controls: same edges, same degrees, same initial weights, trained alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality import InputError, data
from criticality.base import canonical
from criticality.engine.templates import split
from criticality.systems.pruning import TopologyNetwork
from criticality.systems.pruning.controls import network as shape_of
from criticality.systems.pruning.model import masked, networks
from criticality.systems.pruning.model import topology as model
from criticality.systems.pruning.topology import TOPOLOGIES

TINY = TopologyNetwork.tiny()


@cache
def advancing(form: TopologyNetwork):
    """`advance`, compiled once for all values of controls that are not static."""
    return jax.jit(lambda traced, state, held: model.advance(replace(form, **traced), state, held))


@cache
def path(network: TopologyNetwork = TINY):
    """Every state of one realization from its begin on."""
    held = jax.device_put(data.load("synthetic").arrays())
    form, traced = split(network)
    advance = advancing(form)
    key = jax.random.wrap_key_data(jnp.array([3, 4], jnp.uint32), impl="threefry2x32")
    states = [model.begin(network, key, held)]
    while not model.finished(network, states[-1]):
        states.append(advance(traced, states[-1], held))
    return states, model.observe(network, states[-1], held)


def structures(network: TopologyNetwork = TINY):
    states, _ = path(network)
    return [
        [np.asarray(part) for part in networks.split(mask, shape_of(network))]
        for mask in states[-1].masks
    ]


def test_all_topologies_have_as_many_edges():
    edges = np.asarray(path()[1]["edges"])
    total = np.rint(TINY.density * sum(shape_of(TINY).edges))
    assert edges.sum(axis=1).tolist() == [total] * len(TOPOLOGIES)
    assert (edges[1] == edges[0]).all()
    assert (edges[2] == edges[0]).all()
    assert (edges[3] != edges[0]).any()


def test_swapped_edges_keep_every_degree_and_random_ones_do_not():
    pruned, swapped, shared, _ = structures()
    assert any((a != b).any() for a, b in zip(pruned, swapped, strict=True))
    for axis in (0, 1):
        for a, b in zip(pruned, swapped, strict=True):
            np.testing.assert_array_equal(a.sum(axis=axis), b.sum(axis=axis))
        pairs = zip(pruned, shared, strict=True)
        assert any((a.sum(axis=axis) != b.sum(axis=axis)).any() for a, b in pairs)


def test_the_pruned_structure_is_the_one_that_pruning_left():
    states, _ = path()
    last = next(s for s in states if s.stage == TINY.steps)
    for mask, found in zip(last.now.masks, structures()[0], strict=True):
        np.testing.assert_array_equal(mask, found)
    np.testing.assert_allclose(
        last.pruned, masked.measured(TINY, last.now.fit.params, held())["accuracy"]
    )


def held():
    return {name: jnp.asarray(array) for name, array in data.load("synthetic").arrays().items()}


def test_each_starts_from_the_pruned_initial_weights_and_keeps_its_zeros():
    states, found = path()
    begun = path()[0][0]
    every = structures()
    for which, masks in enumerate(every):
        weights = tuple(
            (jnp.where(mask, w, 0), b) for mask, (w, b) in zip(masks, begun.initial, strict=True)
        )
        at_start = masked.measured(TINY, weights, held())
        np.testing.assert_allclose(found["accuracy"][which, 0], at_start["accuracy"])
        np.testing.assert_allclose(found["loss"][which, 0], at_start["loss"], rtol=1e-5)
        done = next(s for s in states if s.stage == TINY.steps + (which + 1) * TINY.epochs)
        for mask, (w, _) in zip(masks, done.now.fit.params, strict=True):
            assert (np.asarray(w)[~mask] == 0).all()
            assert (np.asarray(w)[mask] != 0).all()
        after = masked.measured(TINY, done.now.fit.params, held())
        np.testing.assert_allclose(found["accuracy"][which, -1], after["accuracy"])
        assert done.now.fit.step == TINY.epochs * -(-TINY.n_train // TINY.batch_size)


def test_overlap_is_the_share_of_common_edges():
    found = path()[1]["overlap"]
    flat = [np.concatenate([m.ravel() for m in masks]) for masks in structures()]
    expected = [(flat[0] & other).sum() / other.sum() for other in flat]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[0] == 1
    assert found[1:].max() < 1


def test_without_swaps_the_control_trains_like_the_pruned_structure():
    _, found = path(replace(TINY, attempts=0))
    np.testing.assert_array_equal(found["accuracy"][0], found["accuracy"][1])
    assert found["overlap"][1] == 1


def test_convolutions_keep_the_degrees_of_channels():
    network = replace(TINY, architecture="cnn5", channels=3, density=0.3)
    pruned, swapped, *_ = structures(network)
    for a, b in zip(pruned, swapped, strict=True):
        table_a, table_b = (m.reshape(len(m), -1) for m in (a, b))
        np.testing.assert_array_equal(table_a.sum(axis=0), table_b.sum(axis=0))
        np.testing.assert_array_equal(table_a.sum(axis=1), table_b.sum(axis=1))
    assert any((a != b).any() for a, b in zip(pruned, swapped, strict=True))


def test_a_density_that_leaves_no_edge_is_an_error():
    with pytest.raises(InputError, match="not one of 1176 edges"):
        canonical(TINY, density=1e-5)
