"""Maps of a plane: phases, quantities, and the borders between.

One flat cell a measured point: nothing is interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, TwoSlopeNorm, is_color_like, to_rgb
from matplotlib.patches import Patch, Rectangle

from criticality.analysis.boundaries import Boundary
from criticality.analysis.classify import PhaseDiagram
from criticality.analysis.scales import scale_of, scaled
from criticality.analysis.stats import Array
from criticality.base import UNRESOLVED, InputError, probability_name
from criticality.figures.parts import DRAWN, axes, label, positions, scale, starred

HATCH = "////"
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue (ITU-R BT.709)
DARK = 0.45  # luminance of a cell, on which a dark hatch would not be seen
STYLES = ("s--", "o-")


def phase_map(
    diagram: PhaseDiagram, ax: Axes | None = None, *, legend: bool = True, borders: bool = True
) -> Axes:
    """Draw the phase of every measured point, with the borders; unresolved ones are hatched.

    Where every realization has its phase, a cell has the colour of the phase that most are in, and
    is hatched unless these are significantly more.  The hatching then shows where borders are: they
    are drawn of two phases alone, since those of several pairs would hide each other.

    Raises
    ------
    InputError
        If the colour of a phase is none.
    """
    ax = axes(ax)
    colours = _colours(diagram)
    norm = BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours))
    shown = _shown(diagram)
    cells(shown, ax, cmap=ListedColormap(colours), norm=norm)
    for code in np.unique(shown):
        dark = np.dot(to_rgb(colours[code]), LUMINANCE) < DARK
        where = (diagram.cells["phase"] == 0) & (shown == code) & diagram.measured
        hatch(where, ax, "0.75" if dark else "0.35")
    pairs = {border.between for border in diagram.boundaries}
    crowded = "likely" in diagram.cells and len(pairs) > 1
    drawn = (
        draw_boundaries(diagram.cells, diagram.boundaries, ax) if borders and not crowded else []
    )
    if legend:
        ax.legend(
            handles=[*phase_handles([diagram]), *drawn],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=2,
            fontsize="small",
            frameon=False,
            columnspacing=1.2,
            handlelength=1.6,
        )
    return ax


def phase_handles(diagrams: Sequence[PhaseDiagram]) -> list[Any]:
    """Give handles of a legend for the phases that occur in diagrams of one system."""
    codes = np.unique([code for one in diagrams for code in np.unique(_shown(one))])
    colours = _colours(diagrams[0])
    handles: list[Any] = [
        Patch(facecolor=colours[code], edgecolor="0.3", label=diagrams[0].phase(code).name)
        for code in codes
        if code
    ]
    unresolved = [(_shown(one) == 0) & one.measured for one in diagrams]
    if any(where.any() for where in unresolved):
        handles.append(Patch(facecolor="w", edgecolor="0.3", hatch=HATCH, label=UNRESOLVED.name))
    if not all(one.measured.all() for one in diagrams):
        handles.append(Patch(facecolor="w", edgecolor="0.3", label="not measured"))
    if any(((one.cells["phase"] == 0) & (_shown(one) != 0)).any() for one in diagrams):
        text = "not significant"
        handles.append(Patch(facecolor="0.85", edgecolor="0.3", hatch=HATCH, label=text))
    return handles


def _shown(diagram: PhaseDiagram) -> xr.DataArray:
    """Codes of the colours of cells."""
    return diagram.cells.get("likely", diagram.cells["phase"])


def probability_maps(diagram: PhaseDiagram, row: Sequence[Axes]) -> None:
    """Draw how probable each phase is, a map each, with one colour bar for all.

    The last one is of realizations in no phase, if there are axes for it.

    Parameters
    ----------
    diagram
        Of realizations that have phases, see `analysis.shares`.
    row
        Axes for each of its phases, and one more or none.
    """
    phases = (*diagram.phases, UNRESOLVED)[: len(row)]
    for number, (phase, ax) in enumerate(zip(phases, row, strict=True)):
        array = diagram.cells[probability_name(phase.name)]
        mesh = cells(array, ax, cmap="cividis", vmin=0, vmax=1)
        ax.set_title(phase.name, fontsize="medium")
        if number:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
    figure = row[0].get_figure()
    assert figure is not None
    figure.colorbar(mesh, ax=list(row), label="probability", pad=0.02)


def _colours(diagram: PhaseDiagram) -> list[str]:
    """Colours of the codes of phases."""
    colours = diagram.colours()
    for phase, colour in zip((UNRESOLVED, *diagram.phases), colours, strict=True):
        if not is_color_like(colour):
            raise InputError(
                f"phase {phase.name}: colour = {colour!r}: expected a name of a colour or #rrggbb."
            )
    return colours


def value_map(
    diagram: PhaseDiagram,
    name: str,
    ax: Axes | None = None,
    *,
    text: str = "",
    limits: tuple[float, float] | None = None,
    signed: bool = False,
) -> Axes:
    """Draw a quantity over the plane, `text` beside its colour bar.

    What has both signs, or is `signed`, is drawn from one colour to another through white at zero.
    """
    ax = axes(ax)
    array = diagram.cells[name]
    known = array.values[np.isfinite(array.values)]
    options: dict[str, Any] = {"cmap": "cividis"}
    if limits is not None:
        options |= {"vmin": limits[0], "vmax": limits[1]}
    elif signed or (len(known) and known.min() < 0 < known.max()):
        largest = max(1e-3, float(np.abs(known).max(initial=0)))
        options = {"cmap": "PuOr", "norm": TwoSlopeNorm(0, -largest, largest)}
    mesh = cells(array, ax, **options)
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(mesh, ax=ax, label=text or label(diagram.cells, name), pad=0.02)
    return ax


def doubted(diagram: PhaseDiagram, ax: Axes) -> Axes:
    """Cross the cells whose numbers are doubted, hatch those unresolved, draw the borders."""
    crosses(diagram, ax)
    hatch((diagram.cells["phase"] == 0) & diagram.measured, ax)
    draw_boundaries(diagram.cells, diagram.boundaries, ax)
    return ax


def crosses(diagram: PhaseDiagram, ax: Axes, name: str = "") -> None:
    """Cross the cells whose numbers are doubted, under a name for the legend."""
    where = diagram.cells.get("doubted")
    if where is not None and where.any():
        x, y = _centres(where)
        at = np.argwhere(_table(where))
        label = name or None
        ax.plot(x[at[:, 0]], y[at[:, 1]], "x", color="k", ms=3, mew=0.8, label=label)


def cells(array: xr.DataArray, ax: Axes, **options: Any) -> Any:
    """Draw an array over one axis or two as one flat cell a point."""
    x = positions(array[array.dims[0]])[1]
    y = positions(array[array.dims[1]])[1] if array.ndim == 2 else np.array([-0.5, 0.5])
    table = _table(array).astype(float)
    mesh = ax.pcolormesh(
        x, y, np.ma.masked_invalid(table).T, shading="flat", rasterized=True, **options
    )
    holder = array.to_dataset(name=DRAWN)
    scale(holder, str(array.dims[0]), ax.xaxis)
    if array.ndim == 2:
        scale(holder, str(array.dims[1]), ax.yaxis)
    else:
        ax.set_yticks([])
    return mesh


def hatch(where: xr.DataArray, ax: Axes, colour: str = "0.35") -> None:
    """Hatch cells."""
    x = positions(where[where.dims[0]])[1]
    y = positions(where[where.dims[1]])[1] if where.ndim == 2 else np.array([-0.5, 0.5])
    for i, j in np.argwhere(_table(where)):
        corner, width, height = (x[i], y[j]), x[i + 1] - x[i], y[j + 1] - y[j]
        ax.add_patch(
            Rectangle(corner, width, height, fill=False, hatch=HATCH, lw=0, edgecolor=colour)
        )


def place(value: float, coordinate: xr.DataArray) -> float:
    """Where a value stands on a drawn axis; an open end at its edge."""
    centres, edges = positions(coordinate)
    on = scale_of(coordinate)
    values = scaled(coordinate.values, on)
    order = np.argsort(values)
    at = value if math.isinf(value) else scaled(value, on)
    return float(np.interp(at, values[order], centres[order], edges[0], edges[-1]))


def draw_boundaries(plane: xr.Dataset, boundaries: Sequence[Boundary], ax: Axes) -> list[Any]:
    """Draw every border that has a bound, with its interval; an open end is an arrow.

    Gives handles of a legend: circles lie along the last axis, squares along the other.
    """
    dims = [str(d) for d in plane["phase"].dims]
    families: dict[tuple[str, str], list[Boundary]] = {}
    for border in boundaries:
        found = border.estimate
        if not (math.isnan(found.low) or -found.low == found.high == math.inf):
            families.setdefault((border.along, border.quantity), []).append(border)
    handles: dict[str, Any] = {}
    for (along, _), members in families.items():
        vertical = len(dims) == 2 and along == dims[1]
        values = plane[along]
        rows = []
        for border in members:
            others = [plane[d] for d in dims if d != along]
            across = place(next(iter(border.at.values())), others[0]) if others else 0.0
            ends = border.estimate.value, border.estimate.low, border.estimate.high
            middle, low, high = (place(v, values) if not math.isnan(v) else v for v in ends)
            rows.append((across, middle, low, high))
            for end, open_end, limit, (up, right) in (
                (border.estimate.high, math.inf, high, "^>"),
                (border.estimate.low, -math.inf, low, "v<"),
            ):
                if end == open_end:
                    where = (across, limit) if vertical else (limit, across)
                    arrow = up if vertical else right
                    ax.plot(*where, arrow, color="k", ms=4, clip_on=False)
        across, middle, low, high = np.array(rows).T
        spread = {"yerr" if vertical else "xerr": (high - low) / 2}
        centre = (across, (low + high) / 2) if vertical else ((low + high) / 2, across)
        ax.errorbar(*centre, **spread, fmt="none", color="k", lw=1, capsize=2)
        percent = round(100 * members[0].estimate.level)
        line = (across, middle) if vertical else (middle, across)
        text = f"{starred(plane, along)} ({percent} %)"
        style = STYLES[along == dims[-1]]
        (handles[text],) = ax.plot(*line, style, color="k", ms=3.5, lw=1, mfc="w", label=text)
    return list(handles.values())


def mark(plane: xr.Dataset, border: Boundary, ax: Axes) -> None:
    """Mark a border and its interval on the horizontal axis along which it lies."""
    values = plane[border.along]
    if math.isnan(border.estimate.value):
        return
    left, right = ax.get_xlim()
    found = border.estimate
    ax.axvspan(place(found.low, values), place(found.high, values), color="0.85", zorder=0, lw=0)
    value = place(found.value, values)
    ax.axvline(value, color="0.4", lw=0.8, ls="--", zorder=0)
    ax.annotate(
        starred(plane, border.along),
        (value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(3, -3),
        textcoords="offset points",
        va="top",
    )
    ax.set_xlim(left, right)


def _centres(array: xr.DataArray) -> tuple[Array, Array]:
    x = positions(array[array.dims[0]])[0]
    return x, positions(array[array.dims[1]])[0] if array.ndim == 2 else np.zeros(1)


def _table(array: xr.DataArray) -> np.ndarray[Any, Any]:
    """Values [x, y]; a single axis is x."""
    values: np.ndarray[Any, Any] = array.values
    return values if array.ndim == 2 else values[:, None]
