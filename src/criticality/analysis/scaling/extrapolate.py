"""Crossings of finite sizes extrapolated to infinite size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from criticality.analysis import stats
from criticality.analysis.stats import Array

PARAMETERS = {"power": 3, "logarithm": 2, "constant": 1}
LEAST = 3  # crossings
LAMBDAS = np.geomspace(0.05, 10, 200)  # outside, no data tell L^-lambda from a logarithm or zero
AT_BOUND = 0.05  # of the draws may end at a bound of lambda
POOR = 0.01  # probability of the fit below which it is doubted
FLOOR = 0.02  # least eigenvalue of the correlation of crossings


@dataclass(frozen=True)
class Extrapolation:
    """Limit p_c of crossings p_x(L).

    Attributes
    ----------
    form
        "power": p_c + a L^-lambda; "logarithm": p_c + a / ln(L / L_0)^(1/sigma); "constant": p_c.
    p_c, error
        Half the central 68 % of the draws is the error.
    low, high
        Percentile interval.
    amplitude, exponent
        a, and lambda or 1/sigma; NaN where the form has none.
    chi2, dof, p_value
        Of the fit; the probability is that of an F distribution, as errors are estimated.
    flag
        "" or "too few crossings", "lambda at bound", "lambda ill-determined" (more than 5 % of
        the draws end at a bound), "poor fit".
    """

    form: str
    p_c: float
    error: float
    low: float
    high: float
    amplitude: float
    exponent: float
    chi2: float
    dof: int
    p_value: float
    flag: str


def extrapolate(
    links: Array,
    values: Array,
    draws: Array,
    *,
    level: float,
    L0: float,
    sigma: float,
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
    dof_noise
        Degrees of freedom of the errors.
    """
    draws = draws[np.isfinite(draws).all(axis=1)]
    exponents = {"power": float("nan"), "logarithm": 1 / sigma, "constant": float("nan")}
    fits = []
    for form, parameters in PARAMETERS.items():
        if len(values) < max(LEAST, parameters + 1):
            numbers = (float("nan"),) * 5 + (exponents[form], float("nan"))
            dof = len(values) - parameters
            fits.append(Extrapolation(form, *numbers, dof, float("nan"), "too few crossings"))
            continue
        length = np.sqrt(links[:, 0] * links[:, 1])
        white = np.linalg.inv(np.linalg.cholesky(_covariance(links, draws)))
        every = np.concatenate([values[None], draws]) @ white.T
        # centred values, so that sums of squares keep their digits where all crossings agree
        one = white.sum(axis=1)
        if form == "power":
            # in units of the least size the columns keep one scale at every lambda
            base = length / length[0]
            free = _best_lambda(every, one, white, base)
            columns = base ** -free[:, None] @ white.T
        elif form == "logarithm":
            free = np.full(len(every), 1 / sigma)
            columns = np.broadcast_to(white @ np.log(length / L0) ** (-1 / sigma), every.shape)
        else:
            free = np.full(len(every), np.nan)
            columns = np.empty((len(every), 0))
        design = np.stack(
            [np.broadcast_to(one, every.shape), *([columns] if columns.size else [])], -1
        )
        fitted = np.linalg.pinv(design) @ every[..., None]
        chi2 = float(np.sum((every[0] - (design @ fitted)[0, :, 0]) ** 2))
        p_c = fitted[:, 0, 0]
        amplitude = float(fitted[0, 1, 0]) if columns.size else float("nan")
        if form == "power":
            amplitude *= float(length[0] ** free[0])
        dof = len(values) - parameters
        probability = float(stats.fit_probability(np.array(chi2), dof, dof_noise))
        tail = 50 * (1 - level)
        low, first, last, high = np.percentile(p_c[1:], [tail, 15.87, 84.13, 100 - tail])
        limits = (float(p_c[0]), float(last - first) / 2, float(low), float(high))
        flag = "poor fit" if probability < POOR else ""
        if form == "power":
            bound = (free <= LAMBDAS[0]) | (free >= LAMBDAS[-1])
            if bound[0]:
                flag = "lambda at bound"
            elif bound[1:].mean() > AT_BOUND:
                flag = flag or "lambda ill-determined"
        fits.append(
            Extrapolation(form, *limits, amplitude, float(free[0]), chi2, dof, probability, flag)
        )
    return tuple(fits)


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
