"""The fit loop: Adam, a plateau schedule and early stopping, each for one realization alone.

Sec. II.1 of Pan et al.: the learning rate halves when the validation loss stagnates, and training
ends when it has not improved for `patience` epochs in a row.  Any decrease is an improvement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Tree = Any  # of arrays
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8  # of Adam, the values of its authors


class Moments(NamedTuple):
    """Running means of the gradient and of its square, each like the parameters."""

    mean: Tree
    square: Tree

    @classmethod
    def none(cls, params: Tree) -> Moments:
        """Moments before the first step."""
        zero = jax.tree.map(jnp.zeros_like, params)
        return cls(zero, zero)


def adam(
    params: Tree, moments: Moments, slope: Tree, rate: ArrayLike, step: jax.Array
) -> tuple[Tree, Moments]:
    """One step of Adam, in the order of Sec. 2 of Kingma and Ba (2015), without weight decay.

    Both bias corrections are two scalars here, not divisions of every element.

    Parameters
    ----------
    slope
        Gradient, like the parameters.
    rate
        Learning rate.
    step
        int scalar: steps done before.
    """
    count = (step + 1).astype(jnp.float32)
    first = -jnp.expm1(count * math.log(MEAN_DECAY))  # 1 - decay^count, without cancellation
    second = jnp.sqrt(-jnp.expm1(count * math.log(SQUARE_DECAY)))
    mean = jax.tree.map(lambda m, g: m + (1 - MEAN_DECAY) * (g - m), moments.mean, slope)
    square = jax.tree.map(lambda v, g: v + (1 - SQUARE_DECAY) * (g * g - v), moments.square, slope)
    stride, floor = rate * second / first, EPSILON * second
    moved = jax.tree.map(
        lambda p, m, v: p - stride * m / (jnp.sqrt(v) + floor), params, mean, square
    )
    return moved, Moments(mean, square)


def adamw(
    params: Tree,
    moments: Moments,
    slope: Tree,
    rate: ArrayLike,
    decay: ArrayLike,
    step: jax.Array,
) -> tuple[Tree, Moments]:
    """One step of AdamW: `adam` after all parameters shrink by rate x decay.

    Decoupled weight decay [Loshchilov and Hutter 2019], as deep-learning frameworks have it.
    """
    return adam(shrunk(params, rate * decay), moments, slope, rate, step)


def shrunk(params: Tree, share: ArrayLike) -> Tree:
    """All parameters smaller by a share of themselves."""
    return jax.tree.map(lambda p: p * (1 - share), params)


def momentum(params: Tree, moments: Moments, slope: Tree, rate: ArrayLike) -> tuple[Tree, Moments]:
    """One step of gradient descent with momentum: v <- 0.9 v + gradient, params - rate v.

    The sum v is kept as `moments.mean`; the other moment stays as it is.
    """
    sums = jax.tree.map(lambda v, g: MEAN_DECAY * v + g, moments.mean, slope)
    moved = jax.tree.map(lambda p, v: p - rate * v, params, sums)
    return moved, moments._replace(mean=sums)


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
    moments: Moments
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
        moments=Moments.none(params),
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

    def update(batch: jax.Array, carry: tuple[Tree, Moments]) -> tuple[Tree, Moments]:
        params, moments = carry
        step = state.step + batch
        return adam(params, moments, gradient(params, batch, step), state.rate, step)

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
