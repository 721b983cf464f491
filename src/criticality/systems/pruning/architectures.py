"""Shapes of layered networks: fully-connected FC4 and convolutional CNN5, of Pesce et al.

The text that we worked from names the numbers of layers only; widths are controls, and the rest is
our choice: ReLU, kernels of 3 x 3, maxima over 2 x 2 after every convolution.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

ARCHITECTURES = ("fc4", "cnn5")
KERNEL = (3, 3)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Shape of a network.

    Attributes
    ----------
    shapes
        Of the weights of every layer from the input on: [out, in], or [out, in, 3, 3].
    units
        Units before, between and after the layers; a channel of a convolution is one.
    side
        Pixels along a side of the image.
    precision
        To which operands of matrix products are rounded, of `dense.ROUNDED`.
    """

    shapes: tuple[tuple[int, ...], ...]
    units: tuple[int, ...]
    side: int
    precision: str

    @property
    def edges(self) -> tuple[int, ...]:
        """Weights of every layer, biases not counted."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def products(self) -> tuple[int, ...]:
        """Multiplications by a weight that each layer does for one sample."""
        sides = [self.side >> layer for layer in range(len(self.shapes))]
        return tuple(
            edges * (side**2 if len(shape) == 4 else 1)
            for edges, shape, side in zip(self.edges, self.shapes, sides, strict=True)
        )


def build(
    architecture: str, pixels: int, width: int, channels: int, classes: int, precision: str
) -> Network:
    """Network of a name in `ARCHITECTURES`.

    "fc4": D - W - W - W - K.  "cnn5": convolutions to C, 2C and 4C channels, then W and K units.
    """
    side = math.isqrt(pixels)
    if architecture == "fc4":
        units: tuple[int, ...] = (pixels, width, width, width, classes)
        shapes: list[tuple[int, ...]] = [(b, a) for a, b in itertools.pairwise(units)]
    else:
        units = (1, channels, 2 * channels, 4 * channels, width, classes)
        places = (side >> 3) ** 2
        shapes = [(b, a, *KERNEL) for a, b in itertools.pairwise(units[:4])]
        shapes += [(width, 4 * channels * places), (classes, width)]
    return Network(shapes=tuple(shapes), units=units, side=side, precision=precision)
