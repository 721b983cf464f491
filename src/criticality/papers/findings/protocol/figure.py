"""Figure of the border by protocol and by patience, and of the line by protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from criticality.figures.parts import COLOURS, MARKERS
from criticality.papers.findings.protocol.border import (
    ENDINGS,
    HALVING,
    MARGIN,
    PATIENCES,
    ended,
    unbounded,
)
from criticality.papers.findings.protocol.line import ALL, LARGE, SMALL
from criticality.papers.findings.protocol.variants import USUAL
from criticality.papers.parts import intervals

if TYPE_CHECKING:
    from criticality.papers.tables import Tables

RATES = (0.48, 0.98)  # of p_train
SHOWN = (0.5, 1.0)  # where borders are
APART = 0.17  # of a row or tick, between series
WINDOWS = {ALL: MARKERS[0], SMALL: MARKERS[3], LARGE: MARKERS[2]}


def draw(tables: Tables) -> Figure:
    """Draw how many begin under each protocol, the border by patience, and the line."""
    room = ConstrainedLayoutEngine(rect=(0, 0.02, 1, 0.98))  # below: how much is computed
    figure = Figure(figsize=(10.5, 10.5), layout=room)
    parts = figure.subplot_mosaic([["a", "b"], ["a", "c"]], height_ratios=(1, 2.1))
    _draw_counts(parts["a"], tables)
    _draw_patience(parts["b"], tables["border"])
    _draw_line(parts["c"], tables)
    for letter, ax in parts.items():
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _draw_counts(ax: Axes, tables: Tables) -> None:
    """Share of networks that begin, a row for each protocol, with the border and its interval."""
    moved, places = tables["border_moved"], tables["border"]
    labels: list[str] = []
    for ending in ENDINGS:
        counts = ended(tables["counts"], ending)
        at = ended(places[places["margin"] == MARGIN], ending)
        labels.append(f"{ending}:")
        for (variant, size), rows in counts.groupby(["variant", "n_train"], sort=False):
            row = len(labels)
            here = at[(at["variant"] == variant) & (at["n_train"] == size)]
            ends = here[["low", "high"]].where(~here.apply(unbounded, axis=1), np.nan)
            intervals(
                ax,
                [row + 0.28],
                here.assign(**ends),
                RATES,
                marker="|",
                colour=COLOURS[1],
                ms=9,
                mew=1.8,
            )
            share = rows["begun"] / rows["networks"]
            ax.scatter(
                rows["p_train"], np.full(len(rows), row - 0.1), c=share, cmap="Greys",
                vmin=0, vmax=1, s=75, edgecolors="black", linewidths=0.7, zorder=2,
            )  # fmt: skip
            for _, one in rows[(share > 0) & (share < 1)].iterrows():
                text = f"{one['begun']}/{one['networks']}"
                ax.annotate(text, (one["p_train"], row - 0.1), (0, 6), fontsize=6.5, ha="center",
                            textcoords="offset points")  # fmt: skip
            mine = moved[(moved["variant"] == variant) & (moved["n_train"] == size)]
            star = "*" if mine["moved"][mine["ending"] == ending].any() else ""
            few, many = rows["networks"].min(), rows["networks"].max()
            n = f"{few}" if few == many else f"{few}-{many}"
            name = f"{size:,} samples" if variant == USUAL else variant
            labels.append(f"{name}{star} (n = {n})")
    ax.set_yticks(range(len(labels)), labels, fontsize="small")
    for tick, text in zip(ax.yaxis.get_major_ticks(), labels, strict=True):
        if text.endswith(":"):
            tick.label1.set_fontweight("bold")
            tick.tick1line.set_visible(False)
    ax.set_ylim(len(labels) - 0.3, -0.7)
    ax.set_title("begin: none (white) to all (black); * moved", loc="right", fontsize="small")
    ax.set_xlim(*RATES)
    ax.set_xlabel(r"training dropout $p_\mathrm{train}$")


def _draw_patience(ax: Axes, border: pd.DataFrame) -> None:
    """Draw p_train* against patience, of the sizes and with the rate halved or not."""
    rows = border[(border["variant"] == USUAL) & (border["margin"] == MARGIN)]
    series = list(rows.groupby(["n_train", "plateau"]))
    sizes = sorted(set(rows["n_train"]))
    for number, ((size, plateau), part) in enumerate(series):
        shift = APART * 0.8 * (number - (len(series) - 1) / 2)
        colour, marker = COLOURS[sizes.index(size)], MARKERS[sizes.index(size)]
        filled = {"label": f"{size:,} samples"} if plateau == HALVING else {"mfc": "white"}
        place = part["patience"].map(PATIENCES.index).to_numpy(float) + shift
        intervals(ax, place, part, SHOWN, marker=marker, colour=colour, upright=True, **filled)
    ax.set_xticks(range(len(PATIENCES)), [str(n) for n in PATIENCES])
    ax.set_ylim(*SHOWN)
    ax.set_xlabel("patience (epochs); open: constant rate")
    ax.set_ylabel(r"border $p^*_\mathrm{train}$")
    ax.legend(loc="lower right", ncols=len(sizes), fontsize="small", frameon=False)


def _draw_line(ax: Axes, tables: Tables) -> None:
    """Draw p_eval* by variant and window, beside that as documented of the same sizes."""
    line, moved = tables["line"], tables["line_moved"]
    labels: list[str] = []
    usual = {f"usual_{name}": name for name in ("value", "low", "high")}
    for variant, rows in line.groupby("variant", sort=False):
        for _, one in rows.iterrows():
            row, here = len(labels), one.to_frame().T
            tests = moved[(moved["variant"] == variant) & (moved["window"] == one["window"])]
            star = "*" if tests["moved"][tests["against"] == USUAL].any() else ""
            if variant != USUAL:
                base = here.drop(columns=list(usual.values())).rename(columns=usual)
                intervals(ax, [row + APART], base, (0.0, 1.0), marker="|", colour="0.55", ms=7,
                          mew=1.6)  # fmt: skip
            coarse = "coarse grid" in str(one["flags"])
            intervals(ax, [row - APART], here, (0.0, 1.0), marker=WINDOWS[one["window"]],
                      colour=COLOURS[0], ms=5.5, mfc="white" if coarse else None)  # fmt: skip
            head = f"{variant} (n = {one['n']})\n" if one["window"] == ALL else ""
            few = "" if one["sizes"] > 2 else ", two sizes"
            labels.append(f"{head}{one['least']:,} to {one['largest']:,}{few}{star}")
        ax.axhline(len(labels) - 0.5, color="0.85", lw=0.7, zorder=0)
    ax.set_title("grey: as documented, same sizes; * moved", loc="right", fontsize="small")
    ax.set_yticks(range(len(labels)), labels, fontsize="small")
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel(r"line $p^*_\mathrm{eval}$ at $p_\mathrm{train} = 0$")
