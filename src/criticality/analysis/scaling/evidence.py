"""`compare`: which form the data prefer, if any; `required_sizes`: what would decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import linalg

from criticality.analysis.scaling.ansatz import (
    BKT,
    Algebraic,
    Ansatz,
    Crossover,
    Drift,
    Fixable,
    Free,
    NoTransition,
    SmoothExponent,
)
from criticality.analysis.scaling.checks import positive, whole
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.doubts import POOR
from criticality.analysis.scaling.fit import Fit, collapse
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag, InputError, flagged, html

DECISIVE = 5.0  # of ln Z: odds of 150 to 1, "decisive" on the scale of Jeffreys
UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Evidence for several forms.

    Attributes
    ----------
    fits
        By descending evidence.
    verdict
        "algebraic", "bkt", "no transition" or "undecided".
    reason
        Why, in words.
    decisive
        Difference of ln Z that decides.
    """

    fits: tuple[Fit, ...]
    verdict: str
    reason: str
    decisive: float

    def table(self) -> pd.DataFrame:
        """Every form with its evidence, probability of fit, parameters and flags."""
        return table(self.fits)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return shown("Comparison", self.fits, self.verdict, self.reason, self.decisive)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        best = self.fits[0].log_evidence
        return {
            "models": [
                {
                    "name": fit.ansatz.name,
                    "log_evidence": fit.log_evidence,
                    "error": fit.log_evidence_error,
                    "delta": fit.log_evidence - best,
                    "p_value": fit.p_value,
                    "params": {name: fitted.to_dict() for name, fitted in fit.params.items()},
                    "nu_eff": None if fit.nu_eff is None else fit.nu_eff.to_dict(),
                    "flags": [flag.to_dict() for flag in fit.flags],
                }
                for fit in self.fits
            ],
            "verdict": self.verdict,
            "reason": self.reason,
            "decisive": self.decisive,
        }


def compare(
    data: ScalingData,
    ansatze: Sequence[Ansatz] | None = None,
    *,
    decisive: float = DECISIVE,
    **options: Any,
) -> Comparison:
    """Compare forms by their marginal likelihood, parameters and master curve integrated out.

    Priors, the same for all forms: p_c uniform over the measured range; nu (for BKT forms nu_eff)
    log-uniform in `ansatz.NU`; amplitude and correlation length of the master curve log-normal
    (`gaussian.WIDTH`).  No transition, a smooth crossover, a smooth drift with the size
    and free curves are always among the compared.

    A transition is claimed if a scaling form beats all of those and fits, and a kind of transition
    if it also beats the other kind, each by `decisive` in ln Z; but none that does not beat a
    smooth exponent so (`ansatz.SmoothExponent`), which is fitted only then.  No transition is
    claimed if a smooth form beats all scaling forms so, fits, is at no limit, and the p_c of the
    best of those is at no end.  Otherwise the verdict is "undecided".

    Parameters
    ----------
    data
        The curves.
    ansatze
        Forms; default algebraic, BKT with L0 = 1 and with L0 marginalised.
    decisive
        Difference of ln Z that decides; 5 is odds of 150 to 1.
    options
        `control_range`, `size_min`, `corrections`, `regular`, `level`, `seed` of `collapse`.

    Raises
    ------
    InputError
        As `collapse`, or for a difference that decides and is not positive.
    """
    if "window" in options or "objective" in options:
        raise InputError(
            "forms are compared on the same points by their evidence: use control_range in place "
            "of window, and the objective gp."
        )
    positive("decisive", decisive)
    asked = with_rivals(default_ansatze(data) if ansatze is None else ansatze)
    found = [collapse(data, ansatz, **options) for ansatz in asked]
    fits = tuple(sorted(found, key=lambda fit: -fit.log_evidence))
    said, reason = verdict(
        fits, decisive, lambda: collapse(data, SmoothExponent(), **options).log_evidence
    )
    return Comparison(fits=fits, verdict=said, reason=reason, decisive=decisive)


def with_rivals(ansatze: Sequence[Ansatz]) -> list[Ansatz]:
    """Forms that are asked for, and what they have to beat."""
    families = {ansatz.family for ansatz in ansatze}
    rivals = (NoTransition(), Crossover(), Drift(), Free())
    return [*ansatze, *(rival for rival in rivals if rival.family not in families)]


def default_ansatze(data: ScalingData, beta: Fixable = 0.0) -> list[Ansatz]:
    """Forms to compare: algebraic and BKT, with L0 = 1 only where all sizes are above it."""
    fixed: list[Ansatz] = [BKT()] if data.sizes.min() > 1 else []
    return [Algebraic(beta=beta), *fixed, BKT(L0="marginal")]


