"""Sweeps of rho with the networks trained on, to see whether the transition is of first order.

Trained up in rho and down again, each time from where the value before ended.  Of a first-order
transition both legs differ, however long each value is trained; of a slow one they close.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from criticality.analysis.stats import Array
from criticality.base import Card, Derived, InputError, Observable, control, like
from criticality.systems.mean_variance import measures
from criticality.systems.mean_variance.network import SKIPPED, Networks

__all__ = ["MeanVarianceSweep"]

LEG = (
    *(0.4, 0.5, 0.55, 0.6, 0.64, 0.68, 0.72, 0.76, 0.8, 0.84, 0.88),
    *(0.91, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.999),
)
HERE = "criticality.systems.mean_variance.sweep"


@dataclass(frozen=True, kw_only=True)
class MeanVarianceSweep(Networks):
    """The same two networks at one rho after another; Adam and its learning rate begin anew.

    The first value begins from random networks and has the warm-up besides its epochs.
    """

    card: ClassVar[Card] = Card(
        name="mean_variance_sweep",
        source="Wong-Toi, Boyd, Fortuin & Mandt, arXiv:2511.22004; the sweep is ours",
        model="criticality.systems.mean_variance.model.sweep",
        observables=(
            *measures.observables(("rho",)),
            Observable(name="loss", dims=("rho",), doc="of the training samples"),
            SKIPPED,
        ),
        derived=(
            Derived(
                name="loop_area",
                function=f"{HERE}:loop_area",
                doc="training MSE on the leg up less that on the leg down, integrated over "
                "ln rho/(1-rho); 0 without hysteresis, undefined without two legs",
                label=r"area of the loop in $\ln\rho/(1-\rho)$",
            ),
            Derived(
                name="loop_width",
                function=f"{HERE}:loop_width",
                doc=f"ln rho/(1-rho) at which the training MSE passes {measures.UNDERFIT:g}, on "
                "the leg up less on the leg down; undefined if one does not pass it",
                label=r"width of the loop in $\ln\rho/(1-\rho)$",
            ),
        ),
        order=("train_mse", "precision_spread"),
        pages="criticality.systems.mean_variance.figures:loops",
    )

    epochs: int = like(Networks, "epochs", 2_000, doc="of training at each rho, after the warm-up")
    gamma: float = measures.gamma_control()
    tied: bool = control(
        True,
        doc="gamma = 1 - rho along the sweep, in place of a constant gamma",
        static=True,
        shared=True,
    )
    rho: tuple[float, ...] = control((*LEG, *LEG[-2::-1]), inner=True, ordered=True, **measures.RHO)

    @classmethod
    def tiny(cls) -> MeanVarianceSweep:
        """Give a preset that runs in a second."""
        return cls(
            n_train=16,
            width=6,
            depth=1,
            epochs=30,
            warmup=20,
            rho=(0.9, 0.98, 0.95),
            level=(0.2, 0.8),
        )

    def validate(self) -> None:
        """Raise `InputError` for a data set that cannot be used, or more than one turn."""
        self.check_data()
        steps = list(itertools.pairwise(self.rho))
        turns = sum((b > a) != (c > b) for (a, b), (_, c) in itertools.pairwise(steps))
        if turns > 1 or any(a == b for a, b in steps):
            raise InputError(
                f"rho = {list(self.rho)}: not monotonic within a leg; expected a leg up or down, "
                f"or one of each, as [0.1, 0.5, 0.9, 0.5, 0.1]."
            )

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        return {"rho": self.rho, "level": self.level}

    def work(self) -> float:
        """FLOP of one realization."""
        return self.flop_per_epoch() * (self.warmup + 2 * self.epochs * len(self.rho))


def loop_area(ds: xr.Dataset) -> xr.DataArray:
    """Area between both legs of the training MSE over ln rho/(1-rho), where both have been.

    Each leg is linear between its values, which need not be those of the other.
    """
    found = legs(ds["train_mse"])
    if len(found) < 2:
        return _nowhere(ds["train_mse"])
    ends = [logit(leg["rho"].values) for leg in found.values()]
    low, high = max(x[0] for x in ends), min(x[-1] for x in ends)
    every = np.unique(np.concatenate(ends))
    both = every[(low <= every) & (every <= high)]
    gap = _between(found["up"], both) - _between(found["down"], both)
    return _nowhere(ds["train_mse"]).copy(data=np.trapezoid(gap, both, axis=-1))


def _between(leg: xr.DataArray, x: Array) -> Array:
    """Values of a leg [..., x] at any ln rho/(1-rho) in its range."""
    known, values = logit(leg["rho"].values), leg.transpose(..., "rho").values
    return np.apply_along_axis(lambda one: np.interp(x, known, one), -1, values)


def loop_width(ds: xr.Dataset) -> xr.DataArray:
    """Distance of the places where both legs pass the threshold, in ln rho/(1-rho)."""
    found = {name: passing(leg) for name, leg in legs(ds["train_mse"]).items()}
    return found["up"] - found["down"] if len(found) == 2 else _nowhere(ds["train_mse"])


def _nowhere(array: xr.DataArray) -> xr.DataArray:
    return array.isel({"rho": 0} if "rho" in array.dims else {}, drop=True) * np.nan


def legs(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Legs "up" and "down", or the one that there is, each by rising rho; both have the turn.

    None of a single rho.
    """
    if "rho" not in array.dims:
        return {}
    rho = array["rho"].values
    ends = (0, len(rho) - 1)
    turn = next((int(i) for i in (rho.argmax(), rho.argmin()) if i not in ends), ends[1])
    parts = array.isel(rho=slice(None, turn + 1)), array.isel(rho=slice(turn, None))
    names = ("up", "down") if rho[turn] > rho[0] else ("down", "up")
    every = zip(names, parts, strict=True)
    return {name: leg.sortby("rho") for name, leg in every if leg.sizes["rho"] > 1}


def passing(leg: xr.DataArray, threshold: float = measures.UNDERFIT) -> xr.DataArray:
    """Find ln rho/(1-rho) at which a leg first falls below a threshold, between two values.

    NaN if it is below from the start, or never.
    """
    x = logit(leg["rho"].values)
    values = leg.transpose(..., "rho").values
    below = values < threshold
    first = below.argmax(axis=-1)
    after = np.clip(first, 1, None)
    high = np.take_along_axis(values, after[..., None] - 1, -1)[..., 0]
    low = np.take_along_axis(values, after[..., None], -1)[..., 0]
    share = (high - threshold) / np.where(high == low, 1, high - low)
    place = x[after - 1] + share * (x[after] - x[after - 1])
    known = below.any(axis=-1) & (first > 0)
    return leg.isel(rho=0, drop=True).copy(data=np.where(known, place, np.nan))


def logit(rho: Array) -> Array:
    """Give ln rho/(1-rho)."""
    return np.asarray(np.log(rho / (1 - rho)))
