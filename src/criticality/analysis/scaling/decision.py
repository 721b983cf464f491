"""`decide`: which form curves have, with the choices of the analysis integrated out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from criticality.analysis import stats
from criticality.analysis.scaling.ansatz import BKT, Algebraic, Ansatz, Free, SmoothExponent
from criticality.analysis.scaling.checks import positive
from criticality.analysis.scaling.choices import Choice, choices
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.evidence import DECISIVE, shown, table, verdict, with_rivals
from criticality.analysis.scaling.fit import finished, search_near
from criticality.analysis.scaling.marginal import FreeCurves, Marginal, integrated

SURE = 5.0  # errors that every mean has to be above zero for its logarithm to be taken


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """Evidence for several forms, choices integrated out.

    Attributes
    ----------
    marginals
        By descending evidence, whose unit is that of free curves: theirs is 0.
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
        """Likeliest form of a family, as `Ansatz.family`.

        Raises
        ------
        KeyError
            If none of it was compared.
        """
        for found in self.marginals:
            if found.ansatz.family == family:
                return found
        raise KeyError(f"{family}: not among the forms that were compared")

    def table(self) -> pd.DataFrame:
        """Every form with its evidence, probability of fit, parameters and flags."""
        return table(self.marginals)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        title = "Decision, choices integrated out"
        return shown(title, self.marginals, self.verdict, self.reason, self.decisive)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "models": [{"name": each.ansatz.name, **each.to_dict()} for each in self.marginals],
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

    An observable that is positive everywhere (each mean by `SURE` errors) is compared in its
    logarithm if free curves have more evidence so.  A form y = f(x) is the same for any function of
    y, but what is smooth is not: a power law with a smooth exponent is a smooth drift in its
    logarithm only.  Forms with a prefactor L^(-beta/nu) are fitted to y itself, and their evidence
    is given for ln y.

    Parameters
    ----------
    data
        The curves.
    ansatze
        Forms; default algebraic and BKT with L0 marginalised.  No transition, a smooth crossover,
        a smooth drift and free curves are always among the compared.
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
    unit = _smoother(data, seed)
    free = FreeCurves(unit, made, level, seed)
    found = [
        integrated(form, made, free, data if unit is not data and _prefactor(form, data) else None)
        for form in asked
    ]
    marginals = tuple(sorted(found, key=lambda each: -each.log_evidence))
    said, reason = verdict(
        marginals, decisive, lambda: integrated(SmoothExponent(), made, free).log_evidence
    )
    return Decision(marginals=marginals, verdict=said, reason=reason, decisive=decisive)


@stats.one_thread
def _smoother(data: ScalingData, seed: int) -> ScalingData:
    """Curves themselves, or their logarithm: that in which free ones are likelier."""
    if not (data.mean > SURE * data.error).all():
        return data
    units = data, data.log()
    plain, log = (
        finished(search_near(each, Free(), corrections=False, regular=True), 0.95, seed)
        for each in units
    )
    gain = log.log_evidence - plain.log_evidence - float(np.log(data.mean).sum())
    return units[int(gain > 0)]


def _prefactor(form: Ansatz, data: ScalingData) -> bool:
    """Whether y = D(L) f(x), and not f(x): then its logarithm is no function of x."""
    parameters = form.parameters(data.control, data.size)
    return any(p.name == "beta" and p.fixed != 0 for p in parameters)
