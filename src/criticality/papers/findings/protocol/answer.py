"""The answer in words: numbers with intervals, and the verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from criticality.base import with_error
from criticality.papers.findings.protocol.border import (
    ENDINGS,
    HALVING,
    MARGIN,
    PATIENCES,
    ended,
    unbounded,
)
from criticality.papers.findings.protocol.line import LARGE, SMALL
from criticality.papers.findings.protocol.variants import TRAINING, USUAL
from criticality.papers.rows import NUMBERS, said

if TYPE_CHECKING:
    import pandas as pd

    from criticality.papers.tables import Tables

DOCUMENTED, WAITED = ENDINGS
THAN = {USUAL: "that as documented", DOCUMENTED: "that not waited for"}  # of a border
HIGHER = "uniform weights"  # had the higher line at small sizes


def say(tables: Tables) -> str:
    """Give the numbers with their intervals, and what is concluded by the rules."""
    return "\n".join((*_border(tables), "", *_line(tables)))


def _highest(tables: Tables) -> pd.DataFrame:
    """Give the counts at the highest rate, waited for, of every variant and size."""
    waited = ended(tables["counts"], WAITED)
    return waited.loc[waited.groupby(["variant", "n_train"])["p_train"].idxmax()]


def stays(tables: Tables) -> dict[str, bool]:
    """Whether waiting leaves amentia, by variant: at the highest rate few begin, at every size."""
    highest = _highest(tables)
    few = (highest["high"] < 0.5).groupby(highest["variant"], sort=False).all()
    return {str(name): bool(found) for name, found in few.items()}


def is_phase(tables: Tables) -> bool:
    """Whether waiting leaves amentia in the protocol as documented."""
    return stays(tables).get(USUAL, False)


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


def _rate(plateau: int | None) -> str:
    return f"rate halved after {plateau}" if plateau == HALVING else "constant rate"


def _many(rows: pd.DataFrame) -> str:
    few, many = rows["n"].min(), rows["n"].max()
    return f"n = {few}" if few == many else f"n = {few} to {many}"


def _claim(row: pd.Series, than: str) -> str:
    found = f"{row['direction']} than" if row["moved"] else "not seen to differ from"
    return f"{found} {than} (p = {row['adjusted']:.2g})"


def _border(tables: Tables) -> Iterator[str]:
    places, moved, later = (tables[name] for name in ("border", "border_moved", "late"))
    places = places[places["margin"] == MARGIN]
    yield "Border of amentia p_train*: half of the networks begin to learn; by patience"
    usual = places[places["variant"] == USUAL]
    for (plateau, size), part in usual.groupby(["plateau", "n_train"]):
        each = ", ".join(f"{row['patience']}: {_short(row)}" for _, row in part.iterrows())
        yield f"  {size:,} samples, {_rate(plateau)} ({_many(part)}): {each}"
    patience = ENDINGS[DOCUMENTED][1]
    told = later[(later["variant"] == USUAL) & (later["patience"] == patience)]
    for _, row in told[told["stopped"] > 0].iterrows():
        yield (
            f"  {row['n_train']:,} samples, {_rate(row['plateau'])}: of {row['stopped']} stopped "
            f"by patience {patience}, {row['begin_later']} begin with {PATIENCES[-1]} "
            f"[{row['low']:.3f}, {row['high']:.3f}]"
        )
    for ending, (plateau, patience) in ENDINGS.items():
        about = f"{ending.capitalize()} ({_rate(plateau)}, patience {patience})"
        yield f"{about}, 95 % intervals where n is enough:"
        for _, row in ended(places, ending).iterrows():
            mine = moved[(moved["ending"] == ending) & (moved["variant"] == row["variant"])]
            tests = mine[mine["n_train"] == row["n_train"]]
            claims = [
                _claim(test, THAN.get(test["against"], f"that with {test['against']}"))
                for _, test in tests.iterrows()
            ]
            about = f"{row['variant']}, {row['n_train']:,} samples (n = {row['n']})"
            place = _between(row, ended(tables["counts"], ending)) if unbounded(row) else said(row)
            yield "\n      ".join([f"  {about}: {place}", *claims])
    highest = _highest(tables)
    for variant, found in stays(tables).items():
        verdict = "amentia is a phase" if found else "undecided whether amentia is a phase"
        begun = ", ".join(
            f"{r['begun']} of {r['networks']} begin at {r['p_train']:g} ({r['n_train']:,} samples)"
            for _, r in highest[highest["variant"] == variant].iterrows()
        )
        yield f"{variant.capitalize()}: {verdict}; waited for, {begun}."
    waited, stopped = movers(tables, WAITED), movers(tables, DOCUMENTED)
    if waited:
        yield f"Its border is protocol: moved, though waited for, by {', '.join(waited)}."
    elif stopped:
        yield f"Its border is protocol of the end of training: moved by {', '.join(stopped)}."
    else:
        yield "Undecided whether its border is protocol: nothing is seen to move it."


def _between(row: pd.Series, counts: pd.DataFrame) -> str:
    """Say between which rates a border without an interval lies: more than half begin, fewer do."""
    mine = counts[(counts["variant"] == row["variant"]) & (counts["n_train"] == row["n_train"])]
    share = mine["begun"] / mine["networks"]
    ends = mine["p_train"][share > 0.5].max(), mine["p_train"][share < 0.5].min()
    return f"between {ends[0]:g} and {ends[1]:g}, no interval of so few"


def _short(row: pd.Series) -> str:
    value, error = float(row["value"]), float(row["error"])
    return with_error(value, error) if math.isfinite(value) else said(row)


def _line(tables: Tables) -> Iterator[str]:
    line, moved = tables["line"], tables["line_moved"]
    yield "Line p_eval* at p_train = 0, 95 % intervals; alpha where that compared with is zero"
    for variant, part in line.groupby("variant", sort=False):
        yield f"  {variant} ({_many(part)}):"
        tests = moved[moved["variant"] == variant].set_index(["against", "window"])
        for _, row in part.iterrows():
            text = [f"    {row['least']:,} to {row['largest']:,}: {said(row)}"]
            if variant != USUAL:
                text.append(f"as documented {said(_usual(row))}")
            if (USUAL, row["window"]) in tests.index:
                text.append(_apart(tests.loc[(USUAL, row["window"])], "that as documented"))
            if row["window"] == LARGE and (SMALL, LARGE) in tests.index:
                text.append(_apart(tests.loc[(SMALL, LARGE)], "that of its smaller half"))
            yield f"\n{' ' * 6}".join(text)
    up = moved[moved["against"] == SMALL]
    yield f"Moves with the sizes: {_names(up[up['moved']])}; not seen: {_names(up[~up['moved']])}."
    for name in dict.fromkeys(line["variant"]):
        if name.startswith(HIGHER):
            yield f"The higher line of {name}: {survival(tables, name)}."


def _apart(test: pd.Series, than: str) -> str:
    return f"{_claim(test, than)}: alpha {test['difference']:+.3f} +- {test['error']:.3f}"


def _usual(row: pd.Series) -> dict[str, Any]:
    """Estimate of the protocol as documented on the sizes of a row."""
    return {name: row[f"usual_{name}"] for name in (*NUMBERS, "flags")}


def _names(rows: pd.DataFrame) -> str:
    return ", ".join(f"{r['variant']} ({r['direction']})" for _, r in rows.iterrows()) or "none"
