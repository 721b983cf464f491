"""The only birthplace of randomness.

A realization's random numbers come from the digest of what it is: study seed, control values and
realization number (`base.Task.lineage`).  Nothing else enters: not the batch, the order, the
worker, nor the rest of the grid.  Independent uses of randomness draw from named streams.
"""

from __future__ import annotations

import hashlib
import json
from operator import methodcaller
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


def stream(rng: np.random.Generator, name: str, *values: float | str) -> np.random.Generator:
    """Give the generator of one named stream of the realization that was given `rng`.

    Where points share their disorder, `rng` is the same at all of them: draw the disorder from it,
    and `stream(rng, "noise", temperature)` gives each temperature noise of its own.

    Parameters
    ----------
    rng
        As the realization was given it; nothing is drawn from it, and what was drawn before does
        not matter.
    name, values
        Different ones give independent numbers; numbers count by all their digits.
    """
    content = json.dumps([name, *values], default=methodcaller("item"))  # of NumPy
    digest = hashlib.sha256(content.encode()).digest()
    seed: Any = rng.bit_generator.seed_seq
    spawned = (*seed.spawn_key, *np.frombuffer(digest, dtype=">u4").tolist())
    sequence = np.random.SeedSequence(seed.entropy, spawn_key=spawned)
    return np.random.Generator(np.random.PCG64(sequence))


def number(stream: str) -> int:
    """Give the number of a named stream, below 2^32: its place, or bits of its name's digest."""
    if stream in NUMBERED:
        return NUMBERED.index(stream)
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4], "big")
