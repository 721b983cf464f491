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
        Scalars that the stream depends on too, by their bits: where points share their disorder,
        `stream(key, "noise", temperature)` gives each temperature noise of its own.
    """
    key = jax.random.fold_in(key, keys.number(name))
    for value in values:
        bits = jax.lax.bitcast_convert_type(jnp.asarray(value, jnp.float32), jnp.uint32)
        key = jax.random.fold_in(key, bits)
    return key
