"""Convolutions as matrix products, and pooling."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality.nn import convolution, dense

SHAPES = [(3, 4, 7, 5, 6), (4, 8, 1, 1, 3), (2, 5, 2, 3, 16)]  # in, out, height, width, samples


def reference(w: jax.Array, x: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        w,
        (1, 1),
        ((1, 1), (1, 1)),
        dimension_numbers=("CHWN", "OIHW", "CHWN"),
        precision=jax.lax.Precision.HIGHEST,
    )


def convolved(w: jax.Array, x: jax.Array) -> jax.Array:
    return convolution.convolve(w, x, "float32")


def random(*shapes: tuple[int, ...]) -> list[jax.Array]:
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def operands(n_in: int, n_out: int, *image: int) -> list[jax.Array]:
    """Filters, activations, and a slope of the output."""
    return random((n_out, n_in, 3, 3), (n_in, *image), (n_out, *image))


@partial(jax.jit, static_argnums=0)
def both(function, slope, *arguments):
    """Value and gradients."""
    value, back = jax.vjp(function, *arguments)
    return value, back(slope)


def assert_close(found, expected, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * float(jnp.abs(b).max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_convolution_and_its_gradients_are_those_of_the_compiler(shape):
    w, x, slope = operands(*shape)
    found = both(convolved, slope, w, x)
    assert_close(found, both(reference, slope, w, x))


def test_convolution_of_images_and_its_gradient_are_those_of_activations():
    w, x, slope = operands(1, 5, 6, 6, 4)

    def of_images(w):
        return convolution.convolve_images(w, x.reshape(36, 4).T, "float32")

    found = both(of_images, slope, w)
    assert_close(found, both(lambda w: reference(w, x), slope, w))


def test_squares_of_both_arguments_are_propagated():
    w, x, slope = operands(*SHAPES[0])
    found = both(lambda w, x: convolved(w * w, x * x), slope, w, x)
    assert_close(found, both(lambda w, x: reference(w * w, x * x), slope, w, x))


def test_realizations_can_be_mapped():
    w, x, slope = (jnp.stack([a, 2 - a]) for a in operands(*SHAPES[2]))
    found = jax.jit(jax.vmap(lambda *a: both(convolved, a[2], a[0], a[1])))(w, x, slope)
    for realization in range(2):
        expected = both(reference, slope[realization], w[realization], x[realization])
        assert_close(jax.tree.map(lambda a, r=realization: a[r], found), expected)


@pytest.mark.parametrize("precision", dense.ROUNDED)
def test_operands_of_every_product_are_rounded_as_stated_and_nothing_else(precision):
    def rounded(a):
        return dense.ROUNDED[precision](a).astype(jnp.float32)

    w, x, slope = operands(1, 4, 5, 5, 8)
    images = x.reshape(25, 8).T

    def activations(w, x):
        return convolution.convolve(w, x, precision)

    def data(w):
        return convolution.convolve_images(w, images, precision)

    value, gradients = both(reference, rounded(slope), rounded(w), rounded(x))
    assert_close(both(activations, slope, w, x), (value, gradients))
    assert_close(both(data, slope, w), (value, gradients[:1]))
    if precision != "float32":
        assert float(jnp.abs(value - reference(w, x)).max()) > 1e-4


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 7), (4, 3), (3, 2)])
def test_pooling_takes_the_largest_of_four_and_drops_odd_edges(height, width):
    (x,) = random((2, height, width, 3))
    h, w = height // 2, width // 2
    squares = np.asarray(x)[:, : 2 * h, : 2 * w].reshape(2, h, 2, w, 2, 3)
    np.testing.assert_array_equal(convolution.pool(x), squares.max((2, 4)))


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 7), (3, 2)])
def test_gradient_of_pooling_goes_to_the_first_of_the_largest(height, width):
    x = jnp.floor(2 * random((2, height, width, 5))[0])  # with many ties
    slope = random((2, height // 2, width // 2, 5))[0]
    expected = np.zeros(x.shape)
    for c, i, j, s in np.ndindex(slope.shape):
        square = np.asarray(x)[c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, s]
        di, dj = divmod(int(np.argmax(square)), 2)
        expected[c, 2 * i + di, 2 * j + dj, s] = slope[c, i, j, s]
    _, (found,) = both(convolution.pool, slope, x)
    np.testing.assert_array_equal(found, expected)


def test_pooling_can_be_mapped_over_realizations():
    x, slope = random((3, 2, 5, 4, 2), (3, 2, 2, 2, 2))
    found = jax.jit(jax.vmap(lambda x, s: both(convolution.pool, s, x)))(x, slope)
    expected = [both(convolution.pool, s, a) for a, s in zip(x, slope, strict=True)]
    assert_close(found, jax.tree.map(lambda *a: jnp.stack(a), *expected), 0.0)
