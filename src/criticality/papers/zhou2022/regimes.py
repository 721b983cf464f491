"""Which layer moves by more than its start as the width grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from criticality.base import with_error
from criticality.papers.rows import row, said

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Zhou et al.: layers condense one after the other, along gamma_2 = 0"
STUDIES = ("zhou_regimes",)
CHANGES = {"change_1": "W1", "change_2": "W2"}
GAMMA_2 = 0.0


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure changes of both layers, their exponents, and where these vanish."""
    from criticality import phase_diagram
    from criticality.papers.samples import to_tables

    ds = stores["zhou_regimes"].open(observables=list(CHANGES))
    diagram = phase_diagram(ds)
    names = [f"{name}_exponent" for name in CHANGES]
    cells = diagram.cells[["phase", *names, *(f"{n}_error" for n in names)]].to_dataframe()
    borders = [
        {"quantity": border.quantity, **row(border.estimate, border.flags)}
        for border in diagram.boundaries
        if border.along == "gamma_3"
    ]
    return {
        **to_tables("changes", ds, *CHANGES),
        "exponents": cells.reset_index(),
        "borders": pd.DataFrame(borders),
    }


def draw(tables: Tables) -> Figure:
    """Draw changes against the width, and exponents along gamma_3 with those of the theory."""
    from matplotlib.figure import Figure

    from criticality import phase_diagram
    from criticality.figures.sizes import against_size
    from criticality.papers.samples import to_dataset
    from criticality.systems.three_layer import figures

    ds = to_dataset(tables, "changes", *CHANGES)
    figure = Figure(figsize=(14, 4.4), layout="constrained")
    panels = figure.subplots(1, 3)
    figures.exponents(phase_diagram(ds), GAMMA_2, panels[0])
    some = ds.sel(gamma_2=GAMMA_2).isel(gamma_3=slice(None, None, 2))
    for ax, (name, layer) in zip(panels[1:], CHANGES.items(), strict=True):
        against_size(some[name], "width", "gamma_3", ax)
        ax.set_title(f"${layer[0]}_{layer[1]}$", fontsize="medium")
    for ax, letter in zip(panels, "abc", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Give the exponents beside those of the theory, and where they vanish."""
    from criticality.systems.three_layer import theory

    lines = []
    widths = sorted(tables["changes"]["width"].unique())
    lines.append(f"widths {widths[0]} to {widths[-1]}")
    for of in tables["exponents"].to_dict("records"):
        exact = theory.exponents(GAMMA_2, of["gamma_3"])
        told = ", ".join(
            f"{layer} {with_error(of[f'{n}_exponent'], of[f'{n}_exponent_error'])} "
            f"({float(value):.3f})"
            for (n, layer), value in zip(CHANGES.items(), exact, strict=False)
        )
        lines.append(f"gamma_3 = {of['gamma_3']:g}: {told}")
    for of in tables["borders"].to_dict("records"):
        layer = next(name for change, name in CHANGES.items() if change in of["quantity"])
        lines.append(f"{layer} condenses above gamma_3 = {said(of)}")
    return "\n".join(lines)
