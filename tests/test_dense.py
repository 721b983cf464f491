"""Fully-connected networks: gradients, and the precision of matrix products."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality.nn import dense

SIZES = (20, 12, 12, 10)
SHAPES = [(n_out, n_in) for n_in, n_out in itertools.pairwise(SIZES)]
MANTISSA = {"float32": 23, "tensorfloat32": 10, "bfloat16": 7}  # bits of each format


@pytest.fixture
def network() -> tuple[dense.Params, jax.Array]:
    params = dense.initialize(jax.random.key(0), SHAPES, "standard")
    return params, jax.random.uniform(jax.random.key(1), (7, SIZES[0]))


def rounded(x: jax.Array, precision: str) -> np.ndarray:
    """To the nearest number with so many bits of mantissa, in NumPy."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    scale = 2.0 ** (MANTISSA[precision] + 1)
    return np.ldexp(np.round(mantissa * scale) / scale, exponent)


def value(params: dense.Params, x: jax.Array, precision: str) -> jax.Array:
    z = dense.preactivations(params, x, precision)
    return jnp.sum(dense.logits(params, z, None, precision) ** 2)


def plainly(params: list, x: np.ndarray, precision: str) -> tuple[float, list]:
    """The same sum and its gradient, by hand, in float64 but for the rounding of operands."""

    def product(a, b):
        return rounded(a, precision) @ rounded(b, precision)

    inputs, zs = [np.asarray(x, np.float64).T], []
    for w, b in params:
        zs.append(product(w, inputs[-1]) + np.asarray(b, np.float64)[:, None])
        inputs.append(np.maximum(zs[-1], 0))
    slope, grad = 2 * zs[-1], []
    for layer in reversed(range(len(params))):
        grad = [(product(slope, inputs[layer].T), slope.sum(1)), *grad]
        if layer:
            slope = product(np.asarray(params[layer][0]).T, slope) * (zs[layer - 1] > 0)
    return float((zs[-1] ** 2).sum()), grad


@pytest.mark.parametrize("precision", dense.ROUNDED)
def test_operands_of_every_product_are_rounded_as_stated_and_nothing_else(network, precision):
    params, x = network
    found, grad = jax.jit(jax.value_and_grad(value), static_argnums=2)(params, x, precision)
    expected, expected_grad = plainly(params, x, precision)
    # a rounding that goes the other way in its last bit changes a sum by less than this
    tolerance = {"float32": 1e-5, "tensorfloat32": 3e-4, "bfloat16": 3e-3}[precision]
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    for a, b in zip(jax.tree.leaves(grad), jax.tree.leaves(expected_grad), strict=True):
        assert np.linalg.norm(a - b) < tolerance * np.linalg.norm(b)


@pytest.mark.parametrize("precision", ["tensorfloat32", "bfloat16"])
def test_less_precision_is_less_precise(network, precision):
    params, x = network
    exact, found = (jax.grad(value)(params, x, p) for p in ("float32", precision))
    error = max(
        float(jnp.linalg.norm(a - b) / jnp.linalg.norm(a))
        for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(found), strict=True)
    )
    step = 2.0 ** -MANTISSA[precision]
    assert step / 20 < error < 3 * step
