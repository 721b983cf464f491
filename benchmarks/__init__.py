"""Benchmarks print a dated table: claim, hardware, versions, n, median and spread."""

import criticality.engine  # noqa: F401  before jax is loaded: it quiets a false alarm of XLA
