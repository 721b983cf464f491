"""Differences of a few means, and shares of them: intervals hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from criticality.analysis.contrasts import difference, share
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
    arms = []
    for shift in (effect, 0.0):
        disorder = rng.normal(0, common, n)
        whole = shift + disorder + rng.normal(0, own, n)
        part = 5 + left * shift + disorder + rng.normal(0, own, n)
        arms.append((part, whole))
    (a, c), (b, d) = arms
    return (a, b), (c, d)


@pytest.mark.parametrize("n", [3, 4, 8])
@pytest.mark.parametrize("left", [0.0, 0.5, 1.2])
def test_intervals_of_a_share_hold_the_truth(n, left):
    rng = np.random.default_rng(2)
    found = [share(*treated(rng, n, left)) for _ in range(300)]
    held = sum(one.low <= left <= one.high for one in found)
    assert 276 <= held <= 297
    assert abs(np.median([one.value for one in found]) - left) < 0.06


def test_without_an_effect_a_share_is_open():
    rng = np.random.default_rng(3)
    found = [share(*treated(rng, 4, 0.0, effect=0.0)) for _ in range(100)]
    assert sum(one.low == -math.inf and one.high == math.inf for one in found) > 85


def test_disorder_that_both_have_counts_once():
    rng = np.random.default_rng(4)
    part, whole = treated(rng, 6, 1.0, common=0.5, own=0.02)
    paired = share(part, whole)
    shuffled = share(tuple(x[::-1] for x in part), whole)
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 3


def test_a_share_of_other_numbers_of_realizations_is_refused():
    with pytest.raises(InputError, match="as many realizations"):
        share((np.ones(3), np.ones(3)), (np.ones(4), np.ones(3)))
    with pytest.raises(InputError, match="one number a realization"):
        difference(np.ones((2, 2)), np.ones(3))
