"""Convolutions with 3x3 filters as matrix products, and 2x2 maximum pooling.

Samples are the fast axis of activations [channels, height, width, samples], as in `dense`, and
filters are [out, in, 3, 3].  XLA's own convolution takes many times as long on a CPU.

Products go row by row of the image, so that their operands stay in cache.  Only the three columns
around a pixel are laid side by side; the three rows of a filter are groups of outputs of one
product, each added where it belongs.  Nine copies of the image would not fit in cache, and to
make them takes as long as the product.  Nor do more than some 256 samples of 28x28 pixels: in
batches of 512 each takes twice as long.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp

from criticality.nn.dense import product


def _rows(x: jax.Array, vertical: int, horizontal: int) -> jax.Array:
    """Activations as [height, channels, width, samples], with so many zeros at each edge."""
    edges = ((vertical, vertical), (0, 0), (horizontal, horizontal), (0, 0))
    return jnp.pad(x.transpose(1, 0, 2, 3), edges)


def _neighbourhood(rows: jax.Array, row: jax.Array) -> jax.Array:
    """Left, middle and right neighbours [3 * in, width * samples] of the pixels of one row.

    Three slices of the whole, not of one row: those are copied six times as fast.
    """
    _, channels, width, samples = rows.shape
    size = (1, channels, width - 2, samples)
    parts = [jax.lax.dynamic_slice(rows, (row, 0, j, 0), size) for j in range(3)]
    return jnp.concatenate(parts).reshape(3 * channels, -1)


def _forward(w: jax.Array, rows: jax.Array, precision: str) -> jax.Array:
    """From activations as `_rows` [height, in, width + 2, samples]."""
    (outputs, inputs), (height, _, width, samples) = w.shape[:2], rows.shape
    width -= 2
    # an input row is seen by the bottom row of the filters of the output row above it
    factor = w[:, :, ::-1].transpose(3, 1, 2, 0).reshape(3 * inputs, 3 * outputs)

    def add(row: jax.Array, out: jax.Array) -> jax.Array:
        part = product(factor, _neighbourhood(rows, row), (0, 0), precision)
        window = jax.lax.dynamic_slice_in_dim(out, row, 3)
        return jax.lax.dynamic_update_slice_in_dim(out, window + part.reshape(window.shape), row, 0)

    zero = jnp.zeros((height + 2, outputs, width, samples))
    out: jax.Array = jax.lax.fori_loop(0, height, add, zero)[1:-1]
    return out.transpose(1, 0, 2, 3)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(w: jax.Array, x: jax.Array, precision: str) -> jax.Array:
    """Cross-correlation of activations with 3x3 filters, zero padding of one pixel.

    Parameters
    ----------
    w
        Filters [out, in, 3, 3].
    x
        Activations [in, height, width, samples].
    precision
        A key of `dense.ROUNDED`, for the operands of all products.

    Returns
    -------
    jax.Array
        [out, height, width, samples].
    """
    return _forward(w, _rows(x, 0, 1), precision)


def _convolve_forward(
    w: jax.Array, x: jax.Array, precision: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    rows = _rows(x, 0, 1)
    return _forward(w, rows, precision), (w, rows)


def _convolve_backward(
    precision: str, kept: tuple[jax.Array, jax.Array], slope: jax.Array
) -> tuple[jax.Array, jax.Array]:
    w, rows = kept
    (outputs, inputs), (height, _, width, samples) = w.shape[:2], rows.shape
    width -= 2
    slopes = _rows(slope, 1, 0)
    factor = w[:, :, ::-1].transpose(2, 0, 3, 1).reshape(3 * outputs, 3 * inputs)

    def add(row: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        to_filters, to_inputs = sums
        window = jax.lax.dynamic_slice_in_dim(slopes, row, 3).reshape(3 * outputs, -1)
        to_filters += product(window, _neighbourhood(rows, row), (1, 1), precision)
        left, middle, right = product(factor, window, (0, 0), precision).reshape(
            3, inputs, width, samples
        )
        middle += jnp.pad(left[:, 1:], ((0, 0), (0, 1), (0, 0)))
        middle += jnp.pad(right[:, :-1], ((0, 0), (1, 0), (0, 0)))
        return to_filters, jax.lax.dynamic_update_slice_in_dim(to_inputs, middle[:, None], row, 1)

    zero = jnp.zeros((3 * outputs, 3 * inputs)), jnp.zeros((inputs, height, width, samples))
    to_filters, to_inputs = jax.lax.fori_loop(0, height, add, zero)
    to_filters = to_filters.reshape(3, outputs, 3, inputs)[::-1]
    return to_filters.transpose(1, 3, 0, 2), to_inputs


convolve.defvjp(_convolve_forward, _convolve_backward)


def _patches(images: jax.Array) -> jax.Array:
    """Neighbours [9, side, side, samples] of the pixels of square images [samples, side^2]."""
    samples, pixels = images.shape
    side = math.isqrt(pixels)
    x = jnp.pad(images.T.reshape(side, side, samples), ((1, 1), (1, 1), (0, 0)))
    return jnp.stack([x[i : i + side, j : j + side] for i in range(3) for j in range(3)])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_images(w: jax.Array, images: jax.Array, precision: str) -> jax.Array:
    """Cross-correlation as `convolve`, of data, which need no gradient.

    Parameters
    ----------
    w
        Filters [out, 1, 3, 3].
    images
        Square images of one channel, [samples, pixels].

    Returns
    -------
    jax.Array
        [out, side, side, samples].
    """
    return _convolve_images_forward(w, images, precision)[0]


def _convolve_images_forward(
    w: jax.Array, images: jax.Array, precision: str
) -> tuple[jax.Array, jax.Array]:
    patches = _patches(images)
    out = product(w.reshape(-1, 9), patches.reshape(9, -1), (1, 0), precision)
    return out.reshape(len(w), *patches.shape[1:]), patches


def _convolve_images_backward(
    precision: str, patches: jax.Array, slope: jax.Array
) -> tuple[jax.Array, None]:
    def add(row: jax.Array, out: jax.Array) -> jax.Array:
        a, b = (jax.lax.dynamic_index_in_dim(x, row, 1, False) for x in (patches, slope))
        return out + product(a.reshape(9, -1), b.reshape(len(b), -1), (1, 1), precision)

    out = jax.lax.fori_loop(0, slope.shape[1], add, jnp.zeros((9, len(slope))))
    return out.T.reshape(-1, 1, 3, 3), None


convolve_images.defvjp(_convolve_images_forward, _convolve_images_backward)


def _quarters(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maximum of every 2x2 square, and which of its four pixels it is, the first if several."""
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b, c, d = (x[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1))
    top, bottom = jnp.maximum(a, b), jnp.maximum(c, d)
    place = jnp.where(bottom > top, jnp.uint8(2) + (d > c), (b > a).astype(jnp.uint8))
    return jnp.maximum(top, bottom), place


@jax.custom_vjp
def pool(x: jax.Array) -> jax.Array:
    """Maximum over squares of 2x2 pixels, [channels, height // 2, width // 2, samples].

    An odd last row or column is dropped.  The gradient goes to the first of equal pixels.
    """
    return _quarters(x)[0]


def _pool_forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    largest, place = _quarters(x)
    return largest, (place, x[:0])  # of x, the shape alone


def _pool_backward(kept: tuple[jax.Array, jax.Array], slope: jax.Array) -> tuple[jax.Array]:
    place, nothing = kept
    channels, height, width, samples = slope.shape
    pixel = jnp.arange(4, dtype=jnp.uint8).reshape(2, 1, 2, 1)
    spread = jnp.where(place[:, :, None, :, None] == pixel, slope[:, :, None, :, None], 0).reshape(
        channels, 2 * height, 2 * width, samples
    )
    odd = (nothing.shape[1] % 2, nothing.shape[2] % 2)
    return (jnp.pad(spread, ((0, 0), (0, odd[0]), (0, odd[1]), (0, 0))),)


pool.defvjp(_pool_forward, _pool_backward)
