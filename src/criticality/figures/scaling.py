"""Finite-size scaling: curves and their crossing, collapse, objective, exponents, evidence.

The arguments are what `criticality.analysis.scaling` gives.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from scipy.stats import chi2

from criticality.analysis.scaling import (
    Comparison,
    Decision,
    Fit,
    Landscape,
    Marginal,
    ScalingData,
)
from criticality.analysis.scaling.crossings import Crossings
from criticality.analysis.scaling.marginal import FITS
from criticality.base import Estimate
from criticality.figures.parts import MARKERS, axes, outside_legend, shades

SYMBOLS = {"nu": r"\nu", "sigma": r"\sigma", "p_c": "p_c"}


def curves(
    data: ScalingData,
    crossings: Crossings | None = None,
    fit: Fit | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the observable against the control, a curve for each size (Fig. 4a).

    With `crossings`, where curves of two sizes cross; with `fit`, the interval of p_c.
    """
    ax = axes(ax)
    control, size, observable = _labels(data)
    for curve, colour, marker in _styles(data):
        ax.errorbar(
            curve.control,
            curve.mean,
            curve.error,
            fmt=f"{marker}-",
            ms=3.5,
            lw=0.9,
            capsize=1.5,
            color=colour,
            label=f"{curve.size:g}",
        )
    if fit is not None and "p_c" in fit.free:
        _interval(fit, ax)
    for crossing in crossings.crossings if crossings is not None else ():
        at = crossing.at
        if not crossing.flags and math.isfinite(at.value):
            height = np.mean([_interpolated(data, length, at.value) for length in crossing.sizes])
            ax.errorbar(
                at.value,
                height,
                xerr=at.error if math.isfinite(at.error) else 0.0,
                fmt="o",
                color="k",
                mfc="w",
                ms=5,
                capsize=2,
                zorder=5,
            )
    ax.set(xlabel=control, ylabel=observable)
    outside_legend(ax, size)
    return ax


def collapsed(fit: Fit, ax: Axes | None = None) -> Axes:
    """Draw all points in scaled coordinates, with the fitted master curve and its deviation."""
    ax = axes(ax)
    for (curve, colour, marker), (x, y, error) in zip(_styles(fit.data), fit.scaled(), strict=True):
        ax.errorbar(
            x,
            y,
            error,
            fmt=marker,
            ms=3.5,
            lw=0.9,
            capsize=0,
            color=colour,
            label=f"{curve.size:g}",
        )
    if fit.objective == "gp":
        s, d = fit.ansatz.scale(fit.values, np.array([fit.data.sizes[-1]]))
        ends = [x for x, _, _ in fit.scaled()]
        grid = np.linspace(min(x.min() for x in ends), max(x.max() for x in ends), 300)
        mean, deviation = fit.model.master(fit.theta, grid / s[0])
        ax.plot(grid, mean / d[0], color="k", lw=0.8, zorder=0)
        low, high = (mean - deviation) / d[0], (mean + deviation) / d[0]
        ax.fill_between(grid, low, high, color="0.8", lw=0, zorder=-1)
    x_label, y_label = _scaled_labels(fit)
    ax.set(xlabel=x_label, ylabel=y_label)
    outside_legend(ax, _labels(fit.data)[1])
    return ax


def residuals(fit: Fit, ax: Axes | None = None) -> Axes:
    """Draw each point's distance from the fitted curve, in its standard errors."""
    ax = axes(ax)
    points = zip(_styles(fit.data), fit.scaled(), fit.residuals(), strict=True)
    for (_, colour, marker), (x, _, _), pull in points:
        ax.plot(x, pull, marker, ms=3.5, color=colour)
    ax.axhline(0, color="k", lw=0.8, zorder=0)
    ax.axhspan(-1, 1, color="0.9", lw=0, zorder=-1)
    ax.set(xlabel=_scaled_labels(fit)[0], ylabel="residual / standard error")
    quality = rf"$\chi^2/\mathrm{{dof}} = {fit.chi2:.0f}/{fit.dof:.0f}$"
    ax.set_title(f"{quality}, p = {fit.p_value:.2g}", fontsize="medium")
    return ax


