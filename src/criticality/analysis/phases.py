"""Phases from the scaling of the test loss with the size of the training set.

Pan, Aggarwal and Pixley, Eq. (4): <L> ~ N^alpha.  Eumentia has alpha < 0 (more data help),
dementia alpha > 0 (more data hurt), amentia does not learn at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import norm

from criticality.analysis import stats
from criticality.analysis.stats import Array
from criticality.base import InputError

CHANCE_ACCURACY = 0.1  # ten balanced classes
CHANCE_LOSS = math.log(10)


class Phase(IntEnum):
    """Phase of one point of the plane."""

    UNRESOLVED = 0
    EUMENTIA = 1
    DEMENTIA = 2
    AMENTIA = 3


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What decides a phase.

    Attributes
    ----------
    sigmas
        |alpha| above this many standard errors is significant; for few realizations more, so that
        the probability of a false phase is that of a Gaussian beyond so many sigmas.
    accuracy_margin, loss_margin
        A network has not learned when its accuracy is below 0.1 + `accuracy_margin` and its loss
        above (1 - `loss_margin`) ln 10.  Amentia: so without evaluation dropout, for the mean over
        realizations, at every size; never stated if p_eval = 0 was not measured.
    fit_probability
        A power law is doubted when chance would fit it worse with less than this probability.
    """

    sigmas: float = 2.0
    accuracy_margin: float = 0.1
    loss_margin: float = 0.1
    fit_probability: float = 0.01


