"""The command that finds the phases of a study."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import probability_name
from criticality.cli.app import (
    Draws,
    Json,
    Level,
    Own,
    Plane,
    Seed,
    Select,
    StoreDir,
    app,
    between_0_and_1,
    opened,
    positive,
    write,
    write_json,
)

NOTHING = "."  # stands for a cell that was not measured
SMALL = 0.01  # below it, three decimals say too little

if TYPE_CHECKING:
    from criticality.analysis.boundaries import Boundary
    from criticality.analysis.classify import PhaseDiagram


@app.command()
def phases(
    store: StoreDir,
    select: Select = None,
    plane: Plane = None,
    sigmas: Annotated[
        float, typer.Option(help="Standard errors that make a quantity significant.")
    ] = 2.0,
    draws: Draws = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    system: Own = None,
    as_json: Json = False,
) -> None:
    """Find the phase of every point of the system's plane, and the borders between."""
    positive("--sigmas", sigmas)
    between_0_and_1("--level", level)
    options: Any = {"sigmas": sigmas, "draws": draws, "level": level, "seed": seed}
    results = opened(store, select, system, plane)
    found = results.diagrams(**options)
    if as_json:
        panels = [{"at": at} | diagram.to_dict() for at, diagram in found]
        write_json({"panels": panels} if found[0][0] else found[0][1].to_dict())
        return
    for at, diagram in found:
        if at:
            write(", ".join(f"{name} = {_short(value)}" for name, value in at.items()))
        _table(diagram)
        if "likely" in diagram.cells:
            _probabilities(diagram)
            sizes = diagram.method.get("sizes", ())
            if len(sizes) > 1:
                size = results.card.size
                write(
                    f"\nat {size} = {max(sizes):g}, the largest; others with --select {size}=VALUE"
                )
        for _, family in itertools.groupby(diagram.boundaries, key=lambda b: (b.along, b.quantity)):
            _borders(list(family))
        method = diagram.method
        write(f"\n{method['realizations']} realizations; errors: {method['error_method']}")
        if at != found[-1][0]:
            write("\n")


def _table(diagram: PhaseDiagram) -> None:
    """Write a letter for every cell, the first axis along the row."""
    names = [f"{p.letter} {p.name}" for p in (*diagram.phases, diagram.phase(0))]
    measured = diagram.measured.values
    if not measured.all():
        names.append(f"{NOTHING} not measured")
    write(f"phase of every cell: {', '.join(names)}")
    cells = diagram.cells
    x = str(cells["phase"].dims[0])
    y = str(cells["phase"].dims[1]) if cells["phase"].ndim == 2 else ""
    doubted, likely = cells.get("doubted"), cells.get("likely")
    if likely is not None:
        write("that of most realizations; with a ? where these are not significantly more")
    if doubted is not None:
        write(f"lower case: {doubted.attrs['long_name']}")
    write()
    heads = [_short(value) for value in cells[x].values]
    rows = [_short(value) for value in cells[y].values] if y else [""]
    corner = f"{y} \\ {x}" if y else x
    width = max(7, *(len(head) + 2 for head in heads))
    first = max(len(corner), *(len(row) for row in rows))
    write(f"{corner:>{first}}" + "".join(f"{head:>{width}}" for head in heads))
    codes = cells["phase"].values.reshape(len(heads), -1)
    shown = codes if likely is None else likely.values.reshape(codes.shape)
    doubts = None if doubted is None else doubted.values.reshape(codes.shape)
    there = measured.reshape(codes.shape)
    for j in reversed(range(len(rows))):
        letters = [
            diagram.phase(int(code)).letter + "?" * bool(code and not sure)
            for code, sure in zip(shown[:, j], codes[:, j], strict=True)
        ]
        if doubts is not None:
            pairs = zip(letters, doubts[:, j], strict=True)
            letters = [letter.lower() if doubt else letter for letter, doubt in pairs]
        pairs = zip(letters, there[:, j], strict=True)
        letters = [letter if known else NOTHING for letter, known in pairs]
        write(f"{rows[j]:>{first}}" + "".join(f"{letter:>{width}}" for letter in letters))


def _probabilities(diagram: PhaseDiagram) -> None:
    """Write a line for every cell: its most probable phase, how probable, of how many."""
    cells, percent = diagram.cells, f"{100 * diagram.method['level']:g}"
    dims = [str(dim) for dim in cells["phase"].dims]
    table = cells.stack(cell=dims, create_index=False)
    rows = [(*dims, "phase of most", "probability", f"{percent} % interval", "realizations")]
    for i in range(table.sizes["cell"]):
        one = table.isel(cell=i)
        if not one["realizations"]:
            continue
        most = diagram.phase(int(one["likely"])).name
        name = probability_name(most)
        share, low, high = (float(one[f"{name}{end}"]) for end in ("", "_low", "_high"))
        doubt = " (not significant)" if one["likely"] and not one["phase"] else ""
        numbers = (f"{share:.2f}", f"[{low:.2f}, {high:.2f}]")
        at = [_short(one[dim].item()) for dim in dims]
        rows.append((*at, most + doubt, *numbers, str(int(one["realizations"]))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    write()
    for row in rows:
        write("  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True)))


def _borders(family: list[Boundary]) -> None:
    """Write a border, a line for each value of the other axis."""
    one = family[0]
    percent = f"{100 * one.estimate.level:g}"
    sides = zip(one.between, ("less", "more"), strict=True)
    said = ", ".join(f"{name} where it is {side}" for name, side in sides if name)
    said = f" ({said})" if said else ""
    write(f"\n{one.along}* where {one.quantity}{said}, {percent} % interval")
    for border in family:
        at = ", ".join(f"{name} = {_short(value):<5}" for name, value in border.at.items())
        write(f"  {at} {_place(border)}".rstrip())


def _place(border: Boundary) -> str:
    found = border.estimate
    if math.isnan(found.low):
        return f"none: {border.status}"
    middle = _number(found.value) if math.isfinite(found.value) else f"{border.status}:"
    spread = f" +- {_number(found.error)}" if math.isfinite(found.error) else ""
    bounds = (
        _number(v) if math.isfinite(v) else "beyond the grid" for v in (found.low, found.high)
    )
    interval = f"[{', '.join(bounds)}]"
    if math.isinf(found.low) and math.isinf(found.high):
        interval = "beyond the grid" if found.low == found.high else "no bounds"
    doubts = [str(flag) for flag in border.flags] if math.isfinite(found.value) else []
    note = f"  ({', '.join(doubts)})" if doubts else ""
    return f"{middle}{spread}  {interval}{note}"


def _number(value: float) -> str:
    """Three decimals; of small numbers three digits, of those near 1 up to six decimals."""
    if abs(value) < SMALL and value:
        return f"{value:.3g}"
    return f"{value:.3f}" if abs(1 - value) >= SMALL else f"{value:.6f}".rstrip("0").rstrip(".")


def _short(value: Any) -> str:
    return str(value) if isinstance(value, str | bool) else f"{value:g}"
