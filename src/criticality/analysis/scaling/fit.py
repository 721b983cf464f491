"""`collapse`: critical point and exponents from curves of several sizes, with errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from criticality.analysis import stats
from criticality.analysis.scaling.ansatz import Algebraic, Ansatz, nu_eff
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.gaussian import Model
from criticality.analysis.scaling.search import Search
from criticality.analysis.stats import Array
from criticality.base import InputError, unknown, with_error

Objective = Literal["gp", "local-linear", "houdayer-hartmann"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
DRAWS = 256  # importance samples of the posterior; twice as many for each dimension above 4
SIGMA = 0.158655  # of a Gaussian beyond one standard deviation, one side
POOR = 0.01  # a fit that chance makes worse with less than this probability is flagged
WINDOW_ROUNDS = 8
LARGE_NU = 30.0  # curves of different sizes then hardly differ
LEAST_BOOTSTRAP = 20
AT_LIMIT = "at the limit of its range"
UNRESOLVED = "f changes within the distance of two points: the transition is not resolved"
EDGE = 0.02  # of the measured range: an interval of p_c that comes so near its end is cut by it


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted parameter.

    Attributes
    ----------
    value, error
        Maximum of the posterior (or minimum of the objective), half the central 68 % interval.
    low, high
        Central interval at the `level` of the fit.
    fixed
        Whether the value was given; then there is no error.
    """

    value: float
    error: float
    low: float
    high: float
    fixed: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A finished collapse.

    Attributes
    ----------
    ansatz, objective, data
        What was fitted, how, and to which points (after windows and ranges).
    params
        By name.
    free
        Names of the parameters that were fitted, in the order of `covariance` [n, n].
    chi2, dof, p_value
        Of the data about the fitted curve.  For "gp" the degrees of freedom are the expectation
        of chi2 less the parameters; for the other objectives chi2 is that of their authors, and
        has no known distribution: p_value is NaN.
    nu_eff
        Of a BKT form: exponent of the power law that looks the same; else NaN.
    log_evidence, log_evidence_error
        Logarithm of the marginal likelihood, and its numerical error; NaN if not "gp".
    bootstrap
        Resamplings of whole realizations behind the errors; 0: errors of the posterior.
    level
        Probability content of `low` to `high`.
    flags
        What a reader must know before using the numbers.
    """

    ansatz: Ansatz
    objective: str
    data: ScalingData
    params: dict[str, Fitted]
    free: tuple[str, ...]
    covariance: Array
    chi2: float
    dof: float
    p_value: float
    nu_eff: float
    log_evidence: float
    log_evidence_error: float
    bootstrap: int
    level: float
    flags: tuple[str, ...]
    model: Model = field(repr=False)
    theta: Array = field(repr=False)

    @property
    def values(self) -> dict[str, float]:
        """Value of every parameter."""
        return {name: fitted.value for name, fitted in self.params.items()}

    @property
    def exponent(self) -> str:
        """Name of the exponent of the correlation length, "nu" or "sigma"; "" if there is none."""
        return next((name for name in ("nu", "sigma") if name in self.params), "")

    def scaled(self) -> list[tuple[Array, Array, Array]]:
        """Collapsed points of each curve: (p - p_c) S(L), y / D(L) and its standard error."""
        centre = self.values.get("p_c", 0.0)
        result = []
        for curve in self.data.curves:
            s, d = self.ansatz.scale(self.values, np.array([curve.size]))
            result.append(((curve.control - centre) * s[0], curve.mean / d[0], curve.error / d[0]))
        return result

    def residuals(self) -> list[Array]:
        """Of each curve: (mean - fitted curve) / standard error; "gp" only."""
        pulls = (self.data.mean - self.model.curve(self.theta)) / self.data.error
        ends = np.cumsum([len(curve.mean) for curve in self.data.curves])
        return np.split(pulls, ends[:-1])

    def table(self) -> pd.DataFrame:
        """Every point, measured and scaled; `residual` is NaN if not "gp"."""
        control, size, observable = self.data.names
        x, y, error = (np.concatenate(parts) for parts in zip(*self.scaled(), strict=True))
        gp = self.objective == "gp"
        pulls = np.concatenate(self.residuals()) if gp else np.full(len(x), math.nan)
        columns = {control: self.data.control, size: self.data.size, observable: self.data.mean}
        scaled = {"error": self.data.error, "x": x, "y": y, "y_error": error, "residual": pulls}
        return pd.DataFrame({**columns, **scaled})

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "ansatz": self.ansatz.name,
            "objective": self.objective,
            "params": {name: vars(fitted) for name, fitted in self.params.items()},
            "free": list(self.free),
            "covariance": self.covariance.tolist(),
            "chi2": self.chi2,
            "dof": self.dof,
            "p_value": self.p_value,
            "nu_eff": self.nu_eff,
            "log_evidence": self.log_evidence,
            "log_evidence_error": self.log_evidence_error,
            "bootstrap": self.bootstrap,
            "level": self.level,
            "flags": list(self.flags),
            "n_points": len(self.data.mean),
            "sizes": self.data.sizes.tolist(),
            "realizations": self.data.realizations,
        }

    def __str__(self) -> str:
        """One line, as for a paper."""
        parts = []
        for name, fitted in self.params.items():
            if not fitted.fixed:
                parts.append(f"{name} = {with_error(fitted.value, fitted.error)}")
        if self.exponent == "sigma":
            reference = self.params["L0"]
            known = f"L0 = {reference.value:g} fixed" if reference.fixed else "L0 marginalised"
            parts[-1 if reference.fixed else -2] += f" [{known}; nu_eff = {self.nu_eff:.3g}]"
        probability = "" if math.isnan(self.p_value) else f" (p = {self.p_value:.2g})"
        parts.append(f"chi2/dof = {self.chi2:.1f}/{self.dof:.1f}{probability}")
        unit = "realization" if self.data.realizations else "parametric"
        how = f"{self.bootstrap} {unit} bootstraps" if self.bootstrap else "posterior errors"
        parts.append(how if self.free else "nothing fitted")
        return f"{self.ansatz.name}: " + ", ".join(parts)


@stats.one_thread
def collapse(
    data: ScalingData,
    ansatz: Ansatz | None = None,
    *,
    objective: Objective = "gp",
    window: tuple[float, float] | None = None,
    control_range: tuple[float, float] | None = None,
    size_min: float | None = None,
    corrections: bool = False,
    bootstrap: int = 0,
    level: float = 0.95,
    seed: int = 0,
    start: Mapping[str, float] | None = None,
) -> Fit:
    """Fit a finite-size-scaling form to curves of several sizes.

    The search begins from the minima of a coarse landscape (and `start`, if given), each polished
    by gradient, so that the answer does not depend on a guess.

    Parameters
    ----------
    data
        The curves.
    ansatz
        `Algebraic()` by default.
    objective
        "gp": marginal likelihood with a Gaussian-process master curve (`gaussian.Model`);
        "local-linear", "houdayer-hartmann": the older ones (`classic`).
    window
        Keep points with the scaling variable (p - p_c) S(L) in here, chosen again after each fit
        until the choice is its own result.
    control_range, size_min
        Keep points in this range of the control, and sizes from this one on.
    corrections
        With corrections to scaling ("gp" only).
    bootstrap
        Errors by so many resamplings of whole realizations; deviations of their means are added to
        the fitted curve (for the older objectives to the data) and refitted.  0: errors of the
        posterior, the prior being uniform in p_c and beta and in the logarithm of nu and sigma.
    level
        Probability content of `low` to `high`.
    seed
        Of bootstrap and integration.
    start
        Values of parameters to start from, in addition.

    Raises
    ------
    InputError
        For an unknown objective, a form that does not suit the sizes, or too few points.
    """
    form = Algebraic() if ansatz is None else ansatz
    if objective not in OBJECTIVES:
        raise unknown("objective", str(objective), OBJECTIVES)
    if not hasattr(form, "coordinates"):
        raise InputError(f"ansatz = {form!r}: expected a form, as Algebraic() or BKT().")
    if bootstrap != 0 and bootstrap < LEAST_BOOTSTRAP:
        raise InputError(
            f"bootstrap = {bootstrap}: expected 0, or {LEAST_BOOTSTRAP} or more resamplings."
        )
    if not 0 < level < 1:
        raise InputError(f"level = {level}: expected a probability between 0 and 1.")
    for name, ends in (("window", window), ("control_range", control_range)):
        if ends is not None and not (len(ends) == 2 and ends[0] < ends[1]):
            raise InputError(f"{name} = {ends}: expected two numbers, the lower one first.")
    if corrections and objective != "gp":
        raise InputError(f"corrections to scaling need the objective gp, not {objective}.")
    kept = data.restrict(control_range, size_min)
    if np.ptp(kept.mean) == 0:
        raise InputError(f"{data.names[2]} is the same at all points; there is nothing to scale.")
    flags: list[str] = []
    try:
        search = Search(kept, form, objective, corrections, start or {})
        theta = search.best()
        if window is not None:
            kept, search, theta, settled = _windowed(kept, search, theta, window)
            if not settled:
                flags.append("the choice of points in the window does not settle")
        return _finish(kept, search, theta, flags, bootstrap, level, seed)
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the covariance of these points is singular in 64 bits: the errors are too small "
            "beside the values; subtract a constant, or give larger errors."
        ) from error


def scan(
    data: ScalingData,
    ansatz: Ansatz | None = None,
    *,
    size_min: Sequence[float] | None = None,
    control_range: Sequence[tuple[float, float]] | None = None,
    **options: Any,
) -> tuple[Fit, ...]:
    """Fit again and again, without the smallest sizes or in narrower ranges, to see values drift.

    Parameters
    ----------
    data, ansatz
        As in `collapse`.
    size_min
        Least sizes; by default all that leave at least three sizes.
    control_range
        Ranges of the control, each with every least size; by default all of it.
    options
        Of `collapse`.
    """
    least = list(data.sizes[:-2]) if size_min is None else list(size_min)
    ranges = [None] if control_range is None else list(control_range)
    return tuple(
        collapse(data, ansatz, size_min=float(size), control_range=window, **options)
        for window in ranges
        for size in (least or [data.sizes[0]])
    )


def _windowed(
    data: ScalingData, search: Search, theta: Array, window: tuple[float, float]
) -> tuple[ScalingData, Search, Array, bool]:
    """Choose points by their scaling variable and fit, until the choice does not change."""
    previous: list[Array] | None = None
    kept = data
    for _ in range(WINDOW_ROUNDS):
        values = _numbers(search.model, theta)
        masks = []
        for curve in data.curves:
            s, _ = search.model.ansatz.scale(values, np.array([curve.size]))
            x = (curve.control - values.get("p_c", 0.0)) * s[0]
            masks.append((x >= window[0]) & (x <= window[1]))
        same = previous is not None and all(
            np.array_equal(a, b) for a, b in zip(masks, previous, strict=True)
        )
        if same:
            return kept, search, theta, True
        previous = masks
        kept = data.restrict(keep=masks)
        search = search.again(kept)
        theta = search.best()
    return kept, search, theta, False


def _numbers(model: Model, theta: Array) -> dict[str, float]:
    order = [p.name for p in model.ansatz.parameters(model.control, model.size)]
    values = {name: float(np.squeeze(value)) for name, value in model.values(theta).items()}
    return {name: values[name] for name in order}


def _finish(
    data: ScalingData,
    search: Search,
    theta: Array,
    flags: list[str],
    bootstrap: int,
    level: float,
    seed: int,
) -> Fit:
    """Errors, quality and flags of a fit."""
    model, n = search.model, len(search.model.free)
    gp = search.objective == "gp"
    evidence = (math.nan, math.nan)
    points: Array | None = None
    weights: Array | None = None
    if gp:
        spread = model.curvature(theta)
        draws = DRAWS * 2 ** min(max(len(theta) - 4, 0), 3)
        points, weights, *measured = model.posterior(theta, spread, draws, seed)
        evidence = (measured[0], measured[1])
        if 1 / np.sum(weights**2) < 20:
            flags.append("the posterior is far from a Gaussian: errors and evidence are rough")
        chi2, dof = model.goodness(theta)
        # errors that were given are taken to be known, like those of infinitely many realizations
        known = (data.realizations - 1) * len(data.curves) if data.realizations else 1e9
        p_value = float(stats.fit_probability(np.array([chi2]), dof, known)[0])
    else:
        dof = float(len(data.mean) - n)
        chi2 = float(search.classic(theta[None])[0]) * dof
        p_value = math.nan
    if bootstrap and n:
        points, weights = _resampled(data, search, theta, bootstrap, seed), None
    params, covariance = _estimates(model, theta, points, weights, level)
    values = {name: fitted.value for name, fitted in params.items()}
    flags += _warnings(data, search, theta, params, p_value)
    if n and not gp and not bootstrap:
        flags.append("no errors: this objective has none without bootstrap")
    return Fit(
        ansatz=model.ansatz,
        objective=search.objective,
        data=data,
        params=params,
        free=tuple(parameter.name for parameter in model.free),
        covariance=covariance,
        chi2=chi2,
        dof=dof,
        p_value=p_value,
        nu_eff=nu_eff(values["sigma"], data.sizes, values["L0"]) if "sigma" in params else math.nan,
        log_evidence=evidence[0],
        log_evidence_error=evidence[1],
        bootstrap=bootstrap if n else 0,
        level=level,
        flags=tuple(flags),
        model=model,
        theta=theta,
    )


def _resampled(data: ScalingData, search: Search, theta: Array, draws: int, seed: int) -> Array:
    """Fits [draws, n] of the form's free parameters to resampled data."""
    deviations = data.resampled_deviations(draws, np.random.default_rng(seed))
    model, n = search.model, len(search.model.free)
    found = np.empty((draws, n))
    if search.objective == "gp":
        # about the fitted curve: resampled about the data, the noise would be there twice
        centre = model.curve(theta)
        for i, deviation in enumerate(deviations):
            found[i] = model.polish(theta, centre + deviation, evaluations=40)[0][:n]
        return found
    for i, deviation in enumerate(deviations):
        mean = data.mean + deviation
        found[i] = search.descend([theta, *search.minima(1, mean)], mean)
    return found


