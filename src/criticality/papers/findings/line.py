"""Whether the line between eumentia and dementia is a BKT-like transition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Is the line between eumentia and dementia a BKT-like transition?"
STUDIES = ("line", "shapes", "fashion")


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure."""
    return {"a": pd.DataFrame({"a": [len(stores)]})}


def draw(tables: Tables) -> Figure:
    """Draw."""
    from matplotlib.figure import Figure

    return Figure()


def say(tables: Tables) -> str:
    """Say."""
    return "undecided"
