"""Mean-variance regression by networks: parts, loss, training, what is measured, sweeps."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats

from criticality import Study, data, run
from criticality.base import InputError, Task, canonical
from criticality.engine.templates import split as templates
from criticality.systems import MeanVarianceNetwork, MeanVarianceSweep
from criticality.systems.mean_variance import (
    figures,
    measures,
    model,
    scores,
    sine,
    stability,
    sweep,
)
from criticality.systems.mean_variance.model import networks, parts
from criticality.systems.mean_variance.model import sweep as sweeping

SMALL = canonical(
    MeanVarianceNetwork(),
    rho=0.97,
    gamma=0.3,
    n_train=20,
    width=5,
    epochs=60,
    warmup=20,
    half_cycle=10,
    x=(0.0, 0.3, 1.0),
)
FITTED = dataclasses.replace(SMALL, n_train=8, width=32, epochs=6000, warmup=2000, half_cycle=500)


def key(seed=0):
    return jax.random.key(seed, impl="threefry2x32")


@functools.cache
def compiled(function, form):
    """One program for all values of the controls that are traced."""
    return jax.jit(lambda traced, *rest: function(dataclasses.replace(form, **traced), *rest))


def call(function, system, *rest):
    form, traced = templates(system)
    return compiled(function, form)(traced, *rest)


def trained(system, seed=0, arrays=None, of=model):
    """State at the end, by the four functions alone."""
    state = call(of.begin, system, key(seed), arrays or {})
    while not of.finished(system, state):
        state = call(of.advance, system, state, arrays or {})
    return state


def observed(system, seed=0, arrays=None, of=model):
    state = trained(system, seed, arrays, of)
    return call(of.observe, system, state, arrays or {})


def predicted(system, state, part):
    found = call(networks.predict, system, state.fit.params, part.x)
    return [np.asarray(values, float) for values in found]


# --- the parts -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Rows that tell their number in y, with a constant feature, and targets at random."""
    rng = np.random.default_rng(0)
    rows = np.arange(50.0)
    x = np.stack([rows, np.full(50, 7.3), rng.normal(size=50)], axis=1)
    file = tmp_path_factory.mktemp("data") / "rows.npz"
    np.savez(file, x=x, y=100 + rows)
    return f"file:{file}"


def test_parts_of_a_table_are_disjoint_of_all_rows_and_of_the_realization(table):
    system = dataclasses.replace(SMALL, dataset=table, n_train=0)
    arrays = data.load(table).arrays()
    orders = []
    for seed in range(3):
        found = call(parts.split, system, key(seed), arrays)
        rows = [part.y * found.of_y.deviation + found.of_y.mean - 100 for part in found[:3]]
        assert [len(part) for part in rows] == [26, 7, 17]  # a third; a fifth of the rest; the rest
        orders.append(np.rint(np.concatenate(rows)).astype(int))
        assert_array_equal(np.sort(orders[-1]), np.arange(50))
        # x goes with its y
        first = np.concatenate([part.x[0] for part in found[:3]])
        assert_allclose(first * found.of_x.deviation[0] + found.of_x.mean[0], orders[-1], atol=1e-3)
    assert len({tuple(order) for order in orders}) == 3
    fewer = call(parts.split, dataclasses.replace(system, n_train=9), key(0), arrays)
    assert fewer.train.y.shape == (9,)
    assert_allclose(fewer.test.y * fewer.of_y.deviation + fewer.of_y.mean - 100, orders[0][-17:])


def test_all_points_of_the_plane_share_split_noise_and_start():
    one, other = (
        Task(system=dataclasses.replace(SMALL, **at), seed=0, realization=0, checksum="")
        for at in ({}, {"rho": 0.1, "gamma": 0.9})
    )
    assert one.key != other.key
    assert one.lineage == other.lineage


