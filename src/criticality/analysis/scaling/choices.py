"""What an analysis could have chosen: ranges of the control, least sizes, corrections."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from criticality.analysis.scaling.checks import finite, positive
from criticality.analysis.scaling.data import ScalingData
from criticality.base import InputError

SHARES = (1.0, 0.5)  # of the measured range: half-widths of the ranges that are looked at
INNER = 0.5  # share of a range, in its middle, where a p_c counts: both sides must be seen
LEAST_POINTS = 5  # of each curve in a range
LEAST_SIZES = 3  # that are kept
DROPPED = 2  # smallest sizes at most that are left out

Place = tuple[tuple[float, float], float]  # range and least size


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What could have been chosen before a collapse.

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

    @property
    def place(self) -> Place:
        """What is kept, without how it is fitted."""
        return self.control_range, self.size_min


def choices(
    data: ScalingData,
    *,
    centres: Sequence[float] | None = None,
    half_widths: Sequence[float] | None = None,
    size_min: Sequence[float] | None = None,
    corrections: Sequence[bool] = (True,),
    regular: Sequence[bool] = (True,),
) -> tuple[Choice, ...]:
    """All combinations of ranges, least sizes and corrections.

    Parameters
    ----------
    data
        The curves.
    centres, half_widths
        Of the ranges, in units of the control; what would reach beyond the measured range is moved
        inside.  By default the whole measured range, and five ranges half as wide, from one end to
        the other.
    size_min
        Least sizes; by default the three smallest, as long as three sizes are kept.
    corrections, regular
        As in `collapse`; by default with both, for what is real has them, and their size is
        integrated out.

    Raises
    ------
    InputError
        If no range has `LEAST_POINTS` points of each curve that is kept.
    """
    low, high = float(data.control.min()), float(data.control.max())
    half = (high - low) / 2
    widths = (
        [share * half for share in SHARES]
        if half_widths is None
        else [positive("half_widths", width) for width in half_widths]
    )
    if size_min is None:
        least = [float(size) for size in data.sizes[: DROPPED + 1]]
        least = least[: max(1, len(data.sizes) - LEAST_SIZES + 1)]
    else:
        least = [finite("size_min", size, 0) for size in size_min]
    ranges: list[tuple[float, float]] = []
    for width in widths:
        number = 4 * max(round(half / width), 1) - 3
        middles = np.linspace(low + width, high - width, number) if number > 1 else [low + half]
        for middle in middles if centres is None else centres:
            place = min(max(finite("centres", middle), low + width), high - width)
            ends = (max(place - width, low), min(place + width, high))
            if ends not in ranges:
                ranges.append(ends)
    made = [
        Choice(control_range=ends, size_min=size, corrections=c, regular=r)
        for ends, size, c, r in itertools.product(ranges, least, corrections, regular)
        if _enough(data, (ends, size))
    ]
    if not made:
        raise InputError(
            f"no range of {data.names[0]} has {LEAST_POINTS} points of each of two sizes or more: "
            f"{', '.join(f'{a:g} to {b:g}' for a, b in ranges)}; choose wider ones."
        )
    return tuple(made)


def _enough(data: ScalingData, place: Place) -> bool:
    (low, high), least = place
    edge = 1e-9 * (high - low)  # ends that were computed may miss a point by rounding
    inside = [
        np.count_nonzero((curve.control >= low - edge) & (curve.control <= high + edge))
        for curve in data.curves
        if curve.size >= least
    ]
    return len(inside) > 1 and bool(min(inside) >= LEAST_POINTS)
