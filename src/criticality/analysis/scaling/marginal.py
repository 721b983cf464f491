"""`marginal`: critical point and exponents whose errors contain the choices of an analysis.

A collapse is fitted to a range of the control, from a least size on, with or without corrections.
Each choice is a model of all data: the form describes what is kept, free curves what is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from criticality.analysis import stats
from criticality.analysis.scaling.ansatz import Algebraic, Ansatz, Free, nu_eff
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.fit import Fit, refit
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag, InputError

LEAST_SIZES = 3


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What somebody could have chosen before a collapse.

    Attributes
    ----------
    control_range, size_min
        What is kept.
    corrections, regular
        As in `collapse`.
    """

    control_range: tuple[float, float]
    size_min: float
    corrections: bool = False
    regular: bool = False


def choices(
    data: ScalingData,
    *,
    centres: Sequence[float] | None = None,
    half_widths: Sequence[float] | None = None,
    size_min: Sequence[float] | None = None,
    corrections: Sequence[bool] = (False, True),
    regular: Sequence[bool] = (False, True),
    points: int = 5,
) -> tuple[Choice, ...]:
    """All combinations of ranges, least sizes and corrections."""
    low, high = float(data.control.min()), float(data.control.max())
    half = (high - low) / 2
    widths = [half, half / 2] if half_widths is None else list(half_widths)
    ranges: list[tuple[float, float]] = []
    for width in widths:
        middles = centres
        if middles is None:
            number = max(1, 2 * round(half / width) - 1)
            middles = np.linspace(low + width, high - width, number) if number > 1 else [low + half]
        for middle in middles:
            ends = (max(float(middle) - width, low), min(float(middle) + width, high))
            inside = [(c.control >= ends[0]) & (c.control <= ends[1]) for c in data.curves]
            if ends not in ranges and min(np.count_nonzero(each) for each in inside) >= points:
                ranges.append(ends)
    least = list(data.sizes[: max(1, min(3, len(data.sizes) - LEAST_SIZES + 1))]) if (
        size_min is None
    ) else list(size_min)
    return tuple(
        Choice(control_range=ends, size_min=float(size), corrections=c, regular=r)
        for ends, size, c, r in itertools.product(ranges, least, corrections, regular)
    )


@stats.one_thread
def fits_of(
    data: ScalingData, ansatz: Ansatz, made: Sequence[Choice], level: float = 0.95, seed: int = 0
) -> list[Fit]:
    """Fit every choice; plain ones from everywhere, those with corrections from their like."""
    found: dict[Choice, Fit] = {}
    kept: dict[tuple[tuple[float, float], float], ScalingData] = {}
    for choice in sorted(made, key=lambda c: (c.corrections + c.regular)):
        place = (choice.control_range, choice.size_min)
        if place not in kept:
            kept[place] = data.restrict(*place)
        simpler = [
            replace(choice, **{name: False})
            for name in ("corrections", "regular")
            if getattr(choice, name)
        ]
        near = [found[other] for other in simpler if other in found]
        found[choice] = refit(
            kept[place], ansatz, choice.corrections, choice.regular,
            near, level, seed,
        )
    return [found[choice] for choice in made]
