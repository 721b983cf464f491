"""The answer in words: numbers with errors, and the verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

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
SHARP = 1 / 3  # least power of W of a transition that is looked for: mean-field percolation, N^-1/3
DECISIVE = 2.0  # in ln likelihood: a range that shrinks as a power rather than ends at a constant
TRANSITION, NONE, UNDECIDED = "transition", "no transition as sharp as W^(-1/3)", "undecided"


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
    """Whether the collapse is a transition, by what single networks show; intervals are of 95 %.

    "transition": the range of the collapse shrinks (its power of W is below 0), as a power and not
    towards a constant (`over_saturation` of 2 in ln likelihood or more), and of density, edges for
    each unit and edges just one is the same for all widths at half-way.  "no transition as sharp as
    W^(-1/3)": the power of the range is consistent with 0, and W^(-1/3), that of percolation of
    random graphs, is excluded.  Else "undecided".

    Measured on made-up curves of widths 25 to 400 with 8, 8, 8, 6, 4 networks, whose places scatter
    by 0.16 in ln E and whose ranges by 15 % (`tests/test_findings_collapse.py`).  A range that
    shrinks as W^(-1/2): a transition in 80 %, none in 0; as W^(-1/3): 70 %, 0 to 2 %; as W^(-0.2):
    32 %, 17 %; never: 0 to 2 %, 98 %; as 1 + w/W, w = 25 to 200: 0 to 2 % are called a transition.
    One that ends at a constant as slowly as 1 + (w/W)^(1/2) is called one in 12 to 25 %.
    """
    drop = power(tables, protocol, "drop")
    if drop["low"] > -SHARP and drop["high"] >= 0:
        return NONE
    shrinks = drop["high"] < 0 and drop["over_saturation"] >= DECISIVE
    return TRANSITION if shrinks and len(converging(tables, protocol)) == 1 else UNDECIDED


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
