"""The only birthplace of randomness in networks.

A realization's root key comes from the digest of what it is: study seed, control values and
realization number (`base.Task.lineage`).  Nothing else enters: not the batch, the order, the
worker, nor the rest of the grid.  Independent uses of randomness draw from named streams.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

# a new one goes to the end: its place is what counts
Stream = Literal[
    "initialization",
    "subset",
    "batches",
    "training masks",
    "evaluation masks",
    "fine-tuning",
    "pruning",
    "topology",
]
STREAMS: tuple[str, ...] = get_args(Stream)


def words(lineage: str) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """State uint32 [2] of the root key of one realization: the first 64 bits of its lineage.

    Two of N realizations share one with probability N^2 / 2^65.

    Parameters
    ----------
    lineage
        A sha256 hex digest.
    """
    return np.frombuffer(bytes.fromhex(lineage[:16]), dtype=">u4").astype(np.uint32)


def root(state: jax.typing.ArrayLike) -> jax.Array:
    """Root key of one realization, a scalar typed threefry key, from its `words`."""
    key: jax.Array = jax.random.wrap_key_data(jnp.asarray(state), impl="threefry2x32")
    return key


def stream(key: jax.Array, name: Stream) -> jax.Array:
    """Key of one named stream of the realization with root `key`."""
    return jax.random.fold_in(key, STREAMS.index(name))
