"""Edges of the protocol: order, common disorder, what did not happen, 64 bits, no chance, time."""

from __future__ import annotations

import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality import InputError, ScalingData, Store, Study, keys, phase_diagram, run
from criticality.analysis.boundaries import boundaries
from criticality.analysis.classify import by_rules, values
from criticality.analysis.exponents import SOURCES, doubts, exponents
from criticality.analysis.stats import quantile_of_few
from criticality.base import (
    Observable,
    Phase,
    Rule,
    Task,
    axes,
    canonical,
    card,
    control,
    flagged,
    plain,
    system,
)
from criticality.cli.app import Results, write_json
from criticality.engine import checkpoint, ensemble, host
from criticality.engine.checkpoint import Checkpoints
from criticality.figures.book import Book
from criticality.figures.pages import generic_pages
from criticality.figures.sizes import against, against_size, mean_and_error
from criticality.nn import recorders
from criticality.nn.streams import stream
from criticality.study.export import write_to
from tests.edge_systems import (
    LOOP,
    SPINS,
    SWEEPS,
    Paramagnet,
    Passage,
    PlainParamagnet,
    PlainPassage,
    PlainPower,
    PlainSweep,
    Power,
    Sum32,
    Sum64,
    Sweep,
    Walk,
    median_time,
    spinodal,
)


def forms(plain_kind, jax_kind):
    """The three ways in which a pair of systems is computed: (kind, whether in lanes)."""
    several = [(plain_kind, None), (jax_kind, False), (jax_kind, True)]
    return pytest.mark.parametrize(("kind", "lanes"), several, ids=["plain", "serial", "lanes"])


def computed(kind, lanes, path, realizations=1, changes=None, **grid):
    study = Study(system=kind(**(changes or {})), grid=grid, realizations=realizations)
    how = {"vectorize": True, "width": 4} if lanes else {"vectorize": False, "workers": 1}
    return run(study, path, **how)


def realized(kind, lanes, realizations, **changes):
    """Observables [realization, ...] of one point, without a store."""
    one = canonical(kind(), **changes)
    tasks = [Task(system=one, seed=1, realization=r, checksum="") for r in range(realizations)]
    if plain(kind):
        results = [result for _, result in host.stream(tasks, {})]
    else:
        results = ensemble.realize(tasks, {}, width=64 if lanes else 1)
    return {name: np.array([result[name] for result in results]) for name in results[0]}


# --- ordered inner axes ---

BRANCH = 7  # fields on the way up


@pytest.fixture(scope="module", params=["plain", "serial", "lanes"])
def sweeps(request, tmp_path_factory):
    kind = PlainSweep if request.param == "plain" else Sweep
    path = tmp_path_factory.mktemp("sweeps") / "s"
    ds = computed(kind, request.param == "lanes", path, 2, coupling=[0.5, 1.5, 2.0])
    return kind, path, ds


def test_an_ordered_axis_keeps_its_order_and_another_order_is_another_task(tmp_path):
    text = 'system = "sweep"\n[controls]\nfield = [0.5, -0.5, 0.5, 0.0]\n'
    file = tmp_path / "study.toml"
    keys_of = {}
    for fields in ("0.5, -0.5, 0.5, 0.0", "-0.5, 0.5, 0.5, 0.0", "-0.5, 0.0, 0.5"):
        file.write_text(text.replace("0.5, -0.5, 0.5, 0.0", fields))
        study = Study.from_toml(file, Sweep)
        assert list(study.system.field) == [float(x) for x in fields.split(",")]
        task = study.tasks()[0]
        keys_of[task.key] = task.lineage
    assert len(keys_of) == 3
    assert len(set(keys_of.values())) == 1  # an inner axis: the same random numbers


