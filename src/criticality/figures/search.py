"""What a search along a path has found."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.analysis.scales import scale_of, scaled
from criticality.analysis.search import Best
from criticality.figures.parts import axes, label, positions, scale

LIKE, WORSE = "#0072b2", "0.55"


def search_curve(
    ds: xr.Dataset, name: str, found: Best, chosen: Best, along: str, ax: Axes | None = None
) -> Axes:
    """Draw a quantity at the points of a search, against one axis of its path.

    Parameters
    ----------
    ds
        Has the axis and the quantity, for their labels.
    name
        The quantity.
    found, chosen
        Its means at the points, and the search, whose best point is marked; points that are not
        significantly worse are filled.
    along
        The axis.
    """
    ax = axes(ax)
    at = [point[along] for point in found.points]
    values = np.array([score.value for score in found.scores])
    ends = np.array([[score.low, score.high] for score in found.scores])
    coordinate = xr.DataArray(np.array(at), dims=along, name=along, attrs=ds[along].attrs)
    numbers = coordinate.dtype.kind in "iuf"
    x = scaled(coordinate, scale_of(coordinate)) if numbers else positions(coordinate)[0]
    spread = np.abs(ends.T - values)
    ax.errorbar(x, values, spread, fmt="-", color=WORSE, lw=0.9, capsize=2, zorder=1)
    alike = {tuple(chosen.points[place].items()) for place in chosen.alike}
    fill = np.array([tuple(point.items()) in alike for point in found.points])
    best = np.array([point == chosen.point for point in found.points])
    percent = round(100 * found.scores[0].level)
    for where, marker, size, face, text in (
        (~fill, "o", 4, "w", "worse"),
        (fill & ~best, "o", 4, LIKE, "not significantly worse"),
        (best, "D", 7, LIKE, "best"),
    ):
        if where.any():
            ax.plot(x[where], values[where], marker, ms=size, color=LIKE, mfc=face, label=text)
    scale(xr.Dataset(coords={along: coordinate}), along, ax.xaxis, x)
    ax.set_ylabel(f"{label(ds, name)} ({percent} % intervals)")
    return ax