def _estimates(
    model: Model, theta: Array, points: Array | None, weights: Array | None, level: float
) -> tuple[dict[str, Fitted], Array]:
    """Parameters with errors from weighted points [draws, n or more], and their covariance."""
    names = [parameter.name for parameter in model.free]
    n = len(names)
    values = _numbers(model, theta)
    covariance = np.full((n, n), math.nan)
    sample: dict[str, Array] = {}
    if points is not None and n:
        logs = np.array([parameter.log for parameter in model.free])
        natural = np.where(logs, np.exp(np.where(logs, points[:, :n], 0)), points[:, :n])
        w = np.full(len(points), 1 / len(points)) if weights is None else weights
        away = natural - w @ natural
        covariance = (w[:, None] * away).T @ away
        sample = dict(zip(names, natural.T, strict=True))
    tail = (1 - level) / 2
    params = {}
    for name, value in values.items():
        if name not in names:
            params[name] = Fitted(value=value, error=0.0, low=value, high=value, fixed=True)
            continue
        ends = [math.nan] * 4
        if name in sample:
            ends = stats.weighted_quantiles(
                sample[name], weights, [tail, SIGMA, 1 - SIGMA, 1 - tail]
            )
        low, left, right, high = ends
        error = (right - left) / 2
        # the maximum of the joint posterior may lie beside the bulk of one parameter's
        low, high = min(low, value), max(high, value)
        params[name] = Fitted(value=value, error=error, low=low, high=high, fixed=False)
    return params, covariance


