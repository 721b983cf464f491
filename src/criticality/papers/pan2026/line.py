"""A collapse across the line of eumentia and dementia: as the paper makes it, and as we do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from criticality.base import Estimate
from criticality.papers.findings.line import decided, question
from criticality.papers.parts import curves
from criticality.papers.rows import points, row, said

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from criticality.analysis.scaling import BKT, Algebraic, Fit, Landscape
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
SIGNS = {"p_c": "p_c", "sigma": r"\sigma", "nu": r"\nu"}
SCALED = {"bkt": r"[\ln N]^{1/\sigma}", "algebraic": r"N^{1/\nu}"}
PAPER, OURS = "paper", "ours"
Reference = float | Literal["marginal"]


def collapsed(
    ds: xr.Dataset, family: str, *, verdict: bool = True
) -> dict[str, list[dict[str, Any]] | pd.DataFrame]:
    """Tables of a collapse at one training rate, which is an axis of `ds`.

    Returns
    -------
    points
        Losses with their errors; the scaled control of those that were collapsed.
    numbers
        By the paper's method p_c and the exponent, with the errors of `DRAWS` resamplings of whole
        networks and the extent of the contour as interval, and chi2/dof; by ours, with all choices
        integrated out; and where alpha = 0.
    landscape
        chi2/dof about its contour: an exponent a row, a p_c a column.
    verdict
        What the evidence says; none unless asked for, since the other forms take minutes.
    """
    from criticality import ScalingData, collapse, phase_diagram
    from criticality.analysis.scaling import marginal

    (line,) = (b for b in phase_diagram(ds).boundaries if b.along == "p_eval")
    numbers = [{"by": OURS, "parameter": "alpha = 0", **row(line.estimate, line.flags)}]
    chosen = place(line.estimate.value, ds["p_eval"].values)
    rate = {"p_train": ds["p_train"].values[0]}
    fit = collapse(
        ScalingData.from_dataset(ds, "p_eval", "n_train", "loss", rate),
        form(family),
        objective="local-linear",
        control_range=(chosen[0] - EDGE, chosen[1] + EDGE),
        draws=DRAWS,
    )
    said_of: list[dict[str, Any]] = []
    if verdict:
        decision = decided(ds)
        ours = decision[family]
        said_of = [{"verdict": decision.verdict, "reason": decision.reason}]
    else:
        ours = marginal(question(ds)[0], form(family, "marginal"), question(ds)[1])
    ends, shown = contour(fit, chosen, ours.params)
    numbers += _numbers(PAPER, fit.params, fit.exponent, fit.flags, ends)
    numbers.append(
        {"by": PAPER, "parameter": "chi2/dof", **row(Estimate(value=fit.chi2 / fit.dof))}
    )
    numbers += _numbers(OURS, ours.params, fit.exponent, ours.flags)
    scaled = fit.table()[["p_eval", "n_train", "x"]]
    losses = points(ds["loss"].isel(p_train=0, drop=True))
    return {
        "points": losses.merge(scaled, how="left", on=["p_eval", "n_train"]),
        "numbers": numbers,
        "landscape": _wide(shown),
        "verdict": said_of,
    }


def form(family: str, reference: Reference = 1.0) -> BKT | Algebraic:
    """Give the form of a family; `reference` is L_0, which the paper sets to 1."""
    from criticality import BKT, Algebraic

    return BKT(L0=reference) if family == "bkt" else Algebraic()


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


def contour(
    fit: Fit, places: tuple[float, float], also: Mapping[str, Estimate]
) -> tuple[dict[str, tuple[float, float]], Landscape]:
    """Follow chi2 = `CONTOUR` times its least about the best point of a fit.

    Gives the extent along each axis, infinite where the region leaves the landscape, and the
    landscape about it and about other estimates.
    """
    from scipy.ndimage import label

    from criticality.analysis.scaling import landscape

    limits = {"p_c": places, fit.exponent: LIMITS[fit.exponent]}
    grids = {
        "p_c": np.linspace(*places, FINE),
        fit.exponent: np.geomspace(*limits[fit.exponent], FINE),
    }
    whole = landscape(fit, p_c=grids["p_c"], exponent=grids[fit.exponent])
    best = np.unravel_index(whole.values.argmin(), whole.values.shape)
    regions, _ = label(whole.values <= CONTOUR * whole.values.min())
    inside, found, shown = regions == regions[best], {}, []
    for axis, (name, grid) in enumerate(grids.items()):
        there = np.flatnonzero(inside.any(axis=axis))
        open_ends = there[0] == 0, there[-1] == FINE - 1
        ends = float(grid[there[0]]), float(grid[there[-1]])
        found[name] = (
            -math.inf if open_ends[0] else ends[0],
            math.inf if open_ends[1] else ends[1],
        )
        low, high = min(ends[0], also[name].low), max(ends[1], also[name].high)
        if name == "p_c":
            margin = MARGIN * (high - low)
            shown.append(np.linspace(low - margin, high + margin, SHOWN))
        else:
            margin = (high / low) ** MARGIN
            shown.append(np.geomspace(low / margin, high * margin, SHOWN))
    return found, landscape(fit, p_c=shown[0], exponent=shown[1])


def _wide(found: Landscape) -> pd.DataFrame:
    table = pd.DataFrame(found.values, columns=[f"{p:.6g}" for p in found.p_c])
    table.insert(0, found.exponent_name, found.exponent)
    return table


def _landscape(table: pd.DataFrame) -> Landscape:
    from criticality.analysis.scaling import Landscape

    name, *places = table.columns
    grid = table.to_numpy(float)
    return Landscape(np.array(places, float), grid[:, 0], grid[:, 1:], "local-linear", name)


def rows_of(tables: Tables, by: str) -> dict[str, dict[str, Any]]:
    """Numbers of one method, by parameter."""
    rows = tables["numbers"].query("by == @by").to_dict("records")
    return {one["parameter"]: one for one in rows}


def draw_curves(tables: Tables, ax: Axes, family: str, title: str) -> None:
    """Draw the losses of all sizes against p_eval, their collapse in an inset (Fig. 4a)."""
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
        title=title,
    )
    inset = ax.inset_axes((0.13, 0.53, 0.44, 0.38))
    curves(inset, rows.dropna(subset="x"), "x", "loss", "n_train", join="", ms=2)
    inset.set(yscale="log")
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
    ax.legend(fontsize="small", loc="upper left", framealpha=0.85)


def _estimate(of: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: of[name] for name in ("value", "error", "low", "high")})


def told(tables: Tables, family: str) -> list[str]:
    """Say what the paper's method gives, what ours gives, and the verdict."""
    name = EXPONENTS[family]
    paper, ours = rows_of(tables, PAPER), rows_of(tables, OURS)
    closed = all(math.isfinite(paper[key][end]) for key in ("p_c", name) for end in ("low", "high"))
    verdict = tables["verdict"].iloc[0]
    also = " and L0" if family == "bkt" else ""
    return [
        f"alpha = 0 at p_eval = {said(ours['alpha = 0'])}",
        f"the paper's method: p_c = {said(paper['p_c'])}, {name} = {said(paper[name])}, chi2/dof = "
        f"{paper['chi2/dof']['value']:.2f}; in [ ] its contour, {'closed' if closed else 'open'}",
        f"ours, choices{also} integrated out: p_c = {said(ours['p_c'])}, "
        f"{name} = {said(ours[name])}",
        f"verdict: {verdict['verdict']}: {verdict['reason']}",
    ]
