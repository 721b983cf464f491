"""Which results belong to a plan, and which of them count."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from criticality.study.journal import Head, Result

log = logging.getLogger("criticality")
Placed = tuple[tuple[Any, ...], Result]  # values of the axes of the grid and realization; result


def fitting(results: Mapping[str, Result], plan: Mapping[str, Any]) -> Iterator[Placed]:
    """Results by their keys whose controls are of a plan, in the order of the keys."""
    swept = {name: set(values) for name, values in plan["grid"].items()}
    fixed = {name: value for name, value in plan["controls"].items() if name not in swept}
    same = {name: plan[name] for name in ("system", "version", "seed")}
    names, realizations = frozenset(swept), plan["realizations"]
    before = plan.get("before", {})  # values of controls that older results do not know
    tied = plan.get("path", {})
    along = {*zip(*tied.values(), strict=True)}
    fits: dict[int, bool] = {}  # heads whose results are of the plan, but for swept controls

    def fit(head: Head) -> bool:
        return all(head.attributes.get(n) == v for n, v in same.items()) and all(
            head.controls.get(n, before.get(n)) == v for n, v in fixed.items()
        )

    for key in sorted(results):
        result = results[key]
        head, own = result.head, result.controls
        if names.issuperset(own):
            if id(head) not in fits:
                fits[id(head)] = fit(head)
            right, point = fits[id(head)], own
        else:
            point = result.point
            right = fit(replace(head, controls=point))
        if not right or result.realization >= realizations:
            continue
        place = []
        for name, values in swept.items():
            value = point[name] if name in point else head.controls.get(name, before.get(name))
            if type(value) is list or value not in values:
                break
            place.append(value)
        else:
            if not tied or tuple((before | result.point)[name] for name in tied) in along:
                yield (*place, result.realization), result


def current(fitting: Iterable[Placed], where: str) -> Iterator[Placed]:
    """One result of each place: of data that have changed under their name, that of the new ones.

    Parameters
    ----------
    where
        The store, for people.
    """
    found: dict[tuple[Any, ...], Result] = {}
    old: set[Any] = set()  # checksums of data that others have taken the place of
    for place, result in fitting:
        there = found.setdefault(place, result)
        if there is result or _data(there) == _data(result):
            continue  # the first edition told -0.0 from 0.0
        first, last = sorted((there, result), key=_created)
        old.add(_data(first))
        found[place] = last
    if old:
        log.warning(
            "%s: the data have changed since some results were computed; these are left out",
            where,
        )
    for place, result in found.items():
        if not old or _data(result) not in old:
            yield place, result


def _data(result: Result) -> Any:
    """Checksum of the data of a result."""
    return result.head.attributes.get("data")


def _created(result: Result) -> str:
    return str(result.own.get("created", ""))
