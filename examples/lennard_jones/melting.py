"""Melting temperatures by free energies and by coexistence, with what they rest on.

criticality run examples/lennard_jones/melting.toml --store FREE
criticality run examples/lennard_jones/two_phases.toml --store SLABS
python examples/lennard_jones/melting.py FREE SLABS OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from criticality import Store, phase_diagram
from criticality.base import with_error
from criticality.figures.parts import COLOURS, MARKERS, by_realization, mean_and_error
from criticality.systems.lennard_jones import lattice
from criticality.systems.lennard_jones.figures import melting_density
from criticality.thermo.free_energy import legendre, mbar


def pressure(temperature: float) -> float:
    """Melting line of Mastny & de Pablo, in the form of Agrawal & Kofke."""
    b = 1 / temperature
    return float(b**-1.25 * np.exp(-0.4759 * b**0.5) * (16.89 - 7.2866 * b - 2.9895 * b**2))


def melting_temperature(pressures: float) -> float:
    """Temperature at which that line has a pressure."""
    line = np.linspace(0.7, 3, 4000)
    return float(np.interp(pressures, [pressure(t) for t in line], line))


def by_mbar(run: xr.Dataset, atoms: int) -> tuple[float, float, float, int]:
    """Integral of one solid by quadrature, by MBAR with its error, and the number of doubts."""
    nodes, weights = legendre(run.sizes["node"])
    u, e = (
        run[f"{name}_energy_series"].values * atoms / float(run["temperature"])
        for name in ("solid", "spring")
    )
    at = np.array([0.0, *nodes, 1.0])[:, None]
    none = np.empty((len(at), 0))
    windows = [at**3 * u[k] + (1 - at**3) * e[k] for k in range(len(nodes))]
    found, flags = mbar([none, *windows, none])
    quadrature = float(weights @ run["solid_integrand"].values)
    return quadrature, found[-1].value / atoms, found[-1].error / atoms, len(flags)


def report(point: xr.Dataset, controls: dict[str, float]) -> None:
    """Print the melting temperature of a pressure, and checks of it."""

    def over(name: str) -> tuple[float, float]:
        mean, error = mean_and_error(point[name].values[:, None])
        return float(mean[0]), float(error[0])

    melting, error = over("melting_temperature")
    fit = melting_temperature(float(point["pressure"]))
    print(f"P = {float(point['pressure']):g}: T_m = {with_error(melting, error)}, fit {fit:.4f}")
    inside = np.sqrt(np.mean(point["melting_temperature_error"].values ** 2))
    print(f"  error within a realization {inside:.4f}, scatter {error * 2:.4f} (of 4)")
    for phase in ("solid", "liquid"):
        density, spread = over(f"{phase}_density")
        exact = float(melting_density(phase, melting))
        print(
            f"  {phase} density {with_error(density, spread)}, fit at this T {exact:.4f}, "
            f"{100 * (density / exact - 1):+.2f} %"
        )
    print(f"  enthalpy of melting {with_error(*over('melting_enthalpy'))}", end="")
    print(f", dP/dT {with_error(*over('melting_slope'))}")
    lost = lattice.missing(over("solid_density")[0], controls["cutoff"])
    shift = -lost / over("melting_enthalpy")[0] * melting
    print(f"  full potential, by the lattice at rest: T_m {shift:+.4f}")
    quadrature, other, spread, doubts = by_mbar(
        point.isel(realization=0), 4 * controls["cells"] ** 3
    )
    print(f"  solid {quadrature:.4f} by quadrature, {with_error(other, spread)} by MBAR", end="")
    print(f" ({doubts} doubts)")


def integrands(point: xr.Dataset, number: int, name: str, ax: Axes) -> None:
    """Draw both integrands, less their value at the last node, in units that fit one panel."""
    for phase, style in (("solid", "-"), ("liquid", "--")):
        mean, error = mean_and_error(by_realization(point[f"{phase}_integrand"], "node"))
        ax.errorbar(
            point["node"],
            mean,
            error,
            ls=style,
            color=COLOURS[number],
            marker=MARKERS[number],
            ms=4,
            mfc=COLOURS[number] if phase == "solid" else "white",
            label=f"{phase}, {name}",
        )


def path(point: xr.Dataset, number: int, name: str, ax: Axes) -> None:
    """Draw Delta phi of every realization along its temperatures."""
    for run in range(point.sizes["realization"]):
        one = point.isel(realization=run)
        ax.errorbar(
            one["path_temperature"] / melting_temperature(float(one["pressure"])),
            one["path_delta_phi"],
            one["path_delta_phi_error"],
            color=COLOURS[number],
            marker=MARKERS[number],
            ms=4,
            lw=0.8,
            label=name if run == 0 else None,
        )


def densities(point: xr.Dataset, number: int, name: str, ax: Axes) -> None:
    """Draw densities at the melting temperature."""
    t, dt = mean_and_error(point["melting_temperature"].values[:, None])
    for phase, colour in (("solid", COLOURS[number]), ("liquid", "white")):
        rho, error = mean_and_error(point[f"{phase}_density"].values[:, None])
        ax.errorbar(
            rho, t, dt, error, ls="", color=COLOURS[number], marker=MARKERS[number], mfc=colour
        )


def rates(boxes: xr.Dataset, ax: Axes) -> None:
    """Draw rates of growth of every box, and where their mean vanishes."""
    border = phase_diagram(boxes).boundaries[0].estimate
    print(f"two phases: T_m = {border}, 95 % interval {border.low:.3f} to {border.high:.3f}")
    at, values = (
        boxes["temperature"].values,
        by_realization(boxes["rate"].squeeze("pressure"), "temperature"),
    )
    mean, error = mean_and_error(values)
    ax.plot(np.tile(at, len(values)), values.ravel(), "o", ms=3, color="0.65", label="a box")
    ax.errorbar(at, mean, error, color=COLOURS[0], marker=MARKERS[0], ms=5, label="mean")
    ax.axhline(0, color="0.6", lw=0.8)
    ax.axvspan(border.low, border.high, color=COLOURS[4], alpha=0.25, lw=0, label="$T_m$, 95 %")
    ax.set(xlabel="temperature $T$", ylabel="rate of growth of the crystal")
    ax.legend(fontsize="small", loc="lower left")


def main(free: str, slabs: str, out: str) -> None:
    """Print melting temperatures with all checks; draw them."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    ds, boxes = Store(free).open(), Store(slabs).open()
    controls = json.loads(ds.attrs["controls"])
    page = Figure(figsize=(10.4, 8), layout="constrained")
    panels = page.subplots(2, 2).ravel()
    together = zip(ds["temperature"].values, ds["pressure"].values, strict=True)
    for number, (t, p) in enumerate(together):
        point, name = ds.sel(temperature=t, pressure=p), f"$P$ = {p:.3g}"
        report(point, controls)
        integrands(point, number, name, panels[0])
        path(point, number, name, panels[1])
        densities(point, number, name, panels[2])
    rates(boxes, panels[3])
    panels[0].set(xlabel="$s$", ylabel="integrand an atom, over $T$")
    panels[0].legend(fontsize="small")
    panels[1].axhline(0, color="0.6", lw=0.8)
    panels[1].set(xlabel=r"$T$ over that of the fit at $P$", ylabel=r"$(\mu_\ell - \mu_s)/T$")
    panels[1].legend(fontsize="small")
    line = np.linspace(0.75, 1.4, 50)
    for phase, style in (("solid", "-"), ("liquid", "--")):
        name = f"{phase}, Mastny & de Pablo"
        panels[2].plot(melting_density(phase, line), line, style, color="0.4", label=name)
    panels[2].set(xlabel=r"density $\rho$", ylabel="melting temperature $T_m$")
    panels[2].legend(fontsize="small")
    page.savefig(folder / "melting.png", dpi=160)


if __name__ == "__main__":
    main(*sys.argv[1:4])
