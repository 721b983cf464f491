"""The breakdown of a network under pruning: where it is, and its critical exponents.

Pesce, He and Caldarelli, Eqs. (3) and (4): accuracy and prediction entropy against the distance of
the density of remaining edges from its critical value.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from criticality import data
from criticality.analysis import thresholds
from criticality.analysis.critical import CriticalPoint, CriticalPoints, Wording
from criticality.analysis.thresholds import Options, OrderParameter
from criticality.base import DataError, Flag, InputError, unknown

if TYPE_CHECKING:
    from criticality.figures.book import Source

Name = Literal["accuracy", "prediction_entropy"]
OBSERVABLES: tuple[Name, ...] = ("accuracy", "prediction_entropy")
NEEDED = ("density", "live_units", *OBSERVABLES)
INNER = (
    "realization", "step", "layer", "unit_layer", "part", "snapshot", "weight", "topology", "epoch"
)  # fmt: skip
CONSTANT = 0.01  # nat: prediction entropy below which all is one class
LEAST = 0.05  # dense network above chance, below which there is nothing to lose
WORDING = Wording(
    heading="densities in percent of the edges; errors in the last digits, from resampled networks",
    symbol="rho_c",
    factor=100.0,
    realization="network",
)


def opened(source: Source, *observables: str) -> xr.Dataset:
    """Observables of a store over all of their inner axes, and realizations.

    Raises
    ------
    InputError
        If one value of an inner axis was selected.
    """
    ds = source.open(*observables)
    wanted = {dim for name in observables for dim in source.card.observable(name).dims}
    for dim in sorted(wanted - set(ds.dims)):
        outer = [str(name) for name in ds.dims if name not in INNER]
        raise unknown("axis", dim, [*outer, "realization"], "--select")
    return ds


def outer_points(ds: xr.Dataset) -> list[tuple[dict[str, Any], xr.Dataset]]:
    """Give the values of the outer axes, and the data, of every point that was computed."""
    return thresholds.points_of(ds, "accuracy", INNER)


def classes(ds: xr.Dataset) -> int | None:
    """Count the classes: outputs of the dense network, or what its data set has.

    None where neither is known.
    """
    if "live_units" in ds and "step" in ds["live_units"].dims:
        outputs = ds["live_units"].isel(step=0, unit_layer=-1)  # all are alive
        return int(outputs.max()) if outputs.notnull().any() else None
    fixed = json.loads(ds.attrs.get("controls", "{}"))
    try:
        return data.shape(fixed["dataset"]).classes
    except (KeyError, InputError, DataError):
        return None


def order_parameter(
    ds: xr.Dataset, observable: Name = "accuracy", offset: float | None = None
) -> OrderParameter:
    """Observable minus its value where the network gives one answer to everything.

    Parameters
    ----------
    ds
        `NEEDED` (realization, step) of one outer point.  Realizations that are not whole are left
        out.
    observable
        "accuracy" or "prediction_entropy".
    offset
        By default 0 for the entropy.  For the accuracy it is the mean over all steps whose
        predictions fall into one class: the share of a class in the test set, which one differs
        from network to network (0.1135 if always the most frequent one of MNIST, 0.1 for
        balanced data).  If there is no such step, one over the number of classes is assumed, with
        a flag.  One that is given is at least 0, and below 1 for the accuracy.

    Raises
    ------
    InputError
        For another observable, one that is missing, dims that are left over, or such an offset.
    """
    if observable not in OBSERVABLES:
        raise unknown("observable", str(observable), OBSERVABLES, "order parameter")
    most = 1.0 if observable == "accuracy" else np.inf
    if offset is not None and not 0 <= offset < most:
        name = "chance" if observable == "accuracy" else "offset"
        raise InputError(f"{name} = {offset:g}: expected 0 <= {name} < {most:g}.")
    arrays = {}
    for name in ("density", *OBSERVABLES):
        if name not in ds:
            raise InputError(f"no observable {name!r} in the data: {', '.join(map(str, ds))}.")
        left = set(ds[name].dims) ^ {"realization", "step"}
        if left:
            names = ", ".join(sorted(map(str, left)))
            raise InputError(f"{name}: expected the axes realization and step; see to {names}.")
        arrays[name] = ds[name].transpose("realization", "step").values
    whole = np.all([np.isfinite(array).all(axis=1) for array in arrays.values()], axis=0)
    arrays = {name: array[whole] for name, array in arrays.items()}
    source = "given"
    if offset is None and observable == "prediction_entropy":
        offset, source = 0.0, "exact"
    elif offset is None:
        offset, source = _chance(ds, arrays["accuracy"], arrays["prediction_entropy"])
    doubt = Flag("offset assumed", "accuracy", "chance assumed")
    return OrderParameter(
        name=observable,
        along="density",
        control=arrays["density"],
        values=arrays[observable] - offset,
        offset=offset,
        source=source,
        scale="log",
        least=LEAST,
        doubts=(doubt,) if source == "assumed" else (),
    )


def _chance(ds: xr.Dataset, accuracy: np.ndarray, entropy: np.ndarray) -> tuple[float, str]:
    """Accuracy of one answer to everything, and where it is from."""
    means = [a[c].mean() for a, c in zip(accuracy, entropy < CONSTANT, strict=True) if c.any()]
    if means:
        return float(np.mean(means)), "measured"
    count = classes(ds)
    if count is None:
        raise InputError(
            "no network gives one answer to everything, and the number of classes is not known: "
            "give the accuracy of chance (--offset)."
        )
    return 1 / count, "assumed"


def critical_point(
    ds: xr.Dataset,
    observable: Name = "accuracy",
    *,
    offset: float | None = None,
    control_range: thresholds.Range = (None, None),
    **options: Any,
) -> CriticalPoint:
    """Critical density and exponent of one outer point.

    Parameters
    ----------
    ds, observable, offset
        As of `order_parameter`.
    control_range
        (least, greatest) density that is fitted, where it shall be another; 1 is the dense network.
    **options
        As of `thresholds.critical_point`.
    """
    low, high = control_range
    ends = 0 if low is None else low, 1 if high is None else high
    if any(end is not None and not 0 < end <= 1 for end in control_range) or not ends[0] < ends[1]:
        raise InputError(
            f"control_range = {control_range}: expected densities 0 < least < greatest <= 1."
        )
    order = order_parameter(ds, observable, offset)
    return thresholds.critical_point(order, control_range=control_range, **options)


def critical_points(
    ds: xr.Dataset, observables: tuple[Name, ...] = OBSERVABLES, **options: Any
) -> tuple[CriticalPoint, ...]:
    """Critical densities and exponents at all points of a study (`critical_point`)."""
    return tuple(
        critical_point(one, name, at=at, **options)
        for at, one in outer_points(ds)
        for name in observables
    )


def threshold(source: Source, options: Options) -> CriticalPoints:
    """Critical points of a store, as `criticality threshold` wants them.

    An offset that is given is that of the accuracy; the entropy has none.

    Raises
    ------
    InputError
        As `critical_point`.
    """
    wanted = options.observable
    if wanted not in ("", *OBSERVABLES):
        raise unknown("value for --observable:", wanted, OBSERVABLES)
    if wanted == "prediction_entropy" and options.offset is not None:
        raise InputError(f"--offset {options.offset:g}: is for the accuracy; the entropy has none.")
    names = tuple(name for name in OBSERVABLES if wanted in ("", name))
    points = outer_points(opened(source, *NEEDED))
    found = [
        critical_point(
            one,
            name,
            offset=options.offset if name == "accuracy" else None,
            at=at,
            **options.of_fit(),
        )
        for at, one in points
        for name in names
    ]
    return CriticalPoints(tuple(found), WORDING)
