"""The command that draws the figures of a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError
from criticality.cli import phases, pruning
from criticality.cli.app import Json, Select, StoreDir, app, expect_system, write, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# (name of the file, columns, width, titles of rows) -> rows of axes
Page = Callable[..., Sequence[Sequence[Any]]]

HEIGHT = 4.2


@app.command()
def figures(
    store: StoreDir,
    out: Annotated[Path, typer.Option(help="Directory for the figures.")],
    select: Select = None,
    p_train: Annotated[
        float | None,
        typer.Option(help="Dropout: training rate of the crossing; default: where one is."),
    ] = None,
    p_eval: Annotated[
        float | None,
        typer.Option(help="Dropout: evaluation rate of the scaling; default: near 0.8."),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    as_json: Json = False,
) -> None:
    """Draw the figures of a study: what they are depends on its system."""
    if file_format not in ("png", "pdf", "svg"):
        raise InputError(f"--format {file_format}: expected png, pdf or svg.")
    system = expect_system(store, "figures", "dropout", *pruning.PAGES)
    pages: dict[str, Figure] = {}

    def page(
        name: str, columns: int, width: float, titles: Sequence[str] = ("",)
    ) -> list[Sequence[Any]]:
        from matplotlib.figure import Figure

        pages[name] = Figure(figsize=(width, HEIGHT * len(titles)), layout="constrained")
        rows = pages[name].subfigures(len(titles), 1, squeeze=False).ravel()
        for row, title in zip(rows, titles, strict=True):
            if title:
                row.suptitle(title)
        return [row.subplots(1, columns, squeeze=False)[0] for row in rows]

    if system == "dropout":
        phases.draw_pages(store, select, page, p_train, p_eval)
    else:
        for option, value in (("--p-train", p_train), ("--p-eval", p_eval)):
            if value is not None:
                raise InputError(f"{option} {value:g}: is for a store of dropout, not {system}.")
        pruning.PAGES[system](store, select, page)
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = {}
        for name, figure in pages.items():
            files[name] = str(out / f"{name}.{file_format}")
            figure.savefig(files[name], dpi=160)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error}).") from error
    if as_json:
        write_json(files)
    else:
        for file in files.values():
            write(file)
