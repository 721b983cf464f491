"""What the explanation predicts, and the rules by which data judge it.

Two-sided tests of whether half of the effect is left, corrected for the number of predictions
that were written down before the studies ran (Holm): among all of them a false verdict has a chance
of 5 %.  A prediction chosen when results were known is measured and not judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from criticality.analysis.contrasts import Group

BASE = "criteria magnitude"
ARMS = ("few", "many")
HALF = 0.5  # share of the effect above which it is there, and below which it is gone
RARE = 0.05  # chance of a false verdict among all
SHARES = {"first": 0.02, "first_sparse": 0.01}  # densities at which layers are compared
REFUTED, SURVIVED, UNDECIDED, AFTERWARDS = "refuted", "survived", "undecided", "not judged"
LINKS = {
    "motion": "Adam at a constant rate moves the weights of a fitted network",
    "growth": "weights that move grow, and without growth there is no effect",
    "density": "the growth that harms comes from the dense part of the path",
    "ranking": "growth misleads the ranking by magnitude",
    "layers": "it gives the first layer too large a share of the edges, and that is the harm",
}
Arm = tuple[str, str]  # variant, and "few" or "many"


@dataclass(frozen=True)
class Prediction:
    """What the explanation says of a treatment.

    Attributes
    ----------
    link
        Of the explanation, that it tests.
    name, text
        Of the treatment, for tables and for people.
    one, other
        Variant and arm whose half-way densities are compared.
    gone
        Whether less than half of the effect should be left, or more.
    before
        Whether it was written down before the studies ran.
    """

    link: str
    name: str
    text: str
    one: Arm
    other: Arm
    gone: bool
    before: bool = True


def _treated(link: str, name: str, text: str, variant: str, gone: bool) -> Prediction:
    return Prediction(link, name, text, (variant, "many"), (variant, "few"), gone)


def _equal(arm: str, column: str, before: bool) -> Prediction:
    """Compare an arm, had its first layer the other's share, with few updates as they are."""
    other, gone = ("few", True) if arm == "many" else ("many", False)
    text = "with its share given back, the collapse goes back" if gone else "that share alone hurts"
    name = f"{arm}, first layer as {other} (at {100 * SHARES[column]:g} %)"
    return Prediction(
        "layers", name, text, (_as_other(arm, column), arm), (BASE, "few"), gone, before
    )


def _as_other(arm: str, column: str) -> str:
    return f"{arm}, {column} as other"


PREDICTIONS = (
    _treated("motion", "SGD", "no gradient, no motion: a fitted network rests", "sgd", True),
    _treated("motion", "fresh moments", "moments are not what matters", "fresh", False),
    _treated("growth", "rate as 1/t", "weights do not grow", "rate", True),
    _treated("growth", "weight decay 1", "weights do not grow", "weight 1", True),
    _treated("growth", "weight decay 0.1", "weights grow less", "weight 0.1", True),
    Prediction(
        "density",
        "many while dense",
        "growth before pruning is enough: quick pruning then collapses early",
        ("hold 0", "few"),
        (BASE, "few"),
        False,
    ),
    Prediction(
        "density",
        "many at 5 %",
        "growth comes from the dense part of the path, where the training set is fitted",
        ("hold 0.95", "few"),
        (BASE, "few"),
        True,
    ),
    _treated(
        "ranking",
        "rank by |w| / rms",
        "the growth of a layer no longer counts",
        "criteria relative",
        True,
    ),
    _treated(
        "ranking",
        "rank by saliency",
        "h w^2 does not change when a ReLU layer is scaled up and the next one down",
        "criteria saliency",
        True,
    ),
    _treated("ranking", "random", "nothing looks at weights", "criteria random", True),
    _treated(
        "layers", "layers fixed", "each layer keeps its share: nothing to gain on", "layer", True
    ),
    Prediction(
        "layers",
        "layers fixed, few",
        "equal shares are what hurts: few updates then collapse as early as many",
        ("layer", "few"),
        (BASE, "few"),
        False,
    ),
    _equal("few", "first", before=True),
    _equal("many", "first", before=True),
    _equal("few", "first_sparse", before=False),
    _equal("many", "first_sparse", before=False),
)


def logs(networks: pd.DataFrame) -> dict[Arm, pd.Series[float]]:
    """Logarithms of half-way densities by realization, of every variant and arm."""
    return {
        (variant, arm): np.log(rows.set_index("realization")["half"])
        for (variant, arm), rows in networks.groupby(["variant", "arm"], sort=False)
    }


