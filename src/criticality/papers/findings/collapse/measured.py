"""Where networks collapse, within which range, how this goes with their width, and the null."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from criticality.analysis import layered
from criticality.analysis.breakdown import CENTRAL, OrderParameter, Spread, at_shares
from criticality.analysis.sizes import Samples, over_saturation, scatter, scatter_law, size_law
from criticality.analysis.stats import Array
from criticality.base import Estimate, InputError
from criticality.papers import rows
from criticality.systems.pruning.breakdown import order_parameter, outer_points

if TYPE_CHECKING:
    import xarray as xr

    from criticality.study import Store

PROTOCOLS = {
    "magnitude": "magnitude",
    "saliency": "saliency",
    "random": "random",
    "tuned": "magnitude, 4 x tuning",
    "equal": "magnitude, equal steps",
}  # by the stem of the study, in words

OBSERVABLES = (
    "accuracy", "prediction_entropy", "density", "edges", "conducting", "live_units",
)  # fmt: skip
SHARES = (0.25, 0.5, 0.75)  # of the plateau
SHOWN = 48  # points of a curve that is drawn
DRAWN = ("magnitude", "random", "equal")  # protocols of these curves
GRAPHS = 48  # random ones of each size
ANYWHERE = "random"  # protocol whose null loses its edges anywhere
NULL, DATA = "graphs", "networks"
NONE = Estimate(value=np.nan)
MEASURES = ("density", "edges", "edges_per_unit", "conducting")  # of what is left at half-way
THEORY = (25, 35, 50, 71, 100, 141, 200, 283, 400, 784, 1600, 6400, 25_600, 102_400)  # widths


@dataclass(frozen=True, eq=False)
class Curves:
    """Networks, or random graphs, of one width on their way down.

    Attributes
    ----------
    units
        Inputs, hidden units, outputs.
    density
        [steps+1]
    edges, conducting
        [realizations, steps+1, layers]
    live
        [realizations, steps+1, layers+1]
    orders
        Order parameters by name.
    """

    units: tuple[int, ...]
    density: Array
    edges: Array
    conducting: Array
    live: Array
    orders: dict[str, OrderParameter]

    @property
    def width(self) -> int:
        """W."""
        return self.units[1]

    @cached_property
    def places(self) -> int:
        """Edges of the dense network."""
        return sum(a * b for a, b in itertools.pairwise(self.units))

    def at(self, values: Array, density: Array) -> Array:
        """Values [realizations, steps+1] at a density of each realization, [realizations]."""
        return np.array(
            [np.interp(-x, -self.density, y) for x, y in zip(density, values, strict=True)]
        )


# --- what was computed -----------------------------------------------------------------------


def networks(ds: xr.Dataset) -> Curves:
    """Curves of the networks of one outer point that are whole."""
    ds = rows.whole(ds, "accuracy")
    edges, conducting, live = (
        ds[name].transpose("realization", "step", dim).values
        for name, dim in (
            ("edges", "layer"),
            ("conducting", "layer"),
            ("live_units", "unit_layer"),
        )
    )
    density = ds["density"].transpose("realization", "step").values[0]
    orders = {name: order_parameter(ds, name) for name in ("accuracy", "prediction_entropy")}
    units = tuple(int(count) for count in live[0, 0])  # all are alive in the dense network
    return Curves(units, density, edges, conducting, live,
                  orders | _structural(density, edges, conducting, live))  # fmt: skip


def graphs(like: Curves, number: int, anywhere: bool = False, seed: int = 0) -> Curves:
    """Random graphs that lose edges as networks do: as many in each layer, or in all of them."""
    rng = np.random.default_rng([seed, like.width])
    counts = np.minimum.accumulate(like.edges.astype(np.int64), axis=1)
    steps = counts.shape[1] - 1
    edges, conducting, live = [], [], []
    for one in itertools.islice(itertools.cycle(counts), number):
        if anywhere:
            last = layered.removed_anywhere(one.sum(axis=1), like.units, rng)
        else:
            last = layered.removed_in_layers(one, like.units, rng)
        found = layered.conduction(last, steps)
        conducting.append(found.edges)
        live.append(found.units)
        edges.append(layered.remaining(last, steps))
    left, paths, alive = (np.array(each, float) for each in (edges, conducting, live))
    orders = _structural(like.density, left, paths, alive)
    return Curves(like.units, like.density, left, paths, alive, orders)


def _structural(
    density: Array, edges: Array, conducting: Array, live: Array
) -> dict[str, OrderParameter]:
    """Order parameters of percolation: outputs that are reached, edges that conduct."""
    left = edges.sum(axis=2)
    share = conducting.sum(axis=2) / np.maximum(left, 1)
    values = {"outputs": live[:, :, -1] / live[:, :1, -1], "conducting": share}
    control = np.broadcast_to(density, left.shape)
    return {
        name: OrderParameter(name=name, along="density", control=control, values=y, scale="log")
        for name, y in values.items()
    }


# --- what is measured ------------------------------------------------------------------------


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Tables of all that is drawn and said.

    `half`: every network where it is half-way; `sizes`: means over networks; `powers`: how these go
    with the width; `structure`: what is left at half-way; `curves`; `theory`: exact percolation.
    """
    every: dict[tuple[str, str, int], Curves] = {}
    for protocol in PROTOCOLS:
        if (stem := f"collapse_{protocol}") not in stores:
            continue
        for _, one in outer_points(stores[stem].open(observables=OBSERVABLES)):
            found = networks(one)
            every[protocol, DATA, found.width] = found
            every[protocol, NULL, found.width] = graphs(found, GRAPHS, protocol == ANYWHERE)
    half = pd.DataFrame(row for at, curves in every.items() for row in _halves(at, curves))
    units = {curves.units for curves in every.values()}
    return {
        "half": half[half["source"] == DATA].drop(columns="source"),
        "sizes": pd.DataFrame(_sizes(half)),
        "powers": pd.DataFrame(_powers(half)),
        "structure": pd.DataFrame(_structure(every, half)),
        "curves": pd.DataFrame(
            row for at, curves in every.items() if at[0] in DRAWN for row in _drawn(at, curves)
        ),
        "theory": pd.DataFrame(theory(next(iter(units))[0], next(iter(units))[-1])),
    }