def test_standardised_by_the_training_part(table):
    system = dataclasses.replace(SMALL, dataset=table, n_train=0)
    found = call(parts.split, system, key(), data.load(table).arrays())
    assert_allclose(found.train.x.mean(axis=1), 0, atol=1e-6)
    assert_allclose(found.train.x.std(axis=1), [1, 0, 1], atol=1e-6)
    assert_array_equal(found.test.x[1], 0)  # the constant one
    assert_allclose([found.train.y.mean(), found.train.y.std()], [0, 1], atol=1e-6)
    assert abs(found.test.y.mean()) > 1e-3


def test_test_and_validation_rows_do_not_enter_training(table):
    system = dataclasses.replace(SMALL, dataset=table, n_train=0, epochs=30)
    arrays = data.load(table).arrays()
    before = trained(system, arrays=arrays)
    y = before.parts.of_y
    for part, same in (("test", True), ("validation", True), ("train", False)):
        row = int(np.rint(getattr(before.parts, part).y[0] * y.deviation[0] + y.mean[0] - 100))
        changed = {name: np.array(array) for name, array in arrays.items()}
        place = ("train", row) if row < 40 else ("test", row - 40)
        changed[f"{place[0]}_y"][place[1]] += 5
        changed[f"{place[0]}_x"][place[1]] *= 3
        after = trained(system, arrays=changed)
        assert np.array_equal(after.fit.params, before.fit.params) == same, part


def test_the_sine_problem():
    system = dataclasses.replace(SMALL, n_train=4000)
    found = call(parts.split, system, key(), {})
    assert [part.y.size for part in found[:3]] == [4000, 1000, 1000]
    for part in found[:3]:
        x = np.asarray(part.x[0] * found.of_x.deviation[0] + found.of_x.mean[0], float)
        assert -1e-6 < x.min() < 0.01
        assert 0.99 < x.max() < 1 + 1e-6
        z = np.asarray(part.y * found.of_y.deviation + found.of_y.mean, float)
        z = (z - sine.mean(x, np)) / sine.deviation(x, np)
        assert stats.kstest(z, "norm").pvalue > 0.01
        assert stats.kstest(x, "uniform").pvalue > 0.01


# --- loss, gradient, training ----------------------------------------------------------------


def layers_of(params, features, width, depth):
    """Weights and biases of a row of parameters, as views."""
    at, found = 0, []
    sizes = [features, *[width] * depth, 1]
    for before, after in itertools.pairwise(sizes):
        w = params[at : at + after * before].reshape(after, before)
        at += after * before
        found.append((w, params[at : at + after]))
        at += after
    assert at == len(params)
    return found


def plain_network(params, x, width=5, depth=2):
    """Output [samples] and, from slopes by it, those by the parameters; float64."""
    layers = layers_of(params, len(x), width, depth)
    inputs, outs = [x], []
    for w, b in layers:
        outs.append(w @ inputs[-1] + b[:, None])
        inputs.append(np.where(outs[-1] > 0, outs[-1], 0.01 * outs[-1]))

    def backward(slope):
        found, delta = [], slope[None]
        for number in reversed(range(len(layers))):
            found.append(np.append(delta @ inputs[number].T, delta.sum(axis=1)))
            delta = layers[number][0].T @ delta
            if number:
                delta = delta * np.where(outs[number - 1] > 0, 1, 0.01)
        return np.concatenate(found[::-1])

    return outs[-1][0], backward


def plain_loss(params, x, y, rho, gamma, divisor=1, width=5, depth=2):
    """Loss and gradient, written out, float64; at precision 1 if there is one network."""
    mean, to_mean = plain_network(params[0], x, width, depth)
    squares = [gamma * params[0] @ params[0] / divisor]
    decays = [2 * gamma * params[0] / divisor]
    if len(params) == 1:
        likelihood = np.mean((y - mean) ** 2)
        slopes = [to_mean(2 * (mean - y) / len(y))]
    else:
        raw, to_precision = plain_network(params[1], x, width, depth)
        precision = np.log1p(np.exp(raw)) + 1e-8
        likelihood = np.mean(precision * (y - mean) ** 2 - np.log(precision))
        inside = ((y - mean) ** 2 - 1 / precision) / (1 + np.exp(-raw))
        slopes = [to_mean(2 * precision * (mean - y) / len(y)), to_precision(inside / len(y))]
        squares.append((1 - gamma) * params[1] @ params[1] / divisor)
        decays.append(2 * (1 - gamma) * params[1] / divisor)
    loss = rho * likelihood + (1 - rho) * sum(squares)
    both = zip(slopes, decays, strict=True)
    return loss, np.stack([rho * slope + (1 - rho) * decay for slope, decay in both])


