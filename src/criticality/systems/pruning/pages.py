"""Commands on pruning: the threshold, and what is drawn of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError, unknown
from criticality.cli.app import (
    Json,
    Select,
    StoreDir,
    app,
    expect_system,
    open_results,
    write,
    write_json,
)

if TYPE_CHECKING:
    import xarray as xr

    from criticality.analysis.pruning import CriticalPoint
    from criticality.analysis.scaling.threshold import PowerLaw
    from criticality.cli.figures import Page

OBSERVABLES = ("accuracy", "prediction_entropy")
NEAR = 0.01  # density whose degrees are drawn: about where networks collapse
CURVES = (*OBSERVABLES, "outcome_entropy", "loss")
LAYERS = ("edges", "conducting", "live_units")
WEIGHTS = ("weights", "removed", "snapshot_step")


@app.command()
def threshold(
    store: StoreDir,
    observable: Annotated[str, typer.Option(help="accuracy, prediction_entropy or both.")] = "both",
    select: Select = None,
    chance: Annotated[
        float | None,
        typer.Option(help="Accuracy of one answer to everything; default: as measured."),
    ] = None,
    density_min: Annotated[
        float | None, typer.Option(help="Least density that is fitted; default: from the data.")
    ] = None,
    density_max: Annotated[
        float | None, typer.Option(help="Greatest density that is fitted; default: from the data.")
    ] = None,
    points: Annotated[int, typer.Option(help="Densities that are fitted.", min=8)] = 32,
    draws: Annotated[int, typer.Option(help="Bootstrap resamplings.", min=20)] = 500,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Find the density at which pruned networks collapse, and its exponents."""
    if observable not in (*OBSERVABLES, "both"):
        raise unknown("value for --observable:", observable, (*OBSERVABLES, "both"))
    if chance is not None and observable == "prediction_entropy":
        raise InputError(f"--chance {chance:g}: is for the accuracy; the entropy has none.")
    expect_system(store, "threshold", "pruning")
    from criticality.analysis.pruning import critical_point, outer_points

    ds = _open(store, select, ("density", *OBSERVABLES))
    names = OBSERVABLES if observable == "both" else (observable,)
    found = [
        critical_point(
            one,
            name,  # type: ignore[arg-type]
            offset=chance if name == "accuracy" else None,
            densities=(density_min, density_max),
            points=points,
            draws=draws,
            seed=seed,
            at=at,
        )
        for at, one in outer_points(ds)
        for name in names
    ]
    if as_json:
        write_json({"points": [point.to_dict() for point in found]})
        return
    write("densities in percent of the edges; errors in the last digits, from resampled networks")
    for point in found:
        _report(point)


def _report(point: CriticalPoint) -> None:
    """Write what was found at one point."""
    place = ", ".join(f"{name} = {_short(value)}" for name, value in point.at.items())
    offset = f" - {point.offset:.4g} ({point.offset_source})" if point.offset else ""
    networks = point.collapse.half.values.size
    heading = f"{point.observable}{offset}, {networks} network{'s' if networks != 1 else ''}"
    write(f"\n{place + ': ' if place else ''}{heading}")
    half, steepest = point.collapse.half, point.collapse.steepest
    if half.n:
        scatter = f", networks scatter by {100 * half.deviation:.2g}" if half.n > 1 else ""
        write(
            f"  collapse     half-way at {_percent(half.mean, half.error)}{scatter}; "
            f"steepest at {_percent(steepest.mean, steepest.error)}"
        )
    fit = point.fit
    if fit is not None and math.isfinite(fit.p_c):
        low, high = 100 * point.density[0], 100 * point.density[-1]
        write(
            f"  mean         {_fitted(fit)}  "
            f"chi2/dof = {fit.chi2:.1f}/{fit.dof} (p = {fit.p_value:.2g}), "
            f"{fit.points} points in [{low:.3g}, {high:.3g}]"
        )
    alone = point.single("p_c"), point.single("beta")
    if alone[0].n:
        mean = _law(alone[0].mean, alone[0].error, alone[1].mean, alone[1].error)
        scatter = ""
        if alone[0].n > 1:
            parts = f"{100 * alone[0].deviation:.2g}", f"{alone[1].deviation:.2g}"
            scatter = f", networks scatter by {parts[0]} and {parts[1]}"
        write(f"  alone        {mean}  {alone[0].n} of {len(point.each)} networks{scatter}")
    for narrow in point.scan[1:]:
        if math.isfinite(narrow.p_c):
            reach = f"within {100 * narrow.window[1]:.2g}"
            flags = ", ".join(map(str, narrow.flags))
            write(f"  {reach:<13}{_fitted(narrow)}  {flags}".rstrip())
    counts = point.flags_of_each()
    if counts:
        write("  alone: " + ", ".join(f"{flag} ({n})" for flag, n in counts.items()))
    write("  resolved" if point.resolved else f"  unresolved: {', '.join(point.flags)}")


