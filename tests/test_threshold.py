"""Power law of an order parameter: known answers, coverage, windows, negative controls."""

from __future__ import annotations

import json

import numpy as np
import pytest

from criticality import InputError
from criticality.analysis.scaling.data import Curve
from criticality.analysis.scaling.threshold import power_law, window_scan
from criticality.base import Flag, flagged

P = np.linspace(0, 1, 21)


def order(p, p_c, beta, a=1.0):
    return a * np.maximum(p - p_c, 0) ** beta


def rounded(p, p_c, width=0.02):
    """Square root with a tail beyond p_c, as in a finite system."""
    return np.sqrt(0.5 * (p - p_c + np.hypot(p - p_c, width)))


def noisy(mean, rng, n=30, noise=0.01, shared=0.0):
    """Samples whose means are known to `noise`."""
    scatter = np.sqrt(1 - shared) * rng.normal(size=(n, len(mean)))
    return mean + noise * np.sqrt(n) * (scatter + np.sqrt(shared) * rng.normal(size=(n, 1)))


@pytest.mark.parametrize("beta", [0.125, 0.5, 1.0, 2.0])
def test_an_exact_power_law_is_found(beta):
    found = power_law(P, order(P, 0.313, beta, 0.7), error=np.full(21, 1e-5), draws=50)
    assert found.flags == ()
    assert (found.p_c, found.beta, found.amplitude) == pytest.approx((0.313, beta, 0.7), rel=1e-3)
    assert found.dof == 18


def test_the_other_side_units_and_offset():
    # falling below a threshold at 31.3, towards chance from below: a negative amplitude
    mean = np.log(10) - order(-100 * P, -31.3, 0.5, 0.2)
    found = power_law(
        100 * P, mean, error=np.full(21, 1e-5), side="below", offset=np.log(10), draws=50
    )
    assert (found.p_c, found.beta, found.amplitude) == pytest.approx((31.3, 0.5, -0.2), rel=1e-3)


@pytest.mark.parametrize("shared", [pytest.param(0.0, marks=pytest.mark.slow), 0.6])
@pytest.mark.parametrize("beta", [0.5, pytest.param(1.0, marks=pytest.mark.slow)])
def test_errors_cover_the_truth(beta, shared):
    rng = np.random.default_rng(int(10 * beta + shared))
    inside, wide, rejected = [], [], []
    for draw in range(200):
        p_c = rng.uniform(0.3, 0.35)  # anywhere between two measured points
        samples = noisy(order(P, p_c, beta), rng, shared=shared)
        found = power_law(P, samples, draws=60, seed=draw)
        truth = np.array([p_c, beta, 1.0])
        both = list(zip(found.params.values(), truth, strict=True))
        inside.append([abs(f.value - t) < f.error for f, t in both])
        wide.append([f.low < t < f.high for f, t in both])
        rejected.append(found.p_value < 0.05)
    inside, wide = np.mean(inside, axis=0), np.mean(wide, axis=0)
    # 200 draws know a coverage to 3 %
    assert (inside > 0.58).all(), inside
    assert (inside < 0.80).all(), inside
    assert (wide > 0.86).all(), wide
    assert np.mean(rejected) < 0.10


def test_ignoring_correlations_would_be_caught():
    # the control of the test above: a level common to all points of a network is no scatter
    rng = np.random.default_rng(1)
    samples = noisy(order(P, 0.32, 1.0), rng, shared=0.9)
    means = samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(30)
    whole = power_law(P, samples, draws=100)
    alone = power_law(P, means[0], error=means[1], draws=100)
    assert whole.params["p_c"].error < 0.7 * alone.params["p_c"].error


def test_a_rounded_transition_is_doubted_and_a_window_mends_it():
    samples = noisy(rounded(P, 0.313), np.random.default_rng(2), noise=0.003)
    whole = power_law(P, samples, draws=50)
    window = power_law(P, samples, window=(0.08, 1.0), beyond=False, draws=50)
    assert flagged(whole.flags, "poor fit")
    assert window.flags == ()
    assert window.points < whole.points
    assert (window.p_c, window.beta) == pytest.approx((0.313, 0.5), abs=0.02)


