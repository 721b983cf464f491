"""One realization: a crystal beside its melt, until one of them has vanished."""

from __future__ import annotations

import jax

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.lennard_jones.coexistence import LennardJonesCoexistence
from criticality.systems.lennard_jones.model import pairs, slab


def begin(system: LennardJonesCoexistence, key: jax.Array, data: object) -> slab.State:
    """Give the crystal."""
    seed = bits.seeds(stream(key, "dynamics"), (2,))
    return slab.begin(
        _schedule(system), _basis(system), _c(system), system.temperature, seed, system.density
    )


def advance(system: LennardJonesCoexistence, state: slab.State, data: object) -> slab.State:
    """Go on to the next sample."""
    return slab.advance(
        _schedule(system), _basis(system), _c(system), system.temperature, system.pressure, state
    )


def finished(system: LennardJonesCoexistence, state: slab.State) -> jax.Array:
    """Whether all samples are taken, or one of the phases has vanished."""
    return slab.finished(_schedule(system), state)


def observe(
    system: LennardJonesCoexistence, state: slab.State, data: object
) -> dict[str, jax.Array]:
    """Give the rate of growth, and what it rests on."""
    schedule = _schedule(system)
    found = slab.result(schedule, system.pressure, state)
    return {
        "rate": found.rate,
        "first_share": state.series[schedule.before - 1, 0],
        "last_share": state.series[state.sample - 1, 0],
        "lasted": found.lasted,
        "crystal_density": found.density,
        "share": found.share,
        "enthalpy": found.enthalpy,
    }


def _schedule(system: LennardJonesCoexistence) -> slab.Schedule:
    return slab.Schedule(
        cells=system.cells,
        length=system.length,
        equilibration=system.equilibration,
        samples=system.samples,
        stride=slab.EVERY * system.interval,
        dt=system.dt,
        hot=system.hot,
    )


def _basis(system: LennardJonesCoexistence) -> pairs.Basis:
    return pairs.Basis(cutoff=system.cutoff, tail=system.tail)


def _c(system: LennardJonesCoexistence) -> jax.Array:
    return pairs.lennard_jones(system.epsilon, system.sigma)
