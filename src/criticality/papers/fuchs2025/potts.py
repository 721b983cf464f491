"""A Potts transition that is moved onto its target, with continuation and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from criticality.base import with_error

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fuchs and Zavadlav, on a lattice: a first-order transition is moved onto its target"
STUDIES = ("fuchs_potts",)
PATHS = ("path_temperature", "path_difference", "path_error")
ENDS = ("temperature", "temperature_error", "deviation", "rounds_done", "lost")
MODES = {False: "with continuation", True: "without"}


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure the way of each realization, and the transition that is measured anew."""
    from criticality.papers.samples import to_tables

    ds = stores["fuchs_potts"].open(observables=[*PATHS, *ENDS])
    return to_tables("rounds", ds, *PATHS) | to_tables("ends", ds, *ENDS)


def draw(tables: Tables) -> Figure:
    """Draw temperatures and free-energy differences, round by round, both ways."""
    from matplotlib.figure import Figure

    from criticality.papers.samples import to_dataset
    from criticality.systems.potts import refinement_figures

    ds = to_dataset(tables, "rounds", *PATHS).merge(to_dataset(tables, "ends", *ENDS))
    figure = Figure(figsize=(10.5, 7.6), layout="constrained")
    panels = figure.subplots(2, 2)
    for (left, right), step in zip(panels, ds["continuation"].values, strict=True):
        one = ds.sel(continuation=step)
        refinement_figures.temperatures(one, left)
        refinement_figures.differences(one, right)
        for ax in (left, right):
            ax.set_title(MODES[bool(step >= 1)], fontsize="medium")
    for ax, letter in zip(panels.ravel(), "abcd", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Say how far the transition ends from its target."""
    lines = []
    for step, rows in tables["ends"].groupby("continuation"):
        n, lost = len(rows), int((rows["lost"] > 0).sum())
        lines.append(f"{MODES[float(str(step)) >= 1]}: {lost} of {n} lose a phase")
        there = rows["deviation"].dropna()
        if len(there) > 1:
            error = there.std(ddof=1) / np.sqrt(len(there))
            each = ", ".join(f"{100 * value:+.2f}" for value in there)
            one = (rows["temperature_error"] / rows["temperature"]).mean()
            lines += [
                f"  transition measured anew, from its target: {each} %, each with an error of "
                f"{100 * one:.2f} %",
                f"  mean {with_error(100 * there.mean(), 100 * error)} %",
            ]
    return "\n".join(lines)
