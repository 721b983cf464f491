r"""Exact results for the Potts model on the square lattice with a coupling J = 1 of neighbours.

The transition is at T_t = 1/ln(1 + sqrt q) for any q, continuous up to q = 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from criticality.base import InputError

LEAST = 1e-17  # of the terms of a series, below which they add nothing


def transition_temperature(states: float) -> float:
    """Give T_t = 1/ln(1 + sqrt q) [R. B. Potts, Proc. Camb. Phil. Soc. 48, 106 (1952)].

    Raises
    ------
    InputError
        For fewer than two states.
    """
    if states < 2:
        raise InputError(f"states = {states}: expected 2 or more.")
    return 1 / math.log1p(math.sqrt(states))


def mean_energy(states: int) -> float:
    """Give (e_o + e_d)/2 = -(1 + 1/sqrt q) at T_t, by duality; the energy itself up to q = 4."""
    return -(1 + 1 / math.sqrt(states))


def latent_heat(states: int) -> float:
    """Give e_d - e_o at T_t; 0 up to q = 4.

    2 (1 + 1/sqrt q) tanh(theta/2) prod_n tanh^2(n theta), where 2 cosh theta = sqrt q
    [R. J. Baxter, J. Phys. C 6, L445 (1973)].
    """
    if states <= 4:
        return 0.0
    theta = math.acosh(math.sqrt(states) / 2)
    terms = _series(lambda n: -2 * math.log(math.tanh((n + 1) * theta)))
    return -2 * mean_energy(states) * math.tanh(theta / 2) * math.exp(-terms)


def interface_tension(states: int) -> float:
    """Give 2 sigma between order and disorder at T_t, over T; 0 up to q = 4.

    It is 1/xi, xi the correlation length of the disordered phase there: 4 times the sum over n of
    ln[(1 + w_n)/(1 - w_n)], w_n = 1/(sqrt 2 cosh[(n + 1/2) pi^2 / 2v]),
    v = ln{[sqrt(sqrt q + 2) + sqrt(sqrt q - 2)]/2} [C. Borgs & W. Janke, J. Phys. I France 2, 2011
    (1992)].
    """
    if states <= 4:
        return 0.0
    root = math.sqrt(states)
    v = math.log((math.sqrt(root + 2) + math.sqrt(root - 2)) / 2)

    def w(n: int) -> float:
        return 1 / (math.sqrt(2) * math.cosh((n + 0.5) * math.pi**2 / (2 * v)))

    return _series(lambda n: 8 * math.atanh(w(n)))


def _series(term: Callable[[int], float]) -> float:
    """Sum of positive terms that fall exponentially, from n = 0 on."""
    return sum(itertools.takewhile(lambda value: value > LEAST, map(term, itertools.count())))
