"""Figures of free energies: what any system has, and the integrands behind them."""

from __future__ import annotations

from collections.abc import Mapping

from criticality.figures.book import Book, Source, at_point
from criticality.figures.pages import generic_pages
from criticality.figures.sizes import against
from criticality.systems.lennard_jones.figures import along_path

INTEGRANDS = ("solid_integrand", "liquid_integrand")
AXES = ("pressure", "temperature", "cells")  # by which curves are told apart


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, and the integrand of each phase at its nodes."""
    generic_pages(source, book, at)
    ds = source.open()
    names = [name for name in INTEGRANDS if name in ds]
    by = next((axis for axis in AXES if ds.sizes.get(axis, 1) > 1), "")
    row = book.page("integrands", len(names), 5.5 * len(names))[0]
    for ax, name in zip(row, names, strict=True):
        shown = ds if not by else ds.assign({name: along_path(ds[name], by)})
        others = [str(d) for d in shown[name].dims if d not in ("node", by, "realization")]
        shown, title = at_point(shown, others, at, 0)
        against(shown[name], "node", by, ax)
        ax.set_xlabel(
            "$s$, of the potential "
            + ("$s^3 U + (1 - s^3) E$" if name == INTEGRANDS[0] else "$s^4 U$")
        )
        ax.set_title(title, fontsize="medium")
