"""The nouns, free of jax: stored numbers are analysed without the tensor stack."""

from __future__ import annotations

from criticality.base.controls import (
    FILE,
    Axis,
    Observable,
    System,
    Task,
    axes,
    canonical,
    coerced,
    control,
    controls,
    digest,
    required,
)
from criticality.base.errors import DataError, InputError, RunError, unknown
from criticality.base.numbers import Estimate, Flag, flagged, with_error

__all__ = [
    "FILE",
    "Axis",
    "DataError",
    "Estimate",
    "Flag",
    "InputError",
    "Observable",
    "RunError",
    "System",
    "Task",
    "axes",
    "canonical",
    "coerced",
    "control",
    "controls",
    "digest",
    "flagged",
    "required",
    "unknown",
    "with_error",
]
