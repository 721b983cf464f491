"""The melting line of the full Lennard-Jones potential as published.

Mastny & de Pablo, J. Chem. Phys. 127, 104504 (2007): densities of both phases, and the pressure in
the form of Agrawal and Kofke.  The densities were checked against a copy of their equations 20 and
21; the coefficients of the pressure are from memory, and some percent too high by our own free
energies (docs/melting.md).  Reduced units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LOWEST", "densities", "pressure", "temperature"]

Array = NDArray[np.float64]

LOWEST, HIGHEST = 0.694, 3.0  # temperatures of the table
SOLID = (0.908629, -0.041510, 0.514632, -0.708590, 0.428351, -0.095229)
LIQUID = (0.90735, -0.27120, 0.91784, -1.16270, 0.68012, -0.15284)
PRESSURE = (16.89, -7.2866, -2.9895)


def densities(temperature: ArrayLike) -> tuple[Array, Array]:
    """Densities of solid and liquid on the line."""
    t = np.asarray(temperature, float)
    solid, liquid = (t**0.25 * np.polynomial.polynomial.polyval(1 / t, c) for c in (SOLID, LIQUID))
    return solid, liquid


def pressure(temperature: ArrayLike) -> Array:
    """Pressure on the line."""
    t = np.asarray(temperature, float)
    series = np.polynomial.polynomial.polyval(1 / t, PRESSURE)
    return np.asarray(t**1.25 * np.exp(-0.4759 / np.sqrt(t)) * series)


def temperature(pressure_: ArrayLike) -> Array:
    """Temperature on the line, by interpolation between 2,000 of them."""
    t = np.linspace(LOWEST, HIGHEST, 2000)
    return np.asarray(np.interp(np.asarray(pressure_, float), pressure(t), t))
