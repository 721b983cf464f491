"""Inverted dropout of units, Eq. (20) of Pan et al. (App. D).

A rate is a whole number of 1/65536: that is finer than any experiment resolves, and a mask then
costs half a hash per unit.  The rescaling uses the quantised rate, so the mean is kept exactly.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.engine import bits

LEVELS = 65536


def threshold(rate: ArrayLike) -> jax.Array:
    """Quantise a dropout rate in [0, 1) to uint32 0 .. 65535, in units of 1/65536."""
    return jnp.minimum(jnp.round(jnp.asarray(rate) * LEVELS), LEVELS - 1).astype(jnp.uint32)


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
    keep = bits.halves(seed, h.shape) >= level
    scale = LEVELS / (LEVELS - level.astype(h.dtype))
    return jnp.where(keep, h * scale, 0)
