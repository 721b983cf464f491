"""Accuracy and entropies of a network that loses its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.papers.rows import row, said

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 1: accuracy, prediction entropy and outcome entropy against the remaining edges"
STUDIES = ("pesce_fc4",)
CURVES = ("accuracy", "prediction_entropy", "outcome_entropy")
KEPT = 56  # steps that are drawn, of equal ratios of density
LEAST = 1e-4  # density
NEAR = 2.0  # percent of the edges: end of the inset
INSETS = {  # left, bottom, width, height
    "accuracy": (0.57, 0.18, 0.4, 0.4),
    "prediction_entropy": (0.53, 0.2, 0.44, 0.45),
    "outcome_entropy": (0.6, 0.44, 0.37, 0.36),
}
WORDS = {"accuracy": "accuracy", "prediction_entropy": "prediction entropy (nat)"}


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure curves of each network, and where they are half-way down."""
    from criticality.papers.samples import to_tables
    from criticality.systems.pruning import breakdown

    ds = stores["pesce_fc4"].open(observables=[*CURVES, "density", "live_units"])
    points = breakdown.outer_points(ds)
    count = max(filter(None, (breakdown.classes(one) for _, one in points)))
    places = [
        row(point.breakdown.half)
        | {"dataset": at["dataset"], "observable": name, "networks": len(point.order.values)}
        for at, one in points
        for name in breakdown.OBSERVABLES
        for point in [breakdown.critical_point(one, name)]
    ]
    dense = [
        {"dataset": at["dataset"], "observable": name, "value": v.mean(), "error": _error(v)}
        for at, one in points
        for name in CURVES
        for v in [one[name].isel(step=0).dropna("realization").values]
    ]
    last = [
        {"dataset": at["dataset"], "observable": name, "value": v.mean(), "error": _error(v)}
        for at, one in points
        for name in CURVES
        for v in [one[name].isel(step=-1).dropna("realization").values]
    ]
    drawn = ds.isel(step=_spread(points[0][1]["density"].mean("realization").values))
    return {
        **to_tables("curves", drawn, "density", *CURVES),
        "classes": pd.DataFrame([{"classes": count}]),
        "half": pd.DataFrame(places),
        "dense": pd.DataFrame(dense),
        "without_edges": pd.DataFrame(last),
    }


def _error(values: np.ndarray[Any, Any]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _spread(density: np.ndarray[Any, Any]) -> list[int]:
    """Choose steps at equal ratios of density, and the first and the last."""
    wanted = np.geomspace(1, LEAST, KEPT)
    near = [int(np.abs(density - rho).argmin()) for rho in wanted]
    return sorted({0, *near, len(density) - 1})


def dataset(tables: Tables) -> xr.Dataset:
    """Give the curves as a data set, with the number of classes where figures look for it."""
    import xarray as xr

    from criticality.papers.samples import to_dataset

    ds = to_dataset(tables, "curves", "density", *CURVES)
    outputs = np.full((ds.sizes["step"], 1), tables["classes"]["classes"][0], float)
    return ds.assign(live_units=xr.DataArray(outputs, dims=("step", "unit_layer")))


def draw(tables: Tables) -> Figure:
    """Draw the three observables, each with an inset near the collapse."""
    from matplotlib.figure import Figure

    from criticality.systems.pruning import figures

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    ds = dataset(tables)
    for name, ax, letter in zip(CURVES, figure.subplots(1, 3), "abc", strict=True):
        figures.against_density(ds, name, ax)
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
        _inset(ds, name, ax)
    return figure


def _inset(ds: xr.Dataset, name: str, ax: Axes) -> None:
    from criticality.systems.pruning import figures

    inner = ax.inset_axes(INSETS[name])
    figures.against_density(ds, name, inner)
    inner.set(xscale="linear", xlim=(0, NEAR), xlabel="", ylabel="")
    inner.legend_ = None
    for text in list(inner.texts):
        text.remove()
    inner.tick_params(labelsize="x-small")


def say(tables: Tables) -> str:
    """Say how good the dense networks are, and where they break down."""
    from criticality.base import with_error

    lines = []
    half = tables["half"]
    for name, dense in tables["dense"].groupby("dataset", sort=False):
        mine = half[half["dataset"] == name]
        value = dense.set_index("observable").loc["accuracy"]
        lines.append(
            f"{name} ({mine['networks'].iloc[0]} networks): dense accuracy "
            f"{with_error(value['value'], value['error'])}"
        )
        for of in mine.to_dict("records"):
            percent = of | {key: 100 * of[key] for key in ("value", "error", "low", "high")}
            words = WORDS[of["observable"]].removesuffix(" (nat)")
            lines.append(f"  {words} half-way down at {said(percent)} % of the edges")
        end = tables["without_edges"].query("dataset == @name").set_index("observable")
        outcome = end.loc["outcome_entropy"]
        lines.append(
            f"  without edges: outcome entropy {with_error(outcome['value'], outcome['error'])} "
            f"nat, of {np.log(tables['classes']['classes'][0]):.3f}"
        )
    accuracy = half[half["observable"] == "accuracy"].set_index("dataset")
    if {"mnist", "kmnist-10k"} <= set(accuracy.index) or {"mnist", "kmnist"} <= set(accuracy.index):
        other = next(name for name in accuracy.index if name.startswith("kmnist"))
        first, second = (accuracy.loc[name] for name in (other, "mnist"))
        ratio = first["value"] / second["value"]
        error = ratio * np.hypot(first["error"] / first["value"], second["error"] / second["value"])
        lines.append(
            f"{other} breaks down at {with_error(ratio, error)} times the density of mnist"
        )
    return "\n".join(lines)
