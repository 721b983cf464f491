"""Pruning: performance, structure, the evolution of weights, critical exponents.

Figure numbers are those of Pesce, He and Caldarelli.  `ds` is a study's results (`Store.open`);
the other arguments are what the modules `breakdown` and `evolution` beside this one give.
Densities of edges are drawn in percent; bands and bars are standard errors over realizations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from criticality.analysis.critical import CriticalPoint
from criticality.analysis.stats import Array
from criticality.base import with_error
from criticality.figures.parts import (
    COLOURS,
    MARKERS,
    STYLES,
    axes,
    band,
    by_realization,
    curve_style,
    mean_and_error,
    outside_legend,
    plain,
    reference,
    shades,
)
from criticality.systems.pruning.breakdown import classes, outer_points
from criticality.systems.pruning.evolution import evolution_metric

LABELS = {
    "accuracy": "test accuracy",
    "loss": "test cross-entropy (nat)",
    "prediction_entropy": "prediction entropy (nat)",
    "outcome_entropy": "outcome entropy (nat)",
    "conducting": "remaining edges that conduct (%)",
    "edges": "remaining edges of the layer (%)",
    "live_units": "live units (%)",
    "density": "remaining edges (%)",
}
RANGE = 1e-5  # of the greatest, below which an Evolution Metric is not shown


def against_density(ds: xr.Dataset, observable: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw an observable against the remaining edges, a curve for each outer point (Fig. 1)."""
    ax = axes(ax)
    for number, (at, one) in enumerate(outer_points(ds)):
        swept = [value for name, value in at.items() if name in ds.dims]
        label = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in swept)
        rho = one["density"].mean("realization").values
        values = by_realization(one[observable], "step")
        band(_percent(rho), values, ax, *curve_style(number), label=label or None)
    _percent_axis(ax)
    ax.set_ylabel(LABELS[observable])
    count = classes(ds)
    if observable.endswith("entropy") and count:
        ax.set_ylim(-0.05, 1.1 * math.log(count))
    if observable == "accuracy":
        ax.set_ylim(0, 1.02)
    guess(ax, observable, count)
    if observable == "loss":
        ax.set_yscale("log")
        plain(ax.yaxis)
    curves = len(ax.get_legend_handles_labels()[0])
    if curves:
        _legend_above(ax, min(curves, 3))
    return ax


def guess(ax: Axes, observable: str, count: int | None) -> None:
    """Mark what a guess among so many classes gives, if their number is known."""
    if count and observable == "accuracy":
        reference(ax, 1 / count, f"1/{count}", below=True)
    elif count:
        reference(ax, math.log(count), rf"$\ln {count}$")


def layers(
    ds: xr.Dataset,
    observable: Literal["conducting", "edges", "live_units"] = "conducting",
    ax: Axes | None = None,
) -> Axes:
    """Draw the structure of each layer against the remaining edges of the network.

    "conducting": share of the layer's remaining edges on a path from input to output; "edges" and
    "live_units": share of what the dense network has.
    """
    ax = axes(ax)
    values, along = ds[observable], "unit_layer" if observable == "live_units" else "layer"
    whole = ds["edges"] if observable == "conducting" else values.isel(step=0)
    share = (100 * values / whole.where(whole > 0)).transpose("realization", "step", along)
    numbers = ds[along].values
    rho = ds["density"].mean("realization").values
    for number, colour, style in zip(numbers, shades(len(numbers)), STYLES * 4, strict=False):
        name = {0: "input", int(numbers[-1]): "output"}.get(int(number), str(number))
        label = name if along == "unit_layer" else str(number)
        band(_percent(rho), share.sel({along: number}).values, ax, colour, style, label=label)
    _percent_axis(ax)
    ax.set(ylabel=LABELS[observable], ylim=(-2, 104))
    outside_legend(ax, "units" if along == "unit_layer" else "layer")
    return ax


