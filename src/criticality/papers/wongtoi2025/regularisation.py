"""From constants to overfitting: networks and field theory over both regularisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from criticality.base import with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Wong-Toi et al.: phases of mean-variance regression, networks and field theory"
STUDIES = ("wongtoi_networks", "wongtoi_field")
NAMES = {"networks": "wongtoi_networks", "field": "wongtoi_field"}
WORDS = {"networks": "networks", "field": "field theory"}
SCORES = ("train_mse", "test_chi2", "test_ece", "precision_spread")
NOTHING = 1e-6
LINE = {"train_mse": "training MSE", "test_ece": "calibration error (ECE)"}


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure what decides the phases, of every realization."""
    from criticality.papers.samples import to_tables

    found: dict[str, pd.DataFrame] = {}
    for name, stem in NAMES.items():
        ds = stores[stem].open(observables=list(SCORES))
        found |= to_tables(
            name, ds.squeeze("start", drop=True) if "start" in ds.dims else ds, *SCORES
        )
    return found


def draw(tables: Tables) -> Figure:
    """Draw the phases of both, and scores along rho = 1 - gamma."""
    from matplotlib.figure import Figure

    from criticality import phase_diagram
    from criticality.figures.plane import phase_handles, phase_map
    from criticality.papers.samples import to_dataset

    figure = Figure(figsize=(11, 9.4), layout="constrained")
    panels = figure.subplots(2, 2)
    diagrams = []
    for ax, (name, words) in zip(panels[0], WORDS.items(), strict=True):
        ds = to_dataset(tables, name, *SCORES)
        diagrams.append(phase_diagram(ds))
        phase_map(diagrams[-1], ax, legend=False)
        ax.set_title(words, fontsize="medium")
    for ax, score in zip(panels[1], LINE, strict=True):
        _along(tables, score, ax)
    for ax, letter in zip(panels.ravel(), "abcd", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    handles = phase_handles(diagrams)
    figure.legend(handles=handles, loc="outside upper center", ncols=6, frameon=False)
    return figure


def diagonal(tables: Tables, name: str) -> pd.DataFrame:
    """Give the rows on the line rho = 1 - gamma."""
    rows = tables[name]
    return rows[np.isclose(rows["rho"] + rows["gamma"], 1, atol=1e-9)]


def _along(tables: Tables, score: str, ax: Axes) -> None:
    """Draw every realization and means with errors against logit rho."""
    from criticality.figures.parts import COLOURS, MARKERS

    for number, (name, words) in enumerate(WORDS.items()):
        rows = diagonal(tables, name)
        x = np.log(rows["rho"] / (1 - rows["rho"]))
        colour, marker = COLOURS[number], MARKERS[number]
        aside = 0.12 * (2 * number - 1)
        ax.plot(x + aside, rows[score], marker, color=colour, ms=3, alpha=0.35, mew=0)
        of = rows.groupby("rho")[score].agg(["mean", "sem"]).reset_index()
        at = np.log(of["rho"] / (1 - of["rho"])) + aside
        ax.errorbar(at, of["mean"], of["sem"], fmt=f"{marker}-", color=colour, ms=4, lw=1,
                    capsize=2, label=f"{words}: mean, standard error")  # fmt: skip
    ax.set(
        xlabel=r"$\ln\,\rho/(1-\rho)$, along $\rho = 1 - \gamma$",
        ylabel=LINE[score],
        ylim=(0, None),
    )
    ax.legend(frameon=False, fontsize="small")


def say(tables: Tables) -> str:
    """Give the scores along rho = 1 - gamma, and how calibrated line and plane are at best."""
    lines = []
    for name, words in WORDS.items():
        rows = diagonal(tables, name)
        count = rows.groupby("rho")["train_mse"].count().max()
        lines.append(f"{words} ({count} realizations), along rho = 1 - gamma:")
        for rho, mine in rows.groupby("rho"):
            mse, ece = (_mean(mine[score]) for score in LINE)
            deviation = mine["test_chi2"].std(ddof=1)
            lines.append(
                f"  rho = {float(str(rho)):g}: training MSE {mse}, ECE {ece}, "
                f"chi2 {mine['test_chi2'].mean():.2g} (scatter {deviation:.2g})"
            )
        fitted = tables[name].groupby(["rho", "gamma"])[["test_ece", "train_mse"]].mean()
        fitted = fitted[fitted["train_mse"] < fitted["train_mse"].max() / 2].reset_index()
        on = np.isclose(fitted["rho"] + fitted["gamma"], 1)
        best, line = fitted["test_ece"].min(), fitted.loc[on, "test_ece"].min()
        lines.append(f"  least mean ECE of what fits: {line:.3f} on the line, {best:.3f} anywhere")
    return "\n".join(lines)


def _mean(values: pd.Series[float]) -> str:
    mean = values.mean()
    if mean < NOTHING:
        return f"below {NOTHING:g}"
    return with_error(mean, values.std(ddof=1) / np.sqrt(len(values)))