def loss_and_gradient(system, params, part, used, weights):
    return jax.value_and_grad(lambda p: networks.loss(system, p, part, used, weights))(params)


@pytest.mark.parametrize(("nets", "per_parameter"), [(1, False), (2, False), (2, True)])
def test_loss_and_gradient_are_those_of_plain_numpy(nets, per_parameter):
    system = dataclasses.replace(SMALL, per_parameter=per_parameter)
    state = call(model.begin, system, key(), {})
    params = np.array(state.fit.params[:nets], float) + 0.1  # biases too
    part = state.parts.train
    weights = networks.Weights(np.float32(0.8), np.float32(0.3))
    found, slope = call(
        loss_and_gradient, system, np.float32(params), part, jnp.ones(20, bool), weights
    )
    x, y = (np.asarray(a, float) for a in part)
    divisor = params.shape[1] if per_parameter else 1
    expected, gradient = plain_loss(params, x, y, 0.8, 0.3, divisor)
    assert_allclose(found, expected, rtol=1e-5)
    assert_allclose(slope, gradient, rtol=1e-4, atol=1e-5)
    # of some samples: the loss of these alone
    used = np.arange(20) < 7
    found, slope = call(loss_and_gradient, system, np.float32(params), part, used, weights)
    expected, gradient = plain_loss(params, x[:, :7], y[:7], 0.8, 0.3, divisor)
    assert_allclose(found, expected, rtol=1e-5)
    assert_allclose(slope, gradient, rtol=1e-4, atol=1e-5)


def triangular2(t, low, high, half):
    """The cyclic learning rate of Smith (2017), halved in every cycle."""
    cycle = np.floor(1 + t / (2 * half))
    x = np.abs(t / half - 2 * cycle + 1)
    return low + (high - low) * np.maximum(0, 1 - x) / 2 ** (cycle - 1)


def test_the_learning_rate_is_triangular2():
    t = np.arange(100)
    system = dataclasses.replace(SMALL, rate_low=1e-3, rate_high=2e-2, half_cycle=7)
    found = call(lambda s, t: networks.rate(s, t), system, jnp.asarray(t))
    assert_allclose(found, triangular2(t, 1e-3, 2e-2, 7), rtol=1e-5)
    assert found.max() == found[7]
    assert_allclose(found[21] - 1e-3, (found[7] - 1e-3) / 2, rtol=1e-5)


def test_training_is_adam_written_out_in_plain_numpy():
    system = SMALL
    start = call(model.begin, system, key(), {})
    state = trained(system)
    params = np.array(start.fit.params, float)
    x, y = (np.asarray(a, float) for a in start.parts.train)
    rho, gamma = float(np.float32(system.rho)), float(np.float32(system.gamma))
    mean, square, count = np.zeros_like(params), np.zeros_like(params), np.zeros((2, 1))
    for epoch in range(system.epochs):
        nets = slice(1) if epoch < system.warmup else slice(2)
        _, slope = plain_loss(params[nets], x, y, rho, gamma)
        count[nets] += 1
        mean[nets] = 0.9 * mean[nets] + 0.1 * slope
        square[nets] = 0.999 * square[nets] + 0.001 * slope**2
        unbiased = (m[nets] / (1 - d ** count[nets]) for m, d in ((mean, 0.9), (square, 0.999)))
        first, second = unbiased
        rate = triangular2(epoch, system.rate_low, system.rate_high, system.half_cycle)
        params[nets] -= rate * first / (np.sqrt(second) + 1e-8)
    assert_array_equal(state.fit.steps.ravel(), [60, 40])
    assert_allclose(state.fit.params, params, rtol=1e-3, atol=1e-3)
    assert np.abs(params - np.asarray(start.fit.params)).max() > 0.1  # it went somewhere


