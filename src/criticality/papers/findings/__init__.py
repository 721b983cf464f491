"""Questions that the papers leave open, answered as far as data go."""
