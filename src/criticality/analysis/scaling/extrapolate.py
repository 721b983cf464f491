"""Crossings of finite sizes extrapolated to infinite size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from criticality.analysis import stats
from criticality.analysis.scaling.estimates import from_draws, given
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag

FORMS = {
    "power": ("p_c", "amplitude", "exponent"),
    "logarithm": ("p_c", "amplitude"),
    "constant": ("p_c",),
}  # and what of them is fitted
LEAST = 3  # crossings
LAMBDAS = np.geomspace(0.05, 10, 200)  # outside, no data tell L^-lambda from a logarithm or zero
AT_BOUND = 0.05  # of the draws may end at a bound of lambda
POOR = 0.01  # probability of the fit below which it is doubted
METHOD = "generalised least squares with the covariance of the draws, fitted to every draw"
FLOOR = 0.02  # least eigenvalue of the correlation of crossings


@dataclass(frozen=True)
class Extrapolation:
    """Limit p_c of crossings p_x(L).

    Attributes
    ----------
    form
        "power": p_c + a L^-lambda; "logarithm": p_c + a / ln(L / L_0)^(1/sigma); "constant": p_c.
    params
        Estimates of "p_c" and, where the form has them, "amplitude" a and "exponent", which is
        lambda, or 1/sigma as given; NaN if there are too few crossings.
    chi2, dof, p_value
        Of the fit; the probability is that of an F distribution, as errors are estimated.
    flags
        "too few crossings", "at bound" of lambda, "ill-determined" lambda (more than 5 % of the
        draws end at a bound), "poor fit".
    """

    form: str
    params: dict[str, Estimate]
    chi2: float
    dof: int
    p_value: float
    flags: tuple[Flag, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts."""
        names = ("form", "chi2", "dof", "p_value")
        return {name: getattr(self, name) for name in names} | {
            "params": {name: found.to_dict() for name, found in self.params.items()},
            "flags": [flag.to_dict() for flag in self.flags],
        }


def extrapolate(
    links: Array,
    values: Array,
    draws: Array,
    *,
    level: float,
    L0: float,
    sigma: float,
    n: int,
    dof_noise: float,
) -> tuple[Extrapolation, ...]:
    """Fit every form to crossings by generalised least squares, and to every draw of them.

    L is the geometric mean of the two sizes.  Crossings that share a size are correlated, others
    are not: the covariance of the draws is cut to that pattern, and its eigenvalues kept above
    0.02 of the variances.

    Parameters
    ----------
    links
        [crossings, 2]: sizes.
    values, draws
        [crossings] and [draws, crossings], NaN where a draw has none.
    level
        Probability of the interval.
    L0, sigma
        Of the logarithmic form.
    n
        Realizations behind the crossings.
    dof_noise
        Degrees of freedom of the errors.
    """
    draws = draws[np.isfinite(draws).all(axis=1)]
    how: dict[str, Any] = {"level": level, "n": n, "method": METHOD}
    fits = []
    for form, names in FORMS.items():
        dof = len(values) - len(names)
        given_exponent = {"exponent": given(1 / sigma, level)} if form == "logarithm" else {}
        if len(values) < max(LEAST, len(names) + 1):
            unknown = dict.fromkeys(names, Estimate(value=math.nan, **how))
            few = (Flag("too few crossings"),)
            fits.append(Extrapolation(form, unknown | given_exponent, math.nan, dof, math.nan, few))
            continue
        length = np.sqrt(links[:, 0] * links[:, 1])
        white = np.linalg.inv(np.linalg.cholesky(_covariance(links, draws)))
        every = np.concatenate([values[None], draws]) @ white.T
        # centred values, so that sums of squares keep their digits where all crossings agree
        one = white.sum(axis=1)
        columns = [np.broadcast_to(one, every.shape)]
        free, unit = np.array([]), 1.0
        if form == "power":
            # in units of the least size the columns keep one scale at every lambda
            base = length / length[0]
            free = _best_lambda(every, one, white, base)
            columns.append(base ** -free[:, None] @ white.T)
            unit = length[0] ** free
        elif form == "logarithm":
            falling = np.log(length / L0) ** (-1 / sigma)
            columns.append(np.broadcast_to(white @ falling, every.shape))
        design = np.stack(columns, -1)
        fitted = np.linalg.pinv(design) @ every[..., None]
        chi2 = float(np.sum((every[0] - (design @ fitted)[0, :, 0]) ** 2))
        found = {"p_c": fitted[:, 0, 0]}
        if len(columns) > 1:
            found["amplitude"] = fitted[:, 1, 0] * unit
        if form == "power":
            found["exponent"] = free
        params = {name: from_draws(drawn[0], drawn[1:], **how) for name, drawn in found.items()}
        p_value = float(stats.fit_probability(np.array(chi2), dof, dof_noise))
        flags = _flags(free, p_value)
        fits.append(Extrapolation(form, params | given_exponent, chi2, dof, p_value, flags))
    return tuple(fits)


def _flags(free: Array, p_value: float) -> tuple[Flag, ...]:
    """Give the gravest doubt about a fit; `free` holds lambda [1 + draws], or nothing."""
    bound = (free <= LAMBDAS[0]) | (free >= LAMBDAS[-1])
    if len(free) and bound[0]:
        return (Flag("at bound", "lambda"),)
    if p_value < POOR:
        return (Flag("poor fit"),)
    if len(free) and bound[1:].mean() > AT_BOUND:
        return (Flag("ill-determined", "lambda"),)
    return ()


def _covariance(links: Array, draws: Array) -> Array:
    """Covariance of crossings: zero unless they share a size, positive definite."""
    scale = draws.std(axis=0, ddof=1)
    shared = (links[:, None, :, None] == links[None, :, None, :]).any(axis=(-1, -2))
    correlation = np.where(shared, np.corrcoef(draws.T), 0)
    values, vectors = np.linalg.eigh(correlation)
    covariance: Array = (vectors * np.maximum(values, FLOOR)) @ vectors.T * np.outer(scale, scale)
    return covariance


def _best_lambda(every: Array, one: Array, white: Array, base: Array) -> Array:
    """Lambda [draws] of least chi2 for values `every` [draws, crossings], all whitened."""
    columns = base ** -LAMBDAS[:, None] @ white.T
    design = np.stack([np.broadcast_to(one, columns.shape), columns], -1)
    basis = np.linalg.qr(design)[0]  # [lambdas, crossings, 2]
    # residuals, not differences of sums of squares: these agree to many digits
    projector = np.eye(len(base)) - basis @ basis.transpose(0, 2, 1)
    chi2 = np.sum((projector @ every.T) ** 2, axis=1)  # [lambdas, draws]
    k = chi2.argmin(axis=0)
    inner = np.clip(k, 1, len(LAMBDAS) - 2)
    draw = np.arange(len(k))
    before, here, after = (chi2[inner + step, draw] for step in (-1, 0, 1))
    curvature = before - 2 * here + after
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.nan_to_num(np.clip((before - after) / (2 * curvature), -1, 1))
    log = np.log(LAMBDAS)
    refined = np.exp(log[inner] + shift * (log[1] - log[0]))
    at_bound = (k == 0) | (k == len(LAMBDAS) - 1)
    best: Array = np.where(at_bound, LAMBDAS[k], refined)
    return best
