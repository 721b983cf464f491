"""What did not happen within the budget, and what is not defined: every mean heeds it."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality import InputError, RunError, ScalingData, Store, Study, keys, phase_diagram, run
from criticality.analysis.classify import values
from criticality.analysis.exponents import exponents
from criticality.analysis.stats import quantile_of_few
from criticality.base import (
    Observable,
    Task,
    canonical,
    control,
    system,
)
from criticality.figures.sizes import against_size, mean_and_error
from criticality.study.export import write_to
from criticality.study.status import status
from tests.edge_systems import (
    Passage,
    PlainPassage,
    computed,
    forms,
    median_time,
    realized,
)


@forms(PlainPassage, Passage)
def test_first_passages_have_their_distribution_and_the_rest_is_infinite(kind, lanes):
    found = realized(kind, lanes, 400, size=64, budget=60)
    time, wait = found["time"], found["wait"]
    there = np.isfinite(time)
    assert np.isposinf(time[~there]).all()
    assert time[there].min() >= 1
    assert time[there].max() <= 60
    share = 1 - (1 - 1 / 64) ** 60
    assert abs(there.mean() - share) < 4 * np.sqrt(share * (1 - share) / 400)
    assert np.isnan(wait[~there]).all()
    twice = 1 - (1 - 1 / 64) ** 60 - 60 / 64 * (1 - 1 / 64) ** 59  # two events in the budget
    assert abs(np.isfinite(wait).mean() - twice) < 4 * np.sqrt(twice * (1 - twice) / 400)


@pytest.fixture(scope="module")
def passages():
    """Times over (temperature, size, realization): 150 temperatures that are alike."""
    sizes, temperatures, realizations = [8, 16, 32, 64], 1 + 1e-6 * np.arange(150), 25
    times = np.empty((150, 4, realizations))
    for (i, j, r), _ in np.ndenumerate(times):
        point = canonical(PlainPassage(), size=sizes[j], temperature=temperatures[i], budget=60)
        rng = keys.generator(Task(system=point, seed=0, realization=r, checksum="").lineage)
        times[i, j, r] = point.compute(rng, {})["time"]
    array = (("temperature", "size", "realization"), times, {"censored": 1})
    return xr.Dataset({"time": array}, {"temperature": temperatures, "size": sizes})


def test_medians_cover_the_truth_and_means_of_what_happened_do_not(passages):
    found = values(passages, "time", draws=300)  # the data say that it is censored
    for size in (16, 64):
        at, truth = found.sel(size=size), median_time(1 / size)
        # of whole numbers, half of the values are below the median and a half
        covers = (at["time_low"] <= np.ceil(truth)) & (np.floor(truth) <= at["time_high"])
        assert covers.mean() > 0.93
        assert 0.55 < (np.abs(at["time"] - truth) < at["time_error"]).mean() < 0.9
    finite = passages.where(np.isfinite(passages["time"])).drop_attrs().sel(size=[64])
    naive = values(finite, "time")
    assert ((naive["time_low"] < 64) & (naive["time_high"] > 64)).mean() < 0.1


def test_exponents_of_censored_times_are_those_of_medians(passages):
    found = exponents(passages, "time", "size", draws=200)
    xr.testing.assert_identical(
        found, exponents(passages.drop_attrs(), "time", "size", censored=True, draws=200)
    )
    # medians of the geometric distribution are from 5.2 to 44.0: an exponent of 1.03
    truth = np.log(median_time(1 / 64) / median_time(1 / 8)) / np.log(8)

    def covered(fit):
        wide = quantile_of_few(2.0, fit["exponent_dof"].values)
        return (np.abs(fit["exponent"] - truth) < wide * fit["exponent_error"]).mean()

    assert covered(found) > 0.92
    naive = exponents(passages.drop_attrs(), "time", "size", draws=200)
    assert covered(naive) < 0.6
    assert naive["exponent"].mean() < 0.85


def test_figures_show_medians_and_missing_realizations_spoil_nothing(passages):
    some = passages["time"].isel(temperature=0).copy()
    median, error = mean_and_error(some, ("size",))
    np.testing.assert_allclose(median, np.median(some, axis=1))
    assert (error[:3] > 0).all()
    assert np.isfinite(error[:3]).all()
    some[1, 20:] = np.nan  # not computed yet
    some[2, 1:] = np.nan
    part, spread = mean_and_error(some, ("size",))
    assert part[1] == np.median(some[1, :20])
    assert 0 < spread[1] < np.inf
    assert np.isnan(spread[2])  # a single realization says nothing of its error
    assert (part[[0, 3]], spread[[0, 3]]) == (
        pytest.approx(median[[0, 3]]),
        pytest.approx(error[[0, 3]]),
    )
    some[:, :] = np.where(np.arange(25) < 9, np.inf, some)
    bounded = mean_and_error(some, ("size",))
    without = np.isfinite(bounded[0]) & np.isinf(bounded[1])
    assert without.any()
    arrows = against_size(some, "size").lines[-1]
    assert arrows.get_marker() == r"$\uparrow$"
    assert arrows.get_ydata().tolist() == bounded[0][without].tolist()
    some[:, :] = np.where(np.arange(25) < 20, np.inf, some)
    ax = against_size(some, "size")  # mostly infinite: nothing to draw, and no failure
    ax.get_figure().savefig("/dev/null", format="png")


def test_two_runs_that_did_not_finish_prove_little():
    ds = xr.Dataset({"t": (("x", "realization"), np.full((2, 12), np.inf), {"censored": 1})})
    ds["t"][0, 2:] = np.nan
    few, many = (values(ds, "t").isel(x=i) for i in (0, 1))
    assert few["t_low"] == -np.inf
    assert many["t_low"] == np.inf


def test_what_is_undefined_at_one_point_counts_at_the_others():
    rng = np.random.default_rng(0)
    sizes = np.array([8, 16, 32, 64])
    y = sizes[:, None, None] ** np.array([0.5, -0.5, 1.0]) * np.exp(
        0.1 * rng.normal(size=(4, 6, 3))
    )
    dims = ("size", "realization", "h")
    whole = xr.Dataset({"y": (dims, y, {"undefined": 1})}, {"size": sizes, "h": [0, 1, 2]})
    gone = whole.copy(deep=True)
    gone["y"][:, :, 2] = np.where(rng.random((4, 6)) < 0.5, np.nan, gone["y"][:, :, 2])
    before = exponents(whole, "y", "size", inner=("h",))
    after = exponents(gone, "y", "size", inner=("h",))
    xr.testing.assert_identical(before.isel(h=[0, 1]), after.isel(h=[0, 1]))
    assert after["exponent_error"][2] > before["exponent_error"][2]
    assert abs(after["exponent"][2] - 1) < 4 * after["exponent_error"][2]
    table = values(gone, "y")
    assert (table["y_dof"].values[:, 0] == 5).all()
    counts = np.isfinite(gone["y"]).sum("realization").values[:, 2]
    np.testing.assert_array_equal(
        table["y_dof"].values[:, 2], np.where(counts > 1, counts - 1, np.nan)
    )
    # of passes of one realization, those that are defined count; of a failure, none
    passes = xr.Dataset({"y": (("realization", "pass"), [[1.0, np.nan], [3.0, 5.0]])})
    assert np.isnan(mean_and_error(passes["y"], ())[1])
    passes["y"].attrs["undefined"] = 1
    assert mean_and_error(passes["y"], ())[0] == 2.5


def test_curves_of_undefined_observables_keep_what_is_there():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(2, 8, 3))
    y[0, :4, 1] = np.nan
    coords = {"size": [8, 16], "p": [0.1, 0.2, 0.3]}
    ds = xr.Dataset({"y": (("size", "realization", "p"), y, {"undefined": 1})}, coords)
    kept = ScalingData.from_dataset(ds, "p", "size", "y")
    assert np.diag(kept.curves[0].pairs).tolist() == [8, 4, 8]
    failed = ScalingData.from_dataset(ds.drop_attrs(), "p", "size", "y")
    assert np.diag(failed.curves[0].pairs).tolist() == [4, 4, 4]


def test_a_point_that_failed_for_all_realizations_costs_the_curve_only_itself():
    y = np.random.default_rng(1).normal(size=(2, 8, 3))
    y[:, :, 0] = np.nan
    y[1, 0, 2] = np.nan  # and this realization of the second size is left out
    coords = {"size": [8, 16], "p": [0.1, 0.2, 0.3]}
    ds = xr.Dataset({"y": (("size", "realization", "p"), y)}, coords)
    first, second = ScalingData.from_dataset(ds, "p", "size", "y").curves
    assert first.control.tolist() == second.control.tolist() == [0.2, 0.3]
    np.testing.assert_allclose(first.mean, y[0, :, 1:].mean(axis=0))
    np.testing.assert_allclose(second.mean, y[1, 1:, 1:].mean(axis=0))
    y[1, :4, 1] = y[1, 4:, 2] = np.nan  # each realization lacks a point
    with pytest.raises(InputError, match="is 1 of which a realization has all points"):
        ScalingData.from_dataset(ds, "p", "size", "y")


def test_scaling_of_what_did_not_happen_is_refused_with_a_way_out(passages):
    ds = passages.isel(temperature=slice(4))
    with pytest.raises(InputError, match=r"time is censored.*medians.*from_table"):
        ScalingData.from_dataset(ds, "temperature", "size", "time")
    table = values(ds.sel(size=[8, 16, 32]), "time")
    temperature, size = xr.broadcast(table["temperature"], table["size"])
    columns = (temperature, size, table["time"], table["time_error"])
    data = ScalingData.from_table(
        *(x.transpose("size", "temperature").values.ravel() for x in columns)
    )
    assert (
        data.mean.tolist() == table["time"].transpose("size", "temperature").values.ravel().tolist()
    )
    soon = ds.sel(size=[8])
    soon["time"] = soon["time"].where(soon["time"] < 50, 10.0)
    late = soon.assign_coords(size=[9])
    both = xr.concat([soon, late], "size", combine_attrs="override")
    assert len(ScalingData.from_dataset(both, "temperature", "size", "time").curves) == 2


@forms(PlainPassage, Passage)
def test_a_store_says_what_is_censored_and_does_not_take_it_for_a_failure(kind, lanes, tmp_path):
    path = tmp_path / "s"
    ds = computed(
        kind, lanes, path, 8, {"budget": 150}, size=[20, 40], temperature=[0.1, 0.4, 64.0]
    )
    assert ds["time"].attrs["censored"] == ds["wait"].attrs["undefined"] == 1
    assert "undefined" not in ds["time"].attrs
    assert np.isinf(ds["time"]).any()
    assert np.isnan(ds["wait"]).any()
    assert status(Store(path)).not_finite == {}
    diagram = phase_diagram(ds, kind)
    assert [diagram.phase(int(c)).name for c in diagram.cells["phase"]] == ["fast", "fast", "slow"]
    assert not np.isfinite(diagram.cells["time_high"].values[2])
    for name in ("t.nc", "t.csv"):
        write_to(ds, tmp_path / name)
    with xr.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again.load(), ds)
    rows = pd.read_csv(tmp_path / "t.csv")
    assert np.isposinf(rows["time"]).sum() == np.isinf(ds["time"]).sum()
    assert rows["wait"].isna().sum() == np.isnan(ds["wait"]).sum()


VALUE = control(0, interval="[0, 3]")


@system(
    observables=[
        Observable(name="censored", censored=True),
        Observable(name="undefined", undefined=True),
        Observable(name="both", censored=True, undefined=True),
        Observable(name="plain"),
    ]
)
def returns(rng, value=VALUE):
    found = [0.0, np.inf, np.nan, -np.inf][value]
    return dict.fromkeys(("censored", "undefined", "both", "plain"), found)


def test_failures_are_what_no_declaration_explains(tmp_path):
    expected = {
        0: set(),
        1: {"undefined", "plain"},
        2: {"censored", "plain"},
        3: {"censored", "undefined", "both", "plain"},
    }
    for value, names in expected.items():
        store = tmp_path / str(value)
        with pytest.raises(RunError, match="not finite") if names else contextlib.nullcontext():
            run(Study(system=returns(value=value)), store, workers=1)
        assert status(Store(store)).not_finite == dict.fromkeys(names, 1)
