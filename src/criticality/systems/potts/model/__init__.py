"""Models of this system; jax lives here."""
