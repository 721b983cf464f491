"""Whether the line between eumentia and dementia is a BKT-like transition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import with_error

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.analysis.scaling import Decision, Marginal, ScalingData
    from criticality.base import Estimate
    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Is the line between eumentia and dementia a BKT-like transition?"
STUDIES = ("line", "shapes", "fashion")
SWEPT = ("p_train", "width", "depth")
APART = 8  # ratio of two sizes whose curves are compared: neighbours do not cross resolvably
SIZES_LEFT = 3  # at least, for an exponent
RANGE = (0.2, 0.98)  # of p_eval, where curves are compared; what is chosen in it is integrated out
EDGE = 1e-9
POINTS = 14  # of these are enough for that: those of one network are correlated
OBSERVABLES = {"line": ("loss", "ln loss")}  # of the others, the loss


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure curves, where alpha = 0 by the least size, where curves cross, and evidence."""
    found: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("curves", "drift", "crossings", "forms", "verdicts", "price")
    }

    def add(table: str, case: Mapping[str, Any], rows: Iterator[dict[str, Any]]) -> None:
        found[table] += [{**case, **row} for row in rows]

    for stem, case, ds in cases(stores):
        about = {"case": case}
        data = curves_of(ds, "loss")
        add("curves", about, _points(data))
        add("drift", about, _drift(ds))
        add("crossings", about, _crossings(data))
        for observable in OBSERVABLES.get(stem, ("loss",)):
            decision = decided(ds, observable)
            this = {**about, "observable": observable}
            add("forms", this, map(_form, decision.marginals))
            said = {"verdict": decision.verdict, "reason": decision.reason}
            add("verdicts", this, iter([{"networks": data.realizations, **said}]))
        add("price", about, _price(ds))
    return {name: pd.DataFrame(rows) for name, rows in found.items()}


def cases(stores: Mapping[str, Store]) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Give each condition that has a line of its own: its study, its name, its results."""
    for stem, store in stores.items():
        ds = store.open(observables=["loss", "accuracy"])
        axes = [name for name in SWEPT if name in ds.dims]
        for values in itertools.product(*(ds[name].values for name in axes)):
            one = ds.sel({name: [value] for name, value in zip(axes, values, strict=True)})
            if one["loss"].notnull().any():  # it is on the path
                said = [f"{name} {value:g}" for name, value in zip(axes, values, strict=True)]
                yield stem, ", ".join(said or [stem]), one


def curves_of(ds: xr.Dataset, observable: str) -> ScalingData:
    """Give the loss, or its logarithm, against p_eval, a curve for each number of samples."""
    from criticality.analysis.scaling import ScalingData

    at = {name: ds[name].values[0] for name in SWEPT if name in ds.dims}
    if observable == "ln loss":
        ds = ds.assign({observable: np.log(ds["loss"].mean("pass"))})
    return ScalingData.from_dataset(ds, "p_eval", "n_train", observable, at)


def decided(ds: xr.Dataset, observable: str) -> Decision:
    """Evidence over the whole range, with what could be chosen in it integrated out."""
    from criticality.analysis.scaling import decide

    return decide(curves_of(thinned(ds), observable))


def thinned(ds: xr.Dataset) -> xr.Dataset:
    """Give as many points as the comparison of forms needs."""
    p = ds["p_eval"].values
    inside = np.flatnonzero((p >= RANGE[0] - EDGE) & (p <= RANGE[1] + EDGE))
    places = np.linspace(0, len(inside) - 1, min(POINTS, len(inside))).round().astype(int)
    return ds.isel(p_eval=inside[places])


def _points(data: ScalingData) -> Iterator[dict[str, Any]]:
    for curve in data.curves:
        for p, mean, error in zip(curve.control, curve.mean, curve.error, strict=True):
            place = {"n_train": curve.size, "p_eval": p, "networks": curve.realizations}
            yield {**place, "loss": mean, "error": error}


def _drift(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Where alpha = 0, with more and more of the small sizes left out."""
    from criticality import phase_diagram

    sizes = ds["n_train"].values
    for first in range(len(sizes) - SIZES_LEFT + 1):
        found = phase_diagram(ds.isel(n_train=slice(first, None)))
        line = next(b for b in found.boundaries if b.along == "p_eval")
        flags = "; ".join(flag.name for flag in line.flags)
        ends = {"least": sizes[first], "largest": sizes[-1]}
        yield {**ends, **_numbers(line.estimate), "flags": flags}


