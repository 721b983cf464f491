"""In how many directions weight vectors point."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from criticality.systems.three_layer.model.flow import by_rows

SHARPNESS = 16.0  # similarity falls to 1/e at 20 degrees


def effective_directions(vectors: jax.Array) -> jax.Array:
    """Effective number of directions of vectors [m, d]: the diversity of order 2 with similarity.

    1 / sum_ij p_i Z_ij p_j [Leinster and Cobbold, Ecology 93, 477 (2012)] with p_i the share of
    |w_i|^2 in the sum, and Z_ij = exp(-16 (1 - cos of the angle)).  1 if all are parallel; k for k
    directions of equal share, far apart; 1 / (I_0(16) e^-16) = 9.94 for the isotropic plane.
    """
    square = jnp.sum(vectors**2, axis=1)
    share = square / jnp.sum(square)
    length = jnp.where(square > 0, jnp.sqrt(square), 1)

    def add(total: jax.Array, row: jax.Array, fresh: jax.Array, size: int) -> Any:
        def part(array: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(array, row, size)

        inner = jax.lax.dot_general(vectors, part(vectors), (((1,), (1,)), ((), ())))
        cosine = inner / (length[:, None] * part(length))
        similar = share @ jnp.exp(SHARPNESS * (cosine - 1))
        return total + similar @ (part(share) * fresh)

    total: jax.Array = by_rows(len(vectors), add, jnp.zeros(()))
    return 1 / total
