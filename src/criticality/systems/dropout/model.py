"""One realization: a training with dropout, then the test set at every evaluation rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from criticality.data import shape
from criticality.nn import bits, dense, fit, masks, measure, samples, supervised
from criticality.nn.streams import stream
from criticality.systems.dropout import DropoutNetwork, DropoutTraining

Drop = Callable[[jax.Array, int], jax.Array]


class Network(Protocol):
    """What is trained: logits from samples, with places in between where dropout acts.

    Attributes
    ----------
    shapes
        Of the weights of all layers, as of `dense.initialize`.
    places
        Number of places where dropout acts.
    """

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]: ...  # noqa: D102
    @property
    def places(self) -> int: ...  # noqa: D102

    def clean(self, params: dense.Params, pixels: jax.Array) -> jax.Array:
        """Give what no dropout touches, [..., samples], from samples [samples, D].

        It serves all rates and passes of an evaluation.
        """

    def logits(self, params: dense.Params, z: jax.Array, drop: Drop | None) -> jax.Array:
        """Logits [K, samples] from what `clean` gave.

        `drop(h, place)` acts on activations after a ReLU; of ones it gives the mask itself.
        """


class FullyConnected(NamedTuple):
    """Hidden ReLU layers of equal width; no dropout touches the input."""

    shapes: tuple[tuple[int, ...], ...]
    precision: str

    @property
    def places(self) -> int:
        """Hidden layers."""
        return len(self.shapes) - 1

    def clean(self, params: dense.Params, pixels: jax.Array) -> jax.Array:
        """First-layer pre-activations [W, samples] of samples [samples, D]."""
        return dense.preactivations(params, samples.numbers(pixels), self.precision)

    def logits(self, params: dense.Params, z: jax.Array, drop: Drop | None) -> jax.Array:
        """Logits [K, samples]; `drop` as of `dense.logits`."""
        return dense.logits(params, z, drop, self.precision)


def network_of(system: DropoutTraining) -> Network:
    """Give the network of a system: its own, or the fully-connected one."""
    own: Network | None = system.network()
    if own is not None:
        return own
    form = shape(system.dataset)
    sizes = (form.features, *[system.width] * system.depth, form.classes)
    shapes = tuple((n_out, n_in) for n_in, n_out in itertools.pairwise(sizes))
    return FullyConnected(shapes, system.precision)


class State(NamedTuple):
    """State of one training; as `supervised.Trained`."""

    fit: fit.FitState
    key: jax.Array
    order: jax.Array


def begin(system: DropoutTraining, key: jax.Array, data: Any) -> State:
    """Initialise the parameters and draw the training and validation subsets."""
    begun, order = supervised.start(system, key, data, network_of(system).shapes)
    return State(begun, key, order)


def _logits(network: Network, params: dense.Params, drop: Drop | None = None) -> supervised.Logits:
    return lambda pixels: network.logits(params, network.clean(params, pixels), drop)


def advance(system: DropoutTraining, state: State, data: Any) -> State:
    """Train for one epoch."""
    network = network_of(system)
    drop_seeds = bits.seeds(stream(state.key, "training masks"), (network.places, 2))
    level = masks.level(system.p_train)

    def loss(params: dense.Params, batch: supervised.Batch, step: jax.Array) -> jax.Array:
        seeds = bits.reseed(drop_seeds, step)
        logits = _logits(network, params, lambda h, place: masks.dropout(h, level, seeds[place]))
        return supervised.batch_loss(system, state.order, data, batch, logits)

    def without(params: dense.Params) -> supervised.Logits:
        return _logits(network, params)

    trained = supervised.epoch(system, state, data, jax.grad(loss), without)
    return state._replace(fit=trained)


def finished(system: DropoutTraining, state: State) -> jax.Array:
    """Whether early stopping or the limit of epochs ends the training."""
    return fit.finished(state.fit, system.patience, system.max_epochs)


def observe(system: DropoutNetwork, state: State, data: Any) -> dict[str, jax.Array]:
    """Measure the test set at every evaluation rate and pass.

    What is before all dropout is computed once.  A mask depends on the value of the rate and the
    number of the pass, not on the grid that they stand in.
    """
    network = network_of(system)
    params = state.fit.best if system.restore_best else state.fit.params
    tested = data["test_y"].shape[0]
    slots, used = samples.chunks(tested)
    labels = data["test_y"][slots]
    z = jax.lax.map(lambda slot: network.clean(params, data["test_x"][slot]), slots)
    root = stream(state.key, "evaluation masks")

    def one_pass(level: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = jax.random.fold_in(jax.random.fold_in(root, level), number)
        drop_seeds = bits.seeds(key, (network.places, 2))

        def one_chunk(i: jax.Array) -> tuple[jax.Array, jax.Array]:
            seeds = bits.reseed(drop_seeds, i)
            logits = network.logits(
                params, z[i], lambda h, place: masks.dropout(h, level, seeds[place])
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
