"""Errors that contain the choices of an analysis: range, least size, corrections."""

from __future__ import annotations

import json
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from criticality import BKT, Algebraic, InputError, ScalingData, collapse
from criticality.analysis.scaling import Choice, Drift, Free, choices, decide, marginal
from criticality.analysis.scaling.evidence import verdict
from criticality.analysis.stats import weighted_quantiles
from criticality.base import Flag, flagged
from tests import corrected
from tests import known_systems as known

NARROW = (0.4, 0.7)


def made_up(seed=0, kind="algebraic", exponent=3.0, **options):
    return corrected.transition(kind, exponent, np.random.default_rng(seed), **options)


def exact(seed=0, **changes):
    """Exactly scaling curves, p_c = 0.5 and nu = 1.3: nothing to correct."""
    options = {**known.STANDARD, "noise": 0.05, "correlation": 0.8, **changes}
    return known.synthetic("algebraic", 0.5, 1.3, rng=np.random.default_rng(seed), **options)


# --- choices ---


def test_ranges_cover_the_measured_one_from_end_to_end():
    points = made_up()
    found = choices(points)
    ranges = {choice.control_range for choice in found}
    assert len(ranges) == 6
    assert min(low for low, _ in ranges) == points.control.min()
    assert max(high for _, high in ranges) == points.control.max()
    assert {round(high - low, 9) for low, high in ranges} == {0.6, 0.3}
    # the middle halves of the narrow ones leave no gap where p_c could be
    middles = sorted((low + high) / 2 for low, high in ranges if high - low < 0.5)
    assert max(np.diff(middles)) <= 0.15 + 1e-9
    assert {choice.size_min for choice in found} == {500, 1300, 3300}
    assert all(choice.corrections and choice.regular for choice in found)


def test_ranges_that_are_asked_for_stay_inside():
    points = made_up()
    found = choices(points, centres=(0.3, 0.55), half_widths=(0.15,), size_min=(500,))
    assert [choice.control_range for choice in found] == [
        pytest.approx((0.25, 0.55)),
        pytest.approx((0.4, 0.7)),
    ]
    both = choices(points, half_widths=(0.3,), size_min=(500,), corrections=(False, True))
    assert [choice.corrections for choice in both] == [False, True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"half_widths": (0.01,)}, "choose wider ones"),
        ({"half_widths": (-0.1,)}, "half_widths = -0.1"),
        ({"centres": (np.nan,)}, "centres = nan"),
        ({"size_min": (-5,)}, "size_min = -5"),
        ({"size_min": (50_000,)}, "two sizes or more"),
    ],
)
def test_choices_that_cannot_be_made_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        choices(made_up(), **options)


def test_no_choice_at_all_is_refused():
    with pytest.raises(InputError, match="at least one"):
        marginal(made_up(), made=())


# --- a regular dependence on the control ---


def test_a_regular_amplitude_is_told_from_the_scaling_variable():
    # in each range the exponent is that of the sum of both without it, however narrow the range
    points = made_up()
    for range_ in (None, NARROW):
        plain = collapse(points, control_range=range_)
        regular = collapse(points, control_range=range_, regular=True, corrections=True)
        assert plain.params["nu"].low > 5
        assert regular.params["nu"].low < 3.0 < regular.params["nu"].high
        assert regular.log_evidence > plain.log_evidence + 10


def test_a_regular_dependence_that_is_not_there_is_not_found():
    points = exact()
    plain, regular = collapse(points), collapse(points, regular=True)
    assert regular.log_evidence < plain.log_evidence + 1
    assert regular.params["nu"].low < 1.3 < regular.params["nu"].high


# --- one choice, and several ---


def test_one_choice_is_a_collapse():
    points = exact()
    ends = (float(points.control.min()), float(points.control.max()))
    found = marginal(points, made=[Choice(control_range=ends, size_min=500)])
    fit = collapse(points)
    for name in ("p_c", "nu"):
        one, other = found.params[name], fit.params[name]
        assert one.value == pytest.approx(other.value, abs=0.4 * other.error)
        assert one.error == pytest.approx(other.error, rel=0.2)
        assert found.systematic[name] == 0
        assert found.statistical[name] == pytest.approx(other.error, rel=0.3)
    expected = fit.log_evidence - collapse(points, Free()).log_evidence
    assert found.log_evidence == pytest.approx(expected, abs=0.3)


