"""The figure: accuracies, shares of the first layer, and what is left of the effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

LOOKS = {"few": ("#0072b2", "o"), "many": ("#d55e00", "s")}
VERDICTS = {
    SURVIVED: ("#009e73", "o"),
    UNDECIDED: ("0.35", "D"),
    REFUTED: ("#d55e00", "X"),
    AFTERWARDS: ("#0072b2", "|"),
}
SHOWN = (-1.2, 2.7)  # shares of the effect
DECAYS = "weight "
MOVED = "first "


def draw(tables: Tables) -> Figure:
    """Draw accuracies, half-way density against the share of the first layer, and what is left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.2), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
    _draw_curves(tables["curves"], axes[0])
    _draw_shares(tables["arms"], axes[1])
    _draw_predictions(tables["predictions"], axes[2])
    for letter, ax in zip("abc", axes, strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
        ax.legend(
            frameon=False,
            fontsize="small",
            ncols=2,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
        )
    return figure


def _draw_curves(curves: pd.DataFrame, ax: Axes) -> None:
    from criticality.figures.parts import plain

    for (variant, arm), group in curves.groupby(["variant", "arm"], sort=False):
        colour, _ = LOOKS[arm]
        style, words = ("-", "") if variant == BASE else (":", ", layers fixed")
        x, mean, error = (group[name].to_numpy() for name in ("density", "accuracy", "error"))
        n = group["n"].iloc[0]
        label = f"{arm}{words} (n = {n})"
        ax.plot(100 * x, mean, style, color=colour, label=label)
        ax.fill_between(100 * x, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
    ax.set(xscale="log", xlabel="remaining edges (%)", ylabel="test accuracy", ylim=(0, 1))
    plain(ax.xaxis)


def _draw_shares(arms: pd.DataFrame, ax: Axes) -> None:
    """One symbol a variant, means with standard errors; a line for each number of updates."""
    from criticality.figures.parts import plain

    base = arms["variant"] == BASE
    moved = base | arms["variant"].str.startswith(MOVED)
    decays = arms["variant"].str.startswith(DECAYS)
    for arm, (colour, marker) in LOOKS.items():
        mine = arms["arm"] == arm
        usual: dict[str, Any] = {"color": colour, "marker": marker, "ms": 6, "ls": "", "lw": 1}
        for rows, style in (
            (moved & mine & ~base, {"mfc": "white", "label": f"{arm}, moved by hand"}),
            (base & mine, {"ms": 8, "label": f"{arm} updates", "zorder": 3}),
            (decays & mine, {"marker": "^", "label": f"{arm}, weight decay"}),
        ):
            some = arms[rows]
            x, y, error, spread = (
                100 * some[name] for name in ("first", "half", "half_error", "first_error")
            )
            ax.errorbar(x, y, error, spread, **usual | style)
        line = arms[moved & mine].sort_values("first")
        ax.plot(100 * line["first"], 100 * line["half"], color=colour, lw=1, zorder=0)
    for _, some in arms[decays | moved].iterrows():
        text = some["variant"].replace(DECAYS, "decay ").replace(MOVED, "x ").replace(BASE, "x 1")
        at = (100 * some["first"], 100 * some["half"])
        away = (-2, 8) if some["arm"] == "many" else (2, -13)
        usual = {"textcoords": "offset points", "fontsize": "small", "ha": "center"}
        ax.annotate(text, at, away, **usual)
    ax.margins(y=0.08)
    ax.set(
        xlabel=f"share of the first layer at {100 * SHARES['first']:g} % of the edges (%)",
        ylabel="half-way density (% of edges)",
        yscale="log",
    )
    plain(ax.yaxis)


def _draw_predictions(table: pd.DataFrame, ax: Axes) -> None:
    """Share of the effect that is left, with 95 % intervals, on the predicted side or not."""
    from criticality.papers.parts import forest

    for place, one in enumerate(table.itertuples()):
        side = (SHOWN[0], HALF) if one.expected == "gone" else (HALF, SHOWN[1])
        ax.fill_betweenx(
            [place - 0.4, place + 0.4], *side, fc="none", ec="0.82", hatch="////", lw=0, zorder=-1
        )
        ax.text(
            1.02,
            place,
            str(one.n),
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize="small",
        )
    ax.text(1.06, -0.9, "n", transform=ax.get_yaxis_transform(), va="center", fontsize="small")
    for value in (0, 1):
        ax.axvline(value, color="0.4", lw=0.8, ls="--", zorder=0)
    rows = table.rename(columns={"name": "variant"})
    groups = {word: rows[rows["verdict"] == word] for word in VERDICTS}
    forest(ax, groups, SHOWN, names=list(table["name"]), looks=VERDICTS, apart=0)
    ax.set_xlabel("share of the effect left (hatched: predicted)")
