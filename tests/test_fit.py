"""The fit loop: schedule and stopping rule follow their definitions exactly."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from criticality.nn import fit


def follow(losses: list[float], plateau: int, patience: int, rate: float = 1.0):
    """Run the loop on a given sequence of validation losses; yields the state of each epoch.

    The single parameter counts epochs, so that the parameters of the best epoch are known.
    """
    table = jnp.asarray(losses, jnp.float32)
    state = fit.begin((jnp.float32(0),), rate)
    state = state._replace(params=(jnp.float32(-1),))
    while not bool(fit.finished(state, patience, len(losses))):
        number = state.epoch
        state = state._replace(params=(number.astype(jnp.float32),))
        state = fit.epoch(
            state,
            gradient=lambda params, batch, step: (jnp.float32(0),),
            validate=lambda params, number=number: table[number],
            batches=jnp.int32(3),
            plateau=plateau,
        )
        yield state


def test_stops_after_patience_epochs_without_improvement_and_keeps_the_best():
    losses = [5, 4, 3, 3.5, 3.2, 2.9, 3, 3, 3, 3, 1]
    states = list(follow(losses, plateau=100, patience=4))
    assert len(states) == 10  # best at the 6th, then four epochs without improvement
    assert float(states[-1].best_loss) == pytest.approx(2.9)
    assert float(states[-1].best[0]) == 5
    assert float(states[-1].params[0]) == 9
    assert int(states[-1].step) == 30


def test_an_equal_loss_is_no_improvement():
    assert len(list(follow([1, 1, 1, 1, 1, 1], plateau=100, patience=3))) == 4


def test_the_rate_halves_after_every_plateau_and_an_improvement_resets_the_wait():
    losses = [5, 6, 6, 4, 6, 6, 6, 6, 6, 6]
    rates = [float(s.rate) for s in follow(losses, plateau=3, patience=100)]
    assert rates == [1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_a_loss_that_is_not_a_number_is_no_improvement():
    states = list(follow([2, float("nan"), float("nan"), 1], plateau=9, patience=2))
    assert len(states) == 3
    assert float(states[-1].best_loss) == 2


def test_the_limit_of_epochs_holds():
    assert len(list(follow([3, 2, 1], plateau=9, patience=9))) == 3


def test_first_step_of_adam_is_the_learning_rate_in_the_direction_of_descent():
    state = fit.begin((jnp.asarray([1.0, -2.0]),), 0.01)
    after = fit.epoch(
        state,
        gradient=lambda params, batch, step: (params[0] * 10,),
        validate=lambda params: jnp.float32(0),
        batches=jnp.int32(1),
        plateau=5,
    )
    np.testing.assert_allclose(after.params[0], [0.99, -1.99], rtol=1e-5)
