"""What figures share."""

from __future__ import annotations

import io
import math
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from criticality.analysis.scales import scale_of, scaled
from criticality.analysis.stats import Array
from criticality.base import COLOURS as COLOURS

MARKERS = "osD^vP*Xh<>d"
# line styles tell colours apart in grey print
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
LEAST_TICKS = 3  # of an axis
FEW_TICKS = 6  # measured values, each of which has a tick: none where there can be no value
DRAWN = "what is drawn"  # name of an array among its axes, which no control can have
DIGITS = 11  # an inch, of labels on a horizontal axis
LINES = 20  # of text that fit above each other beside one
UNEVEN = 4.0  # ratio of steps, above which an axis is not to scale


class Shown(Figure):
    """A figure that a notebook shows, also where pyplot was not imported."""

    def _repr_png_(self) -> bytes:
        """Draw it."""
        content = io.BytesIO()
        self.savefig(content, format="png", bbox_inches="tight")
        return content.getvalue()


def axes(ax: Axes | None) -> Axes:
    """Give the axes to draw on, new ones if there are none."""
    return ax if ax is not None else Shown(figsize=(4, 3.6), layout="constrained").subplots()


def symbol(ds: xr.Dataset, name: str) -> str:
    """Symbol of an axis, or its name."""
    return str(ds[name].attrs.get("symbol", name))


def assigned(ds: xr.Dataset, name: str, value: Any) -> str:
    """Symbol of an axis with its value."""
    return f"{symbol(ds, name)} = {f'{value:g}' if isinstance(value, float) else value}"


def starred(ds: xr.Dataset, name: str) -> str:
    """Symbol of a critical value on an axis."""
    text = symbol(ds, name)
    return f"{text[:-1]}^*$" if text.startswith("$") and text.endswith("$") else f"{text}*"


def label(ds: xr.Dataset, name: str) -> str:
    """Axis label: what it is, its symbol, and its unit unless the words say it."""
    about = ds[name].attrs
    text = str(about.get("label") or name.replace("_", " "))
    sign, unit = about.get("symbol", ""), str(about.get("units", "1"))
    parts = [text, *([sign] if sign and sign not in (name, text) else [])]
    if unit != "1" and unit not in text:
        parts.append(f"({unit})")
    return " ".join(parts)


def positions(coordinate: xr.DataArray) -> tuple[Array, Array]:
    """Where measured values stand on an axis, and the edges of their cells.

    On the scale of the axis, with edges half-way between, if no step is more than `UNEVEN` times
    another.  Others stand one cell apart, so that a fine part of the grid stays visible; the axis
    then says that it is not to scale.
    """
    centres = _on_scale(coordinate)
    if centres is None:
        centres = np.arange(coordinate.size, dtype=float)
    half = np.diff(centres) / 2 if len(centres) > 1 else np.array([0.5])
    edges = centres + np.append(half, half[-1])[: len(centres)]
    return centres, np.append(centres[0] - half[0], edges)


def _on_scale(coordinate: xr.DataArray) -> Array | None:
    """Values on their scale, if they can be drawn so."""
    if coordinate.dtype.kind not in "iuf" or coordinate.size < 2:
        return None
    found: Array = scaled(coordinate.values, scale_of(coordinate))
    steps = np.abs(np.diff(found))
    return found if steps.max() <= UNEVEN * steps.min() else None


def on_curve(coordinate: xr.DataArray) -> Array:
    """Where points of a curve stand: as in `positions`, but what turns back does so to scale."""
    if coordinate.dtype.kind in "iuf":
        steps = np.diff(coordinate.values)
        if not ((steps > 0).all() or (steps < 0).all()):
            found: Array = scaled(coordinate.values, scale_of(coordinate))
            return found
    return positions(coordinate)[0]


def scale(ds: xr.Dataset, name: str, axis: Axis, centres: Array | None = None) -> None:
    """Label an axis on which values stand at `centres`, by default as `positions` says."""
    values = ds[name].values
    centres = positions(ds[name])[0] if centres is None else centres
    numbers = values.dtype.kind in "iuf"
    linear = numbers and np.array_equal(centres, values)
    to_scale = numbers and np.array_equal(centres, scaled(values, scale_of(ds[name])))
    uneven = numbers and len(values) > 1 and not to_scale
    axis.set_label_text(label(ds, name) + " (not to scale)" * uneven)
    if linear and not 2 <= len(set(values)) <= FEW_TICKS:
        return
    shown = [f"{v:g}" if isinstance(v, float | np.floating) else str(v) for v in values]
    beside = sum(len(text) + 1 for text in shown)  # so many that they do not run together
    if axis is axis.axes.xaxis:
        inches = axis.axes.get_window_extent().width / axis.axes.figure.dpi
        every = math.ceil(beside / (DIGITS * inches))
    else:
        every = -(-len(shown) // LINES)
    shown = [text if i % every == 0 else "" for i, text in enumerate(shown)]
    axis.set_ticks(list(centres), shown)


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


def curve_style(number: int) -> tuple[str, Any]:
    """Colour and line style of one of several curves."""
    return COLOURS[number % len(COLOURS)], STYLES[number % len(STYLES)]


def shades(number: int) -> list[Any]:
    """Colours of so many curves that have an order."""
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.88, max(number, 1))))


def by_realization(array: xr.DataArray, along: str) -> Array:
    """Values [realizations, points] of what varies with one dimension."""
    values: Array = array.transpose("realization", along).values
    return values


def mean_and_error(values: Array) -> tuple[Array, Array]:
    """Mean over realizations and its standard error; NaN where there are none, or one."""
    there = np.isfinite(values)
    n = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, values, 0).sum(axis=0) / n
        square = np.where(there, (values - mean) ** 2, 0).sum(axis=0)
        error = np.sqrt(square / (n - 1) / n)
    return mean, error


def band(
    x: Array,
    values: Array,
    ax: Axes,
    colour: Any,
    style: Any,
    label: str | None = None,
    lw: float = 1.2,
) -> None:
    """Draw the mean of values [realizations, points] with a band of its standard error."""
    mean, error = mean_and_error(values)
    ax.plot(x, mean, ls=style, lw=lw, color=colour, label=label)
    ax.fill_between(x, mean - error, mean + error, color=colour, alpha=0.25, lw=0)


def plain(axis: Axis) -> None:
    """Write plain numbers on a logarithmic axis: at decades, or at as many more as make three."""
    ax = axis.axes  # whose limits follow the data; those of the axis may be old
    low, high = ax.get_xlim() if axis is ax.xaxis else ax.get_ylim()
    axis.set_major_locator(_ticks(*sorted((low, high))))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _ticks(low: float, high: float) -> Locator:
    """Coarsest of the usual subdivisions of decades with three ticks in a range, if it is one."""
    if not 0 < low < high < math.inf:
        return LogLocator()
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for subs in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = np.outer(decades, subs)
        if np.sum((ticks >= low) & (ticks <= high)) >= LEAST_TICKS:
            return LogLocator(subs=subs)
    return MaxNLocator(6, steps=(1, 2, 2.5, 5, 10))  # so short that it is nearly linear
