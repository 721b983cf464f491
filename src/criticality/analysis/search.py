"""The best of the points that were measured, and what looking at fewer of them loses."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import t as student

from criticality.analysis.stats import Array
from criticality.base import Axis, Estimate, Flag, InputError, Search, unknown

REALIZATION = "realization"
METHOD = "mean over realizations"
OF_OWN = "mean over realizations, each at the point that it finds best by itself"
INDEPENDENT = "interval by Student's distribution"
SPLITS = (
    "interval by Student's distribution with the variance of Nadeau and Bengio (2003), since "
    "realizations are splits of one data set, {share:.3g} of it for test"
)


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best of some points.

    Attributes
    ----------
    minimised
        What is smallest there.
    points, scores
        Values of the axes of each point, and its mean of what is minimised.
    place
        Of the best among the points.
    alike
        Places of those that are not significantly worse: the interval of the paired difference,
        realization by realization, holds zero.
    shown
        Name -> what is reported of the best point.
    own
        The same where every realization is at the point that it alone finds best: what somebody
        with one realization gets.
    flags
        "at an end" (of an axis of numbers: better values may lie beyond), "few realizations",
        "not finite" (points left out since some realization of theirs has no finite score),
        "incomplete" (points or realizations left out since not all of them was measured).
    """

    minimised: str
    points: tuple[dict[str, Any], ...]
    scores: tuple[Estimate, ...]
    place: int
    alike: tuple[int, ...]
    shown: dict[str, Estimate]
    own: dict[str, Estimate]
    flags: tuple[Flag, ...] = ()

    @property
    def point(self) -> dict[str, Any]:
        """Where it is."""
        return self.points[self.place]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data."""
        return {
            "minimised": self.minimised,
            "best": self.point,
            "points": [
                {"at": at, "score": score.to_dict(), "alike": number in self.alike}
                for number, (at, score) in enumerate(zip(self.points, self.scores, strict=True))
            ],
            "shown": {name: found.to_dict() for name, found in self.shown.items()},
            "own": {name: found.to_dict() for name, found in self.own.items()},
            "flags": [flag.to_dict() for flag in self.flags],
        }


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a search of fewer points loses against one of all.

    Attributes
    ----------
    points, of
        How many points each looks at.
    differences
        Name -> mean over realizations of (chosen among the fewer) - (chosen among all), where each
        realization chooses by itself.
    random
        The same if the fewer are as many points drawn from all: mean over draws.
    """

    points: int
    of: int
    differences: dict[str, Estimate]
    random: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data."""
        found: dict[str, Any] = {"points": self.points, "of": self.of}
        for kind in ("differences", "random"):
            found[kind] = {name: one.to_dict() for name, one in getattr(self, kind).items()}
        return found


def searched(axes: Mapping[str, Axis]) -> list[str]:
    """Axes whose values make points: outer ones, but scores of several data sets do not compare."""
    return [name for name, axis in axes.items() if not axis.inner and not axis.files]


def split_share(ds: xr.Dataset, search: Search) -> float:
    """Share for test of a data set that realizations split; 0 where they are independent."""
    name = search.test_share
    if not name or not ds.attrs.get("data"):
        return 0.0
    if name in ds.coords:
        return float(ds[name].max())
    return float(json.loads(ds.attrs["controls"])[name])


def best(
    ds: xr.Dataset,
    minimise: str,
    show: Sequence[str] = (),
    path: Mapping[str, Sequence[Any]] | None = None,
    *,
    axes: Sequence[str] | None = None,
    share: float = 0.0,
    level: float = 0.95,
) -> Best:
    """Find where the mean over realizations of an observable is smallest.

    Parameters
    ----------
    ds
        Observables over axes and realizations.
    minimise, show
        What is minimised, and what else is reported; inner dimensions of the latter are reported
        value by value.
    path
        Controls that change together, name -> values: only points on it are looked at.
    axes
        Whose values make a point; by default the dimensions of what is minimised.
    share
        Where realizations are splits of one data set: the share of it that is for test.  They are
        then not independent, and the variance of a mean over n of them is not s^2 / n but s^2 (1/n
        + share / (1 - share)) [Nadeau and Bengio 2003].
    level
        Of intervals.

    Raises
    ------
    InputError
        For an unknown observable, one to be minimised that has inner dimensions, or no point with
        finite scores.
    """
    table = _Table(ds, minimise, show, axes)
    places, each, flags = table.complete(table.on(path))
    estimate = functools.partial(_estimate, level=level, share=share)
    scores = table.scores[np.ix_(places, each)]
    usable = np.flatnonzero(np.isfinite(scores).all(axis=1))
    if len(usable) < len(scores):
        text = f"{len(scores) - len(usable)} points with a score that is not finite are left out"
        flags.append(Flag("not finite", minimise, text))
    if not len(usable):
        raise InputError(f"{minimise}: no point has finite scores in all realizations.")
    places, scores = places[usable], scores[usable]
    place = int(scores.mean(axis=1).argmin())
    apart = [estimate(score - scores[place]) for score in scores]
    if len(each) < 2:
        text = "one realization: no errors, and no point is known to be worse"
        flags.append(Flag("few realizations", "", text))
    points = [table.points[i] for i in places]
    flags += _ends(points, place)
    own = places[scores.argmin(axis=0)]
    return Best(
        minimised=minimise,
        points=tuple(points),
        scores=tuple(map(estimate, scores)),
        place=place,
        alike=tuple(i for i, one in enumerate(apart) if not one.low > 0),
        shown={name: estimate(of[places[place], each]) for name, of in table.shown.items()},
        own={name: estimate(of[own, each], method=OF_OWN) for name, of in table.shown.items()},
        flags=tuple(flags),
    )


def loss(
    ds: xr.Dataset,
    minimise: str,
    show: Sequence[str],
    path: Mapping[str, Sequence[Any]],
    *,
    axes: Sequence[str] | None = None,
    share: float = 0.0,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Loss:
    """Compare a search along a path with one of all points; arguments as in `best`.

    And with one of as many points that are drawn at random, `draws` times.  Every realization
    chooses by itself what is smallest in it, along the path and among all points, and the
    difference of what it then has is averaged.  Where nothing is finite along the path, the loss
    is infinite.

    Raises
    ------
    InputError
        As `best`.
    """
    table = _Table(ds, minimise, show, axes)
    places, each, _ = table.complete(table.on(None))
    along = np.flatnonzero(np.isin(places, table.on(path)))
    scores = table.scores[np.ix_(places, each)]
    usable = np.where(np.isfinite(scores), scores, np.inf)
    if not len(along) or not np.isfinite(usable).any():
        raise InputError(f"{minimise}: no finite score along the path, or anywhere.")
    columns = np.arange(len(each))
    few, whole = along[usable[along].argmin(axis=0)], usable.argmin(axis=0)
    rng = np.random.default_rng(seed)
    drawn = np.array([rng.permutation(len(places))[: len(along)] for _ in range(draws)])
    chance = np.take_along_axis(drawn, usable[drawn].argmin(axis=1), axis=1)
    every = {minimise: table.scores, **table.shown}

    def lost(values: Array, chosen: NDArray[np.intp]) -> Array:
        here = values[np.ix_(places, each)]
        found = here[chosen, columns] - here[whole, columns]
        return np.where(np.isfinite(usable[chosen, columns]), found, np.inf)

    estimate = functools.partial(_estimate, level=level, share=share, method=OF_OWN)
    return Loss(
        points=len(along),
        of=len(places),
        differences={name: estimate(lost(of, few)) for name, of in every.items()},
        random={name: estimate(lost(of, chance).mean(axis=0)) for name, of in every.items()},
    )


class _Table:
    """Points of some axes as rows: scores [points, realizations], and of what is shown the same."""

    def __init__(
        self, ds: xr.Dataset, minimise: str, show: Sequence[str], axes: Sequence[str] | None
    ) -> None:
        for name in (minimise, *show):
            if name not in ds:
                raise unknown("observable", name, [str(n) for n in ds], "search")
        score = ds[minimise]
        dims = [str(d) for d in score.dims if d != REALIZATION]
        self.axes = dims if axes is None else [d for d in dims if d in axes]
        if left := [d for d in dims if d not in self.axes]:
            raise InputError(
                f"{minimise}: has a value for each {', '.join(left)}; choose one, with --select "
                f"{left[0]}=VALUE or ds.sel({left[0]}=VALUE)."
            )
        coordinates = [ds[axis].values.tolist() for axis in self.axes]
        self.points = [
            dict(zip(self.axes, values, strict=True)) for values in itertools.product(*coordinates)
        ]
        self.scores = self._rows(score)
        self.shown: dict[str, Array] = {}
        for name in show:
            array = ds[name]
            inner = [str(d) for d in array.dims if d not in (*self.axes, REALIZATION)]
            for values in itertools.product(*(ds[d].values.tolist() for d in inner)):
                at = dict(zip(inner, values, strict=True))
                said = ", ".join(f"{d} {value:g}" for d, value in at.items())
                text = f"{name} ({said})" if at else name
                self.shown[text] = self._rows(array.sel(at).broadcast_like(score))

    def _rows(self, array: xr.DataArray) -> Array:
        table = array.transpose(*self.axes, REALIZATION).values.astype(float)
        return table.reshape(-1, table.shape[-1])

    def on(self, path: Mapping[str, Sequence[Any]] | None) -> NDArray[np.intp]:
        """Places of the points on a path, or of all; of those that were measured."""
        there: Any = self.measured.any(axis=1)
        if path:
            along = [
                dict(zip(path, values, strict=True)) for values in zip(*path.values(), strict=True)
            ]
            there = there & np.array(
                [
                    any(all(_same(point.get(n, v), v) for n, v in one.items()) for one in along)
                    for point in self.points
                ]
            )
        if not there.any():
            where = f" on the path of {', '.join(path)}" if path else ""
            raise InputError(f"no point was measured{where}.")
        return np.flatnonzero(there)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Whether anything is known of a point in a realization; else it is still to come."""
        known: NDArray[np.bool_] = ~np.isnan(np.array([self.scores, *self.shown.values()]))
        found: NDArray[np.bool_] = np.logical_or.reduce(known, axis=0)
        return found

    def complete(
        self, places: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], list[Flag]]:
        """Give points and realizations of which all was measured: the most numbers that there are.

        Two realizations or more, if any point has them.
        """
        measured = self.measured[places]
        counts = measured.sum(axis=1)
        choices = []
        for least in np.unique(counts):
            rows = np.flatnonzero(counts >= least)
            columns = np.flatnonzero(measured[rows].all(axis=0))
            choices.append((len(columns) > 1, len(rows) * len(columns), rows, columns))
        _, _, rows, columns = max(choices, key=lambda choice: choice[:2])
        flags = []
        if len(rows) < len(places) or len(columns) < measured.any(axis=0).sum():
            text = (
                f"{len(rows)} of {len(places)} points and {len(columns)} of "
                f"{measured.any(axis=0).sum()} realizations, of which all was measured"
            )
            flags.append(Flag("incomplete", "", text))
        return places[rows], columns, flags


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return bool(a == b)
    return math.isclose(a, b, rel_tol=1e-9)


