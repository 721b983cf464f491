"""Edge swaps: degrees are kept, every matrix is equally likely, no mask is copied."""

from __future__ import annotations

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from criticality.nn import bits
from criticality.systems.pruning.model import rewiring
from criticality.systems.pruning.topology import ATTEMPTS

ALARM = 1e-3  # false-alarm probability of each statistical test below; seeds are fixed

swap = jax.jit(rewiring.swap_edges)
swap_many = jax.jit(jax.vmap(rewiring.swap_edges, (None, 0, None)))
swap_in_turn = jax.jit(
    lambda mask, seeds, attempts: jax.lax.map(
        lambda seed: rewiring.swap_edges(mask, seed, attempts)[0], seeds
    )
)
swap_each = jax.jit(jax.vmap(rewiring.swap_edges, (0, 0, None)))
MARGINS = [  # rows, columns, matrices with these sums
    ((1, 1), (1, 1), 2),
    ((1, 1, 1), (1, 1, 1), 6),
    ((2, 1, 1), (2, 1, 1), 5),
    ((2, 2, 1), (1, 2, 1, 1), 12),
    ((3, 2, 3), (2, 2, 2, 2), 12),  # crowded: empty places are swapped
]


def seed_pairs(number: int, *shape: int) -> jax.Array:
    return bits.seeds(jax.random.key(number), (*shape, 2))


def uneven(out: int, n_in: int, density: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p = np.outer(rng.gamma(1.5, size=out), rng.pareto(2, n_in) * (rng.random(n_in) < 0.4))
    return rng.random(p.shape) < density * p / p.mean()


def matrices(rows, columns):
    """Every 0-1 matrix with these sums, bool [matrices, rows, columns]."""
    lines = [
        [np.isin(np.arange(len(columns)), chosen) for chosen in pick]
        for pick in (itertools.combinations(range(len(columns)), k) for k in rows)
    ]
    every = np.array(list(itertools.product(*lines)))
    return every[(every.sum(1) == columns).all(1)]


def visits(found, every) -> np.ndarray:
    """How often each matrix was found; fails on one that has other sums."""
    same = (np.asarray(found)[:, None] == every).all((2, 3))
    assert (same.sum(1) == 1).all()
    return same.sum(0)


def neighbours(every) -> np.ndarray:
    return ((every[:, None] ^ every).sum((2, 3)) == 4).sum(1)


@pytest.mark.parametrize("shape", [(1, 7), (10, 100), (30, 60)])
@pytest.mark.parametrize("density", [0, 0.02, 0.3, 0.9, 1])
def test_every_degree_is_kept(shape, density):
    mask = np.random.default_rng(1).random(shape) < density
    swapped, accepted = map(np.asarray, swap(mask, seed_pairs(1), 20 * mask.size))
    assert np.array_equal(swapped.sum(0), mask.sum(0))
    assert np.array_equal(swapped.sum(1), mask.sum(1))
    if min(shape) > 1 and 2 < mask.sum() < mask.size - 2:
        assert accepted > 0
        assert (swapped != mask).any()
    else:
        assert np.array_equal(swapped, mask) or accepted > 0


@pytest.mark.parametrize("ones", [[], [3], range(12), [0, 1, 2], [0, 4, 8]], ids=str)
def test_a_layer_without_a_possible_swap_stays_as_it_is(ones):
    mask = np.isin(np.arange(12), ones).reshape(3, 4)
    swapped, accepted = swap(mask, seed_pairs(2), 200)
    assert np.array_equal(swapped, mask)
    assert accepted == 0


def test_an_attempt_moves_two_edges_or_none_and_succeeds_where_there_is_room():
    mask = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], bool)
    swapped, accepted = map(np.asarray, swap_many(mask, seed_pairs(3, 12_000), 1))
    assert np.array_equal((swapped ^ mask).sum((1, 2)), 4 * accepted)
    rows, columns = np.nonzero(mask)
    room = ~mask[rows[:, None], columns] & ~mask[rows, columns[:, None]]
    assert room.any()
    assert stats.binomtest(int(accepted.sum()), len(accepted), room.mean()).pvalue > ALARM


@pytest.mark.parametrize(("rows", "columns", "number"), MARGINS)
def test_every_matrix_with_the_same_degrees_is_equally_likely(rows, columns, number):
    every = matrices(rows, columns)
    assert len(every) == number
    found, _ = swap_many(every[0], seed_pairs(5, 12_000), 20 * sum(rows))
    assert stats.chisquare(visits(found, every)).pvalue > ALARM


def test_counting_successful_swaps_only_would_prefer_matrices_with_many_neighbours():
    every = matrices((2, 1, 1), (2, 1, 1))
    reachable = neighbours(every)
    assert len(set(reachable)) > 1
    chains = 12_000
    wanted = 30 + np.arange(chains) % 2  # even and odd: no parity is left

    def attempt(state, step):
        mask, successes, kept = state
        mask, accepted = swap_each(mask, bits.reseed(seed_pairs(6, chains), step), 1)
        successes += accepted
        return (mask, successes, jnp.where((successes == wanted)[:, None, None], mask, kept)), None

    start = jnp.broadcast_to(every[0], (chains, 3, 3))
    state = (start, jnp.zeros(chains, int), start)
    (_, successes, found), _ = jax.lax.scan(attempt, state, jnp.arange(300))
    assert (successes >= wanted).all()
    counts = visits(found, every)
    assert stats.chisquare(counts).pvalue < 1e-9
    assert stats.chisquare(counts, chains * reachable / reachable.sum()).pvalue > ALARM


