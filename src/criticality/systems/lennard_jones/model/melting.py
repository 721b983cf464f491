"""One realization: free energies of both phases, and the path to the melting temperature."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.lennard_jones.melting import LennardJonesFreeEnergy
from criticality.systems.lennard_jones.model import absolute, pairs
from criticality.systems.lennard_jones.model.absolute import LIQUID, SOLID, State

SHARE = 0.5  # of solid-like atoms, which tells the phases apart
ROOM = 1.005  # of a box over twice the cutoff, below which its fluctuations are cut


def begin(system: LennardJonesFreeEnergy, key: jax.Array, data: object) -> State:
    """Both phases on the lattice."""
    seed = bits.seeds(stream(key, "dynamics"), (2,))
    return absolute.begin(
        _schedule(system), _basis(system), _c(system), system.temperature, seed, system.density
    )


def advance(system: LennardJonesFreeEnergy, state: State, data: object) -> State:
    """Do a block of one window."""
    return absolute.advance(
        _schedule(system), _basis(system), _c(system), system.temperature, system.pressure, state
    )


def finished(system: LennardJonesFreeEnergy, state: State) -> jax.Array:
    """Whether all windows are done."""
    return absolute.finished(_schedule(system), state)


def observe(system: LennardJonesFreeEnergy, state: State, data: object) -> dict[str, jax.Array]:
    """Free energies, and all that they rest on."""
    schedule = _schedule(system)
    found = absolute.result(schedule, system.temperature, system.pressure, state)
    mean, error, _ = absolute.integrands(schedule, state)
    spring = absolute.stiffness(schedule, state)
    nodes, atoms = system.nodes, system.atoms
    series = state.series[2 : 2 + 2 * nodes].reshape(2, nodes, -1, 3)[:, ::-1] / atoms
    shares = absolute.solid_shares(state)
    room = absolute.room(schedule, _basis(system), state)
    sound = (shares[SOLID] > SHARE) & (shares[LIQUID] < SHARE) & (room > ROOM)
    return {
        "delta_phi": found.delta_phi[0],
        "melting_temperature": jnp.where(sound, found.melting_temperature, jnp.nan),
        "melting_temperature_error": jnp.where(sound, found.melting_temperature_error, jnp.nan),
        "melting_enthalpy": found.melting_enthalpy,
        "melting_slope": found.slope,
        "solid_density": found.coexistence[SOLID],
        "liquid_density": found.coexistence[LIQUID],
        "solid_free_energy": found.free_energy[SOLID],
        "solid_free_energy_error": found.free_energy_error[SOLID],
        "liquid_free_energy": found.free_energy[LIQUID],
        "liquid_free_energy_error": found.free_energy_error[LIQUID],
        "solid_size_term": found.size[SOLID],
        "liquid_size_term": found.size[LIQUID],
        "path_temperature": found.temperatures,
        "path_delta_phi": found.delta_phi,
        "path_delta_phi_error": found.delta_phi_error,
        "path_solid_enthalpy": found.enthalpy[:, SOLID],
        "path_liquid_enthalpy": found.enthalpy[:, LIQUID],
        "path_solid_density": found.density[:, SOLID],
        "path_liquid_density": found.density[:, LIQUID],
        "lindemann": found.lindemann,
        "spring": spring,
        "solid_integrand": mean[SOLID],
        "solid_integrand_error": error[SOLID],
        "liquid_integrand": mean[LIQUID],
        "liquid_integrand_error": error[LIQUID],
        "solid_energy_series": series[SOLID, ..., 0],
        "spring_energy_series": spring / 2 * series[SOLID, ..., 2],
        "liquid_energy_series": series[LIQUID, ..., 0],
        "solid_share": shares[SOLID],
        "liquid_share": shares[LIQUID],
        "room": room,
    }


def _schedule(system: LennardJonesFreeEnergy) -> absolute.Schedule:
    return absolute.Schedule(
        cells=system.cells,
        nodes=system.nodes,
        path=system.path,
        equilibration=system.equilibration,
        samples=system.samples,
        dt=system.dt,
    )


def _basis(system: LennardJonesFreeEnergy) -> pairs.Basis:
    return pairs.Basis(cutoff=system.cutoff, tail=system.tail)


def _c(system: LennardJonesFreeEnergy) -> jax.Array:
    return pairs.lennard_jones(system.epsilon, system.sigma)
