"""Weights before and after a jump of several prunings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import with_error

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 2: weights over a jump of prunings, with their adjusted R^2"
STUDIES = ("pesce_fc4",)
DATASET = "mnist"
DENSITIES = (0.4, 0.05)  # before which a jump ends; the third ends where accuracy is half-way down
SAMPLES = (450, 130)  # of the weights that remain, and that are pruned, in a panel
DIGITS = 4


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure Evolution Metrics of all networks, and a sample of the weights of the first one."""
    from criticality.systems.pruning import breakdown

    ds = stores["pesce_fc4"].open(
        observables=["weights", "removed", "snapshot_step", *breakdown.NEEDED]
    )
    ds = ds.sel(dataset=DATASET)
    ds = ds.isel(realization=np.isfinite(ds["removed"].values).all(axis=1))
    half = breakdown.critical_point(ds, "accuracy").breakdown.half.value
    jumps, weights = [], []
    for panel, density in enumerate((*DENSITIES, half)):
        late, early = _jump(ds["snapshot"].values, density)
        for network in range(ds.sizes["realization"]):
            found, points = _jumped(ds.isel(realization=network), late, early)
            jumps.append({"panel": panel, "network": network, **found})
            if network == 0:
                weights.append(points.assign(panel=panel))
    return {"jumps": pd.DataFrame(jumps), "weights": pd.concat(weights)}


def _jump(densities: np.ndarray[Any, Any], density: float) -> tuple[int, int]:
    """Find the snapshot nearest to a density, and the one before it in time."""
    order = np.argsort(-densities)
    place = max(1, int(np.abs(np.log(densities[order] / density)).argmin()))
    return int(order[place]), int(order[place - 1])


def _jumped(one: xr.Dataset, late: int, early: int) -> tuple[dict[str, Any], pd.DataFrame]:
    from criticality.systems.pruning.evolution import evolution_metric

    new, old = (one["weights"].isel(snapshot=n).values for n in (late, early))
    first, last = (float(one["snapshot_step"].isel(snapshot=n)) for n in (early, late))
    removed = one["removed"].values
    kept, gone = removed > last, (removed > first) & (removed <= last)
    found = {
        "earlier": float(one["snapshot"][early]),
        "later": float(one["snapshot"][late]),
        "steps": int(last - first),
        "remain": int(kept.sum()),
        "pruned": int(gone.sum()),
        "metric": evolution_metric(new, old, kept),
    }
    rng = np.random.default_rng(0)
    groups = zip((kept, gone), SAMPLES, strict=True)
    rows = [
        rng.choice(places, min(most, len(places)), replace=False)
        for group, most in groups
        for places in [np.flatnonzero(group)]
    ]
    shown = np.concatenate(rows)
    points = {"earlier": old[shown], "later": np.where(kept[shown], new[shown], 0)}
    rounded = {name: np.round(values, DIGITS) for name, values in points.items()}
    return found, pd.DataFrame(rounded | {"remains": kept[shown].astype(int)})


def draw(tables: Tables) -> Figure:
    """Draw the weights of a network before and after each jump."""
    from matplotlib.figure import Figure

    from criticality.systems.pruning import figures

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    jumps, panels = tables["jumps"], tables["weights"].groupby("panel")
    for (number, points), ax, letter in zip(panels, figure.subplots(1, 3), "abc", strict=True):
        one = jumps[(jumps["panel"] == number) & (jumps["network"] == 0)].iloc[0]
        figures.weight_scatter(
            points["later"],
            points["earlier"],
            points["remains"] > 0,
            (one["later"], one["earlier"]),
            ax,
            of_all=(one["metric"], int(one["remain"]), int(one["pruned"])),
        )
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Say over which jump weights keep how much of their values."""
    lines = []
    for _, rows in tables["jumps"].groupby("panel"):
        one, n = rows.iloc[0], len(rows)
        error = rows["metric"].std(ddof=1) / np.sqrt(n)
        lines.append(
            f"{100 * one['earlier']:.3g} % to {100 * one['later']:.3g} % of the edges "
            f"({int(one['steps'])} steps): adjusted R^2 = "
            f"{with_error(1 - rows['metric'].mean(), error)}, {n} networks"
        )
    return "\n".join(lines)
