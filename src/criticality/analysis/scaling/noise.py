"""Covariance of means from few realizations.

The sample covariance of 40 realizations at 20 points has no usable inverse: its noise would be
taken for information.  Variances are therefore smoothed, and correlations shrunk towards a smooth
model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import linalg, special
from scipy.optimize import nnls

from criticality.analysis.scaling.curve import Curve
from criticality.analysis.stats import Array

DECAYS = np.array([0.02, 0.05, 0.1, 0.2, 0.5, 1.0])  # of correlations, in spans of the control


def covariance(curves: Sequence[Curve]) -> Array:
    """Covariance [N, N] of the means of all curves; zero between curves.

    Correlations are shrunk towards `correlation_model` with the intensity of Schaefer and Strimmer
    [Stat. Appl. Genet. Mol. Biol. 4, 32 (2005)].
    """
    model = correlation_model(curves)
    blocks = []
    for curve, scale in zip(curves, smooth_errors(curves), strict=True):
        correlation = np.eye(len(curve.mean))
        if curve.samples is not None:
            n = np.maximum(curve.pairs, 1e-9)
            target, found = model(curve.control), curve.correlation
            off = ~np.eye(len(scale), dtype=bool) & (n > 2)
            scatter = np.sum(((1 - target[off] ** 2) ** 2) / (n[off] - 1))
            misfit = np.sum((found - target)[off] ** 2)
            weight = min(1.0, scatter / misfit) if misfit > 0 else 1.0
            shrunk = weight * target + (1 - weight) * found
            # means share only the realizations that have both points
            shared = curve.pairs / np.sqrt(np.outer(np.diag(n), np.diag(n)))
            correlation = np.where(np.eye(len(scale), dtype=bool), 1, shrunk * shared)
        blocks.append(correlation * np.outer(scale, scale))
    result: Array = linalg.block_diag(*blocks)
    return result


def smooth_errors(curves: Sequence[Curve]) -> list[Array]:
    """Shrink the standard errors of each curve towards a smooth surface in control and size.

    Logarithms of sample variances scatter by 2/(n-1) about a polynomial surface; what they scatter
    more is real, and decides how far they are shrunk (empirical Bayes).  Errors that were given
    stay as they are.
    """
    if any(curve.samples is None for curve in curves):
        return [curve.error for curve in curves]
    lengths = [len(curve.mean) for curve in curves]
    n = np.concatenate([np.diag(curve.pairs) for curve in curves])
    p = np.concatenate([curve.control for curve in curves])
    size = np.repeat([curve.size for curve in curves], lengths)
    rank = np.log(size) if size.min() > 0 else size
    # E ln s^2 = ln sigma^2 + digamma(k) - ln(k) with k = (n - 1) / 2
    k = (n - 1) / 2
    logs = np.log(np.concatenate([curve.error for curve in curves]) ** 2 * n)
    logs = logs - special.digamma(k) + np.log(k)
    scatter = special.polygamma(1, k)
    t, u = (2 * (a - a.mean()) / max(np.ptp(a), 1e-12) for a in (p, rank))
    order = min(3, max(0, math.isqrt(len(logs) // 3) - 1))
    powers = [(a, b) for a in range(order + 1) for b in range(order + 1 - a) if b < len(curves)]
    design = np.stack([t**a * u**b for a, b in powers], axis=1)
    weight = 1 / np.sqrt(scatter)
    solution, *_ = np.linalg.lstsq(design * weight[:, None], logs * weight, rcond=1e-9)
    away = logs - design @ solution
    free = max(len(logs) - len(powers), 1)
    excess = max(0.0, float(np.sum(away**2) - scatter.mean() * free) / free)
    shrunk = logs - scatter / (excess + scatter) * away
    return np.split(np.sqrt(np.exp(shrunk) / n), np.cumsum(lengths)[:-1])


def correlation_model(curves: Sequence[Curve]) -> Callable[[Array], Array]:
    """Fit the correlation between points of one realization as a function of their distance.

    Constant + exponentials + white, by non-negative least squares to all pairs of points of all
    sizes: positive definite at any control values [n], for which it gives [n, n].
    """
    distance, found, weight = [], [], []
    for curve in curves:
        if curve.samples is None:
            continue
        upper = np.triu_indices(len(curve.mean), 1)
        enough = curve.pairs[upper] > 2
        gap = np.abs(np.subtract.outer(curve.control, curve.control))[upper]
        distance.append(gap[enough])
        found.append(curve.correlation[upper][enough])
        weight.append(curve.pairs[upper][enough])
    d = np.concatenate(distance) if distance else np.array([])
    if len(d) < 3:
        return lambda p: np.eye(len(p))
    y, w = np.concatenate(found), np.sqrt(np.concatenate(weight))
    decays = DECAYS * float(np.ptp(np.concatenate([curve.control for curve in curves])))
    columns = np.exp(-d[:, None] / decays)
    parts, _ = nnls(np.column_stack([np.ones_like(d), columns]) * w[:, None], y * w)
    # what is left to 1 is white
    parts = parts * min(1.0, 0.999 / max(parts.sum(), 1e-12))

    def correlation(p: Array) -> Array:
        gap = np.abs(np.subtract.outer(p, p))
        total: Array = parts[0] + np.exp(-gap[..., None] / decays) @ parts[1:]
        np.fill_diagonal(total, 1.0)
        return total

    return correlation