def test_a_sweep_up_and_down_has_its_known_hysteresis_in_the_order_of_the_protocol(sweeps):
    _, path, ds = sweeps
    assert ds["field"].values.tolist() == list(LOOP)
    xr.testing.assert_identical(Store(path).open(), ds)
    assert Store(path).card()[1]["field"].ordered
    m, h = ds["magnetization"], np.array(LOOP)
    settled = np.tanh(ds["coupling"] * m + ds["field"].copy(data=h)) - m
    assert np.abs(settled).max() < 1e-3
    # a field that is between -h_s and h_s leaves a magnet of J = 2 as it was; one beyond turns it
    assert 0.5 < spinodal(2.0) < 1.0
    signs = np.sign(m.sel(coupling=2.0).values)
    assert (signs[:, :6] == -1).all()
    assert (signs[:, 6:12] == 1).all()
    assert (signs[:, 12] == -1).all()
    # without ferromagnetism there is no memory: down is up
    weak = m.sel(coupling=0.5).values
    np.testing.assert_allclose(weak[:, BRANCH - 1 :], weak[:, BRANCH - 1 :: -1], atol=1e-5)


def area(line):
    """Signed area that a closed curve encloses."""
    x, y = line.get_data()
    return 0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])


def test_a_hysteresis_loop_is_drawn_as_a_loop(sweeps):
    _, path, ds = sweeps
    ax = against(ds["magnetization"], "field", "coupling")
    lines = {c.get_label(): c.lines[0] for c in ax.containers}
    for coupling, line in lines.items():
        assert line.get_xdata().tolist() == list(LOOP)
        mean = ds["magnetization"].sel(coupling=float(coupling)).mean("realization")
        np.testing.assert_allclose(line.get_ydata(), mean)
    assert area(lines["2"]) > 1
    assert abs(area(lines["0.5"])) < 1e-4
    assert "not to scale" not in ax.get_xlabel()
    # one way only: on its grid, as any other axis
    one_way = against(ds["magnetization"].isel(field=slice(BRANCH)), "field", "coupling")
    assert "not to scale" in one_way.get_xlabel()
    by_field = against_size(ds["magnetization"], "coupling", "field")
    assert len(by_field.containers) == len(LOOP)
    for number, container in enumerate(by_field.containers):
        mean = ds["magnetization"].isel(field=number).mean("realization")
        np.testing.assert_allclose(container.lines[0].get_ydata(), mean)
    book = Book()
    generic_pages(Results(path, None), book, {"field": "0.5"})
    shown = book.pages["curves"].axes[0].containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(shown, ds["magnetization"].isel(field=5).mean("realization"))


def test_analysis_keeps_the_order_and_seeks_no_border_along_it(sweeps):
    ds = sweeps[2]
    table = values(ds, "magnetization")
    assert boundaries(table, "magnetization", "field") == ()
    assert len(boundaries(table, "magnetization", "coupling")) == len(LOOP)
    assert len(boundaries(table.isel(field=slice(BRANCH)), "magnetization", "field")) == 3
    square = ds.assign(square=ds["magnetization"] ** 2 + 0.1)
    whole = exponents(square, "square", "coupling", inner=("field",))
    assert whole["field"].values.tolist() == list(LOOP)
    for part in (slice(BRANCH), slice(BRANCH, None)):
        alone = exponents(square.isel(field=part), "square", "coupling", inner=("field",))
        np.testing.assert_allclose(whole["exponent"].isel(field=part), alone["exponent"])
    phases = (Phase(name="up"), Phase(name="down"))
    rules = (
        Rule(phase="up", quantity="magnetization", above=0.0),
        Rule(phase="down", quantity="magnetization", below=0.0),
    )
    noise = 1e-6 * np.random.default_rng(0).normal(size=ds["magnetization"].shape)
    few = ds.assign(magnetization=ds["magnetization"] + noise)
    both = by_rules(few, phases, rules, ("coupling", "field"))
    parts = [
        by_rules(few.isel(field=part), phases, rules, ("coupling", "field")).cells["phase"].values
        for part in (slice(BRANCH), slice(BRANCH, None))
    ]
    np.testing.assert_array_equal(both.cells["phase"].values, np.concatenate(parts, axis=1))
    assert {line.along for line in both.boundaries} == {"coupling"}


