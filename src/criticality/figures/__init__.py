"""Figures: (numbers, ax) -> Axes.  Nothing is fitted, saved or set globally here."""

from criticality.figures.panels import phase_panels
from criticality.figures.plane import doubted, phase_map, probability_maps, value_map
from criticality.figures.scaling import (
    choices,
    collapsed,
    curves,
    evidence,
    exponents,
    objective,
    residuals,
)
from criticality.figures.sizes import against, against_size

__all__ = [
    "against",
    "against_size",
    "choices",
    "collapsed",
    "curves",
    "doubted",
    "evidence",
    "exponents",
    "objective",
    "phase_map",
    "phase_panels",
    "probability_maps",
    "residuals",
    "value_map",
]
