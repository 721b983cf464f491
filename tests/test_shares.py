"""Phases of single realizations: honest probabilities, and which is significantly the largest."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.stats import binom, multinomial, norm

from criticality import Card, InputError, Observable, Phase, Rule, figures
from criticality.analysis.classify import by_rules
from criticality.analysis.shares import by_shares, significant
from criticality.analysis.stats import binomial_interval
from criticality.base import probability_name
from criticality.figures.book import Book
from criticality.figures.pages import generic_pages
from criticality.results import Results
from tests.own import command

__all__ = ["command"]  # a fixture

PHASES = (Phase(name="low"), Phase(name="not so low", letter="N"), Phase(name="high"))
RULES = (
    Rule(phase="low", quantity="m", of="each", below=0.5),
    Rule(phase="not so low", quantity="m", of="each", above=0.5, below=1.5),
    Rule(phase="high", quantity="m", of="each", above=1.5),
)
TWO = PHASES[0], PHASES[2]
HALVES = RULES[0], dataclasses.replace(RULES[2], above=0.5)


def data(m, x=None, **more):
    """A data set of m [x, realization], or [x, y, realization]."""
    m = np.asarray(m, float)
    dims = ("x", "y")[: m.ndim - 1]
    coords = {d: np.arange(n, dtype=float) for d, n in zip(dims, m.shape, strict=False)}
    coords |= {} if x is None else {"x": x}
    arrays = {name: ((*dims, "realization"), array) for name, array in {"m": m, **more}.items()}
    return xr.Dataset(arrays, coords)


def of_counts(*rows):
    """m of 0, 1, 2 and -inf (no phase) as often as the rows say; NaN fills them up."""
    longest = max(map(sum, rows))
    full = [np.repeat([0.0, 1.0, 2.0, 0.5], row).tolist() for row in rows]
    return data([row + [math.nan] * (longest - len(row)) for row in full])


# --- intervals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.68, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 31, 100])
def test_intervals_of_probabilities_cover_as_often_as_they_say(n, level):
    hits, p = np.arange(n + 1), np.linspace(0, 1, 1001)
    low, high = binomial_interval(hits, np.full(n + 1, n), level)
    inside = (low[:, None] <= p) & (p <= high[:, None])
    covers = (binom.pmf(hits[:, None], n, p) * inside).sum(axis=0)  # exactly
    assert covers.min() >= level - 1e-12
    # and no end could be further in: it is where what was seen is as rare as allowed
    tail = (1 - level) / 2
    np.testing.assert_allclose(binom.sf(hits[1:] - 1, n, low[1:]), tail, rtol=1e-8)
    np.testing.assert_allclose(binom.cdf(hits[:-1], n, high[:-1]), tail, rtol=1e-8)
    assert (low[0], high[-1]) == (0, 1)
    # the control: Gaussian errors would miss most of what is rare
    share = hits / n
    wide = norm.isf(tail) * np.sqrt(share * (1 - share) / n)
    naive = np.abs(p - share[:, None]) <= wide[:, None]
    assert (binom.pmf(hits[:, None], n, p) * naive).sum(axis=0)[1:-1].min() < 0.7 * level


def test_without_trials_there_is_no_interval():
    low, high = binomial_interval([0, 0], [0, 4], 0.95)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (0, pytest.approx(1 - 0.025**0.25))


# --- which is the largest ------------------------------------------------------------------------


def claims(counts, sigmas=2.0):
    """Outcome that is claimed to be the largest, -1 if none; counts [outcomes, ...]."""
    return np.where(significant(counts, sigmas), np.argmax(counts, axis=0), -1)


@pytest.mark.parametrize("sigmas", [1.0, 2.0, 3.0])
def test_a_fair_coin_is_claimed_for_either_side_no_more_often_than_nominal(sigmas):
    rates = []
    for n in range(1, 61):
        hits = np.arange(n + 1)
        claimed = claims(np.array([n - hits, hits]), sigmas)
        for side in (0, 1):
            rate = binom.pmf(hits, n, 0.5)[claimed == side].sum()
            assert rate <= norm.sf(sigmas) + 1e-12
            rates.append(rate)
    assert max(rates) > 0.8 * norm.sf(sigmas)  # and is no more cautious than need be


def test_the_power_is_that_of_the_sign_test():
    hits = np.arange(11)
    claimed = claims(np.array([10 - hits, hits]))
    assert binom.pmf(hits, 10, 0.9)[claimed == 1].sum() == pytest.approx(0.7361, abs=1e-4)
    assert binom.pmf(hits, 10, 0.9)[claimed == 0].sum() < 1e-6
    alike = [int(claims(np.array([n, 0]))) for n in range(1, 8)]
    assert alike == [-1] * 5 + [0] * 2  # as everywhere: five that agree say nothing
    assert not significant(np.array([[0], [0]]), 2.0)


@pytest.mark.parametrize(
    "p",
    [
        (1 / 3, 1 / 3, 1 / 3),
        (0.5, 0.5, 0),
        (0.45, 0.45, 0.1),
        (0.4, 0.4, 0.1, 0.1),
        (0.25, 0.25, 0.25, 0.25),
        (0.4, 0.35, 0.25),
    ],
)
def test_of_several_phases_a_false_one_is_claimed_no_more_often(p):
    """The data choose the two that are compared; exact sums over all outcomes."""
    bound = 2 * norm.sf(2.0)
    for n in (6, 9, 12, 17):
        every = itertools.product(range(n + 1), repeat=len(p) - 1)
        counts = np.array([(*c, n - sum(c)) for c in every if sum(c) <= n]).T
        chance = multinomial.pmf(counts.T, n, p)
        assert chance.sum() == pytest.approx(1)
        largest = p.index(max(p)) if p.count(max(p)) == 1 else None
        claimed = claims(counts)
        false = chance[(claimed >= 0) & (claimed != largest)].sum()
        assert false <= bound + 1e-12
        naive = chance[(counts.max(axis=0) > n / 3) & (counts.argmax(axis=0) != largest)].sum()
        assert naive > 3 * bound  # the control: the most frequent one, untested


# --- cells ---------------------------------------------------------------------------------------


def test_counts_of_a_data_set_made_by_hand():
    ds = of_counts((10, 0, 0, 0), (1, 9, 0, 0), (0, 5, 5, 0), (2, 3, 1, 4), (3, 0, 1, 0), (0,) * 4)
    cells = by_shares(ds, PHASES, RULES, ("x",)).cells
    assert cells["likely"].values.tolist() == [1, 2, 2, 0, 1, 0]  # of equals the first
    assert cells["phase"].values.tolist() == [1, 2, 0, 0, 0, 0]
    assert cells["likely"].dtype == cells["phase"].dtype == np.int8
    assert cells["likely"].attrs["flag_meanings"] == "unresolved low not so low high"
    assert cells["realizations"].values.tolist() == [10, 10, 10, 10, 4, 0]
    assert cells["labelled"].values.tolist() == [10, 10, 10, 6, 4, 0]
    names = [f"probability_{name}" for name in ("low", "not_so_low", "high", "unresolved")]
    found = np.array([cells[name] for name in names])
    expected = [[1, 0.1, 0, 0.2, 0.75], [0, 0.9, 0.5, 0.3, 0], [0, 0, 0.5, 0.1, 0.25], [0] * 5]
    expected[3][3] = 0.4
    np.testing.assert_allclose(found[:, :5], expected)
    assert np.isnan(found[:, 5]).all()
    assert np.isnan(cells["probability_low_high"][5])
    low, high = binomial_interval([9, 5], [10, 10], 0.95)
    np.testing.assert_allclose(cells["probability_not_so_low_low"][1:3], low)
    np.testing.assert_allclose(cells["probability_not_so_low_high"][1:3], high)


def test_plain_data_say_names_for_codes():
    found = by_shares(of_counts((9, 0, 1, 0), (3, 2, 0, 0)), PHASES, RULES, ("x",), level=0.9)
    rows = found.to_dict()["cells"]
    assert [(row["phase"], row["likely"]) for row in rows] == [("low",) * 2, ("unresolved", "low")]
    assert rows[1]["probability_not_so_low"] == 0.4
    assert rows[1]["realizations"] == 5
    low, high = binomial_interval([2], [5], 0.9)
    ends = rows[1]["probability_not_so_low_low"], rows[1]["probability_not_so_low_high"]
    assert ends == (low[0], high[0])
    json.dumps(found.to_dict(), allow_nan=False)


def test_infinite_times_are_above_everything_and_undefined_ones_in_no_phase():
    inf, nan = math.inf, math.nan
    time = [[inf] * 10, [1.0] * 10, [nan] * 10, [nan] * 5 + [1.0] * 5]
    there = [[0.0] * 10] * 3 + [[nan] * 5 + [0.0] * 5]
    ds = data(time, other=there)
    cells = by_shares(ds, PHASES, RULES, ("x",)).cells
    assert cells["likely"].values.tolist() == [3, 2, 0, 2]
    # what has no value at all is missing; what lacks this one only is there, and in no phase
    assert cells["realizations"].values.tolist() == [10, 10, 10, 5]
    assert cells["labelled"].values.tolist() == [10, 10, 0, 5]
    assert cells["probability_unresolved"].values.tolist() == [0, 0, 1, 0]
    # derived quantities of what is missing may be anything
    ds["made"] = ds["m"].fillna(1.0)
    rules = [dataclasses.replace(rule, quantity="made") for rule in RULES]
    cells = by_shares(ds, PHASES, rules, ("x",), observables=("m", "other")).cells
    assert cells["realizations"].values.tolist() == [10, 10, 10, 5]
    assert by_shares(ds, PHASES, rules, ("x",)).cells["realizations"][3] == 10


def test_a_realization_in_several_phases_is_unresolved():
    rules = (HALVES[0], Rule(phase="high", quantity="q", of="each", above=0.5))
    q = np.array([[1.0] * 6, [0.0] * 6, [1.0] * 6])
    cells = by_shares(data([[0] * 6, [0] * 6, [1] * 6], q=q), TWO, rules, ("x",)).cells
    assert cells["phase"].values.tolist() == [0, 1, 2]
    assert cells["probability_unresolved"].values.tolist() == [1, 0, 0]


def test_a_few_in_a_phase_of_many_in_none_are_no_phase():
    cells = by_shares(of_counts((6, 0, 0, 60), (60, 0, 0, 6)), PHASES, RULES, ("x",)).cells
    assert cells["phase"].values.tolist() == [0, 1]
    assert cells["likely"].values.tolist() == [0, 1]


def test_the_largest_size_is_judged_and_repetitions_are_averaged_first():
    m = np.zeros((3, 2, 8, 2))  # x, L, realization, pass
    m[1:, 0] = 2.0  # of the largest size
    m[2, 0, :, 0] = 0.0  # 0 and 2 are 1, which is neither low nor high
    dims = ("x", "L", "realization", "pass")
    ds = xr.Dataset({"m": (dims, m)}, {"x": [0.0, 1.0, 2.0], "L": [64, 8]})
    for one in (ds, ds.transpose("pass", "L", "realization", "x")):
        found = by_shares(one, PHASES, RULES, ("x",), "L")
        assert found.cells["phase"].values.tolist() == [1, 3, 2]
        assert found.method["sizes"].tolist() == [8, 64]
    times = ds.where(ds != 0, math.inf)  # medians of what is censored
    censored = by_shares(times, PHASES, RULES, ("x",), "L", censored=("m",)).cells
    assert censored["phase"].values.tolist() == [3, 3, 3]
    with pytest.raises(InputError, match="also sweeps L"):
        by_shares(ds, PHASES, RULES, ("x",))


def test_a_plane_with_an_inner_axis_or_a_selected_value():
    m = np.zeros((4, 3, 7)) + np.array([0.0, 1.0, 2.0])[:, None]
    ds = data(m).assign(other=("x", np.arange(4.0)))
    found = by_shares(ds, PHASES, RULES, ("y", "x")).cells
    assert found["phase"].dims == ("y", "x")
    assert found["phase"].values.tolist() == [[1] * 4, [2] * 4, [3] * 4]
    part = by_shares(ds.sel(x=2.0), PHASES, RULES, ("x", "y")).cells
    assert part["phase"].values.tolist() == [[1, 2, 3]]
    assert part["realizations"].values.tolist() == [[7, 7, 7]]


def test_one_realization_decides_nothing_but_of_a_deterministic_system():
    ds = data([[0.0], [1.0], [math.nan]])
    chance = by_shares(ds, PHASES, RULES, ("x",)).cells
    assert chance["phase"].values.tolist() == [0, 0, 0]
    assert chance["likely"].values.tolist() == [1, 2, 0]
    assert chance["probability_low_low"][0] == pytest.approx(0.025)
    for one in (ds, ds.isel(realization=0)):
        sure = by_shares(one, PHASES, RULES, ("x",), deterministic=True)
        assert sure.cells["phase"].values.tolist() == [1, 2, 0]
        assert sure.cells["probability_low_low"].values[:2].tolist() == [1, 0]
        (line,) = sure.boundaries
        assert 0 <= line.estimate.low < line.estimate.value < line.estimate.high <= 1
        assert "no scatter" in line.estimate.method


# --- borders -------------------------------------------------------------------------------------


def steps(rng, edges, n, points=21, width=0.05, shared=False):
    """m of 0, 1, ... by the edges that x and a logistic number pass."""
    x = np.linspace(0, 1, points)
    at = x[:, None] + width * rng.logistic(size=(1 if shared else points, n))
    return data(sum((at > edge).astype(float) for edge in edges), x)


@pytest.mark.parametrize("shared", [False, True])
def test_two_phases_are_equally_probable_at_the_border(shared):
    rng = np.random.default_rng(0)
    inside, errors, lengths = [], [], []
    for _ in range(150):
        truth = rng.uniform(0.35, 0.65)
        (line,) = by_shares(steps(rng, [truth], 20, shared=shared), TWO, HALVES, ("x",)).boundaries
        assert line.between == ("low", "high")
        inside.append(line.estimate.low <= truth <= line.estimate.high)
        errors.append(line.estimate.value - truth)
        lengths.append(line.estimate.high - line.estimate.low)
    assert np.mean(inside) > 0.92
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(150)
    assert np.median(lengths) < 2 * 2 * 1.96 * np.std(errors)


def test_borders_are_between_neighbours():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(20):
        found = by_shares(steps(rng, [0.3, 0.7], 40, width=0.02), PHASES, RULES, ("x",))
        between = {line.between: line.estimate for line in found.boundaries}
        assert set(between) == {("low", "not so low"), ("not so low", "high")}  # not low and high
        inside += [
            line.low < truth < line.high
            for line, truth in zip(between.values(), (0.3, 0.7), strict=True)
        ]
    assert np.mean(inside) > 0.9
    same = by_shares(steps(rng, [2.0], 40), PHASES, RULES, ("x",))
    assert same.boundaries == ()
    texts = steps(rng, [0.5], 40).assign_coords(x=[f"x{i}" for i in range(21)])
    assert by_shares(texts, TWO, HALVES, ("x",)).boundaries == ()  # no order of names


def test_borders_of_a_plane_lie_along_both_axes():
    rng = np.random.default_rng(2)
    x, y = np.linspace(0, 1, 11), np.linspace(0, 1, 6)
    at = x[:, None, None] + y[:, None] / 4 + 0.04 * rng.logistic(size=(11, 6, 30))
    found = by_shares(data(at > 0.6, x, q=at).assign_coords(y=y), TWO, HALVES, ("x", "y"))
    along = {axis: [b for b in found.boundaries if b.along == axis] for axis in ("x", "y")}
    assert [b.at["y"] for b in along["x"]] == y.tolist()
    assert all(b.estimate.low <= 0.6 - b.at["y"] / 4 <= b.estimate.high for b in along["x"])
    assert {round(b.at["x"], 1) for b in along["y"]} <= {0.3, 0.4, 0.5, 0.6, 0.7}
    assert along["y"]


# --- what is refused -----------------------------------------------------------------------------


def card(rules, phases=PHASES):
    return Card(name="mine", observables=(Observable(name="m"),), phases=phases, rules=rules)


def test_rules_of_single_realizations_and_of_means_do_not_mix():
    mixed = (RULES[0], dataclasses.replace(RULES[1], of="value"))
    message = r"rules of mine: .* low on m judges every single .*: give of=\"each\" to all"
    with pytest.raises(InputError, match=message):
        card(mixed)
    ds = of_counts((1, 1, 1, 1))
    with pytest.raises(InputError, match=r"give of=\"each\" to all"):
        by_shares(ds, PHASES, mixed, ("x",))
    with pytest.raises(InputError, match=r"expected of=\"each\""):
        by_shares(ds, PHASES, mixed[1:], ("x",))
    with pytest.raises(InputError, match=r"analysis.shares.by_shares"):
        by_rules(ds, PHASES, RULES, ("x",))
    with pytest.raises(InputError, match="unknown observable 'n'"):
        by_shares(ds, PHASES, [dataclasses.replace(RULES[0], quantity="n")], ("x",))


def test_probabilities_need_names_of_their_own():
    assert probability_name("a b-c") == "probability_a_b_c"
    phases = Phase(name="a b"), Phase(name="a-b")
    rule = Rule(phase="a b", quantity="m", of="each", above=0)
    with pytest.raises(InputError, match="two of one name; let them differ in letters"):
        card((rule,), phases)
    card((dataclasses.replace(rule, of="value"),), phases)


def test_cards_are_kept_and_those_from_before_open():
    assert Card.from_dict(json.loads(json.dumps(card(RULES).to_dict()))) == card(RULES)
    old = card((Rule(phase="low", quantity="m", above=0),)).to_dict()
    for name in ("of", "correction"):
        del old["rules"][0][name]
    assert Card.from_dict(old).rules[0].of == "value"


# --- figures -------------------------------------------------------------------------------------


def mesh(ax):
    (found,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    return found


@pytest.fixture(scope="module")
def diagram():
    """Phases in all states: sure, likely, in none, missing."""
    rows = [
        [(9, 0, 1, 0), (6, 4, 0, 0)],
        [(0, 9, 1, 0), (3, 0, 7, 0)],
        [(0, 0, 0, 9), (0, 0, 0, 0)],
    ]
    m = of_counts(*(cell for row in rows for cell in row))["m"].values.reshape(3, 2, 10)
    return by_shares(data(m), PHASES, RULES, ("x", "y"))


def test_a_map_has_the_colours_of_the_likely_and_hatches_what_is_not_significant(diagram):
    ax = figures.phase_map(diagram)
    np.testing.assert_array_equal(mesh(ax).get_array(), [[1, 2, 0], [1, 3, 0]])
    hatched = {
        (round(p.get_x() + 0.5), round(p.get_y() + 0.5))
        for p in ax.patches
        if isinstance(p, Rectangle)
    }
    assert hatched == {(0, 1), (1, 1), (2, 0)}  # (2, 1) was not measured
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    expected = ["low", "not so low", "high", "unresolved", "not measured", "not significant"]
    assert words == expected
    sure = by_shares(of_counts((9, 0, 0, 0), (0, 0, 9, 0)), PHASES, RULES, ("x",))
    words = [text.get_text() for text in figures.phase_map(sure).get_legend().get_texts()]
    assert words[:2] == ["low", "high"]
    assert "not significant" not in words


def test_borders_are_drawn_of_two_phases_alone():
    rng = np.random.default_rng(3)
    two = by_shares(steps(rng, [0.5], 20), TWO, HALVES, ("x",))
    three = by_shares(steps(rng, [0.3, 0.7], 20, width=0.02), PHASES, RULES, ("x",))
    assert len(figures.phase_map(two).lines) == 3  # the point and both ends of its interval
    assert len(three.boundaries) == 2
    assert not figures.phase_map(three).lines


def test_probabilities_are_drawn_on_one_scale(diagram):
    row = Figure().subplots(1, 4)
    figures.probability_maps(diagram, row)
    for ax, name in zip(row, ("low", "not so low", "high", "unresolved"), strict=True):
        expected = diagram.cells[probability_name(name)].values.T
        np.testing.assert_allclose(np.ma.filled(mesh(ax).get_array(), np.nan), expected)
        assert mesh(ax).get_clim() == (0, 1)
        assert ax.get_title() == name
    bars = [ax for ax in row[0].figure.axes if ax not in list(row)]
    assert [ax.get_ylabel() for ax in bars] == ["probability"]


# --- a user's own --------------------------------------------------------------------------------

SYSTEM = """
from criticality import Observable, Phase, Rule, control, system
from criticality.base import Derived

