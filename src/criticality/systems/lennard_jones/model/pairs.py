r"""Pair potentials that are linear in their coefficients, over all pairs of one periodic box.

U(x) = c . B(x) with features B_k = sum_{i<j} [b_k(r_ij) - b_k(r_c)] over pairs nearer than r_c:

- b_0 = r^-12, b_1 = r^-6, so that Lennard-Jones is c = (4 eps sigma^12, -4 eps sigma^6);
- then, if asked for, b_{2+k} = w(r) T_k(x) with Chebyshev polynomials of
  x = 1 - 2 (r^2 - a^2) / (b^2 - a^2) on a < r < b and the window w = (1 - r^2/b^2)^2, which
  vanishes with its derivative at b.  Below a both keep their values at a: the energy is continuous
  and finite, its derivative jumps there.

Energies are so truncated *and* shifted at r_c, forces truncated.  With a tail, each power has a
mean-field term: what lies beyond r_c at g = 1, and the shift of the 4 pi rho r_c^3 / 3 - 1
neighbours inside, which is given back (one less than at g = 1: an atom is not its own neighbour,
and dense phases are hardly compressible),

    2 pi N rho [ int_rc^inf b_k r^2 dr + r_c^3 b_k(r_c) / 3 ] - N b_k(r_c) / 2,

where the bracket is n / (3 (n - 3)) r_c^(3-n) of b_k = r^-n.  It depends on the volume alone, so
that the sum is a Hamiltonian like any other, for which dynamics are exact, and which approximates
the full potential: its pressure from the tail is the usual -(2 pi rho^2 / 3) int_rc^inf b_k' r^3 dr
[Allen & Tildesley, Computer Simulation of Liquids, 2.8].

All pairs are visited, under the nearest-image convention: at hundreds of atoms that is faster than
neighbour lists.  The cutoff must not exceed half of the shortest side of the box.  Units: k_B and
the mass are 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.polynomial import chebyshev

POWERS = (12, 6)
MANY = 864  # atoms from which rows are visited in blocks: the pairs no longer fit into the cache
BLOCKS = (16, 8, 4, 2, 1)
FCC = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a pair potential is made of.

    Attributes
    ----------
    cutoff
        r_c.
    terms
        Number of Chebyshev functions beside the two powers.
    span
        a and b of those; b is at most the cutoff.
    tail
        Whether features have the mean-field term; a boolean scalar may be traced.
    """

    cutoff: ArrayLike = 3.0
    terms: int = 0
    span: tuple[float, float] = (0.8, 2.5)
    tail: ArrayLike = True

    @property
    def size(self) -> int:
        """Number of features."""
        return len(POWERS) + self.terms


def fcc(cells: int | tuple[int, int, int]) -> jax.Array:
    """Sites of a face-centred cubic lattice, scaled coordinates [3, N] in [0, 1).

    Parameters
    ----------
    cells
        Of 4 atoms each, along all axes or along each.
    """
    shape = (cells,) * 3 if isinstance(cells, int) else cells
    corners = np.indices(shape).reshape(3, -1)
    sites = corners[:, :, None] + np.array(FCC).T[:, None, :]
    return jnp.asarray(sites.reshape(3, -1) / np.array(shape)[:, None], jnp.float32)


def lennard_jones(epsilon: ArrayLike = 1.0, sigma: ArrayLike = 1.0, terms: int = 0) -> jax.Array:
    """Coefficients [2 + terms] of 4 eps [(sigma/r)^12 - (sigma/r)^6]."""
    sigma6 = jnp.asarray(sigma, jnp.float32) ** 6
    c = 4 * jnp.asarray(epsilon, jnp.float32) * jnp.stack([sigma6**2, -sigma6])
    return jnp.concatenate([c, jnp.zeros(terms, c.dtype)])


def potential(basis: Basis, c: jax.Array, r: jax.Array) -> jax.Array:
    """Pair energy u(r) of any shape, truncated and shifted, without the tail."""
    return _energy(basis, c, r**2)


