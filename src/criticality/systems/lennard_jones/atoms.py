"""Lennard-Jones atoms in one phase: what is measured of the solid and the liquid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, InputError, Observable, Phase, Rule, control

__all__ = ["BLOCK", "LennardJones", "largest_cutoff"]

BLOCK = 10  # steps between moves of the volume, and the unit of the interval of measurements
PAIR = 20.0  # FLOP a pair and step
ENSEMBLES = ("nvt", "npt", "nve")
STARTS = ("solid", "liquid")
SOLID = 0.5  # share of solid-like atoms


@dataclass(frozen=True, kw_only=True)
class LennardJones:
    r"""N = 4 cells^3 atoms of unit mass, u(r) = 4 eps [(sigma/r)^12 - (sigma/r)^6], k_B = 1.

    The potential is truncated and shifted at r_c; with a tail, a mean-field term that depends on
    the volume alone makes up for both, so that energies and pressures are those of the full
    potential but for correlations beyond r_c.  Ensembles:

    - nvt: Langevin dynamics (BAOAB)
    - npt: the same, and a Metropolis move of ln V every 10 steps
    - nve: velocity Verlet, after equilibration at the temperature by Langevin dynamics

    A solid starts as fcc lattice; a liquid too, but is held at a high temperature until it has
    molten, and is equilibrated at its own after that.
    """

    card: ClassVar[Card] = Card(
        name="lennard_jones",
        source="Allen & Tildesley, Computer Simulation of Liquids; Mastny & de Pablo, J. Chem. "
        "Phys. 127, 104504 (2007)",
        model="criticality.systems.lennard_jones.model.sampling",
        observables=(
            Observable(
                name="solid_share",
                doc="share of atoms with 7 or more neighbours of alike bond order (ten Wolde, "
                "Ruiz-Montero & Frenkel)",
                label="solid-like atoms",
            ),
            Observable(
                name="bond_order",
                doc="mean over atoms of q6 averaged over an atom and its neighbours; 0.5745 of fcc",
                label=r"bond order $\bar q_6$",
            ),
            Observable(name="mean_density", doc="N / mean volume", label=r"density $\rho$"),
            Observable(
                name="energy", doc="potential energy an atom", label="potential energy an atom"
            ),
            Observable(
                name="virial_pressure", doc="rho T + virial / 3V, T as set; in nve as measured"
            ),
            Observable(
                name="kinetic_temperature",
                doc="2 K over the degrees of freedom: 3N, in nve 3N - 3",
            ),
            Observable(
                name="heat_capacity",
                doc="an atom: 3/2 + N var(e)/T^2 at constant volume (nvt), of the enthalpy at "
                "constant pressure (npt); not of nve",
                label="heat capacity an atom",
                undefined=True,
            ),
            Observable(
                name="compressibility",
                doc="isothermal, var(V) / (T <V>); of npt alone",
                undefined=True,
            ),
            Observable(
                name="pair_correlation",
                dims=("r",),
                doc="g(r), by pairs over those of independent atoms; not beyond half of the box",
                label="$g(r)$",
                undefined=True,
            ),
            Observable(
                name="square_displacement",
                dims=("lag",),
                doc="mean square displacement relative to the centre of mass; not of times "
                "between two measurements",
                label="mean square displacement",
                undefined=True,
            ),
            Observable(
                name="diffusion",
                doc="a sixth of the slope of the mean square displacement over the last half of "
                "the lags, by least squares; friction lowers it, so that nve gives the atoms' own",
                label="diffusion coefficient",
                undefined=True,
            ),
            Observable(
                name="energy_drift",
                doc="of the total energy an atom, by least squares, in 100 000 steps; of nve alone",
                undefined=True,
            ),
            Observable(
                name="energy_scatter",
                doc="root mean square of the total energy an atom around that line; of nve alone",
                undefined=True,
            ),
            Observable(
                name="stayed",
                doc="1 if at every measurement more than half of the atoms were solid-like, or at "
                "none, as the start says; else 0",
            ),
            Observable(
                name="accepted", doc="share of moves of the volume; of npt alone", undefined=True
            ),
            Observable(
                name="autocorrelation_time",
                doc="integrated, the longest one of energy, pressure and density, in units of time",
                undefined=True,
            ),
            Observable(
                name="autocorrelation_time_error",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="long_enough",
                doc="1 if measuring lasted 50 autocorrelation times or more, else 0",
            ),
        ),
        plane=("temperature", "pressure"),
        size="cells",
        order=("solid_share", "mean_density", "energy", "diffusion"),
        phases=(
            Phase(name="solid", letter="S", colour="#0072b2"),
            Phase(name="liquid", letter="L", colour="#f0c987"),
        ),
        rules=(
            Rule(phase="solid", quantity="solid_share", above=SOLID),
            Rule(phase="liquid", quantity="solid_share", below=SOLID),
        ),
        pages="criticality.systems.lennard_jones.figures:pages",
    )

    temperature: float = control(1.0, symbol="$T$", doc="temperature", interval="(0, inf)")
    pressure: float = control(0.0, symbol="$P$", doc="pressure, of npt alone", label="pressure")
    density: float = control(
        0.85,
        symbol=r"$\rho$",
        doc="atoms a volume; in npt that of the start",
        interval="(0, inf)",
    )
    ensemble: str = control("nvt", doc="what is held constant", choices=ENSEMBLES, static=True)
    start: str = control("liquid", doc="phase of the start", choices=STARTS, static=True)
    cells: int = control(
        4, unit="cell", doc="of 4 atoms, along each axis", interval="[2, 10]", static=True
    )
    cutoff: float = control(
        3.0,
        symbol="$r_c$",
        doc="distance beyond which pairs do not interact, at most half of the box",
        interval="[1, inf)",
    )
    tail: bool = control(
        True, doc="whether a mean-field term makes up for truncation and shift", static=True
    )
    epsilon: float = control(
        1.0, symbol=r"$\epsilon$", doc="depth of the potential", interval="(0, inf)"
    )
    sigma: float = control(
        1.0, symbol=r"$\sigma$", doc="distance of zero energy", interval="(0, inf)"
    )
    dt: float = control(
        0.004,
        symbol=r"$\Delta t$",
        doc="step of time",
        interval="(0, 0.1]",
        static=True,
        label="step of time",
    )
    friction: float = control(
        1.0, symbol=r"$\gamma$", doc="rate of the Langevin dynamics", interval="[0, inf)"
    )
    hot: float = control(3.0, doc="temperature at which a liquid molt", interval="(0, inf)")
    melting: int = control(
        2000,
        unit="step",
        doc="steps at that temperature, of a liquid",
        interval="[0, 10000000]",
        static=True,
    )
    equilibration: int = control(
        5000,
        unit="step",
        doc="steps at the set temperature before measuring",
        interval="[0, 10000000]",
        static=True,
    )
    steps: int = control(
        50_000,
        unit="step",
        doc="steps that are measured",
        interval="[20, 100000000]",
        static=True,
    )
    interval: int = control(
        5,
        unit="10 steps",
        doc="from one measurement to the next",
        interval="[1, 1000]",
        static=True,
    )
    width: float = control(
        0.05,
        doc="of the shells of the pair correlation",
        interval="(0, inf)",
    )
    r: tuple[float, ...] = control(
        tuple(round(0.825 + 0.05 * i, 3) for i in range(44)),
        symbol="$r$",
        doc="distances of the pair correlation",
        interval="(0, inf)",
        inner=True,
        label="distance",
    )
    lag: tuple[float, ...] = control(
        (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0),
        symbol="$t$",
        doc="times of the mean square displacement, multiples of the interval",
        interval="[0, inf)",
        inner=True,
        label="time",
    )

    @classmethod
    def tiny(cls) -> LennardJones:
        """Give a preset that runs in seconds."""
        return cls(
            cells=3,
            density=0.4,
            cutoff=2.0,
            melting=20,
            equilibration=20,
            steps=120,
            interval=1,
            r=(0.3, 1.1, 1.6),
            lag=(0.08, 0.4, 0.44),
        )

    @property
    def atoms(self) -> int:
        """Their number."""
        return 4 * self.cells**3

    @property
    def spacing(self) -> int:
        """Steps from one measurement to the next."""
        return BLOCK * self.interval

    def validate(self) -> None:
        """Raise `InputError` for a box too small for the cutoff, or a run too short for a lag."""
        most = largest_cutoff(self.atoms, self.density)
        if self.cutoff > most:
            raise InputError(
                f"cutoff = {self.cutoff:g} of {self.atoms} atoms at density = {self.density:g}: "
                f"expected at most half of the box, {most:.3g}; use more cells or a lower density."
            )
        if self.steps < 2 * self.spacing:
            raise InputError(
                f"steps = {self.steps}: expected at least two measurements, {2 * self.spacing}, "
                f"with interval = {self.interval}; use more steps."
            )
        longest = self.steps // self.spacing * self.spacing * self.dt
        if max(self.lag) >= longest:
            raise InputError(
                f"lag = {max(self.lag):g}: expected less than the time that is measured, "
                f"{longest:g}; use more steps or shorter lags."
            )

    def notes(self) -> tuple[str, ...]:
        """Say what a point will not show."""
        told = []
        if self.ensemble != "nve" and self.friction == 0:
            told.append("friction = 0: no Langevin noise, so that the temperature is not held")
        if not all(self.measured_lags()):
            told.append(
                f"lag = {list(self.lag)}: some are no multiples of the interval, "
                f"{self.spacing * self.dt:g}, and are not measured"
            )
        return tuple(told)

    def measured_lags(self) -> list[bool]:
        """Whether each lag is a multiple of the interval, to a thousandth of it."""
        frames = [lag / (self.spacing * self.dt) for lag in self.lag]
        return [abs(frame - round(frame)) < 1e-3 for frame in frames]

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        return {"r": self.r, "lag": self.lag}

    def work(self) -> float:
        """FLOP of one realization: all pairs a step."""
        melting = self.melting if self.start == "liquid" else 0
        return PAIR * self.atoms**2 * (melting + self.equilibration + self.steps)


def largest_cutoff(atoms: int, density: float) -> float:
    """Half of the side of a cubic box."""
    return float((atoms / density) ** (1 / 3) / 2)
