"""Fig. 4: the line without training dropout, its collapse, and the exponent along the line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from criticality.papers.pan2026 import line
from criticality.papers.rows import said

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 4: crossing and BKT-like collapse, chi2, and sigma along the line"
STUDIES = (line.STEM,)
RATE = 0.0  # of training dropout of (a) and (b)


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Collapse the curves of every training rate."""
    ds = stores[line.STEM].open(observables=["loss", "accuracy"])
    along, tables = [], {}
    for rate in ds["p_train"].values:
        found = line.collapsed(ds.sel(p_train=[rate]), "bkt")
        along.append(found["numbers"].assign(p_train=rate))
        if rate == RATE:
            tables = found
    return tables | {"along": pd.concat(along)}


def draw(tables: Tables) -> Figure:
    """Draw the crossing with its collapse, chi2, and the exponent along the line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 8), layout="constrained")
    panels = [part.subplots() for part in figure.subfigures(2, 2, squeeze=False).ravel()]
    line.draw_curves(tables, panels[0], "bkt", rf"$p_\mathrm{{train}}={RATE:g}$")
    line.draw_landscape(tables, panels[1])
    _sigma(tables["along"], panels[2])
    _goodness(tables["along"], panels[3])
    for panel, letter in zip(panels, ("a", "b", "c1", "c2"), strict=True):
        panel.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _sigma(along: pd.DataFrame, ax: Axes) -> None:
    """Draw sigma by both methods, with the standard 1/2."""
    from criticality.figures.parts import COLOURS, reference
    from criticality.papers.parts import intervals

    ends = (0.05, 100.0)
    looks = {
        line.PAPER: (
            -0.0008,
            "o",
            f"the paper's method; bars: {line.CONTOUR:g} of least $\\chi^2$",
        ),
        line.OURS: (0.0008, "s", "ours; bars: 95 %"),
    }
    along = along.groupby("p_train", group_keys=False)[along.columns].apply(line.opened)
    for number, (by, (shift, marker, label)) in enumerate(looks.items()):
        rows = along[(along["by"] == by) & (along["parameter"] == "sigma")]
        style: dict[str, Any] = {"marker": marker, "colour": COLOURS[number], "label": label}
        intervals(ax, rows["p_train"] + shift, rows, ends, upright=True, **style)
    reference(ax, 0.5, r"$\sigma = 1/2$")
    ax.set(yscale="log", ylim=ends, xlabel=r"training dropout $p_\mathrm{train}$")
    ax.set_ylabel(r"exponent $\sigma$")
    above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.02, 0.98)}
    ax.legend(fontsize="small", frameon=False, **above)


def _goodness(along: pd.DataFrame, ax: Axes) -> None:
    """Draw the least chi2 of the paper's method."""
    from criticality.figures.parts import COLOURS, reference

    rows = along[along["parameter"] == "chi2/dof"]
    ax.plot(rows["p_train"], rows["value"], "D-", color=COLOURS[2], ms=5, lw=0.9)
    reference(ax, 1.0, "")
    ax.set(ylim=(0, None), xlabel=r"training dropout $p_\mathrm{train}$")
    ax.set_ylabel(r"$\chi^2_\nu$ of the collapse")


def say(tables: Tables) -> str:
    """Give the collapse without training dropout, and sigma along the line."""
    lines = line.told(tables, "bkt")
    for rate, rows in tables["along"].groupby("p_train"):
        by = {(one["by"], one["parameter"]): one for one in line.opened(rows).to_dict("records")}
        lines.append(
            f"p_train = {rate:g}: alpha = 0 at {said(by[line.OURS, 'alpha = 0'])}; "
            f"sigma = {said(by[line.PAPER, 'sigma'])} (paper's method, chi2/dof = "
            f"{by[line.PAPER, 'chi2/dof']['value']:.2f}), "
            f"{said(by[line.OURS, 'sigma'])} (ours)"
        )
    return "\n".join(lines)
