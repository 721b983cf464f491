"""Lennard-Jones atoms: a solid and a liquid, their dynamics, and where they coexist."""
