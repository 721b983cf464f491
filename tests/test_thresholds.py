"""Thresholds of any order parameter: known answers, coverage, negative controls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from criticality import InputError, Store, Study
from criticality.analysis.breakdown import OrderParameter, breakdown
from criticality.analysis.thresholds import along_axis, critical_point
from criticality.base import Card, Flag, Observable, axes, control, flagged
from criticality.study import manifest

P = np.linspace(0, 1, 21)


def law(p, p_c, beta):
    return np.maximum(p - p_c, 0) ** beta


def outer(mean, rng, n=8, noise=0.03, p=P):
    """Independent runs at every control value."""
    values = mean[:, None] + noise * rng.normal(size=(len(p), n))
    return xr.Dataset(
        {"m": (("p", "realization"), values)}, coords={"p": p, "realization": np.arange(n)}
    )


# --- an outer axis: independent runs ---


@pytest.mark.parametrize("beta", [pytest.param(0.5, marks=pytest.mark.slow), 1.0])
def test_intervals_hold_the_truth_as_often_as_they_say(beta):
    rng = np.random.default_rng(int(2 * beta))
    inside, wide, resolved = [], [], []
    for draw in range(40):
        p_c = rng.uniform(0.3, 0.35)  # anywhere between two measured points
        (found,) = along_axis(outer(law(P, p_c, beta), rng), "m", "p", draws=60, seed=draw)
        half = p_c + 0.5 ** (1 / beta) * (1 - p_c)
        pairs = [
            (found.fit.params["p_c"], p_c),
            (found.fit.params["beta"], beta),
            (found.breakdown.half, half),
        ]
        inside.append([abs(e.value - truth) < e.error for e, truth in pairs])
        wide.append([e.low < truth < e.high for e, truth in pairs])
        resolved.append(found.resolved)
    # 40 draws know a coverage of 68 % to 7 %, one of 95 % to 3 %
    inside, wide = np.mean(inside, axis=0), np.mean(wide, axis=0)
    assert (inside > 0.5).all(), inside
    assert (inside < 0.88).all(), inside
    assert (wide > 0.86).all(), wide
    assert np.mean(resolved) > 0.9


def test_a_smooth_crossover_is_not_resolved():
    rng = np.random.default_rng(3)
    resolved = 0
    for draw in range(15):
        mean = 1 / (1 + np.exp(-(P - rng.uniform(0.4, 0.6)) / 0.08))
        (found,) = along_axis(outer(mean, rng), "m", "p", draws=60, seed=draw)
        resolved += found.resolved
    assert resolved <= 1


def test_what_never_vanishes_has_no_breakdown():
    (found,) = along_axis(outer(1 + 0.1 * P, np.random.default_rng(4)), "m", "p", draws=20)
    assert found.flags == (Flag("no breakdown"),)
    assert not found.resolved
    assert np.isnan(found.breakdown.half.value)
    json.dumps(found.to_dict())


def test_the_other_side_an_offset_and_a_negative_order_parameter():
    rng = np.random.default_rng(5)
    mean = 2.3 - 2 * law(1 - P, 0.4, 0.5)  # a loss that reaches ln 10 from below at p = 0.6
    (found,) = along_axis(outer(mean, rng, noise=0.01), "m", "p", offset=2.3, draws=60)
    assert found.order.side == "below"
    assert found.resolved, found.flags
    assert found.fit.p_c == pytest.approx(0.6, abs=0.02)
    assert found.fit.beta == pytest.approx(0.5, abs=0.05)
    assert found.fit.amplitude == pytest.approx(-2, abs=0.1)
    assert found.breakdown.half.value == pytest.approx(0.6 - 0.25 * 0.6, abs=0.02)
    assert found.breakdown.plateau.value == pytest.approx(0.3 + 2 - 2 * 0.6**0.5, abs=0.7)
    assert found.breakdown.slope.value > 0  # the loss rises with the control


def test_independent_runs_have_no_partners_at_other_points():
    rng = np.random.default_rng(6)
    ds = outer(law(P, 0.32, 0.5), rng) + 0.03 * rng.normal(size=8)  # a level of each
    mixed = ds.copy(deep=True)
    for row in mixed["m"].values:
        rng.shuffle(row)
    first, second = (along_axis(d, "m", "p", draws=20)[0] for d in (ds, mixed))
    assert first.fit.p_c == pytest.approx(second.fit.p_c, rel=1e-9)
    assert first.fit.chi2 == pytest.approx(second.fit.chi2, rel=1e-6)
    assert first.each == ()
    assert first.single("p_c").n == 0
    paired, other = (along_axis(d, "m", "p", paired=True, draws=20)[0] for d in (ds, mixed))
    assert len(paired.each) == 8
    assert paired.fit.chi2 != pytest.approx(other.fit.chi2, rel=1e-3)


def test_every_point_of_the_other_axes_has_its_own():
    rng = np.random.default_rng(8)
    parts = [outer(law(P, p_c, 0.5), rng, noise=0.01) for p_c in (0.2, 0.4)]
    ds = xr.concat([*parts, parts[0] * np.nan], "size").assign_coords(size=[10, 20, 40], seed=1)
    found = along_axis(ds, "m", "p", draws=20)
    assert [point.at for point in found] == [{"size": 10, "seed": 1}, {"size": 20, "seed": 1}]
    assert [point.fit.p_c for point in found] == pytest.approx([0.2, 0.4], abs=0.02)
    text = str(found[1])
    assert text.startswith("size = 20, seed = 1: m, 8 realizations\n")
    assert f"p_c = {found[1].fit.params['p_c']}" in text
    assert "\n  within " in text
    assert text.endswith("resolved")


def test_runs_that_are_missing_are_left_out():
    ds = outer(law(P, 0.32, 0.5), np.random.default_rng(9), noise=0.01)
    ds["m"][{"p": 3}] = np.nan
    ds["m"][{"p": 8, "realization": slice(1, None)}] = np.nan  # one run has no error
    (found,) = along_axis(ds, "m", "p", draws=20)
    assert not {P[3], P[8]} & set(found.control)
    assert len(found.control) >= 12
    assert found.fit.p_c == pytest.approx(0.32, abs=0.02)


def test_one_run_at_every_point_has_no_error():
    (found,) = along_axis(outer(law(P, 0.32, 0.5), np.random.default_rng(9), n=1), "m", "p")
    assert found.flags == (Flag("one realization"),)
    assert np.isnan(found.breakdown.half.error)
    assert found.breakdown.half.value == pytest.approx(0.32 + 0.68 / 4, abs=0.1)


# --- an inner axis: a realization is a curve ---


def inner(rng, n=6, jitter=0.0, noise=0.01, p=P):
    p_c = 0.32 + jitter * rng.normal(size=(n, 1))
    values = law(p, p_c, 0.5) + noise * rng.normal(size=(n, len(p)))
    return p_c[:, 0], xr.Dataset(
        {"m": (("realization", "p"), values)}, coords={"realization": np.arange(n), "p": p}
    )


def test_every_curve_is_fitted_alone_too():
    p_c, ds = inner(np.random.default_rng(10), jitter=0.06, p=np.linspace(0, 1, 201))
    (found,) = along_axis(ds, "m", "p", draws=40)
    assert len(found.control) <= 32
    np.testing.assert_allclose(found.single("p_c").values, p_c, atol=0.01)
    assert found.single("beta").mean == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(
        found.breakdown.spread("half").values, p_c + (1 - p_c) / 4, atol=0.015
    )
    assert flagged(found.flags, "smeared")  # by two points at least


def test_few_points_are_fitted_as_they_are():
    _, ds = inner(np.random.default_rng(11))
    (found,) = along_axis(ds, "m", "p", draws=20)
    assert 15 < len(found.control) < 20
    np.testing.assert_allclose(found.control, P[: len(found.control)])


# --- interpolation ---


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("mean", [lambda p: p**4, lambda p: (p > 0.6) * 1.0, lambda p: 1 - p**3])
def test_a_coarse_grid_leaves_room_for_the_truth(mean, paired):
    coarse = np.array([0.0, 0.15, 0.3, 0.55, 0.8, 0.9, 1.0])
    fine = np.linspace(0, 1, 10_001)
    truth = fine[np.argmin(np.abs(mean(fine) - 0.5))] if mean(np.array(0.55)) else 0.6
    ds = outer(mean(coarse), np.random.default_rng(12), noise=1e-4, p=coarse)
    (found,) = along_axis(ds, "m", "p", paired=paired, draws=40)
    half = found.breakdown.half
    assert half.low < truth < half.high
    assert half.high - half.low < 0.3
    assert half.error > 10 * 1e-4  # what realizations alone would say


def test_a_fine_grid_adds_no_error():
    rng = np.random.default_rng(13)
    p = np.linspace(0, 1, 2001)
    control = np.broadcast_to(p, (6, len(p)))
    values = control + 0.05 * rng.normal(size=(6, 1))
    found = breakdown(OrderParameter(name="m", along="p", control=control, values=values))
    spread = found.spread("half")
    assert spread.error <= found.half.error < 1.01 * spread.error


# --- what cannot be ---


def test_wrong_input_is_named():
    ds = outer(law(P, 0.3, 0.5), np.random.default_rng(14))
    named = ds.assign_coords(p=[f"k{i}" for i in range(21)])
    again = ds.assign_coords(p=np.concatenate([P[:20], P[:1]]))
    for data, words, options, message in (
        (ds, ("n", "p"), {}, "unknown observable 'n'"),
        (ds, ("m", "q"), {}, "m does not vary along 'q'; it has p"),
        (named, ("m", "p"), {}, "p: its values are no numbers"),
        (again, ("m", "p"), {}, "p: values come again"),
        (ds.isel(p=slice(4)), ("m", "p"), {}, "needs 5 or more"),
        (ds, ("m", "p"), {"offset": np.nan}, "offset = nan"),
        (ds, ("m", "p"), {"side": "left"}, "unknown side 'left'"),
        (ds - 1, ("m", "p"), {"scale": "lin"}, "did you mean 'linear'"),
        (ds.assign_coords(p=P - 0.5), ("m", "p"), {"scale": "log"}, "no negative numbers"),
        (ds, ("m", "p"), {"control_range": (0.5, 0.1)}, "least < greatest"),
        (ds, ("m", "p"), {"control_range": (np.nan, None)}, "least < greatest"),
        (ds, ("m", "p"), {"control_range": (2, 3)}, "p goes from 0 to 1"),
        (ds, ("m", "p"), {"points": 3}, "expected 8 or more"),
        (ds, ("m", "p"), {"draws": 3}, "draws >= 20"),
        (ds, ("m", "p"), {"level": np.nan}, "level between 0 and 1"),
    ):
        with pytest.raises(InputError, match=message):
            along_axis(data, *words, **options)


def test_nothing_measured_is_a_result():
    order = OrderParameter(name="m", along="p", control=np.empty((0, 9)), values=np.empty((0, 9)))
    found = critical_point(order)
    assert found.flags == (Flag("too few points"),)
    json.dumps(found.to_dict())


# --- the command ---


@dataclass(frozen=True, kw_only=True)
class Magnet:
    """Vanishes at T = 0.6, in the way of mean-field theory."""

    card: ClassVar[Card] = Card(
        observables=(
            Observable(name="m", doc="magnetisation", dims=("pass",)),
            Observable(name="time", doc="of the first flip", censored=True),
        ),
        plane=("T",),
        repeated=("pass",),
    )
    T: float = control(0.5, doc="temperature", interval="[0, inf)")
    L: int = control(8, doc="side", interval="[1, inf)")

    def inner(self):
        return {"pass": (0, 1)}

    def compute(self, rng, data):
        raise AssertionError("made up below")


@dataclass(frozen=True, kw_only=True)
class Nowhere(Magnet):
    """A card that does not say where anything vanishes."""

    card: ClassVar[Card] = Card(observables=Magnet.card.observables)


def written(folder, kind):
    """A store of made-up results, of a system that is not installed."""
    rng = np.random.default_rng(15)
    grid = {"T": P[::2].tolist(), "L": [8, 16]}
    study = Study(system=kind(), grid=grid, realizations=5)
    store = Store(folder)
    store.begin(study.plan(), manifest.card_data(kind.card, axes(kind), ""))
    for task in study.tasks():
        m = law(0.6, task.system.T, 0.5) + 0.01 * rng.normal(size=2)
        store.write(task, {"m": m, "time": np.array(np.inf)}, {})
    return folder


def test_a_system_that_says_its_plane_has_its_threshold_by_command(command, tmp_path):
    store = written(tmp_path / "s", Magnet)
    code, out, err = command("threshold", store, "--draws", "40", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)["points"]
    assert [point["at"] for point in found] == [{"L": 8}, {"L": 16}]
    for point in found:
        p_c, beta = point["fit"]["params"]["p_c"], point["fit"]["params"]["beta"]
        assert p_c["low"] < 0.6 < p_c["high"] < p_c["low"] + 0.1
        assert beta["value"] == pytest.approx(0.5, abs=0.05)
        assert (p_c["level"], p_c["n"]) == (0.95, 5)
    code, out, _ = command("threshold", store, "--select", "L=16", "--draws", "40")
    assert code == 0
    assert out.startswith("m along T, below its threshold;")
    assert "L = 16: m, 5 realizations" in out
    assert "nan" not in out
    code, _, err = command("threshold", store, "--observable", "time")
    assert code == 2
    assert "time: is censored" in err
    assert command("threshold", store, "--control", "L")[0] == 2


def test_a_system_without_a_plane_is_told_what_its_card_lacks(command, tmp_path):
    store = written(tmp_path / "s", Nowhere)
    code, out, err = command("threshold", store)
    assert (code, out) == (2, "")
    assert "Declare plane=(...) and order=(...), or give --control AXIS --observable NAME." in err
    words = ("--control", "T", "--observable", "m", "--select", "pass=0", "--draws", "20")
    code, out, err = command("threshold", store, *words)
    assert (code, err) == (0, "")
    assert "T" in out
