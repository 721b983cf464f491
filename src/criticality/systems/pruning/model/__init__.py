"""One realization of `pruning`, and one of `topology`."""
