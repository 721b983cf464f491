"""Objectives of the older tools: quality of a collapse, with no model of its master curve.

They are here for comparison and for coarse landscapes.  They have many local minima near the best
one, and their errors come from the bootstrap only.
"""

from __future__ import annotations

import itertools

import numpy as np

from criticality.analysis.stats import Array


def local_linear(x: Array, y: Array, d: Array, parameters: int) -> Array:
    """chi2 per degree of freedom of each point about the line through its two neighbours in x.

    Pan et al., App. A, Eqs. (14)-(17), after Kawashima and Ito.  End points are compared with the
    line through the two points nearest to them, so that all N points count.

    Parameters
    ----------
    x, y, d
        [..., N]: scaled control, scaled observable and its standard error, in any order.
    parameters
        Number n of fitted parameters; the degrees of freedom are N - n.

    Returns
    -------
    Array
        [...].
    """
    order = np.argsort(x, axis=-1, kind="stable")
    x, y, d = (np.take_along_axis(np.broadcast_to(a, x.shape), order, axis=-1) for a in (x, y, d))

    def square(i: slice, j: slice, k: slice) -> Array:
        """Squared residual of point i about the line through j and k, over its variance."""
        gap = x[..., k] - x[..., j]
        safe = np.where(gap == 0, 1, gap)
        w = np.where(gap == 0, 0.5, (x[..., k] - x[..., i]) / safe)
        residual = y[..., i] - w * y[..., j] - (1 - w) * y[..., k]
        variance = d[..., i] ** 2 + (w * d[..., j]) ** 2 + ((1 - w) * d[..., k]) ** 2
        result: Array = residual**2 / variance
        return result

    inner = square(slice(1, -1), slice(0, -2), slice(2, None)).sum(axis=-1)
    first = square(slice(0, 1), slice(1, 2), slice(2, 3))[..., 0]
    last = square(slice(-1, None), slice(-2, -1), slice(-3, -2))[..., 0]
    total: Array = (inner + first + last) / (x.shape[-1] - parameters)
    return total


def houdayer_hartmann(x: Array, y: Array, d: Array, starts: Array) -> Array:
    """Mean squared distance of each curve's points from the master curve of the other curves.

    Houdayer and Hartmann, Phys. Rev. B 70, 014418 (2004), Eqs. (B1)-(B3): the master curve at x is
    the weighted straight line through the points of every other curve that enclose x.

    Parameters
    ----------
    x, y, d
        [B, N]: curve after curve, x ascending (or descending) within each.
    starts
        int [curves + 1]: where each curve begins, and N.

    Returns
    -------
    Array
        [B]; about 1 for a good collapse, infinite where no curves overlap.
    """
    y, d = np.broadcast_to(y, x.shape), np.broadcast_to(d, x.shape)
    total, count = np.zeros(len(x)), np.zeros(len(x))
    pieces = [slice(a, b) for a, b in itertools.pairwise(starts)]
    for here in pieces:
        at = x[:, here]
        sums = np.zeros((5, *at.shape))  # of w, w x, w y, w x x, w x y
        for other in pieces:
            if other is here or other.stop - other.start < 2:
                continue
            there = x[:, other]
            # number of the other curve's points to the left of each of ours
            left = (there[:, None, :] <= at[:, :, None]).sum(axis=-1)
            enclosed = (left > 0) & (left < there.shape[1])
            for shift in (-1, 0):
                k = np.clip(left + shift, 0, there.shape[1] - 1)
                xo, yo, do = (np.take_along_axis(a[:, other], k, axis=1) for a in (x, y, d))
                w = enclosed / do**2
                sums += np.stack([w, w * xo, w * yo, w * xo**2, w * xo * yo])
        s, sx, sy, sxx, sxy = sums
        det = s * sxx - sx**2
        usable = det > 1e-12 * np.abs(s * sxx)
        det = np.where(usable, det, 1)
        master = ((sxx * sy - sx * sxy) + at * (s * sxy - sx * sy)) / det
        variance = (sxx - 2 * at * sx + at**2 * s) / det
        distance = (y[:, here] - master) ** 2 / (d[:, here] ** 2 + variance)
        total += np.where(usable, distance, 0).sum(axis=1)
        count += usable.sum(axis=1)
    result: Array = np.where(count > 0, total / np.maximum(count, 1), np.inf)
    return result
