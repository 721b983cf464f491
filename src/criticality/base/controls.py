"""Control parameters: how they are declared, checked, and brought to their one canonical form."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from criticality.base.errors import InputError, expect_texts, unknown

# of whole numbers and of others, and the least positive number, in 32 and in 64 bits
RANGES = {32: (2**31 - 1, 3.0e38, 1.2e-38), 64: (2**63 - 1, 1.7e308, 2.3e-308)}
Scale = Literal["linear", "log", "logit"]
FILE = "file:"  # before the path of a user's own data set
TABLE = "table:"  # before the path and the target column of a user's own table
OWN = (f"{FILE}PATH", f"{TABLE}PATH#COLUMN")  # as people are told


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A control parameter.

    Attributes
    ----------
    name, symbol, unit
        As in tables, figures and stored attributes; unit "1" is dimensionless.
    doc, label
        One line for people, and a few words for the axes of figures.
    interval
        Allowed values of a number, written as in mathematics: "[0, 1)", "[1, inf)".
    choices
        Allowed values of a text.
    inner
        Swept inside one realization (a field, a time); an outer axis needs a new one.
    static
        Fixes the shape of the computation, so that another value is another compilation.
    ordered
        Of an inner axis: values keep the order in which they are given, and may come again, as
        the temperatures of an annealing.  Others are sorted, and differ.
    shared
        Of an outer axis: its points share their random numbers, as the same disorder at every
        temperature.
    files
        Of a text: "file:PATH" and "table:PATH#COLUMN" are allowed beside the choices.
    scale
        In which steps of a number are alike: "logit", ln x/(1-x), is for shares between 0 and 1.
    before
        Of a control that came later: its value in the results that are older, of whose keys it is
        no part; None for one that was always there.
    """

    name: str
    symbol: str
    unit: str = "1"
    doc: str = ""
    interval: str = "(-inf, inf)"
    choices: tuple[str, ...] = ()
    inner: bool = False
    static: bool = False
    ordered: bool = False
    shared: bool = False
    files: bool = False
    label: str = ""
    scale: Scale = "linear"
    before: Any = None

    def __post_init__(self) -> None:
        """Raise `InputError` for what is no axis, as in a file that was changed."""
        expect_texts(self, "name", "symbol", "unit", "doc", "interval", "label")
        if self.scale not in get_args(Scale):
            raise unknown("scale", str(self.scale), get_args(Scale), f"control {self.name}")

    def ends(self) -> tuple[float, float]:
        """Least and greatest value of the interval, allowed or not.

        Raises
        ------
        ValueError
            If it is not written as in mathematics.
        """
        low, high = (float(end) for end in self.interval[1:-1].split(","))
        if self.interval[0] not in "[(" or self.interval[-1] not in "])" or not low <= high:
            raise ValueError(self.interval)
        return low, high

    def allowed(self) -> tuple[str, ...]:
        """Choices as people read them, with the forms of a user's own data."""
        return (*self.choices, *(OWN if self.files else ()))

    def admits(self, value: float) -> bool:
        """Whether a number lies in the interval (NaN never does)."""
        low, high = self.ends()
        above = operator.ge if self.interval[0] == "[" else operator.gt
        below = operator.le if self.interval[-1] == "]" else operator.lt
        return bool(above(value, low) and below(value, high))


def control(
    default: Any,
    *,
    symbol: str = "",
    doc: str = "",
    unit: str = "1",
    interval: str = "(-inf, inf)",
    choices: tuple[str, ...] = (),
    inner: bool = False,
    static: bool = False,
    ordered: bool = False,
    shared: bool = False,
    files: bool = False,
    label: str = "",
    scale: Scale = "linear",
    before: Any = None,
) -> Any:
    """Declare a dataclass field that is a control parameter; arguments as in `Axis`.

    Its type is that of the default: a number, a whole number, a text, true or false, or a tuple of
    numbers, which is an inner axis.

    Raises
    ------
    InputError
        For a default of another type, an interval that is none, or properties that exclude each
        other.
    """
    axis: dict[str, Any] = {
        "symbol": symbol,
        "doc": doc,
        "unit": unit,
        "interval": interval,
        "choices": choices,
        "inner": inner,
        "static": static or inner,
        "ordered": ordered,
        "shared": shared,
        "files": files,
        "label": label,
        "scale": scale,
        "before": before,
    }
    if not isinstance(default, bool | int | float | str | tuple):
        raise InputError(
            f"control({default!r}): expected a number, a text, true or false, or a tuple of "
            f"numbers."
        )
    if scale not in get_args(Scale):
        raise unknown("scale", scale, get_args(Scale), f"control({default!r})")
    known = Axis(name="", **axis)
    try:
        low, high = known.ends()
    except ValueError:
        raise InputError(
            f'interval {interval!r}: expected two numbers in brackets, as "[0, 1)" or "(0, inf)".'
        ) from None
    if (scale != "linear" and low < 0) or (scale == "logit" and high > 1):
        raise InputError(
            f"control({default!r}): scale = {scale!r} with values in {interval}: a logarithm is of "
            f"positive numbers, a logit of numbers between 0 and 1."
        )
    if isinstance(default, tuple) and not inner:
        raise InputError(f"control({default!r}): a list is an inner axis; say inner=True.")
    if isinstance(default, tuple) and not (
        default and all(isinstance(x, int | float) for x in default)
    ):
        raise InputError(f"control({default!r}): expected numbers, at least one.")
    if (ordered and not inner) or (shared and inner):
        raise InputError("a control is ordered only if it is inner, and shared only if it is not.")
    return dataclasses.field(default=default, metadata={"axis": axis})


