"""One realization: a full-batch training with AdamW, and looks at accuracies and representation.

Training samples come in blocks of `BLOCK`, as many as hold some: their number is data, not shape,
and activations stay in cache.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import dense, fit, samples
from criticality.nn.recorders import Recorder, first_passage, never
from criticality.nn.streams import stream
from criticality.systems.grokking.network import GrokkingNetwork
from criticality.systems.grokking.tables import table
from criticality.systems.grokking.theory import FREE

BLOCK = 64  # samples that are trained on together
NEAR = 0.01  # mean square of the difference of two inputs that are the same, of variance 1
FORMED = 0.95  # RQI of a representation that is formed
HEAD = 0.1  # share of the principal directions that lead
NULL = 1e-5  # of the largest eigenvalue: below it one is zero
PASSES = 3  # accuracies of training and test, and RQI


class Params(NamedTuple):
    """What is trained.

    Attributes
    ----------
    embeddings
        float32 [p, d_E].
    decoder
        Layers ((weights [out, in], biases [out]), ...).
    """

    embeddings: jax.Array
    decoder: dense.Params


Now = tuple[Params, tuple[fit.Moments, fit.Moments]]


class State(NamedTuple):
    """State of one training.

    Attributes
    ----------
    key
        Root key.
    order
        int32 [samples]: random order of the table; the first are trained on.
    params, moments
        Now; moments of embeddings and decoder apart.
    step
        int32 scalar: optimiser steps done.
    passed
        float32 [3]: first passages of training accuracy, test accuracy and RQI.
    curves
        float32 [times, 3]: the same quantities.
    """

    key: jax.Array
    order: jax.Array
    params: Params
    moments: tuple[fit.Moments, fit.Moments]
    step: jax.Array
    passed: jax.Array
    curves: jax.Array


def begin(system: GrokkingNetwork, key: jax.Array, data: object) -> State:
    """Initialise embeddings and decoder, and draw the training set."""
    shape, scale = (system.p, system.embedding_dimension), system.embedding_scale
    embeddings = jax.random.uniform(stream(key, "embeddings"), shape, minval=-1.0) * scale
    sizes = [system.embedding_dimension, *[system.width] * system.depth, _outputs(system)]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    decoder = dense.initialize(stream(key, "decoder"), shapes, scheme="standard")
    params = Params(embeddings, decoder)
    order = samples.order(stream(key, "split"), system.samples)
    recorder, seen = Recorder(system.time), _sight(system, order, targets(system, key), params)
    return State(
        key,
        order,
        params,
        (fit.Moments.none(embeddings), fit.Moments.none(decoder)),
        jnp.int32(0),
        never((PASSES,)),
        recorder.record(recorder.empty(seen.passes), 0, seen.passes),
    )


def advance(system: GrokkingNetwork, state: State, data: object) -> State:
    """Train until the next look, and look."""
    recorder = Recorder(system.time)
    recorded = jnp.min(jnp.where(recorder.steps > state.step, recorder.steps, system.steps))
    looked = (state.step // system.every + 1) * system.every
    last = jnp.minimum(jnp.minimum(recorded, looked), system.steps)
    goals = targets(system, state.key)

    def update(step: jax.Array, now: Now) -> Now:
        params, (of_embeddings, of_decoder) = now
        slope = _gradient(system, state.order, goals, params)
        embeddings, of_embeddings = fit.adamw(
            params.embeddings,
            of_embeddings,
            slope.embeddings,
            system.embedding_rate,
            system.embedding_decay,
            step,
        )
        decoder, of_decoder = fit.adamw(
            params.decoder,
            of_decoder,
            slope.decoder,
            system.decoder_rate,
            system.decoder_decay,
            step,
        )
        return Params(embeddings, decoder), (of_embeddings, of_decoder)

    params, moments = jax.lax.fori_loop(state.step, last, update, (state.params, state.moments))
    sight = _sight(system, state.order, goals, params)
    passing = sight.passes >= jnp.stack([system.passing, system.passing, FORMED])
    ends = (last == looked) | (last == system.steps)
    return state._replace(
        params=params,
        moments=moments,
        step=last,
        passed=first_passage(state.passed, last, passing & ends),
        curves=recorder.record(state.curves, last, sight.passes),
    )


def finished(system: GrokkingNetwork, state: State) -> jax.Array:
    """Whether the budget is spent."""
    return state.step >= system.steps


def observe(system: GrokkingNetwork, state: State, data: object) -> dict[str, jax.Array]:
    """Give the times, and what network and representation are at the end."""
    sight = _sight(system, state.order, targets(system, state.key), state.params)
    t_train, t_test, t_rqi = state.passed
    null, rate = _forced(system, state.order)
    diverged = ~jnp.isfinite(sight.train_loss)  # in no phase, and told as not finite
    train_curve, test_curve, rqi_curve = state.curves.T
    return {
        "generalized": jnp.where(diverged, jnp.nan, jnp.isfinite(t_test)),
        "learned": jnp.where(diverged, jnp.nan, jnp.isfinite(t_train)),
        "t_train": t_train,
        "t_test": t_test,
        "t_rqi": t_rqi,
        "lag": jnp.where(jnp.isfinite(t_train), t_test - t_train, jnp.nan),
        "rqi": sight.rqi,
        "accuracy": sight.test_accuracy,
        "total_accuracy": sight.accuracy,
        "predicted_accuracy": sight.predicted,
        "train_loss": sight.train_loss,
        "test_loss": sight.test_loss,
        "contrast": _contrast(system, state),
        "null_dimension": null,
        "predicted_steps": 1 / (rate * system.embedding_rate),
        "train_curve": train_curve,
        "test_curve": test_curve,
        "rqi_curve": rqi_curve,
    }


# --- the network -----------------------------------------------------------------------------


def _count(system: GrokkingNetwork) -> jax.Array:
    """Count the training samples, int32 scalar."""
    return jnp.rint(system.fraction * system.samples).astype(jnp.int32)


def _outputs(system: GrokkingNetwork) -> int:
    if system.loss == "regression":
        return system.targets
    return table(system.task, system.p).classes


def targets(system: GrokkingNetwork, key: jax.Array) -> jax.Array:
    """Random target vectors of all answers, float32 [classes, targets]."""
    shape = (table(system.task, system.p).classes, system.targets)
    return jax.random.normal(stream(key, "targets"), shape)


def _inputs(system: GrokkingNetwork, embeddings: jax.Array, sample: jax.Array) -> jax.Array:
    """Combine embeddings to what the decoder sees of samples [S]: float32 [d_E, S]."""
    first, second = jnp.asarray(table(system.task, system.p).pairs)[sample].T
    if system.task != "permutations":
        return (embeddings[first] + embeddings[second]).T
    side = math.isqrt(system.embedding_dimension)
    matrices = embeddings.reshape(-1, side, side)
    product = jnp.einsum(
        "sab,sbc->sac", matrices[first], matrices[second], precision=jax.lax.Precision.HIGHEST
    )
    return product.reshape(len(sample), -1).T


def _hidden(decoder: dense.Params, x: jax.Array) -> jax.Array:
    """Activations of the last hidden layer [W, S], of inputs [d_E, S]."""
    for w, b in decoder[:-1]:
        x = jnp.tanh(dense.from_units(w, x, "float32") + b[:, None])
    return x


def _losses(
    system: GrokkingNetwork, goals: jax.Array, params: Params, sample: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Loss of each sample [S], and whether it is read right, bool [S]; what is NaN is not."""
    h = _hidden(params.decoder, _inputs(system, params.embeddings, sample))
    w, b = params.decoder[-1]
    out = dense.from_units(w, h, "float32") + b[:, None]
    answers = jnp.asarray(table(system.task, system.p).answers)[sample]
    if system.loss == "classification":
        at_answer = jnp.take_along_axis(out, answers[None], axis=0)[0]
        loss = jax.nn.logsumexp(out, axis=0) - at_answer
        return loss, (jnp.argmax(out, axis=0) == answers) & jnp.isfinite(loss)
    near = jnp.sum(goals**2, axis=1)[:, None] - 2 * dense.from_units(goals, out, "float32")
    loss = jnp.mean((out - goals[answers].T) ** 2, axis=0)
    return loss, (jnp.argmin(near, axis=0) == answers) & jnp.isfinite(loss)


