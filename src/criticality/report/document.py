"""What a page shows, as plain data: the numbers of a store, as the commands give them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import is_color_like, to_hex

from criticality import catalog
from criticality.analysis import classify
from criticality.analysis.classify import PhaseDiagram
from criticality.analysis.exponents import REALIZATION, doubts, exponents
from criticality.analysis.thresholds import Options
from criticality.base import UNRESOLVED, Axis, InputError, finite
from criticality.figures.parts import COLOURS, label, positions, symbol
from criticality.report import provenance, words
from criticality.report.pack import Packed, packed
from criticality.report.scaling import lines
from criticality.results import Results
from criticality.study.status import status

MOST = 1_000_000  # means of an observable; what has more is left out
MOST_FITS = 20_000  # points whose power law is fitted
FITTED = 4  # order parameters
ENDS = ("_error", "_dof", "_low", "_high")
Tell = Callable[[str], None]


class Arrays:
    """Packed arrays of a document, to which the rest of it refers by number."""

    def __init__(self) -> None:
        self.packed: list[Packed] = []

    def add(self, values: Any, error: Any = 0.0) -> int:
        """Pack one, exactly but for a small part of these errors; give its number."""
        self.packed.append(packed(np.asarray(values, float), np.asarray(error, float)))
        return len(self.packed) - 1


def document(
    results: Results, *, scaling: bool = True, live: float | None = None, tell: Tell | None = None
) -> dict[str, Any]:
    """Gather all that a page shows of a store.

    Parameters
    ----------
    results
        The store, as far as it is asked for.
    scaling
        Whether finite-size scaling is done, which takes minutes.
    live
        Seconds after which the page is read again; None for one that is final.
    tell
        Is told what is being done.

    Raises
    ------
    InputError
        As `Results.open`.
    """
    tell = tell or (lambda text: None)
    told = results.card
    found = status(results.store)
    ds = results.open()
    tell("phases of the plane")
    arrays = Arrays()
    diagrams, why = _diagrams(results)
    plane = _plane(results, ds, diagrams)
    observables, left_out = _observables(results, ds, arrays)
    tell("power laws of the size")
    fits = _fits(results, ds, plane, arrays)
    axes = {
        str(dim): _axis(source, str(dim), results.axes)
        for source in (ds, *(one.cells for _, one in diagrams[:1]))
        for dim in source.dims
        if dim != REALIZATION
    }
    scaled = lines(results, [one for _, one in diagrams], tell) if scaling else []
    panels = [_panel(at, one, axes, arrays) for at, one in diagrams]
    made: dict[str, Any] = finite(
        {
            "format": 1,
            "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "live": live,
            "store": results.store.path.absolute().name,
            "select": results.chosen,
            "system": {
                "name": told.name,
                "version": told.version,
                "source": told.source,
                "doc": _doc(results),
                "here": results.here,
            },
            "sentence": words.sentence(results, found, diagrams, scaled),
            "status": provenance.digits(found.to_dict()),
            "axes": axes,
            "plane": plane,
            "size": told.size,
            "order": [name for name in told.order if name in ds],
            "phases": _phases(diagrams),
            "no_phases": why,
            "panels": panels,
            "quantities": _quantities(results, diagrams),
            "observables": observables,
            "fits": fits,
            "scaling": scaled,
            "threshold": _threshold(results, tell) if scaling else None,
            "left_out": left_out,
            "unresolved": words.unresolved(results, found, diagrams, scaled, why),
            "run": provenance.digits(provenance.run(results, found)),
            "arrays": arrays.packed,
        }
    )
    return made


def _doc(results: Results) -> str:
    """First sentence of what the system says of itself, where it is here."""
    if not results.here:
        return ""
    try:
        kind = catalog.find(results.card.name)
    except InputError:  # one's own
        return ""
    return (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").replace("`", "")


def _diagrams(
    results: Results,
) -> tuple[list[tuple[dict[str, Any], PhaseDiagram]], str]:
    """Phases of every plane, or why there are none."""
    told = results.card
    if not (told.phases and told.plane and (told.rules or told.classify)):
        return [], f"{told.name} declares no phases: shown is what was measured."
    try:
        return results.diagrams(), ""
    except InputError as error:
        return [], f"No phases here: {error}"


def _plane(
    results: Results, ds: xr.Dataset, diagrams: Sequence[tuple[Any, PhaseDiagram]]
) -> list[str]:
    """Axes over which everything is drawn: that of the phases, or what the order varies with."""
    if diagrams:
        dims = [str(dim) for dim in diagrams[0][1].cells["phase"].dims]
        cells = diagrams[0][1].cells
        several = [dim for dim in dims if cells.sizes[dim] > 1]
        return several or dims[:1]
    told = results.card
    swept = [dim for dim in map(str, ds.dims) if ds.sizes[dim] > 1]
    kept = {REALIZATION, told.size, *told.repeated}
    found = [dim for dim in told.plane if dim in swept]
    for name in (*told.order, *map(str, ds.data_vars)):
        if found or name not in ds:
            continue
        dims = [str(d) for d in ds[name].dims if d in swept and d not in kept]
        outer = [d for d in dims if d in results.axes and not results.axes[d].inner]
        numbers = [d for d in dims if ds[d].dtype.kind in "iuf"]
        swept_through = [d for d in numbers if d in results.axes and results.axes[d].ordered]
        found = swept_through[:1] or [d for d in outer if d in numbers][:2] or numbers[:1]
        found = found or outer[:2]
    return found or [told.size] * (told.size in swept)


def _axis(ds: xr.Dataset, name: str, declared: Mapping[str, Axis]) -> dict[str, Any]:
    """Tell all of an axis that drawing needs."""
    coordinate = ds[name]
    values = coordinate.values.tolist()
    numbers = coordinate.dtype.kind in "iuf"
    again = numbers and len(set(values)) < len(values)  # as a sweep up and down
    centres, edges = positions(xr.DataArray(list(map(str, values))) if again else coordinate)
    about = declared.get(name)
    return {
        "symbol": symbol(ds, name),
        "label": label(ds, name),
        "unit": str(coordinate.attrs.get("units", "1")),
        "doc": str(coordinate.attrs.get("long_name", "")),
        "scale": str(coordinate.attrs.get("scale", "linear")),
        "inner": about is None or about.inner,
        "numbers": numbers,
        "values": values,
        "centres": centres,
        "edges": edges,
    }


def _threshold(results: Results, tell: Tell) -> dict[str, Any] | None:
    """Give critical points where a system has a way of its own to find them; as `threshold`."""
    if not (results.card.threshold and results.here):
        return None
    tell("threshold")
    try:
        found = results.function("threshold")(results, Options())
    except InputError as error:
        return {"text": f"No critical point: {error}", "points": None}
    return {"text": str(found), "points": found.to_dict()}


def _observables(
    results: Results, ds: xr.Dataset, arrays: Arrays
) -> tuple[dict[str, Any], list[str]]:
    """Means over realizations with their errors, of all that was measured; what is left out."""
    told = results.card
    found: dict[str, Any] = {}
    left_out: list[str] = []
    for name in map(str, ds.data_vars):
        array = ds[name]
        kept = [d for d in map(str, array.dims) if d not in (REALIZATION, *told.repeated)]
        if array.dtype.kind not in "iufb":
            continue
        if np.prod([ds.sizes[d] for d in kept], dtype=float) > MOST:
            left_out.append(f"{name}: more than {MOST:,} numbers over {', '.join(kept)}")
            continue
        about = told.observable(name)
        means = classify.values(
            ds,
            name,
            repeated=told.repeated,
            censored=about.censored,
            deterministic=told.deterministic,
        )
        there = array.notnull().any([d for d in array.dims if d in told.repeated])
        number = there.sum(REALIZATION) if REALIZATION in array.dims else there.astype(int)
        dims, error = [str(d) for d in means[name].dims], means[f"{name}_error"]
        found[name] = {
            "label": about.label or name.replace("_", " "),
            "unit": about.unit,
            "doc": about.doc,
            "censored": about.censored,
            "dims": dims,
            "mean": arrays.add(means[name], error.where(error > 0)),
            "error": arrays.add(error, np.inf),
            "n": arrays.add(number.transpose(*dims)),
        }
    return found, left_out


def _fits(results: Results, ds: xr.Dataset, plane: Sequence[str], arrays: Arrays) -> dict[str, Any]:
    """Power laws of the order parameters in the size, at every point."""
    told = results.card
    found: dict[str, Any] = {}
    if not (told.size and ds.sizes.get(told.size, 1) > 1):
        return found
    within = [name for name, axis in results.axes.items() if axis.inner and name in plane]
    for name in told.order[:FITTED]:
        if name not in ds or told.size not in ds[name].dims:
            continue
        rest = [d for d in ds[name].dims if d not in (told.size, REALIZATION, *told.repeated)]
        if np.prod([ds.sizes[d] for d in rest], dtype=float) > MOST_FITS:
            continue
        try:
            fit = exponents(
                ds,
                name,
                told.size,
                inner=within,
                repeated=told.repeated,
                censored=told.observable(name).censored,
                deterministic=told.deterministic,
            )
        except InputError:
            continue
        if not fit["exponent"].notnull().any():
            continue
        texts: dict[str, int] = {}
        marks: list[list[int]] = []
        points = fit.stack(point=list(fit["exponent"].dims), create_index=False)
        for i in range(points.sizes["point"]):
            flags = doubts(points.isel(point=i), name)
            marks.append([texts.setdefault(str(flag), len(texts)) for flag in flags])
        found[name] = {
            "dims": [str(dim) for dim in fit["exponent"].dims],
            "exponent": arrays.add(fit["exponent"]),
            "error": arrays.add(fit["exponent_error"]),
            "log_amplitude": arrays.add(fit["log_amplitude"]),
            "fit_probability": arrays.add(fit["fit_probability"]),
            "flags": marks,
            "texts": list(texts),
            "method": fit.attrs["error_method"],
        }
    return found


def _phases(diagrams: Sequence[tuple[Any, PhaseDiagram]]) -> list[dict[str, str]]:
    """Phases by their codes, unresolved first, each with its colour."""
    if not diagrams:
        return []
    diagram = diagrams[0][1]
    return [
        {
            "name": phase.name,
            "letter": phase.letter,
            "colour": to_hex(colour if is_color_like(colour) else spare),  # it is any text
        }
        for phase, colour, spare in zip(
            (UNRESOLVED, *diagram.phases), diagram.colours(), itertools.cycle(COLOURS)
        )
    ]


def _panel(
    at: Mapping[str, Any], one: PhaseDiagram, axes: Mapping[str, Any], arrays: Arrays
) -> dict[str, Any]:
    """Give a phase diagram: its cells in columns, exactly; its borders, and how it was made."""
    cells = one.cells
    dims = [str(dim) for dim in cells["phase"].dims]
    columns = {}
    for name in map(str, cells.data_vars):
        array = cells[name]
        if set(array.dims) == set(dims):
            kind = {"b": "truth"}.get(array.dtype.kind, "number")
            kind = "phase" if name in ("phase", "likely") else kind
            columns[name] = {"kind": kind, "array": arrays.add(array.transpose(*dims))}
    return {
        "at": dict(at),
        "index": {name: axes[name]["values"].index(value) for name, value in at.items()},
        "dims": dims,
        "columns": columns,
        "measured": arrays.add(one.measured.transpose(*dims)),
        "boundaries": [border.to_dict() for border in one.boundaries],
        "places": [
            {name: axes[name]["values"].index(value) for name, value in border.at.items()}
            | border.index
            for border in one.boundaries
        ],
        "method": one.method,
    }


def _quantities(
    results: Results, diagrams: Sequence[tuple[Any, PhaseDiagram]]
) -> dict[str, dict[str, Any]]:
    """Numbers of cells by name, in words; what belongs to another is with it."""
    found: dict[str, dict[str, Any]] = {}
    for _, one in diagrams[:1]:
        names = [str(n) for n in one.cells.data_vars if n not in ("phase", "likely")]
        for name in names:
            base = next((name.removesuffix(end) for end in ENDS if name.endswith(end)), name)
            if base != name and base in names:
                continue
            about, size = one.cells[name].attrs, results.axes.get(results.card.size)
            sign = size.symbol if size else ""
            of, what = words.belongs(name, next(iter(found), ""))
            found[name] = {
                "title": what if of in names else words.title(name, results.card, one.method, sign),
                "of": of if of in names else "",
                "meanings": str(about.get("flag_meanings", "")).split(),
                "doc": str(about.get("long_name", "")),
                "truth": one.cells[name].dtype.kind == "b",
                "with": [end for end in ENDS if f"{name}{end}" in names],
            }
    return found
