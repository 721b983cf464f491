"""Figures of the field theory: spinodals over the phases, loops, and where branches end over n."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from criticality.analysis.stats import Array
from criticality.base import default
from criticality.figures.book import Book, Source, chosen
from criticality.figures.pages import generic_pages
from criticality.figures.parts import (
    COLOURS,
    MARKERS,
    assigned,
    axes,
    by_realization,
    label,
    mean_and_error,
    on_curve,
    outside_legend,
    plain,
    scale,
    shades,
    symbol,
)
from criticality.figures.plane import phase_handles, phase_map, place
from criticality.figures.sizes import size_axis
from criticality.systems.mean_variance import limits, sine
from criticality.systems.mean_variance.field import MeanVarianceField

OUTLINE = [withStroke(linewidth=3.2, foreground="w")]
LOOP = ("train_mse", "log_precision", "test_ece")
LEGS = ((0.0, "up", "calibrated"), (1.0, "down", "overfit"))  # start, sweep, and what ends on it
STYLES = ("-", "--")


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has; phases under the spinodals, loops, and ends of branches over n."""
    generic_pages(source, book, at)
    ds = source.open()
    if set(ds["start"].values.ravel()) != {start for start, *_ in LEGS}:
        return
    swept = {str(name) for name, size in ds.sizes.items() if size > 1}
    if {"gamma", "rho"} <= swept <= {"gamma", "rho", "start", "level", "n", "realization"}:
        handles = phases(source, ds, book.page("theory", len(LEGS), 9.5)[0])
        book.pages["theory"].legend(
            handles=handles, loc="outside lower center", ncols=4, frameon=False
        )
    if "rho" in swept:
        one, said = ds, []
        for dim in map(str, ds["train_mse"].dims):
            if dim not in ("start", "rho", "realization"):
                value = chosen(ds, dim, at, default(MeanVarianceField, dim))
                one = one.sel({dim: value})
                said += [assigned(ds, dim, value)] if dim in swept else []
        row = book.page("hysteresis", len(LOOP), 5 * len(LOOP), [", ".join(said)])[0]
        for ax, name in zip(row, LOOP, strict=True):
            loop(one, name, ax)
        row[0].legend(frameon=False, fontsize="small")
    if {"n", "resolution"} <= swept and not {"gamma", "line"} & swept:
        row = book.page("ends", 2, 11)[0]
        ends(ds, row[0])
        widths(ds, row[1])


def phases(source: Source, ds: xr.Dataset, row: Sequence[Axes]) -> list[Any]:
    """Draw phases on the way up and down, with the lines where branches end; handles of a legend.

    Lines are means of logit rho over realizations, of the largest jump.  Of several n the largest
    is shown, which is that of the phases.
    """
    said = ""
    if "n" in ds.dims:
        largest = ds["n"].values.max()
        said = ", " + assigned(ds, "n", largest)
        ds = ds.sel(n=largest)
    diagrams = [source.diagram({"start": start}) for start, *_ in LEGS]
    drawn: list[Any] = []
    for (_, sweep, _), diagram, ax in zip(LEGS, diagrams, row, strict=True):
        phase_map(diagram, ax, legend=False, borders=False)
        ax.set_title(f"{sweep} in {symbol(ds, 'rho')}{said}", fontsize="medium")
        gamma, rho = (diagram.cells[name] for name in MeanVarianceField.card.plane)
        drawn = []
        for (start, _, what), style in zip(LEGS, STYLES, strict=True):
            middle = _weight(_logit(ds["transition"].sel(start=start)).mean("realization"))
            drawn += ax.plot(
                [place(value, gamma) for value in gamma.values],
                [place(value, rho) for value in middle.squeeze().values],
                color="k",
                ls=style,
                lw=1.8,
                path_effects=OUTLINE,
                label=f"{what} ends",
            )
    return [*phase_handles(diagrams), *drawn]


