"""Exponents of power laws in the size of a system, with errors from whole realizations."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from criticality.analysis import stats
from criticality.analysis.stats import Array
from criticality.base import Flag, InputError

REALIZATION = "realization"
SOURCES = ("none", "realizations", "sizes")  # of the error of an exponent, by code
NUMBERS = (
    "exponent",
    "exponent_error",
    "exponent_dof",
    "log_amplitude",
    "chi2_dof",
    "fit_probability",
)


def exponents(
    ds: xr.Dataset,
    observable: str,
    size: str,
    *,
    inner: Collection[str] = (),
    repeated: Collection[str] = ("pass",),
    censored: bool | None = None,
    deterministic: bool | None = None,
    from_sizes: bool = True,
    draws: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Exponent of <y> ~ size^exponent at every point of the other axes.

    A straight line is fitted to ln <y> against ln size, <y> the mean over repetitions and then
    realizations.  Weights are inverse variances, shrunk over sizes (`stats.moderated`).  Errors
    resample whole realizations at every size, all points of the inner axes together.  A realization
    without a value at some point is left out there.  Where the line does not fit (chi2/dof > 1)
    errors are widened by sqrt(chi2/dof), since the exponent then depends on the sizes that were
    used.  Without scatter between realizations (a deterministic
    system, a single realization) sizes are weighted equally, and the error comes from their
    scatter about the power law: zero scatter is not an error estimate.

    Parameters
    ----------
    ds
        Holds the observable; dimensions in any order, one of them `size`.
    observable, size
        Names.
    inner
        Dimensions that are swept inside one realization; points of the others are independent.
    repeated
        Dimensions of repeated measurement on one realization, averaged first.
    censored
        +inf says "not within the budget": <y> is then the median over realizations, and sizes
        with an infinite median are left out (`sizes_censored`).  By default as the data say.
    deterministic
        Realizations are the same.  By default as the data say.
    from_sizes
        Take errors from the scatter of the sizes where there is no other; else they are NaN.
    draws, seed
        Bootstrap resamplings, and their random seed.  The stream of a point depends on the values
        of its coordinates: what else was measured changes nothing.

    Returns
    -------
    xarray.Dataset
        Over the other dimensions: `exponent`, `exponent_error` (standard error), `exponent_dof`
        (Satterthwaite's degrees of freedom of that error), `log_amplitude`, `chi2_dof`,
        `fit_probability` (of a chi2 as large by chance), `exponent_source` (where the error comes
        from: none, realizations, sizes), `sizes_used` and `sizes_censored`.

    Raises
    ------
    InputError
        If there is no such observable or size axis, or fewer than two sizes.
    """
    array = averaged(ds, observable, repeated, censored)
    censored = says(array.attrs, "censored", censored)
    deterministic = says(ds.attrs, "deterministic", deterministic)
    if size not in array.dims:
        raise InputError(absent(ds, size, f"{observable} ~ {size}^exponent needs it"))
    array = array.sortby(size)
    sizes = array[size].values.astype(float)
    if len(sizes) < 2:
        raise InputError(
            f"an exponent needs at least two values of {size}; the study has {len(sizes)}."
        )
    if not (sizes > 0).all() or not np.isfinite(sizes).all():
        raise InputError(f"{size} = {sizes.min():g}: a power law needs sizes above zero.")
    within = [d for d in array.dims if d in inner]
    outer = sorted(str(d) for d in array.dims if d not in (size, REALIZATION, *within))
    array = array.transpose(*outer, size, REALIZATION, *within)
    shape = [array.sizes[d] for d in outer]
    rows = []
    for index in np.ndindex(*shape):
        point = {d: array[d].values[i] for d, i in zip(outer, index, strict=True)}
        words = [seed, *map(_word, point.values())]
        values = array.values[index].astype(float)
        flat = values.reshape(*values.shape[:2], -1)
        rows.append(_fits(flat, np.log(sizes), censored, deterministic, from_sizes, draws, words))
    dims = [*outer, *within]
    whole = [array.sizes[d] for d in dims]
    found = xr.Dataset(
        {name: (dims, np.reshape([row[name] for row in rows], whole)) for name in rows[0]},
        coords={d: array[d] for d in dims},
        attrs={
            "error_method": _method(rows, draws),
            "realizations": array.sizes[REALIZATION],
            "sizes": sizes,
        },
    )
    found["exponent_source"].attrs = {
        "flag_values": list(range(len(SOURCES))),
        "flag_meanings": " ".join(SOURCES),
    }
    return found


def _method(rows: list[dict[str, Any]], draws: int) -> str:
    """Say where errors come from."""
    sources = {SOURCES[int(code)] for row in rows for code in row["exponent_source"]}
    if "sizes" not in sources:
        sources.add("realizations")
    words = {
        "realizations": (
            f"bootstrap of whole realizations, {draws} draws, deviations widened by "
            f"sqrt(n/(n-1)) and, where the power law does not fit, by sqrt(chi2/dof)"
        ),
        "sizes": "without scatter of realizations, from that of the sizes about the power law",
    }
    return "; ".join(text for source, text in words.items() if source in sources)


