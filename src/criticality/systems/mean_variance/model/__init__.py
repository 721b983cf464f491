"""One realization: a training of both networks, and what is measured at its end."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

from criticality.nn.streams import stream
from criticality.systems.mean_variance import measures
from criticality.systems.mean_variance.model import networks
from criticality.systems.mean_variance.model.networks import Weights
from criticality.systems.mean_variance.model.parts import Part, Split, split
from criticality.systems.mean_variance.network import MeanVarianceNetwork, Networks

STRIDE = 100  # epochs of one advance


class State(NamedTuple):
    """State of one training.

    Attributes
    ----------
    key
        Root key.
    parts
        The samples.  They are not split anew in each advance: fused with the training, sums would
        be rounded by the place in a batch of realizations.
    epoch
        Epochs that are done.
    fit
        The training.
    """

    key: jax.Array
    parts: Split
    epoch: jax.Array
    fit: networks.Fit


def begin(system: MeanVarianceNetwork, key: jax.Array, data: Any) -> State:
    """Split the samples, and initialise both networks."""
    parts = split(system, key, data)
    return State(key, parts, jnp.int32(0), networks.start(system, key, len(parts.train.x)))


def advance(system: MeanVarianceNetwork, state: State, data: Any) -> State:
    """Train for some epochs."""
    last = jnp.minimum(state.epoch + STRIDE, system.epochs)
    fit = networks.train(
        system,
        stream(state.key, "batches"),
        state.fit,
        state.parts.train,
        Weights(jnp.asarray(system.rho), jnp.asarray(system.gamma)),
        (state.epoch, last),
        system.warmup,
    )
    return state._replace(epoch=last, fit=fit)


def finished(system: MeanVarianceNetwork, state: State) -> jax.Array:
    """Whether all epochs are done."""
    return state.epoch >= system.epochs


def observe(system: MeanVarianceNetwork, state: State, data: Any) -> dict[str, jax.Array]:
    """Give what is measured, and the fitted functions of the sine problem."""
    parts = state.parts
    weights = Weights(jnp.asarray(system.rho), jnp.asarray(system.gamma))
    params = state.fit.params
    return {
        **measure(system, params, parts),
        "loss": networks.loss(system, params, parts.train, None, weights),
        "skipped": state.fit.skipped,
        **_curves(system, params, parts),
    }


def measure(system: Networks, params: jax.Array, parts: Split) -> dict[str, jax.Array]:
    """Scores of all parts and energies, of standardised y.

    Energies are by standardised x, of the sine problem by x in [0, 1] as in the field theory.
    """

    def predicted(part: Part) -> measures.Predicted:
        return measures.Predicted(part.y, *networks.predict(system, params, part.x))

    three = {name: predicted(getattr(parts, name)) for name in ("train", "validation", "test")}
    found = measures.measured(three, jnp.asarray(system.level), jnp, ndtr)
    energies = networks.energies(system, params, parts.train.x)
    if not system.requires():
        energies = energies / parts.of_x.deviation[0] ** 2
    return {**found, "mean_energy": energies[0], "precision_energy": energies[1]}


def _curves(system: MeanVarianceNetwork, params: jax.Array, parts: Split) -> dict[str, jax.Array]:
    x = jnp.asarray(system.x, jnp.float32)
    if system.requires():
        return dict.fromkeys(("mean_curve", "deviation_curve"), jnp.full(len(x), jnp.nan))

    def at(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        standard = (x - parts.of_x.mean) / parts.of_x.deviation
        mean, precision = networks.predict(system, params, standard)
        scale = parts.of_y
        return (mean * scale.deviation + scale.mean)[0], (scale.deviation / jnp.sqrt(precision))[0]

    mean, deviation = jax.lax.map(at, x)  # each alone, so that a finer axis changes no number
    return {"mean_curve": mean, "deviation_curve": deviation}
