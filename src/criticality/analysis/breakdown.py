"""Where an order parameter breaks down along a control, without a model.

Curves are made monotone first (isotonic regression), so that fluctuations leave one crossing;
between two measured points they are straight lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import stats as distributions
from scipy.optimize import isotonic_regression

from criticality.analysis.stats import Array, bootstrap_means, widening
from criticality.base import Estimate, Flag, InputError, unknown

Side = Literal["above", "below"]
Scale = Literal["linear", "log"]

EFOLD = 0.2  # in ln(control), over which the steepest change is taken on a logarithmic scale
STRETCH = 0.1  # of the measured range, on a linear one
CENTRAL = math.erf(math.sqrt(0.5))  # probability within one standard error
NAMES = ("half", "steepest", "slope", "plateau")


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderParameter:
    """An order parameter of every realization, along a control.

    Attributes
    ----------
    name, along
        Of the observable and the control.
    control, values
        [realizations, points]: the control, and the observable minus `offset`.  Points are sorted
        from the disordered end to the ordered one.
    offset, source
        Value of the observable in the disordered phase, and where that is from.
    side
        Of the threshold, where the order parameter is not zero.
    scale
        On which points are equally spaced, about, and windows are chosen.  On a logarithmic one,
        points at 0 count only for where half is.
    paired
        Whether the points of a realization belong together, as of an axis that is swept inside of
        one run; if not, each is a run of its own, and NaN where there is none.
    least
        Plateau up to which there is nothing that could break down.
    doubts
        Reasons to doubt the order parameter itself.

    Raises
    ------
    InputError
        For a side or a scale that is none, or a logarithmic scale of negative numbers.
    """

    name: str
    along: str
    control: Array
    values: Array
    offset: float = 0.0
    source: str = "given"
    side: Side = "above"
    scale: Scale = "linear"
    paired: bool = True
    least: float = 0.0
    doubts: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        """Sort the points."""
        for kind, given, allowed in (
            ("side", self.side, ("above", "below")),
            ("scale", self.scale, ("linear", "log")),
        ):
            if given not in allowed:
                raise unknown(kind, str(given), allowed, f"order parameter {self.name}")
        if self.scale == "log" and (self.control < 0).any():
            raise InputError(
                f"{self.along} = {self.control.min():g}: a logarithmic scale has no negative "
                f"numbers; use scale = 'linear'."
            )
        order = np.argsort(self.sign * self.control, axis=1, kind="stable")
        for name in ("control", "values"):
            ordered = np.take_along_axis(getattr(self, name), order, axis=1)
            object.__setattr__(self, name, ordered)

    @property
    def sign(self) -> int:
        """1 if the ordered phase is above the threshold, -1 if below."""
        return 1 if self.side == "above" else -1

    @cached_property
    def curve(self) -> tuple[Array, Array]:
        """Control and mean over realizations, each [points], where there are any."""
        if not len(self.values):
            return np.array([]), np.array([])
        mean = means(self.values)
        there = np.isfinite(mean)
        return self.control.mean(axis=0)[there], mean[there]

    @property
    def direction(self) -> int:
        """-1 if the ordered phase has negative values, else 1."""
        mean = self.curve[1]
        return -1 if len(mean) and mean[-1] < 0 else 1

    def place(self, control: Any) -> Array:
        """Coordinate in which bins are of equal width; it rises towards the ordered phase."""
        with np.errstate(divide="ignore"):
            at = np.log(control) if self.scale == "log" else np.asarray(control, float)
        coordinate: Array = self.sign * at
        return coordinate

    def value(self, place: Any) -> Array:
        """Control at a place."""
        at = self.sign * np.asarray(place, float)
        found: Array = np.exp(at) if self.scale == "log" else at
        return found

    def plateau(self, values: Array) -> float:
        """Order parameter at the ordered end, 0 where there is nothing that could break down."""
        end = float(self.direction * values[-1])
        return end if end > self.least else 0.0


@dataclass(frozen=True)
class Location:
    """Where one curve breaks down.

    Attributes
    ----------
    half
        Control at which the order parameter is half its plateau; NaN if it never is.
    steepest
        Control of the largest change over a stretch, `EFOLD` of ln(control) or `STRETCH` of the
        range.
    slope
        That change, for a unit of the control or of its logarithm.
    plateau
        Observable at the ordered end.
    half_within, steepest_within
        How far off these may be for want of points between the measured ones.
    """

    half: float
    steepest: float
    slope: float
    plateau: float
    half_within: float = 0.0
    steepest_within: float = 0.0


@dataclass(frozen=True, eq=False)
class Spread:
    """Values of realizations: their mean, its standard error, and their standard deviation."""

    values: Array

    @property
    def n(self) -> int:
        """Realizations that have a value."""
        return int(np.isfinite(self.values).sum())

    @property
    def mean(self) -> float:
        """Over realizations."""
        return float(np.nanmean(self.values)) if self.n else math.nan

    @property
    def deviation(self) -> float:
        """From realization to realization; NaN for one."""
        return float(np.nanstd(self.values, ddof=1)) if self.n > 1 else math.nan

    @property
    def error(self) -> float:
        """Of the mean: deviation / sqrt(n)."""
        return self.deviation / math.sqrt(max(self.n, 1))

    def estimate(self, level: float = 0.95, within: float = 0.0) -> Estimate:
        """Mean with Student's interval; `within`, a bound on a common error, widens both."""
        quantile = float(distributions.t.isf((1 - level) / 2, self.n - 1)) if self.n > 1 else 1.0
        away = math.hypot(quantile * self.error, within)
        return Estimate(
            value=self.mean,
            error=math.hypot(self.error, within / math.sqrt(3)),
            low=self.mean - away,
            high=self.mean + away,
            level=level,
            n=self.n,
            method="mean over realizations",
        )

    def to_dict(self, level: float = 0.95, within: float = 0.0) -> dict[str, Any]:
        """Give plain Python numbers."""
        scatter = {"deviation": self.deviation, "each": self.values.tolist()}
        return self.estimate(level, within).to_dict() | scatter


