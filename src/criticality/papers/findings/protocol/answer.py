"""The answer in words: numbers with intervals, and the verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from criticality.papers.findings.protocol.border import (
    ENDINGS,
    HALVING,
    MARGIN,
    PATIENCES,
    ended,
)
from criticality.papers.findings.protocol.line import LARGE, SMALL
from criticality.papers.findings.protocol.variants import TRAINING, USUAL
from criticality.papers.rows import NUMBERS, said

if TYPE_CHECKING:
    import pandas as pd

    from criticality.papers.tables import Tables

DOCUMENTED, WAITED = ENDINGS
HIGHER = "uniform weights"  # had the higher line at small sizes


def say(tables: Tables) -> str:
    """Give the numbers with their intervals, and what is concluded by the rules."""
    return "\n".join((*_border(tables), "", *_line(tables)))


def is_phase(tables: Tables) -> bool:
    """Whether waiting leaves amentia: at the highest rate fewer than half begin, at every size."""
    waited = ended(tables["counts"], WAITED)
    usual = waited[waited["variant"] == USUAL]
    highest = usual.loc[usual.groupby("n_train")["p_train"].idxmax()]
    return bool(len(highest)) and bool((highest["high"] < 0.5).all())


def movers(tables: Tables, ending: str) -> list[str]:
    """Give the changes of the training that move the border, by the test."""
    rows = tables["border_moved"]
    mine = rows[rows["moved"] & (rows["ending"] == ending) & (rows["against"] == USUAL)]
    return [name for name in mine["variant"] if name.startswith(TRAINING)]


def survival(tables: Tables, variant: str) -> str:
    """Whether the line of a variant is higher than that as documented to the largest sizes."""
    rows = tables["line_moved"]
    mine = rows[(rows["variant"] == variant) & (rows["window"] == LARGE) & rows["moved"]]
    found = dict(zip(mine["against"], mine["direction"], strict=True))
    if found.get(USUAL) == "higher":
        return "survives"
    return "does not survive" if "lower" in found.values() else "not known"


def _rate(plateau: int) -> str:
    return f"rate halved after {plateau}" if plateau == HALVING else "constant rate"


def _claim(row: pd.Series) -> str:
    p = f"p = {row['adjusted']:.2g} among all"
    return f"{row['direction']}, {p}" if row["moved"] else f"not seen to move ({p})"


def _border(tables: Tables) -> Iterator[str]:
    places, moved, later = (tables[name] for name in ("border", "border_moved", "late"))
    yield "Border of amentia p_train*: half of the networks begin to learn (95 % intervals)"
    usual = places[(places["variant"] == USUAL) & (places["margin"] == MARGIN)]
    for (plateau, size), part in usual.groupby(["plateau", "n_train"]):
        yield f"  {size:,} samples, {_rate(plateau)}, by patience ({_networks(part)}):"
        for _, row in part.iterrows():
            yield f"    {row['patience']}: {said(row)}"
    for _, row in later[(later["variant"] == USUAL) & (later["stopped"] > 0)].iterrows():
        if row["patience"] == ENDINGS[DOCUMENTED][1]:
            yield (
                f"  {row['n_train']:,} samples, {_rate(row['plateau'])}: of {row['stopped']} "
                f"networks that patience {row['patience']} stops, {row['begin_later']} begin with "
                f"{PATIENCES[-1]} [{row['low']:.3f}, {row['high']:.3f}]"
            )
    for ending, (plateau, patience) in ENDINGS.items():
        at = ended(places[places["margin"] == MARGIN], ending)
        yield f"Moved, {ending} ({_rate(plateau or 0)}, patience {patience}):"
        for _, row in moved[moved["ending"] == ending].iterrows():
            mine = (at["variant"] == row["variant"]) & (at["n_train"] == row["n_train"])
            yield (
                f"  {row['variant']}, {row['n_train']:,} samples, against {row['against']}: "
                f"{said(at[mine].iloc[0])}, {row['networks']} networks a point: {_claim(row)}"
            )
    yield f"Amentia is {'a phase' if is_phase(tables) else 'not seen to be a phase'}: waiting "
    yield f"  {'does' if is_phase(tables) else 'may'} {'not ' if is_phase(tables) else ''}end it."
    waited, stopped = movers(tables, WAITED), movers(tables, DOCUMENTED)
    if waited:
        yield f"Its border is protocol: moved, though waited for, by {', '.join(waited)}."
    elif stopped:
        yield f"Its border is protocol of the end of training: moved by {', '.join(stopped)}."
    else:
        yield "Its border is not seen to be protocol: undecided."


def _networks(rows: pd.DataFrame) -> str:
    few, many = rows["n"].min(), rows["n"].max()
    return f"{few} networks a point" if few == many else f"{few} to {many} networks a point"


def _line(tables: Tables) -> Iterator[str]:
    line, moved = tables["line"], tables["line_moved"]
    yield "Line p_eval* at p_train = 0 (95 % intervals), and as documented of the same sizes"
    for variant, part in line.groupby("variant", sort=False):
        yield f"  {variant}, {_networks(part)}:"
        tests = moved[moved["variant"] == variant]
        for _, row in part.iterrows():
            text = f"    {row['least']:,} to {row['largest']:,}: {said(row)}"
            yield text if variant == USUAL else f"{text}; {said(_usual(row))}"
        for _, row in tests.iterrows():
            other = "as documented" if row["against"] == USUAL else "its own at smaller sizes"
            yield (
                f"    alpha, {row['least']:,} to {row['largest']:,}, where that {other} is zero: "
                f"{row['difference']:+.3f} +- {row['error']:.3f}: {_claim(row)}"
            )
    up = moved[moved["against"] == SMALL]
    yield f"Moves with the sizes: {_names(up[up['moved']])}; not seen: {_names(up[~up['moved']])}."
    for name in dict.fromkeys(line["variant"]):
        if name.startswith(HIGHER):
            yield f"The higher line of {name}: {survival(tables, name)}."


def _usual(row: pd.Series) -> dict[str, Any]:
    """Estimate of the protocol as documented on the sizes of a row."""
    return {name: row[f"usual_{name}"] for name in (*NUMBERS, "flags")}


def _names(rows: pd.DataFrame) -> str:
    return ", ".join(f"{r['variant']} ({r['direction']})" for _, r in rows.iterrows()) or "none"
