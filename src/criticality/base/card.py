"""What a system tells about itself without being run.

The store keeps a card's data, so that results are read, drawn and classified where the system is
not installed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from criticality.base.errors import InputError, expect_texts, expect_tuples, unknown
from criticality.base.phases import UNRESOLVED, Phase, Rule, of_each, probability_name
from criticality.base.search import Search

Reference = str | Callable[..., Any]  # "package.module:name", or the thing itself
Precision = Literal["float32", "float64"]
PRECISIONS = ("float32", "float64")


@dataclass(frozen=True, kw_only=True)
class Observable:
    """A measured quantity.

    Attributes
    ----------
    name, unit, doc
        As in tables, figures and stored attributes; unit "1" is dimensionless.
    label
        A few words for the axes of figures; by default the name.
    dims
        Inner dimensions, in this order; none for one number a realization.
    censored
        +inf stands for "did not happen while we looked", as a first-passage time beyond the
        budget; means and errors are then those of the median.
    undefined
        NaN stands for "not defined in this realization", and is no sign of a failure.
    """

    name: str
    dims: tuple[str, ...] = ()
    unit: str = "1"
    doc: str = ""
    label: str = ""
    censored: bool = False
    undefined: bool = False

    def __post_init__(self) -> None:
        """Raise `InputError` for a name that no file can hold, or dimensions that are none."""
        expect_texts(self, "name", "unit", "doc", "label")
        expect_tuples(self, str, "dims")
        _check_name(self)
        if len(set(self.dims)) < len(self.dims):
            raise InputError(f"observable {self.name}: dims = {self.dims}: one occurs twice.")


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A quantity computed from stored observables.

    Attributes
    ----------
    name, unit, doc, label
        As of `Observable`.
    function
        Data set (`xarray.Dataset`) -> array with the dimension "realization".
    """

    name: str
    function: Reference
    unit: str = "1"
    doc: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        """Raise `InputError` for a name that no file can hold."""
        expect_texts(self, "name", "unit", "doc", "label")
        _check_name(self)


