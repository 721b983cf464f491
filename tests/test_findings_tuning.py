"""Why more fine-tuning collapses earlier: made-up networks with known answers, and a quick run."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from criticality.analysis.stats import holm
from criticality.base import with_error
from criticality.papers import entry, tables
from criticality.papers.findings.tuning import answer, measured, predictions
from criticality.papers.rows import said
from tests.own import command
from tests.pruning_data import pruning

__all__ = ["command"]
DOCS = Path(__file__).parent.parent / "docs"
EFFECT = math.log(3)
FIRST = {"few": 0.4, "many": 0.7}  # share of the first layer
SLOPE = EFFECT / (FIRST["many"] - FIRST["few"])  # so that it accounts for the whole effect
MOVED = (0.5, 0.7, 1.0, 1.4, 2.0)  # scores of the first layer


def networks(rng, left, *, n=6, effect=EFFECT, by_share=1.0, noise=0.08, scatter=0.0):
    """Half-way densities of networks on which every treatment leaves such a share of the effect.

    Of the effect itself, `by_share` goes by the share of the first layer, the rest does not.
    Shares scatter from network to network, and half-way densities with them.
    """
    rows = []

    def add(variant, arm, mean, first, disorder=0.0):
        shared = np.broadcast_to(disorder, n)
        for realization, away in enumerate(rng.normal(0, noise, n) + shared):
            rows.append(
                {
                    "variant": variant,
                    "arm": arm,
                    "realization": realization,
                    "half": 0.003 * math.exp(mean + away),
                    "first": np.broadcast_to(first, n)[realization],
                    "first_sparse": np.broadcast_to(first, n)[realization],
                    "conducting": 0.8,
                    "dense_accuracy": 0.95,
                }
            )

    shifts = {"few": 0.0, "many": effect}
    slope = by_share * effect / EFFECT * SLOPE
    for arm, shift in shifts.items():
        own = rng.normal(0, scatter, n)
        for factor in MOVED:
            away = 0.4 * math.log2(factor)
            variant = predictions.BASE if factor == 1 else f"first {factor:g}"
            add(variant, arm, shift + slope * away, FIRST[arm] + away + own, slope * own)
    for prediction in predictions.PREDICTIONS:
        variant, arm = prediction.one
        if variant.endswith("as other"):
            continue
        share = left(prediction)
        if prediction.other == (predictions.BASE, "few"):
            if not any(row["variant"] == variant and row["arm"] == arm for row in rows):
                add(variant, arm, share * effect, 0.5)
        else:
            few = [p for p in predictions.PREDICTIONS if p.one == (variant, "few")]
            below = left(few[0]) * effect if few else 0.0  # of its few: of another prediction
            add(variant, "few", below, 0.5)
            add(variant, "many", below + share * effect, 0.5)
    return pd.DataFrame(rows).drop_duplicates(["variant", "arm", "realization"])


def registered(found):
    return found[found["before"]]


def verdicts(found):
    return dict(zip(found["name"], found["verdict"], strict=True))


def test_an_explanation_that_holds_survives():
    found = predictions.judged(networks(np.random.default_rng(0), lambda p: 0.0 if p.gone else 1.0))
    assert len(found) == len(predictions.PREDICTIONS)
    assert set(registered(found)["verdict"]) == {"survived"}
    assert set(predictions.links(found).values()) == {"survived"}
    assert set(predictions.links(found)) == set(predictions.LINKS)
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()


def test_one_that_is_wrong_is_refuted_everywhere():
    rng = np.random.default_rng(1)
    found = predictions.judged(networks(rng, lambda p: 1.0 if p.gone else 0.0, by_share=0.0))
    assert set(registered(found)["verdict"]) == {"refuted"}
    assert set(predictions.links(found).values()) == {"refuted"}


def test_what_was_chosen_afterwards_is_not_judged_and_costs_the_others_nothing():
    made = networks(np.random.default_rng(2), lambda p: 0.0 if p.gone else 1.0)
    found = predictions.judged(made)
    assert list(found["name"][~found["before"]]) == [
        "few, first layer as many (at 1 %)", "many, first layer as few (at 1 %)",
    ]  # fmt: skip
    assert set(found["verdict"][~found["before"]]) == {predictions.AFTERWARDS}
    ours = registered(found)
    assert ours["adjusted"].to_numpy() == pytest.approx(holm(ours["chance"].to_numpy()))


def test_predictions_without_networks_still_count():
    """Studies that have not run make no verdict of the others easier."""
    made = networks(np.random.default_rng(2), lambda p: 0.0 if p.gone else 1.0)
    some = predictions.judged(made[~made["variant"].str.startswith(("weight", "sgd", "hold"))])
    ours = registered(some)
    assert len(ours) == 9
    assert ours["adjusted"].min() == pytest.approx(14 * ours["chance"].min())


def test_without_an_effect_nothing_is_decided():
    decided = 0
    for seed in range(20):
        made = networks(np.random.default_rng(seed), lambda p: 0.0 if p.gone else 1.0, effect=0.0)
        decided += (registered(predictions.judged(made))["verdict"] != "undecided").any()
    assert decided <= 2


@pytest.mark.slow
def test_a_false_verdict_among_all_is_rare():
    """Every treatment leaves one half: of 100 explanations one in twenty is judged."""
    decided = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        made = networks(rng, lambda p: 0.5, n=4, by_share=0.5, scatter=0.028)
        decided += (registered(predictions.judged(made))["verdict"] != "undecided").any()
    assert decided <= 10  # 5 and 2.3 standard errors


@pytest.mark.parametrize("by_share", [0.0, 0.4, 1.0])
def test_what_is_left_at_equal_shares_is_what_does_not_go_by_them(by_share):
    made = networks(np.random.default_rng(3), lambda p: 0.0, by_share=by_share, noise=1e-4)
    found = predictions.judged(made).set_index("name")["value"]
    for density in ("(at 2 %)", "(at 1 %)"):
        assert found[f"many, first layer as few {density}"] == pytest.approx(1 - by_share, abs=0.01)
        assert found[f"few, first layer as many {density}"] == pytest.approx(by_share, abs=0.01)


def test_the_share_that_is_aimed_at_has_an_error():
    """Without any other scatter, the error is that of the mean share of the other arm."""
    rng = np.random.default_rng(4)
    made = networks(rng, lambda p: 0.5, n=5, by_share=0.5, noise=1e-6, scatter=0.03)
    found = predictions.judged(made).set_index("name").loc["many, first layer as few (at 2 %)"]
    few, many = (
        made[(made["variant"] == predictions.BASE) & (made["arm"] == arm)]["first"]
        for arm in predictions.ARMS
    )
    slope = 0.5 * SLOPE
    # left = 1 - slope (shift of shares) / effect, and the effect has the scatter of both
    shift, effect = (
        many.mean() - few.mean(),
        EFFECT + slope * (many.mean() - FIRST["many"] - few.mean() + FIRST["few"]),
    )
    rate = slope / effect - slope**2 * shift / effect**2
    error = rate * math.hypot(few.sem(), many.sem())
    assert found["error"] == pytest.approx(error, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 6])
def test_intervals_at_equal_shares_hold_the_truth(n):
    """Shares scatter by 0.028, as those of the real networks do."""
    held = np.zeros(2)
    names = [
        "many, first layer as few (at 2 %)",
        "few, first layer as many (at 2 %)",
    ]
    rng = np.random.default_rng(6)
    for _ in range(150):
        made = networks(rng, lambda p: 0.5, n=n, by_share=0.5, scatter=0.028)
        found = predictions.judged(made).set_index("name").loc[names]
        held += ((found["low"] <= 0.5) & (found["high"] >= 0.5)).to_numpy()
    assert (held >= 135).all()  # 142.5 and 2.8 standard errors


def test_a_share_that_was_not_reached_is_not_extrapolated():
    made = networks(np.random.default_rng(5), lambda p: 0.0)
    near = made[~made["variant"].str.startswith("first ")]
    (reached, _) = predictions.at_equal_share(near, "few", "first").values()
    assert reached.isna().all()
    found = predictions.judged(near).set_index("name")
    assert found["verdict"]["few, first layer as many (at 2 %)"] == "undecided"


@pytest.mark.parametrize(
    ("left", "expected", "adjusted", "before", "word"),
    [
        (0.1, "gone", 0.01, True, "survived"),
        (0.9, "gone", 0.01, True, "refuted"),
        (0.9, "stays", 0.01, True, "survived"),
        (0.1, "stays", 0.01, True, "refuted"),
        (0.1, "gone", 0.06, True, "undecided"),
        (math.nan, "gone", math.nan, True, "undecided"),
        (0.1, "gone", math.nan, False, "not judged"),
    ],
)
def test_a_verdict_needs_a_side_and_little_chance(left, expected, adjusted, before, word):
    row = SimpleNamespace(value=left, expected=expected, adjusted=adjusted, before=before)
    assert predictions.verdict(row) == word


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["undecided", "survived"], "Of 2 links none fell: 1 held, 1 undecided."),
        (
            ["undecided", "refuted", "undecided"],
            "Of 3 links 1 fell, and with it the explanation as it stands; of the others 0 held, "
            "2 undecided.",
        ),
        (
            ["refuted", "refuted", "survived"],
            "Of 3 links 2 fell, and with them the explanation as it stands; of the others 1 held, "
            "0 undecided.",
        ),
    ],
)
def test_the_explanation_falls_with_any_of_its_links(words, said):
    assert answer.conclusion(dict(zip("abc", words, strict=False))) == said


def test_half_way_densities_and_growth_are_those_of_the_networks():
    """Made-up curves have the known half-way density rho_c + width / 4."""
    ds = pruning(np.random.default_rng(5), ("mnist",), realizations=4, noise=0.0)
    ds = ds.rename(dataset="updates").assign_coords(updates=[100])
    ((variant, arm, one),) = measured.arms("tuning-fresh", ds)
    assert (variant, arm) == ("fresh", "many")
    found = pd.DataFrame(measured._networks(one))
    np.testing.assert_allclose(found["half"], 0.01 + 0.03 / 4, rtol=0.03)
    at = int(np.argmax(ds["density"].values[0, 0] <= predictions.SHARES["first"] * (1 + 1e-6)))
    edges = ds["edges"].values[0, :, at]
    np.testing.assert_allclose(found["first"], edges[:, 0] / edges.sum(axis=1))
    growth = pd.DataFrame(measured._growth(one))
    dense = growth[growth["density"] == 1.0]
    np.testing.assert_allclose(dense["rms"], 0.1, rtol=0.1)
    assert (dense["n"] == 4).all()
    path = pd.DataFrame(measured._path(one)).set_index("density")
    np.testing.assert_allclose(path.loc[1.0, "accuracy"], ds["accuracy"][0, :, 0].mean())
    assert path.loc[path.index.min(), "accuracy"] == pytest.approx(0.1)
    by_density = growth.pivot(index="density", columns="layer", values="rms").sort_index()
    assert (np.diff(by_density[by_density.index > 0.1], axis=0) < 0).all()  # the smallest go first


def told(found):
    """Numbers of the kept tables that stand in the text of the page."""
    arms = found["arms"].set_index(["variant", "arm"])
    for variant, arm in ARMS_TOLD:
        row = arms.loc[(variant, arm)]
        yield f"{with_error(100 * row['half'], 100 * row['half_error'])}"
    for variant, arm in ((predictions.BASE, "few"), (predictions.BASE, "many"), ("hold 0", "few")):
        row = arms.loc[(variant, arm)]
        yield f"{with_error(100 * row['first'], 100 * row['first_error'])}"
    growth = found["growth"].set_index(["variant", "arm", "density", "layer"])
    for at in GROWTH_TOLD:
        yield with_error(*growth.loc[at, ["rms", "error"]])
    for row in found["predictions"].to_dict("records"):
        if row["name"] in PREDICTIONS_TOLD:
            yield said(row)


ARMS_TOLD = (
    (predictions.BASE, "few"), (predictions.BASE, "many"), ("hold 0", "few"), ("hold 0.95", "few"),
    ("weight 0.1", "few"), ("weight 0.1", "many"), ("weight 1", "few"), ("weight 1", "many"),
    ("rate", "few"), ("rate", "many"), ("first 0.5", "few"), ("first 0.7", "few"),
    ("first 1.4", "few"), ("first 2", "few"), ("layer", "few"),
    ("criteria relative", "few"), ("criteria relative", "many"), ("criteria saliency", "few"),
    ("criteria saliency", "many"), ("criteria random", "few"), ("criteria random", "many"),
)  # fmt: skip
GROWTH_TOLD = (
    *((predictions.BASE, arm, 0.05, layer) for arm in predictions.ARMS for layer in (1, 2)),
    *((variant, arm, 0.01, 1) for variant, arm in (
        (predictions.BASE, "few"), (predictions.BASE, "many"), ("hold 0.95", "few"),
        ("weight 0.1", "many"), ("weight 1", "many"),
    )),
    (predictions.BASE, "few", 0.01, 2),
)  # fmt: skip
PREDICTIONS_TOLD = {
    "weight decay 0.1", "weight decay 1", "rate as 1/t", "many while dense", "SGD",
    "fresh moments", "rank by |w| / rms", "many, first layer as few (at 2 %)",
    "many, first layer as few (at 1 %)", "random", "few, first layer as many (at 2 %)",
}  # fmt: skip


def test_the_page_says_what_the_command_says():
    found, _ = tables.read(entry("findings/tuning").kept)
    page = (DOCS / "findings" / "tuning.md").read_text()
    assert entry("findings/tuning").say(found) in page
    plain = " ".join(page.split())
    assert not [text for text in told(found) if text not in plain]


@pytest.mark.slow
def test_the_quick_run_answers(command, tmp_path):
    _, out, _ = command(
        "paper", "findings/tuning", "--scale", "quick", "--store", tmp_path / "s", "--out", tmp_path
    )
    found, origin = tables.read(tmp_path / "findings" / "tuning")
    assert entry("findings/tuning").say(found) in out
    assert all(study["done"] == study["tasks"] for study in origin["studies"].values())
    networks, judged = found["networks"], found["predictions"].set_index("name")
    assert {p.name for p in predictions.PREDICTIONS} - set(judged.index) == {"weight decay 1"}
    assert (judged["n"] == 4).all()
    # numbers are those of the networks, by other means than ours
    half = np.log(networks.set_index(["variant", "arm"])["half"])
    many, few = (half[predictions.BASE, arm].to_numpy() for arm in ("many", "few"))
    effect = found["effects"].set_index("variant").loc[predictions.BASE]
    interval = stats.ttest_ind(many, few, equal_var=False).confidence_interval()
    ends = np.exp([interval.low, many.mean() - few.mean(), interval.high])
    assert effect[["low", "value", "high"]].to_numpy(float) == pytest.approx(ends, rel=1e-4)
    left = (half["sgd", "many"].mean() - half["sgd", "few"].mean()) / (many.mean() - few.mean())
    assert judged["value"]["SGD"] == pytest.approx(left, rel=1e-3)
    # so small a network has no effect of more fine-tuning, and nothing is made of it
    assert effect["low"] < 1 < effect["high"]
    assert set(judged["verdict"]) == {"undecided", "not judged"}
    assert "The explanation is not tested" in out
    # what treatments do without it: OBD beats magnitude, which beats chance; a favoured first layer
    # has more of the edges; over-training where few edges are left harms more than where all are
    arms = found["arms"].set_index(["variant", "arm"])
    halves = arms["half"].xs("many", level="arm")
    assert halves["criteria saliency"] < halves[predictions.BASE] < halves["criteria random"]
    assert halves["weight 0.1"] < halves[predictions.BASE]
    for arm in predictions.ARMS:
        shares = arms["first"].xs(arm, level="arm")
        moved = [shares[name] for name in ("first 0.5", predictions.BASE, "first 2")]
        assert moved == sorted(moved)
    assert arms["half"]["hold 0.95", "few"] > arms["half"]["hold 0", "few"]
    # weights grow with updates, and less so if they decay
    growth = found["growth"].set_index(["variant", "arm", "density", "layer"])["rms"]
    at = (0.05, 1)
    assert growth[(predictions.BASE, "many", *at)] > 1.1 * growth[(predictions.BASE, "few", *at)]
    assert growth[("weight 0.1", "many", *at)] < growth[(predictions.BASE, "many", *at)]
