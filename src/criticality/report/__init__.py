"""One page of a study that opens anywhere: its phases, curves, borders, scaling and numbers."""
