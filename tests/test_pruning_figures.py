"""Figures of the pruning study show its numbers."""

from __future__ import annotations

import dataclasses
import math

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure

from criticality.base import Flag
from criticality.systems.pruning import figures, topology_figures
from criticality.systems.pruning.breakdown import critical_points
from criticality.systems.pruning.degrees import degree_distribution
from criticality.systems.pruning.evolution import (
    evolution_map,
    evolution_metric,
    evolution_profile,
)
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
    here = point.control > fit.p_c
    np.testing.assert_allclose(x, 100 * (point.control[here] - fit.p_c))
    np.testing.assert_allclose(y, point.samples.mean(axis=0)[here])
    law = next(line for line in ax.lines if line.get_color() == "k")
    at, value = law.get_xdata()[7], law.get_ydata()[7]
    assert value == pytest.approx(fit.amplitude * (at / 100) ** fit.beta)
    assert "beta" in ax.get_title()
    assert "$-$ 0.1" in ax.get_ylabel()
    doubted = dataclasses.replace(point, flags=(Flag("drift"),))
    ax = figures.order_parameter(doubted)
    assert ax.containers[0][0].get_markerfacecolor() == "w"
    assert [t.get_text() for t in ax.texts] == ["drift"]
    nothing = dataclasses.replace(point, scan=(), each=(), flags=(Flag("no breakdown"),))
    assert figures.order_parameter(nothing).get_title() == "no breakdown"


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
    ax = topology_figures.topology_accuracy(ds)
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
    ax = topology_figures.topology_training(ds, "loss")
    expected = ds["loss"].sel(topology=3).mean("realization")
    np.testing.assert_allclose(curve(ax, "random").get_ydata(), expected)
    np.testing.assert_array_equal(curve(ax, "random").get_xdata(), ds["epoch"])


def test_degrees_are_cumulative_with_what_is_random_beside_them():
    samples = [[0, 1, 1, 3], [1, 1, 2, 3]]
    found = degree_distribution(samples)
    tail = [1.0, 0.8, 0.4, 0.1]
    ax = topology_figures.degree_distribution({"layer 1": found}, {"layer 1": tail}, "in")
    measured = curve(ax, "layer 1")
    np.testing.assert_array_equal(measured.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(measured.get_ydata(), [7 / 8, 3 / 8, 2 / 8])
    thin = ax.lines[1]
    np.testing.assert_array_equal(thin.get_ydata(), tail[1:])
    np.testing.assert_array_equal(thin.get_color(), measured.get_color())
    assert ax.get_xlabel() == "in-degree $k$"
    assert curve(ax, "random").get_linewidth() == thin.get_linewidth()
    ax = topology_figures.degree_distribution({"layer 1": degree_distribution([[0, 0]])})
    assert len(ax.lines) == 1


def test_figures_leave_global_settings_alone(one):
    before = dict(matplotlib.rcParams)
    ax = Figure().subplots()
    assert figures.against_density(one, ax=ax) is ax
    assert dict(matplotlib.rcParams) == before