def test_the_whole_is_the_mixture_of_what_fits():
    points = made_up()
    asked = choices(points, half_widths=(0.3, 0.15), size_min=(500,), corrections=(False, True))
    asked += (Choice(control_range=asked[0].control_range, size_min=500),)
    found = marginal(points, made=asked)
    assert found.weights.sum() == pytest.approx(1)
    fits = [fit.p_value >= 0.05 for fit in found.fits]
    assert not fits[-1]
    assert found.weights[-1] == 0
    # equal shares of widths and corrections; ranges of one width by how central their p_c is
    kinds = [(round(c.control_range[1] - c.control_range[0], 6), c.corrections) for c in asked]
    for kind in set(kinds[:-1]):
        members = [i for i, other in enumerate(kinds[:-1]) if other == kind]
        share = found.weights[members]
        assert share.sum() == pytest.approx(1 / len(set(kinds[:-1])))
        if len(members) > 1:
            low, high = asked[members[int(share.argmax())]].control_range
            assert abs((low + high) / 2 - corrected.P_C) < 0.08
    assert fits[:-1].count(True) > 4
    nu = found.params["nu"]
    drawn = np.concatenate([fit.sample["nu"] for fit in found.fits])
    shares = zip(found.fits, found.weights, strict=True)
    weights = np.concatenate([weight * fit.weights for fit, weight in shares])
    variance = weights @ (drawn - weights @ drawn) ** 2
    assert found.statistical["nu"] ** 2 + found.systematic["nu"] ** 2 == pytest.approx(variance)
    ends = weighted_quantiles(drawn, weights, [0.025, 0.5, 0.975])
    assert [nu.low, nu.value, nu.high] == pytest.approx(ends)
    assert nu.low < 3.0 < nu.high
    table = found.table()
    assert len(table) == len(asked)
    assert table["weight"].tolist() == found.weights.tolist()
    assert table["nu"].tolist() == [fit.params["nu"].value for fit in found.fits]


def test_choices_that_disagree_are_flagged():
    # without a regular part the amplitude makes the exponent depend on the least size
    points = made_up(realizations=40, noise=0.1)
    asked = choices(
        points, half_widths=(0.15,), centres=(0.55,), regular=(False,), corrections=(False,)
    )
    wrong = marginal(points, made=asked)
    assert flagged(wrong.flags, "no choice fits", "edge of choices", "choices disagree")
    right = marginal(points, made=choices(points, half_widths=(0.3,), size_min=(500, 1300)))
    assert not flagged(right.flags, "no choice fits", "choices disagree", "edge of choices")


def test_numbers_go_to_json():
    points = made_up()
    asked = choices(points, half_widths=(0.3,), size_min=(3300,))
    found = marginal(points, BKT(L0="marginal"), asked)
    content = json.loads(json.dumps(found.to_dict()))
    assert content["choices"][0]["weight"] == 1
    assert content["choices"][0]["control_low"] == pytest.approx(0.25)
    assert content["params"]["sigma"]["n"] == 20
    assert content["nu_eff"]["low"] < content["nu_eff"]["value"] < content["nu_eff"]["high"]
    assert "systematic" in str(found)


def test_a_p_c_that_is_seen_from_one_side_only_is_told_and_has_numbers():
    points = made_up(p_c=0.8)
    found = marginal(points, made=choices(points, half_widths=(0.3, 0.15), size_min=(500,)))
    assert flagged(found.flags, "one side", parameter="p_c")
    assert found.params["p_c"].low < 0.8 < found.params["p_c"].high
    assert found.weights.sum() == pytest.approx(1)


def test_curves_without_a_degree_of_freedom_left_are_weighed():
    # as many parameters as the data can bear: there is no probability of a worse fit
    sizes, control = known.STANDARD["sizes"][:3], np.linspace(0.3, 0.7, 6)
    points = exact(sizes=sizes, control=control, noise=0.0005, realizations=20)
    found = marginal(points, made=choices(points, half_widths=(1.0,), size_min=(sizes[0],)))
    assert np.isnan(found.p_value)
    assert not flagged(found.flags, "no choice fits", "poor fit")
    nu = found.params["nu"]
    assert nu.low < nu.value < nu.high


def test_limits_of_parameters_do_not_depend_on_what_is_kept():
    points = made_up()
    made = choices(points, half_widths=(0.3,), size_min=(500, 3300), corrections=(False,))
    found = marginal(points, BKT(L0="marginal"), made)
    limits = [(fit.model.lower[:3], fit.model.upper[:3]) for fit in found.fits]
    np.testing.assert_array_equal(*limits)
    assert np.exp(limits[1][1][2]) == pytest.approx(50)  # L0: a tenth of 500


