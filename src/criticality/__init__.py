"""Criticality: a laboratory for phase transitions in neural networks.

Importing it loads neither jax nor anything else that is heavy; each name does when first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from criticality.analysis.classify import PhaseDiagram
    from criticality.analysis.scaling import (
        BKT,
        Algebraic,
        NoTransition,
        ScalingData,
        collapse,
        compare,
        crossings,
        required_sizes,
    )
    from criticality.base import (
        Card,
        DataError,
        Estimate,
        Flag,
        InputError,
        Observable,
        Phase,
        Rule,
        RunError,
        Search,
        control,
        system,
    )
    from criticality.phases import phase_diagram
    from criticality.study import Store, Study
    from criticality.study.run import run

# XLA says, falsely and at length, that a program it kept for this very CPU may not run here
# [openxla/xla issue 44565]; what matters comes as an exception.  Read when jax is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_HOME = {
    "PhaseDiagram": "analysis.classify",
    "system": "base",
    "control": "base",
    "Rule": "base",
    "Phase": "base",
    "Search": "base",
    "Observable": "base",
    "Flag": "base",
    "Estimate": "base",
    "Card": "base",
    "BKT": "analysis.scaling",
    "Algebraic": "analysis.scaling",
    "DataError": "base",
    "InputError": "base",
    "NoTransition": "analysis.scaling",
    "RunError": "base",
    "ScalingData": "analysis.scaling",
    "Store": "study.store",
    "Study": "study.plan",
    "collapse": "analysis.scaling",
    "compare": "analysis.scaling",
    "crossings": "analysis.scaling",
    "phase_diagram": "phases",
    "required_sizes": "analysis.scaling",
    "run": "study.run",
}

__all__ = [
    "BKT",
    "Algebraic",
    "Card",
    "DataError",
    "Estimate",
    "Flag",
    "InputError",
    "NoTransition",
    "Observable",
    "Phase",
    "PhaseDiagram",
    "Rule",
    "RunError",
    "ScalingData",
    "Search",
    "Store",
    "Study",
    "collapse",
    "compare",
    "control",
    "crossings",
    "phase_diagram",
    "required_sizes",
    "run",
    "system",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
