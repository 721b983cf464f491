r"""Replica-symmetric equations of restricted Boltzmann machines whose weights are patterns.

The energy of N visible spins s = +-1 and P = alpha N hidden units h, with patterns xi = +-1, is

    E = - sum_{i mu} xi_i^mu N^-x s_i (h_mu - c) + sum_mu [u(h_mu) + theta N^(1-2x) a(h_mu)].

Priors: gaussian (h real, u = h^2/2, a = 0; the Hopfield model), relu (h >= 0, u = h^2/2, a = h),
binary (h = +-1, a = h), zero_one (h = 0, 1, a = h), ternary (h = -1, 0, 1, a = |h|).

At x = 1/2, with beta = 1/T, g = h - c, C = beta (1 - q) and standard normal z, eta,

    m = E_z tanh beta(m + sigma z),  q = E_z tanh^2 beta(m + sigma z),  sigma^2 = alpha r,
    r = E_eta <g>^2 under the weight exp beta[-u - theta a + C g^2/2 + sqrt(q) eta g],
    f = m^2/2 - T alpha E_eta ln Z_h + alpha r C/2 - T E_z ln 2 cosh beta(m + sigma z).

Here, m is felt by unbounded h alone, which can grow as sqrt(N) with the retrieved pattern: bounded
ones have m = 0.  At T = 0, q = 1, C stays, and averages over h are maxima.  f is stationary in m, q
and r.

Amit, Gutfreund & Sompolinsky, Ann. Phys. 173, 30 (1987) for the Hopfield model; the normalisations
are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf, erfcx, log_ndtr

from criticality.base import InputError, unknown
from criticality.systems.rbm import PRIORS, STATES

Array = np.ndarray[Any, np.dtype[np.float64]]

TWICE = math.sqrt(2 / math.pi)  # the density of z at 0, twice
RUNAWAY = 1e-15  # least 1 - C: at C = 1 unbounded hidden units have no finite average
TINY = 1e-200  # in place of a width of zero

# of integrals over a standard normal: nodes on panels, finer around the kinks of the integrand,
# whose poles are some widths away
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
PANELS = np.linspace(-9.0, 9.0, 11)
AROUND = np.array([-20.0, -6.0, -2.0, 0.0, 2.0, 6.0, 20.0])


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is solved; the symbols are of the module.

    Attributes
    ----------
    prior
        Of the hidden units, one of `PRIORS`.
    threshold
        theta >= 0; a gaussian prior has none.
    bias
        c: each visible spin feels W (h - c).
    scaling
        x in [0, 1/2]; below 1/2 the leading order in N is meant.
    """

    prior: str = "gaussian"
    threshold: float = 0.0
    bias: float = 0.0
    scaling: float = 0.5

    def __post_init__(self) -> None:
        """Raise `InputError` for what has no equations."""
        if self.prior not in PRIORS:
            raise unknown("prior", self.prior, PRIORS)
        fine = 0 <= self.threshold < math.inf and math.isfinite(self.bias)
        if not (fine and 0 <= self.scaling <= 0.5):
            raise InputError(
                f"threshold = {self.threshold}, bias = {self.bias}, scaling = {self.scaling}: "
                f"expected finite numbers, no threshold below 0, and a scaling in [0, 0.5]."
            )


@dataclass(frozen=True, kw_only=True)
class Saddle:
    """A solution; all NaN where there is none.

    Attributes
    ----------
    m, q, r
        Overlap with the pattern, replica overlap, and noise E <h - c>^2 of the hidden units.
    C
        Susceptibility beta (1 - q), finite at T = 0.
    f
        Free energy a visible spin, with the counting measure of discrete h and dh sqrt(beta/2 pi)
        of others.  Below x = 1/2 in units of the leading power of N.
    replicon
        1 - alpha beta^4 E sech^4 E (<h^2> - <h>^2)^2: below 0 the solution is unstable (de Almeida
        and Thouless); -inf at T = 0.
    residual
        Largest violation of the equations of m, q, C and r (of r, relative where it is above 1).
    """

    m: float = math.nan
    q: float = math.nan
    r: float = math.nan
    C: float = math.nan
    f: float = math.nan
    replicon: float = math.nan
    residual: float = math.nan


def _normal(kinks: Array, width: Array) -> tuple[Array, Array]:
    """Nodes and weights [..., n] of E_z of functions with kinks [..., k] of a width [...]."""
    around = kinks[..., None] + np.maximum(width, TINY)[..., None, None] * AROUND
    around = around.reshape(*around.shape[:-2], -1)
    fixed = np.broadcast_to(PANELS, (*around.shape[:-1], len(PANELS)))
    edges = np.sort(np.clip(np.concatenate([fixed, around], axis=-1), -9.0, 9.0), axis=-1)
    half = np.diff(edges)[..., None] / 2
    z = edges[..., :-1, None] + half * (1 + NODES)
    weight = half * WEIGHTS * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return z.reshape(*edges.shape[:-1], -1), weight.reshape(*edges.shape[:-1], -1)


