"""Critical densities and exponents of both order parameters, or why there are none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from criticality.base import with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.analysis.critical import CriticalPoint
    from criticality.base import Estimate
    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Critical densities and exponents of accuracy and prediction entropy"
STUDIES = ("pesce_fc4",)
WAYS = {"mean": "fit of the mean curve", "alone": "mean of networks fitted alone"}
QUANTITIES = {"p_c": r"critical density $\rho_c$ (% of edges)", "beta": r"exponent $\beta$"}
RESOLVED = "resolved"


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure the exponents of each order parameter, in all windows, and what is against them."""
    from criticality.systems.pruning import breakdown

    ds = stores["pesce_fc4"].open(observables=list(breakdown.NEEDED))
    points = breakdown.critical_points(ds)
    about = [_about(point) for point in points]
    every = list(zip(about, points, strict=True))
    return {
        "verdicts": pd.DataFrame(
            [who | {"networks": len(p.order.values), "verdict": _verdict(p)} for who, p in every]
        ),
        "estimates": pd.DataFrame([who | one for who, p in every for one in _estimates(p)]),
        "windows": pd.DataFrame([who | one for who, p in every for one in _windows(p)]),
    }


def _about(point: CriticalPoint) -> dict[str, str]:
    return {"dataset": str(point.at["dataset"]), "observable": point.order.name}


def _verdict(point: CriticalPoint) -> str:
    return RESOLVED if point.resolved else "; ".join(map(str, point.flags))


def _estimates(point: CriticalPoint) -> Iterator[dict[str, Any]]:
    """Half-way density, and both parameters in both ways; densities in percent."""

    def told(quantity: str, way: str, found: Estimate) -> dict[str, Any]:
        factor = 1 if quantity == "beta" else 100
        numbers = {n: factor * getattr(found, n) for n in ("value", "error", "low", "high")}
        return {"quantity": quantity, "way": way, **numbers}

    yield told("half", "no model", point.breakdown.half)
    for name in ("p_c", "beta"):
        if point.fit is not None:
            yield told(name, "mean", point.fit.params[name])
        alone = point.single(name)
        if alone.n > 1:
            yield told(name, "alone", alone.estimate())


def _windows(point: CriticalPoint) -> Iterator[dict[str, Any]]:
    for fit in point.scan:
        if math.isfinite(fit.p_c):
            reach = 100 * min(fit.window[1], point.control[-1] - fit.p_c)
            flags = "; ".join(map(str, fit.flags))
            for name in QUANTITIES:
                found = fit.params[name]
                factor = 1 if name == "beta" else 100
                numbers = {"value": factor * found.value, "error": factor * found.error}
                yield {"reach": reach, "quantity": name, **numbers, "flags": flags}


def draw(tables: Tables) -> Figure:
    """Draw both parameters in both ways, and how they depend on the window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 7.2), layout="constrained")
    panels = figure.subplots(2, 2, width_ratios=(1.15, 1))
    rows = tables["estimates"].merge(tables["verdicts"], on=["dataset", "observable"])
    rows = rows.assign(variant=_variants(rows), flagged=rows["verdict"] != RESOLVED)
    for (left, right), (name, text) in zip(panels, QUANTITIES.items(), strict=True):
        _forest(rows[rows["quantity"] == name], left, text)
        _drift(tables["windows"].query("quantity == @name"), right, text)
    for ax, letter in zip(panels.ravel(), "abcd", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    for ax in panels[1]:
        handles, names = ax.get_legend_handles_labels()
        ax.legend(
            handles,
            names,
            frameon=False,
            fontsize="small",
            ncols=2,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
        )
    return figure


def _variants(rows: pd.DataFrame) -> Sequence[str]:
    names = rows["observable"].str.replace("_", " ")
    return list(rows["dataset"] + ",\n" + names)


def _forest(rows: pd.DataFrame, ax: Axes, text: str) -> None:
    from criticality.papers.parts import forest

    groups = {label: rows[rows["way"] == way] for way, label in WAYS.items()}
    ends = rows[["low", "high"]].clip(lower=0)
    value = rows["value"].max()
    forest(ax, groups, (0.0, float(min(1.1 * ends["high"].max(), 3 * value))))
    ax.set_xlabel(f"{text}, 95 % intervals")


def _drift(rows: pd.DataFrame, ax: Axes, text: str) -> None:
    from criticality.figures.parts import COLOURS, MARKERS, plain

    groups = rows.groupby(["dataset", "observable"], sort=False)
    for number, ((data, name), mine) in enumerate(groups):
        colour, marker = COLOURS[number], MARKERS[number]
        label = f"{data}, {str(name).replace('_', ' ')}"
        clean = mine["flags"].fillna("") == ""
        for some, face in ((mine[clean], colour), (mine[~clean], "w")):
            ax.errorbar(
                some["reach"],
                some["value"],
                some["error"],
                fmt=marker,
                ms=4.5,
                lw=1,
                capsize=2,
                color=colour,
                mfc=face,
            )
        ax.plot(mine["reach"], mine["value"], marker=marker, ms=0, lw=0.7, color=colour)
        ax.plot([], [], marker, color=colour, label=label)
    ax.set(
        xscale="log",
        xlabel=r"greatest distance $\rho - \rho_c$ that is fitted (% of edges)",
        ylabel=text,
    )
    top = float((rows["value"] + rows["error"].clip(upper=rows["value"].abs())).max())
    ax.set_ylim(0, 1.08 * top)
    plain(ax.xaxis)


def say(tables: Tables) -> str:
    """Give the table: half-way, critical density and exponent of each order parameter."""
    lines = []
    groups = tables["estimates"].groupby(["dataset", "observable"], sort=False)
    verdicts = tables["verdicts"].set_index(["dataset", "observable"])
    for (data, name), rows in groups:
        of = rows.set_index(["quantity", "way"])
        verdict = verdicts.loc[(data, name)]
        lines.append(f"{data}, {str(name).replace('_', ' ')} ({verdict['networks']} networks)")
        lines.append(f"  half-way at {_told(of, 'half', 'no model')} %")
        for way, label in WAYS.items():
            if ("beta", way) in of.index:
                lines.append(
                    f"  {label}: rho_c = {_told(of, 'p_c', way)} %, beta = {_told(of, 'beta', way)}"
                )
        doubts = "" if verdict["verdict"] == RESOLVED else f"unresolved: {verdict['verdict']}"
        lines.append(f"  {doubts or RESOLVED}")
    return "\n".join(lines)


def _told(of: pd.DataFrame, quantity: str, way: str) -> str:
    one = of.loc[(quantity, way)]
    return with_error(float(one["value"]), float(one["error"]))
