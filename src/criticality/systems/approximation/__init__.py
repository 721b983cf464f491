"""How fast networks approximate functions as they grow: constructions, and what training reaches."""

from criticality.systems.approximation.constructions import ApproximatingNetwork, LookupNetwork

__all__ = ["ApproximatingNetwork", "LookupNetwork"]
