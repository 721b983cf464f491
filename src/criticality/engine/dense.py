"""Fully-connected networks, Eq. (1) of Pan et al.: h = ReLU(W h + b), and linear logits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Layer = tuple[jax.Array, jax.Array]  # weights float32 [in, out], biases float32 [out]
Params = tuple[Layer, ...]
INITIALIZATIONS = ("he", "standard")


def initialize(key: jax.Array, sizes: Sequence[int], scheme: str) -> Params:
    """Random parameters for layers of the given sizes.

    Parameters
    ----------
    key
        A `jax.random` key.
    sizes
        D, W, ..., W, K.
    scheme
        "he": weights N(0, 2/in), biases 0 [He et al. 2015].  "standard": weights and biases
        uniform within 1/sqrt(in), as deep-learning frameworks do by default.
    """
    layers = []
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        key_w, key_b = jax.random.split(jax.random.fold_in(key, layer))
        if scheme == "he":
            w = jax.random.normal(key_w, (n_in, n_out)) * jnp.sqrt(2 / n_in)
            b = jnp.zeros(n_out)
        else:
            bound = float(n_in) ** -0.5
            w = jax.random.uniform(key_w, (n_in, n_out), minval=-bound, maxval=bound)
            b = jax.random.uniform(key_b, (n_out,), minval=-bound, maxval=bound)
        layers.append((w, b))
    return tuple(layers)


def preactivations(params: Params, x: jax.Array) -> jax.Array:
    """First-layer pre-activations [samples, W]; x float32 [samples, D].

    Dropout never touches the input, so these serve all rates and passes of an evaluation.
    """
    w, b = params[0]
    return x @ w + b


def logits(
    params: Params, z: jax.Array, drop: Callable[[jax.Array, int], jax.Array] | None = None
) -> jax.Array:
    """Logits [samples, K] from first-layer pre-activations z [samples, W].

    `drop(h, layer)` acts on the activations of hidden layer 0 .. L-1.
    """
    for layer, (w, b) in enumerate(params[1:]):
        h = jax.nn.relu(z)
        z = (drop(h, layer) if drop else h) @ w + b
    return z
