"""Edges of the protocol: order, common disorder, 64 bits, no chance."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality import InputError, ScalingData, Store, Study, keys, phase_diagram
from criticality.analysis.boundaries import boundaries
from criticality.analysis.classify import by_rules, values
from criticality.analysis.exponents import SOURCES, doubts, exponents
from criticality.base import (
    Phase,
    Rule,
    Task,
    canonical,
    flagged,
)
from criticality.cli.app import write_json
from criticality.engine import checkpoint, ensemble
from criticality.engine.checkpoint import Checkpoints
from criticality.figures.book import Book
from criticality.figures.pages import generic_pages
from criticality.figures.sizes import against, against_size, mean_and_error
from criticality.nn.streams import stream
from criticality.results import Results
from criticality.study import journal
from criticality.study.export import write_to
from tests.edge_systems import (
    LOOP,
    SPINS,
    SWEEPS,
    Paramagnet,
    PlainParamagnet,
    PlainPower,
    PlainSweep,
    Power,
    Sum32,
    Sum64,
    Sweep,
    computed,
    forms,
    realized,
    spinodal,
)

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
    one_way = against(ds["magnetization"].isel(field=slice(BRANCH)), "field", "coupling")
    assert one_way.containers[0].lines[0].get_xdata().tolist() == list(LOOP[:BRANCH])
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
    for text in ("0.25", "0.250"):
        with pytest.raises(InputError, match=r"field has this value 2 times"):
            Results(path, [f"field={text}"]).open()
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
        (file,) = (tmp_path / path / "results").iterdir()
        heads = map(journal.unsealed, file.read_bytes().splitlines(keepends=True))
        kinds = {np.dtype(line["numbers"]["total"][0]) for line in heads if "head" in line}
        assert kinds == {np.dtype(kind)}
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
    assert diagram.method["error_method"].startswith("without scatter of realizations")
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
