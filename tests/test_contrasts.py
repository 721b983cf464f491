"""Differences of a few means, and shares of them: intervals hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from criticality.analysis.contrasts import chance, difference, share
from criticality.base import InputError


def test_a_difference_is_that_of_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(3, 1, 5), rng.normal(1, 4, 9)
    found = difference(a, b, level=0.9)
    known = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx((known.low, known.high))
    assert found.error == pytest.approx(math.hypot(stats.sem(a), stats.sem(b)))
    assert (found.n, found.level) == (5, 0.9)


def test_what_is_not_finite_is_left_out_and_one_number_has_no_error():
    a = np.array([1.0, np.nan, 3.0, np.inf])
    assert difference(a, np.array([0.0, 1.0])).value == pytest.approx(1.5)
    alone = difference(a, np.array([1.0, np.nan]))
    assert math.isnan(alone.value)
    assert alone.n == 1
    same = difference(np.ones(3), np.ones(3))
    assert (same.value, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize("sizes", [(3, 3), (4, 4), (6, 3)])
def test_intervals_of_a_difference_hold_the_truth(sizes):
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1_000):
        a, b = (rng.normal(m, s, n) for m, s, n in zip((2, 1), (1, 2), sizes, strict=True))
        found = difference(a, b)
        held += found.low <= 1 <= found.high
    assert 930 <= held <= 985  # Welch's is close, not exact, with three numbers


def treated(rng, n, left, effect=1.0, common=0.1, own=0.1):
    """Two arms of networks that share disorder, with and without a treatment."""
    groups = []
    for sign, shift in ((1, effect), (-1, 0.0)):
        disorder = rng.normal(0, common, n)
        whole = shift + disorder + rng.normal(0, own, n)
        part = 5 + left * shift + disorder + rng.normal(0, own, n)
        groups.append((sign * part, sign * whole))
    return groups


@pytest.mark.parametrize("n", [3, 4, 8])
@pytest.mark.parametrize("left", [0.0, 0.5, 1.2, 3.0])
def test_intervals_of_a_share_hold_the_truth(n, left):
    rng = np.random.default_rng(2)
    made = [treated(rng, n, left) for _ in range(300)]
    found = [share(groups) for groups in made]
    held = sum(one.low <= left <= one.high for one in found)
    assert 276 <= held <= 297
    assert abs(np.median([one.value for one in found]) - left) < 0.06
    rare = sum(chance(groups, left) < 0.05 for groups in made)
    assert rare == 300 - held  # one test, told in two ways


def test_an_interval_far_from_one_has_its_ends():
    """A large share is no open one: whatever its size, its interval scales with it."""
    rng = np.random.default_rng(3)
    found = [share(treated(rng, 4, 8.0, common=0.05, own=0.05)) for _ in range(100)]
    assert all(2 < one.low < one.high < 40 for one in found)
    assert 90 <= sum(one.low < 8 < one.high for one in found) <= 99


def test_ends_are_roots():
    """With scatter in the part alone they are those of Student's; nothing of a grid is left."""
    rng = np.random.default_rng(4)
    part = rng.normal(0.5, 1e-5, 5)
    found = share([(part, np.ones(5))])
    known = stats.ttest_1samp(part, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), rel=1e-9)
    assert found.error == pytest.approx(stats.sem(part), rel=1e-6)
    exact = share([(np.full(3, 2.0), np.full(3, 4.0))])
    assert (exact.low, exact.value, exact.high) == (0.5, 0.5, 0.5)
    assert chance([(np.full(3, 2.0), np.full(3, 4.0))], 0.5) == 1
    assert chance([(np.full(3, 2.0), np.full(3, 4.0))], 0.6) == 0


def test_the_ends_are_where_chance_is_five_percent():
    groups = treated(np.random.default_rng(5), 4, 0.7)
    found = share(groups)
    assert [chance(groups, end) for end in (found.low, found.high)] == pytest.approx([0.05, 0.05])


def test_without_an_effect_a_share_is_open():
    rng = np.random.default_rng(6)
    found = [share(treated(rng, 4, 0.0, effect=0.0)) for _ in range(100)]
    assert sum(one.low == -math.inf and one.high == math.inf for one in found) > 85


def test_groups_of_their_own_cost_no_degrees_of_freedom():
    """Four independent groups are no pairs: intervals hold the truth, and are shorter."""
    rng = np.random.default_rng(7)
    lengths, held = [], 0
    for _ in range(300):
        one, other, many, few = (rng.normal(m, 0.1, 3) for m in (0.5, 0.0, 1.0, 0.0))
        nothing = np.zeros(3)
        alone = share([(one, nothing), (-other, nothing), (nothing, many), (nothing, -few)])
        paired = share([(one, many), (-other, -few)])
        held += alone.low <= 0.5 <= alone.high
        lengths.append((alone.high - alone.low) / (paired.high - paired.low))
    assert 276 <= held <= 297
    assert np.median(lengths) < 0.95


def test_disorder_that_both_have_counts_once():
    rng = np.random.default_rng(8)
    groups = treated(rng, 6, 1.0, common=0.5, own=0.02)
    paired = share(groups)
    shuffled = share([(part[::-1], whole) for part, whole in groups])
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 3


def test_a_share_of_other_numbers_of_realizations_is_refused():
    with pytest.raises(InputError, match="as many numbers"):
        share([(np.ones(3), np.ones(4))])
    with pytest.raises(InputError, match="as many numbers"):
        difference(np.ones((2, 2)), np.ones(3))
    assert math.isnan(share([(np.ones(3), np.ones(3)), (np.ones(1), np.ones(1))]).value)
    assert chance([(np.ones(1), np.ones(1))], 0.5) == 1
