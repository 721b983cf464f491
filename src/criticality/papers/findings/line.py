"""Whether the line between eumentia and dementia is a BKT-like transition."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

    from criticality.analysis.scaling import ScalingData
    from criticality.base import Estimate
    from criticality.study import Store

TITLE = "Is the line between eumentia and dementia a BKT-like transition?"
STUDIES = ("line", "shapes", "fashion")
APART = 8  # ratio of two sizes whose curves are compared: neighbours do not cross resolvably
SIZES_LEFT = 3  # at least, for an exponent


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Curves; where alpha = 0, by the least size; where curves cross; evidence."""
    found: dict[str, list[dict[str, Any]]] = {"curves": [], "drift": [], "crossings": []}
    for label, ds in conditions(stores):
        data = curves_of(ds)
        found["curves"] += [{"case": label, **row} for row in _points(data)]
        found["drift"] += [{"case": label, **row} for row in _drift(ds)]
        found["crossings"] += [{"case": label, **row} for row in _crossings(data)]
    return {name: pd.DataFrame(rows) for name, rows in found.items()}


def conditions(stores: Mapping[str, Store]) -> Iterator[tuple[str, xr.Dataset]]:
    """Give each condition that has a line of its own, and its results."""
    for stem, store in stores.items():
        ds = store.open(observables=["loss", "accuracy"])
        axes = [name for name in ("p_train", "width", "depth") if name in ds.dims]
        for values in itertools.product(*(ds[name].values for name in axes)):
            one = ds.sel({name: [value] for name, value in zip(axes, values, strict=True)})
            if not one["loss"].notnull().any():  # not on the path
                continue
            said = [f"{name} = {value:g}" for name, value in zip(axes, values, strict=True)]
            yield ", ".join(said or [stem]), one


def curves_of(ds: xr.Dataset) -> ScalingData:
    """Loss against the evaluation rate, a curve for each number of samples."""
    from criticality.analysis.scaling import ScalingData

    at = {n: ds[n].values[0] for n in ds["loss"].dims if n in ("p_train", "width", "depth")}
    return ScalingData.from_dataset(ds, "p_eval", "n_train", "loss", at)


def _points(data: ScalingData) -> Iterator[dict[str, Any]]:
    for curve in data.curves:
        for p, mean, error in zip(curve.control, curve.mean, curve.error, strict=True):
            place = {"n_train": curve.size, "p_eval": p, "networks": curve.realizations}
            yield {**place, "loss": mean, "error": error}


def _drift(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Where alpha = 0, with more and more of the small sizes left out."""
    from criticality import phase_diagram

    sizes = ds["n_train"].values
    for first in range(len(sizes) - SIZES_LEFT + 1):
        found = phase_diagram(ds.isel(n_train=slice(first, None)))
        line = next(b for b in found.boundaries if b.along == "p_eval")
        yield {
            "least": sizes[first],
            "largest": sizes[-1],
            **_numbers(line.estimate),
            "flags": "; ".join(flag.name for flag in line.flags),
        }


def _crossings(data: ScalingData) -> Iterator[dict[str, Any]]:
    """Where the curves of two sizes cross that are far apart."""
    from criticality import crossings

    for crossing in crossings(data, pairs="all").crossings:
        small, large = crossing.sizes
        if large >= APART * small * 0.9:  # 58,000 stands for 64,000
            flags = "; ".join(flag.name for flag in crossing.flags)
            yield {"small": small, "large": large, **_numbers(crossing.at), "flags": flags}


def _numbers(found: Estimate) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("value", "error", "low", "high")}