def doubts(point: xr.Dataset, observable: str, fit_probability: float = 0.01) -> tuple[Flag, ...]:
    """Reasons to doubt one exponent, a single point of what `exponents` gives."""
    source = SOURCES[int(point["exponent_source"])]
    flags = []
    if float(point["fit_probability"]) < fit_probability:
        flags.append(Flag("no power law", observable, "no power law fits: a mean slope"))
    if int(point["sizes_censored"]):
        flags.append(
            Flag(
                "censored",
                observable,
                f"the median is infinite at {int(point['sizes_censored'])} sizes, left out",
            )
        )
    if source == "sizes":
        flags.append(
            Flag("error from sizes", observable, "error from the scatter about the power law")
        )
    elif source == "none":
        flags.append(Flag("no error", observable, "too few realizations or sizes"))
    return tuple(flags)


def says(attributes: Mapping[Hashable, Any], name: str, told: bool | None = None) -> bool:
    """Whether data are "censored", "undefined" or "deterministic": as told, or as they say."""
    return bool(attributes.get(name, False)) if told is None else told


def averaged(
    ds: xr.Dataset, observable: str, repeated: Collection[str], censored: bool | None = None
) -> xr.DataArray:
    """Average over repeated measurement; a dimension of realizations is made if there is none.

    It is the median of what is censored, and leaves out what may be undefined and is.

    Raises
    ------
    InputError
        If there is no such observable.
    """
    if observable not in ds:
        raise InputError(f"no observable {observable!r} in the data: {', '.join(map(str, ds))}.")
    array = ds[observable]
    dims = [d for d in array.dims if d in repeated]
    skip = says(array.attrs, "undefined")
    if dims and says(array.attrs, "censored", censored):
        array = array.median(dims, skipna=skip, keep_attrs=True)
    else:
        array = array.mean(dims, skipna=skip, keep_attrs=True)
    return array if REALIZATION in array.dims else array.expand_dims(REALIZATION)


def absent(ds: xr.Dataset, axis: str, why: str) -> str:
    """Say what to do about an axis that the data do not have."""
    if axis in ds.coords:
        return (
            f"{why}; {axis} is not an axis here, since {axis} = {ds[axis].values} was selected: "
            f"leave out --select {axis}, or .sel({axis}=...)."
        )
    return f"{why}; {axis} is not an axis here; put {axis} = [...] into its [grid]."


def _word(value: Hashable) -> int:
    """64 bits of a coordinate: of a number its own."""
    if isinstance(value, int | float | np.number | np.bool_):
        return int(np.float64(value).view(np.uint64))
    return int.from_bytes(hashlib.sha256(str(value).encode()).digest()[:8], "big")


