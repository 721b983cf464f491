"""The collapse of a network under pruning: where it is, and its critical exponents.

Pesce, He and Caldarelli, Eqs. (3) and (4): accuracy and prediction entropy against the distance of
the density of remaining edges from its critical value.  The density of the collapse needs no model
and is stated beside every fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from criticality.analysis import stats
from criticality.analysis.scaling.curve import Curve
from criticality.analysis.scaling.threshold import PowerLaw, power_law, window_scan
from criticality.analysis.stats import Array
from criticality.base import InputError, flagged, unknown

Name = Literal["accuracy", "prediction_entropy"]
OBSERVABLES = ("accuracy", "prediction_entropy")
INNER = (
    "realization", "step", "layer", "unit_layer", "part", "snapshot", "weight", "topology", "epoch"
)  # fmt: skip
CLASSES = 10
CONSTANT = 0.01  # nat: prediction entropy below which all is one class
EFOLD = 0.2  # in ln density, over which the steepest drop is taken
WINDOW = (0.1, 0.9)  # shares of the plateau between which the order parameter is fitted
RESOLUTION = 1e-3  # of the plateau: no point is taken to be better known than this
LEAST = 0.05  # dense network above chance, below which there is nothing to lose
DRIFT = 3.0  # errors
LOCAL = 10  # steps on either side over which the noise of single steps is averaged
UNFIT = ("too few points", "flat", "at bound", "outside data")  # of single networks


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean over networks, its standard error, and their standard deviation."""

    values: Array

    @property
    def n(self) -> int:
        """Networks that have a value."""
        return int(np.isfinite(self.values).sum())

    @property
    def mean(self) -> float:
        """Over networks."""
        return float(np.nanmean(self.values)) if self.n else float("nan")

    @property
    def deviation(self) -> float:
        """From network to network; NaN for one."""
        return float(np.nanstd(self.values, ddof=1)) if self.n > 1 else float("nan")

    @property
    def error(self) -> float:
        """Of the mean: deviation / sqrt(n)."""
        return self.deviation / float(np.sqrt(max(self.n, 1)))

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers."""
        names = ("mean", "error", "deviation", "n")
        return {name: getattr(self, name) for name in names} | {"each": self.values.tolist()}


@dataclass(frozen=True, eq=False)
class Collapse:
    """Where an observable collapses, for each network and without a model.

    Attributes
    ----------
    half
        Density at which it is half-way between the dense network's value and `chance`.
    steepest
        Density of the largest drop over `EFOLD` in ln(density).
    slope
        That drop, for a unit of ln(density).
    plateau
        Value of the dense network.
    chance
        Value of a network that gives one answer to everything.
    """

    half: Spread
    steepest: Spread
    slope: Spread
    plateau: Spread
    chance: float

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers."""
        names = ("half", "steepest", "slope", "plateau")
        return {n: getattr(self, n).to_dict() for n in names} | {"chance": self.chance}


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """Critical density and exponent of one observable at one point of a study.

    Attributes
    ----------
    at
        Values of the outer axes.
    observable, offset, offset_source
        Order parameter: observable - offset, and where the offset is from.
    collapse
        Model-free densities.
    density, samples
        [points] and [realizations, points]: what was fitted.
    scan
        Fits of the mean over networks (draws resample networks), the first in the whole window,
        the others in narrower ones; empty if there is nothing to fit.
    each
        A fit for every network alone, weighted by the scatter of its steps; None if it has no
        collapse.  Use their values, not their errors.
    flags
        Those of the first fit, and: "no collapse"; "one network"; "chance assumed" (no step gives
        one answer to everything); "smeared" (networks collapse at densities that differ by more
        than the spacing of points, which rounds the mean curve); "drift" (beta differs by more
        than 3 errors in a narrower window that is not flagged); "single window" (no narrower
        window gives a fit without a flag).
    """

    at: dict[str, Any]
    observable: str
    offset: float
    offset_source: str
    collapse: Collapse
    density: Array
    samples: Array
    scan: tuple[PowerLaw, ...] = ()
    each: tuple[PowerLaw | None, ...] = ()
    flags: tuple[str, ...] = field(default=())

    @property
    def fit(self) -> PowerLaw | None:
        """Fit of the mean over networks in the whole window."""
        return self.scan[0] if self.scan else None

    @property
    def resolved(self) -> bool:
        """Whether nothing speaks against the power law."""
        return self.fit is not None and not self.flags

    def single(self, name: Literal["p_c", "beta"]) -> Spread:
        """Scatter of p_c or beta from network to network, of those that have a threshold."""
        return Spread(np.array([getattr(f, name) if _fits(f) else np.nan for f in self.each]))

    def flags_of_each(self) -> dict[str, int]:
        """How many networks have a flag; "no collapse" for those without a fit."""
        every = (("no collapse",) if f is None else f.flags for f in self.each)
        return dict(Counter(str(flag) for flags in every for flag in flags))

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts."""
        names = ("at", "observable", "offset", "offset_source", "resolved")
        return {name: getattr(self, name) for name in names} | {
            "flags": list(self.flags),
            "collapse": self.collapse.to_dict(),
            "fit": None if self.fit is None else self.fit.to_dict(),
            "scan": [fit.to_dict() for fit in self.scan],
            "each": {
                "p_c": self.single("p_c").to_dict(),
                "beta": self.single("beta").to_dict(),
                "flags": self.flags_of_each(),
            },
            "density": self.density.tolist(),
            "mean": self.samples.mean(axis=0).tolist() if len(self.samples) else [],
        }


def outer_points(ds: xr.Dataset) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Give the values of the outer axes, and the data, of every point that was computed."""
    swept = [str(dim) for dim in ds["accuracy"].dims if dim not in INNER]
    for index in np.ndindex(*(ds.sizes[name] for name in swept)):
        one = ds.isel(dict(zip(swept, index, strict=True)))
        if np.isfinite(one["accuracy"].values).any():
            # axes of which one value was selected before are named too
            fixed = {str(name): one[name] for name in one.coords if name not in INNER}
            yield {n: v.values.item() for n, v in fixed.items() if not v.ndim}, one


