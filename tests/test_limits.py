"""Values at infinite size: known limits, honest errors, controls that must fail."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from criticality import InputError
from criticality.analysis import stats
from criticality.analysis.classify import values
from criticality.analysis.limits import limits

SIZES = 50 * 2 ** np.arange(5)
TRUTH = 0.3


def measured(mean, noise=0.0):
    """Means [points, sizes] with noise [points, sizes, realizations], as `values` gives them."""
    mean = np.asarray(mean, float)
    return values(data(mean[..., None] + noise, SIZES[: mean.shape[1]]), "m")


def data(m, sizes):
    return xr.Dataset(
        {"m": (("T", "N", "realization"), m)}, {"T": np.arange(float(len(m))), "N": sizes}
    )


def corrected(sizes, points=2000, power=0.5):
    return np.tile(TRUTH + 2.0 * SIZES[:sizes] ** -power, (points, 1))


def test_an_exact_line_gives_its_limit():
    rng = np.random.default_rng(0)
    for power in (0.5, 1.0):
        table = measured(corrected(5, 2, power), 1e-9 * rng.normal(size=(2, 5, 4)))
        fit = limits(table, "m", "N", correction=power)
        np.testing.assert_allclose(fit["limit"], TRUTH, atol=1e-7)
        np.testing.assert_allclose(fit["amplitude"], 2.0, rtol=1e-6)
    turned = limits(table.isel(N=slice(None, None, -1)), "m", "N", correction=1.0)
    xr.testing.assert_allclose(turned, fit, rtol=1e-9)


@pytest.mark.parametrize("sizes", [2, 3, 5])
@pytest.mark.parametrize("realizations", [2, 4, 10])
@pytest.mark.parametrize("growth", [0.0, 0.7, -0.7])
def test_errors_and_intervals_hold_the_limit_at_their_level(sizes, realizations, growth):
    rng = np.random.default_rng([sizes, realizations])
    mean = corrected(sizes)
    scatter = 0.1 * (SIZES[:sizes, None] / 50) ** growth
    fit = limits(measured(mean, scatter * rng.normal(size=(*mean.shape, realizations))), "m", "N")
    below, above = fit["limit_low"] > TRUTH, fit["limit_high"] < TRUTH
    assert abs(fit["limit"] - TRUTH).mean() > 0  # there is noise at all
    for side in (below, above):  # of a Gaussian 0.023
        assert 0.003 < side.mean() < 0.033
    inside = (abs(fit["limit"] - TRUTH) < fit["limit_error"]).mean()
    assert (0.52 if realizations == 2 else 0.59) < inside < 0.76
    if sizes == 2:
        assert np.isnan(fit["fit_probability"]).all()
    else:
        assert 0.02 < (fit["fit_probability"] < 0.05).mean() < 0.12  # of four not F exactly
        assert 0.35 < (fit["fit_probability"] < 0.5).mean() < 0.65


def test_a_wrong_correction_is_noticed():
    rng = np.random.default_rng(1)
    table = measured(corrected(5), 0.01 * rng.normal(size=(2000, 5, 8)))
    for power in (1.0, 2.0):
        fit = limits(table, "m", "N", correction=power)
        assert (fit["fit_probability"] < 0.01).mean() > 0.95
        right = limits(table, "m", "N")
        assert (fit["limit_error"] > 1.5 * right["limit_error"]).mean() > 0.95  # and widened


def test_medians_of_censored_times_have_limits():
    rng = np.random.default_rng(2)
    median = corrected(3, 400)[..., None]
    m = median * np.exp(0.3 * rng.normal(size=(400, 3, 25)))
    ds = data(np.where(m < 0.75, m, np.inf), SIZES[:3])
    assert 0.1 < np.isinf(ds["m"]).mean() < 0.3
    fit = limits(values(ds, "m", censored=True, draws=200), "m", "N")
    assert ((fit["limit_low"] > TRUTH) | (fit["limit_high"] < TRUTH)).mean() < 0.08
    assert fit["limit"].mean() == pytest.approx(TRUTH, abs=0.02)
    never = ds.copy(deep=True)
    never["m"][0, 0, :20] = np.inf  # a median that is infinite has no limit, whatever the others
    table = values(never, "m", censored=True, draws=200)
    gone = np.isnan(limits(table, "m", "N")["limit"])
    assert gone[0]
    assert not np.isnan(fit["limit"][0])
    assert (gone[1:] == np.isnan(fit["limit"][1:])).all()


@pytest.mark.parametrize(("sizes", "realizations"), [(2, 26), (3, 13), (4, 8), (5, 6)])
def test_what_is_the_same_everywhere_is_known_if_enough_agree(sizes, realizations):
    table = measured(np.ones((1, sizes)), np.zeros((1, sizes, realizations)))
    fit = limits(table, "m", "N").isel(T=0)
    assert (fit["limit"], fit["limit_low"], fit["limit_high"], fit["limit_error"]) == (1, 1, 1, 0)
    few = measured(np.ones((1, sizes)), np.zeros((1, sizes, realizations - 1)))
    fit = limits(few, "m", "N").isel(T=0)
    assert fit["limit"] == 1
    assert np.isnan([fit["limit_error"], fit["limit_low"], fit["limit_high"]]).all()


@pytest.mark.parametrize("sizes", [2, 3, 4])
@pytest.mark.parametrize("realizations", [2, 3, 5, 6, 12])
@pytest.mark.parametrize("fall", [0.0, 0.5])
def test_yes_or_no_that_agrees_by_chance_claims_nothing(sizes, realizations, fall):
    """The limit is one half; at the smallest size all are alike, or as many as there."""
    rng = np.random.default_rng([sizes, realizations])
    share = 0.5 + fall * (SIZES[:sizes] / 50.0) ** -0.5
    flips = rng.random((2000, sizes, realizations)) < share[:, None]
    fit = limits(values(data(flips.astype(float), SIZES[:sizes]), "m"), "m", "N")
    claimed = ((fit["limit_low"] > 0.5) | (fit["limit_high"] < 0.5)).mean()
    assert claimed < 0.1  # 2 x 2.3 %, and the grain of binomials


def test_realizations_that_agree_at_one_size_do_not_decide_alone():
    rng = np.random.default_rng(3)
    noise = 0.1 * rng.normal(size=(1, 5, 8))
    noise[:, -1] = 0.0
    table = measured(corrected(5, 1), noise)
    assert table["m_error"].isel(N=-1) == 0
    fit = limits(table, "m", "N").isel(T=0)
    coefficients = stats.line_weights(SIZES**-0.5, np.ones(5))[1]
    equal = np.sqrt((coefficients**2).sum()) * 0.1 / np.sqrt(8)
    assert 0.6 * equal < fit["limit_error"] < 1.6 * equal


def test_without_realizations_the_error_is_from_the_sizes():
    rng = np.random.default_rng(4)
    mean = corrected(5) + 0.05 * rng.normal(size=(2000, 5))
    for table in (
        measured(mean, np.zeros((2000, 5, 1))),
        measured(mean, np.zeros((2000, 5, 4))),
        values(data(mean[..., None], SIZES), "m", deterministic=True),
    ):
        fit = limits(table, "m", "N")
        outside = ((fit["limit_low"] > TRUTH) | (fit["limit_high"] < TRUTH)).mean()
        assert 0.025 < outside < 0.065
        assert (fit["limit_dof"] == 3).all()
        two = limits(table.isel(N=[0, 1]), "m", "N")
        assert np.isnan(two["limit_error"]).all()  # any line goes through two
    constant = values(data(np.full((1, 3, 1), 0.7), SIZES[:3]), "m", deterministic=True)
    fit = limits(constant, "m", "N").isel(T=0)
    assert fit["limit_low"] == fit["limit_high"] == 0.7
    assert np.isnan(fit["limit_error"])  # no error of zero is claimed
    lone = limits(measured(np.full((1, 5), 0.7), np.zeros((1, 5, 1))), "m", "N")
    assert np.isnan(lone["limit_low"]).all()


def test_a_size_still_to_come_is_left_out():
    rng = np.random.default_rng(5)
    noise = 0.01 * rng.normal(size=(2, 5, 6))
    noise[0, 4] = np.nan
    noise[0, 3, 1:] = np.nan  # a single realization has no error beside others that have
    noise[1, 1:] = np.nan
    fit = limits(measured(corrected(5, 2), noise), "m", "N")
    assert fit["sizes_used"].values.tolist() == [3, 1]
    assert float(fit["limit"][0]) == pytest.approx(TRUTH, abs=0.06)
    assert np.isnan(fit["limit"][1])


def test_sizes_that_make_no_line_are_refused():
    table = measured(corrected(3, 1), np.zeros((1, 3, 2)))
    with pytest.raises(InputError, match="at least two values of it, above zero"):
        limits(table.isel(N=[0]), "m", "N")
    with pytest.raises(InputError, match="above zero"):
        limits(table.assign_coords(N=[0, 1, 2]), "m", "N")
    with pytest.raises(InputError, match="N = 50 was selected"):
        limits(table.isel(N=0), "m", "N")
