"""Named streams of random numbers of one realization."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality import keys


def stream(key: jax.Array, name: str, *values: ArrayLike) -> jax.Array:
    """Key of one named stream of the realization with root `key`.

    Parameters
    ----------
    values
        Scalars that the stream depends on too, by all their bits: where points share their
        disorder, `stream(key, "noise", temperature)` gives each temperature noise of its own
        (`keys.stream` is the same for plain systems).
    """
    key = jax.random.fold_in(key, keys.number(name))
    for value in values:
        bits = jax.lax.bitcast_convert_type(jnp.asarray(value), jnp.uint32)
        for word in bits.reshape(-1):  # two where numbers have 64 bits
            key = jax.random.fold_in(key, word)
    return key
