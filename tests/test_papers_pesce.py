"""What the figures of the second paper show, held against the numbers that are kept."""

import numpy as np

from criticality.papers import entry, tables
from criticality.papers.pesce2026 import exponents, fig2, fig3


def numbers(name):
    return tables.read(entry(f"pesce2026/{name}").kept)[0]


def test_networks_break_down_near_a_percent_and_kmnist_before_mnist():
    found = numbers("fig1")
    half = found["half"].set_index(["observable", "dataset"])
    for (_, _), of in half.iterrows():
        assert 5e-4 < of["value"] < 0.02
    accuracy = half.loc["accuracy"]
    harder, easier = accuracy.loc["kmnist-10k"], accuracy.loc["mnist"]
    pull = (harder["value"] - easier["value"]) / np.hypot(harder["error"], easier["error"])
    assert pull > 3
    # classes are used to the last: the entropy holds on longer than the accuracy
    entropy = half.loc["prediction_entropy"]
    assert (entropy["value"] < accuracy["value"]).all()


def test_the_outcome_entropy_stays_below_that_of_a_guess():
    end = numbers("fig1")["without_edges"].set_index(["observable", "dataset"])
    outcome = end.loc["outcome_entropy"]
    assert (outcome["value"] < np.log(10)).all()
    assert (outcome["value"] > 2).all()
    assert np.allclose(end.loc["accuracy"]["value"], 0.1, atol=0.02)


def test_weights_that_remain_hardly_move_over_a_jump():
    found = numbers("fig2")
    jumps = found["jumps"]
    assert (jumps["metric"] < 0.05).all()
    assert (jumps["metric"] > 0).all()
    assert sorted(jumps["panel"].unique()) == list(range(len(fig2.DENSITIES) + 1))
    weights = found["weights"]
    pruned = weights["remains"] == 0
    assert (weights["later"][pruned] == 0).all()
    for _, panel in weights.groupby("panel"):  # magnitude takes the smallest
        alive = panel["remains"] == 1
        assert np.abs(panel["earlier"][~alive]).median() < np.abs(panel["earlier"][alive]).median()


def test_random_pruning_moves_more_than_magnitude_before_the_collapse():
    found = numbers("fig3")
    level = {}
    for criterion in fig3.CRITERIA.values():
        rows = found[criterion].query("part == 0 and 0.1 <= snapshot <= 0.8")
        level[criterion] = rows["evolution"].median()
    assert level["random"] > 2 * level["magnitude"]


def test_random_masks_cannot_be_trained_where_structures_with_the_degrees_can():
    rows = numbers("fig4")["training"]
    last = rows[rows["epoch"] == rows["epoch"].max()]
    means = last.groupby(["density", "topology"])["accuracy"].mean().unstack("topology")
    low = means.loc[0.01]
    assert low[0] > low[1] > low[3] + 0.3
    assert low[3] < 0.3
    assert means.loc[0.05].min() > 0.8  # and at 5 % all of them can


def test_an_exponent_that_drifts_is_not_called_resolved():
    found = numbers("exponents")
    verdicts = found["verdicts"].set_index(["dataset", "observable"])["verdict"]
    windows = found["windows"].query("quantity == 'beta'")
    for (data, name), rows in windows.groupby(["dataset", "observable"]):
        clean = rows[rows["flags"].fillna("") == ""].sort_values("reach")
        if len(clean) < 2:
            continue
        widest, others = clean.iloc[-1], clean.iloc[:-1]
        error = np.hypot(others["error"], widest["error"])
        if (np.abs(others["value"] - widest["value"]) > 3 * error).any():
            assert verdicts[data, name] != exponents.RESOLVED
