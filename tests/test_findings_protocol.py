"""Phase or protocol: what is put into made-up data is found, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality import data, keys
from criticality.analysis.stats import holm
from criticality.base import Task
from criticality.papers.findings import protocol
from criticality.papers.systems.onset import Onset, model
from criticality.systems.dropout import DropoutNetwork
from criticality.systems.dropout import model as dropout

from .test_papers import command

__all__ = ["command"]
SIZES = [500, 1000, 2000, 4000, 8000, 16000, 58000]
RATES = np.round(np.arange(0.3, 0.96, 0.05), 2)


# --- the system `onset` ---

ARRAYS = jax.device_put(data.load("synthetic").arrays())
WATCHED = Onset(
    dataset="synthetic",
    n_train=100,
    n_validation=60,
    width=8,
    depth=2,
    batch_size=32,
    p_train=0.5,
    learning_rate=0.01,
    patience=12,
    plateau=4,
    max_epochs=300,
    margin=(0.02, 0.1, 0.4),
)


def root(realization):
    words = keys.words(Task(system=WATCHED, seed=3, realization=realization, checksum="").lineage)
    return jax.random.wrap_key_data(words, impl="threefry2x32")


TOLD = {f.name for f in dataclasses.fields(DropoutNetwork)}
TRAINED = DropoutNetwork(**{k: v for k, v in dataclasses.asdict(WATCHED).items() if k in TOLD})
observe_epoch = jax.jit(partial(model.advance, WATCHED))
train_epoch = jax.jit(partial(dropout.advance, TRAINED))


def watched(realization):
    state = model.begin(WATCHED, root(realization), ARRAYS)
    while not model.finished(WATCHED, state):
        state = observe_epoch(state, ARRAYS)
    return state, {name: np.array(v) for name, v in model.observe(WATCHED, state, ARRAYS).items()}


def trained(realization, patience):
    """Validation losses of the system `dropout` with the same random numbers, until it stops."""
    system = dataclasses.replace(TRAINED, patience=patience)
    state, losses = dropout.begin(system, root(realization), ARRAYS), []
    while not dropout.finished(system, state):
        state = train_epoch(state, ARRAYS)
        losses.append(float(state.fit.loss))
    return np.array(losses)


REALIZATIONS = range(6)


@pytest.fixture(scope="module")
def seen():
    return [watched(realization) for realization in REALIZATIONS]


def test_the_beginning_is_where_the_loss_passes_and_the_stall_the_longest_wait_before(seen):
    never = 0
    for realization, (_, found) in zip(REALIZATIONS, seen, strict=True):
        losses = trained(realization, WATCHED.patience)
        waits, best = [], math.inf
        for loss in losses:
            waits.append(0 if loss < best else waits[-1] + 1)
            best = min(best, loss)
        for at, margin in enumerate(WATCHED.margin):
            below = np.flatnonzero(losses < (1 - margin) * math.log(10))
            assert found["start"][at] == (below[0] + 1 if len(below) else math.inf)
            before = waits[: below[0]] if len(below) else waits
            assert found["stall"][at] == max(before, default=0)
            never += not len(below)
        assert found["validation_loss"] == losses[: int(found["epochs"])].min().astype(np.float32)
    assert 0 < never < len(REALIZATIONS) * len(WATCHED.margin)  # both were tested


@pytest.mark.parametrize("patience", [2, 4, 8, 12])
def test_one_training_tells_what_every_patience_would_have_done(seen, patience):
    for realization, (_, found) in zip(REALIZATIONS, seen, strict=True):
        losses = trained(realization, patience)
        ds = xr.Dataset({name: ("margin", found[name]) for name in ("start", "stall")})
        told = protocol.outlasted(ds, patience)["begins"].values
        begun = [losses.min() < (1 - margin) * math.log(10) for margin in WATCHED.margin]
        np.testing.assert_array_equal(told, begun)


def test_units_alive_and_signal_are_those_of_the_network_without_dropout(seen):
    state, found = max(seen, key=lambda one: one[1]["signal"])
    fit, order = state.network.fit, np.array(state.network.order)
    h = np.array(ARRAYS["train_x"])[order[: WATCHED.n_validation]].astype(float) / 255
    alive = []
    for number, (w, b) in enumerate(fit.params):
        h = h @ np.array(w).T + np.array(b)
        if number < WATCHED.depth:
            h = np.maximum(h, 0)
            alive.append((h > 0).any(axis=0).mean())
    np.testing.assert_allclose(found["alive"], np.mean(alive), rtol=1e-6)
    np.testing.assert_allclose(found["signal"], h.std(axis=0).mean(), rtol=1e-4)


# --- variants ---


def stored(system, dims, **variables):
    """Results as a store opens them."""
    fixed = {
        name: value
        for name, value in dataclasses.asdict(system).items()
        if name not in {dim for names, _ in variables.values() for dim in names}
    }
    ds = xr.Dataset(variables, coords=dims)
    return ds.assign_attrs(controls=json.dumps(fixed))


def test_a_variant_is_what_differs_from_the_defaults():
    ds = stored(
        DropoutNetwork(initialization="standard"),
        {"patience": [10, 40], "p_train": [0.0, 0.1]},
        loss=(("patience", "p_train"), [[1.0, 2.0], [3.0, 4.0]]),
    )
    found = dict(protocol.variants(ds, DropoutNetwork(), ("n_train",)))
    assert {name: float(one["loss"]) for name, one in found.items()} == {
        "initialization standard": 1.0,
        "initialization standard, patience 40": 3.0,
    }
    usual = stored(DropoutNetwork(), {"n_train": [1, 2]}, loss=(("n_train",), [1.0, 2.0]))
    ((name, one),) = protocol.variants(usual, DropoutNetwork(), ("n_train",))
    assert name == protocol.USUAL
    assert one["loss"].shape == (2,)


def test_how_long_a_network_is_watched_is_no_variant_of_its_training():
    ds = stored(
        Onset(patience=50, max_epochs=400, learning_rate=0.003),
        {"plateau": [5, 9]},
        stall=(("plateau",), [1.0, 2.0]),
    )
    ((name, one),) = protocol.variants(ds, Onset(), ("n_train", "p_train", "plateau"))
    assert name == "learning rate 0.003"
    assert one["stall"].shape == (2,)


# --- the line ---


def losses(rng, star, networks, sizes=SIZES):
    """Networks with alpha = (p_eval - star) / 2, which differ by 5 % as a whole and 2 % a rate."""
    n = np.array(sizes, float)[:, None, None, None]
    shape = (len(sizes), networks, len(RATES), 1)
    noise = 0.05 * rng.normal(size=(*shape[:2], 1, 1)) + 0.02 * rng.normal(size=shape)
    mean = 2 + 0.5 * (RATES - star)[:, None] * np.log(n / 3000)
    dims = ("n_train", "realization", "p_eval", "pass")
    return xr.Dataset(
        {"loss": (dims, np.exp(mean + noise))}, coords={"n_train": sizes, "p_eval": RATES}
    )


def cases(rng, stars, networks=8):
    return [(protocol.USUAL, losses(rng, 0.55, 20))] + [
        (f"variant {number}", losses(rng, star, networks)) for number, star in enumerate(stars)
    ]


def test_the_line_is_found_with_its_interval_at_every_range_of_sizes():
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(20):
        rows = pd.DataFrame(protocol.line_of("v", losses(rng, 0.62, 8, SIZES[::3])))
        assert list(zip(rows["least"], rows["largest"], strict=True)) == [
            (500, 4000),
            (500, 58000),
            (4000, 58000),
        ]
        hits.append((rows["low"] <= 0.62) & (rows["high"] >= 0.62))
        assert (rows["value"] - 0.62).abs().max() < 0.15
    assert np.mean(hits) >= 0.92


def test_a_variant_that_moves_the_line_is_found_and_the_others_are_not():
    found = protocol.line_moved(cases(np.random.default_rng(2), [0.55, 0.75, 0.55, 0.4, 0.55]))
    assert list(found["moved"]) == [False, True, False, True, False] * 2
    assert list(found["least"]) == [500] * 5 + [4000] * 5
    moved = found[found["moved"]]
    # alpha = (p_eval - star) / 2: where that of the base is zero, it is -shift / 2
    np.testing.assert_array_less(abs(moved["difference"] - [-0.1, 0.075] * 2), 3.5 * moved["error"])


@pytest.mark.slow
def test_without_a_difference_a_claim_is_as_rare_as_stated():
    rng = np.random.default_rng(3)
    claims = []
    for _ in range(60):
        found = protocol.line_moved(cases(rng, [0.55] * 4, networks=6))
        claims.append(found.groupby("least")["moved"].any())
    assert np.mean(claims) <= 0.09  # of 120, half of them correlated; 0.05 is stated


# --- the border ---


def onsets(rng, middle, rates=(0.5, 0.6, 0.7, 0.8, 0.9), networks=10, dead=0.0, stall=30):
    """Networks that begin at once or, by chance `late`, after a stall; beyond `middle` few do."""
    p = np.array(rates)[:, None]
    begins = rng.random((len(rates), networks)) < 1 / (1 + np.exp((p - middle) / 0.02))
    waits = rng.random(begins.shape) < dead
    start = np.where(begins, np.where(waits, stall + 5.0, 3.0), np.inf)
    stalls = np.where(begins, np.where(waits, float(stall), 1.0), 50.0)
    dims = ("p_train", "realization", "margin")
    return stored(
        Onset(patience=50),
        {"p_train": list(rates), "margin": [0.1]},
        start=(dims, start[..., None]),
        stall=(dims, stalls[..., None]),
        alive=(dims[:2], np.where(begins, 0.9, 0.3)),
        signal=(dims[:2], np.where(begins, 1.0, 1e-3)),
    )


def test_the_border_is_where_half_of_the_networks_begin():
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(12):
        rows = pd.DataFrame(protocol.border_of(protocol.USUAL, onsets(rng, 0.73)))
        assert list(rows["patience"]) == list(protocol.PATIENCES)
        hits.append((rows["low"].iloc[0] <= 0.73) & (rows["high"].iloc[0] >= 0.73))
        assert rows["value"].between(0.65, 0.81).all()
    assert np.mean(hits) >= 0.95


def test_networks_that_wait_are_there_for_those_who_have_patience():
    rows = pd.DataFrame(
        protocol.border_of("v", onsets(np.random.default_rng(5), 0.73, networks=40, dead=1.0))
    ).set_index("patience")
    assert list(rows["flags"][[5, 10, 20]]) == ["stays below"] * 3  # none begins
    assert (rows["high"][[5, 10, 20]] == 0.5).all()
    assert rows["value"][50] == pytest.approx(0.73, abs=0.04)


def test_late_counts_networks_that_would_begin():
    ds = onsets(np.random.default_rng(6), 0.73, networks=30, dead=0.5)
    rows = pd.DataFrame(protocol.late("v", ds)).set_index("patience")
    waits = (np.isfinite(ds["start"]) & (ds["stall"] == 30)).values.sum()
    never = np.isinf(ds["start"]).values.sum()
    assert waits > 10
    assert (rows["begin_later"] == waits).all()
    assert (rows["stopped"] == waits + never).all()
    assert (rows["low"] < rows["share"]).all()
    assert (rows["share"] < rows["high"]).all()


def test_what_would_come_after_the_end_is_not_known():
    ds = onsets(np.random.default_rng(7), 0.73)
    cut = ds.assign(stall=ds["stall"].where(np.isfinite(ds["start"]), 15.0))  # ended by the clock
    assert protocol.outlasted(cut, 10)["begins"].notnull().all()
    unknown = protocol.outlasted(cut, 20)["begins"].isnull()
    np.testing.assert_array_equal(unknown, np.isinf(ds["start"]))


def test_a_border_elsewhere_is_found_and_the_same_is_not():
    rng = np.random.default_rng(8)
    named = [(protocol.USUAL, 0.66), ("same", 0.66), ("higher", 0.86), ("beyond", 1.2)]
    rows = [row for name, middle in named for row in protocol.border_of(name, onsets(rng, middle))]
    moved = protocol.border_moved(pd.DataFrame(rows)).set_index("variant")
    assert dict(moved["moved"]) == {"same": False, "higher": True, "beyond": True}
    assert moved["difference"]["higher"] == pytest.approx(0.2, abs=0.07)
    assert math.isnan(moved["difference"]["beyond"])


def test_waiting_networks_are_told_apart_from_those_that_began():
    ds = onsets(np.random.default_rng(9), 0.73)
    rows = pd.DataFrame(protocol.waiting("v", ds)).set_index("p_train")
    begun = np.isfinite(ds["start"].values[..., 0]).sum(axis=1)
    np.testing.assert_array_equal(rows["began"], begun)
    idle = rows[rows["began"] < rows["networks"]]
    np.testing.assert_allclose(idle["alive"], 0.3)
    np.testing.assert_allclose(idle["signal"], 1e-3)
    assert rows["start"][0.5] == 3.0


# --- Holm ---


def test_holm_by_hand():
    found = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.9])), [1.0, 1.0])


def test_holm_keeps_the_error_of_all_claims():
    rng = np.random.default_rng(10)
    drawn = rng.random((4000, 6))
    drawn[:, 3:] = rng.random((4000, 3)) * 1e-4  # three that are found
    adjusted = np.array([holm(row) for row in drawn])
    assert 0.04 < (adjusted[:, :3] < 0.05).any(axis=1).mean() < 0.06
    assert (adjusted[:, 3:] < 0.05).all()


# --- the whole ---


@pytest.mark.slow
def test_the_quick_version_answers_by_the_command(command, tmp_path):
    store, out = tmp_path / "stores", tmp_path / "out"
    code, text, _ = command(
        "paper", "findings/protocol", "--scale", "quick", "--store", store, "--out", out
    )
    assert code == 0
    border = pd.read_csv(out / "findings/protocol/border.csv")
    usual = border[(border["variant"] == protocol.USUAL) & (border["margin"] == 0.1)]
    halved = usual[(usual["plateau"] == 5) & (usual["n_train"] == 2000)].set_index("patience")
    assert 0.5 < halved["value"][10] < 0.92  # amentia is there, and not everywhere
    assert halved["value"].is_monotonic_increasing
    line = pd.read_csv(out / "findings/protocol/line.csv")
    whole = line[(line["least"] == 500) & (line["largest"] == 4000)].set_index("variant")
    assert 0.3 < whole["value"][protocol.USUAL] < 0.9
    assert "Line p_eval*" in text
