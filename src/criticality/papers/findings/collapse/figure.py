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
APART = 1.04  # factor between markers at one width, so that their bars do not hide each other
LEAST = 3  # realizations of a bar; of two it would be no error


def draw(tables: Tables) -> Figure:
    """Draw curves on two controls, and place, range and scatter of the collapse against width."""
    figure = Figure(figsize=(15, 7), layout="constrained")
    axes = figure.subplots(2, 4)
    curves, sizes = tables["curves"], tables["sizes"]
    _curves(axes[0, 0], curves, "magnitude", "density")
    _curves(axes[0, 1], curves, "magnitude", "edges")
    _curves(axes[0, 2], curves, "equal", "edges", dashed=DATA)
    _curves(axes[0, 3], curves, "random", "edges", dashed=NULL)
    axes[0, 0].legend(title="width $W$", fontsize="small", title_fontsize="small", frameon=False)
    _places(axes[1, 0], sizes, curves, tables["theory"])
    _drops(axes[1, 1], sizes, tables["theory"])
    _scatters(axes[1, 2], sizes)
    legend = axes[1, 3]
    legend.set_axis_off()
    handles, labels = axes[1, 1].get_legend_handles_labels()
    legend.legend(handles, labels, loc="center left", frameon=False, fontsize="small",
                  title="at each width, from 25 on:", alignment="left")  # fmt: skip
    for ax, letter in zip(axes.flat, "abcdefg", strict=False):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _curves(ax: Axes, curves: pd.DataFrame, protocol: str, control: str, dashed: str = "") -> None:
    """Accuracy of every width; dashed, the outputs that networks, or random graphs, still reach."""
    mine = curves[curves["protocol"] == protocol]
    widths = sorted(curves["width"].unique())
    for width, colour in zip(widths, shades(len(widths)), strict=True):
        one = mine[(mine["width"] == width) & (mine["edges"] >= 4)]
        data = one[(one["source"] == DATA) & (one["order"] == "accuracy")]
        x = data[control] * (100 if control == "density" else 1)
        y, error = data["mean"], data["error"]
        ax.plot(x, y, color=colour, lw=1.3, label=f"{width:g}")
        ax.fill_between(x, y - error, y + error, color=colour, alpha=0.25, lw=0)
        reached = one[(one["source"] == dashed) & (one["order"] == "outputs")]
        ax.plot(reached[control], reached["mean"], color=colour, lw=1, ls="--")
    ax.set_xscale("log")
    labels = {"density": "edges left (% of the dense network)", "edges": "edges left"}
    ax.set(xlabel=labels[control], ylim=(0, 1.04), ylabel="accuracy above chance")
    if control == "edges":
        ax.set_xlim(4, 3e5)
    ax.set_title(PROTOCOLS[protocol], fontsize="medium")
    if dashed:
        words = {
            DATA: "dashed: outputs\nreached",
            NULL: "dashed: outputs reached\nin random graphs",
        }
        ax.annotate(words[dashed], (0.03, 0.97), xycoords="axes fraction", va="top",
                    fontsize="small")  # fmt: skip


def _style(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number], "marker": MARKERS[number], "ms": 5, "lw": 1}


def _against_width(ax: Axes, sizes: pd.DataFrame, quantity: str) -> None:
    """Points of every protocol, accuracy half-way; open ones of random graphs, outputs half-way."""
    mine = sizes[(sizes["quantity"] == quantity) & np.isfinite(sizes["value"])]

    def points(protocol: str, source: str, order: str, number: int, name: str, **more: Any) -> None:
        at = (mine["protocol"] == protocol) & (mine["source"] == source) & (mine["order"] == order)
        one = mine[at]
        if len(one):
            x = one["width"] * (1.0 if source == NULL else APART ** (number - 2))
            errors = one[["below", "above"]].where(one["n"] >= LEAST).to_numpy().T
            numbers = ", ".join(dict.fromkeys(f"{n:g}" for n in one["n"])) if source == NULL else (
                ", ".join(f"{n:g}" for n in one["n"]))  # fmt: skip
            ax.errorbar(x, one["value"], errors, capsize=2, label=f"{name} (n = {numbers})",
                        **_style(number), **more)  # fmt: skip

    for number, (protocol, words) in enumerate(PROTOCOLS.items()):
        points(protocol, DATA, "accuracy", number, words)
    for number, protocol, words in NULLS:
        points(protocol, NULL, "outputs", number, f"random graphs,\n{words}", mfc="white", ls="--")
    size_axis(ax, np.unique(sizes["width"].to_numpy(float)))
    ax.set_xlabel("width $W$")
    ax.set_yscale("log")


def _exact(ax: Axes, theory: pd.DataFrame, quantity: str, label: str = "") -> None:
    """Draw a broad line, so that points on it do not hide it."""
    low, high = ax.get_xlim()
    near = theory[(theory["width"] >= low) & (theory["width"] <= high)]
    ax.plot(near["width"], near[quantity], color="0.75", lw=5, zorder=0, label=label)


def _guide(ax: Axes, x: Any, y: Any, words: str) -> None:
    """Draw a dotted line, with what it is at its end."""
    ax.plot(x, y, color="0.4", lw=0.9, ls=":", zorder=0)
    ax.annotate(words, (x[-1], y[-1]), xytext=(-1, 9), textcoords="offset points", ha="right",
                fontsize="small", color="0.3")  # fmt: skip


def _places(ax: Axes, sizes: pd.DataFrame, curves: pd.DataFrame, theory: pd.DataFrame) -> None:
    _against_width(ax, sizes, "edges")
    low, high = ax.get_ylim()
    _exact(ax, theory, "edges")
    places = (curves["edges"] / curves["density"]).groupby(curves["width"]).mean()
    _guide(ax, places.index, (places * low * 1.2 / places.iloc[0]).to_numpy(), "one density")
    ax.set(ylim=(low, high), ylabel="edges left at half-way")
    plain(ax.yaxis)


def _drops(ax: Axes, sizes: pd.DataFrame, theory: pd.DataFrame) -> None:
    _against_width(ax, sizes, "drop")
    _exact(ax, theory, "drop", "percolation, wide layers (exact)")
    x = np.unique(sizes["width"].to_numpy(float))
    start = (
        1.1 * sizes["value"][(sizes["quantity"] == "drop") & (sizes["order"] == "accuracy")].max()
    )
    _guide(ax, x, start * (x / x[0]) ** (-1 / 3), "$W^{-1/3}$")
    ax.set_ylabel(r"$\ln(E_{75\,\%} / E_{25\,\%})$ of single networks")
    plain(ax.yaxis)


def _scatters(ax: Axes, sizes: pd.DataFrame) -> None:
    _against_width(ax, sizes, "scatter")
    x = np.unique(sizes["width"].to_numpy(float))
    _guide(ax, x, 0.3 * (x / x[0]) ** -0.5, "$W^{-1/2}$")
    ax.set_ylabel(r"scatter of $\ln E$ at half-way")
    plain(ax.yaxis)
