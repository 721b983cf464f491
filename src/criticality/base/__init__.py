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
