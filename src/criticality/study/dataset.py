"""A store as one labelled data set."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from criticality.base import Axis, Card, InputError, Observable, unknown
from criticality.study import manifest
from criticality.study.journal import DamagedError, Result
from criticality.study.selection import Placed

log = logging.getLogger("criticality")
Wanted = Callable[[Result], Collection[str]]
Read = tuple[tuple[Any, ...], Result, dict[str, np.ndarray[Any, Any]]]
LARGE = 1_000_000  # numbers in an array above which it is opened as it was stored, in 4 bytes


def opened(
    path: Path,
    plan: Mapping[str, Any],
    results: Sequence[Placed],
    numbers: Callable[[Sequence[Placed], Wanted], Iterable[Read]],
    observables: Collection[str] | None,
) -> xr.Dataset:
    """Open results of a plan, at least one, in the store at `path`; as `Store.open`.

    Parameters
    ----------
    numbers
        Gives the arrays of results, of those of their observables that a function wants.
    """
    outer: dict[str, list[Any]] = dict(plan["grid"])
    outer["realization"] = list(range(plan["realizations"]))
    shape = tuple(len(values) for values in outer.values())
    at = [{value: i for i, value in enumerate(values)} for values in outer.values()]
    head = results[0][1].head
    labels = {"realization": ["realization", "1", "independent realization"], **head.axes}
    described = dict(head.observables)
    for name in observables or ():
        if name not in described:
            raise unknown("observable", name, described, str(path))
    if observables is not None:
        described = {name: about for name, about in described.items() if name in observables}
    inner: dict[str, np.ndarray[Any, Any]] = {}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    alike: set[int] = set()  # heads over the inner coordinates of the first

    def wanted(result: Result) -> tuple[str, ...]:
        there = result.head.observables
        if any(there.get(name, [None])[0] != dims for name, (dims, *_) in described.items()):
            raise DamagedError(f"{result.path}: has other observables")
        return tuple(described)

    for place, result, found in numbers(results if described else [], wanted):
        index = tuple(map(dict.__getitem__, at, place))
        for name in () if id(result.head) in alike else tuple(described):
            dims = described[name][0]
            there = {dim: found[dim] for dim in dims}
            inner = there | inner
            if name not in arrays:
                arrays[name] = _empty(name, shape, found[name])
            if all(np.array_equal(there[dim], inner[dim]) for dim in dims):
                continue
            reason = (
                f"{path}: {name} is not over the same {' and '.join(dims)} in all results "
                f"of the grid ({', '.join(plan['grid'])})"
            )
            if observables is not None:
                raise InputError(f"{reason}; open one value of the axis that decides it.")
            log.warning("%s; it is left out", reason)
            del arrays[name], described[name]
        if result.head.numbers:  # those of files of one result are not shared
            alike.add(id(result.head))
        for name in described:
            arrays[name][index] = found[name]
    if described and not arrays:
        raise InputError(f"{path}: no result can be read; `criticality run` mends it.")
    inner = {dim: inner[dim] for dims, _, _ in described.values() for dim in dims}
    fixed = {n: v for n, v in plan["controls"].items() if n not in (*outer, *inner)}
    kept = manifest.read_card(path)
    marks: dict[str, dict[str, Any]] = {}
    if kept is not None:
        marks = {o.name: _marks(o, "censored", "undefined") for o in kept[0].observables}
        named: list[Observable | Axis] = [*kept[0].observables, *kept[1].values()]
        for about in named:
            if about.label:
                marks.setdefault(about.name, {})["label"] = about.label
    return xr.Dataset(
        {
            name: (
                (*outer, *dims),
                arrays[name],
                {"units": unit, "long_name": doc, **marks.get(name, {})},
            )
            for name, (dims, unit, doc) in described.items()
        },
        coords={
            name: (
                (name,),
                np.asarray(values),
                _label(*labels.get(name, [name, "1", name])) | marks.get(name, {}),
            )
            for name, values in {**outer, **inner}.items()
        },
        attrs={
            **{name: plan[name] for name in ("system", "version", "seed")},
            "controls": json.dumps(fixed),
            "data": str(head.attributes.get("data", "")),  # checksum; of the first, if several
            **_marks(kept[0] if kept else None, "deterministic"),
        },
    )


def _marks(told: Observable | Card | None, *names: str) -> dict[str, int]:
    """Those of the properties that hold; netCDF has no truth values."""
    return {name: 1 for name in names if getattr(told, name, False)}


def _opened(x: np.ndarray[Any, Any]) -> np.dtype[Any]:
    """Type in which a stored array is opened."""
    return np.dtype(np.float32 if x.dtype == np.float32 and x.size > LARGE else np.float64)


def _empty(name: str, shape: tuple[int, ...], first: np.ndarray[Any, Any]) -> Any:
    """Array of an observable over the grid, in which nothing is computed yet.

    Raises
    ------
    InputError
        If there is no room for it.
    """
    kind = _opened(first)
    try:
        return np.full(shape + first.shape, np.nan, kind)
    except (MemoryError, ValueError) as error:
        size = math.prod(shape) * first.size * kind.itemsize / 1e9
        raise InputError(
            f"{name} would take {size:.0f} GB; open other observables, or a part of the grid."
        ) from error


def _label(symbol: str, unit: str, doc: str) -> dict[str, str]:
    return {"units": unit, "long_name": doc, "symbol": symbol}
