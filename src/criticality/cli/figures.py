"""The command that draws the figures of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from criticality.base import InputError
from criticality.cli.app import (
    FORMATS,
    Json,
    Own,
    Plane,
    Select,
    StoreDir,
    app,
    opened,
    say,
    write,
    write_json,
)

if TYPE_CHECKING:
    from criticality.results import Results


@app.command()
def figures(
    store: StoreDir,
    out: Annotated[Path, typer.Option(help="Directory for the figures.")],
    select: Select = None,
    plane: Plane = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            help="Where a figure shows one value of an axis: this one.",
            metavar="AXIS=VALUE",
        ),
    ] = None,
    system: Own = None,
    file_format: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    as_json: Json = False,
) -> None:
    """Draw the figures of a study: those of its system, or what its axes allow."""
    if file_format not in FORMATS:
        raise InputError(f"--format {file_format}: expected png, pdf or svg.")
    from criticality.figures.book import Book
    from criticality.figures.pages import generic_pages

    results = opened(store, select, system, plane)
    places = _places(at or [], results)
    book = Book()
    own = results.card.pages
    if own and not results.here:
        say(f"the own figures of {results.card.name} are not here; drawn are those of its axes")
    if own and results.here:
        results.function("pages")(results, book, places)
    else:
        generic_pages(results, book, places)
    if not book.pages:
        raise InputError(f"{store}: nothing to draw: no swept axis and no inner one.")
    files = book.save(out, file_format)
    if as_json:
        write_json(files)
    else:
        for file in files.values():
            write(file)


def _places(at: list[str], results: Results) -> dict[str, str]:
    places = {}
    for text in at:
        name, separator, value = text.partition("=")
        if not separator or name not in results.axes:
            raise InputError(
                f"--at {text}: expected AXIS=VALUE with one of {', '.join(results.axes)}."
            )
        places[name] = value
    return places
