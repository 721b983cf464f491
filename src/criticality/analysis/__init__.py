"""Stored numbers only: statistics, phases.  Nothing here loads the tensor stack."""
