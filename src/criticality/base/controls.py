"""The nouns: control, axis, observable, system, task, and the three errors.

Free of jax, so that stored numbers can be analysed without the tensor stack.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from criticality.base.errors import InputError, unknown

LARGEST = {int: 2**31 - 1, float: 3.0e38}
SMALLEST = 1.2e-38
FILE = "file:"  # how a source that is a file begins


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A control parameter.

    Attributes
    ----------
    name, symbol, unit
        As in tables, figures and stored attributes; unit "1" is dimensionless.
    doc
        One line for people.
    interval
        Allowed values of a number, written as in mathematics: "[0, 1)", "[1, inf)".
    choices
        Allowed values of a text.
    files
        Whether such a text may also be "file:PATH".
    inner
        Swept inside one realization (evaluation dropout); an outer axis needs a new one.
    static
        Fixes the shape of the computation, so that another value is another compilation.
    """

    name: str
    symbol: str
    unit: str
    doc: str
    interval: str = "(-inf, inf)"
    choices: tuple[str, ...] = ()
    files: bool = False
    inner: bool = False
    static: bool = False

    def admits(self, value: float) -> bool:
        """Whether a number lies in the interval (NaN never does)."""
        low, high = (float(end) for end in self.interval[1:-1].split(","))
        above = operator.ge if self.interval[0] == "[" else operator.gt
        below = operator.le if self.interval[-1] == "]" else operator.lt
        return bool(above(value, low) and below(value, high))


@dataclass(frozen=True, kw_only=True)
class Observable:
    """A measured quantity: its name, inner dimensions, unit and one line for people."""

    name: str
    dims: tuple[str, ...]
    unit: str
    doc: str


class System(Protocol):
    """A physical system: a frozen dataclass of controls and four functions for ONE realization.

    Fields are declared with `control`.  Inside the four functions the controls that are not
    static are traced scalars; the engine decides how to map a realization over many.
    `data` is the data set's arrays, or an empty mapping.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    source: ClassVar[str]
    observables: ClassVar[tuple[Observable, ...]]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def tiny(cls) -> System:
        """Give a preset that runs in seconds; the contract tests use it."""

    def validate(self) -> None:
        """Raise `InputError` for values that each are allowed but not together."""

    def inner(self) -> Mapping[str, Sequence[float]]:
        """Coordinates of the inner dimensions, in the order in which observables have them."""

    def work(self) -> float:
        """Estimated arithmetic of one realization in FLOP; a guess where training stops early."""

    def requires(self) -> str | None:
        """Source of `data`, as `criticality.data.load` takes it; no such method: no data."""

    def begin(self, key: Any, data: Any) -> Any:
        """State of a new realization."""

    def advance(self, state: Any, data: Any) -> Any:
        """State one unit of work later: an epoch, a pruning level, a block of sweeps."""

    def finished(self, state: Any) -> Any:
        """Whether there is nothing left to advance (boolean scalar)."""

    def observe(self, state: Any, data: Any) -> dict[str, Any]:
        """Measure every observable in its declared dimensions."""


def control(
    default: Any,
    *,
    symbol: str,
    doc: str,
    unit: str = "1",
    interval: str = "(-inf, inf)",
    choices: tuple[str, ...] = (),
    files: bool = False,
    inner: bool = False,
    static: bool = False,
) -> Any:
    """Declare a dataclass field that is a control parameter; arguments as in `Axis`."""
    axis = {
        "symbol": symbol,
        "doc": doc,
        "unit": unit,
        "interval": interval,
        "choices": choices,
        "files": files,
        "inner": inner,
        "static": static or inner,
    }
    return dataclasses.field(default=default, metadata={"axis": axis})


def axes(system: System | type[System]) -> dict[str, Axis]:
    """Control parameters of a system (class or instance), by name."""
    return {
        f.name: Axis(name=f.name, **f.metadata["axis"])
        for f in dataclasses.fields(system)
        if "axis" in f.metadata
    }


def controls(system: System) -> dict[str, Any]:
    """Values of all control parameters of a system, defaults included."""
    return {name: getattr(system, name) for name in axes(system)}


def required(system: System) -> str:
    """Source of the data that a system requires, "" if none."""
    requires = getattr(system, "requires", None)
    return (requires() if requires else None) or ""


def coerced(system: System, name: str, value: Any) -> Any:
    """Bring a control's value to its one canonical form, so that 0 and 0.0 name the same task.

    Raises
    ------
    InputError
        For an unknown control, or a value of the wrong type or outside what is allowed.
    """
    declared = axes(system)
    if name not in declared:
        raise unknown("control", name, declared, type(system).name)
    return _coerce(declared[name], type(system.__dataclass_fields__[name].default), value)


def _coerce(axis: Axis, kind: type, value: Any) -> Any:
    if kind is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise InputError(f"{axis.name} = {value!r}: expected a list of numbers.")
        values = tuple(_coerce(axis, float, v) for v in value)
        if not values or len(set(values)) < len(values):
            raise InputError(f"{axis.name} = {list(values)}: expected distinct values, at least 1.")
        return tuple(sorted(values))
    if kind in (bool, str):
        if not isinstance(value, kind):
            word = "true or false" if kind is bool else "a text"
            raise InputError(f"{axis.name} = {value!r}: expected {word}.")
        own = axis.files and str(value).startswith(FILE)
        if axis.choices and value not in axis.choices and not own:
            allowed = (*axis.choices, f"{FILE}PATH") if axis.files else axis.choices
            raise unknown(f"value for {axis.name}:", str(value), allowed)
        return value
    word = "a whole number" if kind is int else "a number"
    expected = InputError(f"{axis.name} = {value!r}: expected {word} in {axis.interval}.")
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise expected
    try:
        number = float(value)
    except OverflowError:
        raise expected from None
    if not axis.admits(number) or (kind is int and not number.is_integer()):
        raise expected
    # networks compute in 32 bits
    if abs(number) > LARGEST[kind] or (kind is float and 0 < abs(number) < SMALLEST):
        raise InputError(f"{axis.name} = {value!r}: beyond what 32 bits hold.")
    return kind(value)


def canonical(system: System, /, **changes: Any) -> System:
    """Give the system with `changes` made, every control checked and in canonical form.

    Raises
    ------
    InputError
        For an unknown control, a value that is not allowed, or values that are not together.
    """
    values = controls(system) | changes
    checked = {name: coerced(system, name, value) for name, value in values.items()}
    result = dataclasses.replace(system, **checked)
    result.validate()
    return result


def digest(content: Mapping[str, Any]) -> str:
    """sha256 (hex) of canonical JSON: sorted keys, no spaces, shortest round-trip floats."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Task:
    """One realization to be computed.

    Attributes
    ----------
    system
        In canonical form.
    seed
        Of the study.
    realization
        Number of the independent run, from 0.
    checksum
        Of the data set, empty when the system needs none.
    """

    system: System
    seed: int
    realization: int
    checksum: str

    @property
    def lineage(self) -> str:
        """Digest that fixes the randomness: seed, realization and the outer control values."""
        declared = axes(self.system)
        outer = {k: v for k, v in controls(self.system).items() if not declared[k].inner}
        return digest({"seed": self.seed, "realization": self.realization, "controls": outer})

    @property
    def key(self) -> str:
        """Digest of all that the result depends on; names the file in the store."""
        return digest(
            {
                "system": type(self.system).name,
                "version": type(self.system).version,
                "controls": controls(self.system),
                "seed": self.seed,
                "realization": self.realization,
                "data": self.checksum,
            }
        )
