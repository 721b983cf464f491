"""Zero crossings: intervals that hold the truth on curved data and coarse grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from criticality import InputError
from criticality.analysis import boundaries as module
from criticality.analysis.boundaries import boundaries, upward_crossings, zero_crossing
from criticality.base import flagged

CURVES = {
    "line": lambda x, c: 0.4 * (x - c),
    "saturating": lambda x, c: 0.3 * (np.exp(-c / 0.3) - np.exp(-x / 0.3)),
    "sharply saturating": lambda x, c: 0.3 * (np.exp(-c / 0.085) - np.exp(-x / 0.085)),
    "rising": lambda x, c: 0.02 * (np.exp(x / 0.2) - np.exp(c / 0.2)),
    "S": lambda x, c: (x - 0.3) ** 3 - (c - 0.3) ** 3 + 0.1 * (x - c),
    "cubic": lambda x, c: x**3 - c**3,
    "logistic": lambda x, c: 0.4 * np.tanh((x - c) / 0.1),
    "step": lambda x, c: 0.4 * np.tanh((x - c) / 0.03),
}
GRIDS = {20: 0.95, 10: 0.95, 5: 0.8, 4: 0.8, 3: 0.6}  # points: up to where
DOF = 18


def measured(curve, points, noise, shared, rng):
    """Grid, values, errors and the truth, which is anywhere between 0.1 and 0.5."""
    truth = rng.uniform(0.1, 0.5)
    x = np.linspace(0, GRIDS[points], points)
    error = noise * np.sqrt(rng.chisquare(DOF, points if shared == 0 else 1) / DOF)
    scatter = np.sqrt(1 - shared) * rng.normal(size=points) + np.sqrt(shared) * rng.normal()
    return x, CURVES[curve](x, truth) + noise * scatter, error * np.ones(points), truth


def covered(curve, points, noise, shared, draws=120, seed=0):
    """Coverage of 95 % and 68 % intervals, and the lengths of the first."""
    rng = np.random.default_rng([seed, points])
    wide, narrow, length = 0, 0, []
    for _ in range(draws):
        x, y, error, truth = measured(curve, points, noise, shared, rng)
        for level in (0.95, 2 * norm.cdf(1) - 1):
            found, _ = zero_crossing(x, y, error, DOF, level=level, direction="up")
            inside = found.low <= truth <= found.high
            if level == 0.95:
                wide += inside
                length.append(found.high - found.low)
            else:
                narrow += inside
    return wide / draws, narrow / draws, np.array(length)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    "points", [pytest.param(n, marks=pytest.mark.slow) if n in (10, 4) else n for n in GRIDS]
)
def test_intervals_hold_the_truth_on_curves_and_coarse_grids(curve, points):
    found = [covered(curve, points, *noise) for noise in ((0.0005, 0), (0.005, 0.8), (0.03, 0))]
    # at 120 draws, 95 % is 0.95 +- 0.02 and 68 % is 0.68 +- 0.043
    assert min(wide for wide, _, _ in found) > 0.90, found
    assert min(narrow for _, narrow, _ in found) > 0.58, found
    assert np.mean([wide for wide, _, _ in found]) > 0.93, found


def without_interpolation_error(monkeypatch):
    nothing = np.zeros(1)
    monkeypatch.setattr(module, "bend", lambda *_: (nothing, nothing))


@pytest.mark.parametrize(
    ("curve", "points", "noise"),
    [("sharply saturating", 3, 0.005), ("rising", 4, 0.005), ("logistic", 10, 0.0005)],
)
def test_without_the_error_of_interpolation_they_would_not(monkeypatch, curve, points, noise):
    without_interpolation_error(monkeypatch)
    assert covered(curve, points, noise, 0)[0] < 0.6


@pytest.mark.parametrize("noise", [(0.005, 0.0), (0.005, 0.8), (0.03, 0.8)])
@pytest.mark.parametrize("curve", ["line", "saturating", "sharply saturating", "rising", "S"])
def test_on_fine_grids_intervals_are_hardly_longer(monkeypatch, curve, noise):
    _, _, long = covered(curve, 20, *noise)
    without_interpolation_error(monkeypatch)
    _, _, short = covered(curve, 20, *noise)
    closed = np.isfinite(long)
    assert closed.sum() >= 20
    assert 1 <= np.median(long[closed] / short[closed]) < 1.3


def test_the_same_networks_agree_on_fine_and_coarse_grids():
    # the published grids: 0.163 +- 0.022, 0.191 +- 0.003 and 0.264 +- 0.004 without flag or bend
    truth, width = 0.163, 0.085
    answers = {}
    for step, last in ((0.05, 0.95), (0.2, 0.8), (0.3, 0.6)):
        x = np.arange(0, last + step / 2, step)
        y = 0.25 * (np.exp(-truth / width) - np.exp(-x / width))
        answers[step] = zero_crossing(x, y, np.full(len(x), 0.004), 150.0)
    values = {step: found.value for step, (found, _) in answers.items()}
    assert values == pytest.approx({0.05: 0.165, 0.2: 0.189, 0.3: 0.264}, abs=0.002)
    for found, _ in answers.values():
        assert found.low <= truth <= found.high
        assert abs(found.value - truth) < 1.5 * found.error
    fine, (coarse, flags) = answers[0.05][0], answers[0.3]
    assert fine.error < 0.02
    assert coarse.error > 5 * fine.error
    assert flagged(flags, "coarse grid")
    assert not flagged(answers[0.05][1], "coarse grid")


def test_an_exact_line_on_a_fine_grid_is_located_and_has_no_flag():
    x = np.linspace(0, 1, 21)
    found, flags = zero_crossing(x, x - 0.43, np.full(21, 0.02), level=0.9, n=7, name="m")
    assert flags == ()
    assert found.value == pytest.approx(0.43)
    assert found.error == pytest.approx(0.02, rel=0.02)
    assert (found.low, found.high) == pytest.approx(
        (0.43 - 1.645 * 0.02, 0.43 + 1.645 * 0.02), abs=4e-4
    )
    assert (found.level, found.n) == (0.9, 7)


def test_few_degrees_of_freedom_widen():
    x = np.linspace(0, 1, 21)
    few, many = (zero_crossing(x, x - 0.43, np.full(21, 0.02), dof)[0] for dof in (2, math.inf))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4.303 / 1.96, rel=0.02)


def test_directions_mirror_each_other():
    x, y, error, _ = measured("saturating", 10, 0.005, 0, np.random.default_rng(1))
    up, _ = zero_crossing(x, y, error, direction="up")
    assert zero_crossing(x, -y, error, direction="down")[0] == up
    assert zero_crossing(x, y, error)[0] == up
    assert zero_crossing(x, -y, error)[0] == up
    none, flags = zero_crossing(x, y, error, direction="down", name="m")
    assert math.isnan(none.value)
    assert math.isnan(none.low)
    assert flagged(flags, "wrong way", parameter="m")
    reverse, _ = zero_crossing(-x[::-1], y[::-1], error[::-1])
    assert (-reverse.high, -reverse.low) == pytest.approx((up.low, up.high))


@pytest.mark.parametrize(
    ("y", "direction", "name", "bound"),
    [
        ([-3.0, -2.0, -1.0], "up", "stays below", math.inf),
        ([3.0, 2.0, 1.0], "up", "stays above", -math.inf),
        ([3.0, 2.0, 1.0], "either", "stays above", math.inf),
        ([1.0, 2.0, 3.0], "either", "stays above", -math.inf),
        ([-3.0, -2.0, -1.0], "down", "stays below", -math.inf),
    ],
)
def test_no_crossing_is_a_bound(y, direction, name, bound):
    found, flags = zero_crossing([0, 1, 2], y, [0.01] * 3, direction=direction)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (bound, bound)
    assert [flag.name for flag in flags] == [name]


def test_noise_without_a_crossing_does_not_say_on_which_side_it_lies():
    for y in ([-1.01, -1.0, -0.99], [-0.99, -1.0, -1.01]):
        found, _ = zero_crossing([0, 1, 2], y, [0.02] * 3, direction="either")
        assert (found.low, found.high) == (-math.inf, math.inf)


def test_an_interval_that_leaves_the_grid_is_open():
    x = np.linspace(0, 1, 21)
    found, _ = zero_crossing(x, x - 0.99, np.full(21, 0.1))
    assert found.low == pytest.approx(0.79, abs=0.02)
    assert math.isinf(found.high)
    assert math.isinf(found.error)


def test_several_crossings_are_said():
    x = np.arange(6.0)
    y = np.array([-1.0, 1, -1, 1, 2, 3])
    for direction in ("up", "either"):
        found, flags = zero_crossing(x, y, np.full(6, 0.1), direction=direction)
        assert found.value == pytest.approx(0.5)
        assert flagged(flags, "several crossings")
        assert found.low < 0.5
        assert found.high > 2.5
    _, flags = zero_crossing(x, np.array([-3.0, -2, -1, 1, 2, -1]), np.full(6, 0.1))
    assert flagged(flags, "several crossings")


def test_infinite_values_are_above_and_tell_only_the_step():
    x = np.arange(6.0)
    found, _ = zero_crossing(x, np.array([-3.0, -2, -1.5, -1.0, np.inf, np.inf]), np.full(6, 0.01))
    assert found.low == pytest.approx(3, abs=0.1)
    assert found.high == pytest.approx(4, abs=0.1)


def test_points_without_value_or_error_are_left_out():
    x, y, error = np.linspace(0, 1, 11), np.linspace(-0.5, 0.5, 11), np.full(11, 0.02)
    y[3], error[8] = np.nan, np.nan
    keep = [i for i in range(11) if i not in (3, 8)]
    assert zero_crossing(x, y, error) == zero_crossing(x[keep], y[keep], error[keep])
    nothing, flags = zero_crossing(x, y, np.full(11, np.nan))
    assert math.isnan(nothing.value)
    assert flagged(flags, "no error")


def test_a_point_with_an_infinite_error_may_be_on_either_side():
    x, y = np.arange(5.0), np.array([-2.0, -1, 1, 2, 3])
    found, _ = zero_crossing(x, y, [0.01, 0.01, 0.01, 0.01, np.inf])
    assert 1 <= found.low < found.value < 2
    assert math.isinf(found.high)
    found, flags = zero_crossing(x, -np.abs(y), [0.01, 0.01, 0.01, 0.01, np.inf], direction="up")
    assert flagged(flags, "stays below")
    assert 3 <= found.low < 4


def test_upward_crossings_interpolate():
    x = np.array([0.0, 1, 2, 3, 4])
    np.testing.assert_allclose(upward_crossings(x, np.array([-1.0, 3, -1, -1, 1])), [0.25, 3.5])
    assert len(upward_crossings(x, np.array([1.0, -1, -2, -3, -4]))) == 0


def plane(error=0.01):
    """m = a + 2 b - 1 over a and b: a straight border in both directions."""
    a, b = np.linspace(0, 1, 11), np.linspace(0, 1, 11)
    m = a[:, None] + 2 * b - 1
    return xr.Dataset(
        {"m": (("a", "b"), m), "m_error": (("a", "b"), np.full(m.shape, error))},
        coords={"a": a, "b": b},
    )


def test_a_border_is_located_along_either_axis():
    along_a = boundaries(plane(), "m", "a", threshold=0.5, between=("low", "high"), n=5)
    assert [line.at["b"] for line in along_a] == list(np.linspace(0, 1, 11))
    found = {round(line.at["b"], 1): line for line in along_a}
    assert found[0.5].estimate.value == pytest.approx(0.5)
    assert found[0.3].estimate.value == pytest.approx(0.9)
    assert found[1.0].status == "m stays above 0.5"
    assert (found[0.5].between, found[0.5].estimate.n) == (("low", "high"), 5)
    assert found[0.5].status == "crossing"
    assert found[0.5].clean
    assert not found[1.0].clean
    along_b = boundaries(plane(), "m", "b", threshold=0.5)
    values = {round(line.at["a"], 1): line.estimate for line in along_b}
    assert values[0.5].value == pytest.approx(0.5)
    assert values[0.1].value == pytest.approx(0.7)
    assert values[0.5].error == pytest.approx(0.01 / 2, rel=0.1)  # m is twice as steep in b


def test_a_descending_axis_is_the_same_and_one_without_order_has_no_border():
    turned = boundaries(plane().isel(a=slice(None, None, -1)), "m", "a")
    straight = boundaries(plane(), "m", "a")
    assert [t.estimate for t in turned] == [s.estimate for s in straight]
    sweep = plane().isel(a=[0, 5, 10, 5, 0])  # up and down
    assert boundaries(sweep, "m", "a") == ()
    names = plane().isel(a=[0, 1]).assign_coords(a=["adam", "sgd"])
    assert boundaries(names, "m", "a") == ()
    assert len(boundaries(names, "m", "b")) == 2


def test_bad_input_is_refused():
    three = [0.0, 1.0, 2.0]
    with pytest.raises(InputError, match="ascending"):
        zero_crossing(three[::-1], three, three)
    with pytest.raises(InputError, match="unknown direction"):
        zero_crossing(three, three, three, direction="left")
    with pytest.raises(InputError, match="level"):
        zero_crossing(three, three, three, level=math.nan)
    with pytest.raises(InputError, match="no quantity 'q'"):
        boundaries(plane(), "q", "a")
    with pytest.raises(InputError, match="unknown axis 'c'"):
        boundaries(plane(), "m", "c")


@pytest.mark.parametrize(
    ("scale", "there"), [("log", np.log), ("logit", lambda x: np.log(x / (1 - x)))]
)
def test_a_scale_is_where_the_line_is_drawn(scale, there):
    x = np.array([0.002, 0.02, 0.2, 0.7, 0.97, 0.998])
    y, error = there(x) - there(0.8), np.full(6, 0.05)
    found, flags = zero_crossing(x, y, error, scale=scale)
    assert found.value == pytest.approx(0.8, abs=1e-12)
    assert found.low < 0.8 < found.high < 0.97
    assert not flagged(flags, "several crossings")
    on_it, _ = zero_crossing(there(x), y, error)
    assert there(np.array([found.low, found.high])) == pytest.approx([on_it.low, on_it.high])
    # beyond the grid stays beyond, and is no end of the axis
    beyond, _ = zero_crossing(x, y + 20, error, scale=scale)
    assert (beyond.low, beyond.high) == (-math.inf, -math.inf)
    assert zero_crossing(x, y, error)[0].value != pytest.approx(0.8, abs=1e-3)
    # a border in a plane is located on the scale that its axis declares
    axis = ("x", x, {"scale": scale})
    ds = xr.Dataset({"m": ("x", y), "m_error": ("x", error)}, coords={"x": axis})
    assert boundaries(ds, "m", "x")[0].estimate == found
