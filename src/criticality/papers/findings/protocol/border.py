"""The border of amentia: how many networks begin to learn, and what changes that.

Whether the border of one protocol lies elsewhere than that of another is tested on the counts of
networks that begin.  Every network is trained once, at one rate p_train, so that they are
independent.  The share that begins is supposed to fall as p_train rises, and no more: if two
protocols had the same border, networks of the one at p_train could not begin more often than those
of the other at a rate below.  So rates are paired, each with the next one of the other that is on
the side that makes a claim harder, and counts of all pairs are tested together
(`stats.more_often`); both directions, so the smaller probability is doubled.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from criticality.analysis.stats import Array, binomial_interval, holm, more_often
from criticality.papers.findings.protocol.variants import SURE, USUAL

PATIENCES = (5, 10, 20, 50)
HALVING = 5  # the default plateau
MARGIN = 0.1  # of the loss, as `Criteria.loss_margin`
LEVEL = 0.95
# The two ways in which a training ends that are compared: plateau (None: the rate stays constant),
# and patience
ENDINGS = {"documented": (HALVING, 10), "waited for": (None, PATIENCES[-1])}


def counts(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """How many networks begin to learn before early stopping, at each rate, and for how long."""
    for at, one in _each(ds.sel(margin=MARGIN), ("plateau", "n_train", "p_train")):
        for patience in PATIENCES:
            begins = outlasted(one, patience)["begins"].values
            known, begun = int(np.isfinite(begins).sum()), int(np.nansum(begins))
            low, high = binomial_interval(np.array(begun), np.array(known), LEVEL)
            if known:
                found = {"networks": known, "begun": begun, "low": float(low), "high": float(high)}
                yield {"variant": variant, **at, "patience": patience, **found}


def outlasted(ds: xr.Dataset, patience: int) -> xr.Dataset:
    """Whether learning begins before so many epochs without improvement; NaN if not known.

    Patience changes nothing in a training but its end.
    """
    began, stalled = ds["start"] < math.inf, ds["stall"] >= patience
    known = (began | stalled) & ds["stall"].notnull()
    begins: xr.DataArray = (began & ~stalled).astype(float).where(known)
    return begins.to_dataset(name="begins")


def moved(found: pd.DataFrame) -> pd.DataFrame:
    """Whether the border lies elsewhere than that of the protocol as documented.

    Compared are: every variant with the documented one of the same end of training and size; the
    documented one watched for long at a constant rate with itself as documented; and its other
    sizes with that at which the variants were made.  All of these are one family for Holm's
    correction.

    Parameters
    ----------
    found
        Rows of `counts`.
    """
    rows = []
    for ending, (plateau, patience) in ENDINGS.items():
        for key, one in _protocols(found, plateau, patience):
            for against, other in _rivals(found, ending, *key):
                rows.append(
                    {
                        **dict(zip(("variant", "n_train"), key, strict=True)),
                        "ending": ending,
                        "against": against,
                        **_compared(one, other),
                    }
                )
    table = pd.DataFrame(rows)
    adjusted = holm(table["probability"].to_numpy(float))
    return table.assign(adjusted=adjusted, moved=adjusted < SURE)


def _protocols(
    found: pd.DataFrame, plateau: int | None, patience: int
) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    """Give variant and size, and the counts of one end of training."""
    halved = found["plateau"] == HALVING
    here = found[(halved if plateau else ~halved) & (found["patience"] == patience)]
    yield from here.groupby(["variant", "n_train"], sort=False)


def _rivals(
    found: pd.DataFrame, ending: str, variant: str, size: int
) -> Iterator[tuple[str, pd.DataFrame]]:
    """What a protocol is compared with: that which differs in one thing."""
    mine = dict(_protocols(found, *ENDINGS[ending]))
    usual = mine.get((USUAL, size))
    if variant != USUAL:
        if usual is not None:
            yield USUAL, usual
        return
    first = next(iter(ENDINGS))
    documented = dict(_protocols(found, *ENDINGS[first])).get((USUAL, size))
    if ending != first and documented is not None:
        yield first, documented
    for usual_size in sorted(set(found["n_train"][found["variant"] != USUAL])):
        if size != usual_size and (USUAL, usual_size) in mine:
            yield f"{usual_size:,} samples", mine[USUAL, usual_size]


def _compared(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    """How rarely chance makes two borders as different, and which seems to be higher."""
    higher, lower = (_chance(one, other, sign) for sign in (1, -1))
    return {
        "networks": int(one["networks"].min()),
        "direction": "higher" if higher < lower else "lower",
        "probability": min(2 * min(higher, lower), 1.0),
    }


def _chance(one: pd.DataFrame, other: pd.DataFrame, sign: int) -> float:
    """Probability of the counts if the border of the one is not higher (+1), or lower (-1)."""
    pairs = paired(one["p_train"].to_numpy(float), other["p_train"].to_numpy(float), sign)
    if not pairs:
        return 1.0
    rows = [table.iloc[list(at)] for table, at in zip((one, other), zip(*pairs), strict=True)]
    begun, number = (np.array([row[name] for row in rows]) for name in ("begun", "networks"))
    return more_often(begun if sign > 0 else number - begun, number)


def paired(rates: Array, others: Array, sign: int) -> list[tuple[int, int]]:
    """Pair rates with the next of others that is not above (+1), or not below (-1), if it is free.

    Returns
    -------
    list of (int, int)
        Positions in both.
    """
    pairs: dict[int, int] = {}  # by position in the others
    for at in sorted(range(len(rates)), key=lambda at: -sign * rates[at]):
        side = [other for other in range(len(others)) if sign * (rates[at] - others[other]) >= 0]
        if side:  # the last that asks is the nearest on the side of the claim
            pairs[max(side, key=lambda other: sign * others[other])] = at
    return [(at, other) for other, at in pairs.items()]


def _each(ds: xr.Dataset, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Give each combination of values, of what the study holds fixed too, and its results."""
    fixed = json.loads(ds.attrs["controls"])
    swept = [name for name in names if name in ds.dims]
    told = {name: fixed[name] for name in names if name not in ds.dims}
    for values in itertools.product(*(ds[name].values.tolist() for name in swept)):
        at = dict(zip(swept, values, strict=True))
        yield told | at, ds.sel(at)
