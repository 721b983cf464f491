"""Curves of several sizes: against a control, and against the size."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.analysis import stats
from criticality.analysis.stats import Array
from criticality.figures.parts import (
    MARKERS,
    axes,
    label,
    outside_legend,
    plain,
    positions,
    scale,
    symbol,
)
from criticality.figures.plane import shades_of


def against(
    array: xr.DataArray,
    along: str,
    by: str = "",
    ax: Axes | None = None,
    repeated: Collection[str] = ("pass",),
    censored: bool = False,
) -> Axes:
    """Draw means over realizations against one axis, a curve for each value of another.

    Bars are standard errors over realizations, after an average over repeated measurements; of a
    censored quantity, medians.
    """
    ax = axes(ax)
    holder = array.to_dataset(name=str(array.name))
    values = array[by].values if by else [None]
    for value, colour, marker in zip(values, shades_of(len(values)), MARKERS * 4, strict=False):
        one = array if value is None else array.sel({by: value})
        mean, error = mean_and_error(one, (along,), repeated, censored)
        ax.errorbar(
            positions(array[along].values)[0],
            mean,
            error,
            fmt=f"{marker}-",
            ms=3.5,
            lw=0.9,
            capsize=1.5,
            color=colour,
            label="" if value is None else _short(value),
        )
    scale(holder, along, ax.xaxis)
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
    censored: bool = False,
) -> Axes:
    """Draw means over realizations against the size, on logarithmic axes where that is possible."""
    ax = axes(ax)
    holder = array.to_dataset(name=str(array.name))
    values = array[by].values if by else [None]
    x = array[size].values.astype(float)
    positive = True
    for value, colour, marker in zip(values, shades_of(len(values)), MARKERS * 4, strict=False):
        one = array if value is None else array.sel({by: value})
        mean, error = mean_and_error(one, (size,), repeated, censored)
        positive &= bool((mean[np.isfinite(mean)] > 0).all())
        text = "" if value is None else _short(value)
        ax.errorbar(
            x, mean, error, fmt=f"{marker}-", ms=4, color=colour, capsize=2, lw=1, label=text
        )
    if (x > 0).all():
        ax.set_xscale("log")
        plain(ax.xaxis)
    if positive:
        ax.set_yscale("log")
        plain(ax.yaxis)
    ax.set(xlabel=label(holder, size), ylabel=label(holder, str(array.name)))
    if by:
        outside_legend(ax, symbol(holder, by))
    return ax


def mean_and_error(
    array: xr.DataArray,
    dims: tuple[str, ...],
    repeated: Collection[str] = ("pass",),
    censored: bool = False,
) -> tuple[Array, Array]:
    """Mean over realizations and its standard error, [dims]; repetitions are averaged first.

    Where a realization alone says nothing of its error, that is NaN.
    """
    each = array.mean([d for d in array.dims if d in repeated], skipna=False)
    samples = each.transpose("realization", *dims).values.astype(float)
    centre = stats.centre(samples, censored=censored)
    if censored:
        drawn = stats.bootstrap_centres(samples, 200, np.random.default_rng(0), censored=True)
        return centre, stats.half_width(drawn)
    there = np.isfinite(samples)
    n = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        square = np.where(there, (samples - centre) ** 2, 0).sum(axis=0)
        error = np.where(n > 1, np.sqrt(square / (n - 1) / n), np.nan)
    return centre, error


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