def _fitted(fit: PowerLaw) -> str:
    p_c, beta = fit.params["p_c"], fit.params["beta"]
    return _law(p_c.value, p_c.error, beta.value, beta.error)


def _law(p_c: float, p_c_error: float, beta: float, beta_error: float) -> str:
    from criticality.base import with_error

    return f"rho_c = {_percent(p_c, p_c_error):<14} beta = {with_error(beta, beta_error):<10}"


def _percent(value: float, error: float) -> str:
    from criticality.base import with_error

    return with_error(100 * value, 100 * error)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _open(store: Path, select: list[str] | None, observables: tuple[str, ...]) -> xr.Dataset:
    """Open observables of a store; a single realization is kept as an axis."""
    from criticality.analysis.pruning import INNER

    ds = open_results(store, select, keep=INNER, observables=observables)
    return ds if "realization" in ds.dims else ds.expand_dims("realization")


# --- figures ---------------------------------------------------------------------------------


def pruning_pages(store: Path, select: list[str] | None, page: Page) -> None:
    """Draw performance, structure, exponents and, where weights were kept, how these move."""
    from criticality import figures as draw
    from criticality.analysis.pruning import critical_points, outer_points

    ds = _open(store, select, (*CURVES, *LAYERS, "density"))
    parts = list(outer_points(ds))
    titles = [_title(at) for at, _ in parts]
    for ax, name in zip(page("collapse", 4, 17)[0], CURVES, strict=True):
        draw.against_density(ds, name, ax)
    found = critical_points(ds)
    for row, (_, one) in zip(page("structure", 3, 14, titles), parts, strict=True):
        for ax, name in zip(row, LAYERS, strict=True):
            draw.layers(one, name, ax)  # type: ignore[arg-type]
    _degree_page(store, select, page)
    for number, row in enumerate(page("threshold", 4, 17, titles)):
        pair = found[2 * number : 2 * number + 2]
        for ax, point in zip(row[:2], pair, strict=True):
            draw.order_parameter(point, ax)
        draw.threshold_scan(pair, "p_c", row[2])
        draw.threshold_scan(pair, "beta", row[3])
    _weight_pages(store, select, page, [point.collapse.half.mean for point in found[::2]])


def _degree_page(store: Path, select: list[str] | None, page: Page) -> None:
    import numpy as np

    from criticality.analysis.pruning import outer_points

    ds = _open(store, select, ("accuracy", "density", "edges", "live_units", "removed"))
    parts = list(outer_points(ds))
    steps, titles = [], []
    for at, one in parts:
        rho = one["density"].mean("realization").values
        away = np.abs(np.log(np.where(rho > 0, rho, np.nan) / NEAR))
        steps.append(int(np.nanargmin(away)))
        place = _title(at)
        titles.append(f"{place + ': ' if place else ''}{100 * rho[steps[-1]]:.3g} % of the edges")
    rows = page("degrees", 2, 10, titles)
    for row, (_, one), step in zip(rows, parts, steps, strict=True):
        _degrees(one, step, row)


