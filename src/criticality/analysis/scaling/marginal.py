"""`marginal`: critical point and exponents whose errors contain the choices of an analysis.

A collapse is fitted in a range of the control, from a least size on, with or without corrections.
Each such choice is a model of all data: the form describes what is kept, and free curves what is
left out.  So choices can be weighed by their evidence, and be integrated out like a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from criticality.analysis import stats
from criticality.analysis.scaling.ansatz import Algebraic, Ansatz, Free, nu_eff
from criticality.analysis.scaling.checks import probability, whole
from criticality.analysis.scaling.choices import INNER, Choice, Place, choices
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.estimates import Fitted, given, shown, summary, weighted
from criticality.analysis.scaling.fit import Fit, Found, finished, search_near
from criticality.analysis.scaling.trees import POSTERIOR, tree
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag, InputError, flagged, html

FITS = 0.05  # probability of a worse fit by chance from which on a choice is believed
SHARE = 0.05  # of the weight: choices with less do not count
CENTRAL = 0.25  # share of a range, in its middle: next to that of the next range of `choices`
HEAVY = 0.5  # a doubt that this share of the weight has is one of the whole


@dataclass(frozen=True, kw_only=True, eq=False)
class Marginal:
    """A form fitted with many choices, which are integrated out.

    Attributes
    ----------
    ansatz, data
        What was fitted, and all points.
    params
        By name: median, error and interval of the mixture of the posteriors of all choices.
    statistical, systematic
        Of each parameter: its standard deviation within a choice, and from choice to choice; the
        sum of their squares is the variance of the mixture.
    nu_eff
        Of a BKT form, at all sizes; else None.
    log_evidence
        ln of the evidence over that of free curves, averaged over all choices with equal prior;
        that of p_c is uniform over all of each range.
    p_value
        Of the choice with the largest evidence over free curves; NaN if its curves have no degree
        of freedom left.
    choices, fits, weights, gains
        The choices, the fit of each, its share in the mixture, and ln of its evidence over that of
        free curves for the same points.
    flags
        "no choice fits"; "choices disagree" (systematic > statistical) about a parameter; "edge of
        choices" of "size_min" or "control_range" (only with the largest least size, or in the
        narrowest range, do the curves collapse); "one side" (p_c is not in the middle half of the
        range); those of `Fit`: each if half of the weight has it, or the choice with the largest
        evidence.
    posteriors
        Of each choice: weights of the draws of its fit in the mixture, whose sum is 1.
    """

    ansatz: Ansatz
    data: ScalingData
    params: dict[str, Fitted]
    statistical: dict[str, float]
    systematic: dict[str, float]
    nu_eff: Estimate | None
    log_evidence: float
    p_value: float
    choices: tuple[Choice, ...]
    fits: tuple[Fit, ...]
    weights: Array
    gains: Array
    flags: tuple[Flag, ...]
    posteriors: tuple[Array, ...] = field(repr=False)

    def table(self) -> pd.DataFrame:
        """Every choice with its weight, fit and parameters."""
        rows = []
        columns = (self.choices, self.fits, self.weights, self.gains)
        for choice, fit, weight, gain in zip(*columns, strict=True):
            low, high = choice.control_range
            row: dict[str, Any] = {"control_low": low, "control_high": high}
            row |= {"size_min": choice.size_min, "corrections": choice.corrections}
            row |= {"regular": choice.regular, "weight": weight}
            row |= {"log_evidence": gain, "p_value": fit.p_value}
            for name in fit.free:
                found = fit.params[name]
                row |= {name: found.value, f"{name}_error": found.error}
            rows.append(row)
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """Every parameter with its error and interval, and where the error comes from."""
        parts = {"statistical": self.statistical, "systematic": self.systematic}
        columns = {name: pd.Series(part, dtype=float) for name, part in parts.items()}
        return summary(self.params).assign(**columns)

    def to_arviz(self) -> xr.DataTree:
        """Draws of the mixture of all choices, in the layout of ArviZ 1.0: see `trees.tree`.

        Raises
        ------
        InputError
            If nothing was fitted.
        """
        free = self.fits[0].free
        sample = {name: np.concatenate([fit.sample[name] for fit in self.fits]) for name in free}
        parts = zip(self.weights, self.posteriors, strict=True)
        weights = np.concatenate([weight * part for weight, part in parts])
        which = np.repeat(np.arange(len(self.fits)), [len(part) for part in self.posteriors])
        return tree(POSTERIOR, sample, weights, self.data, self.ansatz.name, which)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "ansatz": self.ansatz.name,
            "params": {name: fitted.to_dict() for name, fitted in self.params.items()},
            "statistical": self.statistical,
            "systematic": self.systematic,
            "nu_eff": None if self.nu_eff is None else self.nu_eff.to_dict(),
            "log_evidence": self.log_evidence,
            "p_value": self.p_value,
            "choices": self.table().to_dict("records"),
            "flags": [flag.to_dict() for flag in self.flags],
        }

    def __str__(self) -> str:
        """One line, as for a paper."""
        parts = []
        for name, fitted in self.params.items():
            if not fitted.fixed:
                parts.append(
                    f"{name} = {fitted} (statistical {self.statistical[name]:.2g}, "
                    f"systematic {self.systematic[name]:.2g})"
                )
        if self.nu_eff is not None:
            parts.append(f"nu_eff = {self.nu_eff}")
        parts.append(f"{len(self.choices)} choices, p = {self.p_value:.2g}")
        return f"{self.ansatz.name}: " + ", ".join(parts)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        params = dict[str, Estimate](self.params)
        if self.nu_eff is not None:
            params["nu_eff"] = self.nu_eff
        parts = {"statistical": self.statistical, "systematic": self.systematic}
        about = {
            "choices of the analysis": f"{len(self.choices)}, integrated out",
            "ln evidence over free curves": f"{self.log_evidence:.1f}",
            "probability of a worse fit": f"{self.p_value:.2g} (likeliest choice)",
            **self.data.facts(),
        }
        title = f"Choices integrated out: {self.ansatz.name}"
        tables = shown(params, parts), html.facts(about)
        return html.panel(title, *tables, html.doubts(self.flags))


def marginal(
    data: ScalingData,
    ansatz: Ansatz | None = None,
    made: Sequence[Choice] | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Marginal:
    """Fit a form with each of many choices, and combine what they say.

    Value and interval are those of a mixture of posteriors.  All widths of the range, least sizes
    and kinds of corrections with which the curves collapse (p >= 0.05) have an equal share; ranges
    of one width share it by how much of their posterior of p_c lies at their own centre.  Only p_c
    in the middle half of a range counts, where both sides of it are seen; if there is none, all do.

    The evidence, with p_c anywhere in a range, is an average over all choices: one that keeps the
    points K says that the form holds in K and that the other points lie on free curves, which is
    Z_form(K) / Z_free(K) times what all choices have in common.  It decides between forms; as a
    weight of choices it would give errors that are too small, since a misfit too small to be seen
    shifts the answer by as much as its error (docs/scaling.md).

    Parameters
    ----------
    data
        The curves.
    ansatz
        `Algebraic()` by default.
    made
        What `choices` makes; by default `choices(data)`.
    level
        Probability content of `low` to `high`.
    seed
        Of the integration.

    Raises
    ------
    InputError
        As `collapse`, or if there is no choice.
    """
    form = Algebraic() if ansatz is None else ansatz
    made = choices(data) if made is None else tuple(made)
    return integrated(form, made, FreeCurves(data, made, level, seed))


class _Kept:
    """What each choice keeps of the points."""

    def __init__(self, data: ScalingData) -> None:
        self.data = data
        self.places: dict[Place, ScalingData] = {}

    def __getitem__(self, place: Place) -> ScalingData:
        if place not in self.places:
            (low, high), least = place
            edge = 1e-9 * (high - low)
            self.places[place] = self.data.restrict((low - edge, high + edge), least)
        return self.places[place]


class FreeCurves:
    """Free curves for what each choice keeps; their evidence is the unit of that of forms.

    They have the regular part as soon as a choice gives it to other forms.
    """

    def __init__(self, data: ScalingData, made: Sequence[Choice], level: float, seed: int) -> None:
        self.kept, self.regular = _Kept(data), any(choice.regular for choice in made)
        self.level, self.seed = probability("level", level), whole("seed", seed)
        self.fits: dict[Place, Fit] = {}

    def __getitem__(self, place: Place) -> Fit:
        if place not in self.fits:
            found = search_near(self.kept[place], Free(), corrections=False, regular=self.regular)
            self.fits[place] = finished(found, self.level, self.seed)
        return self.fits[place]


@stats.one_thread
def integrated(
    form: Ansatz, made: Sequence[Choice], free: FreeCurves, data: ScalingData | None = None
) -> Marginal:
    """Fit `data` as `marginal`, by default those of `free`; if others, `free` has their logarithm.

    Raises
    ------
    InputError
        As `marginal`.
    """
    if not made:
        raise InputError("no choices: expected at least one, as of choices(data).")
    kept = free.kept if data is None else _Kept(data)
    data = kept.data
    fits = (
        [free[choice.place] for choice in made]
        if isinstance(form, Free)
        else _fits(form, made, kept, free.level, free.seed)
    )
    unit = [free[choice.place].log_evidence for choice in made]
    gains = np.array([fit.log_evidence for fit in fits]) - unit
    if kept is not free.kept:  # of the same points in another unit: dy = y d(ln y)
        gains += [np.log(fit.data.mean).sum() for fit in fits]
    best = int(gains.argmax())
    shares = [_inner(*pair) for pair in zip(made, fits, strict=True)]
    weights = _weights(made, fits, shares)
    posteriors = _normalised(fits, shares, weights)
    method = f"median of the posteriors of {len(made)} choices"
    how = {"level": free.level, "n": data.realizations, "method": method}
    params, within, between = {}, {}, {}
    for name, first in fits[0].params.items():
        if first.fixed:
            params[name] = first
            continue
        samples = [fit.sample[name] for fit in fits]
        params[name], within[name], between[name] = _mixture(samples, posteriors, weights, how)
    effective: Estimate | None = None
    if "sigma" in params:
        pairs = [
            [fit.sample.get(name, fit.values[name]) for name in ("sigma", "L0")] for fit in fits
        ]
        drawn = [nu_eff(sigma, data.sizes, reference) for sigma, reference in pairs]
        if params["sigma"].fixed and params["L0"].fixed:
            effective = given(drawn[0], free.level)
        else:
            effective, _, _ = _mixture(drawn, posteriors, weights, how)
    return Marginal(
        ansatz=form,
        data=data,
        params=params,
        statistical=within,
        systematic=between,
        nu_eff=effective,
        log_evidence=float(logsumexp(gains) - math.log(len(made))),
        p_value=fits[best].p_value,
        choices=tuple(made),
        fits=tuple(fits),
        weights=weights,
        gains=gains,
        flags=tuple(_doubts(made, fits, shares, weights, best, within, between)),
        posteriors=tuple(posteriors),
    )


def _fits(form: Ansatz, made: Sequence[Choice], kept: _Kept, level: float, seed: int) -> list[Fit]:
    """Fit every choice: plain ones from everywhere, those with corrections from simpler ones."""
    found: dict[Choice, Found] = {}

    def searched(choice: Choice) -> Found:
        if choice not in found:
            simpler: Choice | None = None
            if choice.corrections:
                simpler = replace(choice, corrections=False)
            elif choice.regular:
                simpler = replace(choice, regular=False)
            near = [searched(simpler)] if simpler else []
            kind = (choice.corrections, choice.regular)
            found[choice] = search_near(kept[choice.place], form, *kind, near, kept.data.size)
        return found[choice]

    return [finished(searched(choice), level, seed) for choice in made]


def _inner(choice: Choice, fit: Fit, share: float = INNER) -> Array:
    """Weights of the draws of a posterior with p_c in this share of the range, in its middle."""
    assert fit.weights is not None  # a posterior
    if fit.model.centred not in fit.sample:
        return fit.weights
    low, high = choice.control_range
    away = np.abs(fit.sample[fit.model.centred] - (low + high) / 2)
    return np.where(away <= share * (high - low) / 2, fit.weights, 0.0)


def _fine(fit: Fit) -> bool:
    """Whether the curves collapse, as far as can be seen (NaN: nothing is left to see it by)."""
    poor = fit.p_value < FITS or flagged(fit.flags, "poor fit")
    return math.isfinite(fit.log_evidence) and not poor


def _weights(made: Sequence[Choice], fits: Sequence[Fit], shares: Sequence[Array]) -> Array:
    """Shares in the mixture; if nothing fits, all for the best fit.

    How wide a range is, which sizes are kept and how they are fitted are choices; those that fit
    have equal shares.  Where a range has its centre is none: it shall be at p_c, so that ranges of
    one width share by how much of their own posterior of p_c lies in their central part.
    """
    fine = np.array([_fine(fit) for fit in fits])
    if not fine.any():
        p_values = np.nan_to_num([fit.p_value for fit in fits])
        fine = p_values >= p_values.max()
    seen = np.array([share.sum() for share in shares])
    central = np.array([_inner(*pair, CENTRAL).sum() for pair in zip(made, fits, strict=True)])
    kinds = [(f"{np.ptp(c.control_range):.6g}", c.size_min, c.corrections, c.regular) for c in made]
    weights = np.zeros(len(made))
    for kind in set(kinds):
        same = np.array([other == kind for other in kinds]) & fine & (seen > SHARE)
        if np.count_nonzero(same) == 1:
            weights[same] = seen[same]
        elif central[same].sum() > SHARE:
            weights[same] = central[same] / central[same].sum() * seen[same].max()
    if not weights.any():
        weights = fine.astype(float)
    return np.asarray(weights / weights.sum())


def _normalised(fits: Sequence[Fit], shares: Sequence[Array], weights: Array) -> list[Array]:
    """Weights of the draws of each choice: with p_c in the middle, or all where that is seldom."""
    found = []
    for fit, share in zip(fits, shares, strict=True):
        assert fit.weights is not None
        found.append(share / share.sum() if share.sum() > SHARE else fit.weights)
    return found


def _mixture(
    samples: Sequence[Array], shares: Sequence[Array], weights: Array, how: dict[str, Any]
) -> tuple[Fitted, float, float]:
    """Estimate from the mixture of weighted samples, and its deviations within and between."""
    drawn = np.concatenate(samples)
    share = np.concatenate([w * each for w, each in zip(weights, shares, strict=True)])
    centres = np.array([each @ s for each, s in zip(shares, samples, strict=True)])
    squares = np.array([each @ s**2 for each, s in zip(shares, samples, strict=True)])
    within = float(weights @ np.maximum(squares - centres**2, 0))
    between = float(weights @ (centres - weights @ centres) ** 2)
    median = float(stats.weighted_quantiles(drawn, share, [0.5])[0])
    return weighted(median, drawn, share, **how), math.sqrt(within), math.sqrt(between)


def _doubts(
    made: Sequence[Choice],
    fits: Sequence[Fit],
    shares: Sequence[Array],
    weights: Array,
    best: int,
    within: dict[str, float],
    between: dict[str, float],
) -> list[Flag]:
    """Say what a reader must know."""
    flags = []

    def heavy(has: Array) -> bool:
        return bool(weights[has].sum() > HEAVY or has[best])

    if "p_c" in within and heavy(np.array([share.sum() < HEAVY for share in shares])):
        text = "p_c is not in the middle half of the range: only one side of it is seen"
        flags.append(Flag("one side", "p_c", text))
    if not any(_fine(fit) for fit in fits):
        text = "the curves collapse with no choice; the best fit is given"
        flags.append(Flag("no choice fits", text=text))
    for name, deviation in between.items():
        if deviation > within[name]:
            text = f"choices disagree about {name} by more than the statistical error"
            flags.append(Flag("choices disagree", name, text))
    least = np.array([choice.size_min for choice in made])
    width = np.array([np.ptp(choice.control_range) for choice in made])
    edges = {
        "size_min": (least < least.max(), f"only with the largest least size, {least.max():g}"),
        "control_range": (
            width > width.min() * (1 + 1e-9),
            f"only with the narrowest range, {width.min():g} wide",
        ),
    }
    for name, (others, text) in edges.items():
        if others.any() and weights[others].sum() < SHARE:
            flags.append(Flag("edge of choices", name, f"the curves collapse {text}"))
    for flag in dict.fromkeys((f.name, f.parameter) for fit in fits for f in fit.flags):
        has = [flagged(fit.flags, flag[0], parameter=flag[1]) for fit in fits]
        if heavy(np.array(has)):
            heaviest = fits[int(np.argmax((weights + 1e-9) * has))]
            flags += [f for f in heaviest.flags if (f.name, f.parameter) == flag][:1]
    return flags