def _warnings(
    data: ScalingData,
    search: Search,
    theta: Array,
    params: dict[str, Fitted],
    p_value: float,
) -> list[str]:
    """Say what a reader must know."""
    model, flags = search.model, []
    for number, parameter in enumerate(model.free):
        low, high = model.lower[number], model.upper[number]
        if min(theta[number] - low, high - theta[number]) < 1e-3 * (high - low):
            flags.append(f"{parameter.name} is {AT_LIMIT}")
            continue
        fitted, edge = params[parameter.name], EDGE * (high - low)
        ends = np.array([fitted.low, fitted.high])
        left, right = np.log(ends) if parameter.log else ends
        if left < low + edge or right > high - edge:
            where = "measured range" if parameter.name == "p_c" else "range of its prior"
            flags.append(f"the interval of {parameter.name} reaches the end of the {where}")
    if search.objective == "gp":
        place = len(model.free) + model.hyper.index("ln l")
        if theta[place] < model.lower[place] + 0.05:
            flags.append(UNRESOLVED)
        if not p_value >= POOR:
            flags.append(f"the curves do not collapse: p = {p_value:.2g}")
    exponents = {name: fitted.value for name, fitted in params.items()}
    effective = exponents.get("nu", 0.0)
    if "sigma" in exponents:
        effective = nu_eff(exponents["sigma"], data.sizes, exponents["L0"])
    if effective > LARGE_NU:
        flags.append(f"nu = {effective:.0f}: curves of different sizes hardly differ")
    if 0 < data.realizations < 10:
        flags.append(f"only {data.realizations} realizations: errors are rough")
    if not data.realizations and data.given is None:
        flags.append("means only: points are taken to be independent")
    if len(data.curves) < 3:
        flags.append("only 2 sizes: corrections to scaling cannot be seen")
    for other, behind in search.others:
        difference = np.abs(other - theta)[: len(model.free)]
        errors = np.array([params[p.name].error for p in model.free])
        scale = np.array([params[p.name].value if p.log else 1.0 for p in model.free])
        if behind > -3 and np.any(difference * scale > 3 * errors):
            flags.append("another solution is nearly as likely")
            break
    return flags
