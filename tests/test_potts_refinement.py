"""Refinement of Potts couplings: exact free energies, the check, what goes wrong unchecked."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality.base import Task, canonical
from criticality.engine import checkpoint, ensemble
from criticality.engine.checkpoint import Checkpoints
from criticality.systems import PottsRefinement
from criticality.systems.potts.model import refinement as model
from criticality.systems.potts.theory import transition_temperature
from criticality.thermo.reweighting import jackknife_error

pytestmark = pytest.mark.slow  # simulations, and minutes of compiling

TINY = PottsRefinement.tiny()
SMALL = {
    "length": 12,
    "sweeps": 80,
    "check_length": 8,
    "check_copies": 8,
    "check_sweeps": 2000,
}


def realized(realizations=1, **changes):
    system = canonical(TINY, **changes)
    tasks = [Task(system=system, seed=0, realization=r, checksum="") for r in range(realizations)]
    return ensemble.realize(tasks, {})


def free_energy(q, length, couplings, beta):
    """-ln Z of all states of a periodic square, by products of transfer matrices."""
    rows = np.array(list(itertools.product(range(q), repeat=length)))
    right = np.roll(rows, -1, axis=1)
    one, two, three = couplings
    within = one * (rows == right).sum(axis=1)
    here, below = rows[:, None], rows[None]
    here_right, below_right = right[:, None], right[None]
    energy = within[:, None] / 2 + within[None] / 2
    energy = energy + one * (here == below).sum(axis=-1)
    energy = energy + two * (here == below_right).sum(axis=-1)
    energy = energy + two * (here_right == below).sum(axis=-1)
    square = (here, here_right, below, below_right)
    sides = {frozenset(pair) for pair in ((0, 1), (0, 2), (1, 3), (2, 3))}
    for corner in range(4):
        a, b = (n for n in range(4) if frozenset((n, corner)) in sides)
        both = (square[corner] == square[a]) & (square[corner] == square[b])
        energy = energy + three * both.sum(axis=-1)
    values = np.linalg.eigvals(np.exp(beta * (energy - energy.max())))
    return -np.log((values**length).sum().real) - beta * energy.max() * length


def test_free_energies_of_the_walk_are_exact_ones():
    couplings = {"coupling": 1.0, "diagonal_coupling": 0.2, "corner_coupling": 0.1}
    system = canonical(
        TINY, states=5, length=4, scale=1.0, phase_check=False, copies=16, sweeps=400, **couplings
    )
    J = tuple(couplings.values())
    state = model.begin(system, jax.random.key(1), None)
    cold, phi = float(state.walk.beta[0]), float(state.walk.replicates[0, 0])
    exact = free_energy(5, 4, J, cold) + np.log(5)  # one of five phases
    assert phi == pytest.approx(exact, abs=2e-3)
    step = jax.jit(lambda state: model.advance(system, state, None))
    for _ in range(6):
        state = step(state)
    # disorder, cooled from beta = 0
    phi, beta = state.walk.replicates[:, 1], float(state.walk.old_beta[1])
    assert beta > 0.3
    error = float(jackknife_error(phi))
    assert 0 < error < 0.1
    assert abs(float(phi[0]) - free_energy(5, 4, J, beta)) < 4 * error


def test_the_check_knows_the_couplings_alone():
    # twice the couplings, twice the temperature, whatever the target
    system = canonical(TINY, check_length=8, check_copies=8, check_sweeps=1500, target=0.6)
    state = model.begin(system, jax.random.key(2), None)
    state = state._replace(stage=jnp.int32(model.CHECK))

    @jax.jit
    def measured(theta):
        begun = state._replace(refined=state.refined._replace(theta=theta))
        ended = jax.lax.while_loop(
            lambda state: ~model.finished(system, state),
            lambda state: model._check(system, state),
            begun,
        )
        return model._measured(system, ended.check)

    for factor in (1.0, 1.2):
        found = measured(factor * jnp.asarray([1.0, 0, 0]))
        error = float(jackknife_error(found))
        exact = factor * transition_temperature(20)
        assert error < 0.006 * exact
        assert abs(float(found[0]) - exact) < 4 * error + 0.001 * exact


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Far from the target: with continuation, without it, and without the check of phases."""
    found = {}
    for name, changes in {
        "careful": {"continuation": 0.01},
        "at once": {"continuation": 1.0},
        "unchecked": {"continuation": 1.0, "phase_check": False},
    }.items():
        found[name] = realized(2, scale=0.9, rounds=40, copies=8, **SMALL | changes)
    return found


def test_with_continuation_the_transition_reaches_its_target(studied):
    target = transition_temperature(20)
    for found in studied["careful"]:
        assert found["settled"] == 1
        assert found["own_temperature"] == pytest.approx(0.9 * target, rel=0.01)
        assert found["predicted_temperature"] == pytest.approx(target, rel=1e-3)
        assert abs(found["deviation"]) < 4 * found["deviation_error"] + 0.002
        assert found["deviation_error"] < 0.01
        assert found["rejected"] < 0.1
        assert (found["couplings"] > 0.9 * np.array([0.765, 0.1, 0.05])).all()
        steps = np.diff(np.log(found["path_temperature"][: int(found["rounds_done"])]))
        assert np.abs(steps).max() <= 0.01 * 1.0001


def test_without_continuation_a_phase_is_lost_and_unchecked_the_answer_is_wrong(studied):
    for found in studied["at once"]:
        assert found["lost"] == 1
        assert np.isnan(found["deviation"])
        assert np.isnan(found["couplings"]).all()
        assert found["rejected"] > 0
    for found in studied["unchecked"]:
        assert found["lost"] == 0
        # above its transition, order has become disorder
        assert np.nanmin(found["path_order"][:, 0]) < 0.3
        assert not abs(found["deviation"]) < 0.02


def test_what_is_learned_is_what_was_asked_for():
    one, others = (
        realized(learned=which, phase_check=False)[0]["couplings"]
        for which in ("neighbours", "others")
    )
    given = TINY.scale * np.array([0.765, 0.1, 0.05])
    np.testing.assert_array_equal(one[1:], given[1:])
    np.testing.assert_array_equal(others[0], given[0])
    assert one[0] != given[0]
    assert (others[1:] != given[1:]).all()


def test_an_interrupted_refinement_goes_on_with_the_same_bits(monkeypatch, tmp_path):
    task = Task(system=canonical(TINY), seed=0, realization=0, checksum="")
    (whole,) = ensemble.realize([task], {})
    monkeypatch.setattr(checkpoint, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))
    monkeypatch.setattr(ensemble, "SLICE_S", 0.02)
    real, saves = Checkpoints.save, []

    def save(self, states):
        states = list(states)
        real(self, states)
        saves.append(states[0][2])
        if len(saves) % 8 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save)
    for _ in range(100):
        try:
            kept = Checkpoints(str(tmp_path), [task])
            ((_, found),) = ensemble.stream([task], {}, 1, kept)
        except KeyboardInterrupt:
            continue
        break
    assert len(saves) > 16
    for name in whole:
        assert whole[name].tobytes() == found[name].tobytes(), name
