"""Critical points: what is found of a threshold, as numbers and in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from criticality.analysis.breakdown import Breakdown, OrderParameter, Spread, means
from criticality.analysis.scaling.threshold import PowerLaw
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag, flagged, html

UNFIT = ("too few points", "flat", "at bound", "outside data")  # of a realization alone


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """Threshold and exponent of one order parameter at one point of a study.

    Attributes
    ----------
    at
        Values of the other axes.
    order
        The order parameter, before points were averaged.
    breakdown
        Where it is, without a model.
    control, samples
        [points] and [realizations, points]: what was fitted.
    scan
        Fits of the mean over realizations (draws resample realizations), the first in the whole
        window, the others in narrower ones; empty if there is nothing to fit.
    each
        A fit for every realization alone, weighted by the scatter of its points; None if it does
        not break down, and nothing where points are independent runs.  Use their values, not their
        errors.
    flags
        Those of the first fit and of the order parameter, and: "no breakdown"; "one realization";
        "smeared" (realizations break down at controls that differ by more than the spacing of
        points, which rounds the mean curve); "drift" (beta differs by more than 3 errors in a
        narrower window that is not flagged); "single window" (no narrower window gives a fit
        without a flag).
    level
        Probability of the intervals.
    """

    at: dict[str, Any]
    order: OrderParameter
    breakdown: Breakdown
    control: Array
    samples: Array
    scan: tuple[PowerLaw, ...] = ()
    each: tuple[PowerLaw | None, ...] = ()
    flags: tuple[Flag, ...] = ()
    level: float = 0.95

    @property
    def fit(self) -> PowerLaw | None:
        """Fit of the mean over realizations in the whole window."""
        return self.scan[0] if self.scan else None

    @property
    def resolved(self) -> bool:
        """Whether nothing speaks against the power law."""
        return self.fit is not None and not self.flags

    def single(self, name: Literal["p_c", "beta"]) -> Spread:
        """Scatter of p_c or beta from realization to realization, of those that have one."""
        return alone(self.each, name)

    def flags_of_each(self) -> dict[str, int]:
        """How many realizations have a flag; "no breakdown" for those without a fit."""
        every = (["no breakdown"] if f is None else map(str, f.flags) for f in self.each)
        return dict(Counter(flag for flags in every for flag in flags))

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts."""
        order = self.order
        return {
            "at": self.at,
            "observable": order.name,
            "along": order.along,
            "offset": order.offset,
            "offset_source": order.source,
            "resolved": self.resolved,
            "flags": [flag.to_dict() for flag in self.flags],
            "breakdown": self.breakdown.to_dict(),
            "fit": None if self.fit is None else self.fit.to_dict(),
            "scan": [fit.to_dict() for fit in self.scan],
            "each": {
                "p_c": self.single("p_c").to_dict(self.level),
                "beta": self.single("beta").to_dict(self.level),
                "flags": self.flags_of_each(),
            },
            "control": self.control.tolist(),
            "mean": means(self.samples).tolist(),
        }

    def __str__(self) -> str:
        """Say it in a few lines."""
        return described(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return CriticalPoints((self,), Wording())._repr_html_()


@dataclass(frozen=True)
class Wording:
    """How critical points are told.

    Attributes
    ----------
    heading
        Line above all of them.
    symbol
        Of the critical control.
    factor
        By which controls are multiplied, as 100 for percent.
    realization
        What a realization is here.
    """

    heading: str = ""
    symbol: str = "p_c"
    factor: float = 1.0
    realization: str = "realization"


@dataclass(frozen=True, eq=False)
class CriticalPoints:
    """Critical points of a study, and how they are told."""

    points: tuple[CriticalPoint, ...]
    wording: Wording

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers, lists and texts."""
        return {"points": [point.to_dict() for point in self.points]}

    def __str__(self) -> str:
        """Say all, with a blank line between points."""
        parts = [described(point, self.wording) for point in self.points]
        return "\n\n".join([self.wording.heading, *parts])

    def table(self) -> pd.DataFrame:
        """Give a row for each point: threshold and exponent with their errors, and flags."""
        rows = []
        for point in self.points:
            row = {**point.at, "observable": point.order.name}
            for name in ("p_c", "beta"):
                found = point.fit.params[name] if point.fit else Estimate(value=math.nan)
                row |= {name: found.value, f"{name}_error": found.error}
                row |= {f"{name}_low": found.low, f"{name}_high": found.high}
            p_value = point.fit.p_value if point.fit else math.nan
            row |= {"p_value": p_value, "resolved": point.resolved}
            rows.append(row | {"flags": html.several(point.flags)})
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        rows = []
        for point in self.points:
            at = ", ".join(f"{name} = {_short(value)}" for name, value in point.at.items())
            numbers: list[object] = ["", "", ""]
            if point.fit is not None:
                numbers = [*map(point.fit.params.get, ("p_c", "beta")), point.fit.p_value]
            said = "resolved" if point.resolved else html.several(point.flags)
            rows.append((at, point.order.name, *numbers, len(point.order.values), said))
        symbol, one = self.wording.symbol, self.wording.realization
        head = ("at", "order parameter", symbol, "beta", "p", f"{one}s", "")
        lines = html.facts({"": self.wording.heading}), html.table(head, rows)
        return html.panel("Critical points", *lines)


def alone(each: Sequence[PowerLaw | None], name: Literal["p_c", "beta"]) -> Spread:
    """Scatter of p_c or beta over fits of realizations, of those that have a threshold."""
    fits = [None if fit is None or flagged(fit.flags, *UNFIT) else fit for fit in each]
    return Spread(np.array([math.nan if fit is None else getattr(fit, name) for fit in fits]))


# --- words -----------------------------------------------------------------------------------


def described(point: CriticalPoint, wording: Wording | None = None) -> str:
    """Critical point in a few lines."""
    wording = wording or Wording()
    order, factor, one = point.order, wording.factor, wording.realization
    many = f"{one}s"

    def told(found: Estimate) -> str:
        return str(Estimate(value=factor * found.value, error=factor * found.error))

    def law(p_c: Estimate, beta: Estimate) -> str:
        return f"{wording.symbol} = {told(p_c):<14} beta = {beta!s:<10}"

    def of_fit(fit: PowerLaw) -> str:
        return law(fit.params["p_c"], fit.params["beta"])

    place = ", ".join(f"{name} = {_short(value)}" for name, value in point.at.items())
    offset = f" - {order.offset:.4g} ({order.source})" if order.offset else ""
    n = len(order.values)
    lines = [f"{place + ': ' if place else ''}{order.name}{offset}, {n} {one if n == 1 else many}"]
    half, steepest = point.breakdown.half, point.breakdown.steepest
    if math.isfinite(half.value):
        spread = point.breakdown.spread("half")
        scatter = f", {many} scatter by {factor * spread.deviation:.2g}" if spread.n > 1 else ""
        lines.append(
            f"  breakdown    half-way at {told(half)}{scatter}; steepest at {told(steepest)}"
        )
    fit = point.fit
    if fit is not None and math.isfinite(fit.p_c):
        low, high = sorted((factor * point.control[0], factor * point.control[-1]))
        lines.append(
            f"  mean         {of_fit(fit)}  chi2/dof = {fit.chi2:.1f}/{fit.dof} "
            f"(p = {fit.p_value:.2g}), {fit.points} points in [{low:.3g}, {high:.3g}]"
        )
    p_c, beta = point.single("p_c"), point.single("beta")
    if p_c.n:
        scatter = ""
        if p_c.n > 1:
            parts = f"{factor * p_c.deviation:.2g} and {beta.deviation:.2g}"
            scatter = f", {many} scatter by {parts}"
        mean = law(p_c.estimate(), beta.estimate())
        lines.append(f"  alone        {mean}  {p_c.n} of {len(point.each)} {many}{scatter}")
    for narrow in point.scan[1:]:
        if math.isfinite(narrow.p_c):
            reach = f"within {factor * narrow.window[1]:.2g}"
            flags = ", ".join(map(str, narrow.flags))
            lines.append(f"  {reach:<12} {of_fit(narrow)}  {flags}".rstrip())
    counts = point.flags_of_each()
    if counts:
        lines.append("  alone: " + ", ".join(f"{flag} ({n})" for flag, n in counts.items()))
    doubts = ", ".join(map(str, point.flags))
    return "\n".join([*lines, "  resolved" if point.resolved else f"  unresolved: {doubts}"])


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
