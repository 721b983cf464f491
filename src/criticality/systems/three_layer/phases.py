"""Phases of the three-layer network: of each layer by the exponent of its change over the width."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr

from criticality.analysis.boundaries import boundaries
from criticality.analysis.classify import PhaseDiagram, by_rules
from criticality.systems.three_layer import ThreeLayer

LAYERS = {"change_1": "W1", "change_2": "W2"}


def log_change_1(ds: xr.Dataset) -> xr.DataArray:
    """Logarithm of the relative change of W1."""
    return _logarithm(ds["change_1"])


def log_change_2(ds: xr.Dataset) -> xr.DataArray:
    """Logarithm of the relative change of W2."""
    return _logarithm(ds["change_2"])


def log_change_3(ds: xr.Dataset) -> xr.DataArray:
    """Logarithm of the relative change of a."""
    return _logarithm(ds["change_3"])


def classify(ds: xr.Dataset, *, sigmas: float, draws: int, level: float, seed: int) -> PhaseDiagram:
    """Find the phases by the rules of the card, and the border of each layer, whatever the other.

    Raises
    ------
    InputError
        As `by_rules`.
    """
    card = ThreeLayer.card
    found = by_rules(
        ds,
        card.phases,
        card.rules,
        card.plane,
        card.size,
        sigmas=sigmas,
        draws=draws,
        level=level,
        seed=seed,
    )
    borders = tuple(
        border
        for axis in card.plane
        for change, layer in LAYERS.items()
        for border in boundaries(
            found.cells,
            f"{change}_exponent",
            axis,
            level=level,
            between=(f"{layer} linear", f"{layer} condensed"),
            n=found.method["realizations"],
        )
    )
    return dataclasses.replace(found, boundaries=borders)


def _logarithm(change: xr.DataArray) -> xr.DataArray:
    return change.copy(data=np.log(change.values))
