"""Estimates below each other, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from criticality.figures.parts import COLOURS, MARKERS

APART = 0.25  # of a row, between groups


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
