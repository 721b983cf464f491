"""What is read off logits: cross-entropy, accuracy [Pan et al., Eqs. (2), (3)], entropies."""

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


def outcome_entropy(logits: jax.Array) -> jax.Array:
    """Entropy of the softmax of each sample in nats, float32 [samples]; Eq. (2) of Pesce et al."""
    p = jax.nn.softmax(logits, axis=0)
    mean: jax.Array = jnp.sum(p * logits, axis=0)
    return jax.nn.logsumexp(logits, axis=0) - mean


def predicted(logits: jax.Array) -> jax.Array:
    """Whether a class is the predicted one, bool [K, samples]."""
    return jnp.arange(logits.shape[0])[:, None] == jnp.argmax(logits, axis=0)


def prediction_entropy(counts: jax.Array) -> jax.Array:
    """Entropy in nats of how often each class is predicted; Eq. (1) of Pesce et al.

    Parameters
    ----------
    counts
        int [K].
    """
    share = counts / counts.sum()
    terms = -share * jnp.log(jnp.where(counts > 0, share, 1))
    return jnp.sum(jnp.where(counts > 0, terms, 0))
