"""Templates: systems that differ in traced controls only share them, and compiled programs.

All rates and sample sizes of a study, for instance.  No jax here: who hands work out groups it by
template.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np

from criticality.base import System, axes, card

Traced = dict[str, Any]  # a scalar array for each control that is not static
KINDS = {"float32": (np.int32, np.float32), "float64": (np.int64, np.float64)}


def split(system: System) -> tuple[System, Traced]:
    """Template with every traced control at its default, and the values of those controls."""
    names = [name for name, axis in axes(system).items() if not axis.static]
    fields = {f.name: f.default for f in dataclasses.fields(system)}
    form = dataclasses.replace(system, **{name: fields[name] for name in names})
    whole, other = KINDS[card(system).precision]
    kinds = {name: whole if isinstance(fields[name], int) else other for name in names}
    return form, {name: np.asarray(getattr(system, name), kinds[name]) for name in names}


def template(system: System) -> System:
    """Systems with equal templates share compiled programs."""
    return split(system)[0]


def model(system: System) -> Any:
    """Where the four functions are that take the system first: its class, or a module."""
    place = card(system).model
    return importlib.import_module(place) if place else type(system)
