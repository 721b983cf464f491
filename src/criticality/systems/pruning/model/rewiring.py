"""Random bipartite layers: with given degrees, by edge swaps, or with a given number of edges.

A layer is a 0-1 matrix [out, in]; the degrees of its units are the row and column sums.  A swap
takes two edges a-b and c-d and makes them a-d and c-b, which keeps all degrees.  By a theorem of
Ryser [Can. J. Math. 9, 371 (1957)] swaps lead from any matrix to any other with the same sums.  An
attempt picks two edges uniformly and does nothing if a new edge is there already; as it counts
nevertheless, each step is as probable as the one back, and the chain forgets its start and becomes
uniform over all these matrices.  A chain that counts successful swaps instead prefers matrices with
many neighbours [Rao, Jana, Bandyopadhyay, Sankhya A 58, 225 (1996)].  How soon it is uniform is
proved for even enough degrees only [Erdős et al., PLoS ONE 13, e0201995 (2018)]; see `ENOUGH`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.nn import bits

# Per edge.  In layers 100 x 784 with 0.1 to 50 % of their edges and as unequal degrees as pruning
# leaves, overlap with the start, degree correlation and number of 4-cycles are those of long chains
# from elsewhere after 5 (sparse) to 20 attempts (half full); autocorrelation times are 0.5 to 4.
ENOUGH = 100

# one element of a vector; unlike x[i], XLA compiles these to one load and one store, in place
_get = partial(jax.lax.dynamic_index_in_dim, axis=0, keepdims=False)
_set = partial(jax.lax.dynamic_update_index_in_dim, axis=0)


def _scaled(word: jax.Array, n: jax.Array) -> jax.Array:
    """Return floor(word n / 2^32): a random integer below n, all uint32, without 64-bit products.

    One value is more probable than another by a factor of up to about 1 + n / 2^32.
    """
    (low, high), (n_low, n_high) = ((x & 0xFFFF, x >> 16) for x in (word, n))
    middle = high * n_low + (low * n_low >> 16)
    return high * n_high + (middle >> 16) + ((low * n_high + (middle & 0xFFFF)) >> 16)


def swap_edges(
    mask: jax.Array, seed: jax.Array, attempts: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """Randomize a layer by edge swaps that keep the degree of every unit.

    Where more than half of all places are taken, empty places are swapped instead: the same moves,
    without the many attempts that find no room.

    Parameters
    ----------
    mask
        bool [out, in].  A convolution [out, in, 3, 3] is passed as [out, in * 9]: swaps then keep
        the position of an edge in its kernel together with its input channel.
    seed
        uint32 [2]; another seed is an independent chain.
    attempts
        int scalar, below 2^31; may be traced.  `ENOUGH` per edge are plenty.  Under `vmap`, give
        all lanes the same number: lanes that end apart copy their masks at every attempt.

    Returns
    -------
    swapped
        bool [out, in].
    accepted
        int32 scalar, the number of attempts that swapped something.
    """
    width = mask.shape[1]
    edges = jnp.sum(mask, dtype=jnp.uint32)
    crowded = 2 * edges > mask.size
    count = jnp.where(crowded, mask.size - edges, edges)
    taken = (mask ^ crowded).ravel()
    places = jnp.nonzero(taken, size=max(mask.size // 2, 1), fill_value=0)[0].astype(jnp.int32)

    def move(arrays: tuple[jax.Array, ...], swap: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        (taken, places), (i, j, p, q, shift) = arrays, swap
        for place, now in ((p, False), (q, False), (p + shift, True), (q - shift, True)):
            taken = _set(taken, now, place)
        return taken, _set(_set(places, p + shift, i), q - shift, j)

    # Each turn makes the swap that the turn before found.  All is then written before anything is
    # read; the other way round, the compiler repeats reads among the writes and copies the mask.
    def attempt(step: jax.Array, state: tuple[Any, ...]) -> tuple[Any, ...]:
        arrays, swap, accepted = state
        taken, places = move(arrays, swap)
        words = bits.words(bits.reseed(seed, step), (2,))
        i, j = (_scaled(word, count).astype(jnp.int32) for word in words)
        p, q = _get(places, i), _get(places, j)
        shift = q % width - p % width
        # true as well for edges that share a unit
        blocked = _get(taken, p + shift) | _get(taken, q - shift)
        shift = jnp.where(blocked, 0, shift)
        return (taken, places), (i, j, p, q, shift), accepted + ~blocked

    zero = jnp.int32(0)
    nothing = (zero, zero, places[0], places[0], zero)
    state = (taken, places), nothing, zero
    arrays, swap, accepted = jax.lax.fori_loop(0, attempts, attempt, state)
    taken, _ = move(arrays, swap)
    swapped = jnp.where(count > 0, taken.reshape(mask.shape) ^ crowded, mask)
    return swapped, accepted


def random_mask(seed: jax.Array, places: int, count: ArrayLike) -> jax.Array:
    """Choose `count` of `places` uniformly, bool [places].

    Parameters
    ----------
    seed
        uint32 [2]; another seed is an independent choice.
    places
        Of a layer, or of all layers together, in any order.
    count
        int scalar from 0 to `places`; may be traced.
    """
    order = jnp.argsort(bits.words(seed, (places,)))
    chosen = jnp.arange(places) < count
    return jnp.zeros(places, bool).at[order].set(chosen, unique_indices=True)


def overlap(a: jax.Array, b: jax.Array) -> jax.Array:
    """Share of the edges of `a` that `b` has too, float32 scalar; NaN without edges.

    Parameters
    ----------
    a, b
        bool, any shape.
    """
    return jnp.sum(a & b) / jnp.sum(a)
