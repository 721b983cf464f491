"""The lattice of the Potts model: energies, and both updates against enumeration."""

from __future__ import annotations

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality.nn import bits
from criticality.systems.potts.model import lattice

COUPLINGS = (0.7, 0.4, 0.2)
TEMPERATURE = 3.0


def counted(spins: np.ndarray) -> list[int]:
    """Features by the letter of their definition: pairs and right angles, site by site."""
    rows, columns = spins.shape
    at = lambda i, j: spins[i % rows, j % columns]  # noqa: E731
    near = diagonal = corners = 0
    for i, j in np.ndindex(rows, columns):
        here = spins[i, j]
        near += int(here == at(i + 1, j)) + int(here == at(i, j + 1))
        diagonal += int(here == at(i + 1, j + 1)) + int(here == at(i + 1, j - 1))
        for up, left in itertools.product((1, -1), repeat=2):
            corners += int(here == at(i + up, j) == at(i, j + left))
    return [-near, -diagonal, -corners]


def every(states: int, rows: int, columns: int) -> np.ndarray:
    """All configurations [number, rows, columns]."""
    flat = np.indices((states,) * (rows * columns)).reshape(rows * columns, -1).T
    return flat.reshape(-1, rows, columns).astype(np.int32)
