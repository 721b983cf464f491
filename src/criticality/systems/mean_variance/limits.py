"""Closed forms of the field theory: limits in which it can be solved by hand.

Eigenvectors of the second difference of n points with free ends are cosines, with eigenvalues
kappa_k = 4 n^2 sin^2(pi k / 2n), k = 0 .. n-1; the symbols are of `theory`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.optimize import brentq, minimize_scalar

from criticality.systems.mean_variance.theory import Weights

Array = NDArray[np.float64]
GRID = 4000  # places of u at which extrema are looked for


class Stiff(NamedTuple):
    """One Lambda everywhere (beta to infinity): an explicit curve over u = Lambda / alpha.

    The mean of mode k is y_k u / (kappa_k + u), what is left r^2(u) = sum_k |y_k|^2 [kappa_k /
    (kappa_k + u)]^2, and Lambda (r^2 + e^2) = 1 gives alpha = 1 / h(u), h = u (r^2(u) + e^2).
    """

    power: Array  # |y_k|^2 / n [n]
    stiffness: Array  # kappa_k [n]
    e: float

    def left(self, u: float) -> float:
        """Training MSE r^2(u)."""
        return float(np.sum(self.power * (self.stiffness / (self.stiffness + u)) ** 2))

    def h(self, u: float) -> float:
        """1 / alpha."""
        return u * (self.left(u) + self.e**2)

    def free_energy(self, u: float) -> float:
        """F, as `theory.objective`."""
        alpha = 1 / self.h(u)
        rough = np.sum(self.stiffness * self.power * (u / (self.stiffness + u)) ** 2)
        return float(1 - math.log(alpha * u) + alpha * rough)

    def roots(self, alpha: float) -> list[float]:
        """All u of this alpha, ascending: calibrated, barrier, overfit; or one of them."""
        grid = self._grid()
        sign = np.array([alpha * self.h(u) - 1 for u in grid]) > 0
        return [
            float(
                brentq(lambda u: alpha * self.h(u) - 1, grid[i], grid[i + 1], xtol=1e-14 * grid[i])
            )
            for i in np.flatnonzero(sign[1:] != sign[:-1])
        ]

    def ends(self) -> list[tuple[float, float]]:
        """Give (u, alpha) where branches end, extrema of h: the calibrated one, the overfit one."""
        grid = self._grid()
        rising = np.diff([self.h(u) for u in grid]) > 0
        found = []
        for i in np.flatnonzero(rising[1:] != rising[:-1]):
            sign = -1 if rising[i] else 1
            best = minimize_scalar(
                lambda x, sign=sign: sign * math.log(self.h(math.exp(x))),
                bounds=np.log(grid[[i, i + 2]]),
                method="bounded",
                options={"xatol": 1e-12},
            )
            u = math.exp(best.x)
            found.append((u, 1 / self.h(u)))
        return found

    def _grid(self) -> Array:
        low, high = self.stiffness[1] * 1e-6, self.stiffness[-1] / max(self.e, 1e-6) * 1e3
        return np.geomspace(low, high, GRID)


def stiff(y: Array, e: float = 0.0) -> Stiff:
    """Give the limit of infinite beta, of targets y [n] whose mean is 0."""
    n = len(y)
    return Stiff(dct(y, norm="ortho") ** 2 / n, _stiffness(n), e)


def _stiffness(n: int) -> Array:
    return 4 * n**2 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2


def noise_left(w: float) -> float:
    """Share of white noise that a mean leaves, of many targets.

    int_0^pi (dt / pi) [s / (s + u)]^2 with s = sin^2(t / 2) and u = w^2 / (1 - w^2) = Lambda /
    (4 n^2 alpha).
    """
    return (1 - w) ** 2 * (1 + w / 2)


CRITICAL_W = math.sqrt(0.6)
# resolution over the deviation of the noise above which no branch of many targets ends
CRITICAL = (1 - CRITICAL_W) * math.sqrt(0.7 * CRITICAL_W - 0.1)


def white(e: float = 0.0) -> tuple[float, float]:
    """Give alpha n^2 s^2 where the calibrated branch ends, and the overfit one, of many targets.

    As in `Stiff`, with noise of deviation s, resolution e s and n to infinity: 1 / alpha = 4 n^2
    s^2 u (noise_left + e^2) is extremal where 4 e^2 = (1 - w)^2 (3 w^3 + 6 w^2 + w - 4), of which
    the largest value is at w^2 = 3/5.  There both ends meet, in a critical point: NaN beyond.
    Without resolution the overfit branch ends nowhere: +inf.
    """
    if e >= CRITICAL:
        return math.nan, math.nan

    def excess(w: float) -> float:
        return (1 - w) ** 2 * (3 * w**3 + 6 * w**2 + w - 4) / 4 - e**2

    def ended(low: float, high: float) -> float:
        w = brentq(excess, low, high, xtol=1e-15)
        return float((1 - w**2) / (4 * w**2 * (noise_left(w) + e**2)))

    return ended(0.0, CRITICAL_W), ended(CRITICAL_W, 1.0) if e else math.inf


def weak(y: Array, weights: Weights, e: float = 0.0) -> tuple[Array, Array]:
    """Mean and precision to first order in 1/alpha and 1/beta, as rho goes to 0.

    To order zero mu is the mean of y and Lambda_0 = 1 / (<y^2> + e^2), y less its mean and <> the
    mean over targets.  With G the pseudo-inverse of kappa, the first order is

        mu_1 = Lambda_0 G y / alpha + <Lambda_1 y> / Lambda_0,
        Lambda_1 = G (<y^2> - y^2) / (2 beta) + 2 Lambda_0^2 <y mu_1>.

    The constants follow from sum_i Lambda_i (mu_i - y_i) = 0 and sum_i [(mu_i - y_i)^2 + e^2 - 1 /
    Lambda_i] = 0, which hold of every stationary point.
    """
    off = y - y.mean()
    variance = float(np.mean(off**2))
    level = 1 / (variance + e**2)
    mean = level * _relaxed(off) / weights.alpha
    precision = _relaxed(variance - off**2) / (2 * weights.beta)
    precision = precision + 2 * level**2 * np.mean(off * mean)
    mean = mean + np.mean(precision * off) / level
    return y.mean() + mean, level + precision


def _relaxed(source: Array) -> Array:
    """Apply the pseudo-inverse of kappa."""
    modes = dct(source, norm="ortho")
    modes[0] = 0.0
    modes[1:] /= _stiffness(len(source))[1:]
    found: Array = idct(modes, norm="ortho")
    return found
