"""Reweighting against what is known of Gaussians, of a few states, and by pymbar."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pymbar
import pytest

from criticality.thermo.reweighting import (
    bar,
    difference,
    effective,
    jackknife_error,
    jackknife_weights,
    log_weights,
    mean,
)

ALL = jnp.ones(3)


def gaussians(rng, n, shift, stiffness=1.0):
    """u' - u of samples of u = x^2/2 and of u' = k (x - a)^2/2; phi' - phi = ln(k)/2."""
    x = rng.normal(size=n)
    there = shift + rng.normal(size=n) / np.sqrt(stiffness)
    change = [stiffness * (y - shift) ** 2 / 2 - y**2 / 2 for y in (x, there)]
    return [jnp.asarray(c, jnp.float32) for c in change]


def test_weights_of_three_states():
    change = jnp.log(jnp.asarray([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(jnp.exp(log_weights(change, ALL)), [4 / 7, 2 / 7, 1 / 7], rtol=1e-6)
    np.testing.assert_allclose(difference(change, ALL), -np.log(7 / 12), rtol=1e-6)
    np.testing.assert_allclose(mean(jnp.asarray([7.0, 14, 28]), change, ALL), 12, rtol=1e-6)
    p = np.array([4, 2, 1]) / 7
    np.testing.assert_allclose(
        effective(change, ALL), np.exp(-(p * np.log(p)).sum()) / 3, rtol=1e-6
    )


def test_what_is_rejected_counts_for_nothing_whatever_it_is():
    change, values = jnp.asarray([0.3, -1.0, 0.7]), jnp.asarray([1.0, 5.0, 2.0])
    weight = jnp.asarray([1.0, 0.0, 1.0])
    for absurd in (0.0, 1e9, -1e9, jnp.inf, jnp.nan):
        spoilt = change.at[1].set(absurd)
        for got, wanted in (
            (difference(spoilt, weight), difference(change[::2], ALL[::2])),
            (effective(spoilt, weight), effective(change[::2], ALL[::2])),
            (
                mean(values.at[1].set(absurd), spoilt, weight),
                mean(values[::2], change[::2], ALL[:2]),
            ),
            (bar(spoilt, weight, change, ALL), bar(change[::2], ALL[:2], change, ALL)),
        ):
            np.testing.assert_allclose(got, wanted, rtol=1e-5)
        assert np.isfinite(jax.grad(difference)(spoilt, weight)).all()


def test_nothing_left_is_no_number():
    change, none = jnp.zeros(3), jnp.zeros(3)
    for got in (
        difference(change, none),
        effective(change, none),
        bar(change, none, change, ALL),
        bar(change, ALL, change, none),
    ):
        assert np.isnan(got)


def test_the_effective_share_of_a_gaussian_shift():
    # weights of exp(a x): their entropy falls by a^2/2
    change, _ = gaussians(np.random.default_rng(1), 200_000, 0.8)
    assert float(effective(change, jnp.ones(200_000))) == pytest.approx(np.exp(-0.32), abs=0.01)
    assert float(effective(jnp.full(50, 3.0), jnp.ones(50))) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("n", "there", "shift"), [(300, 300, 1.0), (500, 60, 2.0), (40, 800, 4.0)])
def test_bar_is_that_of_pymbar(n, there, shift):
    rng = np.random.default_rng(n)
    forward, backward = gaussians(rng, n, shift)[0], gaussians(rng, there, shift)[1]
    ours = jax.jit(bar)(forward, jnp.ones(n), backward, jnp.ones(there))
    # pymbar has the negative change for what was sampled there
    theirs = pymbar.bar(np.asarray(forward, float), -np.asarray(backward, float))["Delta_f"]
    assert float(ours) == pytest.approx(theirs, abs=2e-5)


def test_bar_far_from_overlap_and_at_large_energies():
    # all changes are one number: the difference is that number, to rounding
    for number in (-3000.0, 0.0, 2.5e4):
        got = bar(jnp.full(20, number), jnp.ones(20), jnp.full(30, number), jnp.ones(30))
        assert float(got) == pytest.approx(number, rel=1e-6, abs=1e-6)


def test_the_gradient_of_a_difference_is_that_of_finite_differences_and_an_average():
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        features = jnp.asarray(rng.normal(size=(200, 2)))
        weight = jnp.asarray(rng.random(200) < 0.8, jnp.float64)
        theta = jnp.asarray([0.7, -0.3])

        def at(theta):
            return difference(jnp.sin(theta) * 2 @ features.T, weight)

        gradient = jax.grad(at)(theta)
        step = 1e-5
        for i in range(2):
            e = jnp.zeros(2).at[i].set(step)
            slope = float((at(theta + e) - at(theta - e)) / (2 * step))
            assert float(gradient[i]) == pytest.approx(slope, rel=1e-7)
        change = jnp.sin(theta) * 2 @ features.T
        average = mean((2 * jnp.cos(theta) * features).T, change, weight)
        np.testing.assert_allclose(gradient, average, rtol=1e-12)


def ar1(rng, rho, shape):
    """Series along the last axis but one, of unit variance."""
    x = np.empty(shape)
    x[..., 0] = rng.normal(size=shape[:-1])
    for t in range(1, shape[-1]):
        x[..., t] = rho * x[..., t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=shape[:-1])
    return x


def errors(rho, blocks, trials=300, replicas=8, samples=60):
    """BAR differences of u' = (x-1)^2/2 and u = x^2/2, which is 0, and their errors."""
    rng = np.random.default_rng(7)
    x, y = ar1(rng, rho, (2, trials, replicas, samples))
    weights = jackknife_weights(replicas, samples, blocks)

    def one(a, b):
        flat = weights.reshape(len(weights), -1)
        found = jax.vmap(lambda w: bar(a.ravel(), w, b.ravel(), w))(flat)
        return found[0], jackknife_error(found)

    pair = [jnp.asarray(c, jnp.float32) for c in (0.5 - x, 0.5 - (y + 1))]
    return (np.asarray(v, float) for v in jax.vmap(one)(*pair))


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_errors_by_replicas_cover_whatever_the_autocorrelation(rho):
    values, error = errors(rho, blocks=1)
    scatter = values.std(ddof=1)
    assert abs(values.mean()) < 4 * scatter / np.sqrt(len(values))
    assert 0.85 * scatter < np.sqrt((error**2).mean()) < 1.15 * scatter
    within = (np.abs(values) < 2.36 * error).mean()  # Student's t of 7 degrees of freedom
    assert 0.91 < within < 0.985


def test_blocks_that_are_too_short_betray_themselves():
    # negative control: single samples of a correlated series
    values, error = errors(0.8, blocks=40, trials=100, replicas=4, samples=40)
    assert np.sqrt((error**2).mean()) < 0.6 * values.std(ddof=1)
    values, error = errors(0.0, blocks=4, trials=200, samples=40)
    assert 0.9 * values.std(ddof=1) < np.sqrt((error**2).mean()) < 1.1 * values.std(ddof=1)


def test_jackknife_weights_leave_out_each_group_once():
    weights = np.asarray(jackknife_weights(3, 10, 2))
    assert weights.shape == (7, 3, 10)
    assert (weights[0] == 1).all()
    np.testing.assert_array_equal((1 - weights[1:]).sum(axis=0), 1)
    assert ((1 - weights[1:]).sum(axis=(1, 2)) == 5).all()
    values = np.random.default_rng(0).normal(size=30)
    means = (weights.reshape(7, -1) * values).sum(axis=1) / weights.reshape(7, -1).sum(axis=1)
    groups = values.reshape(6, 5).mean(axis=1)
    assert float(jackknife_error(jnp.asarray(means))) == pytest.approx(
        groups.std(ddof=1) / np.sqrt(6), rel=1e-4
    )
