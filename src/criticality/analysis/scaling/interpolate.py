"""Smooth interpolation of curves, with the bootstrap draws that belong to it.

A Gaussian process, Matern 5/2 about a straight line, passes through the points where they are exact
and near them where they are noisy.  Straight lines between points would be off by h^2 y''/8 for
grid steps h, differently for every size and without a stated error; a spline follows the noise.
The process is linear in the values, so that all draws share one factorisation, and it knows its
uncertainty between the points.  Curves of fewer than five points hardly tell their curvature: the
process takes them for straight lines then.  The cost grows as the third power of the points of one
curve; thousands of points want thinning first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from criticality.analysis.scaling.curve import Curve
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.stats import Array

FINE = 200  # points on which zeros are bracketed, if measured points are fewer
LENGTHS = np.geomspace(0.05, 5, 14)  # of the process, in spans of the curve
AMPLITUDES = np.geomspace(0.01, 10, 14)  # in ranges of the curve
LINE = 10.0  # prior deviation of level and slope, in the same units: any straight line


def interpolations(
    data: ScalingData, draws: int, rng: np.random.Generator
) -> tuple[Array, list[Array], list[Array]]:
    """Fine grid, and for each curve its estimate [grid] and draws [draws, grid] on it.

    NaN outside the range of the curve.
    """
    knots = np.unique(data.control)
    split = max(2, -(-FINE // max(len(knots) - 1, 1)))
    parts = np.linspace(knots[:-1], knots[1:], split, endpoint=False).T.ravel()
    grid = np.append(parts, knots[-1])
    covariance = data.covariance
    deviations = data.resampled_deviations(draws, rng)
    estimates, paths, end = [], [], 0
    for curve in data.curves:
        here = slice(end, end := end + len(curve.mean))
        inside = (grid >= curve.control[0]) & (grid <= curve.control[-1])
        estimate, path = np.full(len(grid), np.nan), np.full((draws, len(grid)), np.nan)
        if inside.sum() > 1:
            weights, lost = _process(curve, covariance[here, here], grid[inside], draws, rng)
            centre = curve.mean.mean()  # weights sum to nearly, not exactly, one
            estimate[inside] = centre + weights @ (curve.mean - centre)
            path[:, inside] = estimate[inside] + deviations[:, here] @ weights.T + lost
        estimates.append(estimate)
        paths.append(path)
    return grid, estimates, paths


def _process(
    curve: Curve, noise: Array, grid: Array, draws: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Weights [grid, points] of the interpolation, and draws [draws, grid] of what it misses.

    Length and amplitude maximise the marginal likelihood.  With W the weights, K the prior and e
    the noise, f - W (f + e) has the posterior covariance: the part W e is resampled from
    realizations, the part f - W f drawn here from paths f of the prior.
    """
    span, unit = float(np.ptp(curve.control)), float(np.ptp(curve.mean)) or 1.0
    x, at = ((p - curve.control.mean()) / span for p in (curve.control, grid))
    y, noise = (curve.mean - curve.mean.mean()) / unit, noise / unit**2
    noise = noise + 1e-10 * np.eye(len(x))
    shape = _matern(x[:, None] - x, LENGTHS[:, None, None])
    line = LINE**2 * (1 + np.outer(x, x))
    total = AMPLITUDES[:, None, None, None] ** 2 * shape + line + noise
    root = np.linalg.cholesky(total)  # [amplitudes, lengths, points, points]
    white = np.linalg.solve(root, np.broadcast_to(y[:, None], (*root.shape[:-1], 1)))[..., 0]
    evidence = -0.5 * np.sum(white**2, axis=-1)
    evidence -= np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    best, length = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    amplitude, scale = AMPLITUDES[best], LENGTHS[length]

    def prior(a: Array, b: Array) -> Array:
        smooth = amplitude**2 * _matern(a[:, None] - b, scale)
        kernel: Array = smooth + LINE**2 * (1 + np.outer(a, b))
        return kernel

    weights: Array = np.linalg.solve(total[best, length], prior(x, at)).T
    both = np.concatenate([at, x])
    smooth = amplitude**2 * (_matern(both[:, None] - both, scale) + 1e-9 * np.eye(len(both)))
    path = rng.normal(size=(draws, len(both))) @ np.linalg.cholesky(smooth).T
    path += LINE * (rng.normal(size=(draws, 1)) + rng.normal(size=(draws, 1)) * both)
    lost: Array = path[:, : len(at)] - path[:, len(at) :] @ weights.T
    return weights, lost * unit


def _matern(distance: Array, length: Any) -> Array:
    """Matern 5/2 correlation."""
    r = np.sqrt(5) * np.abs(distance) / length
    correlation: Array = (1 + r + r**2 / 3) * np.exp(-r)
    return correlation
