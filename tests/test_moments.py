"""Binder cumulants: exact values, bias, coverage, curves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from criticality import InputError
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.moments import binder, binder_curves


def long_form(values, control, size):
    """Columns of samples [realizations, points]."""
    n = len(values)
    network = np.repeat(np.arange(n), len(control))
    return np.tile(control, n), np.full(values.size, size), network, values.ravel()


def many(arrays):
    return ScalingData.from_samples(*(np.concatenate(c) for c in zip(*arrays, strict=True)))


def test_two_values_and_a_gaussian_have_the_known_cumulants():
    two = np.tile([-1.0, 1.0], 50)
    assert binder(two, corrected=False).value == pytest.approx(1)
    assert binder(two, "magnetic").value == pytest.approx(2 / 3)
    gauss = np.random.default_rng(0).normal(size=200_000)
    kurtosis = binder(gauss, draws=50)
    assert kurtosis.value == pytest.approx(3, abs=4 * kurtosis.error)
    assert kurtosis.error == pytest.approx(np.sqrt(24 / 200_000), rel=0.4)
    magnetic = binder(gauss, "magnetic", draws=50)
    assert magnetic.value == pytest.approx(0, abs=4 * magnetic.error)


def test_conventions_differ_by_what_the_mean_does():
    values = 5 + np.random.default_rng(1).normal(size=(100, 3))
    shifted, raw = binder(values - 5, draws=20), binder(values, central=False, draws=20)
    np.testing.assert_allclose(binder(values, draws=20).value, shifted.value)
    assert (raw.value < 1.3).all()  # far from zero the raw ratio only sees the mean
    magnetic = binder(values, "magnetic", draws=20)
    np.testing.assert_allclose(magnetic.value, 1 - raw.value / 3)
    assert (shifted.central, raw.central) == (True, False)


@pytest.mark.parametrize("n", [pytest.param(10, marks=pytest.mark.slow), 40])
def test_the_bias_of_a_gaussian_is_removed(n):
    values = np.random.default_rng(n).normal(size=(n, 20_000))
    plain, right = (binder(values, corrected=c, draws=2).value.mean() for c in (False, True))
    assert plain == pytest.approx(3 * (n - 1) / (n + 1), abs=0.03)  # what is there to remove
    assert right == pytest.approx(3, abs=0.04)
    raw = binder(values, "magnetic", draws=2).value.mean()
    assert raw == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "truth"), [("normal", 3.0), ("uniform", 1.8)], ids=["gaussian", "uniform"]
)
def test_errors_of_200_realizations_cover_the_truth(shape, truth):
    rng = np.random.default_rng(2)
    values = getattr(rng, shape)(size=(200, 500)) - (0.5 if shape == "uniform" else 0)
    for convention, expected in (("kurtosis", truth), ("magnetic", 1 - truth / 3)):
        found = binder(values, convention, draws=300)
        inside = np.abs(found.value - expected) < found.error
        # 0.60 rather than 0.61: a fourth moment of a Gaussian is measured to cover 63 %
        assert 0.57 < inside.mean() < 0.80, (convention, inside.mean())


def test_forty_realizations_of_a_heavy_tail_are_not_covered():
    # stated in the documentation, so that nobody trusts these errors: the negative control
    values = np.random.default_rng(3).laplace(size=(40, 500))
    found = binder(values, draws=200)
    assert (np.abs(found.value - 6) < found.error).mean() < 0.5


def test_missing_realizations_are_left_out():
    values = np.random.default_rng(4).normal(size=(60, 2))
    values[40:, 1] = np.nan
    both, alone = binder(values, draws=20), binder(values[:40, 1], draws=20)
    assert both.value[1] == pytest.approx(alone.value)
    assert both.n.tolist() == [60, 40]


def test_tiny_and_shifted_values_lose_no_digits():
    values = np.random.default_rng(5).normal(size=50)
    plain = binder(values, draws=20).value
    assert binder(1e-90 * values, draws=20).value == pytest.approx(plain)
    assert binder(1e5 + values, draws=20).value == pytest.approx(plain, rel=1e-6)


def test_results_are_plain():
    found = binder(np.random.default_rng(6).normal(size=(20, 2)), draws=20, level=0.9)
    result = json.loads(json.dumps(found.to_dict()))
    assert result["convention"] == "kurtosis"
    second = found.estimate(1)
    assert second.low < second.value < second.high
    for name in ("value", "error", "low", "high", "n"):
        assert result[name][1] == getattr(second, name)
    assert (second.level, second.n, second.method) == (0.9, 20, result["method"])


def test_curves_keep_grids_sizes_and_names():
    rng = np.random.default_rng(7)
    p, q = np.linspace(0, 1, 5), np.linspace(0, 1, 4)
    data = many(
        [long_form(rng.normal(size=(50, 5)), p, 8), long_form(rng.uniform(size=(30, 4)), q, 16)]
    )
    found = binder_curves(data, draws=100)
    np.testing.assert_array_equal(found.control, data.control)
    np.testing.assert_array_equal(found.sizes, [8, 16])
    assert found.names == ("p", "L", "kurtosis of y")
    np.testing.assert_allclose(
        found.curves[0].mean, binder(data.curves[0].samples, draws=100).value
    )
    assert found.curves[1].mean.mean() < 2.2 < found.curves[0].mean.mean()


def test_curves_of_networks_that_fluctuate_as_a_whole_stay_correlated():
    rng = np.random.default_rng(8)
    p = np.linspace(0, 1, 6)

    def noise(n):
        return np.sqrt(0.9) * rng.normal(size=(n, 1)) + np.sqrt(0.1) * rng.normal(size=(n, 6))

    data = many([long_form(noise(100), p, size) for size in (8, 16)])
    found = binder_curves(data, draws=100)
    deviation = np.array([binder(noise(100), draws=2).value for _ in range(400)])
    truth = np.corrcoef(deviation.T)[0, 1:].mean()
    stated = (found.covariance / np.outer(found.error, found.error))[0, 1:6].mean()
    assert truth == pytest.approx(0.9**4, abs=0.12)
    assert stated == pytest.approx(truth, abs=0.2)
    assert np.linalg.eigvalsh(found.covariance).min() > 0


def test_a_weighted_mean_of_curves_is_not_drawn_to_low_points():
    rng = np.random.default_rng(9)
    p = np.linspace(0, 1, 200)
    data = many([long_form(rng.normal(size=(40, 200)), p, size) for size in (8, 16)])
    found = binder_curves(data, draws=200)
    plain = np.concatenate([binder(c.samples, draws=200).error for c in data.curves])
    weighted = np.average(found.mean, weights=found.error**-2)
    assert np.average(found.mean, weights=plain**-2) < 2.7  # what is there to mend
    assert weighted > 2.7


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones((3, 2)), {}, "3 realization"),
        (np.ones((8, 2)), {}, "agree exactly at entry 0"),
        (np.eye(8), {"convention": "kurtosi"}, "did you mean 'kurtosis'"),
        (np.eye(8), {"draws": 1}, "draws >= 2"),
        (np.eye(8), {"seed": -1}, "seed >= 0"),
        (np.eye(8), {"level": np.nan}, "between 0 and 1"),
        (np.zeros((0, 2)), {}, r"expected \[realizations"),
    ],
)
def test_wrong_input_is_named(values, options, message):
    with pytest.raises(InputError, match=message):
        binder(values, **options)


def test_curves_say_which_size_is_wrong():
    means = ScalingData.from_table([0, 1, 0, 1], [8, 8, 16, 16], np.zeros(4), np.ones(4))
    with pytest.raises(InputError, match="L = 8: only means"):
        binder_curves(means)
    rng = np.random.default_rng(10)
    p = np.linspace(0, 1, 3)
    few = many([long_form(rng.normal(size=(n, 3)), p, size) for n, size in ((9, 8), (3, 16))])
    with pytest.raises(InputError, match="L = 16: 3 realization"):
        binder_curves(few)