class Weighed(Protocol):
    """A form with its evidence, as `Fit`."""

    @property
    def ansatz(self) -> Ansatz:
        """The form."""

    @property
    def log_evidence(self) -> float:
        """Logarithm of its evidence, up to a constant that all have in common."""

    @property
    def p_value(self) -> float:
        """Of its fit."""

    @property
    def params(self) -> Mapping[str, Estimate]:
        """Its parameters."""

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Doubts about its fit."""


def table(found: Sequence[Weighed]) -> pd.DataFrame:
    """Table of forms: a row each, by its name."""
    rows = [
        {
            "form": each.ansatz.name,
            "log_evidence": each.log_evidence,
            "delta": each.log_evidence - found[0].log_evidence,
            "p_value": each.p_value,
            **{
                f"{name}{end}": number
                for name, fitted in each.params.items()
                for end, number in (("", fitted.value), ("_error", fitted.error))
            },
            "flags": html.several(each.flags),
        }
        for each in found
    ]
    columns = [name for name in dict.fromkeys(n for row in rows for n in row) if name != "flags"]
    return pd.DataFrame(rows, columns=[*columns, "flags"]).set_index("form")


def shown(title: str, found: Sequence[Weighed], verdict: str, reason: str, decisive: float) -> str:
    """Evidence and verdict for a notebook."""
    best = found[0].log_evidence
    rows = [
        (
            each.ansatz.name,
            f"{each.log_evidence:.1f}",
            f"{each.log_evidence - best:.1f}",
            f"{each.p_value:.2g}",
            ", ".join(
                f"{name} = {fitted}"
                for name, fitted in each.params.items()
                if not getattr(fitted, "fixed", False)
            ),
            html.several(each.flags),
        )
        for each in found
    ]
    head = ("form", "ln evidence", "difference", "p", "parameters", "doubts")
    about = {"verdict": verdict, "reason": reason, "decisive difference": decisive}
    return html.panel(f"{title}: {verdict}", html.table(head, rows), html.facts(about))


def verdict(
    fits: Sequence[Weighed], decisive: float, exponent: Callable[[], float]
) -> tuple[str, str]:
    """Verdict and reason for forms by descending evidence; see `compare`.

    `exponent` gives the evidence of a smooth exponent, where a transition would be claimed.
    """
    best: dict[str, Weighed] = {}
    for fit in fits:
        best.setdefault(fit.ansatz.family, fit)

    def evidence(family: str) -> float:
        return best[family].log_evidence if family in best else -math.inf

    kinds = sorted(("algebraic", "bkt"), key=evidence, reverse=True)
    first, second = (evidence(kind) for kind in kinds)
    words = {
        "no transition": "one curve for all sizes",
        "crossover": "a smooth crossover",
        "drift": "a smooth drift with the size",
    }
    smooth = max(words, key=evidence)
    null, free = evidence(smooth), evidence("free")
    if null > first + decisive and null > free - decisive:
        preferred = f"{words[smooth]} is preferred to every scaling form by {null - first:.1f}"
        if doubt := _hidden(best[smooth], best.get(kinds[0])):
            return UNDECIDED, f"{preferred}, but {doubt}"
        return "no transition", preferred
    if free > max(first, null) + decisive:
        return UNDECIDED, (
            f"smooth curves of each size, with no scaling, are preferred by "
            f"{free - max(first, null):.1f}: no form describes these data; drop small sizes, "
            f"narrow the range, or allow corrections"
        )
    over = max(null, free)
    if first < over + decisive:
        rival = words[smooth] if null >= free else "smooth curves without scaling"
        return UNDECIDED, (
            f"a transition is not established: {kinds[0]} over {rival} by {first - over:+.1f}"
        )
    chosen = best[kinds[0]]
    if chosen.p_value < POOR:
        return UNDECIDED, f"the best form, {kinds[0]}, does not fit: p = {chosen.p_value:.2g}"
    wrong = [
        flag
        for flag in chosen.flags
        if flagged([flag], "unresolved", "at bound", "one side", "no choice fits")
        and flag.parameter != "L0"
    ]
    if wrong:
        return UNDECIDED, f"the best form, {kinds[0]}, cannot be trusted: {wrong[0]}"
    if (ahead := first - exponent()) < decisive:
        return UNDECIDED, (
            f"{kinds[0]} over no scaling by {first - over:.1f}, but over a power of the size whose "
            f"exponent goes smoothly through zero by {ahead:+.1f}"
        )
    if first - second < decisive:
        return UNDECIDED, (
            f"a transition, of undecided kind: {kinds[0]} over {kinds[1]} by {first - second:+.1f}"
        )
    lead = f"over no scaling by {first - over:.1f}"
    if math.isfinite(second):
        lead = f"over {kinds[1]} by {first - second:.1f}, {lead}"
    return kinds[0], f"{kinds[0]} {lead}"


def _hidden(smooth: Weighed, scaling: Weighed | None) -> str:
    """Why the better fit of a smooth form does not exclude a transition; "" if it does."""
    if smooth.p_value < POOR or flagged(smooth.flags, "poor fit"):
        return f"it does not fit: p = {smooth.p_value:.2g}"
    for flag in smooth.flags:
        if flag.name == "at bound":
            return f"it cannot be trusted: {flag}"
    if scaling is None:
        return ""
    if flagged(scaling.flags, "unresolved"):
        return "a transition between two points cannot be excluded"
    if any(flagged(scaling.flags, name, parameter="p_c") for name in ("at bound", "one side")):
        return f"a transition near an end of the range cannot be excluded: {scaling.params['p_c']}"
    return ""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A measurement that could be made.

    Attributes
    ----------
    sizes, points, realizations
        Sizes, control values at each, realizations of each.
    delta
        Expected difference of ln Z in favour of the truth, the smaller of both truths.
    spread
        Its standard deviation from one measurement to another, sqrt(2 delta).
    """

    sizes: tuple[float, ...]
    points: int
    realizations: int
    delta: float
    spread: float

    @property
    def work(self) -> float:
        """Cost in units of one realization of size 1, if cost goes with size."""
        return sum(self.sizes) * self.realizations


