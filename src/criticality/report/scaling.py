"""Finite-size scaling of a few lines of the plane: as `collapse` and `compare` do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from criticality.analysis import scaling
from criticality.analysis.classify import PhaseDiagram, planes
from criticality.analysis.scaling.fit import Fit
from criticality.base import InputError
from criticality.results import Results

LINES = 3  # of the plane, each of which takes up to a minute
LEAST_SIZES = 3
LEAST_POINTS = 4  # of the control
POINTS = 400  # of all curves of a line, above which the fits take too long
LANDSCAPE = 40  # points a side
FORMS = ("algebraic", "bkt")


def lines(
    results: Results, diagrams: Sequence[PhaseDiagram], tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Collapse, landscape and verdict along the last axis of the plane, at a few other values."""
    told, ds = results.card, results.open()
    if not (told.plane and told.size and told.order[0] in ds):
        return []
    control, array = told.plane[-1], ds[told.order[0]]
    if not {control, told.size} <= {*map(str, array.dims)}:
        return []
    if array.sizes[told.size] < LEAST_SIZES or array.sizes[control] < LEAST_POINTS:
        return []
    found = []
    chosen, of = _chosen(results, diagrams, control)
    for number, at in enumerate(chosen, start=1):
        said = ", ".join(f"{name} = {value}" for name, value in at.items())
        tell(f"scaling {number} of {len(chosen)}{': ' * bool(said)}{said}")
        found.append({"at": at, "of": of} | _line(results, at))
    return found


def _chosen(
    results: Results, diagrams: Sequence[PhaseDiagram], control: str
) -> tuple[list[dict[str, Any]], int]:
    """Values of all other axes: those where a border was found first, then those in the middle."""
    told, ds = results.card, results.open()
    array = ds[told.order[0]]
    every = planes(array.to_dataset(), (control,), told.size, results.axes)
    inner = [
        d
        for d in map(str, array.dims)
        if d in results.axes
        and results.axes[d].inner
        and d not in (control, *told.repeated)
        and ds.sizes[d] > 1
    ]
    for name in inner:  # an inner axis besides: its middle
        middle = ds[name].values.tolist()[ds.sizes[name] // 2]
        every = [{**at, name: middle} for at in every]
    clean = [
        border.at
        for one in diagrams
        for border in one.boundaries
        if border.along == control and border.clean
    ]

    def rank(number: int) -> tuple[bool, float]:
        at = every[number]
        crossed = any(all(at.get(n, v) == v for n, v in border.items()) for border in clean)
        return not crossed, abs(number - (len(every) - 1) / 2) if not crossed else number

    order = sorted(range(len(every)), key=rank)
    crossed = [i for i in order if not rank(i)[0]]
    if len(crossed) > LINES:  # spread over all that have a border
        crossed = [crossed[i] for i in np.linspace(0, len(crossed) - 1, LINES).round().astype(int)]
        order = crossed
    return [every[i] for i in sorted(order[:LINES])], len(every)


def _line(results: Results, at: Mapping[str, Any]) -> dict[str, Any]:
    """Curves of several sizes, their collapse by each form, and which form they have."""
    try:
        data = results.curves(at=at)
        if len(data.mean) > POINTS:
            raise InputError(
                f"{len(data.mean)} points, above the {POINTS} that a report fits: use "
                f"`criticality compare` itself."
            )
        compared = scaling.compare(data, scaling.default_ansatze(data))
    except InputError as error:
        return {"note": str(error)}
    best: dict[str, Fit] = {}
    for fit in compared.fits:  # by descending evidence
        best.setdefault(fit.ansatz.family, fit)
    labels = data.labels or data.names
    return {
        "names": list(data.names),
        "labels": list(labels),
        "realizations": data.realizations,
        "curves": [
            {"size": c.size, "x": c.control, "y": c.mean, "error": c.error} for c in data.curves
        ],
        "collapse": {name: best[name].to_dict() for name in FORMS if name in best},
        "scaled": {
            name: [
                {"size": curve.size, "x": x, "y": y, "error": error}
                for curve, (x, y, error) in zip(data.curves, best[name].scaled(), strict=True)
            ]
            for name in FORMS
            if name in best
        },
        "landscape": {name: _landscape(best[name]) for name in FORMS if name in best},
        "compare": compared.to_dict(),
    }


def _landscape(fit: Fit) -> dict[str, Any] | None:
    """-ln posterior about a fit, over p_c and its exponent."""
    try:
        found = scaling.landscape(fit, points=LANDSCAPE)
    except InputError:  # as where p_c is given
        return None
    return {
        "p_c": found.p_c,
        "exponent": found.exponent,
        "values": np.round(found.values, 2),
        "exponent_name": found.exponent_name,
    }
