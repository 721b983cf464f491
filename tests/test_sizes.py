"""Powers of the size: coverage, the choice of the least size, the scatter."""

import numpy as np
import pytest

from criticality.analysis.breakdown import OrderParameter, at_shares
from criticality.analysis.sizes import over_saturation, scatter, scatter_law, size_law
from criticality.analysis.stats import moderated
from criticality.base import InputError, flagged

SIZES = np.array([25.0, 50, 100, 200, 400])
NUMBERS = (16, 12, 8, 5, 4)


def samples(rng, mean, deviation=0.2, exponential=False):
    found = {}
    for size, number in zip(SIZES, NUMBERS, strict=True):
        noise = rng.exponential(size=number) if exponential else rng.normal(size=number)
        found[size] = mean(size) * np.exp(deviation * noise)
    return found


THREE = {25.0: 8, 50.0: 6, 100.0: 4}
FIVE = {25.0: 8, 50.0: 8, 100.0: 8, 200.0: 6, 400.0: 4}


def corrected(rng, numbers, correction, exponent=-0.2, deviation=0.2):
    """A power law with a correction that falls as 1/size."""
    return {
        w: w**exponent * (1 + correction * 25 / w) * np.exp(deviation * rng.normal(size=n))
        for w, n in numbers.items()
    }


def test_an_exact_power_is_found():
    found = {size: size**1.25 * np.array([1, 1.001, 0.999]) for size in SIZES}
    law = size_law(found)
    assert law.exponent.value == pytest.approx(1.25, abs=1e-3)
    assert size_law(found, correction=0).exponent.value == pytest.approx(1.25, abs=1e-6)
    assert size_law(found, correction=0).systematic == 0
    assert not law.flags


def test_without_a_correction_it_is_a_weighted_line():
    rng = np.random.default_rng(6)
    ours = samples(rng, lambda size: size**0.5)
    law = size_law(ours, correction=0)
    rows = [(np.log(size), np.log(y.mean()), y.var(ddof=1) / y.mean() ** 2, len(y))
            for size, y in ours.items()]  # fmt: skip
    x, y, relative, number = np.array(rows).T
    weights = number / moderated(relative, number - 1)
    slope, _ = np.polyfit(x, y, 1, w=np.sqrt(weights))
    assert law.exponent.value == pytest.approx(slope, abs=1e-9)


def test_a_bend_is_a_part_of_the_error_and_is_told_where_it_is_seen():
    rng = np.random.default_rng(0)
    bent = size_law(corrected(rng, FIVE, 0.5, 0.5, 0.03))
    straight = size_law(corrected(rng, FIVE, 0, 0.5, 0.03))
    assert flagged(bent.flags, "bent")
    assert not straight.flags
    assert abs(bent.exponent.value - 0.5) < 2 * bent.exponent.error
    assert bent.exponent.error == pytest.approx(np.hypot(bent.statistical, bent.systematic))
    assert abs(bent.correction.value - np.log(1.5)) < 3 * bent.correction.error
    few = size_law(corrected(rng, THREE, 0))
    assert few.systematic > 2 * straight.systematic  # the fewer sizes, the less is known of it


def test_a_power_is_told_from_what_ends():
    rng = np.random.default_rng(7)
    powers = [over_saturation(corrected(rng, FIVE, 0, -0.5)) for _ in range(100)]
    assert np.mean(np.array(powers) > 2) > 0.6
    for amount in (1, 3, 8):  # 25 to 200 wide
        ends = [over_saturation(corrected(rng, FIVE, amount, 0)) for _ in range(100)]
        assert np.mean(np.array(ends) > 2) <= 0.1


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


@pytest.mark.parametrize("numbers", [THREE, FIVE, {25.0: 3, 50.0: 3, 100.0: 2}])
def test_powers_have_the_coverage_that_they_claim(numbers):
    for correction in (0, 0.1, 0.3, -0.3):
        _, two = rates(size_law, -0.2, lambda rng, c=correction: corrected(rng, numbers, c), 300)
        assert 0.9 <= two <= 1, correction
    # of corrections that are Gaussian, as the prior has them, the error is right
    one, two = rates(
        size_law, -0.2, lambda rng: corrected(rng, numbers, np.expm1(0.3 * rng.normal())), 500
    )
    assert 0.6 < one < 0.8
    assert 0.92 < two < 0.99


def test_flags_are_seldom_false_and_a_line_alone_knows_too_little():
    rng = np.random.default_rng(5)
    laws = [size_law(corrected(rng, FIVE, 0)) for _ in range(400)]
    assert sum(flagged(law.flags, "bent") for law in laws) <= 0.03 * 400
    assert sum(flagged(law.flags, "poor fit") for law in laws) <= 0.03 * 400
    lines = [size_law(corrected(rng, FIVE, 0.3), correction=0).exponent for _ in range(300)]
    assert np.mean([e.low <= -0.2 <= e.high for e in lines]) < 0.6


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
