"""`marginal`: critical point and exponents whose errors contain the choices of an analysis.

A collapse is fitted in a range of the control, from a least size on, with or without corrections.
Each such choice is a model of all data: the form describes what is kept, and free curves what is
left out.  So choices can be weighed by their evidence, and be integrated out like a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from criticality.analysis import stats
from criticality.analysis.scaling.ansatz import BKT, Algebraic, Ansatz, Free, nu_eff
from criticality.analysis.scaling.checks import positive, probability, whole
from criticality.analysis.scaling.choices import INNER, Choice, Place, choices
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.estimates import Fitted, given, weighted
from criticality.analysis.scaling.evidence import DECISIVE, verdict, with_rivals
from criticality.analysis.scaling.fit import Fit, refit
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag, InputError, flagged

FITS = 0.05  # probability of a worse fit by chance from which on a choice is believed
SHARE = 0.05  # of the weight: choices with less do not count
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
        ln of the evidence over that of free curves without corrections, averaged over all choices
        with equal prior, that of p_c being uniform.
    p_value
        Of the choice with the largest evidence over free curves.
    choices, fits, weights, gains
        The choices, the fit of each, its share in the mixture, and ln of its evidence over that of
        free curves for the same points.
    flags
        "no choice fits"; "choices disagree" (systematic > statistical) about a parameter; "edge of
        choices" of "size_min" or "control_range" (only with the largest least size, or in the
        narrowest range, do the curves collapse); those of `Fit` that half of the weight has.
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
    of one width share it by their evidence, which says where p_c is: in the middle half of one of
    them.  A choice that keeps the points K says that the form holds in K and that the other points
    lie on free curves, so that its evidence is Z_form(K) Z_free(all) / Z_free(K).

    Equal shares and not the evidence decide between widths and least sizes because a misfit that
    is too small to be seen shifts the answer by as much as its error; see docs/scaling.md.

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
    return _marginal(data, form, made, _Free(data, seed), level, seed)


class _Free:
    """Evidence of free curves for what each choice keeps."""

    def __init__(self, data: ScalingData, seed: int) -> None:
        self.data, self.seed = data, seed
        self.kept: dict[Place, ScalingData] = {}
        self.fits: dict[Place, Fit] = {}

    def restricted(self, place: Place) -> ScalingData:
        if place not in self.kept:
            (low, high), least = place
            edge = 1e-9 * (high - low)
            self.kept[place] = self.data.restrict((low - edge, high + edge), least)
        return self.kept[place]

    def __getitem__(self, place: Place) -> Fit:
        if place not in self.fits:
            kept = self.restricted(place)
            self.fits[place] = refit(kept, Free(), False, False, 1.0, (), 0.95, self.seed)
        return self.fits[place]


@stats.one_thread
def _marginal(
    data: ScalingData,
    form: Ansatz,
    made: Sequence[Choice],
    free: _Free,
    level: float,
    seed: int,
) -> Marginal:
    if not made:
        raise InputError("no choices: expected at least one, as of choices(data).")
    level, seed = probability("level", level), whole("seed", seed)
    fits = _fits(form, made, free, level, seed)
    span = float(np.ptp(data.control))
    gains = np.empty(len(made))
    for number, (choice, fit) in enumerate(zip(made, fits, strict=True)):
        gains[number] = fit.log_evidence - free[choice.place].log_evidence
        if fit.model.centred in fit.free:  # its prior is the same for all choices
            gains[number] += math.log(fit.model.span / span)
    weights = _weights(made, fits, gains)
    method = f"median of the posteriors of {len(made)} choices"
    how = {"level": level, "n": data.realizations, "method": method}
    params, within, between = {}, {}, {}
    for name, first in fits[0].params.items():
        if first.fixed:
            params[name] = first
            continue
        samples = [fit.sample[name] for fit in fits]
        params[name], within[name], between[name] = _mixture(samples, fits, weights, how)
    effective: Estimate | None = None
    if "sigma" in params:
        pairs = [
            [fit.sample.get(name, fit.values[name]) for name in ("sigma", "L0")] for fit in fits
        ]
        drawn = [nu_eff(sigma, data.sizes, reference) for sigma, reference in pairs]
        if params["sigma"].fixed and params["L0"].fixed:
            effective = given(drawn[0], level)
        else:
            effective, _, _ = _mixture(drawn, fits, weights, how)
    return Marginal(
        ansatz=form,
        data=data,
        params=params,
        statistical=within,
        systematic=between,
        nu_eff=effective,
        log_evidence=float(logsumexp(gains) - math.log(len(made))),
        p_value=fits[int(gains.argmax())].p_value,
        choices=tuple(made),
        fits=tuple(fits),
        weights=weights,
        gains=gains,
        flags=tuple(_doubts(made, fits, weights, within, between)),
    )


def _fits(form: Ansatz, made: Sequence[Choice], free: _Free, level: float, seed: int) -> list[Fit]:
    """Fit every choice: plain ones from everywhere, those with corrections from simpler ones."""
    found: dict[Choice, Fit] = {}

    def fitted(choice: Choice) -> Fit:
        if choice not in found:
            simpler: Choice | None = None
            if choice.corrections:
                simpler = replace(choice, corrections=False)
            elif choice.regular:
                simpler = replace(choice, regular=False)
            near = [fitted(simpler)] if simpler else []
            kept = free.restricted(choice.place)
            kind = (choice.corrections, choice.regular)
            found[choice] = refit(kept, form, *kind, INNER, near, level, seed)
        return found[choice]

    return [fitted(choice) for choice in made]


def _weights(made: Sequence[Choice], fits: Sequence[Fit], gains: Array) -> Array:
    """Shares in the mixture; if nothing fits, all for the best fit.

    Where a range has its centre is no choice but a question, where p_c is: evidence decides.  How
    wide it is, which sizes are kept and how they are fitted are choices; those that fit are equal.
    """
    p_values = np.array([fit.p_value for fit in fits])
    fine = (p_values >= FITS) & np.isfinite(gains)
    if not fine.any():
        fine = p_values >= p_values.max()
        return np.asarray(fine / fine.sum(), float)
    kinds = [
        (float(f"{np.ptp(c.control_range):.6g}"), c.size_min, c.corrections, c.regular)
        for c in made
    ]
    weights = np.zeros(len(made))
    for kind in set(kinds):
        members = fine & np.array([other == kind for other in kinds])
        if members.any():
            weights[members] = np.exp(gains[members] - logsumexp(gains[members]))
    return np.asarray(weights / weights.sum())


def _mixture(
    samples: Sequence[Array], fits: Sequence[Fit], weights: Array, how: dict[str, Any]
) -> tuple[Fitted, float, float]:
    """Estimate from the mixture of weighted samples, and its deviations within and between."""
    shares = [fit.weights for fit in fits if fit.weights is not None]  # posteriors all have them
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
    weights: Array,
    within: dict[str, float],
    between: dict[str, float],
) -> list[Flag]:
    """Say what a reader must know."""
    flags = []
    if not max(fit.p_value for fit in fits) >= FITS:
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
        if weights[np.array(has)].sum() > HEAVY:
            heaviest = int(np.argmax(weights * has))
            same = [f for f in fits[heaviest].flags if (f.name, f.parameter) == flag]
            flags.append(same[0])
    return flags


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """Evidence for several forms, choices integrated out.

    Attributes
    ----------
    marginals
        By descending evidence; that of free curves is 0 by definition.
    verdict
        "algebraic", "bkt", "no transition" or "undecided".
    reason
        Why, in words.
    decisive
        Difference of ln Z that decides.
    """

    marginals: tuple[Marginal, ...]
    verdict: str
    reason: str
    decisive: float

    def __getitem__(self, family: str) -> Marginal:
        """Likeliest form of a family: "algebraic", "bkt", "crossover", "no transition", "free"."""
        return next(found for found in self.marginals if found.ansatz.family == family)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "models": [found.to_dict() for found in self.marginals],
            "verdict": self.verdict,
            "reason": self.reason,
            "decisive": self.decisive,
        }


def decide(
    data: ScalingData,
    ansatze: Sequence[Ansatz] | None = None,
    made: Sequence[Choice] | None = None,
    *,
    decisive: float = DECISIVE,
    level: float = 0.95,
    seed: int = 0,
) -> Decision:
    """Compare forms as `compare` does, with the choices of the analysis integrated out.

    Parameters
    ----------
    data
        The curves.
    ansatze
        Forms; default algebraic and BKT with L0 marginalised.  No transition, a smooth crossover
        and free curves are always among the compared.
    made, level, seed
        As in `marginal`.
    decisive
        As in `compare`.

    Raises
    ------
    InputError
        As `marginal` and `compare`.
    """
    positive("decisive", decisive)
    asked = with_rivals([Algebraic(), BKT(L0="marginal")] if ansatze is None else ansatze)
    made = choices(data) if made is None else tuple(made)
    free = _Free(data, seed)
    found = [_marginal(data, form, made, free, level, seed) for form in asked]
    marginals = tuple(sorted(found, key=lambda each: -each.log_evidence))
    said, reason = verdict(marginals, decisive)
    return Decision(marginals=marginals, verdict=said, reason=reason, decisive=decisive)
