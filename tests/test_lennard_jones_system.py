"""The system `lennard_jones`: schedules, phases, and what it reports, against exact answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

from criticality.base import InputError, Task, canonical
from criticality.engine import ensemble
from criticality.systems import LennardJones
from criticality.systems.lennard_jones.figures import along_path

pytestmark = pytest.mark.slow  # simulations, and minutes of compiling

SMALL = {"cells": 3, "cutoff": 2.2, "equilibration": 1000, "steps": 2000, "lag": (0.2, 1.0, 2.0)}
IDEAL = {"epsilon": 1e-6, "sigma": 0.01, "cells": 2, "cutoff": 1.0, "density": 0.3, "melting": 0}
NIST = {  # energy and pressure at T = 0.85, r_c = 3 with long-range corrections, N = 500
    0.776: (-5.5121, 6.7714e-3),
    0.82: (-5.7947, 0.55355),
    0.86: (-6.0305, 1.2660),
}


def results(realizations, **controls):
    """Observables [realizations] of each name."""
    system = canonical(LennardJones(**controls))
    tasks = [Task(system=system, seed=0, realization=r, checksum="") for r in range(realizations)]
    found = ensemble.realize(tasks, {}, realizations)  # in lanes: small boxes fit into the cache
    return {name: np.stack([one[name] for one in found]).astype(float) for name in found[0]}


def apart(values, expected):
    """Standard errors between a mean and what it should be."""
    return abs(values.mean() - expected) / (values.std(ddof=1) / math.sqrt(len(values)))


def test_a_cold_crystal_stays_and_a_hot_one_melts():
    cold = results(1, start="solid", temperature=0.6, density=1.05, **SMALL)
    assert cold["solid_share"] > 0.95
    assert cold["stayed"] == 1
    assert cold["square_displacement"][0, -1] < 0.1  # of a neighbour's distance squared
    hot = results(1, start="solid", temperature=3.0, density=0.85, **SMALL)
    assert hot["solid_share"] < 0.2
    assert hot["stayed"] == 0
    assert hot["diffusion"] > 0.05


def test_a_liquid_is_molten_first_and_measured_at_its_own_temperature():
    liquid = results(2, temperature=0.9, density=0.85, melting=1500, **SMALL)
    assert (liquid["solid_share"] < 0.2).all()
    assert (liquid["stayed"] == 1).all()
    np.testing.assert_allclose(liquid["kinetic_temperature"], 0.9, rtol=0.1)
    assert (liquid["bond_order"] < 0.3).all()
    # at this density a lattice would not have molten by itself in so short a time
    kept = results(1, temperature=0.3, density=1.0, melting=0, **SMALL)
    assert kept["stayed"] == 0


def test_atoms_without_forces_are_an_ideal_gas_of_brownian_particles():
    """All that a run reports is known: Ornstein-Uhlenbeck momenta, independent positions."""
    temperature, friction = 1.3, 2.0
    lags = (0.2, 0.4, 1.0, 2.0, 4.0)
    found = results(
        16,
        **IDEAL,
        temperature=temperature,
        friction=friction,
        equilibration=5000,
        steps=20_000,
        r=(0.5, 1.0, 1.5),
        width=0.2,
        lag=lags,
    )
    times = np.array(lags)
    free = times - (1 - np.exp(-friction * times)) / friction
    expected = 6 * temperature / friction * free * (1 - 1 / 32)
    for one, value in zip(found["square_displacement"].T, expected, strict=True):
        assert apart(one, value) < 4
    slope = np.polyfit(times[3:], expected[3:], 1)[0] / 6
    assert apart(found["diffusion"], slope) < 4
    assert found["diffusion"].std() < 0.2 * slope
    for one in found["pair_correlation"].T:
        assert apart(one, 1.0) < 4
    assert apart(found["kinetic_temperature"], temperature) < 4
    np.testing.assert_allclose(found["virial_pressure"], IDEAL["density"] * temperature, rtol=1e-4)
    np.testing.assert_allclose(found["heat_capacity"], 1.5, rtol=1e-5)


def test_a_gas_at_constant_pressure_has_its_volume_and_fluctuations():
    """Weight V^N exp(-P V / T): mean (N+1) T/P, variance (N+1) (T/P)^2, c_P = 3/2 + (N+1)/N."""
    temperature, pressure, atoms = 1.3, 0.1, 32
    found = results(
        32,
        ensemble="npt",
        **IDEAL,
        temperature=temperature,
        pressure=pressure,
        tail=False,
        equilibration=3000,
        steps=20_000,
        lag=(0.2, 0.4),
    )
    volume = atoms / found["mean_density"]
    assert apart(volume, (atoms + 1) * temperature / pressure) < 4
    assert volume.std() / math.sqrt(32) < 0.02 * volume.mean()
    assert apart(found["compressibility"] * pressure, 1.0) < 4
    assert apart(found["heat_capacity"], 1.5 + (atoms + 1) / atoms) < 4
    assert 0.25 < found["accepted"].mean() < 0.6


def test_energy_is_conserved_after_the_thermostat_is_gone():
    found = results(2, ensemble="nve", temperature=1.0, density=0.8, dt=0.002, **SMALL)
    assert (found["energy_scatter"] < 1e-3).all()
    assert (np.abs(found["energy_drift"]) < 0.02).all()  # in 100 000 steps, told by 2000
    assert np.isnan(found["heat_capacity"]).all()
    held = results(1, temperature=1.0, density=0.8, dt=0.002, **SMALL)
    assert np.isnan(held["energy_drift"]).all()


@pytest.mark.parametrize(
    ("controls", "named"),
    [
        ({"cutoff": 3.5}, "cutoff"),
        ({"steps": 60}, "steps"),
        ({"steps": 500}, "lag"),
        ({"ensemble": "nph"}, "npt"),
    ],
)
def test_what_does_not_go_together_is_refused(controls, named):
    with pytest.raises(InputError, match=named):
        canonical(LennardJones(), **controls)


def test_times_between_two_measurements_are_told():
    whole = LennardJones(dt=0.004, interval=5, lag=(0.2, 0.6, 4.0))
    assert whole.measured_lags() == [True] * 3
    assert not whole.notes()
    between = LennardJones(dt=0.004, interval=10, lag=(0.2, 0.4, 4.0))
    assert between.measured_lags() == [False, True, True]
    assert "lag" in between.notes()[0]


def test_axes_of_a_path_become_one():
    values = xr.DataArray(
        [[[1.0, 3.0], [np.nan, np.nan]], [[np.nan, np.nan], [5.0, 7.0]]],
        dims=("temperature", "pressure", "realization"),
    )
    path = along_path(values, "temperature")
    np.testing.assert_array_equal(path, [[1.0, 3.0], [5.0, 7.0]])
    grid = values.fillna(2.0)
    assert along_path(grid, "temperature") is grid


@pytest.mark.slow
@pytest.mark.parametrize("density", NIST)
def test_energies_and_pressures_are_those_of_nist(density):
    found = results(4, cells=5, temperature=0.85, density=density, steps=25_000)
    energy, pressure = NIST[density]
    assert apart(found["energy"], energy) < 4
    assert apart(found["virial_pressure"], pressure) < 4
    assert found["energy"].std() < 0.01