def order_parameter(
    ds: xr.Dataset, observable: Name = "accuracy", offset: float | None = None
) -> tuple[Array, Array, float, str]:
    """Observable minus its value where the network gives one answer to everything.

    Parameters
    ----------
    ds
        `density`, `accuracy`, `prediction_entropy` (realization, step) of one outer point.
        Realizations that are not whole are left out.
    observable
        "accuracy" or "prediction_entropy".
    offset
        By default 0 for the entropy.  For the accuracy it is the mean over all steps whose
        predictions fall into one class: the share of a class in the test set, which one differs
        from network to network (0.1135 if always the most frequent one of MNIST, 0.1 for
        balanced data).  If there is no such step, 1/10 is assumed.  One that is given is at least
        0, and below 1 for the accuracy.

    Returns
    -------
    density, values
        [realizations, steps], ascending in density.
    offset, source
        The value, and "given", "measured", "assumed" or "exact".

    Raises
    ------
    InputError
        For another observable, one that is missing, dims that are left over, or such an offset.
    """
    if observable not in OBSERVABLES:
        raise unknown("observable", str(observable), OBSERVABLES, "order parameter")
    most = 1.0 if observable == "accuracy" else np.inf
    if offset is not None and not 0 <= offset < most:
        name = "chance" if observable == "accuracy" else "offset"
        raise InputError(f"{name} = {offset:g}: expected 0 <= {name} < {most:g}.")
    arrays = {}
    for name in ("density", *OBSERVABLES):
        if name not in ds:
            raise InputError(f"no observable {name!r} in the data: {', '.join(map(str, ds))}.")
        left = set(ds[name].dims) ^ {"realization", "step"}
        if left:
            names = ", ".join(sorted(map(str, left)))
            raise InputError(f"{name}: expected the axes realization and step; see to {names}.")
        arrays[name] = ds[name].transpose("realization", "step").values
    whole = np.all([np.isfinite(array).all(axis=1) for array in arrays.values()], axis=0)
    density, entropy = arrays["density"][whole], arrays["prediction_entropy"][whole]
    source = "given"
    if offset is None and observable == "prediction_entropy":
        offset, source = 0.0, "exact"
    elif offset is None:
        constant = entropy < CONSTANT
        means = [a[c].mean() for a, c in zip(arrays["accuracy"][whole], constant, strict=True)
                 if c.any()]  # fmt: skip
        offset, source = (float(np.mean(means)), "measured") if means else (1 / CLASSES, "assumed")
    order = np.argsort(density, axis=1)
    values = np.take_along_axis(arrays[observable][whole], order, axis=1) - offset
    return np.take_along_axis(density, order, axis=1), values, float(offset), source


def collapse_density(
    ds: xr.Dataset, observable: Name = "accuracy", offset: float | None = None
) -> Collapse:
    """Density at which an observable collapses, for each network, without a model.

    Curves are made monotone first (isotonic regression), so that fluctuations from step to step
    leave one crossing; between two steps they are straight lines.

    Parameters
    ----------
    ds, observable, offset
        As of `order_parameter`.
    """
    density, values, chance, _ = order_parameter(ds, observable, offset)
    return _collapse(density, values, chance)


