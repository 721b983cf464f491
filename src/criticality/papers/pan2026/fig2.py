"""Fig. 2: the phase diagram, the accuracy and the exponent over both dropout rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from criticality.base import with_error
from criticality.papers.diagrams import border_rows, cell_rows, diagram_of
from criticality.papers.rows import said

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 2: phases, accuracy and exponent over both dropout rates"
STUDIES = ("pan_plane",)
CELL = ("alpha", "alpha_error", "doubted", "loss", "accuracy")


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Find the phase of every cell, and the borders."""
    from criticality import phase_diagram

    ds = stores["pan_plane"].open(observables=["loss", "accuracy"])
    diagram = phase_diagram(ds)
    return {
        "cells": pd.DataFrame(cell_rows(diagram, CELL)),
        "borders": pd.DataFrame(border_rows(diagram.boundaries)),
        "sizes": pd.DataFrame({"n_train": ds["n_train"].values}),
    }


def draw(tables: Tables) -> Figure:
    """Draw the three maps."""
    from matplotlib.figure import Figure

    from criticality.figures import phase_map
    from criticality.systems import DropoutNetwork
    from criticality.systems.dropout.figures import accuracy_map, exponent_map

    sizes = {"sizes": tables["sizes"]["n_train"].tolist()}
    diagram = diagram_of(tables["cells"], tables["borders"], DropoutNetwork, sizes)
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for ax, show, letter in zip(
        panels, (phase_map, accuracy_map, exponent_map), "abc", strict=True
    ):
        show(diagram, ax)
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Count cells of each phase, give the extremes of alpha, and the borders."""
    cells, borders = tables["cells"], tables["borders"]
    counts = cells["phase"].value_counts()
    lines = [", ".join(f"{phase} {number}" for phase, number in counts.items()) + " cells"]
    for phase in ("eumentia", "dementia", "amentia"):
        mine = cells[cells["phase"] == phase]
        if phase == "amentia" and len(mine):
            lines.append(
                f"amentia: |alpha| at most {mine['alpha'].abs().max():.2g}, accuracy "
                f"{mine['accuracy'].min():.2f} to {mine['accuracy'].max():.2f}"
            )
        elif len(mine):
            row = mine.loc[(mine["alpha"] / mine["alpha_error"]).abs().idxmax()]
            ends = mine["accuracy"].agg(["min", "max"])
            lines.append(
                f"{phase}: alpha = {with_error(row['alpha'], row['alpha_error'])} where it is "
                f"clearest, at p_train = {row['p_train']:g}, p_eval = {row['p_eval']:g}; accuracy "
                f"{ends['min']:.2f} to {ends['max']:.2f}"
            )
    for of in borders.to_dict("records"):
        if of["along"] == "p_train":
            lines.append(f"accuracy without evaluation dropout falls through 0.2 at {said(of)}")
        elif not (math.isnan(of["value"]) and math.isnan(of["low"])):
            lines.append(f"p_train = {of['at']:g}: alpha = 0 at p_eval = {said(of)}")
    return "\n".join(lines)
