"""Two phases in one run: weights and histograms, reweighted to where both count alike.

Reweighting from T to T' multiplies weights by exp(-delta E), with delta = 1/T' - 1/T [A. M.
Ferrenberg & R. H. Swendsen, Phys. Rev. Lett. 61, 2635 (1988)].
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

STEPS = 40  # of a bisection
REACH = 40.0  # to which exp(-delta E) of the two phases may be set apart


def balance(energy: jax.Array, ordered: jax.Array, states: int) -> jax.Array:
    """Shift of 1/T that gives the ordered phases q times the weight of the disordered one.

    At the transition each of the q + 1 phases has the same weight, up to what falls exponentially
    with the size [C. Borgs & W. Janke, Phys. Rev. Lett. 68, 1738 (1992)].  NaN where only one was
    seen, or it lies out of reach.

    Parameters
    ----------
    energy
        Total energies, of any shape.
    ordered
        Whether each is of the ordered phase.
    states
        q.
    """
    centred = energy - jnp.mean(energy)
    gap = jnp.abs(jnp.mean(centred, where=ordered) - jnp.mean(centred, where=~ordered))

    def excess(delta: jax.Array) -> jax.Array:
        weight = -delta * centred
        order, disorder = (
            jax.nn.logsumexp(jnp.where(which, weight, -jnp.inf)) for which in (ordered, ~ordered)
        )
        return order - disorder - jnp.log(states)

    return _root(excess, REACH / gap)


def dip(histogram: jax.Array, energies: jax.Array, split: jax.Array) -> jax.Array:
    """ln(P_min/P_max) between two peaks that are reweighted to equal heights.

    Three bins are averaged against noise.  NaN where there is nothing between the peaks, or where
    it was never visited.

    Parameters
    ----------
    histogram
        Shares [bins].
    energies
        Total energies [bins], rising.
    split
        The first bin that belongs to the right peak, int32 scalar.
    """
    padded = jnp.pad(histogram, 1)
    wide = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    bins = jnp.arange(len(energies))
    centred = energies - jnp.mean(energies)

    def tilted(delta: jax.Array) -> jax.Array:
        return jnp.log(wide) - delta * centred

    def peaks(delta: jax.Array) -> tuple[jax.Array, jax.Array]:
        height = tilted(delta)
        left = jnp.where(bins < split, height, -jnp.inf)
        return left, jnp.where(bins < split, -jnp.inf, height)

    def excess(delta: jax.Array) -> jax.Array:
        left, right = peaks(delta)
        return jnp.max(left) - jnp.max(right)

    delta = _root(excess, REACH / (energies[-1] - energies[0]))
    left, right = peaks(delta)
    between = (bins > jnp.argmax(left)) & (bins < jnp.argmax(right))
    lowest = jnp.min(jnp.where(between, tilted(delta), jnp.inf))
    found = lowest - jnp.max(right)
    return jnp.where(jnp.isfinite(found) & jnp.isfinite(delta), found, jnp.nan)


def _root(excess: Callable[[jax.Array], jax.Array], reach: jax.Array) -> jax.Array:
    """Zero of a function that rises, between -reach and reach, or NaN."""

    def step(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        above = excess(middle) > 0
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = jax.lax.fori_loop(0, STEPS, step, (-reach, reach))
    inside = (excess(-reach) < 0) & (excess(reach) > 0)
    return jnp.where(inside, (low + high) / 2, jnp.nan)
