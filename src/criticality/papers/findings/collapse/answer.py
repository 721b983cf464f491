"""The answer in words: numbers with errors, and the verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from criticality.analysis.scaling.evidence import DECISIVE
from criticality.analysis.sizes import LEAST
from criticality.base import with_error
from criticality.papers.findings.collapse.measured import DATA, NULL, PROTOCOLS

if TYPE_CHECKING:
    import pandas as pd

    from criticality.papers.tables import Tables

PLACES = {
    "density": "density of edges",
    "edges_per_unit": "number of edges for each unit",
    "edges": "number of edges",
}
SLOW = 0.1  # a collapse whose range shrinks no faster than this power of W does not sharpen
TRANSITION, NONE, UNDECIDED = "transition", "no transition", "undecided"
KINDS = ("algebraic", "bkt")


def power(tables: Tables, protocol: str, quantity: str, source: str = DATA) -> pd.Series:
    """Row of `powers`: of accuracy in networks, of reached outputs in random graphs."""
    powers = tables["powers"]
    order = "accuracy" if source == DATA else "outputs"
    wanted = {"protocol": protocol, "source": source, "order": order, "quantity": quantity}
    mine = (powers[list(wanted)] == list(wanted.values())).all(axis=1)
    return powers[mine].iloc[0]


def converging(tables: Tables, protocol: str, source: str = DATA) -> tuple[str, ...]:
    """Measures of what is left that may be the same at half-way for all widths."""
    rows = {name: power(tables, protocol, name, source) for name in PLACES}
    return tuple(name for name, row in rows.items() if row["low"] <= 0 <= row["high"])


def verdict(tables: Tables, protocol: str) -> str:
    """Whether the collapse is a transition.

    It is one if the range of the collapse shrinks as a power of W, one measure of what is left
    converges, and finite-size scaling in that measure is preferred to smooth forms.  It is none if
    the range shrinks no faster than W^-0.1, or not at all, or if in the measure that converges
    smooth forms are decisively preferred.  Intervals are of 95 %.
    """
    drop, places = power(tables, protocol, "drop"), converging(tables, protocol)
    evidence = tables["evidence"]
    mine = evidence[(evidence["protocol"] == protocol) & evidence["control"].isin(places)]
    if drop["low"] > -SLOW or (len(places) == 1 and NONE in set(mine["verdict"])):
        return NONE
    if drop["high"] < 0 and len(places) == 1:
        scaling = mine["family"].isin(KINDS)
        best = mine["log_evidence"].where(scaling).max()
        if best > mine["log_evidence"].where(~scaling).max() + DECISIVE:
            return TRANSITION
    return UNDECIDED


def say(tables: Tables) -> str:
    """Say it, a paragraph for each protocol."""
    lines = []
    numbers = tables["half"].groupby(["protocol", "order", "width"])["realization"].nunique()
    for protocol, words in PROTOCOLS.items():
        if (numbers[protocol, "accuracy"] > 1).sum() < LEAST:
            lines.append(f"{words}: too few networks")
            continue
        lines += [f"{words}: {verdict(tables, protocol)}", f"  {_place(tables, protocol)}"]
        lines.append(f"  {_sharpness(tables, protocol)}")
        if protocol in set(tables["evidence"]["protocol"]):
            lines.append(f"  {_evidence(tables['evidence'], protocol)}")
    lines.append("random graphs with as many edges in each layer as networks pruned by magnitude:")
    lines.append(f"  {_place(tables, 'magnitude', NULL)}")
    lines.append(f"  {_sharpness(tables, 'magnitude', NULL)}")
    return "\n".join(lines)


def _exponent(row: pd.Series) -> str:
    text = with_error(row["exponent"], row["error"])
    flags = str(row["flags"])
    return f"{text} [{row['low']:.2f}, {row['high']:.2f}]" + (
        f" ({flags})" if flags and flags != "nan" else ""
    )


def _place(tables: Tables, protocol: str, source: str = DATA) -> str:
    """Where it is half-way, and what converges."""
    sizes = tables["sizes"]
    order = "accuracy" if source == DATA else "outputs"
    mine = sizes[(sizes["protocol"] == protocol) & (sizes["source"] == source)]
    mine = mine[(mine["order"] == order) & (mine["quantity"] == "edges") & (mine["n"] > 0)]
    ends = [
        f"{with_error(row['value'], row['above'])} edges at W = {row['width']:g} (n = {row['n']:g})"
        for _, row in mine.sort_values("width").iloc[[0, -1]].iterrows()
    ]
    places = converging(tables, protocol, source)
    exponents = ", ".join(
        f"{words} ~ W^{_exponent(power(tables, protocol, name, source))}"
        for name, words in PLACES.items()
    )
    kept = " or ".join(PLACES[name] for name in places)
    what = f"what may be critical is the {kept}" if places else "none of these converges"
    return f"half-way at {', '.join(ends)}; {exponents}: {what}"


def _sharpness(tables: Tables, protocol: str, source: str = DATA) -> str:
    drop = power(tables, protocol, "drop", source)
    scatter = power(tables, protocol, "scatter", source)
    scattered = (
        f"W^{_exponent(scatter)}" if math.isfinite(scatter["exponent"]) else "not determined"
    )
    return f"range ln(E75/E25) ~ W^{_exponent(drop)}; scatter of ln E ~ {scattered}"


def _evidence(evidence: pd.DataFrame, protocol: str) -> str:
    """Which form in which control describes the same points best."""
    mine = evidence[evidence["protocol"] == protocol]
    best = mine.groupby("control")["log_evidence"].max()
    forms = []
    for control in best.index:
        one = mine[mine["control"] == control].sort_values("log_evidence", ascending=False)
        first = one.iloc[0]
        forms.append(
            f"in ln({PLACES[control]}) {first['form']} (ln Z = {first['log_evidence']:.1f}, "
            f"p = {first['p_value']:.2g}): {first['verdict']}"
        )
    return "finite-size scaling: " + "; ".join(forms)