def required_sizes(
    data: ScalingData,
    *,
    decisive: float = DECISIVE,
    extra: Sequence[int] = (0, 1, 2),
    more: Sequence[int] = (1, 2, 4, 8),
    forms: tuple[Ansatz, Ansatz] | None = None,
    corrections: bool = False,
    regular: bool = False,
) -> tuple[Design, ...]:
    """Find which measurements would decide between two forms, as between two kinds of transition.

    Both forms are fitted to the data.  Each in turn is taken for the truth: its fitted curve is
    measured in a larger study with the present noise (of the largest size, for new ones), and the
    difference in ln Z is computed for the expected data.  Larger sizes go on in the present ratio,
    at control values that cover the same range of the scaling variable.

    Parameters
    ----------
    data
        With samples: the noise of one realization must be known.
    decisive
        Difference of ln Z that decides.
    extra
        Numbers of additional, larger sizes to consider.
    more
        Factors of the number of realizations to consider.
    forms
        Default algebraic and BKT with L0 = 1; a transition is told from none by what costs the
        most, as `(Algebraic(), Drift())`.
    corrections, regular
        As in `collapse`, of truths and fits: a decision that does not rest on their absence costs
        more.

    Returns
    -------
    tuple of Design
        All that were considered, those that decide (delta - spread > decisive) first, by
        ascending work.

    Raises
    ------
    InputError
        If only means are known, or an option is out of range.
    """
    positive("decisive", decisive)
    extra = [whole("extra", number) for number in extra]
    more = [whole("more", factor, 1) for factor in more]
    if not data.realizations:
        raise InputError("required_sizes needs samples: from means the noise of one is unknown.")
    forms = forms or (Algebraic(), BKT())
    how: dict[str, Any] = {"corrections": corrections, "regular": regular}
    truths = [collapse(data, form, **how) for form in forms]
    ratio = float(np.exp(np.mean(np.diff(np.log(data.sizes)))))
    designs = []
    for number in extra:
        sizes = np.append(data.sizes, data.sizes[-1] * ratio ** np.arange(1, number + 1))
        for factor in more:
            delta = min(
                _expected(truth, forms[1 - i], sizes, factor, how) for i, truth in enumerate(truths)
            )
            designs.append(
                Design(
                    sizes=tuple(float(size) for size in sizes),
                    points=len(data.curves[-1].mean),
                    realizations=data.realizations * factor,
                    delta=delta,
                    spread=math.sqrt(2 * max(delta, 0.0)),
                )
            )

    def undecided(design: Design) -> bool:
        return design.delta - design.spread <= decisive

    return tuple(sorted(designs, key=lambda d: (undecided(d), d.work)))


def _expected(truth: Fit, rival: Ansatz, sizes: Array, factor: int, how: dict[str, Any]) -> float:
    """Ln Z(truth) - ln Z(rival) for the expected data of a design."""
    data, values = truth.data, truth.values
    last = data.curves[-1]
    block = data.covariance[-len(last.mean) :, -len(last.mean) :]
    s = truth.ansatz.scale(values, np.array([*sizes]))[0]
    largest = truth.ansatz.scale(values, np.array([last.size]))[0][0]
    control, size, mean, blocks = [], [], [], []
    at = 0  # where the block of this size begins
    for number, length in enumerate(sizes):
        if number < len(data.curves):
            p, n = data.curves[number].control, len(data.curves[number].mean)
            blocks.append(data.covariance[at : at + n, at : at + n] / factor)
            at += n
        else:
            centre = values.get("p_c", 0.0)
            p = centre + (last.control - centre) * largest / s[number]
            blocks.append(block / factor)
        control.append(p)
        size.append(np.full(len(p), length))
        mean.append(truth.model.expected(truth.theta, p, size[-1]))
    p, lengths, y = (np.concatenate(column) for column in (control, size, mean))
    imagined = ScalingData.from_table(p, lengths, y, linalg.block_diag(*blocks))
    own, other = (collapse(imagined, form, **how) for form in (truth.ansatz, rival))
    return own.log_evidence - other.log_evidence