def test_what_cannot_be_said_of_both_branches_is_refused(sweeps, tmp_path):
    _, path, ds = sweeps
    noise = np.random.default_rng(0).normal(size=ds["magnetization"].shape)
    ds = ds.assign(magnetization=ds["magnetization"] + noise)
    with pytest.raises(InputError, match=r"field has a value twice.*isel\(field=slice"):
        ScalingData.from_dataset(ds, "field", "coupling", "magnetization")
    up = ScalingData.from_dataset(
        ds.isel(field=slice(BRANCH)), "field", "coupling", "magnetization"
    )
    np.testing.assert_array_equal(up.curves[0].control, LOOP[:BRANCH])
    with pytest.raises(InputError, match=r"field has this value 2 times"):
        Results(path, ["field=0.25"]).open()
    assert Results(path, ["field=1.0"]).open()["field"].item() == 1.0


def test_a_table_has_the_rows_of_the_protocol_in_order(sweeps, tmp_path):
    _, _, ds = sweeps
    write_to(ds[["magnetization"]], tmp_path / "t.csv")
    rows = pd.read_csv(tmp_path / "t.csv")
    one = rows[(rows["coupling"] == 2.0) & (rows["realization"] == 1)]
    assert one["field"].tolist() == list(LOOP)
    expected = ds["magnetization"].sel(coupling=2.0, realization=1)
    np.testing.assert_allclose(one["magnetization"], expected)


# --- common disorder ---

TEMPERATURES = [0.5, 1.0, 1.0 + 2**-20, 2.0]


@forms(PlainParamagnet, Paramagnet)
def test_points_share_their_disorder_bit_for_bit_and_nothing_else(kind, lanes, tmp_path):
    ds = computed(kind, lanes, tmp_path / "s", 12, temperature=TEMPERATURES)
    patterns = ds["patterns"].values
    assert (patterns == patterns[:1]).all()
    assert len(np.unique(patterns[0])) == 12 * SPINS
    # thermal noise is their own, also where two temperatures hardly differ: the distance from the
    # exact mean energy of these fields has its known variance, and is independent of the others
    beta = 1 / ds["temperature"].values[:, None, None]
    exact = -np.mean(patterns * np.tanh(patterns * beta), axis=2)
    spread = np.sqrt(np.mean((patterns / np.cosh(patterns * beta)) ** 2, axis=2) / SPINS / SWEEPS)
    pulls = (ds["energy"].values - exact) / spread
    assert 0.75 < pulls.std() < 1.25
    assert np.abs(np.corrcoef(pulls)[np.triu_indices(4, 1)]).max() < 0.8
    # so that differences are far sharper than those of independent samples, which is the control
    energy = ds["energy"].values
    paired = (energy[1] - energy[3]).var()
    independent = (energy[1] - np.roll(energy[3], 1)).var()
    assert paired < 0.2 * independent


@forms(PlainParamagnet, Paramagnet)
def test_another_control_has_another_disorder_and_a_finer_grid_changes_nothing(
    kind, lanes, tmp_path
):
    few = computed(kind, lanes, tmp_path / "few", temperature=[0.5, 2.0], strength=[1.0, 2.0])
    ratio = few["patterns"].sel(strength=2.0) / few["patterns"].sel(strength=1.0)
    assert np.abs(ratio - 2).min() > 1e-3
    many = computed(kind, lanes, tmp_path / "few", temperature=[0.25, 0.5, 2.0], strength=[1.0])
    for name in few:
        np.testing.assert_array_equal(
            many[name].sel(temperature=[0.5, 2.0], strength=1.0), few[name].sel(strength=1.0)
        )
    fresh = computed(kind, lanes, tmp_path / "many", temperature=[0.25, 0.5, 2.0])
    np.testing.assert_array_equal(fresh["energy"], many["energy"].sel(strength=1.0))


