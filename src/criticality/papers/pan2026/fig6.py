"""Fig. 6: the phase diagram for several depths and widths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from criticality.papers.diagrams import border_rows, cell_rows, diagram_of
from criticality.papers.rows import said

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 6: the phase diagram for several depths and widths"
STUDIES = ("pan_depth", "pan_width")
SWEPT = {"pan_depth": "depth", "pan_width": "width"}
CELL = ("alpha", "alpha_error", "accuracy")


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Find the phases of every shape of the network."""
    from criticality import phase_diagram

    cells, borders = [], []
    for stem, swept in SWEPT.items():
        ds = stores[stem].open(observables=["loss", "accuracy"])
        for number in ds[swept].values:
            diagram = phase_diagram(ds.sel({swept: number}, drop=True))
            about = {"swept": swept, "number": number}
            cells += [about | one for one in cell_rows(diagram, CELL)]
            borders += [about | one for one in border_rows(diagram.boundaries)]
    return {"cells": pd.DataFrame(cells), "borders": pd.DataFrame(borders)}


def _shapes(tables: Tables) -> Iterator[tuple[str, int, pd.DataFrame, pd.DataFrame]]:
    """Give each shape: what is swept, its value, its cells and borders."""
    for (swept, number), cells in tables["cells"].groupby(["swept", "number"], sort=False):
        borders = tables["borders"].query("swept == @swept and number == @number")
        yield swept, number, cells.drop(columns=["swept", "number"]), borders


def draw(tables: Tables) -> Figure:
    """Draw a row of phase diagrams for each, with one legend."""
    from matplotlib.figure import Figure

    from criticality.figures import phase_map
    from criticality.figures.plane import phase_handles
    from criticality.systems import DropoutNetwork

    shapes = list(_shapes(tables))
    rows = [[one for one in shapes if one[0] == swept] for swept in SWEPT.values()]
    columns = max(map(len, rows))
    figure = Figure(figsize=(3.1 * columns + 0.4, 6.6), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False)
    diagrams = []
    for line, axes in zip(rows, panels, strict=True):
        for ax in axes[len(line) :]:
            ax.remove()
        for (swept, number, cells, borders), ax in zip(line, axes, strict=False):
            diagrams.append(diagram_of(cells, borders, DropoutNetwork))
            phase_map(diagrams[-1], ax, legend=False)
            ax.set_title(f"{swept} {number}", fontsize="medium")
            if ax is not axes[0]:
                ax.set_ylabel("")
    handles = [*phase_handles(diagrams), *panels[0][0].get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower center", ncols=2 * columns, frameon=False)
    return figure


def say(tables: Tables) -> str:
    """Count the cells of each phase, and give the line and the border of amentia, by shape."""
    lines = []
    for swept, number, cells, borders in _shapes(tables):
        counts = cells["phase"].value_counts()
        words = ", ".join(f"{name} {counts[name]}" for name in sorted(counts.index))
        lines.append(f"{swept} {number}: {words} of {len(cells)} cells")
        for of in borders.to_dict("records"):
            if of["along"] == "p_train":
                lines.append(
                    f"  accuracy without evaluation dropout falls through 0.2 at {said(of)}"
                )
            elif of["at"] == 0 and not math.isnan(of["low"]):
                lines.append(f"  p_train = 0: alpha = 0 at p_eval = {said(of)}")
    return "\n".join(lines)
