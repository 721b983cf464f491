"""Lennard-Jones atoms in JAX: pairs, dynamics, measures, and the realizations built on them."""
