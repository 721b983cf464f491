"""Means, bootstrap over realizations, and straight lines.

Errors resample realizations, whole: passes of one network, and points of one network at several
evaluation rates, are not independent.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions
from threadpoolctl import ThreadpoolController

from criticality.base import InputError

Array = NDArray[np.float64]

T = TypeVar("T", bound=Callable[..., Any])

ONE_SIGMA = float(distributions.norm.cdf(1))  # quantile of a Gaussian at one standard error
PRIOR_DOF = 4.0  # weight, in degrees of freedom, of the common variance in `moderated`


def bootstrap_means(samples: Array, draws: int, rng: np.random.Generator) -> Array:
    """Means of `draws` resamplings of realizations with replacement.

    Parameters
    ----------
    samples
        float64 [realizations, ...].
    draws
        Number of resamplings.
    rng
        Source of the resampling.

    Returns
    -------
    Array
        [draws, ...].
    """
    n = len(samples)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
    means: Array = np.tensordot(counts, samples, axes=1)
    return means


def centre(values: Array, *, censored: bool = False) -> Array:
    """Central value over the realizations that are there.

    Parameters
    ----------
    values
        [realizations, ...].  NaN, and an infinite value unless `censored`, is a realization that
        is missing.
    censored
        +inf says that something did not happen within the budget.  A mean would depend on what
        came after it; the median, which is given, does not while half of the values are finite.

    Returns
    -------
    Array
        [...]: mean or median; NaN where nothing is there.
    """
    known = ~np.isnan(values) if censored else np.isfinite(values)
    there = np.where(known, values, np.nan)
    if censored:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing is there: NaN
            median: Array = np.nanmedian(there, axis=0)
        return median
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
    return mean


def bootstrap_centres(
    samples: Array, draws: int, rng: np.random.Generator, *, censored: bool = False
) -> Array:
    """`centre` of `draws` resamplings of whole realizations; [realizations, ...] to [draws, ...].

    None may be missing.
    """
    if not censored:
        return bootstrap_means(samples, draws, rng)
    medians: Array = np.median(samples[rng.integers(len(samples), size=(draws, len(samples)))], 1)
    return medians


def half_width(draws: Array) -> Array:
    """Half the central 68 % of draws [draws, ...], some of which may be infinite or NaN.

    NaN (the difference of two infinities) may be anything, so that it widens both ends; the result
    is infinite where the draws set no bound.
    """
    upper = np.quantile(np.where(np.isnan(draws), np.inf, draws), ONE_SIGMA, 0, method="nearest")
    lower = np.quantile(
        np.where(np.isnan(draws), -np.inf, draws), 1 - ONE_SIGMA, 0, method="nearest"
    )
    known = np.isfinite(upper) & np.isfinite(lower)
    half: Array = np.where(known, np.where(known, upper, 0) - np.where(known, lower, 0), np.inf) / 2
    return half


def widening(n: int) -> float:
    """Factor sqrt(n / (n-1)) for bootstrap deviations from the estimate; NaN at n = 1.

    The plain bootstrap of n realizations understates the variance of their mean by (n-1)/n: a
    quarter at n = 4.
    """
    return float(np.sqrt(n / (n - 1))) if n > 1 else float("nan")


def moderated(variances: Array, dof: Array, axis: int = 0) -> Array:
    """Variances shrunk towards their common value along `axis`.

    With four realizations a variance has three degrees of freedom, and weights 1/variance would
    follow its noise.  Shrunk: (d0 s0^2 + d s^2) / (d0 + d) with d0 = `PRIOR_DOF` and s0^2 the
    pooled variance [the form of Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004)].
    """
    pooled = np.sum(dof * variances, axis=axis, keepdims=True) / np.sum(
        dof, axis=axis, keepdims=True
    )
    shrunk: Array = (PRIOR_DOF * pooled + dof * variances) / (PRIOR_DOF + dof)
    return shrunk


def line_weights(x: Array, weights: Array) -> tuple[Array, Array]:
    """Give coefficients c of a weighted least-squares line: slope = sum(c y), intercept likewise.

    Parameters
    ----------
    x
        [points].
    weights
        [..., points], inverse variances.

    Returns
    -------
    slope, intercept
        Each [..., points]: the fit is linear in y, so that all bootstrap draws share it.
    """
    total = weights.sum(axis=-1, keepdims=True)
    centre = (weights * x).sum(axis=-1, keepdims=True) / total
    spread = (weights * (x - centre) ** 2).sum(axis=-1, keepdims=True)
    slope = weights * (x - centre) / spread
    return slope, weights / total - centre * slope


def fit_probability(chi2: Array, dof_fit: float | Array, dof_noise: float | Array) -> Array:
    """Probability of a chi2 this large if the model holds and variances are estimated.

    F distribution with `dof_fit` and `dof_noise` degrees of freedom: with few realizations the
    chi2 distribution would reject true models far too often.  NaN without degrees of freedom.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        probability: Array = distributions.f.sf(chi2 / dof_fit, dof_fit, dof_noise)
    return np.where(dof_fit > 0, probability, np.nan)