def test_the_warm_up_leaves_the_precision_alone():
    system = dataclasses.replace(SMALL, epochs=20)
    before, after = call(model.begin, system, key(), {}).fit, trained(system).fit
    assert_array_equal(after.params[1], before.params[1])
    assert_array_equal(after.moments.mean[1], 0)
    assert (after.params[0] != before.params[0]).any()


def test_clipping_shortens_the_gradient_and_keeps_its_direction():
    system = SMALL
    state = call(model.begin, system, key(), {})
    weights = networks.Weights(np.float32(0.8), np.float32(0.3))

    def first_mean(clip):
        clipped = dataclasses.replace(system, clip=clip)
        done = call(networks.step, clipped, state.fit, state.parts.train, None, weights, 1e-3)
        return np.asarray(done.moments.mean) / 0.1

    whole = first_mean(1e3)
    length = np.sqrt((whole**2).sum())
    x, y = (np.asarray(a, float) for a in state.parts.train)
    _, slope = plain_loss(np.array(state.fit.params, float), x, y, 0.8, 0.3)
    assert_allclose(whole, slope, rtol=1e-3, atol=1e-5)
    assert_allclose(first_mean(length / 4), whole / 4, rtol=1e-4)
    assert_allclose(first_mean(length * 1.01), whole, rtol=1e-6)


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    found = trained(dataclasses.replace(SMALL, rate_high=1e30))
    assert 0 < found.fit.skipped < 60
    assert np.isfinite(found.fit.params).all()
    assert found.fit.steps[0, 0] + found.fit.skipped == 60
    assert trained(SMALL).fit.skipped == 0


def test_mini_batches():
    system = dataclasses.replace(SMALL, batch_size=20)
    assert_array_equal(trained(system).fit.params, trained(SMALL).fit.params)
    state = trained(dataclasses.replace(SMALL, batch_size=8, epochs=4, warmup=2))
    assert_array_equal(state.fit.steps.ravel(), [12, 6])  # three batches an epoch


# --- what is measured ------------------------------------------------------------------------


def test_scores_are_those_of_the_predictions_by_other_formulas():
    state = trained(SMALL)
    found = call(model.observe, SMALL, state, {})
    for name in ("train", "validation", "test"):
        part = getattr(state.parts, name)
        y = np.asarray(part.y, float)
        mean, precision = predicted(SMALL, state, part)
        normal = stats.norm(mean, precision**-0.5)
        assert_allclose(found[f"{name}_mse"], np.mean((y - mean) ** 2), rtol=1e-4)
        assert_allclose(found[f"{name}_nll"], -normal.logpdf(y).mean(), rtol=1e-4)
        tau = (np.arange(20_000) + 0.5) / 20_000
        below = (normal.cdf(y)[:, None] < tau).mean(axis=0)
        assert_allclose(found[f"{name}_ece"], np.abs(below - tau).mean(), atol=1e-4)
        t = np.linspace(-30, 30, 20_001)
        gaps = (
            (stats.norm.cdf((t - m) * p**0.5) - (one <= t)) ** 2
            for one, m, p in zip(y, mean, precision, strict=True)
        )
        crps = np.mean([np.trapezoid(gap, t) for gap in gaps])
        assert_allclose(found[f"{name}_crps"], crps, rtol=2e-3)
    assert_allclose(found["mse_ratio"], found["train_mse"] / found["test_mse"], rtol=1e-6)
    assert_allclose(found["test_chi2"], np.mean(precision * (y - mean) ** 2), rtol=1e-4)
    low, high = normal.interval(np.array(SMALL.level)[:, None])
    assert_allclose(found["coverage"], ((low <= y) & (y <= high)).mean(axis=1), atol=1e-6)
    inside = predicted(SMALL, state, state.parts.train)[1]
    assert_allclose(found["precision_spread"], np.log(inside).std(), rtol=1e-3)