def weight_scatter(
    later: ArrayLike,
    earlier: ArrayLike,
    remaining: ArrayLike,
    densities: tuple[float, float] | None = None,
    ax: Axes | None = None,
    *,
    of_all: tuple[float, int, int] | None = None,
) -> Axes:
    """Draw weights of two steps against each other, with the identity (Fig. 2).

    Parameters
    ----------
    later, earlier
        [weights]: at steps t > t'.
    remaining
        bool [weights]: at the later step.  Others that were not zero at the earlier one are
        crosses.
    densities
        Of the later and the earlier step, for the title.
    of_all
        Evolution Metric, and how many weights remain and are pruned, if these are a sample only.
    """
    ax = axes(ax)
    new, old = np.asarray(later, float), np.asarray(earlier, float)
    kept = np.asarray(remaining, bool)
    gone = ~kept & (old != 0)
    size = 6 if len(new) < 5000 else 3
    found, remain, pruned = of_all or (
        evolution_metric(new, old, kept),
        int(kept.sum()),
        int(gone.sum()),
    )
    ax.plot(old[kept], new[kept], ".", ms=size, color=COLOURS[0], mew=0, alpha=0.6, rasterized=True,
            label=f"remain ({remain:,})")  # fmt: skip
    ax.plot(old[gone], np.zeros(gone.sum()), "x", ms=4, mew=0.7, color=COLOURS[1], rasterized=True,
            label=f"pruned ({pruned:,})")  # fmt: skip
    every = np.abs(np.concatenate([new, old]))  # some may be infinite, where training diverged
    largest = 1.05 * float(every[np.isfinite(every)].max(initial=1e-12))
    ax.plot([-largest, largest], [-largest, largest], color="k", lw=0.8, zorder=1.5)
    ax.set(xlim=(-largest, largest), ylim=(-largest, largest), aspect="equal")
    ax.set(xlabel="earlier weight $w_{t'}$", ylabel="later weight $w_t$")
    text = rf"$\mathrm{{EM}} = {_scientific(found)}$" "\n" rf"adjusted $R^2 = {1 - found:.4f}$"
    if not math.isfinite(found):
        text = "EM undefined"
    ax.text(0.96, 0.05, text, transform=ax.transAxes, ha="right", fontsize="small")
    ax.legend(loc="upper left", frameon=False, fontsize="small", markerscale=1.6, handletextpad=0.2)
    if densities is not None:
        first, second = (f"{100 * rho:.3g} %" for rho in reversed(densities))
        ax.set_title(f"{first} → {second} of the edges", fontsize="medium")
    return ax


