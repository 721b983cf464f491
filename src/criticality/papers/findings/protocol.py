"""Phase or protocol: what moves the border of amentia and the line, and what does not."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.analysis.stats import Array
    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Phase or protocol: what moves the border of amentia and the line?"
BASE = "line"  # of the protocol as documented, at several p_train
LINES = tuple(
    f"protocol_{name}" for name in ("initialization", "patience", "rate", "batch", "last")
)
BORDER = "protocol_border"
BORDERS = (
    BORDER,
    *(f"{BORDER}_{name}" for name in ("initialization", "rate", "batch", "width", "depth")),
)
STUDIES = (BASE, *LINES, *BORDERS)
OWN = dict.fromkeys(BORDERS, "criticality.papers.systems.onset:Onset")

USUAL = "as documented"
PATIENCES = (5, 10, 20, 50)
DOCUMENTED = 10  # the default patience
HALVING = 5  # the default plateau
MARGIN = 0.1  # of the loss, as `Criteria.loss_margin`
SHOWN = (0.4, 1.0)  # of p_train
SURE = 0.05  # probability of a false claim among all variants
NOT_PROTOCOL = {"dataset", "n_train", "n_validation", "passes", "p_train", "p_eval", "margin"}
Case = tuple[str, "xr.Dataset"]


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure line and border at every variant of the protocol, and what moved."""
    from criticality.papers.systems.onset import Onset
    from criticality.systems.dropout import DropoutNetwork

    lines = [
        case
        for stem in (BASE, *LINES)
        for case in variants(stores[stem].open(), DropoutNetwork(), ("n_train",))
    ]
    base = [row for name, ds in lines if name == USUAL for row in line_of(name, ds)]
    sizes = sorted({n for name, ds in lines if name != USUAL for n in ds["n_train"].values})
    lines = [(name, ds.sel(n_train=ds["n_train"].isin(sizes))) for name, ds in lines]
    borders = [
        case
        for stem in BORDERS
        for case in variants(stores[stem].open(), Onset(), ("n_train", "p_train", "plateau"))
    ]
    border = pd.DataFrame([row for case in borders for row in border_of(*case)])
    return {
        "line": pd.DataFrame([row for case in lines for row in line_of(*case)]),
        "line_moved": line_moved(lines),
        "drift": pd.DataFrame(base),
        "border": border,
        "border_moved": border_moved(border),
        "late": pd.DataFrame([row for case in borders for row in late(*case)]),
        "waiting": pd.DataFrame([row for case in borders for row in waiting(*case)]),
    }


def variants(ds: xr.Dataset, usual: Any, axes: Sequence[str]) -> Iterator[Case]:
    """Give each variant of the protocol in a store, in words, and its results.

    Parameters
    ----------
    usual
        The system with its defaults: what differs from them is the variant.
    axes
        What stays an axis; where p_train is none, the line at zero is meant.
    """
    from criticality.base import controls

    defaults = controls(usual)
    free = NOT_PROTOCOL | set(axes)
    if "stall" in ds:  # how long it was watched
        free |= {"patience", "max_epochs"}
    if "p_train" in ds.dims and "p_train" not in axes:
        ds = ds.sel(p_train=0.0)
    swept = [str(name) for name in ds.dims if name in defaults and name not in free]
    fixed = json.loads(ds.attrs["controls"])
    for values in itertools.product(*(ds[name].values.tolist() for name in swept)):
        at = dict(zip(swept, values, strict=True))
        changed = [
            f"{name.replace('_', ' ')} {value}"
            for name, value in (fixed | at).items()
            if name in defaults and name not in free and value != defaults[name]
        ]
        yield ", ".join(changed) or USUAL, ds.sel(at)


# --- the line ---


def _exponents(ds: xr.Dataset) -> xr.Dataset:
    from criticality.analysis.exponents import exponents

    found = exponents(ds, "loss", "n_train", inner=("p_eval",), from_sizes=False)
    return found.rename(exponent="alpha", exponent_error="alpha_error", exponent_dof="alpha_dof")