def phase_diagram(
    ds: xr.Dataset,
    *,
    control: str = "p_train",
    probe: str = "p_eval",
    size: str = "n_train",
    thresholds: Thresholds | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Exponent, phase and phase boundary from the losses of a study.

    For every point of the plane a straight line is fitted to ln <L> against ln N, <L> the mean
    over passes and then realizations.  Weights are inverse variances, shrunk over sizes
    (`stats.moderated`).  Errors resample whole realizations at every size, all evaluation rates of
    a network together.  Where the line does not fit (chi2/dof > 1) errors are widened by
    sqrt(chi2/dof), since the exponent then depends on the sizes that were used.

    Parameters
    ----------
    ds
        `loss` and `accuracy` with dims (control, size, realization, probe, pass) in any order.
    control, probe, size
        Names of the training rate, the evaluation rate and the number of training samples.
    thresholds
        Of the classification.
    draws, seed
        Bootstrap resamplings, and their random seed.
    level
        Probability content of the interval of the boundary.

    Returns
    -------
    xarray.Dataset
        Over (control, probe): `alpha`, `alpha_error` (standard error), `dof` (Satterthwaite's
        degrees of freedom of that error), `log_amplitude`,
        `chi2_dof`, `fit_probability`, `phase` (`Phase`), and at the largest size `loss` and
        `accuracy`.  Over (control,): `boundary`, the lowest rate where alpha changes from negative
        to positive, with `boundary_error` (half its 68 % interval), `boundary_low`,
        `boundary_high` (where alpha is compatible with zero; infinite where the data set no bound)
        and `boundary_status`.  Where alpha does not change sign, `boundary` is NaN and the
        interval is still given.

    Raises
    ------
    InputError
        If dims are missing or left over, or there are fewer than two sizes.
    """
    limits = thresholds or Thresholds()
    loss, accuracy = _plane(ds, control, size, probe)
    sizes, rates = loss[size].values.astype(float), loss[probe].values.astype(float)
    if len(sizes) < 2:
        raise InputError(f"alpha needs at least two values of {size}; the study has {len(sizes)}.")
    rows = []
    for rate, values, rights in zip(
        loss[control].values, loss.values, accuracy.values, strict=True
    ):
        # seeded by the value: another row in the study does not change this one's errors
        rng = np.random.default_rng([seed, int(np.float64(rate).view(np.uint64))])
        fit = _exponents(values, np.log(sizes), draws, rng)
        learned = _learned(values, rights, limits) if rates[0] == 0 else None
        phase = _classify(fit["alpha"], fit["alpha_error"], fit["dof"], learned, limits)
        line = _boundary(rates, fit, level, bool(np.all(phase == Phase.AMENTIA)))
        largest = {"loss": _mean(values[-1]), "accuracy": _mean(rights[-1])}
        rows.append({**fit, "phase": phase.astype(np.int8), **largest, **line})
    coords = {name: loss[name] for name in (control, probe)}
    method = (
        f"bootstrap of whole realizations, {draws} draws, deviations widened by sqrt(n/(n-1)) and, "
        f"where the power law does not fit, by sqrt(chi2/dof)"
    )
    dims = {name: (control, probe)[: 1 + np.ndim(value)] for name, value in rows[0].items()}
    result = xr.Dataset(
        {name: (dims[name], [row[name] for row in rows]) for name in rows[0]},
        coords=coords,
        attrs={
            "error_method": method,
            "level": level,
            "realizations": ds.sizes["realization"],
            "sizes": sizes,
            **{f"threshold_{name}": value for name, value in vars(limits).items()},
        },
    )
    result["phase"].attrs = {
        "flag_values": [int(p) for p in Phase],
        "flag_meanings": " ".join(p.name.lower() for p in Phase),
    }
    return result


def _mean(values: Array) -> Array:
    """Mean over the realizations that are there, [realization, probe] -> [probe]; else NaN."""
    there = values[np.isfinite(values).all(axis=1)]
    return there.mean(axis=0) if len(there) else np.full(values.shape[1], np.nan)


def _plane(
    ds: xr.Dataset, control: str, size: str, probe: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """Loss and accuracy [control, size, realization, probe], passes averaged first."""
    wanted = (control, size, "realization", probe)
    found = []
    for name in ("loss", "accuracy"):
        if name not in ds:
            raise InputError(f"no observable {name!r} in the data: {', '.join(map(str, ds))}.")
        array = ds[name]
        missing = [dim for dim in wanted if dim not in array.dims]
        if missing:
            raise InputError(
                f"phases need a grid over {', '.join(wanted)}; {missing[0]} is not an axis here; "
                f"put {missing[0]} = [...] into its [grid]."
            )
        for dim in [d for d in array.dims if d not in (*wanted, "pass")]:
            if array.sizes[dim] > 1:
                values = ", ".join(str(v) for v in array[dim].values)
                raise InputError(
                    f"the study also sweeps {dim} ({values}): choose one value, with "
                    f"--select {dim}=VALUE or ds.sel({dim}=VALUE)."
                )
            array = array.isel({dim: 0})
        found.append(
            array.mean("pass", skipna=False).transpose(*wanted).sortby([control, size, probe])
        )
    return found[0], found[1]


def _exponents(
    values: Array, log_sizes: Array, draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Fit ln <L> = log_amplitude + alpha ln N for all rates of one training rate.

    `values` is [size, realization, probe].  Sizes with fewer than two whole realizations are
    left out; with fewer than two sizes everything is NaN.
    """
    whole = [v[np.isfinite(v).all(axis=1)] for v in values]
    used = [i for i, v in enumerate(whole) if len(v) >= 2]
    rates = values.shape[-1]
    if len(used) < 2:
        nothing = np.full(rates, np.nan)
        names = ("alpha", "alpha_error", "dof", "log_amplitude", "chi2_dof", "fit_probability")
        return dict.fromkeys(names, nothing)
    x = log_sizes[used]
    samples = [whole[i] for i in used]
    counts = np.array([[len(v)] for v in samples], dtype=float)
    means = np.array([v.mean(axis=0) for v in samples])
    relative = np.array([v.var(axis=0, ddof=1) for v in samples]) / means**2
    tiny = np.finfo(float).tiny  # a loss without any scatter must not divide by zero
    variance = np.maximum(stats.moderated(relative, counts - 1) / counts, tiny)
    slope, intercept = stats.line_weights(x, 1 / variance.T)
    y = np.log(means)
    alpha, amplitude = np.sum(slope * y.T, axis=1), np.sum(intercept * y.T, axis=1)
    residuals = y - amplitude - np.outer(x, alpha)
    chi2 = np.sum(residuals**2 / variance, axis=0)
    dof = len(used) - 2
    parts = slope.T**2 * np.maximum(relative / counts, tiny)  # of the variance of alpha
    satterthwaite = parts.sum(axis=0) ** 2 / (parts**2 / (counts - 1)).sum(axis=0)
    resampled = np.empty((len(used), draws, rates))
    for i, sample in enumerate(samples):
        deviation = np.log(stats.bootstrap_means(sample, draws, rng)) - y[i]
        resampled[i] = y[i] + stats.widening(len(sample)) * deviation
    scale = np.sqrt(np.maximum(1.0, chi2 / dof)) if dof else np.ones(rates)
    raw = np.einsum("ps,sdp->dp", slope, resampled)
    return {
        "alpha": alpha,
        "alpha_error": scale * raw.std(axis=0, ddof=1),
        "dof": satterthwaite,
        "log_amplitude": amplitude,
        "chi2_dof": chi2 / dof if dof else np.full(rates, np.nan),
        "fit_probability": stats.fit_probability(chi2, dof, float((counts - 1).sum())),
    }


def _learned(values: Array, rights: Array, limits: Thresholds) -> bool | None:
    """Whether any size learned, judged at the lowest rate; None if nothing is known."""
    losses = np.array([_mean(v)[0] for v in values])
    accuracies = np.array([_mean(v)[0] for v in rights])
    known = np.isfinite(losses)
    if not known.any():
        return None
    not_learned = (accuracies < CHANCE_ACCURACY + limits.accuracy_margin) & (
        losses > (1 - limits.loss_margin) * CHANCE_LOSS
    )
    return not bool(not_learned[known].all())


def _classify(
    alpha: Array, error: Array, dof: Array, learned: bool | None, limits: Thresholds
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Phase of every rate."""
    if learned is False:
        return np.full(len(alpha), int(Phase.AMENTIA))
    limit = stats.quantile_of_few(limits.sigmas, dof) * error
    phase = np.where(alpha < -limit, int(Phase.EUMENTIA), int(Phase.UNRESOLVED))
    return np.where(alpha > limit, int(Phase.DEMENTIA), phase)


def upward_crossings(x: Array, y: Array) -> Array:
    """Points where the broken line through (x, y) goes from negative to positive."""
    rising = np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0))
    crossings: Array = x[rising] - y[rising] * (x[rising + 1] - x[rising]) / (
        y[rising + 1] - y[rising]
    )
    return crossings


def _boundary(rates: Array, fit: dict[str, Any], level: float, amentia: bool) -> dict[str, Any]:
    """Rate at which alpha changes sign, with the interval of Fieller.

    The interval holds the rates at which alpha is compatible with zero, so that it covers the
    crossing as often as the interval of alpha there covers zero, however shallow alpha is.
    """
    alpha, error = fit["alpha"], fit["alpha_error"]
    nothing = dict.fromkeys(
        ("boundary", "boundary_error", "boundary_low", "boundary_high"), math.nan
    )
    if amentia:
        return {**nothing, "boundary_status": "amentia"}
    if not np.isfinite(error).all():
        return {**nothing, "boundary_status": "no error: fewer than two realizations or sizes"}
    found = upward_crossings(rates, alpha)
    if len(found) == 1:
        status = "crossing"
    elif len(found):
        status = f"first of {len(found)} crossings"
    elif (alpha < 0).all() or (alpha > 0).all():
        status = f"alpha stays {'below' if alpha[0] < 0 else 'above'} 0"
    else:
        return {**nothing, "boundary_status": "alpha falls through 0"}

    def compatible(sigmas: float) -> tuple[float, float]:
        width = stats.quantile_of_few(sigmas, fit["dof"]) * error
        upper, lower = alpha + width, alpha - width
        return (
            -math.inf if upper[0] >= 0 else min(upward_crossings(rates, upper), default=math.inf),
            math.inf if lower[-1] < 0 else max(upward_crossings(rates, lower), default=-math.inf),
        )

    low, high = compatible(float(norm.isf((1 - level) / 2)))
    left, right = compatible(1.0)
    return {
        "boundary": found[0] if len(found) else math.nan,
        "boundary_error": (right - left) / 2 if np.isfinite([left, right]).all() else math.inf,
        "boundary_low": low,
        "boundary_high": high,
        "boundary_status": status,
    }