def binomial_interval(hits: Array, number: Array, level: float) -> tuple[Array, Array]:
    """Interval of a probability, of so many hits in a number of independent trials.

    Of Clopper and Pearson (Biometrika 26, 404, 1934): it holds every probability with which hits as
    many, and as few, are no rarer than (1 - level) / 2.  So it covers the truth as often as `level`
    says or more, whatever the truth and the number: 95 % intervals of ten trials cover 98.4 % on
    average, those of a hundred 96.5 %.

    Parameters
    ----------
    hits, number
        [...].
    level
        In (0, 1).

    Returns
    -------
    low, high
        [...] each; NaN without trials.
    """
    tail = (1 - level) / 2
    hits, number = np.broadcast_arrays(np.asarray(hits, float), np.asarray(number, float))
    low = np.where(hits > 0, distributions.beta.ppf(tail, hits, number - hits + 1), 0.0)
    high = np.where(hits < number, distributions.beta.isf(tail, hits + 1, number - hits), 1.0)
    return np.where(number > 0, low, np.nan), np.where(number > 0, high, np.nan)


def holm(probabilities: Array) -> Array:
    """Probabilities [tests] of a result as rare by chance, made those of a false claim among all.

    Holm's step-down procedure (Scandinavian Journal of Statistics 6, 65, 1979): of tests that may
    depend on each other in any way, one or more true null hypotheses fall below a limit with at
    most that probability.
    """
    order = np.argsort(probabilities)
    number = len(probabilities)
    steps = np.maximum.accumulate((number - np.arange(number)) * probabilities[order])
    adjusted = np.empty(number)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def more_often(hits: Array, number: Array) -> float:
    """How rarely chance gives the first of two groups so many hits, in strata of equal chances.

    The exact form of the test of Cochran, Mantel and Haenszel, one-sided (Birch, Journal of the
    Royal Statistical Society B 26, 313, 1964): given how many hits both groups have together in a
    stratum, those of the first follow the hypergeometric distribution, and their sum over strata
    its convolution; of one stratum it is Fisher's test.  It is also valid if the first group has
    the smaller chance in some strata.  A stratum in which all or none are hits says nothing.

    Parameters
    ----------
    hits, number
        Integers [2, strata]: of independent trials.

    Returns
    -------
    float
        1 where nothing can be said.

    Raises
    ------
    InputError
        If there are more hits than trials.
    """
    sums = np.ones(1)
    for hit, trials in zip(np.asarray(hits, int).T, np.asarray(number, int).T, strict=True):
        if (hit > trials).any() or (hit < 0).any():
            raise InputError(f"{hit.tolist()} hits of {trials.tolist()}: expected 0 to all.")
        if not trials.any():
            continue  # nothing was tried there
        sums = np.convolve(
            sums,
            distributions.hypergeom.pmf(range(trials[0] + 1), trials.sum(), hit.sum(), trials[0]),
        )
    return min(float(sums[int(np.sum(hits[0])) :].sum()), 1.0)


def welch(
    error: Array | float, dof: Array | float, other: Array | float, other_dof: Array | float
) -> tuple[Array, Array]:
    """Give the standard error of a difference of independent estimates, and its dof.

    From the standard errors and degrees of freedom of both [Welch, Biometrika 34, 28 (1947)];
    numbers, or arrays of one shape.
    """
    total: Array = np.hypot(error, other)
    degrees: Array = total**4 / (np.power(error, 4) / dof + np.power(other, 4) / other_dof)
    return total, degrees


def quantile_of_few(sigmas: float, dof: Array) -> Array:
    """Return the Student quantile exceeded as rarely as a Gaussian exceeds `sigmas` errors."""
    quantile: Array = distributions.t.isf(distributions.norm.sf(sigmas), dof)
    return quantile


def weighted_quantiles(sample: Array, weights: Array | None, levels: list[float]) -> list[float]:
    """Quantiles of a sample [draws] with weights that sum to 1 (None: equal)."""
    order = np.argsort(sample)
    w = np.full(len(sample), 1 / len(sample)) if weights is None else weights[order]
    middle = np.cumsum(w) - w / 2
    return [float(v) for v in np.interp(levels, middle, sample[order])]


@functools.cache
def _linear_algebra() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread(function: T) -> T:
    """Run a function with one thread of linear algebra.

    Matrices of a hundred points gain nothing from more; on busy cores the threads wait for each
    other, which takes many times longer.
    """

    @functools.wraps(function)
    def alone(*args: Any, **options: Any) -> Any:
        with _linear_algebra().limit(limits=1, user_api="blas"):
            return function(*args, **options)

    return cast(T, alone)