def _estimate(
    values: Array, level: float = 0.95, share: float = 0.0, method: str = METHOD
) -> Estimate:
    """Mean of values and its interval; of splits of one data set if the share is not 0."""
    n = len(values)
    about: dict[str, Any] = {"value": float(np.mean(values)), "level": level, "n": n}
    if n < 2:
        return Estimate(**about, method=method)
    with np.errstate(invalid="ignore"):
        error = float(np.std(values, ddof=1) * math.sqrt(1 / n + share / (1 - share)))
    wide = error * float(student.ppf((1 + level) / 2, n - 1))
    how = SPLITS.format(share=share) if share else INDEPENDENT
    ends = {"low": about["value"] - wide, "high": about["value"] + wide}
    return Estimate(**about, error=error, **ends, method=f"{method}; {how}")


def _ends(points: Sequence[dict[str, Any]], place: int) -> list[Flag]:
    """Say which axes of numbers the best point is at the end of."""
    flags = []
    for axis, value in points[place].items():
        values = [point[axis] for point in points]
        if (
            isinstance(value, int | float)
            and len({*values}) > 2
            and value in (min(values), max(values))
        ):
            text = f"the best {axis} is the {'least' if value == min(values) else 'greatest'} tried"
            flags.append(Flag("at an end", axis, text))
    return flags
