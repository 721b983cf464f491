"""Figures of the RBM: phases under the lines of the theory, and loops of annealing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from criticality.base import axes as controls_of
from criticality.base import default
from criticality.figures.book import Book, Source, chosen
from criticality.figures.pages import generic_pages
from criticality.figures.panels import Panel, phase_panels
from criticality.figures.parts import COLOURS, axes
from criticality.figures.plane import place
from criticality.figures.sizes import against
from criticality.systems.rbm import RBM, theory

POINTS = 60  # of a line
SCALINGS = (0.0, 0.5)  # that the theory knows
LOOP = ("overlap", "energy", "autocorrelation_time")
OUTLINE = [withStroke(linewidth=3.2, foreground="w")]


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, phases under the theory's lines, and loops if it was annealed."""
    generic_pages(source, book, at)
    ds = source.open()
    if "phases" in book.pages:
        phase_panels(source, book, "theory", over=lambda panel: draw_theory(panel, ds))
    if ds.sizes.get("annealing", 1) > 1:
        shown = [name for name in LOOP if name in ds]
        row = book.page("annealing", len(shown), 5.2 * len(shown))[0]
        for ax, name in zip(row, shown, strict=True):
            loop(ds, name, at, ax)


def draw_theory(panel: Panel, ds: xr.Dataset) -> None:
    """Draw the replica-symmetric lines over a panel, if there is a theory of its controls."""
    point = {**json.loads(ds.attrs.get("controls", "{}")), **_scalars(ds), **panel.at}
    names = ("prior", "threshold", "bias", "scaling")
    model = {name: point.get(name, default(RBM, name)) for name in names}
    if model["scaling"] not in SCALINGS:
        return
    load, temperature = (panel.diagram.cells[name].values for name in RBM.card.plane)
    drawn = theory.lines(
        theory.Model(**model),
        np.linspace(temperature.min(), temperature.max(), POINTS),
        np.geomspace(load.min(), load.max(), POINTS),
    )
    for number, (name, loads) in enumerate(
        (("metastable retrieval", drawn.spinodal), ("global retrieval", drawn.globally))
    ):
        _line(panel.ax, loads, drawn.temperatures, load, temperature, number, name)
    _line(panel.ax, drawn.loads, drawn.glass, load, temperature, 2, "spin glass")


def loop(ds: xr.Dataset, name: str, at: Mapping[str, str], ax: Axes | None = None) -> Axes:
    """Draw an observable along the schedule, a curve for each start; other axes as `at` says."""
    ax = axes(ax)
    array = ds[name]
    for dim in [str(d) for d in array.dims if d not in ("annealing", "start", "realization")]:
        values = list(array[dim].values)
        array = array.isel({dim: values.index(chosen(array, dim, at, values[0]))})
    return against(array, "annealing", "start" if "start" in array.dims else "", ax)


def _scalars(ds: xr.Dataset) -> dict[str, Any]:
    """Values that were selected of axes that were swept."""
    return {name: ds[name].item() for name in controls_of(RBM) if name in ds.coords and not ds[name].ndim}


def _line(
    ax: Axes,
    loads: Any,
    temperatures: Any,
    load: Any,
    temperature: Any,
    number: int,
    name: str,
) -> None:
    """Draw a line of the theory on axes that may not be to scale; at the edge where it leaves."""
    x = [math.nan if math.isnan(a) else place(a, load) for a in loads]
    y = [math.nan if not math.isfinite(t) else place(t, temperature) for t in temperatures]
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return
    points = np.array([x, y])[:, known]
    if number < 2:  # where it ends at a temperature, it does so at all loads below
        points = np.append(points, [[place(-math.inf, load)], points[1, -1:]], axis=1)
    ax.plot(
        *points,
        color=COLOURS[6],
        ls=("-", "--", ":")[number],
        lw=1.8,
        path_effects=OUTLINE,
        label=f"{name} (theory)",
        zorder=3,
    )
