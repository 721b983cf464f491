"""Fig. 3: cuts of the loss through the phases, against training dropout and against the size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from criticality.base import with_error
from criticality.papers.diagrams import border_rows, cell_rows, diagram_of
from criticality.papers.parts import curves
from criticality.papers.rows import points, said

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 3: loss against training dropout, and against the size in the three phases"
STUDIES = ("pan_plane",)
# the text has lost the paper's numerals: these rates are ours
P_EVAL = 0.8  # of the cut
SHOWN = (0.0, 0.3, 0.95)  # training rates in dementia, eumentia and amentia
LOSS = r"test cross-entropy $\langle\mathcal{L}\rangle$"


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Losses of the cut, their power laws, and where these change sign."""
    from criticality import phase_diagram
    from criticality.analysis.boundaries import boundaries

    ds = stores["pan_plane"].open(observables=["loss", "accuracy"])
    diagram = phase_diagram(ds)
    cut = diagram.cells.sel(p_eval=P_EVAL)
    names = ("alpha", "alpha_error", "log_amplitude", "doubted")
    cells = pd.DataFrame(cell_rows(diagram, names))
    learns = cut["phase"] != [one.name for one in diagram.phases].index("amentia") + 1
    plane = cut[["alpha", "alpha_error"]].assign(alpha_dof=cut["dof"]).sel(p_train=learns)
    crossing = boundaries(plane, "alpha", "p_train", direction="down", n=ds.sizes["realization"])
    return {
        "points": points(ds["loss"].sel(p_eval=P_EVAL, drop=True)),
        "laws": cells[cells["p_eval"] == P_EVAL],
        "crossing": pd.DataFrame(border_rows(crossing)),
    }


def draw(tables: Tables) -> Figure:
    """Draw both cuts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.6, 4.8), layout="constrained")
    left, right = (part.subplots() for part in figure.subfigures(1, 2, squeeze=False)[0])
    _against_rate(tables, left)
    _against_size(tables, right)
    for panel, letter in ((left, "a"), (right, "b")):
        panel.set_title(f"({letter})", loc="left", fontsize="medium")
        panel.set_title(rf"$p_\mathrm{{eval}}={P_EVAL:g}$", fontsize="medium")
    return figure


def _against_rate(tables: Tables, ax: Axes) -> None:
    """Draw a curve for each size, and where alpha = 0."""
    from criticality.figures.parts import plain, positions, reference, scale
    from criticality.figures.plane import mark
    from criticality.systems import DropoutNetwork

    diagram = diagram_of(tables["laws"], tables["crossing"], DropoutNetwork)
    rates = diagram.cells["p_train"]
    places = dict(zip(rates.values, positions(rates)[0], strict=True))
    rows = tables["points"]
    curves(
        ax, rows.assign(place=rows["p_train"].map(places)), "place", "loss", "n_train", legend="$N$"
    )
    for border in diagram.boundaries:
        mark(diagram.cells, border, ax)
    scale(diagram.cells, "p_train", ax.xaxis)
    ax.set(ylabel=LOSS, yscale="log")
    plain(ax.yaxis)
    reference(ax, np.log(10), r"$\ln 10$")


def _against_size(tables: Tables, ax: Axes) -> None:
    """Draw the power law of a training rate of each phase."""
    from criticality.figures.parts import COLOURS, MARKERS, plain
    from criticality.figures.sizes import size_axis

    laws = tables["laws"].set_index("p_train")
    for rate, colour, marker in zip(SHOWN, COLOURS, MARKERS, strict=False):
        rows, law = tables["points"].query("p_train == @rate"), laws.loc[rate]
        n = rows["n_train"].to_numpy(float)
        text = (
            rf"{rate:g} ({law['phase']}): $\alpha={with_error(law['alpha'], law['alpha_error'])}$"
        )
        ax.errorbar(
            n,
            rows["loss"],
            rows["loss_error"],
            fmt=marker,
            ms=4,
            capsize=2,
            color=colour,
            label=text,
        )
        ax.plot(
            n,
            np.exp(law["log_amplitude"]) * n ** law["alpha"],
            ":" if law["doubted"] else "-",
            color=colour,
            lw=1,
        )
    ax.set(yscale="log", xlabel=r"training samples $N$", ylabel=LOSS)
    plain(ax.yaxis)
    size_axis(ax, np.sort(tables["points"]["n_train"].unique()))
    ax.legend(
        title=r"$p_\mathrm{train}$",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        fontsize="small",
        frameon=False,
    )


def say(tables: Tables) -> str:
    """Give the crossing, and alpha at every training rate."""
    lines = [f"alpha = 0 at p_train = {said(one)}" for one in tables["crossing"].to_dict("records")]
    for law in tables["laws"].to_dict("records"):
        doubt = ", no power law fits" if law["doubted"] else ""
        alpha = with_error(law["alpha"], law["alpha_error"])
        lines.append(f"p_train = {law['p_train']:g}: alpha = {alpha}, {law['phase']}{doubt}")
    return "\n".join(lines)
