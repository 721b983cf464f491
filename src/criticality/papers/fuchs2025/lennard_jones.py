"""A Lennard-Jones melting line that is moved onto its target."""

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

TITLE = "Fuchs and Zavadlav, with particles: a melting line is moved onto its target"
STUDIES = ("fuchs_lennard_jones",)
LINE = (
    "state_pressure",
    "target_temperature",
    "start_temperature",
    "start_error",
    "melting_temperature",
    "melting_error",
    "predicted_error",
)


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure melting temperatures under the given potential and under the refined one."""
    from criticality.papers.samples import to_tables

    return to_tables("line", stores["fuchs_lennard_jones"].open(observables=list(LINE)), *LINE)


def draw(tables: Tables) -> Figure:
    """Draw the melting line before and after, and the deviations of each realization."""
    from matplotlib.figure import Figure

    from criticality.papers.samples import to_dataset
    from criticality.systems.lennard_jones import refinement_figures

    ds = to_dataset(tables, "line", *LINE)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    panels = figure.subplots(1, 2)
    refinement_figures.melting_line(ds, panels[0])
    refinement_figures.deviations(ds, panels[1])
    for ax, letter in zip(panels, "ab", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Say how far melting temperatures are from their targets, before and after."""
    lines = []
    rows = tables["line"]
    state = next(name for name in rows if name not in (*LINE, "realization"))
    for _, mine in rows.groupby(state):
        target = mine["target_temperature"]
        told = [
            _percent(100 * (mine[name] / target - 1))
            for name in ("start_temperature", "melting_temperature")
        ]
        error = np.hypot(mine["melting_error"], mine["predicted_error"]) / target
        lines.append(
            f"P = {mine['state_pressure'].iloc[0]:g}, target {target.iloc[0]:.4g}: {told[0]} % "
            f"before, {told[1]} % after ({len(mine)} realizations, each with an error of "
            f"{100 * error.mean():.2g} %)"
        )
    return "\n".join(lines)


def _percent(values: pd.Series[float]) -> str:
    return with_error(values.mean(), values.std(ddof=1) / np.sqrt(len(values)))
