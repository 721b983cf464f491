"""Free-energy differences from stored energies: integration over nodes, BAR and MBAR.

Energies here are reduced, u = (U + P V) / T, and so are free energies.  What is doubtful is
flagged, by these names:

- "few samples": a series has fewer independent samples than `FEW`
- "poor overlap": two neighbouring states share so little that their difference rests on few samples
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from criticality.base import Estimate, Flag, InputError

__all__ = ["bar", "inefficiency", "integral", "legendre", "mbar", "mean"]

Array = NDArray[np.float64]

FEW = 20  # independent samples of a series, below which its error is not known
OVERLAP = 0.03  # of neighbouring states, below which a difference is doubtful (pymbar's advice)


def legendre(nodes: int, low: float = 0.0, high: float = 1.0) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature between two ends, [nodes] each."""
    x, weights = np.polynomial.legendre.leggauss(nodes)
    return low + (high - low) * (x + 1) / 2, (high - low) / 2 * weights


def integral(weights: ArrayLike, means: ArrayLike, errors: ArrayLike) -> Estimate:
    """Thermodynamic integral: weighted sum of independent means at the nodes of a quadrature.

    Parameters
    ----------
    weights, means, errors
        [nodes]; standard errors.

    Raises
    ------
    InputError
        If they are not of one length.
    """
    w, m, e = (np.asarray(x, float) for x in (weights, means, errors))
    if not (w.ndim == 1 and w.shape == m.shape == e.shape):
        raise InputError(
            f"integral: weights, means and errors have the shapes {w.shape}, {m.shape}, {e.shape}: "
            f"expected one number of each for every node."
        )
    return _normal(w @ m, math.sqrt(w**2 @ e**2), 0, "thermodynamic integration")


def inefficiency(series: ArrayLike) -> float:
    """Give how many samples of a series [n] are worth an independent one; 1 if it is constant.

    1 + 2 sum of rho(t) to its first zero [Chodera et al., J. Chem. Theory Comput. 3, 26 (2007)].
    """
    x = np.asarray(series, float)
    if np.ptp(x) == 0:
        return 1.0
    with _pymbar() as pymbar:
        return float(pymbar.timeseries.statistical_inefficiency(x))


def mean(series: ArrayLike) -> tuple[Estimate, tuple[Flag, ...]]:
    """Mean of a correlated series [n]."""
    x = np.asarray(series, float)
    independent = len(x) / inefficiency(x)
    error = float(x.std(ddof=1)) / math.sqrt(independent)
    return _normal(float(x.mean()), error, 0, "mean of a series"), _few([independent], "series")


def bar(forward: ArrayLike, backward: ArrayLike) -> tuple[Estimate, tuple[Flag, ...]]:
    """Difference f_1 - f_0 of two states by Bennett's acceptance ratio, which is MBAR of the two.

    Parameters
    ----------
    forward
        u_1 - u_0 of samples of state 0, in the order of their times.
    backward
        u_0 - u_1 of samples of state 1.

    Source: Bennett, J. Comput. Phys. 22, 245 (1976).
    """
    one, two = (np.asarray(x, float) for x in (forward, backward))
    estimates, flags = mbar([np.stack([0 * one, one]), np.stack([two, 0 * two])])
    return dataclasses.replace(estimates[1], method="BAR"), flags


def mbar(
    reduced: Sequence[ArrayLike],
) -> tuple[tuple[Estimate, ...], tuple[Flag, ...]]:
    """Free energies f_k - f_0 of states by the multistate acceptance ratio.

    Error: asymptotic, of as many samples as are independent; samples between are left out.

    Parameters
    ----------
    reduced
        Of each state k, energies [K, n_k] of its samples in all K states, in the order of their
        times.  A state without samples ([K, 0]) is known from those of the others.

    Returns
    -------
    free_energies
        [K], the first of them 0.
    flags
        "few samples" of a state, "poor overlap" of two neighbours, which are in the order given.

    Source: Shirts & Chodera, J. Chem. Phys. 129, 124105 (2008).
    """
    every = [np.asarray(u, float) for u in reduced]
    states = len(every)
    if states < 2 or any(u.ndim != 2 or u.shape[0] != states for u in every):
        raise InputError(
            f"mbar: energies of the shapes {[u.shape for u in every]}: expected two states or "
            f"more, and of each an array [{states}, samples]."
        )
    # how a series decorrelates shows in the energy that drives it to the next state
    thin = [
        u[:, _independent(u[k + 1 if k + 1 < states else k - 1] - u[k])] if u.shape[1] else u
        for k, u in enumerate(every)
    ]
    counts = np.array([u.shape[1] for u in thin])
    with _pymbar() as pymbar:
        protocol = ({"method": "adaptive"},)  # SciPy's warns of options that pymbar gives it
        solved = pymbar.MBAR(np.concatenate(thin, axis=1), counts, solver_protocol=protocol)
        found = solved.compute_free_energy_differences()
        shared = np.asarray(solved.compute_overlap()["matrix"])
    values, errors = (np.asarray(found[name])[0] for name in ("Delta_f", "dDelta_f"))
    sampled = np.flatnonzero(counts)
    flags = _few([counts[k] for k in sampled], "state", sampled)
    for one, other in itertools.pairwise(sampled):
        if not min(shared[one, other], shared[other, one]) >= OVERLAP:
            flags += (_poor(f"states {one} and {other}", float(shared[one, other])),)
    estimates = [
        _normal(float(v), float(e), 0, "MBAR") for v, e in zip(values, errors, strict=True)
    ]
    return tuple(estimates), flags


def _normal(value: float, error: float, n: int, method: str) -> Estimate:
    reach = 1.96 * error
    return Estimate(
        value=float(value), error=error, low=value - reach, high=value + reach, n=n, method=method
    )


def _independent(series: Array) -> NDArray[np.intp]:
    """Numbers of samples that are one inefficiency apart."""
    apart = inefficiency(series)
    numbers: NDArray[np.intp] = np.floor(np.arange(0, len(series) - 0.5, apart)).astype(np.intp)
    return numbers


def _few(counts: Sequence[float], what: str, numbers: Any = None) -> tuple[Flag, ...]:
    names = [what] * len(counts) if numbers is None else [f"{what} {n}" for n in numbers]
    return tuple(
        Flag("few samples", name, f"{name}: {count:.0f} independent samples, fewer than {FEW}")
        for name, count in zip(names, counts, strict=True)
        if count < FEW
    )


def _poor(pair: str, shared: float) -> Flag:
    text = f"{pair} overlap by {shared:.1g} only, less than {OVERLAP}: put states between them"
    return Flag("poor overlap", pair, text)


@contextlib.contextmanager
def _pymbar() -> Iterator[Any]:
    """Give pymbar on NumPy, without its advice about JAX on the screen.

    With JAX it would compile anew for every number of samples, and leave the whole process in 64
    bits: so JAX is out of sight when it is imported, and if somebody else was first, the precision
    is given back.
    """
    logger, jax = logging.getLogger("pymbar"), sys.modules.get("jax")
    level, wide = logger.level, jax and jax.config.jax_enable_x64
    logger.setLevel(logging.CRITICAL)
    try:
        if "pymbar" not in sys.modules:
            sys.modules["jax"] = None  # type: ignore[assignment]
            try:
                importlib.import_module("pymbar")
            finally:
                del sys.modules["jax"]
                if jax:
                    sys.modules["jax"] = jax
        yield importlib.import_module("pymbar")
    finally:
        logger.setLevel(level)
        if jax:
            jax.config.update("jax_enable_x64", wide)
