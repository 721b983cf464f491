"""Figure of the collapse under pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from criticality.figures.parts import COLOURS, MARKERS, plain, shades
from criticality.figures.sizes import size_axis
from criticality.papers.findings.collapse.measured import DATA, NULL, PROTOCOLS

if TYPE_CHECKING:
    import pandas as pd

    from criticality.papers.tables import Tables

NULLS = (
    (0, "magnitude", "edges in layers as magnitude"),
    (2, "random", "edges removed anywhere"),
)
APART = 1.025  # factor between markers at one width, so that their bars do not hide each other


def draw(tables: Tables) -> Figure:
    """Draw curves on two controls, and place, range and scatter of the collapse against width."""
    figure = Figure(figsize=(11.5, 7), layout="constrained")
    axes = figure.subplots(2, 3)
    curves, sizes = tables["curves"], tables["sizes"]
    _curves(axes[0, 0], curves, "magnitude", "density")
    _curves(axes[0, 1], curves, "magnitude", "edges")
    _curves(axes[0, 2], curves, "random", "edges", null=True)
    axes[0, 0].legend(title="width $W$", fontsize="small", title_fontsize="small", frameon=False)
    _places(axes[1, 0], sizes, curves, tables["theory"])
    _drops(axes[1, 1], sizes, tables["theory"])
    _scatters(axes[1, 2], sizes)
    handles, labels = axes[1, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    for ax, letter in zip(axes.flat, "abcdef", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _curves(
    ax: Axes, curves: pd.DataFrame, protocol: str, control: str, null: bool = False
) -> None:
    """Accuracy of every width; dashed, the outputs that random graphs still reach."""
    mine = curves[curves["protocol"] == protocol]
    widths = sorted(mine["width"].unique())
    for width, colour in zip(widths, shades(len(widths)), strict=True):
        one = mine[(mine["width"] == width) & (mine["edges"] >= 4)]
        data = one[(one["source"] == DATA) & (one["order"] == "accuracy")]
        x = data[control] * (100 if control == "density" else 1)
        y, error = data["mean"], data["error"]
        ax.plot(x, y, color=colour, lw=1.3, label=f"{width:g}")
        ax.fill_between(x, y - error, y + error, color=colour, alpha=0.25, lw=0)
        if null:
            graphs = one[(one["source"] == NULL) & (one["order"] == "outputs")]
            ax.plot(graphs[control], graphs["mean"], color=colour, lw=1, ls="--")
    ax.set_xscale("log")
    labels = {"density": "edges left (% of the dense network)", "edges": "edges left"}
    ax.set(xlabel=labels[control], ylim=(0, 1.04), ylabel="accuracy above chance")
    if null:
        ax.set_ylabel("accuracy above chance\n(dashed: outputs reached)")
    text = "random removal" if protocol == "random" else PROTOCOLS[protocol]
    ax.annotate(text, (0.97, 0.05), xycoords="axes fraction", ha="right")


def _style(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number], "marker": MARKERS[number], "ms": 5, "lw": 1}


def _against_width(ax: Axes, sizes: pd.DataFrame, quantity: str) -> None:
    """Points of every protocol, accuracy half-way; open ones of random graphs, outputs half-way."""
    mine = sizes[(sizes["quantity"] == quantity) & (sizes["n"] > 1)]

    def points(protocol: str, source: str, order: str, number: int, **style: Any) -> None:
        at = (mine["protocol"] == protocol) & (mine["source"] == source) & (mine["order"] == order)
        one = mine[at].to_dict("list")
        if one["value"]:
            x = np.array(one["width"]) * (1.0 if source == NULL else APART ** (number - 2))
            errors = one["below"], one["above"]
            ax.errorbar(x, one["value"], errors, capsize=2, **_style(number), **style)

    for number, (protocol, words) in enumerate(PROTOCOLS.items()):
        points(protocol, DATA, "accuracy", number, label=words)
    for number, protocol, words in NULLS:
        points(protocol, NULL, "outputs", number, label=f"random graphs, {words}",
               mfc="white", ls="--")  # fmt: skip
    size_axis(ax, np.unique(sizes["width"].to_numpy(float)))
    ax.set_xlabel("width $W$")


def _places(ax: Axes, sizes: pd.DataFrame, curves: pd.DataFrame, theory: pd.DataFrame) -> None:
    _against_width(ax, sizes, "edges")
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    wide = ax.get_xlim()
    places = (curves["edges"] / curves["density"]).groupby(curves["width"]).mean()
    ax.plot(places.index, places * low * 1.3 / places.iloc[0], color="0.4", lw=0.9, ls=":")
    near = theory[(theory["width"] >= wide[0]) & (theory["width"] <= wide[1])]
    ax.plot(near["width"], near["edges"], color="black", lw=0.9)
    ax.set(ylim=(low, high), ylabel="edges left at half-way")
    plain(ax.yaxis)


def _drops(ax: Axes, sizes: pd.DataFrame, theory: pd.DataFrame) -> None:
    _against_width(ax, sizes, "drop")
    x = np.array(sorted(sizes["width"].unique()), float)
    ax.plot(x, np.interp(x, theory["width"], theory["drop"]), color="black", lw=0.9,
            label="percolation, wide layers")  # fmt: skip
    first = sizes[(sizes["quantity"] == "drop") & (sizes["order"] == "accuracy")]
    start = float(first["value"].iloc[0])
    ax.plot(x, start * (x / x[0]) ** -0.5, color="0.4", lw=0.9, ls=":",
            label=r"guides: one density (d), $W^{-1/2}$ (e, f)")  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylabel(r"$\ln(E_{75\,\%} / E_{25\,\%})$ of single networks")
    plain(ax.yaxis)


def _scatters(ax: Axes, sizes: pd.DataFrame) -> None:
    _against_width(ax, sizes, "scatter")
    x = np.unique(sizes["width"].to_numpy(float))
    ax.plot(x, 0.3 * (x / x[0]) ** -0.5, color="0.4", lw=0.9, ls=":")
    ax.set_yscale("log")
    ax.set_ylabel(r"scatter of $\ln E$ at half-way")
    plain(ax.yaxis)
