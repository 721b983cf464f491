"""One realization of `topology`: train, prune, then train four topologies anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import bits, dense
from criticality.nn.streams import stream
from criticality.systems.pruning.controls import network
from criticality.systems.pruning.model import masked, networks, percolation, rewiring
from criticality.systems.pruning.model.masked import Fitted
from criticality.systems.pruning.topology import TOPOLOGIES, TopologyNetwork

LARGEST = 2**31 - 1  # swaps that can be counted
TRAINING = -1  # number of the stage while the dense network is trained


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    now
        The network.
    stage
        int32 scalar: `TRAINING`, then prunings done, then prunings + epochs of retraining done.
    initial
        Parameters before any training.
    masks
        bool [topologies, weights], once the pruning is over.
    dense, pruned
        Test accuracy of the dense network, and after the last pruning.
    accuracy, loss
        float32 [topologies, epochs+1] on the test set.
    """

    now: Fitted
    stage: jax.Array
    initial: dense.Params
    masks: jax.Array
    dense: jax.Array
    pruned: jax.Array
    accuracy: jax.Array
    loss: jax.Array


def begin(system: TopologyNetwork, key: jax.Array, data: Any) -> State:
    """Initialise the dense network."""
    now = masked.start(system, key, data)
    curves = jnp.zeros((len(TOPOLOGIES), system.epochs + 1))
    return State(
        now=now,
        stage=jnp.int32(TRAINING),
        initial=now.fit.params,
        masks=jnp.ones((len(TOPOLOGIES), sum(network(system).edges)), bool),
        dense=jnp.float32(0),
        pruned=jnp.float32(0),
        accuracy=curves,
        loss=curves,
    )


def advance(system: TopologyNetwork, state: State, data: Any) -> State:
    """Train for one epoch, or prune once and fine-tune, or train a topology for one epoch."""
    stage = state.stage
    training, retraining = stage == TRAINING, stage >= system.steps

    def train(state: State) -> State:
        now = masked.train_epoch(system, state.now, data, training)
        over = masked.trained(system, now)
        dense_one = masked.restart(now, now.fit.best, now.masks, system.tuning_rate)
        accuracy = masked.measured(system, dense_one.fit.params, data)["accuracy"]
        return state._replace(
            now=jax.tree.map(lambda a, b: jnp.where(over, a, b), dense_one, now),
            stage=jnp.where(over, 0, TRAINING),
            dense=accuracy,
        )

    def prune(state: State) -> State:
        counts = jnp.asarray(system.counts(), jnp.int32)
        now = masked.prune(system, state.now, data, counts[stage + 1], stage + 1)
        now = masked.fine_tune(system, now, data, ~training & ~retraining)
        masks, accuracy = jax.lax.cond(
            stage + 1 == system.steps,
            lambda: (
                _topologies(system, now),
                masked.measured(system, now.fit.params, data)["accuracy"],
            ),
            lambda: (state.masks, state.pruned),
        )
        return state._replace(now=now, stage=stage + 1, pruned=accuracy, masks=masks)

    def retrain(state: State) -> State:
        form = network(system)
        which, epoch = jnp.divmod(stage - system.steps, system.epochs)
        masks = tuple(networks.split(state.masks[which], form))
        fresh = masked.restart(state.now, state.initial, masks, system.learning_rate)
        now = jax.tree.map(lambda a, b: jnp.where(epoch == 0, a, b), fresh, state.now)
        curves = {"accuracy": state.accuracy, "loss": state.loss}

        def look(params: dense.Params) -> dict[str, jax.Array]:
            found = masked.measured(system, params, data)
            return {name: found[name] for name in curves}

        before = jax.lax.cond(
            epoch == 0,
            lambda: look(now.fit.params),
            lambda: {name: curve[which, epoch] for name, curve in curves.items()},
        )
        now = masked.train_epoch(system, now, data, retraining)
        after = look(now.fit.params)
        for name, curve in curves.items():
            begun = curve.at[which, epoch].set(before[name])
            curves[name] = begun.at[which, epoch + 1].set(after[name])
        accuracy, loss = curves["accuracy"], curves["loss"]
        return state._replace(now=now, stage=stage + 1, accuracy=accuracy, loss=loss)

    branch = jnp.where(training, 0, jnp.where(retraining, 2, 1))
    after: State = jax.lax.switch(branch, (train, prune, retrain), state)
    return after


def _topologies(system: TopologyNetwork, now: Fitted) -> jax.Array:
    """Remaining edges of each topology, bool [topologies, weights]."""
    form = network(system)
    seeds = bits.seeds(stream(now.key, "topology"), (3, len(now.masks), 2))
    swapped, shared = [], []
    for layer, mask in enumerate(now.masks):
        edges = jnp.sum(mask, dtype=jnp.int32)
        each = jnp.minimum(system.attempts, LARGEST // jnp.maximum(edges, 1))
        table = mask.reshape(len(mask), -1)
        swapped.append(rewiring.swap_edges(table, seeds[0, layer], each * edges)[0])
        shared.append(rewiring.random_mask(seeds[1, layer], mask.size, mask.sum()))
    pruned = networks.joined(now.masks)
    anywhere = rewiring.random_mask(seeds[2, 0], sum(form.edges), pruned.sum())
    found = (pruned, networks.joined(swapped), networks.joined(shared), anywhere)
    return jnp.stack(found)


def finished(system: TopologyNetwork, state: State) -> jax.Array:
    """Whether the last topology has been trained."""
    return state.stage >= system.steps + len(TOPOLOGIES) * system.epochs


def observe(system: TopologyNetwork, state: State, data: Any) -> dict[str, jax.Array]:
    """Give what was written along the way, and describe the topologies."""
    form = network(system)
    structures = [networks.split(mask, form) for mask in state.masks]
    edges = [jnp.stack([jnp.sum(mask) for mask in masks]) for masks in structures]
    flow = [percolation.conducting(masks, form.units) for masks in structures]
    return {
        "accuracy": state.accuracy,
        "loss": state.loss,
        "dense_accuracy": state.dense,
        "pruned_accuracy": state.pruned,
        "edges": jnp.stack(edges),
        "overlap": jnp.stack([rewiring.overlap(m, state.masks[0]) for m in state.masks]),
        "conducting": jnp.stack([edges for edges, _ in flow]),
        "live_units": jnp.stack([live for _, live in flow]),
    }
