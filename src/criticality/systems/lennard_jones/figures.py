"""Figures of Lennard-Jones atoms: what any system has, structure, densities along melting lines."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.figures.book import Book, Source, at_point
from criticality.figures.pages import generic_pages
from criticality.figures.parts import axes
from criticality.figures.sizes import against
from criticality.systems.lennard_jones import published
from criticality.systems.lennard_jones.atoms import LennardJones

CURVES = (("pair_correlation", "r"), ("square_displacement", "lag"))
AXES = ("temperature", "density", "pressure", "start", "cells")  # by which curves are told apart


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, structure and displacements, and densities of both phases."""
    generic_pages(source, book, at)
    ds = source.open()
    names = [(name, along) for name, along in CURVES if name in ds]
    by = next((axis for axis in AXES if ds.sizes.get(axis, 1) > 1), "")
    row = book.page("structure", len(names), 5.5 * len(names))[0]
    for ax, (name, along) in zip(row, names, strict=True):
        shown = ds if not by else ds.assign({name: along_path(ds[name], by)})
        others = [str(d) for d in shown[name].dims if d not in (along, by, "realization")]
        shown, title = at_point(shown, others, at, 0)
        against(shown[name], along, by, ax)
        ax.set_title(title, fontsize="medium")
    constant = json.loads(ds.attrs.get("controls", "{}")).get("ensemble", "") == "npt"
    if constant and ds.sizes.get("start", 1) > 1 and ds.sizes.get("temperature", 1) > 1:
        densities(ds, book.page("densities", 1, 6.0)[0][0])


def along_path(values: xr.DataArray, by: str) -> xr.DataArray:
    """Leave out axes that change together with `by`: each of its values has one of theirs."""
    for axis in AXES:
        if axis == by or axis not in values.dims:
            continue
        measured = values.notnull().any([d for d in values.dims if d not in (by, axis)])
        if values.sizes[axis] > 1 and (measured.sum(axis) <= 1).all():
            values = values.mean(axis, keep_attrs=True)
    return values


def densities(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw densities from both starts, beside those of the literature on the melting line."""
    ax = axes(ax)
    shown = along_path(ds["mean_density"], "temperature")
    spare = [d for d in shown.dims if d not in ("temperature", "start", "realization")]
    shown = shown.isel(dict.fromkeys(spare, 0))
    temperature = shown["temperature"].values
    fine = np.linspace(temperature.min(), temperature.max(), 60)
    line = dict(zip(("solid", "liquid"), published.densities(fine), strict=True))
    colours = {phase.name: phase.colour for phase in LennardJones.card.phases}
    for start, marker in (("solid", "s"), ("liquid", "o")):
        one = shown.sel(start=start)
        mean = one.mean("realization")
        error = one.std("realization", ddof=1) / np.sqrt(one.notnull().sum("realization"))
        ax.plot(fine, line[start], "-" if start == "solid" else "--", color="k")
        ax.errorbar(
            temperature,
            mean,
            error,
            fmt=marker,
            ms=6,
            mfc=colours[start],
            mec="k",
            ecolor="k",
            capsize=2,
            label=f"from a {start}",
        )
    ax.plot([], [], "k-", label="solid, Mastny & de Pablo")
    ax.plot([], [], "k--", label="liquid, Mastny & de Pablo")
    ax.set_xlabel(r"temperature $T$")
    ax.set_ylabel(r"density $\rho$")
    ax.legend(frameon=False, fontsize="small")
    return ax
