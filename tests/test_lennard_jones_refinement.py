"""The Lennard-Jones refinement: its target line, its correction, and one whole realization."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality import Study, run
from criticality.base import InputError, canonical
from criticality.systems.lennard_jones import published
from criticality.systems.lennard_jones.model import given, pairs
from criticality.systems.lennard_jones.model import refinement as model
from criticality.systems.lennard_jones.refinement import LennardJonesRefinement

SYSTEM = LennardJonesRefinement.tiny()
KEY = jax.random.key(0)


def test_published_line():
    solid, liquid = published.densities([0.694, 1.0])
    np.testing.assert_allclose(solid, [0.961, 1.006], atol=6e-4)
    np.testing.assert_allclose(liquid, [0.845, 0.919], atol=6e-4)
    assert published.pressure(1.0) == pytest.approx(4.109, abs=1e-3)
    assert abs(published.pressure(0.694)) < 0.1  # near the triple point
    t = np.linspace(0.7, 2.9, 50)
    np.testing.assert_allclose(published.temperature(published.pressure(t)), t, atol=1e-5)


def correction(theta, r):
    """Energy of the pair term, by the network itself."""
    basis = given.basis(SYSTEM)
    inner, outer = (end**2 for end in basis.span)
    y = 1 - 2 * (r**2 - inner) / (outer - inner)
    w, b, v = np.asarray(theta[2:]).reshape(3, -1)
    return (1 - r**2 / outer) ** 2 * given.LEAST * (np.tanh(y[:, None] * w + b) @ v)


def test_the_correction_is_nothing_at_first_and_is_the_network_where_it_is_projected():
    system = canonical(SYSTEM, epsilon=0.9, sigma=1.1)
    problem = given.problem(system, jax.random.key(1))
    c = given.coefficients(system, problem.theta)
    np.testing.assert_allclose(c[:2], [3.6 * 1.1**12, -3.6 * 1.1**6], rtol=1e-6)
    assert not np.any(c[2:])
    theta = problem.theta.at[2 + 2 * system.hidden :].set(jnp.array([0.7, -1.2]))
    theta = theta.at[:2].set(jnp.array([0.2, -0.1]))
    c = given.coefficients(system, theta)
    np.testing.assert_allclose(c[:2], [1.2 * 3.6 * 1.1**12, -0.9 * 3.6 * 1.1**6], rtol=1e-6)
    basis = given.basis(system)
    inner, outer = (end**2 for end in basis.span)
    zeros = np.cos(np.pi * (np.arange(system.terms) + 0.5) / system.terms)
    r = np.sqrt(inner + (1 - zeros) / 2 * (outer - inner))
    alone = pairs.potential(basis, c.at[:2].set(0), jnp.asarray(r, jnp.float32))
    np.testing.assert_allclose(alone, correction(theta, r), atol=2e-6)
    assert np.abs(alone).max() > 0.05


@pytest.mark.parametrize("learned", ["all", "powers", "neural"])
def test_only_what_is_learned_may_change(learned):
    problem = given.problem(canonical(SYSTEM, learned=learned), jax.random.key(1))
    width = np.asarray(problem.width)
    assert (width[:2] > 0).all() == (learned != "neural")
    assert (width[2:] > 0).all() == (learned != "powers")


def test_targets_lie_on_the_line_and_scale():
    problem = given.problem(canonical(SYSTEM, states=3, lowest=1.0, highest=8.0, target=1.1), KEY)
    np.testing.assert_allclose(problem.pressure, [1.0, 4.5, 8.0])
    truth = published.temperature([1.0, 4.5, 8.0])
    np.testing.assert_allclose(problem.temperature, 1.1 * truth, rtol=1e-5)
    densities = np.stack(published.densities(truth), axis=1)
    np.testing.assert_allclose(problem.targets[..., 0], densities, rtol=1e-5)


def test_the_first_guess_is_that_of_corresponding_states():
    system = canonical(SYSTEM, states=2, lowest=1.0, highest=4.0, epsilon=0.8, sigma=1.1)
    problem = given.problem(system, KEY)
    first, anew = (float(model._guess(system, problem, jnp.int32(n))) for n in (0, 1))
    reduced = published.temperature(4.0 * 1.1**3 / 0.8)  # at the middle pressure, the second of two
    assert first == pytest.approx(0.8 * reduced, rel=1e-5)
    assert anew == pytest.approx(published.temperature(4.0), rel=1e-5)


def test_pressures_off_the_line_are_refused():
    with pytest.raises(InputError, match="lowest < highest"):
        canonical(SYSTEM, lowest=5.0, highest=4.0)
    with pytest.raises(InputError, match="up to T = 3"):
        canonical(SYSTEM, highest=100.0)


@pytest.mark.slow
def test_a_potential_that_melts_a_tenth_too_early_is_corrected(tmp_path):
    system = canonical(
        LennardJonesRefinement(), epsilon=0.88, states=1, lowest=4.1, highest=4.2, samples=50
    )
    ds = run(Study(system=system, realizations=2), tmp_path / "store", workers=2)
    one = {name: ds[name].values for name in ds.data_vars}
    # by corresponding states and the published line
    assert abs(one["start_temperature"] - 0.9117).max() < 4 * one["start_error"].max() + 0.01
    assert (one["start_temperature"] < 0.93 * one["target_temperature"]).all()
    assert (one["lost"] == 0).all()
    assert (one["pull"] < 3).all()
    assert (one["melting_error"] < 0.02).all()