def evolution_profile(
    profile: xr.DataArray, density: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the Evolution Metric at a fixed lag, of the network and of each layer (Fig. 3).

    Parameters
    ----------
    profile
        (realization, part, step or snapshot): `ds["evolution"]`, or what `evolution_profile`
        gives.
    density
        [steps]; by default the coordinate `snapshot`.
    """
    ax = axes(ax)
    along = next(str(d) for d in profile.dims if d not in ("realization", "part"))
    rho = profile[along].values if density is None else np.asarray(density, float)
    parts = profile["part"].values
    looks = zip(("k", *shades(len(parts) - 1)), ("-", *STYLES[1:] * 4), strict=False)
    if not _moves(profile.where(profile[along] > 0).values, ax):
        return ax
    for part, (colour, style) in reversed(list(zip(parts, looks, strict=False))):
        values = by_realization(profile.sel(part=part), along)
        label = "network" if part == 0 else f"layer {part}"
        # the first step has moved from nowhere
        values = np.where(values > 0, values, np.nan)
        lw = 1.6 if part == 0 else 1.0
        band(_percent(rho), values, ax, colour, style, label=label, lw=lw)
    _percent_axis(ax)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, high * RANGE), high)
    lag = profile.attrs.get("lag")
    unit = profile.attrs.get("lag_unit", "step")
    between = f"{lag} {unit}s apart" if lag and lag > 1 else f"one {unit} apart"
    ax.set_ylabel(f"Evolution Metric, {between}")
    handles, names = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], names[::-1], frameon=False, fontsize="small")
    return ax


def evolution_map(found: xr.DataArray, part: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the Evolution Metric between all pairs of snapshots (Fig. 3), mean over realizations.

    One flat cell a pair; hatched where there is no value.  Colours span five decades at most: less
    is rounding.
    """
    ax = axes(ax)
    mean = found.sel(part=part).mean("realization").sortby(["snapshot", "other"])
    mean = mean.where((mean["snapshot"] > 0) & (mean["other"] > 0), drop=True)
    values = mean.transpose("other", "snapshot").values
    if not _moves(np.where(np.eye(len(values)), np.nan, values), ax):
        return ax
    edges = _cell_edges(100 * mean["snapshot"].values)
    positive = values[np.isfinite(values) & (values > 0)]
    top = positive.max()
    low = max(positive.min(), top * RANGE)
    values = np.where(values < low, low / 10, values)  # a logarithm has no place for 0
    cmap = matplotlib.colormaps["cividis"].with_extremes(under="w", bad=(0, 0, 0, 0))
    mesh = ax.pcolormesh(
        edges,
        edges,
        np.ma.masked_invalid(values),
        norm=LogNorm(low, top),
        cmap=cmap,
        shading="flat",
        rasterized=True,
    )
    ax.patch.set(hatch="////", edgecolor="0.7", facecolor="w")
    ax.set(xscale="log", yscale="log", aspect="equal")
    for axis in (ax.xaxis, ax.yaxis):
        plain(axis)
    ax.set(xlabel=LABELS["density"], ylabel=LABELS["density"])
    figure = ax.get_figure()
    assert figure is not None
    name = "network" if part == 0 else f"layer {part}"
    figure.colorbar(mesh, ax=ax, label=f"Evolution Metric, {name} (white: below)", pad=0.02)
    return ax


def order_parameter(point: CriticalPoint, ax: Axes | None = None) -> Axes:
    """Draw the order parameter against the distance from the critical density, Eqs. (3), (4).

    Circles: mean over networks, with the fit; grey: each network against its own critical
    density.
    """
    ax = axes(ax)
    ax.set(xscale="log", yscale="log")
    name = LABELS[point.order.name].removeprefix("test ")
    offset = f" $-$ {point.order.offset:.3g}" if point.order.offset else ""
    ax.set(xlabel=r"distance $\rho - \rho_c$ (% of edges)", ylabel=name + offset)
    own = point.single("p_c").values if point.each else np.array([])
    for rho_c, y in zip(own, point.samples, strict=False):
        x = 100 * (point.control - rho_c)
        here = (x > 0) & (y > 0)
        ax.plot(x[here], y[here], "-", color="0.75", lw=0.7, zorder=0)
    if point.fit is None or not math.isfinite(point.fit.p_c):
        ax.set_title(", ".join(map(str, point.flags)), fontsize="medium")
        return ax
    rho_c, beta, amplitude = (point.fit.params[name] for name in ("p_c", "beta", "amplitude"))
    x = 100 * (point.control - rho_c.value)
    mean, error = mean_and_error(point.samples)
    here = (x > 0) & (mean > 0)
    lower = np.minimum(error, 0.999 * np.abs(mean))  # a bar to below zero has no end here
    colour = COLOURS[0]
    ax.errorbar(x[here], mean[here], (lower[here], error[here]), fmt="o", ms=4, lw=1, capsize=1.5,
                color=colour, mfc=colour if point.resolved else "w")  # fmt: skip
    line = np.geomspace(x[here].min(), x[here].max(), 50) if here.any() else np.array([1.0])
    law = amplitude.value * (line / 100) ** beta.value
    ax.plot(line, law, "-" if point.resolved else ":", color="k", lw=1, zorder=3)
    for axis in (ax.xaxis, ax.yaxis):
        plain(axis)
    percent = with_error(100 * rho_c.value, 100 * rho_c.error)
    ax.set_title(rf"$\rho_c = {percent}$ %, $\beta = {beta}$", fontsize="medium")
    if point.flags:
        ax.text(0.97, 0.04, "\n".join(map(str, point.flags)), transform=ax.transAxes, ha="right",
                fontsize="small", color="0.35")  # fmt: skip
    return ax


def threshold_scan(
    points: Sequence[CriticalPoint],
    name: Literal["beta", "p_c"] = "beta",
    ax: Axes | None = None,
) -> Axes:
    """Draw the exponent, or the critical density, against the greatest distance that is fitted.

    It must not drift where the power law holds.  Open: flagged; bands: mean over networks that
    are fitted alone.
    """
    ax = axes(ax)
    factor = {"p_c": 100.0, "beta": 1.0}[name]
    for number, point in enumerate(points):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        label = LABELS[point.order.name].removeprefix("test ").removesuffix(" (nat)")
        alone = point.single(name)
        if alone.n > 1:
            low, high = (factor * (alone.mean + s * alone.error) for s in (-1, 1))
            ax.axhspan(low, high, color=colour, alpha=0.2, lw=0, zorder=0)
        for fit in point.scan:
            if not math.isfinite(fit.p_c):
                continue
            shown = fit.params[name]
            x = 100 * min(fit.window[1], point.control[-1] - fit.p_c)
            ax.errorbar(x, factor * shown.value, factor * shown.error, fmt=marker,
                        ms=4.5, lw=1, capsize=2, color=colour, mfc="w" if fit.flags else colour,
                        label=label)  # fmt: skip
            label = ""
    ax.set_xscale("log")
    plain(ax.xaxis)
    text = {"beta": r"exponent $\beta$", "p_c": r"critical density $\rho_c$ (% of edges)"}[name]
    ax.set(xlabel=r"greatest distance $\rho - \rho_c$ (% of edges)", ylabel=text)
    if ax.get_legend_handles_labels()[0]:
        _legend_above(ax, 2)
    return ax


# --- parts -----------------------------------------------------------------------------------


def _percent(density: ArrayLike) -> Array:
    """Densities in percent; NaN for 0, which has no place on a logarithmic axis."""
    rho = np.asarray(density, float)
    percent: Array = np.where(rho > 0, 100 * rho, np.nan)
    return percent


def _legend_above(ax: Axes, columns: int) -> None:
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, frameon=False, fontsize="small"
    )


