"""A pair potential that melts too early, corrected by what it should do: melt on a given line.

After Fuchs & Zavadlav, DiffTTC (arXiv:2512.03974): there a foundation model of titanium, here
Lennard-Jones atoms, of which all is known, so that what was not fitted can be compared as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, InputError, Observable, Phase, Rule, control
from criticality.systems.lennard_jones import published

__all__ = ["LennardJonesRefinement"]

PAIR = 20.0  # FLOP a pair and step
LEARNED = ("all", "powers", "neural")
MODELS = (0.0, 1.0, 2.0)  # the given potential, the refined one, the true one
REACH = (0.85, 0.88, 0.9, *(round(0.92 + 0.02 * i, 2) for i in range(15)), 1.25, 1.3, 1.35, 1.4)
FAR = (1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5)
ON_TARGET = 2.0  # standard errors


@dataclass(frozen=True, kw_only=True)
class LennardJonesRefinement:
    r"""The given potential is Lennard-Jones of a wrong depth (and size); the target a melting line.

    At K state points (T_k, P_k) on the line, solid and liquid are to have equal Gibbs energies.
    Learned is a correction to the given potential: factors 1 + theta_0 and 1 + theta_1 of r^-12
    and r^-6, and a pair term sum_h v_h tanh(w_h y + b_h) of a small neural network, y the scaled
    square of the distance, times a window that vanishes at the cutoff.

    A realization finds the melting line of its given potential, by absolute free energies at the
    middle pressure and integration along the line; refines with continuation of the target
    (`criticality.thermo.refinement`); measures the melting line of the refined potential anew in
    the first way, from simulations of their own; and compares what was not fitted with the true
    potential: diffusion and g(r) of the liquid.
    """

    card: ClassVar[Card] = Card(
        name="lennard_jones_refinement",
        source="Fuchs & Zavadlav, arXiv:2512.03974; Thaler & Zavadlav, Nat. Commun. 12, 6884 "
        "(2021); target: Mastny & de Pablo, J. Chem. Phys. 127, 104504 (2007)",
        model="criticality.systems.lennard_jones.model.refinement",
        observables=(
            Observable(name="state_pressure", dims=("state",), doc="P_k", label="pressure $P$"),
            Observable(
                name="target_temperature",
                dims=("state",),
                doc="T_k, where both phases shall coexist",
                label="target $T$",
            ),
            Observable(
                name="start_temperature",
                dims=("state",),
                doc="melting temperature of the given potential, by absolute free energies",
                label="melting temperature before",
                undefined=True,
            ),
            Observable(
                name="start_error",
                dims=("state",),
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="predicted_temperature",
                dims=("state",),
                doc="melting temperature of the refined potential as the refinement has it",
                undefined=True,
            ),
            Observable(
                name="predicted_error",
                dims=("state",),
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="melting_temperature",
                dims=("state",),
                doc="melting temperature of the refined potential, measured anew by absolute free "
                "energies",
                label="melting temperature after",
                undefined=True,
            ),
            Observable(
                name="melting_error",
                dims=("state",),
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="deviation",
                dims=("state",),
                doc="melting temperature measured anew over the target, less 1",
                label=r"$T_m/T_k-1$",
                undefined=True,
            ),
            Observable(
                name="pull",
                doc="root mean square over states of (T_m - T_k) over its standard error, that of "
                "the start included, which the refinement inherits",
                label="deviation over its error",
                undefined=True,
            ),
            Observable(
                name="refined_density",
                dims=("state", "phase"),
                doc="density of the solid (0) and the liquid (1) at (T_k, P_k) after refinement",
                undefined=True,
            ),
            Observable(
                name="true_density",
                dims=("state", "phase"),
                doc="densities on the published line",
            ),
            Observable(
                name="pair_potential",
                dims=("model", "r"),
                doc="u(r), truncated and shifted: given (0), refined (1), true (2)",
                label="$u(r)$",
                undefined=True,
            ),
            Observable(
                name="pair_correlation",
                dims=("model", "state", "r"),
                doc="g(r) of the liquid at (T_k, P_k)",
                label="$g(r)$",
                undefined=True,
            ),
            Observable(
                name="diffusion",
                dims=("model", "state"),
                doc="diffusion coefficient of the liquid at (T_k, P_k)",
                label="diffusion coefficient",
                undefined=True,
            ),
            Observable(
                name="diffusion_error",
                dims=("model", "state"),
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="round_temperature",
                dims=("round", "state"),
                doc="temperature of each round",
                label="$T$",
                undefined=True,
            ),
            Observable(
                name="round_difference",
                dims=("round", "state"),
                doc="(G_liquid - G_solid)/T of the box as tracked",
                label=r"$\Delta\phi$",
                undefined=True,
            ),
            Observable(
                name="effective_share",
                doc="least effective share of the samples of any move",
                undefined=True,
            ),
            Observable(name="rejected", doc="share of replicas that had left their phase"),
            Observable(name="rounds_done", unit="round", doc="rounds of sampling"),
            Observable(name="lost", doc="1 if a phase lost most of its replicas, else 0"),
        ),
        plane=("epsilon", "continuation"),
        order=("pull",),
        phases=(
            Phase(name="on target", letter="T", colour="#8fd0f5"),
            Phase(name="off target", letter="F", colour="#d55e00"),
            Phase(name="lost", letter="L", colour="#595959"),
        ),
        rules=(
            Rule(phase="on target", quantity="lost", of="each", below=0.5),
            Rule(phase="on target", quantity="pull", of="each", below=ON_TARGET),
            Rule(phase="off target", quantity="lost", of="each", below=0.5),
            Rule(phase="off target", quantity="pull", of="each", above=ON_TARGET),
            Rule(phase="lost", quantity="lost", of="each", above=0.5),
        ),
        pages="criticality.systems.lennard_jones.refinement_figures:pages",
    )

    epsilon: float = control(
        0.82,
        symbol=r"$\epsilon_0$",
        doc="depth of the given potential; that of the truth is 1",
        interval="(0, inf)",
    )
    sigma: float = control(
        1.0,
        symbol=r"$\sigma_0$",
        doc="distance of zero energy of the given potential; that of the truth is 1",
        interval="(0, inf)",
    )
    lowest: float = control(
        1.4, symbol="$P_1$", doc="lowest pressure of the line", interval="[0, inf)"
    )
    highest: float = control(8.7, symbol="$P_K$", doc="highest pressure", interval="(0, inf)")
    states: int = control(
        3,
        unit="state",
        doc="state points, evenly over the pressures",
        interval="[1, 20]",
        static=True,
    )
    target: float = control(
        1.0,
        doc="target temperatures over those of the true potential, by Mastny and de Pablo",
        interval="(0, inf)",
    )
    learned: str = control("all", doc="parts of the correction", choices=LEARNED, static=True)
    hidden: int = control(
        8, unit="unit", doc="hidden units of the pair term", interval="[1, 100]", static=True
    )
    terms: int = control(
        8,
        doc="Chebyshev polynomials on which the pair term is projected",
        interval="[1, 30]",
        static=True,
    )
    power_width: float = control(
        0.1, doc="relative change of a power that costs 1 in the loss", interval="(0, inf)"
    )
    neural_width: float = control(
        0.1, doc="change of a weight of the pair term that costs 1", interval="(0, inf)"
    )
    gamma: float = control(
        10.0,
        symbol=r"$\gamma$",
        doc="weight of squared free-energy differences of the boxes, over k_B T",
        interval="(0, inf)",
    )
    density_weight: float = control(
        0.0,
        doc="weight of squared deviations from the densities on the line; 0: not fitted",
        interval="[0, inf)",
    )
    continuation: float = control(
        0.01,
        doc="largest relative step of the target temperature; 1: none, at once",
        interval="(0, inf)",
        scale="log",
    )
    phase_check: bool = control(
        True, doc="whether replicas that left their phase are rejected", static=True
    )
    floor: float = control(
        0.5, doc="effective share of samples that a move leaves", interval="(0, 1)"
    )
    tolerance: float = control(
        0.003,
        doc="relative distance of the melting temperatures from the target that is none",
        interval="(0, 1)",
    )
    settle: int = control(
        3, unit="round", doc="rounds at the target that end it", interval="[1, 1000]"
    )
    rounds: int = control(
        40, unit="round", doc="rounds that it has in all", interval="[2, 1000]", static=True
    )
    cells: int = control(
        4, unit="cell", doc="of 4 atoms, along each axis", interval="[3, 10]", static=True
    )
    cutoff: float = control(
        2.5,
        symbol="$r_c$",
        doc="distance beyond which pairs do not interact; the tail is mean-field",
        interval="[1.5, 5]",
        static=True,
    )
    replicas: int = control(
        2, doc="boxes of each phase at each state point", interval="[1, 100]", static=True
    )
    equilibration: int = control(
        60,
        unit="move",
        doc="of the volume, each after 10 steps, before sampling in a round",
        interval="[0, 1000000]",
        static=True,
    )
    snapshots: int = control(30, doc="of a box and round", interval="[2, 100000]", static=True)
    spacing: int = control(
        5, unit="move", doc="of the volume between two of them", interval="[1, 10000]", static=True
    )
    line: int = control(
        4,
        unit="step",
        doc="along the melting line from one state point to the next",
        interval="[1, 1000]",
        static=True,
    )
    nodes: int = control(
        10, doc="of each integral of an absolute free energy", interval="[4, 40]", static=True
    )
    samples: int = control(
        60,
        doc="of each tenth of a window of an absolute free energy, every 10 steps",
        interval="[1, 100000]",
        static=True,
    )
    settling: int = control(
        1000,
        unit="step",
        doc="of a window of an absolute free energy, before sampling",
        interval="[0, 10000000]",
        static=True,
        shared=True,
    )
    window: float = control(
        5.0,
        doc="units of time of a block in which the liquids are compared",
        interval="(0, inf)",
        static=True,
        shared=True,
    )
    blocks: int = control(
        10,
        doc="of that time, for every liquid",
        interval="[2, 100000]",
        static=True,
    )
    dt: float = control(
        0.005,
        symbol=r"$\Delta t$",
        doc="step of time",
        interval="(0, 0.02]",
        static=True,
        label="step of time",
    )
    r: tuple[float, ...] = control(
        (*REACH, *FAR),
        symbol="$r$",
        doc="distances of g(r) and u(r)",
        interval="(0, inf)",
        inner=True,
    )

    @property
    def atoms(self) -> int:
        """N of a box."""
        return 4 * self.cells**3

    @classmethod
    def tiny(cls) -> LennardJonesRefinement:
        """Give a preset that runs in seconds."""
        return cls(
            epsilon=0.98,
            states=1,
            lowest=4.0,
            highest=6.0,
            hidden=2,
            terms=3,
            rounds=2,
            cells=3,
            cutoff=2.0,
            replicas=1,
            equilibration=1,
            snapshots=4,
            spacing=1,
            nodes=4,
            samples=1,
            settling=10,
            window=0.01,
            blocks=2,
            dt=0.001,
            r=(0.3, 1.1, 2.0),
        )

    def validate(self) -> None:
        """Raise `InputError` for pressures that are not on the published line."""
        top = float(published.pressure(published.HIGHEST))
        if not self.lowest < self.highest or self.highest > top:
            raise InputError(
                f"lowest = {self.lowest:g}, highest = {self.highest:g}: expected lowest < highest "
                f"<= {top:.3g}, pressures of the melting line up to T = {published.HIGHEST:g}."
            )

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        return {
            "state": range(self.states),
            "phase": (0, 1),
            "model": MODELS,
            "round": range(1, self.rounds + 1),
            "r": self.r,
        }

    def work(self) -> float:
        """FLOP of one realization, if it takes half of its rounds."""
        boxes = 2 * self.states * self.replicas
        step = 10 * (self.equilibration + self.snapshots * self.spacing)
        rounds = self.rounds / 2 * boxes * step
        line = 2 * self.line * (self.states - 1) * 2 * self.replicas * step
        absolute = 2 * (2 * self.nodes + 6) * (self.settling + 100 * self.samples)
        compared = 3 * self.states * (self.blocks + 1) * self.window / self.dt
        return PAIR * self.atoms**2 * (rounds + line + absolute + compared)
