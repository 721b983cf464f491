"""Fig. 5: the accuracy across the line, and its Binder cumulant, Eq. (7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import with_error
from criticality.papers.pan2026 import line
from criticality.papers.parts import curves
from criticality.papers.rows import points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Fig. 5: accuracy and its Binder cumulant (the kurtosis m4/m2^2)"
STUDIES = (line.STEM,)
RATE = 0.0  # of training dropout; ours, as the text has lost the paper's
GAUSSIAN = 3.0
DEMENTIA, EUMENTIA = (0.82, 1.0), (0.0, 0.3)  # of p_eval, where cumulants are averaged


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Accuracies, and cumulants of the networks' accuracies, passes averaged first."""
    from criticality.analysis.scaling import binder

    ds = stores[line.STEM].open(observables=["accuracy"]).sel(p_train=RATE, drop=True)
    rates = ds["p_eval"].values
    found: list[dict[str, Any]] = []
    for size in ds["n_train"].values:
        each = ds["accuracy"].sel(n_train=size).mean("pass").transpose("realization", "p_eval")
        there = binder(each.values[np.isfinite(each.values).all(axis=1)])
        columns = zip(rates, there.value, there.error, there.n, strict=True)
        found += [
            {
                "n_train": size,
                "p_eval": p,
                "kurtosis": value,
                "kurtosis_error": error,
                "networks": n,
            }
            for p, value, error, n in columns
        ]
    cumulants = pd.DataFrame(found)
    return {
        "points": points(ds["accuracy"]).merge(cumulants, on=["n_train", "p_eval"]),
        "means": _means(cumulants),
    }


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of the cumulant over sizes, which are independent, with the scatter between them.

    At each rate, and in either phase, where those of a network at several rates go together.
    """
    one = rows.assign(where=rows["p_eval"].map("{:g}".format))
    parts = [one]
    for name, (low, high) in (("eumentia", EUMENTIA), ("dementia", DEMENTIA)):
        inside = rows[rows["p_eval"].between(low, high)]
        parts.append(
            inside.groupby("n_train", as_index=False).mean().assign(where=name, p_eval=math.nan)
        )
    groups = pd.concat(parts).groupby("where", sort=False)
    found = groups["kurtosis"].agg(kurtosis="mean", kurtosis_error="sem", sizes="count")
    return groups["p_eval"].first().to_frame().join(found).reset_index()


def draw(tables: Tables) -> Figure:
    """Draw accuracies and cumulants."""
    from matplotlib.figure import Figure

    from criticality.figures.parts import reference

    figure = Figure(figsize=(10.6, 4.2), layout="constrained")
    left, right = (part.subplots() for part in figure.subfigures(1, 2, squeeze=False)[0])
    curves(left, tables["points"], "p_eval", "accuracy", "n_train", legend="$N$")
    reference(left, 0.1, "chance")
    left.set(ylim=(0, 1), ylabel=r"test accuracy $\langle\mathcal{A}\rangle$")
    each = tables["points"].assign(kurtosis_error=0.0)
    curves(right, each, "p_eval", "kurtosis", "n_train", join="", ms=2.5)
    means = tables["means"].dropna(subset="p_eval")
    drawn = right.errorbar(
        means["p_eval"],
        means["kurtosis"],
        means["kurtosis_error"],
        fmt="ks-",
        ms=3.5,
        capsize=2,
        lw=1.2,
        label="mean over sizes, error from their scatter",
    )
    right.legend(handles=[drawn], loc="upper right", fontsize="small", frameon=False)
    reference(right, GAUSSIAN, "Gaussian", below=True)
    right.set(ylim=(0, 9), ylabel=r"Binder cumulant $m_4/m_2^2$ of the accuracy")
    for panel, letter in ((left, "a"), (right, "b")):
        panel.set_xlabel(r"evaluation dropout $p_\mathrm{eval}$")
        panel.set_title(rf"$p_\mathrm{{train}}={RATE:g}$", fontsize="medium")
        panel.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Give accuracies at both ends, and the mean cumulants."""
    rows, lines = tables["points"], []
    for p_eval in (rows["p_eval"].min(), rows["p_eval"].max()):
        at = rows[rows["p_eval"] == p_eval].sort_values("n_train")
        ends = (at.iloc[0], at.iloc[-1])
        words = (
            f"{with_error(of['accuracy'], of['accuracy_error'])} (N = {of['n_train']:g})"
            for of in ends
        )
        lines.append(f"p_eval = {p_eval:g}: accuracy {', '.join(words)}")
    for of in tables["means"][tables["means"]["p_eval"].isna()].to_dict("records"):
        mean = with_error(of["kurtosis"], of["kurtosis_error"])
        lines.append(f"mean cumulant in {of['where']}: {mean}, from {of['sizes']} sizes")
    return "\n".join(lines)