def twice(ds):
    return 2 * ds["m"]

@system(
    observables=(Observable(name="m", undefined=True), Observable(name="n")),
    derived=(Derived(name="twice", function=twice),),
    plane=("x", "y"), size="N",
    phases=(Phase(name="cold"), Phase(name="luke warm", letter="W"), Phase(name="hot")),
    rules=(Rule(phase="cold", quantity="twice", of="each", below=1),
           Rule(phase="luke warm", quantity="twice", of="each", above=1, below=3),
           Rule(phase="hot", quantity="twice", of="each", above=3)),
)
def coin(rng, x=control(0.0), y=control(0.0), N=control(8), field=control(0.0)):
    p = rng.random()
    if x == 2 and p < 0.2:
        raise ValueError("bad luck")
    if y == 1 and p < 0.15:
        return {"m": float("nan"), "n": 1}
    return {"m": float(x > 0) + float(x > 1) + (N < 8), "n": 1}
"""
GRID = "realizations = 12\n[grid]\nx = [0.0, 1.0, 2.0]\ny = [0.0, 1.0]\nN = [4, 8]\n"


def test_a_system_of_ones_own_is_run_classified_and_drawn(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("coin.py").write_text(SYSTEM)
    Path("coin.toml").write_text(f'system = "coin"\n{GRID}')
    own = ("--system", "coin.py:coin")
    code, _, said = command(
        "run", "coin.toml", "--store", "s", "--workers", 1, "--quiet", "--json", *own
    )
    assert code == 1, said  # some fail
    found = json.loads(command("phases", "s", "--json", *own)[1])
    names = {0: "cold", 1: "luke warm", 2: "hot"}
    lost = unlabelled = 0
    for cell in found["cells"]:
        n = cell["realizations"]
        assert n == 12 or cell["x"] == 2
        assert cell["likely"] == names[cell["x"]]
        assert cell["probability_unresolved"] == pytest.approx(1 - cell["labelled"] / n)
        own_share = cell[probability_name(names[cell["x"]])]
        assert own_share == pytest.approx(cell["labelled"] / n)
        lost += 12 - n
        unlabelled += n - cell["labelled"]
    assert lost > 0
    assert unlabelled > 0
    code, out, _ = command("phases", "s", *own)
    assert code == 0
    table = out.splitlines()
    assert table[0] == "phase of every cell: C cold, W luke warm, H hot, ? unresolved"
    assert table[4].split() == [
        "1",
        *(
            "CWH"[i] + "?" * (c["phase"] == "unresolved")
            for i, c in enumerate(found["cells"][1::2])
        ),
    ]
    assert table[5].split() == ["0", "C", "W", "H"]
    head = next(i for i, line in enumerate(table) if "phase of most" in line)
    assert table[head + 1].split() == ["0", "0", "cold", "1.00", "[0.74,", "1.00]", "12"]
    assert "at N = 8, the largest; others with --select N=VALUE" in table
    smaller = json.loads(command("phases", "s", "--json", "--select", "N=4", *own)[1])["cells"]
    for cell in smaller:
        assert cell["likely"] == {0: "luke warm", 1: "hot", 2: "hot"}[cell["x"]]
    code, out, said = command("figures", "s", "--out", "f", *own)
    assert code == 0, said
    assert {Path(line).stem for line in out.split()} >= {"phases", "probabilities"}
    # where the function is not, its quantity is not either
    code, _, said = command("phases", "s")
    assert code == 2
    assert "unknown observable 'twice'" in said


def test_a_page_of_probabilities_for_every_value_of_another_axis(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("coin.py").write_text(SYSTEM)
    grid = "realizations = 2\n[grid]\nfield = [0.0, 1.0]\nx = [0.0, 1.0]\ny = [0.0]\nN = [8]\n"
    Path("coin.toml").write_text(f'system = "coin"\n{grid}')
    own = ("--system", "coin.py:coin")
    run_it = ("run", "coin.toml", "--store", "s", "--workers", 1, "--quiet", *own)
    assert command(*run_it)[0] == 0
    book = Book()
    generic_pages(Results(Path("s"), None, own[1]), book, {})
    page = book.pages["probabilities"]
    assert [row.get_suptitle() for row in page.subfigs] == ["field = 0", "field = 1"]
    assert [len(row.axes) for row in page.subfigs] == [4, 4]  # three phases and a colour bar
