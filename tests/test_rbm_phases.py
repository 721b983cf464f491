"""The phases of the RBM against what is known: Curie-Weiss, Hopfield, replica symmetry."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from scipy.optimize import brentq

from criticality import Study, run
from criticality.analysis import scaling
from criticality.analysis.classify import values
from criticality.analysis.limits import limits
from criticality.base import canonical
from criticality.figures.book import Book
from criticality.results import Results
from criticality.systems import RBM
from criticality.systems.rbm import figures, phases, theory


def study(grid, realizations=6, **controls):
    first = {name: values[0] for name, values in grid.items()}
    return Study(
        system=canonical(RBM(), **(controls | first)), grid=grid, realizations=realizations
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Store of two priors around the three phases."""
    grid = {
        "prior": ["gaussian", "ternary"],
        "load": [0.04, 0.6],
        "temperature": [0.3, 0.6, 3.0],
        "spins": [50, 200],
    }
    path = tmp_path_factory.mktemp("rbm") / "store"
    run(study(grid, equilibration=150, sweeps=150), path, workers=1)
    return path


def test_phases_are_those_of_the_theory_far_from_its_lines(small):
    results = Results(small, None)
    found = {prior: results.diagram({"prior": prior}) for prior in ("gaussian", "ternary")}

    def name(prior, **at):
        return found[prior].phase(int(found[prior].cells["phase"].sel(at))).name

    assert name("gaussian", load=0.04, temperature=0.3) == "retrieval"
    assert name("gaussian", load=0.6, temperature=0.6) == "spin glass"
    assert name("gaussian", load=0.6, temperature=3.0) == "paramagnet"
    assert name("gaussian", load=0.04, temperature=3.0) == "paramagnet"
    # bounded units have no retrieval at x = 1/2, and freeze below alpha^(1/4) at most
    assert "retrieval" not in {name("ternary", load=0.04, temperature=t) for t in (0.3, 0.6, 3.0)}
    assert name("ternary", load=0.6, temperature=3.0) == "paramagnet"
    doubted = found["gaussian"].cells["doubted"]
    assert not doubted.sel(temperature=3.0).any()  # decided in a few sweeps
    assert doubted.sel(load=0.6, temperature=0.6)  # a glass


def test_pages_have_the_lines_of_the_theory_and_the_phases(small):
    book = Book()
    figures.pages(Results(small, None), book, {})
    assert set(book.pages) == {"phases", "theory", "curves", "sizes"}
    labels = {text.get_text() for text in book.pages["theory"].legends[0].get_texts()}
    assert {"metastable retrieval (theory)", "global retrieval (theory)"} <= labels
    assert {"retrieval", "spin glass", "paramagnet"} <= labels
    figure = book.pages["theory"]
    figure.canvas.draw()
    window = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= window.x0 < window.x1 <= figure.bbox.x1


def test_a_loop_says_of_which_point_it_is(small):
    ds = Results(small, None).open().isel(annealing=[0, 0])
    ax = figures.loop(ds, "energy", {"load": "0.04"})
    said = "prior = ternary, $\\alpha$ = 0.04, $T$ = 3"
    assert said in ax.get_title()


def line(ax, name):
    return next(one for one in ax.lines if one.get_label() == f"{name} (theory)").get_xydata()


def test_lines_of_the_theory_stand_where_its_numbers_are():
    plane = xr.Dataset(coords={"load": [0.02, 0.08, 0.14], "temperature": [0.1, 0.5, 0.9]})
    ax = Figure().subplots()
    loads, temperatures = np.array([0.13, 0.06, 0.01]), np.array([0.2, 0.6, 0.8])
    figures._line(ax, loads, temperatures, plane, 0)
    np.testing.assert_allclose(line(ax, "metastable retrieval"), [[0.13, 0.2], [0.06, 0.6]])
    # at any load up to a temperature: a line across
    ax = Figure().subplots()
    figures._line(ax, np.array([np.inf, np.inf, np.nan]), temperatures, plane, 1)
    drawn = line(ax, "global retrieval")
    assert drawn[-2:, 1] == pytest.approx([0.6, 0.6])
    assert drawn[-1, 0] < 0.02 < 0.14 < drawn[-2, 0]
    # at any load at all temperatures of the plane: none across, since nothing is lost
    ax = Figure().subplots()
    figures._line(ax, np.full(3, np.inf), temperatures, plane, 1)
    assert not ax.lines


