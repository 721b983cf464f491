"""Exponents of networks that differ: two budgets may allow one and the same network."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr

from criticality.analysis.classify import PhaseDiagram, by_rules, on_plane
from criticality.systems.approximation.constructions import ApproximatingNetwork, LookupNetwork
from criticality.systems.approximation.decay import LEAST
from criticality.systems.approximation.phases import SCALED, SIZE, USED
from criticality.systems.approximation.trained import TrainedApproximation

SYSTEMS = {
    kind.card.name: kind for kind in (ApproximatingNetwork, LookupNetwork, TrainedApproximation)
}


def distinct(ds: xr.Dataset) -> xr.Dataset:
    """Leave out errors of a network that a smaller budget allows too: NaN.

    All of them where there are fewer than `LEAST` networks: a power law has no error then.
    """
    if SIZE not in ds.dims:
        return ds
    new = _new(ds)
    kept = new & (new.sum(SIZE) >= LEAST)
    return ds.assign({name: ds[name].where(kept) for name in ("error", SCALED)})


def _new(ds: xr.Dataset) -> xr.DataArray:
    """Whether a budget allows a network that no smaller one does."""
    used = ds[USED].sortby(SIZE)
    used = used.max([d for d in used.dims if d == "realization"])
    return used.diff(SIZE).reindex({SIZE: used[SIZE]}, fill_value=np.inf) > 0


def classify(ds: xr.Dataset, *, sigmas: float, draws: int, level: float, seed: int) -> PhaseDiagram:
    """Find the phases by the rules of the card, of networks that differ.

    Its cells hold `networks` too, how many these are.

    Raises
    ------
    InputError
        As `by_rules`.
    """
    card = SYSTEMS[str(ds.attrs["system"])].card
    found = by_rules(
        distinct(ds),
        card.phases,
        card.rules,
        card.plane,
        card.size,
        sigmas=sigmas,
        draws=draws,
        level=level,
        seed=seed,
    )
    number = on_plane(ds[[USED]], card.plane, SIZE).pipe(_new).sum(SIZE).astype(float)
    cells = found.cells.assign(networks=number.transpose(*card.plane))
    return dataclasses.replace(found, cells=cells)