def test_percolation_with_the_sizes_that_a_plain_collapse_has_to_drop():
    # from L = 32 on, beta of a plain collapse comes out two errors too high
    rng = np.random.default_rng(2)
    sizes = (32, 64, 128, 256)
    window = known.window(sizes, known.P_C, 0.5, 4 / 3, 10)
    points = known.percolation(sizes, window, 12, rng, lattices=20, observable="strength")
    made = choices(points, half_widths=(1.0,), size_min=(32, 64))
    found = marginal(points, Algebraic(beta="free"), made)
    assert not found.flags
    for name, truth in (("p_c", known.P_C), ("nu", 4 / 3), ("beta", 5 / 36)):
        assert found.params[name].low < truth < found.params[name].high
    assert found.params["beta"].error < 0.04


# --- verdicts ---


SMOOTH = ("drift", "crossover", "no transition", "free")


def cheap(points):
    return choices(points, half_widths=(0.3,), size_min=(500,))


def test_a_transition_is_seen_and_its_kind_is_not_claimed():
    # collapse with one plain choice claims the wrong kind here, by more than 30 in ln Z
    points = made_up(kind="bkt", exponent=1.0)
    found = decide(points, [Algebraic(), BKT()], cheap(points))
    assert found.verdict in ("undecided", "bkt")
    assert found["bkt"].log_evidence > found["crossover"].log_evidence + 5
    assert found["bkt"].log_evidence > found["free"].log_evidence + 5
    order = [each.log_evidence for each in found.marginals]
    assert order == sorted(order, reverse=True)
    assert json.loads(json.dumps(found.to_dict()))["verdict"] == found.verdict


def one_choice(points):
    return choices(points, half_widths=(5.0,), size_min=(points.sizes[0],))


@pytest.mark.parametrize(("kind", "exponent"), [("algebraic", 1.3), ("bkt", 0.5)])
def test_clear_transitions_and_their_kinds_are_claimed(kind, exponent):
    options = {**known.STANDARD, "noise": 0.03, "correlation": 0.8}
    points = known.synthetic(kind, 0.5, exponent, rng=np.random.default_rng(0), **options)
    found = decide(points, [Algebraic(), BKT()], one_choice(points))
    assert found.verdict == kind
    smooth = ("free", "drift", "crossover", "no transition")
    assert all(found[kind].log_evidence > found[name].log_evidence + 20 for name in smooth)
    assert found["free"].log_evidence == 0


@pytest.mark.parametrize(
    "p_c", [*(pytest.param(p_c, marks=pytest.mark.slow) for p_c in (0.67, 0.74)), 0.8]
)
def test_a_transition_off_the_centre_is_not_called_none(p_c):
    # with p_c in the middle half of each range alone a smooth drift was ahead by 9 to 23
    points = made_up(p_c=p_c)
    found = decide(points, [Algebraic(), BKT()], one_choice(points))
    assert found.verdict != "no transition"
    assert abs(found["algebraic"].params["p_c"].value - p_c) < 0.025
    assert found["algebraic"].log_evidence > found["drift"].log_evidence - 3
    assert flagged(found["algebraic"].flags, "one side") == (p_c > 0.7)


def test_the_unit_is_that_in_which_curves_are_smooth():
    names = {}
    for null in (corrected.power_laws, corrected.smooth_exponent):
        points = null(np.random.default_rng(0))
        found = decide(points, [Algebraic(beta="free")], one_choice(points))
        names[null.__name__] = found["drift"].data.names[2]
        assert found["algebraic"].data is points  # a prefactor belongs to y itself
        assert found.marginals[0].ansatz.family == "drift"
        assert found["drift"].log_evidence > found["algebraic"].log_evidence + 3
    assert names == {"power_laws": "ln y", "smooth_exponent": "y"}


def test_evidence_for_a_logarithm_is_that_of_the_same_points():
    # far from zero a logarithm is linear: evidence is the same in either unit
    points = exact()
    far = ScalingData.from_table(points.control, points.size, 1000 + points.mean, points.covariance)
    plain, log = (collapse(each).log_evidence for each in (far, far.log()))
    assert log - np.log(far.mean).sum() == pytest.approx(plain, abs=0.2)
    with pytest.raises(InputError, match="not positive"):
        ScalingData.from_table(points.control, points.size, points.mean - 9, points.error).log()


def weighed(family, log_evidence, p_value=0.5, flags=(), **params):
    form = {"algebraic": Algebraic(), "bkt": BKT(), "drift": Drift(), "free": Free()}[family]
    params = {name: SimpleNamespace(low=low, high=high) for name, (low, high) in params.items()}
    return SimpleNamespace(
        ansatz=form, log_evidence=log_evidence, p_value=p_value, flags=flags, params=params
    )


