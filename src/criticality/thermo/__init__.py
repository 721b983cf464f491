"""Thermodynamics of sampled states: series, reweighting, free energies, refinement."""