Key = tuple[str, str, int]
Rows = Iterator[dict[str, Any]]


def _named(at: Key) -> dict[str, Any]:
    return dict(zip(("protocol", "source", "width"), at, strict=True))


def _halves(at: Key, curves: Curves) -> Rows:
    """Where every realization is half-way, and within which range it falls."""
    hidden = sum(curves.units[1:-1])
    for name, order in curves.orders.items():
        low, half, high = at_shares(order, SHARES).T
        conducting = curves.at(curves.conducting.sum(axis=2), half)
        for number in range(len(half)):
            yield _named(at) | {
                "order": name,
                "realization": number,
                "density": half[number],
                "edges": half[number] * curves.places,
                "edges_per_unit": half[number] * curves.places / hidden,
                "conducting": conducting[number],
                "drop": np.log(high[number] / low[number]),
            }


def _sizes(half: pd.DataFrame) -> Rows:
    """Means over realizations, and the scatter of the place, with standard errors."""
    by = ["protocol", "source", "order", "width"]
    for at, part in half.groupby(by, sort=False):
        named = dict(zip(by, at, strict=True))
        for name in (*MEASURES, "drop"):
            found = Spread(part[name].to_numpy())
            yield named | _number(name, found.n, found.mean, found.error, found.error)
        spread = scatter(part["edges"].to_numpy(), level=CENTRAL)
        ends = spread.value - spread.low, spread.high - spread.value
        yield named | _number("scatter", spread.n, spread.value, *ends)


def _number(name: str, n: int, value: float, below: float, above: float) -> dict[str, Any]:
    return {"quantity": name, "n": n, "value": value, "below": below, "above": above}


