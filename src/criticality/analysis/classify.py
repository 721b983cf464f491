"""Phases by rules: thresholds that quantities pass significantly, and the borders between."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binom, norm

from criticality.analysis import shown, stats
from criticality.analysis.boundaries import Boundary, boundaries
from criticality.analysis.exponents import REALIZATION, absent, averaged, exponents, says
from criticality.analysis.limits import limits
from criticality.analysis.stats import Array
from criticality.base import COLOURS, UNRESOLVED, Axis, InputError, Phase, Rule, of_each, unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseDiagram:
    """Phases over a plane of one or two axes.

    Attributes
    ----------
    cells
        Over the axes: `phase`, an int8 code, 0 for unresolved, then as in `phases` from 1; and the
        quantities that decided, with their errors.  Where every realization has its phase,
        `likely`, the code of most of them, and the probability of each phase: see `shares`.
    boundaries
        Between phases, along the axes.
    phases
        What the codes from 1 mean.
    method
        How it was made: thresholds, errors, numbers of realizations.
    """

    cells: xr.Dataset
    boundaries: tuple[Boundary, ...]
    phases: tuple[Phase, ...]
    method: dict[str, Any]

    def phase(self, code: int) -> Phase:
        """Give the phase behind a code."""
        return (UNRESOLVED, *self.phases)[code]

    def colours(self) -> list[str]:
        """Colours of the codes: that of the phase, or else the next one of `COLOURS`."""
        spare = itertools.cycle(COLOURS)
        return [phase.colour or next(spare) for phase in (UNRESOLVED, *self.phases)]

    def borders(self) -> pd.DataFrame:
        """Table of the borders: a row each."""
        return shown.table(self.boundaries)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        phases, lines = (UNRESOLVED, *self.phases), self.boundaries
        return shown.diagram(self.cells, self.measured, phases, self.colours(), lines, self.method)

    @property
    def measured(self) -> xr.DataArray:
        """Whether a cell has any number: a study along a path asks for few cells of a plane."""
        if "realizations" in self.cells:
            return self.cells["realizations"] > 0
        phase, found = self.cells["phase"], self.cells["phase"] != 0
        for array in self.cells.values():
            if array.dtype.kind == "f" and array.dims == phase.dims:
                found = found | array.notnull()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Give plain data: a row for every cell, the borders, and how it was made."""
        dims = [str(dim) for dim in self.cells["phase"].dims]
        table = self.cells.stack(cell=dims, create_index=False)
        names = [str(name) for name in table if table[name].dims == ("cell",)]
        rows = []
        for i in range(table.sizes["cell"]):
            one = {name: table[name].values[i] for name in (*dims, *names)}
            row = {name: value.item() for name, value in one.items()}
            coded = {name: row[name] for name in ("phase", "likely") if name in row}
            rows.append(row | {name: self.phase(code).name for name, code in coded.items()})
        return {
            "cells": rows,
            "boundaries": [border.to_dict() for border in self.boundaries],
            "method": self.method,
        }


def phase_attributes(phases: Sequence[Phase]) -> dict[str, Any]:
    """Attributes of an array of codes (CF conventions)."""
    names = [p.name for p in (UNRESOLVED, *phases)]
    return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}


def on_plane(
    ds: xr.Dataset, plane: Sequence[str], size: str | None, repeated: Collection[str] = ("pass",)
) -> xr.Dataset:
    """Bring data to the axes of a plane, a size and realizations.

    An axis of the plane that the study fixes, or of which one value was selected, is an axis of one
    value.

    Raises
    ------
    InputError
        If an axis is missing, or one is left over; it says which, and what to do.
    """
    fixed = json.loads(ds.attrs.get("controls", "{}"))
    for name in (n for n in plane if n not in ds.dims):
        if name in ds.coords:
            ds = ds.expand_dims(name)
        elif name in fixed:
            ds = ds.expand_dims({name: [fixed[name]]})
    if REALIZATION not in ds.dims:
        ds = ds.drop_vars(REALIZATION, errors="ignore").expand_dims(REALIZATION)
    wanted = [*plane, *([size] if size else []), REALIZATION]
    for name in wanted:
        if name not in ds.dims:
            raise InputError(absent(ds, name, f"phases need a grid over {', '.join(wanted)}"))
    for name in [str(d) for d in ds.dims if d not in (*wanted, *repeated)]:
        if ds.sizes[name] > 1:
            listed = ", ".join(str(v) for v in ds[name].values)
            raise InputError(
                f"the study also sweeps {name} ({listed}): choose one value, with "
                f"--select {name}=VALUE or ds.sel({name}=VALUE)."
            )
        ds = ds.isel({name: 0})
    return ds