def test_streams_of_plain_systems_depend_on_name_and_all_digits_alone():
    def first(*what, used=0):
        rng = keys.generator("ab" * 32)
        rng.random(used)
        found = keys.stream(rng, *what).integers(2**63)
        assert used or rng.random() == keys.generator("ab" * 32).random()  # it draws nothing
        return found

    assert first("noise", 1.0) == first("noise", np.float64(1.0), used=7)
    different = [
        ("noise",),
        ("noise", 1.0),
        ("noise", np.nextafter(1.0, 2)),
        ("noise", 1.0, 1.0),
        ("other", 1.0),
        ("noise", "1.0"),
        ("noise", np.int64(3)),
    ]
    numbers = {first(*what) for what in different}
    numbers |= {child.integers(2**63) for child in keys.generator("ab" * 32).spawn(3)}
    assert len(numbers) == len(different) + 3
    assert first("noise", 1.0) != keys.stream(keys.generator("ac" * 32), "noise", 1.0).integers(
        2**63
    )


def test_streams_of_jax_systems_depend_on_all_bits():
    key = jax.random.key(0)
    bits = {int(jax.random.bits(stream(key, "noise", x))) for x in (1.0, 1.0 + 2**-23, 2**24)}
    bits |= {int(jax.random.bits(stream(key, "noise", 2**24 + 1)))}
    with jax.enable_x64(True):
        close = jnp.asarray([1.0, 1.0 + 2**-40])
        bits |= set(map(int, jax.vmap(lambda x: jax.random.bits(stream(key, "noise", x)))(close)))
    assert len(bits) == 6


# --- what did not happen, what is not defined ---


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
    assert Store(path).not_finite() == {}
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
        run(Study(system=returns(value=value)), store, workers=1)
        assert Store(store).not_finite() == dict.fromkeys(names, 1)


# --- 64 bits beside 32 ---


def sums(kind, checksum="", **changes):
    one = canonical(kind(), **changes)
    return [Task(system=one, seed=0, realization=r, checksum=checksum) for r in range(3)]


@pytest.mark.parametrize("width", [1, 2])
def test_systems_of_64_and_32_bits_do_not_disturb_each_other(width):
    alone = {kind: ensemble.realize(sums(kind), {}, width) for kind in (Sum64, Sum32)}
    steps = [ensemble.stream(sums(kind), {}, width) for kind in (Sum32, Sum64)]
    mixed = list(zip(*steps, strict=True))  # a result of one, a result of the other
    for narrow, wide in mixed:
        assert jnp.asarray(1.0).dtype == jnp.float32  # here, between, as ever
        for (number, result), kind in ((narrow, Sum32), (wide, Sum64)):
            for name, value in result.items():
                np.testing.assert_array_equal(value, alone[kind][number][name])
    for result in alone[Sum64]:
        assert result["gained"].dtype == np.float64
        assert result["gained"] == pytest.approx(100e-12, rel=1e-3)
        start = float(result["total"] - result["gained"])
        assert float(np.float32(start)) != start  # also the random numbers have 64 bits
    for result in alone[Sum32]:
        assert result["gained"].dtype == np.float32
        assert result["gained"] == 0  # the control: 32 bits do not hold it


@pytest.mark.parametrize("first", [Sum32, Sum64])
def test_data_on_the_device_have_the_bits_of_the_system_that_asks(first):
    arrays, checksum = {"start": np.array(1.1)}, f"of the test, {first.__name__} first"
    second = Sum64 if first is Sum32 else Sum32
    found = {kind: ensemble.realize(sums(kind, checksum), arrays)[0] for kind in (first, second)}
    assert found[Sum64]["total"] - found[Sum64]["gained"] == pytest.approx(2.1, abs=1e-15)
    assert found[Sum32]["total"] == np.float32(1.1)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("width", [1, 2])
