"""Melting temperatures by free energies and by coexistence, with what they rest on.

    criticality run examples/lennard_jones/melting.toml --store FREE
    criticality run examples/lennard_jones/two_phases.toml --store SLABS
    python examples/lennard_jones/melting.py FREE SLABS OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from criticality import Store, phase_diagram
from criticality.base import with_error
from criticality.figures.parts import COLOURS, MARKERS, mean_and_error
from criticality.systems.lennard_jones import lattice
from criticality.systems.lennard_jones.figures import coexistence
from criticality.thermo.free_energy import legendre, mbar


def pressure(temperature: float) -> float:
    """Melting line of Mastny & de Pablo, in the form of Agrawal & Kofke."""
    b = 1 / temperature
    return float(b**-1.25 * np.exp(-0.4759 * b**0.5) * (16.89 - 7.2866 * b - 2.9895 * b**2))


def by_mbar(point: xr.Dataset) -> tuple[float, float, float, list[str]]:
    """Give the integral of the solid by quadrature and by MBAR, its error by the latter, doubts."""
    temperature, atoms = float(point["temperature"]), 4 * int(point["cells"]) ** 3
    nodes, weights = legendre(point.sizes["node"])
    u, e = (
        point[f"{name}_energy_series"].values * atoms / temperature for name in ("solid", "spring")
    )
    at = np.array([0.0, *nodes, 1.0])[:, None]
    none = np.empty((len(at), 0))
    windows = [(1 - at) * u[k] + at * e[k] for k in range(len(nodes))]
    found, flags = mbar([none, *windows, none])
    quadrature = float(weights @ point["solid_integrand"].values)
    return quadrature, -found[-1].value / atoms, found[-1].error / atoms, [str(f) for f in flags]


def main(free: str, slabs: str, out: str) -> None:
    """Print melting temperatures with all checks; draw them."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    ds, boxes = Store(free).open(), Store(slabs).open()
    cutoff = float(ds["cutoff"])
    points = [
        ds.sel(temperature=t, pressure=p)
        for t, p in zip(ds["temperature"].values, ds["pressure"].values, strict=True)
    ]
    page = Figure(figsize=(10.4, 8), layout="constrained")
    panels = page.subplots(2, 2).ravel()
    for number, point in enumerate(points):
        name = f"$P$ = {float(point['pressure']):.3g}"
        _integrands(point, number, name, panels[0])
        _path(point, number, name, panels[1])
        _densities(point, number, name, panels[2])
        _report(point, cutoff)
    _rates(boxes, panels[3])
    panels[0].set(xlabel=r"node: $\lambda$ (solid), $s$ (liquid)", ylabel="integrand an atom, over $T$")
    panels[0].legend()
    panels[1].axhline(0, color="0.6", lw=0.8)
    panels[1].set(xlabel="temperature over $T_m$", ylabel=r"$(\mu_\ell - \mu_s)/T$")
    panels[1].legend()
    line = np.linspace(0.75, 1.4, 50)
    for phase, style in (("solid", "-"), ("liquid", "--")):
        panels[2].plot([coexistence(phase, t) for t in line], line, style, color="0.4", label=f"{phase}, Mastny & de Pablo")
    panels[2].set(xlabel="density", ylabel="melting temperature")
    panels[2].legend()
    page.savefig(folder / "melting.png", dpi=160)


if __name__ == "__main__":
    main(*sys.argv[1:4])
