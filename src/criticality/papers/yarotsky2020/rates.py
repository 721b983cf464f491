"""At which rates networks approximate, with ReLUs and with periodic units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Yarotsky and Zhevnerchuk: phases of approximation rates, and lookups beyond them"
STUDIES = ("yarotsky_rates", "yarotsky_lookup")
RATES = ("error", "weights_used", "scaled_error")
LOOKUP = ("error", "weights_used")
RATIO = 1.0  # r/d of the class whose errors are drawn
LAWS = {"power": "ln W", "root": "sqrt W", "linear": "W"}


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Measure errors of the networks that are constructed, their exponents, and laws of lookups."""
    from criticality.analysis.exponents import exponents
    from criticality.papers.samples import to_tables
    from criticality.systems.approximation.decay import decay
    from criticality.systems.approximation.distinct import distinct

    rates = stores["yarotsky_rates"].open(observables=list(RATES))
    lookup = stores["yarotsky_lookup"].open(observables=list(LOOKUP))
    fits = exponents(distinct(rates), "error", "weights")
    found = fits[["exponent", "exponent_error"]].to_dataframe().reset_index()
    laws = []
    for ratio in lookup["ratio"].values:
        one = lookup.sel(ratio=ratio).isel(realization=0)
        for law in LAWS:
            fit = decay(one["weights_used"].values, one["error"].values, law)
            laws.append({"ratio": ratio, "law": law, "rate": fit.rate.value, **_rest(fit)})
    return {
        **to_tables("rates", rates, *RATES),
        **to_tables("lookup", lookup, *LOOKUP),
        "exponents": found[["ratio", "rate", "exponent", "exponent_error"]],
        "laws": pd.DataFrame(laws),
    }


def _rest(fit: object) -> dict[str, float]:
    from criticality.systems.approximation.decay import Decay

    assert isinstance(fit, Decay)
    return {"rate_error": fit.rate.error, "residual": fit.residual}


def draw(tables: Tables) -> Figure:
    """Draw errors against weights, the phases with measured exponents, and the lookups."""
    from matplotlib.figure import Figure

    from criticality.analysis.exponents import exponents
    from criticality.papers.samples import to_dataset
    from criticality.systems.approximation import ApproximatingNetwork, figures
    from criticality.systems.approximation.distinct import distinct

    ds = to_dataset(tables, "rates", *RATES)
    fits = exponents(distinct(ds), "error", "weights")
    figure = Figure(figsize=(11, 9), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    figures.errors(ds.sel(ratio=RATIO), fits.sel(ratio=RATIO), panels[0])
    figures.diagram(fits, ApproximatingNetwork.card, panels[1])
    patches = panels[1].get_legend().legend_handles[:3]  # the phases
    points = panels[1].get_legend_handles_labels()[0]
    panels[1].legend(handles=[*patches, *points], loc="upper left", fontsize="x-small")
    for ax, law in zip(panels[2:], ("root", "power"), strict=True):
        figures.decays(to_dataset(tables, "lookup", *LOOKUP), law, ax)
    for ax, letter in zip(panels, "abcd", strict=True):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
    return figure


def say(tables: Tables) -> str:
    """Give the exponents of the error with the weights, and which law lookups follow."""
    from criticality.base import with_error

    lines = []
    for ratio, rows in tables["exponents"].groupby("ratio"):
        told = ", ".join(
            f"{with_error(-of['exponent'], of['exponent_error'])} (made for "
            f"{of['rate'] * float(str(ratio)):g})"
            for of in rows.to_dict("records")
        )
        lines.append(f"r/d = {float(str(ratio)):g}: error ~ W^-p, p = {told}")
    for ratio, rows in tables["laws"].groupby("ratio"):
        residuals = rows.set_index("law")["residual"]
        told = ", ".join(f"{residuals[law]:.2g} against {name}" for law, name in LAWS.items())
        lines.append(f"lookups, r/d = {float(str(ratio)):g}: ln error leaves {told}")
    return "\n".join(lines)