def test_a_checkpoint_keeps_64_bits(width, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)
    whole, tasks = ensemble.realize(sums(Sum64), {}, width), sums(Sum64)
    real, saves = Checkpoints.save, []

    def save(self, states):
        real(self, states)
        saves.append(self)
        if len(saves) == 3:
            raise StoppedError

    monkeypatch.setattr(Checkpoints, "save", save)
    with pytest.raises(StoppedError):
        list(ensemble.stream(tasks, {}, width, Checkpoints(str(tmp_path), tasks)))
    kept = Checkpoints(str(tmp_path), tasks)
    again = dict(ensemble.stream(tasks, {}, width, kept))
    assert 0 < kept.earlier[0][0] < 100
    for number, result in again.items():
        for name, value in result.items():
            np.testing.assert_array_equal(value, whole[number][name])


@pytest.mark.parametrize("lanes", [False, True])
def test_64_bits_are_stored_and_opened(lanes, tmp_path):
    wide = computed(Sum64, lanes, tmp_path / "64", 2, small=[1e-13, 1e-12])
    narrow = computed(Sum32, lanes, tmp_path / "32", 2, small=[1e-13, 1e-12])
    np.testing.assert_allclose(wide["gained"].mean("realization"), [1e-11, 1e-10], rtol=1e-3)
    assert (narrow["gained"] == 0).all()
    for path, kind in (("64", "float64"), ("32", "float32")):
        for file in (tmp_path / path / "results").glob("*.nc"):
            with h5py.File(file) as content:
                assert content["total"].dtype == kind
        assert {e.attributes["dtype"] for e in Store(tmp_path / path).entries()[0]} == {kind}


def test_controls_beyond_32_bits_where_there_are_64():
    assert realized(Sum64, False, 1, offset=2**40 + 5)["total"] > 6
    with pytest.raises(InputError, match="beyond what 32 bits hold"):
        canonical(Sum32(), offset=2**40)
    assert canonical(Sum64(), small=1e-300).small == 1e-300
    with pytest.raises(InputError, match="beyond what 32 bits hold"):
        canonical(Sum32(), small=1e-300)
    with pytest.raises(InputError, match="beyond what 64 bits hold"):
        canonical(Sum64(), offset=2**63)


# --- no chance ---

COLD, HOT = [0.0, 0.25, 0.5, 0.75], [1.25, 1.5, 1.75, 2.0]


@pytest.fixture(scope="module", params=["plain", "serial", "lanes"])
def power(request, tmp_path_factory):
    kind = PlainPower if request.param == "plain" else Power
    path = tmp_path_factory.mktemp("power") / "s"
    grid = {"size": [4, 8, 16, 32, 64], "temperature": [*COLD, *HOT]}
    return kind, computed(kind, request.param == "lanes", path, **grid)


def test_realizations_that_would_be_the_same_are_refused():
    with pytest.raises(InputError, match="is deterministic, all of them would be the same"):
        Study(system=PlainPower(), realizations=2)


def test_without_chance_errors_come_from_the_sizes(power):
    kind, ds = power
    diagram = phase_diagram(ds, kind)
    names = [diagram.phase(int(code)).name for code in diagram.cells["phase"]]
    assert names == ["growing"] * len(COLD) + ["falling"] * len(HOT)
    fit = exponents(ds, "order", "size")  # the data say that there is no chance
    assert (fit["exponent_source"] == SOURCES.index("sizes")).all()
    error = fit["exponent_error"]
    pulls = (fit["exponent"] - (1 - ds["temperature"])) / error
    assert (error > 1e-4).all()
    assert 0.3 < np.sqrt((pulls**2).mean()) < 2
    assert flagged(doubts(fit.isel(temperature=0), "order"), "error from sizes")
    (border,) = diagram.boundaries
    assert border.estimate.low < 1 < border.estimate.high
    assert 0 < border.estimate.error < 0.2
    assert "from that of the sizes" in diagram.method["error_method"]
    two = exponents(ds.isel(size=[0, 1]), "order", "size")  # a line through two points
    assert np.isnan(two["exponent_error"]).all()
    assert flagged(doubts(two.isel(temperature=0), "order"), "no error")


