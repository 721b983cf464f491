"""Layered networks: fully-connected FC4 and convolutional CNN5, of Pesce, He and Caldarelli.

The text that we worked from names the numbers of layers only; widths are controls, and the rest is
our choice: ReLU, kernels of 3 x 3, maxima over 2 x 2 after every convolution.

Every layer is linear in its weights and in its input, so that derivatives of second order follow
from the same functions (`curvature`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from criticality.engine import convolution, dense

ARCHITECTURES = ("fc4", "cnn5")
KERNEL = (3, 3)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Shape of a network.

    Attributes
    ----------
    shapes
        Of the weights of every layer from the input on: [out, in], or [out, in, 3, 3].
    units
        Units before, between and after the layers; a channel of a convolution is one.
    side
        Pixels along a side of the image.
    precision
        To which operands of matrix products are rounded, of `dense.ROUNDED`.
    """

    shapes: tuple[tuple[int, ...], ...]
    units: tuple[int, ...]
    side: int
    precision: str

    @property
    def edges(self) -> tuple[int, ...]:
        """Weights of every layer, biases not counted."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def products(self) -> tuple[int, ...]:
        """Multiplications by a weight that each layer does for one sample."""
        sides = [self.side >> layer for layer in range(len(self.shapes))]
        return tuple(
            edges * (side**2 if len(shape) == 4 else 1)
            for edges, shape, side in zip(self.edges, self.shapes, sides, strict=True)
        )

    def _linear(self, layer: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """(weights, input) -> pre-activations of one layer, without biases."""
        if len(self.shapes[layer]) == 4:
            product = convolution.convolve if layer else convolution.convolve_images
        else:
            product = dense.from_units if layer else dense.from_data
        return lambda w, h: product(w, h, self.precision)

    def _pass_on(self, layer: int, z: jax.Array, b: jax.Array) -> jax.Array:
        """Input of the next layer from pre-activations that lack the biases b."""
        if z.ndim == 4:
            z = convolution.pool(z)  # commutes with biases and ReLU, a quarter of the numbers
        h = jax.nn.relu(_biased(z, b))
        if len(self.shapes[layer + 1]) == 2 and h.ndim == 4:
            h = h.reshape(-1, h.shape[-1])
        return h

    def logits(self, params: dense.Params, x: jax.Array) -> jax.Array:
        """Logits [K, samples] of samples float32 [samples, pixels]."""
        h = x
        for layer, (w, b) in enumerate(params):
            z = self._linear(layer)(w, h)
            if layer < len(params) - 1:
                h = self._pass_on(layer, z, b)
        return _biased(z, b)

    def curvature(self, params: dense.Params, x: jax.Array, weight: jax.Array) -> list[jax.Array]:
        """Diagonal of the Hessian of the sum of weight [samples] x cross-entropy, like the weights.

        Second derivatives are propagated backwards from those of the softmax, p (1 - p), through
        squared weights, without the terms off the diagonal [LeCun, Denker, Solla (1990), Eqs.
        (4) to (6)]; exact for the last layer.
        """
        inputs, zs = [x], []
        for layer, (w, b) in enumerate(params):
            zs.append(self._linear(layer)(w, inputs[layer]))
            if layer < len(params) - 1:
                inputs.append(self._pass_on(layer, zs[layer], b))
        p = jax.nn.softmax(_biased(zs[-1], b), axis=0)
        second, found = p * (1 - p) * weight, []
        for layer in reversed(range(len(params))):
            w, h = params[layer][0], inputs[layer]
            # bilinear: by the weights with the inputs squared, by the inputs with the weights
            by_both = jax.vjp(self._linear(layer), w * w, h * h)[1]
            of_weights, of_inputs = by_both(second)
            found.append(of_weights)
            if layer:
                below = partial(self._pass_on, layer - 1, b=params[layer - 1][1])
                second = jax.vjp(below, zs[layer - 1])[1](of_inputs)[0]
        return found[::-1]


def _biased(z: jax.Array, b: jax.Array) -> jax.Array:
    """Pre-activations [units, ..., samples] with biases [units]."""
    return z + b.reshape(-1, *[1] * (z.ndim - 1))


def build(
    architecture: str, pixels: int, width: int, channels: int, classes: int, precision: str
) -> Network:
    """Network of a name in `ARCHITECTURES`.

    "fc4": D - W - W - W - K.  "cnn5": convolutions to C, 2C and 4C channels, then W and K units.
    """
    side = math.isqrt(pixels)
    if architecture == "fc4":
        units: tuple[int, ...] = (pixels, width, width, width, classes)
        shapes: list[tuple[int, ...]] = [(b, a) for a, b in itertools.pairwise(units)]
    else:
        units = (1, channels, 2 * channels, 4 * channels, width, classes)
        places = (side >> 3) ** 2
        shapes = [(b, a, *KERNEL) for a, b in itertools.pairwise(units[:4])]
        shapes += [(width, 4 * channels * places), (classes, width)]
    return Network(shapes=tuple(shapes), units=units, side=side, precision=precision)


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
