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

from criticality.analysis.shares import by_shares
from criticality.analysis.stats import Array, binomial_interval, holm, more_often
from criticality.base import Phase, Rule
from criticality.papers.findings.protocol.variants import SURE, USUAL
from criticality.papers.rows import row

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
    for ending in ENDINGS:
        for key, one in _protocols(found, ending).items():
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


def unbounded(border: pd.Series) -> bool:
    """Whether a border has no interval at all: too few networks a point for the sign test."""
    return bool(np.isinf(border["low"]) and np.isinf(border["high"]))


def ended(rows: pd.DataFrame, ending: str) -> pd.DataFrame:
    """Rows of one end of training."""
    plateau, patience = ENDINGS[ending]
    halved = rows["plateau"] == HALVING
    return rows[(halved if plateau else ~halved) & (rows["patience"] == patience)]


def _protocols(found: pd.DataFrame, ending: str) -> dict[tuple[str, int], pd.DataFrame]:
    """Give the counts of one end of training by variant and size."""
    return dict(iter(ended(found, ending).groupby(["variant", "n_train"], sort=False)))


def _rivals(
    found: pd.DataFrame, ending: str, variant: str, size: int
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give what a protocol is compared with: that which differs in one thing."""
    mine = _protocols(found, ending)
    usual = mine.get((USUAL, size))
    if variant != USUAL:
        if usual is not None:
            yield USUAL, usual
        return
    first = next(iter(ENDINGS))
    documented = _protocols(found, first).get((USUAL, size))
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
    mine, theirs = one.iloc[[at for at, _ in pairs]], other.iloc[[at for _, at in pairs]]
    begun, number = (np.array([mine[name], theirs[name]]) for name in ("begun", "networks"))
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


def places(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Where half of the networks begin to learn before early stopping, by patience and margin."""
    phases = (Phase(name="begins"), Phase(name="amentia"))
    rules = (
        Rule(phase="begins", quantity="begins", of="each", above=0.5),
        Rule(phase="amentia", quantity="begins", of="each", below=0.5),
    )
    for at, one in _each(ds, ("plateau", "n_train", "margin")):
        for patience in PATIENCES:
            seen = outlasted(one, patience).dropna("p_train", how="all")
            if not seen.sizes["p_train"]:  # still to come
                continue
            found = by_shares(seen, phases, rules, ("p_train",))
            border = [b for b in found.boundaries if b.along == "p_train"]
            about = {"variant": variant, **at, "patience": patience}
            estimate = row(border[0].estimate, border[0].flags) if border else _beyond(found.cells)
            yield about | estimate | {"n": int(found.cells["realizations"].min())}


def _beyond(cells: xr.Dataset) -> dict[str, Any]:
    """Bounds where the networks do alike at all rates."""
    begins = bool((cells["likely"] == 1).all())
    x = cells["p_train"].values
    low, high = (float(x[-1]), math.inf) if begins else (-math.inf, float(x[0]))
    flags = "stays above" if begins else "stays below"
    return {"value": math.nan, "error": math.nan, "low": low, "high": high, "flags": flags}


def late(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Of networks that a patience stops before they begin: how many begin if given more."""
    for at, one in _each(ds.sel(margin=MARGIN), ("plateau", "n_train")):
        most = outlasted(one, PATIENCES[-1])["begins"]
        for patience in PATIENCES[:-1]:
            stopped = outlasted(one, patience)["begins"] == 0
            number = int((stopped & most.notnull()).sum())
            begin = int((stopped & (most == 1)).sum())
            low, high = binomial_interval(np.array(begin), np.array(number), LEVEL)
            yield {
                "variant": variant,
                **at,
                "patience": patience,
                "stopped": number,
                "begin_later": begin,
                "share": begin / number if number else math.nan,
                "low": float(low),
                "high": float(high),
            }


def waiting(variant: str, ds: xr.Dataset) -> Iterator[dict[str, Any]]:
    """When learning begins, and what networks have left that have not begun."""
    for at, one in _each(ds.sel(margin=MARGIN), ("plateau", "n_train", "p_train")):
        there = one["stall"].notnull()
        began = (one["start"] < math.inf) & there
        idle = (there & ~began).values
        if there.any():
            yield {
                "variant": variant,
                **at,
                "networks": int(there.sum()),
                "began": int(began.sum()),
                "start": float(np.median(one["start"].values[began.values]))
                if began.any()
                else math.nan,
                **_mean("alive", one["alive"].values[idle]),
                **_mean("signal", one["signal"].values[idle]),
            }


def _mean(name: str, values: Array) -> dict[str, float]:
    """Mean and standard error."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return {name: float(values.mean()) if n else math.nan, f"{name}_error": error}


def _each(ds: xr.Dataset, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Give each combination of values, of what the study holds fixed too, and its results."""
    fixed = json.loads(ds.attrs["controls"])
    swept = [name for name in names if name in ds.dims]
    told = {name: fixed[name] for name in names if name not in ds.dims}
    for values in itertools.product(*(ds[name].values.tolist() for name in swept)):
        at = dict(zip(swept, values, strict=True))
        yield told | at, ds.sel(at)