def _samples(part: pd.DataFrame, name: str) -> Samples:
    return {float(w): some[name].to_numpy() for w, some in part.groupby("width")}


def _powers(half: pd.DataFrame) -> Rows:
    """Powers of the width of all means, and of the scatter."""
    for (protocol, source, order), part in half.groupby(
        ["protocol", "source", "order"], sort=False
    ):
        named = {"protocol": protocol, "source": source, "order": order}
        for name in (*MEASURES, "drop"):
            yield named | _power(name, _samples(part, name))
        yield named | _scatter_power(_samples(part, "edges"))


def _power(name: str, samples: Samples) -> dict[str, Any]:
    """Power of a mean, and by how much it is better than a mean that ends at a constant."""
    try:
        law, better = size_law(samples), over_saturation(samples)
    except InputError:  # too few widths or networks reach half-way
        return {"quantity": name} | rows.row(NONE)
    more = {"statistical": law.statistical, "systematic": law.systematic, "p_value": law.p_value}
    named = {"quantity": name} | rows.row(law.exponent, law.flags)
    return named | more | {"over_saturation": better}


def _scatter_power(samples: Samples) -> dict[str, Any]:
    try:
        law = scatter_law(samples)
    except InputError:
        return {"quantity": "scatter"} | rows.row(NONE)
    return {"quantity": "scatter"} | rows.row(law.exponent) | {"p_value": law.p_value}


def _structure(every: Mapping[Key, Curves], half: pd.DataFrame) -> Rows:
    """Say what is left where networks have half of their accuracy."""
    accuracy = half[half["order"] == "accuracy"]
    for (protocol, source, width), curves in every.items():
        if source == NULL:
            continue
        mine = accuracy[(accuracy["protocol"] == protocol) & (accuracy["width"] == width)]
        at = mine["density"].to_numpy()
        there = np.isfinite(at)
        parts = {f"edges_{n + 1}": curves.edges[..., n] for n in range(curves.edges.shape[2])}
        parts |= {f"live_{n}": curves.live[..., n] for n in range(curves.live.shape[2])}
        row: dict[str, Any] = {"protocol": protocol, "width": width, "n": int(there.sum())}
        for name, values in parts.items():
            found = curves.at(values[there], at[there])
            row[name] = found.mean() if there.any() else np.nan
            row[f"{name}_error"] = (
                found.std(ddof=1) / np.sqrt(len(found)) if there.sum() > 1 else np.nan
            )
        yield row


def _drawn(at: Key, curves: Curves) -> Rows:
    """Means over realizations at so many points as can be seen."""
    total = curves.edges.sum(axis=2).mean(axis=0)
    shown = (total >= 1) & (curves.density <= 0.5)
    log = np.log(np.maximum(total, 1))
    wanted = np.linspace(log[shown].min(), log[shown].max(), SHOWN)
    steps = np.unique(np.abs(log[:, None] - wanted).argmin(axis=0))
    for name in ("accuracy", "outputs") if at[1] == DATA else ("outputs",):
        values = curves.orders[name].values[:, ::-1]  # sorted from the disordered end
        mean = values.mean(axis=0)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0 * mean
        for step in steps:
            yield _named(at) | {
                "order": name,
                "density": curves.density[step],
                "edges": total[step],
                "mean": mean[step],
                "error": error[step],
            }


# --- the null -------------------------------------------------------------------------------------


def theory(inputs: int, outputs: int) -> Rows:
    """Random removal in wide layers: where half of the outputs are still reached."""
    density = np.geomspace(1e-6, 0.5, 4000)
    for width in THEORY:
        units = (inputs, width, width, width, outputs)
        places = sum(a * b for a, b in itertools.pairwise(units))
        share = layered.share_reached(density, units)
        low, half, high = np.exp(np.interp(SHARES, share, np.log(density)))
        yield {
            "width": width,
            "density": half,
            "edges": half * places,
            "drop": np.log(high / low),
        }
