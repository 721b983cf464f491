"""Averages and free energies at other parameters than those that were sampled.

Everything is of the change u' - u of the reduced potential u = beta (U + P V) of stored samples,
and of weights: 1 for a sample that counts, 0 for one that does not (a rejected replica, or what a
jackknife leaves out).  Reduced free energies are phi = -ln Z.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

ITERATIONS = 60  # of the Bennett equation at most; Newton's method takes some eight

# lowest and highest solution, the present one, the last step, steps done
Bracket = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def log_weights(change: jax.Array, weight: jax.Array) -> jax.Array:
    """Logarithms of normalised weights, exp(-change) each; -inf for what does not count.

    Parameters
    ----------
    change
        u' - u of every sample [..., samples].
    weight
        1 or 0 of every sample.
    """
    logs = jnp.where(weight > 0, -change, -jnp.inf)
    top = jnp.max(logs, axis=-1, keepdims=True)
    # of no samples at all, nothing is -inf - (-inf)
    logs = logs - jnp.where(jnp.isfinite(top), top, 0)
    return logs - logsumexp(logs, axis=-1, keepdims=True)


def mean(values: jax.Array, change: jax.Array, weight: jax.Array) -> jax.Array:
    """Average at u' of values [..., samples] that were sampled at u."""
    shares = jnp.exp(log_weights(change, weight))
    return jnp.sum(jnp.where(shares > 0, shares * values, 0), axis=-1)


def effective(change: jax.Array, weight: jax.Array) -> jax.Array:
    """Effective share of the samples at u', exp(-sum w ln w)/n, from 1/n to 1.

    By the entropy of the weights, as in DiffTRe [Thaler & Zavadlav, Nat. Commun. 12, 6884 (2021)].
    """
    logs = log_weights(change, weight)
    entropy = -jnp.sum(jnp.where(weight > 0, jnp.exp(logs) * logs, 0), axis=-1)
    count = jnp.sum(weight, axis=-1)
    return jnp.where(count > 0, jnp.exp(entropy) / count, jnp.nan)


def difference(change: jax.Array, weight: jax.Array) -> jax.Array:
    """Free-energy difference phi' - phi = -ln <exp(-change)>, from samples of u alone [Zwanzig].

    Its gradient, by jax.grad, is the reweighted <du'/dtheta>.
    """
    there = weight > 0
    kept = jnp.where(there, change, 0)  # no gradient through what does not count
    least = jax.lax.stop_gradient(jnp.min(jnp.where(there, change, jnp.inf), axis=-1))
    least = jnp.where(jnp.isfinite(least), least, 0)
    terms = jnp.where(there, jnp.exp(least[..., None] - kept), 0)
    return least - jnp.log(jnp.sum(terms, axis=-1) / jnp.sum(weight, axis=-1))


def bar(
    change: jax.Array, weight: jax.Array, change_there: jax.Array, weight_there: jax.Array
) -> jax.Array:
    """Difference phi' - phi from samples of both [Bennett, J. Comput. Phys. 22, 245 (1976)].

    The C at which sum_u 1/(1 + exp(M + change - C)) = sum_u' 1/(1 + exp(-M - change + C)), with
    M = ln(n/n').  The logarithm of the ratio of both sides rises monotonically with C: Newton's
    method inside of a bracket that only shrinks.

    Parameters
    ----------
    change, weight
        u' - u of samples of u [..., n], and their weights.
    change_there, weight_there
        The same u' - u of samples of u' [..., n'].

    Returns
    -------
    difference
        [...]; NaN where one side has no samples.
    """
    few = jnp.log(jnp.sum(weight, axis=-1)) - jnp.log(jnp.sum(weight_there, axis=-1))
    logs, logs_there = (jnp.where(w > 0, 0.0, -jnp.inf) for w in (weight, weight_there))
    change = jnp.where(weight > 0, change, 0)
    change_there = jnp.where(weight_there > 0, change_there, 0)

    rounding = 4 * float(np.finfo(change.dtype).eps)

    def sides(c: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Logarithm of the ratio, and its derivative."""
        x = (c - few)[..., None] - change
        y = (few - c)[..., None] + change_there
        left = logsumexp(logs + jax.nn.log_sigmoid(x), axis=-1)
        right = logsumexp(logs_there + jax.nn.log_sigmoid(y), axis=-1)
        shares = jnp.exp(logs + jax.nn.log_sigmoid(x) - left[..., None])
        others = jnp.exp(logs_there + jax.nn.log_sigmoid(y) - right[..., None])
        slope = jnp.sum(shares * jax.nn.sigmoid(-x), axis=-1)
        slope = slope + jnp.sum(others * jax.nn.sigmoid(-y), axis=-1)
        return left - right, slope

    def going(state: Bracket) -> jax.Array:
        low, high, _, step, count = state
        size = rounding * (1 + jnp.maximum(jnp.abs(low), jnp.abs(high)))
        return (count < ITERATIONS) & jnp.any(jnp.abs(step) > size)

    def step(state: Bracket) -> Bracket:
        low, high, c, _, count = state
        value, slope = sides(c)
        low, high = jnp.where(value < 0, c, low), jnp.where(value < 0, high, c)
        new = c - value / slope
        new = jnp.where((new > low) & (new < high), new, (low + high) / 2)
        return low, high, new, new - c, count + 1

    low, high = (
        jnp.minimum(
            jnp.min(jnp.where(weight > 0, sign * change, jnp.inf), axis=-1),
            jnp.min(jnp.where(weight_there > 0, sign * change_there, jnp.inf), axis=-1),
        )
        for sign in (1, -1)
    )
    low, high = low - jnp.abs(few), -high + jnp.abs(few)
    start = (low + high) / 2
    first = (low, high, start, jnp.full_like(start, jnp.inf), jnp.int32(0))
    found = jax.lax.while_loop(going, step, first)[2]
    return jnp.where(jnp.isfinite(few), found, jnp.nan)


def jackknife_weights(replicas: int, samples: int, blocks: int) -> jax.Array:
    """Weights [1 + groups, replicas, samples]: of all, and each time without one group.

    A group is a block of one replica's series: with `blocks` = 1 the whole of it, which is right
    whatever the autocorrelation; more make the error itself less uncertain, and must be much longer
    than autocorrelation times.
    """
    of = jnp.arange(samples) * blocks // samples
    group = jnp.arange(replicas)[:, None] * blocks + of
    left_out = jnp.arange(replicas * blocks)[:, None, None] == group
    every = jnp.concatenate([jnp.zeros((1, replicas, samples), bool), left_out])
    return 1.0 - every


def jackknife_error(replicates: jax.Array) -> jax.Array:
    """Give the standard error of replicates[0] from those without one group each, replicates[1:].

    sqrt((G-1)/G sum_g (x_g - mean)^2) [Efron & Stein, Ann. Stat. 9, 586 (1981)].
    """
    left_out = replicates[1:]
    groups = left_out.shape[0]
    square = jnp.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0)
    return jnp.sqrt((groups - 1) / groups * square)
