"""Whether the question of the collapse is answered rightly where the answer is known."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

from criticality.analysis.breakdown import OrderParameter
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
        lambda w, n: 0.05, lambda w: (w / 8) ** 0.6, lambda w: 0.2 * (w / 8) ** -0.5,
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
        ("magnitude", "drop"): -0.6,
        ("magnitude", "scatter"): -0.5,
        ("saliency", "edges"): 1.0,
        ("random", "drop"): 0.0,
        ("random", "scatter"): 0.0,
        ("random", "edges"): 0.0,
        ("tuned", "density"): -0.5,
    }
    for (protocol, quantity), exponent in truth.items():
        row = answer.power(found, protocol, quantity)
        assert abs(row["value"] - exponent) < 3.5 * row["error"], (protocol, quantity)
        assert row["error"] < 0.25
    half = found["half"]
    mine = half[(half["protocol"] == "random") & (half["order"] == "accuracy")]
    assert len(mine) == len(WIDTHS) * NETWORKS
    assert mine["edges"].mean() == pytest.approx(150, rel=0.1)
    assert mine["conducting"].mean() == pytest.approx(150, rel=0.1)
    assert mine["drop"].mean() == pytest.approx(2 * np.log(3) / 2.2, rel=0.05)


# --- how often the verdict is wrong, of studies like ours ------------------------------------

SIZES = (25, 50, 100, 200, 400)
COUNTS = (8, 8, 8, 6, 4)


def like_ours(rng, sharpness, places=lambda width: 150):
    """Powers of a made-up study with the widths, numbers and scatter of ours."""
    rows = []
    for width, number in zip(SIZES, COUNTS, strict=True):
        units = (784, width, width, width, 10)
        density = np.tile(np.exp(-np.arange(185) / 16), (number, 1))
        x = np.log(density * (784 * width + 2 * width**2 + 10 * width) / places(width))
        x -= 0.16 * rng.normal(size=(number, 1))
        left = expit(2.2 * sharpness(width) * np.exp(0.15 * rng.normal(size=(number, 1))) * x)
        left += 0.03 * rng.normal(size=left.shape) * (left > 0.01)
        order = OrderParameter(
            name="accuracy", along="density", control=density, values=left, scale="log"
        )
        none = np.zeros((number, 185, 4))
        curves = measured.Curves(units, density[0], none, none, none, {"accuracy": order})
        rows += list(measured._halves(("magnitude", measured.DATA, width), curves))
    return {"powers": pd.DataFrame(measured._powers(pd.DataFrame(rows)))}


def claims(draws, sharpness, seed=0, **more):
    """Shares of studies that are said to be a transition, and none."""
    rng = np.random.default_rng(seed)
    said = [answer.verdict(like_ours(rng, sharpness, **more), "magnitude") for _ in range(draws)]
    return said.count(answer.TRANSITION) / draws, said.count(answer.NONE) / draws


def power_of(exponent):
    return lambda width: (width / 25) ** exponent


def ending(width_0, power=1):
    """A range that shrinks to a constant."""
    return lambda width: (1 + (width_0 / 25) ** power) / (1 + (width_0 / width) ** power)


def test_of_what_sharpens_and_what_does_not_the_right_thing_is_said():
    yes, no = claims(12, power_of(0.5))
    assert yes >= 0.5
    assert no == 0
    yes, no = claims(12, power_of(0))
    assert yes <= 1 / 12
    assert no >= 0.75


@pytest.mark.slow
def test_the_verdict_is_wrong_as_seldom_as_it_says():
    def at_density(width):
        return 0.005 * (784 + 2 * width) * width

    def rising(width):
        return 150 * (width / 25) ** 0.5

    assert claims(100, power_of(0))[0] <= 0.05
    assert claims(100, power_of(0))[1] >= 0.9
    assert claims(100, power_of(0), places=at_density)[1] >= 0.9
    for exponent in (1 / 3, 0.5):  # what is excluded must not be there
        yes, no = claims(100, power_of(exponent), places=at_density)
        assert yes >= 0.55
        assert no <= 0.05
    yes, no = claims(100, power_of(0.2))  # on the border nothing is claimed often
    assert yes <= 0.5
    assert no <= 0.35
    for width in (25, 75, 200):  # crossovers
        assert claims(100, ending(width))[0] <= 0.07
    assert claims(100, ending(25, 0.5))[0] <= 0.25
    # sharper and sharper, but at no place of its own
    assert claims(100, power_of(0.5), places=rising)[0] <= 0.03


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
    assert "random: no transition as sharp as" in text
    assert len(draw(found).axes) == 8
    few = {
        name: table[(table["protocol"] != "equal") | (table["width"] < 20)]
        if {"protocol", "width"} <= set(table)
        else table
        for name, table in found.items()
    }
    assert say(few).count("W = 8, 16 (n = 8, 8)") == 1
    few["sizes"] = few["sizes"][few["sizes"]["protocol"] != "tuned"]
    assert "4 x tuning: no networks yet" in say(few)
    assert len(draw(few).axes) == 8


@pytest.mark.slow
def test_the_quick_study_finds_that_nothing_sharpens(tmp_path):
    from criticality import run
    from criticality.papers import entry, make

    collapse = entry("findings/collapse")
    for stem, plan in collapse.plans("quick").items():
        run(plan, tmp_path / "quick" / stem)
    tables, _ = make.measured(collapse, "quick", tmp_path)
    assert answer.verdict(tables, "magnitude") == answer.NONE
    assert answer.verdict(tables, "equal") != answer.TRANSITION
    assert answer.power(tables, "magnitude", "density")["high"] < 0
    assert answer.power(tables, "saliency", "density")["high"] < -0.3
    assert abs(answer.power(tables, "saliency", "edges")["value"]) < 0.3
    sizes = tables["sizes"]
    halves = sizes[(sizes["protocol"] == "equal") & (sizes["source"] == measured.DATA)]
    halves = halves[(halves["quantity"] == "edges") & (halves["order"] == "accuracy")]
    halves = halves.set_index("width")["value"]
    assert halves[64] > 1.5 * halves[16]  # equal steps: not even a number of edges
    edges = sizes[(sizes["quantity"] == "edges") & (sizes["order"] == "outputs")]
    edges = edges.set_index(["protocol", "source", "width"])["value"]
    for width in (16, 32, 64):
        # random pruning is percolation; magnitude keeps paths together
        random = edges["random", :, width]
        assert random["networks"] == pytest.approx(random["graphs"], rel=0.35)
        assert edges["saliency", "networks", width] < edges["saliency", "graphs", width]
        assert edges["magnitude", "networks", width] < edges["random", "networks", width] / 3
