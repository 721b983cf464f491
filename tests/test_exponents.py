"""Exponents over any size axis: honest errors, censored and deterministic data, any axes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from criticality import InputError
from criticality.analysis import stats
from criticality.analysis.exponents import SOURCES, doubts, exponents
from criticality.base import flagged

SIZES = np.array([8, 16, 32, 64, 128])
DIMS = ("T", "L", "realization", "h")


def lattice(
    alphas, rng, realizations=6, scatter=0.1, shared=0.5, shape=np.exp, temperatures=(1.0,)
):
    """Observable m ~ L^alpha over (T, L, realization, h), a value of h for each alpha."""
    size = (len(temperatures), len(SIZES), realizations, len(alphas))
    noise = np.sqrt(1 - shared) * rng.normal(size=size)
    noise = noise + np.sqrt(shared) * rng.normal(size=(*size[:-1], 1))
    mean = (SIZES[:, None, None] / 8.0) ** np.asarray(alphas, float)
    return xr.Dataset(
        {"m": (DIMS, mean * shape(scatter * noise))},
        coords={"T": list(temperatures), "L": SIZES, "h": np.arange(len(alphas)) / 10},
    )


def coverage(fit, truth):
    pulls = (fit["exponent"].values - truth) / fit["exponent_error"].values
    wide = stats.quantile_of_few(2.0, fit["exponent_dof"].values)
    return (np.abs(pulls) < 1).mean(), (np.abs(pulls) < wide).mean()


def source(name):
    return SOURCES.index(name)


@pytest.mark.parametrize("inner", [(), ("h",)])
def test_errors_cover_over_any_axes(inner):
    rng = np.random.default_rng(0)
    ds = lattice([-0.4, 0.3], rng, temperatures=np.linspace(1, 2, 250))
    fit = exponents(ds, "m", "L", inner=inner, draws=200)
    assert fit["exponent"].dims == ("T", "h")
    one, two = coverage(fit, [-0.4, 0.3])
    assert 0.61 < one < 0.78
    assert 0.93 < two < 0.985
    assert (fit["exponent_source"] == source("realizations")).all()


def test_medians_of_censored_times_cover_and_a_mean_would_not_exist():
    # times ~ L^1.5 with heavy scatter; what takes longer than the budget did not happen
    rng = np.random.default_rng(1)
    ds = lattice([1.5], rng, realizations=25, scatter=0.5, temperatures=np.linspace(1, 2, 200))
    ds["m"] = ds["m"].where(ds["m"] < 60, np.inf)
    happened = np.isfinite(ds["m"]).mean(["realization", "T", "h"]).values
    assert 0.2 < happened[-1] < 0.6  # at the largest size the median is about the budget
    fit = exponents(ds, "m", "L", censored=True, draws=200)
    assert (fit["sizes_censored"] > 0).any()
    assert (fit["sizes_used"] + fit["sizes_censored"] == len(SIZES)).all()
    one, two = coverage(fit, 1.5)
    assert 0.6 < one < 0.85
    assert two > 0.92
    # the control: to drop what did not happen and average the rest is wrong by many errors
    naive = exponents(ds.where(np.isfinite(ds["m"])), "m", "L", draws=200)
    assert coverage(naive, 1.5)[1] < 0.7
    assert naive["exponent"].mean() < 1.4 < 1.47 < fit["exponent"].mean() < 1.53


def test_a_size_where_most_did_not_happen_is_left_out_and_said():
    ds = lattice([1.0], np.random.default_rng(2), realizations=9, scatter=0.01)
    ds["m"][:, -1, :5] = np.inf
    ds["m"][:, 0, :4] = np.inf
    fit = exponents(ds, "m", "L", censored=True).isel(T=0, h=0)
    assert fit["sizes_used"] == 4
    assert fit["sizes_censored"] == 1
    assert float(fit["exponent"]) == pytest.approx(1.0, abs=0.02)
    assert flagged(doubts(fit, "m"), "censored")


def test_a_single_realization_takes_its_error_from_the_sizes():
    rng = np.random.default_rng(3)
    ds = lattice([-0.4, 0.3], rng, realizations=1, temperatures=np.linspace(1, 2, 300))
    fit = exponents(ds, "m", "L")
    assert (fit["exponent_source"] == source("sizes")).all()
    assert (fit["exponent_dof"] == len(SIZES) - 2).all()
    assert np.isnan(fit["fit_probability"]).all()
    _, two = coverage(fit, [-0.4, 0.3])
    assert 0.92 < two < 0.985
    assert flagged(doubts(fit.isel(T=0, h=0), "m"), "error from sizes")
    none = exponents(ds, "m", "L", from_sizes=False)
    assert np.isnan(none["exponent_error"]).all()


def test_a_deterministic_system_has_no_error_of_zero():
    # a power law with a correction: every realization the same, the exponent drifts
    y = SIZES**-0.5 * (1 + 2.0 / SIZES)
    many = xr.Dataset({"m": (("L", "realization"), y[:, None].repeat(4, axis=1))}, {"L": SIZES})
    lone = xr.Dataset({"m": (("L",), y)}, {"L": SIZES})
    found = [
        exponents(many, "m", "L"),
        exponents(many, "m", "L", deterministic=True),
        exponents(lone, "m", "L", deterministic=True),
    ]
    for fit in found:
        slope, line = np.polyfit(np.log(SIZES), np.log(y), 1, cov=True)
        assert float(fit["exponent"]) == pytest.approx(slope[0])
        assert float(fit["exponent_error"]) == pytest.approx(np.sqrt(line[0, 0]))
    two = exponents(many.isel(L=[0, 1]), "m", "L")
    assert np.isnan(two["exponent_error"])  # any line goes through two sizes
    assert two["exponent_source"] == source("none")


def test_what_is_missing_is_left_out_size_by_size():
    ds = lattice([-0.4, 0.3], np.random.default_rng(4), scatter=0.01)
    ds["m"][0, 1, 2:] = np.nan
    ds["m"][0, 3] = np.nan  # a size still to come
    fit = exponents(ds, "m", "L", inner=("h",)).isel(T=0)
    np.testing.assert_allclose(fit["exponent"], [-0.4, 0.3], atol=0.01)
    assert fit["sizes_used"].values.tolist() == [4, 4]
    # a point that is undefined everywhere takes nothing from its neighbours
    gone = ds.where(ds["h"] < 0.05)
    one = exponents(gone, "m", "L", inner=("h",)).isel(T=0)
    assert np.isfinite(one["exponent"].values).tolist() == [True, False]


def test_points_inside_one_realization_are_resampled_together():
    rng = np.random.default_rng(5)
    ds = lattice([0.2, 0.2], rng, shared=1.0, temperatures=[1.0, 2.0])
    together = exponents(ds, "m", "L", inner=("h",))["exponent_error"].values
    apart = exponents(ds, "m", "L")["exponent_error"].values
    np.testing.assert_array_equal(together[:, 0], together[:, 1])
    assert (apart[:, 0] != apart[:, 1]).all()
    np.testing.assert_allclose(apart, together, rtol=0.15)


def test_a_point_does_not_depend_on_what_else_was_measured_or_on_the_order_of_axes():
    ds = lattice([0.2, -0.1], np.random.default_rng(6), temperatures=[1.0, 1.5, 2.0])
    whole = exponents(ds, "m", "L", inner=("h",), seed=4)
    part = exponents(ds.sel(T=[1.5]), "m", "L", inner=("h",), seed=4)
    xr.testing.assert_identical(part.sel(T=1.5), whole.sel(T=1.5))
    turned = ds.transpose("h", "realization", "T", "L").isel(L=slice(None, None, -1))
    xr.testing.assert_identical(exponents(turned, "m", "L", inner=("h",), seed=4), whole)
    other = exponents(ds, "m", "L", inner=("h",), seed=5)
    assert (other["exponent_error"] != whole["exponent_error"]).all()


def test_repetitions_are_averaged_before_the_logarithm():
    ds = lattice([0.2], np.random.default_rng(7))
    repeated = ds * xr.DataArray([0.5, 1.5], dims="sweep")
    xr.testing.assert_allclose(
        exponents(repeated, "m", "L", repeated=("sweep",)), exponents(ds, "m", "L")
    )
    assert "sweep" in exponents(repeated, "m", "L")["exponent"].dims


def test_a_bend_is_doubted():
    ds = lattice([0.2], np.random.default_rng(8), scatter=0.02)
    bent = ds * xr.DataArray(np.exp([0, 0.3, 0.4, 0.3, 0]), dims="L")
    assert flagged(doubts(exponents(bent, "m", "L").isel(T=0, h=0), "m"), "no power law")
    assert not doubts(exponents(ds, "m", "L").isel(T=0, h=0), "m")


def test_values_without_a_logarithm_give_no_exponent():
    ds = lattice([0.2], np.random.default_rng(9)) * 0 - 1.0
    fit = exponents(ds, "m", "L")
    assert np.isnan(fit["exponent"]).all()
    assert (fit["sizes_used"] == 0).all()


def test_what_cannot_be_fitted_is_refused():
    ds = lattice([0.2], np.random.default_rng(10))
    with pytest.raises(InputError, match="no observable 'q'"):
        exponents(ds, "q", "L")
    with pytest.raises(InputError, match=r"L = 8 was selected: leave out --select L"):
        exponents(ds.isel(L=0), "m", "L")
    with pytest.raises(InputError, match=r"put N = \[...\] into its \[grid\]"):
        exponents(ds, "m", "N")
    with pytest.raises(InputError, match="at least two values of L"):
        exponents(ds.isel(L=[0]), "m", "L")
    with pytest.raises(InputError, match="above zero"):
        exponents(ds.assign_coords(L=SIZES - 8), "m", "L")
