"""A collapse across the line of eumentia and dementia: as the paper makes it, and as we do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import Estimate
from criticality.papers.findings.line import question
from criticality.papers.parts import curves
from criticality.papers.rows import points, row, said

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from criticality.analysis.scaling import BKT, Algebraic, Fit, Landscape, ScalingData
    from criticality.analysis.stats import Array
    from criticality.papers.tables import Tables

STEM = "pan_line"
# the text has lost the numerals of the rates and ranges of the paper's collapses: these are ours
RATES = (0.0, 0.01, 0.02, 0.05, 0.1)  # of training dropout
WIDTH = 0.32  # of the range of p_eval in which curves are collapsed
EDGE = 1e-9
DRAWS = 100  # of whole networks, for the errors of a collapse
FINE = 160  # points of a landscape along each axis, on which its contour is followed
SHOWN = 36  # points of the landscape that is drawn
MARGIN = 0.15  # about what is drawn in it, of its extent
CONTOUR = 1.3  # times the least chi2: the paper's "operational definition" of its errors
EXPONENTS = {"bkt": "sigma", "algebraic": "nu"}
LIMITS = {"sigma": (0.05, 13.0), "nu": (0.4, 100.0)}  # of the exponents of landscapes
SCALED = {"bkt": r"[\ln N]^{1/\sigma}", "algebraic": r"N^{1/\nu}"}
PAPER, OURS = "paper", "ours"


def collapsed(ds: xr.Dataset, family: str) -> dict[str, pd.DataFrame]:
    """Tables of a collapse at one training rate, which is an axis of `ds`.

    Returns
    -------
    points
        Losses with their errors; the scaled control of those that were collapsed.
    numbers
        By the paper's method p_c and the exponent, with the errors of `DRAWS` resamplings of whole
        networks and the extent of the contour as interval, and chi2/dof; by ours, with all choices
        integrated out, and ln of the evidence over that of free curves; and where alpha = 0.
    landscape
        chi2/dof about its contour: an exponent a row, a p_c a column.
    """
    from criticality import BKT, Algebraic, ScalingData, phase_diagram
    from criticality.analysis.scaling import marginal

    form = BKT() if family == "bkt" else Algebraic()
    (border,) = (b for b in phase_diagram(ds).boundaries if b.along == "p_eval")
    chosen = place(border.estimate.value, ds["p_eval"].values)
    rate = {"p_train": ds["p_train"].values[0]}
    data = ScalingData.from_dataset(ds, "p_eval", "n_train", "loss", rate)
    fit, whole = _best(data.restrict((chosen[0] - EDGE, chosen[1] + EDGE)), form)
    asked, made = question(ds)
    ours = marginal(asked, form, made)
    ends = contour(whole)
    numbers = [
        {"by": OURS, "parameter": "alpha = 0", **row(border.estimate, border.flags)},
        *_numbers(PAPER, fit.params, fit.exponent, fit.flags, ends),
        {"by": PAPER, "parameter": "chi2/dof", **row(Estimate(value=fit.chi2 / fit.dof))},
        *_numbers(OURS, ours.params, fit.exponent, ours.flags),
        {"by": OURS, "parameter": "ln Z", **row(Estimate(value=ours.log_evidence))},
    ]
    scaled = fit.table()[["p_eval", "n_train", "x"]]
    losses = points(ds["loss"].isel(p_train=0, drop=True))
    return {
        "points": losses.merge(scaled, how="left", on=["p_eval", "n_train"]),
        "numbers": pd.DataFrame(numbers),
        "landscape": _wide(_about(fit, whole, ends, ours.params)),
    }


def _best(data: ScalingData, form: BKT | Algebraic) -> tuple[Fit, Landscape]:
    """Least local-linear chi2, of its many minima, and the landscape in which it was looked for."""
    from criticality import collapse
    from criticality.analysis.scaling import landscape

    first = collapse(data, form, objective="local-linear")
    name = first.exponent
    places = np.linspace(data.control.min(), data.control.max(), FINE)
    whole = landscape(first, p_c=places, exponent=np.geomspace(*LIMITS[name], FINE))
    row_, column = np.unravel_index(whole.values.argmin(), whole.values.shape)
    start = {"p_c": float(whole.p_c[column]), name: float(whole.exponent[row_])}
    return collapse(data, form, objective="local-linear", draws=DRAWS, start=start), whole


def place(centre: float, rates: Array) -> tuple[float, float]:
    """Range of p_eval, `WIDTH` wide, about a centre if the grid allows; without one, at its end."""
    low, high = float(rates.min()), float(rates.max())
    middle = high if math.isnan(centre) else centre
    start = min(max(middle - WIDTH / 2, low), high - WIDTH)
    return start, start + WIDTH


def _numbers(
    by: str,
    params: Mapping[str, Estimate],
    exponent: str,
    flags: Any,
    ends: Mapping[str, tuple[float, float]] | None = None,
) -> list[dict[str, Any]]:
    rows = []
    for name in ("p_c", exponent):
        found = row(params[name], (flag for flag in flags if flag.parameter == name))
        if ends is not None:
            found["low"], found["high"] = ends[name]
        rows.append({"by": by, "parameter": name, **found})
    return rows


def contour(whole: Landscape) -> dict[str, tuple[float, float]]:
    """Extent of the region about the least chi2 where it is below `CONTOUR` times that.

    An end is infinite where the region leaves the landscape.
    """
    from scipy.ndimage import label

    best = np.unravel_index(whole.values.argmin(), whole.values.shape)
    regions, _ = label(whole.values <= CONTOUR * whole.values.min())
    found = {}
    axes = {"p_c": (0, whole.p_c), whole.exponent_name: (1, whole.exponent)}
    for name, (axis, grid) in axes.items():
        there = np.flatnonzero((regions == regions[best]).any(axis=axis))
        low = -math.inf if there[0] == 0 else float(grid[there[0]])
        high = math.inf if there[-1] == len(grid) - 1 else float(grid[there[-1]])
        found[name] = (low, high)
    return found


def _about(
    fit: Fit,
    whole: Landscape,
    ends: Mapping[str, tuple[float, float]],
    also: Mapping[str, Estimate],
) -> Landscape:
    """Landscape about the contour and another estimate."""
    from criticality.analysis.scaling import landscape

    grids = []
    for name, grid in (("p_c", whole.p_c), (fit.exponent, whole.exponent)):
        low, high = np.clip(ends[name], grid[0], grid[-1])
        low, high = min(low, also[name].low), max(high, also[name].high)
        if name == "p_c":
            more = MARGIN * (high - low)
            grids.append(np.linspace(low - more, high + more, SHOWN))
        else:
            more = (high / low) ** MARGIN
            grids.append(np.geomspace(low / more, high * more, SHOWN))
    return landscape(fit, p_c=grids[0], exponent=grids[1])


def _wide(found: Landscape) -> pd.DataFrame:
    table = pd.DataFrame(found.values, columns=[f"{p:.6g}" for p in found.p_c])
    table.insert(0, found.exponent_name, found.exponent)
    return table


def _landscape(table: pd.DataFrame) -> Landscape:
    from criticality.analysis.scaling import Landscape

    name, *places = table.columns
    grid = table.to_numpy(float)
    return Landscape(np.array(places, float), grid[:, 0], grid[:, 1:], "local-linear", name)


def opened(numbers: pd.DataFrame) -> pd.DataFrame:
    """Open the exponent's interval upwards where its contour leaves the landscape in p_c.

    The contour rises towards that bound, so that its upper end is where the landscape was cut.
    """
    paper = numbers["by"] == PAPER
    ends = numbers.loc[paper & (numbers["parameter"] == "p_c"), ["low", "high"]]
    if np.isfinite(ends.to_numpy(float)).all():
        return numbers
    cut = paper & numbers["parameter"].isin(EXPONENTS.values())
    return numbers.assign(high=numbers["high"].mask(cut, math.inf))


def rows_of(tables: Tables, by: str) -> dict[str, dict[str, Any]]:
    """Numbers of one method, by parameter."""
    rows = opened(tables["numbers"]).query("by == @by").to_dict("records")
    return {one["parameter"]: one for one in rows}


def draw_curves(tables: Tables, ax: Axes, family: str, title: str) -> None:
    """Draw the losses of all sizes against p_eval, their collapse in an inset (Fig. 4a)."""
    from criticality.figures.parts import plain

    rows, paper = tables["points"], rows_of(tables, PAPER)
    curves(ax, rows, "p_eval", "loss", "n_train", legend="$N$")
    line = rows_of(tables, OURS)["alpha = 0"]
    ends = np.clip([line["low"], line["high"]], rows["p_eval"].min(), rows["p_eval"].max())
    if ends[0] < ends[1]:
        ax.axvspan(*ends, color="0.88", lw=0, zorder=0)
    ax.axvline(paper["p_c"]["value"], color="0.3", lw=0.8, ls="--", zorder=0)
    ax.set(
        xlabel=r"evaluation dropout $p_\mathrm{eval}$",
        ylabel=r"test cross-entropy $\langle\mathcal{L}\rangle$",
        yscale="log",
    )
    ax.set_title(title, fontsize="medium")
    inset = ax.inset_axes((0.12, 0.62, 0.36, 0.35))
    curves(inset, rows.dropna(subset="x"), "x", "loss", "n_train", join="", ms=2)
    inset.set(yscale="log")
    plain(inset.yaxis)
    inset.set_xlabel(rf"$(p_\mathrm{{eval}}-p_c)\,{SCALED[family]}$", fontsize="small")
    inset.tick_params(which="both", labelsize="x-small")


def draw_landscape(tables: Tables, ax: Axes) -> None:
    """Draw the paper's chi2 with its contour (Fig. 4b), and our estimate where it is inside."""
    from criticality.figures import objective

    found = _landscape(tables["landscape"])
    name = found.exponent_name
    paper, ours = rows_of(tables, PAPER), rows_of(tables, OURS)
    objective(found, {key: _estimate(paper[key]) for key in ("p_c", name)}, ax)
    ax.set_yscale("log")
    x, y = ours["p_c"], ours[name]
    style: dict[str, Any] = {"mec": "k", "ms": 5, "capsize": 2}
    ax.errorbar(
        x["value"],
        y["value"],
        [[y["value"] - y["low"]], [y["high"] - y["value"]]],
        [[x["value"] - x["low"]], [x["high"] - x["value"]]],
        fmt="s",
        color="#d55e00",
        label="ours, 95 %",
        **style,
    )
    ax.plot([], [], "o", color="w", label="least $\\chi^2$, bootstrap", mec="k", ms=5)
    ax.plot([], [], "k-", lw=1.2, label=f"{CONTOUR:g} of it")
    ax.set_xlim(right=min(ax.get_xlim()[1], 1.0))
    ax.legend(fontsize="small", loc="lower right", framealpha=0.85)


def _estimate(of: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: of[name] for name in ("value", "error", "low", "high")})


def told(tables: Tables, family: str) -> list[str]:
    """Say what the paper's method gives, and what ours gives."""
    name = EXPONENTS[family]
    paper, ours = rows_of(tables, PAPER), rows_of(tables, OURS)
    closed = all(math.isfinite(paper[key][end]) for key in ("p_c", name) for end in ("low", "high"))
    return [
        f"alpha = 0 at p_eval = {said(ours['alpha = 0'])}",
        f"the paper's method: p_c = {said(paper['p_c'])}, {name} = {said(paper[name])}, chi2/dof = "
        f"{paper['chi2/dof']['value']:.2f}; in [ ] its contour, {'closed' if closed else 'open'}",
        f"ours, choices integrated out: p_c = {said(ours['p_c'])}, {name} = {said(ours[name])}",
        f"ln Z over free curves = {ours['ln Z']['value']:+.1f}; a transition takes 5 over any "
        "smooth form",
    ]
