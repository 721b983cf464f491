"""One file, one physical system.  A new one is a file here and a line in `SYSTEMS`."""

from __future__ import annotations

import criticality.engine  # noqa: F401  before jax is loaded
from criticality.base import System
from criticality.systems.dropout import DropoutNetwork
from criticality.systems.pruning import PruningNetwork
from criticality.systems.topology import TopologyNetwork

SYSTEMS: dict[str, type[System]] = {
    cls.name: cls for cls in (DropoutNetwork, PruningNetwork, TopologyNetwork)
}

__all__ = ["SYSTEMS", "DropoutNetwork", "PruningNetwork", "TopologyNetwork"]
