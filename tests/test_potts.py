"""The system potts: what it measures at a first-order and at a continuous transition."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from criticality import Study, run
from criticality.base import InputError, Task, canonical
from criticality.engine import ensemble
from criticality.figures.book import Book
from criticality.results import Results
from criticality.systems import Potts
from criticality.systems.potts import figures, theory
from criticality.systems.potts.model import sampling
from criticality.systems.potts.model.histogram import balance, dip

pytestmark = pytest.mark.slow  # simulations, and minutes of compiling


def realizations(system, number):
    fixed = canonical(system)
    tasks = [Task(system=fixed, seed=0, realization=r, checksum="") for r in range(number)]
    found = ensemble.realize(tasks, {}, 1)
    return {name: np.array([one[name] for one in found], float) for name in found[0]}


def mean_and_error(values):
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def test_exact_values_are_those_of_the_literature():
    # T_t, L and xi = 1/(2 sigma): Baxter 1973; Borgs & Janke 1992, Table 1
    table = {
        5: (0.851528, 0.052919, 2512.2),
        10: (0.701232, 0.69605, 10.559),
        20: (0.58835, 1.19416, 2.6955),
    }
    for states, (temperature, latent, length) in table.items():
        assert theory.transition_temperature(states) == pytest.approx(temperature, abs=1e-6)
        assert theory.latent_heat(states) == pytest.approx(latent, rel=2e-4)
        assert 1 / theory.interface_tension(states) == pytest.approx(length, rel=2e-4)
    assert theory.transition_temperature(2) == pytest.approx(1.134593, abs=1e-6)
    assert theory.latent_heat(4) == theory.interface_tension(3) == 0
    assert theory.mean_energy(10) - theory.latent_heat(10) / 2 == pytest.approx(-1.664, abs=1e-3)
    with pytest.raises(InputError, match="2 or more"):
        theory.transition_temperature(1)


def ising_energy(side, temperature):
    """Energy a site of the two-state model, by its transfer matrix."""
    rows = np.array(list(np.ndindex((2,) * side)))
    along = (rows == np.roll(rows, 1, axis=1)).sum(axis=1)
    bonds = along[:, None] + (rows[:, None] == rows).sum(axis=2)
    transfer = np.exp((bonds - 2 * side) / temperature)
    power = np.linalg.matrix_power(transfer, side - 1)
    return -np.sum(bonds * transfer * power.T) / np.sum(transfer * power.T) / side


def test_ising_energy_and_heat_at_the_critical_temperature():
    t_c, side = theory.transition_temperature(2), 8
    found = realizations(
        Potts(
            states=2,
            length=side,
            temperature=t_c,
            sweeps=2000,
            equilibration=100,
            reweighting=(0.95, 1.0, 1.04),
        ),
        12,
    )
    energies, errors = mean_and_error(found["energy"].mean(axis=1))
    exact = [ising_energy(side, factor * t_c) for factor in (0.95, 1.0, 1.04)]
    assert np.all(errors < 0.004)
    assert np.all(np.abs(energies - exact) < 4 * errors)
    assert abs(exact[0] - exact[1]) > 20 * errors[0]
    exact = exact[1]
    np.testing.assert_allclose(found["effective_share"][:, :, 1], 1, rtol=1e-4)
    assert np.all(found["effective_share"][:, :, [0, 2]] < 0.97)
    # at infinite size the energy is -(1 + 1/sqrt 2); 8 sites are seen to be fewer
    assert exact < theory.mean_energy(2) - 4 * errors[1]
    step = 1e-3
    slope = (ising_energy(side, t_c + step) - ising_energy(side, t_c - step)) / (2 * step)
    heat, error = mean_and_error(found["specific_heat"][..., 1].mean(axis=1))
    assert abs(heat - slope) < 4 * error
    assert error < 0.05 * slope
    assert found["starts_agree"].mean() > 0.8
    assert found["long_enough"].all()


def test_order_and_disorder_far_from_the_transition():
    cold = realizations(Potts(temperature=0.3, length=8, sweeps=200, equilibration=200), 2)
    assert np.all(cold["order_parameter"] > 0.99)
    assert np.all(cold["ordered_share"] == 1)
    assert np.all(np.isnan(cold["disordered_energy"]) & np.isnan(cold["latent_heat"]))
    assert np.all(np.isnan(cold["balance_temperature"]) & np.isnan(cold["dip"]))
    hot = realizations(Potts(temperature=50.0, length=8, sweeps=200), 2)
    np.testing.assert_allclose(hot["energy"], -2 / 10, atol=0.02)
    assert np.all(hot["ordered_share"] == 0)
    assert np.all(hot["tunnellings"] == 0)
    np.testing.assert_allclose(hot["histogram"].sum(axis=2), 1, rtol=1e-6)


def test_a_first_order_transition_is_where_q_plus_one_phases_weigh_the_same():
    exact = theory.transition_temperature(20)
    # away from it, so that reweighting has something to do
    found = realizations(
        Potts(states=20, length=8, temperature=0.591, sweeps=6000, start=(1.0,), copies=4), 10
    )
    temperature, error = mean_and_error(found["balance_temperature"])
    assert error < 0.001
    assert abs(temperature - exact) < 4 * error
    assert found["tunnellings"].min() > 0
    assert found["tunnellings"].mean() > 8
    latent, _ = mean_and_error(found["latent_heat"])
    assert latent == pytest.approx(theory.latent_heat(20), rel=0.05)
    # the interface tension of small lattices is too small; no dip would be 0
    assert -4 < mean_and_error(found["dip"])[0] < -2


def two_phases(rng, states, gap, width, delta, sweeps=200_000):
    """Energies of q phases around 0 and of one around the gap, when 1/T is off by delta."""
    # a Gaussian phase has ln Z(delta) = -delta e + (delta width)^2 / 2
    weight = states / (states + np.exp(delta * gap))
    ordered = rng.random(sweeps) < weight
    middle = np.where(ordered, 0.0, gap) + delta * width**2
    return rng.normal(middle, width), ordered


def test_balance_finds_the_shift_of_known_phases():
    rng = np.random.default_rng(0)
    for states, delta in ((3, 0.0), (10, 0.02), (10, -0.03)):
        energy, ordered = two_phases(rng, states, 100.0, 10.0, delta)
        found = balance(jnp.asarray(energy), jnp.asarray(ordered), states)
        assert float(found) == pytest.approx(delta, abs=3e-4)


def test_a_dip_is_that_of_known_peaks():
    energies = jnp.linspace(0.0, 100.0, 401)
    # two Gaussians of equal heights have a known valley, whatever tilts them
    first, second = ((energies - at) / 9 for at in (25.0, 75.0))
    equal = jnp.exp(-(first**2) / 2) + jnp.exp(-(second**2) / 2)
    exact = np.log(2) - (25 / 9) ** 2 / 2
    for tilt in (0.0, 0.03, -0.03):
        tilted = equal * jnp.exp(tilt * (energies - 50))
        assert float(dip(tilted / tilted.sum(), energies, jnp.int32(200))) == pytest.approx(
            exact, abs=0.02
        )
    single = jnp.exp(-(((energies - 50) / 9) ** 2) / 2)
    assert np.isnan(dip(single, energies, jnp.int32(200)))
    never = jnp.where(jnp.abs(energies - 50) < 5, 0, equal)
    assert np.isnan(dip(never, energies, jnp.int32(200)))


def test_tunnellings_count_passages_and_no_excursions():
    order = np.array([0.9, 0.5, 0.9, 0.1, 0.6, 0.1, 0.9, 0.6, 0.2])[None, :, None]
    assert float(sampling._tunnellings(jnp.asarray(order))[0]) == 3


def test_starts_are_what_they_say():
    system = Potts(start=(0.0, 0.4, 1.0), length=64)
    state = jax.jit(lambda key: sampling.begin(system, key, None))(jax.random.key(0))
    rho = np.array(state.spins == 0).mean(axis=(1, 2, 3))
    order = (10 * rho - 1) / 9
    np.testing.assert_allclose(order, system.start, atol=0.02)
    assert len(np.unique(state.seeds.reshape(-1, 2), axis=0)) == 6


def test_odd_lattices_and_repulsion_are_allowed_but_not_repelling_clusters():
    canonical(Potts(length=7, diagonal_coupling=-0.5, clusters=0))
    with pytest.raises(InputError, match="unlike spins cannot freeze"):
        canonical(Potts(diagonal_coupling=-0.5))
    with pytest.raises(InputError, match="all are 0"):
        canonical(Potts(coupling=0.0))
    assert "do not divide" in Potts(length=12).notes()[0]
    assert not Potts(length=16).notes()


@pytest.fixture(scope="module")
def quenched(tmp_path_factory):
    """Give short runs without clusters from both starts, of two numbers of states."""
    study = Study(
        system=Potts(states=10, sweeps=30, equilibration=60, clusters=0),
        grid={"states": [2, 10], "temperature": [0.45, 0.70123, 2.0], "length": [16]},
        realizations=4,
    )
    store = tmp_path_factory.mktemp("potts") / "store"
    run(study, store, workers=1)
    return Results(store, None)


def test_starts_that_stay_apart_are_coexistence(quenched):
    diagram = quenched.diagram()

    def name(states, temperature):
        code = diagram.cells["phase"].sel(states=states, temperature=temperature)
        return diagram.phase(int(code)).name

    assert name(10, 0.70123) == "coexistence"
    assert name(2, 0.70123) == "ordered"
    assert name(10, 2.0) == name(2, 2.0) == "disordered"


def test_figures_have_both_starts_and_the_exact_transition(quenched):
    book = Book()
    figures.pages(quenched, book, {"states": "10"})
    assert {"phases", "exact", "energies", "histograms"} <= set(book.pages)
    ax = book.pages["energies"].axes[-1]
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["exact transition", "$m_0$ = 0", "$m_0$ = 1"]
    marked = next(line for line in ax.lines if line.get_label() == "exact transition")
    assert marked.get_xdata()[0] == pytest.approx(0.701232, abs=1e-6)
    # metastable: at the transition the ordered start is below the disordered one by about L
    drawn = [bars.lines[0].get_ydata()[1] for bars in ax.containers]
    assert drawn[0] - drawn[1] == pytest.approx(theory.latent_heat(10), abs=0.15)
    peaks = book.pages["histograms"].axes[0].containers[-1].lines[0].get_xydata()
    peaks = peaks[np.isfinite(peaks[:, 1])]
    order, disorder = (peaks[peaks[:, 0] < -1.3], peaks[peaks[:, 0] > -1.3])
    assert order[order[:, 1].argmax(), 0] == pytest.approx(-1.66, abs=0.1)
    assert disorder[disorder[:, 1].argmax(), 0] == pytest.approx(-0.97, abs=0.1)


def test_extrapolation_to_infinite_size_is_drawn_against_its_inverse():
    table = {"latent_heat": (("length", "realization"), np.array([[1.0, 3.0], [4.0, 4.0]]))}
    ax = figures.against_inverse(xr.Dataset(table, {"length": [10, 20]}), "latent_heat", 5.0)
    drawn = ax.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(drawn, [[0.1, 2.0], [0.05, 4.0]])
    assert ax.lines[0].get_ydata()[0] == 5.0


def test_no_exact_transition_is_drawn_for_other_couplings():
    point = {"states": 10, "coupling": 1.0}
    assert figures._transition(point | {"corner_coupling": 0.1}) is None
    assert figures._transition(point | {"coupling": 2.0}) == pytest.approx(2 * 0.701232, abs=1e-5)
