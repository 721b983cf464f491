"""The nouns, free of jax: stored numbers are analysed without the tensor stack."""

from __future__ import annotations

from criticality.base import html
from criticality.base.card import Card, Derived, Observable, Reference
from criticality.base.controls import (
    FILE,
    OWN,
    TABLE,
    Axis,
    Scale,
    axes,
    canonical,
    coerced,
    control,
    controls,
    default,
    like,
    meant,
    stated,
)
from criticality.base.errors import DataError, InputError, RunError, reason, unknown
from criticality.base.numbers import Estimate, Flag, finite, flagged, with_error
from criticality.base.phases import COLOURS, UNRESOLVED, Phase, Rule, of_each, probability_name
from criticality.base.search import Search
from criticality.base.system import (
    STATE_MACHINE,
    System,
    card,
    inner,
    notes,
    plain,
    required,
    system,
    tiny,
    work,
)
from criticality.base.task import Task, digest

__all__ = [
    "COLOURS",
    "FILE",
    "OWN",
    "STATE_MACHINE",
    "TABLE",
    "UNRESOLVED",
    "Axis",
    "Card",
    "DataError",
    "Derived",
    "Estimate",
    "Flag",
    "InputError",
    "Observable",
    "Phase",
    "Reference",
    "Rule",
    "RunError",
    "Scale",
    "Search",
    "System",
    "Task",
    "axes",
    "canonical",
    "card",
    "coerced",
    "control",
    "controls",
    "default",
    "digest",
    "finite",
    "flagged",
    "html",
    "inner",
    "like",
    "meant",
    "notes",
    "of_each",
    "plain",
    "probability_name",
    "reason",
    "required",
    "stated",
    "system",
    "tiny",
    "unknown",
    "with_error",
    "work",
]
