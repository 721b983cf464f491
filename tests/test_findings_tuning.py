"""Why more fine-tuning collapses earlier: made-up networks with known answers, and a quick run."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from criticality.base import Estimate
from criticality.papers import entry, tables
from criticality.papers.findings import tuning
from tests.own import command
from tests.pruning_data import pruning

__all__ = ["command"]
EFFECT = math.log(3)
FIRST = {"few": 0.4, "many": 0.7}  # share of the first layer
SLOPE = EFFECT / (FIRST["many"] - FIRST["few"])  # so that it accounts for the whole effect


def networks(rng, left, *, n=6, effect=EFFECT, by_share=1.0, noise=0.08):
    """Half-way densities of networks on which every treatment leaves such a share of the effect.

    Of the effect itself, `by_share` goes by the share of the first layer, the rest does not.
    """
    rows = []

    def add(variant, arm, mean, first):
        for realization, away in enumerate(rng.normal(0, noise, n)):
            rows.append(
                {
                    "variant": variant,
                    "arm": arm,
                    "realization": realization,
                    "half": 0.003 * math.exp(mean + away),
                    "first": first,
                    "first_sparse": first,
                    "conducting": 0.8,
                    "dense_accuracy": 0.95,
                }
            )

    shifts = {"few": 0.0, "many": effect}
    for arm, shift in shifts.items():
        add(tuning.BASE, arm, shift, FIRST[arm])
        for factor, away in ((0.5, -0.35), (2.0, 0.35)):
            moved = by_share * effect / EFFECT * SLOPE * away
            add(f"first {factor:g}", arm, shift + moved, FIRST[arm] + away)
    for prediction in tuning.PREDICTIONS:
        variant, arm = prediction.one
        if variant.endswith("as other"):
            continue
        share = left(prediction)
        if prediction.other == (tuning.BASE, "few"):
            if not any(row["variant"] == variant and row["arm"] == arm for row in rows):
                add(variant, arm, share * effect, 0.5)
        else:
            below = effect if variant == "layer" else 0.0  # of its few: of another prediction
            add(variant, "few", below, 0.5)
            add(variant, "many", below + share * effect, 0.5)
    return pd.DataFrame(rows).drop_duplicates(["variant", "arm", "realization"])


def verdicts(found):
    return dict(zip(found["name"], found["verdict"], strict=True))


def test_an_explanation_that_holds_survives():
    found = tuning.judged(networks(np.random.default_rng(0), lambda p: 0.0 if p.gone else 1.0))
    assert len(found) == len(tuning.PREDICTIONS)
    assert set(verdicts(found).values()) == {"survived"}
    assert ((found["low"] < found["left"]) & (found["left"] < found["high"])).all()


def test_one_that_is_wrong_is_refuted_everywhere():
    made = networks(np.random.default_rng(1), lambda p: 1.0 if p.gone else 0.0, by_share=0.0)
    made.loc[(made["variant"] == "layer") & (made["arm"] == "few"), "half"] = 0.003 * np.exp(
        np.random.default_rng(2).normal(0, 0.08, 6)
    )
    made.loc[(made["variant"] == "layer") & (made["arm"] == "many"), "half"] *= math.exp(-EFFECT)
    found = tuning.judged(made)
    assert set(verdicts(found).values()) == {"refuted"}


def test_without_an_effect_nothing_is_decided():
    decided = 0
    for seed in range(20):
        made = networks(np.random.default_rng(seed), lambda p: 0.0 if p.gone else 1.0, effect=0.0)
        decided += (tuning.judged(made)["verdict"] != "undecided").sum()
    assert decided < 0.05 * 20 * len(tuning.PREDICTIONS)


@pytest.mark.parametrize("by_share", [0.0, 0.4, 1.0])
def test_what_is_left_at_equal_shares_is_what_does_not_go_by_them(by_share):
    made = networks(np.random.default_rng(3), lambda p: 0.0, by_share=by_share, noise=1e-4)
    found = tuning.judged(made).set_index("name")["left"]
    for density in ("(at 2 %)", "(at 1 %)"):
        assert found[f"many, first layer as few {density}"] == pytest.approx(1 - by_share, abs=0.01)
        assert found[f"few, first layer as many {density}"] == pytest.approx(by_share, abs=0.01)


def test_a_share_that_was_not_reached_is_not_extrapolated():
    made = networks(np.random.default_rng(4), lambda p: 0.0)
    near = made[~made["variant"].str.startswith("first ")]
    assert tuning.at_equal_share(near, "few", "first").isna().all()
    found = tuning.judged(near).set_index("name")
    assert found["verdict"]["few, first layer as many (at 2 %)"] == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "gone", "word"),
    [
        (-0.2, 0.3, True, "survived"),
        (0.6, 1.4, True, "refuted"),
        (0.6, 1.4, False, "survived"),
        (-0.2, 0.3, False, "refuted"),
        (0.3, 0.7, True, "undecided"),
        (-math.inf, math.inf, False, "undecided"),
        (math.nan, math.nan, True, "undecided"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, gone, word):
    assert tuning.verdict(Estimate(value=(low + high) / 2, low=low, high=high), gone) == word


def test_half_way_densities_and_growth_are_those_of_the_networks():
    """Made-up curves have the known half-way density rho_c + width / 4."""
    ds = pruning(np.random.default_rng(5), ("mnist",), realizations=4, noise=0.0)
    ds = ds.rename(dataset="updates").assign_coords(updates=[100])
    ((variant, arm, one),) = tuning.arms("tuning-fresh", ds)
    assert (variant, arm) == ("fresh", "many")
    found = pd.DataFrame(tuning._networks(one))
    np.testing.assert_allclose(found["half"], 0.01 + 0.03 / 4, rtol=0.03)
    at = int(np.argmax(ds["density"].values[0, 0] <= tuning.SHARES["first"] * (1 + 1e-6)))
    edges = ds["edges"].values[0, :, at]
    np.testing.assert_allclose(found["first"], edges[:, 0] / edges.sum(axis=1))
    growth = pd.DataFrame(tuning._growth(one))
    dense = growth[growth["density"] == 1.0]
    np.testing.assert_allclose(dense["rms"], 0.1, rtol=0.1)
    assert (dense["n"] == 4).all()
    by_density = growth.pivot(index="density", columns="layer", values="rms").sort_index()
    assert (np.diff(by_density[by_density.index > 0.1], axis=0) < 0).all()  # the smallest go first


@pytest.mark.slow
def test_the_quick_run_answers(command, tmp_path):
    _, out, _ = command(
        "paper", "findings/tuning", "--scale", "quick", "--store", tmp_path / "s", "--out", tmp_path
    )
    found, origin = tables.read(tmp_path / "findings" / "tuning")
    assert entry("findings/tuning").say(found) in out
    assert all(study["done"] == study["tasks"] for study in origin["studies"].values())
    judged = found["predictions"]
    assert set(judged["verdict"]) <= {"survived", "refuted", "undecided"}
    assert (judged["n"] >= 3).all()
    arms = found["arms"].set_index(["variant", "arm"])
    # OBD beats magnitude, which beats chance; a favoured first layer has more of the edges
    halves = arms["half"].xs("many", level="arm")
    assert halves["criteria saliency"] < halves[tuning.BASE] < halves["criteria random"]
    shares = arms["first"].xs("few", level="arm")
    assert shares["first 0.5"] < shares[tuning.BASE] < shares["first 2"]
    # weights grow with updates, and less so if they decay
    growth = found["growth"].set_index(["variant", "arm", "density", "layer"])["rms"]
    at = (0.05, 1)
    assert growth[(tuning.BASE, "many", *at)] > 1.1 * growth[(tuning.BASE, "few", *at)]
    assert growth[("weight 0.1", "many", *at)] < growth[(tuning.BASE, "many", *at)]
