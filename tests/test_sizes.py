"""Powers of the size: coverage, the choice of the least size, the scatter."""

import numpy as np
import pytest

from criticality.analysis.breakdown import OrderParameter, at_shares
from criticality.analysis.sizes import scatter, scatter_law, size_law
from criticality.base import InputError, flagged

SIZES = np.array([25.0, 50, 100, 200, 400])
NUMBERS = (16, 12, 8, 5, 4)


def samples(rng, mean, deviation=0.2, exponential=False):
    found = {}
    for size, number in zip(SIZES, NUMBERS, strict=True):
        noise = rng.exponential(size=number) if exponential else rng.normal(size=number)
        found[size] = mean(size) * np.exp(deviation * noise)
    return found


def test_an_exact_power_is_found():
    law = size_law({size: size**1.25 * np.array([1, 1.001, 0.999]) for size in SIZES})
    assert law.exponent.value == pytest.approx(1.25, abs=1e-6)
    assert [cut.size_min for cut in law.cuts] == [25, 50, 100]
    assert not law.flags


def test_of_a_bend_small_sizes_are_left_out_and_it_is_told():
    rng = np.random.default_rng(0)

    def bent(size):
        return size**0.5 * (1 + 0.5 * 25 / size)

    law = size_law(samples(rng, bent, 0.03))
    straight = size_law(samples(rng, lambda size: size**0.5, 0.03))
    assert flagged(law.flags, "drift")
    assert not straight.flags
    assert abs(law.exponent.value - 0.5) < abs(law.cuts[0].exponent.value - 0.5)
    assert law.exponent.error**2 == pytest.approx(law.statistical**2 + law.systematic**2)


def test_missing_realizations_change_nothing():
    rng = np.random.default_rng(1)
    whole = samples(rng, lambda size: size)
    padded = {size: np.append(y, [np.nan, np.nan]) for size, y in whole.items()}
    assert size_law(padded) == size_law(whole)
    assert scatter_law(padded) == scatter_law(whole)


def rates(law, truth, make, draws, seed=2):
    rng = np.random.default_rng(seed)
    found = [law(make(rng)).exponent for _ in range(draws)]
    one = np.mean([abs(e.value - truth) <= e.error for e in found])
    two = np.mean([e.low <= truth <= e.high for e in found])
    return one, two


def test_scatter_has_the_coverage_that_it_claims():
    one, two = rates(scatter_law, 0.0, lambda rng: samples(rng, lambda w: w), 500)
    assert 0.61 < one < 0.75
    assert 0.92 < two < 0.98
    drawn = np.exp(0.4 * np.random.default_rng(3).normal(size=(500, 6)))
    inside = [e.low <= 0.4 <= e.high for e in map(scatter, drawn)]
    assert 0.92 < np.mean(inside) < 0.98


def test_self_averaging_is_told_from_none():
    rng = np.random.default_rng(4)
    averaging = {w: np.exp(0.3 * (w / 25) ** -0.5 * rng.normal(size=40)) for w in SIZES}
    none = {w: np.exp(0.3 * rng.normal(size=40)) for w in SIZES}
    assert scatter_law(averaging).exponent.high < -0.2
    found = scatter_law(none).exponent
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.4


@pytest.mark.slow
def test_powers_have_the_coverage_that_they_claim():
    one, two = rates(size_law, 1.2, lambda rng: samples(rng, lambda w: w**1.2), 1000)
    assert 0.68 < one < 0.85
    assert 0.94 < two < 0.99

    def corrected(amount):
        return lambda rng: samples(rng, lambda w: w**0.5 * (1 + amount * 25 / w), 0.15)

    _, two = rates(size_law, 0.5, corrected(0.1), 1000)
    assert 0.93 < two < 0.99
    rng = np.random.default_rng(5)
    covered = np.zeros(2)
    for _ in range(1000):
        law = size_law(corrected(0.3)(rng))
        for which, e in enumerate((law.exponent, law.cuts[0].exponent)):
            covered[which] += e.low <= 0.5 <= e.high
    assert covered[0] > 700
    assert covered[1] < 300  # what a single line of all sizes claims to know


@pytest.mark.slow
def test_scatter_that_is_no_gaussian_is_covered_less():
    _, two = rates(scatter_law, 0.0, lambda rng: samples(rng, lambda w: w, 0.2, True), 1000)
    assert 0.78 < two < 0.88


def test_shares_of_the_plateau_are_where_they_are():
    control = np.tile(np.linspace(0, 1, 101), (3, 1))
    values = np.stack([np.clip((control[0] - c) / 0.2, 0, 1) for c in (0.2, 0.4, 0.9)])
    order = OrderParameter(name="y", along="p", control=control, values=values)
    found = at_shares(order, (0.25, 0.5, 0.75))
    np.testing.assert_allclose(found[:2], [[0.25, 0.3, 0.35], [0.45, 0.5, 0.55]], atol=1e-12)
    np.testing.assert_allclose(found[2], [0.925, 0.95, 0.975], atol=0.013)  # plateau cut at 1
    flat = OrderParameter(name="y", along="p", control=control, values=0 * values)
    assert np.isnan(at_shares(flat, (0.5,))).all()


def test_too_little_is_told():
    two = {25.0: np.array([1.0, 2]), 50.0: np.array([1.0, 2, 4]), 100.0: np.array([3.0])}
    with pytest.raises(InputError, match="3 sizes"):
        size_law(two)
    with pytest.raises(InputError, match="3 sizes"):
        scatter_law({**two, 100.0: np.array([1.0, 2, 4])})
    with pytest.raises(InputError, match="positive"):
        scatter(np.array([1.0, -2, 3]))
    assert np.isnan(scatter(np.array([1.0, 2])).value)
