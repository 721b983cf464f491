"""Figures of refinements: temperatures, free energies and copies, round by round."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from criticality.analysis.stats import Array
from criticality.base import default
from criticality.figures.book import Book, Source, at_point
from criticality.figures.pages import generic_pages
from criticality.figures.parts import assigned, axes
from criticality.systems.potts.refinement import PottsRefinement
from criticality.systems.potts.theory import transition_temperature

ROWS = ("continuation", "phase_check")  # a row for each of these that was swept
ORDER, DISORDER = "#0072b2", "#d55e00"  # told apart in colour-blind vision


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, and the way of each realization."""
    own = {"scale"} if "scale" in source.open("lost").dims else set()
    generic_pages(source, book, {name: value for name, value in at.items() if name not in own})
    ds = source.open()
    by = next((name for name in ROWS if ds.sizes.get(name, 1) > 1), "")
    inner = ("round", "phase", "copy", "term", "realization", by)
    ds, title = at_point(ds, [str(d) for d in ds.dims if d not in inner], at, 0)
    points = [ds.sel({by: value}) for value in ds[by].values] if by else [ds]
    titles = [assigned(ds, by, value) for value in ds[by].values] if by else [title]
    if by == "continuation":
        titles = [
            "no continuation" if value >= 1 else one
            for value, one in zip(ds[by].values, titles, strict=True)
        ]
    if by and title:
        titles = [f"{title}, {one}" for one in titles]
    rows = book.page("rounds", 3, 13.0, titles)
    for point, row in zip(points, rows, strict=True):
        temperatures(point, row[0])
        differences(point, row[1])
        copies(point, row[2])


def temperatures(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the sampled temperature of every realization, and where the transition should be."""
    ax = axes(ax)
    every = ds["path_temperature"].transpose("realization", "round")
    ax.plot(_rounds(ds), every.values.T, "-", color="0.55", lw=0.8)
    ax.plot([], [], "-", color="0.55", label="sampled")
    last, lost = np.nan_to_num(ds["rounds_done"].values), ds["lost"].values > 0
    if lost.any():
        ends = [row[int(n) - 1] if n else np.nan for row, n in zip(every.values, last, strict=True)]
        ax.plot(last[lost], np.array(ends)[lost], "x", color=DISORDER, label="phase lost")
    here, error = ds["temperature"].values, ds["temperature_error"].values
    seen = np.isfinite(here)
    if seen.any():
        beside = last + np.linspace(0.5, 1.5, len(last))  # or they would hide each other
        bars: dict[str, Any] = {
            "fmt": "o",
            "color": ORDER,
            "ms": 3,
            "lw": 1,
            "label": "measured anew, 95 %",
        }
        ax.errorbar(beside[seen], here[seen], 1.96 * error[seen], **bars)
    ax.axhline(_target(ds), color="k", ls="--", lw=1, label="target")
    _label(ax, "temperature $T$")
    ax.legend(fontsize="small")
    return ax


def differences(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the tracked free-energy difference of every realization, with its standard error."""
    ax = axes(ax)
    names = ("path_difference", "path_error")
    values, errors = (ds[name].transpose("realization", "round").values for name in names)
    for value, error in zip(values, errors, strict=True):
        ax.fill_between(_rounds(ds), value - error, value + error, color="0.4", alpha=0.12, lw=0)
    ax.plot(_rounds(ds), values.T, "-", color="0.35", lw=0.8)
    ax.plot([], [], "-", color="0.35", label="realizations, standard errors")
    ax.axhline(0, color="k", ls="--", lw=1, label="coexistence")
    _label(ax, r"$\beta(F_{\rm disorder} - F_{\rm order})$")
    ax.legend(fontsize="small")
    return ax


def copies(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the mean order parameter of every copy, in every round, of all realizations."""
    ax = axes(ax)
    order = ds["path_order"].transpose("phase", "round", "realization", "copy").values
    for which, (name, colour, marker) in enumerate(
        (("begun in order", ORDER, "^"), ("begun in disorder", DISORDER, "v"))
    ):
        values = order[which].reshape(len(ds["round"]), -1)
        rounds = np.broadcast_to(_rounds(ds)[:, None], values.shape)
        ax.plot(rounds, values, marker, color=colour, ms=4, alpha=0.5, mew=0)
        ax.plot([], [], marker, color=colour, ms=5, label=name)
    ax.set_ylim(-0.05, 1.05)
    _label(ax, "order parameter of each copy")
    ax.legend(fontsize="small")
    return ax


def _label(ax: Axes, of: str) -> None:
    ax.set(xlabel="round", ylabel=of)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _rounds(ds: xr.Dataset) -> Array:
    numbers: Array = ds["round"].values + 1
    return numbers


def _target(ds: xr.Dataset) -> float:
    point = json.loads(ds.attrs.get("controls", "{}"))
    for name in ("target", "states"):
        point[name] = ds[name].item() if name in ds.coords else point.get(name)
    of_states = point["states"] or default(PottsRefinement, "states")
    return float(point["target"] or transition_temperature(int(of_states)))
