"""How fast networks approximate functions as they grow: written down, and trained."""

from criticality.systems.approximation.constructions import ApproximatingNetwork, LookupNetwork

__all__ = ["ApproximatingNetwork", "LookupNetwork"]
