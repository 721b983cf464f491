"""Why more fine-tuning makes a network collapse earlier under pruning.

The explanation on trial: Adam at a constant rate keeps moving every weight of a network that fits
its training set; weights grow, those of the first layer catch up with the others; magnitude then
takes nearly the same share of each layer, and cuts the small hidden ones to pieces.  `PREDICTIONS`
says what it forbids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from criticality.base import Estimate
    from criticality.papers.tables import Tables
    from criticality.study import Store

TITLE = "Why does more fine-tuning make a network collapse earlier under pruning?"
STUDIES = tuple(
    f"tuning-{name}"
    for name in ("criteria", "layer", "first", "hold", "rate", "fresh", "sgd", "weight")
)
OBSERVABLES = (
    "accuracy", "loss", "prediction_entropy", "density", "edges", "conducting", "live_units",
    "weights", "snapshot_step",
)  # fmt: skip
BASE = "criteria magnitude"
HALF = 0.5  # share of the effect above which it is there, and below which it is gone
SHARES = {"first": 0.02, "first_sparse": 0.01}  # densities at which layers are compared
CURVE = np.geomspace(0.0005, 1, 45)


@dataclass(frozen=True)
class Prediction:
    """What the explanation says of a treatment.

    Attributes
    ----------
    name, text
        Of the treatment, for tables and for people.
    one, other
        Variant and arm whose half-way densities are compared; without `text`, a second strength
        of a treatment, for the record.
    gone
        Whether less than half of the effect should be left, or more.
    """

    name: str
    text: str
    one: tuple[str, str]
    other: tuple[str, str]
    gone: bool


def _treated(name: str, text: str, variant: str, gone: bool) -> Prediction:
    return Prediction(name, text, (variant, "many"), (variant, "few"), gone)


def _equal(arm: str, column: str) -> Prediction:
    """Compare an arm, had its first layer the other's share, with few updates as they are."""
    other, gone = ("few", True) if arm == "many" else ("many", False)
    text = "with its share given back, the collapse goes back" if gone else "that share alone hurts"
    name = f"{arm}, first layer as {other} (at {100 * SHARES[column]:g} %)"
    return Prediction(name, text, (f"{arm}, {column} as other", arm), (BASE, "few"), gone)


PREDICTIONS = (
    _treated("layers fixed", "each layer keeps its share: nothing to gain on", "layer", True),
    Prediction(
        "layers fixed, few",
        "equal shares are what hurts: few updates then collapse as early as many",
        ("layer", "few"),
        (BASE, "few"),
        False,
    ),
    _treated(
        "rank by |w| / rms", "the growth of a layer no longer counts", "criteria relative", True
    ),
    _treated(
        "rank by saliency",
        "h w^2 does not change when a ReLU layer is scaled up and the next one down",
        "criteria saliency",
        True,
    ),
    _treated("random", "nothing looks at weights", "criteria random", True),
    _equal("few", "first"),
    _equal("few", "first_sparse"),
    _equal("many", "first"),
    _equal("many", "first_sparse"),
    _treated("rate as 1/t", "weights do not grow", "rate", True),
    _treated("weight decay 1", "weights do not grow", "weight 1", True),
    _treated("weight decay 0.1", "weights grow less", "weight 0.1", True),
    _treated("SGD", "no gradient, no motion: a fitted network rests", "sgd", True),
    _treated("fresh moments", "moments are not what matters", "fresh", False),
    Prediction(
        "many while dense",
        "growth before pruning is enough: quick pruning then collapses early",
        ("hold 0", "few"),
        (BASE, "few"),
        False,
    ),
    Prediction(
        "many at 5 %",
        "growth comes from the dense part of the path, where the training set is fitted",
        ("hold 0.95", "few"),
        (BASE, "few"),
        True,
    ),
)


# --- what is measured ------------------------------------------------------------------------


def measure(stores: Mapping[str, Store]) -> dict[str, pd.DataFrame]:
    """Networks one by one, their growth, mean curves, and what became of each prediction."""
    rows: list[dict[str, Any]] = []
    growth: list[dict[str, Any]] = []
    path: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for stem, store in stores.items():
        for variant, arm, one in arms(stem, store.open(observables=OBSERVABLES)):
            place = {"variant": variant, "arm": arm}
            rows += [{**place, **row} for row in _networks(one)]
            growth += [{**place, **row} for row in _growth(one)]
            path += [{**place, **row} for row in _path(one)]
            if variant in (BASE, "layer"):
                curves += [{**place, **row} for row in _curve(one)]
    networks = pd.DataFrame(rows)
    return {
        "networks": networks,
        "arms": summary(networks),
        "growth": pd.DataFrame(growth),
        "path": pd.DataFrame(path),
        "curves": pd.DataFrame(curves),
        "effects": effects(networks),
        "predictions": judged(networks),
    }