def features(basis: Basis, s: jax.Array, box: jax.Array) -> jax.Array:
    """B [F], so that the energy of the box is c . B.

    Parameters
    ----------
    s
        Scaled coordinates [3, N], of which any integer may be taken.
    box
        Its sides [3].
    """

    def visit(_: jax.Array, square: jax.Array) -> jax.Array:
        q = jnp.minimum(square, _square(basis.cutoff))
        return jnp.stack([jnp.sum(b, axis=1) for b in _shifted(basis, q)])

    return jnp.sum(_rows(s, box, visit), axis=-1) / 2 + _mean_field(basis, s.shape[1], box)


def virial_features(basis: Basis, s: jax.Array, box: jax.Array) -> jax.Array:
    """W = -3 dB / d ln V [F], so that the pressure is rho T + c . W / (3 V)."""

    def visit(_: jax.Array, square: jax.Array) -> jax.Array:
        edge = _square(basis.cutoff)
        inside = square < edge
        q = jnp.minimum(square, edge)
        slopes = jax.jvp(lambda q: _functions(basis, q), (q,), (jnp.ones_like(q),))[1]
        return jnp.stack([jnp.sum(jnp.where(inside, -2 * q * b, 0), axis=1) for b in slopes])

    total = jnp.sum(_rows(s, box, visit), axis=-1) / 2
    return total + 3 * tails(basis, s.shape[1], jnp.prod(box))


def energy(basis: Basis, s: jax.Array, box: jax.Array, c: jax.Array) -> jax.Array:
    """Give c . B, summed as one potential."""

    def visit(_: jax.Array, square: jax.Array) -> jax.Array:
        return jnp.sum(_energy(basis, c, square), axis=1)

    total = jnp.sum(_rows(s, box, visit)) / 2
    return total + c @ _mean_field(basis, s.shape[1], box)


def forces(basis: Basis, s: jax.Array, box: jax.Array, c: jax.Array) -> jax.Array:
    """Give the forces [3, N] on the atoms, in the units of energy over length."""

    def visit(apart: jax.Array, square: jax.Array) -> jax.Array:
        edge = _square(basis.cutoff)
        push = jnp.where(square < edge, -2 * _slope(basis, c, jnp.minimum(square, edge)), 0)
        return jnp.sum(push * apart, axis=2)

    return _rows(s, box, visit)


def tails(basis: Basis, atoms: int, volume: ArrayLike) -> jax.Array:
    """Part of the mean-field terms that falls as 1/V [F]; zeros without a tail."""
    edge = jnp.asarray(basis.cutoff, jnp.float32)
    powers = [edge ** (3 - n) * n / (3 * (n - 3)) for n in POWERS]
    every = jnp.stack([*powers, *[jnp.zeros_like(edge)] * basis.terms])
    return jnp.where(basis.tail, 2 * math.pi * atoms**2 / volume * every, 0.0)


def _mean_field(basis: Basis, atoms: int, box: jax.Array) -> jax.Array:
    """All that a tail adds to the features [F]."""
    own = [-atoms / 2 * jnp.asarray(basis.cutoff, jnp.float32) ** -n for n in POWERS]
    every = jnp.where(basis.tail, jnp.stack([*own, *[jnp.zeros_like(own[0])] * basis.terms]), 0.0)
    return tails(basis, atoms, jnp.prod(box)) + every


def separations(s: jax.Array, box: jax.Array, rows: jax.Array) -> jax.Array:
    """Vectors [3, B, N] from every atom to those of `rows` [3, B], by the nearest image."""
    apart = rows[:, :, None] - s[:, None, :]
    return (apart - jnp.round(apart)) * box[:, None, None]


