"""Criticality: a laboratory for phase transitions in neural networks.

Importing it loads neither jax nor anything else that is heavy; each name does when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from criticality.analysis.phases import Thresholds, phase_diagram
    from criticality.base import DataError, InputError, RunError
    from criticality.study import Store, Study
    from criticality.study.run import run

_HOME = {
    "DataError": "base",
    "InputError": "base",
    "RunError": "base",
    "Store": "study.store",
    "Study": "study.plan",
    "Thresholds": "analysis.phases",
    "phase_diagram": "analysis.phases",
    "run": "study.run",
}

__all__ = [
    "DataError",
    "InputError",
    "RunError",
    "Store",
    "Study",
    "Thresholds",
    "phase_diagram",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