def objective(
    landscape: Landscape, fit: Fit | Mapping[str, Estimate], ax: Axes | None = None
) -> Axes:
    """Draw the objective over p_c and the exponent with the fit and its errors (Fig. 4b).

    Of a fit that is no longer there, its parameters by name will do.

    For "gp" the contours hold 68 and 95 % of a Gaussian; for the other objectives they are at 1.3
    and 2 times the minimum, which is a convention of display and no confidence region.
    """
    ax = axes(ax)
    gp = landscape.objective == "gp"
    values = landscape.values - (landscape.values.min() if gp else 0)
    levels = [float(chi2.isf(1 - q, 2)) / 2 for q in (0.6827, 0.9545)]
    if not gp:
        levels = [1.3 * values.min(), 2 * values.min()]
    top = 4 * levels[1] if gp else 6 * values.min()
    image = ax.pcolormesh(
        landscape.p_c,
        landscape.exponent,
        values,
        vmin=0 if gp else values.min(),
        vmax=top,
        cmap="cividis_r",
        shading="nearest",
        rasterized=True,
    )
    ax.contour(
        landscape.p_c,
        landscape.exponent,
        values,
        levels=levels,
        colors="k",
        linewidths=[1.2, 0.8],
        linestyles=["-", "--"],
    )
    found = fit.params if isinstance(fit, Fit) else fit
    p_c, exponent = found["p_c"], found[landscape.exponent_name]
    ax.errorbar(
        p_c.value,
        exponent.value,
        np.nan_to_num(exponent.error),
        np.nan_to_num(p_c.error),
        fmt="o",
        color="w",
        mec="k",
        ecolor="w",
        ms=5,
        capsize=2,
    )
    ax.set(xlim=(landscape.p_c[0], landscape.p_c[-1]))
    ax.set(ylim=(landscape.exponent[0], landscape.exponent[-1]))
    ax.set(xlabel=_math("p_c"), ylabel=_math(landscape.exponent_name))
    label = r"$-\ln P + \ln P_\mathrm{max}$" if gp else rf"$\chi^2/$dof ({landscape.objective})"
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=ax, label=label, extend="max", pad=0.02)
    return ax


def exponents(
    control: Sequence[float], fits: Sequence[Fit], name: str = "control", ax: Axes | None = None
) -> Axes:
    """Draw the exponent (left) and chi2/dof (right) of several fits against a control (Fig. 4c).

    `name` is what the control is called.
    Filled: the curves collapse (p >= 0.01); open: they do not.
    """
    ax = axes(ax)
    other = ax.twinx()
    for p, fit in zip(control, fits, strict=True):
        exponent = fit.params[fit.exponent]
        face = "#0072b2" if fit.p_value >= 0.01 else "w"
        ends = np.maximum([[exponent.value - exponent.low], [exponent.high - exponent.value]], 0)
        ax.errorbar(p, exponent.value, ends, fmt="o", color="#0072b2", mfc=face, capsize=2)
    quality = [fit.chi2 / fit.dof if fit.dof > 0 else math.nan for fit in fits]
    other.plot(control, quality, "s--", color="#d55e00", ms=4, lw=0.8)
    other.axhline(1, color="#d55e00", lw=0.6, ls=":")
    other.set_ylabel(r"$\chi^2/$dof (squares)", color="#d55e00")
    other.set_ylim(bottom=0)
    level = round(100 * fits[0].params[fits[0].exponent].level)
    label = _math(fits[0].exponent)
    ax.set(xlabel=name, ylabel=f"{label}, {level} % intervals (circles)")
    ax.yaxis.label.set_color("#0072b2")
    return ax


def choices(marginal: Marginal, name: str = "p_c", ax: Axes | None = None) -> Axes:
    """Draw a parameter against all choices of an analysis, with what they say together.

    Filled: the curves collapse with this choice; open: they do not.  The area of a symbol goes with
    the share of the choice.  Band: interval of the whole; dashed: its value.
    """
    ax = axes(ax)
    places = sorted({choice.control_range for choice in marginal.choices}, key=_wide_first)
    colours = dict(zip(places, shades(len(places)), strict=True))
    named: set[tuple[float, float]] = set()
    rows = sorted(
        zip(marginal.choices, marginal.fits, marginal.weights, strict=True),
        key=lambda row: (places.index(row[0].control_range), row[0].size_min),
    )
    for at, (choice, fit, weight) in enumerate(rows):
        place, found = choice.control_range, fit.params[name]
        colour = colours[place]
        low, high = max(found.value - found.low, 0), max(found.high - found.value, 0)
        ax.errorbar(at, found.value, [[low], [high]], fmt="none", ecolor=colour, lw=0.9)
        ax.scatter(
            at,
            found.value,
            s=15 + 150 * weight,
            marker=MARKERS[places.index(place) % len(MARKERS)],
            facecolor="w" if fit.p_value < FITS else colour,
            edgecolor=colour,
            zorder=3,
            label="" if place in named else f"{place[0]:.3g} to {place[1]:.3g}",
        )
        named.add(place)
    whole = marginal.params[name]
    ax.axhspan(whole.low, whole.high, color="0.88", lw=0, zorder=-2)
    ax.axhline(whole.value, color="0.4", lw=0.8, ls="--", zorder=-1)
    ax.set_xticks(range(len(rows)), [f"{choice.size_min:g}" for choice, *_ in rows], rotation=90)
    ax.tick_params(axis="x", labelsize="small")
    control, size, _ = _labels(marginal.data)
    ax.set(xlabel=f"least {size}", ylabel=f"{_math(name)} ({marginal.ansatz.name})")
    outside_legend(ax, f"range of {control}")
    legend = ax.get_legend()
    assert legend is not None
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([30])
    return ax


