"""Phase diagram, scaling of the loss with size, and the crossing.

Figure numbers are those of Pan, Aggarwal and Pixley.  `ds` is a study's results (`Store.open`),
`phases` what `criticality.phase_diagram` makes of them.
"""

from __future__ import annotations

import math
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import BoundaryNorm, ListedColormap, TwoSlopeNorm
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from criticality.analysis.dropout_phases import PHASES
from criticality.analysis.stats import Array
from criticality.base import UNRESOLVED, with_error
from criticality.figures.parts import MARKERS, axes, outside_legend, reference

HATCH = "////"


def phase_map(phases: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the phase of every measured point, with the eumentia-dementia line (Fig. 2a)."""
    ax = axes(ax)
    known = (UNRESOLVED, *PHASES)  # by code
    cmap = ListedColormap([p.colour for p in known])
    norm = BoundaryNorm(np.arange(len(known) + 1) - 0.5, len(known))
    _cells(phases, "phase", ax, cmap=cmap, norm=norm)
    _hatch(phases, phases["phase"].values == 0, ax)
    handles: list[Any] = [
        Patch(
            facecolor=known[code].colour,
            edgecolor="0.3",
            label=known[code].name,
            hatch=None if code else HATCH,
        )
        for code in (*range(1, len(known)), 0)
        if (phases["phase"] == code).any()
    ]
    line = _boundary(phases, ax)
    ax.legend(
        handles=[*handles, *line],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=2,
        fontsize="small",
        frameon=False,
        columnspacing=1.2,
        handlelength=1.6,
    )
    return ax


def accuracy_map(phases: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the mean accuracy at the largest training set over the plane (Fig. 2b)."""
    ax = axes(ax)
    mesh = _cells(phases, "accuracy", ax, cmap="cividis", vmin=0, vmax=1)
    largest = int(np.max(phases.attrs["sizes"]))
    _colour_bar(ax, mesh, rf"accuracy at $N_\mathrm{{train}}={largest}$")
    return ax


def exponent_map(phases: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the exponent alpha over the plane (Fig. 2c); crosses where no power law fits."""
    ax = axes(ax)
    largest = max(1e-3, float(np.nan_to_num(np.abs(phases["alpha"].values)).max()))
    norm = TwoSlopeNorm(0, -largest, largest)
    mesh = _cells(phases, "alpha", ax, cmap="PuOr", norm=norm)
    law = r"\langle\mathcal{L}\rangle\sim N_\mathrm{train}^{\,\alpha}"
    _colour_bar(ax, mesh, rf"exponent $\alpha$, ${law}$")
    doubted = phases["fit_probability"].values < phases.attrs["threshold_fit_probability"]
    (x, _), (y, _) = (_positions(phases[n].values) for n in (_control(phases), _probe(phases)))
    where = np.argwhere(doubted)
    if len(where):
        ax.plot(x[where[:, 0]], y[where[:, 1]], "x", color="k", ms=3, mew=0.8)
    _hatch(phases, phases["phase"].values == 0, ax)
    _boundary(phases, ax)
    return ax


def against_control(ds: xr.Dataset, p_eval: float, ax: Axes | None = None) -> Axes:
    """Draw the loss against the training rate, a curve for each size (Fig. 3a)."""
    ax = axes(ax)
    _curves(ds["loss"].sel(p_eval=p_eval), "p_train", ax)
    reference(ax, math.log(10), r"$\ln 10$")
    ax.set_title(rf"$p_\mathrm{{eval}}={p_eval:g}$", fontsize="medium")
    _log(ax)
    return ax


def against_size(
    ds: xr.Dataset,
    phases: xr.Dataset,
    p_eval: float,
    p_train: list[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss against the size of the training set, with the laws of Eq. (4) (Fig. 3b).

    `p_train` chooses training rates, default all.
    """
    ax = axes(ax)
    loss = ds["loss"].sel(p_eval=p_eval)
    rates = ds["p_train"].values if p_train is None else np.asarray(p_train)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(rates)))
    n = ds["n_train"].values.astype(float)
    for rate, colour, marker in zip(rates, colours, MARKERS * 4, strict=False):
        mean, error = _mean(loss.sel(p_train=rate), ("n_train",))
        fit = phases.sel(p_train=rate, p_eval=p_eval)
        alpha, spread = float(fit["alpha"]), float(fit["alpha_error"])
        label = rf"{rate:g}: $\alpha={with_error(alpha, spread)}$"
        ax.errorbar(n, mean, error, fmt=marker, ms=4, color=colour, capsize=2, lw=1, label=label)
        good = float(fit["fit_probability"]) >= phases.attrs["threshold_fit_probability"]
        law = np.exp(float(fit["log_amplitude"])) * n**alpha
        ax.plot(n, law, "-" if good else ":", color=colour, lw=1)
    _log(ax)
    ax.set(xscale="log", xlabel=_name(ds, "n_train"), ylabel=_name(ds, "loss"))
    ax.set_title(rf"$p_\mathrm{{eval}}={p_eval:g}$", fontsize="medium")
    outside_legend(ax, _symbol(ds, "p_train"))
    return ax


