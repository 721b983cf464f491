"""What is read off one configuration: bond order, pair correlations, displacements.

Everything is dense, [N, N], and meant for every tenth of a unit of time, not for every step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.polynomial.legendre import leg2poly, legder

from criticality.systems.lennard_jones.model.pairs import separations

DEGREE = 6
COMPONENTS = 2 * DEGREE + 1
REACH = (1 + math.sqrt(0.5)) / 2 * 4 ** (1 / 3)  # between the first two shells of fcc at density 1
ALIKE, CONNECTED = 0.5, 7  # ten Wolde, Ruiz-Montero & Frenkel, J. Chem. Phys. 104, 9932 (1996)


class Order(NamedTuple):
    """Steinhardt bond order of degree 6, of bonds to neighbours nearer than 1.355 rho^(-1/3).

    The reach lies half-way between the first two shells of fcc, where q6 = 0.5745 of any kind.

    Attributes
    ----------
    q6
        [N]: |mean over an atom's bonds of Y_6m| (4 pi / 13)^(1/2) [Steinhardt, Nelson &
        Ronchetti, Phys. Rev. B 28, 784 (1983)]; 0 without a neighbour.
    averaged
        [N]: the same of the mean over an atom and its neighbours [Lechner & Dellago, J. Chem.
        Phys. 129, 114707 (2008)].
    whole
        Scalar: the same of all bonds of the box; of independent bonds it is their number^(-1/2).
    solid
        [N] boolean: at least 7 neighbours whose normalised vector q_6m has an inner product above
        1/2 with its own.
    """

    q6: jax.Array
    averaged: jax.Array
    whole: jax.Array
    solid: jax.Array


def bond_order(s: jax.Array, box: jax.Array) -> Order:
    """Bond order of scaled coordinates [3, N] in a box of sides [3]."""
    atoms = s.shape[1]
    reach = REACH * (jnp.prod(box) / atoms) ** (1 / 3)
    apart = separations(s, box, s)
    square = jnp.sum(apart**2, axis=0)
    bond = (square < reach**2) & ~jnp.eye(atoms, dtype=bool)
    direction = apart / jnp.sqrt(jnp.where(bond, square, 1))
    sums = jnp.stack([jnp.sum(jnp.where(bond, y, 0), axis=1) for y in _harmonics(direction)])
    bonds = bond.astype(s.dtype)
    number = jnp.sum(bonds, axis=1)
    vector = sums / jnp.maximum(number, 1)
    averaged = (vector + vector @ bonds) / (1 + number)
    whole = jnp.sum(sums, axis=1) / jnp.maximum(jnp.sum(number), 1)
    unit = vector / jnp.maximum(_size(vector), 1e-12)
    alike = bond & (unit.T @ unit > ALIKE)
    return Order(_size(vector), _size(averaged), _size(whole), jnp.sum(alike, axis=1) >= CONNECTED)


def pair_correlation(s: jax.Array, box: jax.Array, r: ArrayLike, width: ArrayLike) -> jax.Array:
    """Give g at distances r [R], each from pairs within `width` of it, half on either side.

    Pairs over their number in an ideal gas of N atoms, N (N-1) / 2V a volume of the shell, so that
    of independent atoms the mean is 1 exactly.  NaN where a shell leaves half of the shortest side.
    """
    atoms, volume = s.shape[1], jnp.prod(box)
    apart = jnp.sqrt(jnp.sum(separations(s, box, s) ** 2, axis=0))
    apart = jnp.where(jnp.eye(atoms, dtype=bool), jnp.inf, apart)

    def one(r: jax.Array) -> jax.Array:
        low, high = jnp.maximum(r - width / 2, 0), r + width / 2
        pairs = jnp.sum((apart >= low) & (apart < high)) / 2
        shell = 4 * math.pi / 3 * (high**3 - low**3)
        g = pairs * 2 * volume / (atoms * (atoms - 1) * shell)
        return jnp.where(high > jnp.min(box) / 2, jnp.nan, g)

    found: jax.Array = jax.lax.map(one, jnp.asarray(r, jnp.float32))
    return found


def square_displacement(before: jax.Array, after: jax.Array, box: jax.Array) -> jax.Array:
    """Mean square displacement of unfolded coordinates [3, N], relative to the centre of mass."""
    moved = after - before
    moved = (moved - jnp.mean(moved, axis=1, keepdims=True)) * box[:, None]
    return jnp.mean(jnp.sum(moved**2, axis=0))


def _harmonics(direction: jax.Array) -> list[jax.Array]:
    """Real spherical harmonics of degree 6, with a mean square of 1/13: their squares sum to 1.

    Y_6m is a polynomial of z, the m-th derivative of P_6, times (x + iy)^m.
    """
    x, y, z = direction
    real, imaginary = jnp.ones_like(x), jnp.zeros_like(x)
    found = []
    for m in range(DEGREE + 1):
        series = leg2poly(legder(np.eye(DEGREE + 1)[DEGREE], m))
        factor = math.factorial(DEGREE - m) / math.factorial(DEGREE + m) * (2 if m else 1)
        polar = jnp.polyval(jnp.asarray(series[::-1] * math.sqrt(factor), x.dtype), z)
        found.append(polar * real)
        if m:
            found.append(polar * imaginary)
        real, imaginary = real * x - imaginary * y, real * y + imaginary * x
    return found


def _size(vector: jax.Array) -> jax.Array:
    """Norm of [13, ...]."""
    return jnp.sqrt(jnp.sum(vector**2, axis=0))
