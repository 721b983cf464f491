"""Free energies of Lennard-Jones phases against what is exact; a crystal beside its melt."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from criticality.base import InputError, canonical
from criticality.systems.lennard_jones import lattice
from criticality.systems.lennard_jones.coexistence import LennardJonesCoexistence
from criticality.systems.lennard_jones.melting import LennardJonesFreeEnergy
from criticality.systems.lennard_jones.model import absolute, pairs, references, slab
from criticality.systems.lennard_jones.model.absolute import LIQUID, SOLID
from criticality.thermo.free_energy import legendre

pytestmark = pytest.mark.slow  # simulations, and minutes of compiling

C = pairs.lennard_jones()
SEED = jnp.array([3, 14], jnp.uint32)


SCHEDULE = absolute.Schedule(cells=3, nodes=6, path=2, equilibration=300, samples=20)
SLAB = slab.Schedule(cells=3, equilibration=16, samples=100)


@jax.jit
def further(cutoff, tail, temperature, state):
    basis = pairs.Basis(cutoff=cutoff, tail=tail)
    return absolute.advance(SCHEDULE, basis, C, temperature, 0.0, state)


@jax.jit
def grown(temperature, state):
    return slab.advance(SLAB, pairs.Basis(cutoff=2.2), C, temperature, 4.11, state)


def first_part(window):
    return int(np.argmax(SCHEDULE.parts[:, 0] >= window))


def test_static_energy_is_that_of_the_box():
    for tail in (True, False):
        basis = pairs.Basis(cutoff=2.0, tail=tail)
        box = jnp.full(3, (108 / 1.02) ** (1 / 3))
        energy = float(pairs.energy(basis, pairs.fcc(3), box, C)) / 108
        mean_field = 8 * math.pi * 1.02 * (4 / 9 / 2.0**9 - 2 / 3 / 2.0**3)
        mean_field -= 2 * (2.0**-12 - 2.0**-6)
        exact = lattice.static_energy(1.02, 2.0) - (0 if tail else mean_field)
        assert energy == pytest.approx(exact, rel=2e-6)


def test_static_energy_tends_to_that_of_the_full_potential():
    # fcc lattice sums 12.13188 and 14.45392 [Kittel, Introduction to Solid State Physics, 3]
    near = 2**0.5 / 1.05
    exact = 2 * (12.13188 / near**4 - 14.45392 / near**2)
    assert lattice.static_energy(1.05, 3.0) + lattice.missing(1.05, 3.0) == pytest.approx(
        exact, abs=2e-4
    )
    assert abs(lattice.missing(1.006, 2.5)) > 0.005


def test_modes_are_the_eigenvalues_of_the_hessian():
    density, cutoff = 1.0, 1.4  # nearest neighbours, which the nearest image of 32 atoms holds
    box, sites = jnp.full(3, (32 / density) ** (1 / 3)), pairs.fcc(2)
    basis = pairs.Basis(cutoff=cutoff, tail=False)

    @jax.jit
    def forces(moved):
        return pairs.forces(basis, sites + moved.reshape(3, 32) / box[:, None], box, C).reshape(-1)

    columns = [(forces(-m) - forces(m)) / 4e-3 for m in 2e-3 * jnp.eye(96)]
    hessian = np.asarray(columns, float)
    exact = np.sort(lattice.modes(2, density, cutoff))
    found = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    np.testing.assert_allclose(found[:3], 0, atol=0.05)
    np.testing.assert_allclose(found[3:], exact, rtol=3e-3)


def test_einstein_crystal_of_two_atoms_is_a_molecule():
    # k (u_1^2 + u_2^2) / 2 with u_1 = -u_2 is a spring k/2: Z = V (4 pi T / k)^(3/2) / 2
    exact = -math.log(7.0 * (4 * math.pi / 30.0) ** 1.5 / 2)
    assert float(references.einstein_crystal(2, 7.0, 30.0)) == pytest.approx(exact, rel=1e-5)


def test_integration_from_the_einstein_crystal_is_exact_for_harmonic_modes():
    # <U - E> of a mode of stiffness d, joined to k, is T/2 (d - k) / (x d + (1 - x) k)
    atoms, density = 256, 1.02
    d = lattice.modes(4, density, 2.8)
    k = 3 * (atoms - 1) / np.sum(1 / d)
    s, w = legendre(8)
    x = s[:, None] ** 3
    integrand = 3 * s**2 * 0.5 * np.sum((d - k) / (x * d + (1 - x) * k), axis=1)
    found = float(references.einstein_crystal(atoms, atoms / density, k)) + w @ integrand
    exact = lattice.free_energy(4, 1.0, density, 2.8) - lattice.static_energy(density, 2.8)
    assert found / atoms == pytest.approx(exact, abs=5e-5)


@pytest.mark.parametrize("cells", [3, 5])
def test_size_terms_of_crystal_and_ideal_gas(cells):
    atoms, density = 4 * cells**3, 1.02
    constant, spread = lattice.size_term(cells)
    assert constant == pytest.approx(-1.370, abs=0.02)
    assert spread == pytest.approx(1.2598 - 1.178 * atoms ** (-1 / 3), abs=0.003)
    # the crystal with all neighbours, whose modes have another shape, against a large one
    u2 = float(np.sum(1 / lattice.modes(cells, density, 2.5))) / atoms
    solid, gas = references.size_terms(atoms, atoms / density, u2, atoms)
    many = 4 * 12**3
    u2_large = float(np.sum(1 / lattice.modes(12, density, 2.5))) / many
    rest = references.size_terms(many, many / density, u2_large, many)[SOLID] / many
    infinite = lattice.free_energy(12, 1.0, density, 2.5) - float(rest)
    finite = lattice.free_energy(cells, 1.0, density, 2.5)
    assert abs(finite - infinite) > 0.01  # what is taken away is not nothing
    assert finite - float(solid) / atoms == pytest.approx(infinite, abs=0.15 / atoms)
    ideal = float(references.ideal_gas(atoms, atoms / 0.3)) - float(gas)
    assert ideal / atoms == pytest.approx(math.log(0.3) - 1, abs=1e-4)


def test_a_cold_crystal_has_its_harmonic_free_energy():
    temperature = 0.02
    state = absolute.begin(SCHEDULE, pairs.Basis(cutoff=2.2), C, temperature, SEED, 1.09)
    while state.part < first_part(2 + SCHEDULE.nodes):
        state = further(2.2, True, temperature, state)
    found = absolute.result(SCHEDULE, temperature, 0.0, state)
    density = float(found.density[0, SOLID])
    per_atom = float(found.free_energy[SOLID] + found.size[SOLID])
    error = float(found.free_energy_error[SOLID])
    exact = lattice.free_energy(3, temperature, density, 2.2)
    assert 0 < error < 0.01 * temperature
    assert abs(per_atom - exact) < 4 * error + 0.005 * temperature  # and anharmonic terms, T^2
    assert density == pytest.approx(1.092, abs=0.002)


def test_a_dilute_gas_has_its_second_virial_coefficient():
    temperature, density, atoms = 1.2, 0.02, SCHEDULE.atoms
    state = absolute.begin(
        SCHEDULE, pairs.Basis(cutoff=2.5, tail=False), C, temperature, SEED, density / 0.9
    )
    series = state.series.at[:2, ..., 1].set(atoms / density)  # as if pressure had chosen it
    gas, end = (first_part(2 + n * SCHEDULE.nodes) for n in (1, 2))
    state = state._replace(part=jnp.int32(gas), series=series)
    while state.part < end:
        state = further(2.5, False, temperature, state)
    mean, error, weight = absolute.integrands(SCHEDULE, state)
    found, error = float(mean[LIQUID] @ weight), math.sqrt(error[LIQUID] ** 2 @ weight**2)

    def mayer(r):
        u = 4 * (r**-12 - r**-6) - 4 * (2.5**-12 - 2.5**-6)
        return -2 * math.pi * math.expm1(-u / temperature) * r**2

    second = quad(mayer, 1e-3, 2.5, points=(0.9, 1.1))[0]
    assert error < 0.1 * abs(second) * density
    # the third coefficient is of order 1 here: another 0.5 rho^2
    assert abs(found - (1 - 1 / atoms) * second * density) < 3.5 * error + density**2


def test_melting_temperature_of_known_enthalpies():
    schedule = absolute.Schedule(cells=3, nodes=4, path=3, samples=4)
    temperature, pressure, atoms = 1.0, 2.0, schedule.atoms
    state = absolute.begin(schedule, pairs.Basis(cutoff=2.0), C, temperature, SEED)
    temperatures = jnp.array([1.0, 1.04, 1.06])
    volumes = atoms * np.array([1.0, 1.12])
    noise = 1e-3 * np.random.default_rng(0).normal(size=state.series.shape)
    series = np.zeros(state.series.shape) + noise
    series[SOLID] += [-6.0 * atoms, volumes[SOLID], 2.0]
    series[LIQUID] += [-4.9 * atoms, volumes[LIQUID], 2.0]
    for window in range(2 + 2 * schedule.nodes, schedule.windows):
        series[window] = series[window % 2]
    state = state._replace(series=jnp.asarray(series, jnp.float32), temperatures=temperatures)
    found = jax.jit(lambda s: absolute.result(schedule, temperature, pressure, s))(state)
    gap = 1.1 + pressure * 0.12
    exact = 1 / (1 / temperature - float(found.delta_phi[0]) / gap)
    assert float(found.melting_temperature) == pytest.approx(exact, rel=1e-4)
    assert float(found.melting_enthalpy) == pytest.approx(gap, rel=1e-4)
    assert float(found.slope) == pytest.approx(gap / (exact * 0.12), rel=1e-3)
    np.testing.assert_allclose(found.coexistence, [1, 1 / 1.12], rtol=1e-4)
    np.testing.assert_allclose(
        found.delta_phi - found.delta_phi[0], gap * (1 / temperatures - 1), atol=1e-5
    )


@pytest.mark.parametrize(("temperature", "sign"), [(0.85, 1), (1.2, -1)])
def test_the_crystal_grows_below_melting_and_melts_above(temperature, sign):
    state = slab.begin(SLAB, pairs.Basis(cutoff=2.2), C, temperature, SEED)
    while not slab.finished(SLAB, state):
        state = grown(temperature, state)
    found = slab.result(SLAB, 4.11, state)
    crystal, molten = state.series[31, 0], state.series[47, 0]
    assert crystal > 0.95
    assert 0.3 < molten < 0.75
    assert sign * float(found.rate) > 0.01
    last = float(state.series[state.sample - 1, 0])
    assert last > 0.85 if sign > 0 else last < 0.15
    sides = state.particles.box / jnp.array([3, 3, 6])
    assert sides[0] == sides[1] != sides[2]  # the pressure moved the long side alone


def test_boxes_that_do_not_hold_the_cutoff_are_refused():
    for system in (LennardJonesFreeEnergy(), LennardJonesCoexistence()):
        with pytest.raises(InputError, match="use more cells or a lower density"):
            canonical(system, cutoff=3.3)
