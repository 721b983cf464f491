"""Exponents of the relative changes over the width, by estimates of leading order; no jax.

Weights have unit variance, W1 flows with the rate r = m^(2 gamma_2) of the others, kappa =
m^-gamma_3, and f must change by a number of order one.

Lazy: the gradients of f have norms kappa m of every layer, the kernel is kappa^2 m^2 (r + 2), and
W1 moves by r / (kappa m (r + 2)), W2 and a by 1 / (kappa m (r + 2)).

Beyond, growth is balanced, since |W1|^2 / r - |W2|^2 and |W2|^2 - |a|^2 are conserved: layers that
have outgrown their start have norms A sqrt(r), A, A of their grown parts, and those that have not
act with their start.  With all three kappa sqrt(r) A^3 = 1.  If W1 is fast (gamma_2 > 0) it first
outgrows its start alone, kappa m |W1| = 1, and 2 sqrt(m) A = |W1|^2 / r; if it is slow, W2 and a do
first, kappa sqrt(m) A^2 = 1, and 2 sqrt(m) |W1| = r A^2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LAZY_UNTIL = 1.5


def exponents(gamma_2: ArrayLike, gamma_3: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Exponents d ln change / d ln m of W1, W2 and a, for m to infinity."""
    g2, g3 = np.broadcast_arrays(np.asarray(gamma_2, float), np.asarray(gamma_3, float))
    all_grown = np.where(g2 > 0, LAZY_UNTIL + g2, LAZY_UNTIL - 2 * g2)
    lazy = g3 - 1.5 + 2 * np.minimum(g2, 0), g3 - 2 - 2 * np.maximum(g2, 0)
    norm = (g3 - g2) / 3  # ln A / ln m, if all have grown
    fast = g3 - 1.5, 2 * (g3 - g2) - 3.5
    slow = g3 - 1.5 + 2 * g2, g3 / 2 - 1.25
    grown = norm + g2 - 0.5, norm - 1
    found = []
    for layer in (0, 1):
        between = np.where(g2 > 0, fast[layer], slow[layer])
        beyond = np.where(g3 < all_grown, between, grown[layer])
        found.append(np.where(g3 < LAZY_UNTIL, lazy[layer], beyond))
    # a moves as much as W2, and is smaller by the square root of m
    return found[0], found[1], found[1] + 0.5


def critical(gamma_2: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """gamma_3 above which W1, and W2, change by more than their start."""
    g2 = np.asarray(gamma_2, float)
    return 1.5 + np.maximum(-2 * g2, 0), np.maximum(2.5, 3 + g2)
