"""Refinement of a potential whose two phases have known free energies.

Phase a is a harmonic well of D dimensions with stiffness k_a, and a volume of weight
exp(-(V - v_a)^2/2s); phase 1 lies higher by eps.  So features are |x|^2/2 in each well and being in
phase 1, c = (k_0, k_1, eps), and everything is Gaussian.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

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


def observables(c, features, volume):
    return features[..., :1]


def given(theta, *, points=3, most=np.inf, **changes):
    target = jnp.asarray([temperature_of(TRUE, p) for p in PRESSURES[:points]])
    usual = {
        "coefficients": lambda theta: theta,
        "width": np.abs(theta),
        "continuation": 0.02,
        "observables": observables,
        "targets": jnp.full((points, 2, 1), jnp.nan),
        "gammas": 0.0,
        "tolerance": 3e-3,
        "rounds": 30,
    }
    return Problem(
        sample=sampler(most),
        theta=jnp.asarray(theta),
        temperature=target,
        pressure=jnp.asarray(PRESSURES[:points]),
        bounds=jnp.asarray([[-0.5, 0.5], [0.5, 1.5]]),
        **usual | changes,
    )


@functools.cache
def program(points):
    """Whole refinements, of one compilation for all changes."""

    @jax.jit
    def of(seeds, t, delta, changes):
        problem = given(WRONG, points=points, **changes)

        def one(seed):
            key = jax.random.key(seed)
            x = jax.random.normal(key, (points, 2, REPLICAS, D))
            return jax.lax.while_loop(
                lambda state: ~refinement.finished(state),
                lambda state: refinement.advance(problem, state),
                refinement.begin(problem, jax.random.fold_in(key, 1), x, t, delta),
            )

        states = jax.lax.map(one, seeds)
        here = jax.vmap(lambda state: refinement.transition(problem, state))(states)
        return states._replace(key=0), here

    return of


def solved(seeds, points=3, off=0.01, **changes):
    """Final states, which begin a little off the transition, and transitions: [seeds, ...]."""
    pressures = PRESSURES[:points]
    t = np.array([temperature_of(WRONG, p) * (1 + off) for p in pressures])
    delta = np.array([exact(WRONG, *both) for both in zip(t, pressures, strict=True)])
    usual = {"continuation": 0.02, "width": WRONG, "most": np.inf, "gammas": 0.0}
    usual["targets"] = np.full((points, 2, 1), np.nan)
    with jax.enable_x64(True):
        found = program(points)(np.arange(seeds), t, delta, usual | changes)
        return jax.tree.map(np.asarray, found)


TARGETS = np.array([temperature_of(TRUE, p) for p in PRESSURES])
WRONG = np.array([1.1, 0.5, 31.0])


@pytest.fixture(scope="module")
def refined():
    return solved(16)


def test_three_transitions_at_once_are_moved_to_their_targets(refined):
    states, _ = refined
    assert (states.stage == refinement.DONE).all()
    for pressure, target in zip(PRESSURES, TARGETS, strict=True):
        assert temperature_of(WRONG, pressure) / target > 1.1
        reached = [temperature_of(theta, pressure) for theta in states.theta]
        assert np.abs(np.array(reached) / target - 1).max() < 0.02


def test_the_own_transition_is_located_and_its_errors_cover(refined):
    states, _ = refined
    covers(states.own, np.array([temperature_of(WRONG, p) for p in PRESSURES]))


def test_errors_of_the_tracked_difference_cover_after_all_moves(refined):
    states, here = refined
    covers(here, np.array([[temperature_of(c, p) for p in PRESSURES] for c in states.theta]))
    delta = [exact(c, t, PRESSURES) for c, t in zip(states.theta, states.temperature, strict=True)]
    covers(states.replicates, np.array(delta))


def covers(replicates, truth):
    """Pulls [seeds, K] of replicates [seeds, 1 + groups, K] are those of Student's t."""
    groups = replicates.shape[1] - 1
    left_out = replicates[:, 1:]
    spread = ((left_out - left_out.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    pulls = (replicates[:, 0] - truth) / np.sqrt((groups - 1) / groups * spread)
    assert 0.6 < np.sqrt((pulls**2).mean()) < 1.6  # of t with 7 degrees of freedom: 1.18
    assert abs(pulls.mean(axis=0)).max() < 4 * 1.18 / np.sqrt(len(pulls))


def test_phases_stay_near_coexistence_on_the_way(refined):
    states, _ = refined
    history = states.history
    refining = history.stage >= refinement.REFINE
    assert np.nanmax(np.abs(history.difference[refining])) < 2
    steps = np.diff(np.log(history.temperature), axis=1)
    assert np.nanmax(np.abs(steps)) < 0.02 * 1.001
    assert np.nanmin(history.effective[history.stage > 0]) >= 0.5
    for one, last in zip(history.temperature, states.round, strict=True):
        assert np.isfinite(one[:last]).all()
        assert np.isnan(one[last:]).all()


def test_without_continuation_phases_are_lost_and_with_it_they_are_not():
    careful, _ = solved(4, most=2.0)
    assert (careful.stage == refinement.DONE).all()
    rejected = np.nansum(careful.history.rejected)
    at_once, _ = solved(4, most=2.0, continuation=1.0)
    assert (at_once.stage == refinement.LOST).all()
    assert np.nansum(at_once.history.rejected) > max(5 * rejected, 20)
    # what the phases' metastability allows, no continuation does as well
    stable, _ = solved(2, continuation=1.0)
    assert (stable.stage == refinement.DONE).all()
    assert (stable.history.theta[stable.history.stage == refinement.REFINE] == WRONG).all()


def test_what_must_not_change_stays_and_of_the_rest_the_least_changes():
    fixed, _ = solved(1, points=1, width=np.array([0.0, 0.5, 0.0]))
    assert fixed.stage[0] == refinement.DONE
    assert (fixed.theta[:, [0, 2]] == WRONG[[0, 2]]).all()
    width = np.array([1.0, 1.0, 20.0])
    free, _ = solved(2, points=1, width=width)
    for k, t in zip(free.theta, free.temperature[:, 0], strict=True):
        # along the gradient, in units of the widths
        gradient = np.array([-D / 2 / k[0], D / 2 / k[1], 1 / t]) * width
        moved = (k - WRONG) / width
        cosine = moved @ gradient / np.linalg.norm(moved) / np.linalg.norm(gradient)
        assert abs(cosine) > 0.99


def test_means_of_observables_are_fitted_too():
    # <|x|^2/2> in well 0 is D T / 2 k_0: its target asks for k_0 itself
    wanted = np.array([[[D / 2 * TARGETS[0] / 0.8], [np.nan]]])
    found, _ = solved(2, points=1, targets=wanted, gammas=100.0)
    assert (found.stage == refinement.DONE).all()
    np.testing.assert_allclose(found.theta[:, 0], 0.8, rtol=0.06)
    for theta in found.theta:
        assert temperature_of(theta, 1.0) == pytest.approx(TARGETS[0], rel=0.01)
    other, _ = solved(2, points=1)
    assert np.abs(other.theta[:, 0] - 0.8).min() > 0.15


def test_the_gradient_is_the_difference_of_mean_derivatives():
    with jax.enable_x64(True):
        problem = given(np.log(WRONG), points=2, gamma=1.0, coefficients=jnp.exp, rounds=3)
        t = jnp.asarray([temperature_of(WRONG, p) for p in PRESSURES[:2]])
        x = jax.random.normal(jax.random.key(5), (2, 2, REPLICAS, D))
        state = refinement.begin(problem, jax.random.key(6), x, t, jnp.zeros(2))
        advance = jax.jit(lambda state: refinement.advance(problem, state))
        for _ in range(4):
            state = advance(state)
        theta = problem.theta

        def missing(theta):
            return refinement._residuals(problem, state, theta, state.old_temperature)[:2]

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
    found = refinement.replaced(states, kept)
    np.testing.assert_array_equal(found["n"][0], [[1, 1, 3, 3], [4, 5, 6, 4]])
    np.testing.assert_array_equal(found["x"][..., 0], found["n"])


def test_scattered_replicates_have_the_error_that_was_given():
    from criticality.thermo.reweighting import jackknife_error

    d, e = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.1])
    replicates = refinement.scattered(jax.random.key(0), d, e, 12)
    np.testing.assert_allclose(jackknife_error(replicates), e, rtol=1e-5)
    np.testing.assert_array_equal(replicates[0], d)


def test_the_python_of_the_page_runs(capsys):
    page = (Path(__file__).parent.parent / "docs/refinement.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(compile(block, "refinement.md", "exec"), names)
    assert names["state"].stage == refinement.DONE
    assert "[" in capsys.readouterr().out
    exact = float(names["exact"])
    error = float(names["reweighting"].jackknife_error(names["reached"])[0])
    assert exact == pytest.approx(1.2, abs=0.005)
    assert abs(float(names["reached"][0, 0]) - exact) < 4 * error
