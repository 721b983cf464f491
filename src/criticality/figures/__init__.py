"""Figures: (numbers, ax) -> Axes.  Nothing is fitted, saved or set globally here.

Figure numbers are those of Pan, Aggarwal and Pixley; in `pruning` and `topology`, of Pesce, He and
Caldarelli.
"""

from criticality.figures.phases import (
    accuracy_map,
    against_control,
    against_probe,
    against_size,
    crossing,
    exponent_map,
    phase_map,
)
from criticality.figures.scaling import (
    collapsed,
    curves,
    evidence,
    exponents,
    objective,
    residuals,
)

__all__ = [
    "accuracy_map",
    "against_control",
    "against_probe",
    "against_size",
    "collapsed",
    "crossing",
    "curves",
    "evidence",
    "exponent_map",
    "exponents",
    "objective",
    "phase_map",
    "residuals",
]
