"""Whether the question of the collapse is answered rightly where the answer is known."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit

from criticality.papers.findings.collapse import answer, draw, measured, say

WIDTHS = (8, 16, 32, 64, 128)
STEPS = 72
NETWORKS = 8
INPUTS, OUTPUTS = 30, 10


def made_up(place, sharpness, scatter, seed):
    """Networks whose accuracy falls at a density `place(W)`, within 1/`sharpness(W)` in its log."""
    rng = np.random.default_rng(seed)
    step = np.arange(STEPS + 1)
    parts = []
    for width in WIDTHS:
        layers = np.array([INPUTS * width, width**2, width**2, OUTPUTS * width])
        edges = np.rint(layers * np.exp(-step[:, None] / 9))
        density = edges.sum(axis=1) / layers.sum()
        off = scatter(width) * rng.normal(size=(NETWORKS, 1))
        x = np.log(np.maximum(density, 1e-9) / place(width, layers.sum())) - off
        left = expit(2.2 * sharpness(width) * x)
        noise = 0.03 * rng.normal(size=left.shape) * (left > 0.01)
        units = np.tile([INPUTS, width, width, width, OUTPUTS], (STEPS + 1, 1))
        along = ("realization", "step")
        same = (NETWORKS, 1, 1)
        parts.append(
            xr.Dataset(
                {
                    "accuracy": (along, 0.1 + 0.88 * left + noise),
                    "prediction_entropy": (along, np.log(10) * left),
                    "density": (along, np.tile(density, (NETWORKS, 1))),
                    "edges": ((*along, "layer"), np.tile(edges, same)),
                    "conducting": ((*along, "layer"), np.tile(edges, same)),
                    "live_units": ((*along, "unit_layer"), np.tile(units.astype(float), same)),
                },
                {"step": step, "width": width},
            )
        )
    return xr.concat(parts, "width")


TRUTHS = {
    "a transition at a density": (
        lambda w, n: 0.05, lambda w: (w / 8) ** 0.5, lambda w: 0.2 * (w / 8) ** -0.5,
    ),
    "a crossover at a number for each unit, whose sharpening ends": (
        lambda w, n: 30 * w / n, lambda w: 2 / (1 + 8 / w), lambda w: 0.15,
    ),
    "a number of edges, never sharper": (
        lambda w, n: 150 / n, lambda w: 1.0, lambda w: 0.15,
    ),
    "nothing that converges, never sharper": (
        lambda w, n: 0.2 * (w / 8) ** -0.5, lambda w: 1.0, lambda w: 0.15,
    ),
}  # fmt: skip
NUMBER = "a number of edges, never sharper"


@pytest.fixture(scope="module")
def found():
    """Tables of one truth for each of the first four protocols; the fifth repeats one."""

    class Made:
        def __init__(self, truth, seed):
            self.ds = made_up(*truth, seed)

        def open(self, observables):
            return self.ds[list(observables)]

    truths = [*TRUTHS.values(), TRUTHS[NUMBER]]
    made = {
        f"collapse_{protocol}": Made(truth, seed)
        for seed, (protocol, truth) in enumerate(zip(measured.PROTOCOLS, truths, strict=True))
    }
    patch = pytest.MonkeyPatch()
    patch.setattr(measured, "GRAPHS", 8)
    yield measured.measure(made)
    patch.undo()


@pytest.mark.parametrize(
    ("protocol", "verdict", "places"),
    [
        ("magnitude", answer.TRANSITION, ("density",)),
        ("saliency", answer.UNDECIDED, ("edges_per_unit",)),
        ("random", answer.NONE, ("edges",)),
        ("tuned", answer.NONE, ()),
        ("equal", answer.NONE, ("edges",)),
    ],
)
def test_the_answer_is_what_was_put_in(found, protocol, verdict, places):
    assert answer.converging(found, protocol) == places
    assert answer.verdict(found, protocol) == verdict


def test_exponents_are_what_was_put_in(found):
    truth = {
        ("magnitude", "drop"): -0.5,
        ("magnitude", "scatter"): -0.5,
        ("saliency", "edges"): 1.0,
        ("random", "drop"): 0.0,
        ("random", "scatter"): 0.0,
        ("random", "edges"): 0.0,
        ("tuned", "density"): -0.5,
    }
    for (protocol, quantity), exponent in truth.items():
        row = answer.power(found, protocol, quantity)
        assert abs(row["exponent"] - exponent) < 3.5 * row["error"], (protocol, quantity)
        assert row["error"] < 0.2
    half = found["half"]
    mine = half[(half["protocol"] == "random") & (half["order"] == "accuracy")]
    assert len(mine) == len(WIDTHS) * NETWORKS
    assert mine["edges"].mean() == pytest.approx(150, rel=0.1)
    assert mine["conducting"].mean() == pytest.approx(150, rel=0.1)
    assert mine["drop"].mean() == pytest.approx(2 * np.log(3) / 2.2, rel=0.05)


def test_curves_are_scaled_against_every_control_on_the_same_points(found):
    evidence = found["evidence"]
    for protocol in measured.COMPARED:
        mine = evidence[evidence["protocol"] == protocol]
        assert set(mine["control"]) == set(measured.CONTROLS)
    at = found["crossings"].set_index(["protocol", "control"])["flags"]
    assert set(at["random", "edges"]) <= {"flat", "touching"}  # one curve has no crossings
    named = evidence[evidence["family"] != "free"]
    best = named.loc[named.groupby("protocol")["log_evidence"].idxmax()].set_index("protocol")
    chosen = best[["control", "family"]].apply(tuple, axis=1).to_dict()
    assert chosen["magnitude"] == ("density", "algebraic")
    assert chosen["saliency"][0] == "edges_per_unit"
    assert chosen["random"][0] == "edges"
    assert chosen["random"][1] in ("no transition", "smooth exponent")


def test_networks_that_do_not_finish_are_left_out():
    ds = made_up(*TRUTHS["a transition at a density"], 0).sel(width=16)
    ds["accuracy"][2, 5] = np.nan
    curves = measured.networks(ds)
    assert len(curves.edges) == NETWORKS - 1
    assert curves.units == (INPUTS, 16, 16, 16, OUTPUTS)
    assert curves.places == ds["edges"][0, 0].sum()


def test_graphs_have_the_edges_of_the_networks():
    ds = made_up(*TRUTHS["a transition at a density"], 0).sel(width=16)
    curves = measured.networks(ds)
    null = measured.graphs(curves, 2 * NETWORKS)
    np.testing.assert_array_equal(null.edges[:NETWORKS], curves.edges)
    assert (null.conducting <= null.edges).all()
    assert (null.live[:, 0, -1] == OUTPUTS).all()
    assert null.live[:, -1, -1].max() < OUTPUTS
    assert null.live[:, :, -1].std(axis=0).max() > 0  # each is another graph


def test_it_is_drawn_and_said_from_the_tables(found):
    text = say(found)
    assert "magnitude: transition" in text
    assert "saliency: undecided" in text
    assert "random: no transition" in text
    assert len(draw(found).axes) == 6
    few = {
        name: table[(table["protocol"] != "equal") | (table["width"] < 20)]
        if {"protocol", "width"} <= set(table)
        else table
        for name, table in found.items()
    }
    assert "equal steps: too few networks" in say(few)
    few["sizes"] = few["sizes"][few["sizes"]["protocol"] != "tuned"]
    assert len(draw(few).axes) == 6


@pytest.mark.slow
def test_the_quick_study_finds_that_nothing_sharpens(tmp_path):
    from criticality import run
    from criticality.papers import entry, make

    collapse = entry("findings/collapse")
    for stem, plan in collapse.plans("quick").items():
        run(plan, tmp_path / "quick" / stem)
    tables, _ = make.measured(collapse, "quick", tmp_path)
    for protocol in measured.PROTOCOLS:
        assert answer.verdict(tables, protocol) != answer.TRANSITION
    sizes = tables["sizes"]
    edges = sizes[(sizes["quantity"] == "edges") & (sizes["order"] == "outputs")]
    edges = edges.set_index(["protocol", "source", "width"])["value"]
    for width in (16, 32, 64):
        # random pruning is percolation; magnitude keeps paths together
        random = edges["random", :, width]
        assert random["networks"] == pytest.approx(random["graphs"], rel=0.35)
        assert edges["saliency", "networks", width] < edges["saliency", "graphs", width]
        assert edges["magnitude", "networks", width] < edges["random", "networks", width] / 3
