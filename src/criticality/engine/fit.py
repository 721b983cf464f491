"""The fit loop: Adam, a plateau schedule and early stopping, each for one realization alone.

Sec. II.1 of Pan et al.: the learning rate halves when the validation loss stagnates, and training
ends when it has not improved for `patience` epochs in a row.  Any decrease is an improvement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

Tree = Any  # of arrays
ADAM = optax.scale_by_adam()  # beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, no weight decay


class FitState(NamedTuple):
    """Where one fit stands.

    Attributes
    ----------
    params, moments
        Of the network and of Adam.
    best, best_loss
        Parameters at the lowest validation loss so far, and that loss (nats).
    loss
        Latest validation loss (nats).
    rate
        Learning rate now.
    stale, waited
        Epochs since the last improvement; the same since the later of that and the last halving.
    epoch, step
        Epochs and optimiser steps done.
    """

    params: Tree
    moments: Tree
    best: Tree
    best_loss: jax.Array
    loss: jax.Array
    rate: jax.Array
    stale: jax.Array
    waited: jax.Array
    epoch: jax.Array
    step: jax.Array


def begin(params: Tree, rate: ArrayLike) -> FitState:
    """State before the first epoch, at learning rate `rate`."""
    zero = jnp.int32(0)
    return FitState(
        params=params,
        moments=ADAM.init(params),
        best=params,
        best_loss=jnp.float32(jnp.inf),
        loss=jnp.float32(jnp.inf),
        rate=jnp.asarray(rate, jnp.float32),
        stale=zero,
        waited=zero,
        epoch=zero,
        step=zero,
    )


def epoch(
    state: FitState,
    gradient: Callable[[Tree, jax.Array, jax.Array], Tree],
    validate: Callable[[Tree], jax.Array],
    batches: jax.Array,
    plateau: ArrayLike,
) -> FitState:
    """One pass over the training set, then a look at the validation loss.

    Parameters
    ----------
    gradient
        (params, batch number in this epoch, step number in all) -> gradient of the loss.
    validate
        params -> validation loss, scalar in nats.
    batches
        Mini-batches in an epoch, a traced integer: not a compile-time constant.
    plateau
        Stagnant epochs after which the learning rate halves.
    """

    def update(batch: jax.Array, carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        params, moments = carry
        slope = gradient(params, batch, state.step + batch)
        step, moments = ADAM.update(slope, moments)
        return jax.tree.map(lambda p, s: p - state.rate * s, params, step), moments

    params, moments = jax.lax.fori_loop(0, batches, update, (state.params, state.moments))
    loss = validate(params)
    better = loss < state.best_loss
    waited = jnp.where(better, 0, state.waited + 1)
    halve = waited >= plateau
    return FitState(
        params=params,
        moments=moments,
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.best),
        best_loss=jnp.where(better, loss, state.best_loss),
        loss=loss,
        rate=jnp.where(halve, state.rate / 2, state.rate),
        stale=jnp.where(better, 0, state.stale + 1),
        waited=jnp.where(halve, 0, waited),
        epoch=state.epoch + 1,
        step=state.step + batches,
    )


def finished(state: FitState, patience: ArrayLike, max_epochs: ArrayLike) -> jax.Array:
    """Whether the fit has stopped improving, or has reached the limit of epochs."""
    return (state.stale >= patience) | (state.epoch >= max_epochs)
