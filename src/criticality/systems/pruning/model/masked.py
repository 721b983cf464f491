"""A network whose removed weights stay at zero: its training, and one step of pruning."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from criticality.nn import bits, dense, fit, measure, samples, supervised
from criticality.nn.streams import stream
from criticality.systems.pruning.controls import Masked, network
from criticality.systems.pruning.model import networks, selection

SALIENCY_SAMPLES = 1_000  # of the training subset, over which second derivatives are averaged
TINIEST = 1e-30  # mean square of a layer without weights

Masks = tuple[jax.Array, ...]  # of every layer, like its weights: bool, whether they remain


class Fitted(NamedTuple):
    """A network in training.

    Attributes
    ----------
    fit
        State of the fit loop; its parameters are zero wherever a mask is false.
    masks
        Remaining weights.
    key
        Root key of the realization.
    order
        int32 [pool]: random order of the training pool; the first V are for validation, the
        next N are the training subset.
    """

    fit: fit.FitState
    masks: Masks
    key: jax.Array
    order: jax.Array


def masked(params: dense.Params, masks: Masks) -> dense.Params:
    """Parameters, or anything like them, with removed weights at zero; biases stay."""
    return tuple((jnp.where(mask, w, 0), b) for (w, b), mask in zip(params, masks, strict=True))


def start(system: Masked, key: jax.Array, data: Any) -> Fitted:
    """Initialise the dense network and draw the training and validation subsets."""
    shapes = network(system).shapes
    begun, order = supervised.start(system, key, data, shapes)
    return Fitted(begun, tuple(jnp.ones(shape, bool) for shape in shapes), key, order)


def _network(system: Masked, params: dense.Params) -> supervised.Logits:
    """Give the network."""
    form = network(system)
    return lambda pixels: networks.logits(form, params, samples.numbers(pixels))


def _slope(
    system: Masked, state: Fitted, data: Any, params: dense.Params, batch: supervised.Batch
) -> dense.Params:
    """Gradient of the mean cross-entropy (nat) of a mini-batch; zero for removed weights."""

    def loss(params: dense.Params) -> jax.Array:
        return supervised.batch_loss(system, state.order, data, batch, _network(system, params))

    return masked(jax.grad(loss)(params), state.masks)


def train_epoch(system: Masked, state: Fitted, data: Any, active: Any) -> Fitted:
    """Train for one epoch, with what the masks leave, and look at the validation loss.

    `active` as of `supervised.epoch`.
    """

    def gradient(params: dense.Params, batch: supervised.Batch, step: jax.Array) -> dense.Params:
        return _slope(system, state, data, params, batch)

    def of(params: dense.Params) -> supervised.Logits:
        return _network(system, params)

    return state._replace(fit=supervised.epoch(system, state, data, gradient, of, active))


def trained(system: Masked, state: Fitted) -> jax.Array:
    """Whether early stopping or the limit of epochs ends the training."""
    return fit.finished(state.fit, system.patience, system.max_epochs)


def restart(state: Fitted, params: dense.Params, masks: Masks, rate: Any) -> Fitted:
    """Begin another fit from given parameters, of which the masks leave some."""
    return state._replace(fit=fit.begin(masked(params, masks), rate), masks=masks)


def prune(system: Masked, state: Fitted, data: Any, counts: jax.Array, step: jax.Array) -> Fitted:
    """Remove weights down to `counts`; their moments go with them.

    Parameters
    ----------
    counts
        Weights that remain, int32 [layers]; with global scope only their sum counts.
    step
        int32 scalar, number of the pruning; seeds the random criterion.
    """
    form = network(system)
    alive = networks.joined(state.masks)
    if system.criterion == "random":
        seed = bits.seeds(jax.random.fold_in(stream(state.key, "pruning"), step), (2,))
        ranks = bits.words(seed, alive.shape) >> 1
    else:
        first, *others = _scores(system, state, data)
        ranks = selection.rank(networks.joined([first * system.first_layer, *others]))
    if system.scope == "global":
        kept = selection.largest(ranks, alive, counts.sum())
    else:
        ends = np.cumsum(form.edges)[:-1]
        parts = zip(jnp.split(ranks, ends), jnp.split(alive, ends), counts, strict=True)
        kept = jnp.concatenate([selection.largest(*part) for part in parts])
    masks = tuple(networks.split(kept, form))
    mean, square = (masked(moment, masks) for moment in state.fit.moments)
    params = masked(state.fit.params, masks)
    tuned = state.fit._replace(params=params, moments=fit.Moments(mean, square))
    return state._replace(fit=tuned, masks=masks)


def _scores(system: Masked, state: Fitted, data: Any) -> list[jax.Array]:
    """How much weights are worth, layer by layer; those of least worth are removed."""
    if system.criterion == "saliency":
        return _saliency(system, state, data)
    sizes = [jnp.abs(w) for w, _ in state.fit.params]
    if system.criterion == "magnitude":
        return sizes
    edges = [jnp.maximum(jnp.sum(mask), 1) for mask in state.masks]
    squares = [jnp.sum(w * w) / n for w, n in zip(sizes, edges, strict=True)]
    return [w * jax.lax.rsqrt(jnp.maximum(s, TINIEST)) for w, s in zip(sizes, squares, strict=True)]


def _saliency(system: Masked, state: Fitted, data: Any) -> list[jax.Array]:
    """Saliency h w^2 / 2 of every weight [LeCun, Denker, Solla (1990), Eq. (5)]."""
    form = network(system)
    count = min(SALIENCY_SAMPLES, data["train_y"].shape[0] - system.n_validation)

    def one_chunk(slot: jax.Array, used: jax.Array) -> list[jax.Array]:
        x = samples.numbers(data["train_x"][state.order[system.n_validation + slot]])
        weight = used & (slot < system.n_train)
        return networks.curvature(form, state.fit.params, x, weight)

    second = samples.total(one_chunk, count)
    return [h * w * w / 2 for h, (w, _) in zip(second, state.fit.params, strict=True)]


def fine_tune(system: Masked, state: Fitted, data: Any, active: Any) -> Fitted:
    """Do `updates` mini-batches; the order of samples goes on, and so do the moments by default."""
    begun = state.fit
    if system.fresh_moments:
        begun = begun._replace(moments=fit.Moments.none(begun.params))
    count = jnp.asarray(system.n_train, jnp.int32)
    an_epoch = samples.mini_batches(count, system.batch_size)
    shuffle = stream(state.key, "fine-tuning")

    def update(_: Any, now: fit.FitState) -> fit.FitState:
        mini_batch = samples.mini_batch(shuffle, now.step // an_epoch, count, system.batch_size)
        slope = _slope(system, state, data, now.params, mini_batch(now.step % an_epoch))
        rate = now.rate / (1 + system.rate_decay * now.step)
        params = fit.shrunk(now.params, rate * system.weight_decay)
        if system.tuning_optimizer == "sgd":
            params, moments = fit.momentum(params, now.moments, slope, rate)
        else:
            step = now.step - state.fit.step if system.fresh_moments else now.step
            params, moments = fit.adam(params, now.moments, slope, rate, step)
        return now._replace(params=params, moments=moments, step=now.step + 1)

    updates = jnp.where(active, jnp.asarray(system.updates, jnp.int32), 0)
    return state._replace(fit=jax.lax.fori_loop(0, updates, update, begun))


def measured(system: Masked, params: dense.Params, data: Any) -> dict[str, jax.Array]:
    """Measure accuracy, loss and both entropies on the whole test set."""
    labels = data["test_y"]
    count = labels.shape[0]
    logits_of = _network(system, params)

    def one_chunk(slot: jax.Array, used: jax.Array) -> dict[str, jax.Array]:
        logits = logits_of(data["test_x"][slot])

        def summed(values: jax.Array) -> jax.Array:
            return jnp.sum(jnp.where(used, values, 0), axis=-1)

        return {
            "accuracy": summed(measure.correct(logits, labels[slot])),
            "loss": summed(measure.cross_entropy(logits, labels[slot])),
            "prediction_entropy": summed(measure.predicted(logits)),
            "outcome_entropy": summed(measure.outcome_entropy(logits)),
        }

    sums = samples.total(one_chunk, count)
    entropy = measure.prediction_entropy(sums.pop("prediction_entropy"))
    means = {name: value / count for name, value in sums.items()}
    return {**means, "prediction_entropy": entropy}
