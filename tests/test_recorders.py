"""Time series, first passages and moments in memory that does not grow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality import InputError
from criticality.base import (
    axes,
    canonical,
    card,
)
from criticality.figures.sizes import mean_and_error
from criticality.nn import recorders
from tests.edge_systems import (
    Walk,
    computed,
)


@pytest.mark.parametrize("spacing", ["logarithmic", "linear"])
def test_times_are_distinct_ascending_and_spaced_as_said(spacing):
    for steps, count in ((1, 1), (7, 7), (20, 13), (1000, 30), (10**6, 25)):
        found = np.array(recorders.times(steps, count, spacing))
        assert len(found) == count
        assert found[-1] == steps
        assert found[0] >= 1
        assert (np.diff(found) > 0).all()
    late = found[found > 1000]
    steps = np.diff(np.log(late)) if spacing == "logarithmic" else np.diff(late)
    assert steps.std() < 1e-3 * steps.mean()
    for steps, count in ((5, 6), (5, 0)):
        with pytest.raises(InputError, match="expected 1 to 5"):
            recorders.times(steps, count, spacing)
    with pytest.raises(InputError, match="logarithmic"):
        recorders.times(5, 3, "quadratic")


STEPS = 300
SERIES = (1000 + np.random.default_rng(5).normal(size=(4, STEPS))).astype(np.float32)
LEVEL = 1002.3


@pytest.fixture(scope="module")
def recorded():
    """Series of four lanes, walked through by a loop that knows their length only."""
    recorder = recorders.Recorder(recorders.times(STEPS, 20))

    def walked(series, length):
        def going(carry):
            return carry[0] < length

        def step(carry):
            number, kept, moments, passed = carry
            x = series[number]
            number = number + 1
            kept = recorder.record(kept, number, {"x": x, "pair": jnp.stack([x, -x])})
            passed = recorders.first_passage(passed, number, x > LEVEL)
            return number, kept, moments.add(x), passed

        empty = recorder.empty({"x": series[0], "pair": jnp.zeros(2)})
        begun = (jnp.int32(0), empty, recorders.Moments.none(0.0), recorders.never())
        return jax.lax.while_loop(going, step, begun)[1:]

    lengths = jnp.array([STEPS, STEPS, 50, 1])
    return recorder, np.array(lengths), jax.jit(jax.vmap(walked))(SERIES, lengths)


def test_a_recorder_keeps_the_chosen_steps_exactly(recorded):
    recorder, lengths, (kept, _, _) = recorded
    at = np.array(recorder.times)
    expected = np.where(at <= lengths[:, None], SERIES[:, at - 1], np.nan)
    np.testing.assert_array_equal(kept["x"], expected)
    np.testing.assert_array_equal(kept["pair"], np.stack([expected, -expected], axis=-1))
    assert np.isnan(expected).any()


def test_times_beyond_32_bits_are_not_reached_and_disturb_nothing():
    recorder = recorders.Recorder((0.5, 3e9, 1e30))
    assert recorder.steps.tolist() == [1, *[np.iinfo(np.int32).max] * 2]
    kept = recorder.record(recorder.empty(0.0), 1, 7.0)
    np.testing.assert_array_equal(kept, [7.0, np.nan, np.nan])


def test_a_first_passage_is_the_first(recorded):
    _, lengths, (_, _, passed) = recorded
    for series, length, found in zip(SERIES, lengths, np.array(passed), strict=True):
        above = np.flatnonzero(series[:length] > LEVEL)
        assert found == (above[0] + 1 if len(above) else np.inf)
        assert len(above) != 1  # the first of several, or none
    assert np.isinf(passed).any()
    assert np.isfinite(passed).any()


def test_running_moments_are_those_of_the_series_where_sums_of_powers_fail(recorded):
    _, lengths, (_, moments, _) = recorded
    for lane, length in enumerate(lengths):
        exact = SERIES[lane, :length].astype(float)
        deviation = exact - exact.mean()
        assert moments.number[lane] == length
        mine = jax.tree.map(lambda x, lane=lane: x[lane], moments)
        assert mine.mean == pytest.approx(exact.mean(), abs=2e-3)
        for order, found in ((2, "variance"), (3, "third"), (4, "fourth")):
            truth = (deviation**order).mean()
            assert getattr(mine, found) == pytest.approx(truth, rel=2e-3, abs=2e-3)
    series = SERIES[0]
    naive = (series**2).mean(dtype=np.float32) - series.mean(dtype=np.float32) ** 2
    assert abs(naive - SERIES[0].astype(float).var()) > 0.02  # the control


def test_moments_of_arrays_and_of_nothing():
    rng = np.random.default_rng(6)
    rows = rng.exponential(size=(500, 3)).astype(np.float32)
    none = recorders.Moments.none(np.zeros(3, np.float32))
    assert np.isnan(none.variance).all()

    def add(moments, row):
        return moments.add(row), None

    found = jax.lax.scan(add, none, jnp.asarray(rows))[0]
    deviation = rows - rows.mean(axis=0)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.variance, rows.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.third, (deviation**3).mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(found.fourth, (deviation**4).mean(axis=0), rtol=1e-3)


def test_memory_does_not_grow_with_the_number_of_steps():
    def numbers(steps):
        walk = canonical(Walk(), steps=steps)
        state = jax.eval_shape(lambda: walk.begin(jax.random.key(0), {}))
        return [x.shape for x in jax.tree.leaves(state)]

    assert numbers(100) == numbers(10**9)


@pytest.mark.parametrize("lanes", [False, True])
def test_a_walk_spreads_as_its_time(lanes, tmp_path):
    ds = computed(Walk, lanes, tmp_path / "s", 20)
    times = np.array(recorders.times(100, 12))
    assert ds["time"].values.tolist() == times.tolist()
    found, error = mean_and_error(ds["square"], ("time",))
    # x^2 / t of 20 x 20 walkers: mean 1, variance 2 / 400
    np.testing.assert_allclose(found / times, 1, atol=4 * np.sqrt(2 / 400))
    assert (np.abs(found / times - 1) > 1e-3).all()
    assert (error / times / np.sqrt(2 / 400) > 0.4).all()
    assert (error / times / np.sqrt(2 / 400) < 1.8).all()
    assert ds["variance"].mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 2000))
    assert ds["fourth"].mean() == pytest.approx(3, abs=4 * np.sqrt(96 / 2000))
    assert axes(Walk)["steps"].static
    assert card(Walk).observable("passage").censored
