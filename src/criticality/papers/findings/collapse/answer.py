"""The answer in words: numbers with errors, and the verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from criticality.analysis.sizes import LEAST
from criticality.base import with_error
from criticality.papers.findings.collapse.measured import DATA, NULL, PROTOCOLS
from criticality.papers.rows import said

if TYPE_CHECKING:
    import pandas as pd

    from criticality.papers.tables import Tables

PLACES = {
    "density": "density of edges",
    "edges_per_unit": "number of edges for each unit",
    "edges": "number of edges",
}
PATHS = {"conducting": "number of edges on paths"}
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
    random graphs, is excluded.  Else "undecided", and where no power fits the ranges.

    Measured on 300 made-up studies of each truth, widths 25 to 400 with 8, 8, 8, 6, 4 networks,
    whose places scatter by 0.16 in ln E and ranges by 15 % (table in docs/findings/collapse.md): of
    ranges that shrink as W^(-1/2) 80 % are called a transition and none the second, as W^(-1/3) 70
    and 0 %, never 0 and 98 %; of ranges that end at a constant, as 1 + w/W, 2 % are called a
    transition, but as 1 + (w/W)^(1/2) 14 to 28 %.
    """
    drop = power(tables, protocol, "drop")
    if "poor fit" in str(drop["flags"]):
        return UNDECIDED
    if drop["low"] > -SHARP and drop["high"] >= 0:
        return NONE
    shrinks = drop["high"] < 0 and drop["over_saturation"] >= DECISIVE
    return TRANSITION if shrinks and len(converging(tables, protocol)) == 1 else UNDECIDED


def say(tables: Tables) -> str:
    """Say it, a paragraph for each protocol."""
    lines = []
    for protocol, words in PROTOCOLS.items():
        if not len(_against_width(tables, protocol, "edges")):
            lines.append(f"{words}: no networks yet")
            continue
        lines += [f"{words}: {verdict(tables, protocol)}", *_numbers(tables, protocol)]
    lines.append("random graphs with as many edges in each layer as networks pruned by magnitude:")
    lines += _numbers(tables, "magnitude", NULL)
    return "\n".join(lines)


def _against_width(
    tables: Tables, protocol: str, quantity: str, source: str = DATA, order: str = ""
) -> pd.DataFrame:
    """Rows of `sizes` that have a value."""
    sizes = tables["sizes"]
    order = order or ("accuracy" if source == DATA else "outputs")
    wanted = {"protocol": protocol, "source": source, "order": order, "quantity": quantity}
    mine = (sizes[list(wanted)] == list(wanted.values())).all(axis=1) & (sizes["n"] > 0)
    return sizes[mine].sort_values("width")


def _values(found: pd.DataFrame) -> str:
    """Values with their errors, those of two networks without."""
    errors = found["above"].where(found["n"] >= LEAST)
    return ", ".join(map(with_error, found["value"], errors))


def _numbers(tables: Tables, protocol: str, source: str = DATA) -> list[str]:
    """Give all numbers of a protocol, a line each."""
    edges, paths, drops = (
        _against_width(tables, protocol, name, source) for name in ("edges", "conducting", "drop")
    )
    widths, numbers = (", ".join(f"{x:g}" for x in edges[name]) for name in ("width", "n"))
    lines = [f"W = {widths} (n = {numbers})", f"edges left at half-way: {_values(edges)}"]
    if source == DATA:
        outputs = _against_width(tables, protocol, "edges", order="outputs")
        lines.append(f"of these on paths: {_values(paths)}")
        lines.append(f"edges left when half of the outputs are cut off: {_values(outputs)}")
    lines.append(f"range ln(E75/E25): {_values(drops)}")
    drop = power(tables, protocol, "drop", source)
    if math.isnan(drop["value"]):
        return [f"  {line}" for line in lines]
    places = converging(tables, protocol, source)
    for name, words in (PLACES | PATHS).items():
        same = ", may be the same at all widths" if name in places else ""
        lines.append(f"{words} ~ W^a, a = {said(power(tables, protocol, name, source))}{same}")
    better = f"over a range that ends: {drop['over_saturation']:+.1f} in ln likelihood"
    lines.append(f"range ~ W^a, a = {said(drop)}; {better}")
    lines.append(f"scatter of ln E ~ W^a, a = {said(power(tables, protocol, 'scatter', source))}")
    return [f"  {line}" for line in lines]
