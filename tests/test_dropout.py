"""The dropout network: every mask, mini-batch and subset is drawn afresh, and only once."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from criticality import data, keys
from criticality.base import Task
from criticality.nn import bits, masks, samples
from criticality.systems.dropout import DropoutNetwork, model

ARRAYS = jax.device_put(data.load("synthetic").arrays())
TINY = dataclasses.replace(DropoutNetwork.tiny(), n_train=90, batch_size=32, max_epochs=3)


def root(realization=0, system=TINY):
    words = keys.words(Task(system=system, seed=0, realization=realization, checksum="").lineage)
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def trained(system=TINY, realization=0):
    state = model.begin(system, root(realization, system), ARRAYS)
    advance = jax.jit(partial(model.advance, system))
    while not model.finished(system, state):
        state = advance(state, ARRAYS)
    return state


@pytest.fixture
def seen(monkeypatch):
    """Seeds of all masks, and of all shuffles, that are drawn from here on."""
    record: dict[str, list[tuple[int, ...]]] = {"masks": [], "shuffles": []}
    real_dropout, real_permuted = masks.dropout, bits.permuted

    def note(name):
        return lambda seed: record[name].append(tuple(int(word) for word in seed))

    def recorded_dropout(h, level, seed):
        jax.debug.callback(note("masks"), seed)
        return real_dropout(h, level, seed)

    def recorded_permuted(index, size, seed):
        jax.debug.callback(note("shuffles"), seed)
        return real_permuted(index, size, seed)

    monkeypatch.setattr(masks, "dropout", recorded_dropout)
    monkeypatch.setattr(bits, "permuted", recorded_permuted)
    yield record
    jax.effects_barrier()


def test_every_training_step_and_layer_has_its_own_mask(seen):
    trained()
    jax.effects_barrier()
    steps = 3 * 3  # three epochs of 90 samples in mini-batches of 32
    assert len(seen["masks"]) == steps * TINY.depth
    assert len(set(seen["masks"])) == steps * TINY.depth


def test_every_epoch_has_its_own_order_of_samples(seen):
    trained()
    jax.effects_barrier()
    assert len(set(seen["shuffles"])) == 1 + 3  # the subset, and three epochs


def test_every_rate_pass_chunk_and_layer_of_an_evaluation_has_its_own_mask(seen, monkeypatch):
    state = model.begin(TINY, root(), ARRAYS)
    monkeypatch.setattr(samples, "CHUNK", 250)
    system = dataclasses.replace(TINY, p_eval=(0.2, 0.5, 0.7), passes=3)
    model.observe(system, state, ARRAYS)
    jax.effects_barrier()
    chunks = len(ARRAYS["test_y"]) // 250
    assert chunks > 1
    assert len(seen["masks"]) == 3 * 3 * chunks * system.depth
    assert len(set(seen["masks"])) == len(seen["masks"])


def test_realizations_share_no_mask_shuffle_or_subset(seen):
    orders = [np.asarray(trained(realization=r).order) for r in (0, 1)]
    jax.effects_barrier()
    assert len(set(seen["masks"])) == len(seen["masks"]) == 2 * 9 * TINY.depth
    assert len(set(seen["shuffles"])) == 2 * (1 + 3)
    assert (orders[0] != orders[1]).mean() > 0.99
    assert all(np.array_equal(np.sort(order), np.arange(len(order))) for order in orders)


def test_passes_scatter_with_dropout_and_agree_without():
    system = dataclasses.replace(TINY, p_eval=(0.0, 0.5), passes=8)
    found = jax.jit(model.observe, static_argnums=0)(system, trained(system), ARRAYS)
    assert np.ptp(found["loss"][0]) == 0
    assert np.ptp(found["accuracy"][0]) == 0
    assert len(np.unique(found["loss"][1])) == 8


def test_the_means_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    system = dataclasses.replace(TINY, p_eval=(0.0,), passes=1)
    state = trained(system)
    whole = model.observe(system, state, ARRAYS)
    monkeypatch.setattr(samples, "CHUNK", 40)
    parts = model.observe(system, state, ARRAYS)
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-5)
    np.testing.assert_array_equal(parts["accuracy"], whole["accuracy"])


def test_validation_and_training_samples_are_disjoint_and_training_sees_n_train(monkeypatch):
    used = []
    real = bits.permuted

    def recorded(index, size, seed):
        result = real(index, size, seed)
        jax.debug.callback(lambda i, r: used.append((np.asarray(i), np.asarray(r))), index, result)
        return result

    monkeypatch.setattr(bits, "permuted", recorded)
    system = dataclasses.replace(TINY, max_epochs=1)
    state = trained(system)
    jax.effects_barrier()
    used = [(index, image) for index, image in used if len(index) == system.batch_size]
    slots = np.concatenate([index for index, _ in used])
    images = np.concatenate([image for _, image in used])
    # every sample of the subset once; the slots beyond it are set to 0 and given no weight
    first = {int(s): int(i) for s, i in zip(slots, images, strict=True)}
    assert sorted(first.values()) == list(range(system.n_train))
    order = np.asarray(state.order)
    held_out = set(order[: system.n_validation].tolist())
    trained_on = set(order[system.n_validation :][: system.n_train].tolist())
    assert not held_out & trained_on


def test_only_the_training_subset_trains():
    state = model.begin(TINY, root(), ARRAYS)
    order = np.asarray(state.order)
    first, last = TINY.n_validation, TINY.n_validation + TINY.n_train
    advance = jax.jit(model.advance, static_argnums=0)
    plain = advance(TINY, state, ARRAYS).fit.params

    def moved(rows):
        pixels = np.array(ARRAYS["train_x"])
        pixels[rows] = 255 - pixels[rows]
        after = advance(TINY, state, {**ARRAYS, "train_x": jax.device_put(pixels)}).fit.params
        return not np.array_equal(after[0][0], plain[0][0])

    assert not moved(order[:first])  # validation
    assert not moved(order[last:])  # not used at all
    assert moved(order[first:last])
    assert moved(order[last - 1 : last])


def test_the_last_short_batch_weighs_only_its_own_samples():
    # 90 = 2 * 32 + 26: the padded slots must not pull the step towards sample 0
    full = dataclasses.replace(TINY, p_train=0.0, n_train=26, batch_size=26, max_epochs=1)
    padded = dataclasses.replace(full, batch_size=40)
    key = root()
    advance = jax.jit(model.advance, static_argnums=0)
    one, two = (advance(s, model.begin(s, key, ARRAYS), ARRAYS) for s in (full, padded))
    for a, b in zip(
        jax.tree.leaves(one.fit.moments), jax.tree.leaves(two.fit.moments), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
