"""Exponents, phases and the boundary: known answers, honest errors, negative controls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from criticality import InputError
from criticality.analysis import stats
from criticality.base import flagged
from criticality.systems.dropout import phases as dropout
from criticality.systems.dropout.phases import AMENTIA, DEMENTIA, EUMENTIA, UNRESOLVED, Criteria

CHANCE_LOSS = np.log(10)
SIZES = np.array([500, 1000, 2000, 4000, 8000, 16000])


def phase_diagram(ds, **options):
    """Cells, with the border of eumentia and dementia for each training rate beside them."""
    found = dropout.phase_diagram(ds, **options)
    lines = [border for border in found.boundaries if border.along == "p_eval"]
    numbers = {
        "boundary": [line.estimate.value for line in lines],
        "boundary_error": [line.estimate.error for line in lines],
        "boundary_low": [line.estimate.low for line in lines],
        "boundary_high": [line.estimate.high for line in lines],
        "boundary_status": [line.status for line in lines],
    }
    return found.cells.assign({name: ("p_train", column) for name, column in numbers.items()})


def data_set(loss, accuracy=0.9, rates=(0.0, 0.5), controls=(0.0,)):
    """Data set from loss [control, size, realization, probe], with two equal passes."""
    loss = np.asarray(loss, float)[..., None].repeat(2, axis=-1)
    dims = ("p_train", "n_train", "realization", "p_eval", "pass")
    return xr.Dataset(
        {"loss": (dims, loss), "accuracy": (dims, np.full(loss.shape, accuracy))},
        coords={
            "p_train": list(controls),
            "n_train": SIZES[: loss.shape[1]],
            "p_eval": list(rates),
        },
    )


def power_laws(alphas, rng, realizations=4, scatter=0.05, shared=0.0, sizes=SIZES):
    """Losses with lognormal scatter, of which `shared` is common to all rates of a network."""
    shape = (1, len(sizes), realizations, len(alphas))
    noise = np.sqrt(1 - shared) * rng.normal(size=shape)
    noise = noise + np.sqrt(shared) * rng.normal(size=(*shape[:-1], 1))
    mean = (sizes[:, None] / 500.0) ** np.asarray(alphas)
    return mean[None, :, None, :] * np.exp(scatter * noise - scatter**2 / 2)


def test_an_exact_power_law_gives_its_exponent():
    rng = np.random.default_rng(0)
    loss = power_laws([-0.3, 0.1], rng, scatter=1e-6)
    found = phase_diagram(data_set(loss))
    np.testing.assert_allclose(found["alpha"], [[-0.3, 0.1]], atol=1e-5)
    np.testing.assert_allclose(
        np.exp(found["log_amplitude"]), 500 ** np.array([[0.3, -0.1]]), rtol=1e-4
    )
    assert found["phase"].values.tolist() == [[EUMENTIA, DEMENTIA]]


@pytest.mark.parametrize(
    "realizations",
    [3, pytest.param(4, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)],
)
def test_errors_of_alpha_cover_the_truth(realizations):
    rng = np.random.default_rng(realizations)
    draws, alphas = 300, [-0.2, 0.0, 0.05]
    pulls = []
    for _ in range(draws):
        loss = power_laws(alphas, rng, realizations=realizations, shared=0.8)
        found = phase_diagram(data_set(loss, rates=(0, 0.4, 0.8)), draws=200)
        pulls.append((found["alpha"].values[0] - alphas) / found["alpha_error"].values[0])
    pulls = np.array(pulls)
    inside, wide = (np.abs(pulls) < 1).mean(), (np.abs(pulls) < 2).mean()
    assert abs(pulls.mean()) < 0.15
    assert 0.61 < inside < 0.80, inside
    assert wide > 0.90, wide


def test_an_error_without_widening_would_be_caught():
    # the control of the test above: plain bootstrap at n = 3 is too narrow by sqrt(2/3)
    rng = np.random.default_rng(3)
    sample = rng.normal(10, 1, size=(3, 4000))
    plain = stats.bootstrap_means(sample, 400, rng).std(axis=0)
    true = 1 / np.sqrt(3)
    assert np.sqrt((plain**2).mean()) == pytest.approx(true / stats.widening(3), rel=0.03)
    assert np.sqrt((plain**2).mean()) * stats.widening(3) == pytest.approx(true, rel=0.03)


def test_the_boundary_and_its_interval_cover_the_truth():
    rng = np.random.default_rng(5)
    rates = np.linspace(0, 0.95, 20)
    truth = 0.43
    draws, inside, sigma = 200, 0, 0
    for _ in range(draws):
        loss = power_laws(0.4 * (rates - truth), rng, scatter=0.04, shared=0.8)
        found = phase_diagram(data_set(loss, rates=rates), draws=300)
        assert str(found["boundary_status"].values[0]) == "crossing"
        inside += bool(found["boundary_low"] <= truth <= found["boundary_high"])
        sigma += bool(abs(found["boundary"] - truth) < found["boundary_error"])
    assert 0.90 <= inside / draws <= 0.99
    assert 0.61 <= sigma / draws <= 0.80


def test_no_dependence_on_size_is_unresolved_at_the_stated_rate():
    rng = np.random.default_rng(6)
    loss = np.concatenate([power_laws(np.zeros(2), rng) for _ in range(300)])
    found = phase_diagram(data_set(loss, controls=np.linspace(0, 0.9, 300)), draws=200)
    false = (found["phase"] != UNRESOLVED).values.mean()
    assert 0.02 < false < 0.07  # beyond two standard errors: 0.046


@pytest.mark.parametrize("realizations", [2, 3])
def test_few_realizations_make_no_more_false_phases(realizations):
    rng = np.random.default_rng(19)
    rows = [power_laws(np.zeros(2), rng, realizations=realizations) for _ in range(300)]
    found = phase_diagram(
        data_set(np.concatenate(rows), controls=np.linspace(0, 0.9, 300)), draws=200
    )
    assert (found["phase"] != UNRESOLVED).values.mean() < 0.07


def test_scatter_that_grows_with_size_makes_no_false_phase():
    # the plain bootstrap with weights from four values each would do so at several times the rate
    rng = np.random.default_rng(20)
    growing = np.geomspace(0.01, 0.3, 6)[:, None, None]
    loss = np.exp(growing * rng.normal(size=(300, 6, 4, 2)) - growing**2 / 2)
    found = phase_diagram(data_set(loss, controls=np.linspace(0, 0.9, 300)), draws=200)
    assert (found["phase"] != UNRESOLVED).values.mean() < 0.09


def test_shuffled_sizes_lose_their_phase():
    rng = np.random.default_rng(7)
    loss = np.concatenate([power_laws([-0.3, 0.1], rng) for _ in range(100)])
    for row in loss:
        rng.shuffle(row, axis=0)
    found = phase_diagram(data_set(loss, controls=np.linspace(0, 0.9, 100)), draws=200)
    # a shuffled order can be monotonic by chance; what must go is the systematic verdict
    assert (found["phase"] == UNRESOLVED).values.mean() > 0.7


def test_a_curve_that_is_no_power_law_is_doubted_and_its_error_widened():
    rng = np.random.default_rng(8)
    bend = np.exp(0.5 * np.sin(np.linspace(0, 2 * np.pi, 6)))[None, :, None, None]
    straight = phase_diagram(data_set(power_laws([-0.1, -0.1], rng, scatter=0.02)))
    bent = phase_diagram(data_set(power_laws([-0.1, -0.1], rng, scatter=0.02) * bend))
    assert (straight["fit_probability"] > 0.01).all()
    assert (bent["fit_probability"] < 1e-6).all()
    assert (bent["alpha_error"] > 5 * straight["alpha_error"]).all()


def test_true_power_laws_are_doubted_no_more_often_than_stated():
    rng = np.random.default_rng(9)
    loss = np.concatenate([power_laws([-0.2], rng) for _ in range(600)])
    found = phase_diagram(
        data_set(loss, rates=(0.0,), controls=np.linspace(0, 0.9, 600)), draws=100
    )
    assert (found["fit_probability"] < 0.05).values.mean() < 0.09
    assert (found["fit_probability"] > 0.5).values.mean() == pytest.approx(0.5, abs=0.1)


def chance_losses(rng, rates=2):
    return CHANCE_LOSS * np.exp(rng.normal(0, 1e-3, size=(1, 6, 4, rates)))


def test_amentia_is_chance_at_the_lowest_rate_whatever_happens_above():
    rng = np.random.default_rng(10)
    loss = chance_losses(rng)
    loss[..., 1] *= (SIZES[:, None] / 500.0) ** 0.3  # strong scaling at the higher rate
    found = phase_diagram(data_set(loss, accuracy=0.11))
    assert found["phase"].values.tolist() == [[AMENTIA] * 2]
    assert str(found["boundary_status"].values[0]) == "amentia"


def test_a_network_that_learns_at_one_size_is_not_amentic():
    rng = np.random.default_rng(11)
    ds = data_set(chance_losses(rng), accuracy=0.11)
    ds["loss"][0, -1] = 0.5
    ds["accuracy"][0, -1] = 0.9
    assert (phase_diagram(ds)["phase"] != AMENTIA).all()
    # and the thresholds are what decides it
    strict = Criteria(accuracy_margin=0.001)
    assert (phase_diagram(data_set(chance_losses(rng), 0.11), criteria=strict)["phase"] == 0).all()


def test_low_accuracy_with_a_low_loss_is_not_amentia():
    rng = np.random.default_rng(21)
    ds = data_set(0.8 * chance_losses(rng), accuracy=0.11)
    assert (phase_diagram(ds)["phase"] != AMENTIA).all()


def test_amentia_is_not_stated_without_a_look_at_no_dropout():
    ds = data_set(chance_losses(np.random.default_rng(22)), accuracy=0.11, rates=(0.1, 0.5))
    assert (phase_diagram(ds)["phase"] != AMENTIA).all()
    ds = data_set(chance_losses(np.random.default_rng(22)), accuracy=0.11, rates=(0.0, 0.5))
    assert (phase_diagram(ds)["phase"] == AMENTIA).all()


def test_passes_are_averaged_before_the_logarithm_and_before_the_errors():
    rng = np.random.default_rng(23)
    ds = data_set(power_laws([-0.3, 0.1], rng))
    spread = ds.copy(deep=True)
    spread["loss"] = spread["loss"] * xr.DataArray([0.5, 1.5], dims="pass")
    xr.testing.assert_allclose(phase_diagram(spread), phase_diagram(ds))


def test_maps_show_the_largest_size():
    ds = data_set(power_laws([-0.3, 0.1], np.random.default_rng(24)))
    ds["accuracy"] = ds["accuracy"] * 0 + xr.DataArray(np.linspace(0.1, 0.6, 6), dims="n_train")
    found = phase_diagram(ds)
    np.testing.assert_allclose(found["accuracy"], 0.6)
    means = ds["loss"].isel(n_train=-1, p_train=0).mean(["realization", "pass"])
    np.testing.assert_allclose(found["loss"][0], means)


def test_a_shallow_boundary_is_covered_too():
    # alpha creeps through zero, so that replicas cross several times
    rng = np.random.default_rng(25)
    rates = np.linspace(0, 0.95, 20)
    draws, inside = 200, 0
    for _ in range(draws):
        loss = power_laws(0.05 * (rates - 0.43), rng, scatter=0.04, shared=0.8)
        found = phase_diagram(data_set(loss, rates=rates), draws=300)
        inside += bool(found["boundary_low"][0] <= 0.43 <= found["boundary_high"][0])
    assert 0.90 <= inside / draws <= 0.99


def test_one_realization_has_no_error_and_no_phase():
    loss = power_laws([-0.3, 0.1], np.random.default_rng(12), realizations=1)
    found = phase_diagram(data_set(loss))
    assert np.isnan(found["alpha_error"]).all()
    assert (found["phase"] == UNRESOLVED).all()
    assert "no error" in str(found["boundary_status"].values[0])


def test_a_study_that_is_not_finished_uses_what_is_there():
    loss = power_laws([-0.3, 0.1], np.random.default_rng(13), realizations=6)
    loss[:, -1] = np.nan  # the largest size is still to come
    loss[:, 2, 3:] = np.nan  # and half of another
    found = phase_diagram(data_set(loss))
    assert found["phase"].values.tolist() == [[EUMENTIA, DEMENTIA]]
    np.testing.assert_allclose(found["alpha"], [[-0.3, 0.1]], atol=0.06)


@pytest.mark.parametrize(
    ("alphas", "status"),
    [
        ([-0.3, -0.1], "alpha stays below 0"),
        ([0.1, 0.3], "alpha stays above 0"),
        ([0.3, -0.3], "falls"),
    ],
)
def test_no_boundary_says_why(alphas, status):
    found = phase_diagram(data_set(power_laws(alphas, np.random.default_rng(14))))
    assert np.isnan(found["boundary"]).all()
    assert status in str(found["boundary_status"].values[0])
    if "stays" in status:  # clearly on one side: the bound says which
        beyond = np.inf if alphas[0] < 0 else -np.inf
        assert (found["boundary_low"] == found["boundary_high"]).all()
        assert (found["boundary_low"] == beyond).all()


def test_a_line_just_beyond_the_grid_still_has_a_bound():
    rates = np.linspace(0, 0.5, 6)
    loss = power_laws(0.3 * (rates - 0.57), np.random.default_rng(27), scatter=0.06, shared=0.9)
    found = phase_diagram(data_set(loss, rates=rates))
    assert str(found["boundary_status"].values[0]) == "alpha stays below 0"
    assert 0 < float(found["boundary_low"][0]) < 0.5
    assert np.isposinf(found["boundary_high"]).all()


def test_an_interval_that_leaves_the_grid_is_open():
    rates = np.linspace(0, 0.5, 6)
    loss = power_laws(0.3 * (rates - 0.48), np.random.default_rng(15), scatter=0.1, shared=0.9)
    found = phase_diagram(data_set(loss, rates=rates))
    assert np.isfinite(found["boundary_low"]).all()
    assert np.isposinf(found["boundary_high"]).all()


def test_the_same_seed_gives_the_same_errors_and_row_order_does_not_matter():
    loss = power_laws([-0.3, 0.1], np.random.default_rng(16))
    one, two = phase_diagram(data_set(loss), seed=4), phase_diagram(data_set(loss), seed=4)
    xr.testing.assert_identical(one, two)
    turned = data_set(loss).isel(n_train=slice(None, None, -1), p_eval=[1, 0])
    xr.testing.assert_allclose(
        phase_diagram(turned, seed=4)["alpha"].sortby("p_eval"), one["alpha"]
    )


def test_the_border_of_amentia_lies_where_the_network_stops_learning():
    rng = np.random.default_rng(28)
    controls = np.linspace(0, 0.95, 20)
    inside = []
    for stop in rng.uniform(0.3, 0.8, 40):
        accuracy = 0.1 + 0.8 / (1 + np.exp((controls - stop) / 0.05))
        ds = data_set(np.concatenate([power_laws([-0.3, 0.1], rng)] * 20), controls=controls)
        noise = 0.01 * rng.normal(size=(20, 6, 4, 2, 1))
        ds["accuracy"] = ds["accuracy"] * 0 + accuracy[:, None, None, None, None] + noise
        *_, border = dropout.phase_diagram(ds, draws=100).boundaries
        assert (border.along, border.at) == ("p_train", {"p_eval": 0.0})
        assert border.between == ("amentia", "")
        truth = stop + 0.05 * np.log(7)  # where it passes 0.2
        inside.append(border.estimate.low <= truth <= border.estimate.high)
        assert abs(border.estimate.value - truth) < 0.03
    assert np.mean(inside) > 0.9


def test_boundaries_say_what_the_table_says():
    loss = np.concatenate(
        [
            power_laws([-0.3, 0.1], np.random.default_rng(29)),
            chance_losses(np.random.default_rng(0)),
        ]
    )
    ds = data_set(loss, controls=(0.0, 0.9))
    ds["accuracy"][1] = 0.1
    found = dropout.phase_diagram(ds)
    line, dead = found.boundaries[:2]
    assert (line.at, line.along) == ({"p_train": 0.0}, "p_eval")
    assert line.between == ("eumentia", "dementia")
    # two rates tell nothing of the curve between them: the whole step, and a flag
    assert line.estimate.low < 0.05
    assert line.estimate.high > 0.45
    assert flagged(line.flags, "coarse grid")
    assert flagged(dead.flags, "amentia")
    assert not dead.clean


def test_one_training_rate_may_be_selected():
    rng = np.random.default_rng(30)
    loss = np.concatenate([power_laws([-0.3, 0.1], rng), power_laws([-0.2, 0.2], rng)])
    ds = data_set(loss, controls=(0.0, 0.2))
    for part in (ds.sel(p_train=0.2), ds.sel(p_train=[0.2])):
        xr.testing.assert_equal(phase_diagram(part), phase_diagram(ds).sel(p_train=[0.2]))


def test_missing_and_extra_axes_are_refused():
    ds = data_set(power_laws([-0.3, 0.1], np.random.default_rng(17)))
    with pytest.raises(InputError, match="n_train is not an axis here"):
        phase_diagram(ds.isel(n_train=0))
    with pytest.raises(InputError, match="two values of n_train"):
        phase_diagram(ds.isel(n_train=[0]))
    with pytest.raises(InputError, match="no observable 'accuracy'"):
        phase_diagram(ds.drop_vars("accuracy"))
    with pytest.raises(InputError, match=r"also sweeps width \(50, 100\)"):
        phase_diagram(xr.concat([ds, ds], dim=xr.Variable("width", [50, 100])))


def test_thresholds_are_recorded():
    limits = dataclasses.replace(Criteria(), sigmas=3.0)
    loss = power_laws([-0.3, 0.1], np.random.default_rng(18))
    assert phase_diagram(data_set(loss), criteria=limits).attrs["criterion_sigmas"] == 3.0
