"""Networks one by one, what becomes of their weights, and what predictions are worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.base import Estimate
from criticality.papers.findings.tuning.predictions import ARMS, BASE, SHARES, judged, logs
from criticality.papers.rows import row, too_little, whole

if TYPE_CHECKING:
    import xarray as xr

    from criticality.analysis.stats import Array
    from criticality.study import Store

OBSERVABLES = (
    "accuracy", "loss", "prediction_entropy", "density", "edges", "conducting", "live_units",
    "weights", "snapshot_step",
)  # fmt: skip
SETTING = ("dataset", "width", "n_train", "steps")
CURVE = np.geomspace(0.0005, 1, 45)


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Networks one by one, their growth, mean curves, and what became of each prediction.

    Raises
    ------
    InputError
        If the effect itself cannot be measured yet.
    """
    rows: list[dict[str, Any]] = []
    growth: list[dict[str, Any]] = []
    path: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for stem, store in stores.items():
        for variant, arm, one in arms(stem, store.open(observables=OBSERVABLES)):
            place = {"variant": variant, "arm": arm}
            rows += [{**place, **each} for each in _networks(one)]
            growth += [{**place, **each} for each in _growth(one)]
            path += [{**place, **each} for each in _path(one)]
            if variant in (BASE, "layer"):
                curves += [{**place, **each} for each in _curve(one)]
    networks = pd.DataFrame(rows)
    if set(ARMS) - set(networks["arm"][networks["variant"] == BASE]):
        raise too_little(f"no whole networks of {BASE} after few and after many updates")
    return {
        "setting": _setting(stores["tuning-criteria"]),
        "networks": networks,
        "arms": summary(networks),
        "growth": pd.DataFrame(growth),
        "path": pd.DataFrame(path),
        "curves": pd.DataFrame(curves),
        "effects": effects(networks),
        "predictions": judged(networks),
    }


def arms(stem: str, ds: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Variant, arm ("few" or "many" updates) and whole networks of every point of a study."""
    from criticality.systems.pruning.breakdown import outer_points

    name = stem.removeprefix("tuning-")
    most = ds["updates"].max().item() if "updates" in ds.dims else math.inf
    for at, one in outer_points(ds):
        own = [
            f"{v:g}" if isinstance(v, float) else str(v) for n, v in at.items() if n != "updates"
        ]
        networks = whole(one, "accuracy")
        if networks.sizes["realization"]:
            yield " ".join([name, *own]), "many" if at.get("updates") == most else "few", networks


def _networks(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Half-way density, and shares of the layers where all networks still work."""
    from criticality.analysis.breakdown import breakdown
    from criticality.systems.pruning.breakdown import order_parameter

    halves = breakdown(order_parameter(ds)).spread("half").values
    for realization, half in zip(ds["realization"].values, halves, strict=True):
        one = ds.sel(realization=realization)
        densities = one["density"].values
        edges = {n: one["edges"].isel(step=_step(densities, rho)) for n, rho in SHARES.items()}
        sparse = one.isel(step=_step(densities, 0.01))
        yield {
            "realization": realization,
            "half": half,
            **{name: float(each[0] / each.sum()) for name, each in edges.items()},
            "conducting": float(sparse["conducting"].sum() / sparse["edges"].sum()),
            "dense_accuracy": float(one["accuracy"][0]),
        }


def _step(densities: Array, density: float) -> int:
    """First step of at most this density, of densities [step]."""
    reached = densities <= density * (1 + 1e-6)
    if not reached.any():
        raise too_little(f"a network that never comes down to {density:.2g} of its edges")
    return int(np.argmax(reached))


def _growth(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Rms of the remaining weights of each layer, at the densities whose weights were kept."""
    from criticality.analysis.breakdown import Spread

    sizes = ds["edges"].isel(step=0, realization=0).values.astype(int)
    ends = np.cumsum(sizes)[:-1]
    for density in ds["snapshot"].values:
        weights = ds["weights"].sel(snapshot=density)
        for layer, part in enumerate(np.split(weights.values, ends, axis=1), start=1):
            squares = [one[one != 0] ** 2 for one in part]
            rms = Spread(np.array([math.sqrt(s.mean()) if s.size else math.nan for s in squares]))
            yield {
                "density": density,
                "layer": layer,
                "n": rms.n,
                "rms": rms.mean,
                "error": rms.error,
            }


def _path(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Accuracy and loss on the test set at some densities; where the schedule pauses, after it."""
    from criticality.analysis.breakdown import Spread

    densities = ds["density"].isel(realization=0).values
    for density in ds["snapshot"].values:
        reached = densities[_step(densities, density)]
        at = ds.isel(step=int(np.flatnonzero(densities == reached)[-1]))
        found: dict[str, Any] = {"density": density, "n": at.sizes["realization"]}
        for name in ("accuracy", "loss"):
            spread = Spread(at[name].values)
            found |= {name: spread.mean, f"{name}_error": spread.error}
        yield found


def _curve(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    from criticality.figures.parts import mean_and_error

    pairs = zip(ds["density"].values, ds["accuracy"].values, strict=True)
    values = np.array([np.interp(CURVE, x[::-1], y[::-1]) for x, y in pairs])
    for density, mean, error in zip(CURVE, *mean_and_error(values), strict=True):
        yield {"density": density, "accuracy": mean, "error": error, "n": len(values)}


def summary(networks: pd.DataFrame) -> pd.DataFrame:
    """Means over networks with standard errors, an arm a row."""
    from criticality.analysis.breakdown import Spread

    rows = []
    for (variant, arm), group in networks.groupby(["variant", "arm"], sort=False):
        mean: dict[str, Any] = {"variant": variant, "arm": arm, "n": len(group)}
        for name in ("half", *SHARES, "conducting", "dense_accuracy"):
            spread = Spread(group[name].to_numpy())
            mean |= {name: spread.mean, f"{name}_error": spread.error}
        rows.append(mean)
    return pd.DataFrame(rows)


def effects(networks: pd.DataFrame) -> pd.DataFrame:
    """Half-way density of many updates over that of few, where a treatment has both."""
    from criticality.analysis.contrasts import difference

    rows, found = [], logs(networks)
    for variant in networks["variant"].unique():
        if all((variant, arm) in found for arm in ARMS):
            few, many = (found[variant, arm].to_numpy() for arm in ARMS)
            one = difference(many, few)
            low, ratio, high = np.exp([one.low, one.value, one.high])
            rows.append(
                {"variant": variant, **row(Estimate(value=ratio, low=low, high=high, n=one.n))}
            )
    return pd.DataFrame(rows)


def _setting(store: Store) -> pd.DataFrame:
    """Say what was pruned, and how."""
    plan = store.plan()
    few, many = sorted(plan["grid"]["updates"])
    return pd.DataFrame([{n: plan["controls"][n] for n in SETTING} | {"few": few, "many": many}])
