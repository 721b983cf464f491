"""What is read off logits: cross-entropy, Eq. (2), and accuracy, Eq. (3), of Pan et al."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of each sample in nats, float32 [samples].

    Parameters
    ----------
    logits
        float32 [samples, K].
    labels
        int [samples], the true class.
    """
    picked = jnp.take_along_axis(logits, labels[:, None].astype(jnp.int32), axis=1)[:, 0]
    return jax.nn.logsumexp(logits, axis=1) - picked


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the most probable class is the true one, bool [samples]."""
    return jnp.argmax(logits, axis=1) == labels
