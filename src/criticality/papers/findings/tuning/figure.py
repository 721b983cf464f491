"""The figure: accuracies, shares of the first layer, and what is left of the effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from criticality.papers.findings.tuning.measured import summary
from criticality.papers.findings.tuning.predictions import (
    AFTERWARDS,
    BASE,
    HALF,
    REFUTED,
    SHARES,
    SURVIVED,
    UNDECIDED,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables


def draw(tables: Tables) -> Figure:
    """Draw accuracies, half-way density against the share of the first layer, and what is left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1))
    _draw_curves(tables["curves"], left)
    _draw_shares(tables["networks"], middle)
    _draw_predictions(tables["predictions"], right)
    return figure


LOOKS = {"few": ("#0072b2", "o"), "many": ("#d55e00", "s")}


def _draw_curves(curves: pd.DataFrame, ax: Axes) -> None:
    from criticality.figures.parts import plain

    for (variant, arm), group in curves.groupby(["variant", "arm"], sort=False):
        colour, _ = LOOKS[arm]
        style, words = ("-", "") if variant == BASE else (":", ", layers fixed")
        x, mean, error = (group[name].to_numpy() for name in ("density", "accuracy", "error"))
        ax.plot(100 * x, mean, style, color=colour, label=f"{arm} updates{words}")
        ax.fill_between(100 * x, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
    ax.set(xscale="log", xlabel="remaining edges (%)", ylabel="test accuracy", ylim=(0, 1))
    plain(ax.xaxis)
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


def _draw_shares(networks: pd.DataFrame, ax: Axes) -> None:
    """One symbol an arm, means with standard errors; a line for each number of updates."""
    from criticality.figures.parts import plain

    table = summary(networks)
    base = table["variant"] == BASE
    family = table[base | table["variant"].str.startswith("first ")]
    for arm, (colour, marker) in LOOKS.items():
        line = family[family["arm"] == arm].sort_values("first")
        ax.errorbar(
            100 * line["first"],
            100 * line["half"],
            100 * line["half_error"],
            100 * line["first_error"],
            color=colour,
            marker=marker,
            ms=5,
            mfc="white",
            lw=1,
            label=f"{arm} updates",
        )
        own = table[base & (table["arm"] == arm)]
        ax.plot(100 * own["first"], 100 * own["half"], marker, color=colour, ms=7)
    ax.set(
        xlabel=f"share of the first layer at {100 * SHARES['first']:g} % of the edges (%)",
        ylabel="half-way density (% of edges)",
        yscale="log",
    )
    ax.plot([], [], "o", color="0.4", ms=7, label="ranked by magnitude")
    ax.plot([], [], "o", color="0.4", mfc="white", ms=5, label="first layer times 0.5 to 2")
    plain(ax.yaxis)
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


VERDICTS = {
    SURVIVED: ("#009e73", "o"),
    UNDECIDED: ("0.5", "D"),
    REFUTED: ("#d55e00", "X"),
    AFTERWARDS: ("0.5", "*"),
}
SHOWN = (-1.5, 2.5)  # shares of the effect


def _draw_predictions(table: pd.DataFrame, ax: Axes) -> None:
    """Share of the effect that is left, with 95 % intervals, on the predicted side or not."""
    for place, row in enumerate(table.itertuples()):
        side = (SHOWN[0], HALF) if row.expected == "gone" else (HALF, SHOWN[1])
        ax.fill_betweenx([place - 0.4, place + 0.4], *side, color="0.92", lw=0)
        colour, marker = VERDICTS[row.verdict]
        ends = np.clip([row.low, row.high], *SHOWN)
        ax.plot(ends, [place, place], color=colour, lw=1.4)
        if SHOWN[0] < row.left < SHOWN[1]:
            ax.plot(row.left, place, marker, color=colour, ms=6)
    for value in (0, 1):
        ax.axvline(value, color="0.4", lw=0.8, ls="--")
    for word, (colour, marker) in VERDICTS.items():
        ax.plot([], [], marker, color=colour, label=word)
    ax.set_yticks(range(len(table)), list(table["name"]))
    ax.set(xlim=SHOWN, ylim=(len(table) - 0.4, -0.6))
    ax.set_xlabel("share of the effect that is left\n(grey: predicted)")
    ax.legend(frameon=False, fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1))
