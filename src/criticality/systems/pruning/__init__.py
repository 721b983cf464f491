"""Pruning of trained networks to their breakdown, and what in their topology lets them learn.

Pesce, He and Caldarelli, "Phase transitions in neural networks pruning".
"""

from criticality.systems.pruning.network import PruningNetwork
from criticality.systems.pruning.topology import TopologyNetwork

__all__ = ["PruningNetwork", "TopologyNetwork"]