def loop(ds: xr.Dataset, name: str, ax: Axes | None = None) -> Axes:
    """Draw an observable along rho, up and down; realizations but the first one are thin."""
    ax = axes(ax)
    x = on_curve(ds["rho"])
    first = ds.isel(realization=0)
    for number, ((start, sweep, what), style) in enumerate(zip(LEGS, STYLES, strict=True)):
        colour = COLOURS[number]
        values = by_realization(ds[name].sel(start=start), "rho")
        ax.plot(x, values[1:].T, color=colour, lw=0.5, ls=style, alpha=0.4)
        ax.plot(x, values[0], color=colour, lw=1.8, ls=style, label=sweep)
        at = place(float(first["transition"].sel(start=start)), ds["rho"])
        ax.axvline(at, color=colour, lw=1, ls=":", label=f"{what} ends")
    ax.axvline(place(float(first["maxwell"]), ds["rho"]), color="0.5", lw=1, label="equal $L$")
    scale(ds[[name]], "rho", ax.xaxis, x)
    ax.set_ylabel(label(ds, name))
    return ax


def ends(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw alpha n^2 s^2 where branches end against n, and the limit of many targets."""
    ax = axes(ax)
    share, gamma = _noise(), json.loads(ds.attrs["controls"])["gamma"]
    sizes = ds["n"].values
    bounded = [e for e in ds["resolution"].values if e / share**0.5 < limits.CRITICAL]
    for e, colour, marker in zip(bounded, shades(len(bounded)), MARKERS, strict=False):
        expected = limits.white(e / share**0.5)
        for (start, *_), style, limit in zip(LEGS, STYLES, expected, strict=True):
            one = ds["transition"].sel(start=start, resolution=e)
            alpha = gamma * (1 - one) / one
            values = by_realization(alpha * ds["n"] ** 2 * share, "n")
            mean, error = mean_and_error(np.where(np.isnan(values).any(axis=0), np.nan, values))
            text = f"{e:g}" if style == "-" else None
            ax.errorbar(
                sizes, mean, error, color=colour, marker=marker, ms=4, ls=style, lw=1, label=text
            )
            ax.plot(sizes[-1] * 1.25, limit, "<", color=colour, ms=6, clip_on=False)
    ax.set_yscale("log")
    plain(ax.yaxis)
    size_axis(ax, sizes)
    ax.set(xlabel=label(ds, "n"), ylabel=r"end of the branch $\alpha n^2 s^2$")
    words = [f"{line}: {what}" for line, (*_, what) in zip(("solid", "dashed"), LEGS, strict=True)]
    ax.set_title(f"{', '.join(words)}, arrows: " + r"$n\to\infty$", fontsize="medium")
    outside_legend(ax, "$e$")
    return ax


def widths(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw how far apart both ends are in logit rho against the resolution, and the limit."""
    ax = axes(ax)
    share = _noise()
    ended = _logit(ds["transition"])
    apart = ended.sel(start=0.0) - ended.sel(start=1.0)
    for n, colour, marker in zip(ds["n"].values, shades(ds.sizes["n"]), MARKERS, strict=False):
        mean, error = mean_and_error(by_realization(apart.sel(n=n).fillna(0.0), "resolution"))
        ax.errorbar(
            ds["resolution"], mean, error, color=colour, marker=marker, ms=4, ls="", label=f"{n}"
        )
    line = np.geomspace(float(ds["resolution"].min()), limits.CRITICAL * share**0.5, 300)
    pairs = np.array([limits.white(e / share**0.5) for e in line[:-1]])
    ax.plot(line, [*np.log(pairs[:, 1] / pairs[:, 0]), 0.0], "k", lw=1.5, label=r"$\infty$")
    ax.plot(line[-1], 0, "k*", ms=12, ls="", label="critical")
    ax.set_xscale("log")
    plain(ax.xaxis)
    ax.set(xlabel=label(ds, "resolution"), ylabel=r"width of the loop in logit $\rho$")
    outside_legend(ax, "$n$")
    return ax


def _logit(rho: Any) -> Any:
    return np.log(rho) - np.log1p(-rho)


def _weight(logit: Any) -> Any:
    return 1 / (1 + np.exp(-logit))


def _noise() -> float:
    """Variance of the noise over that of the targets, many of them."""
    x = sine.places(10_000, np)
    noise: Array = np.mean(sine.deviation(x, np) ** 2)
    return float(noise / (noise + np.var(sine.mean(x, np))))
