"""Inverted dropout of units, Eq. (20) of Pan et al. (App. D)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.nn import bits

LEVELS = 2.0**32  # of a random word
HIGHEST = 1 - 2.0**-24  # float32 below 1


def level(rate: ArrayLike) -> jax.Array:
    """Dropout rate in [0, 1) as uint32 in units of 2^-32: to float32 precision, or finer."""
    return (jnp.minimum(jnp.asarray(rate, jnp.float32), HIGHEST) * LEVELS).astype(jnp.uint32)


@jax.custom_vjp
def dropout(h: jax.Array, level: jax.Array, seed: jax.Array) -> jax.Array:
    """Drop each unit independently and rescale the others by 1 / (1 - rate).

    The gradient is that after a ReLU: a unit that is 0 passes nothing back, so the mask is read
    off the output and need not be kept.

    Parameters
    ----------
    h
        float32 activations after a ReLU, any shape.
    level
        uint32 scalar from the function `level`.
    seed
        uint32 [2]; another seed is an independent mask.
    """
    return _dropped(h, level, seed)


def _dropped(h: jax.Array, level: jax.Array, seed: jax.Array) -> jax.Array:
    return jnp.where(bits.words(seed, h.shape) >= level, h * _scale(level), 0)


def _scale(level: jax.Array) -> jax.Array:
    return 1 / (1 - level.astype(jnp.float32) / LEVELS)


def _forward(h: jax.Array, level: jax.Array, seed: jax.Array) -> Any:
    out = _dropped(h, level, seed)
    return out, (out, level)


def _backward(kept: tuple[jax.Array, jax.Array], slope: jax.Array) -> Any:
    out, level = kept
    return jnp.where(out > 0, slope * _scale(level), 0), None, None


dropout.defvjp(_forward, _backward)
