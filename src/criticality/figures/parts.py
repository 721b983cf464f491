"""What figures share."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARKERS = "osD^vP*Xh<>d"


def axes(ax: Axes | None) -> Axes:
    """Give the axes to draw on, new ones if there are none."""
    return ax if ax is not None else Figure(figsize=(4, 3.6), layout="constrained").subplots()


def outside_legend(ax: Axes, title: str) -> None:
    """Draw the legend to the right of the axes."""
    ax.legend(
        title=title,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize="small",
        title_fontsize="small",
    )


def reference(ax: Axes, value: float, name: str, below: bool = False) -> None:
    """Draw a dotted line at a known value, named at its left end, above or below."""
    ax.axhline(value, color="0.5", lw=0.8, ls=":", zorder=0)
    ax.annotate(
        name,
        (0, value),
        xycoords=("axes fraction", "data"),
        xytext=(3, -2 if below else 2),
        textcoords="offset points",
        va="top" if below else "baseline",
        fontsize="small",
        color="0.35",
    )
