"""The best of some points: what is chosen, what is known of it, and what few points lose."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t as student

from criticality import InputError
from criticality.analysis.search import best, loss, searched, split_share
from criticality.base import Card, Observable, Search, control, flagged
from criticality.base import axes as axes_of
from tests.own import results

A = np.array([0.1, 0.2, 0.5, 0.8, 0.9])


def bowl(rng, realizations=12, scatter=0.1, shared=3.0, at=(0.5, 0.5)):
    """A valley over (a, b), with noise common to all points of a realization and noise of each."""
    away = (A[:, None] - at[0]) ** 2 + (A - at[1]) ** 2
    shape = (*away.shape, realizations)
    noise = shared * rng.normal(size=realizations) + scatter * rng.normal(size=shape)
    test = away[..., None] + scatter * rng.normal(size=shape)
    dims = ("a", "b", "realization")
    return xr.Dataset(
        {
            "seen": (dims, away[..., None] + noise),
            "unseen": (dims, test),
            "cover": ((*dims, "level"), np.stack([test, 2 * test], -1)),
        },
        coords={"a": A, "b": A, "level": [0.5, 0.9]},
    )


PATH = {"a": tuple(A), "b": tuple(1 - A)}


@dataclass(frozen=True, kw_only=True)
class TwoSets:
    """Controls of something that reads a data set."""

    dataset: str = control("one", choices=("one", "two"), files=True)
    a: float = control(0.5)
    b: float = control(0.5)
    level: tuple[float, ...] = control((0.5,), inner=True)


def test_the_best_point_is_told_from_others_by_paired_differences():
    found = best(bowl(np.random.default_rng(0)), "seen", ("unseen",))
    assert found.point == {"a": 0.5, "b": 0.5}
    assert len(found.points) == 25
    # the noise that all points share is 30 times their distance, and does not matter
    assert found.scores[found.place].error > 0.5
    assert found.alike == (found.place,)
    assert not found.flags


def test_intervals_are_students_and_of_the_unseen_they_hold_the_truth():
    held = 0
    for seed in range(200):
        ds = bowl(np.random.default_rng(seed), realizations=5, scatter=0.3, shared=0.0)
        one = best(ds.sel(a=0.5, b=[0.5]), "seen", ("unseen",)).shown["unseen"]
        values = ds["unseen"].sel(a=0.5, b=0.5).values
        wide = student.ppf(0.975, 4) * values.std(ddof=1) / math.sqrt(5)
        assert [one.value, one.high] == pytest.approx([values.mean(), values.mean() + wide])
        held += one.low <= 0 <= one.high
    assert 0.91 < held / 200 < 0.99


def test_what_was_chosen_by_a_score_looks_better_in_it_than_it_is():
    # which is why other samples are shown: without any valley the chosen score is below zero
    seen, unseen = [], []
    for seed in range(40):
        ds = (
            0 * bowl(np.random.default_rng(0))
            + bowl(np.random.default_rng(seed), scatter=1.0, shared=0.0)
            - bowl(np.random.default_rng(seed), scatter=0.0, shared=0.0)
        )
        found = best(ds, "seen", ("unseen",))
        seen.append(found.scores[found.place].value)
        unseen.append(found.shown["unseen"].value)
    error = np.std(unseen) / math.sqrt(40)
    assert abs(np.mean(unseen)) < 3 * error
    assert np.mean(seen) < -8 * error


def test_a_path_that_leads_through_the_valley_loses_nothing_and_another_does():
    rng = np.random.default_rng(1)
    there = loss(bowl(rng, scatter=0.01), "seen", ("unseen",), PATH)
    assert (there.points, there.of) == (5, 25)
    assert there.differences["seen"].value == 0 == there.differences["unseen"].value
    off = loss(bowl(rng, scatter=0.01, at=(0.9, 0.9)), "seen", ("unseen",), PATH)
    # as many points at random: with 5 of 25, each is among them with probability 1/5
    away = np.sort(((A[:, None] - 0.9) ** 2 + (A - 0.9) ** 2).ravel())
    chance = [math.comb(24 - i, 4) / math.comb(25, 5) for i in range(21)]
    assert off.random["seen"].value == pytest.approx(away[:21] @ chance, abs=0.03)
    # nearest on the path: (0.5, 0.5) or (0.8, 0.2), (0.2, 0.8): 2 x 0.4^2 away
    found = off.differences["unseen"]
    assert found.low < 0.32 < found.high
    assert found.error < 0.02
    assert best(bowl(rng, at=(0.9, 0.9)), "seen", (), PATH).point in (
        {"a": 0.5, "b": 0.5},
        {"a": 0.8, "b": pytest.approx(0.2)},
    )


def test_each_realization_alone_chooses_worse_than_all_together():
    ds = bowl(np.random.default_rng(3), realizations=200, scatter=0.1, shared=0.0)
    found = best(ds, "seen", ("unseen", "cover"))
    together, alone = found.shown["unseen"], found.own["unseen"]
    assert alone.value > together.value + 3 * together.error
    assert found.shown["cover (level 0.9)"].value == pytest.approx(2 * together.value)


def test_doubts_are_flagged():
    rng = np.random.default_rng(4)
    edge = best(bowl(rng, at=(0.95, 0.5)), "seen")
    assert flagged(edge.flags, "at an end", parameter="a")
    assert not flagged(edge.flags, "at an end", parameter="b")
    ds = bowl(rng)
    ds["seen"][2, 2, 3] = np.inf
    broken = best(ds, "seen")
    assert flagged(broken.flags, "not finite")
    assert broken.point != {"a": 0.5, "b": 0.5}
    assert flagged(best(ds.isel(realization=[0]), "seen").flags, "few realizations")
    assert math.isnan(best(ds.isel(realization=[0]), "seen").scores[0].error)


def test_of_what_is_incomplete_the_most_numbers_are_taken_and_it_is_said():
    ds = bowl(np.random.default_rng(6), realizations=4)
    whole = best(ds, "seen", ("unseen",))
    one_more = ds.copy(deep=True).pad(realization=(0, 1))  # of one point, a fifth realization
    one_more["seen"][1, 1, 4] = 0.0
    found = best(one_more, "seen", ("unseen",))
    assert flagged(found.flags, "incomplete")
    assert (found.points, found.place, found.shown) == (whole.points, whole.place, whole.shown)
    # a path of four realizations in a plane of two: the two that all points have
    mixed = ds.copy(deep=True)
    on_path = np.eye(5, dtype=bool)[:, ::-1]
    for name in mixed:
        mixed[name].values[~on_path, 2:] = np.nan
    assert best(mixed, "seen").scores[0].n == 2
    assert best(mixed, "seen", (), PATH).scores[0].n == 4
    lost = loss(mixed, "seen", (), PATH)
    assert (lost.points, lost.of, lost.differences["seen"].n) == (5, 25, 2)
    # points that are still to come are no points, and none of the path
    few = ds.copy(deep=True)
    for name in few:
        few[name].values[0] = np.nan
    lost = loss(few, "seen", (), PATH)
    assert (lost.points, lost.of) == (4, 20)
    assert not flagged(best(few, "seen").flags, "incomplete", "not finite")


def test_where_a_path_has_failed_its_loss_is_infinite():
    ds = bowl(np.random.default_rng(7), realizations=4)
    ds["seen"].values[np.eye(5, dtype=bool)[:, ::-1], 2] = np.inf
    assert loss(ds, "seen", ("unseen",), PATH).differences["unseen"].value == np.inf


def test_intervals_of_splits_of_one_data_set_hold_the_truth_where_others_do_not():
    # constant predictions of pure noise by the mean of a training part, many splits of few rows
    rng = np.random.default_rng(8)
    n, test, splits = 30, 10, 10
    held = {0.0: 0, 1 / 3: 0}
    for _ in range(300):
        y = rng.normal(size=n)
        parts = (rng.permutation(n) for _ in range(splits))
        errors = [((y[p[:test]] - y[p[test:]].mean()) ** 2).mean() for p in parts]
        ds = xr.Dataset({"mse": (("a", "realization"), [errors])}, coords={"a": [0.5]})
        for share in held:
            found = best(ds, "mse", share=share).scores[0]
            held[share] += found.low <= 1 + 1 / (n - test) <= found.high
    assert 0.9 < held[1 / 3] / 300 < 0.995
    assert held[0.0] / 300 < 0.8


def test_whether_realizations_split_a_data_set_is_read_from_the_data():
    search = Search(minimise="seen", test_share="held")
    ds = bowl(np.random.default_rng(0)).assign_attrs(controls='{"held": 0.25}', data="abc")
    assert split_share(ds, search) == 0.25
    assert split_share(ds.assign_attrs(data=""), search) == 0  # made anew in each realization
    assert split_share(ds, Search(minimise="seen")) == 0
    assert split_share(ds.assign_coords(held=("held", [0.1, 0.4])), search) == 0.4


def test_what_cannot_be_searched_is_refused():
    ds = bowl(np.random.default_rng(5))
    with pytest.raises(InputError, match=r"'sene'.*seen"):
        best(ds, "sene")
    with pytest.raises(InputError, match=r"cover: has a value for each level.*--select level="):
        best(ds, "cover", axes=["a", "b"])
    with pytest.raises(InputError, match="no point was measured on the path"):
        best(ds, "seen", (), {"a": (0.3,), "b": (0.3,)})
    with pytest.raises(InputError, match="no point was measured"):
        best(ds * np.nan, "seen")
    with pytest.raises(InputError, match="no point has finite scores"):
        best(ds + np.inf, "seen", (), PATH)
    several = ds.expand_dims(dataset=["one", "two"])
    axes = searched(axes_of(TwoSets))
    assert axes == ["a", "b"]
    with pytest.raises(InputError, match="--select dataset="):
        best(several, "seen", axes=axes)
    seen = (Observable(name="seen"),)
    with pytest.raises(InputError, match="unseen"):
        Card(observables=seen, search=Search(minimise="unseen"))
    with pytest.raises(InputError, match="2 of a, 1 of b"):
        Search(minimise="seen", path={"a": (1, 2), "b": (1,)})


BOWL = """
from dataclasses import dataclass
from typing import ClassVar