def test_energies_are_those_of_finite_differences_on_the_unit_interval():
    state = trained(SMALL)
    found = call(model.observe, SMALL, state, {})
    params = np.array(state.fit.params, float)
    x = np.asarray(state.parts.train.x, float)
    step = 1e-6
    outputs = [[plain_network(row, x + d)[0] for d in (-step, step)] for row in params]
    outputs[1] = [np.log1p(np.exp(raw)) for raw in outputs[1]]
    for (low, high), name in zip(outputs, ("mean_energy", "precision_energy"), strict=True):
        slope = (high - low) / (2 * step) / np.asarray(state.parts.of_x.deviation)[0]
        assert_allclose(found[name], np.mean(slope**2), rtol=1e-3)


def test_curves_are_the_predictions_in_units_of_y():
    state = trained(SMALL)
    found = call(model.observe, SMALL, state, {})
    of_x, of_y = (
        tuple(float(v.squeeze()) for v in scale) for scale in (state.parts.of_x, state.parts.of_y)
    )
    x = (np.array(SMALL.x) - of_x[0]) / of_x[1]
    mean, precision = predicted(SMALL, state, parts.Part(jnp.float32(x[None]), None))
    assert_allclose(found["mean_curve"], mean * of_y[1] + of_y[0], rtol=1e-4)
    assert_allclose(found["deviation_curve"], of_y[1] / np.sqrt(precision), rtol=1e-4)


def test_the_truth_is_calibrated_and_a_wrong_variance_is_not():
    rng = np.random.default_rng(1)
    n, draws = 1000, 200
    x = rng.random((draws, n))
    y = sine.mean(x, np) + sine.deviation(x, np) * rng.normal(size=x.shape)

    def measured(factor):
        every = [
            measures.measured(
                dict.fromkeys(
                    ("train", "test"),
                    measures.Predicted(b, sine.mean(a, np), factor / sine.deviation(a, np) ** 2),
                ),
                np.array([0.5, 0.9]),
                np,
                stats.norm.cdf,
            )
            for a, b in zip(x, y, strict=True)
        ]
        return {name: np.array([one[name] for one in every]) for name in every[0]}

    right, wrong = measured(1), measured(4)
    for name, expected in (
        ("test_ece", scores.NULL_ERROR / np.sqrt(n)),
        ("test_chi2", 1.0),
        ("coverage", [0.5, 0.9]),
    ):
        error = right[name].std(axis=0, ddof=1) / np.sqrt(draws)
        assert (np.abs(right[name].mean(axis=0) - expected) < 4 * error).all(), name
    # deviations that are half as large: P(y < q_tau) = Phi(Phi^-1(tau) / 2), by quadrature
    tau = (np.arange(10_000) + 0.5) / 10_000
    known = np.abs(stats.norm.cdf(stats.norm.ppf(tau) / 2) - tau).mean()
    assert_allclose(wrong["test_ece"].mean(), known, atol=0.005)
    assert_allclose(wrong["test_chi2"].mean(), 4, rtol=0.01)
    assert known > 10 * right["test_ece"].mean()


# --- what training finds ---------------------------------------------------------------------


def test_small_rho_gives_constants_and_large_rho_interpolates():
    flat = observed(dataclasses.replace(FITTED, rho=0.01, gamma=0.5))
    assert_allclose(flat["train_mse"], 1, atol=1e-3)
    assert max(flat["mean_energy"], flat["precision_spread"]) < 1e-5
    every = [observed(dataclasses.replace(FITTED, rho=0.99999, gamma=0.5), s) for s in range(3)]
    sharp = {name: np.median([one[name] for one in every]) for name in flat if name != "coverage"}
    assert sharp["train_mse"] < 1e-3 < 0.5 < sharp["test_mse"]
    assert sharp["mean_energy"] > 10
    assert sharp["test_chi2"] > 100


