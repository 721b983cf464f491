"""Topology of pruned networks: how four of them train, and the degrees of their units.

Figure numbers are those of Pesce, He and Caldarelli.  `ds` is a study's results (`Store.open`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from criticality.figures.parts import (
    COLOURS,
    MARKERS,
    STYLES,
    axes,
    band,
    by_realization,
    curve_style,
    mean_and_error,
    plain,
    shades,
)
from criticality.systems.pruning.breakdown import classes
from criticality.systems.pruning.degrees import DegreeDistribution
from criticality.systems.pruning.figures import guess

TOPOLOGIES = ("pruned", "same\ndegrees", "random\nin layers", "random")
LABELS = {"accuracy": "test accuracy", "loss": "test cross-entropy (nat)"}


def topology_accuracy(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the accuracies of the topologies after training, a point for each network (Fig. 4).

    Lines join what was made from one pruned network; bars are means and standard errors.  Beside
    them, the pruned and fine-tuned network itself, and the dense one.
    """
    ax = axes(ax)
    columns = [*ds["accuracy"].isel(epoch=-1).transpose("topology", "realization").values]
    names = [TOPOLOGIES[int(n)] for n in ds["topology"].values]
    for other, text in (("pruned_accuracy", "fine-\ntuned"), ("dense_accuracy", "dense")):
        if other in ds:
            columns.append(ds[other].transpose("realization").values)
            names.append(text)
    rows = np.array(columns)
    aside = np.linspace(-0.12, 0.12, rows.shape[1]) if rows.shape[1] > 1 else np.zeros(1)
    compared = ds.sizes["topology"]
    for r, shift in enumerate(aside):
        places = np.arange(len(rows)) + shift
        ax.plot(places[:compared], rows[:compared, r], color="0.8", lw=0.6, zorder=0)
    for number, values in enumerate(rows):
        colour = COLOURS[number] if number < compared else "0.35"
        marker = MARKERS[number]
        ax.plot(number + aside, values, marker, ms=5, mew=0, alpha=0.7, color=colour)
        mean, error = mean_and_error(values[:, None])
        ax.errorbar(number + 0.27, mean[0], error[0], fmt="_", ms=9, color="k", capsize=2, lw=1.2)
    ax.set_xticks(range(len(names)), names, fontsize="small")
    ax.set(ylabel=LABELS["accuracy"], ylim=(0, 1.02), xlim=(-0.5, len(names) - 0.3))
    guess(ax, "accuracy", classes(ds))
    return ax


def topology_training(
    ds: xr.Dataset, observable: Literal["accuracy", "loss"] = "accuracy", ax: Axes | None = None
) -> Axes:
    """Draw how each topology trains from the pruned initial weights (Fig. 4)."""
    ax = axes(ax)
    epochs = ds["epoch"].values
    for number, topology in enumerate(ds["topology"].values):
        values = by_realization(ds[observable].sel(topology=topology), "epoch")
        label = TOPOLOGIES[int(topology)].replace("\n", " ")
        band(epochs, values, ax, *curve_style(number), label=label, lw=1.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=LABELS[observable])
    if observable == "accuracy":
        ax.set_ylim(0, 1.02)
    else:
        ax.set_yscale("log")
        plain(ax.yaxis)
    guess(ax, observable, classes(ds))
    ax.legend(frameon=False, fontsize="small")
    return ax


def degree_distribution(
    found: Mapping[str, DegreeDistribution],
    random: Mapping[str, ArrayLike] | None = None,
    direction: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of units with degree k or more, a curve for each name.

    A step is a degree.  Units without edges are what is missing to 1 at k = 1.

    Parameters
    ----------
    found
        name -> distribution.
    random
        name -> P(K >= k) at the same degrees, drawn as a thin line: what would be expected.
    direction
        "in", "out" or nothing, for the label.
    """
    ax = axes(ax)
    random = random or {}
    least = 1.0
    for name, colour, style in zip(found, shades(len(found)), STYLES * 4, strict=False):
        k, share, error = found[name].degree, found[name].cumulative, found[name].cumulative_error
        here = (k > 0) & (share > 0)
        least = min(least, share[here].min(initial=least))
        ax.plot(k[here], share[here], ls=style, lw=1.8, color=colour, label=name)
        ax.fill_between(k[here], np.maximum(share - error, 1e-12)[here], (share + error)[here],
                        color=colour, alpha=0.25, lw=0)  # fmt: skip
        if name in random:
            ax.plot(k[1:], np.asarray(random[name], float)[1:], ls=style, lw=0.7, color=colour)
    ax.set(xscale="log", yscale="log", ylim=(0.7 * least, 1.4))
    for axis in (ax.xaxis, ax.yaxis):
        plain(axis)
    text = f"{direction}-degree $k$" if direction else "degree $k$"
    ax.set(xlabel=text, ylabel=r"share of units with $K \geq k$")
    if random:
        ax.plot([], [], "-", lw=0.7, color="k", label="random")
    ax.legend(frameon=False, fontsize="small")
    return ax