def arms(stem: str, ds: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Variant, arm ("few" or "many" updates) and results of every point of a study."""
    from criticality.systems.pruning.breakdown import outer_points

    name = stem.removeprefix("tuning-")
    most = ds["updates"].max().item() if "updates" in ds.dims else math.inf
    for at, one in outer_points(ds):
        own = [
            f"{v:g}" if isinstance(v, float) else str(v) for n, v in at.items() if n != "updates"
        ]
        yield " ".join([name, *own]), "many" if at.get("updates") == most else "few", one


def _networks(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Half-way density, and shares of the layers where all networks still work."""
    from criticality.analysis.breakdown import breakdown
    from criticality.systems.pruning.breakdown import order_parameter

    whole = ds.isel(realization=np.isfinite(ds["accuracy"].values).all(axis=1))
    halves = breakdown(order_parameter(whole)).spread("half").values
    for realization, half in zip(whole["realization"].values, halves, strict=True):
        one = whole.sel(realization=realization)
        edges = {n: one["edges"].isel(step=_step(one, rho)) for n, rho in SHARES.items()}
        sparse = one.isel(step=_step(one, 0.01))
        yield {
            "realization": realization,
            "half": half,
            **{name: float(each[0] / each.sum()) for name, each in edges.items()},
            "conducting": float(sparse["conducting"].sum() / sparse["edges"].sum()),
            "dense_accuracy": float(one["accuracy"][0]),
        }


def _step(one: xr.Dataset, density: float) -> int:
    """First step of at most this density."""
    return int(np.argmax(one["density"].values <= density * (1 + 1e-6)))


def _growth(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Rms of the remaining weights of each layer, at the densities whose weights were kept."""
    from criticality.analysis.breakdown import Spread

    whole = ds.isel(realization=np.isfinite(ds["accuracy"].values).all(axis=1))
    sizes = whole["edges"].isel(step=0, realization=0).values.astype(int)
    ends = np.cumsum(sizes)[:-1]
    for density in whole["snapshot"].values:
        weights = whole["weights"].sel(snapshot=density)
        for layer, part in enumerate(np.split(weights.values, ends, axis=1), start=1):
            squares = [row[row != 0] ** 2 for row in part]
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

    whole = ds.isel(realization=np.isfinite(ds["accuracy"].values).all(axis=1))
    densities = whole["density"].isel(realization=0).values
    for density in whole["snapshot"].values:
        reached = densities[np.argmax(densities <= density * (1 + 1e-6))]
        at = whole.isel(step=int(np.flatnonzero(densities == reached)[-1]))
        row: dict[str, Any] = {"density": density, "n": at.sizes["realization"]}
        for name in ("accuracy", "loss"):
            spread = Spread(at[name].values)
            row |= {name: spread.mean, f"{name}_error": spread.error}
        yield row


def _curve(ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    from criticality.figures.parts import mean_and_error

    whole = ds.isel(realization=np.isfinite(ds["accuracy"].values).all(axis=1))
    pairs = zip(whole["density"].values, whole["accuracy"].values, strict=True)
    values = np.array([np.interp(CURVE, x[::-1], y[::-1]) for x, y in pairs])
    for density, mean, error in zip(CURVE, *mean_and_error(values), strict=True):
        yield {"density": density, "accuracy": mean, "error": error, "n": len(values)}


def summary(networks: pd.DataFrame) -> pd.DataFrame:
    """Means over networks with standard errors, an arm a row."""
    from criticality.analysis.breakdown import Spread

    rows = []
    for (variant, arm), group in networks.groupby(["variant", "arm"], sort=False):
        row: dict[str, Any] = {"variant": variant, "arm": arm, "n": len(group)}
        for name in ("half", *SHARES, "conducting", "dense_accuracy"):
            spread = Spread(group[name].to_numpy())
            row |= {name: spread.mean, f"{name}_error": spread.error}
        rows.append(row)
    return pd.DataFrame(rows)


def effects(networks: pd.DataFrame) -> pd.DataFrame:
    """Half-way density of many updates over that of few, where a treatment has both."""
    from criticality.analysis.contrasts import difference

    rows = []
    for variant in networks["variant"].unique():
        few, many = (_logs(networks, (variant, arm)) for arm in ("few", "many"))
        if len(few) and len(many):
            found = difference(many.to_numpy(), few.to_numpy())
            low, ratio, high = np.exp([found.low, found.value, found.high])
            rows.append(
                {"variant": variant, "n": found.n, "ratio": ratio, "low": low, "high": high}
            )
    return pd.DataFrame(rows)


def _logs(networks: pd.DataFrame, group: tuple[str, str]) -> pd.Series[float]:
    """Logarithms of half-way densities, by realization."""
    rows = networks[(networks["variant"] == group[0]) & (networks["arm"] == group[1])]
    return np.log(rows.set_index("realization")["half"])


def judged(networks: pd.DataFrame) -> pd.DataFrame:
    """Judge predictions: what share of the effect a treatment leaves, and what that says.

    The effect is the logarithm of the ratio of half-way densities, many updates to few.
    """
    groups = {
        **{(v, a): _logs(networks, (v, a)) for v in networks["variant"].unique() for a in ARMS},
        **{
            (f"{arm}, {column} as other", arm): at_equal_share(networks, arm, column)
            for arm in ARMS
            for column in SHARES
        },
    }
    rows = []
    for prediction in PREDICTIONS:
        if len(groups.get(prediction.one, ())) and len(groups.get(prediction.other, ())):
            found = _remaining(groups, prediction)
            rows.append(
                {
                    "name": prediction.name,
                    "expected": "gone" if prediction.gone else "stays",
                    "n": found.n,
                    "left": found.value,
                    "error": found.error,
                    "low": found.low,
                    "high": found.high,
                    "verdict": verdict(found, prediction.gone),
                    "because": prediction.text,
                }
            )
    return pd.DataFrame(rows)


ARMS = ("few", "many")


def _remaining(groups: Mapping[tuple[str, str], pd.Series[float]], of: Prediction) -> Estimate:
    """Share of the effect that is left."""
    from criticality.analysis.contrasts import share

    sides = [
        pd.concat([groups[one], groups[BASE, arm]], axis=1, join="inner").to_numpy().T
        for one, arm in ((of.one, "many"), (of.other, "few"))
    ]
    (a, c), (b, d) = sides
    return share((a, b), (c, d))


def verdict(left: Estimate, gone: bool) -> str:
    """Say whether an interval lies on the side of `HALF` that was predicted."""
    if left.low > HALF:
        return "refuted" if gone else "survived"
    if left.high < HALF:
        return "survived" if gone else "refuted"
    return "undecided"


def at_equal_share(networks: pd.DataFrame, arm: str, column: str) -> pd.Series[float]:
    """Logarithm of the half-way density of each network of an arm, had it the other's layers.

    Networks whose first layer was favoured more and less in ranking have the same random numbers;
    between them the logarithm is interpolated to the share of edges that the first layer has, on
    average, in the other arm; `column` is one of `SHARES`.
    """
    target = networks[(networks["variant"] == BASE) & (networks["arm"] != arm)][column].mean()
    family = networks[
        (networks["arm"] == arm)
        & ((networks["variant"] == BASE) | networks["variant"].str.startswith("first "))
    ]
    found = {}
    for realization, group in family.groupby("realization"):
        line = group.sort_values(column)
        inside = line[column].iloc[0] <= target <= line[column].iloc[-1]
        value = float(np.interp(target, line[column], np.log(line["half"])))
        found[realization] = value if inside else math.nan
    return pd.Series(found, dtype=float)


# --- figure and words ------------------------------------------------------------------------


def draw(tables: Tables) -> Figure:
    """Draw accuracies, half-way density against the share of the first layer, and what is left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1))
    _draw_curves(tables["curves"], left)
    _draw_shares(tables["networks"], middle)
    _draw_predictions(tables["predictions"], right)
    return figure