def test_a_known_law_of_the_variance_is_recovered(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (8000, 3))

    def truth(x):
        return np.sin(3 * x[:, 1]), np.exp(1.2 * x[:, 0] - 0.5)

    mean, deviation = truth(x)
    np.savez(tmp_path / "law.npz", x=x, y=5 + 3 * (mean + deviation * rng.normal(size=8000)))
    source = f"file:{tmp_path / 'law.npz'}"
    system = canonical(
        MeanVarianceNetwork(),
        dataset=source,
        rho=0.999,
        width=8,
        batch_size=100,
        epochs=40,
        warmup=15,
        half_cycle=5,
    )
    arrays = data.load(source).arrays()
    state = trained(system, arrays=arrays)
    found = call(model.observe, system, state, arrays)
    test = state.parts.test
    true_mean, true_deviation = truth(
        np.asarray(test.x * state.parts.of_x.deviation + state.parts.of_x.mean).T
    )
    unit, zero = float(state.parts.of_y.deviation[0]), float(state.parts.of_y.mean[0])
    mean, precision = predicted(system, state, test)
    ratio = np.log(precision**-0.5 * unit / 3 / true_deviation)
    # the law itself has a spread of 0.69; 113 parameters of 4267 samples cost 0.03 a sample
    assert np.std(ratio) < 0.2
    assert abs(np.mean(ratio)) < 0.07
    wrong = ((mean * unit + zero - 5) / 3 - true_mean) / true_deviation
    assert np.mean(wrong**2) < 0.2  # in units of the law; 3.2 without any mean
    assert_allclose(found["coverage"], measures.LEVELS, atol=0.03)  # 2667 samples
    assert found["test_ece"] < 0.03
    assert_allclose(found["test_chi2"], 1, atol=0.2)
    assert np.isnan(found["mean_curve"]).all()


# --- constants: stable or not -----------------------------------------------------------------


def nearby(net, x, y, rho, gamma, depth, length=1e-3):
    """Least change of the loss, over length^2, among networks of one unit near the constant one."""
    rng = np.random.default_rng(3)
    bias, _ = stability.constant(y, rho, gamma)
    constant = np.zeros((2, 4 if depth == 1 else 6))
    constant[1, -1] = bias
    if depth == 1:  # all directions inwards, and outwards a weight of the same length
        angle = np.arange(0, 2 * np.pi, 0.05)
        inward = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        directions = [[*w, sign] for w in inward for sign in (-1, 1)]
    else:
        directions = rng.normal(size=(400, 5))
    before, _ = plain_loss(constant, x, y, rho, gamma, 1, 1, depth)
    change = []
    for direction in directions:
        moved = constant.copy()
        moved[net, :-1] = length * np.array(direction)
        change.append(plain_loss(moved, x, y, rho, gamma, 1, 1, depth)[0] - before)
    return min(change) / length**2


@pytest.mark.parametrize("net", [0, 1])
def test_constants_are_unstable_with_one_hidden_layer_from_a_margin_of_1_on(net):
    rng = np.random.default_rng(4)
    x = np.linspace(-1.7, 1.7, 20)
    y = (np.sin(2 * x) + 0.3 * x) + rng.normal(size=20) * np.exp(x / 2)
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    gamma = 0.4
    critical = optimize.brentq(
        lambda rho: stability.margins(x, y, rho, gamma)[net] - 1, 0.01, 0.999
    )
    odds = critical / (1 - critical)
    below, above = (odds * factor / (1 + odds * factor) for factor in (0.97, 1.03))
    assert nearby(net, x[None], y, below, gamma, 1) > 0
    assert nearby(net, x[None], y, above, gamma, 1) < 0
    # with two hidden layers never, at this distance
    assert nearby(net, x[None], y, 0.99, gamma, 1) < 0 < nearby(net, x[None], y, 0.99, gamma, 2)


