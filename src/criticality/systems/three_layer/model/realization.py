"""The four functions of a realization."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.nn import samples
from criticality.nn.streams import stream
from criticality.systems.three_layer import POINTS, TARGETS, ThreeLayer
from criticality.systems.three_layer.model import flow
from criticality.systems.three_layer.model.directions import effective_directions
from criticality.systems.three_layer.model.flow import Flow, Layers, Task

ATTEMPTS = 8  # of one advance


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    key
        Root key, from which the initial weights come again.
    x, target
        [n, d] and [n]: samples, with what the network is to add to its output at the start.
    flow
        Of the weights.
    """

    key: jax.Array
    x: jax.Array
    target: jax.Array
    flow: Flow


def begin(system: ThreeLayer, key: jax.Array, data: Any) -> State:
    """Draw weights and, of a data set, samples."""
    x, y = drawn_samples(system, key, data)
    layers = Layers(
        _normal(key, "first", (system.width, x.shape[1])),
        _second(key, system.width),
        _normal(key, "third", (system.width,)),
    )
    scale = _scale(system)
    target = y + jnp.where(system.centred, flow.outputs(layers, x, scale), 0)
    return State(key, x, target, flow.begin(layers, _task(system, x, target)))


def advance(system: ThreeLayer, state: State, data: Any) -> State:
    """Try `ATTEMPTS` steps, or as many as are left."""
    task = _task(system, state.x, state.target)

    def going(carry: tuple[jax.Array, Flow]) -> jax.Array:
        count, now = carry
        return (count < ATTEMPTS) & ~finished(system, state._replace(flow=now))

    def step(carry: tuple[jax.Array, Flow]) -> tuple[jax.Array, Flow]:
        return carry[0] + 1, flow.attempt(carry[1], task)

    _, after = jax.lax.while_loop(going, step, (jnp.int32(0), state.flow))
    return state._replace(flow=after)


def finished(system: ThreeLayer, state: State) -> jax.Array:
    """Whether the goal is reached, the budget spent, or nothing can be reached any more."""
    now = state.flow
    lost = ~(jnp.isfinite(now.slope.loss) & jnp.isfinite(now.step) & (now.step > 0))
    return (now.slope.loss <= _goal(system)) | (now.attempts >= system.budget) | lost


def observe(system: ThreeLayer, state: State, data: Any) -> dict[str, jax.Array]:
    """Give changes and directions of the layers; NaN if the goal was not reached."""
    now, key = state.flow, state.key
    layers = now.layers
    start = _normal(key, "first", layers.first.shape), _normal(key, "third", layers.third.shape)
    square, of_start = jax.lax.fori_loop(
        0, system.width, _of_row(key, layers.second), (jnp.zeros(()), jnp.zeros(()))
    )
    moved = (
        jnp.linalg.norm(layers.first - start[0]),
        jnp.sqrt(square),
        jnp.linalg.norm(layers.third - start[1]),
    )
    norms = jnp.linalg.norm(start[0]), jnp.sqrt(of_start), jnp.linalg.norm(start[1])
    reached = now.slope.loss <= _goal(system)

    def result(value: ArrayLike) -> jax.Array:
        return jnp.where(reached, value, jnp.nan)

    return {
        "change_1": result(moved[0] / norms[0]),
        "change_2": result(moved[1] / norms[1]),
        "change_3": result(moved[2] / norms[2]),
        "directions_1": result(effective_directions(layers.first)),
        "directions_2": result(effective_directions(layers.second)),
        "initial_directions_1": effective_directions(start[0]),
        "time": result(now.time),
        "loss": now.slope.loss / (_goal(system) / system.target),
        "steps": now.steps.astype(float),
        "evaluations": 1.0 + flow.METHOD.count * now.attempts,
    }


def drawn_samples(system: ThreeLayer, key: jax.Array, data: Any) -> tuple[jax.Array, jax.Array]:
    """Give inputs with a 1 appended [n, d], and targets [n] of zero mean and unit variance.

    Of a data set, the first samples of a random order; inputs are scaled to a mean square of 1.
    """
    if not system.requires():
        x, y = jnp.asarray(POINTS)[:, None], jnp.asarray(TARGETS)
    else:
        pool = data["train_x"].shape[0]
        chosen = samples.order(stream(key, "subset"), pool)[: system.samples]
        x, y = (data[name][chosen].astype(float) for name in ("train_x", "train_y"))
        x = x / jnp.sqrt(jnp.mean(jnp.sum(x**2, axis=1)))
    y = y - y.mean()
    return jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=1), y / jnp.sqrt(jnp.mean(y**2))


def _task(system: ThreeLayer, x: jax.Array, target: jax.Array) -> Task:
    rates = jnp.stack([system.width ** (2.0 * system.gamma_2), jnp.ones(()), jnp.ones(())])
    return Task(x, target, _scale(system), rates, _goal(system), jnp.asarray(system.tolerance))


def _scale(system: ThreeLayer) -> jax.Array:
    return jnp.asarray(float(system.width) ** -system.gamma_3)


def _goal(system: ThreeLayer) -> jax.Array:
    """Loss at the end; that of f = 0 is 1/2, since targets have unit variance."""
    return jnp.asarray(0.5 * system.target)


def _normal(key: jax.Array, name: str, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.normal(stream(key, f"{name} layer"), shape)


def _row(key: jax.Array, row: jax.Array, width: int) -> jax.Array:
    return jax.random.normal(jax.random.fold_in(stream(key, "second layer"), row), (width,))


def _second(key: jax.Array, width: int) -> jax.Array:
    """W2 [m, m] at the start, row by row: no second array of its size is needed at the end."""

    def fill(row: jax.Array, second: jax.Array) -> jax.Array:
        return second.at[row].set(_row(key, row, width))

    filled: jax.Array = jax.lax.fori_loop(0, width, fill, jnp.zeros((width, width)))
    return filled


def _of_row(key: jax.Array, second: jax.Array) -> Any:
    """Add squares of the change of a row, and of the row at the start."""

    def add(row: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        start = _row(key, row, second.shape[1])
        return sums[0] + jnp.sum((second[row] - start) ** 2), sums[1] + jnp.sum(start**2)

    return add
