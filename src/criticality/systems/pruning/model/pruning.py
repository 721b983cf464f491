"""One realization of `pruning`: train, then prune, fine-tune and measure, step by step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from criticality.nn import dense
from criticality.systems.pruning.controls import network
from criticality.systems.pruning.model import masked, percolation
from criticality.systems.pruning.model.masked import Fitted, Masks
from criticality.systems.pruning.network import PruningNetwork

TRAINING = -1  # number of the step while the dense network is trained


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    now
        The network.
    step
        int32 scalar: prunings done, or `TRAINING`.
    series
        Observables along the steps, each [steps+1, ...].
    weights
        float32 [snapshots, weights].
    removed
        int32 [weights]: step of removal, steps+1 where a weight is still there.
    epochs, validation_loss
        Of the training of the dense network.
    """

    now: Fitted
    step: jax.Array
    series: dict[str, jax.Array]
    weights: jax.Array
    removed: jax.Array
    epochs: jax.Array
    validation_loss: jax.Array


def evolution(later: dense.Params, earlier: dense.Params, masks: Masks) -> jax.Array:
    """Evolution Metric between two steps, float32 [1 + layers]: of the whole, and of each layer.

    EM = 1 - adjusted R^2 with the earlier weights as prediction of the later ones, over the n
    weights that remain at the later step: RSS / TSS (n-1) / (n-2).  NaN where n <= 2 or TSS = 0.
    """
    count, total, rss = [], [], []
    for (w, _), (v, _), mask in zip(later, earlier, masks, strict=True):
        count.append(jnp.sum(mask, dtype=jnp.float32))
        total.append(jnp.sum(jnp.where(mask, w, 0)))
        rss.append(jnp.sum(jnp.where(mask, (w - v) ** 2, 0)))

    def about(means: list[jax.Array]) -> list[jax.Array]:
        layers = zip(later, masks, means, strict=True)
        return [jnp.sum(jnp.where(mask, (w - m) ** 2, 0)) for (w, _), mask, m in layers]

    tss = about([t / n for t, n in zip(total, count, strict=True)])
    n, of_rss = _with_sum(count), _with_sum(rss)
    whole = jnp.sum(jnp.stack(about([jnp.sum(jnp.stack(total)) / n[0]] * len(count))))
    about_mean = jnp.stack([whole, *tss])
    metric = of_rss / about_mean * (n - 1) / (n - 2)
    return jnp.where((n > 2) & (about_mean > 0), metric, jnp.nan)


def _with_sum(parts: list[jax.Array]) -> jax.Array:
    """Scalars of all layers, after their sum."""
    every = jnp.stack(parts)
    return jnp.concatenate([every.sum(keepdims=True), every])


def begin(system: PruningNetwork, key: jax.Array, data: Any) -> State:
    """Initialise the dense network; nothing is measured yet."""
    form = network(system)
    layers, edges, rows = len(form.shapes), sum(form.edges), system.steps + 1
    sizes = {"layer": layers, "unit_layer": layers + 1, "part": layers + 1}
    shapes = {
        observable.name: (rows, *[sizes[dim] for dim in observable.dims[1:]])
        for observable in system.card.observables
        if observable.dims[:1] == ("step",)
    }
    kept = len(np.unique(system.snapshot_steps()))
    return State(
        now=masked.start(system, key, data),
        step=jnp.int32(TRAINING),
        series={name: jnp.zeros(shape) for name, shape in shapes.items()},
        weights=jnp.zeros((kept, edges)),
        removed=jnp.full(edges, system.steps + 1, jnp.int32),
        epochs=jnp.int32(0),
        validation_loss=jnp.float32(jnp.inf),
    )


def advance(system: PruningNetwork, state: State, data: Any) -> State:
    """Train for one epoch, or prune once, fine-tune and measure."""
    training = state.step == TRAINING

    def train(state: State) -> State:
        now = masked.train_epoch(system, state.now, data, training)
        over = masked.trained(system, now)
        dense_one = masked.restart(now, now.fit.best, now.masks, system.tuning_rate)
        return state._replace(
            now=jax.tree.map(lambda a, b: jnp.where(over, a, b), dense_one, now),
            step=jnp.where(over, 0, TRAINING),
            epochs=now.fit.epoch,
            validation_loss=now.fit.best_loss,
        )

    def prune(state: State) -> State:
        step = state.step + 1
        counts = jnp.asarray(system.counts(), jnp.int32)
        pruned = masked.prune(system, state.now, data, counts[step], step)
        return state._replace(now=masked.fine_tune(system, pruned, data, ~training), step=step)

    # what grows with the number of snapshots stays out of the branches, which copy
    nothing = jnp.zeros(0)
    small = state._replace(series={}, weights=nothing, removed=nothing)
    after: State = jax.lax.cond(training, train, prune, small)
    every = after._replace(series=state.series, weights=state.weights, removed=state.removed)
    return _record(system, every, state.now, data)


def _record(system: PruningNetwork, state: State, before: Fitted, data: Any) -> State:
    """Measure, and write it into the row of this step; while training, nothing is written."""
    step, form, now = state.step, network(system), state.now
    written = step >= 0

    def look() -> dict[str, jax.Array]:
        edges = jnp.stack([jnp.sum(mask, dtype=jnp.int32) for mask in now.masks])
        conducting, live = percolation.conducting(now.masks, form.units)
        moved = evolution(now.fit.params, before.fit.params, now.masks)
        values = {
            **masked.measured(system, now.fit.params, data),
            "density": edges.sum() / sum(form.edges),
            "edges": edges,
            "conducting": conducting,
            "live_units": live,
            "evolution": jnp.where(step > 0, moved, 0),
        }
        return {name: jnp.asarray(values[name], jnp.float32) for name in state.series}

    def nothing() -> dict[str, jax.Array]:
        return {name: array[0] for name, array in state.series.items()}

    values = jax.lax.cond(written, look, nothing)
    series = {
        name: _put(array, jnp.maximum(step, 0), values[name], written)
        for name, array in state.series.items()
    }
    taken = np.unique(system.snapshot_steps())
    row = jnp.minimum(jnp.searchsorted(jnp.asarray(taken), step), len(taken) - 1)
    flat = jnp.concatenate([w.reshape(-1) for w, _ in now.fit.params])
    weights = _put(state.weights, row, flat, jnp.asarray(taken)[row] == step)
    alive = jnp.concatenate([mask.reshape(-1) for mask in now.masks])
    fell = ~alive & (state.removed > system.steps)
    removed = jnp.where(fell, step, state.removed)
    return state._replace(series=series, weights=weights, removed=removed)


def finished(system: PruningNetwork, state: State) -> jax.Array:
    """Whether the schedule has come to its end."""
    over: jax.Array = state.step >= system.steps
    return over


def observe(system: PruningNetwork, state: State, data: Any) -> dict[str, jax.Array]:
    """Give what was written along the way."""
    steps = system.snapshot_steps()
    _, row = np.unique(steps, return_inverse=True)
    return {
        **state.series,
        "weights": state.weights[row],
        "snapshot_step": jnp.asarray(steps, jnp.int32),
        "removed": state.removed,
        "epochs": state.epochs,
        "validation_loss": state.validation_loss,
    }


def _put(rows: jax.Array, at: jax.Array, value: jax.Array, really: jax.Array) -> jax.Array:
    """Write one row in place, if `really`."""
    old = jax.lax.dynamic_index_in_dim(rows, at, keepdims=False)
    new = jnp.where(really, value, old)
    written: jax.Array = jax.lax.dynamic_update_index_in_dim(rows, new, at, 0)
    return written
