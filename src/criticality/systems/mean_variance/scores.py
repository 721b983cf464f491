"""How good a predicted Gaussian is: N(mean, 1/precision) against what was observed.

Written once for NumPy and jax.numpy: `xp` is either, `ndtr` the Gaussian distribution function of
its special functions.  All are means over samples [n], in units of y.
"""

from __future__ import annotations

import math
from typing import Any

Array = Any  # of NumPy or JAX

NULL_ERROR = math.sqrt(math.pi / 32)  # E of `calibration_error` sqrt(n), if all is right


def nll(y: Array, mean: Array, precision: Array, xp: Any) -> Array:
    """Negative log-likelihood in nat, [precision (y - mean)^2 - ln precision + ln 2 pi] / 2."""
    square = precision * (y - mean) ** 2
    return xp.mean(square - xp.log(precision) + math.log(2 * math.pi)) / 2


def crps(y: Array, mean: Array, precision: Array, xp: Any, ndtr: Any) -> Array:
    """Continuous ranked probability score, of a Gaussian in closed form.

    Gneiting and Raftery (2007), Eq. 21: s [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)].
    """
    root = xp.sqrt(precision)
    z = (y - mean) * root
    density = xp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return xp.mean((z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)) / root)


def ranks(y: Array, mean: Array, precision: Array, xp: Any, ndtr: Any) -> Array:
    """Probability integral transforms Phi(z) [n]: uniform on [0, 1] if all is right."""
    return ndtr((y - mean) * xp.sqrt(precision))


def calibration_error(rank: Array, xp: Any) -> Array:
    """Integrate |F(tau) - tau| over [0, 1], F the ranks' distribution: expected calibration error.

    The mean over quantiles tau of |P(y < q_tau) - tau|, without drawing any tau.  Where all is
    right n samples have `NULL_ERROR` / sqrt(n) on average: |F - tau| is |Brownian bridge| /
    sqrt(n), of which the mean is sqrt(2/pi) int sqrt(tau (1 - tau)).
    """
    n = rank.shape[0]
    edges = xp.concatenate([xp.zeros(1, rank.dtype), xp.sort(rank), xp.ones(1, rank.dtype)])
    below = xp.arange(n + 1, dtype=rank.dtype) / n  # F between two edges
    # the integral of |tau - F| over a piece is [(tau - F) |tau - F|] / 2 at its ends
    low, high = edges[:-1] - below, edges[1:] - below
    return xp.sum(high * xp.abs(high) - low * xp.abs(low)) / 2


def coverage(rank: Array, level: Array, xp: Any) -> Array:
    """Share of samples in the central interval of every probability `level` [k]: [k]."""
    return xp.mean(xp.abs(rank[:, None] - 0.5) <= level / 2, axis=0)
