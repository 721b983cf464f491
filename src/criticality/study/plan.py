"""A study: what is to be computed, and nothing about how."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from criticality import data
from criticality.base import (
    InputError,
    System,
    Task,
    axes,
    canonical,
    coerced,
    controls,
    required,
    unknown,
)

SECTIONS = ("system", "seed", "realizations", "controls", "grid")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A frozen plan: every point of an outer grid, realized several times.

    Attributes
    ----------
    system
        Holds the value of every control that is not swept.
    grid
        Outer axes to sweep: name -> values.  Empty for a single point.
    realizations
        Independent realizations of each point.
    seed
        Of the whole study.

    Raises
    ------
    InputError
        If any point of the grid is not allowed.
    """

    system: System
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    realizations: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Bring every value to its canonical form and check every point of the grid."""
        declared = axes(self.system)
        for name, value in (("realizations", self.realizations), ("seed", self.seed)):
            least = 1 if name == "realizations" else 0
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not least <= value < 2**63:
                raise InputError(f"{name} = {value!r}: expected a whole number of {least} or more.")
        grid: dict[str, tuple[Any, ...]] = {}
        for name, values in self.grid.items():
            if name not in declared:
                raise unknown("control", name, declared, f"grid of {type(self.system).name}")
            if declared[name].inner:
                raise InputError(
                    f"grid.{name}: an inner axis, swept inside every realization; "
                    f"put its list among the controls."
                )
            if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
                raise InputError(f"grid.{name} = {values!r}: expected a list of values.")
            listed = list(values)
            if not listed:
                raise InputError(f"grid.{name}: the list is empty; one value is the least.")
            grid[name] = tuple(sorted(coerced(self.system, name, value) for value in listed))
            if len(set(grid[name])) < len(grid[name]):
                raise InputError(f"grid.{name} = {listed}: a value occurs twice.")
        base = canonical(self.system, **{name: values[0] for name, values in grid.items()})
        object.__setattr__(self, "system", base)
        object.__setattr__(self, "grid", MappingProxyType(grid))
        self.systems()  # checks every point

    def systems(self) -> list[System]:
        """Points of the grid, the last axis varying fastest."""
        points = itertools.product(*self.grid.values())
        return [canonical(self.system, **dict(zip(self.grid, p, strict=True))) for p in points]

    def tasks(self) -> list[Task]:
        """One task for every point and realization."""
        return [
            Task(system=system, seed=self.seed, realization=r, checksum=checksum(system))
            for system in self.systems()
            for r in range(self.realizations)
        ]

    def plan(self) -> dict[str, Any]:
        """Give the plan as plain data, for the store's manifest."""
        return {
            "system": type(self.system).name,
            "version": type(self.system).version,
            "seed": self.seed,
            "realizations": self.realizations,
            "controls": _plain(controls(self.system)),
            "grid": _plain(self.grid),
        }

    @classmethod
    def from_toml(
        cls,
        path: str | Path,
        systems: Mapping[str, type[System]],
        changes: Sequence[str] = (),
    ) -> Study:
        """Read a study file.

        Parameters
        ----------
        path
            TOML with `system`, and optionally `seed`, `realizations`, `[controls]`, `[grid]`.
        systems
            Name -> class, as `criticality.systems.SYSTEMS`.
        changes
            "key=value" each: the value in TOML, a list for an outer control sweeps it.

        Raises
        ------
        InputError
            For anything that is not understood, naming file, key and what is allowed.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            content = tomllib.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}).") from error
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path}: not a TOML file: {error}.") from error
        for key in content:
            if key not in SECTIONS:
                raise unknown("key", key, SECTIONS, str(path))
        name = str(content.get("system", "(none)"))
        if name not in systems:
            raise unknown("system", name, list(systems), str(path))
        kind = systems[name]
        fixed, grid = content.get("controls", {}), content.get("grid", {})
        for name, table in (("controls", fixed), ("grid", grid)):
            if not isinstance(table, dict):
                raise InputError(f"{path}: [{name}] must be a table of control = value.")
        declared = axes(kind)
        for name in (*fixed, *grid):
            if name not in declared:
                raise unknown("control", name, declared, str(path))
        for name in set(fixed) & set(grid):
            raise InputError(f"{path}: {name} is both in [controls] and in [grid].")
        plan = {"seed": content.get("seed", 0), "realizations": content.get("realizations", 1)}
        for change in changes:
            name, value = _parse_change(change)
            if name in plan:
                plan[name] = value
            elif name not in declared:
                raise unknown("control", name, [*plan, *declared], "--set")
            else:
                swept = isinstance(value, list) and not declared[name].inner
                fixed.pop(name, None)
                grid.pop(name, None)
                (grid if swept else fixed)[name] = value
        try:
            first = {
                name: values[0]
                for name, values in grid.items()
                if isinstance(values, list) and values and not declared[name].inner
            }
            return cls(system=canonical(kind(), **fixed, **first), grid=grid, **plan)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def checksum(system: System) -> str:
    """Checksum of the data that a system requires, empty if it needs none."""
    source = required(system)
    return data.checksum(source) if source else ""


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
    if len(parsed) > 1:
        raise InputError(f"--set {change}: expected one key=value.")
    return name, parsed["value"]
