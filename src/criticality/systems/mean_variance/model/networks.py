"""Both networks, which have the same shapes: one array of parameters, a row for each.

Their products are then one batched product a layer, and a step of Adam is one loop over one array:
twice as fast as separate networks of separate layers.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.nn import fit, samples
from criticality.nn.streams import stream
from criticality.systems.mean_variance.model.parts import Part
from criticality.systems.mean_variance.network import SLOPE, Networks

NETS = ("mean", "precision")
FLOOR = 1e-8  # of the precision


class Fit(NamedTuple):
    """Where a training stands; of both networks, or of the mean alone.

    Attributes
    ----------
    params
        float32 [nets, P].
    moments
        Of Adam.
    steps
        int32 [nets, 1]: steps that each was trained for.
    skipped
        int32 []: steps not made, since the gradient was not finite.
    """

    params: jax.Array
    moments: fit.Moments
    steps: jax.Array
    skipped: jax.Array


class Weights(NamedTuple):
    """Weights of the two terms, and the share of the mean in regularisation."""

    rho: jax.Array
    gamma: jax.Array


def shapes(system: Networks, features: int) -> list[tuple[int, int]]:
    """[out, in] of every layer."""
    sizes = [features, *[system.width] * system.depth, 1]
    return [(after, before) for before, after in pairwise(sizes)]


def start(system: Networks, key: jax.Array, features: int) -> Fit:
    """Random networks: weights as He et al. (2015) have them, times the gain; biases 0."""
    sizes = shapes(system, features)
    deviation = [[math.sqrt(2 / into)] * (out * into) + [0.0] * out for out, into in sizes]
    each = jnp.concatenate([jnp.asarray(layer) for layer in deviation])
    noise = jax.random.normal(stream(key, "networks"), (len(NETS), len(each)))
    return fresh(system.gain * each * noise, jnp.int32(0))


def fresh(params: jax.Array, skipped: jax.Array) -> Fit:
    """Parameters that Adam knows nothing of."""
    steps = jnp.zeros((len(params), 1), jnp.int32)
    return Fit(params, fit.Moments.none(params), steps, skipped)


def outputs(system: Networks, params: jax.Array, x: jax.Array) -> jax.Array:
    """Give the outputs of the last layers [nets, samples].

    For x [features, samples], or [nets, features, samples] if each network has its own.
    """
    nets, at = len(params), 0
    h = jnp.broadcast_to(x, (nets, *x.shape[-2:]))
    layers = shapes(system, x.shape[-2])
    for number, (out, into) in enumerate(layers):
        w = params[:, at : at + out * into].reshape(nets, out, into)
        at += out * into
        b = params[:, at : at + out, None]
        at += out
        z = jnp.einsum("noi,nis->nos", w, h, precision=jax.lax.Precision.HIGHEST) + b
        h = jnp.where(z > 0, z, SLOPE * z) if number < len(layers) - 1 else z
    return h[:, 0]


def predict(system: Networks, params: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and precision [samples]."""
    mean, raw = outputs(system, params, x)
    return mean, jax.nn.softplus(raw) + FLOOR


def loss(
    system: Networks, params: jax.Array, part: Part, used: jax.Array | None, weights: Weights
) -> jax.Array:
    """Loss of samples, or of those that are used, bool [samples].

    Of one network it is that at precision 1, of which the parameters count for nothing.
    """
    if len(params) == 1:
        terms = (part.y - outputs(system, params, part.x)[0]) ** 2
    else:
        mean, precision = predict(system, params, part.x)
        terms = precision * (part.y - mean) ** 2 - jnp.log(precision)
    likelihood = terms.mean() if used is None else jnp.where(used, terms, 0).sum() / used.sum()
    square = jnp.sum(params**2, axis=1)
    if system.per_parameter:
        square = square / params.shape[1]
    shares = jnp.stack([weights.gamma, 1 - weights.gamma])[: len(params)]
    return weights.rho * likelihood + (1 - weights.rho) * jnp.sum(shares * square)


def rate(system: Networks, epoch: jax.Array) -> jax.Array:
    """Learning rate of an epoch: triangles, each half as high as the one before."""
    cycle = epoch // (2 * system.half_cycle)
    place = (epoch - cycle * 2 * system.half_cycle) / system.half_cycle
    height = (1 - jnp.abs(place - 1)) * 0.5**cycle
    return system.rate_low + (system.rate_high - system.rate_low) * height


def step(
    system: Networks,
    state: Fit,
    part: Part,
    used: jax.Array | None,
    weights: Weights,
    rate: ArrayLike,
) -> Fit:
    """One step of Adam, after the gradient was clipped; none if it is not finite."""
    slope = jax.grad(lambda params: loss(system, params, part, used, weights))(state.params)
    length = jnp.sqrt(jnp.sum(slope**2))
    fine = jnp.isfinite(length)
    slope = slope * jnp.minimum(1, system.clip / length)
    params, moments = fit.adam(state.params, state.moments, slope, rate, state.steps)
    made = Fit(params, moments, state.steps + 1, state.skipped)
    kept = state._replace(skipped=state.skipped + 1)
    chosen: Fit = jax.tree.map(lambda new, old: jnp.where(fine, new, old), made, kept)
    return chosen


def train(
    system: Networks,
    key: jax.Array,
    state: Fit,
    part: Part,
    weights: Weights,
    epochs: tuple[jax.Array, jax.Array],
    warmup: ArrayLike,
) -> Fit:
    """Train from one epoch until before another: of the mean alone before `warmup`, then of both.

    Parameters
    ----------
    key
        Of the mini-batches.
    """

    def stage(number: int, state: Fit, first: ArrayLike, last: ArrayLike) -> Fit:
        params, moments, steps = jax.tree.map(lambda rows: rows[:number], state[:-1])
        done: Fit = jax.lax.fori_loop(
            first,
            last,
            lambda now, state: _epoch(system, key, state, part, weights, now),
            Fit(params, moments, steps, state.skipped),
        )
        params, moments, steps = jax.tree.map(
            lambda new, old: jnp.concatenate([new, old[number:]]), done[:-1], state[:-1]
        )
        return Fit(params, moments, steps, done.skipped)

    first, last = epochs
    state = stage(1, state, first, jnp.minimum(last, warmup))
    return stage(2, state, jnp.maximum(first, warmup), last)


def _epoch(
    system: Networks, key: jax.Array, state: Fit, part: Part, weights: Weights, epoch: jax.Array
) -> Fit:
    now = rate(system, epoch)
    count = len(part.y)
    if not 0 < system.batch_size < count:
        return step(system, state, part, None, weights, now)
    batch = samples.mini_batch(key, epoch, jnp.int32(count), system.batch_size)

    def one(number: jax.Array, state: Fit) -> Fit:
        place, used = batch(number)
        some = Part(part.x[:, place], part.y[place])
        return step(system, state, some, used, weights, now)

    batches = -(-count // system.batch_size)
    done: Fit = jax.lax.fori_loop(0, batches, one, state)
    return done


def energies(system: Networks, params: jax.Array, x: jax.Array) -> jax.Array:
    """Mean over samples of the squared gradients of mean and precision by x, [2]."""

    def total(x: jax.Array) -> jax.Array:
        mean, precision = predict(system, params, x)
        return (mean + precision).sum()  # each x moves one term alone

    slope = jax.grad(total)(jnp.stack([x] * len(NETS)))
    return jnp.mean(jnp.sum(slope**2, axis=1), axis=1)
