"""Curves of several sizes: against a control, and against the size."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.analysis import classify
from criticality.analysis.stats import Array
from criticality.figures.parts import (
    DRAWN,
    MARKERS,
    axes,
    label,
    on_curve,
    outside_legend,
    plain,
    scale,
    shades,
    symbol,
)

APART = 0.3  # of the logarithms of sizes, so that each has room for a tick of its own


def against(
    array: xr.DataArray,
    along: str,
    by: str = "",
    ax: Axes | None = None,
    repeated: Collection[str] = ("pass",),
    censored: bool | None = None,
) -> Axes:
    """Draw means over realizations against one axis, a curve for each value of another.

    Points are joined in the order of the data, so that a sweep up and down is a loop.  Bars are
    standard errors over realizations, after an average over repeated measurements; of a censored
    quantity (by default as the data say), medians.
    """
    ax = axes(ax)
    holder = array.to_dataset(name=str(array.name))
    values = array[by].values if by else [None]
    x = on_curve(array[along])
    styles = zip(values, shades(len(values)), itertools.cycle(MARKERS), strict=False)
    for number, (value, colour, marker) in enumerate(styles):
        one = array if value is None else array.isel({by: number})
        mean, error = mean_and_error(one, (along,), repeated, censored)
        text = "" if value is None else _short(value)
        curve(ax, x, mean, error, colour, fmt=f"{marker}-", ms=3.5, lw=0.9, capsize=1.5, label=text)
    scale(holder, along, ax.xaxis, x)
    ax.set_ylabel(label(holder, str(array.name)))
    if by:
        outside_legend(ax, symbol(holder, by))
    return ax


def against_size(
    array: xr.DataArray,
    size: str,
    by: str = "",
    ax: Axes | None = None,
    repeated: Collection[str] = ("pass",),
    censored: bool | None = None,
) -> Axes:
    """Draw means over realizations against the size, on logarithmic axes where that is possible."""
    ax = axes(ax)
    holder = array.to_dataset(name=str(array.name))
    values = array[by].values if by else [None]
    x = array[size].values.astype(float)
    signs: set[float] = set()
    styles = zip(values, shades(len(values)), itertools.cycle(MARKERS), strict=False)
    for number, (value, colour, marker) in enumerate(styles):
        one = array if value is None else array.isel({by: number})
        mean, error = mean_and_error(one, (size,), repeated, censored)
        signs.update(np.sign(mean[np.isfinite(mean)]))
        text = "" if value is None else _short(value)
        curve(ax, x, mean, error, colour, fmt=f"{marker}-", ms=4, capsize=2, lw=1, label=text)
    size_axis(ax, x)
    if signs == {1.0}:
        ax.set_yscale("log")
        plain(ax.yaxis)
    ax.set(xlabel=label(holder, size), ylabel=label(holder, str(array.name)))
    if by:
        outside_legend(ax, symbol(holder, by))
    return ax


def size_axis(ax: Axes, sizes: Array) -> None:
    """Make the horizontal axis logarithmic, with a tick at each size if there is room."""
    if (sizes <= 0).any():
        return
    ax.set_xscale("log")
    plain(ax.xaxis)
    if (np.diff(np.log(np.sort(sizes))) > APART).all():
        ax.set_xticks(sizes, [_short(value) for value in sizes])
        ax.set_xticks([], minor=True)


def curve(ax: Axes, x: Array, mean: Array, error: Array, colour: Any, **style: Any) -> None:
    """Draw points with their errors; an arrow upwards where these have no bound."""
    ax.errorbar(x, mean, np.where(np.isinf(error), np.nan, error), color=colour, **style)
    without = np.isfinite(mean) & np.isinf(error)
    if without.any():
        ax.plot(x[without], mean[without], ls="", marker=r"$\uparrow$", ms=11, color=colour)


def mean_and_error(
    array: xr.DataArray,
    dims: tuple[str, ...],
    repeated: Collection[str] = ("pass",),
    censored: bool | None = None,
) -> tuple[Array, Array]:
    """Mean over realizations and its standard error, [dims]; repetitions are averaged first.

    Medians of what is censored, by default as the data say.  Where a realization alone says nothing
    of its error, that is NaN.
    """
    found = classify.values(
        array.to_dataset(name=DRAWN), DRAWN, repeated=repeated, censored=censored, draws=200
    ).transpose(*dims)
    return found[DRAWN].values, found[f"{DRAWN}_error"].values


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