@pytest.mark.parametrize(
    ("drift", "algebraic", "expected"),
    [
        ({}, {}, "no transition"),
        ({"p_value": 0.001}, {}, "undecided"),
        ({"flags": [Flag("at bound", "theta")]}, {}, "undecided"),
        ({}, {"flags": [Flag("one side", "p_c")]}, "undecided"),
        ({}, {"flags": [Flag("at bound", "p_c")]}, "undecided"),
        ({}, {"flags": [Flag("unresolved")]}, "undecided"),
        ({}, {"flags": [Flag("at bound", "nu")]}, "no transition"),
    ],
)
def test_no_transition_needs_a_smooth_form_that_fits_and_nowhere_to_hide(
    drift, algebraic, expected
):
    fits = [
        weighed("drift", 20.0, **drift),
        weighed("algebraic", 5.0, p_c=(0.4, 0.5), **algebraic),
        weighed("free", 0.0),
    ]
    assert verdict(fits, 5.0, lambda: -np.inf)[0] == expected


@pytest.mark.parametrize(
    ("exponent", "behind", "claimed"),
    [(20.0, 2.0, True), (28.0, 2.0, False), (28.0, 9.0, False), (20.0, 9.0, True)],
)
def test_what_a_smooth_exponent_explains_as_well_is_no_transition(exponent, behind, claimed):
    fits = [
        weighed("algebraic", 30.0, p_c=(0.4, 0.5)),
        weighed("bkt", 30.0 - behind, sigma=(0.4, 0.6)),
        weighed("drift", 10.0),
        weighed("free", 0.0),
    ]
    said, reason = verdict(fits, 5.0, lambda: exponent)
    assert said == ("algebraic" if claimed and behind > 5 else "undecided")
    assert ("kind" in reason or said == "algebraic") == claimed


@pytest.mark.parametrize("null", [corrected.crossover, corrected.constant])
def test_nulls_are_not_called_critical(null):
    points = null(np.random.default_rng(1))
    found = decide(points, [Algebraic(), BKT()], cheap(points))
    assert found.verdict in ("no transition", "undecided")


@pytest.mark.parametrize(
    ("null", "seed"), [(corrected.accuracies, 1), (corrected.bounded_losses, 3)]
)
def test_any_function_of_a_power_with_a_smooth_exponent_is_no_transition(null, seed):
    # a BKT form leads all other smooth forms by 7 and more
    points = null(np.random.default_rng([seed, 17]), p_c=0.6)
    found = decide(points, [Algebraic(), BKT()], cheap(points))
    lead = found["bkt"].log_evidence - max(found[form].log_evidence for form in SMOOTH)
    assert lead > 5
    assert found.verdict == "undecided"
    assert "exponent goes smoothly through zero" in found.reason


# --- coverage ---

TRUTHS = {  # kind, options, form, and what it should find
    "algebraic": ("algebraic", {}, Algebraic(), 3.0),
    "bkt": ("bkt", {}, BKT(), 1.0),
    "no amplitude": ("algebraic", {"rise": 0.0}, Algebraic(), 3.0),
}
PLACES = (0.42, 0.68)  # of p_c, off the centre of the range as well
DATA = 16


def shares(found):
    """Shares of the choices by several rules."""
    fits = found.fits
    n = np.array([len(fit.data.mean) for fit in fits])
    k = np.array([len(fit.theta) for fit in fits])
    cut = -0.5 * (np.array([fit.chi2 for fit in fits]) + 2 * k + 2 * (n.max() - n))
    rules = {"evidence": found.gains, "Jay and Neil": cut}
    made = {name: np.exp(value - value.max()) for name, value in rules.items()}
    whole = [choice == found.choices[0] for choice in found.choices]
    made |= {"equal shares": found.weights, "whole range": np.array(whole, float)}
    return {name: weight / weight.sum() for name, weight in made.items()}


def interval(found, name, share):
    """Median, error and 95 % interval of the mixture with these shares."""
    drawn = np.concatenate([fit.sample[name] for fit in found.fits])
    parts = zip(found.fits, share, strict=True)
    weights = np.concatenate([weight * fit.weights for fit, weight in parts])
    low, left, middle, right, high = weighted_quantiles(
        drawn, weights, [0.025, 0.1587, 0.5, 0.8413, 0.975]
    )
    return middle, (right - left) / 2, low, high


