"""What a store holds, as far as it was asked for: what commands and reports read."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from criticality import catalog
from criticality.analysis.classify import PhaseDiagram, planes
from criticality.base import Card, InputError, meant, unknown
from criticality.phases import by_card
from criticality.study.store import Store

if TYPE_CHECKING:
    from criticality.analysis.scaling import ScalingData

MOST_AXES = 2  # of a plane
MOST_PLANES = 24


class Results:
    """What a store holds, as far as it was asked for.

    Attributes
    ----------
    card, axes
        What the system tells about itself: the installed one, or else what the store has kept.
    here
        Whether the system itself can be had, and its functions with it.
    done, total
        Tasks with a result, and all that were asked for, whatever was selected.

    Raises
    ------
    InputError
        If this is no store, or the choices are none.
    """

    def __init__(
        self,
        store: str | os.PathLike[str],
        select: Sequence[str] | None = None,
        system: str | None = None,
        plane: str | None = None,
    ) -> None:
        self.store = Store(store)
        self._plan = self.store.plan()
        self.card, self.axes, self.here = catalog.card_of(self.store, system)
        if plane is not None:
            self.card = _over(self.card, plane, [*self.axes, *self._inner()])
        self._points = [entry.point for entry in self.store.entries()[0]]
        self.done, self.total = len(self._points), self.store.total()
        self._choices: list[tuple[str, str]] = [
            choice.partition("=")[::2] for choice in select or []
        ]
        grid = self._plan["grid"]
        for name, text in self._choices:
            if name in grid:
                grid[name] = [meant("--select", name, text, grid[name])]

    @property
    def chosen(self) -> dict[str, str]:
        """Values that were selected, as they were given, by axis."""
        return dict(self._choices)

    def open(self, *observables: str) -> xr.Dataset:
        """Observables (all if none is named), and the derived quantities where they can be had.

        Axes of which one value was selected are dropped; so are outer axes of a single value, but
        those of the plane and of the size.

        Raises
        ------
        InputError
            As `Store.open`, or for a choice of no value, or of an axis that there is not.
        """
        return self._read(*observables) if observables else self._whole.copy()

    @functools.cached_property
    def _whole(self) -> xr.Dataset:
        return self._read()

    def _read(self, *observables: str) -> xr.Dataset:
        grid = self._plan["grid"]
        try:
            ds = self.store.open(self._plan, observables or None)
        except InputError as error:
            swept = ", ".join(name for name, values in grid.items() if len(values) > 1)
            there = any(all(p[n] in values for n, values in grid.items()) for p in self._points)
            if swept and there:
                raise InputError(
                    f"{error} Use --select AXIS=VALUE with one of: {swept}."
                ) from error
            if self._points and not there and self._choices:
                said = " ".join(f"--select {name}={text}" for name, text in self._choices)
                raise InputError(
                    f"{said}: nothing was measured there; expected values that were measured "
                    f"together."
                ) from error
            raise
        free = [str(dim) for dim in ds.dims]
        for name, text in self._choices:
            if name in free and name not in grid:
                value = meant("--select", name, text, ds[name].values)
                at = [i for i, there in enumerate(ds[name].values) if there == value]
                if len(at) > 1:
                    raise InputError(
                        f"--select {name}={text}: {name} has this value {len(at)} times, in an "
                        f"order that matters; choose one in Python: ds.isel({name}={at[0]})."
                    )
                ds = ds.isel({name: at})
            elif name not in free and name not in self._inner():
                raise unknown("axis", name, free, "--select")
        chosen = {name for name, _ in self._choices}
        kept = {*self.card.plane, self.card.size, *self._inner()}
        ds = ds.squeeze(
            [
                d
                for d, n in ds.sizes.items()
                if n == 1 and d != "realization" and (d in chosen or d not in kept)
            ]
        )
        found: xr.Dataset = catalog.described(
            ds, self.card, self.axes, self.here and not observables
        )
        return found

    def diagram(
        self,
        at: Mapping[str, Any] | None = None,
        *,
        sigmas: float = 2.0,
        draws: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> PhaseDiagram:
        """Phases over the plane, at these values of other axes; as `criticality.phase_diagram`.

        Raises
        ------
        InputError
            As `criticality.phase_diagram`, or for a value that was not measured.
        """
        return by_card(
            self._at(at),
            self.card,
            self.axes,
            self.here,
            sigmas=sigmas,
            draws=draws,
            level=level,
            seed=seed,
        )

    def _at(self, at: Mapping[str, Any] | None) -> xr.Dataset:
        """Open all at these values of axes."""
        ds = self.open()
        for name, value in (at or {}).items():
            if name not in ds.dims:
                raise unknown("axis", name, [str(dim) for dim in ds.dims], "at")
            ds = ds.sel({name: meant("at", name, str(value), ds[name].values)})
        return ds

    def diagrams(self, **options: Any) -> list[tuple[dict[str, Any], PhaseDiagram]]:
        """Phases over the plane, or over each of several if the study sweeps more than it.

        With the values of the other axes, a combination for each plane; options as of `diagram`.

        Raises
        ------
        InputError
            As `diagram`, or if there are more than `MOST_PLANES`.
        """
        try:
            return [({}, self.diagram(**options))]
        except InputError:
            every = planes(self.open(), self.card.plane, self.card.size, self.axes)
            if not every[0] or len(every) > MOST_PLANES:
                raise
        return [(at, self.diagram(at, **options)) for at in every]

    def curves(
        self,
        control: str | None = None,
        size: str | None = None,
        value: str | None = None,
        at: Mapping[str, Any] | None = None,
    ) -> ScalingData:
        """Curves of several sizes, at these values of other axes.

        By default of the first order parameter, along the last axis of the plane.

        Raises
        ------
        InputError
            If the card does not say which, or as `ScalingData.from_dataset`.
        """
        from criticality.analysis.scaling import ScalingData

        told = self.card
        usual = (told.plane[-1] if told.plane else "", told.size, told.order[0])
        asked = (control, size, value)
        along, by, of = (name or other for name, other in zip(asked, usual, strict=True))
        ds = self._at(at)
        if not (along and by and of):
            axes = ", ".join(str(dim) for dim in ds.dims if dim != "realization")
            raise InputError(
                f"{self.store.path}: {told.name} does not say which curves; give --control and "
                f"--size out of {axes}."
            )
        return ScalingData.from_dataset(ds, along, by, of, repeated=told.repeated)

    def _inner(self) -> set[str]:
        return {dim for observable in self.card.observables for dim in observable.dims}

    def function(self, name: str) -> Any:
        """Give a function that the card names, or None if it names none.

        Raises
        ------
        InputError
            If it cannot be had here.
        """
        named = getattr(self.card, name)
        if not named:
            return None
        if not self.here:
            raise InputError(
                f"{self.card.name}: its {name} ({named}) is not here; name the file that has it "
                f"with --system FILE.py:NAME."
            )
        return catalog.resolve(named)


def _over(told: Card, plane: str, axes: Sequence[str]) -> Card:
    """Give a card with another plane.

    Raises
    ------
    InputError
        For an axis that there is not, axes that are no plane, or phases that a function of the
        system decides.
    """
    names = tuple(name.strip() for name in plane.split(","))
    for name in names:
        if name not in axes:
            raise unknown("axis", name, sorted({*axes}), "--plane")
    if len({*names}) != len(names) or len(names) > MOST_AXES or told.size in names:
        size = f", and not {told.size}, the size" if told.size else ""
        raise InputError(f"--plane {plane}: expected one axis, or two different ones{size}.")
    if told.classify:
        raise InputError(
            f"--plane {plane}: the phases of {told.name} are decided over "
            f"{', '.join(told.plane)}, by a function of its own."
        )
    return dataclasses.replace(told, plane=names)
