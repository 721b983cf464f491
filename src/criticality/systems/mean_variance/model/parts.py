"""Training, validation and test samples of one realization, standardised."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import samples
from criticality.nn.streams import stream
from criticality.systems.mean_variance import sine
from criticality.systems.mean_variance.network import Networks


class Part(NamedTuple):
    """Some samples: x float32 [features, samples], y float32 [samples]."""

    x: jax.Array
    y: jax.Array


class Scale(NamedTuple):
    """Mean and deviation of the training samples; the deviation of what is constant is 1."""

    mean: jax.Array
    deviation: jax.Array


class Split(NamedTuple):
    """All parts in units of the training part, of mean 0 and deviation 1; and these units."""

    train: Part
    validation: Part
    test: Part
    of_x: Scale  # [features, 1]
    of_y: Scale


def split(system: Networks, key: jax.Array, data: Any) -> Split:
    """Draw the samples of the sine problem, or split those of the data set at random."""
    parts = _table(system, key, data) if system.requires() else _sine(system, key)
    of_x, of_y = _scale(parts[0].x), _scale(parts[0].y)
    train, validation, test = (
        Part(_standard(part.x, of_x), _standard(part.y, of_y)) for part in parts
    )
    return Split(train, validation, test, of_x, of_y)


def _sine(system: Networks, key: jax.Array) -> list[Part]:
    """Equidistant training points; all others are uniform on [0, 1]."""
    train, validation, test = system.counts()
    others = jax.random.uniform(stream(key, "places"), (validation + test,))
    x = jnp.concatenate([sine.places(train, jnp), others])
    noise = jax.random.normal(stream(key, "noise"), x.shape)
    y = sine.mean(x, jnp) + sine.deviation(x, jnp) * noise
    ends = (train, train + validation)
    parts = zip(jnp.split(x[None], ends, axis=1), jnp.split(y, ends), strict=True)
    return [Part(*part) for part in parts]


def _table(system: Networks, key: jax.Array, data: Any) -> list[Part]:
    """Split a data set: the first of a random order are for test, the next for validation."""
    x = jnp.concatenate([samples.numbers(data[name]) for name in ("train_x", "test_x")])
    y = jnp.concatenate([data["train_y"], data["test_y"]])
    train, validation, test = system.counts(len(y))
    order = samples.order(stream(key, "split"), len(y))
    begins = {"train": test + validation, "validation": test, "test": 0}
    counts = (train, validation, test)
    chosen = (order[at : at + n] for at, n in zip(begins.values(), counts, strict=True))
    return [Part(x[rows].T, y[rows]) for rows in chosen]


def _scale(values: jax.Array) -> Scale:
    mean = values.mean(axis=-1, keepdims=True)
    deviation = values.std(axis=-1, keepdims=True)
    constant = values.max(axis=-1, keepdims=True) == values.min(axis=-1, keepdims=True)
    return Scale(jnp.where(constant, values[..., :1], mean), jnp.where(constant, 1, deviation))


def _standard(values: jax.Array, scale: Scale) -> jax.Array:
    return (values - scale.mean) / scale.deviation
