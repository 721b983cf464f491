"""How probable the four phases of learning are, and how many samples fix a representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from criticality.papers.rows import row, said

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Liu et al.: comprehension, grokking, memorization, confusion, and the effective theory"
STUDIES = ("liu_phases", "liu_theory")
TIMES = ("t_train", "t_test")


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure when each training passes, and which training sets determine a representation."""
    from criticality import phase_diagram
    from criticality.papers.samples import to_tables

    ds = stores["liu_phases"].open(observables=[*TIMES, "lag", "generalized", "learned"])
    sums = stores["liu_theory"].open(observables=["determined"])
    borders = [
        {"p": border.at["p"], **row(border.estimate, border.flags)}
        for border in phase_diagram(sums).boundaries
        if border.along == "fraction"
    ]
    mean = sums["determined"].mean("realization")
    n = sums["determined"].notnull().sum("realization")
    share = mean.to_dataset(name="share").assign(orders=n).to_dataframe().reset_index()
    return {
        **to_tables("trainings", ds, *TIMES, "lag", "generalized", "learned"),
        "determined": share[["p", "fraction", "share", "orders"]],
        "borders": pd.DataFrame(borders),
    }


def draw(tables: Tables) -> Figure:
    """Draw the phase of most trainings, the probability of each, and what the theory says."""
    from matplotlib.figure import Figure

    from criticality import phase_diagram
    from criticality.figures.plane import phase_map, probability_maps
    from criticality.papers.samples import to_dataset

    ds = to_dataset(tables, "trainings", *TIMES, "lag", "generalized", "learned")
    diagram = phase_diagram(ds)
    figure = Figure(figsize=(13, 8), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    phase_map(diagram, panels[0])
    probability_maps(diagram, panels[1:5])
    _theory(tables, panels[5])
    for ax, letter in zip(panels, "abcdef", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _theory(tables: Tables, ax: Axes) -> None:
    from criticality.figures.parts import MARKERS, shades

    groups = list(tables["determined"].groupby("p"))
    borders = tables["borders"].set_index("p")
    looks = zip(groups, shades(len(groups)), MARKERS, strict=False)
    for (p, rows), colour, marker in looks:
        share, n = rows["share"], rows["orders"]
        error = np.sqrt(share * (1 - share) / n)
        ax.errorbar(
            rows["fraction"],
            share,
            error,
            fmt=f"{marker}-",
            ms=4,
            lw=1,
            color=colour,
            label=f"$p$ = {p}",
        )
        ax.plot(borders.loc[p, "value"], 0.5, "|", color=colour, ms=16, mew=1.6)
    ax.axhline(0.5, color="0.5", lw=0.8, ls=":", zorder=0)
    ax.set(xlabel="fraction of all sums that is trained on", ylabel="share determined ($n_0 = 2$)")
    ax.legend(frameon=False, fontsize="small")


def say(tables: Tables) -> str:
    """Say where which phase is the most probable, and where the theory has its border."""
    from criticality import phase_diagram
    from criticality.base import UNRESOLVED, probability_name
    from criticality.papers.samples import to_dataset

    ds = to_dataset(tables, "trainings", *TIMES, "lag", "generalized", "learned")
    diagram = phase_diagram(ds)
    cells = diagram.cells
    significant, measured = int((cells["phase"] > 0).sum()), int(diagram.measured.sum())
    lines = [
        f"{ds.sizes['realization']} trainings a cell; a phase is significantly the most probable "
        f"in {significant} of {measured} cells"
    ]
    for phase in diagram.phases:
        array = cells[probability_name(phase.name)]
        where = array.where(array == array.max(), drop=True)
        first = where.stack(cell=where.dims).dropna("cell").isel(cell=0)
        place = ", ".join(f"{name} = {float(first[name]):g}" for name in array.dims)
        lines.append(f"{phase.name}: probability up to {float(array.max()):.2f} (at {place})")
    unresolved = cells[probability_name(UNRESOLVED.name)]
    if float(unresolved.max()) > 0:
        lines.append(f"no phase: probability up to {float(unresolved.max()):.2f}")
    for of in tables["borders"].to_dict("records"):
        lines.append(f"theory, p = {of['p']}: determined above a fraction of {said(of)}")
    return "\n".join(lines)
