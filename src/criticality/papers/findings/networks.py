"""Whether the three phases of dropout persist beyond fully-connected networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import with_error
from criticality.papers.rows import row, said

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from criticality.analysis.classify import PhaseDiagram
    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Do the three phases of dropout persist beyond fully-connected networks?"
STUDIES = ("networks_dense", "networks_cnn", "networks_transformer", "networks_parts")
NEEDS = ("networks_dense",)
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
LEAST = 2  # networks of a point, for an error
BENT = 0.01  # probability of a fit so bad, below which there is no power law
SIGMAS = 2.0  # beyond which a cell has a phase, certain or not
LEARNED = 0.2  # accuracy, as amentia is defined for ten classes


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Exponents and phases, which phases there are for certain, lines, losses."""
    found: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("cells", "phases", "lines", "losses", "learned")
    }
    for network, ds in networks(stores):
        label = {"network": network}
        found["losses"] += [label | each for each in _losses(ds)]
        found["learned"] += [label | each for each in _learned(ds)]
        sizes = ds["n_train"].values
        last = max(len(sizes) - SIZES_LEFT, 0)
        for first in range(last + 1):
            before, part = (ds.isel(n_train=slice(*ends)) for ends in ((first,), (first, None)))
            label["least"] = sizes[first]
            found["phases"] += [label | each for each in _phases(part, before)]
            diagram = _diagram(part, SIGMAS)
            found["lines"] += [label | each for each in _lines(diagram)]
            if first in (0, last):
                found["cells"] += [label | each for each in _cells(diagram)]
    return {name: pd.DataFrame(rows) for name, rows in found.items()}


def networks(stores: Mapping[str, Store]) -> Iterator[tuple[str, xr.Dataset]]:
    """Give each network by name, and its results."""
    for stem, store in stores.items():
        ds = store.open(observables=["loss", "accuracy"])
        if stem in NAMES:
            yield NAMES[stem], _whole(ds)
            continue
        for left_out, name in PARTS.items():
            there = {part: part != left_out for part in PARTS}
            yield name, _whole(ds.sel(there))


def _whole(ds: xr.Dataset) -> xr.Dataset:
    """Give the training rates of which all sizes have networks enough."""
    number = ds["loss"].notnull().all(["p_eval", "pass"]).sum("realization")
    return ds.sel(p_train=(number >= LEAST).all("n_train"))


def _diagram(ds: xr.Dataset, sigmas: float) -> PhaseDiagram:
    from criticality import phase_diagram
    from criticality.systems import DropoutNetwork

    return phase_diagram(ds, DropoutNetwork, sigmas=sigmas)


def _cells(diagram: PhaseDiagram) -> Iterator[dict[str, Any]]:
    names = ("p_train", "p_eval", "alpha", "alpha_error", "fit_probability", "phase")
    for cell in diagram.to_dict()["cells"]:
        yield {name: cell[name] for name in names}


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


def _learned(ds: xr.Dataset) -> list[dict[str, Any]]:
    """How many networks have learned, at every training rate and size.

    Counted one by one: networks that give every sample the same class have all one accuracy.
    """
    accuracy = ds["accuracy"].mean("pass").isel(p_eval=0, drop=True)
    known = accuracy.notnull().sum("realization")
    learned = (accuracy > LEARNED).sum("realization")
    counts = known.to_dataset(name="networks").assign(learned=learned).to_dataframe()
    rows: list[dict[str, Any]] = counts.reset_index().to_dict("records")
    return rows


def _phases(ds: xr.Dataset, before: xr.Dataset) -> Iterator[dict[str, Any]]:
    """How many cells each phase has, whether it is there for certain, and whether it was lost.

    Of a map's many cells some pass two standard errors by chance.  A phase is certain if it has a
    cell beyond so many that any would with probability `FALSE` (Bonferroni, both signs).  Amentia
    is no matter of standard errors: all its cells count.  Lost is a cell in which the phase is
    certain by the sizes before, and as certainly weaker at the sizes here.
    """
    from scipy.stats import norm

    count = ds.sizes["p_train"] * ds.sizes["p_eval"]
    sure = float(norm.isf(FALSE / 2 / count))
    here = {sigmas: _diagram(ds, sigmas) for sigmas in (SIGMAS, sure)}
    old = _diagram(before, sure) if before.sizes["n_train"] >= SIZES_LEFT else None
    for phase in PHASES:
        cells, certain = (int(_has(one, phase).sum()) for one in here.values())
        lost = 0
        if old is not None:
            gone = ~_has(here[sure], phase)
            if phase != "amentia":
                gone = _fell(old, here[sure], 1 if phase == "dementia" else -1, sure)
            lost = int((_has(old, phase) & gone).sum())
        yield {"phase": phase, "cells": cells, "certain": certain, "lost": lost, "of": count}


def _has(diagram: PhaseDiagram, phase: str) -> NDArray[np.bool_]:
    """Whether cells have a phase."""
    codes = [one.name for one in diagram.phases]
    found: NDArray[np.bool_] = diagram.cells["phase"].values == 1 + codes.index(phase)
    return found


