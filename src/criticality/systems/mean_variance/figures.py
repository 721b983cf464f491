"""Figures of the networks: fitted functions at some points of the plane, and loops of rho."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.analysis.stats import Array
from criticality.figures.book import Book, Source, all_used, at_point, chosen
from criticality.figures.pages import generic_pages
from criticality.figures.parts import axes, label, mean_and_error, shades, symbol
from criticality.figures.sizes import against_size
from criticality.systems.mean_variance import sine
from criticality.systems.mean_variance.sweep import legs, logit

PLANE = ("gamma", "rho")
SHOWN = (0.5, 0.9, 0.99, 0.9999)  # rho of the fits that are drawn, along rho = 1 - gamma
FINE = np.linspace(0, 1, 300)
LOOPS = ("train_mse", "precision_spread", "test_nll")
CLOSING = ("loop_width", "loop_area")
LEGS = {"up": ("-", "^"), "down": ("--", "v")}
TICKS = np.array([0.1, 0.5, 0.8, 0.95, 0.99, 0.999, 0.9999])
WIDTH = 2.0  # standard deviations that bands show


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, and fits of the sine problem."""
    ds = source.open()
    fitted = "x" in ds.dims and not ds["mean_curve"].isnull().all()
    own = {"rho"} if fitted and "rho" in ds.dims else set()
    generic_pages(source, book, {name: value for name, value in at.items() if name not in own})
    if not fitted:
        return
    others = [str(d) for d in ds["mean_curve"].dims if d not in ("x", "realization", *PLANE)]
    ds, _ = at_point(ds, others, at, 0)
    points = _points(ds, at)
    row = book.page("fits", len(points), 3.6 * len(points))[0]
    for number, (ax, point) in enumerate(zip(row, points, strict=True)):
        fit(point, ax, legend=number == 0)
        ax.sharey(row[0])
        if number:
            ax.set_ylabel("")


def _points(ds: xr.Dataset, at: Mapping[str, str]) -> list[xr.Dataset]:
    """Choose points near the line rho = 1 - gamma, or what was asked for."""
    swept = [name for name in PLANE if name in ds.dims]
    places: list[dict[str, float]] = []
    for rho in SHOWN:
        near = {"rho": rho, "gamma": 1 - rho}
        place = {name: float(chosen(ds, name, at, near[name])) for name in swept}
        if place not in places:
            places.append(place)
    return [ds.sel(place) for place in places]


def fit(point: xr.Dataset, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw the fits of all realizations, the first with a band, and the truth."""
    ax = axes(ax)
    x, every = point["x"].values, point.transpose("realization", ..., "x")
    means, deviations = every["mean_curve"].values, every["deviation_curve"].values
    true, spread = sine.mean(FINE, np), WIDTH * sine.deviation(FINE, np)
    ax.plot(FINE, true, "k-", lw=1.4, label="truth")
    ax.plot(FINE, true - spread, "k--", lw=0.9, label=f"truth, {WIDTH:g} deviations")
    ax.plot(FINE, true + spread, "k--", lw=0.9)
    ax.plot(x, means[1:].T, color="#d55e00", lw=0.6, alpha=0.5)
    ax.plot(x, means[0], color="#d55e00", lw=1.6, label="fit")
    ends = (means[0] + sign * WIDTH * deviations[0] for sign in (-1, 1))
    ax.fill_between(x, *ends, color="#d55e00", alpha=0.2, lw=0, label=f"fit, {WIDTH:g} deviations")
    names = [name for name in PLANE if name in point.coords and not point[name].ndim]
    ax.set_title(
        ", ".join(f"{symbol(point, name)} = {point[name].item():g}" for name in names),
        fontsize="medium",
    )
    # what is beyond is told by the rest of the curve
    ax.set(xlabel="$x$", ylabel="$y$", xlim=(0, 1), ylim=(-8, 8))
    if legend:
        ax.legend(frameon=False, fontsize="x-small", loc="upper right", ncols=2)
    return ax


# --- sweeps ----------------------------------------------------------------------------------


def loops(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw both legs, a row for each depth, and how the loops close with the epochs.

    At a single rho: what any system has.
    """
    ds = source.open()
    if "rho" not in ds.dims:
        generic_pages(source, book, at)
        return
    dims = [str(d) for d in ds["train_mse"].dims if d not in ("rho", "realization")]
    all_used(at, *dims)
    by = "epochs" if ds.sizes.get("epochs", 1) > 1 and "epochs" not in at else ""
    rows = "depth" if ds.sizes.get("depth", 1) > 1 and "depth" not in at else ""
    ds, title = at_point(ds, [d for d in dims if d not in (by, rows)], at, 0)
    each = [ds.sel({rows: value}) for value in ds[rows].values] if rows else [ds]
    titles = [f"hidden layers: {value}" for value in ds[rows].values] if rows else [title]
    page = book.page("loops", len(LOOPS), 4.6 * len(LOOPS), titles)
    for part, row in zip(each, page, strict=True):
        for number, (ax, name) in enumerate(zip(row, LOOPS, strict=True)):
            loop(part[name], by, ax, legend=number == len(LOOPS) - 1)
    if by and all(name in ds for name in CLOSING):
        row = book.page("closing", len(CLOSING), 5.2 * len(CLOSING), [title])[0]
        for ax, name in zip(row, CLOSING, strict=True):
            against_size(ds[name], by, rows, ax)
            ax.set_yscale("linear")
            ax.axhline(0, color="k", lw=0.8)


def loop(array: xr.DataArray, by: str = "", ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw means over realizations of both legs over ln rho/(1-rho), with standard errors."""
    ax = axes(ax)
    holder = array.to_dataset(name=str(array.name))
    values = array[by].values if by else [None]
    for value, colour in zip(values, shades(len(values)), strict=True):
        one = array if value is None else array.sel({by: value})
        for which, leg in legs(one).items():
            style, marker = LEGS[which]
            x, (mean, error) = logit(leg["rho"].values), _over_realizations(leg)
            name = "" if value is None else f"{symbol(holder, by)} = {value}, "
            ax.errorbar(
                x,
                mean,
                error,
                color=colour,
                ls=style,
                marker=marker,
                ms=3.5,
                lw=1.1,
                capsize=1.5,
                label=f"{name}{which}",
            )
    inside = (array["rho"].values.min() <= TICKS) & (array["rho"].values.max() >= TICKS)
    ax.set_xticks(logit(TICKS[inside]), [f"{rho:g}" for rho in TICKS[inside]])
    ax.set(xlabel=label(holder, "rho"), ylabel=label(holder, str(array.name)))
    if legend:
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax


def _over_realizations(leg: xr.DataArray) -> tuple[Array, Array]:
    return mean_and_error(leg.transpose("realization", "rho").values)