LOOKS = {"few": ("#0072b2", "o"), "many": ("#d55e00", "s")}


def _draw_curves(curves: pd.DataFrame, ax: Axes) -> None:
    from criticality.figures.parts import plain

    for (variant, arm), group in curves.groupby(["variant", "arm"], sort=False):
        colour, _ = LOOKS[arm]
        style, words = ("-", "") if variant == BASE else (":", ", layers fixed")
        x, mean, error = (group[name].to_numpy() for name in ("density", "accuracy", "error"))
        ax.plot(100 * x, mean, style, color=colour, label=f"{arm} updates{words}")
        ax.fill_between(100 * x, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
    ax.set(xscale="log", xlabel="remaining edges (%)", ylabel="test accuracy", ylim=(0, 1))
    plain(ax.xaxis)
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


def _draw_shares(networks: pd.DataFrame, ax: Axes) -> None:
    """One symbol an arm, means with standard errors; a line for each number of updates."""
    from criticality.figures.parts import plain

    table = summary(networks)
    base = table["variant"] == BASE
    family = table[base | table["variant"].str.startswith("first ")]
    for arm, (colour, marker) in LOOKS.items():
        line = family[family["arm"] == arm].sort_values("first")
        ax.errorbar(
            100 * line["first"],
            100 * line["half"],
            100 * line["half_error"],
            100 * line["first_error"],
            color=colour,
            marker=marker,
            ms=5,
            mfc="white",
            lw=1,
            label=f"{arm} updates",
        )
        own = table[base & (table["arm"] == arm)]
        ax.plot(100 * own["first"], 100 * own["half"], marker, color=colour, ms=7)
    ax.set(
        xlabel=f"share of the first layer at {100 * SHARES['first']:g} % of the edges (%)",
        ylabel="half-way density (% of edges)",
        yscale="log",
    )
    ax.plot([], [], "o", color="0.4", ms=7, label="ranked by magnitude")
    ax.plot([], [], "o", color="0.4", mfc="white", ms=5, label="first layer times 0.5 to 2")
    plain(ax.yaxis)
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


VERDICTS = {"survived": ("#009e73", "o"), "undecided": ("0.5", "D"), "refuted": ("#d55e00", "X")}
SHOWN = (-1.5, 2.5)  # shares of the effect


def _draw_predictions(table: pd.DataFrame, ax: Axes) -> None:
    """Share of the effect that is left, with 95 % intervals, on the predicted side or not."""
    for place, row in enumerate(table.itertuples()):
        side = (SHOWN[0], HALF) if row.expected == "gone" else (HALF, SHOWN[1])
        ax.fill_betweenx([place - 0.4, place + 0.4], *side, color="0.92", lw=0)
        colour, marker = VERDICTS[row.verdict]
        ends = np.clip([row.low, row.high], *SHOWN)
        ax.plot(ends, [place, place], color=colour, lw=1.4)
        if SHOWN[0] < row.left < SHOWN[1]:
            ax.plot(row.left, place, marker, color=colour, ms=6)
    for value in (0, 1):
        ax.axvline(value, color="0.4", lw=0.8, ls="--")
    for word, (colour, marker) in VERDICTS.items():
        ax.plot([], [], marker, color=colour, label=word)
    ax.set_yticks(range(len(table)), list(table["name"]))
    ax.set(xlim=SHOWN, ylim=(len(table) - 0.4, -0.6))
    ax.set_xlabel("share of the effect that is left\n(grey: predicted)")
    ax.legend(frameon=False, fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1))