def test_no_error_of_zero_is_claimed_anywhere(power, capsys):
    ds = power[1]
    assert np.isnan(mean_and_error(ds["order"], ("temperature", "size"))[1]).all()
    phases = (Phase(name="below"), Phase(name="above"))
    rules = (
        Rule(phase="below", quantity="field", below=0.0),
        Rule(phase="above", quantity="field", above=0.0),
    )
    diagram = by_rules(ds, phases, rules, ("temperature",), "size")
    assert diagram.cells["phase"].values.tolist() == [1] * len(COLD) + [2] * len(HOT)
    assert "none: a deterministic system has no scatter" in diagram.method["error_method"]
    (border,) = diagram.boundaries
    assert 0.75 <= border.estimate.low < 1.05 < border.estimate.high <= 1.25
    assert border.estimate.error > 0
    assert "no scatter" in border.estimate.method
    # a threshold that is met exactly at a grid point
    exact = ds.assign(field=ds["field"] + 1.05 - 0.5)
    (met,) = by_rules(exact, phases, rules, ("temperature",), "size").boundaries
    assert met.estimate.value == pytest.approx(0.5, abs=1e-6)
    assert met.estimate.error != 0
    write_json(diagram.to_dict())
    content = json.loads(capsys.readouterr().out)
    assert all(row["field_error"] is None for row in content["cells"])
    assert all(row["field_low"] == row["field"] for row in content["cells"])


def test_a_collapse_without_chance_is_refused_with_a_way_out(power):
    _, ds = power
    with pytest.raises(InputError, match=r"deterministic.*cannot be estimated.*from_table"):
        ScalingData.from_dataset(ds, "temperature", "size", "order")


# --- recorders ---


@pytest.mark.parametrize("spacing", ["logarithmic", "linear"])
def test_times_are_distinct_ascending_and_spaced_as_said(spacing):
    for steps, count in ((1, 1), (7, 7), (20, 13), (1000, 30), (10**6, 25)):
        found = np.array(recorders.times(steps, count, spacing))
        assert len(found) == count
        assert found[-1] == steps
        assert found[0] >= 1
        assert (np.diff(found) > 0).all()
    late = found[found > 1000]
    steps = np.diff(np.log(late)) if spacing == "logarithmic" else np.diff(late)
    assert steps.std() < 1e-3 * steps.mean()
    for steps, count in ((5, 6), (5, 0)):
        with pytest.raises(InputError, match="expected 1 to 5"):
            recorders.times(steps, count, spacing)
    with pytest.raises(InputError, match="logarithmic"):
        recorders.times(5, 3, "quadratic")


STEPS = 300
SERIES = (1000 + np.random.default_rng(5).normal(size=(4, STEPS))).astype(np.float32)
LEVEL = 1002.3


@pytest.fixture(scope="module")
def recorded():
    """Series of four lanes, walked through by a loop that knows their length only."""
    recorder = recorders.Recorder(recorders.times(STEPS, 20))

    def walked(series, length):
        def going(carry):
            return carry[0] < length

        def step(carry):
            number, kept, moments, passed = carry
            x = series[number]
            number = number + 1
            kept = recorder.record(kept, number, {"x": x, "pair": jnp.stack([x, -x])})
            passed = recorders.first_passage(passed, number, x > LEVEL)
            return number, kept, moments.add(x), passed

        empty = recorder.empty({"x": series[0], "pair": jnp.zeros(2)})
        begun = (jnp.int32(0), empty, recorders.Moments.none(0.0), recorders.never())
        return jax.lax.while_loop(going, step, begun)[1:]

    lengths = jnp.array([STEPS, STEPS, 50, 1])
    return recorder, np.array(lengths), jax.jit(jax.vmap(walked))(SERIES, lengths)