def test_a_correction_far_from_the_threshold_shows_as_drift():
    samples = noisy(
        order(P, 0.1, 0.5) * (1 - 0.6 * (P - 0.1)), np.random.default_rng(3), noise=0.001
    )
    scan = window_scan(P, samples, draws=30)
    betas = [fit.beta for fit in scan]
    assert len(scan) == 6
    assert scan[0].window == (0.0, np.inf)
    assert np.diff([fit.points for fit in scan]).max() <= 0
    assert abs(betas[-1] - 0.5) < 0.5 * abs(betas[0] - 0.5)
    chosen = window_scan(P, samples, windows=[0.4, (0.02, 0.4)], draws=30)
    assert [fit.window for fit in chosen] == [(0.0, 0.4), (0.02, 0.4)]


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_constant_order_parameter_is_flagged(level):
    rng = np.random.default_rng(4)
    flags = []
    for draw in range(20):
        found = power_law(P, noisy(np.full(21, level), rng), draws=40, seed=draw)
        flags.append(found.flags)
    assert sum(flagged(f, "flat") for f in flags) >= 19, flags
    assert all(flags)


def test_a_threshold_outside_the_data_is_flagged():
    samples = noisy(order(P, -0.2, 0.5), np.random.default_rng(5))
    outside = power_law(P, samples, draws=40).flags
    assert flagged(outside, "outside data", parameter="p_c")
    assert "p_c outside data" in map(str, outside)
    narrow = power_law(P, noisy(order(P, -0.9, 1.0), np.random.default_rng(6)), draws=40)
    assert flagged(narrow.flags, "narrow window")


def test_a_window_with_too_few_points_says_so():
    samples = noisy(order(P, 0.31, 0.5), np.random.default_rng(7))
    found = power_law(P, samples, window=0.06, draws=40)
    assert found.flags == (Flag("too few points"),)
    assert np.isnan(found.p_c)
    written = json.loads(json.dumps(found.to_dict()))
    assert [flag["name"] for flag in written["flags"]] == ["too few points"]
    assert written["params"]["p_c"]["n"] == 30


def test_few_realizations_have_wider_errors():
    rng = np.random.default_rng(8)
    few, off = [], []
    for draw in range(60):
        found = power_law(P, noisy(order(P, 0.32, 0.5), rng, n=6), draws=60, seed=draw)
        few.append(abs(found.beta - 0.5) < found.params["beta"].error)
        off.append(found.beta - 0.5)
    assert np.mean(few) > 0.45  # plain: about 0.4
    assert abs(np.mean(off)) < 0.01


def test_a_curve_and_its_arrays_give_the_same_in_any_order():
    samples = noisy(order(P, 0.32, 0.5), np.random.default_rng(9))
    error = samples.std(axis=0, ddof=1) / np.sqrt(30)
    curve = Curve(8.0, P, samples.mean(axis=0), error, samples)
    first, second = power_law(curve, draws=30), power_law(P[::-1], samples[:, ::-1], draws=30)
    assert first.p_c == pytest.approx(second.p_c)
    for one, two in zip(first.params.values(), second.params.values(), strict=True):
        assert one.error == pytest.approx(two.error)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones((4, 20)), {}, r"expected samples \[realizations, 21\]"),
        (None, {}, "expected samples"),
        (np.ones(21), {"error": np.ones(3)}, r"error of shape \(3,\): expected \(21,\)"),
        (np.ones(21), {"error": np.zeros(21)}, "standard error 0 at 0"),
        (np.ones((4, 21)), {}, "expected a positive number; leave"),
        (np.ones((1, 21)), {}, "single realization at 0"),
        (np.eye(21), {"side": "abov"}, "did you mean 'above'"),
        (np.eye(21), {"window": (0.3, 0.1)}, "least < greatest"),
        (np.eye(21), {"window": (0.1, 0.2, 0.3)}, "window = "),
        (np.eye(21), {"offset": np.nan}, "offset = nan"),
        (["a"] * 21, {"error": np.ones(21)}, "expected numbers"),
        (np.eye(21), {"window": np.nan}, "least < greatest"),
        (np.eye(21), {"draws": 1}, "draws >= 20"),
        (np.eye(21), {"seed": -1}, "seed >= 0"),
        (np.eye(21), {"level": np.nan}, "between 0 and 1"),
    ],
)
def test_wrong_input_is_named(values, options, message):
    with pytest.raises(InputError, match=message):
        power_law(P, values, **options)


def test_too_few_or_repeated_control_values_are_refused():
    for p in (P[:4], np.repeat(P[:4], 2)):
        with pytest.raises(InputError, match="expected 5 or more, distinct"):
            power_law(p, np.ones(len(p)), error=np.ones(len(p)))
