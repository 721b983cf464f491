"""Phase maps side by side, where a study sweeps more than its plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from criticality.analysis.classify import PhaseDiagram, planes
from criticality.base import InputError
from criticality.figures.book import Book, Source
from criticality.figures.parts import assigned
from criticality.figures.plane import phase_handles, phase_map

MOST = 24  # panels of a page
IN_ROW = 6  # of one axis alone
WIDTH = 3.3
ENTRY = 2.4  # inches, of the legend


class Panel(NamedTuple):
    """A phase map: the values of the other axes, where it is drawn, and what is drawn."""

    at: dict[str, Any]
    ax: Axes
    diagram: PhaseDiagram


def phase_panels(
    source: Source,
    book: Book,
    name: str = "phases",
    *,
    over: Callable[[Panel], None] | None = None,
    borders: bool = True,
) -> list[Panel]:
    """Draw a page of phase maps, one for each combination of the other outer axes that are swept.

    The last of these axes varies along the row; of two, each row has a value of the first.  One
    legend stands below all, with the labels of what `over` draws over a panel.  Without `borders`
    the measured ones are left out.  Where a path has few of these combinations, they follow each
    other.

    Raises
    ------
    InputError
        For more than two other axes or `MOST` panels, or as `Source.diagram`.
    """
    ds, told = source.open(), source.card
    every = planes(ds, told.plane, told.size, source.axes)
    others = list(every[0])
    if len(others) > 2 or len(every) > MOST:
        raise InputError(
            f"{len(every)} panels over {', '.join(others)}: a page has {MOST} at most, over two "
            f"axes; choose values with --select AXIS=VALUE."
        )

    diagrams = [source.diagram(at) for at in every]
    crossed = len(others) == 2 and len(every) == ds.sizes[others[0]] * ds.sizes[others[1]]
    columns = ds.sizes[others[1]] if crossed else min(len(every), IN_ROW)
    firsts = every[::columns]
    titles = [assigned(ds, others[0], at[others[0]]) if crossed else "" for at in firsts]
    rows = book.page(name, columns, WIDTH * columns, titles)
    places = [ax for row in rows for ax in row]
    panels = list(map(Panel, every, places, diagrams))
    lines: dict[str, Any] = {}
    for number, (at, ax, diagram) in enumerate(panels):
        phase_map(diagram, ax, legend=False, borders=borders)
        if over is not None:
            over(Panel(at, ax, diagram))
        if others:
            said = [assigned(ds, name, at[name]) for name in (others[-1:] if crossed else others)]
            ax.set_title(", ".join(said), fontsize="medium")
        if number % columns:
            ax.set_ylabel("")
        if number + columns < len(every):
            ax.set_xlabel("")
        lines |= {str(line.get_label()): line for line in ax.get_legend_handles_labels()[0]}
    for ax in places[len(every) :]:
        ax.remove()
    handles = [*phase_handles(diagrams), *lines.values()]
    ncols = max(1, min(len(handles), int(WIDTH * columns / ENTRY)))
    book.pages[name].legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False)
    return panels
