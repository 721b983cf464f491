"""One folder, one physical system.  A new one is a folder here and a line below."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from criticality.systems.approximation import ApproximatingNetwork, LookupNetwork
    from criticality.systems.approximation.trained import TrainedApproximation
    from criticality.systems.dropout import DropoutNetwork
    from criticality.systems.grokking.network import GrokkingNetwork
    from criticality.systems.grokking.theory import EffectiveTheory
    from criticality.systems.lennard_jones.atoms import LennardJones
    from criticality.systems.lennard_jones.coexistence import LennardJonesCoexistence
    from criticality.systems.lennard_jones.melting import LennardJonesFreeEnergy
    from criticality.systems.lennard_jones.refinement import LennardJonesRefinement
    from criticality.systems.mean_variance.field import MeanVarianceField
    from criticality.systems.mean_variance.network import MeanVarianceNetwork
    from criticality.systems.mean_variance.sweep import MeanVarianceSweep
    from criticality.systems.potts import Potts
    from criticality.systems.potts.refinement import PottsRefinement
    from criticality.systems.pruning import PruningNetwork, TopologyNetwork
    from criticality.systems.rbm import RBM
    from criticality.systems.rbm.replica import ReplicaSymmetric
    from criticality.systems.three_layer import ThreeLayer

BUILT_IN = {
    "approximation": "criticality.systems.approximation:ApproximatingNetwork",
    "approximation_lookup": "criticality.systems.approximation:LookupNetwork",
    "approximation_trained": "criticality.systems.approximation.trained:TrainedApproximation",
    "dropout": "criticality.systems.dropout:DropoutNetwork",
    "pruning": "criticality.systems.pruning:PruningNetwork",
    "topology": "criticality.systems.pruning:TopologyNetwork",
    "grokking": "criticality.systems.grokking.network:GrokkingNetwork",
    "grokking_theory": "criticality.systems.grokking.theory:EffectiveTheory",
    "lennard_jones": "criticality.systems.lennard_jones.atoms:LennardJones",
    "lennard_jones_coexistence": (
        "criticality.systems.lennard_jones.coexistence:LennardJonesCoexistence"
    ),
    "lennard_jones_free_energy": (
        "criticality.systems.lennard_jones.melting:LennardJonesFreeEnergy"
    ),
    "lennard_jones_refinement": (
        "criticality.systems.lennard_jones.refinement:LennardJonesRefinement"
    ),
    "mean_variance": "criticality.systems.mean_variance.network:MeanVarianceNetwork",
    "mean_variance_sweep": "criticality.systems.mean_variance.sweep:MeanVarianceSweep",
    "mean_variance_theory": "criticality.systems.mean_variance.field:MeanVarianceField",
    "potts": "criticality.systems.potts:Potts",
    "potts_refinement": "criticality.systems.potts.refinement:PottsRefinement",
    "rbm": "criticality.systems.rbm:RBM",
    "rbm_theory": "criticality.systems.rbm.replica:ReplicaSymmetric",
    "three_layer": "criticality.systems.three_layer:ThreeLayer",
}

__all__ = [
    "BUILT_IN",
    "RBM",
    "ApproximatingNetwork",
    "DropoutNetwork",
    "EffectiveTheory",
    "GrokkingNetwork",
    "LennardJones",
    "LennardJonesCoexistence",
    "LennardJonesFreeEnergy",
    "LennardJonesRefinement",
    "LookupNetwork",
    "MeanVarianceField",
    "MeanVarianceNetwork",
    "MeanVarianceSweep",
    "Potts",
    "PottsRefinement",
    "PruningNetwork",
    "ReplicaSymmetric",
    "ThreeLayer",
    "TopologyNetwork",
    "TrainedApproximation",
]


def __getattr__(name: str) -> Any:
    for place in BUILT_IN.values():
        module, _, found = place.partition(":")
        if found == name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
