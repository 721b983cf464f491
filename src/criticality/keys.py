"""The only birthplace of randomness.

A realization's random numbers come from the digest of what it is: study seed, control values and
realization number (`base.Task.lineage`).  Nothing else enters: not the batch, the order, the
worker, nor the rest of the grid.  Independent uses of randomness draw from named streams.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

# the streams of the first edition have the number of their place; it must not change
NUMBERED = (
    "initialization",
    "subset",
    "batches",
    "training masks",
    "evaluation masks",
    "fine-tuning",
    "pruning",
    "topology",
)


def words(lineage: str) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """State uint32 [2] of the root key of one realization: the first 64 bits of its lineage.

    Two of N realizations share one with probability N^2 / 2^65.

    Parameters
    ----------
    lineage
        A sha256 hex digest.
    """
    return np.frombuffer(bytes.fromhex(lineage[:16]), dtype=">u4").astype(np.uint32)


def generator(lineage: str) -> np.random.Generator:
    """NumPy generator of one realization, seeded with all bits of its lineage (sha256 hex)."""
    return np.random.Generator(np.random.PCG64(int(lineage, 16)))


def number(stream: str) -> int:
    """Give the number of a named stream, below 2^32: its place, or bits of its name's digest."""
    if stream in NUMBERED:
        return NUMBERED.index(stream)
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4], "big")