def _crossings(data: ScalingData) -> Iterator[dict[str, Any]]:
    """Where the curves of two sizes cross that are far apart."""
    from criticality import crossings

    for crossing in crossings(data, pairs="all").crossings:
        small, large = crossing.sizes
        if large > 0.9 * APART * small:  # 58,000 stands for 64,000
            flags = "; ".join(flag.name for flag in crossing.flags)
            yield {"small": small, "large": large, **_numbers(crossing.at), "flags": flags}


def _form(found: Marginal) -> dict[str, Any]:
    """One form: its evidence over free curves, and its parameters."""
    row: dict[str, Any] = {"form": found.ansatz.family, "log_evidence": found.log_evidence}
    row |= {"p_value": found.p_value, "choices": len(found.choices)}
    for name in ("p_c", "nu", "sigma"):
        if name in found.params:
            numbers = _numbers(found.params[name])
            row |= {name if key == "value" else f"{name}_{key}": v for key, v in numbers.items()}
            row[f"{name}_statistical"] = found.statistical[name]
            row[f"{name}_systematic"] = found.systematic[name]
    if found.nu_eff is not None:
        row |= {"nu_eff": found.nu_eff.value, "nu_eff_error": found.nu_eff.error}
    row["flags"] = "; ".join(flag.name for flag in found.flags)
    return row


def _price(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Find what would tell the two kinds apart: the cheapest that does, and the dearest."""
    from criticality import required_sizes

    designs = required_sizes(curves_of(thinned(ds), "ln loss"), extra=(0, 1), more=(1, 4))
    for design in {designs[0].work: designs[0], designs[-1].work: designs[-1]}.values():
        yield {
            "largest": design.sizes[-1],
            "networks": design.realizations,
            "delta": design.delta,
            "spread": design.spread,
        }


def _numbers(found: Estimate) -> dict[str, float]:
    return {name: getattr(found, name) for name in ("value", "error", "low", "high")}


KINDS = ("algebraic", "bkt")
WORDS = {
    "algebraic": "algebraic",
    "bkt": "BKT",
    "drift": "smooth drift",
    "crossover": "smooth crossover",
    "free": "free curves",
    "no transition": "no dependence",
}
SHOWN = "p_train 0"  # the case whose curves are drawn


def draw(tables: Tables) -> Figure:
    """Draw curves, the drift of the line, p_c with its parts, and evidence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 8.4), layout="constrained")
    panels = [part.subplots() for part in figure.subfigures(2, 2).ravel()]
    _draw_curves(tables, panels[0])
    _draw_drift(tables["drift"], panels[1])
    _draw_points(tables["forms"], panels[2])
    _draw_evidence(tables["forms"], panels[3])
    for panel, letter in zip(panels, "abcd", strict=True):
        panel.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _draw_curves(tables: Tables, ax: Axes) -> None:
    from criticality.figures.parts import MARKERS, outside_legend, shades

    rows = tables["curves"].query("case == @SHOWN and p_eval >= @RANGE[0]")
    sizes = sorted(rows["n_train"].unique())
    for size, colour, marker in zip(sizes, shades(len(sizes)), MARKERS, strict=False):
        one = rows[rows["n_train"] == size].sort_values("p_eval")
        ax.errorbar(
            one["p_eval"],
            one["loss"],
            one["error"],
            fmt=f"{marker}-",
            ms=3,
            lw=0.8,
            color=colour,
            label=f"{size:.0f}",
        )
    line = tables["drift"].query("case == @SHOWN").iloc[0]
    ax.axvspan(line["low"], min(line["high"], RANGE[1]), color="0.88", zorder=0)
    ax.set(xlabel=r"$p_\mathrm{eval}$", ylabel="test loss (nat)", yscale="log")
    outside_legend(ax, r"$N$")


