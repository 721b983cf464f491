"""What is read off logits: cross-entropy, Eq. (2), and accuracy, Eq. (3), of Pan et al."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of each sample in nats, float32 [samples].

    Parameters
    ----------
    logits
        float32 [K, samples].
    labels
        int [samples], the true class.
    """
    classes = jnp.arange(logits.shape[0], dtype=labels.dtype)[:, None]
    # one term of the sum is not zero; indexing instead would make the gradient a scatter
    picked = jnp.sum(jnp.where(classes == labels, logits, 0), axis=0)
    return jax.nn.logsumexp(logits, axis=0) - picked


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the most probable class is the true one, bool [samples]."""
    return jnp.argmax(logits, axis=0) == labels
