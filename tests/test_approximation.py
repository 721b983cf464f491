"""Approximation rates: networks of exact weights, functions that are known exactly, and rates."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from criticality import InputError, Study, keys, phase_diagram, run
from criticality.base import canonical
from criticality.catalog import find
from criticality.cli import main
from criticality.systems.approximation import code, figures, functions, lookup
from criticality.systems.approximation.constructions import ApproximatingNetwork, LookupNetwork
from criticality.systems.approximation.decay import decay
from criticality.systems.approximation.functions import FINEST, PIECES, SPACES, UNITS
from criticality.systems.approximation.network import Builder, bits, wave

CLASSES = list(SPACES.values())
NAMED = pytest.mark.parametrize("space", CLASSES, ids=lambda s: f"r={s.smoothness},d={s.dimension}")
LINE = SPACES[1.0]


def generator(seed=0):
    return keys.generator(f"{seed:064x}")


def written(space, rate, weights, name="random", seed=0):
    """A function, the network for it, and what is stated of its error."""
    chosen = code.plan(space, rate, weights)
    f = functions.element(space, name, chosen.n, generator(seed))
    given = code.assignment(space, chosen, code.stored(space, chosen, f))
    return f, code.network(space, chosen, given), code.error(space, chosen, f), chosen


def looked_up(space, once=False, name="random", seed=0):
    chosen = lookup._plan(space, 6 // space.dimension, once)
    f = functions.element(space, name, 2**chosen.level, generator(seed))
    return f, lookup.network(space, chosen, f), lookup.error(space, chosen, f), chosen


def points(dimension, number, seed=0):
    rng = np.random.default_rng(seed)
    for row in rng.integers(0, 10007, (number, dimension), endpoint=True):
        yield tuple(Fraction(int(k), 10007) for k in row)


def tip(space, n):
    """Where the worst function is farthest from what joins its values at spacing 1/n."""
    if space.smoothness == 2:
        return (Fraction(1, 2 * n) + Fraction(n // 2, n),)
    return (Fraction(2 * (n // 2) + 1, 2 * n),) * space.dimension


# --- networks ---------------------------------------------------------------------------------


def test_a_forward_pass_by_hand():
    net = Builder(2)
    hidden = net.relu(net.input(0) * 3 - net.input(1) * Fraction(1, 2) + 1)
    seen = net.wave(hidden * Fraction(1, 8))
    made = net.network(seen * 2 + hidden - 5)
    assert made(1, 4) == 2 * 1 + 2 - 5  # hidden 2, a quarter of a period
    assert made(0, 4) == -5  # hidden max(-1, 0)
    assert list(made.weights()) == [3, Fraction(-1, 2), 1, Fraction(1, 8), 2, 1, -5]
    assert made.depth() == 2


def test_the_wave_is_a_triangle():
    quarters = [wave(Fraction(k, 4)) for k in range(-4, 5)]
    assert quarters == [0, 1, 0, -1, 0, 1, 0, -1, 0]
    assert wave(Fraction(1, 8)) == Fraction(1, 2)


def test_bits_of_a_weight():
    assert [bits(w) for w in (0, 1, -8, Fraction(5, 16), 2**99)] == [0, 1, 4, 7, 100]


# --- functions --------------------------------------------------------------------------------


@NAMED
@pytest.mark.parametrize("name", ["random", "worst"])
def test_elements_are_in_their_class(space, name):
    f = functions.element(space, name, 24, generator())
    h = Fraction(1, 3**9)
    for x in points(space.dimension, 40):
        assert abs(f(*x)) <= 1
        for i in range(space.dimension):
            x0, x1, x2 = ([*x[:i], min(x[i], 1 - 2 * h) + k * h, *x[i + 1 :]] for k in range(3))
            assert abs(f(*x1) - f(*x0)) <= h
            if space.smoothness == 2:
                assert abs(f(*x2) - 2 * f(*x1) + f(*x0)) <= h**2


@NAMED
@pytest.mark.parametrize("name", ["random", "worst"])
def test_values_on_a_grid_are_those_of_the_function(space, name):
    n = 12
    f = functions.element(space, name, n, generator())
    found = f.knots(n)
    for place in itertools.product(range(0, n + 1, 3), repeat=space.dimension):
        value = Fraction(int(found.numerators[place]), found.denominator)
        assert value == f(*(Fraction(k, n) for k in place))


def test_the_distance_of_broken_lines_is_the_largest_and_reached():
    values = functions.path(generator(3))
    f, n = functions.Path(values), 24
    knots = f.knots(n)
    distance = f.distance(n, knots)

    def line(x):
        k = min(int(x * n), n - 1)
        low, high = (Fraction(int(knots.numerators[i]), knots.denominator) for i in (k, k + 1))
        return low + (high - low) * (x * n - k)

    places = [Fraction(k, PIECES) for k in range(0, PIECES + 1, 1024)]
    assert max(abs(f(x) - line(x)) for x in places) <= distance
    shifted = values.astype(float) / UNITS  # the same in floating point, at all breaks
    x = np.linspace(0, 1, PIECES + 1)
    dense = np.abs(shifted - np.interp(x, np.arange(n + 1) / n, shifted_knots(knots))).max()
    assert float(distance) == pytest.approx(dense, rel=1e-9)


def shifted_knots(knots):
    return knots.numerators.astype(float) / knots.denominator


def test_the_distance_of_broken_lines_is_that_of_a_knot_between_breaks():
    flat = functions.Path(np.zeros(PIECES + 1, np.int64))
    numerators = np.zeros(25, np.int64)
    numerators[5] = 24 * 1000
    assert flat.distance(24, functions.Values(numerators, 24 * UNITS)) == Fraction(1000, UNITS)


def test_the_distance_of_ridges_is_not_less_than_on_any_line():
    n = 10
    f = functions.element(SPACES[0.5], "random", n, generator(2))
    knots = f.knots(n)
    y = np.linspace(0, 1, 20 * n + 1)
    most = 0.0
    for i in range(n + 1):
        exact = [float(f(Fraction(i, n), Fraction(k, 20 * n))) for k in range(20 * n + 1)]
        held = knots.numerators[i].astype(float) / knots.denominator
        most = max(most, np.abs(exact - np.interp(y, np.arange(n + 1) / n, held)).max())
    assert 0.5 * float(f.distance(n, knots)) < most <= float(f.distance(n, knots))


def test_random_functions_are_steep_and_flat_on_all_scales():
    values = functions.path(generator(5))
    assert values[0] == values[-1] == 0
    for level in (6, 10, 14):
        rise = np.abs(np.diff(values[:: PIECES >> level])) / (UNITS >> level)
        assert rise.max() <= 1
        assert 0.2 < np.mean(rise > 0.9) < 0.99
        assert np.mean(rise < 0.5) > 0.005


# --- codes ------------------------------------------------------------------------------------


@NAMED
@pytest.mark.parametrize("rate", [1, 1.5, 2])
@pytest.mark.parametrize("weights", [300, 1000])
def test_the_forward_pass_of_the_worst_function_has_the_stated_error_to_the_last_bit(
    space, rate, weights
):
    f, network, error, chosen = written(space, rate, weights, "worst")
    x = tip(space, chosen.n)
    assert abs(f(*x) - network(*x)) == error
    size = {1: Fraction(1 + (chosen.digits > 1), 2), 2: Fraction(1 + 4 * (chosen.digits > 1), 8)}
    expected = size[space.smoothness] + Fraction(space.dimension - 1, 2)
    assert error == expected / chosen.n**space.smoothness


@NAMED
@pytest.mark.parametrize("rate", [1, 1.75])
def test_the_weights_are_as_many_as_planned_and_no_more_than_allowed(space, rate):
    for weights in (300, 700, 1500):
        _, network, _, chosen = written(space, rate, weights)
        count = len(list(network.weights()))
        assert count == code.cost(space.dimension, chosen)
        assert 0.4 * weights < count <= weights
        assert network.depth() == (1 if chosen.digits == 1 else 2 * chosen.digits) + 4 * (
            space.dimension - 1
        )


@settings(max_examples=25, deadline=None)
@given(
    space=st.sampled_from(CLASSES),
    rate=st.sampled_from([1.0, 1.4, 2.0]),
    weights=st.sampled_from([260, 420]),
    seed=st.integers(0, 3),
    k=st.tuples(st.integers(0, 4096), st.integers(0, 4096)),
)
def test_no_point_is_farther_than_stated(space, rate, weights, seed, k):
    f, network, error, _ = _kept(space, rate, weights, seed)
    x = tuple(Fraction(part, 4096) for part in k[: space.dimension])
    assert abs(f(*x) - network(*x)) <= error


KEPT: dict = {}


def _kept(*what):
    if what not in KEPT:
        KEPT[what] = written(*what[:3], seed=what[3])
    return KEPT[what]


class OnGrid:
    """A function that is the broken line through the values that it has on its grid."""

    def __init__(self, numerators, n, smoothness):
        self.values = functions.Values(numerators, n**smoothness)

    def knots(self, n):
        return self.values

    def distance(self, n, values):
        return Fraction(0)


def line(values, n, x):
    """Broken line through values on a grid of one dimension."""
    k = min(int(x * n), n - 1)
    low, high = (Fraction(int(values.numerators[i]), values.denominator) for i in (k, k + 1))
    return low + (high - low) * (x * n - k)


def groups_along(space, chosen):
    """Ends of groups: the one before, and the place in two dimensions of what is behind."""
    for k in range(chosen.digits, chosen.groups * chosen.digits, chosen.digits):
        i, j = divmod(k, chosen.n + 1)
        if space.dimension == 1 or (i <= chosen.n and 0 < j < chosen.n):
            yield k, i, j


def test_no_point_near_the_end_of_a_group_is_farther_than_stated():
    """There codes change, and what is decoded is wrong."""
    for space in CLASSES:
        f, network, error, chosen = written(space, 2, 700)
        wrong = 0
        for k, i, j in groups_along(space, chosen):
            for part in (1, 300, 700):
                step = Fraction(part, 1024 * code.ZONE * chosen.digits)
                if space.dimension == 1:
                    at = ((k + step) / chosen.n,)
                else:  # every other line backwards
                    y = j + step if i % 2 == 0 else chosen.n - j - step
                    at = (Fraction(i, chosen.n), y / chosen.n)
                assert abs(f(*at) - network(*at)) <= error
                wrong += 1
        assert wrong > 20


@pytest.mark.parametrize("space", [s for s in CLASSES if s.dimension == 1])
def test_what_is_wrong_where_codes_change_is_within_the_stated_error_of_a_broken_line(space):
    """All of its error is there, and none elsewhere."""
    chosen = code.plan(space, 2, 700)
    n, rng = chosen.n, np.random.default_rng(3)
    rise = np.cumsum(rng.integers(-1, 2, n)) if space.smoothness == 2 else rng.integers(-1, 2, n)
    f = OnGrid(np.append(0, np.cumsum(rise)), n, space.smoothness)
    error = code.error(space, chosen, f)
    network = code.network(space, chosen, code.assignment(space, chosen, f.values))
    width = Fraction(1, code.ZONE * chosen.digits)
    most = Fraction(0)
    for k in range(chosen.digits, n, chosen.digits):
        for part in (Fraction(1, 3), Fraction(3, 4)):
            x = Fraction(k + part * width) / n
            most = max(most, abs(network(x) - line(f.values, n, x)))
        for step in (0, width, Fraction(1, 8), Fraction(9, 10)):
            x = Fraction(k + step) / n
            assert network(x) == line(f.values, n, x)
    assert 0 < most <= error


def test_between_lines_one_copy_of_the_decoder_is_in_the_lead():
    space = SPACES[0.5]
    f, network, error, chosen = written(space, 2, 900)
    within = [Fraction(part, 1024 * 1024) for part in (1, 16, 48, 512, 1008, 1023)]
    for i in range(chosen.n):
        for part in (*within, *(Fraction(k, 1024) for k in (0, 1, 2, 255, 256, 511, 1000))):
            x = (i + part) / chosen.n
            for y in (Fraction(0), Fraction(5, 9), Fraction(1)):
                assert abs(f(x, y) - network(x, y)) <= error


def test_going_over_to_the_next_line_changes_nothing():
    """There the network is as the copy that stays has it, whatever the other one reads."""
    space = SPACES[0.5]
    _, network, _, chosen = written(space, 2, 900)
    n = chosen.n
    for i in range(1, n):
        for y in (Fraction(1, 3), Fraction(6, 7)):
            before = network(Fraction(i, n), y)
            for part in (Fraction(1, 64), Fraction(1, 2), Fraction(63, 64)):
                after = network((i + part / code.ZONE) / n, y)
                assert abs(after - before) <= part / code.ZONE / n


@NAMED
def test_values_in_codes_are_exact_on_the_grid(space):
    f, network, _, chosen = written(space, 2, 700)
    n, unit = chosen.n, chosen.n**space.smoothness
    values = code.stored(space, chosen, f)
    places = range(0, n + 1, 1 if space.dimension == 1 else 3)
    for place in itertools.product(places, repeat=space.dimension):
        stored = Fraction(int(values.numerators[place]), values.denominator)
        middle = Fraction(space.dimension - 1, 2 * n)
        assert network(*(Fraction(k, n) for k in place)) == stored + middle
        assert (stored * unit).denominator == 1


def test_a_change_of_a_weight_is_relative_to_its_size():
    one, other = (code.Assignment(Fraction(w), [Fraction(0)], []) for w in (10, 15))
    assert code.moved(one, other) == pytest.approx(1 / 3)
    one, other = (code.Assignment(Fraction(0), [Fraction(w, 8)], []) for w in (1, 3))
    assert code.moved(one, other) == 1 / 4
    one, other = (code.Assignment(Fraction(0), [], [0, w]) for w in (500, -500))
    assert code.moved(one, other) == 2


def test_rounding_goes_to_the_next_multiple_and_of_two_to_the_lower_one():
    values = functions.Values(np.array([-7, -5, -4, 0, 4, 5, 6, 15, 16]), 100)
    found = code.rounded(values, 10, 1).numerators.tolist()
    assert found == [-10, -10, 0, 0, 0, 0, 10, 10, 20]


def test_letters_are_those_of_base_five():
    for space in CLASSES:
        chosen = code.plan(space, 2, 1500)
        f = functions.element(space, "random", chosen.n, generator(4))
        values = code.stored(space, chosen, f)
        unit = values.denominator // chosen.n**space.smoothness
        whole = (values.numerators // unit).astype(int)
        assert np.abs(np.diff(whole, 2, axis=-1)).max() == 2
        codes = code.assignment(space, chosen, values).codes
        assert 0 <= min(codes) <= max(codes) < code.BASE ** (chosen.digits - 1)


def test_weights_of_straight_lines_move_with_the_function_and_those_of_codes_jump():
    shifts = (1e-9, 1e-6, 1e-3)
    system = canonical(ApproximatingNetwork(), weights=4000, shift=shifts)
    found = {
        rate: canonical(system, rate=rate).compute(generator(), {})["jump"] for rate in (1.0, 2.0)
    }
    np.testing.assert_allclose(found[1.0], shifts, rtol=1e-9)
    assert (found[2.0][1:] > 1).all()
    nothing = canonical(system, rate=2.0, shift=(1e-15,)).compute(generator(), {})["jump"]
    assert nothing == 0  # a network has finitely many thresholds


# --- lookups ----------------------------------------------------------------------------------


@NAMED
@pytest.mark.parametrize("once", [False, True])
def test_lookups_of_the_worst_function_have_the_stated_error_to_the_last_bit(space, once):
    f, network, error, chosen = looked_up(space, once, "worst")
    x = tip(space, 2**chosen.level)
    assert abs(f(*x) - network(*x)) == error
    size = Fraction(1 if space.smoothness == 1 else Fraction(5, 8)) + Fraction(
        space.dimension - 1, 2
    )
    assert error == size / 2 ** (chosen.level * space.smoothness)
    count = lookup.weights_of(space, chosen)
    assert len(list(network.weights())) == count
    assert lookup.plan(space, count, once) == chosen
    assert lookup.plan(space, count - 1, once).level == chosen.level - 1


@NAMED
@pytest.mark.parametrize("once", [False, True])
def test_a_lookup_is_nowhere_farther_than_stated(space, once):
    f, network, error, chosen = looked_up(space, once, seed=2)
    n = 2**chosen.level
    near = [Fraction(k, n) - Fraction(part, 2 ** (chosen.level + 3 * (part % 5) + 4))
            for k in (1, n // 2, n - 1, n) for part in (0, 1, 3, 7)]  # fmt: skip
    some = [*points(space.dimension, 30), *([x] * space.dimension for x in near)]
    for x in some:
        assert abs(f(*x) - network(*x)) <= error


def test_a_lookup_refuses_what_its_digits_do_not_hold():
    space = SPACES[2.0]
    chosen = lookup._plan(space, 4, False)
    k = np.arange(17).astype(object)
    for slope, fits in ((1, True), (2, False)):  # 1 is the steepest of the class
        f = OnGrid(slope * 16 * k, 16, 2)
        if fits:
            network = lookup.network(space, chosen, f)
            assert [network(Fraction(i, 16)) for i in (0, 7, 16)] == [0, Fraction(7, 16), 1]
        else:
            with pytest.raises(ValueError, match="values rise by 512 units, beyond 9 digits"):
                lookup.network(space, chosen, f)


def test_every_bit_of_a_weight_can_be_read():
    held = np.random.default_rng(0).integers(0, 2, 300).tolist()
    number = lookup._held(held)
    for j, bit in enumerate(held):
        seen = wave(number * lookup.STEP**j)
        assert abs(seen) >= Fraction(4, 7)
        assert (seen < 0) == bool(bit)


def test_products_once_for_all_bits_need_weights_as_the_level_not_its_square():
    levels = np.array([128, 256, 512])
    for space in CLASSES:
        counts = {
            once: [lookup.weights_of(space, lookup._plan(space, int(n), once)) for n in levels]
            for once in (False, True)
        }
        slope = {once: np.diff(np.log(c))[-1] / np.log(2) for once, c in counts.items()}
        assert slope[True] == pytest.approx(1, abs=0.05)
        assert slope[False] == pytest.approx(2, abs=0.05)


# --- rates ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worst(tmp_path_factory):
    study = Study(
        system=canonical(ApproximatingNetwork(), function="worst"),
        grid={"ratio": [1.0, 2.0], "rate": [1.0, 2.0], "weights": [1000, 2000, 4000, 8000]},
    )
    return run(study, tmp_path_factory.mktemp("worst") / "store", workers=1)


def test_slopes_are_those_of_theory_and_their_phases(worst):
    found = phase_diagram(worst)
    exponent = found.cells["scaled_error_exponent"]
    for ratio in (1.0, 2.0):
        assert float(exponent.sel(rate=1.0, ratio=ratio)) == pytest.approx(-1, abs=0.05)
        assert float(exponent.sel(rate=2.0, ratio=ratio)) == pytest.approx(-2, abs=0.1)
    names = [[found.phase(int(c)).name for c in row] for row in found.cells["phase"].values]
    assert names == [["continuous", "deep discontinuous"]] * 2


def test_pages_are_drawn_of_what_there_is(worst):
    fits = figures.exponents(worst, "error", "weights")
    ax = figures.errors(worst.sel(ratio=1.0), fits.sel(ratio=1.0))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("$p$ = 1.0" in text for text in texts)
    assert any("VC" in text for text in texts)
    ax = figures.diagram(fits, ApproximatingNetwork.card)
    assert isinstance(ax.figure, Figure)
    (measured,) = (line.get_ydata() for line in ax.get_lines() if line.get_marker() == "o")
    np.testing.assert_allclose(np.asarray(measured, float), [1, 2], atol=0.02)


def test_the_page_of_lookups_says_which_law_holds(tmp_path):
    study = Study(
        system=canonical(LookupNetwork(), function="worst"),
        grid={"ratio": [1.0], "weights": [520, 890, 1350, 1910, 2570]},
    )
    ds = run(study, tmp_path / "store", workers=1)
    found = phase_diagram(ds)
    assert [found.phase(int(code)).name for code in found.cells["phase"]] == ["super-polynomial"]
    residuals = {}
    for law in ("root", "power"):
        ax = figures.decays(ds, law)
        (text,) = (text.get_text() for text in ax.get_legend().get_texts())
        residuals[law] = float(text.split()[-1])
    assert residuals["power"] > 10 * residuals["root"]


def test_jumps_are_drawn_for_the_least_and_the_most_weights():
    shift, weights = np.array([1e-6, 1e-3]), [500, 1000, 2000]
    jump = np.arange(3)[:, None, None] + np.zeros((3, 2, 5))
    ds = xr.Dataset(
        {"jump": (("weights", "shift", "realization"), jump)},
        coords={"weights": weights, "shift": shift},
    ).expand_dims(rate=[2.0])
    drawn = {line.get_label(): line.get_ydata() for line in figures.jumps(ds).get_lines()}
    np.testing.assert_array_equal(drawn["rate 2 $r/d$, $W$ = 500"], [0, 0])
    np.testing.assert_array_equal(drawn["rate 2 $r/d$, $W$ = 2000"], [2, 2])


def test_the_page_of_learning_has_the_exponent_and_the_constructions():
    weights = np.array([31, 141, 361, 801, 1681])
    error = 0.2 * weights[:, None] ** -0.5 * np.array([0.9, 1.0, 1.1])
    every = {
        "error": error,
        "scaled_error": error,
        "lines_error": error / 2,
        "codes_error": np.where(weights[:, None] > 31, error / 3, np.nan),
        "weights_used": weights[:, None] + np.zeros(3),
    }
    ds = xr.Dataset(
        {name: (("weights", "realization"), value) for name, value in every.items()},
        coords={"weights": weights},
    ).expand_dims(steps=[100])
    ax = figures.learned(ds)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("100 steps: $p$ = 0.500(" in text for text in texts)
    assert any("straight lines, same functions" in text for text in texts)
    drawn = [line.get_ydata() for line in ax.get_lines()]
    for mean in (error.mean(1) / 2, every["codes_error"].mean(1)):
        assert any(
            np.allclose(np.asarray(y, float), mean, equal_nan=True) for y in drawn if len(y) == 5
        )


AXES = {
    "approximation": {"ratio": [1.0], "rate": [1.0, 2.0], "weights": [300, 600, 1200]},
    "approximation_lookup": {"ratio": [1.0], "once": [False], "weights": [300, 520, 890]},
    "approximation_trained": {"steps": [5], "weights": [31, 141, 361]},
}


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (name, axis)
        for name, grid in AXES.items()
        for axis in (*grid, "")
        if axis != "weights" or name == "approximation"  # the others have nothing to draw
    ],
)
def test_pages_are_drawn_whichever_axis_is_not_swept(name, missing, tmp_path, monkeypatch):
    grid = {axis: values for axis, values in AXES[name].items() if axis != missing}
    kind = find(name)
    few = {"levels": 4, "attempts": 1} if name == "approximation_trained" else {}
    few |= {"shift": (1e-4, 1e-2)} if name == "approximation" else {}
    run(
        Study(system=canonical(kind(), **few), grid=grid, realizations=2),
        tmp_path / "s",
        workers=1,
    )
    out = tmp_path / "out"
    monkeypatch.setattr(
        "sys.argv", ["criticality", "figures", str(tmp_path / "s"), "--out", str(out)]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    drawn = {file.stem for file in out.glob("*")}
    pages = {
        "approximation": {"errors", "phases", "resources", "jump"},
        "approximation_lookup": {"decay"},
        "approximation_trained": {"learned"},
    }[name]
    assert drawn >= (pages & {"jump"} if missing == "weights" else pages)


@pytest.mark.parametrize(
    ("weights", "phase"),
    [
        ([300, 301, 302], "unresolved"),  # one network
        ([300, 520, 521, 522], "unresolved"),  # two
        ([300, 301, 520, 890, 1350], "super-polynomial"),
    ],
)
def test_budgets_of_one_network_count_once(weights, phase, tmp_path):
    system = canonical(LookupNetwork(), function="worst")
    ds = run(Study(system=system, grid={"ratio": [1.0], "weights": weights}), tmp_path, workers=1)
    found = phase_diagram(ds)
    assert [found.phase(int(code)).name for code in found.cells["phase"]] == [phase]
    ax = figures.decays(ds, "root")
    (text,) = (text.get_text() for text in ax.get_legend().get_texts())
    assert ("no fit" in text) == (phase == "unresolved")


def test_networks_of_relus_are_never_super_polynomial():
    weights = np.array([1000, 2000, 4000])
    for kind, name in ((ApproximatingNetwork, "infeasible"), (LookupNetwork, "super-polynomial")):
        data = {
            "scaled_error": (weights / 1000.0)[:, None] ** -3 * np.array([0.99, 1.01]),
            "weights_used": weights[:, None] * np.ones(2),
        }
        ds = xr.Dataset(
            {key: (("weights", "realization"), value) for key, value in data.items()},
            coords={"weights": weights},
            attrs={"system": kind.card.name},
        )
        ds["error"] = ds["scaled_error"]
        axes = {axis: [1.0] for axis in kind.card.plane}
        found = phase_diagram(ds.expand_dims(axes))
        assert found.phase(int(found.cells["phase"].item())).name == name


def test_lookup_errors_fall_as_the_exponential_of_a_root_and_no_power():
    for space in CLASSES:
        plans = [lookup._plan(space, n, False) for n in range(3, 17 // space.dimension)]
        weights = [lookup.weights_of(space, chosen) for chosen in plans]
        errors = []
        for chosen in plans:
            f = functions.element(space, "worst", 2**chosen.level, generator())
            errors.append(float(lookup.error(space, chosen, f)))
        root, power = (decay(weights, errors, law) for law in ("root", "power"))
        assert root.residual < 0.03
        assert power.residual > 5 * root.residual
        limit = (
            space.smoothness
            * np.log(2)
            / np.sqrt(12 * space.smoothness * 2 ** (2 * space.dimension - 2))
        )
        assert root.rate.value == pytest.approx(limit, rel=0.05)


def test_a_decay_is_found_with_an_error_that_holds():
    rng = np.random.default_rng(0)
    w = np.linspace(500, 4000, 9)
    pulls = []
    for _ in range(300):
        y = np.exp(1 - 0.2 * np.sqrt(w) + 0.05 * rng.standard_normal(9))
        found = decay(w, y, "root")
        pulls.append((found.rate.value - 0.2) / found.rate.error)
    assert np.std(pulls) == pytest.approx(np.sqrt(7 / 5), rel=0.15)  # Student's, 7 degrees
    assert abs(np.mean(pulls)) < 0.2


# --- errors -----------------------------------------------------------------------------------


def test_bad_input_is_named():
    with pytest.raises(InputError, match=r"ratio = 0\.7: expected r/d"):
        canonical(ApproximatingNetwork(), ratio=0.7)
    system = canonical(ApproximatingNetwork(), rate=2.0)
    for name in ("random", "worst"):
        with pytest.raises(InputError, match=r"expected weights = \d+ at most") as refused:
            canonical(system, weights=200_000, function=name)
        allowed = int(str(refused.value).split(" = ")[-1].split()[0])
        canonical(system, weights=allowed, function=name)
        with pytest.raises(InputError, match="at most"):
            canonical(system, weights=allowed + 1, function=name)
    with pytest.raises(InputError, match="needs 3 different networks; there are 2"):
        decay(np.array([300, 300, 520]), np.array([0.1, 0.1, 0.05]), "power")
    with pytest.raises(InputError, match="weights = 30: expected 31 or more"):
        canonical(find("approximation_trained")(), weights=30)
    with pytest.raises(InputError, match="expected 629 or more"):
        canonical(LookupNetwork(), ratio=0.5, weights=400)
    with pytest.raises(InputError, match="a weight would hold"):
        canonical(LookupNetwork(), weights=100_000)
    assert FINEST < PIECES


def test_depth_of_the_trained_network_is_what_its_weights_allow():
    kind = find("approximation_trained")
    for weights, depth in ((31, 1), (140, 1), (141, 2), (1681, 16)):
        assert kind(weights=weights).depth == depth
