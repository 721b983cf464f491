"""Mapping one realization over many: on a core, in lanes, or as a plain Python call."""