def against_probe(
    ds: xr.Dataset,
    phases: xr.Dataset,
    p_train: float,
    observable: str = "loss",
    ax: Axes | None = None,
) -> Axes:
    """Draw loss or accuracy against the evaluation rate, a curve for each size (Figs. 4a, 5a).

    The band is the interval of the boundary, where alpha changes sign.
    """
    ax = axes(ax)
    _curves(ds[observable].sel(p_train=p_train), "p_eval", ax)
    _mark(phases, p_train, ax)
    if observable == "loss":
        _log(ax)
        reference(ax, math.log(10), r"$\ln 10$")
    else:
        reference(ax, 0.1, "chance")
        ax.set_ylim(0, 1)
    ax.set_title(rf"$p_\mathrm{{train}}={p_train:g}$", fontsize="medium")
    return ax


def crossing(ds: xr.Dataset, phases: xr.Dataset, p_train: float, ax: Axes | None = None) -> Axes:
    """Draw each size's loss over the geometric mean of all sizes, to see them cross.

    Fig. 4a with the common rise of five decades divided out.
    """
    ax = axes(ax)
    loss = ds["loss"].sel(p_train=p_train)
    means = loss.mean(dim=["pass", "realization"])
    centre = xr.apply_ufunc(np.exp, xr.apply_ufunc(np.log, means).mean(dim="n_train"))
    _curves((loss / centre).rename("loss"), "p_eval", ax)
    _mark(phases, p_train, ax)
    reference(ax, 1.0, "")
    _log(ax)
    ax.set_ylabel("loss / geometric mean over sizes")
    ax.set_title(rf"$p_\mathrm{{train}}={p_train:g}$", fontsize="medium")
    return ax


# --- parts -----------------------------------------------------------------------------------


def _control(phases: xr.Dataset) -> str:
    return str(phases["alpha"].dims[0])


def _probe(phases: xr.Dataset) -> str:
    return str(phases["alpha"].dims[1])


def _symbol(ds: xr.Dataset, name: str) -> str:
    return str(ds[name].attrs.get("symbol", name))


def _name(ds: xr.Dataset, name: str) -> str:
    """Axis label: what it is, its symbol, and its unit if it has one."""
    known = {
        "p_train": "training dropout",
        "p_eval": "evaluation dropout",
        "n_train": "training samples",
        "loss": r"test cross-entropy $\langle\mathcal{L}\rangle$",
        "accuracy": r"test accuracy $\langle\mathcal{A}\rangle$",
    }
    text = known.get(name, str(ds[name].attrs.get("long_name", name)))
    symbol = ds[name].attrs.get("symbol")
    unit = ds[name].attrs.get("units", "1")
    return " ".join(
        [text, *([symbol] if symbol else []), *([f"({unit})"] if unit in ("nat", "epoch") else [])]
    )


def _positions(values: Array) -> tuple[Array, Array]:
    """Where measured values stand on an axis, and the edges of their cells.

    Equally spaced values stand to scale.  Others stand one cell apart, so that a fine part of the
    grid stays visible; the axis then says that it is not to scale.
    """
    steps = np.diff(values)
    even = len(values) > 1 and np.allclose(steps, steps[0], rtol=1e-6)
    centres = np.asarray(values, float) if even else np.arange(len(values), dtype=float)
    half = steps[0] / 2 if even else 0.5
    return centres, np.append(centres - half, centres[-1] + half)


def _scale(phases: xr.Dataset, name: str, axis: Axis) -> None:
    values = phases[name].values
    centres, _ = _positions(values)
    if np.array_equal(centres, values):
        axis.set_label_text(_name(phases, name))
    else:
        axis.set_ticks(list(centres), [f"{v:g}" for v in values])
        axis.set_label_text(f"{_name(phases, name)} (not to scale)")


