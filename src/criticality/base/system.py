"""A system: a frozen dataclass of controls, with a card, written for ONE realization.

Two ways to write it:

- one plain function `compute(rng, data)`, in NumPy or anything else;
- four JAX functions `begin`, `advance`, `finished`, `observe`, a state machine that the engine
  maps, batches and checkpoints.

The rest has defaults, given by the functions of this module: what a class does not say is not asked
of it.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from criticality.base.card import Card, Observable
from criticality.base.controls import axes, controls
from criticality.base.errors import InputError

STATE_MACHINE = ("begin", "advance", "finished", "observe")


class System(Protocol):
    """What every system has: controls, declared with `control`, and a card.

    It may further have, each with the default of the function of this module that asks for it:

    - `tiny()`, class method: a preset that runs in seconds (all defaults)
    - `validate()`: raises `InputError` for values that each are allowed but not together
    - `notes()`: sentences about a point at which nothing is wrong, but which may not show what is
      looked for, as a size at which an effect cannot appear
    - `inner()`: coordinates of the inner dimensions, in the order in which observables have them
    - `work()`: estimated arithmetic of one realization in FLOP
    - `requires()`: the source of its data set

    and `compute`, or the four functions of `STATE_MACHINE`, as methods or in the card's `model`,
    where they take the system first.  There, controls that are not static are traced scalars.
    `data` holds the data set's arrays, or nothing.
    """

    card: ClassVar[Card]
    __dataclass_fields__: ClassVar[dict[str, Any]]


def card(system: System | type[System]) -> Card:
    """Card of a system (class or instance), with its name."""
    kind = system if isinstance(system, type) else type(system)
    told = getattr(kind, "card", None)
    if not isinstance(told, Card):
        raise InputError(
            f"{getattr(kind, '__name__', kind)}: not a system, it has no card; expected a frozen "
            f"dataclass with `card = Card(observables=...)`, or a function under @system(...)."
        )
    if told.name:
        return told
    named = dataclasses.replace(told, name=kind.__name__.lower())
    type.__setattr__(kind, "card", named)
    return named


def plain(system: System | type[System]) -> bool:
    """Whether it is one plain function, not a state machine in JAX."""
    return hasattr(system, "compute")


def inner(system: System) -> dict[str, Sequence[Any]]:
    """Coordinates of the inner dimensions; by default the values of its inner controls."""
    if hasattr(system, "inner"):
        return dict(system.inner())
    values = controls(system)
    return {name: values[name] for name, axis in axes(system).items() if axis.inner}


def work(system: System) -> float:
    """Estimated arithmetic of one realization in FLOP; 0 where nothing is known."""
    return float(system.work()) if hasattr(system, "work") else 0.0


def required(system: System) -> str:
    """Source of the data set of a system; empty if it needs none."""
    return str(system.requires() or "") if hasattr(system, "requires") else ""


def notes(system: System) -> tuple[str, ...]:
    """Sentences for people about this point; none by default."""
    told = system.notes() if hasattr(system, "notes") else ()
    return (told,) if isinstance(told, str) else tuple(map(str, told))


def tiny(kind: type[System]) -> System:
    """Preset that runs in seconds; by default all controls at their defaults."""
    preset: System = kind.tiny() if hasattr(kind, "tiny") else kind()
    return preset


def system(
    name: str = "", *, observables: Mapping[str, str] | Sequence[Observable], **about: Any
) -> Callable[[Any], Any]:
    """Make a system of a plain function, or of a class of controls.

    Parameters
    ----------
    name
        As of `Card`; by default that of the function or class.
    observables
        Name -> one line for people, of numbers, or `Observable` of whatever has dims or a unit.
    **about
        As of `Card`.

    Returns
    -------
    decorator
        Of a function (rng, control=control(...), ...) -> {observable: value}, where an argument
        `data` receives the arrays of the data set named by a control `dataset`; or of a class
        whose attributes are declared with `control`.

    Raises
    ------
    InputError
        For an argument that is no control.
    """
    declared = (
        tuple(Observable(name=key, doc=doc) for key, doc in observables.items())
        if isinstance(observables, Mapping)
        else tuple(observables)
    )

    def made(thing: Any) -> Any:
        told = Card(name=name or thing.__name__.lower(), observables=declared, **about)
        if isinstance(thing, type):
            kind: Any = dataclass(frozen=True, kw_only=True)(thing)
        else:
            kind = _of_function(thing)
        kind.card = told
        return kind

    return made


def _of_function(function: Callable[..., Any]) -> Any:
    """Class whose controls are the arguments of a function, and which computes it."""
    fields: list[tuple[str, Any, Any]] = []
    taken = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("rng", "data"):
            taken.append(parameter.name)
            continue
        default = parameter.default
        if not isinstance(default, dataclasses.Field) or "axis" not in default.metadata:
            raise InputError(
                f"{function.__name__}({parameter.name}): expected a control as default, as in "
                f"{parameter.name}=control(1.0)."
            )
        again = field(default=default.default, metadata=default.metadata)
        fields.append((parameter.name, type(default.default), again))

    def compute(self: Any, rng: Any, data: Any) -> Any:
        given = {"rng": rng, "data": data}
        values = {name: getattr(self, name) for name, _, _ in fields}
        return function(**{name: given[name] for name in taken}, **values)

    def requires(self: Any) -> str:
        return str(getattr(self, "dataset", "")) if "data" in taken else ""

    body = {
        "compute": compute,
        "requires": requires,
        "function": staticmethod(function),
        "__doc__": function.__doc__,
    }
    kind = dataclasses.make_dataclass(
        function.__name__, fields, frozen=True, kw_only=True, namespace=body
    )
    kind.__module__, kind.__qualname__ = function.__module__, function.__qualname__
    return kind