def test_swapping_empty_places_is_swapping_edges_of_the_complement():
    mask = uneven(30, 60, 0.1, 7)
    for ours, theirs in zip(
        swap(mask, seed_pairs(7), 300), swap(~mask, seed_pairs(7), 300), strict=True
    ):
        assert np.array_equal(ours, ~theirs if theirs.ndim else theirs)


def test_a_convolution_keeps_the_kernel_positions_of_every_input_channel():
    kernels = np.random.default_rng(8).random((8, 4, 3, 3)) < 0.2
    flat, _ = swap(kernels.reshape(8, 36), seed_pairs(8), 5000)
    swapped = np.asarray(flat).reshape(kernels.shape)
    assert (swapped != kernels).any()
    assert np.array_equal(swapped.sum(0), kernels.sum(0))
    assert np.array_equal(swapped.sum((1, 2, 3)), kernels.sum((1, 2, 3)))


def test_a_seed_gives_one_result_and_another_seed_another():
    mask = uneven(30, 60, 0.2, 9)
    a, b = (np.asarray(swap(mask, seed_pairs(n), 5000)[0]) for n in (1, 2))
    assert np.array_equal(a, swap(mask, seed_pairs(1), 5000)[0])
    assert (a != b).any()


def test_lanes_get_what_each_would_get_alone():
    mask, seeds = uneven(30, 60, 0.2, 9), seed_pairs(9, 60)
    assert np.array_equal(swap_many(mask, seeds, 100)[0], swap_in_turn(mask, seeds, 100))


@pytest.mark.parametrize("density", [0.05, 0.4])
def test_the_usual_number_of_attempts_forgets_the_start(density):
    mask = uneven(30, 60, density, 10)
    edges = int(mask.sum())
    # another start: the edges of each unit at the units that have most room left
    other, room = np.zeros_like(mask), mask.sum(0)
    for row in np.argsort(-mask.sum(1)):
        other[row, np.argsort(-room)[: mask[row].sum()]] = True
        room = mask.sum(0) - other.sum(0)
    assert not room.any()
    ends = []
    for start in (mask, other):
        shares = []
        for number, per_edge in enumerate((0, 0.3, 1, ATTEMPTS)):
            found = swap_in_turn(start, seed_pairs(number, 60), int(per_edge * edges))
            shares.append(np.asarray(jax.vmap(rewiring.overlap, (None, 0))(start, found)))
            ends.append(np.asarray(jax.vmap(rewiring.overlap, (None, 0))(mask, found)))
        assert np.all(np.diff(np.mean(shares, 1)) < 0)
    near, far = ends[3], ends[7]
    assert stats.ttest_ind(near, far).pvalue > ALARM
    assert stats.ttest_ind(ends[2], far).pvalue < ALARM  # one attempt per edge is too few


def test_the_time_of_an_attempt_does_not_grow_with_the_layer():
    def seconds(shape):
        mask = np.random.default_rng(11).random(shape) < 0.01
        times = []
        for attempts in (0, 50_000, 0, 50_000):
            start = time.perf_counter()
            jax.block_until_ready(swap(mask, seed_pairs(11), attempts))
            times.append(time.perf_counter() - start)
        return times[3] - times[2]

    # a copy of the large mask at every attempt would take hundreds of times longer
    assert seconds((500, 2000)) < 20 * max(seconds((30, 60)), 1e-3)


@settings(max_examples=300, deadline=None)
@given(word=st.integers(0, 2**32 - 1), n=st.integers(0, 2**31))
def test_a_word_is_scaled_as_with_exact_integers(word, n):
    assert int(rewiring._scaled(jnp.uint32(word), jnp.uint32(n))) == word * n >> 32


@pytest.mark.parametrize("count", [0, 1, 17, 1000])
def test_a_random_mask_has_as_many_ones_as_asked(count):
    mask = jax.jit(rewiring.random_mask, static_argnums=1)(seed_pairs(12), 1000, jnp.int32(count))
    assert mask.dtype == bool
    assert mask.sum() == count


def test_every_choice_of_places_is_equally_likely():
    draw = jax.vmap(lambda seed: rewiring.random_mask(seed, 6, 3))
    found = np.asarray(jax.jit(draw)(seed_pairs(13, 10_000)))[:, None]
    every = np.array([[np.isin(range(6), c)] for c in itertools.combinations(range(6), 3)])
    assert stats.chisquare(visits(found, every)).pvalue > ALARM


def test_overlap_is_the_share_of_the_edges_of_the_first():
    a, b = jnp.array([True, True, True, False]), jnp.array([True, False, False, True])
    assert rewiring.overlap(a, b) == pytest.approx(1 / 3)
    assert rewiring.overlap(b, a) == pytest.approx(1 / 2)
    assert np.isnan(rewiring.overlap(a & False, b))
