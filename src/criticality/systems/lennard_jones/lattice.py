"""What is exact of the Lennard-Jones crystal: static energy, harmonic modes, their free energy.

Energies 4 (r^-12 - r^-6) a pair, truncated and shifted, with the mean-field tail, as everywhere in
this folder; fcc, whose conventional cells have 4 atoms; reduced units.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["free_energy", "missing", "modes", "size_term", "static_energy"]

Array = NDArray[np.float64]

FAR = 16.0  # distance beyond which a sum over shells is an integral


def static_energy(density: float, cutoff: float) -> float:
    """Energy an atom of the lattice at rest, with cutoff, shift and mean-field tail."""
    r = np.linalg.norm(_vectors(cutoff, density), axis=1)
    edge = float(_pair(np.array(cutoff)))
    tail = 8 * math.pi * density * (4 / 9 / cutoff**9 - 2 / 3 / cutoff**3) - edge / 2
    return float(0.5 * np.sum(_pair(r) - edge)) + tail


def missing(density: float, cutoff: float) -> float:
    """Energy an atom that the mean-field tail of a cutoff misses of the full lattice, at rest.

    Shells stand where they stand: beyond a cutoff just outside of one, g = 1 counts too much.
    """
    return static_energy(density, FAR) - static_energy(density, cutoff)


def modes(cells: int, density: float, cutoff: float) -> Array:
    """Eigenvalues of the Hessian of a periodic box of cells^3 cells, [3N - 3]: without the centre.

    Wave vectors are those of the box, q = 2 pi h / (cells a), in one zone of the fcc lattice.
    """
    side = (4 / density) ** (1 / 3)
    r = _vectors(cutoff, density)
    return _spectrum(cells, side, r, *_slopes(np.linalg.norm(r, axis=1)))


def free_energy(cells: int, temperature: float, density: float, cutoff: float) -> float:
    """Helmholtz energy an atom of the harmonic crystal of N = 4 cells^3 atoms, without momenta.

    F/T = N u_0 / T + sum over modes of ln(k / 2 pi T) / 2 - ln(v) - 3/2 ln N: the last two are the
    volume of the free centre of mass, V/N, and its Jacobian.
    """
    atoms = 4 * cells**3
    k = modes(cells, density, cutoff)
    vibration = 0.5 * np.sum(np.log(k / (2 * math.pi * temperature)))
    centre = -math.log(density) + 1.5 * math.log(atoms)
    return static_energy(density, cutoff) + temperature * float(vibration - centre) / atoms


def size_term(cells: int, large: int = 12) -> tuple[float, float]:
    """Give C and S_N of the crystal with springs of stiffness 1 between nearest neighbours.

    The sum of ln(k) / 2 over the modes of N atoms is N m + ln N + C, where m is that of an infinite
    crystal; T S_N is the mean square displacement.

    Parameters
    ----------
    cells
        Of the box.
    large
        Of a box whose C is that of an infinite one.
    """
    r = _vectors(0.75, 4.0)  # of side 1

    def sums(n: int) -> tuple[int, float, float]:
        k = _spectrum(n, 1.0, r, np.zeros(len(r)), np.ones(len(r)))
        atoms = 4 * n**3
        return atoms, float(0.5 * np.log(k).sum() - math.log(atoms)), float((1 / k).sum() / atoms)

    (less, one, _), (more, two, _) = sums(large - 2), sums(large)
    atoms, total, spread = sums(cells)
    return total - atoms * (two - one) / (more - less), spread


def _pair(r: Array) -> Array:
    return np.asarray(4 * (r**-12.0 - r**-6.0))


def _slopes(r: Array) -> tuple[Array, Array]:
    """u'/r and u''."""
    return 4 * (-12 * r**-14.0 + 6 * r**-8.0), 4 * (156 * r**-14.0 - 42 * r**-8.0)


def _vectors(reach: float, density: float) -> Array:
    """From a site to all others nearer than the reach, [M, 3]."""
    side = (4 / density) ** (1 / 3)
    many = int(reach / side) + 2
    base = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cells = np.indices([2 * many + 1] * 3).reshape(3, -1).T - many
    r = side * (cells[:, None] + base).reshape(-1, 3)
    square = np.sum(r**2, axis=1)
    near: Array = r[(square > 0) & (square < reach**2)]
    return near


def _spectrum(cells: int, side: float, r: Array, over: Array, second: Array) -> Array:
    """Eigenvalues of sum over R of (1 - cos q R) times the spring matrix of R."""
    e = r / np.linalg.norm(r, axis=1)[:, None]
    spring = (second - over)[:, None, None] * e[:, :, None] * e[:, None, :]
    spring += over[:, None, None] * np.eye(3)
    # half of the cube [0, 2 cells)^3 is one zone: reciprocal vectors are all even or all odd
    h = np.indices([cells, 2 * cells, 2 * cells]).reshape(3, -1).T[1:]
    angle = 2 * math.pi / (cells * side) * (h @ r.T)
    found = [
        np.linalg.eigvalsh(np.tensordot(1 - np.cos(a), spring, axes=1))
        for a in np.array_split(angle, math.ceil(angle.size / 1e6))
    ]
    return np.concatenate(found).ravel()
