"""What figures of findings share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from criticality.analysis.stats import Array
from criticality.figures.parts import COLOURS, MARKERS

APART = 0.25  # of a row, between groups


def bars(rows: pd.DataFrame) -> Array:
    """Lengths of error bars [2, rows] of rates with intervals; what is open goes to 0 or 1."""
    ends = rows["low"].clip(lower=0.0), rows["high"].clip(upper=1.0)
    lengths = np.array([rows["value"] - ends[0], ends[1] - rows["value"]])
    inside: Array = np.nan_to_num(np.maximum(lengths, 0))
    return inside


def legend_below(ax: Axes) -> None:
    """Put a legend below the axes, where it covers nothing."""
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize="small", frameon=False, ncols=2
    )


def forest(
    ax: Axes, groups: Mapping[str, pd.DataFrame], ends: tuple[float, float], usual: str
) -> None:
    """Draw a row for each variant, with an estimate of each group.

    Parameters
    ----------
    groups
        By label: columns `variant`, `value`, `low` and `high`.
    ends
        Of the axis, where open intervals end too.
    usual
        The variant that the others are compared with: a line marks its values.
    """
    names = list(dict.fromkeys(name for rows in groups.values() for name in rows["variant"]))
    for number, (label, rows) in enumerate(groups.items()):
        row = np.array([names.index(name) for name in rows["variant"]])
        place = row + APART * (number - (len(groups) - 1) / 2)
        colour = COLOURS[number]
        ax.hlines(place, rows["low"].clip(*ends), rows["high"].clip(*ends), color=colour)
        ax.plot(rows["value"], place, MARKERS[number], color=colour, label=label)
        for value in rows["value"][rows["variant"] == usual]:
            ax.axvline(value, color=colour, lw=0.8, ls=":", zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(*ends)
