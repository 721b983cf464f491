"""Inverted dropout of units, Eq. (20) of Pan et al. (App. D)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.engine import bits

LEVELS = 2.0**32  # of a random word
HIGHEST = 1 - 2.0**-24  # float32 below 1


def threshold(rate: ArrayLike) -> jax.Array:
    """Dropout rate in [0, 1), to float32 precision, as uint32 in units of 2^-32: exactly."""
    return (jnp.minimum(jnp.asarray(rate, jnp.float32), HIGHEST) * LEVELS).astype(jnp.uint32)


def dropout(h: jax.Array, level: jax.Array, seed: jax.Array) -> jax.Array:
    """Drop each unit independently and rescale the others by 1 / (1 - rate).

    Parameters
    ----------
    h
        float32 activations, any shape.
    level
        uint32 scalar from `threshold`.
    seed
        uint32 [2]; another seed is an independent mask.
    """
    keep = bits.words(seed, h.shape) >= level
    scale = 1 / (1 - level.astype(h.dtype) / LEVELS)
    return jnp.where(keep, h * scale, 0)
