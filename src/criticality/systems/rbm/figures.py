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

from criticality.analysis.stats import Array
from criticality.base import axes as controls_of
from criticality.base import default
from criticality.figures.book import Book, Source, at_point
from criticality.figures.pages import generic_pages
from criticality.figures.panels import Panel, phase_panels
from criticality.figures.plane import crosses, place
from criticality.figures.sizes import against
from criticality.systems.rbm import RBM, theory

POINTS = 60  # of a line
SCALINGS = (0.0, 0.5)  # that the theory knows
LOOP = ("best_overlap", "energy", "autocorrelation_time")
LINES = (("metastable retrieval", "-"), ("global retrieval", "--"), ("spin glass", ":"))
OUTLINE = [withStroke(linewidth=3.2, foreground="w")]


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, phases under the theory's lines, and loops if it was annealed."""
    generic_pages(source, book, at)
    ds = source.open()
    if "phases" in book.pages:
        phase_panels(
            source, book, "theory", over=lambda panel: draw_theory(panel, ds), borders=False
        )
    if ds.sizes.get("annealing", 1) > 1:
        shown = [name for name in LOOP if name in ds]
        row = book.page("annealing", len(shown), 5.2 * len(shown))[0]
        for ax, name in zip(row, shown, strict=True):
            loop(ds, name, at, ax)


def draw_theory(panel: Panel, ds: xr.Dataset) -> None:
    """Cross what is not in equilibrium; draw the lines of the theory, if there is one."""
    crosses(panel.diagram, panel.ax, "not in equilibrium")
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
    curves = (
        (drawn.spinodal, drawn.temperatures),
        (drawn.globally, drawn.temperatures),
        (drawn.loads, drawn.glass),
    )
    for number, (loads, temperatures) in enumerate(curves):
        _line(panel.ax, loads, temperatures, panel.diagram.cells, number)


def loop(ds: xr.Dataset, name: str, at: Mapping[str, str], ax: Axes | None = None) -> Axes:
    """Draw an observable along the schedule: of each size from the pattern, or of each start.

    Of other axes the last value is shown, or what `at` says; the title tells.
    """
    by = next((n for n in (RBM.card.size, "start") if ds.sizes.get(n, 1) > 1), "")
    others = [str(d) for d in ds[name].dims if d not in ("annealing", by, "realization")]
    ds, title = at_point(ds, others, at, -1)
    ax = against(ds[name], "annealing", by, ax)
    ax.set_title(title, fontsize="medium")
    return ax


def _scalars(ds: xr.Dataset) -> dict[str, Any]:
    """Values that were selected of axes that were swept."""
    names = [name for name in controls_of(RBM) if name in ds.coords and not ds[name].ndim]
    return {name: ds[name].item() for name in names}


def _line(ax: Axes, loads: Array, temperatures: Array, plane: xr.Dataset, number: int) -> None:
    """Draw a line of the theory within the plane, whose axes may not be to scale."""
    load, temperature = (plane[name] for name in RBM.card.plane)
    inside = (temperatures >= temperature.values.min()) & (temperatures <= temperature.values.max())
    known = inside & ~np.isnan(loads) & (loads >= load.values.min())
    if not known.any():
        return
    x, y = loads[known], temperatures[known]
    if np.isposinf(x[-1]):  # at any load
        after = int(np.flatnonzero(known)[-1]) + 1
        if not np.isnan(loads[after : after + 1]).any():
            return
        x, y = np.array([math.inf, -math.inf]), y[[-1, -1]]  # lost at this temperature
    name, style = LINES[number]
    ax.plot(
        [place(value, load) for value in x],
        [place(value, temperature) for value in y],
        color="k",
        ls=style,
        lw=1.8,
        path_effects=OUTLINE,
        label=f"{name} (theory)",
        zorder=3,
    )
