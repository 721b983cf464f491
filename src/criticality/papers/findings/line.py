"""Whether the line between eumentia and dementia is a BKT-like transition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import with_error
from criticality.papers.rows import row, said

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.analysis.scaling import Choice, Decision, Marginal, ScalingData
    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Is the line between eumentia and dementia a BKT-like transition?"
STUDIES = ("line", "shapes", "fashion")
SWEPT = ("p_train", "width", "depth")
SIZES_LEFT = 3  # at least, for an exponent
RANGE = (0.2, 0.98)  # of p_eval, where curves are compared; what is chosen in it is integrated out
EDGE = 1e-9
POINTS = 14  # of these are enough for that: those of one network are correlated
CENTRES = (0.25, 0.5, 0.75)  # of half as wide ranges, in that range
STEP = 2  # between least sizes: every second
OBSERVABLE = "ln loss"  # in which a power law with a smooth exponent is a smooth drift
PRICED = "line"  # study whose decisions are priced
FACTORS = (8, 64)  # of the number of networks
NAMES = ("p_c", "nu", "sigma")


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure curves, where alpha = 0 by the least size, evidence, and its price."""
    tables = ("curves", "drift", "forms", "verdicts", "price")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in tables}

    def add(table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        found[table] += [{"case": case, **row} for row in rows]

    for stem, case, ds in cases(stores):
        data = curves_of(ds, "loss")
        if case == SHOWN:
            add("curves", _points(data))
        add("drift", _drift(ds))
        decision = decided(ds)
        add("forms", (row for each in decision.marginals for row in _form(each)))
        said = {"verdict": decision.verdict, "reason": decision.reason}
        add("verdicts", [{"networks": data.realizations, **said}])
        if stem == PRICED:
            add("price", _price(decision))
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


def curves_of(ds: xr.Dataset, observable: str = OBSERVABLE) -> ScalingData:
    """Give the logarithm of the loss, or the loss, against p_eval for each number of samples."""
    from criticality.analysis.scaling import ScalingData

    at = {name: ds[name].values[0] for name in SWEPT if name in ds.dims}
    if observable == OBSERVABLE:
        ds = ds.assign({observable: np.log(ds["loss"].mean("pass"))})
    return ScalingData.from_dataset(ds, "p_eval", "n_train", observable, at)


def decided(ds: xr.Dataset) -> Decision:
    """Evidence over the whole range, with what could be chosen in it integrated out."""
    from criticality.analysis.scaling import decide

    data, made = question(ds)
    return decide(data, made=made)


def question(ds: xr.Dataset) -> tuple[ScalingData, tuple[Choice, ...]]:
    """Give the curves of the whole range, and what could be chosen in it."""
    from criticality.analysis.scaling import choices

    data = curves_of(thinned(ds))
    low, span = data.control.min(), float(np.ptp(data.control))
    made = choices(
        data,
        centres=[low + share * span for share in CENTRES],
        half_widths=(span / 2, span / 4),
        size_min=list(data.sizes[: max(1, len(data.sizes) - SIZES_LEFT) : STEP]),
    )
    return data, made


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
        yield {"least": sizes[first], "largest": sizes[-1], **row(line.estimate, line.flags)}


def _form(found: Marginal) -> Iterator[dict[str, Any]]:
    """One form: its evidence over that of free curves, and a row for each parameter."""
    about = {"form": found.ansatz.family, "log_evidence": found.log_evidence}
    about |= {"p_value": found.p_value, "choices": len(found.choices)}
    flags = [flag for flag in found.flags if flag.parameter in ("", "size_min", "control_range")]
    yield {**about, "parameter": "", "flags": "; ".join(flag.name for flag in flags)}
    for name in NAMES:
        if name in found.params:
            mine = [flag for flag in found.flags if flag.parameter == name]
            parts = {"statistical": found.statistical[name], "systematic": found.systematic[name]}
            yield {**about, "parameter": name, **row(found.params[name], mine), **parts}
    if found.nu_eff is not None:
        yield {**about, "parameter": "nu_eff", **row(found.nu_eff)}


def _price(decision: Decision) -> Iterator[dict[str, Any]]:
    """Find with how many networks two forms would be told apart, where the curves collapse best."""
    from criticality import BKT, Algebraic, required_sizes
    from criticality.analysis.scaling import Drift

    power = decision["algebraic"]
    heavy = power.weights > power.weights.max() / 2
    choice = power.choices[int(np.where(heavy, power.gains, -np.inf).argmax())]
    (low, high), least = choice.place
    data = power.data.restrict((low - EDGE, high + EDGE), least)
    for rival in (Drift(), BKT()):
        designs = required_sizes(
            data,
            forms=(Algebraic(), rival),
            extra=(0,),
            more=FACTORS,
            corrections=True,
            regular=True,
        )
        for design in designs:
            yield {
                "rival": rival.family,
                "p_eval_low": low,
                "p_eval_high": high,
                "least": least,
                "networks": design.realizations,
                "delta": design.delta,
                "spread": design.spread,
            }


KINDS = ("algebraic", "bkt")
WORDS = {
    "algebraic": "power law",
    "bkt": "BKT",
    "drift": "smooth drift",
    "crossover": "smooth crossover",
    "free": "free curves",
    "no transition": "no dependence on $N$",
}
EXPONENTS = {"nu": r"$\nu$ (power law)", "sigma": r"$\sigma$ (BKT)"}
SHOWN = "p_train 0"  # the case whose curves are drawn
SPREAD = 1.09  # factor between places of conditions at one least size
# Tol's muted colours, and markers: not those of the rates of training dropout, which stand beside
SHAPE_COLOURS = ("#332288", "#44aa99", "#882255", "#999933", "#000000")
SHAPE_MARKERS = "vP*Xh"


def draw(tables: Tables) -> Figure:
    """Draw curves, where alpha = 0, exponents, and evidence."""
    from matplotlib.figure import Figure

    from criticality.figures.parts import COLOURS, MARKERS

    figure = Figure(figsize=(10.8, 8.4), layout="constrained")
    parts = figure.subfigures(2, 2, squeeze=False).ravel()
    curves, exponents, evidence = (parts[i].subplots() for i in (0, 2, 3))
    lines = parts[1].subplots(1, 2, sharey=True)
    _draw_curves(tables, curves)
    drift = tables["drift"]
    rates = drift["case"].str.startswith("p_train")
    _draw_drift(drift[rates], COLOURS, MARKERS, lines[0])
    _draw_drift(drift[~rates], SHAPE_COLOURS, SHAPE_MARKERS, lines[1])
    lines[0].set_ylabel(r"$p_\mathrm{eval}$ at which $\alpha = 0$")
    _draw_exponents(tables["forms"], exponents)
    _draw_evidence(tables["forms"], evidence)
    for panel, letter in zip((curves, *lines, exponents, evidence), "abcde", strict=True):
        panel.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _draw_curves(tables: Tables, ax: Axes) -> None:
    """Draw losses over their geometric mean over sizes, at each rate of evaluation dropout."""
    from criticality.figures.parts import MARKERS, outside_legend, plain, shades

    rows = tables["curves"].query("p_eval >= @RANGE[0]")
    centre = np.exp(np.log(rows["loss"]).groupby(rows["p_eval"]).transform("mean"))
    rows = rows.assign(ratio=rows["loss"] / centre, error=rows["error"] / centre)
    sizes = sorted(rows["n_train"].unique())
    for size, colour, marker in zip(sizes, shades(len(sizes)), MARKERS, strict=False):
        one = rows[rows["n_train"] == size].sort_values("p_eval")
        ax.errorbar(
            one["p_eval"],
            one["ratio"],
            one["error"],
            fmt=f"{marker}-",
            ms=3,
            lw=0.8,
            color=colour,
            label=f"{size:.0f}",
        )
    line = tables["drift"].query("case == @SHOWN")
    ax.axvspan(line["value"].min(), line["value"].max(), color="0.88", zorder=0)
    ax.axhline(1, color="black", lw=0.8, zorder=0)
    ax.set(
        xlabel=r"$p_\mathrm{eval}$",
        ylabel="test loss / geometric mean over sizes",
        yscale="log",
    )
    plain(ax.yaxis)
    outside_legend(ax, r"$N$")


def _draw_drift(drift: pd.DataFrame, colours: Sequence[str], markers: str, ax: Axes) -> None:
    from criticality.papers.parts import intervals

    ends = (0.15, 1.0)
    cases = list(drift.groupby("case", sort=False))
    for number, (case, rows) in enumerate(cases):
        colour, marker = colours[number % len(colours)], markers[number % len(markers)]
        place = rows["least"].to_numpy() * SPREAD ** (number - (len(cases) - 1) / 2)
        how: dict[str, Any] = {"marker": marker, "colour": colour, "upright": True, "ms": 4.5}
        intervals(ax, place, rows, ends, label=case, **how)
        ax.plot(place, rows["value"], lw=0.7, color=colour)
    least = sorted(drift["least"].unique())[::2]
    ax.set(xscale="log", ylim=ends, xlabel=r"least size $N_\mathrm{min}$")
    ax.set_xticks(least, [f"{size:g}" for size in least])
    ax.minorticks_off()
    ax.legend(fontsize="small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _draw_exponents(forms: pd.DataFrame, ax: Axes) -> None:
    """Draw the exponent of both kinds, with its interval."""
    from criticality.papers.parts import forest

    groups = {
        label: forms[forms["parameter"] == name].rename(columns={"case": "variant"})
        for name, label in EXPONENTS.items()
    }
    names = list(dict.fromkeys(forms["case"]))
    forest(ax, groups, (0.05, 100.0), names=names)
    for sigma in (0.5, 1.0):
        ax.axvline(sigma, color="0.5", lw=0.8, ls=":", zorder=0)
        ax.annotate(
            f"{sigma:g}",
            (sigma, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            color="0.35",
        )
    ax.set(xlabel="exponent, 95 % interval over all choices", xscale="log")
    ax.legend(
        fontsize="small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2
    )


def _draw_evidence(forms: pd.DataFrame, ax: Axes) -> None:
    from criticality.figures.parts import COLOURS, MARKERS, outside_legend

    names = list(dict.fromkeys(forms["case"]))
    for number, (form, word) in enumerate(WORDS.items()):
        rows = forms[(forms["form"] == form) & forms["parameter"].isin(["", math.nan])]
        shift = 0.18 * (number - 0.5) if form in KINDS else 0.0
        place = [names.index(case) + shift for case in rows["case"]]
        filled = COLOURS[number] if form in KINDS else "w"
        style: dict[str, Any] = {"color": COLOURS[number], "mfc": filled, "ls": "", "label": word}
        ax.plot(rows["log_evidence"], place, MARKERS[number], **style)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set(xlabel=r"$\ln Z$ over free curves")
    outside_legend(ax, "")


def _expected(of: Mapping[str, Any]) -> str:
    """Say the expected difference of ln Z with its spread; one below 0 has none."""
    delta, spread = float(of["delta"]), float(of["spread"])
    return with_error(delta, spread) if spread > 0 else f"{delta:.2g}"


def say(tables: Tables) -> str:
    """Give a line for each case: where, which exponents, the verdict, and what would decide."""
    lines = []
    forms = tables["forms"].set_index(["case", "form"])
    for _, of in tables["verdicts"].iterrows():
        lines.append(f"{of['case']} ({of['networks']} networks): {of['verdict']}: {of['reason']}")
        for form, names in (("algebraic", ("p_c", "nu")), ("bkt", ("p_c", "sigma"))):
            mine = forms.loc[(of["case"], form)].set_index("parameter")
            numbers = ", ".join(f"{name} = {said(mine.loc[name])}" for name in names)
            lines.append(f"  {form}: {numbers}")
    for case, rows in tables["drift"].groupby("case", sort=False):
        steps = ", ".join(f"{said(of)} (N >= {of['least']:g})" for _, of in rows.iterrows())
        lines.append(f"{case}: alpha = 0 at p_eval = {steps}")
    for (case, rival), rows in tables["price"].groupby(["case", "rival"], sort=False):
        steps = ", ".join(
            f"{_expected(of)} with {of['networks']:.0f} networks"
            for _, of in rows.sort_values("networks").iterrows()
        )
        lines.append(f"{case}: power law or {rival}, expected difference of ln Z: {steps}")
    return "\n".join(lines)
