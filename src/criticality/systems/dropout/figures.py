"""Phase diagram, scaling of the loss with size, and the crossing.

Figure numbers are those of Pan, Aggarwal and Pixley.  `ds` is a study's results (`Store.open`),
`diagram` what `phases.phase_diagram` makes of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.analysis.boundaries import Boundary
from criticality.analysis.classify import PhaseDiagram
from criticality.base import with_error
from criticality.figures.book import Book, Source, all_used, chosen
from criticality.figures.parts import (
    MARKERS,
    axes,
    label,
    outside_legend,
    plain,
    reference,
    shades,
    symbol,
)
from criticality.figures.plane import doubted, mark, phase_map, value_map
from criticality.figures.sizes import against, mean_and_error, size_axis
from criticality.systems.dropout.phases import classes

TYPICAL = 0.8  # evaluation rate of the scaling


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw the phase diagram, the scaling with size, and the crossing."""
    all_used(at, "p_train", "p_eval")
    ds, diagram = source.open(), source.diagram()
    ds = ds.expand_dims([name for name in ("p_train", "p_eval") if name not in ds.dims])
    clean = [line.at["p_train"] for line in lines(diagram) if line.clean]
    rate = float(chosen(ds, "p_train", at, clean[0] if clean else 0.0))
    probe = float(chosen(ds, "p_eval", at, TYPICAL))
    panels = book.page("phase_diagram", 3, 13)[0]
    phase_map(diagram, panels[0])
    accuracy_map(diagram, panels[1])
    exponent_map(diagram, panels[2])
    panels = book.page("scaling", 2, 11)[0]
    against_control(ds, probe, panels[0])
    against_size(ds, diagram, probe, ax=panels[1])
    panels = book.page("crossing", 3, 15)[0]
    against_probe(ds, diagram, rate, "loss", panels[0])
    crossing(ds, diagram, rate, panels[1])
    against_probe(ds, diagram, rate, "accuracy", panels[2])


def lines(diagram: PhaseDiagram) -> list[Boundary]:
    """Borders of eumentia and dementia, one for each training rate."""
    return [border for border in diagram.boundaries if border.along == "p_eval"]


def accuracy_map(diagram: PhaseDiagram, ax: Axes | None = None) -> Axes:
    """Draw the mean accuracy at the largest training set over the plane (Fig. 2b)."""
    largest = int(np.max(diagram.method["sizes"]))
    text = rf"accuracy at $N_\mathrm{{train}}={largest}$"
    return value_map(diagram, "accuracy", ax, text=text, limits=(0, 1))


def exponent_map(diagram: PhaseDiagram, ax: Axes | None = None) -> Axes:
    """Draw the exponent alpha over the plane (Fig. 2c); crosses where no power law fits."""
    law = r"\langle\mathcal{L}\rangle\sim N_\mathrm{train}^{\,\alpha}"
    ax = value_map(diagram, "alpha", ax, text=rf"exponent $\alpha$, ${law}$", signed=True)
    return doubted(diagram, ax)


def against_control(ds: xr.Dataset, p_eval: float, ax: Axes | None = None) -> Axes:
    """Draw the loss against the training rate, a curve for each size (Fig. 3a)."""
    ax = against(ds["loss"].sel(p_eval=p_eval), "p_train", "n_train", ax)
    _of_chance(ds, ax)
    ax.set_title(rf"$p_\mathrm{{eval}}={p_eval:g}$", fontsize="medium")
    _log(ax)
    return ax


def against_size(
    ds: xr.Dataset,
    diagram: PhaseDiagram,
    p_eval: float,
    p_train: list[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss against the size of the training set, with the laws of Eq. (4) (Fig. 3b).

    `p_train` chooses training rates, default all.
    """
    ax = axes(ax)
    loss = ds["loss"].sel(p_eval=p_eval)
    rates = ds["p_train"].values if p_train is None else np.asarray(p_train)
    n = ds["n_train"].values.astype(float)
    for rate, colour, marker in zip(
        rates, shades(len(rates)), itertools.cycle(MARKERS), strict=False
    ):
        mean, error = mean_and_error(loss.sel(p_train=rate), ("n_train",))
        fit = diagram.cells.sel(p_train=rate, p_eval=p_eval)
        alpha, spread = float(fit["alpha"]), float(fit["alpha_error"])
        text = rf"{rate:g}: $\alpha={with_error(alpha, spread)}$"
        ax.errorbar(n, mean, error, fmt=marker, ms=4, color=colour, capsize=2, lw=1, label=text)
        law = np.exp(float(fit["log_amplitude"])) * n**alpha
        ax.plot(n, law, ":" if fit["doubted"] else "-", color=colour, lw=1)
    _log(ax)
    size_axis(ax, n)
    ax.set(xlabel=label(ds, "n_train"), ylabel=label(ds, "loss"))
    ax.set_title(rf"$p_\mathrm{{eval}}={p_eval:g}$", fontsize="medium")
    outside_legend(ax, symbol(ds, "p_train"))
    return ax


def against_probe(
    ds: xr.Dataset,
    diagram: PhaseDiagram,
    p_train: float,
    observable: str = "loss",
    ax: Axes | None = None,
) -> Axes:
    """Draw loss or accuracy against the evaluation rate, a curve for each size (Figs. 4a, 5a).

    The band is the interval of the boundary, where alpha changes sign.
    """
    ax = against(ds[observable].sel(p_train=p_train), "p_eval", "n_train", ax)
    _mark(diagram, p_train, ax)
    if observable == "loss":
        _log(ax)
        _of_chance(ds, ax)
    else:
        reference(ax, 1 / classes(ds), "chance")
        ax.set_ylim(0, 1)
    ax.set_title(rf"$p_\mathrm{{train}}={p_train:g}$", fontsize="medium")
    return ax


def crossing(ds: xr.Dataset, diagram: PhaseDiagram, p_train: float, ax: Axes | None = None) -> Axes:
    """Draw each size's loss over the geometric mean of all sizes, to see them cross.

    Fig. 4a with the common rise of five decades divided out.
    """
    loss = ds["loss"].sel(p_train=p_train)
    means = loss.mean(dim=["pass", "realization"])
    centre = xr.apply_ufunc(np.exp, xr.apply_ufunc(np.log, means).mean(dim="n_train"))
    ax = against((loss / centre).rename("loss"), "p_eval", "n_train", ax)
    _mark(diagram, p_train, ax)
    reference(ax, 1.0, "")
    _log(ax)
    ax.set_ylabel("loss / geometric mean over sizes")
    ax.set_title(rf"$p_\mathrm{{train}}={p_train:g}$", fontsize="medium")
    return ax


def _of_chance(ds: xr.Dataset, ax: Axes) -> None:
    many = classes(ds)
    reference(ax, math.log(many), rf"$\ln {many}$")


def _mark(diagram: PhaseDiagram, p_train: float, ax: Axes) -> None:
    for border in lines(diagram):
        if border.at["p_train"] == p_train:
            mark(diagram.cells, border, ax)


def _log(ax: Axes) -> None:
    """Logarithmic y axis with plain numbers."""
    ax.set_yscale("log")
    plain(ax.yaxis)
