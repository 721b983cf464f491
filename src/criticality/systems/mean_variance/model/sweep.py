"""One realization of a sweep: the networks of one value of rho are where the next begins."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn.streams import stream
from criticality.systems.mean_variance.model import STRIDE, measure, networks
from criticality.systems.mean_variance.model.networks import Weights
from criticality.systems.mean_variance.model.parts import Split, split
from criticality.systems.mean_variance.sweep import MeanVarianceSweep


class State(NamedTuple):
    """State of one sweep.

    Attributes
    ----------
    key, parts
        Root key, and the samples.
    place, epoch
        Value of rho, by number, and epochs that are done at it.
    fit
        The training.
    found
        What was measured at each value, [rho, ...].
    """

    key: jax.Array
    parts: Split
    place: jax.Array
    epoch: jax.Array
    fit: networks.Fit
    found: dict[str, jax.Array]


def begin(system: MeanVarianceSweep, key: jax.Array, data: Any) -> State:
    """Split the samples, and initialise both networks."""
    parts = split(system, key, data)
    fit = networks.start(system, key, len(parts.train.x))
    state = State(key, parts, jnp.int32(0), jnp.int32(0), fit, {})
    kinds = jax.eval_shape(lambda: _measure(system, state))
    empty = {name: jnp.zeros((len(system.rho), *of.shape), of.dtype) for name, of in kinds.items()}
    return state._replace(found=empty)


def advance(system: MeanVarianceSweep, state: State, data: Any) -> State:
    """Train for some epochs; at the last one measure, and go on to the next value."""
    warmup = jnp.where(state.place == 0, system.warmup, 0)
    epochs = warmup + system.epochs
    last = jnp.minimum(state.epoch + STRIDE, epochs)
    fit = networks.train(
        system,
        stream(jax.random.fold_in(state.key, state.place), "batches"),
        state.fit,
        state.parts.train,
        _weights(system, state.place),
        (state.epoch, last),
        warmup,
    )
    trained = state._replace(epoch=last, fit=fit)

    def measured() -> State:
        now = _measure(system, trained)
        return state._replace(
            place=state.place + 1,
            epoch=jnp.int32(0),
            fit=networks.fresh(fit.params, fit.skipped),
            found={
                name: state.found[name].at[state.place].set(value) for name, value in now.items()
            },
        )

    after: State = jax.lax.cond(last >= epochs, measured, lambda: trained)
    return after


def finished(system: MeanVarianceSweep, state: State) -> jax.Array:
    """Whether all values of rho are done."""
    return state.place >= len(system.rho)


def observe(system: MeanVarianceSweep, state: State, data: Any) -> dict[str, jax.Array]:
    """Give what was measured."""
    return {**state.found, "skipped": state.fit.skipped}


def _weights(system: MeanVarianceSweep, place: jax.Array) -> Weights:
    rho = jnp.asarray(system.rho, jnp.float32)[place]
    return Weights(rho, 1 - rho if system.tied else jnp.asarray(system.gamma))


def _measure(system: MeanVarianceSweep, state: State) -> dict[str, jax.Array]:
    parts, params = state.parts, state.fit.params
    loss = networks.loss(system, params, parts.train, None, _weights(system, state.place))
    return {**measure(system, params, parts), "loss": loss}
