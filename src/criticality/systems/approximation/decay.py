"""How an error decays with the number of weights W: as W^-p, exp(-c sqrt W), or exp(-c W)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from criticality.base import Estimate, InputError

Array = NDArray[Any]
LEAST = 3  # networks, for a rate with an error
LAWS: dict[str, Callable[[Array], Array]] = {"power": np.log, "root": np.sqrt, "linear": np.asarray}


class Decay(NamedTuple):
    """A straight line of ln error against a function of W.

    Attributes
    ----------
    rate
        Minus its slope.
    log_amplitude
        Its value at zero.
    residual
        Root mean square distance of ln error to it, with n - 2 degrees of freedom.
    """

    rate: Estimate
    log_amplitude: float
    residual: float


def decay(weights: Array, errors: Array, law: str) -> Decay:
    """Fit a law of `LAWS` by least squares; the error of its rate is from the scatter about it.

    Parameters
    ----------
    weights, errors
        [n], three different weights or more.

    Raises
    ------
    InputError
        For fewer: their scatter says nothing.
    """
    if (different := len(np.unique(weights))) < LEAST:
        raise InputError(f"a decay needs {LEAST} different networks; there are {different}.")
    x, y = LAWS[law](np.asarray(weights, float)), np.log(errors)
    (slope, start), *_ = np.polyfit(x, y, 1, full=True)
    residual = float(np.sqrt(np.sum((y - start - slope * x) ** 2) / (len(x) - 2)))
    error = residual / float(np.sqrt(np.sum((x - x.mean()) ** 2)))
    method = f"line of ln error against {law} of W, from the scatter about it"
    rate = Estimate(value=-float(slope), error=error, n=len(x), method=method)
    return Decay(rate, float(start), residual)
