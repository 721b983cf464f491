"""Autocorrelation times of processes whose time is known."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from criticality.thermo.series import autocorrelation


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_a_known_process(rho):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(4000, 40, 8)) * np.sqrt(1 - rho**2)
    x = np.zeros_like(noise)
    x[0] = rng.normal(size=(40, 8))
    for t in range(1, len(x)):
        x[t] = rho * x[t - 1] + noise[t]
    series = jnp.asarray(np.moveaxis(x, 1, 0), jnp.float32)  # [40, sweeps, copies]
    time, error = (np.asarray(v, float) for v in autocorrelation(series))
    truth = 0.5 + rho / (1 - rho)
    scatter = time.std(ddof=1)
    assert abs(time.mean() - truth) < 4 * scatter / np.sqrt(40) + 0.01 * truth
    assert 0.6 * scatter < error.mean() < 1.6 * scatter


def test_copies_that_stay_apart_are_a_long_time_and_what_never_moves_has_none():
    noise = np.random.default_rng(2).normal(size=(1, 500, 8))
    apart = noise + 10 * np.arange(8)
    time, _ = autocorrelation(jnp.asarray(apart, jnp.float32))
    assert time[0] > 10
    still, error = autocorrelation(jnp.ones((1, 500, 8), jnp.float32))
    assert np.isnan(still[0])
    assert np.isnan(error[0])
