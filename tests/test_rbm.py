"""Block Gibbs sampling of the RBM against exact enumeration, and what it refuses."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from criticality import Study
from criticality.base import InputError, canonical
from criticality.engine.templates import template
from criticality.systems.rbm import PRIORS, RBM, model
from criticality.thermo.series import agreement

VALUES = {"binary": (-1, 1), "zero_one": (0, 1), "ternary": (-1, 0, 1)}
REALIZATIONS, SIGMAS = 16, 4.0
SMALL = canonical(
    RBM(),
    spins=8,
    patterns=4,
    temperature=0.9,
    threshold=0.3,
    bias=0.25,
    scaling=0.4,
    annealing=(2.0, 1.0),
    equilibration=50,
    sweeps=1500,
    copies=6,
)
AVERAGES = (
    "overlap",
    "best_overlap",
    "replica_overlap",
    "self_overlap",
    "glassiness",
    "activity",
    "energy",
    "susceptibility",
    "binder",
)


def keys():
    return jax.random.split(jax.random.key(5), REALIZATIONS)


def sampled(system, roots):
    """Observables of realizations with these root keys, straight from the four functions."""

    @jax.jit
    @jax.vmap
    def run(key):
        state = jax.lax.while_loop(
            lambda state: ~model.finished(system, state),
            lambda state: model.advance(system, state, {}),
            model.begin(system, key, {}),
        )
        return model.observe(system, state, {})

    return {name: np.asarray(value, float) for name, value in run(roots).items()}


def patterns(system, key):
    every = np.asarray(model._blocks(system, key, jnp.int32(system.patterns)))
    return every.reshape(-1, system.spins)[: system.patterns]


def unit(system, field, temperature):
    """ln Z, <h>, <|h|> and <u + theta a> of one hidden unit in a field, by sum or quadrature."""
    threshold = system.threshold * system.spins ** (1 - 2 * system.scaling)
    if system.prior == "gaussian":
        threshold = 0.0

    def cost(h):
        quadratic = h**2 / 2 if system.prior in ("gaussian", "relu") else 0.0
        return quadratic + threshold * (abs(h) if system.prior == "ternary" else h)

    def weight(h):
        return np.exp((field * h - cost(h)) / temperature)

    def total(of):
        if system.prior in VALUES:
            return sum(of(h) * weight(h) for h in VALUES[system.prior])
        low = -12 if system.prior == "gaussian" else 0
        return integrate.quad(lambda h: of(h) * weight(h), low, 12, points=[0, 1], limit=200)[0]

    z = total(lambda h: 1.0)
    return np.log(z), total(lambda h: h) / z, total(abs) / z, total(cost) / z


def exact(system, xi, temperature):
    """Every thermal average, by a sum over all states of the spins."""
    n = system.spins
    s = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
    product = s @ xi.T
    field = n**-system.scaling * product
    table = {x: unit(system, x, temperature) for x in np.unique(field)}
    of_units = [np.vectorize(lambda x, i=i: table[x][i])(field) for i in range(4)]
    log_z, mean, size, cost = of_units
    bias = system.bias * field.sum(axis=1)
    log_p = log_z.sum(axis=1) - bias / temperature
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    m, q = s @ xi[0] / n, s @ s.T / n
    pairs = np.outer(p, p)
    first, second, fourth = (p @ np.abs(m) ** k for k in (1, 2, 4))
    return {
        "overlap": first,
        "best_overlap": p @ np.abs(product).max(axis=1) / n,
        "replica_overlap": (pairs * np.abs(q)).sum(),
        "self_overlap": (pairs * q).sum(),  # of times far apart
        "glassiness": 2 * ((pairs * q**2).sum() - p @ (q @ p) ** 2),  # q and q' share a copy
        "activity": p @ size.mean(axis=1),
        "energy": p @ ((cost - field * mean).sum(axis=1) + bias) / n,
        "susceptibility": n * (second - first**2) / temperature,
        "binder": 1 - fourth / (3 * second**2),
    }


def deviations(system):
    """Sampled minus exact of every average, in standard errors over realizations."""
    roots = keys()
    found = sampled(system, roots)
    found["glassiness"] **= 2  # the root of a mean over few copies at one time would be too low
    worst = {}
    for stage, factor in enumerate(system.annealing):
        truth = [exact(system, patterns(system, k), factor * system.temperature) for k in roots]
        for name in AVERAGES:
            known = np.array([one[name] for one in truth])
            for start in range(len(system.start)):
                difference = found[name][:, start, stage] - known
                error = difference.std(ddof=1) / np.sqrt(REALIZATIONS)
                z = difference.mean() / error
                worst[name, start, stage] = z
    return worst


@pytest.mark.parametrize("prior", PRIORS)
def test_every_average_is_that_of_exact_enumeration(prior):
    found = deviations(canonical(SMALL, prior=prior))
    assert len(found) == len(AVERAGES) * 4
    assert max(map(abs, found.values())) < SIGMAS, found


def twice_the_field(monkeypatch):
    right = model._hidden
    monkeypatch.setattr(model, "_hidden", lambda prior, field, *a: right(prior, 2 * field, *a))


def frozen_spins(monkeypatch):
    right = model._sweep

    def half(*arguments):
        spins, (new, quantities) = arguments[4], right(*arguments)
        return new.at[..., :4].set(spins[..., :4]), quantities

    monkeypatch.setattr(model, "_sweep", half)


def frozen_hidden(monkeypatch):
    right = model._hidden

    def half(prior, field, threshold, temperature, uniform):
        still = jnp.where(jnp.arange(field.shape[1]) < 2, 0.5, uniform)
        return right(prior, field, threshold, temperature, still)

    monkeypatch.setattr(model, "_hidden", half)


def one_bias(monkeypatch):
    right = model._hidden

    def shifted(*a):
        found = right(*a)
        return found._replace(values=found.values + 0.25)

    monkeypatch.setattr(model, "_hidden", shifted)


@pytest.mark.parametrize("wrong", [twice_the_field, frozen_spins, frozen_hidden, one_bias])
def test_a_wrong_sampler_is_caught(wrong, monkeypatch):
    wrong(monkeypatch)
    assert max(map(abs, deviations(canonical(SMALL, prior="ternary")).values())) > SIGMAS


# --- parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [3.0, 0.0, -1.0, -4.0, -11.9, -12.1, -60.0, -2000.0])
def test_numbers_above_zero_are_those_of_a_gaussian_tail(mean):
    uniform = (np.arange(2000) + 0.5) / 2000
    deviation = 2.0
    found = model._above_zero(jnp.float32(mean), jnp.float32(deviation), jnp.asarray(uniform))
    a = -mean / deviation
    # Q(a + t) / Q(a) = u, whatever a: what was drawn against what it was drawn from
    t = np.asarray(found, float) / deviation
    log_survival = stats.norm.logsf(a + t) - stats.norm.logsf(a)
    if a > 20:  # where that difference is lost in the rounding of logsf
        log_survival = -a * t - t**2 / 2 + np.log1p(-(t / a))
    np.testing.assert_allclose(np.exp(log_survival), uniform, atol=2e-3)


def test_binder_is_undefined_only_where_the_overlap_never_leaves_zero():
    series = jnp.ones((2, len(model.SERIES), 2, 2)).at[:, 0, 1].set(0.0)
    system = canonical(SMALL, sweeps=2, annealing=(1.0,), copies=2)
    state = model.State(jax.random.key(0), None, None, None, series)
    binder = model.observe(system, state, {})["binder"]
    assert binder[0, 0] == pytest.approx(2 / 3)
    assert np.isnan(binder[1, 0])
    assert RBM.card.observable("binder").undefined


def test_starts_disagree_where_energies_do():
    rng = np.random.default_rng(3)
    energy = rng.normal(size=(2, 3, 100, 8))
    energy[1, 2] += 2.0
    energy[:, 1] = -1.0  # nothing moves, nowhere
    assert list(agreement(jnp.asarray(energy, jnp.float32))) == [1.0, 1.0, 0.0]


def test_points_share_patterns_and_no_noise():
    key = jax.random.key(3)
    systems = [canonical(SMALL, prior="relu", temperature=t) for t in (0.5, 1.5)]
    first, second = (patterns(s, key) for s in systems)
    np.testing.assert_array_equal(first, second)
    assert set(np.unique(first)) == {-1.0, 1.0}
    begun = [np.asarray(model.begin(s, key, {}).spins) for s in systems]
    np.testing.assert_array_equal(begun[0][1], begun[1][1])  # the pattern itself
    assert (begun[0][0] != begun[1][0]).any()
    seeds = np.concatenate([model._noise(s, key, name) for s in systems for name in ("a", "b")])
    assert len(np.unique(seeds, axis=0)) == len(seeds)


def test_a_larger_load_adds_patterns_to_those_that_are_there():
    key = jax.random.key(3)
    few, many = (canonical(SMALL, spins=100, patterns=p) for p in (70, 130))
    np.testing.assert_array_equal(patterns(few, key), patterns(many, key)[:70])


def test_one_program_serves_all_loads_and_temperatures():
    grid = {"load": [0.1, 0.7, 2.0], "temperature": [0.2, 1.0], "threshold": [0.0, 0.3]}
    study = Study(system=canonical(RBM.tiny(), scaling=0.0), grid=grid)
    assert len({template(system) for system in study.systems()}) == 1


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"load": 0.009}, "less than one pattern"),
        ({"load": 0.0}, r"expected a number in \(0, 2\]"),
        ({"temperature": 0.0}, r"expected a number in \(0, inf\)"),
        ({"temperature": -1.0}, r"expected a number in \(0, inf\)"),
        ({"patterns": 201}, "at most 200"),
        ({"annealing": (2.0, 1.0, 1.5, 1.2)}, "not monotonic within a leg"),
        ({"annealing": (1.0, 1.0)}, "not monotonic within a leg"),
        ({"annealing": (1.0, 2.0, 1.0, 2.0)}, "not monotonic within a leg"),
        ({"annealing": (1.0, 0.0)}, "expected a number"),
        ({"prior": "spherical"}, "gaussian"),
        ({"start": (0.5, 1.5)}, "expected a number"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        canonical(RBM(), **changes)


@pytest.mark.parametrize(
    "annealing", [(2.0, 1.0, 0.5), (0.5, 1.0), (2.0, 0.5, 2.0), (1.0, 3.0, 1.0), (1.0,)]
)
def test_a_leg_or_two_are_a_schedule(annealing):
    assert canonical(RBM(), annealing=annealing).annealing == annealing


def test_uniform_numbers_are_never_zero_nor_one():
    ends = np.asarray(model._uniform(jnp.asarray([0, 2**32 - 1], jnp.uint32)))
    assert 0 < ends[0] < 1e-6
    assert 1 - 1e-6 < ends[1] < 1


def test_where_retrieval_cannot_be_is_a_note_and_no_error():
    def notes(**changes):
        return canonical(RBM(), **changes).notes()

    for prior in ("binary", "zero_one", "ternary"):
        assert "cannot retrieve at scaling = 0.5" in notes(prior=prior)[0]
        assert "silent" in notes(prior=prior, scaling=0.0)[0]
        rest = -1.0 if prior == "binary" else 0.0
        assert not notes(prior=prior, scaling=0.0, threshold=0.3, bias=rest)
        assert "less than 1" in notes(prior=prior, scaling=0.0, threshold=1.0, bias=rest)[0]
    for prior in ("gaussian", "relu"):
        assert not notes(prior=prior)