def like(kind: type[Any], name: str, value: Any, **changes: Any) -> Any:
    """Declare the control `name` of another class again, with another default or description."""
    axis = kind.__dataclass_fields__[name].metadata["axis"]
    return control(value, **(axis | changes))


def axes(system: Any) -> dict[str, Axis]:
    """Control parameters of a system (class or instance), by name.

    Raises
    ------
    InputError
        For a field that is none: results would depend on it, and their names would not.
    """
    return dict(_axes(system if isinstance(system, type) else type(system)))


@cache  # asked for several times a task
def _axes(kind: type[Any]) -> dict[str, Axis]:
    found = {}
    for f in dataclasses.fields(kind):
        if "axis" not in f.metadata:
            raise InputError(
                f"field {f.name}: not declared with control(...), so it would be no part of what "
                f"names a result; declare it, or make it a ClassVar if it never changes."
            )
        found[f.name] = Axis(name=f.name, **{"symbol": f.name, **_said(f.metadata["axis"])})
    return found


def _said(axis: dict[str, Any]) -> dict[str, Any]:
    return axis if axis["symbol"] else {k: v for k, v in axis.items() if k != "symbol"}


def default(system: Any, name: str) -> Any:
    """Value of a control where none is given."""
    return system.__dataclass_fields__[name].default


def controls(system: Any) -> dict[str, Any]:
    """Values of all control parameters of a system, defaults included."""
    return {name: getattr(system, name) for name in axes(system)}


def coerced(system: Any, name: str, value: Any) -> Any:
    """Bring a control's value to its one canonical form, so that 0, 0.0 and -0.0 name one task.

    Raises
    ------
    InputError
        For an unknown control, or a value of the wrong type or outside what is allowed.
    """
    declared = axes(system)
    if name not in declared:
        raise unknown("control", name, declared, type(system).__name__)
    wide = hasattr(system, "compute") or system.card.precision == "float64"
    return _coerce(declared[name], type(default(system, name)), value, 64 if wide else 32)


def _coerce(axis: Axis, kind: type, value: Any, bits: int) -> Any:
    if kind is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise InputError(f"{axis.name} = {value!r}: expected a list of numbers.")
        values = tuple(_coerce(axis, float, v, bits) for v in value)
        if not values or (len(set(values)) < len(values) and not axis.ordered):
            raise InputError(f"{axis.name} = {list(values)}: expected distinct values, at least 1.")
        return values if axis.ordered else tuple(sorted(values))
    if kind in (bool, str):
        if not isinstance(value, kind):
            word = "true or false" if kind is bool else "a text"
            raise InputError(f"{axis.name} = {value!r}: expected {word}.")
        own = axis.files and str(value).startswith((FILE, TABLE))
        if axis.choices and value not in axis.choices and not own:
            raise unknown(f"value for {axis.name}:", str(value), axis.allowed())
        return value
    word = "a whole number" if kind is int else "a number"
    expected = InputError(f"{axis.name} = {value!r}: expected {word} in {axis.interval}.")
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise expected
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        raise expected from None
    if not axis.admits(number) or (kind is int and not number.is_integer()):
        raise expected
    most_whole, most, least = RANGES[bits]
    if abs(number) > (most_whole if kind is int else most) or (
        kind is float and 0 < abs(number) < least
    ):
        raise InputError(f"{axis.name} = {value!r}: beyond what {bits} bits hold.")
    return int(value) if kind is int else number + 0.0  # which has no negative zero


def stated(values: Mapping[str, Any], declared: Mapping[str, Axis]) -> dict[str, Any]:
    """Leave out of the controls those that came later and do what was done before."""
    earlier = {name: axis.before for name, axis in declared.items() if axis.before is not None}
    return {n: v for n, v in values.items() if n not in earlier or v != earlier[n]}


def canonical(system: Any, /, **changes: Any) -> Any:
    """Give the system with `changes` made, every control checked and in canonical form.

    Raises
    ------
    InputError
        For an unknown control, a value that is not allowed, or values that are not together.
    """
    values = controls(system) | changes
    checked = {name: coerced(system, name, value) for name, value in values.items()}
    result = dataclasses.replace(system, **checked)
    if hasattr(result, "validate"):
        result.validate()
    return result


def meant(option: str, name: str, text: str, values: Iterable[Any]) -> Any:
    """Find the value of an axis that a person means by a text; of a number, by three digits.

    Parameters
    ----------
    option
        Where the text was given, for the error.
    name, values
        The axis, and what it has.

    Raises
    ------
    InputError
        If none, or more than one, is meant.
    """
    listed = list(values)
    for value in listed:
        if str(value).lower() == text.lower():
            return value
    near = list(dict.fromkeys(value for value in listed if _same(value, text)))
    if len(near) == 1:
        return near[0]
    shown = ", ".join(map(str, listed))
    raise InputError(f"{option} {name}={text}: was not measured; {name} has the values {shown}.")


def _same(value: Any, text: str) -> bool:
    """Whether a number is what a person would write so, with three digits or more."""
    try:
        return math.isclose(float(value), float(text), rel_tol=1e-3, abs_tol=1e-12)
    except ValueError:
        return False
