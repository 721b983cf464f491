"""Where systems are found: built in, in installed packages, or in a user's own file.

A package offers its systems as entry points of the group `criticality.systems`; a user names one
as "package.module:NAME" or "path/to/file.py:NAME".  Neither a study file nor a store imports
anything by itself.
"""

from __future__ import annotations

import contextlib
import copyreg
import hashlib
import importlib
import importlib.metadata
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from criticality.base import (
    STATE_MACHINE,
    Axis,
    Card,
    InputError,
    Reference,
    System,
    axes,
    card,
    controls,
    plain,
    reason,
    unknown,
)
from criticality.systems import BUILT_IN

GROUP = "criticality.systems"
REALIZATION = "realization"
ASKED = ("tiny", "validate", "notes", "inner", "work", "requires", "compute", *STATE_MACHINE)
RESERVED = frozenset({REALIZATION, "card", *ASKED})  # no names of controls
OWN = "criticality_own_"  # how modules of users' own files are named


@dataclass(frozen=True)
class Origin:
    """A user's own file: where it was, its text, and which system in it is meant.

    It travels with the tasks, so that workers need no access to the file, and a file that is
    edited during a run changes nothing.
    """

    path: str
    text: str
    name: str

    @property
    def sha256(self) -> str:
        """Digest of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def places() -> dict[str, str]:
    """Name -> "package.module:NAME" of all systems that are installed."""
    found = dict(BUILT_IN)
    for point in importlib.metadata.entry_points(group=GROUP):
        found.setdefault(point.name, point.value)
    return found


def find(name: str) -> type[System]:
    """Give the system of a name, or at a place "package.module:NAME" or "file.py:NAME".

    Raises
    ------
    InputError
        If there is none, or it cannot be imported.
    """
    if ":" in name:
        return _at(name)
    known = places()
    if name not in known:
        raise InputError(f"{unknown('system', name, list(known))} Your own: --system FILE.py:NAME.")
    return _offered(name, known[name])


def installed() -> Iterator[tuple[str, type[System] | InputError]]:
    """All systems by name; of one that cannot be imported, why."""
    for name, place in places().items():
        try:
            yield name, _offered(name, place)
        except InputError as error:
            yield name, error


def _offered(name: str, place: str) -> type[System]:
    """Give what is installed under a name, which must be its own: stores know it by that."""
    kind = _at(place)
    if card(kind).name != name:
        raise InputError(
            f"{place}: is offered as {name!r} and calls itself {card(kind).name!r}; the entry "
            f"point must have the name of the card."
        )
    return kind


def origin(system: System | type[System]) -> Origin | None:
    """Give the file that a system was loaded from, if it was."""
    kind = system if isinstance(system, type) else type(system)
    found: Origin | None = kind.__dict__.get("_origin")
    return found


def place(kind: type[System]) -> str:
    """Where a system came from, in words; empty for one that is installed under its name."""
    own = origin(kind)
    if own is not None:
        return f"{Path(own.path).name}:{own.name}"
    name = card(kind).name
    with contextlib.suppress(InputError):
        if name in places() and find(name) is kind:
            return ""
    return f"{kind.__module__}:{kind.__qualname__}"


def source_sha256(system: System | type[System]) -> str:
    """Digest of the source that a system is written in, as far as it is known; else empty."""
    own = origin(system)
    if own is not None:
        return own.sha256
    kind = system if isinstance(system, type) else type(system)
    module = sys.modules.get(kind.__module__)
    path = getattr(module, "__file__", None)
    if path is None or kind.__module__.startswith("criticality."):
        return ""  # the package's own is told by its version and commit
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


def _at(place: str) -> type[System]:
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise InputError(f"{place}: expected package.module:NAME or FILE.py:NAME.")
    if where.endswith(".py"):
        return _from_file(where, name)
    try:
        module = importlib.import_module(where)
    except (Exception, SystemExit) as error:
        raise InputError(f"{place}: cannot be imported ({reason(error)}).") from error
    return _checked(module, name, place)


def _from_file(path: str, name: str) -> type[System]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    return _from_text(Origin(str(Path(path).absolute()), text, name))


@cache
def _from_text(own: Origin) -> type[System]:
    """Run the text of a file as a module of its own, once a process."""
    module = types.ModuleType(f"{OWN}{Path(own.path).stem}_{own.sha256[:12]}")
    module.__file__ = own.path
    beside = str(Path(own.path).parent)
    if beside not in sys.path:  # a file may import what stands beside it
        sys.path.append(beside)
    sys.modules[module.__name__] = module
    try:
        exec(compile(own.text, own.path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise InputError(f"{own.path}: cannot be run ({reason(error, own.path)}).") from error
    kind = _checked(module, own.name, f"{own.path}:{own.name}")
    type.__setattr__(kind, "_origin", own)
    copyreg.pickle(kind, _reduced)
    return kind


def own_fault(error: BaseException) -> str:
    """Say what went wrong in a user's own file, and in which line; empty if it was elsewhere."""
    own = {module.__file__ for name, module in sys.modules.items() if name.startswith(OWN)}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in own:
            return reason(error, frame.filename)
    return ""


