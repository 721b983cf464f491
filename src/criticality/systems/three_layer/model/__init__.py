"""One realization in JAX: the network, its gradient flow, and what is measured at the end."""
