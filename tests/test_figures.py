"""Figures show what was measured: cells, hatching, error bars, labels with units."""

from __future__ import annotations

import dataclasses
import math

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from criticality import Algebraic, collapse, compare, crossings, figures
from criticality.analysis.scaling import landscape
from criticality.base import Estimate, with_error
from criticality.figures.plane import cells, place
from criticality.systems.dropout import figures as own
from criticality.systems.dropout.phases import UNRESOLVED, phase_diagram
from tests import known_systems as known
from tests.test_phases import CHANCE_LOSS, SIZES, power_laws

RATES = np.array([0.0, 0.2, 0.4, 0.6])


@pytest.fixture(scope="module")
def ds():
    """Dementia above 0.3 at p_train 0, eumentia everywhere at 0.1, amentia at 0.9."""
    rng = np.random.default_rng(0)
    loss = np.concatenate(
        [
            power_laws([-0.2, 0.0, 0.1, 0.2], rng, scatter=0.02, shared=0.5),
            power_laws([-0.3, -0.3, -0.2, -0.1], rng, scatter=0.02),
            CHANCE_LOSS * np.ones((1, 6, 4, 4)) * np.exp(rng.normal(0, 1e-3, (1, 6, 4, 4))),
        ]
    )[..., None]
    accuracy = np.where(np.arange(3) < 2, 0.9, 0.1)[:, None, None, None, None] * np.ones(loss.shape)
    dims = ("p_train", "n_train", "realization", "p_eval", "pass")
    result = xr.Dataset(
        {
            "loss": (dims, loss, {"units": "nat"}),
            "accuracy": (dims, accuracy, {"units": "1"}),
        },
        coords={"p_train": [0.0, 0.1, 0.9], "n_train": SIZES, "p_eval": RATES},
    )
    result["p_train"].attrs = {
        "label": "training dropout",
        "symbol": r"$p_\mathrm{train}$",
        "units": "1",
    }
    return result


@pytest.fixture(scope="module")
def phases(ds):
    return phase_diagram(ds)


def mesh(ax) -> QuadMesh:
    (found,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    return found


def test_a_phase_map_draws_every_cell_and_hatches_the_unresolved(phases):
    ax = figures.phase_map(phases)
    np.testing.assert_array_equal(mesh(ax).get_array(), phases.cells["phase"].values.T)
    hatched = {
        (round(p.get_x() + 0.5), round(p.get_y() / 0.2 + 0.5))
        for p in ax.patches
        if isinstance(p, Rectangle)
    }
    expected = {tuple(cell) for cell in np.argwhere(phases.cells["phase"].values == UNRESOLVED)}
    assert hatched == expected
    assert len(expected) > 0
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words[:4] == ["eumentia", "dementia", "amentia", "unresolved"]
    assert "95" in words[4]


def test_uneven_grids_are_drawn_cell_by_cell_and_say_so(phases):
    ax = own.exponent_map(phases)
    assert "not to scale" in ax.get_xlabel()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "0.1", "0.9"]
    assert "not to scale" not in ax.get_ylabel()
    np.testing.assert_allclose(mesh(ax).get_array(), phases.cells["alpha"].values.T)


def test_the_boundary_is_drawn_where_it_was_found(phases):
    ax = figures.phase_map(phases)
    (line,) = [line for line in ax.lines if line.get_marker() == "o"]
    borders = [b for b in phases.boundaries if b.along == "p_eval"]
    assert line.get_ydata()[0] == pytest.approx(borders[0].estimate.value)
    assert len(line.get_ydata()) == sum(b.status != "amentia" for b in borders)


def test_a_border_without_bounds_is_not_drawn_and_one_beyond_the_grid_is_an_arrow(phases):
    nowhere = dataclasses.replace(
        phases.boundaries[0], estimate=Estimate(value=math.nan, low=-math.inf, high=math.inf)
    )
    beyond = dataclasses.replace(
        phases.boundaries[0], estimate=Estimate(value=math.inf, low=math.inf, high=math.inf)
    )
    assert not figures.phase_map(dataclasses.replace(phases, boundaries=(nowhere,))).lines
    ax = figures.phase_map(dataclasses.replace(phases, boundaries=(beyond,)))
    assert "^" in [line.get_marker() for line in ax.lines]


