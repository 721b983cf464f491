"""The counter-based generator: uniform, independent between seeds, steps and layers."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from criticality.nn import bits, masks

ALARM = 1e-4  # false-alarm probability of each statistical test below; seeds are fixed


def seed_pair(number: int) -> jax.Array:
    return bits.seeds(jax.random.key(number), (2,))


@pytest.mark.parametrize(
    "take", [lambda w: w & 0xFF, lambda w: w >> 24, lambda w: (w >> 12) & 0xFF]
)
def test_words_are_uniform_in_high_middle_and_low_bits(take):
    words = np.asarray(bits.words(seed_pair(1), (1 << 20,)))
    counts = np.bincount(take(words), minlength=256)
    assert stats.chisquare(counts).pvalue > ALARM


def test_every_bit_is_fair_and_bits_are_pairwise_independent():
    words = np.asarray(bits.words(seed_pair(2), (1 << 16,)))
    table = (words[:, None] >> np.arange(32)) & 1
    n = len(words)
    limit = stats.norm.isf(ALARM / 2 / 32)
    assert np.abs((table.mean(0) - 0.5) * 2 * np.sqrt(n)).max() < limit
    correlation = np.corrcoef(table.T)[np.triu_indices(32, 1)]
    assert np.abs(correlation * np.sqrt(n)).max() < stats.norm.isf(ALARM / 2 / len(correlation))


def related_streams():
    base = seed_pair(3)
    for step in (1, 2, 3, 1000):
        yield bits.reseed(base, jnp.int32(0)), bits.reseed(base, jnp.int32(step))
    layers = bits.seeds(jax.random.key(4), (3, 2))
    for a, b in itertools.combinations(range(3), 2):
        yield layers[a], layers[b]
    for a, b in itertools.combinations(range(4), 2):  # realizations: other keys
        yield seed_pair(a), seed_pair(b)
    for number in range(6, 12):  # the same or shifted counters, another second word
        other = base.at[1].set(bits.seeds(jax.random.key(number), ()))
        yield base, other
        yield base, other.at[0].add(bits.GOLDEN)


def test_streams_of_steps_layers_and_realizations_are_independent():
    pairs = list(related_streams())
    n = 1 << 16
    for a, b in pairs:
        x = np.asarray(bits.words(a, (n,)), float)
        y = np.asarray(bits.words(b, (n,)), float)
        for lag in (0, 1, 2):
            r = np.corrcoef(x[lag:], y[: n - lag])[0, 1]
            assert abs(r) * np.sqrt(n) < stats.norm.isf(ALARM / 2 / (3 * len(pairs)))
        assert (x == y).sum() <= 2  # 2^-16 are expected


def test_the_generator_has_no_short_serial_correlation():
    x = np.asarray(bits.words(seed_pair(5), (1 << 18,)), float)
    for lag in (1, 2, 3, 100, 128):
        r = np.corrcoef(x[lag:], x[:-lag])[0, 1]
        assert abs(r) * np.sqrt(len(x)) < stats.norm.isf(ALARM / 2 / 5)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 5000), number=st.integers(0, 2**31 - 1))
def test_permuted_is_a_permutation(size, number):
    seed = bits.seeds(jax.random.key(number), (2 * bits.ROUNDS,))
    padded = 5000  # one shape, one compilation: size is data
    index = jnp.minimum(jnp.arange(padded), size - 1)
    image = np.asarray(jax.jit(bits.permuted)(index, jnp.int32(size), seed))
    assert np.array_equal(np.sort(image[:size]), np.arange(size))


@pytest.mark.parametrize("size", [3, 4, 5])
def test_all_permutations_of_a_few_are_equally_likely(size):
    draws = 12_000
    seeds = bits.seeds(jax.random.key(size), (draws, 2 * bits.ROUNDS))
    shuffle = jax.vmap(bits.permuted, (None, None, 0))
    images = np.asarray(shuffle(jnp.arange(size), jnp.int32(size), seeds))
    codes = images @ (size ** np.arange(size))
    found, counts = np.unique(codes, return_counts=True)
    orders = len(list(itertools.permutations(range(size))))
    assert len(found) == orders
    assert stats.chisquare(counts).pvalue > ALARM


@pytest.mark.parametrize("size", [500, 1000, 4096])
def test_large_permutations_mix_position_and_neighbourhood(size):
    draws = 400
    seeds = bits.seeds(jax.random.key(size), (draws, 2 * bits.ROUNDS))
    shuffle = jax.vmap(bits.permuted, (None, None, 0))
    images = np.asarray(shuffle(jnp.arange(size), jnp.int32(size), seeds))
    # where the first and the last go, and how far neighbours land from each other
    for position in (0, size - 1):
        counts = np.histogram(images[:, position], bins=10, range=(0, size))[0]
        assert stats.chisquare(counts).pvalue > ALARM
    gap = np.diff(images.astype(int), axis=1) % size
    counts = np.histogram(gap[:, ::7], bins=10, range=(1, size))[0]
    assert stats.chisquare(counts).pvalue > ALARM
    # the number of samples in their own place is Poisson with mean 1
    fixed = (images == np.arange(size)).sum(axis=1)
    assert abs(fixed.mean() - 1) < stats.norm.isf(ALARM / 2) / np.sqrt(draws)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.95])
def test_dropout_drops_the_stated_fraction_and_keeps_the_mean(rate):
    h = jnp.ones((400, 500))
    out = np.asarray(masks.dropout(h, masks.level(rate), seed_pair(11)))
    n, dropped = out.size, (out == 0).sum()
    if rate == 0:
        np.testing.assert_array_equal(out, 1)
        return
    assert abs(dropped - n * rate) < 4 * np.sqrt(n * rate * (1 - rate))
    np.testing.assert_allclose(out[out > 0], 1 / (1 - rate), rtol=1e-6)
    # rows (samples) and columns (units) are each binomial: no pattern along either
    for axis in (0, 1):
        counts = (out == 0).sum(axis=axis)
        trials = out.shape[axis]
        chi2 = ((counts - trials * rate) ** 2 / (trials * rate * (1 - rate))).sum()
        assert ALARM < stats.chi2.sf(chi2, len(counts)) < 1 - ALARM


def test_a_rate_is_kept_to_32_bits_and_never_drops_everything():
    assert int(masks.level(0.5)) == 1 << 31
    rate = np.float32(0.1)
    assert int(masks.level(0.1)) == int(float(rate) * 2**32)
    assert int(masks.level(1 - 1e-12)) == (1 << 32) - (1 << 8)
    assert np.isfinite(masks.dropout(jnp.ones(8), masks.level(1 - 1e-12), seed_pair(0))).all()


def test_dropout_passes_gradients_back_as_its_definition_says():
    z = jax.random.normal(jax.random.key(1), (30, 40))
    slope = jax.random.normal(jax.random.key(2), z.shape)
    level, seed = masks.level(0.3), seed_pair(12)

    def defined(z):
        keep = bits.words(seed, z.shape) >= level
        return jnp.sum(slope * jnp.where(keep, jax.nn.relu(z) / (1 - 0.3), 0))

    def ours(z):
        return jnp.sum(slope * masks.dropout(jax.nn.relu(z), level, seed))

    np.testing.assert_allclose(jax.grad(ours)(z), jax.grad(defined)(z), rtol=1e-6)
