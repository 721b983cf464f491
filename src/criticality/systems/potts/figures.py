"""Figures of the Potts model: phases, energies of both starts, and what tells the order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.analysis.stats import Array
from criticality.base import axes as controls_of
from criticality.base import default
from criticality.figures.book import Book, Source, at_point, chosen
from criticality.figures.pages import generic_pages
from criticality.figures.panels import Panel, phase_panels
from criticality.figures.parts import (
    COLOURS,
    MARKERS,
    assigned,
    axes,
    label,
    mean_and_error,
    outside_legend,
    reference,
    shades,
    symbol,
)
from criticality.figures.plane import place
from criticality.systems.potts import BONDS, COUPLINGS, Potts, theory
from criticality.systems.potts.phases import sampled

FINE = 200  # points of a line
FIRST_ORDER = ("latent_heat", "interface_tension")


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, and of one number of states what tells the order of a transition.

    These are energies against the temperature from every start, histograms at the temperature
    nearest to the transition, and the latent heat and interface tension there; with exact values
    where neighbours alone are coupled.  Other axes are at their first value, or at what `at` says.
    """
    generic_pages(source, book, at)
    ds = source.open()
    if "phases" in book.pages:
        phase_panels(
            source, book, "exact", over=lambda panel: _draw_exact(panel, ds), borders=False
        )
    ds = _swept(ds, "temperature", "length")
    kept = ("start", "level", "temperature", "length", "reweighting", "realization")
    others = [str(d) for d in ds.dims if d not in kept]
    ds, title = at_point(ds, others, at, 0)
    point = _controls(ds)
    transition = _transition(point)
    if ds.sizes["temperature"] > 1:
        columns = ds.sizes["length"]
        row = book.page("energies", columns, 1.6 + 3.4 * columns, [title])[0]
        for ax, length in zip(row, ds["length"].values, strict=True):
            energies(ds.sel(length=length), transition, ax)
        outside_legend(row[-1], "")
    nearest = ds["temperature"].values.mean() if transition is None else transition
    temperature = chosen(ds, "temperature", at, nearest)
    ds = ds.sel(temperature=temperature)
    title = ", ".join(filter(None, [title, assigned(ds, "temperature", float(temperature))]))
    histograms(ds, _couplings(point), book.page("histograms", 1, 6.5, [title])[0][0])
    if ds.sizes["length"] > 1:
        row = book.page("first_order", len(FIRST_ORDER), 9.0, [title])[0]
        for ax, name in zip(row, FIRST_ORDER, strict=True):
            exact = None if transition is None else getattr(theory, name)(int(point["states"]))
            against_inverse(ds, name, exact, ax)


def energies(ds: xr.Dataset, transition: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw the energy of one size against the temperature, a curve for each start."""
    ax = axes(ax)
    if transition is not None:
        ax.axvline(transition, color="0.4", lw=1, ls=":", label="exact transition")
    curves = zip(ds["start"].values, COLOURS, MARKERS, strict=False)
    for number, (start, colour, marker) in enumerate(curves):
        one = sampled(ds["energy"]).isel(start=number).transpose("realization", "temperature")
        mean, error = mean_and_error(one.values)
        text = assigned(ds, "start", float(start))
        style: dict[str, Any] = {"ms": 4, "lw": 1, "capsize": 2, "color": colour}
        ax.errorbar(ds["temperature"].values, mean, error, fmt=f"{marker}-", label=text, **style)
    ax.set(xlabel=label(ds, "temperature"), ylabel=label(ds, "energy"))
    ax.set_title(assigned(ds, "length", int(ds["length"])), fontsize="medium")
    return ax


def histograms(
    ds: xr.Dataset, couplings: tuple[float, ...] = (1.0, 0.0, 0.0), ax: Axes | None = None
) -> Axes:
    """Draw the density of the energy a site, of all starts together, a curve for each size."""
    ax = axes(ax)
    ends = [-bonds * J for bonds, J in zip(BONDS, couplings, strict=True)]
    low, high = (sum(bound(end, 0.0) for end in ends) for bound in (min, max))
    energy = low + (high - low) * ds["level"].values
    lengths = ds["length"].values
    styles = zip(lengths, shades(len(lengths)), itertools.cycle(MARKERS), strict=False)
    for length, colour, marker in styles:
        share = ds["histogram"].sel(length=length).mean("start")
        mean, error = mean_and_error(share.transpose("realization", "level").values)
        scale = len(energy) / (high - low)
        mean, error = (scale * np.where(mean > 0, part, np.nan) for part in (mean, error))
        style = {"ms": 3, "lw": 0.9, "elinewidth": 0.7, "color": colour}
        # bars that reach zero would run out of a logarithmic axis
        bars = np.array([np.minimum(error, 0.95 * mean), error])
        ax.errorbar(energy, mean, bars, fmt=f"{marker}-", label=f"{length:g}", **style)
    ax.set(yscale="log", xlabel="energy a site $e$", ylabel="density $P(e)$")
    outside_legend(ax, symbol(ds, "length"))
    return ax


def against_inverse(
    ds: xr.Dataset, name: str, exact: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a quantity against 1/L, with its exact value at infinite size."""
    ax = axes(ax)
    mean, error = mean_and_error(ds[name].transpose("realization", "length").values)
    inverse = 1 / ds["length"].values
    if exact is not None:
        reference(ax, exact, "exact, infinite size")
    ax.errorbar(inverse, mean, error, fmt="o-", ms=4, lw=1, capsize=2, color=COLOURS[0])
    ax.set(xlabel="$1/L$", ylabel=label(ds, name), xlim=(0, 1.08 * inverse.max()))
    return ax


def _draw_exact(panel: Panel, ds: xr.Dataset) -> None:
    """Draw the exact transitions over the phases, if neighbours alone are coupled."""
    point = {**_controls(ds), **panel.at}
    states = panel.diagram.cells["states"]
    if _transition(point | {"states": int(states.values.min())}) is None:
        return
    fine = np.linspace(states.values.min(), states.values.max(), FINE)
    scale = _couplings(point)[0]
    vertical = panel.diagram.cells["temperature"]
    lines: list[Array] = [
        np.array([place(q, states) for q in fine]),
        np.array([place(scale * theory.transition_temperature(q), vertical) for q in fine]),
    ]
    panel.ax.plot(*lines, "k-", lw=1.8, label="exact transition")


def _couplings(point: Mapping[str, Any]) -> tuple[float, ...]:
    return tuple(float(point.get(name, default(Potts, name))) for name in COUPLINGS)


def _transition(point: Mapping[str, Any]) -> float | None:
    """Give the exact transition temperature, if neighbours alone are coupled."""
    near, *others = _couplings(point)
    if near <= 0 or any(others):
        return None
    return near * theory.transition_temperature(int(point["states"]))


def _controls(ds: xr.Dataset) -> dict[str, Any]:
    """Values of controls that have one."""
    names = [name for name in controls_of(Potts) if name in ds.coords and ds[name].size == 1]
    held: dict[str, Any] = json.loads(ds.attrs.get("controls", "{}"))
    return held | {name: ds[name].item() for name in names}


def _swept(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Give a dimension to those controls that have a single value."""
    for name in names:
        if name not in ds.dims:
            ds = ds.drop_vars(name, errors="ignore").expand_dims({name: [_controls(ds)[name]]})
            ds[name].attrs.update(symbol=controls_of(Potts)[name].symbol)
    return ds