def _wide_first(place: tuple[float, float]) -> tuple[float, float]:
    return (-round(place[1] - place[0], 9), place[0])


def evidence(comparison: Comparison | Decision, ax: Axes | None = None) -> Axes:
    """Draw ln Z of every form below the best; the band is what does not decide."""
    ax = axes(ax)
    found: Sequence[Fit | Marginal] = (
        comparison.fits if isinstance(comparison, Comparison) else comparison.marginals
    )
    fits = found[::-1]
    best = max(fit.log_evidence for fit in fits)
    deltas = np.array([best - fit.log_evidence for fit in fits])
    ax.barh(range(len(fits)), deltas, color="#56b4e9", edgecolor="0.2", height=0.6)
    ax.axvspan(0, comparison.decisive, color="0.85", lw=0, zorder=0)
    ax.set_xscale("symlog", linthresh=10)
    ax.set_xlim(0, max(12.0, 10 * deltas.max()))
    for row, delta in enumerate(deltas):
        ax.annotate(
            f"{delta:.1f}", (delta, row), xytext=(3, 0), textcoords="offset points", va="center"
        )
    ax.set_yticks(range(len(fits)), [fit.ansatz.name for fit in fits])
    ax.set_xlabel(r"$\ln Z_\mathrm{best} - \ln Z$ (log scale above 10; grey: undecided)")
    ax.set_title(f"verdict: {comparison.verdict}", fontsize="medium")
    return ax


def _styles(data: ScalingData) -> list[tuple[Any, Any, str]]:
    return list(zip(data.curves, shades(len(data.curves)), itertools.cycle(MARKERS), strict=False))


def _interval(fit: Fit, ax: Axes) -> None:
    """Mark p_c with its interval."""
    p_c = fit.params["p_c"]
    if math.isfinite(p_c.low):
        ax.axvspan(p_c.low, p_c.high, color="0.85", lw=0, zorder=0)
    ax.axvline(p_c.value, color="0.4", lw=0.8, ls="--", zorder=0)
    ax.annotate(
        "$p_c$",
        (p_c.value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(3, -3),
        textcoords="offset points",
        va="top",
    )


def _interpolated(data: ScalingData, size: float, control: float) -> float:
    curve = next(c for c in data.curves if c.size == size)
    return float(np.interp(control, curve.control, curve.mean))


def _math(name: str) -> str:
    """Name of a quantity in mathematics, if it has one."""
    if name in SYMBOLS:
        return f"${SYMBOLS[name]}$"
    return f"${name}$" if len(name) == 1 else name


def _labels(data: ScalingData) -> tuple[str, ...]:
    """Labels of control, size and observable."""
    return tuple(_math(name) for name in data.labels or data.names)


def _bare(label: str) -> str:
    """Label for use inside of mathematics."""
    return label.strip("$") if label.startswith("$") else rf"\mathrm{{{label}}}"


def _scaled_labels(fit: Fit) -> tuple[str, str]:
    """Labels of the scaled axes, with the fitted form."""
    *axes, observable = _labels(fit.data)
    control, size = map(_bare, axes)
    if fit.exponent == "nu":
        x = rf"$({control} - p_c)\,{size}^{{1/\nu}}$"
        if not fit.params["beta"].fixed or fit.params["beta"].value:
            observable = rf"{observable} $\times\ {size}^{{\,\beta/\nu}}$"
    elif fit.exponent == "sigma":
        x = rf"$({control} - p_c)\,[\ln({size}/L_0)]^{{1/\sigma}}$"
    else:
        x = f"${control}$"
    return x, observable
