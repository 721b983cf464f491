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
from criticality.figures.pruning import (
    against_density,
    evolution_map,
    evolution_profile,
    layers,
    order_parameter,
    threshold_scan,
    weight_scatter,
)
from criticality.figures.scaling import (
    collapsed,
    curves,
    evidence,
    exponents,
    objective,
    residuals,
)
from criticality.figures.topology import (
    degree_distribution,
    topology_accuracy,
    topology_training,
)

__all__ = [
    "accuracy_map",
    "against_control",
    "against_density",
    "against_probe",
    "against_size",
    "collapsed",
    "crossing",
    "curves",
    "degree_distribution",
    "evidence",
    "evolution_map",
    "evolution_profile",
    "exponent_map",
    "exponents",
    "layers",
    "objective",
    "order_parameter",
    "phase_map",
    "residuals",
    "threshold_scan",
    "topology_accuracy",
    "topology_training",
    "weight_scatter",
]
