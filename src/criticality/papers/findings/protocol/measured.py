"""Everything that is drawn or said, from the stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from criticality.papers.findings.protocol import border, line
from criticality.papers.findings.protocol.variants import USUAL, variants

if TYPE_CHECKING:
    from criticality.study import Store

BASE = "line"  # of the protocol as documented, at several p_train
LINES = tuple(
    f"protocol_{name}" for name in ("initialization", "patience", "rate", "batch", "last")
)
BORDER = "protocol_border"
BORDERS = (
    BORDER,
    *(f"{BORDER}_{name}" for name in ("initialization", "rate", "batch", "width", "depth")),
)


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure line and border at every variant of the protocol, and what moved."""
    from criticality.papers.systems.onset import Onset
    from criticality.systems.dropout import DropoutNetwork

    lines = [
        case
        for stem in (BASE, *LINES)
        if stem in stores
        for case in variants(stores[stem].open(), DropoutNetwork(), ("n_train",))
    ]
    borders = [
        case
        for stem in BORDERS
        if stem in stores
        for case in variants(stores[stem].open(), Onset(), ("n_train", "p_train", "plateau"))
    ]
    counts, places, late, waiting = (
        pd.DataFrame([row for case in borders for row in rows(*case)])
        for rows in (border.counts, border.places, border.late, border.waiting)
    )
    return {
        "line": line.lines(lines),
        "line_moved": line.moved(lines),
        "drift": line.drift(next(ds for name, ds in lines if name == USUAL)),
        "border": places,
        "border_moved": border.moved(counts),
        "counts": counts,
        "late": late,
        "waiting": waiting,
    }