def _fits(
    values: Array,
    log_sizes: Array,
    censored: bool,
    deterministic: bool,
    from_sizes: bool,
    draws: int,
    words: list[int],
) -> dict[str, Any]:
    """Fit all inner points [points] of one outer point; `values` is [size, realization, point].

    Points that have the same realizations go together; `words` seed the resampling of each group,
    so that what is missing at one point changes nothing at others.
    """
    known = ~np.isnan(values) if censored else np.isfinite(values)
    points = values.shape[-1]
    found: dict[str, Any] = {name: np.full(points, np.nan) for name in NUMBERS}
    found |= {
        name: np.zeros(points, np.int8)
        for name in ("exponent_source", "sizes_used", "sizes_censored")
    }
    patterns, group = np.unique(known.reshape(-1, points), axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        mine = np.flatnonzero(group.ravel() == number)
        realizations = pattern.reshape(known.shape[:-1])
        # in one memory layout, so that sums are rounded alike whatever the order of the axes
        samples = [
            np.ascontiguousarray(v[:, mine])[k] for v, k in zip(values, realizations, strict=True)
        ]
        rng = np.random.default_rng(words)
        fit = _fit(samples, log_sizes, censored, deterministic, from_sizes, draws, rng)
        for name, value in fit.items():
            found[name][mine] = value
    return found


def _fit(
    samples: list[Array],
    log_sizes: Array,
    censored: bool,
    deterministic: bool,
    from_sizes: bool,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Fit inner points [points] of one outer point; samples [realization, point] of each size."""
    found: dict[str, Any] = {}
    scattered = not deterministic and sum(len(v) >= 2 for v in samples) >= 2
    if not (scattered or from_sizes):
        return found
    used = [i for i, v in enumerate(samples) if len(v) >= (2 if scattered else 1)]
    if len(used) < 2:
        return found
    x, samples = log_sizes[used], [samples[i] for i in used]
    centres = np.array([stats.centre(v, censored=censored) for v in samples])
    with np.errstate(invalid="ignore"):
        good = np.isfinite(centres) & (centres > 0)  # [sizes, points]: has a logarithm
    enough = good.sum(axis=0) >= 2
    y = np.log(np.where(good, centres, 1.0))
    fit: dict[str, Any] = {}
    moving = np.zeros(len(enough), bool)
    if scattered:
        fit, moving = _scattered(x, y, samples, good, censored, draws, rng)
    if not moving.all() and from_sizes:
        alone = _alone(x, y, good)
        fit = {n: np.where(moving, fit[n], v) if fit else v for n, v in alone.items()}
    source = np.where(np.isfinite(fit["exponent_error"]), np.where(moving, 1, 2), 0)
    for name, value in fit.items():
        found[name] = np.where(enough, value, np.nan)
    found["exponent_source"] = np.where(enough, source, 0)
    found["sizes_used"] = good.sum(axis=0)
    found["sizes_censored"] = np.isposinf(centres).sum(axis=0)
    return found


def _line(x: Array, y: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
    """Coefficients [points, sizes] of the slope, slope, intercept, residuals [sizes, points]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        slope, intercept = stats.line_weights(x, weights.T)
    exponent, amplitude = np.sum(slope * y.T, axis=1), np.sum(intercept * y.T, axis=1)
    return slope, exponent, amplitude, y - amplitude - np.outer(x, exponent)


def _scattered(
    x: Array,
    y: Array,
    samples: list[Array],
    good: NDArray[np.bool_],
    censored: bool,
    draws: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Line with the errors that realizations give, and the points at which they scatter at all."""
    counts = np.array([[len(v)] for v in samples], dtype=float)
    resampled = np.empty((len(samples), draws, y.shape[1]))
    relative = np.empty_like(y)  # variance of ln y of one realization
    for i, sample in enumerate(samples):
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = stats.bootstrap_centres(sample, draws, rng, censored=censored)
            deviation = np.log(drawn) - y[i]
            if censored:
                finite = np.where(np.isfinite(deviation), deviation, 0.0)
                relative[i] = len(sample) * finite.var(axis=0)
            else:
                relative[i] = sample.var(axis=0, ddof=1) / sample.mean(axis=0) ** 2
        resampled[i] = y[i] + stats.widening(len(sample)) * deviation
    relative, resampled = np.where(good, relative, 0.0), np.where(good[:, None], resampled, 0.0)
    moving = relative.max(axis=0) > 0
    relative = np.where(moving, relative, 1.0)  # equal weights for what has none of its own
    tiny = np.finfo(float).tiny  # a size without any scatter must not divide by zero
    spare = np.where(good, counts - 1, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.maximum(stats.moderated(relative, spare) / counts, tiny)
        slope, exponent, amplitude, residuals = _line(x, y, np.where(good, 1 / variance, 0.0))
        chi2 = np.sum(np.where(good, residuals**2 / variance, 0.0), axis=0)
        dof = good.sum(axis=0) - 2
        parts = slope.T**2 * np.maximum(relative / counts, tiny)  # of the variance of the exponent
        satterthwaite = parts.sum(axis=0) ** 2 / (parts**2 / (counts - 1)).sum(axis=0)
        raw = np.einsum("ps,sdp->dp", slope, resampled)
        scale = np.where(dof > 0, np.sqrt(np.maximum(1.0, chi2 / dof)), 1.0)
        error = stats.half_width(raw) if censored else raw.std(axis=0, ddof=1)
        fit = {
            "exponent": exponent,
            "exponent_error": scale * error,
            "exponent_dof": satterthwaite,
            "log_amplitude": amplitude,
            "chi2_dof": np.where(dof > 0, chi2 / dof, np.nan),
            "fit_probability": stats.fit_probability(chi2, dof, spare.sum(axis=0)),
        }
    for name in ("exponent_error", "exponent_dof", "chi2_dof", "fit_probability"):
        fit[name] = np.where(moving, fit[name], np.nan)
    return fit, moving


def _alone(x: Array, y: Array, good: NDArray[np.bool_]) -> dict[str, Any]:
    """Line with equal weights, its error from the scatter of the sizes about it."""
    weights = good.astype(float)
    slope, exponent, amplitude, residuals = _line(x, y, weights)
    dof = good.sum(axis=0) - 2
    with np.errstate(invalid="ignore", divide="ignore"):
        scatter = np.sqrt(np.sum(weights * residuals**2, axis=0) / dof)
        error = np.where(dof > 0, scatter * np.sqrt(np.sum(slope**2, axis=1)), np.nan)
    nothing = np.full(len(exponent), np.nan)
    return {
        "exponent": exponent,
        "exponent_error": error,
        "exponent_dof": np.where(dof > 0, dof, np.nan),
        "log_amplitude": amplitude,
        "chi2_dof": nothing,
        "fit_probability": nothing,
    }
