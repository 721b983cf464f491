"""One realization: a training with dropout, then the test set at every evaluation rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.data import shape
from criticality.nn import bits, dense, fit, masks, measure, samples, supervised
from criticality.nn.streams import stream
from criticality.systems.dropout import DropoutNetwork

Drop = Callable[[jax.Array, int], jax.Array]


class State(NamedTuple):
    """State of one training; as `supervised.Trained`."""

    fit: fit.FitState
    key: jax.Array
    order: jax.Array


def begin(system: DropoutNetwork, key: jax.Array, data: Any) -> State:
    """Initialise the parameters and draw the training and validation subsets."""
    pixels, classes = data["train_x"].shape[1], shape(system.dataset).classes
    sizes = (pixels, *[system.width] * system.depth, classes)
    shapes = [(n_out, n_in) for n_in, n_out in itertools.pairwise(sizes)]
    begun, order = supervised.start(system, key, data, shapes)
    return State(begun, key, order)


def _first(system: DropoutNetwork, params: dense.Params, pixels: jax.Array) -> jax.Array:
    """First-layer pre-activations [W, samples] of samples [samples, D]."""
    return dense.preactivations(params, samples.numbers(pixels), system.precision)


def _network(
    system: DropoutNetwork, params: dense.Params, drop: Drop | None = None
) -> supervised.Logits:
    """Give the network; `drop` as of `dense.logits`."""
    return lambda pixels: dense.logits(
        params, _first(system, params, pixels), drop, system.precision
    )


def advance(system: DropoutNetwork, state: State, data: Any) -> State:
    """Train for one epoch."""
    drop_seeds = bits.seeds(stream(state.key, "training masks"), (system.depth, 2))
    level = masks.level(system.p_train)

    def loss(params: dense.Params, batch: supervised.Batch, step: jax.Array) -> jax.Array:
        seeds = bits.reseed(drop_seeds, step)
        network = _network(system, params, lambda h, layer: masks.dropout(h, level, seeds[layer]))
        return supervised.batch_loss(system, state.order, data, batch, network)

    def network(params: dense.Params) -> supervised.Logits:
        return _network(system, params)

    trained = supervised.epoch(system, state, data, jax.grad(loss), network)
    return state._replace(fit=trained)


def finished(system: DropoutNetwork, state: State) -> jax.Array:
    """Whether early stopping or the limit of epochs ends the training."""
    return fit.finished(state.fit, system.patience, system.max_epochs)


def observe(system: DropoutNetwork, state: State, data: Any) -> dict[str, jax.Array]:
    """Measure the test set at every evaluation rate and pass.

    The first layer is computed once, since dropout does not touch the input.  A mask depends on
    the value of the rate and the number of the pass, not on the grid that they stand in.
    """
    params = state.fit.best if system.restore_best else state.fit.params
    tested = data["test_y"].shape[0]
    slots, used = samples.chunks(tested)
    labels = data["test_y"][slots]
    z = jax.lax.map(lambda slot: _first(system, params, data["test_x"][slot]), slots)
    root = stream(state.key, "evaluation masks")

    def one_pass(level: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = jax.random.fold_in(jax.random.fold_in(root, level), number)
        layer_seeds = bits.seeds(key, (system.depth, 2))

        def one_chunk(i: jax.Array) -> tuple[jax.Array, jax.Array]:
            seeds = bits.reseed(layer_seeds, i)
            logits = dense.logits(
                params,
                z[i],
                lambda h, layer: masks.dropout(h, level, seeds[layer]),
                system.precision,
            )
            entropy = measure.cross_entropy(logits, labels[i])
            right = measure.correct(logits, labels[i])
            return jnp.sum(jnp.where(used[i], entropy, 0)), jnp.sum(used[i] & right)

        entropy, right = jax.lax.map(one_chunk, jnp.arange(len(slots)))
        return entropy.sum() / tested, right.sum().astype(jnp.float32) / tested

    levels = masks.level(jnp.asarray(system.p_eval, jnp.float32))
    grid = jnp.repeat(levels, system.passes), jnp.tile(jnp.arange(system.passes), len(levels))
    loss, accuracy = jax.lax.map(lambda point: one_pass(*point), grid)
    form = (len(system.p_eval), system.passes)
    final = state.fit.best_loss if system.restore_best else state.fit.loss
    return {
        "loss": loss.reshape(form),
        "accuracy": accuracy.reshape(form),
        "epochs": state.fit.epoch,
        "validation_loss": final,
    }
