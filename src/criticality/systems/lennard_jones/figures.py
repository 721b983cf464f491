"""Figures of Lennard-Jones atoms: what any system has, pair correlations, displacements."""

from __future__ import annotations

from collections.abc import Mapping

from criticality.figures.book import Book, Source, at_point
from criticality.figures.pages import generic_pages
from criticality.figures.sizes import against

CURVES = (("pair_correlation", "r"), ("square_displacement", "lag"))
AXES = ("temperature", "density", "pressure", "start", "cells")  # by which curves are told apart


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, and g(r) and the mean square displacement of the points."""
    generic_pages(source, book, at)
    ds = source.open()
    names = [(name, along) for name, along in CURVES if name in ds]
    by = next((axis for axis in AXES if ds.sizes.get(axis, 1) > 1), "")
    row = book.page("structure", len(names), 5.5 * len(names))[0]
    for ax, (name, along) in zip(row, names, strict=True):
        others = [str(d) for d in ds[name].dims if d not in (along, by, "realization")]
        shown, title = at_point(ds, others, at, 0)
        against(shown[name], along, by, ax)
        ax.set_title(title, fontsize="medium")
