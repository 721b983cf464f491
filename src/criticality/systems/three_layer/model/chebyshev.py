"""An explicit Runge-Kutta method for gradient flows: stages spent on stability, not on order.

The Jacobian of a gradient flow has real eigenvalues, and in the lazy regime these differ by
orders of magnitude.  The second-order Runge-Kutta-Chebyshev method is stable on the real axis to
2/3 (s^2 - 1) with s stages, that of Bogacki and Shampine to 2.5 with 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray

Array = NDArray[np.float64]
DAMPING = 2 / 13  # of the stability polynomial, as of Sommeijer, Shampine and Verwer


@dataclass(frozen=True)
class Tableau:
    """Method y' = y + h sum_i last_i F_i, stages Y_j = y + h sum_i stages_ji F_i.

    Attributes
    ----------
    stages
        [s + 1, s + 1]; row s is the result, whose derivative F_s the next step begins with.
    error
        [s + 1]: weights of the estimated local error.
    """

    stages: Array
    error: Array

    @property
    def count(self) -> int:
        """Evaluations of a step, s."""
        return len(self.error) - 1


def tableau(s: int) -> Tableau:
    """Give the method of s >= 2 stages, second order.

    Sommeijer, Shampine and Verwer, J. Comput. Appl. Math. 88, 315 (1998); their recursion of the
    stages is written out.
    """
    w0 = 1 + DAMPING / s**2
    values: Array = np.array([_polynomial(j, w0) for j in range(s + 1)])  # T_j, T_j', T_j''
    t, first, second = values.T
    w1 = first[s] / second[s]
    b = np.ones(s + 1)
    b[2:] = second[2:] / first[2:] ** 2
    b[:2] = b[2], 1 / w0
    a = 1 - b * t
    unit = np.eye(s + 1)
    rows = np.zeros((s + 1, s + 1))
    rows[1] = b[1] * w1 * unit[0]
    for j in range(2, s + 1):
        push = 2 * b[j] * w1 / b[j - 1]
        rows[j] = 2 * b[j] * w0 / b[j - 1] * rows[j - 1] - b[j] / b[j - 2] * rows[j - 2]
        rows[j] += push * (unit[j - 1] - a[j - 1] * unit[0])
    error = -0.8 * rows[s] + 0.4 * (unit[0] + unit[s])
    return Tableau(rows, error)


def _polynomial(degree: int, at: float) -> list[Any]:
    """T_j and its first two derivatives."""
    basis = Chebyshev.basis(degree)
    return [basis(at), basis.deriv(1)(at), basis.deriv(2)(at)]