def _rows(
    s: jax.Array, box: jax.Array, visit: Callable[[jax.Array, jax.Array], jax.Array]
) -> jax.Array:
    """Give visit(vectors [3, B, N], their squares [B, N]) -> [..., B], for all atoms [..., N].

    The square of an atom with itself is infinite.
    """
    atoms = s.shape[1]
    few = atoms < MANY
    block = atoms if few else next(b for b in BLOCKS if atoms % b == 0)

    def of(first: jax.Array) -> jax.Array:
        rows = s if few else jax.lax.dynamic_slice_in_dim(s, first, block, axis=1)
        apart = separations(s, box, rows)
        itself = (first + jnp.arange(block))[:, None] == jnp.arange(atoms)
        return visit(apart, jnp.where(itself, jnp.inf, jnp.sum(apart**2, axis=0)))

    if few:
        return of(jnp.int32(0))
    each = jnp.moveaxis(jax.lax.map(of, jnp.arange(0, atoms, block)), 0, -2)
    return each.reshape(*each.shape[:-2], atoms)


def _square(x: ArrayLike) -> jax.Array:
    return jnp.asarray(x, jnp.float32) ** 2


def _functions(basis: Basis, q: jax.Array) -> list[jax.Array]:
    """Functions b_k of q = r^2, each of the shape of q."""
    inverse = 1 / q**3
    found = [inverse**2, inverse]
    if basis.terms:
        x, window = _argument(basis, q)
        before, now = x, jnp.ones_like(x)  # T_{-1} = T_1
        for _ in range(basis.terms):
            found.append(window * now)
            before, now = now, 2 * x * now - before
    return found


def _shifted(basis: Basis, q: jax.Array) -> list[jax.Array]:
    edge = _functions(basis, _square(basis.cutoff))
    return [b - at for b, at in zip(_functions(basis, q), edge, strict=True)]


def _argument(basis: Basis, q: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give x and the window w of the Chebyshev functions; beyond their span x = -1 and w = 0."""
    inner, outer = (end**2 for end in basis.span)
    q = jnp.clip(q, inner, outer)
    return 1 - 2 * (q - inner) / (outer - inner), jnp.square(1 - q / outer)


def _correction(basis: Basis, c: jax.Array, q: jax.Array) -> jax.Array:
    """Sum of the Chebyshev functions; 0 beyond their span."""
    x, window = _argument(basis, q)
    return window * _clenshaw([c[2 + k] for k in range(basis.terms)], x)


def _correction_slope(basis: Basis, c: jax.Array, q: jax.Array) -> jax.Array:
    """Give its derivative by q: as the window is a polynomial of x too, one series of `terms`."""
    inner, outer = (end**2 for end in basis.span)
    x, _ = _argument(basis, q)
    window = (1 - inner / outer) ** 2 / 4 * np.array([1.5, 2, 0.5])  # of (1 + x)^2
    rate = -2 / (outer - inner)  # dx/dq
    each = [chebyshev.chebder(chebyshev.chebmul(window, e)) * rate for e in np.eye(basis.terms)]
    matrix = np.stack([np.pad(one, (0, basis.terms + 1 - len(one))) for one in each], axis=1)
    series = jnp.asarray(matrix, jnp.float32) @ c[2:]
    inside = (q > inner) & (q < outer)
    return jnp.where(inside, _clenshaw(list(series), x), 0)


def _clenshaw(series: list[jax.Array], x: jax.Array) -> jax.Array:
    """Sum of Chebyshev polynomials, by Clenshaw's recurrence."""
    one = two = jnp.zeros_like(x)
    for coefficient in series[:0:-1]:
        one, two = 2 * x * one - two + coefficient, one
    return x * one - two + series[0]


def _energy(basis: Basis, c: jax.Array, square: jax.Array) -> jax.Array:
    edge = _square(basis.cutoff)

    def powers(q: jax.Array) -> jax.Array:
        inverse = 1 / q**3
        return inverse * (c[0] * inverse + c[1])

    q = jnp.minimum(square, edge)
    found = powers(q) - powers(edge)
    return found + _correction(basis, c, q) if basis.terms else found


def _slope(basis: Basis, c: jax.Array, q: jax.Array) -> jax.Array:
    """Give du/dq at q = r^2, inside of the cutoff."""
    inverse = 1 / q
    cube = inverse**3
    found = -inverse * cube * (6 * c[0] * cube + 3 * c[1])
    if basis.terms:
        found += _correction_slope(basis, c, q)
    return found