def line_of(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Where alpha = 0 of all ranges of sizes, as the phases of the system have it."""
    from criticality.analysis.boundaries import boundaries

    sizes = _measured(ds)
    networks = int(ds["loss"].notnull().all(["p_eval", "pass"]).sum("realization").max())
    for first, last in itertools.combinations(range(len(sizes)), 2):
        alpha = _exponents(ds.sel(n_train=sizes[first : last + 1]))
        (found,) = boundaries(alpha, "alpha", "p_eval", direction="up", n=networks)
        yield {
            "variant": variant,
            "least": sizes[first],
            "largest": sizes[last],
            "networks": networks,
            **_numbers(found),
        }


def _measured(ds: xr.Dataset) -> list[int]:
    """Sizes of which there are networks enough for an error."""
    there = ds["loss"].notnull().all(["p_eval", "pass"]).sum("realization") > 1
    return [int(n) for n in ds["n_train"].values[there.values]]


def _numbers(found: Any) -> dict[str, Any]:
    estimate = found.estimate
    return {name: getattr(estimate, name) for name in ("value", "error", "low", "high")} | {
        "flags": "; ".join(flag.name for flag in found.flags)
    }


def line_moved(lines: Sequence[Case]) -> pd.DataFrame:
    """Whether exponents differ from those of the base where these are zero.

    At sizes that all have: all of them, and the upper half.  Networks of two variants share no
    random number, so the error of the difference is that of independent means.  Probabilities are
    two-sided, of Student's distribution with Welch's degrees of freedom, and then made those of a
    false claim among all variants.
    """
    from criticality.analysis.stats import holm

    base = next(ds for name, ds in lines if name == USUAL)
    rows: list[dict[str, Any]] = []
    for half in (False, True):
        part = []
        for name, ds in lines:
            sizes = [n for n in _measured(base) if n in _measured(ds)]
            sizes = sizes[len(sizes) // 2 :] if half else sizes
            if name != USUAL and len(sizes) > 1:
                usual, other = (_exponents(one.sel(n_train=sizes)) for one in (base, ds))
                part += [
                    {"variant": name, "least": sizes[0], "largest": sizes[-1], **row}
                    for row in _apart(usual, other)
                ]
        adjusted = holm(np.array([row["probability"] for row in part]))
        rows += [
            row | {"adjusted": p, "moved": bool(p < SURE)}
            for row, p in zip(part, adjusted, strict=True)
        ]
    return pd.DataFrame(rows)


def _apart(usual: xr.Dataset, other: xr.Dataset) -> Iterator[dict[str, float]]:
    """Difference of two exponents where the first is zero; nothing where it is not."""
    from criticality.analysis.boundaries import upward_crossings

    for p_eval in upward_crossings(usual["p_eval"].values, usual["alpha"].values)[:1]:
        (value, error, dof), (value_2, error_2, dof_2) = _at(usual, p_eval), _at(other, p_eval)
        total = math.hypot(error, error_2)
        welch = total**4 / (error**4 / dof + error_2**4 / dof_2)
        yield {
            "p_eval": p_eval,
            "difference": value_2 - value,
            "error": total,
            "dof": welch,
            "probability": float(2 * student.sf(abs(value_2 - value) / total, welch)),
        }


def _at(alpha: xr.Dataset, p_eval: float) -> tuple[float, float, float]:
    """Exponent between two rates: its error as if theirs were one, its degrees of freedom."""
    there = alpha.dropna("p_eval", subset=["alpha", "alpha_error"])
    x = there["p_eval"].values
    value, error = (
        float(np.interp(p_eval, x, there[name].values)) for name in ("alpha", "alpha_error")
    )
    return value, error, float(there["alpha_dof"].sel(p_eval=p_eval, method="nearest"))


# --- the border ---


def border_of(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Where half of the networks begin to learn before early stopping, by patience and margin."""
    from criticality.analysis.shares import by_shares
    from criticality.base import Phase, Rule

    phases = (Phase(name="begins"), Phase(name="amentia"))
    rules = (
        Rule(phase="begins", quantity="begins", of="each", above=0.5),
        Rule(phase="amentia", quantity="begins", of="each", below=0.5),
    )
    for at, one in _each(ds, ("plateau", "n_train", "margin")):
        for patience in PATIENCES:
            seen = outlasted(one, patience).dropna("p_train", how="all")
            if not seen.sizes["p_train"]:  # still to come
                continue
            found = by_shares(seen, phases, rules, ("p_train",))
            border = [b for b in found.boundaries if b.along == "p_train"]
            many = found.cells["realizations"]
            row = {"variant": variant, **at, "patience": patience, "networks": int(many.max())}
            yield row | (_numbers(border[0]) if border else _beyond(found.cells))


def outlasted(ds: xr.Dataset, patience: int) -> xr.Dataset:
    """Whether learning begins before so many epochs without improvement; NaN if not known.

    Patience changes nothing in a training but its end.
    """
    began, stalled = ds["start"] < math.inf, ds["stall"] >= patience
    known = (began | stalled) & ds["stall"].notnull()
    begins: xr.DataArray = (began & ~stalled).astype(float).where(known)
    return begins.to_dataset(name="begins")


def _beyond(cells: xr.Dataset) -> dict[str, Any]:
    """Bounds where the networks do alike at all rates."""
    begins = bool((cells["likely"] == 1).all())
    x = cells["p_train"].values
    low, high = (float(x[-1]), 1.0) if begins else (-math.inf, float(x[0]))
    flags = "stays above" if begins else "stays below"
    return {"value": math.nan, "error": math.nan, "low": low, "high": high, "flags": flags}


def _each(ds: xr.Dataset, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Give each combination of values, of what the study holds fixed too, and its results."""
    fixed = json.loads(ds.attrs["controls"])
    swept = [name for name in names if name in ds.dims]
    told = {name: fixed[name] for name in names if name not in ds.dims}
    for values in itertools.product(*(ds[name].values.tolist() for name in swept)):
        at = dict(zip(swept, values, strict=True))
        yield told | at, ds.sel(at)


def border_moved(border: pd.DataFrame) -> pd.DataFrame:
    """Whether half begin elsewhere than in the base, at the documented patience.

    Variants of the same size and plateau are compared.  Moved is what has an interval of 95 % that
    does not overlap that of the base: of equal errors chance does that once in 180 times, so that
    it holds for eight comparisons, and where a border is beyond the grid it is known as a bound.
    """
    chosen = border[(border["margin"] == MARGIN) & (border["patience"] == DOCUMENTED)]
    base = chosen[chosen["variant"] == USUAL].set_index(["plateau", "n_train"])
    rows = []
    for row in chosen[chosen["variant"] != USUAL].to_dict("records"):
        place = (row["plateau"], row["n_train"])
        if place in base.index:
            usual = base.loc[place]
            apart = row["low"] > usual["high"] or row["high"] < usual["low"]
            rows.append(
                {
                    **{name: row[name] for name in ("variant", "plateau", "n_train")},
                    "difference": row["value"] - usual["value"],
                    "error": math.hypot(row["error"], usual["error"]),
                    "moved": bool(apart),
                }
            )
    return pd.DataFrame(rows)


def late(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Of networks that a patience stops before they begin: how many begin if given more."""
    from criticality.analysis.stats import binomial_interval

    for at, one in _each(ds.sel(margin=MARGIN), ("plateau", "n_train")):
        most = outlasted(one, PATIENCES[-1])["begins"]
        for patience in PATIENCES[:-1]:
            stopped = outlasted(one, patience)["begins"] == 0
            number = int((stopped & most.notnull()).sum())
            begin = int((stopped & (most == 1)).sum())
            low, high = binomial_interval(np.array(begin), np.array(number), 0.95)
            yield {
                "variant": variant,
                **at,
                "patience": patience,
                "stopped": number,
                "begin_later": begin,
                "share": begin / number if number else math.nan,
                "low": float(low),
                "high": float(high),
            }


def waiting(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """When learning begins, and what networks have left that have not begun."""
    for at, one in _each(ds.sel(margin=MARGIN), ("plateau", "n_train", "p_train")):
        began = np.isfinite(one["start"])
        there = one["stall"].notnull()
        idle = (there & ~began).values
        yield {
            "variant": variant,
            **at,
            "networks": int(there.sum()),
            "began": int((there & began).sum()),
            "start": _median(one["start"].values[(there & began).values]),
            **_mean("alive", one["alive"].values[idle]),
            **_mean("signal", one["signal"].values[idle]),
        }


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _mean(name: str, values: Array) -> dict[str, float]:
    """Mean and standard error."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return {name: float(values.mean()) if n else math.nan, f"{name}_error": error}


# --- figure and words ---


def draw(tables: Tables) -> Figure:
    """Draw the border by patience and by variant, the line by the least size and by variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9.6), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _draw_patience(first, tables["border"])
    _draw_border(second, tables["border"])
    _draw_drift(third, tables["line"])
    _draw_line(fourth, tables["line"])
    for ax, letter in zip((first, second, third, fourth), "abcd", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def _draw_patience(ax: Axes, border: pd.DataFrame) -> None:
    """p_train* against patience, of the sizes and with the rate halved or not."""
    from criticality.figures.parts import COLOURS, MARKERS
    from criticality.papers.parts import bars, legend_below

    rows = border[(border["variant"] == USUAL) & (border["margin"] == MARGIN)]
    shift = 0.94
    for number, (size, one) in enumerate(rows.groupby("n_train")):
        for plateau, part in one.groupby("plateau"):
            halved = plateau == HALVING
            shift *= 1.02
            seen = part[part["value"].notnull()]
            ax.errorbar(
                seen["patience"] * shift,
                seen["value"],
                bars(seen),
                fmt=f"-{MARKERS[number]}" if halved else f"--{MARKERS[number]}",
                mfc=None if halved else "white",
                color=COLOURS[number],
                capsize=2,
                label=f"{size:,} samples, rate {'halved' if halved else 'constant'}",
            )
    ax.set_xscale("log")
    ax.set_xticks(PATIENCES, [str(n) for n in PATIENCES])
    ax.minorticks_off()
    ax.set_ylim(*SHOWN)
    ax.set_xlabel("patience (epochs)")
    ax.set_ylabel(r"border of amentia $p^*_\mathrm{train}$")
    legend_below(ax)


def _draw_border(ax: Axes, border: pd.DataFrame) -> None:
    """p_train* by variant at the documented patience."""
    from criticality.papers.parts import forest, legend_below

    rows = border[(border["margin"] == MARGIN) & (border["patience"] == DOCUMENTED)]
    sizes = rows[rows["variant"] != USUAL]["n_train"]
    rows = rows[rows["n_train"].isin(sizes)]
    groups = {
        "rate halved after 5 epochs": rows[rows["plateau"] == HALVING],
        "constant rate": rows[rows["plateau"] != HALVING],
    }
    forest(ax, groups, SHOWN, USUAL)
    legend_below(ax)
    ax.set_xlabel(r"border of amentia $p^*_\mathrm{train}$")


def _draw_drift(ax: Axes, line: pd.DataFrame) -> None:
    """p_eval* against the least size."""
    from criticality.figures.parts import COLOURS, MARKERS, STYLES
    from criticality.papers.parts import bars, legend_below

    rows = _to_the_largest(line)
    for number, (variant, part) in enumerate(rows.groupby("variant", sort=False)):
        seen = part[part["value"].notnull()]
        ax.errorbar(
            seen["least"] * 1.03**number,
            seen["value"],
            bars(seen),
            marker=MARKERS[number],
            ms=4,
            ls=STYLES[number % len(STYLES)],
            color=COLOURS[number % len(COLOURS)],
            capsize=2,
            lw=1,
            label=str(variant),
        )
    ax.set_xscale("log")
    sizes = sorted(set(rows["least"]))
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize="small")
    ax.minorticks_off()
    ax.set_xlabel(f"least number of samples, to {rows['largest'].max():,}")
    ax.set_ylabel(r"line $p^*_\mathrm{eval}$ at $p_\mathrm{train} = 0$")
    legend_below(ax)


def _draw_line(ax: Axes, line: pd.DataFrame) -> None:
    """p_eval* by variant, of all sizes and of their upper half."""
    from criticality.papers.parts import forest, legend_below

    forest(ax, dict(_windows(line)), (0.0, 1.0), USUAL)
    legend_below(ax)
    ax.set_xlabel(r"line $p^*_\mathrm{eval}$ at $p_\mathrm{train} = 0$")


def _windows(line: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the rows of all sizes, and of their upper half; of each variant as far as it goes."""
    sizes = sorted({*line["least"], *line["largest"]})
    rows = _to_the_largest(line)
    for first in (0, len(sizes) // 2):
        inside = rows[rows["least"] >= sizes[first]]
        name = f"{sizes[first]:,} to {sizes[-1]:,} samples"
        yield name, inside.loc[inside.groupby("variant", sort=False)["least"].idxmin()]


def _to_the_largest(line: pd.DataFrame) -> pd.DataFrame:
    """Give the ranges that end at the largest size of the variant."""
    return line[line["largest"] == line.groupby("variant")["largest"].transform("max")]


def say(tables: Tables) -> str:
    """Give the numbers with their intervals, and what is concluded."""
    return "\n".join((*_said_border(tables), "", *_said_line(tables)))


def _rate(plateau: int) -> str:
    return f"rate halved after {plateau}" if plateau == HALVING else "constant rate"


def _said(row: pd.Series) -> str:
    """Value and interval in words."""
    if math.isnan(row["value"]):
        return f"{row['flags']}: [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _said_border(tables: Tables) -> Iterator[str]:
    border, moved, later = (tables[name] for name in ("border", "border_moved", "late"))
    yield "Border of amentia p_train*: half of the networks begin to learn (95 % intervals)"
    usual = border[(border["variant"] == USUAL) & (border["margin"] == MARGIN)]
    for (plateau, size), part in usual.groupby(["plateau", "n_train"]):
        each = ", ".join(f"{row['patience']}: {_said(row)}" for _, row in part.iterrows())
        yield f"  {size:,} samples, {_rate(plateau)}; by patience: {each}"
    told = later[(later["variant"] == USUAL) & (later["patience"] == DOCUMENTED)]
    for _, row in told[told["stopped"] > 0].iterrows():
        yield (
            f"  {row['n_train']:,} samples, {_rate(row['plateau'])}: of {row['stopped']} networks "
            f"that patience {DOCUMENTED} stops, {row['begin_later']} begin with {PATIENCES[-1]} "
            f"[{row['low']:.3f}, {row['high']:.3f}]"
        )
    yield f"By variant at {_few(moved['n_train'])} samples and patience {DOCUMENTED}:"
    chosen = border[(border["margin"] == MARGIN) & (border["patience"] == DOCUMENTED)]
    for _, row in chosen[chosen["n_train"].isin(moved["n_train"])].iterrows():
        name = f"{row['variant']}, {_rate(row['plateau'])}"
        yield f"  {name}: {_said(row)}, {row['networks']} networks a point"
    names = moved["variant"] + ", " + moved["plateau"].map(_rate)
    yield _verdict(moved.assign(variant=names))


def _few(values: pd.Series) -> str:
    return ", ".join(f"{value:,}" for value in sorted(set(values)))


def _verdict(moved: pd.DataFrame) -> str:
    """Say what moved and what was not seen to."""
    yes, no = (
        "; ".join(moved["variant"][moved["moved"] == claim]) or "nothing" for claim in (True, False)
    )
    return f"Moved by: {yes}.  Not seen to be moved by: {no}."


def _said_line(tables: Tables) -> Iterator[str]:
    line, moved = tables["line"], tables["line_moved"]
    yield "Line p_eval* at p_train = 0 (95 % intervals)"
    for name, rows in _windows(line):
        yield f"  {name}:"
        for _, row in rows.iterrows():
            yield f"    {row['variant']}: {_said(row)}, {row['networks']} networks"
    for (least, largest), part in moved.groupby(["least", "largest"]):
        yield f"Exponent where that as documented is zero, {least:,} to {largest:,} samples:"
        for _, row in part.iterrows():
            yield (
                f"  {row['variant']}: {row['difference']:+.3f} +- {row['error']:.3f}, "
                f"p = {row['adjusted']:.2g} among all"
            )
        yield _verdict(part)