@dataclass(frozen=True, eq=False)
class Breakdown:
    """Where an order parameter breaks down, without a model.

    Attributes
    ----------
    half, steepest, slope, plateau
        As of `Location`: means over realizations or, where their points are independent, of their
        mean curve.  Errors hold what interpolation may be off.
    each
        Every realization by itself, unless its points are independent.
    """

    half: Estimate
    steepest: Estimate
    slope: Estimate
    plateau: Estimate
    each: tuple[Location, ...] = ()

    def spread(self, name: str) -> Spread:
        """One of `NAMES` from realization to realization."""
        return Spread(np.array([getattr(one, name) for one in self.each]))

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers."""
        plain = {name: getattr(self, name).to_dict() for name in NAMES}
        for name in NAMES if self.each else ():
            spread = self.spread(name)
            plain[name] |= {"deviation": spread.deviation, "each": spread.values.tolist()}
        return plain


def breakdown(
    order: OrderParameter, *, draws: int = 500, seed: int = 0, level: float = 0.95
) -> Breakdown:
    """Where an order parameter is half its plateau, and where it changes most.

    The error of interpolation is bounded by straight lines through the two points on either side:
    between them and the chord lies every curve that bends one way.

    Parameters
    ----------
    order
        The order parameter.
    draws, seed
        Of the bootstrap, where points are independent runs.
    level
        Probability of the intervals.
    """
    if not order.paired:
        return _of_mean(order, draws, seed, level)
    each = tuple(locate(order, x, y) for x, y in zip(order.control, order.values, strict=True))

    def estimate(name: str) -> Estimate:
        within = Spread(np.array([getattr(one, f"{name}_within", 0.0) for one in each])).mean
        values = np.array([getattr(one, name) for one in each])
        return Spread(values).estimate(level, within)

    half, steepest, slope, plateau = map(estimate, NAMES)
    return Breakdown(half, steepest, slope, plateau, each)


def _of_mean(order: OrderParameter, draws: int, seed: int, level: float) -> Breakdown:
    """Breakdown of the mean curve; at each point, realizations are resampled by themselves."""
    (control, mean), rng = order.curve, np.random.default_rng(seed)
    columns = [column[np.isfinite(column)] for column in order.values.T]
    columns = [column for column in columns if len(column)]
    if not columns:
        nothing = Estimate(value=math.nan, level=level)
        return Breakdown(nothing, nothing, nothing, nothing)
    away = [
        (bootstrap_means(column[:, None], draws, rng)[:, 0] - column.mean()) * widening(len(column))
        for column in columns
    ]
    found = locate(order, control, mean)
    every = [locate(order, control, y) if np.isfinite(y).all() else NOWHERE
             for y in mean + np.transpose(away)]  # fmt: skip

    def estimate(name: str) -> Estimate:
        value = getattr(found, name)
        within = getattr(found, f"{name}_within", 0.0)
        values = np.array([getattr(one, name) for one in every])
        error, low, high = _errors(value, values, within, level)
        return Estimate(value=value, error=error, low=low, high=high, level=level,
                        n=min(map(len, columns)),
                        method="mean curve; realizations resampled at every point")  # fmt: skip

    half, steepest, slope, plateau = map(estimate, NAMES)
    return Breakdown(half, steepest, slope, plateau)


def _errors(value: float, draws: Array, within: float, level: float) -> tuple[float, float, float]:
    """Error and interval of a value; infinite where draws that have none leave it open."""
    there = draws[np.isfinite(draws)]
    missing = 1 - len(there) / len(draws)
    if not math.isfinite(value) or not len(there):
        return math.nan, math.nan, math.nan
    tails = [(1 - level) / 2, (1 - CENTRAL) / 2, (1 + CENTRAL) / 2, (1 + level) / 2]
    low, first, last, high = np.quantile(there, tails)
    error = math.hypot((last - first) / 2, within / math.sqrt(3))
    ends = (value - math.hypot(value - low, within), value + math.hypot(high - value, within))
    if missing > 1 - level:
        ends = -math.inf, math.inf
    return math.inf if missing > 1 - CENTRAL else error, *ends


# --- one curve -------------------------------------------------------------------------------


def monotone(values: Array) -> Array:
    """Non-decreasing values nearest to these."""
    fitted: Array = isotonic_regression(values).x
    return fitted


def crossing(control: Array, rising: Array, target: float) -> float:
    """Control at which a non-decreasing curve reaches a value; NaN if it does not, or always."""
    above = int(np.searchsorted(rising, target))
    if not 0 < above < len(rising):
        return math.nan
    pair = slice(above - 1, above + 1)
    return float(np.interp(target, rising[pair], control[pair]))


def locate(order: OrderParameter, control: Array, values: Array) -> Location:
    """Find where one curve breaks down.

    Parameters
    ----------
    order
        What it is a curve of.
    control, values
        [points], sorted as those of `order`.
    """
    curve, end = monotone(order.direction * values), float(values[-1]) + order.offset
    plateau = order.plateau(values)
    half = crossing(control, curve, plateau / 2) if plateau else math.nan
    if not math.isfinite(half):
        return Location(math.nan, math.nan, math.nan, end)
    at = order.place(control)
    there = np.isfinite(at)
    at, shown = at[there], curve[there]
    stretch = EFOLD if order.scale == "log" else STRETCH * float(np.ptp(at))
    inside = (at - stretch / 2 >= at[0]) & (at + stretch / 2 <= at[-1])
    steepest = slope = math.nan
    gap = 0.0
    if inside.any():
        middle = at[inside]
        ends = [np.interp(middle + side * stretch / 2, at, shown) for side in (1, -1)]
        change = ends[0] - ends[1]
        ties = change >= change.max() - 1e-9
        centre = float(middle[ties].mean())
        steepest = float(order.value(centre))
        slope = order.sign * order.direction * float(change.max()) / stretch
        after = int(np.clip(np.searchsorted(at, centre), 1, len(at) - 1))
        gap = abs(float(np.diff(order.value(at[after - 1 : after + 1]))[0]))
    within = _interpolated_within(control, curve, plateau / 2, half)
    return Location(half, steepest, slope, end, within, gap / 2)


def at_shares(order: OrderParameter, shares: Sequence[float]) -> Array:
    """Find the controls at which every realization has these shares of its plateau left.

    Parameters
    ----------
    order
        The order parameter, of whole curves.
    shares
        Between 0 and 1.

    Returns
    -------
    Array
        [realizations, shares]; NaN where there is no plateau, or the share is never reached.
    """
    found = np.full((len(order.values), len(shares)), np.nan)
    for row, control, values in zip(found, order.control, order.values, strict=True):
        plateau, curve = order.plateau(values), monotone(order.direction * values)
        if plateau:
            row[:] = [crossing(control, curve, share * plateau) for share in shares]
    return found


def _interpolated_within(control: Array, rising: Array, target: float, found: float) -> float:
    """How far a crossing may be from that of the chord."""
    above = int(np.searchsorted(rising, target))
    low, high = sorted((control[above - 1], control[above]))
    away = 0.0
    for first, second in ((above - 2, above - 1), (above, above + 1)):
        if first < 0 or second >= len(control):
            continue
        rise = rising[second] - rising[first]
        run = control[second] - control[first]
        if rise > 0:
            other = control[first] + run * (target - rising[first]) / rise
        else:  # flat: the whole change is at the other end
            other = control[above] if second < above else control[above - 1]
        away = max(away, abs(float(np.clip(other, low, high)) - found))
    return away


def means(values: Array) -> Array:
    """Means [points] over realizations [realizations, points]; NaN where there is none."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(there, values, 0).sum(axis=0) / there.sum(axis=0)
    return mean


NOWHERE = Location(*[math.nan] * len(fields(Location)))
