"""The line between eumentia and dementia at p_train = 0, and what moves it.

It is where alpha of <L> ~ N^alpha passes zero; where it lies depends on the sizes that are used, so
that two protocols are compared on the same sizes.  Networks of two protocols, and of two sizes,
share no random number, so the error of a difference is that of independent means: Student's
distribution with Welch's degrees of freedom, two-sided.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import t as student

from criticality.analysis.boundaries import boundaries, upward_crossings
from criticality.analysis.exponents import exponents
from criticality.analysis.stats import holm, welch
from criticality.papers.findings.protocol.variants import SURE, USUAL, Case
from criticality.papers.rows import row

ALL, SMALL, LARGE = "all sizes", "smaller half", "larger half"


def measured(ds: xr.Dataset) -> list[int]:
    """Sizes of which there are networks enough for an error."""
    there = ds["loss"].notnull().all(["p_eval", "pass"]).sum("realization") > 1
    return [int(n) for n in ds["n_train"].values[there.values]]


def windows(sizes: Sequence[int]) -> dict[str, list[int]]:
    """All sizes, and two halves that share none; of these what has two sizes or more."""
    half = len(sizes) // 2
    parts = {ALL: list(sizes), SMALL: list(sizes[:half]), LARGE: list(sizes[half:])}
    return {name: part for name, part in parts.items() if len(part) > 1}


def line_of(ds: xr.Dataset, sizes: Sequence[int]) -> dict[str, Any]:
    """Where alpha = 0 of these sizes, as the phases of the system have it."""
    part = ds.sel(n_train=list(sizes))
    networks = int(part["loss"].notnull().all(["p_eval", "pass"]).sum("realization").max())
    (found,) = boundaries(_exponents(part), "alpha", "p_eval", direction="up", n=networks)
    return row(found.estimate, found.flags)


def lines(cases: Sequence[Case]) -> pd.DataFrame:
    """Lines of every variant, of each window, beside that as documented of the same sizes."""
    base = _base(cases)
    rows = []
    for variant, ds in cases:
        for window, sizes in windows(_common(base, ds)).items():
            usual = {f"usual_{name}": value for name, value in line_of(base, sizes).items()}
            about = {"variant": variant, "window": window, "sizes": len(sizes)}
            ends = {"least": sizes[0], "largest": sizes[-1]}
            rows.append(about | ends | line_of(ds, sizes) | usual)
    return pd.DataFrame(rows)


def drift(ds: xr.Dataset) -> pd.DataFrame:
    """Give the line of every range of sizes."""
    sizes = measured(ds)
    return pd.DataFrame(
        {"least": sizes[first], "largest": sizes[last], **line_of(ds, sizes[first : last + 1])}
        for first, last in itertools.combinations(range(len(sizes)), 2)
    )


def moved(cases: Sequence[Case]) -> pd.DataFrame:
    """Whether exponents differ from those as documented, or of small sizes, where these are zero.

    Every variant is compared with the protocol as documented on the same sizes, of all of them and
    of the larger half, and every protocol at its larger half with itself at the smaller one.  All
    comparisons are one family for Holm's correction.  Where the first of the two has no zero there
    is nothing to compare.
    """
    base = _base(cases)
    rows = []
    for variant, ds in cases:
        parts = windows(_common(base, ds)) if variant != USUAL else windows(measured(ds))
        about = {"variant": variant}
        for window in (ALL, LARGE) if variant != USUAL else ():
            if window in parts:
                sizes = parts[window]
                ends = {"window": window, "least": sizes[0], "largest": sizes[-1]}
                for found in _apart(_alpha(base, sizes), _alpha(ds, sizes)):
                    rows.append(about | {"against": USUAL} | ends | found)
        if SMALL in parts:
            sizes = parts[LARGE]
            ends = {"window": LARGE, "least": sizes[0], "largest": sizes[-1]}
            for found in _apart(_alpha(ds, parts[SMALL]), _alpha(ds, sizes)):
                rows.append(about | {"against": SMALL} | ends | found)
    table = pd.DataFrame(rows)
    adjusted = holm(table["probability"].to_numpy(float))
    return table.assign(adjusted=adjusted, moved=adjusted < SURE)


def _base(cases: Sequence[Case]) -> xr.Dataset:
    return next(ds for name, ds in cases if name == USUAL)


def _common(base: xr.Dataset, ds: xr.Dataset) -> list[int]:
    there = measured(ds)
    return [size for size in measured(base) if size in there]


def _exponents(ds: xr.Dataset) -> xr.Dataset:
    found = exponents(ds, "loss", "n_train", inner=("p_eval",), from_sizes=False)
    return found.rename(exponent="alpha", exponent_error="alpha_error", exponent_dof="alpha_dof")


def _alpha(ds: xr.Dataset, sizes: Sequence[int]) -> xr.Dataset:
    return _exponents(ds.sel(n_train=list(sizes)))


def _apart(usual: xr.Dataset, other: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Difference of two exponents where the first is zero; nothing where it is not."""
    for p_eval in upward_crossings(usual["p_eval"].values, usual["alpha"].values)[:1]:
        (value, error, dof), (value_2, error_2, dof_2) = _at(usual, p_eval), _at(other, p_eval)
        total, degrees = welch(error, dof, error_2, dof_2)
        difference = value_2 - value
        yield {
            "p_eval": p_eval,
            "difference": difference,
            "error": total,
            "dof": degrees,
            "direction": "higher" if difference < 0 else "lower",  # the line, if it moved
            "probability": float(2 * student.sf(abs(difference) / total, degrees)),
        }


def _at(alpha: xr.Dataset, p_eval: float) -> tuple[float, float, float]:
    """Exponent between two rates: its error as if theirs were one, its degrees of freedom."""
    there = alpha.dropna("p_eval", subset=["alpha", "alpha_error"])
    x = there["p_eval"].values
    value, error = (
        float(np.interp(p_eval, x, there[name].values)) for name in ("alpha", "alpha_error")
    )
    return value, error, float(there["alpha_dof"].sel(p_eval=p_eval, method="nearest"))