def _reduced(system: System) -> tuple[Any, ...]:
    return _rebuilt, (origin(system), controls(system))


def _rebuilt(own: Origin, values: dict[str, Any]) -> System:
    return _from_text(own)(**values)


def _checked(module: Any, name: str, place: str) -> type[System]:
    """Give the system of a name in a module, if it is one."""
    kind = getattr(module, name, None)
    if kind is None:
        there = [key for key, value in vars(module).items() if hasattr(value, "card")]
        raise InputError(
            f"{place}: there is no {name}. Systems there: {', '.join(there) or 'none'}."
        )
    check(kind, place)
    found: type[System] = kind
    return found


def check(kind: Any, place: str) -> None:
    """Raise `InputError`, which names the place, for what is no system or contradicts itself."""
    frozen = getattr(kind, "__dataclass_params__", None)
    if not isinstance(kind, type) or frozen is None or not frozen.frozen:
        raise InputError(
            f"{place}: not a system; expected a class with a card under "
            f"@dataclass(frozen=True, kw_only=True), or a function under @system(...)."
        )
    told = card(kind)
    if not plain(kind) and not told.model:
        missing = [function for function in STATE_MACHINE if not hasattr(kind, function)]
        if missing:
            raise InputError(
                f"{place}: has no {', '.join(missing)}; a system has compute(rng, data), or "
                f"all of {', '.join(STATE_MACHINE)}."
            )
    declared = axes(kind)
    for name in RESERVED & declared.keys():
        raise InputError(f"{place}: a control cannot be named {name!r}: reserved.")
    coordinates = {*declared, *(dim for o in told.observables for dim in o.dims), REALIZATION}
    for name in (*(o.name for o in told.observables), *(d.name for d in told.derived)):
        if name in coordinates:
            raise InputError(
                f"{place}: an observable cannot be named {name!r}, as a control or dimension is."
            )
    if not hasattr(kind, "inner"):
        for observable in told.observables:
            for dim in observable.dims:
                if dim not in declared or not declared[dim].inner:
                    raise InputError(
                        f"{place}: {observable.name} has the dimension {dim!r}, which is no inner "
                        f"control; declare one, or a method inner() with its coordinates."
                    )
    for axis in (*told.plane, *([told.size] if told.size else [])):
        if axis not in declared:
            raise unknown("control", axis, list(declared), f"{place}: plane or size")


def resolve(reference: Reference) -> Any:
    """Give what a card names: "package.module:name", or the thing itself.

    Raises
    ------
    InputError
        If it is not there.
    """
    if not isinstance(reference, str):
        return reference
    where, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(where), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{reference}: cannot be had ({reason(error)}).") from error


def card_of(store: Any, place: str | None = None) -> tuple[Card, dict[str, Axis], bool]:
    """Card and controls of the system in a `study.Store`, and whether the system itself is here.

    A store runs nothing of its own accord: of a user's file that made it, its kept card is all,
    unless `place` names the file.

    Raises
    ------
    InputError
        If `place` is another system, or the store none.
    """
    plan = store.plan()
    name = plan["system"]
    if place is not None:
        kind = find(place)
        if card(kind).name != name:
            raise InputError(
                f"{store.path}: holds results of {name}; --system gives {card(kind).name}."
            )
        return card(kind), axes(kind), True
    told, declared = store.card()
    if name in places() and not store.own():
        kind = find(name)
        if card(kind).version == plan["version"]:
            return card(kind), axes(kind), True
    return told, declared, False


def described(ds: Any, told: Card, declared: Mapping[str, Axis], here: bool) -> Any:
    """Add to a data set derived quantities of a card, where they can be had, labels and scales."""
    for derived in told.derived if here else ():
        values = resolve(derived.function)(ds)
        if REALIZATION not in getattr(values, "dims", ()):
            raise InputError(
                f"{told.name}: derived quantity {derived.name}: its function gave "
                f"{type(values).__name__}; expected an xarray.DataArray with the dimension "
                f"{REALIZATION!r}."
            )
        about = {"units": derived.unit, "long_name": derived.doc}
        ds = ds.assign({derived.name: values.assign_attrs(about)})
    labels = {name: axis.label for name, axis in declared.items()}
    labels |= {observable.name: observable.label for observable in told.observables}
    labels |= {derived.name: derived.label for derived in told.derived}
    scales = {name: axis.scale for name, axis in declared.items() if axis.scale != "linear"}
    for attribute, texts in (("label", labels), ("scale", scales)):
        for name, text in texts.items():
            if text and name in ds.variables:
                ds[name].attrs[attribute] = text
    return ds
