"""Fully-connected networks, Eq. (1) of Pan et al.: h = ReLU(W h + b), and linear logits.

Samples are the fast axis of activations [units, samples], and weights are [out, in], as in the
equation.  Matrix products then write along samples, of which there are a whole number of vector
registers, not along units, of which there are 100 or 10; softmax and masks are vectorized over
samples too.  A training step of the demo takes 16 % less time than with the axes swapped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

Layer = tuple[jax.Array, jax.Array]  # weights float32 [out, in], biases float32 [out]
Params = tuple[Layer, ...]
# of the operands of matrix products, forward and backward; the same on every kind of device
ROUNDED: dict[str, Callable[[jax.Array], jax.Array]] = {
    "float32": lambda x: x,
    "tensorfloat32": lambda x: jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10),
    "bfloat16": lambda x: x.astype(jnp.bfloat16),
}


def initialize(key: jax.Array, shapes: Sequence[tuple[int, ...]], scheme: str) -> Params:
    """Random parameters for layers whose weights have the given shapes.

    Parameters
    ----------
    key
        A `jax.random` key.
    shapes
        [out, in] of every layer, or [out, in, ...] with the places of a convolution's kernel.
    scheme
        "he": weights N(0, 2/in), biases 0 [He et al. 2015].  "standard": weights and biases
        uniform within 1/sqrt(in), as deep-learning frameworks do by default.
    """
    layers = []
    for layer, shape in enumerate(shapes):
        n_out, n_in = shape[0], math.prod(shape[1:])
        key_w, key_b = jax.random.split(jax.random.fold_in(key, layer))
        if scheme == "he":
            w = jax.random.normal(key_w, shape) * jnp.sqrt(2 / n_in)
            b = jnp.zeros(n_out)
        else:
            bound = float(n_in) ** -0.5
            w = jax.random.uniform(key_w, shape, minval=-bound, maxval=bound)
            b = jax.random.uniform(key_b, (n_out,), minval=-bound, maxval=bound)
        layers.append((w, b))
    return tuple(layers)


def product(a: jax.Array, b: jax.Array, contract: tuple[int, int], precision: str) -> jax.Array:
    """Matrix product over axis contract[0] of a and contract[1] of b; sums are in float32."""
    a, b = ROUNDED[precision](a), ROUNDED[precision](b)
    exact = jax.lax.Precision.HIGHEST  # else an accelerator may round float32 by itself
    return jax.lax.dot_general(
        a,
        b,
        (((contract[0],), (contract[1],)), ((), ())),
        precision=exact if precision == "float32" else jax.lax.Precision.DEFAULT,
        preferred_element_type=jnp.float32,
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def from_data(w: jax.Array, x: jax.Array, precision: str) -> jax.Array:
    """Product w x^T, [out, samples], for data x [samples, in], which need no gradient."""
    return product(w, x, (1, 1), precision)


def _from_data_backward(precision: str, x: jax.Array, slope: jax.Array) -> tuple[jax.Array, None]:
    # the same product without the transposition takes half as long again on a CPU; the barrier
    # keeps the compiler from undoing it
    rows: jax.Array = jax.lax.optimization_barrier(slope.T)  # type: ignore[no-untyped-call]
    return product(rows, x, (0, 0), precision), None


from_data.defvjp(lambda w, x, precision: (product(w, x, (1, 1), precision), x), _from_data_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def from_units(w: jax.Array, h: jax.Array, precision: str) -> jax.Array:
    """Product w h, [out, samples], for activations h [in, samples]."""
    return product(w, h, (1, 0), precision)


def _from_units_backward(
    precision: str, kept: tuple[jax.Array, jax.Array], slope: jax.Array
) -> tuple[jax.Array, jax.Array]:
    w, h = kept
    return product(slope, h, (1, 1), precision), product(w, slope, (0, 0), precision)


from_units.defvjp(
    lambda w, h, precision: (product(w, h, (1, 0), precision), (w, h)), _from_units_backward
)


def preactivations(params: Params, x: jax.Array, precision: str) -> jax.Array:
    """First-layer pre-activations [W, samples]; x float32 [samples, D], not differentiated.

    Dropout never touches the input, so these serve all rates and passes of an evaluation.
    """
    w, b = params[0]
    return from_data(w, x, precision) + b[:, None]


def logits(
    params: Params,
    z: jax.Array,
    drop: Callable[[jax.Array, int], jax.Array] | None,
    precision: str,
) -> jax.Array:
    """Logits [K, samples] from first-layer pre-activations z [W, samples].

    `drop(h, layer)` acts on the activations of hidden layer 0 .. L-1.
    """
    for layer, (w, b) in enumerate(params[1:]):
        h = jax.nn.relu(z)
        z = from_units(w, drop(h, layer) if drop else h, precision) + b[:, None]
    return z
