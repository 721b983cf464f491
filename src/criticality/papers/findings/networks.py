"""Whether the three phases of dropout persist beyond fully-connected networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import with_error

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.analysis.classify import PhaseDiagram
    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Do the three phases of dropout persist beyond fully-connected networks?"
STUDIES = ("networks_dense", "networks_cnn", "networks_transformer", "networks_parts")
_TRANSFORMER = "criticality.papers.systems.transformer:Transformer"
OWN = {
    "networks_cnn": "criticality.papers.systems.cnn:CNN",
    "networks_transformer": _TRANSFORMER,
    "networks_parts": _TRANSFORMER,
}
NAMES = {
    "networks_dense": "fully-connected",
    "networks_cnn": "CNN",
    "networks_transformer": "transformer",
}
PARTS = {"residual": "transformer, no residuals", "norm": "transformer, no LayerNorm"}
PHASES = ("eumentia", "dementia", "amentia")
FALSE = 0.05  # probability that any cell of a map is given a phase that it does not have
SIZES_LEFT = 3  # at least, for an exponent
LEARNED = 0.2  # accuracy, as amentia is defined for ten classes


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Exponents and phases, which phases there are for certain, lines, losses."""
    found: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("cells", "phases", "lines", "losses")
    }
    for network, ds in networks(stores):
        label = {"network": network}
        found["cells"] += [label | row for row in _cells(ds)]
        found["losses"] += [label | row for row in _losses(ds)]
        sizes = ds["n_train"].values
        for first in range(max(len(sizes) - SIZES_LEFT, 0) + 1):
            part = ds.isel(n_train=slice(first, None))
            label["least"] = sizes[first]
            diagram = _diagram(part, 2.0)
            found["phases"] += [label | row for row in _phases(part, diagram)]
            found["lines"] += [label | row for row in _lines(diagram)]
    return {name: pd.DataFrame(rows) for name, rows in found.items()}


def networks(stores: Mapping[str, Store]) -> Iterator[tuple[str, xr.Dataset]]:
    """Give each network by name, and its results."""
    for stem, store in stores.items():
        ds = store.open(observables=["loss", "accuracy"])
        if stem in NAMES:
            yield NAMES[stem], ds
            continue
        for left_out, name in PARTS.items():
            there = {part: part != left_out for part in PARTS}
            yield name, ds.sel(there)


def _diagram(ds: xr.Dataset, sigmas: float) -> PhaseDiagram:
    from criticality import phase_diagram
    from criticality.systems import DropoutNetwork

    return phase_diagram(ds, DropoutNetwork, sigmas=sigmas)


