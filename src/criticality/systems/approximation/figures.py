"""Figures of approximation rates: errors, the phase diagram, depth and bits, what is learned."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from criticality.analysis.classify import values
from criticality.analysis.exponents import exponents
from criticality.base import Card, Estimate, default, with_error
from criticality.figures.book import Book, Source, all_used, at_point
from criticality.figures.parts import COLOURS, MARKERS, STYLES, axes, label, plain, shades
from criticality.systems.approximation.decay import LAWS, LEAST, decay
from criticality.systems.approximation.distinct import SYSTEMS, distinct
from criticality.systems.approximation.functions import SPACES
from criticality.systems.approximation.phases import INFEASIBLE, SIZE, USED

WIDTH = 4.6
GUIDES = ((1, "--", "slope $-r/d$"), (2, ":", "slope $-2r/d$ (VC bound)"))
HATCH = "xxx"
WRITTEN = (
    ("lines_error", "--", "straight lines, same functions"),
    ("codes_error", ":", "codes, same functions"),
)


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw errors for each class, the phase diagram, depth and bits, and jumps of the weights.

    The last two for one class, by default that of r/d nearest to 1, or as `at` says.
    """
    ds, told = source.open(), source.card
    several = ds.sizes.get(SIZE, 1) > 1
    others = [d for d in ("function",) if d in ds.dims]
    all_used(at, "ratio", *others)
    ds, _ = at_point(ds, others, at, 0)
    ds = _on_axes(ds, source, "rate", "ratio", SIZE)
    if several:
        fits = exponents(distinct(ds), "error", SIZE)
        row = book.page("errors", ds.sizes["ratio"], WIDTH * ds.sizes["ratio"])[0]
        for ax, ratio in zip(row, ds["ratio"].values, strict=True):
            errors(ds.sel(ratio=ratio), fits.sel(ratio=ratio), ax)
        diagram(fits, told, book.page("phases", 1, 6.4)[0][0])
    near = ds["ratio"].values[np.abs(ds["ratio"].values - 1).argmin()]
    one, title = at_point(ds, ["ratio"], {"ratio": f"{near:g}"} | dict(at), 0)
    if several:
        row = book.page("resources", 2, 2 * WIDTH, [title])[0]
        for ax, name in zip(row, ("depth", "bits"), strict=True):
            _against(one, name, ax)
    if ds.sizes.get("shift", 1) > 1:
        jumps(one, book.page("jump", 1, 6.4, [title])[0][0])


def _on_axes(ds: xr.Dataset, source: Source, *names: str) -> xr.Dataset:
    """Make an axis of one value of each control that is none: selected, given, or by default."""
    given = json.loads(ds.attrs["controls"])
    for name in (n for n in names if n not in ds.dims):
        if name not in ds.coords:
            value = given.get(name, default(SYSTEMS[source.card.name], name))
            axis = source.axes[name]
            about = {"symbol": axis.symbol, "label": axis.label, "units": axis.unit}
            ds = ds.assign_coords({name: ((), value, about)})
        ds = ds.expand_dims(name)
    return ds


