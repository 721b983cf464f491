"""Mapping one realization over many: on a core, in lanes, or as a plain Python call."""

import os

# XLA says, falsely and at length, that a program it kept for this very CPU may not run here
# [openxla/xla issue 44565]; what matters comes as an exception.  Read when jax is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
