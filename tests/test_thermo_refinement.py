"""Refinement of a potential whose two phases have known free energies.

Phase a is a harmonic well of D dimensions with stiffness k_a, and a volume of weight
exp(-(V - v_a)^2/2s); phase 1 lies higher by eps.  So features are |x|^2/2 in each well and being in
phase 1, c = (k_0, k_1, eps), and everything is Gaussian.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from criticality.thermo import refinement
from criticality.thermo.refinement import Problem, Samples

D, VOLUMES, SPREAD = 60, np.array([40.0, 36.0]), 3.0
REPLICAS, SNAPSHOTS, RHO = 8, 24, 0.6
TRUE = np.array([1.0, 0.5, 25.0])
PRESSURES = np.array([1.0, 1.5, 2.0])


def exact(theta, temperature, pressure):
    """Delta phi."""
    wells = D / 2 * np.log(theta[1] / theta[0]) + theta[2] / temperature
    return wells + (VOLUMES[1] - VOLUMES[0]) * pressure / temperature


def temperature_of(theta, pressure):
    return brentq(lambda t: exact(theta, t, pressure), 0.05, 20)


def sampler(most=np.inf):
    """Exact sampling; replicas leave a phase that is unstable by more than `most`, at random."""

    def sample(key, x, phase, c, temperature, pressure):
        moves, volumes, leave = (jax.random.fold_in(key, i) for i in range(3))
        scale = jnp.sqrt(temperature / c[phase])

        def step(x, key):
            x = RHO * x + jnp.sqrt(1 - RHO**2) * jax.random.normal(key, x.shape)
            return x, (x**2).sum(axis=-1) / 2

        x, square = jax.lax.scan(step, x, jax.random.split(moves, 5 + SNAPSHOTS))
        square = square[5:].T * scale**2  # [replicas, snapshots]
        one = (phase == jnp.arange(2)).astype(square.dtype)
        there = jnp.broadcast_to(phase.astype(square.dtype), square.shape)[..., None]
        features = jnp.concatenate([square[..., None] * one, there], axis=-1)
        mean = jnp.asarray(VOLUMES)[phase] - SPREAD * pressure / temperature
        volume = mean + jnp.sqrt(SPREAD) * jax.random.normal(volumes, square.shape)
        wells = D / 2 * jnp.log(c[1] / c[0]) + c[2] / temperature
        delta = wells + (VOLUMES[1] - VOLUMES[0]) * pressure / temperature
        unstable = jnp.where(phase == 1, delta, -delta) > most
        gone = unstable & (jax.random.uniform(leave, (REPLICAS, 1)) < 0.8)
        order = jnp.broadcast_to(jnp.where(gone, 1 - phase, phase), square.shape)
        return x, Samples(features, volume, order.astype(square.dtype))

    return sample


def given(theta, most=np.inf, points=3, **changes):
    target = jnp.asarray([temperature_of(TRUE, p) for p in PRESSURES[:points]])
    usual = {"coefficients": lambda theta: theta, "width": jnp.abs(jnp.asarray(theta))}
    return Problem(
        sample=sampler(most),
        theta=jnp.asarray(theta),
        temperature=target,
        pressure=jnp.asarray(PRESSURES[:points]),
        bounds=jnp.asarray([[-0.5, 0.5], [0.5, 1.5]]),
        **usual | {"continuation": 0.02, "rounds": 40} | changes,
    )


def start(problem, seed, off=0.01):
    """A refinement that begins a little off the transition, where Delta phi is known."""
    theta = np.asarray(problem.theta)
    pressure = np.asarray(problem.pressure)
    t = [temperature_of(theta, p) * (1 + off) for p in pressure]
    delta = jnp.asarray([exact(theta, *both) for both in zip(t, pressure, strict=True)])
    key = jax.random.key(seed)
    x = jax.random.normal(key, (len(t), 2, REPLICAS, D))
    return refinement.begin(problem, jax.random.fold_in(key, 1), x, jnp.asarray(t), delta)


def solved(problem, seeds, off=0.01):
    """Final states, their leaves [seeds, ...]."""

    @jax.jit
    def one(seed):
        return jax.lax.while_loop(
            lambda state: ~refinement.finished(state),
            lambda state: refinement.advance(problem, state),
            start(problem, seed, off),
        )

    return jax.lax.map(one, jnp.arange(seeds))


WRONG = np.array([1.1, 0.5, 31.0])


@pytest.fixture(scope="module")
def refined():
    with jax.enable_x64(True):
        problem = given(WRONG)
        states = solved(problem, 20)
        here = jax.vmap(lambda state: refinement.transition(problem, state))(states)
        return problem, jax.tree.map(np.asarray, states._replace(key=0)), np.asarray(here)


def test_three_transitions_at_once_are_moved_to_their_targets(refined):
    problem, states, _ = refined
    assert (states.stage == refinement.DONE).all()
    for k, pressure in enumerate(PRESSURES):
        begun = temperature_of(WRONG, pressure) / float(problem.temperature[k])
        assert abs(begun - 1) > 0.05
        reached = [temperature_of(theta, pressure) for theta in states.theta]
        assert np.abs(np.array(reached) / float(problem.temperature[k]) - 1).max() < 0.01


def test_the_own_transition_is_located_and_its_errors_cover(refined):
    _, states, _ = refined
    truth = np.array([temperature_of(WRONG, p) for p in PRESSURES])
    covers(states.own, truth)


def test_errors_of_the_tracked_difference_cover_after_all_moves(refined):
    _, states, here = refined
    truth = np.array([[temperature_of(theta, p) for p in PRESSURES] for theta in states.theta])
    covers(here, truth)
    delta = np.array(
        [
            [exact(theta, t, p) for t, p in zip(ts, PRESSURES, strict=True)]
            for theta, ts in zip(states.theta, states.temperature, strict=True)
        ]
    )
    covers(states.replicates, delta)


def covers(replicates, truth):
    """Pulls [seeds, K] of replicates [seeds, 1 + groups, K] are those of Student's t."""
    groups = replicates.shape[1] - 1
    left_out = replicates[:, 1:]
    spread = ((left_out - left_out.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    pulls = (replicates[:, 0] - truth) / np.sqrt((groups - 1) / groups * spread)
    assert 0.6 < np.sqrt((pulls**2).mean()) < 1.6  # of t with 7 degrees of freedom: 1.18
    assert abs(pulls.mean(axis=0)).max() < 4 * 1.18 / np.sqrt(len(pulls))


def test_phases_stay_near_coexistence_on_the_way(refined):
    _, states, _ = refined
    history = states.history
    refining = history.stage >= refinement.REFINE
    assert np.nanmax(np.abs(history.difference[refining])) < 2
    steps = np.diff(np.log(history.temperature), axis=1)
    assert np.nanmax(np.abs(steps)) < 0.02 * 1.001
    assert np.nanmin(history.effective[history.stage > 0]) >= 0.5
    ended = states.round
    for one, last in zip(history.temperature, ended, strict=True):
        assert np.isfinite(one[:last]).all()
        assert np.isnan(one[last:]).all()


def test_without_continuation_phases_are_lost_and_with_it_they_are_not():
    with jax.enable_x64(True):
        careful = solved(given(WRONG, most=2.0), 6)
        assert (careful.stage == refinement.DONE).all()
        rejected = np.nansum(careful.history.rejected)
        at_once = solved(given(WRONG, most=2.0, continuation=1.0), 6)
        assert (at_once.stage == refinement.LOST).all()
        assert np.nansum(at_once.history.rejected) > max(5 * rejected, 20)
        # what the phases' metastability allows, no continuation does as well
        stable = solved(given(WRONG, continuation=1.0), 2)
        assert (stable.stage == refinement.DONE).all()
        theta = np.asarray(stable.history.theta)
        moving = np.asarray(stable.history.stage) == refinement.REFINE
        assert (theta[moving] == WRONG).all()


def test_what_must_not_change_stays_and_of_the_rest_the_least_changes():
    with jax.enable_x64(True):
        problem = given(WRONG, points=1, width=jnp.asarray([0.0, 0.5, 0.0]))
        theta = np.asarray(solved(problem, 2).theta)
        assert (theta[:, [0, 2]] == WRONG[[0, 2]]).all()
        free = solved(given(WRONG, points=1, width=jnp.asarray([1.0, 1.0, 20.0])), 2)
        # the least change is along the gradient, in units of the widths, near the target
        moved = np.asarray(free.theta) - WRONG
        t = free.temperature[0, 0]
        k = np.asarray(free.theta)[0]
        gradient = np.array([-D / 2 / k[0], D / 2 / k[1], 1 / t]) * np.array([1, 1, 400.0])
        cosine = moved @ gradient / np.linalg.norm(moved, axis=1) / np.linalg.norm(gradient)
        assert np.abs(cosine).min() > 0.995


def test_means_of_observables_are_fitted_too():
    # <|x|^2/2> in well 0 is D T / 2 k_0: its target asks for k_0 itself
    def observables(c, features, volume):
        return features[..., :1]

    with jax.enable_x64(True):
        plain = given(WRONG, points=1)
        wanted = D / 2 * float(plain.temperature[0]) / 0.8
        targets = jnp.asarray([[[wanted], [np.nan]]])
        problem = given(
            WRONG, points=1, observables=observables, targets=targets, gammas=100.0, rounds=30
        )
        found = solved(problem, 2)
        assert (found.stage == refinement.DONE).all()
        np.testing.assert_allclose(found.theta[:, 0], 0.8, rtol=0.06)
        for theta in np.asarray(found.theta):
            assert temperature_of(theta, 1.0) == pytest.approx(
                float(plain.temperature[0]), rel=0.01
            )
        other = np.asarray(solved(plain, 2).theta)
        assert np.abs(other[:, 0] - 0.8).min() > 0.15


def test_the_gradient_is_the_difference_of_mean_derivatives():
    with jax.enable_x64(True):
        problem = given(
            np.log(WRONG), points=2, gamma=1.0, coefficients=jnp.exp, width=1.0, rounds=3
        )
        t = jnp.asarray([temperature_of(WRONG, p) for p in PRESSURES[:2]])
        x = jax.random.normal(jax.random.key(5), (2, 2, REPLICAS, D))
        state = refinement.begin(problem, jax.random.key(6), x, t, jnp.zeros(2))
        advance = jax.jit(lambda state: refinement.advance(problem, state))
        for _ in range(4):
            state = advance(state)
        theta = problem.theta

        def missing(theta):
            return refinement._residuals(problem, state, theta, state.old_temperature)

        j = np.asarray(jax.jacrev(missing)(theta))
        means = np.asarray(state.old.features).mean(axis=(2, 3)) / np.asarray(t)[:, None, None]
        np.testing.assert_allclose(j, (means[:, 1] - means[:, 0]) * WRONG, rtol=1e-9)
        for i in range(3):
            e = 1e-5 * jnp.eye(3)[i]
            slope = (missing(theta + e) - missing(theta - e)) / 2e-5
            np.testing.assert_allclose(j[:, i], slope, rtol=1e-6)


def test_replicas_that_left_are_replaced_by_copies_of_others():
    states = {"x": jnp.arange(8.0).reshape(1, 2, 4, 1), "n": jnp.arange(8).reshape(1, 2, 4)}
    kept = jnp.asarray([[[False, True, False, True], [True, True, True, False]]])
    found = refinement._replaced(states, kept)
    np.testing.assert_array_equal(found["n"][0], [[1, 1, 3, 3], [4, 5, 6, 4]])
    np.testing.assert_array_equal(found["x"][..., 0], found["n"])


def test_scattered_replicates_have_the_error_that_was_given():
    from criticality.thermo.reweighting import jackknife_error

    d, e = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.1])
    replicates = refinement.scattered(jax.random.key(0), d, e, 12)
    np.testing.assert_allclose(jackknife_error(replicates), e, rtol=1e-5)
    np.testing.assert_array_equal(replicates[0], d)
