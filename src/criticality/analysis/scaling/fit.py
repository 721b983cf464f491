"""`collapse`: critical point and exponents from curves of several sizes, with errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from criticality.analysis import stats
from criticality.analysis.scaling.ansatz import Algebraic, Ansatz, nu_eff
from criticality.analysis.scaling.checks import between, probability, whole
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.doubts import APART, doubts
from criticality.analysis.scaling.estimates import Fitted, given, shown, summary, weighted
from criticality.analysis.scaling.gaussian import Model
from criticality.analysis.scaling.search import Search
from criticality.analysis.scaling.trees import BOOTSTRAP, POSTERIOR, tree
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag, InputError, html, unknown, with_error

Objective = Literal["gp", "local-linear", "houdayer-hartmann"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
DRAWS = 256  # importance samples of the posterior; twice as many for each dimension above 4
WINDOW_ROUNDS = 8
LEAST_DRAWS = 20
NEARLY = -5.0  # of ln Z, below the best maximum


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
        Of a BKT form: exponent of the power law that looks the same; else None.
    log_evidence, log_evidence_error
        Logarithm of the marginal likelihood, and its numerical error; NaN if not "gp".
    draws
        Resamplings of whole realizations behind the errors; 0: errors of the posterior.
    flags
        What a reader must know before using the numbers: "poor fit"; "at bound" and "interval at
        bound" of a parameter; "unresolved" (the transition lies between two points); "another
        solution"; "size-independent" (curves of different sizes hardly differ); "rough
        posterior"; "no errors"; "few realizations"; "few sizes"; "independent points" (taken to
        be, for want of samples); "unsettled window".
    sample, weights
        Draws of each free parameter behind the errors, and their weights (None: equal).
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
    nu_eff: Estimate | None
    log_evidence: float
    log_evidence_error: float
    draws: int
    flags: tuple[Flag, ...]
    sample: dict[str, Array] = field(repr=False)
    weights: Array | None = field(repr=False)
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

    def summary(self) -> pd.DataFrame:
        """Every parameter with its error and interval."""
        return summary(self.params)

    def to_arviz(self) -> xr.DataTree:
        """Draws behind the errors, in the layout of ArviZ 1.0: see `trees.tree`.

        Draws of the posterior are the group "posterior"; resamplings are no posterior, and the
        group "bootstrap".

        Raises
        ------
        InputError
            If there are none.
        """
        group = BOOTSTRAP if self.draws else POSTERIOR
        return tree(group, self.sample, self.weights, self.data, self.ansatz.name)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "ansatz": self.ansatz.name,
            "objective": self.objective,
            "params": {name: fitted.to_dict() for name, fitted in self.params.items()},
            "free": list(self.free),
            "covariance": self.covariance.tolist(),
            "chi2": self.chi2,
            "dof": self.dof,
            "p_value": self.p_value,
            "nu_eff": None if self.nu_eff is None else self.nu_eff.to_dict(),
            "log_evidence": self.log_evidence,
            "log_evidence_error": self.log_evidence_error,
            "draws": self.draws,
            "flags": [flag.to_dict() for flag in self.flags],
            "n_points": len(self.data.mean),
            "sizes": self.data.sizes.tolist(),
            "realizations": self.data.realizations,
        }

    def __str__(self) -> str:
        """One line, as for a paper."""
        parts = []
        for name, fitted in self.params.items():
            if not fitted.fixed:
                parts.append(f"{name} = {fitted}")
        if self.nu_eff is not None:
            reference = self.params["L0"]
            known = f"L0 = {reference.value:g} fixed" if reference.fixed else "L0 marginalised"
            parts[-1 if reference.fixed else -2] += f" [{known}; nu_eff = {self.nu_eff.value:.3g}]"
        probability = "" if math.isnan(self.p_value) else f" (p = {self.p_value:.2g})"
        parts.append(f"chi2/dof = {self.chi2:.1f}/{self.dof:.1f}{probability}")
        unit = "realization" if self.data.realizations else "parametric"
        how = f"{self.draws} {unit} bootstraps" if self.draws else "posterior errors"
        parts.append(how if self.free else "nothing fitted")
        return f"{self.ansatz.name}: " + ", ".join(parts)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        params = dict[str, Estimate](self.params)
        if self.nu_eff is not None:
            params["nu_eff"] = self.nu_eff
        unit = "realization" if self.data.realizations else "parametric"
        about = {
            "chi2 / dof": f"{self.chi2:.1f} / {self.dof:.1f}",
            "probability of a worse fit": f"{self.p_value:.2g}",
            "ln evidence": with_error(self.log_evidence, self.log_evidence_error),
            "errors": f"{self.draws} {unit} bootstraps" if self.draws else "posterior",
            **self.data.facts(),
        }
        title = f"Collapse: {self.ansatz.name} ({self.objective})"
        return html.panel(title, shown(params), html.facts(about), html.doubts(self.flags))


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
    regular: bool = False,
    draws: int = 0,
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
        With corrections to scaling, that vanish as L^-omega ("gp" only).
    regular
        With a regular dependence on the control beside that on the scaling variable, as of an
        amplitude that changes over the range ("gp" only).
    draws
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
    if 0 < (draws := whole("draws", draws)) < LEAST_DRAWS:
        raise InputError(f"draws = {draws}: expected 0, or {LEAST_DRAWS} or more resamplings.")
    level, seed = probability("level", level), whole("seed", seed)
    window = None if window is None else between("window", window)
    if (corrections or regular) and objective != "gp":
        raise InputError(f"corrections to scaling need the objective gp, not {objective}.")
    kept = data.restrict(control_range, size_min)
    if np.ptp(kept.mean) == 0:
        raise InputError(f"{data.names[2]} is the same at all points; there is nothing to scale.")
    flags: list[Flag] = []
    try:
        search = Search(kept, form, objective, corrections, start or {}, regular)
        theta = search.best()
        if window is not None:
            kept, search, theta, settled = _windowed(kept, search, theta, window)
            if not settled:
                text = "the choice of points in the window does not settle"
                flags.append(Flag("unsettled window", text=text))
        return _finish(kept, search, theta, flags, draws, level, seed)
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the covariance of these points is singular in 64 bits: the errors are too small "
            "beside the values; subtract a constant, or give larger errors."
        ) from error


Found = tuple[Search, Array]  # a search, and the best point that it has found


def search_near(
    data: ScalingData,
    ansatz: Ansatz,
    corrections: bool,
    regular: bool,
    near: Sequence[Found] = (),
    sizes: Array | None = None,
) -> Found:
    """Search by "gp", from where others of nearly the same data ended if there are any."""
    others = [(search.model, theta) for search, theta in near]
    search = Search(data, ansatz, "gp", corrections, {}, regular, others, sizes)
    return search, search.best()


def finished(found: Found, level: float, seed: int) -> Fit:
    """Finish a fit with fewer draws of the posterior, of all maxima that are nearly as likely."""
    search, theta = found
    return _finish(search.data, search, theta, [], 0, level, seed, quick=True)


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
    order = [p.name for p in model.ansatz.parameters(model.control, model.sizes)]
    values = {name: float(np.squeeze(value)) for name, value in model.values(theta).items()}
    return {name: values[name] for name in order}


def _finish(
    data: ScalingData,
    search: Search,
    theta: Array,
    flags: list[Flag],
    draws: int,
    level: float,
    seed: int,
    quick: bool = False,
) -> Fit:
    """Errors, quality and flags of a fit.

    Where it is `quick`, with fewer draws of the posterior, and of all maxima that are nearly as
    likely.
    """
    model, n = search.model, len(search.model.free)
    gp = search.objective == "gp"
    evidence = [math.nan, math.nan]
    points: Array | None = None
    weights: Array | None = None
    if gp:
        count = DRAWS * (1 if quick else 2 ** min(max(len(theta) - 4, 0), 3))
        drawn = model.posterior(theta, model.curvature(theta), count, seed)
        points, weights, *evidence = _joined(search, drawn, seed) if quick else drawn
        if 1 / np.sum(weights**2) < 20:
            text = "the posterior is far from a Gaussian: errors and evidence are rough"
            flags.append(Flag("rough posterior", text=text))
        chi2, dof = model.goodness(theta)
        # errors that were given are taken to be known, like those of infinitely many realizations
        known = (data.realizations - 1) * len(data.curves) if data.realizations else 1e9
        p_value = float(stats.fit_probability(np.array([chi2]), dof, known)[0])
    else:
        dof = float(len(data.mean) - n)
        chi2 = float(search.classic(theta[None])[0]) * dof
        p_value = math.nan
    if draws and n:
        points, weights = _resampled(data, search, theta, draws, seed), None
    how = {"level": level, "n": data.realizations, "method": _method(data, gp, draws)}
    sample, covariance = _sample(model, points, weights)
    params = _estimates(model, theta, sample, weights, how)
    effective = _effective(data, params, sample, weights, how)
    flags += doubts(data, search, theta, params, effective, p_value)
    if n and not gp and not draws:
        flags.append(Flag("no errors", text="no errors: this objective has none without bootstrap"))
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
        nu_eff=effective,
        log_evidence=evidence[0],
        log_evidence_error=evidence[1],
        draws=draws if n else 0,
        flags=tuple(flags),
        sample=sample,
        weights=weights,
        model=model,
        theta=theta,
    )


Posterior = tuple[Array, Array, float, float]  # as `Model.posterior` gives it


def _joined(search: Search, first: Posterior, seed: int) -> Posterior:
    """Posterior about the best maximum, and about others that are nearly as likely."""
    model, parts = search.model, [first]
    centre, width = first[1] @ first[0], np.sqrt(first[1] @ (first[0] - first[1] @ first[0]) ** 2)
    n = max(len(model.free), 1)
    for other, behind in search.others:
        if behind > NEARLY and np.any(np.abs(other - centre)[:n] > APART * width[:n]):
            parts.append(model.posterior(other, model.curvature(other), DRAWS, seed))
    evidences = np.array([part[2] for part in parts])
    total = float(logsumexp(evidences))
    if len(parts) == 1 or not math.isfinite(total):
        return first
    shares = np.exp(evidences - total)
    points = np.concatenate([part[0] for part in parts])
    weights = np.concatenate([share * part[1] for share, part in zip(shares, parts, strict=True)])
    return points, weights, total, first[3]


def _method(data: ScalingData, gp: bool, draws: int) -> str:
    """How values and errors are made."""
    value = "maximum of the posterior" if gp else "minimum of the objective"
    if draws:
        return f"{value}; {'whole realizations' if data.realizations else 'means'} resampled"
    return f"{value}; errors of the posterior" if gp else value


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


def _sample(
    model: Model, points: Array | None, weights: Array | None
) -> tuple[dict[str, Array], Array]:
    """Draws [draws] of each free parameter from points [draws, n or more]; their covariance."""
    n = len(model.free)
    if points is None or not n:
        return {}, np.full((n, n), math.nan)
    logs = np.array([parameter.log for parameter in model.free])
    natural = np.where(logs, np.exp(np.where(logs, points[:, :n], 0)), points[:, :n])
    w = np.full(len(points), 1 / len(points)) if weights is None else weights
    away = natural - w @ natural
    names = [parameter.name for parameter in model.free]
    return dict(zip(names, natural.T, strict=True)), (w[:, None] * away).T @ away


def _estimates(
    model: Model, theta: Array, sample: dict[str, Array], weights: Array | None, how: dict[str, Any]
) -> dict[str, Fitted]:
    """Every parameter of the form; NaN for errors where there is no sample."""
    free = [parameter.name for parameter in model.free]
    return {
        name: weighted(value, sample.get(name), weights, **how)
        if name in free
        else given(value, how["level"])
        for name, value in _numbers(model, theta).items()
    }


def _effective(
    data: ScalingData,
    params: dict[str, Fitted],
    sample: dict[str, Array],
    weights: Array | None,
    how: dict[str, Any],
) -> Estimate | None:
    """Exponent of the power law that a BKT form nearly is; None for other forms."""
    if "sigma" not in params:
        return None
    sigma, reference = params["sigma"], params["L0"]
    value = nu_eff(sigma.value, data.sizes, reference.value)
    if sigma.fixed and reference.fixed:
        return given(value, how["level"])
    drawn = None
    if sample:
        drawn = nu_eff(
            sample.get("sigma", sigma.value), data.sizes, sample.get("L0", reference.value)
        )
    return weighted(value, drawn, weights, **how)
