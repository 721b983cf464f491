"""The field theory of mean-variance regression against closed forms, and the scores too."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtr as jax_ndtr
from matplotlib.figure import Figure
from scipy.fft import dct, idct
from scipy.integrate import quad
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from criticality import Study, base, phase_diagram, run
from criticality.base import canonical
from criticality.catalog import described
from criticality.figures.book import Book
from criticality.results import Results
from criticality.systems.mean_variance import field_figures, limits, scores, sine, theory
from criticality.systems.mean_variance.field import MeanVarianceField
from criticality.systems.mean_variance.theory import Fields, Weights

E = 0.01


def drawn(n=24, seed=0):
    x = sine.places(n, np)
    noise = np.random.default_rng(seed).normal(size=n)
    y = sine.mean(x, np) + sine.deviation(x, np) * noise
    return (y - y.mean()) / y.std()


def minimum(y, weights, e=E, share=0.0):
    return theory.descend(theory.constant(y, e, share), y, weights, e)


def rough(y, weights, seed=0):
    """Fields that solve nothing, with the fluxes that they have."""
    rng = np.random.default_rng(seed)
    n = len(y)
    mean, log_precision = y / 2 + rng.normal(size=n), rng.normal(size=n)
    fluxes = (
        2 * n**2 * weight * np.diff(f)
        for weight, f in zip(weights, (mean, np.exp(log_precision)), strict=True)
    )
    return Fields(mean, log_precision, *fluxes)


def dense(fields, y, weights, e):
    """Hessian n d2F in the Fisher metric, [mu, ln Lambda], the fluxes eliminated."""
    linear = theory._Linear(fields, y, weights, e)
    full = np.diag(linear.matrix[0])
    for k in (1, 2):
        above = np.diag(linear.matrix[k, : linear.size - k], k)
        full += above + above.T
    place = np.arange(linear.size)
    fixed = np.concatenate([place[0::4], place[1::4]])
    flux = np.concatenate([place[2::4], place[3::4]])
    a, b, c = (full[np.ix_(i, j)] for i, j in ((fixed, fixed), (fixed, flux), (flux, flux)))
    return a - b @ np.linalg.solve(c, b.T)


# -- equations and solver


def test_the_gradient_is_that_of_the_functional():
    y, weights = drawn(), Weights(3e-3, 7e-4)
    fields = rough(y, weights)
    n = len(y)
    by_mean, by_log = theory.gradient(fields, y, E)
    unit = np.sqrt(2 * np.exp(fields.log_precision))
    h = 1e-5
    for i in range(n):
        for k, expected in ((0, by_mean[i] * unit[i]), (1, by_log[i])):
            ends = []
            for sign in (-1, 1):
                moved = [fields.mean.copy(), fields.log_precision.copy()]
                moved[k][i] += sign * h
                ends.append(theory.objective(*moved, y, weights, E))
            assert n * (ends[1] - ends[0]) / (2 * h) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_hessian_is_that_of_the_gradient():
    y, weights = drawn(12), Weights(3e-3, 7e-4)
    fields = rough(y, weights)
    n = len(y)
    unit = np.concatenate([np.sqrt(2 * np.exp(fields.log_precision)), np.ones(n)])
    hessian = dense(fields, y, weights, E) * np.outer(unit, unit)
    h = 1e-6

    def gradient(both):
        mean, log_precision = both[:n], both[n:]
        fluxes = [
            2 * n**2 * weight * np.diff(f)
            for weight, f in zip(weights, (mean, np.exp(log_precision)), strict=True)
        ]
        by_mean, by_log = theory.gradient(Fields(mean, log_precision, *fluxes), y, E)
        return np.concatenate([by_mean * np.sqrt(2 * np.exp(log_precision)), by_log])

    here = np.concatenate([fields.mean, fields.log_precision])
    for i in range(2 * n):
        step = h * np.eye(2 * n)[i]
        column = (gradient(here + step) - gradient(here - step)) / (2 * h)
        np.testing.assert_allclose(column, hessian[i], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("logit", "share"), [(-12.0, 0.0), (0.0, 0.0), (3.5, 0.0), (3.5, 1.0), (10.0, 1.0)]
)
def test_minima_are_minima_and_their_equations_hold(logit, share):
    y, weights = drawn(), theory.at_share(0.7)(logit)
    found = minimum(y, weights, share=share)
    assert theory.residual(found, y, weights, E) < 1e-11
    least = np.linalg.eigvalsh(dense(found, y, weights, E))[0]
    assert least > 0
    assert theory.curvature(found, y, weights, E) == pytest.approx(least, abs=1e-6)
    value = theory.objective(*found[:2], y, weights, E)
    rng = np.random.default_rng(1)
    for _ in range(20):
        other = (f + 1e-3 * rng.normal(size=len(y)) for f in found[:2])
        assert theory.objective(*other, y, weights, E) > value
    # exact: uniform shifts of mu, of Lambda and of ln Lambda
    r, precision = found.mean - y, np.exp(found.log_precision)
    energy = theory.energies(found, weights)[1]
    assert np.mean(precision * r) == pytest.approx(0, abs=1e-9)
    assert np.mean(r**2 + E**2 - 1 / precision) == pytest.approx(0, abs=1e-9)
    expected = 1 - 2 * weights.beta * energy
    assert np.mean(precision * (r**2 + E**2)) == pytest.approx(expected, rel=1e-9)


def test_energies_are_those_of_piecewise_linear_functions():
    y, weights = drawn(), theory.at_share(0.9)(4.0)
    found = minimum(y, weights)
    n = len(y)
    for energy, f in zip(
        theory.energies(found, weights), (found.mean, np.exp(found.log_precision)), strict=True
    ):
        assert energy == pytest.approx(n * np.sum(np.diff(f) ** 2), rel=1e-9)


# -- limits


def test_without_resolution_nothing_bounds_the_functional():
    y, weights = drawn(), Weights(1e3, 1e3)
    values = [theory.objective(y, np.full(len(y), level), y, weights, 0.0) for level in (0.0, 50.0)]
    assert values[1] - values[0] == pytest.approx(-50)


def test_rho_to_0_gives_constants_and_their_first_corrections():
    y = drawn()
    wrong = []
    for scale in (1e2, 1e3, 1e4):
        weights = Weights(scale, 3 * scale)
        found = minimum(y, weights)
        mean, precision = limits.weak(y, weights, E)
        assert np.ptp(precision) > 0
        wrong.append(
            [
                np.abs(found.mean - mean).max() / np.abs(mean).max(),
                np.abs(np.exp(found.log_precision) - precision).max() / np.ptp(precision),
            ]
        )
        assert np.exp(found.log_precision) == pytest.approx(1 / (1 + E**2), rel=1 / scale)
    # what is left is of second order
    np.testing.assert_allclose(np.divide(wrong[0], wrong[1]), 10, rtol=0.02)
    np.testing.assert_allclose(np.divide(wrong[1], wrong[2]), 10, rtol=0.02)


@pytest.mark.parametrize(("gamma", "logit"), [(0.5, 14.0), (1e-8, 0.0)])
def test_rho_to_1_and_gamma_to_0_interpolate_at_the_resolution(gamma, logit):
    # mu - y = -alpha e^2 kappa y, Lambda = 1 / e^2, F = 1 + ln e^2 + alpha int |y'|^2
    y, weights = drawn(), theory.at_share(gamma)(logit)
    found = minimum(y, weights, share=1.0)
    n = len(y)
    kappa = 4 * n**2 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2
    expected = -weights.alpha * E**2 * idct(kappa * dct(y, norm="ortho"), norm="ortho")
    np.testing.assert_allclose(found.mean - y, expected, rtol=1e-2, atol=1e-3 * abs(expected).max())
    np.testing.assert_allclose(found.log_precision, -2 * math.log(E), atol=1e-4)
    free = 1 + 2 * math.log(E) + weights.alpha * n * np.sum(np.diff(y) ** 2)
    assert theory.objective(*found[:2], y, weights, E) == pytest.approx(free, abs=1e-5)


def test_gamma_to_1_fits_the_precision_to_each_target():
    y = drawn()
    wrong = []
    for beta in (1e-11, 1e-12, 1e-13):
        found = minimum(y, Weights(1e-2, beta), e=0.1)
        alone = np.exp(found.log_precision) * ((found.mean - y) ** 2 + 0.01)
        wrong.append(np.abs(alone - 1).max())
    assert wrong[0] < 1e-3
    np.testing.assert_allclose(np.divide(wrong[:-1], wrong[1:]), 10, rtol=0.05)


def test_gamma_to_0_ends_where_one_precision_does():
    y = drawn()
    (_, calibrated), (_, overfit) = limits.stiff(y, E).ends()
    wrong = []
    for gamma in (1e-2, 1e-3, 1e-4):
        rho = theory.spinodal(y, theory.at_share(gamma), E)
        wrong.append(1 - gamma * (1 - rho) / rho / calibrated)
    np.testing.assert_allclose(np.divide(wrong[:-1], wrong[1:]), 10, rtol=0.02)  # as gamma
    assert wrong[-1] < 1e-6
    rho = theory.spinodal(y, theory.at_share(gamma), E, 1.0)
    assert gamma * (1 - rho) / rho == pytest.approx(overfit, rel=1e-8)


def test_the_line_is_that_of_rho_and_gamma_together():
    for logit in (-5.0, 0.3, 4.0):
        rho = theory.weight(logit)
        np.testing.assert_allclose(theory.diagonal(logit), theory.at_share(1 - rho)(logit))
    # near its end beta is so large beside alpha that one precision says where that is
    y = drawn(128)
    rho = theory.spinodal(y, theory.diagonal)
    ((_, alpha),) = limits.stiff(y).ends()
    assert (1 - rho) ** 2 / rho == pytest.approx(alpha, rel=1e-2)


def test_stiff_precision_is_the_closed_form_on_both_branches():
    y = drawn()
    closed = limits.stiff(y, E)

    def path(logit):
        return Weights(math.exp(-logit), 1e12)

    up, down = (theory.follow(y, path, E, start) for start in (0.0, 1.0))
    for branch, (_, alpha) in zip((up, down), closed.ends(), strict=True):
        assert branch.first() == pytest.approx(-math.log(alpha), abs=1e-6)
        assert len(branch.jumps) == 1
    middle = math.exp(-(up.first() + down.first()) / 2)
    calibrated, barrier, overfit = closed.roots(middle)
    assert closed.free_energy(barrier) > max(map(closed.free_energy, (calibrated, overfit)))
    for branch, u in ((up, calibrated), (down, overfit)):
        found = branch.at(-math.log(middle))
        np.testing.assert_allclose(np.exp(found.log_precision), middle * u, rtol=1e-8)
        assert theory.training_error(found, y) == pytest.approx(closed.left(u), rel=1e-8)
        value = theory.objective(*found[:2], y, path(-math.log(middle)), E)
        assert value == pytest.approx(closed.free_energy(u), rel=1e-10)
    assert len(closed.roots(2 * closed.ends()[1][1])) == 1  # nothing to overfit to


def test_white_noise_has_two_ends_that_meet_in_a_critical_point():
    for w in (0.1, 0.6, 0.95):
        u = w**2 / (1 - w**2)
        exact = quad(lambda t, u=u: (np.sin(t / 2) ** 2 / (np.sin(t / 2) ** 2 + u)) ** 2, 0, np.pi)
        assert limits.noise_left(w) == pytest.approx(exact[0] / np.pi, rel=1e-9)
    n = 4000
    kappa = 4 * n**2 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2
    for e in (0.02, 0.1):
        flat = limits.Stiff(np.full(n, 1 / n), kappa, e)
        found = [alpha * n**2 for _, alpha in flat.ends()]
        np.testing.assert_allclose(found, limits.white(e), rtol=2e-3)
    near = limits.white(limits.CRITICAL * (1 - 1e-6))
    assert near[1] / near[0] == pytest.approx(1, abs=1e-4)
    assert near[0] < near[1]
    assert np.isnan(limits.white(limits.CRITICAL * (1 + 1e-6))).all()
    assert not limits.Stiff(np.full(n, 1 / n), kappa, 1.01 * limits.CRITICAL).ends()
    assert limits.white()[0] == pytest.approx(limits.white(1e-7)[0])


# -- branches


def test_the_end_of_a_branch_is_where_its_curvature_vanishes():
    # a fold: the curvature goes to 0 as the square root of the distance
    y = drawn()
    for gamma, e in ((0.5, E), (0.9, 0.0)):
        path = theory.at_share(gamma)
        branch = theory.follow(y, path, e)
        end = branch.first()
        near = end - np.array([1e-5, 4e-5])
        squares = [theory.curvature(branch.at(t), y, path(t), e) ** 2 for t in near]
        slope = (squares[0] - squares[1]) / (near[0] - near[1])
        assert near[0] - squares[0] / slope == pytest.approx(end, abs=1e-7)


def test_finer_steps_change_nothing():
    y, path = drawn(), theory.at_share(0.999)
    for start in (0.0, 1.0):
        coarse, fine = (theory.follow(y, path, E, start, step) for step in (0.5, 0.13))
        assert len(coarse.jumps) == len(fine.jumps)
        for a, b in zip(coarse.jumps, fine.jumps, strict=True):
            assert a.place == pytest.approx(b.place, abs=1e-8)
            np.testing.assert_allclose(a, b, atol=1e-5)  # of a square root's end
        for place in (-3.1, 3.3, 5.0, 8.0):
            for a, b in zip(coarse.at(place)[:2], fine.at(place)[:2], strict=True):
                np.testing.assert_allclose(a, b, atol=1e-9)


def test_both_minima_have_one_value_where_they_say_so_and_each_wins_on_its_side():
    y, path = drawn(), theory.at_share(0.5)
    up, down = (theory.follow(y, path, E, start) for start in (0.0, 1.0))
    same = theory.equal(up, down)
    assert down.first() < same < up.first()

    def excess(place):
        values = [theory.objective(*b.at(place)[:2], y, path(place), E) for b in (up, down)]
        return values[0] - values[1]

    assert excess(same) == pytest.approx(0, abs=1e-8)
    assert excess(same - 0.1) < -1e-3
    assert excess(same + 0.1) > 1e-3
    for place in (down.first() - 0.1, up.first() + 0.1):
        assert excess(place) == pytest.approx(0, abs=1e-10)


def test_without_resolution_the_calibrated_branch_ends_in_nothing():
    y, path = drawn(), theory.at_share(0.5)
    up = theory.follow(y, path, 0.0)
    assert len(up.jumps) == 1
    assert math.isnan(up.largest().after)
    assert up.at(up.first() - 1e-6) is not None
    assert up.at(up.first() + 1e-6) is None
    assert theory.follow(y, path, 0.0, 1.0).at(20.0) is None
    # and a fine resolution ends the branch at the same place
    assert theory.follow(y, path, 1e-4).first() == pytest.approx(up.first(), abs=1e-5)
    assert theory.spinodal(y, path) == pytest.approx(theory.weight(up.first()))


def test_with_any_resolution_there_is_a_minimum():
    y, path = drawn(), theory.at_share(0.5)
    found = theory.follow(y, path, 1e-14).at(16.0)
    np.testing.assert_allclose(found.log_precision, -2 * math.log(1e-14), rtol=1e-12)
    assert theory.residual(found, y, path(16.0), 1e-14) < 1e-11
    assert canonical(MeanVarianceField.tiny(), resolution=1e-4).resolution == 1e-4
    with pytest.raises(base.InputError, match="resolution = 9e-05: rounding"):
        canonical(MeanVarianceField.tiny(), resolution=9e-5)


def test_a_coarse_resolution_leaves_one_minimum():
    y, path = drawn(), theory.at_share(1e-4)
    up, down = (theory.follow(y, path, 0.3, start) for start in (0.0, 1.0))
    assert not up.jumps
    assert not down.jumps
    for place in (-8.0, -4.0, 0.0):
        np.testing.assert_allclose(up.at(place).mean, down.at(place).mean, atol=1e-9)


# -- the system


def test_a_sweep_passes_from_constant_to_calibrated_to_overfit(tmp_path):
    system = canonical(MeanVarianceField(), n=48, rho=(0.1, 0.98, 0.99995))
    study = Study(system=system, grid={"gamma": [0.5]}, realizations=6)
    ds = run(study, tmp_path / "s", workers=1)
    found = phase_diagram(ds.sel(start=0.0)).cells
    names = [phase.name for phase in MeanVarianceField.card.phases]
    assert [names[code - 1] for code in found["phase"].values.ravel()] == [
        "constant",
        "calibrated",
        "overfit, flat",
    ]
    ds = described(ds, system.card, base.axes(system), True).squeeze("gamma")
    assert (ds["bounded"] == 1).all()
    assert (ds["curvature"] > 0).all()
    assert (ds["residual"] < 1e-10).all()
    ends = [ds["spinodal"].sel(start=start) for start in (0.0, 1.0)]
    assert ((ends[1] < ds["maxwell"]) & (ds["maxwell"] < ends[0])).all()
    # where it is swept through, the figure's lines stand where the branches end
    ax = field_figures.loop(ds, "train_mse")
    at = {line.get_label(): line.get_xdata()[0] for line in ax.get_lines()}
    logit = np.log(ds["transition"]) - np.log1p(-ds["transition"])
    for start, label in ((0.0, "calibrated ends"), (1.0, "overfit ends")):
        assert at[label] == pytest.approx(logit.sel(start=start, realization=0).item())


def test_targets_are_those_of_the_realization_at_every_weight():
    rng = [np.random.default_rng(5) for _ in range(2)]
    one, other = (
        canonical(MeanVarianceField.tiny(), gamma=gamma).compute(generator, {})
        for gamma, generator in zip((0.4, 0.6), rng, strict=True)
    )
    # constants are all that is left at rho = 0, whatever gamma
    assert one["test_mse"][0, 0] == pytest.approx(other["test_mse"][0, 0], rel=0.02)
    assert one["coverage"].shape == (2, 3, 2)


def test_pages_draw_both_ways_and_the_ends_that_were_measured(tmp_path):
    study = Study(
        system=canonical(MeanVarianceField.tiny(), rho=(0.05, 0.5, 0.99)),
        grid={"gamma": [0.1, 0.5]},
        realizations=3,
    )
    run(study, tmp_path / "plane", workers=1)
    results = Results(tmp_path / "plane", None)
    book = Book()
    field_figures.pages(results, book, {"gamma": "0.5"})
    assert set(book.pages) == {"theory", "hysteresis", "curves"}
    up, down = book.pages["theory"].axes
    ds = results.open()
    for line, start in zip(up.get_lines()[:2], (0.0, 1.0), strict=True):
        logit = np.log(ds["transition"]) - np.log1p(-ds["transition"])
        expected = logit.sel(start=start).mean("realization")
        inside = expected < 4  # the others stand at the edge of the map
        assert inside.any()
        np.testing.assert_allclose(line.get_ydata()[inside], expected[inside], atol=1e-6)
    assert len(down.get_lines()) == 2


@pytest.mark.parametrize("path", [False, True])
def test_of_several_n_lines_and_phases_are_those_of_the_largest(tmp_path, path):
    study = Study(
        system=canonical(MeanVarianceField.tiny(), rho=(0.05, 0.5, 0.99)),
        **{"path" if path else "grid": {"n": [8, 12, 16], "gamma": [0.1, 0.2, 0.3]}},
        realizations=2,
    )
    run(study, tmp_path / "s", workers=1)
    results, book = Results(tmp_path / "s", None), Book()
    field_figures.pages(results, book, {})
    ds = results.open().sel(n=16, start=0.0)
    expected = (np.log(ds["transition"]) - np.log1p(-ds["transition"])).mean("realization")
    assert np.isnan(expected[:2]).all() == path
    up = book.pages["theory"].axes[0]
    assert up.get_title().endswith("= 16")
    inside = expected < 4  # as above; of a path no other gamma has this n
    assert inside.any()
    np.testing.assert_allclose(up.get_lines()[0].get_ydata()[inside], expected[inside], atol=1e-6)


def test_ends_of_a_study_are_those_of_its_targets():
    system = canonical(MeanVarianceField.tiny(), rho=(0.5,), gamma=1e-4, n=48)
    x, rng = sine.places(48, np), np.random.default_rng(3)
    y = sine.mean(x, np) + sine.deviation(x, np) * rng.normal(size=48)
    closed = limits.stiff((y - y.mean()) / y.std(), system.resolution)
    rho = np.array(system.compute(np.random.default_rng(3), {})["transition"])
    expected = [alpha for _, alpha in closed.ends()]
    np.testing.assert_allclose(system.gamma * (1 - rho) / rho, expected, rtol=1e-4)


def test_ends_over_n_stand_beside_their_limits(tmp_path):
    study = Study(
        system=canonical(MeanVarianceField.tiny(), rho=(0.5,), gamma=1e-4),
        grid={"n": [12, 256], "resolution": [0.01, 0.2]},
        realizations=3,
    )
    run(study, tmp_path / "sizes", workers=1)
    ds = Results(tmp_path / "sizes", None).open()
    assert (ds["jumps"].sel(resolution=0.2) == 0).all()
    ax = field_figures.ends(ds, Figure().subplots())
    drawn = [line.get_ydata() for line in ax.get_lines() if line.get_marker() == "<"]
    share = (2.0625 / 4.0625) ** 0.5
    np.testing.assert_allclose(np.ravel(drawn), limits.white(0.01 / share))
    rho = ds["transition"].sel(n=256, start=0.0, resolution=0.01)
    alpha = (1e-4 * (1 - rho) / rho).mean().item()
    curves = [line.get_ydata() for line in ax.get_lines() if line.get_linestyle() == "-"]
    assert curves[0][1] == pytest.approx(alpha * 256**2 * share**2)
    assert curves[0][1] == pytest.approx(limits.white(0.01 / share)[0], rel=0.15)
    ax = field_figures.widths(ds, Figure().subplots())
    (limit,) = (line for line in ax.get_lines() if line.get_label() == r"$\infty$")
    assert limit.get_xdata()[-1] == pytest.approx(limits.CRITICAL * share)


# -- scores


def test_calibrated_ranks_have_the_error_of_a_brownian_bridge():
    rng = np.random.default_rng(0)
    n, draws = 1000, 600
    found = [scores.calibration_error(rng.random(n), np) * math.sqrt(n) for _ in range(draws)]
    error = np.std(found) / math.sqrt(draws)
    assert error < 0.01
    assert np.mean(found) == pytest.approx(scores.NULL_ERROR, abs=3 * error)


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_a_variance_wrong_by_4_has_the_error_that_an_integral_says(factor):
    n = 20_000
    y = np.random.default_rng(1).normal(size=n)
    rank = scores.ranks(y, 0 * y, np.full(n, factor), np, ndtr)
    exact, _ = quad(lambda tau: abs(ndtr(ndtri(tau) / math.sqrt(factor)) - tau), 0, 1)
    found = scores.calibration_error(rank, np)
    assert found == pytest.approx(exact, abs=4 * scores.NULL_ERROR / math.sqrt(n))
    assert found > 40 * scores.NULL_ERROR / math.sqrt(n)


def test_calibration_error_is_the_integral():
    rank = np.array([0.9, 0.2, 0.25, 0.6])
    tau = (np.arange(400_000) + 0.5) / 400_000
    below = np.searchsorted(np.sort(rank), tau, side="right") / 4
    assert scores.calibration_error(rank, np) == pytest.approx(np.abs(below - tau).mean(), abs=1e-6)


def test_crps_is_the_integral_and_that_of_the_truth_is_known():
    y, mean, precision = np.array([0.7]), np.array([-0.4]), np.array([2.5])
    parts = [
        quad(lambda x: norm.cdf(x, mean[0], 2.5**-0.5) ** 2, -20, y[0])[0],
        quad(lambda x: norm.sf(x, mean[0], 2.5**-0.5) ** 2, y[0], 20)[0],
    ]
    assert scores.crps(y, mean, precision, np, ndtr) == pytest.approx(sum(parts), rel=1e-7)
    # y ~ N(0, 1) forecast as such, at the middles of equal probabilities
    many = ndtri((np.arange(100_000) + 0.5) / 100_000)
    found = scores.crps(many, 0 * many, 0 * many + 1, np, ndtr)
    assert found == pytest.approx(1 / math.sqrt(math.pi), abs=1e-4)


def test_coverage_and_likelihood_by_hand():
    rank = np.array([0.1, 0.3, 0.5, 0.99])
    np.testing.assert_array_equal(
        scores.coverage(rank, np.array([0.5, 0.9, 0.99]), np), [0.5, 0.75, 1.0]
    )
    y, mean, precision = np.array([0.0, 1.0]), np.array([0.5, -1.0]), np.array([1.0, 4.0])
    exact = -norm.logpdf(y, mean, precision**-0.5).mean()
    assert scores.nll(y, mean, precision, np) == pytest.approx(exact, rel=1e-12)


def test_scores_of_jax_are_those_of_numpy():
    rng = np.random.default_rng(2)
    y, mean, precision = rng.normal(size=(3, 200))
    given = y, mean, np.exp(precision)
    single = [jnp.asarray(part, jnp.float32) for part in given]
    levels = np.array([0.5, 0.9])
    for name in ("nll", "crps"):
        more = (ndtr, jax_ndtr) if name == "crps" else ()
        one = getattr(scores, name)(*given, np, *more[:1])
        other = getattr(scores, name)(*single, jnp, *more[1:])
        assert float(other) == pytest.approx(one, rel=1e-5)
    rank = scores.ranks(*given, np, ndtr)
    other = scores.ranks(*single, jnp, jax_ndtr)
    np.testing.assert_allclose(other, rank, atol=1e-6)
    error = scores.calibration_error(rank, np)
    assert float(scores.calibration_error(other, jnp)) == pytest.approx(error, rel=1e-5)
    np.testing.assert_allclose(
        scores.coverage(other, jnp.asarray(levels), jnp), scores.coverage(rank, levels, np)
    )
