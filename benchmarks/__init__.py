"""Benchmarks print a dated table: claim, hardware, versions, n, median and spread."""