@pytest.mark.slow
def test_intervals_that_contain_the_choices_cover():
    # five minutes of an idle core; the table in docs/scaling.md
    hits: dict[str, list[tuple[bool, bool]]] = {}
    for number, (kind, (law, options, ansatz, exponent)) in enumerate(TRUTHS.items()):
        rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
        for seed in range(DATA):
            rng = np.random.default_rng([seed, number])
            p_c = rng.uniform(*PLACES)
            points = corrected.transition(law, exponent, rng, p_c=p_c, **options)
            name = "sigma" if kind == "bkt" else "nu"
            for how, flags in (("", (True,)), ("no corrections, ", (False,))):
                made = choices(points, size_min=(500, 3300), corrections=flags, regular=flags)
                found = marginal(points, ansatz, made)
                for rule, share in shares(found).items():
                    for parameter, truth in (("p_c", p_c), (name, exponent)):
                        value, error, low, high = interval(found, parameter, share)
                        row = (abs(value - truth) < error, low < truth < high, value - truth)
                        rows.setdefault((how + rule, parameter), []).append(row)
        for (rule, parameter), row in rows.items():
            inside, wide, away = np.array(row, float).T
            hits.setdefault(rule, []).extend(zip(inside, wide, strict=True))
            sys.stdout.write(
                f"{kind}, {parameter}, {rule}: 68 % {inside.mean():.2f}, 95 % {wide.mean():.2f}, "
                f"bias {away.mean():+.4f}, rms {np.sqrt(np.mean(away**2)):.4f}\n"
            )
    inside, wide = np.mean(hits["equal shares"], axis=0)
    assert 0.61 <= inside <= 0.85
    assert wide >= 0.90
    # what was decided against
    assert np.mean(hits["evidence"], axis=0)[0] < 0.6
    assert np.mean(hits["no corrections, equal shares"], axis=0)[1] < 0.7


MADE = {  # the order is part of the seeds
    "crossover": corrected.crossover,
    "learning_losses": corrected.learning_losses,
    "power_laws": corrected.power_laws,
    "nu = 1.3": ("algebraic", 1.3),
    "nu = 3": ("algebraic", 3.0),
    "smooth_exponent": corrected.smooth_exponent,
    "constant": corrected.constant,
    "sigma = 0.5": ("bkt", 0.5),
    "sigma = 1": ("bkt", 1.0),
    "drifting": corrected.drifting,
    "learning_curves": corrected.learning_curves,
    "slow crossover": partial(corrected.crossover, power=0.5),
}
ANYWHERE = (0.35, 0.82)  # p_c of transitions, outer quarters of the range included


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MADE)
def test_nothing_is_claimed_that_is_not_there(name, seed):
    # ten seconds each of an idle core; the table in docs/scaling.md
    rng = np.random.default_rng([seed, list(MADE).index(name), 16])
    curves = MADE[name]
    if null := callable(curves):
        points = curves(rng)
    else:
        points = corrected.transition(*curves, rng, p_c=rng.uniform(*ANYWHERE))
    made = choices(points, centres=(0.4, 0.55, 0.7), half_widths=(0.3, 0.15), size_min=(500, 3300))
    found = decide(points, [Algebraic(), BKT()], made)
    best = max(found[kind].log_evidence for kind in ("algebraic", "bkt"))
    lead = best - max(found[form].log_evidence for form in SMOOTH)
    sys.stdout.write(f"{name}, {seed}: {lead:+.1f}, {found.verdict}: {found.reason}\n")
    if null:
        assert found.verdict in ("no transition", "undecided")
        assert "kind" not in found.reason
        assert lead < 1
    else:
        assert found.verdict in (curves[0], "undecided")
        assert lead > 1 or flagged(found["algebraic"].flags, "one side")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("null", "seed", "p_c"),
    [
        *((corrected.accuracies, *case) for case in ((1, 0.6), (2, 0.5), (3, 0.65))),
        *((corrected.bounded_losses, *case) for case in ((1, 0.5), (2, 0.65), (3, 0.6))),
    ],
)
def test_nothing_is_claimed_of_a_function_of_a_power_with_a_smooth_exponent(null, seed, p_c):
    # the table in docs/scaling.md
    points = null(np.random.default_rng([seed, 17]), p_c=p_c)
    made = choices(points, centres=(0.4, 0.55, 0.7), half_widths=(0.3, 0.15), size_min=(500, 3300))
    found = decide(points, [Algebraic(), BKT()], made)
    best = max(found[kind].log_evidence for kind in ("algebraic", "bkt"))
    lead = best - max(found[form].log_evidence for form in SMOOTH)
    sys.stdout.write(f"{null.__name__}, {seed}: {lead:+.1f}, {found.verdict}: {found.reason}\n")
    assert found.verdict in ("no transition", "undecided")
    assert "kind" not in found.reason
