"""Tensors, no physics: mapping realizations, the fit loop, networks, masks, pruning, measuring.

Shape letters, used in every docstring of this room:

    R  realizations             N  training samples       T  test samples
    B  samples in a mini-batch  V  validation samples     D  pixels of an image
    W  units in a hidden layer  K  classes                L  hidden layers
    E  evaluation rates         P  passes per rate        C  channels of the first convolution
"""

import os

# XLA says, falsely and at length, that a program it kept for this very CPU may not run here
# [openxla/xla issue 44565]; what matters comes as an exception.  Read when jax is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
