"""Figure pages of `pruning` and of `topology`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.figures.book import Book, Source, all_used
from criticality.systems.pruning import degrees, evolution, figures, topology_figures
from criticality.systems.pruning.breakdown import critical_points, opened, outer_points

NEAR = 0.01  # density whose degrees are drawn: about where networks break down
CURVES = ("accuracy", "prediction_entropy", "outcome_entropy", "loss")
LAYERS = ("edges", "conducting", "live_units")
WEIGHTS = ("weights", "removed", "snapshot_step")


def pruning_pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw performance, structure, exponents and, where weights were kept, how these move."""
    all_used(at)
    ds = opened(source, *CURVES, *LAYERS, "density")
    parts = outer_points(ds)
    titles = [_title(point) for point, _ in parts]
    for ax, name in zip(book.page("breakdown", 4, 17)[0], CURVES, strict=True):
        figures.against_density(ds, name, ax)
    found = critical_points(ds)
    for row, (_, one) in zip(book.page("structure", 3, 14, titles), parts, strict=True):
        for ax, name in zip(row, LAYERS, strict=True):
            figures.layers(one, name, ax)  # type: ignore[arg-type]
    _degree_page(source, book)
    for number, row in enumerate(book.page("threshold", 4, 17, titles)):
        pair = found[2 * number : 2 * number + 2]
        for ax, point in zip(row[:2], pair, strict=True):
            figures.order_parameter(point, ax)
        figures.threshold_scan(pair, "p_c", row[2])
        figures.threshold_scan(pair, "beta", row[3])
    _weight_pages(source, book, [point.breakdown.half.value for point in found[::2]])


def _degree_page(source: Source, book: Book) -> None:
    ds = opened(source, "accuracy", "density", "edges", "live_units", "removed")
    parts = outer_points(ds)
    steps, titles = [], []
    for point, one in parts:
        rho = one["density"].mean("realization").values
        away = np.abs(np.log(np.where(rho > 0, rho, np.nan) / NEAR))
        steps.append(int(np.nanargmin(away)))
        place = _title(point)
        titles.append(f"{place + ': ' if place else ''}{100 * rho[steps[-1]]:.3g} % of the edges")
    rows = book.page("degrees", 2, 10, titles)
    for row, (_, one), step in zip(rows, parts, steps, strict=True):
        _degrees(one, step, row)


def _degrees(ds: xr.Dataset, step: int, row: Sequence[Axes]) -> None:
    """Draw in- and out-degrees of each layer after a step, over realizations."""
    ds = ds.isel(realization=np.isfinite(ds["removed"].values).all(axis=1))
    dense = ds.isel(realization=0, step=0)  # all units are alive
    shapes = degrees.layer_shapes(dense["live_units"].values, dense["edges"].values)
    each = [degrees.masks(removed, shapes, step) for removed in ds["removed"].values]
    for side, (ax, direction) in enumerate(zip(row, ("in", "out"), strict=True)):
        found, random = {}, {}
        for number, (shape, layer) in enumerate(zip(shapes, zip(*each, strict=True), strict=True)):
            name = f"layer {number + 1}"
            samples = [degrees.degrees(mask)[side] for mask in layer]
            found[name] = degrees.degree_distribution(samples)
            edges = [mask.sum() for mask in layer]
            random[name] = degrees.random_tail(found[name].degree, shape, side, edges)
        topology_figures.degree_distribution(found, random, direction, ax)


def _weight_pages(source: Source, book: Book, half: Sequence[float]) -> None:
    ds = opened(source, "accuracy", "density", "edges", "evolution", *WEIGHTS)
    if ds.sizes["snapshot"] < 2:
        return
    parts = outer_points(ds)
    titles = [_title(point) for point, _ in parts]
    for row, (_, one) in zip(book.page("evolution", 3, 15, titles), parts, strict=True):
        found = evolution.evolution_map(one)
        rho = one["density"].mean("realization")
        figures.evolution_profile(one["evolution"], rho, row[0])
        figures.evolution_profile(evolution.evolution_profile(found), ax=row[1])
        figures.evolution_map(found, ax=row[2])
    rows = book.page("weights", 3, 14, titles)
    for row, (_, one), middle in zip(rows, parts, half, strict=True):
        _scatters(one, middle, row)


def _scatters(ds: xr.Dataset, half: float, row: Sequence[Axes]) -> None:
    """Draw weights of the first network: the first snapshots, and those about the breakdown."""
    there = ds["snapshot_step"].notnull().any("snapshot").values
    one = ds.isel(realization=int(there.argmax())).sortby("snapshot", ascending=False)
    densities = one["snapshot"].values
    middle = int((densities > half).sum()) if math.isfinite(half) else len(densities) // 2
    middle = min(middle, len(densities) - 2)  # it may be below all snapshots
    removed = one["removed"].values
    chosen = dict.fromkeys((1, max(middle - 1, 1), max(middle + 1, 1)))  # few may be the same
    for ax in row[len(chosen) :]:
        ax.set_axis_off()
    for ax, late in zip(row, chosen, strict=False):
        later, earlier = one.isel(snapshot=late), one.isel(snapshot=late - 1)
        figures.weight_scatter(
            later["weights"].values,
            earlier["weights"].values,
            removed > float(later["snapshot_step"]),
            (float(later["snapshot"]), float(earlier["snapshot"])),
            ax,
        )


def topology_pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw the accuracies of the topologies, and how they train."""
    all_used(at)
    ds = opened(source, "accuracy", "loss", "pruned_accuracy", "dense_accuracy")
    parts = outer_points(ds)
    rows = book.page("topology", 3, 14, [_title(point) for point, _ in parts])
    for row, (_, one) in zip(rows, parts, strict=True):
        topology_figures.topology_accuracy(one, row[0])
        topology_figures.topology_training(one, "accuracy", row[1])
        topology_figures.topology_training(one, "loss", row[2])


def _title(at: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{n} = {v:g}" if isinstance(v, float) else f"{n} = {v}" for n, v in at.items()
    )