PARTS: dict[str, type[Any]] = {
    "observables": Observable,
    "phases": Phase,
    "rules": Rule,
    "derived": Derived,
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a system tells about itself; only observables must be given.

    Functions of stored numbers are given as "package.module:name", imported when they are used, or
    as they are.  None of them is needed to read a store.

    Attributes
    ----------
    observables
        What one realization gives.
    name
        In study files and stores; by default that of the class, in lower case.
    version
        Rises whenever the numbers change: stored results of another version are not used.
    source
        Paper, or whatever says what the system is.
    model
        Module with the functions of one realization, if they are not methods of the class; a card
        is read without it.
    plane
        One or two axes over which phases are mapped, the horizontal one first.
    size
        Axis of the system size.
    order
        Observables or derived quantities that tell the phases apart, the first above all; by
        default the first observable.
    repeated
        Inner dimensions that only repeat a measurement: averaged before anything else.
    phases, rules
        Names and colours of the phases, and what decides them, as plain data.
    classify
        Data set -> `analysis.classify.PhaseDiagram`, where rules do not suffice.
    threshold
        (source, options) -> critical points, where the power law near a threshold of the first
        order parameter along the last axis of the plane is not what is wanted; see
        `figures.book.Source`, `analysis.thresholds.Options` and `.CriticalPoints`.
    derived
        Further quantities.
    search
        How good values of controls are looked for.
    pages
        Figure pages of its own: (source, book, at) -> None, see `figures.book`.
    precision
        Of its numbers; "float64" where 32 bits do not suffice.
    deterministic
        Whether all realizations are the same: there is no scatter, and one of them is all.
    """

    observables: tuple[Observable, ...]
    name: str = ""
    version: int = 1
    source: str = ""
    model: str = ""
    plane: tuple[str, ...] = ()
    size: str = ""
    order: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    rules: tuple[Rule, ...] = ()
    classify: Reference = ""
    threshold: Reference = ""
    derived: tuple[Derived, ...] = ()
    search: Search | None = None
    pages: Reference = ""
    precision: Precision = "float32"
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Raise `InputError` for a card that contradicts itself."""
        expect_texts(self, "name", "source", "model", "size")
        expect_tuples(self, str, "plane", "order", "repeated")
        for field, kind in PARTS.items():
            expect_tuples(self, kind, field)
        if type(self.version) is not int or self.version < 1:
            raise InputError(
                f"card of {self.name or 'a system'}: version = {self.version!r}: expected a whole "
                f"number of 1 or more."
            )
        names = [o.name for o in self.observables]
        if not names:
            raise InputError(f"card of {self.name or 'a system'}: it has no observable.")
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS, f"card of {self.name}")
        if len(self.plane) > 2 or len({*self.plane, self.size}) <= len(self.plane):
            raise InputError(
                f"plane = {self.plane}, size = {self.size!r}: expected one axis or two, and "
                f"another for the size."
            )
        quantities = [*names, *(d.name for d in self.derived)]
        for what, those in (
            ("observables", quantities),
            ("phases", [UNRESOLVED.name, *(phase.name for phase in self.phases)]),
        ):
            if len(set(those)) < len(those):
                raise InputError(f"{what} of {self.name or 'a system'}: {those}: two of one name.")
        dims = [dim for observable in self.observables for dim in observable.dims]
        for dim in self.repeated:
            if dim not in dims:
                raise unknown("dimension", dim, dims, f"repeated of {self.name}")
        sought = (self.search.minimise, *self.search.show) if self.search else ()
        for name in (*self.order, *(rule.quantity for rule in self.rules), *sought):
            if name not in quantities:
                raise unknown("observable", name, quantities, f"card of {self.name}")
        phases = [phase.name for phase in self.phases]
        for rule in self.rules:
            if rule.phase not in phases:
                raise unknown("phase", rule.phase, phases, f"rules of {self.name}")
        if of_each(self.rules, f"rules of {self.name or 'a system'}"):
            columns = [probability_name(phase) for phase in (UNRESOLVED.name, *phases)]
            if len(set(columns)) < len(columns):
                raise InputError(
                    f"phases of {self.name or 'a system'}: {phases}: their probabilities are "
                    f"{columns}: two of one name; let them differ in letters or digits."
                )
        if not self.order:
            object.__setattr__(self, "order", (names[0],))

    def observable(self, name: str) -> Observable:
        """Observable or derived quantity of a name.

        Raises
        ------
        InputError
            If there is none.
        """
        for found in self.observables:
            if found.name == name:
                return found
        for derived in self.derived:
            if derived.name == name:
                return Observable(
                    name=name, unit=derived.unit, doc=derived.doc, label=derived.label
                )
        known = [*(o.name for o in self.observables), *(d.name for d in self.derived)]
        raise unknown("observable", name, known, self.name)

    def to_dict(self) -> dict[str, Any]:
        """Give plain data; functions become their names."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("classify", "threshold", "pages"):
            plain[name] = _named(plain[name])
        plain["derived"] = [vars(d) | {"function": _named(d.function)} for d in self.derived]
        for name in ("observables", "phases", "rules"):
            plain[name] = [dataclasses.asdict(part) for part in plain[name]]
        if self.search:
            plain["search"] = vars(self.search) | {"path": dict(self.search.path)}
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Card:
        """Give the card whose data these are; what this version does not know is left out."""
        known = {f.name for f in dataclasses.fields(cls)}
        content = {name: value for name, value in plain.items() if name in known}
        for name, kind in PARTS.items():
            parts = content.get(name, ())
            content[name] = tuple(_of(kind, part) for part in parts)
        for name in ("plane", "order", "repeated"):
            content[name] = tuple(content.get(name, ()))
        if content.get("search"):
            content["search"] = _of(Search, content["search"])
        return cls(**content)


def _check_name(quantity: Observable | Derived) -> None:
    if not quantity.name or "/" in quantity.name:
        raise InputError(
            f"{type(quantity).__name__}: name = {quantity.name!r}: expected a name without '/'."
        )


def _named(function: Reference) -> str:
    if isinstance(function, str):
        return function
    return f"{function.__module__}:{function.__qualname__}"


def _of(kind: type[Any], plain: Mapping[str, Any]) -> Any:
    known = {f.name for f in dataclasses.fields(kind)}
    content = {name: value for name, value in plain.items() if name in known}
    for name in ("dims", "show"):
        if name in content:
            content[name] = tuple(content[name])
    return kind(**content)
