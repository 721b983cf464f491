"""Pages for any system: what its axes, its plane, its size and its order parameters allow."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import xarray as xr

from criticality.analysis.classify import PhaseDiagram
from criticality.analysis.search import REALIZATION, best, searched, split_share
from criticality.base import UNRESOLVED, InputError, Search, probability_name
from criticality.figures.book import Book, Source, all_used, at_point
from criticality.figures.panels import phase_panels
from criticality.figures.parts import assigned
from criticality.figures.plane import doubted, phase_map, probability_maps, value_map
from criticality.figures.search import search_curve
from criticality.figures.sizes import against, against_size

log = logging.getLogger("criticality")
MOST = 4  # panels in a row
ENDS = {  # of names of quantities: what is told of them
    "": "{0} at {1} = {2:g}",
    "_exponent": "exponent of {0} with {1}",
    "_limit": r"{0} at {1} $\to\infty$",
}


def generic_pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw phases over the plane, order parameters against the control, and against the size.

    Of other axes the first value is shown, or what `at` says; where an ordered axis has it again,
    the first time.
    """
    told = source.card
    ds = source.open()
    names = [name for name in told.order if name in ds][:MOST]
    keep = {*told.plane, told.size, "realization", *told.repeated}
    plane = [name for name in told.plane if name in ds.dims and ds.sizes[name] > 1]
    control = plane[-1] if plane else _control(ds, names, keep)
    if told.plane and told.phases and (told.rules or (told.classify and source.here)):
        _phases(source, book)
    if told.search:
        _search(source, told.search, ds, book)
    shown = ds[names]
    sizes = 1 if told.size == control else shown.sizes.get(told.size, 1)
    by = told.size if sizes > 1 else ""
    kept = {"realization", *told.repeated, control, by}
    others = [str(d) for d in shown.dims if d not in kept]
    others.sort(key=told.plane.__contains__)
    all_used(at, *others)
    shown, *titles = at_point(shown, others, at, 0)
    if control:
        row = book.page("curves", len(names), 5.5 * len(names), titles)[0]
        for ax, name in zip(row, names, strict=True):
            against(shown[name], control, by, ax, told.repeated)
    if by:
        row = book.page("sizes", len(names), 5.5 * len(names), titles)[0]
        for ax, name in zip(row, names, strict=True):
            against_size(shown[name], by, control, ax, told.repeated)


def _control(ds: xr.Dataset, names: list[str], keep: set[str]) -> str:
    """First axis of numbers along which the order parameters vary."""
    for name in names:
        for dim in map(str, ds[name].dims):
            if dim not in keep and ds.sizes[dim] > 1 and ds[dim].dtype.kind in "iuf":
                return dim
    return ""


def _search(source: Source, search: Search, ds: xr.Dataset, book: Book) -> None:
    """Draw what is minimised, and what is shown, along the path of the system's search."""
    if not search.path or not set(search.path) <= set(ds.dims):
        return
    axes, share = searched(source.axes), split_share(ds, search)
    names = [search.minimise, *(n for n in search.show if set(ds[n].dims) <= {*axes, REALIZATION})]
    try:
        found = {n: best(ds, n, (), search.path, axes=axes, share=share) for n in names[:MOST]}
    except InputError as error:  # as where the study has no point of the path, or sweeps more
        log.warning("no page of the search: %s", error)
        return
    chosen, along = found[search.minimise], next(iter(search.path))
    row = book.page("search", len(found), 4.8 * len(found))[0]
    for ax, (name, one) in zip(row, found.items(), strict=True):
        search_curve(ds, name, one, chosen, along, ax)
    row[0].legend(fontsize="small", frameon=False)


def _phases(source: Source, book: Book) -> None:
    """Draw the plane, where the data have it; several side by side if more is swept."""
    try:
        diagram = source.diagram()
    except InputError as error:  # as where the study does not sweep the plane, or more than it
        try:
            panels = phase_panels(source, book)
        except InputError:
            log.warning("no page of phases: %s", error)
            return
        ds = source.open()
        titles = [", ".join(assigned(ds, *pair) for pair in panel.at.items()) for panel in panels]
        _probabilities([panel.diagram for panel in panels], titles, book)
        return
    told, cells = source.card, diagram.cells
    decided = [(name, end) for name in told.order for end in ENDS if f"{name}{end}" in cells]
    quantities = decided[: MOST - 1]
    row = book.page("phases", 1 + len(quantities), 4.6 * (1 + len(quantities)))[0]
    phase_map(diagram, row[0])
    sizes = diagram.method.get("sizes", ())  # none where one size is all there is
    for ax, (name, end) in zip(row[1:], quantities, strict=True):
        shown = told.observable(name).label or name
        text = ENDS[end].format(shown, told.size, max(sizes)) if len(sizes) else shown
        value_map(diagram, f"{name}{end}", ax, text=text)
        doubted(diagram, ax)
    _probabilities([diagram], [""], book)


def _probabilities(diagrams: list[PhaseDiagram], titles: list[str], book: Book) -> None:
    """Draw how probable each phase is, a row for each diagram, if realizations have phases."""
    if "likely" not in diagrams[0].cells:
        return
    rest = probability_name(UNRESOLVED.name)
    columns = len(diagrams[0].phases) + any((one.cells[rest] > 0).any() for one in diagrams)
    rows = book.page("probabilities", columns, 3.2 * columns + 0.8, titles)
    for diagram, row in zip(diagrams, rows, strict=True):
        probability_maps(diagram, row)
