"""Figures of a refinement: the melting line before and after, its rounds, what was not fitted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from criticality.figures.book import Book, Source, at_point
from criticality.figures.pages import generic_pages
from criticality.figures.parts import axes
from criticality.systems.lennard_jones import published

KINDS = (  # name, colour and marker of each potential
    ("given", "#d55e00", "s"),
    ("refined", "#0072b2", "o"),
    ("true", "k", "^"),
)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#595959")
WALL = 1.5  # energy above which a potential is not drawn


def pages(source: Source, book: Book, at: Mapping[str, str]) -> None:
    """Draw what any system has, and the first point of the study, or the one that is asked for."""
    generic_pages(source, book, at)
    ds = source.open()
    others = [str(d) for d in ds["pull"].dims if d != "realization"]
    ds, title = at_point(ds, others, at, 0)
    for name, parts in (
        ("melting_line", (melting_line, deviations)),
        ("rounds", (round_temperatures, round_differences)),
        ("potential", (potentials, differences)),
        ("liquid", (pair_correlations, diffusion)),
    ):
        row = book.page(name, len(parts), 5.2 * len(parts))[0]
        for ax, part in zip(row, parts, strict=True):
            part(ds, ax)
        row[0].set_title(title, fontsize="medium")


def melting_line(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw melting temperatures of both potentials on the target line, means of realizations."""
    ax = axes(ax)
    pressure, target = (_mean(ds[name]) for name in ("state_pressure", "target_temperature"))
    line = np.linspace(pressure.min(), pressure.max(), 200)
    factor = target[0] / published.temperature(pressure[0])
    ax.plot(line, factor * published.temperature(line), "k-", lw=1.2, label="target")
    for name, error, (kind, colour, marker) in (
        ("start_temperature", "start_error", KINDS[0]),
        ("melting_temperature", "melting_error", KINDS[1]),
    ):
        value, bar = _combined(ds[name], ds[error])
        ax.errorbar(
            pressure, value, bar, fmt=marker, color=colour, mfc="w", capsize=3, label=f"{kind}"
        )
    ax.set_xlabel(r"pressure $P$ ($\epsilon/\sigma^3$)")
    ax.set_ylabel(r"melting temperature ($\epsilon/k_B$)")
    ax.legend()
    return ax


