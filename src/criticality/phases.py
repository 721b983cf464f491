"""The phases of any system: as its card says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from criticality import catalog
from criticality.analysis.classify import PhaseDiagram, by_rules
from criticality.analysis.shares import by_shares
from criticality.base import Axis, Card, InputError, System, axes, card, of_each


def phase_diagram(
    ds: xr.Dataset,
    system: type[System] | System | None = None,
    *,
    sigmas: float = 2.0,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PhaseDiagram:
    """Phase of every cell of a system's plane, and the borders between.

    Parameters
    ----------
    ds
        Results of a study, as `run` or `Store.open` gives them.
    system
        Which it is; by default the installed one of the name that is in the data.
    sigmas
        Standard errors that make a quantity significant.
    draws, seed
        Bootstrap resamplings, and their random seed.
    level
        Probability content of the intervals of borders.

    Raises
    ------
    InputError
        If the system declares no phases, or the data do not have its plane.
    """
    kind = catalog.find(str(ds.attrs.get("system", ""))) if system is None else system
    return by_card(
        ds, card(kind), axes(kind), True, sigmas=sigmas, draws=draws, level=level, seed=seed
    )


def by_card(
    ds: xr.Dataset,
    told: Card,
    declared: Mapping[str, Axis],
    here: bool,
    *,
    sigmas: float,
    draws: int,
    level: float,
    seed: int,
) -> PhaseDiagram:
    """As `phase_diagram`, of a card; `here` says whether the functions that it names can be had.

    Raises
    ------
    InputError
        As `phase_diagram`, or if a function is needed that cannot be had.
    """
    lacking = [
        f"{name} = {shown}"
        for name, shown in (("plane", '("x", "y")'), ("phases", "(Phase(...), ...)"))
        if not getattr(told, name)
    ]
    if not (told.rules or told.classify):
        lacking.append("rules = (Rule(...), ...), or a function classify")
    if lacking:
        raise InputError(
            f"{told.name} declares no phases: its card lacks {', and '.join(lacking)}."
        )
    options: dict[str, Any] = {"sigmas": sigmas, "draws": draws, "level": level, "seed": seed}
    if told.classify:
        if not here:
            raise InputError(
                f"{told.name}: what decides its phases ({told.classify}) is not here; name the "
                f"file that has it with --system FILE.py:NAME."
            )
        found: PhaseDiagram = catalog.resolve(told.classify)(ds, **options)
        return found
    how: dict[str, Any] = {
        "repeated": told.repeated,
        "censored": [o.name for o in told.observables if o.censored],
        "deterministic": told.deterministic,
    }
    grown = any(rule.of in ("exponent", "limit") for rule in told.rules)
    size = told.size if told.size and (grown or told.size in ds.dims) else None
    if of_each(told.rules, f"rules of {told.name}"):
        how |= {"observables": [o.name for o in told.observables], "sigmas": sigmas, "level": level}
        return by_shares(ds, told.phases, told.rules, told.plane, size, **how)
    how |= options | {"inner": [name for name, axis in declared.items() if axis.inner]}
    return by_rules(ds, told.phases, told.rules, told.plane, size, **how)
