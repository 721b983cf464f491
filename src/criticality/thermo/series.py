"""Statistics of time series of sampled states."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

WINDOW = 6.0  # autocorrelation times, beyond which correlations are noise
APART = 4.0  # standard errors by which energies of two starts differ


def autocorrelation(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Integrated autocorrelation time in sweeps, and its standard error.

    tau = 1/2 + sum of rho(t) to a window of `WINDOW` tau [Madras & Sokal, J. Stat. Phys. 50, 109
    (1988)].  The mean is common to all copies, so that copies that stay apart are a long time.
    NaN if nothing ever changed.

    Parameters
    ----------
    values
        [..., sweeps, copies].
    """
    sweeps, copies = values.shape[-2:]
    centred = values - values.mean(axis=(-2, -1), keepdims=True)
    padded = 2 ** math.ceil(math.log2(2 * sweeps))
    power = jnp.abs(jnp.fft.rfft(centred, padded, axis=-2)) ** 2
    covariance = jnp.fft.irfft(power, padded, axis=-2)[..., :sweeps, :].mean(axis=-1)
    rho = covariance / (sweeps - jnp.arange(sweeps))
    variance = rho[..., :1]
    scale = jnp.square(jnp.abs(values).max(axis=(-2, -1)))[..., None]
    fixed = variance[..., 0] <= 1e-12 * scale[..., 0]
    rho = rho / jnp.where(variance > 0, variance, 1)
    time = jnp.cumsum(rho, axis=-1) - 0.5
    lag = jnp.arange(sweeps)
    stop = jnp.argmax((lag >= WINDOW * time) | (lag == sweeps - 1), axis=-1)
    tau = jnp.maximum(jnp.take_along_axis(time, stop[..., None], axis=-1)[..., 0], 0.0)
    error = tau * jnp.sqrt((4 * stop + 2) / (sweeps * copies))
    return jnp.where(fixed, jnp.nan, tau), jnp.where(fixed, jnp.nan, error)


def agreement(energy: jax.Array) -> jax.Array:
    """Whether runs from all starts have the same energy, within `APART` errors.

    Errors are of the scatter of copies.

    Parameters
    ----------
    energy
        [starts, ..., sweeps, copies], two copies or more.

    Returns
    -------
    agree
        bool [...].
    """
    copies = energy.shape[-1]
    each = energy.mean(axis=-2)
    mean, square = each.mean(axis=-1), each.var(axis=-1, ddof=1) / copies
    apart = jnp.abs(mean[:, None] - mean)
    error = jnp.sqrt(square[:, None] + square)
    rounding = 1e-5 * jnp.abs(mean).max(axis=0)
    return jnp.all(apart <= APART * error + rounding, axis=(0, 1))
