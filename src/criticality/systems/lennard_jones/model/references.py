"""Free energies of what integrations begin at, and what of a finite system goes beyond N f.

Over T and without momenta: thermal wavelengths are 1.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jax.typing import ArrayLike


def einstein_crystal(atoms: int, volume: ArrayLike, over: ArrayLike) -> jax.Array:
    """F/T of atoms on springs of stiffness k = `over` T, with the volume of their centre of mass.

    -ln(V/N) - 3/2 ln N - 3/2 (N - 1) ln(2 pi T / k); F of all ways to label the sites.
    """
    each = jnp.log(2 * math.pi / jnp.asarray(over))
    centre = jnp.log(jnp.asarray(volume) / atoms) + 1.5 * math.log(atoms)
    return -centre - 1.5 * (atoms - 1) * each


def ideal_gas(atoms: int, volume: ArrayLike) -> jax.Array:
    """F/T = ln N! - N ln V, not by Stirling's formula, whose next term is ln(2 pi N) / 2."""
    return gammaln(atoms + 1.0) - atoms * jnp.log(jnp.asarray(volume))


def size_terms(
    atoms: int, volume: ArrayLike, displacement: ArrayLike, variance: ArrayLike
) -> jax.Array:
    """Give what F/T of N atoms has beside N f, that of the solid and of the liquid, [2].

    Liquid: ln(2 pi rho^2 var V) / 2, exactly so to this order: the probability of exactly N atoms
    in V, which has 1 / sqrt(2 pi var N), of an open system, is 1 in a closed one.

    Solid: C - ln(N)/2 + 3/2 ln(2 pi u^2 / (S_N v^2/3)), of harmonic modes in a periodic box with a
    free centre of mass.  C = -1.370 and S_N = 1.2598 - 1.178 N^-1/3 are sums over the modes of fcc
    with springs between neighbours (`lattice.size_term`); u^2 is measured.

    Parameters
    ----------
    volume
        Of the solid.
    displacement
        u^2, mean square displacement of its atoms.
    variance
        rho^2 var V of the liquid at constant pressure.
    """
    spread = 1.2598 - 1.178 * atoms ** (-1 / 3)
    scale = (jnp.asarray(volume) / atoms) ** (2 / 3)
    modes = jnp.log(2 * math.pi * jnp.asarray(displacement) / (spread * scale))
    solid = -1.370 - 0.5 * math.log(atoms) + 1.5 * modes
    return jnp.stack([solid, 0.5 * jnp.log(2 * math.pi * jnp.asarray(variance))])