def _moves(values: Array, ax: Axes) -> bool:
    """Whether any Evolution Metric is positive; if none is, the panel says so.

    Values that are 0 by definition shall be NaN.
    """
    if np.any(values > 0):
        return True
    text = "no change" if np.isfinite(values).any() else "undefined"
    ax.text(
        0.5,
        0.5,
        f"Evolution Metric: {text}",
        transform=ax.transAxes,
        ha="center",
        va="center",
        color="0.35",
    )
    ax.set(xticks=[], yticks=[])
    return False


def _percent_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    plain(ax.xaxis)
    ax.set_xlabel(LABELS["density"])


def _cell_edges(values: Array) -> Array:
    """Edges of cells about positive values: geometric means of neighbours."""
    logs = np.log(values)
    if len(logs) < 2:
        alone: Array = np.exp(logs[0] + np.array([-0.5, 0.5]))
        return alone
    inner = (logs[1:] + logs[:-1]) / 2
    ends = np.array([2 * logs[0] - inner[0], 2 * logs[-1] - inner[-1]])
    edges: Array = np.exp(np.concatenate([ends[:1], inner, ends[1:]]))
    return edges


def _scientific(value: float) -> str:
    """Write a number with two digits; a power of ten where it is small."""
    if not math.isfinite(value) or value == 0 or value >= 0.01:
        return f"{value:.2g}" if math.isfinite(value) else r"\mathrm{undefined}"
    power = math.floor(math.log10(value))
    return rf"{value / 10**power:.1f}\times 10^{{{power}}}"
