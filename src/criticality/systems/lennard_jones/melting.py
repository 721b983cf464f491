"""Free energies of the Lennard-Jones solid and liquid, and where the solid melts by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, InputError, Observable, Phase, Rule, control, like
from criticality.systems.lennard_jones.atoms import PAIR, LennardJones, largest_cutoff
from criticality.thermo.free_energy import legendre

__all__ = ["LennardJonesFreeEnergy"]

NPT = 10  # steps between moves of the volume
LIQUID = 0.9  # first density of the liquid, over that of the solid
BLOCKS = 10  # of samples of a window, from whose means errors come
PATH, NODE = ("stage",), ("node",)


@dataclass(frozen=True, kw_only=True)
class LennardJonesFreeEnergy:
    r"""Absolute free energies of fcc solid and liquid at (T, P), and T_m(P) from them.

    Potential and units as of `lennard_jones`, always with the mean-field tail unless it is turned
    off.  Both phases are sampled at (T, P).  At its mean density, the solid is joined to an
    Einstein crystal of fixed centre of mass (Frenkel & Ladd), the liquid to the ideal gas; further
    temperatures lead to Delta phi = (mu_liquid - mu_solid) / T = 0.  What of a free energy is not
    proportional to N is taken away.
    """

    card: ClassVar[Card] = Card(
        name="lennard_jones_free_energy",
        source="Frenkel & Ladd, J. Chem. Phys. 81, 3188 (1984); Polson, Trizac, Pronk & Frenkel, "
        "J. Chem. Phys. 112, 5339 (2000); Mastny & de Pablo, J. Chem. Phys. 127, 104504 (2007)",
        model="criticality.systems.lennard_jones.model.melting",
        observables=(
            Observable(
                name="delta_phi",
                doc="(mu_liquid - mu_solid) / T at (T, P): positive in the solid",
                label=r"$(\mu_\ell - \mu_s)/T$",
            ),
            Observable(
                name="melting_temperature",
                doc="T_m(P); undefined if a phase was lost, or a box was as small as the cutoff "
                "allows",
                label="$T_m$",
                undefined=True,
            ),
            Observable(
                name="melting_temperature_error",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(name="melting_enthalpy", doc="h_liquid - h_solid an atom, near T_m"),
            Observable(name="melting_slope", doc="dP/dT of the line, by Clapeyron's equation"),
            Observable(
                name="solid_density",
                doc="of the solid at T_m, from the last two temperatures",
                label=r"$\rho_s$ at $T_m$",
            ),
            Observable(
                name="liquid_density",
                doc="of the liquid at T_m, from the last two temperatures",
                label=r"$\rho_\ell$ at $T_m$",
            ),
            Observable(
                name="solid_free_energy",
                doc="F/N at T and the density there, thermal wavelengths 1, infinite system",
            ),
            Observable(name="solid_free_energy_error", doc="standard error within a realization"),
            Observable(
                name="liquid_free_energy",
                doc="F/N at T and the density there, thermal wavelengths 1, infinite system",
            ),
            Observable(name="liquid_free_energy_error", doc="standard error within a realization"),
            Observable(
                name="solid_size_term", doc="(F_N - F_infinity)/N, which was taken away: harmonic"
            ),
            Observable(
                name="liquid_size_term",
                doc="(F_N - F_infinity)/N, which was taken away: of the number of atoms",
            ),
            Observable(
                name="path_temperature",
                dims=PATH,
                doc="temperatures at which both phases were sampled",
                label="temperature",
            ),
            Observable(
                name="path_delta_phi",
                dims=PATH,
                doc="(mu_liquid - mu_solid) / T there, by the enthalpies",
                label=r"$(\mu_\ell - \mu_s)/T$",
            ),
            Observable(name="path_delta_phi_error", dims=PATH, doc="standard error of it"),
            Observable(name="path_solid_enthalpy", dims=PATH, doc="(U + P V)/N of the solid"),
            Observable(name="path_liquid_enthalpy", dims=PATH, doc="(U + P V)/N of the liquid"),
            Observable(name="path_solid_density", dims=PATH, doc="of the solid"),
            Observable(name="path_liquid_density", dims=PATH, doc="of the liquid"),
            Observable(
                name="lindemann",
                dims=PATH,
                doc="root mean square displacement of the solid over the distance of neighbours",
            ),
            Observable(
                name="spring",
                doc="stiffness k of the Einstein crystal, E = k sum |x - x_0|^2 / 2",
            ),
            Observable(
                name="solid_integrand",
                dims=NODE,
                doc="3 s^2 <U - E> / NT at s = node, U_s = s^3 U + (1 - s^3) E",
                label=r"$3 s^2 \langle U-E\rangle_s / NT$",
            ),
            Observable(name="solid_integrand_error", dims=NODE, doc="standard error of it"),
            Observable(
                name="liquid_integrand",
                dims=NODE,
                doc="4 s^3 <U> / NT at s = node, U_s = s^4 U",
                label=r"$4 s^3 \langle U\rangle_s / NT$",
            ),
            Observable(name="liquid_integrand_error", dims=NODE, doc="standard error of it"),
            Observable(
                name="solid_energy_series", dims=("node", "sample"), doc="U/N of the solid windows"
            ),
            Observable(
                name="spring_energy_series", dims=("node", "sample"), doc="E/N of the same samples"
            ),
            Observable(
                name="liquid_energy_series",
                dims=("node", "sample"),
                doc="U/N of the liquid windows",
            ),
            Observable(
                name="solid_share",
                doc="solid-like atoms of the solid at the end of the path",
                label="solid-like atoms of the solid",
            ),
            Observable(
                name="liquid_share",
                doc="solid-like atoms of the liquid at the end of the path",
                label="solid-like atoms of the liquid",
            ),
            Observable(
                name="room",
                doc="side of the smallest box over twice the cutoff; near 1 it cannot shrink",
            ),
        ),
        plane=("temperature", "pressure"),
        size="cells",
        order=("delta_phi", "melting_temperature", "solid_density", "liquid_density"),
        phases=(
            Phase(name="solid", letter="S", colour="#0072b2"),
            Phase(name="liquid", letter="L", colour="#f0c987"),
        ),
        rules=(
            Rule(phase="solid", quantity="delta_phi", above=0.0),
            Rule(phase="liquid", quantity="delta_phi", below=0.0),
        ),
        pages="criticality.systems.lennard_jones.melting_figures:pages",
    )

    temperature: float = like(LennardJones, "temperature", 1.0)
    pressure: float = like(LennardJones, "pressure", 4.11, doc="pressure")
    cells: int = like(LennardJones, "cells", 4)
    cutoff: float = like(LennardJones, "cutoff", 2.8)
    tail: bool = like(LennardJones, "tail", True)
    epsilon: float = like(LennardJones, "epsilon", 1.0)
    sigma: float = like(LennardJones, "sigma", 1.0)
    density: float = control(
        1.0,
        symbol=r"$\rho$",
        doc="atoms a volume at the start of the solid, about; pressure finds its own",
        interval="(0, inf)",
    )
    nodes: int = control(
        8, unit="window", doc="of each of the two integrals", interval="[2, 64]", static=True
    )
    path: int = control(
        3,
        unit="temperature",
        doc="at which both phases are sampled; steps of at most 5 % towards T_m",
        interval="[2, 64]",
        static=True,
    )
    equilibration: int = control(
        1000,
        unit="step",
        doc="steps before measuring at every window",
        interval="[10, 10000000]",
        static=True,
    )
    samples: int = control(
        60,
        doc="samples a block, one in 10 steps, in 40 of the scaled liquid; a window has 10 blocks",
        interval="[1, 100000]",
        static=True,
    )
    dt: float = like(LennardJones, "dt", 0.005)

    @classmethod
    def tiny(cls) -> LennardJonesFreeEnergy:
        """Give a preset that runs in seconds."""
        return cls(
            cells=3,
            cutoff=1.6,
            density=0.5,
            nodes=2,
            path=2,
            equilibration=10,
            samples=1,
            dt=0.001,
        )

    @property
    def atoms(self) -> int:
        """Number of them in each phase."""
        return 4 * self.cells**3

    def validate(self) -> None:
        """Raise `InputError` for a box too small for the cutoff."""
        most = largest_cutoff(self.atoms, self.density)
        if self.cutoff > most:
            raise InputError(
                f"cutoff = {self.cutoff:g} of {self.atoms} atoms at density = {self.density:g}: "
                f"expected at most half of the box, {most:.3g}; use more cells or a lower density."
            )

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        return {
            "stage": range(self.path),
            "node": legendre(self.nodes)[0].tolist(),
            "sample": range(BLOCKS * self.samples),
        }

    def work(self) -> float:
        """FLOP of one realization: all pairs a step."""
        windows = 2 * self.path + 5 * self.nodes  # those of the scaled liquid are 4 times as long
        steps = windows * (NPT * BLOCKS * self.samples + self.equilibration)
        return PAIR * self.atoms**2 * steps