from criticality import Card, Observable, Search, control

A = (0.1, 0.2, 0.5, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True)
class Bowl:
    card: ClassVar[Card] = Card(
        observables=(Observable(name="seen"), Observable(name="cover", dims=("level",))),
        search=Search(
            minimise="seen", path={"a": A, "b": A[::-1]}, show=("cover",), realizations=3
        ),
    )
    a: float = control(0.5, interval="(0, 1)", scale="logit", shared=True)
    b: float = control(0.5, interval="(0, 1)", scale="logit", shared=True)
    level: tuple[float, ...] = control((0.5, 0.9), inner=True)

    def compute(self, rng, data):
        away = (self.a - 0.2) ** 2 + (self.b - 0.6) ** 2
        return {"seen": away + 0.001 * rng.normal(), "cover": [away, 2 * away]}
"""


def test_an_own_system_is_tuned_and_its_store_says_what_the_path_loses(
    tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bowl.py").write_text(BOWL)
    place = ("bowl.py:Bowl", "--store", "s", "--workers", 1, "--quiet")
    code, said, _ = command("tune", *place)
    assert code == 0
    rows = [line.split() for line in said.splitlines() if line.endswith("  best")]
    assert [row[:2] for row in rows] == [["0.2", "0.8"]]
    assert len(results(tmp_path / "s")) == 5 * 3
    # of the whole plane, by what the store has kept of the card: no file is needed
    (tmp_path / "plane.toml").write_text(
        'system = "bowl"\nrealizations = 3\n[grid]\na = [0.1, 0.2, 0.5]\nb = [0.1, 0.2, 0.5, 0.8]\n'
    )
    assert command("run", "plane.toml", "--system", "bowl.py:Bowl", *place[1:])[0] == 0
    (tmp_path / "bowl.py").unlink()
    code, said, _ = command("best", "s", "--json")
    found = json.loads(said)
    assert found["path"]["best"] == {"a": 0.2, "b": 0.8}
    assert [p["at"]["a"] for p in found["path"]["points"]] == list(A)
    # (0.5, 0.5) and (0.2, 0.8) are in the plane too
    assert (found["loss"]["points"], found["loss"]["of"]) == (5, 12 + 5 - 2)
    assert found["loss"]["differences"]["cover (level 0.9)"]["value"] == pytest.approx(
        2 * 0.04 - 2 * 0.01
    )
    assert {p["at"]["b"] for p in found["points"]} == {0.1, 0.2, 0.5, 0.8, 0.9}
    assert found["best"] == {"a": 0.2, "b": 0.5}
    code, said, _ = command("figures", "s", "--out", "f")
    assert code == 0
    assert (tmp_path / "f/search.png").stat().st_size > 10_000
    assert command("best", "s", "--by", "cover")[0] == 2
    # where no point of the path was measured there is still a best one
    (tmp_path / "off.toml").write_text('system = "bowl"\n[grid]\na = [0.3, 0.4]\nb = [0.3, 0.4]\n')
    (tmp_path / "bowl.py").write_text(BOWL)
    assert command("run", "off.toml", "--system", "bowl.py:Bowl", "--store", "off")[0] == 0
    code, said, _ = command("best", "off", "--json")
    assert code == 0
    assert json.loads(said)["best"] == {"a": 0.3, "b": 0.4}
    assert "loss" not in json.loads(said)
    assert command("tune", "dropout", "--store", "d")[0] == 2
    assert not (tmp_path / "d").exists()
