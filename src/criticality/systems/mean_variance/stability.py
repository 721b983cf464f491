"""Where the constant solution is stable, of networks with leaky ReLU; no jax.

In the constant solution all parameters are zero but the biases of both outputs, which minimise the
loss alone.  One hidden unit with inward weights and bias w and outward weight a adds
a phi(w . (x, 1)) to an output, and to the loss, to second order in its parameters,

    rho (1/n) sum_i g_i a phi(w . (x_i, 1)) + k (a^2 + |w|^2),

where g is the slope of a sample's likelihood by the output, and k = (1 - rho) gamma for the mean,
(1 - rho)(1 - gamma) for the precision.  With one hidden layer the least of this, at |a| = |w|, is
a^2 (2 k - rho D), where D is the greatest |(1/n) sum_i g_i phi(w . (x_i, 1))| of unit w: where
rho D > 2 k constants are unstable, and the function grows continuously from zero.

With two hidden layers or more what depends on x is of third order or more.  To second order there
is only a phi(b) with a bias b of the last hidden layer, which is unstable if the output's bias is
beyond 1; that of the mean is 0, that of the precision below 0.55.  So the constant solution is a
local minimum of the loss at every rho < 1, and another can take over by a jump only.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from criticality.analysis.stats import Array
from criticality.systems.mean_variance.network import SLOPE

ANGLES = 20_000
BIASES = (-20.0, 20.0)  # of the precision's output


def constant(y: Array, rho: float, gamma: float) -> tuple[float, float]:
    """Bias and value of a constant precision, of standardised targets."""
    square = float(np.mean(y**2))

    def loss(bias: float) -> float:
        precision = np.logaddexp(0, bias)
        likelihood = precision * square - np.log(precision)
        return float(rho * likelihood + (1 - rho) * (1 - gamma) * bias**2)

    bias = float(minimize_scalar(loss, bounds=BIASES, method="bounded", options={"xatol": 1e-9}).x)
    return bias, float(np.logaddexp(0, bias))


def margins(x: Array, y: Array, rho: float, gamma: float) -> tuple[float, float]:
    """Give rho D / 2 k of mean and precision, of one hidden layer: above 1 they are not constant.

    Parameters
    ----------
    x, y
        Training samples [n] of one standardised feature, and standardised targets.
    """
    bias, precision = constant(y, rho, gamma)
    slopes = (-2 * precision * y, (y**2 - 1 / precision) / (1 + np.exp(-bias)))
    angle = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)[:, None]
    z = np.cos(angle) * x + np.sin(angle)
    phi = np.where(z > 0, z, SLOPE * z)
    of_mean, of_precision = (float(np.abs(phi @ g).max()) / len(y) for g in slopes)
    k = 2 * (1 - rho)
    return rho * of_mean / (k * gamma), rho * of_precision / (k * (1 - gamma))