def _cells(phases: xr.Dataset, name: str, ax: Axes, **options: Any) -> Any:
    """Draw a quantity as one flat cell a measured point: nothing is interpolated."""
    (_, x), (_, y) = (_positions(phases[n].values) for n in (_control(phases), _probe(phases)))
    mesh = ax.pcolormesh(x, y, phases[name].values.T, shading="flat", rasterized=True, **options)
    _scale(phases, _control(phases), ax.xaxis)
    _scale(phases, _probe(phases), ax.yaxis)
    return mesh


def _hatch(phases: xr.Dataset, where: np.ndarray[Any, Any], ax: Axes) -> None:
    """Hatch cells whose phase the data do not decide."""
    (_, x), (_, y) = (_positions(phases[n].values) for n in (_control(phases), _probe(phases)))
    for i, j in np.argwhere(where):
        corner, width, height = (x[i], y[j]), x[i + 1] - x[i], y[j + 1] - y[j]
        ax.add_patch(
            Rectangle(corner, width, height, fill=False, hatch=HATCH, lw=0, edgecolor="0.35")
        )


def _boundary_positions(phases: xr.Dataset) -> list[Array]:
    """Where boundary, low and high end stand on the axis of rates; an open end at its edge."""
    rates = phases[_probe(phases)].values
    centres, edges = _positions(rates)
    names = ("boundary", "boundary_low", "boundary_high")
    return [np.interp(phases[n].values, rates, centres, edges[0], edges[-1]) for n in names]


def _boundary(phases: xr.Dataset, ax: Axes) -> list[Any]:
    """Draw p_eval* where there is one, and its interval; an open end is an arrow."""
    row = ~np.isnan(phases["boundary_low"].values)
    if not row.any():
        return []
    x = _positions(phases[_control(phases)].values)[0][row]
    value, low, high = (end[row] for end in _boundary_positions(phases))
    ax.errorbar(x, (low + high) / 2, (high - low) / 2, fmt="none", color="k", lw=1, capsize=2)
    label = rf"$p^*_\mathrm{{eval}}$ ({round(100 * phases.attrs['level'])} %)"
    line = ax.plot(x, value, "o-", color="k", ms=3.5, lw=1, mfc="w", label=label)
    for ends, limit, end, marker in (
        ("boundary_high", high, np.inf, "^"),
        ("boundary_low", low, -np.inf, "v"),
    ):
        unbounded = phases[ends].values[row] == end
        if unbounded.any():
            ax.plot(x[unbounded], limit[unbounded], marker, color="k", ms=4, clip_on=False)
    return line


def _mark(phases: xr.Dataset, p_train: float, ax: Axes) -> None:
    """Mark the boundary and its interval on an axis of evaluation rates."""
    row = phases[_control(phases)].values == p_train
    if np.isfinite(phases["boundary"].values[row]).all():
        left, right = ax.get_xlim()
        value, low, high = (float(end[row][0]) for end in _boundary_positions(phases))
        ax.axvspan(low, high, color="0.85", zorder=0, lw=0)
        ax.axvline(value, color="0.4", lw=0.8, ls="--", zorder=0)
        ax.annotate(
            r"$p^*_\mathrm{eval}$",
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
        )
        ax.set_xlim(left, right)


def _mean(array: xr.DataArray, dims: tuple[str, ...]) -> tuple[Array, Array]:
    """Mean over realizations and its standard error (passes averaged first)."""
    each = array.mean("pass") if "pass" in array.dims else array
    n = each.count("realization")
    error = (each.std("realization", ddof=1) / np.sqrt(n)).where(n > 1)
    return each.mean("realization").transpose(*dims).values, error.transpose(*dims).values


def _curves(array: xr.DataArray, along: str, ax: Axes) -> None:
    """One curve a training-set size, with standard errors over realizations."""
    holder = array.to_dataset()
    sizes = array["n_train"].values
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(sizes)))
    for size, colour, marker in zip(sizes, colours, MARKERS * 4, strict=False):
        mean, error = _mean(array.sel(n_train=size), (along,))
        ax.errorbar(
            _positions(array[along].values)[0],
            mean,
            error,
            fmt=f"{marker}-",
            ms=3.5,
            lw=0.9,
            capsize=1.5,
            color=colour,
            label=f"{size}",
        )
    _scale(holder, along, ax.xaxis)
    ax.set_ylabel(_name(holder, str(array.name)))
    outside_legend(ax, _symbol(holder, "n_train"))


def _log(ax: Axes) -> None:
    """Logarithmic y axis with plain numbers at 1, 2 and 5."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _colour_bar(ax: Axes, mesh: Any, label: str) -> None:
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(mesh, ax=ax, label=label, pad=0.02)
