"""The sine problem: a mean and a noise, both functions of x in [0, 1].

Wong-Toi et al.; the training points are our choice: x_i = (i + 1/2) / n, i = 0 .. n-1.
"""

from __future__ import annotations

import math
from typing import Any

Array = Any  # of NumPy or JAX


def mean(x: Array, xp: Any) -> Array:
    """Mean of y at x."""
    return 2 * xp.sin(4 * math.pi * x)


def deviation(x: Array, xp: Any) -> Array:
    """Give the standard deviation of y at x; at least 1/4."""
    return xp.sin(6 * math.pi * x) + 1.25


def places(n: int, xp: Any) -> Array:
    """Where n points are [n]: at the middles of n equal parts of [0, 1]."""
    return (xp.arange(n) + 0.5) / n