def _cells(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    names = ("p_train", "p_eval", "alpha", "alpha_error", "fit_probability", "phase")
    for row in _diagram(ds, 2.0).to_dict()["cells"]:
        yield {name: row[name] for name in names}


def _losses(ds: xr.Dataset) -> list[dict[str, Any]]:
    """Means over networks, of the passes' means, with standard errors."""
    each = ds[["loss", "accuracy"]].mean("pass")
    number = each["loss"].notnull().sum("realization")
    found = each.mean("realization").assign(networks=number)
    error = each.std("realization", ddof=1) / np.sqrt(number)
    found = found.assign({f"{name}_error": error[name] for name in each})
    columns = ["p_train", "n_train", "p_eval", *found.data_vars]
    rows: list[dict[str, Any]] = (
        found.to_dataframe().reset_index()[columns].dropna().to_dict("records")
    )
    return rows


def _phases(ds: xr.Dataset, diagram: PhaseDiagram) -> Iterator[dict[str, Any]]:
    """How many cells each phase has, and whether it is there for certain.

    Of a map's many cells some pass two standard errors by chance.  A phase is certain if it has a
    cell beyond so many that any would with probability `FALSE` (Bonferroni, both signs).  Amentia
    is no matter of standard errors: all its cells count.
    """
    from scipy.stats import norm

    cells = diagram.cells["phase"].size
    sure = _diagram(ds, float(norm.isf(FALSE / 2 / cells)))
    for phase in PHASES:
        counts = [
            int((one.cells["phase"] == 1 + [p.name for p in one.phases].index(phase)).sum())
            for one in (diagram, sure)
        ]
        yield {"phase": phase, "cells": counts[0], "certain": counts[1], "of": cells}


def _lines(diagram: PhaseDiagram) -> Iterator[dict[str, Any]]:
    for border in diagram.boundaries:
        numbers = {n: getattr(border.estimate, n) for n in ("value", "error", "low", "high")}
        flags = "; ".join(flag.name for flag in border.flags)
        yield (
            {"along": border.along, "p_train": border.at.get("p_train", math.nan)}
            | numbers
            | {"flags": flags}
        )


def verdict(tables: Tables, network: str) -> dict[str, str]:
    """For each phase "yes", "no cell", "undecided", or "small sizes only".

    "yes" if it is certain with all sizes and with the smallest ones left out; "small sizes only"
    if with all but not with the largest alone; "undecided" if some cells have it, none for certain.
    """
    rows = tables["phases"]
    rows = rows[rows["network"] == network]
    found = {}
    for phase in PHASES:
        of = rows[rows["phase"] == phase].sort_values("least")
        everywhere, largest = of.iloc[0], of.iloc[-1]
        if everywhere["certain"] and largest["certain"]:
            found[phase] = "yes"
        elif everywhere["certain"]:
            found[phase] = "small sizes only" if not largest["cells"] else "undecided"
        else:
            found[phase] = "undecided" if everywhere["cells"] or largest["cells"] else "no cell"
    return found


def say(tables: Tables) -> str:
    """Say for each network which phases there are, where the line is, and how loud dropout is."""
    said = []
    for network in tables["cells"]["network"].unique():
        of = {name: table[table["network"] == network] for name, table in tables.items()}
        answer = verdict(tables, network)
        few = int(of["losses"]["networks"].min())
        words = ", ".join(f"{phase} {answer[phase]}" for phase in PHASES)
        said.append(f"{network}: {words} (at least {few} networks a point)")
        rows = of["phases"][of["phases"]["least"] == of["phases"]["least"].min()]
        counts = (f"{r['certain']} of {r['cells']} {r['phase']}" for _, r in rows.iterrows())
        said.append(f"  cells, of which certain: {', '.join(counts)}; {rows['of'].iloc[0]} in all")
        said += [f"  {_extreme(of['cells'], sign)}" for sign in (-1, 1)]
        lines = of["lines"].sort_values("least")
        for _, row in lines[lines["p_train"] == 0].iterrows():
            at = f"  p_train = 0, from {row['least']:g} samples: p_eval* = "
            said.append(at + _interval(row))
        for _, row in lines[lines["along"] == "p_train"].head(1).iterrows():
            said.append(f"  networks learn up to p_train* = {_interval(row)}")
        said.append(f"  {_loudest(of['losses'])}")
    return "\n".join(said)


def _extreme(cells: pd.DataFrame, sign: int) -> str:
    """Say where alpha has this sign most significantly."""
    alive = cells[(cells["phase"] != "amentia") & (cells["alpha"] * sign > 0)]
    if alive.empty:
        return f"alpha is nowhere {'positive' if sign > 0 else 'negative'}"
    row = alive.loc[(alive["alpha"].abs() / alive["alpha_error"]).idxmax()]
    alpha = with_error(row["alpha"], row["alpha_error"])
    return f"alpha = {alpha} at p_train = {row['p_train']:g}, p_eval = {row['p_eval']:g}"


def _loudest(losses: pd.DataFrame) -> str:
    """Say how large the loss gets under evaluation dropout, trained without."""
    at = losses[losses["p_train"] == 0]
    at = at[at["p_eval"] == at["p_eval"].max()].sort_values("n_train")
    first, last = (
        f"{with_error(row['loss'], row['loss_error'])} at {row['n_train']:g} samples"
        for _, row in at.iloc[[0, -1]].iterrows()
    )
    return (
        f"loss at p_train = 0, p_eval = {at['p_eval'].iloc[0]:g}: {first}, {last} (ln 10 = 2.303)"
    )


def _interval(row: Any) -> str:
    between = f"[{row['low']:.3f}, {row['high']:.3f}]"
    flags = row["flags"] if isinstance(row["flags"], str) else ""  # empty ones are NaN in a CSV
    if math.isfinite(row["value"]):
        return f"{row['value']:.3f} {between}" + (f" ({flags})" if flags else "")
    return f"none{f', {between}' if not math.isnan(row['low']) else ''} ({flags})"


def draw(tables: Tables) -> Figure:
    """Exponents; losses relative to their mean over sizes, where they cross; what is learned."""
    from matplotlib.figure import Figure

    names = list(tables["cells"]["network"].unique())
    figure = Figure(figsize=(2.6 * len(names) + 1.2, 7.8), layout="constrained")
    panels = figure.subplots(3, len(names), sharey="row", sharex=True, squeeze=False)
    rates, sizes = (sorted(tables["losses"][name].unique()) for name in ("p_train", "n_train"))
    for (top, middle, bottom), network in zip(panels.T, names, strict=True):
        of = {name: table[table["network"] == network] for name, table in tables.items()}
        top.set_title(network)
        _exponents(of["cells"], rates, top)
        _crossing(of["losses"], of["lines"], sizes, middle)
        _learning(of["losses"], sizes, bottom)
    alive = tables["cells"][tables["cells"]["phase"] != "amentia"]
    top, middle, bottom = panels[:, 0]
    top.set_ylim(alive["alpha"].min() - 0.06, alive["alpha"].max() + 0.06)
    bottom.set_xlim(-0.04, 1.0)
    top.set_ylabel(r"exponent $\alpha$ of the test loss")
    middle.set_ylabel("loss / geometric mean over sizes\n" r"$p_\mathrm{train}=0$")
    bottom.set_ylabel("accuracy without\nevaluation dropout")
    titles = (r"$p_\mathrm{train}$", r"$N_\mathrm{train}$", r"$N_\mathrm{train}$")
    for row, title, values in zip(panels, titles, (rates, sizes, sizes), strict=True):
        shown = {h.get_label(): h for ax in row for h in ax.get_legend_handles_labels()[0]}
        order = [f"{value:g}" for value in values if f"{value:g}" in shown]
        order += [label for label in shown if label not in order]
        row[-1].legend(
            [shown[label] for label in order],
            order,
            title=title,
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
            fontsize="small",
            frameon=False,
        )
    return figure


def _curve(
    rows: pd.DataFrame, names: tuple[str, str, str], value: float, values: list[float], ax: Axes
) -> None:
    """Draw columns (x, y, error of y), in the shade of a value among all values."""
    from criticality.figures.parts import MARKERS, shades

    x, y, error = names
    rows = rows.sort_values(x)
    number = values.index(value)
    ax.errorbar(
        rows[x],
        rows[y],
        rows[error],
        color=shades(len(values))[number],
        label=f"{value:g}",
        marker=MARKERS[number],
        markersize=4,
        linewidth=1,
    )


def _exponents(cells: pd.DataFrame, rates: list[float], ax: Axes) -> None:
    dead = cells[cells["phase"] == "amentia"]
    for rate, rows in dead.groupby("p_train"):
        ax.plot(rows["p_eval"], rows["alpha"], ":", color="#888888", label=f"{rate:g}: amentia")
    for rate, rows in cells[cells["phase"] != "amentia"].groupby("p_train"):
        _curve(rows, ("p_eval", "alpha", "alpha_error"), rate, rates, ax)
    ax.axhline(0, color="black", linewidth=0.8)
    _shared(ax, r"evaluation dropout $p_\mathrm{eval}$")


def _crossing(losses: pd.DataFrame, lines: pd.DataFrame, sizes: list[float], ax: Axes) -> None:
    from criticality.figures.parts import plain

    at = losses[losses["p_train"] == 0]
    centre = np.exp(np.log(at["loss"]).groupby(at["p_eval"]).transform("mean"))
    at = at.assign(ratio=at["loss"] / centre, error=at["loss_error"] / centre)
    for size, rows in at.groupby("n_train"):
        _curve(rows, ("p_eval", "ratio", "error"), size, sizes, ax)
    line = lines[(lines["p_train"] == 0) & (lines["least"] == lines["least"].min())]
    for _, row in line.iterrows():
        if math.isfinite(row["value"]):
            ax.axvspan(max(row["low"], 0), min(row["high"], 1), color="#d55e00", alpha=0.2, lw=0)
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set_yscale("log")
    plain(ax.yaxis)
    _shared(ax, r"evaluation dropout $p_\mathrm{eval}$")


def _learning(losses: pd.DataFrame, sizes: list[float], ax: Axes) -> None:
    at = losses[losses["p_eval"] == 0]
    for size, rows in at.groupby("n_train"):
        _curve(rows, ("p_train", "accuracy", "accuracy_error"), size, sizes, ax)
    ax.axhline(LEARNED, color="black", linewidth=0.8, linestyle="--")
    ax.set_ylim(0, 1)
    _shared(ax, r"training dropout $p_\mathrm{train}$")


def _shared(ax: Axes, name: str) -> None:
    """Name an x axis that is shared by all, and show its numbers everywhere."""
    ax.set_xlabel(name)
    ax.tick_params(labelbottom=True)