def test_what_decides_is_of_the_right_start_and_the_end_of_the_annealing():
    dims = ("start", "annealing", "realization")
    table = np.arange(12.0).reshape(2, 2, 3)
    ds = xr.Dataset(
        {
            "overlap": (dims, table),
            "glassiness": (dims, table + 100),
            "long_enough": (dims, np.array([[[1, 1, 1], [1, 0, 1]], [[0, 0, 0], [1, 1, 1]]])),
            "starts_agree": (dims[1:], np.array([[0, 0, 0], [1, 1, 0]])),
        },
        coords={"start": [1.0, 0.0], "annealing": [2.0, 1.0]},
    )
    assert list(phases.retrieval(ds)) == [3, 4, 5]
    assert list(phases.glass(ds)) == [109, 110, 111]
    assert list(phases.equilibrated(ds)) == [1, 0, 0]


@pytest.mark.parametrize(
    ("prior", "controls", "load", "temperature"),
    [
        ("gaussian", {}, 0.05, 0.4),
        ("relu", {"threshold": 0.5}, 0.2, 0.3),
        ("ternary", {"scaling": 0.0, "threshold": 0.4}, 0.3, 0.8),
        ("binary", {"scaling": 0.0, "threshold": 0.4, "bias": -1.0}, 0.3, 1.6),
    ],
)
def test_the_overlap_kept_is_that_of_the_theory(prior, controls, load, temperature, tmp_path):
    grid = {"spins": [200, 800]}
    fixed = {"prior": prior, "load": load, "temperature": temperature, **controls}
    ds = run(study(grid, 8, start=(1.0,), copies=4, **fixed), tmp_path / "s", workers=1)
    kept = ds["overlap"].squeeze(["start", "annealing"]).to_dataset(name="m")
    found = limits(values(kept, "m"), "m", "spins", correction=1.0)
    truth = theory.solve(theory.Model(prior=prior, **controls), temperature, load).m
    assert abs(found["limit"] - truth) < 4 * found["limit_error"] + 1e-3
    assert found["limit_error"] < 0.02


@pytest.mark.parametrize("prior", ["gaussian", "relu"])
def test_of_one_pattern_the_overlap_is_that_of_curie_and_weiss(prior, tmp_path):
    grid = {"temperature": [0.4, 0.7]}
    fixed = {"prior": prior, "patterns": 1, "spins": 2000, "start": (1.0,), "copies": 4}
    ds = run(study(grid, 4, **fixed), tmp_path / "s", workers=1)
    for temperature in grid["temperature"]:
        truth = brentq(lambda m, t=temperature: np.tanh(m / t) - m, 0.1, 1)
        m = ds["overlap"].sel(temperature=temperature).values.ravel()
        assert m.mean() == pytest.approx(truth, abs=4 * m.std(ddof=1) / 2 + 5e-4)


@pytest.mark.slow
def test_critical_temperature_of_one_pattern_by_crossings_of_binder_cumulants(tmp_path):
    grid = {"spins": [64, 128, 256, 512, 1024], "temperature": [0.94, 0.97, 1.0, 1.03, 1.06]}
    fixed = {"patterns": 1, "start": (1.0,), "equilibration": 500, "sweeps": 4000}
    ds = run(study(grid, 24, **fixed), tmp_path / "s")
    curves = ds["binder"].squeeze(["start", "annealing"], drop=True).to_dataset()
    data = scaling.ScalingData.from_dataset(curves, "temperature", "spins", "binder")
    power = scaling.crossings(data).extrapolations[0].params["p_c"]
    assert power.low < 1 < power.high
    assert power.error < 0.01
