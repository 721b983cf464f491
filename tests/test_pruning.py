"""Pruning: exact counts, exact zeros, what is removed, and what is recorded along the way."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from criticality import InputError, data
from criticality.base import Task, canonical
from criticality.engine import ensemble
from criticality.engine.templates import split
from criticality.nn import dense, measure
from criticality.systems.pruning import PruningNetwork, architectures, schedules
from criticality.systems.pruning.controls import CRITERIA
from criticality.systems.pruning.controls import network as shape_of
from criticality.systems.pruning.model import networks, percolation, selection
from criticality.systems.pruning.model import pruning as model

TINY = PruningNetwork.tiny()
CNN = replace(TINY, architecture="cnn5", channels=2, final_density=0.05)


def arrays():
    return data.load("synthetic").arrays()


def realized(network: PruningNetwork, realization: int = 0):
    task = Task(system=canonical(network), seed=0, realization=realization, checksum="")
    return ensemble.realize([task], arrays())[0]


@cache
def advancing(form: PruningNetwork):
    """`advance`, compiled once for all values of controls that are not static."""
    return jax.jit(lambda traced, state, held: model.advance(replace(form, **traced), state, held))


@cache
def path(network: PruningNetwork, realization: int = 0):
    """Every state of one realization, from the dense network on."""
    held = jax.device_put(arrays())
    form, traced = split(network)
    advance = advancing(form)
    words = jnp.array([1, 2 + realization], jnp.uint32)
    state = model.begin(network, jax.random.wrap_key_data(words, impl="threefry2x32"), held)
    states = []
    while not model.finished(network, state):
        state = advance(traced, state, held)
        if state.step >= 0:
            states.append(jax.tree.map(np.asarray, state._replace(now=state.now._replace(key=0))))
    return states


# --- how many remain ---


@given(
    st.sampled_from(schedules.SCHEDULES),
    st.integers(1, 5_000),
    st.integers(1, 300),
    st.floats(0.001, 0.4),
)
def test_a_schedule_only_removes_and_ends_where_it_is_told_to(kind, edges, steps, final):
    counts = schedules.remaining(kind, edges, steps, final, 0.5)
    assert len(counts) == steps + 1
    assert counts[0] == edges
    assert abs(counts[-1] - final * edges) <= 0.5 + 1e-9 or (kind == "focused" and steps == 1)
    assert (np.diff(counts) <= 0).all()


def test_equal_steps_are_equal_and_ratios_are_ratios():
    equal = schedules.remaining("equal", 10_000, 100, 0.0, 0.5)
    assert set(np.diff(equal)) == {-100}
    geometric = schedules.remaining("geometric", 10_000_000, 10, 1e-3, 0.5)
    np.testing.assert_allclose(geometric[1:] / geometric[:-1], 10**-0.3, rtol=1e-4)
    focused = schedules.remaining("focused", 100_000, 100, 0.0, 0.09)
    assert focused[10] == 9_000
    assert set(np.diff(focused[10:])) == {-100}


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=6), st.integers(1, 40), st.integers(0, 2**20)
)
def test_shares_of_layers_sum_to_the_total_and_never_grow(layers, steps, seed):
    layers = np.array(layers)
    totals = np.sort(np.random.default_rng(seed).integers(0, layers.sum() + 1, steps))[::-1]
    shares = schedules.apportioned(totals, layers)
    np.testing.assert_array_equal(shares.sum(axis=1), totals)
    assert (np.diff(shares, axis=0, prepend=layers[None]) <= 0).all()
    assert (shares >= np.floor(totals[:, None] * layers / layers.sum())).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.booleans())
def test_the_largest_are_kept_exactly_and_the_first_of_equal_ones(seed, values, many):
    rng = np.random.default_rng(seed)
    # few different values: many ties
    score = rng.random(64).astype(np.float32) if many else rng.integers(0, values, 64) / 4
    score = score.astype(np.float32)
    alive = rng.random(64) < 0.7
    count = int(rng.integers(0, alive.sum() + 1))
    kept = np.asarray(selection.largest(selection.rank(jnp.asarray(score)), alive, count))
    order = sorted(np.flatnonzero(alive), key=lambda i: (-score[i], i))
    assert set(np.flatnonzero(kept)) == set(order[:count])


VARIANTS = [
    replace(base, scope=scope, criterion=criterion, schedule=schedule)
    for base, scope, criterion, schedule in [
        *[(TINY, "global", criterion, "geometric") for criterion in CRITERIA],
        (TINY, "layer", "magnitude", "geometric"),
        (TINY, "layer", "random", "equal"),
        (CNN, "layer", "saliency", "focused"),
        (CNN, "global", "magnitude", "geometric"),
    ]
]


@pytest.mark.parametrize(
    "network", VARIANTS, ids=lambda n: f"{n.architecture}-{n.scope}-{n.criterion}-{n.schedule}"
)
def test_as_many_remain_as_the_schedule_says_and_the_rest_are_exactly_zero(network):
    total, layers = network.totals(), network.counts()
    states = path(network)
    assert len(states) == network.steps + 1
    before = [np.ones(shape, bool) for shape in shape_of(network).shapes]
    for step, state in enumerate(states):
        masks, fit = state.now.masks, state.now.fit
        assert sum(int(mask.sum()) for mask in masks) == total[step]
        if network.scope == "layer":
            assert [int(mask.sum()) for mask in masks] == layers[step].tolist()
        for layer, mask in enumerate(masks):
            assert not (mask & ~before[layer]).any()  # nothing comes back
            for values in (fit.params, fit.moments.mean, fit.moments.square):
                assert (values[layer][0][~mask] == 0).all()
            assert (fit.params[layer][1] != 0).any()  # biases are not pruned
        before = masks
    assert states[-1].now.fit.step == network.steps * network.updates


# --- which are removed ---


def removed_and_kept(network, score):
    """Scores of what the first pruning removed, and of what it left, before any update."""
    frozen = replace(network, updates=0)
    first, second = path(frozen)[:2]
    removed = [a & ~b for a, b in zip(first.now.masks, second.now.masks, strict=True)]
    values = score(first)
    gone = np.concatenate([v[r] for v, r in zip(values, removed, strict=True)])
    left = np.concatenate([v[m] for v, m in zip(values, second.now.masks, strict=True)])
    return gone, left


def magnitudes(state):
    return [np.abs(w) for w, _ in state.now.fit.params]


def test_magnitude_removes_the_smallest_weights_of_the_whole_network():
    gone, left = removed_and_kept(TINY, magnitudes)
    assert gone.max() <= left.min()


def test_in_layers_the_smallest_of_each_go():
    network = replace(TINY, scope="layer", updates=0)
    first, second = path(network)[:2]
    for (w, _), kept in zip(first.now.fit.params, second.now.masks, strict=True):
        assert np.abs(w[~kept]).max() <= np.abs(w[kept]).min()


def test_random_pruning_does_not_look_at_the_weights():
    gone, left = removed_and_kept(replace(TINY, criterion="random"), magnitudes)
    assert gone.max() > np.median(left)
    every = np.concatenate([gone, left])
    assert abs(gone.mean() - every.mean()) < 4 * every.std() / np.sqrt(len(gone))
    other = replace(TINY, criterion="random")
    assert not np.array_equal(*(path(other, realization)[-1].removed for realization in (0, 1)))


def plain_curvature(params, x):
    """Second derivatives as in Optimal Brain Damage, unit by unit, in float64."""
    params = [(np.asarray(w, float), np.asarray(b, float)) for w, b in params]
    inputs, zs = [np.asarray(x, float)], []
    for layer, (w, b) in enumerate(params):
        zs.append(inputs[-1] @ w.T + b)
        if layer < len(params) - 1:
            inputs.append(np.maximum(zs[-1], 0))
    p = np.exp(zs[-1] - zs[-1].max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    second, found = p * (1 - p), []
    for layer in reversed(range(len(params))):
        found.append(np.einsum("ni,nj->ij", second, inputs[layer] ** 2))
        if layer:
            second = (second @ params[layer][0] ** 2) * (zs[layer - 1] > 0)
    return found[::-1]


curvature = jax.jit(networks.curvature, static_argnums=0)


def test_saliency_is_that_of_optimal_brain_damage():
    network = architectures.build("fc4", 64, 7, 1, 10, "float32")
    params = dense.initialize(jax.random.key(0), network.shapes, "standard")
    x = jax.random.uniform(jax.random.key(1), (30, 64))
    found = curvature(network, params, x, jnp.ones(30))
    for one, other in zip(found, plain_curvature(params, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_second_derivatives_of_the_last_layer_are_exact(architecture):
    network = architectures.build(architecture, 64, 5, 2, 10, "float32")
    params = dense.initialize(jax.random.key(0), network.shapes, "standard")
    x, y = jax.random.uniform(jax.random.key(1), (6, 64)), jnp.arange(6)

    def loss(w):
        logits = networks.logits(network, (*params[:-1], (w, params[-1][1])), x)
        return measure.cross_entropy(logits, y).sum()

    w = params[-1][0]
    exact = jnp.diagonal(jax.jit(jax.hessian(loss))(w).reshape(w.size, w.size)).reshape(w.shape)
    np.testing.assert_allclose(curvature(network, params, x, jnp.ones(6))[-1], exact, atol=1e-5)


def neighbourhoods(h):
    """Pixels [samples, channels, 3, 3, y, x] around each of [samples, channels, y, x]."""
    wide = np.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y, x = h.shape[2:]
    return np.array(
        [[wide[:, :, i : i + y, j : j + x] for j in range(3)] for i in range(3)]
    ).transpose(2, 3, 0, 1, 4, 5)


def test_second_derivatives_of_a_convolution_sum_over_places():
    """As `plain_curvature`, for CNN5, place by place, in float64."""
    network = architectures.build("cnn5", 64, 5, 2, 10, "float32")
    params = dense.initialize(jax.random.key(0), network.shapes, "standard")
    pixels = jax.random.uniform(jax.random.key(1), (4, 64))
    exact = [(np.asarray(w, float), np.asarray(b, float)) for w, b in params]
    h, inputs, passed = np.asarray(pixels, float).reshape(4, 1, 8, 8), [], []
    for w, b in exact[:3]:
        inputs.append(h)
        z = np.einsum("ocij,ncijyx->noyx", w, neighbourhoods(h)) + b[:, None, None]
        n, c, side, _ = z.shape
        squares = z.reshape(n, c, side // 2, 2, side // 2, 2)
        largest = squares.max(axis=(3, 5), keepdims=True)
        passed.append(((squares == largest) & (largest > 0)).reshape(z.shape))
        h = np.maximum(largest[:, :, :, 0, :, 0], 0)
    of_dense = plain_curvature(exact[3:], h.reshape(4, -1))
    hidden = h.reshape(4, -1) @ exact[3][0].T + exact[3][1]
    logits = np.maximum(hidden, 0) @ exact[4][0].T + exact[4][1]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    second = (p * (1 - p)) @ exact[4][0] ** 2 * (hidden > 0) @ exact[3][0] ** 2
    second, of_filters = second.reshape(h.shape), []
    for layer in (2, 1, 0):
        second = second.repeat(2, axis=2).repeat(2, axis=3) * passed[layer]
        squares = neighbourhoods(inputs[layer]) ** 2
        of_filters.insert(0, np.einsum("noyx,ncijyx->ocij", second, squares))
        back = exact[layer][0][:, :, ::-1, ::-1] ** 2
        second = np.einsum("ocij,noijyx->ncyx", back, neighbourhoods(second))
    found = curvature(network, params, pixels, jnp.ones(4))
    for one, other in zip(found, [*of_filters, *of_dense], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7)
    halved = curvature(network, params, pixels, jnp.full(4, 0.5))
    for one, other in zip(found, halved, strict=True):
        np.testing.assert_allclose(one, 2 * other, rtol=1e-5)


def test_saliency_removes_the_least_salient():
    network = replace(TINY, criterion="saliency")
    held = arrays()

    def score(state):
        sample = state.now.order[TINY.n_validation :][: TINY.n_train]
        h = plain_curvature(state.now.fit.params, held["train_x"][sample] / 255)
        return [c * np.asarray(w) ** 2 for c, (w, _) in zip(h, state.now.fit.params, strict=True)]

    gone, left = removed_and_kept(network, score)
    assert gone.max() <= left.min() * 1.001


# --- what is recorded ---


def joined(layers):
    return np.concatenate([layer.ravel() for layer in layers])


@pytest.mark.parametrize("network", [TINY, CNN], ids=["fc4", "cnn5"])
def test_what_is_recorded_is_what_was_there(network):
    states, total = path(network), network.totals()
    found = model.observe(network, jax.tree.map(jnp.asarray, states[-1]), None)
    masks = [state.now.masks for state in states]
    edges = [[int(mask.sum()) for mask in layers] for layers in masks]
    np.testing.assert_array_equal(found["edges"], edges)
    np.testing.assert_allclose(found["density"], np.sum(edges, axis=1) / total[0], rtol=1e-6)
    removed = np.sum([joined(layers) for layers in masks], axis=0)  # at step 0 all are there
    np.testing.assert_array_equal(found["removed"], removed)
    assert removed.max() == network.steps + 1  # some are still there
    for density, step, weights in zip(
        network.snapshots, found["snapshot_step"].tolist(), found["weights"], strict=True
    ):
        assert sum(edges[step]) / total[0] <= density + 0.5 / total[0]
        assert step == 0 or sum(edges[step - 1]) / total[0] > density
        there = joined(w for w, _ in states[step].now.fit.params)
        np.testing.assert_array_equal(weights, there)
        assert (weights[removed > step] != 0).all()


def test_the_engine_keeps_the_same_record():
    found, states = realized(TINY), path(TINY)  # of another key: what the schedule says agrees
    np.testing.assert_array_equal(found["density"], states[-1].series["density"])
    np.testing.assert_array_equal(found["edges"].sum(axis=1), TINY.totals())
    for step, weights in zip(found["snapshot_step"], found["weights"], strict=True):
        np.testing.assert_array_equal(weights != 0, found["removed"] > step)


def test_densities_that_share_a_step_share_a_snapshot():
    network = replace(TINY, snapshots=(0.1, 0.98, 0.99, 1.0))
    states = path(network)
    found = model.observe(network, jax.tree.map(jnp.asarray, states[-1]), None)
    assert found["snapshot_step"].tolist() == [12, 1, 1, 0]
    assert len(states[-1].weights) == 3  # kept: one for 0.98 and 0.99
    for step, weights in zip(found["snapshot_step"].tolist(), found["weights"], strict=True):
        np.testing.assert_array_equal(weights, joined(w for w, _ in states[step].now.fit.params))


def plain_evolution(later, earlier, mask):
    """Evolution Metric in the letters of the paper, in float64."""
    w, v = np.asarray(later, float)[mask], np.asarray(earlier, float)[mask]
    rss, tss = ((w - v) ** 2).sum(), ((w - w.mean()) ** 2).sum()
    n, r2 = len(w), 1 - rss / tss
    return 1 - (1 - (1 - r2) * (n - 1) / (n - 2))


def test_evolution_from_step_to_step_is_that_of_the_paper():
    states, found = path(TINY), path(TINY)[-1].series["evolution"]
    assert (found[0] == 0).all()
    for step in range(1, TINY.steps + 1):
        now, before = states[step].now, states[step - 1].now
        parts = [
            (w, v, m)
            for (w, _), (v, _), m in zip(now.fit.params, before.fit.params, now.masks, strict=True)
        ]
        every = [np.concatenate([part[i].ravel() for part in parts]) for i in range(3)]
        expected = [plain_evolution(*part) for part in (every, *parts)]
        np.testing.assert_allclose(found[step], expected, rtol=1e-3)


def test_evolution_is_zero_without_updates_and_undefined_for_two_weights():
    states = path(replace(TINY, updates=0))
    np.testing.assert_array_equal(states[-1].series["evolution"], 0)
    w = jnp.arange(4.0).reshape(2, 2)
    few = ((w, w[0]),)
    mask = (jnp.array([[True, True], [False, False]]),)
    assert np.isnan(model.evolution(few, few, mask)).all()


def test_entropies_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (10, 500)).astype(np.float32)
    p = np.exp(logits.astype(float))
    p /= p.sum(axis=0)
    entropy = -(p * np.log(p)).sum(axis=0)
    np.testing.assert_allclose(measure.outcome_entropy(logits), entropy, rtol=1e-4, atol=1e-6)
    counts = np.asarray(measure.predicted(logits)).sum(axis=1)
    np.testing.assert_array_equal(counts, np.bincount(logits.argmax(axis=0), minlength=10))
    share = counts / 500
    expected = -(share * np.log(share)).sum()
    assert float(measure.prediction_entropy(counts)) == pytest.approx(expected, rel=1e-5)
    one = np.array([0, 7, 0])
    assert float(measure.prediction_entropy(one)) == 0
    assert not np.signbit(measure.prediction_entropy(one))
    assert float(measure.prediction_entropy(np.full(10, 3))) == pytest.approx(np.log(10))


def test_conducting_edges_are_those_on_a_path():
    """By counting paths: an edge conducts if some path uses it."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        masks = [rng.random(shape) < 0.25 for shape in ((4, 5), (3, 4), (2, 3))]
        edges, live = percolation.conducting([jnp.asarray(m) for m in masks], (5, 4, 3, 2))
        used = [set(), set(), set()]
        for a, b, c, d in np.ndindex(5, 4, 3, 2):
            if masks[0][b, a] and masks[1][c, b] and masks[2][d, c]:
                for layer, edge in enumerate([(b, a), (c, b), (d, c)]):
                    used[layer].add(edge)
        assert edges.tolist() == [len(u) for u in used]
        ends = [{e[1] for e in used[0]}, *[{e[0] for e in u} for u in used]]
        assert live.tolist() == [len(e) for e in ends]


