"""Figures of the three-layer network: phases, and exponents with those of the theory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from criticality.analysis.classify import PhaseDiagram
from criticality.figures.book import Book, Source, all_used, at_point
from criticality.figures.panels import phase_panels
from criticality.figures.parts import COLOURS, axes, label, plain
from criticality.figures.plane import draw_boundaries, mark, phase_handles, phase_map
from criticality.figures.sizes import against, against_size
from criticality.systems.three_layer import theory
from criticality.systems.three_layer.phases import LAYERS

FINE = 200  # points of a line
OUTLINE = [withStroke(linewidth=3.2, foreground="w")]
STYLES = ("-", "--")


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw the phases over the plane, and along gamma_3 exponents, changes and directions.

    The latter at one gamma_2, by default the one nearest to 0, or as `at` says.
    """
    ds, told = source.open(), source.card
    horizontal, vertical = told.plane
    kept = (vertical, told.size, "realization")
    others = [str(d) for d in ds["change_1"].dims if d not in kept]
    all_used(at, *others)
    swept = ds.sizes.get(horizontal, 1) > 1
    if swept and ds.sizes.get(vertical, 1) > 1:
        if any(ds.sizes[d] > 1 for d in others if d != horizontal):
            phase_panels(source, book, over=lambda panel: draw_theory(panel.ax))
        else:
            plane(source.diagram(), book.page("phases", 1, 7.0)[0][0])
    if swept:
        middle = ds[horizontal].values[np.abs(ds[horizontal].values).argmin()]
        at = {horizontal: f"{middle:g}"} | dict(at)
    line, title = at_point(ds, others, at, 0)
    if ds.sizes.get(vertical, 1) < 2:
        return
    if line.sizes.get(told.size, 1) > 1:
        chosen = {d: line[d].item() for d in others if ds.sizes[d] > 1}
        gamma_2 = float(line[horizontal])
        diagram = source.diagram({d: v for d, v in chosen.items() if d != horizontal})
        exponents(diagram, gamma_2, book.page("exponents", 1, 6.0, [title])[0][0])
        row = book.page("sizes", 2, 12.0, [title])[0]
        for ax, name in zip(row, LAYERS, strict=True):
            against_size(line[name], told.size, vertical, ax)
    by = told.size if line.sizes.get(told.size, 1) > 1 else ""
    row = book.page("directions", 2, 12.0, [title])[0]
    for ax, name in zip(row, ("directions_1", "directions_2"), strict=True):
        against(line[name], vertical, by, ax)
        ax.set_yscale("log")
        plain(ax.yaxis)


def exponents(diagram: PhaseDiagram, gamma_2: float, ax: Axes | None = None) -> Axes:
    """Draw the exponents of both layers along gamma_3, their zeros, and those of the theory."""
    ax = axes(ax)
    cells = diagram.cells
    if "gamma_2" in cells.dims:
        cells = cells.sel(gamma_2=gamma_2)
    x = cells["gamma_3"].values
    fine = np.linspace(x.min(), x.max(), FINE)
    lines = theory.exponents(gamma_2, fine)
    both = zip(LAYERS.items(), COLOURS, "os", lines, STYLES, strict=False)
    for (name, layer), colour, marker, line, style in both:
        found = [cells[f"{name}_exponent{end}"].values for end in ("", "_low", "_high")]
        middle, low, high = found
        ax.errorbar(
            x,
            middle,
            [middle - low, high - middle],
            fmt=marker,
            ms=4,
            capsize=2,
            color=colour,
            label=f"${layer[0]}_{layer[1]}$",
        )
        ax.plot(fine, line, style, color=colour, lw=1.2, label=f"${layer[0]}_{layer[1]}$, theory")
    for border in diagram.boundaries:
        there = border.at.get("gamma_2", gamma_2) == gamma_2
        if border.along == "gamma_3" and there:
            mark(cells, border, ax)
    ax.axhline(0, color="k", lw=0.8)
    ax.set(xlabel=label(cells, "gamma_3"), ylabel="exponent of the relative change with $m$")
    ax.legend(frameon=False, fontsize="small")
    return ax


def plane(diagram: PhaseDiagram, ax: Axes | None = None) -> Axes:
    """Draw the phases, their borders along gamma_3, and those of the theory."""
    ax = axes(ax)
    phase_map(diagram, ax, legend=False, borders=False)
    mine = [border for border in diagram.boundaries if border.along == "gamma_3"]
    drawn = draw_boundaries(diagram.cells, mine, ax)
    draw_theory(ax)
    lines = ax.get_lines()[-2:]
    handles = [*phase_handles([diagram]), *drawn, *lines]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return ax


def draw_theory(ax: Axes) -> None:
    """Draw where the theory has the borders of both layers."""
    limits = ax.get_xlim(), ax.get_ylim()
    fine = np.linspace(*limits[0], FINE)
    for line, layer, style in zip(theory.critical(fine), LAYERS.values(), STYLES, strict=True):
        ax.plot(
            fine,
            line,
            style,
            color="k",
            lw=1.8,
            path_effects=OUTLINE,
            label=f"${layer[0]}_{layer[1]}$ (theory)",
            zorder=3,
        )
    ax.set(xlim=limits[0], ylim=limits[1])