def _draw_drift(drift: pd.DataFrame, ax: Axes) -> None:
    from criticality.figures.parts import COLOURS, MARKERS, outside_legend

    for number, (case, rows) in enumerate(drift.groupby("case", sort=False)):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        place = rows["least"] * 1.05 ** (number - 3)
        known = rows["value"].notna()
        low, high = rows["low"].clip(0, 1), rows["high"].clip(0, 1)
        ax.vlines(place, low, high, color=colour, lw=0.9)
        style = {"ls": "-", "lw": 0.7, "ms": 4.5, "color": colour}
        ax.plot(place[known], rows["value"][known], marker=marker, label=case, **style)
    ax.set(
        xlabel=r"least size $N_\mathrm{min}$ that is kept",
        ylabel=r"$p_\mathrm{eval}$ at which $\alpha = 0$",
        xscale="log",
        ylim=(0.2, 1.0),
    )
    outside_legend(ax, "")


def _draw_points(forms: pd.DataFrame, ax: Axes) -> None:
    """Draw the effective exponent of both kinds, with its interval."""
    from criticality.figures.parts import COLOURS, MARKERS

    names = list(dict.fromkeys(_label(row) for _, row in forms.iterrows()))
    for number, (kind, name) in enumerate((("algebraic", "nu"), ("bkt", "sigma"))):
        rows = forms[forms["form"] == kind]
        place = [names.index(_label(row)) + 0.2 * (number - 0.5) for _, row in rows.iterrows()]
        symbol = rf"$\{name}$ ({WORDS[kind]})"
        style = {"color": COLOURS[number], "lw": 1.2}
        ax.hlines(place, rows[f"{name}_low"], rows[f"{name}_high"], **style)
        ax.plot(rows[name], place, MARKERS[number], color=COLOURS[number], label=symbol)
    ax.axvline(0.5, color="0.5", lw=0.8, ls=":")
    ax.annotate(r"$\sigma = 1/2$", (0.52, len(names) - 0.55), fontsize="small", color="0.35")
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set(xlabel="exponent, 95 % interval over all choices", xscale="log", xlim=(0.05, 60))
    ax.legend(fontsize="small", frameon=False)


def _draw_evidence(forms: pd.DataFrame, ax: Axes) -> None:
    from criticality.analysis.scaling.evidence import DECISIVE
    from criticality.figures.parts import COLOURS, MARKERS, outside_legend

    names = list(dict.fromkeys(_label(row) for _, row in forms.iterrows()))
    for number, (form, word) in enumerate(WORDS.items()):
        rows = forms[forms["form"] == form]
        place = [names.index(_label(row)) for _, row in rows.iterrows()]
        filled = COLOURS[number] if form in KINDS else "w"
        style = {"color": COLOURS[number], "mfc": filled, "ls": "", "label": word}
        ax.plot(rows["log_evidence"], place, MARKERS[number], **style)
    ax.axvspan(-DECISIVE, DECISIVE, color="0.92", zorder=0)
    ax.set_xscale("symlog", linthresh=10)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set(xlabel=r"$\ln Z$ over free curves, choices integrated out")
    outside_legend(ax, "")


def _label(row: pd.Series[Any]) -> str:
    return f"{row['case']}, {row['observable']}"


def say(tables: Tables) -> str:
    """Give a line for each case: where, which exponents, the verdict, and what would decide."""
    lines = []
    for _, row in tables["verdicts"].iterrows():
        mine = tables["forms"].query(
            "case == @row.case and observable == @row.observable", local_dict={"row": row}
        )
        by = mine.set_index("form")
        power, bkt = by.loc["algebraic"], by.loc["bkt"]
        where = with_error(power["p_c"], power["p_c_error"])
        nu, sigma = (
            with_error(one[name], one[f"{name}_error"])
            for one, name in ((power, "nu"), (bkt, "sigma"))
        )
        lines.append(
            f"{_label(row)} ({row['networks']} networks): {row['verdict']}: {row['reason']}; "
            f"p_c = {where}, nu = {nu}, or sigma = {sigma}"
        )
    for case, rows in tables["drift"].groupby("case", sort=False):
        steps = ", ".join(
            f"{with_error(row['value'], row['error']) if math.isfinite(row['value']) else 'none'}"
            f" (N >= {row['least']:g})"
            for _, row in rows.iterrows()
        )
        lines.append(f"{case}: alpha = 0 at p_eval = {steps}")
    return "\n".join(lines)
