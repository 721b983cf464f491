"""Free-energy differences of Gaussian wells: f = ln(k) / 2 is exact."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality.base import InputError, flagged
from criticality.thermo.free_energy import bar, inefficiency, integral, legendre, mbar, mean

STIFFNESS = np.array([1.0, 2.0, 4.0, 8.0])
EXACT = 0.5 * np.log(STIFFNESS)


def correlated(rng, shape, phi):
    """Series of AR(1) of variance 1 along the last axis, stationary from its start."""
    noise = rng.normal(size=shape)
    x = np.empty(shape)
    x[..., 0] = noise[..., 0]
    for i in range(1, shape[-1]):
        x[..., i] = phi * x[..., i - 1] + np.sqrt(1 - phi**2) * noise[..., i]
    return x


def wells(rng, samples=1500, phi=0.6):
    x = correlated(rng, (len(STIFFNESS), samples), phi) / np.sqrt(STIFFNESS)[:, None]
    return [0.5 * STIFFNESS[:, None] * one**2 for one in x]


def test_legendre_integrates_polynomials_of_twice_its_order_and_no_more():
    x, w = legendre(4, 1.0, 3.0)
    for power in range(8):
        assert w @ x**power == pytest.approx((3.0 ** (power + 1) - 1) / (power + 1), rel=1e-12)
    assert w @ x**8 != pytest.approx((3.0**9 - 1) / 9, rel=1e-7)


def test_inefficiency_of_an_ar1_series():
    rng = np.random.default_rng(1)
    found = [inefficiency(x) for x in correlated(rng, (30, 4000), 0.8)]
    assert np.mean(found) == pytest.approx(1.8 / 0.2, rel=0.1)
    assert np.mean([inefficiency(x) for x in rng.normal(size=(30, 4000))]) < 1.2
    assert inefficiency(np.ones(50)) == 1.0


def test_a_thermodynamic_integral_covers_the_exact_difference():
    # <dU/dk> = <x^2>/2 along stiffness k, of correlated samples: ln(4) / 2 from 1 to 4
    rng = np.random.default_rng(2)
    nodes, weights = legendre(8, 1.0, 4.0)
    inside, scores = 0, []
    for _ in range(150):
        x = correlated(rng, (8, 400), 0.5) / np.sqrt(nodes)[:, None]
        found = [mean(0.5 * one**2)[0] for one in x]
        total = integral(weights, [e.value for e in found], [e.error for e in found])
        inside += total.low <= 0.5 * np.log(4) <= total.high
        scores.append((total.value - 0.5 * np.log(4)) / total.error)
    assert 133 <= inside <= 149  # 95 % of 150 is 142.5, with a standard error of 2.7
    assert abs(np.mean(scores)) < 0.35
    with pytest.raises(InputError, match="every node"):
        integral(weights, [1.0], [0.1])


def test_mbar_finds_the_wells_and_not_those_of_other_samples():
    reduced = wells(np.random.default_rng(3))
    found, flags = mbar(reduced)
    values, errors = (np.array([getattr(e, n) for e in found]) for n in ("value", "error"))
    assert not flags
    assert values[0] == 0
    assert np.all(np.abs(values - EXACT)[1:] < 3.5 * errors[1:])
    assert np.all(errors[1:] < 0.06)
    wrong, _ = mbar([*reduced[:3], wells(np.random.default_rng(4))[0]])
    assert abs(wrong[3].value - EXACT[3]) > 10 * errors[3]


def test_mbar_weighs_a_state_without_samples():
    reduced = wells(np.random.default_rng(4))
    reduced[1] = reduced[1][:, :0]
    found, flags = mbar(reduced)
    assert abs(found[1].value - EXACT[1]) < 3.5 * found[1].error
    assert not flagged(flags, "few samples")


def test_bar_of_two_wells_and_its_doubts():
    rng = np.random.default_rng(5)
    forward, backward = (
        0.5 * d * x**2
        for d, x in zip((1.0, -1.0), rng.normal(size=(2, 2000)) / [[1], [2**0.5]], strict=True)
    )
    found, flags = bar(forward, backward)
    assert not flags
    assert abs(found.value - 0.5 * np.log(2)) < 3.5 * found.error < 0.08
    reverse, _ = bar(backward, forward)
    assert reverse.value == pytest.approx(-found.value, abs=0.02)
    # wells ten widths apart share nothing; 15 samples are few
    apart = 0.5 * ((rng.normal(size=400) - 10) ** 2 - rng.normal(size=400) ** 2)
    assert flagged(bar(apart, apart)[1], "poor overlap", parameter="states 0 and 1")
    assert flagged(bar(forward[:15], backward[:15])[1], "few samples")


def test_the_precision_of_jax_is_given_back():
    assert not jax.config.jax_enable_x64
    mbar(wells(np.random.default_rng(6), samples=50))
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == jnp.float32
    with pytest.raises(InputError, match="two states"):
        mbar([np.zeros((1, 5))])
