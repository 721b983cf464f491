"""Gradient flow of three layers by adaptive steps that never form the gradient of the middle one.

f(x) = kappa a . relu(W2 relu(W1 x)), loss = mean of (f - target)^2 / 2.  Of n samples the gradient
of W2 is a sum of n dyads, delta h^T, so that W2 at a stage of a step acts on a vector as W2 plus
dyads of the stages before.  An evaluation reads W2 twice; an accepted step rewrites it once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.systems.three_layer.model.chebyshev import tableau

METHOD = tableau(5)
ROWS = 64  # of W2 that are rewritten together: they stay in cache
SAFETY, LEAST, MOST = 0.9, 0.1, 5.0  # of the next step over this one
CLOSE = 0.1  # tolerances of the loss at the end
CAUTIOUS = 0.01  # first step, over the time in which the loss or a layer changes by itself


class Layers(NamedTuple):
    """Weights, all of unit variance at the start: W1 [m, d], W2 [m, m], a [m]."""

    first: jax.Array
    second: jax.Array
    third: jax.Array


class Task(NamedTuple):
    """What is flowed down.

    Attributes
    ----------
    x, target
        [n, d] and [n]: samples.
    scale
        kappa.
    rates
        [3]: of the layers, d theta / dt = - rate dL / d theta.
    goal
        Loss at which the flow ends.
    tolerance
        Local error of a layer in a step, over the length of its path so far.
    """

    x: jax.Array
    target: jax.Array
    scale: jax.Array
    rates: jax.Array
    goal: jax.Array
    tolerance: jax.Array


class Slope(NamedTuple):
    """Network and gradient at one point: dL/dW1 = back_1^T x, dL/dW2 = back_2^T hidden.

    Attributes
    ----------
    back_1, hidden, back_2
        [n, m].
    third
        [m]: dL/da.
    loss
        Mean of (f - target)^2 / 2.
    """

    back_1: jax.Array
    hidden: jax.Array
    back_2: jax.Array
    third: jax.Array
    loss: jax.Array


class Flow(NamedTuple):
    """State of a flow.

    Attributes
    ----------
    layers, slope
        Where it is.
    time, step
        And how long a step is tried next.
    path
        [3]: length of the way of each layer.
    attempts, steps
        Steps that were tried, and that were accepted.
    """

    layers: Layers
    slope: Slope
    time: jax.Array
    step: jax.Array
    path: jax.Array
    attempts: jax.Array
    steps: jax.Array


def outputs(layers: Layers, x: jax.Array, scale: jax.Array) -> jax.Array:
    """F at samples x [n, d]."""
    hidden = jax.nn.relu(x @ layers.first.T)
    return scale * (jax.nn.relu(_forward(layers.second, hidden)) @ layers.third)


def begin(layers: Layers, task: Task) -> Flow:
    """Start of the flow, with a first step that is too short rather than too long."""
    none = jnp.zeros((METHOD.count + 1, *task.x.shape[:1], len(layers.third)))
    slope = _slope(layers, task, _Stages(none, none, none, none[:, 0]), jnp.zeros(len(none)))
    force = jnp.sqrt(jnp.stack([gram[0, 0] for gram in _grams(task, _first(slope))]))
    norms = jnp.stack([jnp.linalg.norm(one) for one in layers])
    falling = jnp.sum(force**2 / task.rates)
    step = CAUTIOUS * jnp.minimum(slope.loss / falling, jnp.min(norms / force))
    zero, none_yet = jnp.zeros(()), jnp.int64(0)
    return Flow(layers, slope, zero, step, jnp.zeros(3), none_yet, none_yet)


def attempt(flow: Flow, task: Task) -> Flow:
    """Try one step; it is taken if its error is small enough and it does not pass the goal by."""
    start = flow.slope
    stages = _first(start)

    def stage(j: jax.Array, carry: tuple[_Stages, Slope]) -> tuple[_Stages, Slope]:
        stages, _ = carry
        weights = flow.step * jnp.asarray(METHOD.stages)[j]
        slope = _slope(flow.layers, task, stages, weights)
        return _with(stages, j, slope), slope

    stages, end = jax.lax.fori_loop(1, METHOD.count + 1, stage, (stages, start))
    moves, errors = (
        flow.step * jnp.sqrt(jnp.stack([jnp.maximum(w @ g @ w, 0) for g in _grams(task, stages)]))
        for w in (jnp.asarray(METHOD.stages[-1]), jnp.asarray(METHOD.error))
    )
    ratio = jnp.max(errors / (task.tolerance * (flow.path + moves)))
    fine = jnp.isfinite(ratio) & jnp.isfinite(end.loss)
    # the last step ends close to the goal: the loss falls exponentially there
    close = CLOSE * task.tolerance
    beyond = end.loss < task.goal * (1 - close)
    aim = jnp.log(start.loss / (task.goal * (1 - close / 2)))
    back = jnp.where(beyond, aim / jnp.log(start.loss / end.loss), 1.0)
    small = ratio <= 1
    taken = fine & small & ~beyond
    # of third order in the step where all is smooth, of first where a unit switches on or off
    factor = jnp.where(small, jnp.minimum(SAFETY * ratio ** (-1 / 3), MOST), SAFETY / ratio)
    factor = jnp.maximum(jnp.where(beyond, jnp.minimum(factor, back), factor), LEAST)
    after = Flow(
        layers=_moved(flow.layers, task, stages, flow.step, taken),
        slope=jax.tree.map(lambda new, old: jnp.where(taken, new, old), end, start),
        time=flow.time + jnp.where(taken, flow.step, 0),
        step=flow.step * jnp.where(fine, factor, LEAST),
        path=flow.path + jnp.where(taken, moves, 0),
        attempts=flow.attempts + 1,
        steps=flow.steps + taken,
    )
    return after


# --- one stage of a step ----------------------------------------------------------------------


class _Stages(NamedTuple):
    """Gradients at the stages of a step, in the parts that `Slope` has: [s + 1, n, m], [s + 1, m].

    Stages that are to come are zero.
    """

    back_1: jax.Array
    hidden: jax.Array
    back_2: jax.Array
    third: jax.Array


def _first(slope: Slope) -> _Stages:
    """Stages of which the first is known."""
    zeros = (jnp.zeros((METHOD.count + 1, *part.shape)) for part in slope[:4])
    return _with(_Stages(*zeros), jnp.int64(0), slope)


def _with(stages: _Stages, j: jax.Array, slope: Slope) -> _Stages:
    return _Stages(*(old.at[j].set(new) for old, new in zip(stages, slope[:4], strict=True)))


def _slope(layers: Layers, task: Task, stages: _Stages, weights: jax.Array) -> Slope:
    """Gradient at the weights of `layers` minus rate sum_i weights_i gradient_i of the stages."""
    n = len(task.x)
    w1, w2, w3 = task.rates[:, None] * weights

    def push(products: jax.Array, coefficients: jax.Array, vectors: jax.Array) -> jax.Array:
        """Sum of coefficients_i products_{n, i n'} vectors_{i n'}: [n, m]."""
        scaled = products * jnp.repeat(coefficients, n)
        moved: jax.Array = scaled @ vectors.reshape(-1, vectors.shape[-1])
        return moved

    every = jnp.tile(task.x @ task.x.T, len(weights))
    z1 = task.x @ layers.first.T - push(every, w1, stages.back_1)
    h1 = jax.nn.relu(z1)
    z2 = _forward(layers.second, h1) - push(_products(h1, stages.hidden), w2, stages.back_2)
    h2 = jax.nn.relu(z2)
    a = layers.third - w3 @ stages.third
    residual = task.scale * (h2 @ a) - task.target
    pull = task.scale * residual / n
    back_2 = jnp.where(z2 > 0, pull[:, None] * a, 0)
    back = back_2 @ layers.second - push(_products(back_2, stages.back_2), w2, stages.hidden)
    return Slope(jnp.where(z1 > 0, back, 0), h1, back_2, pull @ h2, jnp.mean(residual**2) / 2)


def _forward(second: jax.Array, hidden: jax.Array) -> jax.Array:
    """W2 h of every sample [n, m].

    As a product [m, n], which the barrier keeps, XLA reads W2 as fast as memory gives it; the
    transposed product takes ten times as long.
    """
    product = jax.lax.dot_general(second, hidden, (((1,), (1,)), ((), ())))
    kept: jax.Array = jax.lax.optimization_barrier(product).T  # type: ignore[no-untyped-call]
    return kept


def _products(one: jax.Array, stages: jax.Array) -> jax.Array:
    """Inner products [n, s n] of vectors [n, m] with those of all stages."""
    return one @ stages.reshape(-1, stages.shape[-1]).T


def _grams(task: Task, stages: _Stages) -> tuple[jax.Array, ...]:
    """Inner products [s + 1, s + 1] of what moves each layer, rate x gradient, at the stages."""
    s, n = stages.back_1.shape[:2]

    def dyads(left: jax.Array, right: jax.Array) -> jax.Array:
        flat = left.reshape(s * n, -1)
        return ((flat @ flat.T) * right).reshape(s, n, s, n).sum(axis=(1, 3))

    hidden = stages.hidden.reshape(s * n, -1)
    grams = (
        dyads(stages.back_1, jnp.tile(task.x @ task.x.T, (s, s))),
        dyads(stages.back_2, hidden @ hidden.T),
        stages.third @ stages.third.T,
    )
    return tuple(rate**2 * gram for rate, gram in zip(task.rates, grams, strict=True))


# --- what an accepted step does ---------------------------------------------------------------


def _moved(
    layers: Layers, task: Task, stages: _Stages, step: jax.Array, taken: jax.Array
) -> Layers:
    """Layers after the step, in place; as they are if it is not taken."""
    weights = -step * jnp.asarray(METHOD.stages[-1])

    def parts(rate: jax.Array, left: jax.Array) -> jax.Array:
        """Left vectors of the dyads [s n, m], each with its weight; zero if nothing moves."""
        scaled = jnp.where(taken, rate * weights[:, None, None] * left, 0)
        return scaled.reshape(-1, left.shape[-1])

    r1, r2, r3 = task.rates
    count = len(weights)
    first = layers.first + parts(r1, stages.back_1).T @ jnp.tile(task.x, (count, 1))
    left, right = parts(r2, stages.back_2), stages.hidden.reshape(-1, len(layers.third))

    def rewrite(second: jax.Array, row: jax.Array, fresh: jax.Array, size: int) -> jax.Array:
        old = jax.lax.dynamic_slice_in_dim(second, row, size)
        dyads = jax.lax.dynamic_slice_in_dim(left, row, size, axis=1) * fresh
        new = old + jax.lax.dot_general(dyads, right, (((0,), (0,)), ((), ())))
        return jax.lax.dynamic_update_slice_in_dim(second, new, row, 0)

    # a step that is not taken visits no row
    second = by_rows(len(layers.third), rewrite, layers.second, taken)
    return Layers(first, second, layers.third + jnp.where(taken, r3 * (weights @ stages.third), 0))


def by_rows(
    rows: int,
    visit: Callable[[Any, jax.Array, jax.Array, int], Any],
    value: Any,
    active: jax.Array | bool = True,
) -> Any:
    """Value after visits of all rows, `ROWS` or fewer at once.

    Parameters
    ----------
    visit
        (value, first row, fresh, size) -> value, where fresh [size] is 0 for rows that an earlier
        visit saw, since the last one reaches back where the rows do not come out even.
    active
        False visits none.
    """
    size = min(ROWS, rows)

    def one(part: jax.Array, value: Any) -> Any:
        row = jnp.minimum(part * size, rows - size)
        fresh = (row + jnp.arange(size) >= part * size).astype(float)
        return visit(value, row, fresh, size)

    return jax.lax.fori_loop(0, jnp.where(active, -(-rows // size), 0), one, value)