def _fell(old: PhaseDiagram, new: PhaseDiagram, sign: int, sigmas: float) -> NDArray[np.bool_]:
    """Whether exponents times a sign fell from one to the other, of independent networks."""
    from criticality.analysis.stats import quantile_of_few, welch

    (a, error, dof), (a_2, error_2, dof_2) = (
        [one.cells[name].values for name in ("alpha", "alpha_error", "dof")] for one in (old, new)
    )
    total, degrees = welch(error, dof, error_2, dof_2)
    found: NDArray[np.bool_] = sign * (a - a_2) > quantile_of_few(sigmas, degrees) * total
    return found


def _lines(diagram: PhaseDiagram) -> Iterator[dict[str, Any]]:
    for border in diagram.boundaries:
        if border.along == "p_eval":
            yield dict(border.at) | row(border.estimate, border.flags)


def verdict(tables: Tables, network: str) -> dict[str, str]:
    """For each phase "yes", "at these sizes", "fades", "undecided", or "no cell".

    "yes" if it is certain with all sizes and with the smallest ones left out; "at these sizes" if
    it is certain and there are too few to leave any out; "fades" if a cell has lost it, which is
    certainly weaker at the largest sizes, and there no cell is certain; "undecided" if else some
    cell has it.
    """
    rows = tables["phases"]
    rows = rows[rows["network"] == network]
    found = {}
    for phase in PHASES:
        of = rows[rows["phase"] == phase].sort_values("least")
        everywhere, largest = of.iloc[0], of.iloc[-1]
        if everywhere["certain"] and largest["certain"]:
            found[phase] = "yes" if len(of) > 1 else "at these sizes"
        elif largest["lost"] and not largest["certain"]:
            found[phase] = "fades"
        else:
            found[phase] = "undecided" if everywhere["cells"] or largest["cells"] else "no cell"
    return found


def say(tables: Tables) -> str:
    """Say for each network which phases there are, where the line is, and how loud dropout is."""
    told = []
    for network in tables["cells"]["network"].unique():
        of = {name: table[table["network"] == network] for name, table in tables.items()}
        answer = verdict(tables, network)
        sizes, number = of["losses"]["n_train"], of["losses"]["networks"]
        told.append(f"{network}: " + ", ".join(f"{phase} {answer[phase]}" for phase in PHASES))
        told.append(
            f"  {_range(number)} networks a point, {sizes.nunique()} sizes from {_range(sizes)} "
            f"samples, p_train = {', '.join(f'{p:g}' for p in of['losses']['p_train'].unique())}"
        )
        rows = of["phases"][of["phases"]["least"] == of["phases"]["least"].min()]
        counts = (
            f"{r['certain']} of {r['cells']} {r['phase']}"
            for _, r in rows.iterrows()
            if r["phase"] != "amentia"
        )
        told.append(
            f"  cells, of which certain: {', '.join(counts)}; {rows['of'].iloc[0]} in all; "
            f"amentia at {_dead(of['cells'])}"
        )
        for least, cells in of["cells"].groupby("least"):
            alive = cells[cells["phase"] != "amentia"]
            bent = int((alive["fit_probability"] < BENT).sum())
            told.append(
                f"  from {least:g} samples: {_extreme(alive, -1)}; {_extreme(alive, 1)}; "
                f"no power law fits (p < {BENT}) in {bent} of {len(alive)} cells that learn"
            )
        lines = of["lines"].sort_values("least")
        for _, line in lines[lines["p_train"] == 0].iterrows():
            told.append(f"  from {line['least']:g} samples: p_eval* = {said(line)} at p_train = 0")
        told.append(f"  {_loudest(of['losses'])}")
        told.append(f"  {_learning_networks(of['learned'])}")
    return "\n".join(told)


def _dead(cells: pd.DataFrame) -> str:
    """Say at which training rates nothing is learned at any size: all cells of a rate, or none."""
    every = cells[cells["least"] == cells["least"].min()]
    rates = every["p_train"][every["phase"] == "amentia"].unique()
    return (
        f"p_train = {', '.join(f'{p:g}' for p in rates)}"
        if len(rates)
        else "none of these training rates"
    )


def _range(values: pd.Series) -> str:
    """Least and largest, if they differ."""
    return " to ".join(f"{value:g}" for value in sorted({values.min(), values.max()}))


def _extreme(cells: pd.DataFrame, sign: int) -> str:
    """Say where alpha has this sign most significantly."""
    what = f"alpha {'>' if sign > 0 else '<'} 0"
    cells = cells[cells["alpha"] * sign > 0]
    if cells.empty:
        return f"{what} nowhere"
    cell = cells.loc[(cells["alpha"].abs() / cells["alpha_error"]).idxmax()]
    alpha = with_error(cell["alpha"], cell["alpha_error"])
    place = f"p_train = {cell['p_train']:g}, p_eval = {cell['p_eval']:g}"
    return f"{what} most surely {alpha} at {place}"


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