def planes(
    ds: xr.Dataset, plane: Sequence[str], size: str | None, declared: Mapping[str, Axis]
) -> list[dict[str, Any]]:
    """Values of the other outer axes that are swept: a combination for each plane in the data.

    The last axis varies fastest; without any, one combination of nothing.  A study along a path
    measures few combinations: those without a number are left out, unless none has any.
    """
    kept = (*plane, size)
    outer = (str(d) for d in ds.dims if d in declared and not declared[str(d)].inner)
    others = [name for name in outer if name not in kept and ds.sizes[name] > 1]
    if not others:
        return [{}]
    there = np.zeros([ds.sizes[name] for name in others], bool)
    for array in ds.data_vars.values():
        if set(others) <= set(array.dims):
            rest = [dim for dim in array.dims if dim not in others]
            there |= array.notnull().any(rest).transpose(*others).values
    return [
        {name: ds[name].values.tolist()[i] for name, i in zip(others, at, strict=True)}
        for at in np.argwhere(there | ~there.any())
    ]


def values(
    ds: xr.Dataset,
    observable: str,
    *,
    repeated: Collection[str] = ("pass",),
    censored: bool | None = None,
    deterministic: bool | None = None,
    sigmas: float = 2.0,
    draws: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Mean over realizations of an observable at every point (median if it is censored).

    Whether it is censored, and the system deterministic, is by default what the data say.

    Returns
    -------
    xarray.Dataset
        Over the dimensions but realizations and repetitions: the observable, `_error` (standard
        error), `_dof` of it, `_low` and `_high`: the interval which the true value leaves on
        either side as rarely as a Gaussian leaves `sigmas` errors, by Student's distribution.
        Of a single realization, error and interval are NaN; so they are of a few that agree
        exactly, since half of all may differ, and none of n be seen as often as 2^-n.  A
        deterministic system has no error (NaN) either, but its value is known: both ends are it.

    Raises
    ------
    InputError
        If there is no such observable.
    """
    array = averaged(ds, observable, repeated, censored)
    censored = says(array.attrs, "censored", censored)
    deterministic = says(ds.attrs, "deterministic", deterministic)
    dims = [d for d in array.dims if d != REALIZATION]
    # in one memory layout, so that sums are rounded alike whatever the order of the axes
    samples = array.transpose(REALIZATION, *dims).values.astype(float, order="C")
    known = ~np.isnan(samples) if censored else np.isfinite(samples)
    number = known.sum(axis=0)
    middle = stats.centre(samples, censored=censored)
    dof = np.where(number > 1, number - 1.0, np.nan)
    quantile = stats.quantile_of_few(sigmas, dof)
    with np.errstate(invalid="ignore", divide="ignore"):
        if deterministic:
            low = high = middle
            error = dof = np.full(middle.shape, np.nan)
        elif censored:
            error, low, high = _of_medians(samples, known, middle, quantile, sigmas, draws, seed)
        else:
            deviation = np.where(known, samples - middle, 0.0)
            error = np.sqrt((deviation**2).sum(axis=0) / dof / number)
            least = np.where(known, samples, np.inf).min(axis=0)
            agree = least == np.where(known, samples, -np.inf).max(axis=0)
            chance = 0.5**number > norm.sf(sigmas)  # so few that it says little
            error = np.where(agree, np.where(chance, np.nan, 0.0), error)
            low, high = middle - quantile * error, middle + quantile * error
    found = {"": middle, "_error": error, "_dof": dof, "_low": low, "_high": high}
    return xr.Dataset(
        {f"{observable}{end}": (dims, column) for end, column in found.items()},
        coords={d: array[d] for d in dims},
    )


def _of_medians(
    samples: Array,
    known: np.ndarray[Any, np.dtype[np.bool_]],
    middle: Array,
    quantile: Array,
    sigmas: float,
    draws: int,
    seed: int,
) -> tuple[Array, Array, Array]:
    """Error and interval of medians by bootstrap; an end may be infinite."""
    error, low, high = (np.full(middle.shape, np.nan) for _ in range(3))
    tail = float(norm.sf(sigmas))
    for at in np.ndindex(*middle.shape):
        there = samples[(slice(None), *at)][known[(slice(None), *at)]]
        if len(there) < 2:
            continue
        rng = np.random.default_rng([seed, *at])
        drawn = stats.bootstrap_centres(there, draws, rng, censored=True)
        wide = stats.widening(len(there))
        ends = np.quantile(drawn, [tail, 1 - tail], method="nearest")
        if np.isfinite(middle[at]):
            error[at] = wide * float(stats.half_width(drawn))
            low[at], high[at] = middle[at] + wide * quantile[at] / sigmas * (ends - middle[at])
        else:  # no distance from infinity: the order statistic that is above it as rarely
            rank = int(binom.ppf(tail, len(there), 0.5))
            low[at], high[at] = np.sort(there)[rank - 1] if rank else -np.inf, np.inf
            error[at] = 0.0 if np.isinf(low[at]) and rank else np.inf
    return error, low, high


def by_rules(
    ds: xr.Dataset,
    phases: Sequence[Phase],
    rules: Sequence[Rule],
    plane: Sequence[str],
    size: str | None = None,
    *,
    sigmas: float = 2.0,
    inner: Collection[str] = (),
    repeated: Collection[str] = ("pass",),
    censored: Collection[str] = (),
    deterministic: bool | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PhaseDiagram:
    """Give every cell of a plane the one phase whose rules all hold significantly.

    None or several: unresolved.  Significant is a quantity beyond its threshold by more than
    chance gives as rarely as a Gaussian gives `sigmas` standard errors, on that side; for few
    realizations more of them, by Student's distribution.

    Parameters
    ----------
    ds
        Observables over the plane, realizations, and the size if there is one.
    phases, rules
        As declared; a phase without a rule is never given.
    plane
        Names of one or two axes.
    size
        Name of the size axis; "value" rules are judged at the largest.
    sigmas
        Standard errors that are significant.
    inner, repeated, deterministic, draws, seed
        As in `exponents`.
    censored
        Names of the observables in which +inf says "not within the budget", besides those of which
        the data say so.
    level
        Of the intervals of the boundaries.

    Returns
    -------
    PhaseDiagram
        Cells hold, besides `phase`, every quantity of the rules with `_error`, `_dof`, and `_low`
        and `_high`, which are compared with the thresholds: `NAME` for a value, `NAME_exponent`
        for an exponent, `NAME_limit` for a limit.  A boundary is where a quantity
        passes a threshold that is the upper end of one phase and the lower end of another; cells
        that are in a third phase are no part of it.

    Raises
    ------
    InputError
        If an axis or observable is missing or left over, or a rule cannot be judged.
    """
    check(ds, phases, rules, plane, size, sigmas)
    if of_each(rules, "rules"):
        raise InputError(
            "rules judge every single realization: expected others; such phases are found by "
            "analysis.shares.by_shares."
        )
    axes = {axis: ds[axis] for axis in (*plane, size) if axis in ds.coords}
    deterministic = says(ds.attrs, "deterministic", deterministic)
    used = ds[list(dict.fromkeys(rule.quantity for rule in rules))]
    ds = on_plane(used.assign_coords(axes), plane, size, repeated)
    options: dict[str, Any] = {"repeated": repeated, "deterministic": deterministic}
    options |= {"draws": draws, "seed": seed}
    last = ds.sortby(size).isel({size: -1}, drop=True) if size else ds
    tables, errors = [], []
    scatter = (
        "none: a deterministic system has no scatter"
        if deterministic
        else "standard errors over realizations (of medians: bootstrap)"
    )
    asked = dict.fromkeys((rule.quantity, rule.of, rule.correction) for rule in rules)
    for quantity, of, correction in asked:
        how = {**options, "censored": says(ds[quantity].attrs, "censored") or quantity in censored}
        if of == "value" or size is None:
            tables.append(values(last, quantity, sigmas=sigmas, **how))
            errors.append(scatter)
        elif of == "exponent":
            within = [axis for axis in inner if axis in plane]
            fit = exponents(ds, quantity, size, inner=within, **how)
            wide = stats.quantile_of_few(sigmas, fit["exponent_dof"].values) * fit["exponent_error"]
            ends = {"exponent_low": fit["exponent"] - wide, "exponent_high": fit["exponent"] + wide}
            tables.append(_after(quantity, "exponent", fit.assign(ends)))
            errors.append(fit.attrs["error_method"])
        else:
            means = values(ds, quantity, sigmas=sigmas, **how)
            fit = limits(means, quantity, size, correction=correction, sigmas=sigmas)
            tables.append(_after(quantity, "limit", fit))
            errors += [scatter, fit.attrs["error_method"]]
    said = "; ".join(dict.fromkeys(errors))
    method: dict[str, Any] = {"sigmas": sigmas, "level": level, "error_method": said}
    grid = xr.Dataset(coords={axis: ds[axis] for axis in plane})
    cells = xr.merge([*tables, grid], compat="equals", join="exact", combine_attrs="drop")
    cells = cells.broadcast_like(grid).transpose(*plane)
    cells["phase"] = (tuple(plane), codes(cells, phases, rules), phase_attributes(phases))
    method |= {"realizations": ds.sizes[REALIZATION], "rules": [words(rule) for rule in rules]}
    if size:
        method["sizes"] = np.sort(ds[size].values)
    return PhaseDiagram(
        cells=cells.assign_attrs(method),
        boundaries=_borders(
            cells, phases, rules, plane, level, ds.sizes[REALIZATION], deterministic
        ),
        phases=tuple(phases),
        method=method,
    )


def interpolated(line: Boundary) -> Boundary:
    """Say that all uncertainty of a border is interpolation; none is no error of zero."""
    method = "zero of the broken line; interval: interpolation alone, there is no scatter"
    error = line.estimate.error or math.nan
    return dataclasses.replace(
        line, estimate=dataclasses.replace(line.estimate, error=error, method=method)
    )


def _after(quantity: str, of: str, fit: xr.Dataset) -> xr.Dataset:
    """Name what `exponents` or `limits` gives after its quantity."""
    name = f"{quantity}_{of}"
    return fit.rename(
        {n: name + n.removeprefix(of) if n.startswith(of) else f"{name}_{n}" for n in map(str, fit)}
    )


def check(
    ds: xr.Dataset,
    phases: Sequence[Phase],
    rules: Sequence[Rule],
    plane: Sequence[str],
    size: str | None,
    sigmas: float,
) -> None:
    """Raise `InputError` for rules that these data or this plane cannot be judged by."""
    names = [phase.name for phase in phases]
    if not rules or not 1 <= len(plane) <= 2 or not sigmas > 0:
        raise InputError(
            f"{len(rules)} rules, {len(plane)} axes, sigmas = {sigmas}: expected at least one "
            f"rule, one or two axes, and a positive number of sigmas."
        )
    for rule in rules:
        if rule.phase not in names:
            raise unknown("phase", rule.phase, names, words(rule))
        if rule.quantity not in ds:
            raise unknown("observable", rule.quantity, [str(n) for n in ds], words(rule))
        if rule.of in ("exponent", "limit") and size is None:
            raise InputError(
                f"{words(rule)}: an exponent or a limit needs a size axis, and none is declared."
            )
        for other in rules:
            if (rule.quantity, rule.of, "limit") == (other.quantity, other.of, other.of) and (
                rule.correction != other.correction
            ):
                raise InputError(
                    f"{words(rule)}; {words(other)}: two limits of {rule.quantity}; give both "
                    f"rules one correction."
                )


def _name(rule: Rule) -> str:
    return f"{rule.quantity}_{rule.of}" if rule.of in ("exponent", "limit") else rule.quantity


def words(rule: Rule) -> str:
    """Say a rule."""
    ends = ((">", rule.above), ("<", rule.below))
    said = " and ".join(f"{sign} {end:g}" for sign, end in ends if end is not None)
    of = f" (line in size^-{rule.correction:g})" if rule.of == "limit" else ""
    return f"{rule.phase}: {_name(rule)}{of} {said}"


def codes(ends: Mapping[Any, xr.DataArray], phases: Sequence[Phase], rules: Sequence[Rule]) -> Any:
    """Codes of the phases, int8: of the only one whose rules all hold, or 0.

    `ends` has `NAME_low` and `NAME_high` of every quantity, all over the same dimensions in the
    same order.
    """
    holds: list[Any] = []
    for phase in phases:
        mine = [rule for rule in rules if rule.phase == phase.name]
        so: Any = np.bool_(bool(mine))
        for rule in mine:
            name = _name(rule)
            if rule.above is not None:
                so = so & (ends[f"{name}_low"].values > rule.above)
            if rule.below is not None:
                so = so & (ends[f"{name}_high"].values < rule.below)
        holds.append(so)
    every = np.stack(np.broadcast_arrays(*holds))
    return np.where(every.sum(axis=0) == 1, every.argmax(axis=0) + 1, 0).astype(np.int8)


def _borders(
    cells: xr.Dataset,
    phases: Sequence[Phase],
    rules: Sequence[Rule],
    plane: Sequence[str],
    level: float,
    n: int,
    deterministic: bool,
) -> tuple[Boundary, ...]:
    """Borders along every axis, of two phases that one threshold separates."""
    codes = {phase.name: code for code, phase in enumerate(phases, start=1)}
    found: list[Boundary] = []
    for under, over in itertools.product(rules, rules):
        name, threshold = _name(under), under.below
        if threshold is None or (name, threshold) != (_name(over), over.above):
            continue
        if under.phase == over.phase:
            continue
        mine = cells["phase"].isin([0, codes[under.phase], codes[over.phase]])
        table = cells[[name, f"{name}_error", f"{name}_dof"]].where(mine)
        sure = deterministic and under.of == over.of == "value"
        if sure:  # what is left is interpolation
            table = xr.Dataset({name: table[name], f"{name}_error": 0 * table[name]})
        for axis in plane:
            lines = boundaries(
                table,
                name,
                axis,
                threshold=threshold,
                level=level,
                between=(under.phase, over.phase),
                n=n,
            )
            if sure:
                lines = tuple(interpolated(line) for line in lines)
            # line by line: an ordered axis may have a value twice
            found += itertools.compress(lines, mine.any(axis).values.ravel())
    return tuple(found)
