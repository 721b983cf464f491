"""Commands on the phases of a study."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from criticality.base import InputError
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

    from criticality.cli.figures import Page


@app.command()
def phases(
    store: StoreDir,
    select: Select = None,
    sigmas: Annotated[float, typer.Option(help="Errors that make alpha significant.")] = 2.0,
    draws: Annotated[int, typer.Option(help="Bootstrap resamplings.", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Find the phase of every point, and the line between eumentia and dementia."""
    from criticality.analysis.dropout_phases import Thresholds, phase_diagram

    if not sigmas > 0:
        raise InputError(f"--sigmas {sigmas}: expected a positive number.")
    expect_system(store, "phases", "dropout")
    ds = open_results(store, select)
    diagram = phase_diagram(ds, thresholds=Thresholds(sigmas=sigmas), draws=draws, seed=seed)
    found = diagram.cells
    names = ("alpha", "alpha_error", "chi2_dof", "fit_probability", "loss", "accuracy")
    ends = ("boundary", "boundary_error", "boundary_low", "boundary_high")
    if as_json:
        cells = [
            {
                "p_train": float(p),
                "p_eval": float(q),
                "phase": diagram.phase(int(found["phase"].sel(p_train=p, p_eval=q))).name,
                **{name: float(found[name].sel(p_train=p, p_eval=q)) for name in names},
            }
            for p in found["p_train"].values
            for q in found["p_eval"].values
        ]
        line = [
            {
                "p_train": float(p),
                **{
                    name.replace("boundary", "p_eval"): float(found[name].sel(p_train=p))
                    for name in ends
                },
                "status": str(found["boundary_status"].sel(p_train=p).values),
            }
            for p in found["p_train"].values
        ]
        about = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in found.attrs.items()}
        write_json({"cells": cells, "line": line, "method": about})
        return
    controls, probes = found["p_train"].values, found["p_eval"].values
    doubted = (found["fit_probability"] < found.attrs["threshold_fit_probability"]).values
    write("phase of every cell: E eumentia, D dementia, A amentia, ? unresolved")
    write("lower case: no power law fits, alpha is a mean slope over these sizes\n")
    write("p_eval \\ p_train" + "".join(f"{p:>7g}" for p in controls))
    for j in reversed(range(len(probes))):
        column = (diagram.phase(int(v)).letter for v in found["phase"].values[:, j])
        marks = (m.lower() if d else m for m, d in zip(column, doubted[:, j], strict=True))
        write(f"{probes[j]:>16g}" + "".join(f"{m:>7}" for m in marks))
    percent = round(100 * found.attrs["level"])
    write(f"\np_eval* where alpha = 0 (eumentia below, dementia above), {percent} % interval")
    doubts = [
        [flag for flag in line.flags if line.clean]
        for line in diagram.boundaries
        if line.along == "p_eval"
    ]
    for p, doubt in zip(controls, doubts, strict=True):
        here = found.sel(p_train=p)
        value, error, low, high = (float(here[name]) for name in ends)
        if math.isnan(low):
            write(f"  p_train = {p:<5g} none: {here['boundary_status'].values}")
            continue
        middle = f"{value:.3f}" if math.isfinite(value) else f"{here['boundary_status'].values}:"
        spread = f" +- {error:.3f}" if math.isfinite(error) else ""
        bounds = (f"{v:.3f}" if math.isfinite(v) else "beyond the grid" for v in (low, high))
        interval = "beyond the grid" if low == high else f"[{', '.join(bounds)}]"
        said = "".join(f"  {flag}" for flag in doubt)
        write(f"  p_train = {p:<5g} {middle}{spread}  {interval}{said}")
    write(f"\n{found.attrs['realizations']} realizations; errors: {found.attrs['error_method']}")


def draw_pages(
    store: Path, select: list[str] | None, page: Page, p_train: float | None, p_eval: float | None
) -> None:
    """Draw the phase diagram, the scaling with size, and the crossing."""
    from criticality import figures as draw
    from criticality.analysis.dropout_phases import phase_diagram

    ds = open_results(store, select)
    diagram = phase_diagram(ds)
    found = diagram.cells
    crossing = [
        line.at["p_train"] for line in diagram.boundaries if line.clean and "p_train" in line.at
    ]
    rate = _measured(ds, "p_train", p_train, crossing[0] if len(crossing) else 0.0)
    probe = _measured(ds, "p_eval", p_eval, 0.8)
    panels = page("phase_diagram", 3, 13)[0]
    draw.phase_map(found, panels[0])
    draw.accuracy_map(found, panels[1])
    draw.exponent_map(found, panels[2])
    panels = page("scaling", 2, 11)[0]
    draw.against_control(ds, probe, panels[0])
    draw.against_size(ds, found, probe, ax=panels[1])
    panels = page("crossing", 3, 15)[0]
    draw.against_probe(ds, found, rate, "loss", panels[0])
    draw.crossing(ds, found, rate, panels[1])
    draw.against_probe(ds, found, rate, "accuracy", panels[2])


def _measured(ds: xr.Dataset, name: str, wanted: float | None, default: float) -> float:
    """Give a measured value of an axis: the one asked for, or the nearest to a default."""
    values = [float(v) for v in ds[name].values]
    nearest = min(values, key=lambda v: abs(v - (default if wanted is None else wanted)))
    if wanted is not None and not math.isclose(nearest, wanted, abs_tol=1e-9):
        listed = ", ".join(f"{v:g}" for v in values)
        raise InputError(
            f"--{name.replace('_', '-')} {wanted:g} was not measured; it has {listed}."
        )
    return nearest
