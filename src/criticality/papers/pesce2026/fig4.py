"""How structures that pruning leaves, and random ones, train from the beginning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from criticality.base import with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 4: training of pruned structures, randomised ones and random masks"
STUDIES = ("pesce_topology",)
NAMES = ("pruned", "same degrees", "random in layers", "random")
REST = ("pruned_accuracy", "dense_accuracy")
SHOWN = 0.01  # density whose training is drawn


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure accuracies of all topologies over the epochs."""
    from criticality.papers.samples import to_tables

    ds = stores["pesce_topology"].open(observables=["accuracy", *REST])
    return to_tables("training", ds, "accuracy") | to_tables("before", ds, *REST)


def draw(tables: Tables) -> Figure:
    """Draw final accuracies at each density, and the training at one of them."""
    from matplotlib.figure import Figure

    from criticality.papers.samples import to_dataset
    from criticality.systems.pruning import topology_figures

    ds = to_dataset(tables, "training", "accuracy").merge(to_dataset(tables, "before", *REST))
    densities = ds["density"].values
    columns = 2 if len(densities) + 1 == 4 else 3  # without a gap
    rows = -(-(len(densities) + 1) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns).ravel()
    shown = densities[np.abs(np.log(densities / SHOWN)).argmin()]
    for ax, density in zip(panels, densities, strict=False):
        topology_figures.topology_accuracy(ds.sel(density=density), ax)
        ax.set_title(f"{100 * density:g} % of the edges", fontsize="medium")
    ax = panels[len(densities)]
    topology_figures.topology_training(ds.sel(density=shown), "accuracy", ax)
    ax.set_title(f"training at {100 * shown:g} %", fontsize="medium")
    for ax in panels[len(densities) + 1 :]:
        ax.remove()
    for ax, letter in zip(panels[: len(densities) + 1], "abcdefghi", strict=False):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Give the accuracy of each topology after training, and what degrees explain."""
    rows = tables["training"]
    last = rows[rows["epoch"] == rows["epoch"].max()]
    lines = []
    for density, mine in last.groupby("density"):
        values = mine.pivot(index="realization", columns="topology", values="accuracy")
        told = [f"{NAMES[int(t)]} {_mean(values[t])}" for t in values]
        lines.append(f"{100 * float(str(density)):g} %: {', '.join(told)}")
        lines.append(
            f"  same degrees less random {_mean(values[1] - values[3])}, "
            f"less random in layers {_mean(values[1] - values[2])}"
        )
    return "\n".join(lines)


def _mean(values: pd.Series[float]) -> str:
    told = with_error(values.mean(), values.std(ddof=1) / np.sqrt(len(values)))
    return told if values.nunique() > 1 else f"{told} (all alike)"
