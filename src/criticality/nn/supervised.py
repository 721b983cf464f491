"""Training on labelled samples: subsets, mini-batch loss, validation, an epoch.

A network is a function from samples [samples, D], grey values in bytes or numbers, to logits
[K, samples].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from criticality.nn import dense, fit, measure, samples
from criticality.nn.controls import Supervised
from criticality.nn.streams import stream

Logits = Callable[[jax.Array], jax.Array]
Batch = tuple[jax.Array, jax.Array]  # places in the subset, and which count; `samples.mini_batch`


class Trained(Protocol):
    """What the functions below need of a state.

    Attributes
    ----------
    fit
        State of the fit loop.
    key
        Root key of the realization.
    order
        int32 [pool]: random order of the training pool; the first V are for validation, the next
        N are the training subset.
    """

    @property
    def fit(self) -> fit.FitState: ...  # noqa: D102
    @property
    def key(self) -> jax.Array: ...  # noqa: D102
    @property
    def order(self) -> jax.Array: ...  # noqa: D102


def start(
    system: Supervised, key: jax.Array, data: Any, shapes: Sequence[tuple[int, ...]]
) -> tuple[fit.FitState, jax.Array]:
    """Initialise the parameters of layers of these shapes, and draw the subsets: fit and order."""
    params = dense.initialize(stream(key, "initialization"), shapes, scheme=system.initialization)
    order = samples.order(stream(key, "subset"), data["train_y"].shape[0])
    return fit.begin(params, system.learning_rate), order


def batch_loss(
    system: Supervised, order: jax.Array, data: Any, batch: Batch, logits: Logits
) -> jax.Array:
    """Mean cross-entropy (nat) of a mini-batch."""
    chosen, used = batch
    sample = order[system.n_validation + chosen]
    entropy = measure.cross_entropy(logits(data["train_x"][sample]), data["train_y"][sample])
    return jnp.sum(jnp.where(used, entropy, 0)) / jnp.sum(used)


def validation_loss(system: Supervised, order: jax.Array, data: Any, logits: Logits) -> jax.Array:
    """Mean cross-entropy (nat) of the samples that are set aside."""

    def one_chunk(slot: jax.Array, used: jax.Array) -> jax.Array:
        sample = order[slot]
        entropy = measure.cross_entropy(logits(data["train_x"][sample]), data["train_y"][sample])
        return jnp.sum(jnp.where(used, entropy, 0))

    total: jax.Array = samples.total(one_chunk, system.n_validation)
    return total / system.n_validation


def epoch(
    system: Supervised,
    state: Trained,
    data: Any,
    gradient: Callable[[dense.Params, Batch, jax.Array], dense.Params],
    network: Callable[[dense.Params], Logits],
    active: Any = True,
) -> fit.FitState:
    """Train for one epoch: every sample of the subset once, in a fresh random order.

    Parameters
    ----------
    gradient
        (params, batch, step) -> gradient of the loss.
    network
        params -> the network without whatever is random in training, for validation.
    active
        False does no mini-batch: of two branches that both are computed in lanes, the other one
        then costs little.
    """
    count = jnp.asarray(system.n_train, jnp.int32)
    mini_batch = samples.mini_batch(
        stream(state.key, "batches"), state.fit.epoch, count, system.batch_size
    )
    batches = samples.mini_batches(count, system.batch_size)
    return fit.epoch(
        state.fit,
        lambda params, number, step: gradient(params, mini_batch(number), step),
        lambda params: validation_loss(system, state.order, data, network(params)),
        batches if active is True else jnp.where(active, batches, 0),
        system.plateau,
    )
