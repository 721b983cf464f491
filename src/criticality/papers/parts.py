"""What figures of papers and findings share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.path import Path

from criticality.analysis.stats import Array
from criticality.figures.parts import COLOURS, MARKERS, outside_legend, shades

APART = 0.25  # of a row, between groups
# tips of arrows, thin and open, so that none is taken for the marker of a value
UP = Path([(-1, -1), (0, 0), (1, -1)])
DOWN = Path([(-1, 1), (0, 0), (1, 1)])
LEFT = Path([(1, -1), (0, 0), (1, 1)])
RIGHT = Path([(-1, -1), (0, 0), (-1, 1)])


def intervals(
    ax: Axes,
    places: Sequence[float] | Array,
    rows: pd.DataFrame,
    ends: tuple[float, float],
    *,
    marker: str,
    colour: str,
    upright: bool = False,
    **style: Any,
) -> None:
    """Draw values with their intervals; one that leaves the frame ends there in an arrow.

    Parameters
    ----------
    places
        Of the rows on the other axis.
    rows
        Columns `value`, `low` and `high`; NaN draws nothing, infinity is open.
    ends
        Of the frame, along the intervals.
    upright
        Whether intervals are vertical.
    style
        Of the markers, and their label.
    """
    at = np.asarray(places, dtype=float)
    low, value, high = (rows[name].to_numpy(float) for name in ("low", "value", "high"))
    lines = ax.vlines if upright else ax.hlines
    lines(at, np.clip(low, *ends), np.clip(high, *ends), color=colour, lw=1.2)

    def draw(along: Array, there: Array, form: str | Path, **how: Any) -> None:
        x, y = (at[there], along) if upright else (along, at[there])
        ax.plot(x, y, marker=form, color=colour, ls="", **how)

    inside = (value >= ends[0]) & (value <= ends[1])
    draw(value[inside], inside, marker, **style)
    for beyond, end, form in zip(
        (low < ends[0], high > ends[1]),
        ends,
        (DOWN, UP) if upright else (LEFT, RIGHT),
        strict=True,
    ):
        if beyond.any():  # the layout takes an empty line that is not clipped for a point at 0
            draw(np.full(beyond.sum(), end), beyond, form, ms=6, mew=1.2, mfc="none", clip_on=False)


def forest(
    ax: Axes,
    groups: Mapping[str, pd.DataFrame],
    ends: tuple[float, float],
    usual: str = "",
    *,
    names: Sequence[str] = (),
    looks: Mapping[str, tuple[str, str]] | None = None,
    apart: float = APART,
) -> None:
    """Draw a row for each variant, with an estimate of each group.

    Parameters
    ----------
    groups
        By label: columns `variant`, `value`, `low` and `high`; where there is a column `flagged`,
        symbols are open where it is true.
    ends
        Of the axis; intervals that go on end in an arrow.
    usual
        The variant that the others are compared with: a line marks its values.
    names
        Variants from top to bottom; by default as they come.
    looks
        Colour and marker by label.
    apart
        Distance of groups in a row; 0 if they share none.
    """
    names = list(names or dict.fromkeys(v for rows in groups.values() for v in rows["variant"]))
    for number, (label, rows) in enumerate(groups.items()):
        colour, marker = looks[label] if looks else (COLOURS[number], MARKERS[number])
        place = np.array([names.index(name) for name in rows["variant"]], dtype=float)
        place += apart * (number - (len(groups) - 1) / 2)
        flagged = np.asarray(rows.get("flagged", np.zeros(len(rows))), dtype=bool)
        for some, face in ((~flagged, colour), (flagged, "w")):
            if some.any():
                style: dict[str, Any] = {"mfc": face, "label": label if some[0] else ""}
                mine = rows[some]
                intervals(ax, place[some], mine, ends, marker=marker, colour=colour, **style)
        for value in rows["value"][rows["variant"] == usual]:
            ax.axvline(value, color=colour, lw=0.8, ls=":", zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(*ends)


def curves(
    ax: Axes,
    rows: pd.DataFrame,
    along: str,
    quantity: str,
    by: str,
    *,
    legend: str = "",
    join: str = "-",
    ms: float = 3.5,
) -> None:
    """Draw a quantity with its error against an axis, a curve for each value of another.

    Parameters
    ----------
    rows
        With columns of both axes, the quantity and "<quantity>_error".
    legend
        Its title; empty: none.
    join
        Line style between points.
    ms
        Size of markers.
    """
    values = sorted(rows[by].unique())
    styles = zip(values, shades(len(values)), itertools.cycle(MARKERS), strict=False)
    for value, colour, marker in styles:
        one = rows[rows[by] == value].sort_values(along)
        ax.errorbar(
            one[along],
            one[quantity],
            one[f"{quantity}_error"],
            fmt=f"{marker}{join}",
            ms=ms,
            lw=0.9,
            capsize=1.5,
            color=colour,
            label=f"{value:g}",
        )
    if legend:
        outside_legend(ax, legend)