def visible(T: float, m: Any, sigma: Any) -> dict[str, Array]:
    """Averages over the field m + sigma z of a visible spin.

    Returns
    -------
    dict
        m, q and C: the right-hand sides of the equations; `entropy`: T E ln 2 cosh; `sech4`:
        beta^2 E sech^4, infinite at T = 0.
    """
    m, sigma = np.broadcast_arrays(np.asarray(m, float), np.maximum(sigma, TINY))
    if T == 0:
        y = m / sigma
        density = TWICE / sigma * np.exp(-(y**2) / 2)
        mean = erf(y / math.sqrt(2))
        size = m * mean + sigma**2 * density
        one = np.ones_like(m)
        return {"m": mean, "q": one, "C": density, "entropy": size, "sech4": math.inf * one}
    z, weight = _normal(-(m / sigma)[..., None], T / sigma)
    u = (m[..., None] + sigma[..., None] * z) / T
    decay = np.exp(-2 * np.abs(u))
    mean, square = np.tanh(u), 4 * decay / (1 + decay) ** 2
    return {
        "m": (weight * mean).sum(-1),
        "q": (weight * mean**2).sum(-1),  # 1 - T C is not precise near q = 0
        "C": (weight * square).sum(-1) / T,
        "entropy": T * (weight * (np.abs(u) + np.log1p(decay))).sum(-1),
        "sech4": (weight * square**2).sum(-1) / T**2,
    }


def hidden(model: Model, T: float, q: Any, C: Any) -> dict[str, Array]:
    """Averages over the field sqrt(q) eta of a hidden unit.

    Returns
    -------
    dict
        r; `entropy`: T E ln Z_h; `variance`: beta^2 E (<h^2> - <h>^2)^2, 0 at T = 0.
    """
    q, C = np.broadcast_arrays(np.asarray(q, float), np.asarray(C, float))
    c, root = model.bias, np.maximum(np.sqrt(np.maximum(q, 0.0)), TINY)
    if model.prior == "gaussian":
        a = np.maximum(1 - C, RUNAWAY)
        return {
            "r": (q + c**2) / a**2,
            "entropy": (q + c**2) / (2 * a) - c**2 / 2 - T / 2 * np.log(a),
            "variance": 1 / a**2 if T else 0 * a,
        }
    if model.prior == "relu":
        return _relu(model, T, root, C)
    h = np.array(STATES[model.prior])
    g, cost = h - c, model.threshold * (np.abs(h) if model.prior == "ternary" else h)
    one, two = np.triu_indices(len(h), 1)
    # fields at which two states are equally good
    kinks = (cost[two] - cost[one] - C[..., None] * (g[two] ** 2 - g[one] ** 2) / 2) / (
        root[..., None] * (g[two] - g[one])
    )
    eta, weight = _normal(kinks, T / root)
    field = (root[..., None] * eta)[..., None]
    gain = C[..., None, None] * g**2 / 2 + field * g - cost
    best = gain.max(-1, keepdims=True)
    p = np.exp((gain - best) / T) if T else (gain == best).astype(float)
    total = p.sum(-1)
    p /= total[..., None]
    mean = (p * g).sum(-1)
    variance = (p * (g - mean[..., None]) ** 2).sum(-1) / T if T else 0 * mean
    return {
        "r": (weight * mean**2).sum(-1),
        "entropy": (weight * (best[..., 0] + T * np.log(total))).sum(-1),
        "variance": (weight * variance**2).sum(-1),
    }


def _relu(model: Model, T: float, root: Array, C: Array) -> dict[str, Array]:
    """As `hidden`: a Gaussian of mean b/a and variance T/a, cut off below 0."""
    c, a = model.bias, np.maximum(1 - C, RUNAWAY)[..., None]
    kink = (model.threshold + C * c) / root
    eta, weight = _normal(kink[..., None], np.sqrt(T * a[..., 0]) / root)
    b = root[..., None] * eta - model.threshold - (1 - a) * c
    if T == 0:
        mean = np.maximum(b, 0.0) / a
        entropy, variance = np.maximum(b, 0.0) ** 2 / (2 * a), 0 * mean
    else:
        x = b / np.sqrt(a * T)
        hazard = TWICE / erfcx(-x / math.sqrt(2))  # density over distribution function
        mean = np.sqrt(T / a) * np.maximum(x + hazard, 0.0)
        variance = np.clip(1 - hazard * (x + hazard), 0.0, 1.0) / a
        entropy = T * (x**2 / 2 + log_ndtr(x) - np.log(a) / 2)
        entropy = np.where(
            x < 0, T * np.log(erfcx(-np.minimum(x, 0) / math.sqrt(2)) / 2 / np.sqrt(a)), entropy
        )
    return {
        "r": (weight * (mean - c) ** 2).sum(-1),
        "entropy": (weight * (entropy + (1 - a) * c**2 / 2)).sum(-1),
        "variance": (weight * variance**2).sum(-1),
    }


def free_energy(
    model: Model, T: float, load: float, m: float, r: float, q: float, C: float
) -> float:
    """Give f where C = (1 - q)/T, or q = 1 at T = 0; it is stationary at solutions."""
    spin, unit = visible(T, m, math.sqrt(load * r)), hidden(model, T, q, C)
    return float(m**2 / 2 + load * (r * C / 2 - unit["entropy"]) - spin["entropy"])
