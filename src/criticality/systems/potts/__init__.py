"""The two-dimensional Potts model: first order above four states, continuous up to four.

R. B. Potts, Proc. Camb. Phil. Soc. 48, 106 (1952); F. Y. Wu, Rev. Mod. Phys. 54, 235 (1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from criticality.base import Card, Derived, InputError, Observable, Phase, Rule, control

__all__ = ["COUPLINGS", "Potts"]

# of the order parameter: half-way, and beyond which a phase counts as entered
ORDERED, ENTERED = 0.5, (0.3, 0.7)
COUPLINGS = ("coupling", "diagonal_coupling", "corner_coupling")
BONDS = (2, 2, 4)  # terms of each coupling a site
AVERAGES = ("start", "reweighting")


@dataclass(frozen=True, kw_only=True)
class Potts:
    r"""Spins s = 0 .. q-1 on a periodic square lattice of L x L sites, sampled at temperature T.

    E = - J_1 sum_neighbours [s_i = s_j] - J_2 sum_diagonals [s_i = s_j]
        - J_3 sum_corners [s_i = s_j = s_k], corners being right angles of two bonds, four in each
    plaquette; k_B = 1.  A sweep is one of the heat bath, followed by cluster updates.
    """

    card: ClassVar[Card] = Card(
        name="potts",
        source="Potts, Proc. Camb. Phil. Soc. 48, 106 (1952); Wu, Rev. Mod. Phys. 54, 235 (1982)",
        model="criticality.systems.potts.model.sampling",
        observables=(
            Observable(
                name="order_parameter",
                dims=AVERAGES,
                doc="mean of m = (q rho - 1)/(q - 1), rho the share of the most frequent state",
                label=r"order parameter $\langle m\rangle$",
            ),
            Observable(
                name="energy",
                dims=AVERAGES,
                doc="mean of e = E / L^2",
                label=r"energy a site $\langle e\rangle$",
            ),
            Observable(
                name="specific_heat",
                dims=AVERAGES,
                doc="L^2 (<e^2> - <e>^2) / T^2",
                label="specific heat $C$",
            ),
            Observable(
                name="susceptibility",
                dims=AVERAGES,
                doc="L^2 (<m^2> - <m>^2) / T",
                label=r"susceptibility $\chi$",
            ),
            Observable(
                name="binder",
                dims=AVERAGES,
                doc="1 - <m^4> / (3 <m^2>^2)",
                label="Binder cumulant of $m$",
            ),
            Observable(
                name="energy_binder",
                dims=AVERAGES,
                doc="1 - <e^4> / (3 <e^2>^2): 2/3 but where two energies coexist",
                label="Binder cumulant of $e$",
            ),
            Observable(
                name="ordered_share",
                dims=AVERAGES,
                doc="share of the sweeps with m above 1/2",
                label="share of time in order",
            ),
            Observable(
                name="log_odds",
                dims=AVERAGES,
                doc="ln of the weight of order (m above 1/2) over that of disorder: ln q at a "
                "first-order transition, at every length; undefined if one of them was not seen",
                label=r"$\ln(W_{\rm order}/W_{\rm disorder})$",
                undefined=True,
            ),
            Observable(
                name="effective_share",
                dims=AVERAGES,
                doc="exp(-sum w ln w)/n of the weights w of n samples that are reweighted",
                label="effective share of samples",
            ),
            Observable(
                name="histogram",
                dims=("start", "level"),
                doc="share of the sweeps whose energy is in a bin",
                label="share of sweeps",
            ),
            Observable(
                name="tunnellings",
                dims=("start",),
                doc="times that a copy passed from m < 0.3 to m > 0.7, or back; all copies",
            ),
            Observable(
                name="ordered_energy",
                doc="mean of e while m is above 1/2; undefined below 2 % of the time",
                label=r"energy in order $e_{\rm o}$",
                undefined=True,
            ),
            Observable(
                name="disordered_energy",
                doc="mean of e while m is at most 1/2; undefined below 2 % of the time",
                label=r"energy in disorder $e_{\rm d}$",
                undefined=True,
            ),
            Observable(
                name="latent_heat",
                doc="difference of these two energies at the point's temperature",
                label=r"latent heat $e_{\rm d} - e_{\rm o}$",
                undefined=True,
            ),
            Observable(
                name="balance_temperature",
                doc="to which reweighting gives q times as much weight to order as to disorder; "
                "undefined if only one of them was seen",
                label=r"temperature of balance",
                undefined=True,
            ),
            Observable(
                name="dip",
                doc="ln(P_min / P_max) of the histogram, reweighted to peaks of equal height; "
                "undefined where there are no two peaks, or the bins between them are empty",
                label=r"$\ln(P_{\rm min}/P_{\rm max})$",
                undefined=True,
            ),
            Observable(
                name="autocorrelation_time",
                dims=("start",),
                unit="sweep",
                doc="integrated, the longer one of m and the energy; undefined if neither moved",
                label="autocorrelation time",
                undefined=True,
            ),
            Observable(
                name="autocorrelation_time_error",
                dims=("start",),
                unit="sweep",
                doc="standard error of it within this realization",
                undefined=True,
            ),
            Observable(
                name="long_enough",
                dims=("start",),
                doc="1 if the run has 50 autocorrelation times or more, else 0",
            ),
            Observable(
                name="starts_agree",
                doc="1 if the energies from all starts agree within 4 standard errors, else 0",
            ),
        ),
        derived=(
            Derived(
                name="from_order",
                function="criticality.systems.potts.phases:from_order",
                doc="order parameter from the most ordered start",
                label="order kept",
            ),
            Derived(
                name="from_disorder",
                function="criticality.systems.potts.phases:from_disorder",
                doc="order parameter from the most disordered start",
                label="order found",
            ),
            Derived(
                name="interface_tension",
                function="criticality.systems.potts.phases:interface_tension",
                doc="2 sigma = -dip / L: of the two interfaces across a periodic lattice",
                label=r"$2\sigma$",
            ),
        ),
        plane=("states", "temperature"),
        size="length",
        order=("from_order", "from_disorder"),
        phases=(
            Phase(name="ordered", letter="O", colour="#8fd0f5"),
            Phase(name="coexistence", letter="C", colour="#d55e00"),
            Phase(name="disordered", letter="D", colour="#595959"),
        ),
        rules=(
            Rule(phase="ordered", quantity="from_order", above=ORDERED),
            Rule(phase="ordered", quantity="from_disorder", above=ORDERED),
            Rule(phase="coexistence", quantity="from_order", above=ORDERED),
            Rule(phase="coexistence", quantity="from_disorder", below=ORDERED),
            Rule(phase="disordered", quantity="from_order", below=ORDERED),
            Rule(phase="disordered", quantity="from_disorder", below=ORDERED),
        ),
        pages="criticality.systems.potts.figures:pages",
    )

    temperature: float = control(
        0.7, symbol="$T$", doc="temperature, in units of energy", interval="(0, inf)"
    )
    states: int = control(
        10, symbol="$q$", doc="states of a spin", interval="[2, 100]", static=True
    )
    length: int = control(
        16, symbol="$L$", unit="site", doc="side of the lattice", interval="[2, 1024]", static=True
    )
    coupling: float = control(1.0, symbol="$J_1$", doc="of neighbours")
    diagonal_coupling: float = control(0.0, symbol="$J_2$", doc="of next-nearest neighbours")
    corner_coupling: float = control(0.0, symbol="$J_3$", doc="of three sites at a right angle")
    start: tuple[float, ...] = control(
        (0.0, 1.0),
        symbol="$m_0$",
        doc="order parameter at the start: 0 disordered, 1 ordered",
        interval="[0, 1]",
        inner=True,
    )
    reweighting: tuple[float, ...] = control(
        (1.0,),
        symbol="$T'/T$",
        doc="temperatures, over that of the point, to which its samples are reweighted",
        interval="(0, inf)",
        inner=True,
        label="temperature of reweighting",
    )
    equilibration: int = control(
        500, unit="sweep", doc="sweeps before measuring", interval="[0, 10000000]", static=True
    )
    sweeps: int = control(
        5000, unit="sweep", doc="sweeps that are measured", interval="[2, 10000000]", static=True
    )
    clusters: int = control(
        1, doc="cluster updates after each sweep of the heat bath", interval="[0, 100]", static=True
    )
    copies: int = control(
        2, doc="of each start, with noise of their own", interval="[2, 1000]", static=True
    )
    bins: int = control(
        64,
        doc="of the histogram of energies; best a divisor of 2 L^2, so that all hold as many",
        interval="[8, 10000]",
        static=True,
    )

    @classmethod
    def tiny(cls) -> Potts:
        """Give a preset that runs in a second."""
        return cls(
            states=3,
            length=6,
            temperature=1.0,
            reweighting=(0.3, 1.0),
            equilibration=20,
            sweeps=100,
            bins=8,
        )

    @property
    def couplings(self) -> tuple[float, float, float]:
        """Couplings J_1, J_2, J_3."""
        return self.coupling, self.diagonal_coupling, self.corner_coupling

    def validate(self) -> None:
        """Raise `InputError` where nothing is coupled, or clusters would repel."""
        if not any(self.couplings):
            raise InputError(f"{', '.join(COUPLINGS)}: all are 0; expected one that is not.")
        for name, value in zip(COUPLINGS, self.couplings, strict=True):
            if value < 0 and self.clusters:
                raise InputError(
                    f"{name} = {value:g} with clusters = {self.clusters}: unlike spins cannot "
                    f"freeze together; use clusters = 0, or couplings of 0 or more."
                )

    def notes(self) -> tuple[str, ...]:
        """Say where histograms have bins of different width."""
        levels = 2 * self.length**2
        if self.couplings[1:] == (0, 0) and levels % self.bins and levels < 20 * self.bins:
            return (
                f"bins = {self.bins} do not divide the {levels} levels of energy, so that some "
                f"hold more of them; use a divisor, or fewer bins",
            )
        return ()

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions.

        Levels are middles of bins of the energy, 0 at its lower bound -(2 J_1 + 2 J_2 + 4 J_3) L^2
        and 1 at 0, its upper one, for couplings above 0.
        """
        return {
            "start": self.start,
            "reweighting": self.reweighting,
            "level": [(k + 0.5) / self.bins for k in range(self.bins)],
        }

    def work(self) -> float:
        """FLOP that matrix products do in the time of one realization, as measured."""
        sites = len(self.start) * self.copies * self.length**2
        a_site = 2500.0 + 300.0 * self.states + 9000.0 * self.clusters
        return sites * a_site * (self.equilibration + self.sweeps)