def deviations(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw how far each realization's melting temperatures, measured anew, are from the target."""
    ax = axes(ax)
    pressure, target = ds["state_pressure"].values, ds["target_temperature"].values
    error = np.hypot(ds["melting_error"].values, ds["predicted_error"].values)
    away = 100 * (ds["melting_temperature"].values / target - 1)
    number = len(ds.realization)
    spread = 0.02 * np.ptp(_mean(ds["state_pressure"])) * (np.arange(number) - (number - 1) / 2)
    _, colour, marker = KINDS[1]
    for each, shift in enumerate(spread):
        bar = 100 * error[each] / target[each]
        ax.errorbar(
            pressure[each] + shift, away[each], bar, fmt=marker, color=colour, mfc="w", capsize=2
        )
    ax.axhline(0, color="k", lw=1)
    ax.set_xlabel(r"pressure $P$ ($\epsilon/\sigma^3$)")
    ax.set_ylabel(r"$T_m/T_k-1$ (%), measured anew")
    return ax


def round_temperatures(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw T_k of each round."""
    ax = axes(ax)
    _rounds(ds, "round_temperature", ax)
    for number, target in enumerate(_mean(ds["target_temperature"])):
        ax.axhline(target, color=COLOURS[number % len(COLOURS)], lw=1, ls=":")
    ax.set_ylabel(r"temperature $T$ ($\epsilon/k_B$), target dotted")
    ax.legend(title="pressure", loc="center right", fontsize="small")
    return ax


def round_differences(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw what is missing to coexistence at each round."""
    ax = axes(ax)
    _rounds(ds, "round_difference", ax)
    ax.axhline(0, color="k", lw=1)
    ax.set_ylabel(r"$\Delta\phi=(G_{\rm liquid}-G_{\rm solid})/k_BT$ of the box")
    return ax


def potentials(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw u(r) of the given, the refined and the true potential."""
    ax = axes(ax)
    for number, (kind, colour, _) in enumerate(KINDS):
        each = ds["pair_potential"].isel(model=number)
        for one in each.transpose("realization", "r").values:
            inside = one < WALL
            ax.plot(ds.r.values[inside], one[inside], color=colour, lw=1, alpha=0.8, label=kind)
            kind = "_"
    ax.set_xlabel(r"distance $r$ ($\sigma$)")
    ax.set_ylabel(r"$u(r)$ ($\epsilon$)")
    ax.legend()
    return ax


def differences(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw how far the given and the refined potential are from the truth."""
    ax = axes(ax)
    truth = ds["pair_potential"].isel(model=2)
    for number, (kind, colour, _) in enumerate(KINDS[:2]):
        each = (ds["pair_potential"].isel(model=number) - truth).transpose("realization", "r")
        for one, u in zip(each.values, truth.transpose("realization", "r").values, strict=True):
            inside = u < WALL
            ax.plot(ds.r.values[inside], one[inside], color=colour, lw=1, alpha=0.8, label=kind)
            kind = "_"
    ax.axhline(0, color="k", lw=1)
    ax.set_xlabel(r"distance $r$ ($\sigma$)")
    ax.set_ylabel(r"$u(r)-u_{\rm true}(r)$ ($\epsilon$)")
    ax.legend()
    return ax


def pair_correlations(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw g(r) of the liquid at the middle state point."""
    ax = axes(ax)
    state = ds.sizes["state"] // 2
    for number, (kind, colour, marker) in enumerate(KINDS):
        g = ds["pair_correlation"].isel(model=number, state=state).mean("realization")
        ax.plot(ds.r.values, g.values, marker=marker, ms=3, color=colour, lw=1, label=kind)
    pressure = _mean(ds["state_pressure"])[state]
    ax.set_xlabel(r"distance $r$ ($\sigma$)")
    ax.set_ylabel(f"$g(r)$ of the liquid at $P={pressure:.3g}$")
    ax.legend()
    return ax


def diffusion(ds: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw diffusion coefficients of the liquid on the line."""
    ax = axes(ax)
    pressure = _mean(ds["state_pressure"])
    for number, (kind, colour, marker) in enumerate(KINDS):
        one = ds.isel(model=number)
        value, error = _combined(one["diffusion"], one["diffusion_error"])
        shift = 0.01 * np.ptp(pressure) * (number - 1)
        ax.errorbar(
            pressure + shift,
            value,
            error,
            fmt=marker,
            color=colour,
            mfc="w",
            capsize=3,
            label=kind,
        )
    ax.set_xlabel(r"pressure $P$ ($\epsilon/\sigma^3$)")
    ax.set_ylabel(r"diffusion coefficient $D$ ($\sigma\sqrt{\epsilon/m}$)")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def _rounds(ds: xr.Dataset, name: str, ax: Axes) -> None:
    """Draw a quantity of every state point along the rounds, all realizations."""
    for state, pressure in enumerate(_mean(ds["state_pressure"])):
        label = f"{pressure:.3g}"
        for one in ds[name].isel(state=state).transpose("realization", "round").values:
            colour = COLOURS[state % len(COLOURS)]
            ax.plot(ds["round"].values, one, color=colour, marker=".", lw=0.8, label=label)
            label = "_"
    ax.set_xlabel("round")


def _mean(of: xr.DataArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(of.mean("realization").values, float)


def _combined(
    value: xr.DataArray, error: xr.DataArray
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]:
    """Mean over realizations, and its standard error from the errors within them."""
    there = value.notnull()
    number = there.sum("realization")
    square = (error.where(there) ** 2).sum("realization")
    return _mean(value), np.asarray((square**0.5 / number).values, float)
