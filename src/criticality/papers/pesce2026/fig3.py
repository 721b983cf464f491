"""Evolution Metric of the network and of its layers, against the density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 3: Evolution Metric by layer, magnitude against random pruning"
STUDIES = ("pesce_fc4", "pesce_random")
DATASET = "mnist"
CRITERIA = {"pesce_fc4": "magnitude", "pesce_random": "random"}
PARTS = 5  # of the network: all of it, and its layers
QUIET, BUSY = (0.1, 0.8), (0.001, 0.02)  # densities that are compared: long before, and about, it


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure the Evolution Metric from each snapshot to the next, of every network."""
    import numpy as np

    from criticality.papers.samples import to_tables
    from criticality.systems.pruning import evolution

    found: dict[str, pd.DataFrame] = {}
    for stem, store in stores.items():
        ds = store.open(observables=["weights", "removed", "snapshot_step", "edges"])
        ds = ds.sel(dataset=DATASET) if "dataset" in ds.dims else ds
        profile = evolution.evolution_profile(evolution.evolution_map(ds))
        profile = profile.sel(snapshot=profile["snapshot"] > 0)
        profile.values = np.where(profile.values > 0, profile.values, np.nan)
        found |= to_tables(CRITERIA[stem], profile.to_dataset(name="evolution"), "evolution")
    return found


def draw(tables: Tables) -> Figure:
    """Draw the profiles of both criteria on one scale."""
    from matplotlib.figure import Figure

    from criticality.papers.samples import to_dataset
    from criticality.systems.pruning import figures

    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for criterion, ax, letter in zip(CRITERIA.values(), panels, "ab", strict=True):
        profile = to_dataset(tables, criterion, "evolution")["evolution"]
        figures.evolution_profile(profile, ax=ax)
        ax.set_title(f"({letter}) {criterion}", loc="left", fontsize="medium")
    ends = [ax.get_ylim() for ax in panels]
    for ax in panels:
        ax.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    panels[0].set_ylabel("Evolution Metric between snapshots")
    panels[1].set_ylabel("")
    return figure


def say(tables: Tables) -> str:
    """Say where weights move most, and in which layer."""
    from criticality.base import with_error

    lines = []
    for criterion in CRITERIA.values():
        rows = tables[criterion]
        whole = rows[rows["part"] == 0]
        means = whole.groupby("snapshot")["evolution"].mean()
        level = {
            where: means[(means.index >= low) & (means.index <= high)].median()
            for where, (low, high) in (("quiet", QUIET), ("busy", BUSY))
        }
        top = rows[(rows["snapshot"] >= BUSY[0]) & (rows["snapshot"] <= BUSY[1])]
        each = top.groupby(["part", "realization"])["evolution"].median().unstack("part")
        error = each.std(ddof=1) / len(each) ** 0.5
        layers = ", ".join(
            with_error(each[part].mean(), error[part]) for part in each.columns if part
        )
        lines += [
            f"{criterion} ({len(each)} networks): median {level['quiet']:.3g} from 80 to 10 % of "
            f"the edges, {level['busy']:.3g} from 2 to 0.1 %",
            f"  layers 1 to {PARTS - 1} from 2 to 0.1 %: {layers}",
        ]
    return "\n".join(lines)