def judged(networks: pd.DataFrame) -> pd.DataFrame:
    """Judge predictions: what share of the effect a treatment leaves, and what that says.

    The effect is the logarithm of the ratio of half-way densities, many updates to few; where it is
    not certain itself, nothing is decided.
    """
    from criticality.analysis.contrasts import chance, difference, share
    from criticality.analysis.stats import holm
    from criticality.papers.rows import row

    found = logs(networks)
    effect = difference(found[BASE, "many"].to_numpy(), found[BASE, "few"].to_numpy())
    for arm in ARMS:
        for column in SHARES:
            found |= at_equal_share(networks, arm, column)
    rows, chances = [], np.ones(sum(prediction.before for prediction in PREDICTIONS))
    for prediction in PREDICTIONS:
        if prediction.one not in found or prediction.other not in found:
            continue
        groups = _groups(found, prediction)
        left = share(groups)
        rows.append(
            {
                "link": prediction.link,
                "name": prediction.name,
                "expected": "gone" if prediction.gone else "stays",
                **row(left),
                "chance": chance(groups, HALF),
                "before": prediction.before,
                "because": prediction.text,
            }
        )
    table = pd.DataFrame(rows)
    if effect.low > 0:
        chances[: table["before"].sum()] = table["chance"][table["before"]]
    table["adjusted"] = math.nan
    table.loc[table["before"], "adjusted"] = holm(chances)[: table["before"].sum()]
    table["verdict"] = [verdict(one) for one in table.itertuples()]
    return table


def verdict(one: Any) -> str:
    """Say on which side of `HALF` a share is, if chance hardly explains it, or that it is open."""
    if not one.before:
        return AFTERWARDS
    if not one.adjusted < RARE:
        return UNDECIDED
    return SURVIVED if (one.value < HALF) == (one.expected == "gone") else REFUTED


def links(table: pd.DataFrame) -> dict[str, str]:
    """Say which links of the explanation fell, which held, and which are undecided.

    A link falls with one of its predictions; it holds if one has survived and none fell.
    """
    words = {}
    for link, rows in table.groupby("link", sort=False):
        met = set(rows["verdict"])
        words[str(link)] = REFUTED if REFUTED in met else SURVIVED if SURVIVED in met else UNDECIDED
    return words


def _kin(variant: str) -> str:
    """Variants that share their random numbers, realization by realization."""
    same = variant in ("rate", "fresh") or variant.startswith(("first ", "weight "))
    return BASE if same or variant.endswith("as other") else variant


def _groups(found: Mapping[Arm, pd.Series[float]], of: Prediction) -> list[Group]:
    """Give what each network adds to what is left of the effect, and to the effect."""
    aim = (f"aim of {of.one[0]}", "few" if of.one[1] == "many" else "many")
    terms = (
        ("part", of.one, 1),
        ("part", of.other, -1),
        ("part", aim, 1),
        ("whole", (BASE, "many"), 1),
        ("whole", (BASE, "few"), -1),
    )
    groups: dict[Arm, dict[str, Any]] = {}
    for side, arm, sign in terms:
        if arm in found:
            group = groups.setdefault((_kin(arm[0]), arm[1]), {})
            group[side] = sign * found[arm] + group.get(side, 0.0)
    frames = (
        pd.DataFrame(group).reindex(columns=["part", "whole"], fill_value=0.0)
        for group in groups.values()
    )
    return [(frame["part"].to_numpy(), frame["whole"].to_numpy()) for frame in frames]


def at_equal_share(networks: pd.DataFrame, arm: str, column: str) -> dict[Arm, pd.Series[float]]:
    """Logarithm of the half-way density of each network of an arm, had it the other's layers.

    Networks whose first layer was favoured more and less in ranking have the same random numbers;
    between them the logarithm is interpolated to the share of edges that the first layer has, on
    average, in the other arm; `column` is one of `SHARES`.  That average is of few networks: what
    each of them adds to the mean logarithm is given too, as its jackknife says (mean 0).
    """
    base = networks[networks["variant"] == BASE]
    others = base[base["arm"] != arm].set_index("realization")[column]
    family = networks[
        (networks["arm"] == arm)
        & ((networks["variant"] == BASE) | networks["variant"].str.startswith("first "))
    ]
    targets = [others.mean(), *(others.drop(one).mean() for one in others.index)]
    values = {}
    for realization, group in family.groupby("realization"):
        line = group.sort_values(column)
        x, y = line[column], np.log(line["half"])
        found = np.interp(targets, x, y, left=math.nan, right=math.nan)
        values[realization] = found if np.isfinite(found).all() else np.full(len(found), math.nan)
    reached = pd.DataFrame(values, index=["all", *others.index]).T
    without = reached[others.index].mean()
    name = _as_other(arm, column)
    return {
        (name, arm): reached["all"],
        (f"aim of {name}", "many" if arm == "few" else "few"): (len(others) - 1)
        * (without.mean() - without),
    }
