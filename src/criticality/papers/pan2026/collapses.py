"""Figs. 7 to 15: collapses at each training rate, BKT-like (App. A) and algebraic (App. B)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from criticality.papers.entry import Entry
from criticality.papers.pan2026 import line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

KINDS = {"bkt": "BKT-like", "algebraic": "algebraic"}


def measure(stores: Mapping[str, Store], p_train: float, family: str) -> dict[str, pd.DataFrame]:
    """Collapse the curves of a training rate."""
    ds = stores[line.STEM].open(observables=["loss", "accuracy"])
    return line.collapsed(ds.sel(p_train=[p_train]), family)


def draw(tables: Tables, p_train: float, family: str) -> Figure:
    """Draw curves with their collapse, and chi2 over p_c and the exponent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.2, 4.2), layout="constrained")
    left, right = (part.subplots() for part in figure.subfigures(1, 2, squeeze=False)[0])
    kind = rf"{KINDS[family]}, $p_\mathrm{{train}}={p_train:g}$"
    line.draw_curves(tables, left, family, kind)
    line.draw_landscape(tables, right)
    for panel, letter in ((left, "a"), (right, "b")):
        panel.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables, family: str) -> str:
    """Give both estimates."""
    return "\n".join(line.told(tables, family))


def _entry(number: int, p_train: float, family: str) -> Entry:
    return Entry(
        name=f"pan2026/fig{number}",
        title=f"Fig. {number}: {KINDS[family]} collapse at p_train = {p_train:g}",
        studies=(line.STEM,),
        measure=partial(measure, p_train=p_train, family=family),
        draw=partial(draw, p_train=p_train, family=family),
        say=partial(say, family=family),
    )


ENTRIES = (
    *(_entry(7 + i, rate, "bkt") for i, rate in enumerate(line.RATES[1:])),
    *(_entry(11 + i, rate, "algebraic") for i, rate in enumerate(line.RATES)),
)
