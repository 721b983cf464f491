"""One realization: a training with dropout, until it has begun to learn."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.data import shape
from criticality.nn import dense, recorders, samples
from criticality.papers.systems.onset import Onset
from criticality.systems.dropout import model as dropout


class State(NamedTuple):
    """State of one training.

    Attributes
    ----------
    network
        Of the system `dropout`.
    start
        [margin]: epoch at which learning began, +inf until then.
    stall
        [margin]: most epochs in a row without improvement before that.
    """

    network: dropout.State
    start: jax.Array
    stall: jax.Array


def begin(system: Onset, key: jax.Array, data: Any) -> State:
    """Begin as the system `dropout` does."""
    number = len(system.margin)
    return State(
        dropout.begin(system, key, data),
        recorders.never((number,)),
        jnp.zeros(number, jnp.int32),
    )


def advance(system: Onset, state: State, data: Any) -> State:
    """Train for one epoch, and look whether learning has begun."""
    network = dropout.advance(system, state.network, data)
    fit = network.fit
    guess = math.log(shape(system.dataset).classes)
    below = fit.loss < guess * (1 - jnp.asarray(system.margin))
    start = recorders.first_passage(state.start, fit.epoch, below)
    longer = jnp.isinf(start) & (fit.stale > state.stall)
    return State(network, start, jnp.where(longer, fit.stale, state.stall))


def finished(system: Onset, state: State) -> jax.Array:
    """Whether learning has begun by every margin, or will not be seen to."""
    return jnp.isfinite(state.start).all() | dropout.finished(system, state.network)


def observe(system: Onset, state: State, data: Any) -> dict[str, jax.Array]:
    """Tell when learning began, and what the network is at the end."""
    fit = state.network.fit
    pixels = data["train_x"][state.network.order[: system.n_validation]]
    z = dense.preactivations(fit.params, samples.numbers(pixels), system.precision)
    alive = []

    def watched(h: jax.Array, _: int) -> jax.Array:
        alive.append((h.max(axis=1) > 0).mean())
        return h

    logits = dense.logits(fit.params, z, watched, system.precision)
    return {
        "start": state.start,
        "stall": state.stall,
        "epochs": fit.epoch,
        "validation_loss": fit.best_loss,
        "alive": jnp.stack(alive).mean(),
        "signal": logits.std(axis=1).mean(),
    }
