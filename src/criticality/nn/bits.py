"""Cheap counter-based random integers: a hash of (seed, counter), with no state to carry.

Dropout needs a random bit for every unit, sample and step, more numbers than everything else in
training together.  A cryptographic-strength generator (threefry) then costs as much as the matrix
products, so masks, subsets and mini-batches use an integer hash seeded from a `jax.random` key.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

GOLDEN = 0x9E3779B9  # 2^32 / golden ratio, odd: successive counters land far apart
ROUNDS = 6  # of the permutation; see `permuted`
WALKS = 3  # of its cycles, without a look at whether they are needed: looking costs more


def seeds(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw uint32 seeds for the functions below from a `jax.random` key."""
    return jax.random.bits(key, shape, jnp.uint32)


def _mix(x: jax.Array, seed: jax.Array) -> jax.Array:
    """Hash uint32 by multiply and xor-shift (constants of C. Wellons' lowbias32), seeded half-way.

    The second seed word, folded in between, keeps streams whose counters overlap from being
    shifted copies of each other.
    """
    x = x ^ (x >> 16)
    x = x * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) + seed
    x = x ^ (x >> 14)
    x = x * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def words(seed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random uint32 of a given shape from a pair of seeds, uint32 [2].

    Every element is a function of its own number alone, so the hash is computed in registers,
    inside of whatever loop uses it, and no random number goes through memory.
    """
    counter = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) * jnp.uint32(GOLDEN)
    return _mix(counter + seed[0], seed[1])


def reseed(seed: jax.Array, step: jax.Array) -> jax.Array:
    """Give the seeds [..., 2] of one step of the streams with seeds [..., 2]."""
    return _mix(seed + step.astype(jnp.uint32) * jnp.uint32(GOLDEN), seed[..., ::-1])


def permuted(index: jax.Array, size: jax.Array, seed: jax.Array) -> jax.Array:
    """Images of `index` under a random permutation of 0 .. size-1, with nothing to sort or store.

    A keyed bijection of the enclosing power of two (add, multiply by an odd number, xor-shift,
    `ROUNDS` times) is iterated until it falls below `size` (cycle walking), under twice on
    average.  Neither the size nor the seed is a compile-time constant, so one compiled program
    serves all training-set sizes.

    Parameters
    ----------
    index
        uint32, any shape, values below `size`.
    size
        int scalar from 1 to 2^31.
    seed
        uint32 [2 * ROUNDS].
    """
    size = size.astype(jnp.uint32)
    width = jnp.uint32(32) - jax.lax.clz(jnp.maximum(size - 1, 1))
    mask = (jnp.uint32(1) << width) - 1
    shift = (width + 1) // 2

    def bijection(x: jax.Array) -> jax.Array:
        for add, multiply in zip(seed[0::2], seed[1::2], strict=True):
            x = (x + add) & mask
            x = (x * (multiply | 1)) & mask
            x = x ^ (x >> shift)
        return x

    def walk(x: jax.Array) -> jax.Array:
        return jnp.where(x < size, x, bijection(x))

    first = bijection(index.astype(jnp.uint32))
    for _ in range(WALKS):
        first = walk(first)
    return jax.lax.while_loop(lambda x: jnp.any(x >= size), walk, first)
