"""The figures of Pan, Aggarwal and Pixley: what was put in is found, and what is kept is said."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality import data, phase_diagram
from criticality.analysis.scaling import choices
from criticality.base import axes
from criticality.papers import diagrams, entry, names, tables
from criticality.papers.findings.line import curves_of
from criticality.papers.pan2026 import line
from criticality.systems import DropoutNetwork

mpl.use("Agg")
SIZES = np.array([500, 1000, 2000, 4000, 8000, 16000])
PROBES = np.round(np.arange(0.02, 0.99, 0.04), 2)
RATES = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.3, 0.95])
FIGURES = [name for name in names() if name.startswith("pan2026/")]


class MadeUp:
    """Losses f(p_eval) N^alpha, alpha = 0.3 (p_eval - 0.5 - 2 p_train); at 0.95 ln 10."""

    def __init__(self, scatter=0.03, networks=8, probes=PROBES, nu=None, **swept):
        rng = np.random.default_rng(0)
        probes = np.append(0.0, probes)
        rate, size, _, probe = np.meshgrid(RATES, SIZES, np.arange(networks), probes, indexing="ij")
        loss = np.exp(3 * probe) * (size / 3000) ** (0.3 * (probe - 0.5 - 2 * rate))
        if nu is not None:  # a collapse, without any other dependence
            loss = 4 + np.tanh((probe - 0.5) * (size / 3000) ** (1 / nu))
        accuracy = 0.95 - 0.8 * probe**4
        for values, nothing in ((loss, math.log(10)), (accuracy, 0.1)):
            values *= np.exp(scatter * rng.normal(size=(*rate.shape[:3], 1)))
            values *= np.exp(scatter / 3 * rng.normal(size=rate.shape))
            values[rate == 0.95] = nothing * (1 + 1e-4 * rng.normal(size=(rate == 0.95).sum()))
        dims = ("p_train", "n_train", "realization", "p_eval", "pass")
        self.ds = xr.Dataset(
            {"loss": (dims, loss[..., None]), "accuracy": (dims, accuracy[..., None])},
            coords={"p_train": RATES, "n_train": SIZES, "p_eval": probes},
            attrs={"system": "dropout"},
        )
        for name, about in axes(DropoutNetwork).items():
            if name in self.ds.coords:
                self.ds[name].attrs = {"symbol": about.symbol, "units": about.unit}
        for name, values in swept.items():
            self.ds = self.ds.expand_dims({name: values})

    def open(self, observables):
        return self.ds[observables]


def stores(stems, **options):
    swept = {"pan_depth": {"depth": [2, 3]}, "pan_width": {"width": [50, 100]}}
    return {stem: MadeUp(**options, **swept.get(stem, {})) for stem in stems}


def measured(name, **options):
    one = entry(f"pan2026/{name}")
    return one, tables.as_kept(one.measure(stores(one.studies, **options)))


def test_full_size_reaches_the_whole_training_set():
    for name in FIGURES:
        for plan in entry(name).plans("full").values():
            left = data.shape("mnist").train - plan.system.n_validation
            assert max(plan.grid["n_train"]) == left


@pytest.mark.parametrize("name", ["fig7", "fig4", "fig15"])
def test_rates_of_the_figures_are_in_both_studies(name):
    for scale in ("quick", "full"):
        (plan,) = entry(f"pan2026/{name}").plans(scale).values()
        assert set(line.RATES) <= set(plan.grid["p_train"])


def test_a_diagram_comes_back_from_its_tables():
    diagram = phase_diagram(MadeUp().ds)
    cells = pd.DataFrame(diagrams.cell_rows(diagram, ("alpha", "alpha_error", "doubted")))
    borders = pd.DataFrame(diagrams.border_rows(diagram.boundaries))
    kept = tables.as_kept({"cells": cells, "borders": borders})
    back = diagrams.diagram_of(kept["cells"], kept["borders"], DropoutNetwork)
    for name in ("phase", "doubted"):
        np.testing.assert_array_equal(back.cells[name], diagram.cells[name])
    np.testing.assert_allclose(back.cells["alpha"], diagram.cells["alpha"], rtol=1e-5)
    for one, other in zip(back.boundaries, diagram.boundaries, strict=True):
        assert (one.along, one.at, one.clean) == (other.along, other.at, other.clean)
        ends = [[getattr(b.estimate, e) for e in ("value", "low", "high")] for b in (one, other)]
        np.testing.assert_allclose(*ends, rtol=1e-5)


def test_phases_and_line_that_were_put_in_are_drawn_and_said():
    one, found = measured("fig2")
    cells = found["cells"].set_index(["p_train", "p_eval"])
    assert (cells["phase"].loc[0.95] == "amentia").all()
    assert cells.loc[(0.0, 0.1), "phase"] == "eumentia"
    assert cells.loc[(0.0, 0.9), "phase"] == "dementia"
    lines = found["borders"].query("along == 'p_eval'").set_index("at")
    for rate in (0.0, 0.02, 0.1):
        assert lines["low"][rate] < 0.5 + 2 * rate < lines["high"][rate]
    assert "p_train = 0.02: alpha = 0 at p_eval = 0.5" in one.say(found)
    assert len(one.draw(found).axes) == 5  # three maps, two colour bars


def test_the_cut_crosses_where_the_exponent_changes_its_sign():
    one, found = measured("fig3", probes=np.array([0.4, 0.8]))
    (crossing,) = found["crossing"].to_dict("records")
    assert crossing["low"] < 0.15 < crossing["high"]
    laws = found["laws"].set_index("p_train")
    pulls = (laws["alpha"] - 0.3 * (0.3 - 2 * laws.index)) / laws["alpha_error"]
    assert pulls[RATES[:-1]].abs().max() < 4
    assert list(laws.loc[[0.0, 0.3, 0.95], "phase"]) == ["dementia", "eumentia", "amentia"]
    one.draw(found)


def test_every_shape_has_its_map():
    one, found = measured("fig6")
    drawn = [ax.get_title() for ax in one.draw(found).axes]
    assert drawn == ["depth 2", "depth 3", "width 50", "width 100"]
    assert one.say(found).count("amentia 26, dementia") == 4


def test_cumulants_of_gaussian_networks_are_three():
    one, found = measured("fig5", networks=40)
    means = found["means"].set_index("where")
    for phase in ("eumentia", "dementia"):
        pull = (means.loc[phase, "kurtosis"] - 3) / means.loc[phase, "kurtosis_error"]
        assert abs(pull) < 4
        assert means.loc[phase, "kurtosis_error"] < 1
    one.draw(found)


@pytest.mark.parametrize(
    ("centre", "ends"), [(0.5, (0.34, 0.66)), (0.1, (0.02, 0.34)), (math.nan, (0.66, 0.98))]
)
def test_curves_are_collapsed_about_the_line_or_at_the_end_of_the_grid(centre, ends):
    np.testing.assert_allclose(line.place(centre, PROBES), ends)


def test_the_collapse_that_was_put_in_is_found_and_its_contour_closed(monkeypatch):
    """nu = 4 at p_c = 0.5; ours with one choice, since all of them take long."""

    def question(ds):
        curves = curves_of(ds.sel(p_eval=PROBES[4::3]))
        return curves, choices(curves, half_widths=(0.3,), centres=(0.5,), size_min=[500])[:1]

    monkeypatch.setattr(line, "question", question)
    one, found = measured("fig11", nu=4.0, scatter=0.003)
    by = line.rows_of(found, line.PAPER)
    for name, truth in (("p_c", 0.5), ("nu", 4.0)):
        assert abs(by[name]["value"] - truth) < 4 * by[name]["error"]
        assert by[name]["low"] < by[name]["value"] < by[name]["high"] < math.inf
    assert by["chi2/dof"]["value"] < 5
    assert "closed" in one.say(found)
    one.draw(found)


def test_the_kept_numbers_show_what_the_page_says_of_them():
    kept = {
        name: tables.read(entry(f"pan2026/{name}").kept)[0] for name in ("fig2", "fig3", "fig4")
    }
    cells = kept["fig2"]["cells"]
    pulls = (cells["alpha"] / cells["alpha_error"]).groupby(cells["phase"])
    assert pulls.max()["eumentia"] < -2 < 2 < pulls.min()["dementia"]
    assert set(cells[cells["phase"] == "amentia"]["p_train"]) == {0.95}
    assert set(cells[cells["phase"] == "dementia"]["p_train"]) == {0.0}
    (crossing,) = kept["fig3"]["crossing"].to_dict("records")
    assert 0 < crossing["low"] < crossing["value"] < crossing["high"] < 0.05
    sigma = kept["fig4"]["along"].query("parameter == 'sigma'").groupby("by")
    assert sigma["low"].min()[line.PAPER] > 0.5
    ours = sigma.get_group(line.OURS)
    assert ((ours["low"] < 0.5) & (ours["high"] > 0.5)).all()  # the standard one is not excluded
    assert line.rows_of(kept["fig4"], line.OURS)["ln Z"]["value"] < 5


def test_an_exponent_whose_contour_is_cut_at_a_bound_of_p_c_has_no_upper_end():
    numbers = tables.read(entry("pan2026/fig10").kept)[0]["numbers"]
    ends = line.opened(numbers).query("by == 'paper'").set_index("parameter")["high"]
    assert np.isinf(ends[["p_c", "sigma"]]).all()
    numbers = tables.read(entry("pan2026/fig4").kept)[0]["numbers"]
    pd.testing.assert_frame_equal(line.opened(numbers), numbers)  # closed
