"""Figures of scaling take their words from the data; short logarithmic axes are labelled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from criticality import Algebraic, ScalingData, collapse, crossings, figures
from criticality.analysis.scaling import choices, marginal
from criticality.figures.parts import plain
from tests import known_systems as known


@pytest.mark.parametrize("ratio", [1.03, 1.4, 3.0, 8.0, 40.0, 150.0, 1e6])
@pytest.mark.parametrize("low", [0.62, 1.0, 97.0, 0.00031])
@pytest.mark.parametrize("name", ["x", "y"])
def test_a_logarithmic_axis_has_three_labels_however_short(name, low, ratio):
    figure = Figure(figsize=(4, 3.6))
    ax = figure.subplots()
    ax.set(**{f"{name}scale": "log", f"{name}lim": (low, ratio * low)})
    axis = getattr(ax, f"{name}axis")
    plain(axis)
    figure.draw_without_rendering()
    shown = {
        tick.label1.get_text(): tick.get_loc()
        for tick in axis.get_major_ticks()
        if low <= tick.get_loc() <= ratio * low
    }
    assert 3 <= len(shown) <= 10
    for text, place in shown.items():
        assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(place, rel=1e-4)


def test_an_axis_that_grows_turned_around_is_labelled_too():
    figure = Figure()
    ax = figure.subplots()
    ax.set(yscale="log", ylim=(2.0, 0.9))
    plain(ax.yaxis)
    assert sum(0.9 <= place <= 2.0 for place in ax.get_yticks()) >= 3


@pytest.fixture(scope="module")
def stored():
    """A data set whose attributes say what its axes are called."""
    points = known.synthetic(
        "algebraic", 0.5, 1.3, **known.STANDARD, noise=0.05, correlation=0.0,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    samples = np.stack([curve.samples for curve in points.curves])
    ds = xr.Dataset(
        {"m": (("L", "realization", "T"), samples, {"label": "magnetisation", "units": "J"})},
        coords={"L": points.sizes, "T": points.curves[0].control},
    )
    ds["T"].attrs["symbol"] = r"$T/T_0$"
    return ds


def test_axes_are_called_what_the_data_call_them(stored):
    data = ScalingData.from_dataset(stored, "T", "L", "m")
    ax = figures.curves(data)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"$T/T_0$", "magnetisation (J)")
    assert ax.get_legend().get_title().get_text() == "$L$"
    assert data.restrict(size_min=1000).labels == data.labels
    plain_names = dataclasses.replace(data, labels=None)
    assert figures.curves(plain_names).get_xlabel() == "$T$"
    fit = collapse(data, Algebraic(beta=0.2))
    scaled = figures.collapsed(fit)
    assert scaled.get_xlabel() == r"$(T/T_0 - p_c)\,L^{1/\nu}$"
    assert scaled.get_ylabel() == r"magnetisation (J) $\times\ L^{\,\beta/\nu}$"


def test_only_clean_crossings_are_marked(stored):
    data = ScalingData.from_dataset(stored, "T", "L", "m")
    found = crossings(data, draws=60)
    clean = [crossing.at.value for crossing in found.crossings if not crossing.flags]
    ax = figures.curves(data, found)
    marked = [line.get_xdata()[0] for line in ax.lines if str(line.get_markerfacecolor()) == "w"]
    assert marked == pytest.approx(clean)
    assert len(clean) > 0


def test_choices_are_drawn_with_their_share(stored):
    points = ScalingData.from_dataset(stored, "T", "L", "m")
    made = choices(points, half_widths=(0.2, 0.1), size_min=(500,))
    found = marginal(points, made=made)
    ax = figures.choices(found, "p_c", Figure().subplots())
    _, size, _ = points.labels
    assert size in ax.get_xlabel()
    drawn = [part for part in ax.collections if isinstance(part, PathCollection)]
    shown = sorted((float(part.get_offsets()[0, 1]), part.get_sizes()[0]) for part in drawn)
    fits = zip(found.fits, found.weights, strict=True)
    expected = sorted((fit.values["p_c"], 15 + 150 * weight) for fit, weight in fits)
    np.testing.assert_allclose(shown, expected)
    assert len(ax.get_legend().get_texts()) == len({c.control_range for c in made})