def test_trained_constants_are_left_where_they_are_unstable():
    shallow = dataclasses.replace(SMALL, depth=1, epochs=8000, warmup=1000, half_cycle=500)
    part = call(model.begin, shallow, key(), {}).parts.train
    x, y = (np.asarray(a, float) for a in (part.x[0], part.y))
    critical = optimize.brentq(lambda rho: stability.margins(x, y, rho, 1 - rho)[0] - 1, 0.1, 0.99)
    for shift, grown in ((-0.03, False), (0.03, True)):
        rho = critical + shift
        found = observed(dataclasses.replace(shallow, rho=rho, gamma=1 - rho))
        assert (found["mean_energy"] > 1e-4) == grown
        assert 0.9 < found["train_mse"] < 1.0001  # no jump


# --- sweeps ----------------------------------------------------------------------------------

SWEPT = canonical(
    MeanVarianceSweep(),
    rho=(0.97, 0.97001, 0.5),
    n_train=20,
    width=5,
    epochs=40,
    warmup=20,
    half_cycle=10,
)


def test_the_first_value_of_a_sweep_is_a_training():
    plain = observed(dataclasses.replace(SMALL, gamma=1 - 0.97))
    swept = observed(SWEPT, of=sweeping)
    for name in {o.name for o in MeanVarianceSweep.card.observables} - {"skipped"}:
        assert swept[name].shape[0] == 3
        assert_allclose(swept[name][0], plain[name], rtol=1e-3, err_msg=name)


def test_a_sweep_goes_on_from_where_it_was():
    state = call(sweeping.begin, SWEPT, key(), {})
    state = call(sweeping.advance, SWEPT, state, {})  # all 60 epochs of the first value
    plain = trained(dataclasses.replace(SMALL, gamma=1 - 0.97))
    assert (state.place, state.epoch) == (1, 0)
    assert_allclose(state.fit.params, plain.fit.params, rtol=1e-3, atol=1e-4)
    for nothing in (state.fit.steps, *state.fit.moments):
        assert_array_equal(nothing, 0)
    state = call(sweeping.advance, SWEPT, state, {})
    assert_array_equal(state.fit.steps, 0)
    found = observed(SWEPT, of=sweeping)
    assert found["loss"][1] < 0.9 * found["loss"][0]
    afresh = observed(dataclasses.replace(SMALL, rho=0.5, gamma=0.5))
    assert abs(found["train_mse"][2] - afresh["train_mse"]) > 0.01


def loop(up, down, rho=(0.2, 0.5, 0.8)):
    """Data of a loop: training MSE on each leg, by rising rho; the last of both is one."""
    values = [*up, *down[-2::-1]]
    return xr.Dataset(
        {"train_mse": (("realization", "rho"), [values])},
        coords={"rho": [*rho, *rho[-2::-1]], "realization": [0]},
    )


def test_area_and_width_of_a_loop():
    ds = loop([1.0, 1.0, 0.4], [1.0, 0.7, 0.4])
    spacing = np.log(4)  # of ln rho/(1-rho)
    assert_allclose(sweep.loop_area(ds), [0.3 * spacing])
    # 0.9 is passed at a sixth of the way from 0.5 on the leg up, at a third from 0.2 on that down
    assert_allclose(sweep.loop_width(ds), [(1 / 6 - (1 / 3 - 1)) * spacing])
    turned = ds.isel(rho=[2, 3, 4, 1, 2])  # down first
    turned = turned.assign_coords(rho=[0.8, 0.5, 0.2, 0.5, 0.8])
    assert_allclose(sweep.loop_area(turned), [0.3 * spacing])
    assert_allclose(sweep.loop_width(turned), sweep.loop_width(ds))
    same = loop([1.0, 0.8, 0.4], [1.0, 0.8, 0.4])
    assert_array_equal(sweep.loop_area(same), [0])
    assert_allclose(sweep.loop_width(same), [0], atol=1e-12)
    assert np.isnan(sweep.loop_width(loop([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]))).all()
    for leg in (slice(3), slice(2, 5)):  # one alone is no loop
        alone = ds.isel(rho=leg)
        assert list(sweep.legs(alone["train_mse"])) == ["up" if leg.stop == 3 else "down"]
        assert np.isnan(sweep.loop_area(alone)).all()
        assert np.isnan(sweep.loop_width(alone)).all()
    one = ds.isel(rho=1)
    for nothing in (sweep.loop_area(one), sweep.loop_width(one)):
        assert nothing.dims == ("realization",)
        assert np.isnan(nothing).all()


