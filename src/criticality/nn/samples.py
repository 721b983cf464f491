"""Which samples: random subsets, mini-batches, and chunks whose activations stay in cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from criticality.nn import bits

CHUNK = 256  # samples, at most, that are measured together: their activations stay in cache
Tree = Any  # of arrays


def order(key: jax.Array, pool: int) -> jax.Array:
    """Random order int32 [pool] of the training pool, of which a subset takes the first."""
    seeds = bits.seeds(key, (2 * bits.ROUNDS,))
    return bits.permuted(jnp.arange(pool), jnp.asarray(pool), seeds).astype(jnp.int32)


def mini_batch(
    key: jax.Array, epoch: jax.Array, count: jax.Array, size: int
) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Mini-batches of one epoch: every sample of the subset once, in a fresh random order.

    Parameters
    ----------
    key
        Of the stream that shuffles.
    epoch
        int scalar.
    count
        int32 scalar N, samples in the subset.
    size
        Samples in a mini-batch; the last of an epoch may not be full.

    Returns
    -------
    number -> (place, used)
        Places int32 [size] in the subset of one mini-batch, and which of them count, bool [size].
    """
    shuffle = bits.seeds(jax.random.fold_in(key, epoch), (2 * bits.ROUNDS,))

    def batch(number: jax.Array) -> tuple[jax.Array, jax.Array]:
        slot = number * size + jnp.arange(size, dtype=jnp.int32)
        used = slot < count
        return bits.permuted(jnp.where(used, slot, 0), count, shuffle), used

    return batch


def mini_batches(count: jax.Array, size: int) -> jax.Array:
    """Mini-batches in an epoch of `count` samples."""
    return (count + size - 1) // size


def chunks(samples: int) -> tuple[jax.Array, jax.Array]:
    """Split sample numbers into chunks of equal size: int32 [chunks, size], and which are used.

    Where the sizes do not come out even, the last number fills the last chunk, unused.
    """
    parts = -(-samples // CHUNK)
    slot = jnp.arange(parts * -(-samples // parts), dtype=jnp.int32).reshape(parts, -1)
    return jnp.minimum(slot, samples - 1), slot < samples


def numbers(x: jax.Array) -> jax.Array:
    """Give samples float32 as a network reads them: bytes are grey values and become 0 to 1."""
    return x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x


def total(function: Callable[[jax.Array, jax.Array], Tree], samples: int) -> Tree:
    """Sum over all chunks of what `function(numbers, used)` gives of one."""
    parts = jax.lax.map(lambda chunk: function(*chunk), chunks(samples))
    return jax.tree.map(lambda part: part.sum(axis=0), parts)
