"""Which hidden units retrieve a pattern: phases over load and temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Bonnaire et al.: retrieval is lost by binary hidden units, and restored"
STUDIES = ("bonnaire_priors",)
SWEPT = ("prior", "scaling", "threshold", "bias")
CELLS = ("phase", "doubted", "retrieval_limit", "glass_limit")
RETRIEVAL = "retrieval"
PRIORS = ("gaussian", "relu", "binary", "zero_one", "ternary")


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure the phases of each kind of hidden units."""
    import xarray as xr

    from criticality import catalog, phase_diagram
    from criticality.analysis.classify import planes
    from criticality.base import axes
    from criticality.papers.samples import to_tables
    from criticality.systems import RBM

    ds = stores["bonnaire_priors"].open()
    card, found, panels = RBM.card, [], []
    ds = ds.assign({one.name: catalog.resolve(one.function)(ds) for one in card.derived})
    every = sorted(planes(ds, card.plane, card.size, axes(RBM)), key=_order)
    for number, at in enumerate(every):
        cells = phase_diagram(ds.sel(at)).cells
        cells = cells.assign(doubted=cells["doubted"].astype(int))
        found.append(cells[list(CELLS)].drop_vars(SWEPT, errors="ignore"))
        panels.append({"panel": number, **at})
    whole = xr.concat(found, pd.Index(range(len(found)), name="panel"), coords="minimal")
    for name in card.plane:
        whole[name].attrs = found[0][name].attrs
    sizes = {"largest": int(ds[card.size].max()), "smallest": int(ds[card.size].min())}
    return {
        "panels": pd.DataFrame(panels),
        **to_tables("cells", whole, *CELLS),
        "sizes": pd.DataFrame([sizes | {"samples": ds.sizes["realization"]}]),
    }


def _order(at: Mapping[str, Any]) -> tuple[float, int, float]:
    """Sort by the size of weights, how bounded units are, and how much is done to help them."""
    return -at["scaling"], PRIORS.index(at["prior"]), -at["bias"]


def draw(tables: Tables) -> Figure:
    """Draw the phases of each kind, under the lines of the theory."""
    import xarray as xr
    from matplotlib.figure import Figure

    from criticality.analysis.classify import PhaseDiagram
    from criticality.figures.panels import Panel
    from criticality.figures.plane import phase_handles, phase_map
    from criticality.papers.samples import to_dataset
    from criticality.systems import RBM
    from criticality.systems.rbm.figures import draw_theory

    cells = to_dataset(tables, "cells", *CELLS)
    cells = cells.assign(phase=cells["phase"].astype(int), doubted=cells["doubted"] > 0)
    figure = Figure(figsize=(11, 8.4), layout="constrained")
    places = figure.subplots(2, 3).ravel()
    diagrams: list[PhaseDiagram] = []
    lines: dict[str, Any] = {}
    for ax, letter, of in zip(places, "abcdef", tables["panels"].to_dict("records"), strict=False):
        at = {name: of[name] for name in SWEPT}
        one = cells.sel(panel=of["panel"], drop=True)
        diagram = PhaseDiagram(cells=one, boundaries=(), phases=RBM.card.phases, method={})
        phase_map(diagram, ax, legend=False, borders=False)
        draw_theory(Panel(at, ax, diagram), xr.Dataset())
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
        ax.set_title(words(at), fontsize="medium")
        diagrams.append(diagram)
        handles = ax.get_legend_handles_labels()[0]
        lines |= {str(line.get_label()): line for line in handles}
    handles = [*phase_handles(diagrams), *lines.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def words(at: Mapping[str, Any]) -> str:
    """Say which hidden units these are."""
    said = [f"{at['prior']}, weights " + ("$N^{-1/2}$" if at["scaling"] else "1")]
    said += [rf"$\theta$ = {at['threshold']:g}"] if at["threshold"] else []
    said += [f"bias {at['bias']:g}"] if at["bias"] else []
    return ", ".join(said)


def say(tables: Tables) -> str:
    """Say up to which load and temperature each kind retrieves."""
    from criticality.systems import RBM

    of = tables["sizes"].iloc[0]
    lines = [f"N = {of['smallest']} to {of['largest']}, {of['samples']} samples a point"]
    code = 1 + [phase.name for phase in RBM.card.phases].index(RETRIEVAL)
    cells = tables["cells"]
    for at in tables["panels"].to_dict("records"):
        mine = cells[cells["panel"] == at["panel"]]
        there = mine[mine["phase"] == code]
        name = words(at).replace("$N^{-1/2}$", "N^-1/2").replace(r"$\theta$", "threshold")
        if there.empty:
            lines.append(f"{name}: retrieves in none of {len(mine)} cells")
            continue
        hot, loaded = there["temperature"].max(), there["load"].max()
        lines.append(
            f"{name}: retrieves in {len(there)} of {len(mine)} cells, up to T = {hot:g} and up to "
            f"a load of {loaded:g}"
        )
    return "\n".join(lines)
