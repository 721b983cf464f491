"""Logits of a layered network, and their second derivatives.

Every layer is linear in its weights and in its input, so that derivatives of second order follow
from the same functions (`curvature`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from criticality.nn import convolution, dense
from criticality.systems.pruning.architectures import Network


def _linear(network: Network, layer: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """(weights, input) -> pre-activations of one layer, without biases."""
    if len(network.shapes[layer]) == 4:
        product = convolution.convolve if layer else convolution.convolve_images
    else:
        product = dense.from_units if layer else dense.from_data
    return lambda w, h: product(w, h, network.precision)


def _pass_on(network: Network, layer: int, z: jax.Array, b: jax.Array) -> jax.Array:
    """Input of the next layer from pre-activations that lack the biases b."""
    if z.ndim == 4:
        z = convolution.pool(z)  # commutes with biases and ReLU, a quarter of the numbers
    h = jax.nn.relu(_biased(z, b))
    if len(network.shapes[layer + 1]) == 2 and h.ndim == 4:
        h = h.reshape(-1, h.shape[-1])
    return h


def logits(network: Network, params: dense.Params, x: jax.Array) -> jax.Array:
    """Logits [K, samples] of samples float32 [samples, pixels]."""
    h = x
    for layer, (w, b) in enumerate(params):
        z = _linear(network, layer)(w, h)
        if layer < len(params) - 1:
            h = _pass_on(network, layer, z, b)
    return _biased(z, b)


def curvature(
    network: Network, params: dense.Params, x: jax.Array, weight: jax.Array
) -> list[jax.Array]:
    """Diagonal of the Hessian of the sum of weight [samples] x cross-entropy, like the weights.

    Second derivatives are propagated backwards from those of the softmax, p (1 - p), through
    squared weights, without the terms off the diagonal [LeCun, Denker, Solla (1990), Eqs.
    (4) to (6)]; exact for the last layer.
    """
    inputs, zs = [x], []
    for layer, (w, b) in enumerate(params):
        zs.append(_linear(network, layer)(w, inputs[layer]))
        if layer < len(params) - 1:
            inputs.append(_pass_on(network, layer, zs[layer], b))
    p = jax.nn.softmax(_biased(zs[-1], b), axis=0)
    second, found = p * (1 - p) * weight, []
    for layer in reversed(range(len(params))):
        w, h = params[layer][0], inputs[layer]
        # bilinear: by the weights with the inputs squared, by the inputs with the weights
        by_both = jax.vjp(_linear(network, layer), w * w, h * h)[1]
        of_weights, of_inputs = by_both(second)
        found.append(of_weights)
        if layer:
            below = partial(_pass_on, network, layer - 1, b=params[layer - 1][1])
            second = jax.vjp(below, zs[layer - 1])[1](of_inputs)[0]
    return found[::-1]


def _biased(z: jax.Array, b: jax.Array) -> jax.Array:
    """Pre-activations [units, ..., samples] with biases [units]."""
    return z + b.reshape(-1, *[1] * (z.ndim - 1))


def split(flat: jax.Array, network: Network) -> list[jax.Array]:
    """Arrays in the shapes of the weights from one vector [weights]."""
    start, parts = 0, []
    for edges, shape in zip(network.edges, network.shapes, strict=True):
        parts.append(flat[start : start + edges].reshape(shape))
        start += edges
    return parts


def joined(arrays: Sequence[jax.Array]) -> jax.Array:
    """One vector [weights] from arrays in the shapes of the weights."""
    return jnp.concatenate([array.reshape(-1) for array in arrays])
