"""A small convolutional network with dropout in training and in evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp

from criticality import Card, InputError, control, data
from criticality.nn import dense, samples
from criticality.systems import DropoutNetwork
from criticality.systems.dropout.model import Drop


@dataclass(frozen=True)
class Convolutions:
    """Convolutions of 3x3 pixels and stride 2, a hidden layer, logits; ReLU in between.

    Samples are the fast axis of activations [channels, height, width, samples], as in `dense`.
    A unit is dropped wherever a ReLU made it: pixels of a channel are dropped each by itself.
    """

    side: int
    channels: tuple[int, ...]
    hidden: int
    classes: int
    precision: str

    @property
    def sides(self) -> list[int]:
        """Of the image, and after every convolution."""
        found = [self.side]
        for _ in self.channels:
            found.append((found[-1] + 1) // 2)
        return found

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Filters [out, in, 3, 3], then weights [out, in]."""
        inputs = (1, *self.channels)
        filters = [(n_out, n_in, 3, 3) for n_in, n_out in zip(inputs, self.channels, strict=False)]
        flat = self.channels[-1] * self.sides[-1] ** 2
        return [*filters, (self.hidden, flat), (self.classes, self.hidden)]

    @property
    def places(self) -> int:
        """Of dropout: after every convolution and after the hidden layer."""
        return len(self.channels) + 1

    def clean(self, params: dense.Params, pixels: jax.Array) -> jax.Array:
        """Pre-activations [channels, height, width, samples] of the first convolution."""
        image = samples.numbers(pixels).T.reshape(1, self.side, self.side, -1)
        return convolve(params[0], image, self.precision)

    def logits(self, params: dense.Params, z: jax.Array, drop: Drop | None) -> jax.Array:
        """Logits [K, samples] from what `clean` gave."""
        for place, layer in enumerate(params[1:]):
            h = jax.nn.relu(z)
            h = drop(h, place) if drop else h
            if layer[0].ndim == 4:
                z = convolve(layer, h, self.precision)
            else:
                h = h.reshape(-1, h.shape[-1])
                z = dense.from_units(layer[0], h, self.precision) + layer[1][:, None]
        return z


def convolve(layer: dense.Layer, x: jax.Array, precision: str) -> jax.Array:
    """Cross-correlation with stride 2 and zero padding of one pixel, as one matrix product.

    Parameters
    ----------
    layer
        Filters [out, in, 3, 3] and biases [out].
    x
        Activations [in, height, width, samples].

    Returns
    -------
    jax.Array
        [out, (height + 1) // 2, (width + 1) // 2, samples].
    """
    w, b = layer
    _, height, width, number = x.shape
    form = ((height + 1) // 2, (width + 1) // 2, number)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [x[:, i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)]
    patches = jnp.stack(parts, axis=1).reshape(w[0].size, -1)
    z = dense.from_units(w.reshape(len(w), -1), patches, precision) + b[:, None]
    return z.reshape(len(w), *form)


@dataclass(frozen=True, kw_only=True)
class CNN(DropoutNetwork):
    """Convolutions with stride 2, each of twice the channels of the last, and a hidden layer.

    Everything but the network is as in `dropout`: data, training, evaluation, phases.
    """

    card: ClassVar[Card] = replace(
        DropoutNetwork.card,
        name="dropout_cnn",
        version=1,
        source="the protocol of Pan, Aggarwal & Pixley with another network",
    )

    width: int = control(
        8,
        symbol="$C$",
        unit="channel",
        doc="channels of the first convolution; each further one has twice as many",
        interval="[1, inf)",
        static=True,
    )
    depth: int = control(
        3, symbol="$L$", unit="layer", doc="convolutions", interval="[1, inf)", static=True
    )
    hidden: int = control(
        64, unit="unit", doc="units of the hidden layer", interval="[1, inf)", static=True
    )

    def network(self) -> Convolutions:
        """Give the network that is trained."""
        form = data.shape(self.dataset)
        channels = tuple(self.width * 2**layer for layer in range(self.depth))
        side = math.isqrt(form.features)
        return Convolutions(side, channels, self.hidden, form.classes, self.precision)

    def validate(self) -> None:
        """Raise `InputError` as `dropout` does, or for data that are no square images."""
        super().validate()
        features = data.shape(self.dataset).features
        if math.isqrt(features) ** 2 != features:
            raise InputError(
                f"{self.dataset} has {features} numbers a sample, which are no square image."
            )

    def products(self) -> tuple[float, float]:
        """Multiplications of a sample before all dropout, and after it: exact matrix products."""
        net = self.network()
        areas = [*(side**2 for side in net.sides[1:]), 1, 1]
        first, *rest = (math.prod(w) * area for w, area in zip(net.shapes, areas, strict=True))
        return first, sum(rest)

    @classmethod
    def tiny(cls) -> Self:
        """Give a preset on the synthetic set that runs in a second."""
        return replace(super().tiny(), width=4, hidden=12)