def test_a_single_value_of_an_axis_is_one_cell():
    array = xr.DataArray([[1.0, 2.0]], dims=("p", "q"), coords={"p": [0.3], "q": [0.0, 0.5]})
    ax = Figure().subplots()
    assert cells(array, ax).get_array().tolist() == [[1.0], [2.0]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.3"]
    assert "not to scale" not in ax.get_xlabel()


def test_an_axis_of_logit_scale_is_drawn_to_scale_with_its_borders_and_values():
    rho = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    axis = ("rho", rho, {"scale": "logit"})
    array = xr.DataArray(np.arange(10.0).reshape(5, 2), dims=("rho", "q"), name="m")
    array = array.assign_coords(rho=axis, q=[0.0, 0.5])
    ax = Figure().subplots()
    edges = cells(array, ax).get_coordinates()[0, :, 0]
    logit = np.log(rho / (1 - rho))
    np.testing.assert_allclose(edges[1:-1], (logit[1:] + logit[:-1]) / 2)
    np.testing.assert_allclose(ax.get_xticks(), logit, atol=1e-12)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.01", "0.1", "0.5", "0.9", "0.99"]
    assert "not to scale" not in ax.get_xlabel()
    assert place(0.75, array["rho"]) == pytest.approx(math.log(3))
    assert place(math.inf, array["rho"]) == pytest.approx(edges[-1])


def test_labels_of_measured_values_do_not_run_together():
    values = np.round(np.geomspace(0.001, 0.9, 30), 4)
    array = xr.DataArray(np.zeros((30, 2)), dims=("p", "q"), coords={"p": values, "q": [0.0, 0.5]})
    ax = Figure().subplots()
    cells(array, ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "0.5"]  # not -0.2: not measured
    shown = [t.get_text() for t in ax.get_xticklabels()]
    assert len(shown) == 30
    assert shown[0] == "0.001"
    assert 20 < len("".join(shown)) < 50


def test_curves_are_means_over_passes_and_realizations_with_standard_errors(ds, phases):
    ax = own.against_probe(ds, phases, 0.0)
    assert len(ax.containers) == len(SIZES)
    data_line, _, (bars,) = ax.containers[0]
    sample = ds["loss"].sel(p_train=0.0, n_train=500).mean("pass")
    np.testing.assert_allclose(data_line.get_ydata(), sample.mean("realization"))
    half = np.array([np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()])
    np.testing.assert_allclose(half, sample.std("realization", ddof=1) / 2, rtol=1e-6)
    assert "(nat)" in ax.get_ylabel()
    assert ax.get_yscale() == "log"


def test_the_crossing_is_at_one_for_all_sizes_where_alpha_vanishes(ds, phases):
    ax = own.crossing(ds, phases, 0.0)
    at_low = [container[0].get_ydata()[0] for container in ax.containers]
    assert at_low == sorted(at_low, reverse=True)
    at_high = [container[0].get_ydata()[-1] for container in ax.containers]
    assert at_high == sorted(at_high)


def test_power_laws_are_drawn_through_the_points_and_dotted_where_they_fail(ds, phases):
    ax = own.against_size(ds, phases, 0.0)
    laws = [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 6]
    mean = ds["loss"].sel(p_train=0.0, p_eval=0.0).mean(["pass", "realization"])
    np.testing.assert_allclose(laws[0].get_ydata(), mean, rtol=0.1)
    bad = dataclasses.replace(phases, cells=phases.cells.copy(deep=True))
    bad.cells["doubted"][:] = True
    styles = {line.get_linestyle() for line in own.against_size(ds, bad, 0.0).lines}
    assert ":" in styles
    assert "-" not in styles


def test_figures_draw_into_given_axes_and_leave_global_settings_alone(ds, phases):
    before = dict(matplotlib.rcParams)
    ax = Figure().subplots()
    assert own.accuracy_map(phases, ax) is ax
    assert own.against_control(ds, 0.2).get_xlabel().startswith("training dropout")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-0.3471, 0.0089, "-0.3471(89)"),
        (0.05, 0.12, "0.05(12)"),
        (1.0, 0.0996, "1.00(10)"),
        (1234.0, 150.0, "1234(150)"),
        (1.0, float("nan"), "1"),
    ],
)
def test_values_carry_their_error_in_the_last_digits(value, error, text):
    assert with_error(value, error) == text


# --- finite-size scaling ---


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    return known.synthetic(
        "algebraic", 0.5, 1.3, **known.STANDARD, noise=0.05, correlation=0.5, rng=rng
    )


@pytest.fixture(scope="module")
def fit(points):
    return collapse(points)


def test_collapsed_points_lie_on_the_master_curve(fit):
    ax = figures.collapsed(fit)
    assert len(ax.containers) == 5
    (master,) = [line for line in ax.lines if len(line.get_xdata()) == 300]
    for container, (x, y, _) in zip(ax.containers, fit.scaled(), strict=True):
        np.testing.assert_allclose(container[0].get_xdata(), x)
        np.testing.assert_allclose(container[0].get_ydata(), y)
        on = np.interp(x, master.get_xdata(), master.get_ydata())
        assert np.abs(y - on).max() < 0.06
    assert "nu" in ax.get_xlabel()


def test_residuals_are_those_of_the_fit(fit):
    ax = figures.residuals(fit)
    drawn = np.concatenate([line.get_ydata() for line in ax.lines[:5]])
    np.testing.assert_allclose(drawn, (fit.data.mean - fit.model.curve(fit.theta)) / fit.data.error)
    assert f"p = {fit.p_value:.2g}" in ax.get_title()


def test_raw_curves_show_the_interval_of_the_critical_point(points, fit):
    ax = figures.curves(points, crossings(points), fit)
    assert any(
        line.get_linestyle() == "--" and line.get_xdata()[0] == fit.values["p_c"]
        for line in ax.lines
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        f"{s:g}" for s in points.sizes
    ]


@pytest.mark.parametrize("name", ["gp", "local-linear"])
def test_the_objective_is_drawn_with_its_minimum(fit, name):
    found = landscape(fit, points=15, objective=name)
    ax = figures.objective(found, fit)
    assert mesh(ax).get_array().shape == (15, 15)
    assert ax.get_xlabel() == "$p_c$"
    assert ax.get_ylabel() == r"$\nu$"


def test_evidence_bars_are_distances_from_the_best(points):
    found = compare(points)
    ax = figures.evidence(found)
    widths = sorted(bar.get_width() for bar in ax.patches if bar.get_height() == 0.6)
    best = found.fits[0].log_evidence
    np.testing.assert_allclose(widths, sorted(best - f.log_evidence for f in found.fits))
    assert found.verdict in ax.get_title()


def test_exponents_are_open_where_curves_do_not_collapse(fit, points):
    wrong = collapse(points, Algebraic(beta=2.0))
    assert not wrong.p_value >= 0.01
    ax = figures.exponents([0.0, 0.1], [fit, wrong])
    faces = [container[0].get_markerfacecolor() for container in ax.containers]
    assert faces == ["#0072b2", "w"]