def critical_point(
    ds: xr.Dataset,
    observable: Name = "accuracy",
    *,
    offset: float | None = None,
    densities: tuple[float | None, float | None] = (None, None),
    points: int = 32,
    draws: int = 500,
    seed: int = 0,
    level: float = 0.95,
    at: Mapping[str, Any] | None = None,
) -> CriticalPoint:
    """Fit (rho - rho_c)^beta to the mean over networks, and to each network alone.

    The two answer different questions: a mean over networks that collapse at different densities
    is rounder than any of them.

    A covariance of thousands of steps cannot be had from a few networks.  So `points` bins of equal
    width in ln(density), the same for all networks, take the place of steps: in each, the third of
    its steps nearest to the centre is averaged (all of them would round the cusp at rho_c).  Bins
    without a step are left out.  They cover a window: from the density where the mean order
    parameter is 90 % of the dense network's (above, it saturates and no power law can hold), down
    to where it is 10 %, and as far again in ln(density) for the disordered side.  A network alone
    is fitted in its own window, each point weighted by the scatter of single steps about their
    neighbours, so that its errors know nothing of slow drifts.

    Measured on made-up curves with rho_c scattering by 2 %: of true power laws 95 % are resolved,
    of smooth crossovers 4 % with 6 networks, none with 12, and up to 17 % with 3.  The mean over
    networks fitted alone is 1.4 to 3.2 times closer to the truth than the fit of the mean curve,
    and its standard error, of nominally 68 %, covers it in some 50, 60 and 80 % for 3, 6 and 12
    networks; that of the fit, which the scatter of rho_c biases, in 70, 45 and 35 %.

    Parameters
    ----------
    ds, observable, offset
        As of `order_parameter`.
    densities
        (least, greatest) density of the window, where it shall be another; 1 is the dense network.
    points
        Bins of the window.
    draws, seed, level
        As of `power_law`.
    at
        Values of the outer axes, for the record.
    """
    if points < 8:
        raise InputError(f"points = {points}: expected 8 or more.")
    low, high = densities
    ends = 0 if low is None else low, 1 if high is None else high
    if any(end is not None and not 0 < end <= 1 for end in densities) or not ends[0] < ends[1]:
        raise InputError(f"densities = {densities}: expected 0 < least < greatest <= 1.")
    density, values, chance, source = order_parameter(ds, observable, offset)
    found = _collapse(density, values, chance)
    assumed = ("chance assumed",) if source == "assumed" else ()

    def outcome(*flags: str, **fits: Any) -> CriticalPoint:
        none = {"density": np.array([]), "samples": np.empty((len(values), 0))}
        record = (dict(at or {}), str(observable), chance, source, found)
        return CriticalPoint(*record, **(none | fits), flags=(*flags, *assumed))

    if not len(values):
        return outcome("too few points")
    options: dict[str, Any] = {"seed": seed, "level": level}
    each = []
    for rho, y in zip(density, values, strict=True):
        window = _window(rho, y, densities)
        each.append(None if window is None else _single(rho, y, window, points, options))
    window = _window(density.mean(axis=0), values.mean(axis=0), densities)
    if window is None:
        return outcome("no collapse", each=tuple(each))
    rho, samples = _binned(density, values, window, points)
    if len(values) == 1:
        return outcome("one network", density=rho, samples=samples, each=tuple(each))
    if len(rho) < 5:
        return outcome("too few points", density=rho, samples=samples, each=tuple(each))
    floor = RESOLUTION * found.plateau.mean
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    curve = Curve(1.0, rho, samples.mean(axis=0), np.maximum(error, floor), samples)
    scan = window_scan(curve, draws=draws, **options)
    shown = CriticalPoint({}, "", 0, "", found, rho, samples, scan, tuple(each))
    above = rho[rho > scan[0].p_c]
    near = np.sum(above - scan[0].p_c < np.nan_to_num(shown.single("p_c").deviation))
    flags = [*map(str, scan[0].flags), *(["smeared"] if near >= 2 else []), *_windows(scan)]
    return outcome(*flags, density=rho, samples=samples, scan=scan, each=tuple(each))


def critical_points(
    ds: xr.Dataset,
    observables: tuple[Name, ...] = ("accuracy", "prediction_entropy"),
    **options: Any,
) -> tuple[CriticalPoint, ...]:
    """Critical densities and exponents at all points of a study (`critical_point`)."""
    return tuple(
        critical_point(one, name, at=at, **options)
        for at, one in outer_points(ds)
        for name in observables
    )


# --- parts -----------------------------------------------------------------------------------


def _fits(fit: PowerLaw | None) -> bool:
    return fit is not None and not flagged(fit.flags, *UNFIT)


def _windows(scan: tuple[PowerLaw, ...]) -> list[str]:
    """Flag a fit that narrower windows do not support."""
    good = [fit for fit in scan[1:] if not fit.flags]
    if not good:
        return ["single window"]
    first = scan[0].params["beta"]
    others = [fit.params["beta"] for fit in good]
    moved = (abs(b.value - first.value) > DRIFT * max(b.error, first.error) for b in others)
    return ["drift"] if any(moved) else []


