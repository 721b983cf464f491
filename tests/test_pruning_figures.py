"""Figures of the pruning study show its numbers; the commands find them in a store."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import matplotlib
import numpy as np
import pytest
from criticality.analysis.evolution import evolution_map, evolution_metric, evolution_profile
from criticality.analysis.networks import degree_distribution
from criticality.analysis.pruning import critical_points
from criticality.cli.pruning import pruning_pages
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure

from criticality import Store, Study, figures
from criticality.base import Observable, control
from criticality.cli import main
from tests import pruning_data as known

STEPS = 400


@pytest.fixture(scope="module")
def ds():
    rng = np.random.default_rng(0)
    return known.pruning(rng, ("kmnist", "mnist"), jitter=0.02, steps=STEPS, realizations=4)


@pytest.fixture(scope="module")
def one(ds):
    return ds.isel(dataset=1)


@pytest.fixture(scope="module")
def history(one):
    return evolution_map(one)


@pytest.fixture(scope="module")
def points(ds):
    return critical_points(ds, draws=60)


def curve(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def test_curves_are_means_in_percent_with_bands_of_standard_errors(ds):
    ax = figures.against_density(ds, "accuracy")
    for number, name in enumerate(("kmnist", "mnist")):
        sample = ds["accuracy"].sel(dataset=name)
        line = curve(ax, name)
        np.testing.assert_allclose(line.get_ydata(), sample.mean("realization"))
        np.testing.assert_allclose(line.get_xdata(), 100 * ds["density"][0, 0])
        band = [c for c in ax.collections if isinstance(c, PolyCollection)][number]
        corners = band.get_paths()[0].vertices
        first = corners[np.isclose(corners[:, 0], 100.0)][:, 1]
        width = float(sample[:, 0].std("realization", ddof=1)) / 2
        assert np.ptp(first) == pytest.approx(2 * width, rel=1e-6)
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "remaining edges (%)"


@pytest.mark.parametrize("name", ["prediction_entropy", "outcome_entropy", "loss"])
def test_entropies_are_in_nat_with_ln_10(one, name):
    ax = figures.against_density(one, name)
    assert "(nat)" in ax.get_ylabel()
    assert any(np.allclose(line.get_ydata(), math.log(10)) for line in ax.lines)
    assert ax.get_legend() is None  # one curve needs no name


def test_a_fully_pruned_network_has_no_place_on_a_logarithmic_axis():
    ds = known.pruning(np.random.default_rng(1), (), schedule="equal", steps=100)
    ax = figures.against_density(ds)
    ax.get_figure().canvas.draw()
    assert 0.5 < ax.get_xlim()[0] < 1  # the last step with edges has 1 %
    drawn = [figures.layers(ds, "live_units"), ax]
    profile = ds["evolution"] * 0 + 1
    drawn.append(figures.evolution_profile(profile, ds["density"].mean("realization")))
    for ax in drawn:
        line = next(line for line in ax.lines if len(line.get_xdata()) == 101)
        assert np.isnan(line.get_xdata()[-1])
        bands = [c for c in ax.collections if isinstance(c, PolyCollection)]
        corners = np.concatenate([path.vertices for band in bands for path in band.get_paths()])
        assert corners[:, 0].min() == pytest.approx(1.0)  # none from 0 across the panel


def test_the_legend_is_above_the_curves(ds):
    ax = figures.against_density(ds)
    figure = ax.get_figure()
    figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1


def test_weights_that_do_not_move_are_said_not_to():
    ds = known.pruning(np.random.default_rng(5), (), realizations=2, steps=50)
    still, nothing = ds["evolution"] * 0, (ds["evolution"] * np.nan).where(ds["step"] > 0, 0)
    found = evolution_map(ds)
    diagonal = found.where(found["snapshot"] == found["other"])
    rho = ds["density"].mean("realization")
    for ax, text in (
        (figures.evolution_profile(still, rho), "no change"),
        (figures.evolution_profile(nothing, rho), "undefined"),
        (figures.evolution_map(found * 0), "no change"),
        (figures.evolution_map(diagonal), "undefined"),
    ):
        ax.get_figure().canvas.draw()
        assert [t.get_text() for t in ax.texts] == [f"Evolution Metric: {text}"]
        assert not ax.lines
    one = found.where((found["snapshot"] + found["other"]).isin([1 + known.SNAPSHOTS[5]]))
    figures.evolution_map(one).get_figure().canvas.draw()  # a single value is a range too


def test_weights_that_diverged_leave_limits_finite():
    old = np.array([0.5, -1.0, 2.0, 0.1, np.inf])
    new = np.array([np.nan, -1.1, 2.1, 0.1, np.inf])
    ax = figures.weight_scatter(new, old, np.ones(5, bool))
    assert ax.get_xlim() == pytest.approx((-1.05 * 2.1, 1.05 * 2.1))
    assert [t.get_text() for t in ax.texts] == ["EM undefined"]
    ax = figures.weight_scatter(new * np.nan, old * np.nan, np.ones(5, bool))
    ax.get_figure().canvas.draw()


def test_a_network_that_diverged_has_its_panels(one):
    ds = one.copy(deep=True)
    ds["loss"] = ds["loss"] * np.nan
    ax = figures.against_density(ds, "loss")
    ax.get_figure().canvas.draw()
    assert np.isnan(ax.lines[0].get_ydata()).all()


def test_layers_are_shares_of_what_they_are_shares_of(one):
    ax = figures.layers(one, "conducting")
    expected = (100 * one["conducting"] / one["edges"]).mean("realization").sel(layer=3)
    np.testing.assert_allclose(curve(ax, "3").get_ydata(), expected)
    ax = figures.layers(one, "live_units")
    expected = 100 * one["live_units"].mean("realization").sel(unit_layer=4) / 10
    np.testing.assert_allclose(curve(ax, "output").get_ydata(), expected)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["input", "1", "2", "3", "output"]
    ax = figures.layers(one, "edges")
    assert curve(ax, "2").get_ydata()[0] == 100


def test_weights_that_remain_lie_near_the_identity_and_the_pruned_are_crosses():
    rng = np.random.default_rng(2)
    old = rng.normal(size=300)
    remaining, before = np.abs(old) > 0.5, np.abs(old) > 0.2
    old = np.where(before, old, 0)
    new = np.where(remaining, old + 0.01 * rng.normal(size=300), 0)
    ax = figures.weight_scatter(new, old, remaining, (0.6, 0.8))
    dots, crosses, line = ax.lines
    np.testing.assert_array_equal(dots.get_xdata(), old[remaining])
    np.testing.assert_array_equal(dots.get_ydata(), new[remaining])
    np.testing.assert_array_equal(crosses.get_xdata(), old[~remaining & before])
    assert crosses.get_marker() == "x"
    assert not np.any(crosses.get_ydata())
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    found = evolution_metric(new, old, remaining)
    (text,) = [t.get_text() for t in ax.texts]
    assert f"{1 - found:.4f}" in text
    assert ax.get_title() == "80 % → 60 % of the edges"


def test_profiles_show_the_network_and_every_layer(one, history):
    rho = one["density"].mean("realization")
    ax = figures.evolution_profile(one["evolution"], rho)
    expected = one["evolution"].mean("realization")
    np.testing.assert_allclose(curve(ax, "network").get_ydata()[1:], expected[1:, 0])
    np.testing.assert_allclose(curve(ax, "layer 4").get_ydata()[1:], expected[1:, 4])
    assert np.isnan(curve(ax, "network").get_ydata()[0])
    assert "one step apart" in ax.get_ylabel()
    ax = figures.evolution_profile(evolution_profile(history, 3))
    assert "3 snapshots apart" in ax.get_ylabel()
    expected = history.mean("realization").values[0, 4, 7]
    assert curve(ax, "network").get_ydata()[4] == pytest.approx(expected)


def test_a_map_draws_every_pair_once_and_interpolates_nothing(history):
    ax = figures.evolution_map(history, part=1)
    (mesh,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    expected = history.mean("realization").values[1].T
    shown = mesh.get_array()
    positive = expected > 0
    np.testing.assert_allclose(shown[positive], expected[positive])
    assert (shown[expected == 0] < mesh.norm.vmin).all()  # white
    assert np.array_equal(np.ma.getmaskarray(shown), np.isnan(expected))
    edges = mesh.get_coordinates()[0, :, 0]
    assert ((edges[:-1] < 100 * known.SNAPSHOTS) & (edges[1:] > 100 * known.SNAPSHOTS)).all()


def test_the_order_parameter_is_drawn_with_its_fit(points):
    point = points[2]
    ax = figures.order_parameter(point)
    fit = point.fit
    (container,) = ax.containers
    x, y = container[0].get_data()
    here = point.density > fit.p_c
    np.testing.assert_allclose(x, 100 * (point.density[here] - fit.p_c))
    np.testing.assert_allclose(y, point.samples.mean(axis=0)[here])
    law = next(line for line in ax.lines if line.get_color() == "k")
    at, value = law.get_xdata()[7], law.get_ydata()[7]
    assert value == pytest.approx(fit.amplitude * (at / 100) ** fit.beta)
    assert "beta" in ax.get_title()
    assert "$-$ 0.1" in ax.get_ylabel()
    doubted = dataclasses.replace(point, flags=("drift",))
    ax = figures.order_parameter(doubted)
    assert ax.containers[0][0].get_markerfacecolor() == "w"
    assert [t.get_text() for t in ax.texts] == ["drift"]
    nothing = dataclasses.replace(point, scan=(), each=(), flags=("no collapse",))
    assert figures.order_parameter(nothing).get_title() == "no collapse"


def test_the_scan_shows_every_window_with_its_error(points):
    for name, factor in (("p_c", 100), ("beta", 1)):
        ax = figures.threshold_scan(points[2:4], name)
        fits = [fit for point in points[2:4] for fit in point.scan if np.isfinite(fit.p_c)]
        shown = [container[0].get_ydata()[0] for container in ax.containers]
        np.testing.assert_allclose(shown, [factor * getattr(fit, name) for fit in fits])
        half = [np.ptp(c[2][0].get_segments()[0][:, 1]) / 2 for c in ax.containers]
        np.testing.assert_allclose(half, [factor * fit.params[name].error for fit in fits])
        assert len(ax.get_legend().get_texts()) == 2


def test_topologies_are_compared_network_by_network():
    ds = known.topology(np.random.default_rng(3))
    ax = figures.topology_accuracy(ds)
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    assert ticks == [
        "pruned",
        "same\ndegrees",
        "random\nin layers",
        "random",
        "fine-\ntuned",
        "dense",
    ]
    last = ds["accuracy"].isel(epoch=-1)
    joined = [line for line in ax.lines if line.get_color() == "0.8"]
    assert len(joined) == 8
    np.testing.assert_array_equal(joined[5].get_ydata(), last.isel(realization=5))
    means = [container[0].get_ydata()[0] for container in ax.containers]
    np.testing.assert_allclose(means[:4], last.mean("realization"))
    half = np.ptp(ax.containers[1][2][0].get_segments()[0][:, 1]) / 2
    assert half == pytest.approx(float(last[:, 1].std(ddof=1)) / np.sqrt(8))
    ax = figures.topology_training(ds, "loss")
    expected = ds["loss"].sel(topology=3).mean("realization")
    np.testing.assert_allclose(curve(ax, "random").get_ydata(), expected)
    np.testing.assert_array_equal(curve(ax, "random").get_xdata(), ds["epoch"])


def test_degrees_are_cumulative_with_what_is_random_beside_them():
    samples = [[0, 1, 1, 3], [1, 1, 2, 3]]
    found = degree_distribution(samples)
    tail = [1.0, 0.8, 0.4, 0.1]
    ax = figures.degree_distribution({"layer 1": found}, {"layer 1": tail}, "in")
    measured = curve(ax, "layer 1")
    np.testing.assert_array_equal(measured.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(measured.get_ydata(), [7 / 8, 3 / 8, 2 / 8])
    thin = ax.lines[1]
    np.testing.assert_array_equal(thin.get_ydata(), tail[1:])
    np.testing.assert_array_equal(thin.get_color(), measured.get_color())
    assert ax.get_xlabel() == "in-degree $k$"
    assert curve(ax, "random").get_linewidth() == thin.get_linewidth()
    ax = figures.degree_distribution({"layer 1": degree_distribution([[0, 0]])})
    assert len(ax.lines) == 1


def test_figures_leave_global_settings_alone(one):
    before = dict(matplotlib.rcParams)
    ax = Figure().subplots()
    assert figures.against_density(one, ax=ax) is ax
    assert dict(matplotlib.rcParams) == before


# --- commands ---


@dataclass(frozen=True, kw_only=True)
class Fake:
    """A system without a network: its results are made up."""

    name: ClassVar[str] = "pruning"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "made up"
    observables: ClassVar[tuple[Observable, ...]] = ()
    made: ClassVar[Any] = None

    criterion: str = control("magnitude", symbol="criterion", doc="what is pruned")

    def validate(self) -> None:
        """Allow all."""

    def inner(self) -> dict[str, Any]:
        coords = self.made.drop_vars(["criterion", "realization"], errors="ignore").coords
        return {str(n): tuple(v.values.tolist()) for n, v in coords.items()}


def write_store(path, kind, made, values, asked=None):
    class System(Fake):
        name = kind

    System.made = made
    inner = {n: a.isel(criterion=0, realization=0) for n, a in made.items()}
    System.observables = tuple(
        Observable(name=str(n), dims=tuple(map(str, a.dims)), unit="1", doc=str(n))
        for n, a in inner.items()
    )
    study = Study(
        system=System(), grid={"criterion": asked or values}, realizations=made.sizes["realization"]
    )
    store = Store(path)
    store.begin(study.plan())
    for task in study.tasks():
        if task.system.criterion not in values:
            continue
        where = {"criterion": task.system.criterion, "realization": task.realization}
        store.write(task, {str(n): made[n].sel(where).values for n in made}, {})
    return path


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(4)
    values = ("magnitude", "random")
    made = known.pruning(rng, values, sweep="criterion", jitter=0.02, steps=600, realizations=3)
    write_store(folder / "pruning", "pruning", made, values)
    made = known.topology(rng, realizations=3).expand_dims(criterion=["magnitude"])
    write_store(folder / "topology", "topology", made, ("magnitude",))
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["criticality", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_threshold_of_every_point_is_reported(command, stores):
    words = ("threshold", stores / "pruning", "--draws", "40")
    code, out, err = command(*words, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)["points"]
    assert [(p["at"]["criterion"], p["observable"]) for p in found] == [
        (c, o) for c in ("magnitude", "random") for o in ("accuracy", "prediction_entropy")
    ]
    assert found[0]["fit"]["params"]["p_c"]["value"] == pytest.approx(0.01, rel=0.03)
    assert found[2]["fit"]["params"]["p_c"]["value"] == pytest.approx(0.016, rel=0.03)
    assert found[0]["collapse"]["half"]["mean"] == pytest.approx(0.01 + 0.03 / 4, rel=0.03)
    assert found[0]["offset"] == pytest.approx(0.1)
    assert len(found[0]["scan"]) > 3
    code, out, _ = command(*words, "--select", "criterion=random", "--observable", "accuracy")
    assert code == 0
    assert "criterion = random: accuracy - 0.1 (measured), 3 networks" in out
    assert "rho_c = 1.5" in out
    assert "half-way at" in out
    assert "within" in out
    assert "prediction_entropy" not in out
    assert "nan" not in out


def test_chance_and_the_window_can_be_given(command, stores):
    code, out, _ = command(
        "threshold", stores / "pruning", "--observable", "accuracy", "--chance", "0.05",
        "--density-max", "0.02", "--density-min", "0.005", "--draws", "20", "--json",
    )  # fmt: skip
    found = json.loads(out)["points"][0]
    assert code == 0
    assert (found["offset"], found["offset_source"]) == (0.05, "given")
    assert 0.005 <= min(found["density"]) < max(found["density"]) <= 0.02


def test_degrees_are_drawn_near_1_percent_of_the_edges(stores, monkeypatch):
    rows = {}

    def page(name, columns, width, titles=("",)):
        axes = Figure().subplots(len(titles), columns, squeeze=False)
        rows[name] = list(zip(titles, axes, strict=True))
        return list(axes)

    monkeypatch.setattr("criticality.cli.pruning._weight_pages", lambda *arguments: None)
    pruning_pages(stores / "pruning", ["criterion=random"], page)
    ((title, (into, out_of)),) = rows["degrees"]
    assert title == "criterion = random: 1 % of the edges"
    ds = Store(stores / "pruning").open().sel(criterion="random")
    step = int(np.argmin(np.abs(ds["density"][0].values - 0.01)))
    layer = ds["removed"].values[:, : 15 * 40].reshape(3, 15, 40) > step
    for ax, axis in ((into, 2), (out_of, 1)):
        degree, line = layer.sum(axis=axis), curve(ax, "layer 1")
        shares = [(degree >= k).mean() for k in line.get_xdata()]
        np.testing.assert_allclose(line.get_ydata(), shares)
        assert len(ax.get_legend().get_texts()) == 5


def test_results_of_different_shapes_are_opened_one_by_one(command, tmp_path):
    for value, steps in (("magnitude", 300), ("random", 400)):  # as if they were swept
        rng = np.random.default_rng(6)
        made = known.pruning(rng, (value,), sweep="criterion", realizations=2, steps=steps)
        write_store(tmp_path / "store", "pruning", made, (value,), asked=("magnitude", "random"))
    for words in (
        ("figures", tmp_path / "store", "--out", tmp_path),
        ("threshold", tmp_path / "store"),
    ):
        code, out, err = command(*words)
        assert (code, out) == (2, "")
        assert "Use --select AXIS=VALUE with one of: criterion." in err
    words = ("threshold", tmp_path / "store", "--observable", "accuracy", "--draws", "20", "--json")
    for value in ("magnitude", "random"):
        code, out, err = command(*words, "--select", f"criterion={value}")
        assert (code, err) == (0, "")
        assert [p["at"] for p in json.loads(out)["points"]] == [{"criterion": value}]


def test_figures_of_pruning_and_of_topologies(command, stores, tmp_path):
    words = (stores / "pruning", "--select", "criterion=random")
    code, out, err = command("figures", *words, "--out", tmp_path)
    assert (code, err) == (0, "")
    names = [line.rsplit("/", 1)[1] for line in out.split()]
    assert names == [
        f"{name}.png"
        for name in ("collapse", "structure", "degrees", "threshold", "evolution", "weights")
    ]
    assert all((tmp_path / name).stat().st_size > 10_000 for name in names)
    code, out, _ = command("figures", stores / "topology", "--out", tmp_path, "--format", "svg")
    assert code == 0
    assert out.split() == [str(tmp_path / "topology.svg")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("threshold", "topology"), "`criticality threshold` is for pruning"),
        (("phases", "pruning"), "`criticality threshold` is for it"),
        (("threshold", "pruning", "--observable", "loss"), "unknown value for --observable"),
        (("threshold", "pruning", "--density-min", "0.5", "--density-max", "0.1"), "least < great"),
        (("threshold", "pruning", "--density-min", "inf"), "least < greatest"),
        (("threshold", "pruning", "--chance", "nan"), "0 <= chance < 1"),
        (
            ("threshold", "pruning", "--chance", "0.1", "--observable", "prediction_entropy"),
            "is for the accuracy",
        ),
        (("threshold", "pruning", "--select", "step=3"), "Allowed: criterion, realization."),
        (("figures", "pruning", "--out", "x", "--select", "layer=1"), "Allowed: criterion"),
        (("figures", "topology", "--out", "x", "--select", "epoch=1"), "Allowed: criterion"),
        (("figures", "topology", "--out", "x", "--select", "topology=1"), "Allowed: criterion"),
        (("threshold", "nothing"), "not a store"),
        (("figures", "pruning", "--out", "x", "--p-train", "0.1"), "is for a store of dropout"),
        (("figures", "pruning", "--out", "x", "--format", "gif"), "expected png, pdf or svg"),
        (("threshold", "pruning", "--select", "criterion=saliency"), "has the values"),
    ],
)
def test_bad_input_exits_2_with_a_message(command, stores, words, expected):
    code, out, err = command(words[0], stores / words[1], *words[2:])
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err
