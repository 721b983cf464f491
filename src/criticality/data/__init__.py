"""Data sets: where they come from, what their checksums are, and verified loading.

A source is a text: one of `NAMES` (labels are classes) or `TABLES` (targets of a regression), or a
user's own: "file:PATH" or "table:PATH#COLUMN".
"""

from __future__ import annotations

from criticality.data.dataset import Dataset, Shape
from criticality.data.folders import cache_folder, looking_in
from criticality.data.published import KMNIST_10K, SOURCES, Source
from criticality.data.sources import (
    NAMES,
    TABLES,
    checksum,
    classification,
    columns,
    described,
    fetch,
    load,
    places,
    shape,
    state,
    verify,
)

__all__ = [
    "KMNIST_10K",
    "NAMES",
    "SOURCES",
    "TABLES",
    "Dataset",
    "Shape",
    "Source",
    "cache_folder",
    "checksum",
    "classification",
    "columns",
    "described",
    "fetch",
    "load",
    "looking_in",
    "places",
    "shape",
    "state",
    "verify",
]
