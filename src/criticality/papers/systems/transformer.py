"""A small transformer on patches of an image, with dropout in training and in evaluation."""

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

EPSILON = 1e-5  # of layer normalisation, as deep-learning frameworks have it


@dataclass(frozen=True)
class Blocks:
    """Blocks of attention and a hidden ReLU layer, the mean over tokens, logits.

    Samples are the fast axis of activations [numbers, tokens, samples], as in `dense`.  A token
    is a patch of the image; its place is told by a one-hot behind its pixels.

    Dropped are the outputs of attention and the units of the hidden layers.  With `residual` each
    block adds to the tokens, and nothing that is already there is dropped; without it a block
    replaces them.
    """

    side: int
    patch: int
    width: int
    depth: int
    heads: int
    classes: int
    residual: bool
    norm: bool
    precision: str

    @property
    def tokens(self) -> int:
        """Patches of an image."""
        return (self.side // self.patch) ** 2

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Weights [out, in]: the embedding; of each block four; the readout."""
        d = self.width
        block = [(3 * d, d), (d, d), (2 * d, d), (d, 2 * d)]
        return [(d, self.patch**2 + self.tokens), *block * self.depth, (self.classes, d)]

    @property
    def places(self) -> int:
        """Of dropout: after the attention and in the hidden layer of every block."""
        return 2 * self.depth

    def clean(self, params: dense.Params, pixels: jax.Array) -> jax.Array:
        """Embedded tokens [d, tokens, samples]."""
        return self._linear(params[0], patches(samples.numbers(pixels), self.side, self.patch))

    def logits(self, params: dense.Params, z: jax.Array, drop: Drop | None) -> jax.Array:
        """Logits [K, samples] from what `clean` gave."""
        for block in range(self.depth):
            mixing, output, inner, outer = params[1 + 4 * block :][:4]
            h = attention(self._linear(mixing, self._normed(z)), self.heads)
            h = self._linear(output, h)
            if drop:  # this is no ReLU, so by the mask itself
                h = h * drop(jnp.ones_like(h), 2 * block)
            z = z + h if self.residual else h
            h = jax.nn.relu(self._linear(inner, self._normed(z)))
            h = self._linear(outer, drop(h, 2 * block + 1) if drop else h)
            z = z + h if self.residual else h
        return self._linear(params[-1], self._normed(z).mean(axis=1))

    def _linear(self, layer: dense.Layer, x: jax.Array) -> jax.Array:
        """Numbers [out, ...] from numbers [in, ...], each token and sample by itself."""
        w, b = layer
        z = dense.from_units(w, x.reshape(len(x), -1), self.precision) + b[:, None]
        return z.reshape(-1, *x.shape[1:])

    def _normed(self, z: jax.Array) -> jax.Array:
        return normalised(z) if self.norm else z


def patches(images: jax.Array, side: int, patch: int) -> jax.Array:
    """Tokens [patch^2 + tokens, tokens, samples] of square images [samples, side^2]."""
    number, along = len(images), side // patch
    cut = images.T.reshape(along, patch, along, patch, number).transpose(1, 3, 0, 2, 4)
    cut = cut.reshape(patch**2, along**2, number)
    places = jnp.broadcast_to(jnp.eye(along**2)[:, :, None], (along**2, along**2, number))
    return jnp.concatenate([cut, places])


def normalised(z: jax.Array) -> jax.Array:
    """Layer normalisation of tokens [d, ...]: mean 0, variance 1, without parameters."""
    z = z - z.mean(axis=0)
    return z * jax.lax.rsqrt((z * z).mean(axis=0) + EPSILON)


def apart(x: jax.Array) -> jax.Array:
    """Give the same; the compiler must not fuse across it, or a step takes three times as long."""
    kept: jax.Array = jax.lax.optimization_barrier(x)  # type: ignore[no-untyped-call]
    return kept


def attention(mixed: jax.Array, heads: int) -> jax.Array:
    """Scaled dot-product attention [d, tokens, samples].

    Parameters
    ----------
    mixed
        Queries, keys and values [3 d, tokens, samples]; each is `heads` equal parts.
    """
    _, tokens, number = mixed.shape
    mixed = apart(mixed)
    q, k, v = mixed.reshape(3, heads, -1, tokens, number)
    # sums and no matrix products: those of one sample are too small
    score = (q[:, :, :, None] * k[:, :, None]).sum(axis=1) / math.sqrt(q.shape[1])
    weight = jax.nn.softmax(score, axis=2)
    out = (weight[:, None] * v[:, :, None]).sum(axis=3).reshape(-1, tokens, number)
    return apart(out)


@dataclass(frozen=True, kw_only=True)
class Transformer(DropoutNetwork):
    """Pre-norm encoder on patches, hidden layers of twice the width.

    Everything but the network is as in `dropout`: data, training, evaluation, phases.
    """

    card: ClassVar[Card] = replace(
        DropoutNetwork.card,
        name="dropout_transformer",
        version=1,
        source="the protocol of Pan, Aggarwal & Pixley with another network",
    )

    width: int = control(
        32, symbol="$d$", unit="number", doc="numbers of a token", interval="[1, inf)", static=True
    )
    depth: int = control(
        2, symbol="$L$", unit="block", doc="blocks", interval="[1, inf)", static=True
    )
    heads: int = control(
        4, unit="head", doc="of attention; they share the width", interval="[1, inf)", static=True
    )
    patch: int = control(
        7, unit="pixel", doc="side of a patch, which divides that of the image", static=True
    )
    residual: bool = control(True, doc="a block adds to the tokens", static=True)
    norm: bool = control(
        True, doc="layer normalisation before each part of a block and the readout", static=True
    )
    precision: str = control("float32", doc="of all numbers", choices=("float32",), static=True)

    def network(self) -> Blocks:
        """Give the network that is trained."""
        form = data.shape(self.dataset)
        return Blocks(
            side=math.isqrt(form.features),
            classes=form.classes,
            **{
                name: getattr(self, name)
                for name in ("patch", "width", "depth", "heads", "residual", "norm", "precision")
            },
        )

    def validate(self) -> None:
        """Raise `InputError` as `dropout` does, or if patches or heads do not come out even."""
        super().validate()
        features = data.shape(self.dataset).features
        side = math.isqrt(features)
        if side**2 != features or self.patch < 1 or side % self.patch:
            raise InputError(
                f"patch = {self.patch} does not divide the side of square images of "
                f"{features} pixels ({self.dataset})."
            )
        if self.width % self.heads:
            raise InputError(f"heads = {self.heads} does not divide width = {self.width}.")

    def products(self) -> tuple[float, float]:
        """Multiplications of a sample before all dropout, and after it: exact matrix products."""
        net = self.network()
        first, *blocks, last = (math.prod(w) for w in net.shapes)
        mixing = 2 * net.depth * net.tokens**2 * net.width
        return first * net.tokens, sum(blocks) * net.tokens + mixing + last

    @classmethod
    def tiny(cls) -> Self:
        """Give a preset on the synthetic set that runs in a second."""
        return replace(super().tiny(), width=8, heads=1, patch=1)
