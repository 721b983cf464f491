"""A study: what is to be computed, and nothing about how."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from criticality import catalog, data
from criticality.base import (
    InputError,
    System,
    Task,
    axes,
    canonical,
    card,
    coerced,
    controls,
    inner,
    notes,
    required,
    unknown,
)
from criticality.study import shown

SECTIONS = ("system", "seed", "realizations", "controls", "grid", "path")
MOST = 1_000_000  # tasks of a study


@dataclass(frozen=True, kw_only=True)
class Study:
    """A frozen plan: every point of an outer grid, or along a path, realized several times.

    Attributes
    ----------
    system
        Holds the value of every control that is not swept.
    grid
        Outer axes to sweep: name -> values.  Empty for a single point.
    path
        Outer axes that change together: name -> values, as many of each, one point after another.
        With a grid, every point of the one with every point of the other.
    realizations
        Independent realizations of each point.
    seed
        Of the whole study.

    Raises
    ------
    InputError
        If any point is not allowed, or there are too many.
    """

    system: System
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    path: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    realizations: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Bring every value to its canonical form and check every point."""
        told = card(self.system)
        for name, least in (("realizations", 1), ("seed", 0)):
            object.__setattr__(self, name, _whole(name, getattr(self, name), least))
        if told.deterministic and self.realizations > 1:
            raise InputError(
                f"realizations = {self.realizations}: {told.name} is deterministic, all of them "
                f"would be the same; use realizations = 1."
            )
        grid = {
            name: tuple(sorted(self._swept("grid", name, values)))
            for name, values in self.grid.items()
        }
        for name, values in grid.items():
            if len(set(values)) < len(values):
                raise InputError(f"grid.{name} = {list(self.grid[name])}: a value occurs twice.")
        path = {name: self._swept("path", name, values) for name, values in self.path.items()}
        for name in path:
            if name in grid:
                raise InputError(f"{name} is both in the grid and in the path.")
        points = sorted({*zip(*path.values(), strict=False)})
        lengths = {name: len(values) for name, values in path.items()}
        if any(length != len(points) for length in lengths.values()):
            said = ", ".join(f"{length} of {name}" for name, length in lengths.items())
            raise InputError(f"path: {said}; expected as many values of each, and no point twice.")
        path = dict(zip(path, zip(*points, strict=True), strict=True)) if path else {}
        every = {name: tuple({*values}) for name, values in path.items()}
        check_size({**grid, **every}, self.realizations)  # what a store opens as
        first = {name: values[0] for name, values in (grid | path).items()}
        base = canonical(self.system, **first)
        for observable in told.observables:
            for dim in observable.dims:
                if dim not in inner(base):
                    raise unknown("dimension", dim, inner(base), f"{told.name}: {observable.name}")
        object.__setattr__(self, "system", base)
        object.__setattr__(self, "grid", MappingProxyType(grid))
        object.__setattr__(self, "path", MappingProxyType(path))
        for point in self.systems():
            canonical(point)  # checks it

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what it was made of."""
        parts = dict(self.grid), dict(self.path)
        return _remade, (self.system, *parts, self.realizations, self.seed)

    def _swept(self, table: str, name: str, values: Any) -> tuple[Any, ...]:
        """Give checked values of an outer axis."""
        declared = axes(self.system)
        if name not in declared:
            raise unknown("control", name, declared, f"{table} of {card(self.system).name}")
        if declared[name].inner:
            raise InputError(
                f"{table}.{name}: an inner axis, swept inside every realization; "
                f"put its list among the controls."
            )
        if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            raise InputError(f"{table}.{name} = {values!r}: expected a list of values.")
        found = tuple(coerced(self.system, name, value) for value in values)
        if not found:
            raise InputError(f"{table}.{name}: the list is empty; one value is the least.")
        return found

    def swept(self) -> dict[str, tuple[Any, ...]]:
        """All values of every axis of the grid and of the path."""
        every = (*self.grid.items(), *self.path.items())
        return {name: tuple(sorted({*values})) for name, values in every}

    def systems(self) -> list[System]:
        """Points of the grid, the last axis varying fastest; of each, those of the path."""
        along = list(zip(*self.path.values(), strict=True)) if self.path else [()]
        names = (*self.grid, *self.path)
        return [
            dataclasses.replace(self.system, **dict(zip(names, (*values, *point), strict=True)))
            for values in itertools.product(*self.grid.values())
            for point in along
        ]

    def tasks(self) -> list[Task]:
        """One task for every point and realization."""
        return [
            Task(system=system, seed=self.seed, realization=r, checksum=checksum(system))
            for system in self.systems()
            for r in range(self.realizations)
        ]

    def notes(self) -> dict[str, list[System]]:
        """Distinct notes of the system, each with the points of the grid that it is about."""
        found: dict[str, list[System]] = {}
        for point in self.systems() if hasattr(self.system, "notes") else ():
            for text in dict.fromkeys(notes(point)):
                found.setdefault(text, []).append(point)
        return found

    def plan(self) -> dict[str, Any]:
        """Give the plan as plain data, for the store's manifest."""
        told = card(self.system)
        declared = axes(self.system)
        before = {n: axis.before for n, axis in declared.items() if axis.before is not None}
        return {
            "system": told.name,
            "version": told.version,
            "seed": self.seed,
            "realizations": self.realizations,
            "controls": _plain(controls(self.system)),
            "grid": _plain(self.swept()),
        } | {n: v for n, v in (("path", _plain(self.path)), ("before", before)) if v}

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return shown.plan("Study", self.plan(), card(self.system).source, axes(self.system))

    @classmethod
    def from_toml(
        cls,
        path: str | Path,
        system: type[System] | None = None,
        changes: Sequence[str] = (),
    ) -> Study:
        """Read a study file.

        Parameters
        ----------
        path
            TOML with `system`, and optionally `seed`, `realizations`, `[controls]`, `[grid]`,
            `[path]`.
        system
            The system, where it is one's own; by default the installed one that the file names.
        changes
            "key=value" each: the value in TOML, a list for an outer control sweeps it.  A control
            that changed along the path is taken out of it, and the others go on.

        Raises
        ------
        InputError
            For anything that is not understood, naming file, key and what is allowed.
        """
        content = _read(path)
        for key in content:
            if key not in SECTIONS:
                raise unknown("key", key, SECTIONS, str(path))
        kind = _kind(path, content.get("system"), system)
        return cls._of(kind, content, changes, str(path))

    @classmethod
    def along(cls, system: type[System], changes: Sequence[str] = ()) -> Study:
        """Study of the points that the card of a system searches.

        Parameters
        ----------
        system
            With a `Search` on its card.
        changes
            As in `from_toml`.

        Raises
        ------
        InputError
            As `from_toml`, or if the card has none.
        """
        told = card(system)
        if told.search is None:
            raise InputError(
                f"{told.name}: its card has no Search, which says along which values good ones are "
                f"looked for; run a study, and then `criticality best STORE --by OBSERVABLE`."
            )
        content: dict[str, Any] = {"realizations": told.search.realizations}
        content["path"] = {name: list(values) for name, values in told.search.path.items()}
        return cls._of(system, content, changes, told.name)

    @classmethod
    def _of(
        cls, kind: type[System], content: Mapping[str, Any], changes: Sequence[str], path: str
    ) -> Study:
        """Study of what a file holds, with changes."""
        tables = {name: content.get(name, {}) for name in ("controls", "grid", "path")}
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise InputError(f"{path}: [{name}] must be a table of control = value.")
        declared = axes(kind)
        for name in itertools.chain(*tables.values()):
            if name not in declared:
                raise unknown("control", name, declared, path)
            there = [f"[{table}]" for table, content in tables.items() if name in content]
            if len(there) > 1:
                raise InputError(f"{path}: {name} is both in {' and in '.join(there)}.")
        fixed, grid, along = tables.values()
        plan = {"seed": content.get("seed", 0), "realizations": content.get("realizations", 1)}
        for change in changes:
            name, value = _parse_change(change)
            if name in plan:
                plan[name] = value
            elif name == "system":
                raise InputError(
                    f"--set {change}: the system is named by {path}; an own one by "
                    f"--system FILE.py:NAME."
                )
            elif name not in declared:
                raise unknown("control", name, [*plan, *declared], "--set")
            else:
                swept = isinstance(value, list) and not declared[name].inner
                for table in tables.values():
                    table.pop(name, None)
                (grid if swept else fixed)[name] = value
        try:
            first = {
                name: values[0]
                for name, values in (grid | along).items()
                if isinstance(values, list) and values and not declared[name].inner
            }
            start = canonical(kind(), **fixed, **first)
            return cls(system=start, grid=grid, path=along, **plan)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _remade(
    system: System, grid: dict[str, Any], path: dict[str, Any], realizations: int, seed: int
) -> Study:
    return Study(system=system, grid=grid, path=path, realizations=realizations, seed=seed)


