"""Couplings of a Potts model, corrected until its first-order transition is where it should be.

After P. Fuchs & J. Zavadlav, "Refining Machine Learning Potentials through Thermodynamic Theory of
Phase Transitions" (arXiv:2512.03974), of which the abstract was at hand, with a lattice for
titanium: there the transition of one choice of couplings is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, Derived, InputError, Observable, Phase, Rule, control
from criticality.base.controls import like
from criticality.systems.potts import Potts
from criticality.systems.potts.theory import interface_tension

__all__ = ["PottsRefinement"]

LEARNED = ("all", "neighbours", "others")
ACCURATE = 0.002  # relative distance from the target temperature
LEAST = 3.5  # correlation lengths that the lattice of the check must have


@dataclass(frozen=True, kw_only=True)
class PottsRefinement:
    r"""A Potts model whose transition is at a wrong temperature, and its refinement.

    E = - J_1 sum_neighbours [s_i = s_j] - J_2 sum_diagonals [s_i = s_j]
        - J_3 sum_corners [s_i = s_j = s_k], with given couplings times a scale.  The target is by
    default the exact T_t = 1/ln(1 + sqrt q) of J = (1, 0, 0), as if this were the real substance.
    """

    card: ClassVar[Card] = Card(
        name="potts_refinement",
        source="Fuchs & Zavadlav, arXiv:2512.03974 (abstract); Potts model: ours",
        model="criticality.systems.potts.model.refinement",
        observables=(
            Observable(
                name="deviation",
                doc="of the transition, measured anew, from the target: T / T_target - 1; "
                "undefined if a phase was lost, or the check never saw both",
                label="deviation from the target",
                undefined=True,
            ),
            Observable(
                name="deviation_error",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="lost",
                doc="1 if most copies left a phase, which ended it, else 0",
                label="phase lost",
            ),
            Observable(
                name="settled", doc="1 if it ended at the target by its own account, else 0"
            ),
            Observable(
                name="own_temperature",
                doc="transition of the given couplings; undefined if it was not found",
                label=r"own transition $T_{\rm own}$",
                undefined=True,
            ),
            Observable(
                name="own_temperature_error",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="predicted_temperature",
                doc="transition of the refined couplings, by the free energies that were optimised",
                label="transition, predicted",
                undefined=True,
            ),
            Observable(
                name="predicted_temperature_error",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="temperature",
                doc="transition of the refined couplings, measured anew by the check",
                label=r"transition $T_t$",
                undefined=True,
            ),
            Observable(
                name="temperature_error",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="couplings",
                dims=("term",),
                doc="refined J_1, J_2, J_3",
                label="refined coupling",
                undefined=True,
            ),
            Observable(name="rounds_done", unit="round", doc="of the refinement", label="rounds"),
            Observable(
                name="rejected",
                doc="share of the copies that had left their phase, of all rounds",
                label="copies rejected",
            ),
            Observable(
                name="least_effective",
                doc="least effective share of the samples in any move",
                label=r"least $N_{\rm eff}/N$",
                undefined=True,
            ),
            Observable(
                name="path_stage",
                dims=("round",),
                doc="0 locates the own transition, 1 moves to the target, 2 settles there",
                undefined=True,
            ),
            Observable(
                name="path_temperature",
                dims=("round",),
                doc="temperature that is sampled",
                label="temperature $T$",
                undefined=True,
            ),
            Observable(
                name="path_difference",
                dims=("round",),
                doc="beta (F_disorder - F_order) of the whole lattice, there",
                label=r"$\beta\Delta F$",
                undefined=True,
            ),
            Observable(
                name="path_error",
                dims=("round",),
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="path_effective",
                dims=("round",),
                doc="effective share of the samples at the next state, of the worse phase",
                label=r"$N_{\rm eff}/N$",
                undefined=True,
            ),
            Observable(
                name="path_couplings",
                dims=("round", "term"),
                doc="J_1, J_2, J_3 that are sampled",
                label="coupling",
                undefined=True,
            ),
            Observable(
                name="path_order",
                dims=("round", "phase", "copy"),
                doc="mean order parameter of every copy: phase 0 is order, 1 disorder",
                label="order parameter of each copy",
                undefined=True,
            ),
            Observable(
                name="path_rejected",
                dims=("round", "phase"),
                doc="share of the copies that had left the phase",
                label="copies rejected",
                undefined=True,
            ),
        ),
        derived=(
            Derived(
                name="distance",
                function="criticality.systems.potts.phases:distance",
                doc="relative distance from the target, |deviation|",
                label="distance from the target",
            ),
        ),
        plane=("scale", "continuation"),
        size="length",
        order=("distance", "rejected"),
        phases=(
            Phase(name="on target", letter="T", colour="#8fd0f5"),
            Phase(name="off target", letter="O", colour="#d55e00"),
            Phase(name="lost", letter="L", colour="#595959"),
        ),
        rules=(
            Rule(phase="on target", quantity="distance", of="each", below=ACCURATE),
            Rule(phase="off target", quantity="distance", of="each", above=ACCURATE),
            Rule(phase="lost", quantity="lost", of="each", above=0.5),
        ),
        pages="criticality.systems.potts.refinement_figures:pages",
        precision="float64",
    )

    scale: float = control(
        0.9,
        symbol="$s$",
        doc="factor of all given couplings",
        interval="(0, inf)",
        label="scale of the given couplings",
    )
    continuation: float = control(
        0.01,
        symbol=r"$\Delta T/T$",
        doc="largest relative step of the temperature to its target; 1 or more: no continuation, "
        "the given couplings are sampled there",
        interval="(0, inf)",
        scale="log",
        label="step of the temperature",
    )
    states: int = control(
        20, symbol="$q$", doc="states of a spin", interval="[5, 100]", static=True
    )
    length: int = like(Potts, "length", 24, interval="[4, 256]")
    target: float = control(
        0.0,
        symbol="$T^*$",
        doc="temperature where the transition should be; 0: 1/ln(1 + sqrt q), that of J = (1, 0, "
        "0)",
        interval="[0, inf)",
    )
    coupling: float = like(Potts, "coupling", 0.765, interval="(0, inf)")
    diagonal_coupling: float = like(Potts, "diagonal_coupling", 0.1, interval="[0, inf)")
    corner_coupling: float = like(Potts, "corner_coupling", 0.05, interval="[0, inf)")
    learned: str = control(
        "all", doc="which couplings change: all, J_1, or J_2 and J_3", choices=LEARNED, static=True
    )
    phase_check: bool = control(
        True, doc="whether copies that have left their phase are rejected and replaced"
    )
    copies: int = control(
        8, doc="of each phase, with noise of their own", interval="[4, 1000]", static=True
    )
    sweeps: int = control(
        200,
        unit="sweep",
        doc="sweeps of each phase in a round; a quarter more to settle before",
        interval="[8, 1000000]",
        static=True,
    )
    ridge: float = control(
        0.01,
        symbol=r"$\lambda$",
        doc="price of the square of a change of couplings, beside (beta Delta F)^2",
        interval="(0, inf)",
    )
    floor: float = control(
        0.5,
        symbol=r"$N_{\rm eff}/N$",
        doc="effective share of the samples below which a move is halved",
        interval="(0, 1)",
    )
    tolerance: float = control(
        0.0005, doc="relative distance from the target that is none", interval="(0, inf)"
    )
    rounds: int = control(
        60, unit="round", doc="of the refinement, at most", interval="[2, 1000]", static=True
    )
    check_length: int = control(
        10,
        symbol=r"$\ell$",
        unit="site",
        doc="side of the lattice on which the transition is measured anew",
        interval="[4, 256]",
        static=True,
    )
    check_copies: int = control(16, doc="of that lattice", interval="[4, 1000]", static=True)
    check_sweeps: int = control(
        30000,
        unit="sweep",
        doc="sweeps and cluster updates of each, in hundreds",
        interval="[100, 10000000]",
        static=True,
    )

    @classmethod
    def tiny(cls) -> PottsRefinement:
        """Give a preset that runs in seconds."""
        return cls(
            length=8,
            sweeps=40,
            copies=4,
            scale=0.98,
            rounds=12,
            check_length=6,
            check_copies=4,
            check_sweeps=400,
        )

    def validate(self) -> None:
        """Raise `InputError` where the target is beyond what a scale of couplings can mean."""
        if self.target > 10 * (self.coupling + self.diagonal_coupling + self.corner_coupling):
            raise InputError(
                f"target = {self.target:g}: far above the couplings {self.coupling:g}, "
                f"{self.diagonal_coupling:g}, {self.corner_coupling:g}; expected a temperature in "
                f"the same units, or 0."
            )

    def notes(self) -> tuple[str, ...]:
        """Say where the check is of a lattice that is too small."""
        lengths = self.check_length * interface_tension(self.states)
        if lengths < LEAST:
            least = LEAST / interface_tension(self.states)
            return (
                f"check_length = {self.check_length} is {lengths:.1f} correlation lengths of the "
                f"disordered phase at states = {self.states}: the check is off by about "
                f"exp(-{lengths:.1f}) of its width; use {least:.0f} or more",
            )
        return ()

    def inner(self) -> dict[str, Sequence[int]]:
        """Coordinates of the inner dimensions."""
        return {
            "term": (1, 2, 3),
            "round": range(self.rounds),
            "phase": (0, 1),
            "copy": range(self.copies),
        }

    def work(self) -> float:
        """FLOP of one realization, with some thirty rounds of the walk and of the refinement."""
        site = 30.0 * self.states
        sampled = 2 * 1.25 * self.sweeps * self.copies * self.length**2
        checked = 2.0 * self.check_sweeps * self.check_copies * self.check_length**2
        return site * (60 * sampled + checked)
