"""A plane of phases, and borders, for a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from criticality.analysis.boundaries import Boundary
from criticality.base import Phase, html

MOST = 32  # cells in a row or column of a map
LINES = 24  # borders that are listed


def table(boundaries: Sequence[Boundary]) -> pd.DataFrame:
    """Table of borders: a row each."""
    columns = ["along", "quantity", "below", "above", "value", "error", "low", "high", "status"]
    rows = []
    for line in boundaries:
        found = line.estimate
        ends = (found.value, found.error, found.low, found.high)
        plain = (line.along, line.quantity, *line.between, *ends, line.status)
        rows.append(line.at | dict(zip(columns, plain, strict=True)))
    axes = dict.fromkeys(name for line in boundaries for name in line.at)
    return pd.DataFrame(rows, columns=[*axes, *columns])


def diagram(
    cells: xr.Dataset,
    measured: xr.DataArray,
    phases: Sequence[Phase],
    colours: Sequence[str],
    boundaries: Sequence[Boundary],
    method: Mapping[str, Any],
) -> str:
    """Map of letters, how often each occurs, borders, and how it was made."""
    code = cells["phase"]
    plane = [str(dim) for dim in code.dims]
    codes = np.where(measured.transpose(*plane), code.values, -1)
    rows = [
        (html.swatch(phase.letter, colours[code] if code else "", not code, "span"), phase.name, n)
        for code, phase in enumerate(phases)
        if (n := int((codes == code).sum()))
    ]
    small = max(code.shape) <= MOST
    head = ("", "phase", f"of {code.size} cells")
    parts = [_map(cells, codes, phases, colours)] if small else []
    parts.append(html.table(head, rows))
    if boundaries:
        parts.append(html.folded(f"borders: {len(boundaries)}", _borders(boundaries)))
    if "realizations" in method:
        made = {"realizations": method["realizations"], "sigmas": method.get("sigmas", "")}
        made |= {"errors": method.get("error_method", "")}
        parts.append(html.facts(made))
    return html.panel(f"Phases over {' and '.join(plane)}", *parts)


def _cell(phases: Sequence[Phase], colours: Sequence[str], code: int, likely: int = -1) -> str:
    """Letter of a phase; hatched if it is unresolved, on the colour of the likeliest one."""
    if code < 0:
        return "<td></td>"
    shown = likely if code == 0 and likely > 0 else code
    colour = colours[shown] if shown else ""
    return html.swatch(phases[shown].letter, colour, hatched=code == 0)


def _map(
    cells: xr.Dataset,
    codes: np.ndarray[Any, Any],
    phases: Sequence[Phase],
    colours: Sequence[str],
) -> html.Markup:
    """Cells as in the figure: the first axis to the right, the second upwards."""
    plane = [str(dim) for dim in cells["phase"].dims]
    likely = cells["likely"].values if "likely" in cells else codes
    shape = (*codes.shape, 1)[:2]
    codes, likely = codes.reshape(shape), likely.reshape(shape)
    across = cells[plane[0]].values.tolist()
    upwards = cells[plane[1]].values.tolist() if len(plane) > 1 else [""]
    lines = []
    for row in reversed(range(len(upwards))):
        name = html.listed([upwards[row]])
        drawn = (
            _cell(phases, colours, int(codes[column, row]), int(likely[column, row]))
            for column in range(len(across))
        )
        lines.append(f'<tr><th scope="row">{html.escaped(name)}</th>{"".join(drawn)}</tr>')
    ends = "".join(f'<th scope="col">{html.escaped(html.listed([x]))}</th>' for x in across)
    corner = " \\ ".join(reversed(plane))
    foot = f'<tr><th scope="col">{html.escaped(corner)}</th>{ends}</tr>'
    return html.Markup(f'<table class="map"><tbody>{"".join(lines)}{foot}</tbody></table>')


def _borders(boundaries: Sequence[Boundary]) -> str:
    rows = [
        (
            ", ".join(f"{name} = {html.listed([value])}" for name, value in line.at.items()),
            f"{line.along} = {line.estimate}" if math.isfinite(line.estimate.value) else html.NONE,
            line.estimate.interval(),
            " | ".join(name for name in line.between if name) or line.quantity,
            line.status,
        )
        for line in boundaries[:LINES]
    ]
    level = f"{100 * boundaries[0].estimate.level:g} % interval"
    more = len(boundaries) - len(rows)
    rest = f"{more} more: <code>.borders()</code>" if more else ""
    return html.table(("at", "border", level, "between", "status"), rows) + rest
