"""A Lennard-Jones crystal beside its melt: which of them grows, and so where they coexist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, InputError, Observable, Phase, Rule, control, like
from criticality.systems.lennard_jones.atoms import PAIR, LennardJones, largest_cutoff
from criticality.systems.lennard_jones.melting import LennardJonesFreeEnergy

__all__ = ["LennardJonesCoexistence"]


@dataclass(frozen=True, kw_only=True)
class LennardJonesCoexistence:
    r"""Half crystal, half melt in one long box at (T, P): the crystal grows below T_m(P).

    Potential and units as of `lennard_jones`.  The crystal is equilibrated at (T, P) first, which
    gives the short sides; then half of it is molten, and the pressure moves the long side alone.
    Nothing of a free energy enters, so that this is another way to T_m.
    """

    card: ClassVar[Card] = Card(
        name="lennard_jones_coexistence",
        source="Ladd & Woodcock, Chem. Phys. Lett. 51, 155 (1977); Mastny & de Pablo, J. Chem. "
        "Phys. 127, 104504 (2007)",
        model="criticality.systems.lennard_jones.model.coexistence",
        observables=(
            Observable(
                name="rate",
                doc="slope of the share of solid-like atoms with time, while there are two phases",
                label="rate of growth of the crystal",
            ),
            Observable(
                name="first_share",
                doc="share of solid-like atoms as measuring begins",
                label="solid-like atoms at first",
            ),
            Observable(name="last_share", doc="share of solid-like atoms at the end"),
            Observable(
                name="lasted",
                doc="time until one of the phases had vanished, or all that was measured",
                label="time with two phases",
            ),
            Observable(name="crystal_density", doc="of the crystal alone at (T, P), at first"),
            Observable(
                name="share",
                dims=("time",),
                doc="share of solid-like atoms; undefined after a phase has vanished",
                label="solid-like atoms",
                undefined=True,
            ),
            Observable(
                name="enthalpy",
                dims=("time",),
                doc="(U + P V)/N; undefined after a phase has vanished",
                undefined=True,
            ),
        ),
        plane=("temperature", "pressure"),
        size="cells",
        order=("rate",),
        phases=(
            Phase(name="crystal grows", letter="S", colour="#0072b2"),
            Phase(name="crystal melts", letter="L", colour="#f0c987"),
        ),
        rules=(
            Rule(phase="crystal grows", quantity="rate", above=0.0),
            Rule(phase="crystal melts", quantity="rate", below=0.0),
        ),
    )

    temperature: float = like(LennardJones, "temperature", 1.0)
    pressure: float = like(LennardJones, "pressure", 4.11, doc="pressure")
    cells: int = like(LennardJones, "cells", 4, doc="of 4 atoms, along each of the short sides")
    length: int = control(
        2, doc="of the long side, over the short ones", interval="[1, 10]", static=True
    )
    cutoff: float = like(LennardJones, "cutoff", 2.8)
    tail: bool = like(LennardJones, "tail", True)
    epsilon: float = like(LennardJones, "epsilon", 1.0)
    sigma: float = like(LennardJones, "sigma", 1.0)
    density: float = like(LennardJonesFreeEnergy, "density", 1.0)
    hot: float = control(
        3.0, doc="temperature of the half that is molten, over T", interval="(1, inf)"
    )
    equilibration: int = control(
        40,
        unit="sample",
        doc="crystal before and while its volume is averaged, and melting",
        interval="[4, 10000000]",
        static=True,
    )
    samples: int = control(
        400, doc="measured, unless a phase vanishes before", interval="[2, 10000000]", static=True
    )
    interval: int = control(
        5, unit="10 steps", doc="from one sample to the next", interval="[1, 1000]", static=True
    )
    dt: float = like(LennardJones, "dt", 0.005)

    @classmethod
    def tiny(cls) -> LennardJonesCoexistence:
        """Give a preset that runs in seconds."""
        return cls(
            cells=3,
            length=1,
            cutoff=1.6,
            density=0.5,
            equilibration=4,
            samples=4,
            interval=1,
            dt=0.001,
        )

    @property
    def atoms(self) -> int:
        """Number of them."""
        return 4 * self.length * self.cells**3

    def validate(self) -> None:
        """Raise `InputError` for a box too small for the cutoff."""
        most = largest_cutoff(4 * self.cells**3, self.density)
        if self.cutoff > most:
            raise InputError(
                f"cutoff = {self.cutoff:g} with {self.cells} cells at density = {self.density:g}: "
                f"expected at most half of a short side, {most:.3g}; use more cells or a lower "
                f"density."
            )

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        step = 10 * self.interval * self.dt
        return {"time": [round(step * (i + 1), 6) for i in range(self.samples)]}

    def work(self) -> float:
        """FLOP of one realization: all pairs a step."""
        samples = 3 * self.equilibration + self.equilibration // 4 + self.samples
        return PAIR * self.atoms**2 * 10 * self.interval * samples
