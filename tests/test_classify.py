"""Phases by rules: known planes, the stated rate of false phases, borders between them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from criticality import InputError
from criticality.analysis.classify import by_rules, values
from criticality.base import UNRESOLVED, Phase, Rule, flagged

SIZES = np.array([8, 16, 32, 64])
PHASES = (
    Phase(name="ordered", letter="O", colour="#0000ff"),
    Phase(name="disordered", letter="D", colour="#ff0000"),
    Phase(name="frozen", letter="F", colour="#00ff00"),
)
RULES = (
    Rule(phase="ordered", quantity="m", above=0.5),
    Rule(phase="disordered", quantity="m", below=0.5),
)
GROWTH = (
    Rule(phase="ordered", quantity="m", of="exponent", above=0.0),
    Rule(phase="disordered", quantity="m", of="exponent", below=0.0),
)
LIMITS = (
    Rule(phase="ordered", quantity="m", of="limit", above=0.3),
    Rule(phase="disordered", quantity="m", of="limit", below=0.3),
)
T, H = np.linspace(0, 1, 11), np.linspace(0, 0.5, 6)


def magnet(rng, realizations=8, scatter=0.02):
    """m falls through 0.5 at T = 0.55 + h / 2, at the largest size."""
    m = 0.5 - (T[:, None] - 0.55 - H / 2)
    m = m[..., None] * np.array([0.5, 0.7, 0.9, 1.0])
    noise = scatter * rng.normal(size=(*m.shape, realizations))
    return xr.Dataset(
        {"m": (("T", "h", "L", "realization"), m[..., None] + noise)},
        coords={"T": T, "h": H, "L": SIZES},
    )


def powers(alpha, rng, realizations=6, scatter=0.05):
    """m ~ L^alpha(T), lognormal."""
    m = (SIZES / 8.0) ** np.asarray(alpha)[:, None]
    noise = np.exp(scatter * rng.normal(size=(*m.shape, realizations)))
    return xr.Dataset(
        {"m": (("T", "L", "realization"), m[..., None] * noise)},
        coords={"T": np.linspace(0, 1, len(m)), "L": SIZES},
    )


def names(diagram):
    return np.vectorize(lambda code: diagram.phase(int(code)).name)(diagram.cells["phase"].values)


def test_a_plane_is_divided_where_it_should_be():
    found = by_rules(magnet(np.random.default_rng(0)), PHASES, RULES, ("T", "h"), "L")
    truth = T[:, None] - 0.55 - H / 2
    clear = np.abs(truth) > 0.04
    assert (names(found)[clear] == np.where(truth < 0, "ordered", "disordered")[clear]).all()
    assert found.cells["phase"].dtype == np.int8
    assert found.cells["phase"].attrs["flag_meanings"] == "unresolved ordered disordered frozen"
    assert found.phase(0) is UNRESOLVED
    np.testing.assert_allclose(found.cells["m"], 0.5 - truth, atol=0.04)
    assert found.cells["m_error"].mean() == pytest.approx(0.02 / np.sqrt(8), rel=0.1)
    assert found.method["sizes"].tolist() == SIZES.tolist()


def test_borders_come_out_along_both_axes_and_cover():
    inside, pulls = [], []
    for seed in range(12):
        ds = magnet(np.random.default_rng(seed))
        found = by_rules(ds, PHASES, RULES, ("T", "h"), "L")
        assert {line.along for line in found.boundaries} == {"T", "h"}
        for line in found.boundaries:
            truth = 0.55 + line.at["h"] / 2 if line.along == "T" else 2 * (line.at["T"] - 0.55)
            if line.clean:
                assert line.between == ("disordered", "ordered")
                inside.append(line.estimate.low <= truth <= line.estimate.high)
                pulls.append((line.estimate.value - truth) / line.estimate.error)
    assert len(inside) > 100
    assert np.mean(inside) > 0.92
    assert 0.6 < np.mean(np.abs(pulls) < 1) < 0.9


@pytest.mark.parametrize(("rules", "edge"), [(RULES, 0.5), (GROWTH, 0.0)])
@pytest.mark.parametrize("realizations", [2, 3, 8])
def test_what_is_on_the_threshold_is_unresolved_at_the_stated_rate(rules, edge, realizations):
    rng = np.random.default_rng(1)
    ds = powers(np.zeros(600), rng, realizations)
    if edge:
        ds = ds * 0 + 0.5 + 0.1 * rng.normal(size=ds["m"].shape)
    found = by_rules(ds, PHASES, rules, ("T",), "L", draws=200)
    false = (found.cells["phase"] != 0).values.mean()
    assert 0.01 < false < 0.075  # beyond two standard errors on either side: 0.046


def test_exponents_decide_on_a_line_of_one_axis():
    alpha = np.linspace(-0.3, 0.3, 13)
    found = by_rules(powers(alpha, np.random.default_rng(2)), PHASES, GROWTH, ("T",), "L")
    clear = np.abs(alpha) > 0.12
    assert (names(found)[clear] == np.where(alpha > 0, "ordered", "disordered")[clear]).all()
    (line,) = found.boundaries
    assert (line.along, line.at) == ("T", {})
    assert line.estimate.low <= 0.5 <= line.estimate.high
    assert line.estimate.high - line.estimate.low < 0.25
    np.testing.assert_allclose(found.cells["m_exponent"], alpha, atol=0.1)


def vanishing(rng, points=21, amplitude=3.0, realizations=8):
    """m falls to zero at T = 0.5; finite sizes have amplitude / sqrt(L) on top of it."""
    T = np.linspace(0, 1, points)
    m = np.maximum(0.5 - T, 0.0)[:, None] + amplitude * SIZES**-0.5
    noise = 0.02 * rng.normal(size=(*m.shape, realizations))
    return xr.Dataset(
        {"m": (("T", "L", "realization"), m[..., None] + noise)}, {"T": T, "L": SIZES}
    )


def test_limits_decide_and_have_borders():
    inside = []
    for seed in range(60):
        found = by_rules(vanishing(np.random.default_rng(seed)), PHASES, LIMITS, ("T",), "L")
        (line,) = found.boundaries
        assert line.between == ("disordered", "ordered")
        assert line.quantity == "m_limit = 0.3"
        inside.append(line.estimate.low <= 0.2 <= line.estimate.high)
        clear = np.abs(found.cells["T"].values - 0.2) > 0.12
        right = np.where(found.cells["T"] < 0.2, "ordered", "disordered")
        assert (names(found)[clear] == right[clear]).all()
    assert np.mean(inside) > 0.9
    np.testing.assert_allclose(
        found.cells["m_limit"], np.maximum(0.5 - np.linspace(0, 1, 21), 0), atol=0.08
    )
    assert found.method["rules"][0] == "ordered: m_limit (line in size^-0.5) > 0.3"
    assert "line in L^-0.5" in found.method["error_method"]
    # the control: at the largest size all is ordered still, and a wrong correction shows
    atlast = [dataclasses.replace(rule, of="value") for rule in LIMITS]
    ds = vanishing(np.random.default_rng(0))
    assert (names(by_rules(ds, PHASES, atlast, ("T",), "L")) == "ordered").all()
    wrong = [dataclasses.replace(rule, correction=2.0) for rule in LIMITS]
    cells = by_rules(ds, PHASES, wrong, ("T",), "L").cells
    assert (cells["m_limit_fit_probability"] < 0.01).all()


@pytest.mark.parametrize("rules", [RULES, LIMITS])
def test_borders_along_shared_disorder_cover_at_their_level(rules):
    """One disorder for all temperatures moves the whole curve, and the border with it."""
    rng = np.random.default_rng(3)
    at, edge = np.linspace(0, 1, 21), rules[0].above
    inside, within, lengths, errors = [], [], [], []
    for _ in range(200):
        truth = rng.uniform(0.35, 0.65)
        m = edge - 0.45 * np.tanh((at - truth) / 0.15)[:, None, None]
        sizes = SIZES if rules is LIMITS else SIZES[:1]
        if rules is LIMITS:
            m = m + sizes[:, None] ** -0.5
        m = m + 0.08 * rng.normal(size=(len(sizes), 8))  # of every size and realization
        ds = xr.Dataset({"m": (("T", "L", "realization"), m)}, {"T": at, "L": sizes})
        (line,) = by_rules(ds, PHASES, rules, ("T",), "L").boundaries
        inside.append(line.estimate.low <= truth <= line.estimate.high)
        within.append(abs(line.estimate.value - truth) < line.estimate.error)
        lengths.append(line.estimate.high - line.estimate.low)
        errors.append(line.estimate.value - truth)
    assert 0.91 < np.mean(inside) < 0.985
    assert 0.6 < np.mean(within) < 0.8
    assert np.median(lengths) < 1.35 * 2 * 1.96 * np.std(errors)  # and no longer than need be


def test_a_limit_is_of_one_correction_and_needs_a_size():
    ds = vanishing(np.random.default_rng(0))
    two = (LIMITS[0], dataclasses.replace(LIMITS[1], correction=1.0))
    with pytest.raises(InputError, match="two limits of m; give both rules one correction"):
        by_rules(ds, PHASES, two, ("T",), "L")
    with pytest.raises(InputError, match="a limit needs a size axis"):
        by_rules(ds.isel(L=-1, drop=True), PHASES, LIMITS, ("T",))
    with pytest.raises(InputError, match="at least two values"):
        by_rules(ds.isel(L=[-1]), PHASES, LIMITS, ("T",), "L")


def test_there_need_be_no_size():
    ds = magnet(np.random.default_rng(3)).isel(L=-1, drop=True)
    found = by_rules(ds, PHASES, RULES, ("T", "h"))
    assert set(np.unique(names(found))) >= {"ordered", "disordered"}
    with pytest.raises(InputError, match="needs a size axis"):
        by_rules(ds, PHASES, GROWTH, ("T", "h"))


def test_all_rules_of_a_phase_must_hold_and_of_one_phase_only():
    rng = np.random.default_rng(4)
    ds = powers([0.3, 0.3, -0.3, -0.3], rng, scatter=0.01)
    ds["q"] = ds["m"] * 0 + xr.DataArray([1.0, 0.0, 1.0, 0.0], dims="T")
    rules = (*GROWTH, Rule(phase="ordered", quantity="q", above=0.5))
    assert names(by_rules(ds, PHASES, rules, ("T",), "L")).tolist() == [
        "ordered",
        "unresolved",
        "disordered",
        "disordered",
    ]
    rules = (*GROWTH, Rule(phase="frozen", quantity="q", above=0.5))  # now two hold at 0 and 2
    assert names(by_rules(ds, PHASES, rules, ("T",), "L")).tolist() == [
        "unresolved",
        "ordered",
        "unresolved",
        "disordered",
    ]


def test_a_range_is_above_and_below():
    ds = magnet(np.random.default_rng(5)).isel(h=0)
    rules = (Rule(phase="frozen", quantity="m", above=0.3, below=0.7),)
    found = by_rules(ds, PHASES, rules, ("T",), "L")
    expected = np.where(np.abs(T - 0.55) < 0.19, "frozen", "unresolved")
    assert (names(found) == expected).all()


def test_a_third_phase_is_no_part_of_a_border():
    alpha = np.linspace(-0.3, 0.3, 13)
    ds = powers(alpha, np.random.default_rng(6), scatter=0.01)
    ds["q"] = ds["m"] * 0 + xr.DataArray(np.where(alpha > 0.15, 0.0, 1.0), dims="T")
    rules = [dataclasses.replace(rule) for rule in GROWTH]
    rules += [Rule(phase=name, quantity="q", above=0.5) for name in ("ordered", "disordered")]
    rules += [Rule(phase="frozen", quantity="q", below=0.5)]
    found = by_rules(ds, PHASES, rules, ("T",), "L")
    assert names(found)[-3:].tolist() == ["frozen"] * 3
    by_pair = {line.between: line for line in found.boundaries}
    border = by_pair["disordered", "ordered"].estimate
    assert border.low <= 0.5 <= border.high
    step = by_pair["frozen", "ordered"]
    assert step.estimate.low == pytest.approx(0.75, abs=0.02)  # somewhere between two points
    assert step.estimate.high == pytest.approx(0.833, abs=0.02)
    assert flagged(step.flags, "coarse grid")


def test_censored_times_are_judged_by_their_median():
    # three of nine runs did not finish: their mean is infinite, their median is not
    rng = np.random.default_rng(7)
    time = np.exp(rng.normal(np.log([[10.0], [100.0], [1000.0]]), 0.1, size=(3, 9)))
    time[1, :3] = time[2, :7] = np.inf
    ds = xr.Dataset({"t": (("T", "realization"), time)}, {"T": [0.0, 1.0, 2.0]})
    rules = (
        Rule(phase="ordered", quantity="t", below=300.0),
        Rule(phase="frozen", quantity="t", above=300.0),
    )
    found = by_rules(ds, PHASES, rules, ("T",), censored=("t",))
    # with a third unfinished the upper end of the median's interval is infinite
    assert names(found).tolist() == ["ordered", "unresolved", "frozen"]
    assert np.isinf(found.cells["t"].values).tolist() == [False, False, True]
    time[2] = np.inf  # not once: nothing is more certain
    assert names(by_rules(ds, PHASES, rules, ("T",), censored=("t",)))[2] == "frozen"
    (line,) = found.boundaries
    assert 0 <= line.estimate.low < 2 < line.estimate.high
    # the control: without the declaration those that finished speak for all
    assert by_rules(ds, PHASES, rules, ("T",)).cells["t"].values[1] < 120


def test_intervals_of_medians_leave_the_truth_as_rarely_as_stated():
    rng = np.random.default_rng(8)
    time = np.exp(0.5 * rng.normal(size=(500, 15)))
    ds = xr.Dataset({"t": (("T", "realization"), np.where(time > 2, np.inf, time))})
    found = values(ds, "t", censored=True, draws=300)
    outside = (found["t_low"] > 1) | (found["t_high"] < 1)
    assert outside.mean() < 0.06
    assert (np.abs(found["t"] - 1) < found["t_error"]).mean() > 0.6


def test_a_deterministic_system_is_judged_as_it_is():
    ds = magnet(np.random.default_rng(9), realizations=1, scatter=0.0)
    unknown = by_rules(ds, PHASES, RULES, ("T", "h"), "L")
    assert (unknown.cells["phase"] == 0).all()  # a single realization has no error
    known = by_rules(ds.isel(realization=0), PHASES, RULES, ("T", "h"), "L", deterministic=True)
    truth = T[:, None] - 0.55 - H / 2
    clear = np.abs(truth) > 1e-9
    assert (names(known)[clear] == np.where(truth < 0, "ordered", "disordered")[clear]).all()
    along = [line for line in known.boundaries if line.along == "T"]
    assert all(e.low <= 0.55 + b.at["h"] / 2 <= e.high for b in along for e in [b.estimate])


def test_missing_realizations_are_left_out():
    ds = magnet(np.random.default_rng(10))
    gone = ds.copy(deep=True)
    gone["m"][0, 0, :, 3:] = np.nan
    gone["m"][1, 0] = np.nan
    whole, part = (by_rules(d, PHASES, RULES, ("T", "h"), "L").cells for d in (ds, gone))
    assert part["m_dof"][0, 0] == 2
    assert part["phase"][1, 0] == 0
    xr.testing.assert_identical(
        part.drop_attrs().isel(h=slice(1, None)), whole.drop_attrs().isel(h=slice(1, None))
    )


def test_one_value_of_an_axis_may_be_selected():
    ds = magnet(np.random.default_rng(11))
    whole = by_rules(ds, PHASES, RULES, ("T", "h"), "L")
    part = by_rules(ds.sel(h=0.2), PHASES, RULES, ("T", "h"), "L")
    assert part.cells.sizes == {"T": 11, "h": 1}
    np.testing.assert_array_equal(part.cells["phase"], whole.cells["phase"].sel(h=[0.2]))


def test_an_axis_too_many_or_too_few_says_what_to_do():
    ds = magnet(np.random.default_rng(12))
    with pytest.raises(InputError, match=r"also sweeps h \(0.0, 0.1, .*--select h=VALUE"):
        by_rules(ds, PHASES, RULES, ("T",), "L")
    with pytest.raises(InputError, match=r"L = 8 was selected: leave out --select L"):
        by_rules(ds.isel(L=0), PHASES, RULES, ("T", "h"), "L")
    with pytest.raises(InputError, match=r"put g = \[...\] into its \[grid\]"):
        by_rules(ds, PHASES, RULES, ("T", "g"), "L")
    # an observable that no rule asks for may have axes of its own
    spectrum = xr.DataArray(np.zeros((11, 5)), dims=("T", "mode"))
    by_rules(ds.assign(s=spectrum), PHASES, RULES, ("T", "h"), "L")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(phase="ordred", quantity="m", above=0.5), "did you mean 'ordered'"),
        (Rule(phase="ordered", quantity="q", above=0.5), "unknown observable 'q'"),
    ],
)
def test_rules_that_cannot_be_judged_are_refused(rule, message):
    with pytest.raises(InputError, match=message):
        by_rules(magnet(np.random.default_rng(13)), PHASES, (rule,), ("T", "h"), "L")


@pytest.mark.parametrize("n", [2, 3, 5, 6, 12])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_a_few_realizations_that_agree_claim_no_phase(n, scale):
    """Of yes or no, as whether a cluster spans, a few agree by chance: no scatter is no proof."""
    flips = np.random.default_rng(n).random((3000, n)) < 0.5
    data = xr.Dataset(
        {"m": (("T", "realization"), scale * flips)},
        coords={"T": np.arange(3000.0), "realization": range(n)},
    )
    rules = (
        Rule(phase="ordered", quantity="m", above=scale / 2),
        Rule(phase="disordered", quantity="m", below=scale / 2),
    )
    cells = by_rules(data, PHASES[:2], rules, ("T",)).cells
    claimed = float((cells["phase"] > 0).mean())
    assert claimed < 0.09  # 2 x 2.3 %, and the grain of binomials; it was 0.5 of two
    agree = flips.all(axis=1) | ~flips.any(axis=1)
    assert (np.isnan(cells["m_error"].values) == (agree & (n < 6))).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "above or below what"),
        ({"of": "exponents", "above": 0}, "did you mean 'exponent'"),
        ({"above": "0.5"}, "expected finite numbers"),
        ({"below": float("nan")}, "expected finite numbers"),
        ({"below": 10**400}, "expected finite numbers"),
        ({"above": 0, "of": "limit", "correction": 0}, "correction = 0: expected a positive"),
        ({"above": 0, "of": "limit", "correction": "1/2"}, "expected a positive number"),
        ({"above": 1, "below": 0}, "the lower one above"),
        ({"above": 1, "quantity": 3}, "quantity = 3: expected a text"),
    ],
)
def test_rules_that_say_nothing_are_refused_where_they_are_written(content, message):
    with pytest.raises(InputError, match=message):
        Rule(**{"phase": "ordered", "quantity": "m"} | content)


def test_rules_and_phases_are_plain_data():
    said = json.loads(json.dumps([dataclasses.asdict(x) for x in (*PHASES, *RULES, *GROWTH)]))
    assert Phase(**said[0]) == PHASES[0]
    assert Rule(**said[3]) == RULES[0]