def _whole(name: str, value: Any, least: int) -> int:
    """Give a whole number of at least `least`, whatever its type."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number < 2**63:
        raise InputError(f"{name} = {value!r}: expected a whole number of {least} or more.")
    return number


def check_size(grid: Mapping[str, Sequence[Any]], realizations: int) -> None:
    """Raise `InputError` for more tasks than can be handled."""
    points = math.prod(len(values) for values in grid.values())
    if points * realizations > MOST:
        raise InputError(
            f"{points} points with {realizations} realizations each are {points * realizations} "
            f"tasks; a study has {MOST} at most. Use a smaller grid, or fewer realizations."
        )


def checksum(system: System) -> str:
    """Checksum of the data set that a system requires, empty if it needs none."""
    source = required(system)
    return data.checksum(source) if source else ""


def _read(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    except (ValueError, RecursionError) as error:  # also of integers without end
        raise InputError(f"{path}: not a TOML file: {error}.") from error


def _kind(path: str | Path, name: Any, given: type[System] | None) -> type[System]:
    """Give the system that a study file names; one that is given must have that name."""
    if ":" in str(name):
        raise InputError(
            f"{path}: system = {name!r}: a study file never imports; give the place with "
            f"--system {name}, and only the name here."
        )
    if given is None:
        if name is None:
            raise unknown("system", "(none)", list(catalog.places()), str(path))
        try:
            return catalog.find(str(name))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    own = card(given).name
    if name is not None and str(name) != own:
        raise InputError(f"{path}: is for the system {name!r}; --system gives {own!r}.")
    return given


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _parse_change(change: str) -> tuple[str, Any]:
    name, separator, text = change.partition("=")
    name = name.strip().removeprefix("controls.").removeprefix("grid.")
    if not separator or not name:
        raise InputError(f"--set {change}: expected key=value.")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return name, text.strip()  # an unquoted text, as in dataset=mnist
    except (ValueError, RecursionError) as error:
        raise InputError(f"--set {name}: not a value: {error}.") from error
    if len(parsed) > 1:
        raise InputError(f"--set {change}: expected one key=value.")
    return name, parsed["value"]