def say(tables: Tables) -> str:
    """Give the effect, what became of each prediction, and what that makes of the explanation."""
    effect = tables["effects"].set_index("variant").loc[BASE]
    lines = [
        f"More fine-tuning moves the half-way density by a factor of {effect['ratio']:.2f} "
        f"[{effect['low']:.2f}, {effect['high']:.2f}] ({effect['n']:.0f} networks of each).",
        "",
        "share of the effect that is left, predicted and found:",
    ]
    table = tables["predictions"]
    wide = table["name"].str.len().max()
    for row in table.itertuples():
        side = f"< {HALF}" if row.expected == "gone" else f"> {HALF}"
        lines.append(
            f"  {row.name:{wide}}  {side}  {row.left:6.2f} [{row.low:.2f}, {row.high:.2f}]"
            f"  n = {row.n}  {row.verdict}"
        )
    counts = table["verdict"].value_counts()
    told = ", ".join(f"{counts.get(word, 0)} {word}" for word in VERDICTS)
    answer = "not refuted" if not counts.get("refuted", 0) else "refuted as it stands"
    if effect["low"] <= 1:
        answer = "not tested: there is no effect to explain"
    return "\n".join(
        [*lines, "", f"Of {len(table)} predictions: {told}. The explanation is {answer}."]
    )