def errors(ds: xr.Dataset, fits: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw errors against weights for each rate, with measured exponents, and slopes of theory."""
    ax = axes(ax)
    ratio = float(ds["ratio"])
    _against(ds, "error", ax, fits)
    w = ds[SIZE].values.astype(float)
    drawn = [values(ds, "error")["error"].sel(rate=r).values[0] for r in ds["rate"].values]
    for times, style, text in GUIDES:
        top = 0.55 * min(drawn) if times == 2 else 1.6 * max(drawn)
        ax.plot(w, top * (w / w[0]) ** (-times * ratio), style, color="0.45", lw=1, label=text)
    low, high = ax.get_ylim()
    ax.set_ylim(low / (high / low) ** 0.35, high)
    space = SPACES[ratio]
    ax.set_title(f"$r$ = {space.smoothness}, $d$ = {space.dimension}", fontsize="medium")
    ax.legend(frameon=False, fontsize="small", loc="lower left")
    return ax


def diagram(fits: xr.Dataset, told: Card, ax: Axes | None = None) -> Axes:
    """Draw the phases that theory has over r/d and p, and the measured exponents p."""
    ax = axes(ax)
    most = 1.25 * float(fits["ratio"].max())
    x = np.array([0, most])
    colours = {phase.name: phase.colour for phase in told.phases}
    low, middle = (next(itertools.islice(colours.items(), k, None)) for k in (0, 1))
    ax.fill_between(x, 0, x, color=low[1], lw=0)
    ax.fill_between(x, x, 2 * x, color=middle[1], lw=0)
    top = 2.25 * float(fits["ratio"].max())
    ax.fill_between(x, 2 * x, 3 * most, facecolor="w", edgecolor="0.75", hatch=HATCH, lw=0)
    ax.plot(x, x, "k--", lw=1)
    ax.plot(x, 2 * x, "k-", lw=1)
    asked = fits["rate"].values
    for rate, marker in zip(asked, itertools.cycle(MARKERS), strict=False):
        one = fits.sel(rate=rate)
        ax.errorbar(
            one["ratio"],
            -one["exponent"],
            2 * one["exponent_error"],
            fmt=marker,
            color="k",
            mfc="w",
            ms=5,
            capsize=2,
            lw=1,
            label=f"measured, made for {rate:g} $r/d$",
        )
    handles = [
        Patch(facecolor=low[1], label=f"{low[0]}: $p \\leq r/d$"),
        Patch(facecolor=middle[1], label=f"{middle[0]}: $p \\leq 2r/d$"),
        Patch(
            facecolor="w", edgecolor="0.6", hatch=HATCH, label=f"{INFEASIBLE}: beyond the VC bound"
        ),
        *ax.get_legend_handles_labels()[0],
    ]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    ax.set(xlim=(0, most), ylim=(0, top), xlabel=label(fits, "ratio"), ylabel="rate $p$")
    return ax


def jumps(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw how much weights change when the function does, for the least and most weights.

    Each realization, and their median; zero is at the bottom.
    """
    ax = axes(ax)
    shift, sizes = ds["shift"].values, ds[SIZE].values
    every = itertools.product(ds["rate"].values, dict.fromkeys((sizes.min(), sizes.max())))
    # the first of two is wider, since both may be the same
    wide: tuple[dict[str, Any], ...] = ({"ms": 8, "lw": 3, "mfc": "none"}, {"ms": 4, "lw": 1})
    looks = zip(every, COLOURS, MARKERS, STYLES, itertools.cycle(wide), strict=False)
    for (rate, w), colour, marker, style, look in looks:
        jump = ds["jump"].sel({"rate": rate, SIZE: w}).transpose("shift", "realization").values
        ax.plot(shift, jump, marker, ms=3, color=colour, alpha=0.35, mew=0, clip_on=False)
        text = f"rate {rate:g} $r/d$, $W$ = {w}"
        middle = np.median(jump, axis=1)
        ax.plot(shift, middle, marker, ls=style, color=colour, label=text, clip_on=False, **look)
    ax.set(xscale="log", xlabel=label(ds, "shift"), ylabel=label(ds, "jump"))
    ax.set_yscale("symlog", linthresh=float(shift.min()) / 3)
    ax.set_ylim(0, 5)
    ax.legend(frameon=False, fontsize="small")
    return ax


def _number(found: Estimate) -> str:
    """Write a number with its error, or with three digits if there is nearly none."""
    exact = found.error < 1e-4 * abs(found.value)
    return f"{found.value:.3g}" if exact else with_error(found.value, found.error)


def lookup_pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw errors against sqrt(W), where exp(-c sqrt W) is straight, and where a power law is.

    A row for powers that are computed for each bit, one for those that are computed once.
    """
    ds = source.open()
    others = [d for d in ("function",) if d in ds.dims]
    all_used(at, *others)
    ds, _ = at_point(ds, others, at, 0)
    ds = _on_axes(ds, source, "ratio", "once")
    if ds.sizes.get(SIZE, 1) < LEAST:
        return
    names = {False: "powers for each bit", True: "powers computed once"}
    titles = [names[bool(once)] for once in ds["once"].values]
    rows = book.page("decay", 3, 3 * WIDTH, titles)
    for once, row in zip(ds["once"].values, rows, strict=True):
        for law, ax in zip(("root", "linear", "power"), row, strict=True):
            decays(ds.sel(once=once), law, ax)


def decays(ds: xr.Dataset, law: str, ax: Axes | None = None) -> Axes:
    """Draw errors on the axes on which a law is a straight line, with that of each class."""
    ax = axes(ax)
    looks = zip(ds["ratio"].values, COLOURS, MARKERS, STYLES, strict=False)
    for ratio, colour, marker, style in looks:
        one = ds.sel(ratio=ratio)
        used = one[USED].isel(realization=0).values
        used, first = np.unique(used, return_index=True)  # some budgets allow the same network
        error = values(one, "error")["error"].values[first]
        x = LAWS[law](used.astype(float))
        shown = used if law == "power" else x
        text = f"$r/d$ = {ratio:g}: "
        if len(used) < LEAST:
            text += f"{len(used)} network{'s' * (len(used) > 1)}, no fit"
        else:
            fit = decay(used, error, law)
            line = np.exp(fit.log_amplitude - fit.rate.value * x)
            ax.plot(shown, line, style, color=colour, lw=1)
            text += "" if law == "power" else f"$c$ = {_number(fit.rate)}, "
            text += f"residual {fit.residual:.3f}"
        ax.plot(shown, error, marker, color=colour, ms=5, label=text, clip_on=False)
    words = {"power": "$W$", "root": r"$\sqrt{W}$", "linear": "$W$"}
    ax.set(yscale="log", xlabel=f"weights used, {words[law]}", ylabel=label(ds, "error"))
    if law == "power":
        ax.set_xscale("log")
        plain(ax.xaxis)
    laws = {"power": "$W^{-p}$", "root": r"$e^{-c\sqrt{W}}$", "linear": "$e^{-cW}$"}
    ax.set_title(laws[law], fontsize="medium")
    low, high = ax.get_ylim()
    ax.set_ylim(low / (high / low) ** 0.45, high)
    ax.legend(frameon=False, fontsize="small", loc="lower left")
    return ax


def trained_pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw errors of trained networks against weights, beside those that are written down."""
    ds = source.open()
    others = [d for d in ds["error"].dims if d not in ("realization", SIZE, "steps")]
    all_used(at, *map(str, others))
    ds, title = at_point(ds, list(map(str, others)), at, 0)
    if ds.sizes.get(SIZE, 1) < 2:
        return
    ds = _on_axes(ds, source, "steps")
    row = book.page("learned", 2, 12.4, [title])[0]
    learned(ds, row[0])
    spread(ds.isel(steps=-1), row[1])


def learned(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw errors of the best trainings for each time, and of constructions."""
    ax = axes(ax)
    fits = exponents(distinct(ds), "error", SIZE)
    w = ds[SIZE].values.astype(float)
    looks = zip(ds["steps"].values, shades(ds.sizes["steps"]), MARKERS, strict=False)
    for steps, colour, marker in looks:
        found = values(ds.sel(steps=steps), "error")
        fit = fits.sel(steps=steps)
        p = with_error(-float(fit["exponent"]), float(fit["exponent_error"]))
        ax.errorbar(
            w,
            found["error"],
            found["error_error"],
            fmt=f"{marker}-",
            color=colour,
            ms=5,
            lw=1,
            capsize=2,
            label=f"trained, {steps} steps: $p$ = {p}",
        )
    _written(ds.isel(steps=-1), ax)
    _logarithmic(ds, ax, "error")
    low, high = ax.get_ylim()
    ax.set_ylim(low / (high / low) ** 0.3, high)
    ax.legend(frameon=False, fontsize="small", loc="lower left")
    return ax


def spread(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the best, the median and the worst training, of every function."""
    ax = axes(ax)
    w = ds[SIZE].values.astype(float)
    kinds = (("error", "best"), ("typical_error", "median"), ("worst_error", "worst"))
    shift = (0.96, 1.0, 1.04)
    for (name, text), colour, marker, by in zip(kinds, COLOURS, MARKERS, shift, strict=False):
        every = ds[name].transpose(SIZE, "realization").values
        ax.plot(w * by, every, marker, ms=3.5, color=colour, alpha=0.45, mew=0)
        middle = np.median(every, axis=1)
        ax.plot(w * by, middle, f"{marker}-", ms=6, color=colour, lw=1, label=text)
    _logarithmic(ds, ax, "error")
    title = f"of the trainings of {int(ds['steps'])} steps"
    ax.legend(frameon=False, fontsize="small", title=title, loc="lower left")
    return ax


def _written(ds: xr.Dataset, ax: Axes) -> None:
    """Draw errors of straight lines and of codes on the functions that were trained on."""
    w = ds[SIZE].values.astype(float)
    for name, style, text in WRITTEN:
        found = values(ds, name)
        mean, error = found[name], found[f"{name}_error"]
        ax.errorbar(w, mean, error, fmt=style, color="0.35", lw=1.3, capsize=2, label=text)


def _against(ds: xr.Dataset, name: str, ax: Axes, fits: xr.Dataset | None = None) -> None:
    """Draw a quantity against the weights for each rate."""
    w = ds[SIZE].values.astype(float)
    every = exponents(ds, name, SIZE) if fits is None else fits
    looks = zip(ds["rate"].values, shades(ds.sizes["rate"]), itertools.cycle(MARKERS), strict=False)
    for rate, colour, marker in looks:
        found = values(ds.sel(rate=rate), name)
        fit = every.sel(rate=rate)
        slope = float(fit["exponent"]) * (-1 if name == "error" else 1)
        power = with_error(slope, float(fit["exponent_error"]))
        sign = "p" if name == "error" else "W"
        text = f"made for {rate:g} $r/d$: "
        text += f"$p$ = {power}" if sign == "p" else f"$\\sim W^{{{slope:.2f}}}$"
        ax.errorbar(
            w,
            found[name],
            found[f"{name}_error"],
            fmt=f"{marker}-",
            color=colour,
            ms=4.5,
            lw=1,
            capsize=2,
            label=text,
        )
    _logarithmic(ds, ax, name)
    if fits is None:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.3)
        ax.legend(frameon=False, fontsize="small", loc="upper left")


def _logarithmic(ds: xr.Dataset, ax: Axes, name: str) -> None:
    ax.set(xscale="log", yscale="log", xlabel=label(ds, SIZE), ylabel=label(ds, name))
    plain(ax.xaxis)
