"""Crossings of curves: known answers, honest errors, flags for what is no crossing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from criticality import InputError
from criticality.analysis.scaling.crossings import crossings, scan_size_min
from criticality.analysis.scaling.data import ScalingData
from criticality.base import flagged

P_C = 0.45
SIZES = (64, 128, 256, 512)


def samples(curve, rng, sizes=SIZES, n=20, noise=0.02, shared=0.5, points=15, half=0.15):
    """Data whose means are curve(p, L), known to about `noise`; every size has its own grid."""
    rows = []
    for k, size in enumerate(sizes):
        p = np.linspace(P_C - half, P_C + half, points) + 0.003 * k + 0.004
        common = np.sqrt(shared) * rng.normal(size=(n, 1))
        scatter = np.sqrt(1 - shared) * rng.normal(size=(n, points)) + common
        value = curve(p, size) + noise * np.sqrt(n) * scatter
        network = np.arange(n)[:, None] + 0 * p
        rows.append([a.ravel() for a in (p + 0 * value, size + 0 * value, network, value)])
    return ScalingData.from_samples(*(np.concatenate(c) for c in zip(*rows, strict=True)))


def table(curves, noise, rng, p=None):
    """Independent means of functions of p, one for each size 16, 32, ..."""
    p = np.linspace(0, 1, 21) if p is None else p
    size = np.repeat(16 * 2 ** np.arange(len(curves)), len(p))
    mean = np.concatenate([f(p) for f in curves]) + noise * rng.normal(size=len(size))
    return ScalingData.from_table(np.tile(p, len(curves)), size, mean, np.full(len(size), noise))


def scaled(p, size):
    return np.tanh(0.8 * (p - P_C) * size ** (2 / 3))


def shifted(p, size):
    return np.tanh(0.8 * (p - P_C - 1.0 / size) * size**0.5)


def names(found):
    """Names of its flags, "" if there are none."""
    return ", ".join(flag.name for flag in found.flags)


def by_form(found):
    return {e.form: e for e in found.extrapolations}


def test_exact_curves_on_different_grids_cross_where_they_do():
    rng = np.random.default_rng(0)
    data = samples(lambda p, size: (p - P_C) * size + 0.3 * p**2, rng, noise=1e-6)
    found = crossings(data, draws=100)
    assert [c.sizes for c in found.crossings] == [(64, 128), (128, 256), (256, 512)]
    assert [c.flags for c in found.crossings] == [()] * 3
    np.testing.assert_allclose([c.at.value for c in found.crossings], P_C, atol=1e-6)
    assert max(c.at.error for c in found.crossings) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.7])
def test_errors_of_crossings_and_of_their_limit_cover_the_truth(shared):
    # 25 points: with 15 the uncertainty of the interpolation dominates, and covers up to 80 %
    rng = np.random.default_rng(1)
    pulls, wide, limits, rejected, flags = [], [], [], [], []
    for draw in range(200):
        found = crossings(samples(scaled, rng, shared=shared, points=25), draws=200, seed=draw)
        for c in found.crossings:
            flags.append(names(c))
            if not c.flags:
                pulls.append((c.at.value - P_C) / c.at.error)
                wide.append(c.at.low < P_C < c.at.high)
        constant = by_form(found)["constant"]
        if not flagged(constant.flags, "too few crossings"):
            p_c = constant.params["p_c"]
            limits.append((p_c.value - P_C) / p_c.error)
            rejected.append(constant.p_value < 0.05)
    assert np.mean(np.array(flags) == "") > 0.95
    assert 0.61 < np.mean(np.abs(pulls) < 1) < 0.80
    assert 0.90 < np.mean(wide) < 0.99
    assert abs(np.mean(pulls)) < 0.25
    assert 0.61 < np.mean(np.abs(limits) < 1) < 0.80
    # crossings of adjacent sizes are anticorrelated: as independent ones they would fit too well
    assert 0.005 < np.mean(rejected) < 0.10


def test_an_error_of_the_points_alone_would_be_caught():
    # the control of the test above: exact points on a coarse grid leave the interpolation's error
    rng = np.random.default_rng(2)
    data = samples(scaled, rng, noise=1e-5, points=7)
    found = crossings(data, draws=200)
    off = [abs(c.at.value - P_C) / c.at.error for c in found.crossings if not c.flags]
    assert len(off) == 3
    assert max(off) < 2.5
    assert min(c.at.error for c in found.crossings) > 1e-4


def test_drifting_crossings_give_the_limit_and_reject_a_constant():
    rng = np.random.default_rng(3)
    sizes = (16, 32, 64, 128, 256, 512, 1024)
    inside, exponents = [], []
    for draw in range(40):
        data = samples(shifted, rng, sizes=sizes, noise=0.004, points=25, half=0.2)
        forms = by_form(crossings(data, draws=150, seed=draw))
        power = forms["power"].params
        inside.append(power["p_c"].low < P_C < power["p_c"].high)
        exponents.append(power["exponent"].value)
        assert names(forms["constant"]) == "poor fit"
        assert forms["constant"].dof == 5
    assert np.mean(inside) > 0.7
    # crossings of a L^-1 shifts with y ~ L^(1/2) move as L^-1 themselves
    assert np.median(exponents) == pytest.approx(1.0, abs=0.15)


def test_three_crossings_do_not_determine_a_power():
    found = crossings(samples(scaled, np.random.default_rng(4)), draws=100)
    power = by_form(found)["power"]
    assert names(power) == "too few crossings"
    assert np.isnan(power.params["p_c"].value)
    assert by_form(found)["logarithm"].dof == 1


def test_a_lambda_that_no_data_determine_is_flagged():
    rng = np.random.default_rng(5)
    sizes = (32, 64, 128, 256, 512)
    flags = []
    for draw in range(10):
        found = crossings(samples(scaled, rng, sizes=sizes), draws=100, seed=draw)
        power = by_form(found)["power"]
        flags.append(flagged(power.flags, "at bound", "ill-determined", parameter="lambda"))
    assert sum(flags) >= 9


def test_a_scan_of_the_least_size_ends_with_too_few():
    data = samples(scaled, np.random.default_rng(6), sizes=(32, 64, 128, 256, 512))
    scan = scan_size_min(data, draws=100)
    assert [size for size, _ in scan] == [32, 64, 128, 256]
    whole = crossings(data, draws=100)
    assert scan[0][1][1] == whole.extrapolations[1]
    assert all(names(e) == "too few crossings" for e in scan[-1][1])


def test_identical_curves_are_flat():
    rng = np.random.default_rng(7)
    flags = []
    for draw in range(40):
        data = table([np.sin, np.sin, np.sin], 0.01, rng)
        flags += [names(c) for c in crossings(data, draws=100, seed=draw).crossings]
    assert flags.count("flat") >= 0.88 * len(flags)
    assert flags.count("") == 0


def test_parallel_curves_do_not_cross():
    data = table([np.sin, lambda p: np.sin(p) + 0.2], 0.01, np.random.default_rng(8))
    (only,) = crossings(data, draws=100).crossings
    assert names(only) == "none"
    assert np.isnan(only.at.value)


def test_three_crossings_of_one_pair_are_multiple():
    data = table(
        [np.zeros_like, lambda p: np.sin(3 * np.pi * (p + 0.1))], 0.02, np.random.default_rng(9)
    )
    (only,) = crossings(data, draws=100).crossings
    assert names(only) == "multiple"
    assert np.isnan(only.at.value)


def test_curves_that_merge_or_cross_at_the_end_are_not_resolved():
    rng = np.random.default_rng(10)
    merging = [np.zeros_like, lambda p: np.maximum(0.5 - p, 0)]
    at_end = [np.zeros_like, lambda p: 0.99 - p]
    for curves in (merging, at_end):
        flags = []
        for draw in range(20):
            data = table(curves, 0.02, rng)
            flags.append(names(crossings(data, draws=100, seed=draw).crossings[0]))
        assert flags.count("") <= 1, flags
        assert flags.count("touching") >= 12, flags


def test_a_merged_tail_does_not_hide_a_clean_crossing():
    # beyond p = 0.6 both are the same: zeros of noise there do not count
    def wave(p):
        return np.where(p < 0.6, 0.5 * np.sin(np.pi * (p - 0.3) / 0.3), 0.0)

    rng = np.random.default_rng(11)
    flags, values = [], []
    for draw in range(20):
        found = crossings(table([np.zeros_like, wave], 0.02, rng), draws=100, seed=draw)
        flags.append(names(found.crossings[0]))
        values.append(found.crossings[0].at.value)
    assert flags.count("") >= 16, flags
    assert np.nanmean(values) == pytest.approx(0.3, abs=0.01)


def test_grids_that_do_not_overlap_have_no_crossing():
    p = np.concatenate([np.linspace(0, 1, 5), np.linspace(2, 3, 5)])
    size = np.repeat([8.0, 16.0], 5)
    data = ScalingData.from_table(p, size, p, np.full(10, 0.1))
    assert [names(c) for c in crossings(data, draws=50).crossings] == ["none"]


def test_all_pairs_extrapolate_the_adjacent_ones_and_results_are_plain():
    data = samples(scaled, np.random.default_rng(12))
    every = crossings(data, pairs="all", draws=100)
    assert len(every.crossings) == 6
    assert every.extrapolations[2].dof == 2
    result = every.to_dict()
    json.dumps(result)
    first, power = result["crossings"][0], result["extrapolations"][0]
    assert first["sizes"] == [64.0, 128.0]
    assert first["at"] == every.crossings[0].at.to_dict()
    assert (first["at"]["level"], first["at"]["n"]) == (0.95, 20)
    assert set(power["params"]) == {"p_c", "amplitude", "exponent"}
    assert power["flags"][0].keys() == {"name", "parameter", "text"}


def test_the_same_seed_gives_the_same_result():
    data = samples(scaled, np.random.default_rng(13))
    first, second = (crossings(data, draws=50, seed=3) for _ in range(2))
    assert first.crossings == second.crossings
    assert first.crossings != crossings(data, draws=50, seed=4).crossings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"L0": 64.0}, r"L0 between 0 and the least L, 64"),
        ({"L0": np.nan}, "L0 = nan: expected a positive number"),
        ({"sigma": 0.0}, "sigma = 0.0: expected a positive number"),
        ({"sigma": np.inf}, "sigma = inf"),
        ({"draws": 3}, "draws >= 20"),
        ({"draws": 50.5}, "expected a whole number"),
        ({"seed": -1}, "seed >= 0"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"level": np.nan}, "between 0 and 1"),
        ({"pairs": "adjacents"}, "did you mean 'adjacent'"),
    ],
)
def test_wrong_options_are_named(options, message):
    data = samples(scaled, np.random.default_rng(14))
    with pytest.raises(InputError, match=message):
        crossings(data, **options)
