"""Input of the power law, and least squares of a (u - c)_+^beta for many data vectors at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from criticality.analysis.scaling.curve import Curve
from criticality.analysis.stats import Array
from criticality.base import InputError

BETAS = np.geomspace(0.05, 8, 40)  # searched; its ends are the bounds
STARTS = 3  # best stretches between two points, polished each
STEPS = 40  # of the polishing
LEAST = 3  # points on the ordered side: as many as parameters


def as_curve(
    control: Curve | ArrayLike, values: ArrayLike | None, error: ArrayLike | None
) -> Curve:
    """Curve from what the user gave, checked."""
    if isinstance(control, Curve):
        curve = control
    else:
        try:
            at, array = np.ravel(np.asarray(control, float)), np.asarray(values, float)
        except (TypeError, ValueError):
            raise InputError("control, values: expected numbers, and rows of one length.") from None
        if (
            values is None
            or array.shape[-1:] != at.shape
            or array.ndim != (1 if error is not None else 2)
        ):
            raise InputError(
                f"values of shape {array.shape} for {len(at)} control values: expected samples "
                f"[realizations, {len(at)}], or means [{len(at)}] with `error`."
            )
        order = np.argsort(at)
        if error is not None:
            given = np.asarray(error, float)
            if given.shape != at.shape:
                raise InputError(f"error of shape {given.shape}: expected ({len(at)},).")
            curve = Curve(1.0, at[order], array[order], given[order])
        else:
            there = np.isfinite(array).sum(axis=0)
            if there.min(initial=2) < 2:
                where = at[there.argmin()]
                raise InputError(f"a single realization at {where:g}: no error can be estimated.")
            mean = np.nanmean(array, axis=0)
            spread = np.nanstd(array, axis=0, ddof=1) / np.sqrt(there)
            curve = Curve(1.0, at[order], mean[order], spread[order], array[:, order])
    numbers = np.concatenate([curve.control, curve.mean, curve.error])
    if (
        len(curve.control) < 5
        or not np.isfinite(numbers).all()
        or np.diff(curve.control).min() <= 0
    ):
        raise InputError(
            f"{len(curve.control)} control values: expected 5 or more, distinct, with finite means "
            f"and errors."
        )
    if curve.error.min() <= 0:
        where = curve.control[curve.error.argmin()]
        raise InputError(
            f"standard error {curve.error.min():g} at {where:g}: expected a positive number; leave "
            f"the point out if all realizations agree exactly there."
        )
    return curve


class Laws(NamedTuple):
    """Power laws a (u - c)_+^beta, one for each row of data.

    Attributes
    ----------
    c, beta, a, chi2
        [draws].
    bound
        [draws]: whether the search ended at a bound of c or beta.
    """

    c: Array
    beta: Array
    a: Array
    chi2: Array
    bound: NDArray[np.bool_]


def search(u: Array, y: Array, white: Array) -> Laws:
    """Minimise chi2 for every row of y.

    The amplitude is solved linearly.  c and beta are searched on a grid, equally fine in every
    stretch between two points, since chi2 has a cusp wherever c passes a point; the best stretches
    are polished (Levenberg-Marquardt on the projected residual) and the best end wins.

    Parameters
    ----------
    u
        [points], ascending, in units of the range.
    y
        [draws, points].
    white
        [points, points]: inverse Cholesky factor of the covariance.
    """
    target = y @ white.T
    lowest, highest = u[0] - 1.0, u[-LEAST]
    # equally many trial c in each stretch: below the data, then between two points
    edges = np.concatenate([u[0] - np.array([1.0, 0.1, 0.01]), u[: 1 - LEAST]])
    fraction = (np.arange(8) + 0.5) / 8
    trial = edges[:-1, None] + np.diff(edges)[:, None] * fraction  # [stretches, 8]
    shape = np.maximum(u - trial[..., None, None], 0) ** BETAS[:, None]  # [stretches, 8, betas, u]
    columns = shape @ white.T
    columns /= np.linalg.norm(columns, axis=-1, keepdims=True)
    gain = (columns @ target.T) ** 2  # what each shape takes off chi2
    gain = gain.reshape(len(trial), -1, len(y))
    inner, best = gain.argmax(axis=1), gain.max(axis=1)  # [stretches, draws]
    starts = np.argsort(-best, axis=0)[:STARTS]
    draw = np.broadcast_to(np.arange(len(y)), starts.shape)
    chosen = inner[starts, draw]
    c = trial[starts, chosen // len(BETAS)].ravel()
    log_beta = np.log(BETAS[chosen % len(BETAS)]).ravel()
    goal = target[draw.ravel()]

    def fit(c: Array, log_beta: Array) -> tuple[Array, Array, Array, Array]:
        beta = np.exp(log_beta)[:, None]
        gap = np.maximum(u - c[:, None], 0)
        power = gap**beta
        column = power @ white.T
        norm = np.sum(column**2, axis=1)
        a = np.sum(column * goal, axis=1) / norm
        rest = goal - a[:, None] * column
        safe = np.maximum(gap, 1e-6)  # the slope of a cusp is infinite
        to_c = np.where(gap > 0, -beta * safe ** (beta - 1), 0) @ white.T
        to_beta = np.where(gap > 0, beta * power * np.log(safe), 0) @ white.T
        slopes = a[:, None, None] * np.stack([to_c, to_beta], axis=-1)
        # only what the amplitude cannot take up (Kaufman's variable projection)
        share = (column[:, None, :] @ slopes) / norm[:, None, None]
        return a, np.sum(rest**2, axis=1), rest, slopes - column[..., None] * share

    bounds = np.log(BETAS[[0, -1]])
    a, chi2, rest, slopes = fit(c, log_beta)
    damping = np.full(len(c), 1e-2)
    for _ in range(STEPS):
        normal = slopes.transpose(0, 2, 1) @ slopes
        diagonal = np.einsum("kii->ki", normal)
        normal[:, [0, 1], [0, 1]] = diagonal * (1 + damping[:, None]) + 1e-300
        step = np.linalg.solve(normal, slopes.transpose(0, 2, 1) @ rest[..., None])[..., 0]
        new_c = np.clip(c + step[:, 0], lowest, highest - 1e-9)
        new_beta = np.clip(log_beta + step[:, 1], *bounds)
        new = fit(new_c, new_beta)
        better = new[1] < chi2
        c, log_beta = np.where(better, new_c, c), np.where(better, new_beta, log_beta)
        a, chi2 = np.where(better, new[0], a), np.where(better, new[1], chi2)
        rest = np.where(better[:, None], new[2], rest)
        slopes = np.where(better[:, None, None], new[3], slopes)
        damping = np.clip(damping * np.where(better, 0.2, 5.0), 1e-10, 1e8)
    winner = chi2.reshape(starts.shape).argmin(axis=0)
    pick = winner * len(y) + np.arange(len(y))
    c, log_beta, a, chi2 = c[pick], log_beta[pick], a[pick], chi2[pick]
    bound = (c <= lowest + 1e-6) | (c >= highest - 1e-6)
    bound |= (log_beta <= bounds[0] + 1e-6) | (log_beta >= bounds[1] - 1e-6)
    return Laws(c, np.exp(log_beta), a, chi2, bound)
