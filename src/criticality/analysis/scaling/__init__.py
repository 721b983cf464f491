"""Finite-size scaling of any observable of any system: collapse, evidence, crossings."""

from criticality.analysis.scaling.ansatz import (
    BKT,
    Algebraic,
    Crossover,
    Drift,
    Free,
    NoTransition,
)
from criticality.analysis.scaling.choices import Choice, choices
from criticality.analysis.scaling.crossings import crossings
from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.decision import Decision, decide
from criticality.analysis.scaling.evidence import (
    Comparison,
    compare,
    default_ansatze,
    required_sizes,
)
from criticality.analysis.scaling.fit import Fit, collapse, scan
from criticality.analysis.scaling.landscape import Landscape, landscape
from criticality.analysis.scaling.marginal import Marginal, marginal
from criticality.analysis.scaling.moments import binder, binder_curves
from criticality.analysis.scaling.threshold import power_law, window_scan

__all__ = [
    "BKT",
    "Algebraic",
    "Choice",
    "Comparison",
    "Crossover",
    "Decision",
    "Drift",
    "Fit",
    "Free",
    "Landscape",
    "Marginal",
    "NoTransition",
    "ScalingData",
    "binder",
    "binder_curves",
    "choices",
    "collapse",
    "compare",
    "crossings",
    "decide",
    "default_ansatze",
    "landscape",
    "marginal",
    "power_law",
    "required_sizes",
    "scan",
    "window_scan",
]