def _learning_networks(counts: pd.DataFrame) -> str:
    """Say how many networks learn from most samples, by training rate."""
    most = counts[counts["n_train"] == counts["n_train"].max()].sort_values("p_train")
    each = (f"{c.p_train:g}: {c.learned} of {c.networks}" for c in most.itertuples())
    size = most["n_train"].iloc[0]
    return f"networks that learn from {size:g} samples, by p_train: {', '.join(each)}"


def draw(tables: Tables) -> Figure:
    """Exponents; losses relative to their mean over sizes; losses; what is learned."""
    from matplotlib.figure import Figure

    names = list(tables["cells"]["network"].unique())
    figure = Figure(figsize=(2.25 * len(names) + 1.2, 9.8), layout="constrained")
    panels = figure.subplots(4, len(names), sharey="row", sharex=True, squeeze=False)
    rates, sizes = (sorted(tables["losses"][name].unique()) for name in ("p_train", "n_train"))
    for column, network in zip(panels.T, names, strict=True):
        of = {name: table[table["network"] == network] for name, table in tables.items()}
        every = of["cells"]["least"] == of["cells"]["least"].min()
        column[0].set_title(f"{network}\nn = {_range(of['losses']['networks'])}", fontsize="medium")
        _exponents(of["cells"][every], rates, column[0])
        _crossing(of["losses"], of["lines"], sizes, column[1])
        _loudness(of["losses"], sizes, column[2])
        _learning(of["losses"], sizes, column[3])
    alive = tables["cells"][tables["cells"]["phase"] != "amentia"]
    first = panels[:, 0]
    first[0].set_ylim(alive["alpha"].min() - 0.06, alive["alpha"].max() + 0.06)
    first[0].set_xlim(-0.04, 1.0)
    first[0].set_xticks([0, 0.5, 1])
    first[0].set_ylabel(r"exponent $\alpha$ of the test loss")
    first[1].set_ylabel("loss / geometric mean\nover sizes")
    first[2].set_ylabel("loss (nat)")
    first[3].set_ylabel("accuracy without\nevaluation dropout")
    for ax, letter in zip(first, "abcd", strict=True):
        at = r" $p_\mathrm{train}=0$" if letter in "bc" else ""
        ax.set_title(f"({letter}){at}", loc="left", fontsize="medium")
    titles = (r"$p_\mathrm{train}$", *[r"$N_\mathrm{train}$"] * 3)
    for line, title, values in zip(panels, titles, (rates, *[sizes] * 3), strict=True):
        shown = {h.get_label(): h for ax in line for h in ax.get_legend_handles_labels()[0]}
        order = [f"{value:g}" for value in values if f"{value:g}" in shown]
        order += sorted(label for label in shown if label not in order)
        line[-1].legend(
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
        markersize=5,
        linewidth=1,
    )


def _exponents(cells: pd.DataFrame, rates: list[float], ax: Axes) -> None:
    dead = cells[cells["phase"] == "amentia"]
    for rate, rows in dead.groupby("p_train"):
        style = ":" if rate == rates[-1] else "--"
        ax.plot(rows["p_eval"], rows["alpha"], style, color="#666666", label=f"{rate:g}: amentia")
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
    lines = lines[(lines["p_train"] == 0) & (lines["least"] == lines["least"].min())]
    for _, line in lines.iterrows():
        if math.isfinite(line["value"]):
            ends = np.clip([line["low"], line["high"]], 0, 1)
            ax.axvspan(*ends, color="#d55e00", alpha=0.2, lw=0)
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set_yscale("log")
    plain(ax.yaxis)
    _shared(ax, r"evaluation dropout $p_\mathrm{eval}$")


def _loudness(losses: pd.DataFrame, sizes: list[float], ax: Axes) -> None:
    at = losses[losses["p_train"] == 0]
    for size, rows in at.groupby("n_train"):
        _curve(rows, ("p_eval", "loss", "loss_error"), size, sizes, ax)
    ax.axhline(math.log(10), color="black", linewidth=0.8, linestyle="--", label="ln 10")
    ax.set_yscale("log")
    _shared(ax, r"evaluation dropout $p_\mathrm{eval}$")


def _learning(losses: pd.DataFrame, sizes: list[float], ax: Axes) -> None:
    at = losses[losses["p_eval"] == 0]
    for size, rows in at.groupby("n_train"):
        _curve(rows, ("p_train", "accuracy", "accuracy_error"), size, sizes, ax)
    ax.axhline(LEARNED, color="black", linewidth=0.8, linestyle="--")
    ax.set_ylim(0, 1)
    if at["p_train"].nunique() == 1:
        ax.text(0.55, 0.5, "no other\n" r"$p_\mathrm{train}$ yet", ha="center", color="0.4")
    _shared(ax, r"training dropout $p_\mathrm{train}$")


def _shared(ax: Axes, name: str) -> None:
    """Name an x axis that is shared by all, and show its numbers everywhere."""
    ax.set_xlabel(name)
    ax.tick_params(labelbottom=True)
