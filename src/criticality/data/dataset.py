"""What is loaded: samples and labels in two parts, and their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ARRAYS = ("train_x", "train_y", "test_x", "test_y")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a data set.

    Attributes
    ----------
    train, test
        Samples of each part.
    features
        Numbers of one sample: the pixels of an image, the columns of a table.
    classes
        Of the labels; 0 where these are targets of a regression.
    """

    train: int
    test: int
    features: int
    classes: int

    @property
    def kind(self) -> Literal["classes", "targets"]:
        """What the labels are."""
        return "classes" if self.classes else "targets"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples and labels, split in two.

    Attributes
    ----------
    train_x, test_x
        [samples, features]: uint8, grey values 0 to 255, or float32, any other numbers.
    train_y, test_y
        [samples]: whole numbers, class 0 to K-1, or float32, targets of a regression.
    classes
        K; 0 for targets.
    checksum
        sha256 that stands for all of this; part of every task key.
    """

    train_x: Array
    train_y: Array
    test_x: Array
    test_y: Array
    classes: int
    checksum: str

    @property
    def shape(self) -> Shape:
        """Sizes of the arrays."""
        (train, features), test = self.train_x.shape, len(self.test_x)
        return Shape(train=train, test=test, features=features, classes=self.classes)

    def arrays(self) -> dict[str, Array]:
        """Give what a system's functions get as `data`."""
        return {name: getattr(self, name) for name in ARRAYS}


def content_hash(arrays: Mapping[str, Array]) -> str:
    """sha256 over names, types, shapes and bytes (little-endian) of arrays.

    How they were packed does not matter: a compressed copy has the same hash.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
