"""Evolution Metric, breakdown and critical exponents of pruned networks, from made-up results."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from criticality import InputError
from criticality.analysis.breakdown import Spread, breakdown
from criticality.base import Flag, flagged
from criticality.systems.pruning import degrees as networks
from criticality.systems.pruning.breakdown import (
    classes,
    critical_point,
    critical_points,
    order_parameter,
    outer_points,
)
from criticality.systems.pruning.evolution import (
    evolution_map,
    evolution_metric,
    evolution_profile,
)
from tests import pruning_data as known


def plain_metric(later, earlier, remaining, target):
    """The formula of the paper, weight by weight."""
    pairs = [(a, b) for a, b, here in zip(later, earlier, remaining, strict=True) if here]
    goals = [pair[0 if target == "later" else 1] for pair in pairs]
    n, mean = len(goals), sum(goals) / len(goals)
    rss = sum((a - b) ** 2 for a, b in pairs)
    tss = sum((g - mean) ** 2 for g in goals)
    return 1 - (1 - (1 - (1 - rss / tss)) * (n - 1) / (n - 1 - 1))


# --- Evolution Metric ---


@pytest.mark.parametrize("target", ["later", "earlier"])
@pytest.mark.parametrize("n", [3, 40, 2000])
def test_the_metric_is_one_minus_the_adjusted_r_squared(target, n):
    rng = np.random.default_rng(n)
    earlier = rng.normal(0.3, 1, 2 * n)
    later = earlier + 0.1 * rng.normal(size=2 * n)
    remaining = np.arange(2 * n) % 2 == 0
    found = evolution_metric(later, earlier, remaining, target)
    assert found == pytest.approx(plain_metric(later, earlier, remaining, target), rel=1e-9)


def test_the_target_matters():
    new, old = np.array([0.0, 2.0, 4.0, 6.0]), np.array([0.0, 1.0, 2.0, 3.0])
    everywhere = np.ones(4, bool)
    # residuals 0, 1, 2, 3: RSS 14; TSS 20 about the later mean, 5 about the earlier; 3/2
    assert evolution_metric(new, old, everywhere) == pytest.approx(14 / 20 * 1.5)
    assert evolution_metric(new, old, everywhere, "earlier") == pytest.approx(14 / 5 * 1.5)


def test_only_remaining_weights_count():
    rng = np.random.default_rng(0)
    old = rng.normal(size=50)
    new, remaining = old.copy(), np.arange(50) < 30
    new[30:] = 0
    assert evolution_metric(new, old, remaining) == 0
    assert evolution_metric(new, old, np.ones(50, bool)) > 0.1


def test_the_metric_does_not_exist_for_too_few_or_equal_weights():
    some = np.array([1.0, 2.0, 3.0])
    assert np.isnan(evolution_metric(some, some, [True, True, False]))
    assert np.isnan(evolution_metric(some, some, [False] * 3))
    assert np.isnan(evolution_metric(np.ones(5), np.arange(5), np.ones(5, bool)))
    with pytest.raises(InputError, match="did you mean 'later'"):
        evolution_metric(some, some, [True] * 3, "latter")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def study():
    return known.pruning(np.random.default_rng(1), (), realizations=3)


@pytest.fixture(scope="module")
def history(study):
    return evolution_map(study)


def test_weights_that_diverged_have_no_metric():
    some, everywhere = np.arange(5.0), np.ones(5, bool)
    for wild in (np.nan, np.inf):
        bad = np.where(some == 2, wild, some)
        assert np.isnan(evolution_metric(bad, some, everywhere))
        assert np.isnan(evolution_metric(some, bad, everywhere))
        assert evolution_metric(bad, some, some != 2) == 0


def test_the_map_holds_the_metric_of_every_pair_and_layer(study, history):
    assert history.dims == ("realization", "part", "snapshot", "other")
    one = study.isel(realization=2)
    ends = np.concatenate([[0], np.cumsum(known.SIZES)])
    for late, early in ((3, 5), (5, 11), (8, 9)):  # ascending densities: the first is later
        kept = one["removed"].values > float(one["snapshot_step"][late])
        new, old = one["weights"][late].values, one["weights"][early].values
        layers = [slice(0, ends[-1]), *(slice(a, b) for a, b in itertools.pairwise(ends))]
        for part, where in enumerate(layers):
            found = float(history[2, part, late, early])
            if kept[where].sum() <= 2:
                assert np.isnan(found)
                continue
            expected = plain_metric(new[where], old[where], kept[where], "later")
            assert found == pytest.approx(expected, rel=1e-9)


def test_the_map_is_symmetric_and_zero_where_nothing_has_time_to_move(history):
    values = history.values
    np.testing.assert_array_equal(values, np.swapaxes(values, -1, -2))
    diagonal = np.diagonal(values[:, 0], axis1=-2, axis2=-1)
    assert (diagonal[:, 2:] == 0).all()
    assert np.isnan(diagonal[:, 0]).all()  # three weights or fewer remain
    off = values[:, 0][:, ~np.eye(len(known.SNAPSHOTS), dtype=bool)]
    assert np.nanmin(off) > 0


def test_a_realization_that_is_not_there_is_nan_and_leaves_the_others(study, history):
    holed = study.copy(deep=True)
    for name in holed:
        holed[name][{"realization": 0}] = np.nan
    found = evolution_map(holed)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], history[1:])
    np.testing.assert_array_equal(found["snapshot_step"], history["snapshot_step"])


def test_a_profile_is_a_diagonal_of_the_map(history):
    # densities ascend, time descends
    profile = evolution_profile(history, lag=2)
    for late in range(len(known.SNAPSHOTS) - 2):
        np.testing.assert_array_equal(profile[..., late], history[..., late, late + 2])
    assert np.isnan(profile[..., -2:]).all()
    shuffled = history.isel(snapshot=[3, 0, 2, 1], other=[3, 0, 2, 1])
    moved = evolution_profile(shuffled)
    np.testing.assert_array_equal(moved[..., 1], history[..., 0, 1])


def test_a_lag_in_steps_needs_a_snapshot_just_there(history):
    steps = history["snapshot_step"].values
    lag = int(steps[4] - steps[7])
    profile = evolution_profile(history, lag, "step")
    np.testing.assert_array_equal(profile[..., 4], history[..., 4, 7])
    for late in np.flatnonzero(~np.isfinite(profile[2, 0].values)):
        matches = history[2, 0, late, steps == steps[late] - lag]
        assert np.isnan(matches).all()
    assert evolution_profile(history, 10**6, "step").isnull().all()
    with pytest.raises(InputError, match="lag = 0"):
        evolution_profile(history, 0)


def test_evolution_asks_for_what_it_needs(study):
    with pytest.raises(InputError, match="no observable 'weights'"):
        evolution_map(study[["accuracy"]])
    with pytest.raises(InputError, match="also varies with dataset"):
        evolution_map(study.expand_dims(dataset=2))
    with pytest.raises(InputError, match="1199 weights, but layers of 1200"):
        evolution_map(study.isel(weight=slice(1, None)))


# --- degrees ---


def test_shapes_follow_from_units_and_edges():
    # 2 channels at 9 positions of a kernel; then 4 pixels of each of 3 channels feed 5 units
    assert networks.layer_shapes([2, 3, 5, 10], [54.0, 60.0, 50.0]) == [
        (3, 2, 9), (5, 3, 4), (10, 5)
    ]  # fmt: skip
    for units, edges in (([4, 3], [13]), ([4, 0], [0]), ([4, 3], [0])):
        with pytest.raises(InputError, match="layer 1 has"):
            networks.layer_shapes(units, edges)


@pytest.mark.parametrize("side", [0, 1])
def test_random_tails_are_those_of_shuffled_edges(side):
    rng = np.random.default_rng(15)
    shape, edges = (4, 6, 3), (10, 25)
    samples = []
    for drawn in edges:
        for _ in range(400):
            mask = rng.permutation(np.arange(72) < drawn).reshape(shape)
            samples.append(networks.degrees(mask)[side])
    found = networks.degree_distribution(samples)
    expected = networks.random_tail(found.degree, shape, side, edges)
    assert expected[0] == 1
    assert np.all(np.abs(found.cumulative - expected) <= 4 * found.cumulative_error + 1e-3)
    other = networks.random_tail(found.degree, shape, 1 - side, edges)
    assert np.abs(found.cumulative - other).max() > 0.1


# --- the breakdown, without a model ---


@pytest.mark.parametrize("schedule", ["geometric", "equal"])
def test_half_the_breakdown_is_where_it_was_put(schedule):
    # x = 1/2 at rho_c + width / 4
    rng = np.random.default_rng(2)
    ds = known.pruning(rng, (), schedule=schedule, steps=2000, jitter=0.1, noise=0.005)
    found = breakdown(order_parameter(ds))
    half = found.spread("half")
    ln = 0.1 * np.random.default_rng(2).normal(size=(1, 6))[0]
    np.testing.assert_allclose(half.values, 0.01 * np.exp(ln) + 0.03 / 4, rtol=0.03)
    assert half.error == pytest.approx(half.values.std(ddof=1) / np.sqrt(6))
    assert half.error <= found.half.error < 1.2 * half.error  # that of interpolation is in it
    assert found.half.value == half.mean
    assert found.half.low < 0.01 + 0.03 / 4 < found.half.high
    assert order_parameter(ds).offset == pytest.approx(known.CHANCE)
    assert found.plateau.value == pytest.approx(0.97, abs=0.02)


def test_the_steepest_drop_is_that_of_a_logistic_curve():
    # 1 / (1 + (r/rho)^(1/w)): half and steepest at r, slope 1/(4 w) for a unit of ln rho
    ds = known.pruning(np.random.default_rng(3), (), crossover=0.3, noise=0.0, rho_c=0.02)
    found = breakdown(order_parameter(ds, offset=known.CHANCE))
    np.testing.assert_allclose(found.spread("half").values, 0.02, rtol=0.01)
    np.testing.assert_allclose(found.spread("steepest").values, 0.02, rtol=0.03)
    assert found.slope.value == pytest.approx(0.87 / 4 / 0.3, rel=0.05)


def test_networks_that_do_not_break_down_have_no_density():
    ds = known.pruning(np.random.default_rng(4), (), realizations=4)
    ds["accuracy"][{"realization": 1}] = 0.95  # keeps its accuracy to the end
    ds["accuracy"][{"realization": 2}] = 0.1  # had nothing to lose
    ds["accuracy"][{"realization": 3, "step": 7}] = np.nan  # not computed
    found = breakdown(order_parameter(ds, offset=0.1))
    assert np.isfinite(found.spread("half").values).tolist() == [True, False, False]
    assert found.half.n == 1
    assert np.isnan(found.half.error)


def test_chance_is_measured_where_all_predictions_agree():
    ds = known.pruning(np.random.default_rng(5), (), realizations=2)
    disordered = ds["prediction_entropy"] == 0
    assert disordered.any()
    ds["accuracy"] = ds["accuracy"].where(~disordered, ds["realization"] * 0.02 + 0.09)
    measured = order_parameter(ds)
    assert (measured.offset, measured.source) == (pytest.approx(0.10), "measured")
    assert measured.values[:, 0] == pytest.approx([-0.01, 0.01])
    given, exact = order_parameter(ds, offset=0.1135), order_parameter(ds, "prediction_entropy")
    assert (given.offset, given.source) == (0.1135, "given")
    assert (exact.offset, exact.source) == (0.0, "exact")
    ds["prediction_entropy"] += 1
    assumed = order_parameter(ds)
    assert (assumed.offset, assumed.source) == (0.1, "assumed")
    assert [str(doubt) for doubt in assumed.doubts] == ["chance assumed"]
    assert not measured.doubts


def test_classes_are_counted_not_known():
    ds = known.pruning(np.random.default_rng(5), (), realizations=2)
    ds["prediction_entropy"] += 1  # no network gives one answer to everything
    ds["live_units"] = 2.6 * ds["live_units"]
    assert classes(ds) == 26
    assert order_parameter(ds).offset == pytest.approx(1 / 26)
    bare = ds.drop_vars("live_units")
    assert classes(bare) is None
    with pytest.raises(InputError, match="number of classes is not known"):
        order_parameter(bare)
    assert classes(bare.assign_attrs(controls='{"dataset": "mnist"}')) == 10


def test_spread_of_few_values():
    few = Spread(np.array([1.0, np.nan, 3.0]))
    assert (few.n, few.mean, few.deviation, few.error) == pytest.approx((2, 2, np.sqrt(2), 1))
    assert np.isnan(Spread(np.array([np.nan])).mean)
    found = few.estimate(level=0.5)  # Student's quartile with one degree of freedom is 1
    assert (found.value, found.error, found.n) == pytest.approx((2, 1, 2))
    assert (found.low, found.high) == pytest.approx((1, 3))


# --- exponents ---


@pytest.mark.parametrize("beta", [0.5, 1.0])
@pytest.mark.parametrize("schedule", ["geometric", "equal"])
def test_a_known_threshold_is_recovered(beta, schedule):
    rng = np.random.default_rng(6)
    ds = known.pruning(
        rng, (), beta=beta, schedule=schedule, steps=2000, jitter=0.02, noise=0.01, width=0.02
    )
    found = critical_point(ds, draws=100)
    fit = found.fit
    assert found.resolved, found.flags
    assert abs(fit.p_c - 0.01) < 3 * fit.params["p_c"].error < 0.002
    assert abs(fit.beta - beta) < 3 * fit.params["beta"].error < 0.3
    alone = found.single("beta")
    assert alone.n == 6
    assert alone.mean == pytest.approx(beta, abs=0.05)
    assert found.single("p_c").mean == pytest.approx(0.01, rel=0.03)
    assert 15 <= len(found.control) <= 32
    assert found.control[0] < 0.01 < found.control[-1] < 0.03


def test_the_prediction_entropy_has_its_own_exponent():
    ds = known.pruning(np.random.default_rng(7), (), jitter=0.02, steps=2000)
    found = critical_point(ds, "prediction_entropy", draws=100)
    assert found.order.offset == 0
    assert found.fit.beta == pytest.approx(0.35, abs=0.03)
    assert found.single("beta").mean == pytest.approx(0.35, abs=0.02)


def test_networks_that_break_down_apart_are_fitted_alone_and_the_mean_is_doubted():
    ds = known.pruning(np.random.default_rng(8), (), jitter=0.3, realizations=8, steps=1000)
    found = critical_point(ds, draws=100)
    assert flagged(found.flags, "smeared")
    assert not found.resolved
    alone = found.single("beta")
    assert abs(alone.mean - 0.5) < 0.02
    assert abs(found.fit.beta - 0.5) > 2 * abs(alone.mean - 0.5)
    assert found.single("p_c").deviation == pytest.approx(0.003, rel=0.7)


@pytest.mark.parametrize("schedule", ["geometric", "equal"])
def test_a_smooth_crossover_is_not_resolved(schedule):
    for seed in range(2):
        ds = known.pruning(
            np.random.default_rng(seed), (), crossover=0.3, schedule=schedule, steps=1000,
            noise=0.01, jitter=0.1,
        )  # fmt: skip
        assert not critical_point(ds, draws=60).resolved


def test_no_breakdown_is_a_result():
    ds = known.pruning(np.random.default_rng(9), (), realizations=3)
    ds["accuracy"] = 0.9 + 0.01 * ds["density"]
    found = critical_point(ds, offset=0.1)
    assert found.flags == (Flag("no breakdown"),)
    assert found.fit is None
    assert found.flags_of_each() == {"no breakdown": 3}
    assert not found.resolved


def test_one_network_has_no_error_of_the_mean():
    found = critical_point(known.pruning(np.random.default_rng(10), (), realizations=1))
    assert found.flags == (Flag("one realization"),)
    assert found.single("p_c").mean == pytest.approx(0.01, rel=0.03)
    assert np.isnan(found.single("p_c").error)


def test_networks_that_agree_exactly_beyond_the_threshold_bound_it():
    # no scatter at all where the networks give one answer; exact data must not stop the fit
    ds = known.pruning(np.random.default_rng(11), (), noise=0.0, steps=1000)
    found = critical_point(ds, draws=60)
    assert found.samples[:, 0].std() < 1e-12
    assert found.fit.p_c == pytest.approx(0.01, rel=0.01)
    assert not flagged(found.flags, "outside data")


def test_the_window_can_be_chosen():
    ds = known.pruning(np.random.default_rng(12), (), steps=1000)
    found = critical_point(ds, control_range=(0.007, 0.015), points=12, draws=60)
    assert 0.007 <= found.control.min() < 0.008
    assert 0.014 < found.control.max() <= 0.015
    assert len(found.control) <= 12
    for wrong in ((0.02, 0.01), (None, np.inf), (2, None), (1, None), (np.nan, None), (0, None)):
        with pytest.raises(InputError, match="least < greatest"):
            critical_point(ds, control_range=wrong)
    for chance in (np.nan, 1.0, -0.1):
        with pytest.raises(InputError, match="0 <= chance < 1"):
            critical_point(ds, offset=chance)
    with pytest.raises(InputError, match="offset = nan"):
        critical_point(ds, "prediction_entropy", offset=np.nan)
    with pytest.raises(InputError, match="expected 8 or more"):
        critical_point(ds, points=3)


def test_all_points_of_a_study_are_found():
    ds = known.pruning(np.random.default_rng(13), ("kmnist", "mnist"), steps=1000, jitter=0.02)
    ds = ds.reindex(dataset=["kmnist", "mnist", "emnist"])  # the last is not computed
    assert [at for at, _ in outer_points(ds)] == [{"dataset": "kmnist"}, {"dataset": "mnist"}]
    found = critical_points(ds, draws=20)
    assert [(p.at["dataset"], p.order.name) for p in found] == [
        (name, o) for name in ("kmnist", "mnist") for o in ("accuracy", "prediction_entropy")
    ]
    assert found[2].fit.p_c / found[0].fit.p_c == pytest.approx(1.6, rel=0.05)
    numbers = found[0].to_dict()
    assert numbers["fit"]["params"]["p_c"]["value"] == found[0].fit.p_c
    assert len(numbers["scan"]) == len(found[0].scan) > 3
    assert numbers["each"]["beta"]["n"] == 6


def test_wrong_input_of_the_threshold_is_named():
    ds = known.pruning(np.random.default_rng(14), ("mnist", "kmnist"), realizations=2)
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        critical_point(ds, "accurracy")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="see to dataset"):
        critical_point(ds)
    with pytest.raises(InputError, match="no observable 'density'"):
        critical_point(ds.isel(dataset=0).drop_vars("density"))
