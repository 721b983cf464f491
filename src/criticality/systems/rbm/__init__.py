"""Restricted Boltzmann machines whose weights are patterns: retrieval, and how it is lost."""
