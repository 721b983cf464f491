"""Plain systems: one Python call a realization, in NumPy, PyTorch or around an executable."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from criticality import keys
from criticality.base import RunError, System, Task, card, inner


def stream(
    tasks: Sequence[Task], data: Mapping[str, Any]
) -> Iterator[tuple[int, dict[str, np.ndarray[Any, Any]]]]:
    """Compute tasks one after another, and give place in `tasks` and observables of each.

    Raises
    ------
    RunError
        If what a system returns is not what it declares.
    """
    for number, task in enumerate(tasks):
        compute = task.system.compute  # type: ignore[attr-defined]
        yield number, checked(task.system, compute(keys.generator(task.lineage), data))


def checked(system: System, found: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Observables as arrays, if they are those that the system declares.

    Raises
    ------
    RunError
        If one is missing, is not declared, has another shape, or is not made of numbers.
    """
    told = card(system)
    if not isinstance(found, Mapping):
        kind = type(found).__name__
        raise RunError(f"returned {kind}; expected {{name of an observable: array}}.")
    declared = {observable.name: observable for observable in told.observables}
    for name in (*declared, *found):
        if name not in found or name not in declared:
            what = "is missing" if name in declared else "is not declared"
            raise RunError(
                f"{name!r} {what}; it declares {', '.join(declared)} and returned "
                f"{', '.join(map(str, found)) or 'nothing'}."
            )
    lengths = {dim: len(values) for dim, values in inner(system).items()}
    arrays = {}
    for name, observable in declared.items():
        array = np.asarray(found[name])
        if array.dtype == bool or array.dtype == np.float16:
            array = array.astype(np.float32)
        if array.dtype.kind not in "iuf":
            raise RunError(f"{name} is of type {array.dtype}; expected real numbers.")
        expected = tuple(lengths[dim] for dim in observable.dims)
        if array.shape != expected:
            dims = f" ({', '.join(observable.dims)})" if observable.dims else ""
            raise RunError(f"{name} has the shape {array.shape}; expected {expected}{dims}.")
        arrays[name] = array
    return arrays


def processor_lines(*starts: str) -> list[str]:
    """Lines of the system's description of its processors that begin so; none where there is no."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith(starts)]


def processor_name() -> str:
    """Model of the processor, for provenance."""
    named = processor_lines("model name")
    return named[0].partition(":")[2].strip() if named else platform.processor() or "unknown"