def test_a_recorder_keeps_the_chosen_steps_exactly(recorded):
    recorder, lengths, (kept, _, _) = recorded
    at = np.array(recorder.times)
    expected = np.where(at <= lengths[:, None], SERIES[:, at - 1], np.nan)
    np.testing.assert_array_equal(kept["x"], expected)
    np.testing.assert_array_equal(kept["pair"], np.stack([expected, -expected], axis=-1))
    assert np.isnan(expected).any()


def test_a_first_passage_is_the_first(recorded):
    _, lengths, (_, _, passed) = recorded
    for series, length, found in zip(SERIES, lengths, np.array(passed), strict=True):
        above = np.flatnonzero(series[:length] > LEVEL)
        assert found == (above[0] + 1 if len(above) else np.inf)
        assert len(above) != 1  # the first of several, or none
    assert np.isinf(passed).any()
    assert np.isfinite(passed).any()


def test_running_moments_are_those_of_the_series_where_sums_of_powers_fail(recorded):
    _, lengths, (_, moments, _) = recorded
    for lane, length in enumerate(lengths):
        exact = SERIES[lane, :length].astype(float)
        deviation = exact - exact.mean()
        assert moments.number[lane] == length
        mine = jax.tree.map(lambda x, lane=lane: x[lane], moments)
        assert mine.mean == pytest.approx(exact.mean(), abs=2e-3)
        for order, found in ((2, "variance"), (3, "third"), (4, "fourth")):
            truth = (deviation**order).mean()
            assert getattr(mine, found) == pytest.approx(truth, rel=2e-3, abs=2e-3)
    series = SERIES[0]
    naive = (series**2).mean(dtype=np.float32) - series.mean(dtype=np.float32) ** 2
    assert abs(naive - SERIES[0].astype(float).var()) > 0.02  # the control


def test_moments_of_arrays_and_of_nothing():
    rng = np.random.default_rng(6)
    rows = rng.exponential(size=(500, 3)).astype(np.float32)
    none = recorders.Moments.none(np.zeros(3, np.float32))
    assert np.isnan(none.variance).all()

    def add(moments, row):
        return moments.add(row), None

    found = jax.lax.scan(add, none, jnp.asarray(rows))[0]
    deviation = rows - rows.mean(axis=0)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.variance, rows.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.third, (deviation**3).mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(found.fourth, (deviation**4).mean(axis=0), rtol=1e-3)


def test_memory_does_not_grow_with_the_number_of_steps():
    def numbers(steps):
        walk = canonical(Walk(), steps=steps)
        state = jax.eval_shape(lambda: walk.begin(jax.random.key(0), {}))
        return [x.shape for x in jax.tree.leaves(state)]

    assert numbers(100) == numbers(10**9)


@pytest.mark.parametrize("lanes", [False, True])
def test_a_walk_spreads_as_its_time(lanes, tmp_path):
    ds = computed(Walk, lanes, tmp_path / "s", 20)
    times = np.array(recorders.times(100, 12))
    assert ds["time"].values.tolist() == times.tolist()
    found, error = mean_and_error(ds["square"], ("time",))
    # x^2 / t of 20 x 20 walkers: mean 1, variance 2 / 400
    np.testing.assert_allclose(found / times, 1, atol=4 * np.sqrt(2 / 400))
    assert (np.abs(found / times - 1) > 1e-3).all()
    assert (error / times / np.sqrt(2 / 400) > 0.4).all()
    assert (error / times / np.sqrt(2 / 400) < 1.8).all()
    assert ds["variance"].mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 2000))
    assert ds["fourth"].mean() == pytest.approx(3, abs=4 * np.sqrt(96 / 2000))
    assert axes(Walk)["steps"].static
    assert card(Walk).observable("passage").censored
