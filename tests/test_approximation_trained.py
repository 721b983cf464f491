"""Trained networks: the functions, what is measured of them, and the rate that they reach."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality import Study, run
from criticality.analysis.exponents import exponents
from criticality.base import Task, canonical
from criticality.engine import ensemble
from criticality.nn import fit
from criticality.systems.approximation import model
from criticality.systems.approximation.trained import TrainedApproximation


def test_functions_have_lipschitz_constant_one_and_are_those_of_the_exact_ensemble():
    paths = jax.jit(jax.vmap(lambda number: model.path(jax.random.key(number), 7)))
    every = np.asarray(paths(jnp.arange(50)), float)
    for values in every:
        assert values[0] == values[-1] == 0
        assert np.abs(np.diff(values)).max() <= 2**-7 * (1 + 1e-3)
    middle = every[:, 64]
    assert np.abs(middle).max() <= 0.5
    assert 0.23 < middle.std() < 0.35  # uniform between -1/2 and 1/2: 0.29


def test_what_is_measured_is_the_distance_to_the_function():
    system = canonical(TrainedApproximation(), weights=31, levels=3, attempts=2)
    target = jnp.array([0, 0.1, 0.2, 0.1, 0, -0.1, 0, 0.1, 0.05])
    flat, straight = jnp.zeros((10, 1)), jnp.zeros((10, 1)).at[0].set(1.0)
    first = (jnp.stack([flat, straight]), jnp.zeros((2, 10)))
    # the second one gives max(x, 0): zero up to the middle, then a straight line to 0.3
    out = jnp.zeros((2, 1, 10)).at[1, 0, 0].set(0.3 * 3)
    last = (out, jnp.zeros((2, 1)))
    params = (first, last)
    state = model.State(target, params, fit.Moments.none(params), jnp.int32(0))
    found = {k: float(v) for k, v in model.observe(system, state, {}).items()}
    assert found["error"] == pytest.approx(0.2)  # of zero
    assert found["worst_error"] == pytest.approx(0.25)  # 0.3 instead of 0.05 at the end
    assert found["typical_error"] == pytest.approx(0.225)
    fine = np.interp(np.arange(17) / 2, np.arange(9), np.asarray(target))
    assert found["root_mean_square"] == pytest.approx(np.sqrt(np.mean(fine**2)), rel=1e-5)
    assert found["depth"] == 1


def test_lines_and_codes_are_those_of_the_same_function():
    """A tent: the middle is a knot of 10 and 20 steps, and half-way between two of 47."""
    tent = 0.5 - np.abs(np.linspace(0, 1, 65) - 0.5)
    few, many = (model._written(w, jnp.array(tent)) for w in (31, 141))
    assert float(few["lines_error"]) == pytest.approx(0, abs=1e-6)
    assert np.isnan(few["codes_error"])  # not to be had for so few
    assert float(many["lines_error"]) == pytest.approx(1 / (2 * 47), rel=1e-4)
    assert float(many["codes_error"]) == pytest.approx(0, abs=1e-6)
    raised = model._written(141, jnp.array(tent + 0.4 / 20))
    assert float(raised["codes_error"]) == pytest.approx(0.4 / 20, rel=1e-4)


def test_all_budgets_and_times_are_given_the_same_function():
    seen = set()
    for changes in ({}, {"weights": 141}, {"steps": 7}, {"attempts": 1}):
        system = canonical(TrainedApproximation.tiny(), **changes)
        seen.add(Task(system=system, seed=0, realization=3, checksum="").lineage)
    assert len(seen) == 1


def test_training_brings_the_error_down():
    errors = []
    for steps in (1, 500):
        system = canonical(TrainedApproximation.tiny(), steps=steps)
        tasks = [Task(system=system, seed=0, realization=r, checksum="") for r in range(2)]
        errors.append([float(one["error"]) for one in ensemble.realize(tasks, {})])
    assert (np.array(errors[1]) < 0.3 * np.array(errors[0])).all()


@pytest.mark.slow
def test_trained_networks_do_not_reach_the_rate_of_straight_lines(tmp_path):
    study = Study(
        system=canonical(TrainedApproximation(), steps=4000),
        grid={"weights": [31, 141, 361, 801, 1681]},
        realizations=6,
    )
    ds = run(study, tmp_path / "store")
    found = exponents(ds, "error", "weights")
    p, error = -float(found["exponent"]), float(found["exponent_error"])
    assert p + 3 * error < 1
    assert p - 3 * error > 0
