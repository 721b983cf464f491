"""The nouns, free of jax: stored numbers are analysed without the tensor stack."""

from __future__ import annotations

from criticality.base.controls import (
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
)
from criticality.base.errors import DataError, InputError, RunError, unknown
from criticality.base.numbers import Estimate, Flag, flagged, with_error
from criticality.base.phases import UNRESOLVED, Phase, Rule

__all__ = [
    "UNRESOLVED",
    "Axis",
    "DataError",
    "Estimate",
    "Flag",
    "InputError",
    "Observable",
    "Phase",
    "Rule",
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
    "unknown",
    "with_error",
]