def _gradient(
    system: GrokkingNetwork, order: jax.Array, goals: jax.Array, params: Params
) -> Params:
    """Gradient of the mean loss of the training samples."""
    count = _count(system)
    size = min(BLOCK, system.samples)
    blocks = -(-system.samples // size)

    def of_block(block: jax.Array) -> Params:
        slot = block * size + jnp.arange(size, dtype=jnp.int32)
        used = slot < count
        sample = order[jnp.minimum(slot, system.samples - 1)]

        def mean(params: Params) -> jax.Array:
            loss, _ = _losses(system, goals, params, sample)
            return jnp.sum(jnp.where(used, loss, 0)) / count

        found: Params = jax.grad(mean)(params)
        return found

    def add(block: jax.Array, total: Params) -> Params:
        more: Params = jax.tree.map(jnp.add, total, of_block(block))
        return more

    if blocks == 1:
        return of_block(jnp.int32(0))
    total: Params = jax.lax.fori_loop(1, (count + size - 1) // size, add, of_block(jnp.int32(0)))
    return total


# --- what is looked at -----------------------------------------------------------------------


class Sight(NamedTuple):
    """Scalars of one look; `accuracy` and `predicted` are of all samples."""

    train_accuracy: jax.Array
    test_accuracy: jax.Array
    accuracy: jax.Array
    predicted: jax.Array
    rqi: jax.Array
    train_loss: jax.Array
    test_loss: jax.Array

    @property
    def passes(self) -> jax.Array:
        """What has first passages and curves, [3]."""
        return jnp.stack([self.train_accuracy, self.test_accuracy, self.rqi])


def _sight(system: GrokkingNetwork, order: jax.Array, goals: jax.Array, params: Params) -> Sight:
    many, count = system.samples, _count(system)
    slots, _ = samples.chunks(many)
    loss, right = jax.lax.map(lambda sample: _losses(system, goals, params, sample), slots)
    loss, right = loss.reshape(-1)[:many], right.reshape(-1)[:many]
    trained = _trained(order, count)

    def parts(values: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        train, total = jnp.sum(jnp.where(trained, values, 0)), jnp.sum(values)
        return train / count, (total - train) / (many - count), total / many

    of_train, of_test, of_all = parts(right.astype(jnp.float32))
    train_loss = jnp.sum(jnp.where(trained, loss, 0)) / count
    test_loss = jnp.sum(jnp.where(trained, 0, loss)) / (many - count)
    first, second = table(system.task, system.p).matches().T
    near = _near(system, params.embeddings)
    linked = trained.at[first].max(near & trained[second])
    linked = linked.at[second].max(near & trained[first])
    return Sight(
        of_train,
        of_test,
        of_all,
        jnp.sum(linked) / many,
        jnp.sum(near) / len(first),
        train_loss,
        test_loss,
    )


def _trained(order: jax.Array, count: jax.Array) -> jax.Array:
    """Whether each sample of the table is trained on, bool [samples]."""
    many = len(order)
    return jnp.zeros(many, bool).at[order].set(jnp.arange(many) < count)


def _near(system: GrokkingNetwork, embeddings: jax.Array) -> jax.Array:
    """Whether the inputs of each pair of samples with the same answer are the same, bool [Q].

    Embeddings are standardised by their mean vector and one deviation for all dimensions, so that
    nothing depends on how they are rotated; of permutations the inputs, by their root mean square.
    """
    additive = system.task != "permutations"
    if additive:
        centred = embeddings - embeddings.mean(axis=0)
        embeddings = centred / jnp.sqrt(jnp.mean(centred**2))
    x = _inputs(system, embeddings, jnp.arange(system.samples))
    if not additive:
        x = x / jnp.sqrt(jnp.mean(x**2))
    first, second = table(system.task, system.p).matches().T
    return jnp.mean((x[:, first] - x[:, second]) ** 2, axis=0) < NEAR


def _contrast(system: GrokkingNetwork, state: State) -> jax.Array:
    """Variance in the leading directions of the last hidden layer less that in the others."""
    held = ~_trained(state.order, _count(system))

    def moments(sample: jax.Array, used: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = _inputs(system, state.params.embeddings, sample)
        h = jnp.where(used & held[sample], _hidden(state.params.decoder, x), 0)
        return h.sum(axis=1), dense.product(h, h, (1, 1), "float32")

    total, square = samples.total(moments, system.samples)
    many = system.samples - _count(system)
    covariance = square / many - jnp.outer(total, total) / many**2
    values = jnp.maximum(jnp.linalg.eigvalsh(covariance), 0)
    head = values[-math.ceil(HEAD * system.width) :].sum()
    return 2 * head / values.sum() - 1  # NaN of one test sample: no variance


def _forced(system: GrokkingNetwork, order: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give n_0 = p - rank A and the slowest rate lambda_3 of the effective theory.

    `theory.laplacian` says how A^T A is summed.  A whole modular table leaves no line free, only
    one point for all symbols: lambda_3 is then no rate of a representation, and NaN.
    """
    if system.task == "permutations":
        return jnp.float32(jnp.nan), jnp.float32(jnp.nan)
    whole = table(system.task, system.p)
    first, second = whole.pairs.T
    rows = jnp.arange(system.samples)
    trained = _trained(order, _count(system)).astype(jnp.float32)
    vectors = jnp.zeros((system.samples, system.p)).at[rows, first].add(1).at[rows, second].add(1)
    vectors = vectors * trained[:, None]
    of_answer = jnp.zeros((whole.classes, system.p)).at[whole.answers].add(vectors)
    number = jnp.zeros(whole.classes).at[whole.answers].add(trained)
    weighted = vectors * number[whole.answers][:, None]
    matrix = dense.product(weighted, vectors, (0, 0), "float32") - dense.product(
        of_answer, of_answer, (0, 0), "float32"
    )
    values = jnp.linalg.eigvalsh(matrix)
    zero = values <= NULL * jnp.maximum(values[-1], 1)
    realized = jnp.sum(number * (number - 1)) / 2
    null = jnp.sum(zero).astype(jnp.float32)
    if system.task == "modular":
        return null, jnp.float32(jnp.nan)
    slowest = jnp.where(zero[FREE], 0, values[FREE])
    return null, 2 * slowest / (system.p * jnp.maximum(realized, 1))