def _degrees(ds: xr.Dataset, step: int, row: Any) -> None:
    """Draw in- and out-degrees of each layer after a step, over realizations."""
    import numpy as np

    from criticality import figures as draw
    from criticality.analysis import networks

    ds = ds.isel(realization=np.isfinite(ds["removed"].values).all(axis=1))
    dense = ds.isel(realization=0, step=0)  # all units are alive
    shapes = networks.layer_shapes(dense["live_units"].values, dense["edges"].values)
    each = [networks.masks(removed, shapes, step) for removed in ds["removed"].values]
    for side, (ax, direction) in enumerate(zip(row, ("in", "out"), strict=True)):
        found, random = {}, {}
        for number, (shape, layer) in enumerate(zip(shapes, zip(*each, strict=True), strict=True)):
            name = f"layer {number + 1}"
            samples = [networks.degrees(mask)[side] for mask in layer]
            found[name] = networks.degree_distribution(samples)
            edges = [mask.sum() for mask in layer]
            random[name] = networks.random_tail(found[name].degree, shape, side, edges)
        draw.degree_distribution(found, random, direction, ax)


def _weight_pages(store: Path, select: list[str] | None, page: Page, half: list[float]) -> None:
    from criticality import figures as draw
    from criticality.analysis.evolution import evolution_map, evolution_profile
    from criticality.analysis.pruning import outer_points

    ds = _open(store, select, ("accuracy", "density", "edges", "evolution", *WEIGHTS))
    if ds.sizes["snapshot"] < 2:
        return
    parts = list(outer_points(ds))
    titles = [_title(at) for at, _ in parts]
    for row, (_, one) in zip(page("evolution", 3, 15, titles), parts, strict=True):
        found = evolution_map(one)
        rho = one["density"].mean("realization")
        draw.evolution_profile(one["evolution"], rho, row[0])
        draw.evolution_profile(evolution_profile(found), ax=row[1])
        draw.evolution_map(found, ax=row[2])
    rows = page("weights", 3, 14, titles)
    for row, (_, one), middle in zip(rows, parts, half, strict=True):
        _scatters(one, middle, row)


def _scatters(ds: xr.Dataset, half: float, row: Any) -> None:
    """Draw weights of the first network: the first snapshots, and those about the collapse."""
    from criticality import figures as draw

    there = ds["snapshot_step"].notnull().any("snapshot").values
    one = ds.isel(realization=int(there.argmax())).sortby("snapshot", ascending=False)
    densities = one["snapshot"].values
    collapse = int((densities > half).sum()) if math.isfinite(half) else len(densities) // 2
    last = len(densities) - 1
    collapse = min(collapse, last - 1)  # it may be below all snapshots
    removed = one["removed"].values
    for ax, late in zip(row, (1, max(collapse - 1, 1), max(collapse + 1, 1)), strict=True):
        later, earlier = one.isel(snapshot=late), one.isel(snapshot=late - 1)
        draw.weight_scatter(
            later["weights"].values,
            earlier["weights"].values,
            removed > float(later["snapshot_step"]),
            (float(later["snapshot"]), float(earlier["snapshot"])),
            ax,
        )


def topology_pages(store: Path, select: list[str] | None, page: Page) -> None:
    """Draw the accuracies of the topologies, and how they train."""
    from criticality import figures as draw
    from criticality.analysis.pruning import outer_points

    ds = _open(store, select, ("accuracy", "loss", "pruned_accuracy", "dense_accuracy"))
    parts = list(outer_points(ds))
    rows = page("topology", 3, 14, [_title(at) for at, _ in parts])
    for row, (_, one) in zip(rows, parts, strict=True):
        draw.topology_accuracy(one, row[0])
        draw.topology_training(one, "accuracy", row[1])
        draw.topology_training(one, "loss", row[2])


PAGES = {"pruning": pruning_pages, "topology": topology_pages}


def _title(at: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {_short(value)}" for name, value in at.items())
