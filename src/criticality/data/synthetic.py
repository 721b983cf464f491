"""The synthetic set, which has no files.

Not real data: for tests, and for trying the tool where nothing can be downloaded.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from criticality.data.dataset import Dataset, Shape
from criticality.data.folders import Folder

NAME = "synthetic"
SHAPE = Shape(train=4_000, test=1_000, features=8 * 8, classes=10)


@cache
def _made() -> Dataset:
    """Ten noisy 8x8 patterns, from integers only so that every platform has the same bytes."""
    rng = np.random.Generator(np.random.PCG64(20260711))
    patterns = rng.integers(0, 120, size=(10, 64), dtype=np.int64)
    labels = np.arange(5_000) % 10
    noise = rng.integers(0, 80, size=(2, 5_000, 64), dtype=np.int64).sum(axis=0)
    x = np.clip(patterns[labels] + noise - 20, 0, 255).astype(np.uint8)
    y = labels.astype(np.uint8)
    checksum = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    cut = SHAPE.train
    return Dataset(
        train_x=x[:cut],
        train_y=y[:cut],
        test_x=x[cut:],
        test_y=y[cut:],
        classes=SHAPE.classes,
        checksum=checksum,
    )


def load(name: str, folder: Folder) -> Dataset:
    """Make it."""
    return _made()


def shape(name: str, folder: Folder) -> Shape:
    """Sizes, without making it."""
    return SHAPE


def checksum(name: str, folder: Folder) -> str:
    """sha256 over the bytes."""
    return _made().checksum


def places(name: str, folder: Folder) -> list[Path]:
    """Nowhere."""
    return []


def fetch(name: str, folder: Folder) -> dict[str, Path]:
    """No files."""
    return {}


verify = fetch


def state(name: str, folder: Folder) -> tuple[str, str]:
    """Say that it always is ready."""
    return "ready", "made on the spot"