def _monotone(values: Array) -> Array:
    fitted: Array = isotonic_regression(values).x
    return fitted


def _crossing(density: Array, monotone: Array, target: float) -> float:
    """Density at which a non-decreasing curve reaches a value; NaN if it does not, or always."""
    above = int(np.searchsorted(monotone, target))
    if not 0 < above < len(monotone):
        return float("nan")
    pair = slice(above - 1, above + 1)
    return float(np.interp(target, monotone[pair], density[pair]))


def _collapse(density: Array, values: Array, chance: float) -> Collapse:
    rows = []
    for rho, y in zip(density, values, strict=True):
        curve, plateau = _monotone(y), float(y[-1])  # the dense network is last
        half = _crossing(rho, curve, plateau / 2) if plateau > LEAST else float("nan")
        there = rho > 0
        middle = rho[there]
        factor = np.exp(EFOLD / 2)
        inside = (middle / factor >= middle[0]) & (middle * factor <= middle[-1])
        steepest = slope = float("nan")
        if np.isfinite(half) and inside.any():
            ends = [np.interp(np.log(middle[inside] * f), np.log(middle), curve[there])
                    for f in (factor, 1 / factor)]  # fmt: skip
            drop = ends[0] - ends[1]
            ties = drop >= drop.max() - 1e-9
            steepest = float(np.exp(np.log(middle[inside][ties]).mean()))
            slope = float(drop.max() / EFOLD)
        rows.append((half, steepest, slope, plateau + chance))
    half_at, steepest_at, slopes, plateaus = map(Spread, np.array(rows, float).reshape(-1, 4).T)
    return Collapse(half_at, steepest_at, slopes, plateaus, chance)


def _window(
    density: Array, values: Array, densities: tuple[float | None, float | None]
) -> tuple[float, float] | None:
    """Least and greatest density to be fitted; None without a collapse."""
    curve = _monotone(values)
    plateau = float(values[-1])
    if plateau <= LEAST or not np.isfinite(_crossing(density, curve, plateau / 2)):
        return None
    tail, top = (_crossing(density, curve, share * plateau) for share in WINDOW)
    least = float(density[density > 0][0])
    low, high = densities
    if high is None:
        high = top if np.isfinite(top) else float(density[-1])
    if low is None:
        low = max(tail**2 / high, least) if np.isfinite(tail) else least
    return (low, high) if low < high else None


def _bins(density: Array, window: tuple[float, float], points: int) -> list[NDArray[np.intp]]:
    """Choose the third of the steps of each bin nearest to its centre; at least one if any."""
    edges = np.geomspace(window[0] * (1 - 1e-9), window[1] * (1 + 1e-9), points + 1)
    centres = np.sqrt(edges[1:] * edges[:-1])
    number = np.searchsorted(edges, density) - 1
    chosen = []
    for index, centre in enumerate(centres):
        steps = np.flatnonzero(number == index)
        away = np.abs(np.log(density[steps] / centre))
        chosen.append(steps[np.argsort(away, kind="stable")[: max(1, len(steps) // 3)]])
    return chosen


def _binned(
    density: Array, values: Array, window: tuple[float, float], points: int
) -> tuple[Array, Array]:
    """Means over the steps of each bin: density [points], values [realizations, points]."""
    steps = [_bins(rho, window, points) for rho in density]
    full = [n for n in range(points) if all(len(row[n]) for row in steps)]
    means = [
        np.array([[y[row[n]].mean() for n in full] for y, row in zip(array, steps, strict=True)])
        for array in (density, values)
    ]
    return means[0].mean(axis=0), means[1]


def _single(
    density: Array, values: Array, window: tuple[float, float], points: int, options: dict[str, Any]
) -> PowerLaw | None:
    """Power law of one network."""
    rho, mean = _binned(density[None], values[None], window, points)
    if len(rho) < 5 or len(values) < 5:
        return None
    # second differences of white noise have 6 times its variance, and none of a straight line
    square = np.pad(np.diff(values, 2) ** 2 / 6, 1, mode="edge")
    square = np.convolve(np.pad(square, LOCAL, mode="edge"), np.ones(2 * LOCAL + 1), "valid")
    square /= 2 * LOCAL + 1
    steps = [part for part in _bins(density, window, points) if len(part)]
    count = np.array([len(part) for part in steps])
    variance = np.array([square[part].mean() for part in steps])
    variance = stats.moderated(variance, np.full(len(steps), float(LOCAL))) / count
    error = np.maximum(np.sqrt(variance), RESOLUTION * abs(float(values[-1])))
    return power_law(rho, mean[0], error=error, draws=20, **options)