def test_parallel_edges_of_a_channel_count_each():
    mask = jnp.zeros((2, 1, 3, 3), bool).at[0, 0, 0, :2].set(True)
    last = jnp.zeros((3, 8), bool).at[1, 2].set(True).at[2, 6].set(True)  # 4 places a channel
    edges, live = percolation.conducting([mask, last], (1, 2, 3))
    assert edges.tolist() == [2, 1]  # the edge from channel 1 leads from nowhere
    assert live.tolist() == [1, 1, 1]


# --- physics ---


def test_magnitude_beats_random_pruning_at_equal_density():
    base = replace(TINY, n_train=1_000, max_epochs=20, updates=40)
    random = replace(base, criterion="random")

    def accuracy(network, realization):
        return path(network, realization)[-1].series["accuracy"][-4:]

    difference = [accuracy(base, r) - accuracy(random, r) for r in range(4)]
    mean = np.mean(difference, axis=1)
    assert mean.min() > 0
    assert mean.mean() > 0.1


def test_accuracy_survives_the_first_half_and_is_chance_without_edges():
    network = replace(
        TINY, n_train=1_000, max_epochs=20, steps=20, updates=40, schedule="equal",
        final_density=0.0, width=20, snapshots=(0.0, 1.0),
    )  # fmt: skip
    found = realized(network)
    accuracy = found["accuracy"]
    assert accuracy[0] > 0.9
    assert accuracy[10] > accuracy[0] - 0.05
    assert accuracy[-1] < 0.15
    assert found["prediction_entropy"][-1] == 0  # the biases always predict one class
    assert found["prediction_entropy"][0] > 2.2
    assert (found["live_units"][-1] == 0).all()


# --- bad input ---


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"schedule": "geometric", "final_density": 0.0}, "never ends"),
        ({"schedule": "focused", "focus": 0.1, "final_density": 0.2}, "less than focus"),
        ({"schedule": "focused", "steps": 1}, "2 or more"),
        ({"snapshots": (0.05, 1.0)}, "below final_density"),
        ({"n_train": 5_000}, "n_train <= 3900"),
        ({"criterion": "magnitud"}, "did you mean 'magnitude'"),
        ({"steps": 0}, "whole number"),
    ],
)
def test_a_plan_that_cannot_be_is_an_error_that_says_why(changes, what):
    with pytest.raises(InputError, match=what):
        canonical(TINY, **changes)