def test_legs_of_other_values_have_the_area_between_their_lines():
    # up from 0.5 to 0.8, down to 0.2: over ln rho/(1-rho) from 0 to ln 4, 1 less 0.6 at its left
    rho, values = [0.5, 0.8, 0.2], [[1.0, 0.4, 0.8], [0.6, 0.4, 0.8]]
    ds = xr.Dataset(
        {"train_mse": (("realization", "rho"), values)}, {"rho": rho, "realization": [0, 1]}
    )
    assert_allclose(sweep.loop_area(ds), [0.4 * np.log(4) / 2, 0], atol=1e-12)
    assert_allclose(sweep.loop_area(ds.transpose()), sweep.loop_area(ds))


def test_a_sweep_at_one_rho_is_shown_without_its_loop(tmp_path, command):
    store = str(tmp_path / "s")
    study = Study(system=MeanVarianceSweep.tiny(), grid={"width": [4, 6]}, realizations=2)
    run(study, store, workers=1)
    code, out = command("best", store, "--by", "test_crps", "--select", "rho=0.95")[:2]
    assert code == 0
    assert "test_crps" in out
    assert command("figures", store, "--select", "rho=0.95", "--out", str(tmp_path / "f"))[0] == 0
    assert (tmp_path / "f" / "curves.png").is_file()


def test_both_legs_are_drawn_with_their_means_on_the_logit():
    both = xr.concat(
        [loop([1.0, 1.0, 0.4], [1.0, 0.7, 0.4]), loop([1.0, 0.8, 0.2], [0.8, 0.5, 0.2])],
        "realization",
    )
    lines = [c[0] for c in figures.loop(both["train_mse"]).containers]
    assert [line.get_linestyle() for line in lines] == ["-", "--"]
    for line, means in zip(lines, ([1, 0.9, 0.3], [0.9, 0.6, 0.3]), strict=True):
        assert_allclose(line.get_xdata(), np.log([0.25, 1, 4]))
        assert_allclose(line.get_ydata(), means)


def test_fits_are_drawn_beside_the_truth():
    x = np.array([0.0, 0.5, 1.0])
    point = xr.Dataset(
        {
            "mean_curve": (("realization", "x"), [[1.0, 2, 3], [0, 0, 0]]),
            "deviation_curve": (("realization", "x"), np.ones((2, 3))),
        },
        coords={"x": x, "rho": 0.9},
    )
    ax = figures.fit(point)
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert_allclose(drawn["fit"].get_ydata(), [1, 2, 3])
    truth = drawn["truth"]
    assert_allclose(truth.get_ydata(), 2 * np.sin(4 * np.pi * truth.get_xdata()))
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (-1, 5)  # two deviations
    assert "0.9" in ax.get_title()


# --- refusals --------------------------------------------------------------------------------


def test_what_cannot_be_used_is_refused(table, tmp_path):
    labels = tmp_path / "labels.npz"
    np.savez(labels, x=np.zeros((10, 2)), y=np.arange(10) % 2)
    for changes, word in (
        ({"dataset": f"file:{labels}"}, "classes"),
        ({"dataset": table, "n_train": 27}, "26 samples"),
        ({"dataset": table, "n_train": 1}, "n_train = 1: a single sample"),
        ({"n_train": 1}, "n_train = 1: a single sample"),
        ({"dataset": table, "test_share": 0.98}, "test_share"),
        ({"warmup": 61}, "warmup"),
    ):
        with pytest.raises(InputError, match=word):
            canonical(SMALL, **changes)
    for rho in ((0.1, 0.5, 0.2, 0.7), (0.1, 0.1, 0.2)):
        with pytest.raises(InputError, match="leg"):
            canonical(SWEPT, rho=rho)
