"""The four functions of a realization of `approximation_trained`."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import dense, fit
from criticality.nn.streams import stream
from criticality.systems.approximation import code
from criticality.systems.approximation.functions import SPACES
from criticality.systems.approximation.phases import SCALED
from criticality.systems.approximation.trained import TrainedApproximation

STEPS = 100  # of one advance
PRECISION = "float32"


class State(NamedTuple):
    """State of all trainings of one realization.

    Attributes
    ----------
    target
        float32 [pieces + 1]: the function.
    params, moments
        Of each training.
    step
        int32 scalar: done.
    """

    target: jax.Array
    params: dense.Params
    moments: fit.Moments
    step: jax.Array


def begin(system: TrainedApproximation, key: jax.Array, data: object) -> State:
    """Draw the function, and the starts of all trainings."""

    def start(attempt: jax.Array) -> dense.Params:
        return _start(system, stream(key, "start", attempt, jnp.int32(system.depth)))

    params = jax.vmap(start)(jnp.arange(system.attempts))
    target = path(stream(key, "function"), system.levels)
    return State(target, params, fit.Moments.none(params), jnp.int32(0))


def advance(system: TrainedApproximation, state: State, data: object) -> State:
    """Train on, `STEPS` steps or as many as are left."""
    x, goals = _places(len(state.target)), state.target * len(state.target) ** 0.5

    def loss(params: dense.Params) -> jax.Array:
        return jnp.mean((outputs(params, x) - goals) ** 2)

    slope = jax.vmap(jax.grad(loss))

    def update(step: jax.Array, now: tuple[dense.Params, fit.Moments]) -> tuple[object, object]:
        rate = system.learning_rate * (1 + jnp.cos(jnp.pi * step / system.steps)) / 2
        return fit.adam(*now, slope(now[0]), rate, step)

    last = jnp.minimum(state.step + STEPS, system.steps)
    params, moments = jax.lax.fori_loop(state.step, last, update, (state.params, state.moments))
    return State(state.target, params, moments, last)


def finished(system: TrainedApproximation, state: State) -> jax.Array:
    """Whether all steps are done."""
    return state.step >= system.steps


def observe(system: TrainedApproximation, state: State, data: object) -> dict[str, jax.Array]:
    """Measure distances at the ends and middles of all pieces."""
    ends = state.target
    fine = _between(ends, (ends[1:] + ends[:-1]) / 2)
    found = jax.vmap(outputs, (0, None))(state.params, _places(len(fine))) / len(ends) ** 0.5
    errors = jnp.abs(found - fine).max(axis=1)
    best = errors.argmin()
    return {
        "error": errors[best],
        SCALED: errors[best],
        "typical_error": jnp.median(errors),
        "worst_error": errors.max(),
        "root_mean_square": jnp.sqrt(jnp.mean((found[best] - fine) ** 2)),
        **_written(system.weights_used, ends),
        "weights_used": jnp.float32(system.weights_used),
        "depth": jnp.float32(system.depth),
    }


def _written(weights: int, ends: jax.Array) -> dict[str, jax.Array]:
    """Errors on the same function of what `code` writes down with no more weights."""
    found = {}
    for name, rate in (("lines_error", 1.0), ("codes_error", 2.0)):
        chosen = code.plan(SPACES[1.0], rate, weights)
        if code.cost(1, chosen) > weights:
            found[name] = jnp.float32(jnp.nan)
            continue
        knots, x = jnp.linspace(0.0, 1.0, chosen.n + 1), jnp.linspace(0.0, 1.0, len(ends))
        held = jnp.interp(knots, x, ends)
        if chosen.digits > 1:
            held = jnp.round(held * chosen.n) / chosen.n
        # both are broken lines: the largest distance is at a break of one of them
        at_ends = jnp.abs(jnp.interp(x, knots, held) - ends).max()
        at_knots = jnp.abs(jnp.interp(knots, x, ends) - held).max()
        found[name] = jnp.maximum(at_ends, at_knots)
    return found


def outputs(params: dense.Params, x: jax.Array) -> jax.Array:
    """Give outputs float32 [samples] at places x float32 [samples, 1]."""
    return dense.logits(params, dense.preactivations(params, x, PRECISION), None, PRECISION)[0]


def path(key: jax.Array, levels: int) -> jax.Array:
    """Draw a random function as `functions.path` does, float32 [2^levels + 1]."""
    values = jnp.zeros(2)
    for level in range(levels):
        reach = 2.0 ** -(level + 1)
        left, right = values[:-1], values[1:]
        low, high = jnp.maximum(left, right) - reach, jnp.minimum(left, right) + reach
        part = jax.random.uniform(jax.random.fold_in(key, level), left.shape)
        values = _between(values, low + (high - low) * part)
    return values


def _between(values: jax.Array, middles: jax.Array) -> jax.Array:
    """Put a number between each two."""
    return jnp.append(jnp.stack([values[:-1], middles], axis=1).ravel(), values[-1])


def _start(system: TrainedApproximation, key: jax.Array) -> dense.Params:
    """Weights as He et al. have them; kinks of the first layer are spread over the interval."""
    sizes = [1, *[system.width] * system.depth, 1]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    (first, _), *others = dense.initialize(key, shapes, scheme="he")
    kinks = jax.random.uniform(stream(key, "kinks"), (system.width,), minval=-1.0)
    return ((first, -first[:, 0] * kinks), *others)


def _places(number: int) -> jax.Array:
    """So many places between -1 and 1, float32 [number, 1]."""
    return jnp.linspace(-1.0, 1.0, number)[:, None]
