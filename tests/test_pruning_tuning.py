"""Pruning: how a network is fine-tuned, where the schedule pauses, and what else may be ranked."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from criticality import InputError
from criticality.base import canonical
from criticality.nn import samples
from criticality.nn.streams import stream
from criticality.systems.pruning import schedules
from criticality.systems.pruning.model import masked
from tests.test_pruning import TINY, arrays, path

KEY = jax.random.wrap_key_data(jnp.array([3, 4], jnp.uint32), impl="threefry2x32")


def begun(network):
    """A network before any training, of which the masks leave two thirds."""
    held = jax.device_put(arrays())
    state = masked.start(network, KEY, held)
    rng = np.random.default_rng(0)
    masks = tuple(jnp.asarray(rng.random(mask.shape) < 0.67) for mask in state.masks)
    return masked.restart(state, state.fit.params, masks, network.tuning_rate), held


def gradient(params, masks, x, y):
    """Of the mean cross-entropy of a fully-connected network, in float64."""
    inputs = [x]
    for w, b in params[:-1]:
        inputs.append(np.maximum(inputs[-1] @ w.T + b, 0))
    z = inputs[-1] @ params[-1][0].T + params[-1][1]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    back = p / p.sum(axis=1, keepdims=True) - np.eye(p.shape[1])[y]
    found = []
    for layer in reversed(range(len(params))):
        found.append(((back.T @ inputs[layer] / len(x)) * masks[layer], back.mean(axis=0)))
        back = back @ params[layer][0] * (inputs[layer] > 0)
    return found[::-1]


def plain_tuning(network, state, held, prunings):
    """As `fine_tune`, called so many times, in the letters of the papers and in float64."""
    params = [[np.asarray(x, float) for x in pair] for pair in state.fit.params]
    masks = [np.asarray(mask) for mask in state.masks]
    pool, count = np.asarray(held["train_x"], float) / 255, network.n_train
    an_epoch = -(-count // network.batch_size)
    shuffle, order = stream(state.key, "fine-tuning"), np.asarray(state.order)
    first = [[np.zeros_like(x) for x in pair] for pair in params]
    second = [[np.zeros_like(x) for x in pair] for pair in params]
    done = 0
    for _ in range(prunings):
        if network.fresh_moments:
            first = [[0 * x for x in pair] for pair in first]
            second = [[0 * x for x in pair] for pair in second]
        for own in range(network.updates):
            batch = samples.mini_batch(
                shuffle, jnp.int32(done // an_epoch), jnp.int32(count), network.batch_size
            )
            chosen, used = (np.asarray(x) for x in batch(jnp.int32(done % an_epoch)))
            sample = order[network.n_validation + chosen[used]]
            slopes = gradient(params, masks, pool[sample], np.asarray(held["train_y"])[sample])
            rate = network.tuning_rate / (1 + network.rate_decay * done)
            t = (own if network.fresh_moments else done) + 1
            for layer, pair in enumerate(slopes):
                for i, g in enumerate(pair):
                    w = params[layer][i] * (1 - rate * network.weight_decay)
                    if network.tuning_optimizer == "sgd":
                        first[layer][i] = 0.9 * first[layer][i] + g
                        params[layer][i] = w - rate * first[layer][i]
                        continue
                    first[layer][i] = 0.9 * first[layer][i] + 0.1 * g
                    second[layer][i] = 0.999 * second[layer][i] + 0.001 * g * g
                    mean, square = first[layer][i] / (1 - 0.9**t), second[layer][i] / (1 - 0.999**t)
                    params[layer][i] = w - rate * mean / (np.sqrt(square) + 1e-8)
            done += 1
    return params


TREATMENTS = {
    "as ever": {},
    "rate": {"rate_decay": 0.3},
    "decay": {"weight_decay": 4.0},
    "rate and decay": {"rate_decay": 0.3, "weight_decay": 4.0},
    "fresh": {"fresh_moments": True},
    "sgd": {"tuning_optimizer": "sgd", "tuning_rate": 0.1},
    "sgd, all": {
        "tuning_optimizer": "sgd", "tuning_rate": 0.1, "rate_decay": 0.3, "weight_decay": 0.2,
        "fresh_moments": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("treatment", TREATMENTS.values(), ids=TREATMENTS)
def test_fine_tuning_is_what_the_papers_write(treatment):
    network = replace(TINY, updates=4, **treatment)
    state, held = begun(network)
    tune = jax.jit(lambda now: masked.fine_tune(network, now, held, True))
    found = tune(tune(state)).fit
    expected = plain_tuning(network, state, held, prunings=2)
    for (w, b), (v, c), mask in zip(found.params, expected, state.masks, strict=True):
        np.testing.assert_allclose(w, v, rtol=2e-3, atol=2e-5)
        np.testing.assert_allclose(b, c, rtol=2e-3, atol=2e-5)
        assert (np.asarray(w)[~np.asarray(mask)] == 0).all()
    assert found.step == 8


def test_each_treatment_is_another_training():
    """So that the test above could tell them apart."""
    ends = {}
    for name, treatment in TREATMENTS.items():
        network = replace(TINY, updates=4, **treatment)
        state, held = begun(network)
        ends[name] = plain_tuning(network, state, held, prunings=2)[0][0]
    names = list(ends)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert np.abs(ends[one] - ends[other]).max() > 1e-3, (one, other)


# --- a schedule that pauses ---


@given(
    st.sampled_from(schedules.SCHEDULES),
    st.integers(2, 60),
    st.integers(0, 40),
    st.floats(0.01, 1.0),
)
def test_a_schedule_pauses_where_it_is_told_to_and_is_else_as_it_was(kind, steps, hold, at):
    totals = schedules.remaining(kind, 2_000, steps, 0.01, 0.5)
    paused = schedules.paused(totals, hold, 2_000 * at)
    assert len(paused) == steps + 1 + hold
    place = next(i for i, total in enumerate(totals) if total <= round(2_000 * at))
    assert (paused[place : place + hold + 1] == totals[place]).all()
    np.testing.assert_array_equal(np.delete(paused, slice(place, place + hold)), totals)


def test_while_the_schedule_pauses_weights_move_and_none_is_removed():
    network = replace(TINY, steps=10, hold=4, hold_after=0.5)
    states = path(network)
    counts = [sum(int(mask.sum()) for mask in state.now.masks) for state in states]
    assert counts == network.totals().tolist()
    still = [step for step in range(1, 11) if counts[step] == counts[step - 1]]
    assert len(still) == 4
    assert still == list(range(still[0], still[0] + 4))
    for step in still:
        for one, other in zip(states[step - 1].now.masks, states[step].now.masks, strict=True):
            np.testing.assert_array_equal(one, other)
        before, after = (states[s].now.fit.params[0][0] for s in (step - 1, step))
        assert (before != after).any()


# --- what is ranked ---


def pruned(network, scales=(1, 1, 1, 1), count=400):
    """Masks after one pruning of the network of `begun`, its layers multiplied by `scales`."""
    state, held = begun(network)
    params = tuple((w * s, b) for (w, b), s in zip(state.fit.params, scales, strict=True))
    state = state._replace(fit=state.fit._replace(params=params))
    counts = jnp.array([count, 0, 0, 0], jnp.int32)
    after = masked.prune(network, state, held, counts, jnp.int32(1))
    return state, after


def scores(state, after):
    """|w| / rms of the remaining weights of the layer, in float64: of what went, of what stayed."""
    gone, left = [], []
    for (w, _), before, mask in zip(state.fit.params, state.masks, after.masks, strict=True):
        w, before, mask = (np.asarray(x, float) for x in (w, before, mask))
        size = np.abs(w) / np.sqrt((w[before > 0] ** 2).mean())
        gone.append(size[before > mask])
        left.append(size[mask > 0])
    return np.concatenate(gone), np.concatenate(left)


def test_relative_removes_the_smallest_by_the_rms_of_their_layer():
    network = replace(TINY, criterion="relative")
    scales = (0.3, 5.0, 1.0, 40.0)
    state, after = pruned(network, scales)
    gone, left = scores(state, after)
    assert len(left) == 400
    assert gone.max() <= left.min() * (1 + 1e-5)
    gone, left = scores(*pruned(TINY, scales))  # magnitude sees the scales
    assert gone.max() > left.min() * 2


def test_a_layer_without_weights_has_no_rms_and_does_no_harm():
    network = replace(TINY, criterion="relative")
    state, held = begun(network)
    masks = (*state.masks[:3], jnp.zeros_like(state.masks[3]))
    empty = masked.restart(state, state.fit.params, masks, 0.01)
    after = masked.prune(network, empty, held, jnp.array([300, 0, 0, 0]), jnp.int32(1))
    assert sum(int(mask.sum()) for mask in after.masks) == 300
    assert not after.masks[3].any()


@pytest.mark.parametrize("criterion", ["magnitude", "relative"])
def test_a_factor_on_the_first_layer_is_a_factor_in_ranking_alone(criterion):
    network = replace(TINY, criterion=criterion)
    ranked = [pruned(replace(network, first_layer=f)) for f in (1e-6, 1.0, 2.0, 1e6)]
    edges = [[int(mask.sum()) for mask in after.masks] for _, after in ranked]
    total = [int(mask.sum()) for mask in ranked[0][0].masks]
    assert edges[0][0] == 400 - sum(total[1:])  # all others stay
    assert edges[0][0] < edges[1][0] < edges[2][0] < edges[3][0] == 400
    for state, after in ranked:
        for (w, _), (v, _), mask in zip(
            state.fit.params, after.fit.params, after.masks, strict=True
        ):
            np.testing.assert_array_equal(np.where(mask, w, 0), v)
    _, doubled = pruned(network, (2.0, 1, 1, 1))
    if criterion == "magnitude":  # as if its weights were so large
        np.testing.assert_array_equal(doubled.masks[0], ranked[2][1].masks[0])


# --- bad input ---


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"hold": 12}, "hold < steps"),
        ({"hold_after": 0.95}, "final_density = 0.1 is reached"),
        ({"schedule": "focused", "focus": 0.5, "hold": 11}, "2 or more"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"rate_decay": -1.0}, "rate_decay"),
        ({"first_layer": 0.0}, "first_layer"),
        ({"tuning_optimizer": "sdg"}, "did you mean 'sgd'"),
        ({"criterion": "relativ"}, "did you mean 'relative'"),
    ],
)
def test_a_treatment_that_cannot_be_is_an_error_that_says_why(changes, what):
    with pytest.raises(InputError, match=what):
        canonical(TINY, **changes)
