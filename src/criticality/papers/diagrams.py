"""Phase diagrams as tables, and from tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from criticality.base import UNRESOLVED, Estimate, Flag, System, axes, card
from criticality.papers.rows import NUMBERS, row

if TYPE_CHECKING:
    from criticality.analysis.boundaries import Boundary
    from criticality.analysis.classify import PhaseDiagram


def cell_rows(diagram: PhaseDiagram, names: Sequence[str]) -> list[dict[str, Any]]:
    """Give every cell: its place, the name of its phase, and these quantities."""
    columns = [*map(str, diagram.cells["phase"].dims), "phase", *names]
    return [{name: one[name] for name in columns} for one in diagram.to_dict()["cells"]]


def border_rows(borders: Iterable[Boundary]) -> list[dict[str, Any]]:
    """Give every border: along which axis, at which value of the other, and where."""
    return [
        {
            "along": one.along,
            "at": next(iter(one.at.values()), math.nan),
            "quantity": one.quantity,
            **row(one.estimate, one.flags),
        }
        for one in borders
    ]


def diagram_of(
    cells: pd.DataFrame,
    borders: pd.DataFrame,
    kind: type[System],
    method: Mapping[str, Any] | None = None,
) -> PhaseDiagram:
    """Give back the diagram of a system of two axes from these rows, to draw it."""
    from criticality.analysis.boundaries import Boundary
    from criticality.analysis.classify import PhaseDiagram, phase_attributes

    told, declared = card(kind), axes(kind)
    plane = list(told.plane)
    codes = {one.name: code for code, one in enumerate((UNRESOLVED, *told.phases))}
    found = cells.assign(phase=cells["phase"].map(codes)).set_index(plane).to_xarray()
    found["phase"].attrs = phase_attributes(told.phases)
    for name in plane:
        about = declared[name]
        found[name].attrs = {"symbol": about.symbol, "label": about.label, "units": about.unit}
    lines = [
        Boundary(
            along=one["along"],
            at={name: one["at"] for name in plane if name != one["along"]},
            quantity=one["quantity"],
            estimate=Estimate(**{name: one[name] for name in NUMBERS}),
            flags=tuple(map(Flag, _split(one["flags"]))),
        )
        for one in borders.to_dict("records")
    ]
    about_all = dict(method or {})
    return PhaseDiagram(cells=found, boundaries=tuple(lines), phases=told.phases, method=about_all)


def _split(flags: Any) -> list[str]:
    return flags.split("; ") if isinstance(flags, str) else []  # NaN in a CSV
