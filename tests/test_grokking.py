"""Grokking: the table, the training, first passages, the representation."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from criticality import Study, phase_diagram, run
from criticality.base import InputError, Task, canonical
from criticality.engine import ensemble
from criticality.engine.templates import split
from criticality.nn import fit
from criticality.systems import GrokkingNetwork
from criticality.systems.grokking import model, tables, theory

SMALL = canonical(
    GrokkingNetwork(),
    p=10,
    width=30,
    embedding_dimension=2,
    targets=4,
    steps=200,
    every=1,
    time=list(range(1, 201)),
)


@functools.cache
def compiled(function, form):
    """One program for all values of the controls that are traced."""
    return jax.jit(lambda traced, *rest: function(dataclasses.replace(form, **traced), *rest))


def call(function, system, *rest):
    form, traced = split(system)
    return compiled(function, form)(traced, *rest)


def gradient(system, *rest):
    return call(model._gradient, system, *rest)


def targets(system, key):
    return call(model.targets, system, key)


def begun(system, seed=0):
    key = jax.random.key(seed, impl="threefry2x32")
    return call(model.begin, system, key, None)


def trained(system, seed=0):
    task = Task(system=system, seed=seed, realization=0, checksum="")
    return ensemble.realize([task], {})[0]


def training_set(system, state):
    count = round(system.fraction * system.samples)
    return np.asarray(state.order)[:count]


# --- tables ----------------------------------------------------------------------------------


def test_sums_and_their_pairs():
    table = tables.table("addition", 7)
    every = {(i, j): i + j for i in range(7) for j in range(i, 7)}
    found = dict(zip(map(tuple, table.pairs.tolist()), table.answers.tolist(), strict=True))
    assert found == every
    assert table.classes == len(set(every.values()))


@pytest.mark.parametrize(("task", "p"), [("addition", 5), ("modular", 6), ("permutations", 6)])
def test_matches_are_all_pairs_of_samples_with_one_answer(task, p):
    table = tables.table(task, p)
    same = {
        (a, b)
        for a, b in itertools.combinations(range(len(table.answers)), 2)
        if table.answers[a] == table.answers[b]
    }
    found = [tuple(sorted(pair)) for pair in table.matches().tolist()]
    assert len(found) == len(same)
    assert set(found) == same


def test_permutations_are_a_group_that_does_not_commute():
    square = tables.table("permutations", 6).answers.reshape(6, 6)
    for line in (*square, *square.T):
        assert sorted(line) == list(range(6))
    a, b, c = np.indices((6, 6, 6)).reshape(3, -1)
    assert_array_equal(square[square[a, b], c], square[a, square[b, c]])
    assert (square != square.T).any()


# --- training --------------------------------------------------------------------------------


def plain_gradient(system, embeddings, layers, pairs, targets):
    """Loss and gradients of sums under regression, written out, float64."""
    activations = [embeddings[pairs[:, 0]] + embeddings[pairs[:, 1]]]
    for number, (w, b) in enumerate(layers):
        z = activations[-1] @ w.T + b
        activations.append(np.tanh(z) if number < len(layers) - 1 else z)
    error = activations[-1] - targets
    delta = 2 * error / error.size
    slopes = []
    for number in reversed(range(len(layers))):
        w, _ = layers[number]
        slopes.insert(0, (delta.T @ activations[number], delta.sum(axis=0)))
        delta = delta @ w
        if number:
            delta = delta * (1 - activations[number] ** 2)
    of_embeddings = np.zeros_like(embeddings)
    for (i, j), row in zip(pairs, delta, strict=True):
        of_embeddings[i] += row
        of_embeddings[j] += row
    return np.mean(error**2), of_embeddings, slopes


def plain_adamw(value, slope, moments, rate, decay, step):
    first, second = moments
    first[...] = 0.9 * first + 0.1 * slope
    second[...] = 0.999 * second + 0.001 * slope**2
    value *= 1 - rate * decay
    mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
    value -= rate * mean / (np.sqrt(square) + 1e-8)


def test_training_is_adamw_written_out_in_plain_numpy():
    system = dataclasses.replace(
        SMALL,
        embedding_rate=2e-3,
        decoder_rate=5e-3,
        embedding_decay=3.0,
        decoder_decay=7.0,
        fraction=0.6,
    )
    state = begun(system)
    copied = jax.tree.map(lambda x: np.array(x, np.float64), state.params)
    embeddings, layers = copied.embeddings, copied.decoder
    table = tables.table("addition", 10)
    chosen = training_set(system, state)
    goals = np.asarray(targets(system, state.key), np.float64)[table.answers[chosen]]
    values = [embeddings, *[x for layer in layers for x in layer]]
    moments = [(np.zeros_like(x), np.zeros_like(x)) for x in values]
    for step in range(1, 31):
        loss, of_embeddings, slopes = plain_gradient(
            system, embeddings, layers, table.pairs[chosen], goals
        )
        every = [of_embeddings, *[x for layer in slopes for x in layer]]
        for number, (value, slope, kept) in enumerate(zip(values, every, moments, strict=True)):
            rate, decay = (5e-3, 7.0) if number else (2e-3, 3.0)
            plain_adamw(value, slope, kept, rate, decay, step)
        state = call(model.advance, system, state, None)
    assert int(state.step) == 30
    ours = jax.tree.leaves(state.params)
    for mine, theirs in zip(ours, values, strict=True):
        assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5)
    found = sight_of(system, state.params.embeddings, state).train_loss
    loss, _, _ = plain_gradient(system, embeddings, layers, table.pairs[chosen], goals)
    assert float(found) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    "about",
    [
        {"task": "modular", "loss": "classification"},
        {"task": "permutations", "p": 6, "embedding_dimension": 4},
    ],
)
def test_the_gradient_is_that_of_the_training_loss(about):
    system = dataclasses.replace(SMALL, fraction=0.5, **about)
    state = begun(system)
    goals = targets(system, state.key)
    slope = gradient(system, state.order, goals, state.params)
    direction = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(x.size), x.shape), state.params
    )

    def loss(distance):
        moved = jax.tree.map(lambda x, d: x + distance * d, state.params, direction)
        return float(call(model._sight, system, state.order, goals, moved).train_loss)

    step = 1e-2
    numeric = (loss(step) - loss(-step)) / (2 * step)
    along = sum(
        float(jnp.vdot(a, b))
        for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(direction), strict=True)
    )
    assert along == pytest.approx(numeric, rel=1e-2)


def test_blocks_of_samples_change_nothing(monkeypatch):
    system = dataclasses.replace(SMALL, p=11, fraction=0.7)
    state = begun(system)
    goals = targets(system, state.key)
    slopes = []
    for size in (16, 1000):
        monkeypatch.setattr(model, "BLOCK", size)
        slopes.append(
            jax.tree.leaves(
                jax.jit(model._gradient, static_argnums=0)(system, state.order, goals, state.params)
            )
        )
    for other in slopes[1:]:
        for a, b in zip(slopes[0], other, strict=True):
            assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_what_is_tested_is_not_trained_on():
    system = dataclasses.replace(SMALL, fraction=0.5)
    state = begun(system)
    goals = targets(system, state.key)
    count = len(training_set(system, state))
    shuffled = jnp.concatenate([state.order[:count][::-1], state.order[count:][::-1]])
    exchanged = state.order.at[count - 1].set(state.order[count])
    slope, same, other = (
        gradient(system, order, goals, state.params) for order in (state.order, shuffled, exchanged)
    )
    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-4, atol=1e-7), slope, same)
    assert not np.allclose(slope.embeddings, other.embeddings, rtol=1e-2)


def test_weight_decay_alone_shrinks_geometrically():
    value = {"w": jnp.array([3.0, -2.0])}
    zero = fit.Moments.none(value)
    now, moments = value, zero
    for step in range(10):
        now, moments = fit.adamw(
            now, moments, jax.tree.map(jnp.zeros_like, value), 0.1, 0.5, jnp.int32(step)
        )
    assert_allclose(now["w"], value["w"] * 0.95**10, rtol=1e-5)


# --- what is seen ----------------------------------------------------------------------------


def test_first_passages_are_those_of_the_curves():
    time = np.arange(1, 201)
    system = dataclasses.replace(SMALL, decoder_rate=1e-2, passing=0.2)
    out = trained(system, seed=4)
    for every in (1, 7):
        seen = trained(dataclasses.replace(system, every=every), seed=4)
        for name in ("train", "test"):
            assert_array_equal(seen[f"{name}_curve"], out[f"{name}_curve"])
            looked = (time % every == 0) | (time == 200)
            passing = time[looked & (out[f"{name}_curve"] >= np.float32(0.2))]
            assert seen[f"t_{name}"] == (passing[0] if len(passing) else np.inf)
    assert out["t_train"] < 190
    assert out["lag"] == out["t_test"] - out["t_train"]


def test_a_lag_is_known_of_what_was_learned():
    nothing = trained(dataclasses.replace(SMALL, decoder_rate=0.0, embedding_rate=0.0))
    assert nothing["learned"] == nothing["generalized"] == 0
    assert nothing["t_train"] == nothing["t_test"] == np.inf
    assert np.isnan(nothing["lag"])
    assert_array_equal(nothing["train_curve"], nothing["train_curve"][0])


@pytest.mark.parametrize("loss", ["regression", "classification"])
def test_what_has_diverged_reads_nothing_right(loss):
    system = dataclasses.replace(SMALL, loss=loss)
    state = begun(system)
    seen = sight_of(system, np.full(state.params.embeddings.shape, np.nan), state)
    assert float(seen.accuracy) == float(seen.train_accuracy) == float(seen.test_accuracy) == 0
    assert float(seen.rqi) == 0


def sight_of(system, embeddings, state):
    params = state.params._replace(embeddings=jnp.asarray(embeddings, jnp.float32))
    return call(model._sight, system, state.order, targets(system, state.key), params)


def test_a_line_of_embeddings_is_a_perfect_representation():
    system = dataclasses.replace(SMALL, fraction=0.6)
    state = begun(system)
    line = np.array([0.3, -2.0]) + np.arange(10)[:, None] * np.array([0.01, 0.02])
    seen = sight_of(system, line, state)
    assert float(seen.rqi) == 1
    table, chosen = tables.table("addition", 10), training_set(system, state)
    answered = np.isin(table.answers, table.answers[chosen])
    assert float(seen.predicted) == pytest.approx(answered.mean())
    bent = line + 0.05 * np.arange(10)[:, None] ** 2 * np.array([0.01, -0.01])
    assert float(sight_of(system, bent, state).rqi) < 0.9


def test_representation_counted_one_by_one_and_blind_to_scale_place_and_rotation():
    system = dataclasses.replace(SMALL, fraction=0.4)
    state = begun(system)
    rng = np.random.default_rng(1)
    steps = np.arange(10)[:, None] * np.array([1.0, 0.5])
    embeddings = steps + 0.15 * rng.standard_normal((10, 2))
    centred = embeddings - embeddings.mean(axis=0)
    centred /= np.sqrt((centred**2).mean())
    table, chosen = tables.table("addition", 10), training_set(system, state)
    inputs = centred[table.pairs[:, 0]] + centred[table.pairs[:, 1]]
    pairs = [
        (a, b)
        for a, b in itertools.combinations(range(55), 2)
        if table.answers[a] == table.answers[b]
    ]
    near = [(a, b) for a, b in pairs if ((inputs[a] - inputs[b]) ** 2).mean() < 0.01]
    linked = set(chosen)
    for a, b in near:
        linked |= {b} if a in chosen else set()
        linked |= {a} if b in chosen else set()
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    for shown in (embeddings, 7 * embeddings @ turn + 3):
        seen = sight_of(system, shown, state)
        assert float(seen.rqi) == pytest.approx(len(near) / len(pairs))
        assert float(seen.predicted) == pytest.approx(len(linked) / 55)
    assert 0.1 < len(near) / len(pairs) < 0.9


@pytest.mark.parametrize("p", [10, 40])
def test_the_dimension_left_free_is_that_of_the_theory(p):
    table, found = tables.table("addition", p), set()

    @jax.jit
    def ours(fraction, key):
        system = dataclasses.replace(SMALL, p=p, fraction=fraction)
        order = model.begin(system, key, None).order
        return order, *model._forced(system, order)

    for seed in range(12):
        fraction = 0.2 + 0.05 * seed if p < 20 else 0.05 + 0.02 * seed
        order, null, rate = ours(fraction, jax.random.key(seed, impl="threefry2x32"))
        count = round(fraction * len(table.pairs))
        chosen = table.pairs[np.asarray(order)[:count]].astype(np.int64)
        expected, slowest, _ = theory._described(chosen, len(chosen), p)
        assert float(null) == expected
        assert float(rate) == pytest.approx(slowest, rel=1e-3)
        found.add(float(null))
    assert len(found) > 2


@pytest.mark.parametrize("p", [5, 8])
def test_a_modular_table_leaves_one_point_free_and_has_no_rate(p):
    system = dataclasses.replace(SMALL, task="modular", p=p, fraction=1.0)
    null, rate = model._forced(system, jnp.arange(system.samples))
    table = tables.table("modular", p)
    samples = np.eye(p)[table.pairs].sum(axis=1)
    one, other = table.matches().T
    assert float(null) == p - np.linalg.matrix_rank(samples[one] - samples[other]) == 1
    assert np.isnan(rate)


def test_spectral_contrast_of_known_variances():
    system = dataclasses.replace(SMALL, p=12, width=20, depth=1, embedding_dimension=20)
    state = begun(system)
    decoder = ((jnp.eye(20), jnp.zeros(20)), state.params.decoder[1])
    rng = np.random.default_rng(0)
    small = 1e-3 * rng.standard_normal((12, 20))  # where tanh is the identity
    small[:, :2] *= 100.0  # two of twenty directions lead
    params = model.Params(jnp.asarray(small, jnp.float32), decoder)
    contrast = float(call(model._contrast, system, state._replace(params=params)))
    table = tables.table("addition", 12)
    held = np.setdiff1d(np.arange(system.samples), training_set(system, state))
    hidden = np.tanh(small[table.pairs[held, 0]] + small[table.pairs[held, 1]])
    values = np.linalg.eigvalsh(np.cov(hidden.T))
    assert contrast == pytest.approx(2 * values[-2:].sum() / values.sum() - 1, abs=1e-3)
    assert contrast > 0.99


# --- a study ---------------------------------------------------------------------------------


def test_too_much_decay_confuses_and_a_fast_decoder_memorizes(tmp_path):
    system = canonical(
        GrokkingNetwork(), width=40, decoder_rate=3e-4, decoder_decay=0.0, steps=3000, time=[3000]
    )
    grid = {"decoder_rate": (3e-4, 1e-2), "decoder_decay": (0.0, 100.0)}
    study = Study(system=system, grid=grid, realizations=6)
    ds = run(study, tmp_path / "store", workers=1)
    diagram = phase_diagram(ds)
    likely = diagram.cells["likely"]
    for decay, rate, name in ((100.0, 3e-4, "confusion"), (0.0, 1e-2, "memorization")):
        code = int(likely.sel(decoder_decay=decay, decoder_rate=rate))
        assert diagram.phase(code).name == name
    every = [*(phase.name for phase in diagram.phases), "unresolved"]
    total = sum(diagram.cells[f"probability_{name}"] for name in every)
    assert_allclose(total, 1)


def test_phases_are_those_of_single_realizations():
    lags = [999.0, -50.0, 1000.0, np.inf, np.nan, np.nan]
    learned = [1.0, 1.0, 1.0, 1.0, 0.0, np.nan]  # the last one diverged
    at = {"decoder_rate": [1.0], "decoder_decay": [0.0], "realization": range(6)}
    told = {o.name: (tuple(at), np.ones((1, 1, 6))) for o in GrokkingNetwork.card.observables}
    ds = xr.Dataset(told, at).assign(
        lag=(tuple(at), [[lags]]),
        learned=(tuple(at), [[learned]]),
        generalized=(tuple(at), [[[1.0, 1.0, 1.0, 0.0, 0.0, np.nan]]]),
    )
    cells = phase_diagram(ds, GrokkingNetwork).cells
    found = {p.name: cells[f"probability_{p.name}"].item() for p in GrokkingNetwork.card.phases}
    assert found == pytest.approx(
        {"comprehension": 2 / 6, "grokking": 1 / 6, "memorization": 1 / 6, "confusion": 1 / 6}
    )


def test_a_network_that_diverged_is_in_no_phase():
    out = trained(dataclasses.replace(SMALL, decoder_rate=1.0, decoder_decay=1000.0))
    assert not np.isfinite(out["train_loss"])
    assert np.isnan([out["learned"], out["generalized"]]).all()


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"task": "permutations", "p": 7}, "S_3"),
        ({"task": "permutations", "p": 6, "embedding_dimension": 8}, "square"),
        ({"p": 3, "fraction": 0.01}, "nothing to train"),
        ({"p": 3, "fraction": 0.99}, "nothing to test"),
    ],
)
def test_bad_input(about, said):
    with pytest.raises(InputError, match=said):
        canonical(GrokkingNetwork(), **about)
