"""Replica-symmetric phases of restricted Boltzmann machines whose weights are patterns.

The symbols are of `equations`.  Given T and the noise sigma = sqrt(alpha r), the equations of the
visible spins fix m and C, those of the hidden units then r, and alpha = sigma^2 / r: a branch is an
explicit curve over sigma.  Its fold (the spinodal) is a maximum of alpha, and no step of a
continuation in T or alpha can lose it.  Of a given sigma there is at most one m > 0, since E_z tanh
is concave there; Newton from m = 1 falls on it from above.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from criticality.base import InputError
from criticality.systems.rbm import STATES
from criticality.systems.rbm.equations import (
    TWICE,
    Array,
    Model,
    Saddle,
    free_energy,
    hidden,
    visible,
)

__all__ = [
    "Lines",
    "Model",
    "Saddle",
    "glass_line",
    "global_line",
    "lines",
    "solve",
    "spinodal",
]

Start = Literal["pattern", "random"]
HOTTEST = 1 - 1e-6  # above it retrieval is lost, to loads of 1e-12
COLDEST = 1e-4  # below it no glass is looked for


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """Lines of a phase diagram: loads over temperatures, and a temperature over loads."""

    temperatures: Array
    spinodal: Array
    globally: Array
    loads: Array
    glass: Array


def solve(model: Model, temperature: float, load: float, start: Start = "pattern") -> Saddle:
    """Solution that a start leads to.

    Parameters
    ----------
    model, temperature, load
        What is solved; T >= 0, alpha > 0.
    start
        "pattern": the stable solution with m > 0, all NaN where there is none.  "random": the one
        with m = 0, paramagnet or glass.  (Where it is not unique, as for the discrete units of a
        threshold of about 4 and more below T = 1, at loads of hundreds: one of them.)

    Returns
    -------
    Saddle
        All equations hold to 1e-8, and mostly to 1e-14, but for r of m = 0 where 1 - C is below
        1e-9 (T < 1, at loads below 1e-3; of relu units at any load, where T is so near 1 that the
        fields sqrt(q) eta do not reach the threshold): the residual tells, and r is that of the
        visible spins.

    Raises
    ------
    InputError
        If T < 0 or alpha <= 0.
    """
    _check(temperature, load)
    if _silent(model):
        return _closed(model, temperature, load, start)
    return _solved(*_scaled(model, temperature), load, start)


def spinodal(model: Model, temperature: float) -> float:
    """Largest load at which the pattern is retrieved, if only metastably.

    NaN where it is at none; +inf where at all.
    """
    _check(temperature)
    if _silent(model):
        return _at_any_load(_closed(model, temperature, 1.0, "pattern").m > 0)
    return _fold(*_scaled(model, temperature))[1]


def global_line(model: Model, temperature: float) -> float:
    """Largest load at which the pattern has the least free energy; NaN or +inf as of `spinodal`."""
    _check(temperature)
    if _silent(model):
        pattern, other = (_closed(model, temperature, 1.0, s) for s in ("pattern", "random"))
        return _at_any_load(pattern.f < other.f)
    model, T = _scaled(model, temperature)
    most = _fold(model, T)[1]

    def excess(load: float) -> float:
        return _solved(model, T, load, "pattern").f - _solved(model, T, load, "random").f

    if math.isnan(most) or excess(most) <= 0:
        return most
    return float(brentq(excess, 1e-3 * most, most, xtol=1e-14))


def glass_line(model: Model, load: float) -> float:
    """Temperature below which the solution with m = 0 is unstable (de Almeida and Thouless).

    The highest one; NaN where there is none, +inf where no temperature of order one is above.
    """
    _check(load=load)
    if _silent(model):
        return math.nan
    if model.scaling < 0.5:
        return math.inf
    high = 2.0
    while _replicon(model, high, load) < 0:
        high *= 2
    low = 0.8 * high
    while _replicon(model, low, load) > 0:
        low *= 0.8
        if low < COLDEST:
            return math.nan
    return float(brentq(lambda T: _replicon(model, T, load), low, low / 0.8, xtol=1e-14))


def lines(
    model: Model, temperatures: Sequence[float] | Array, loads: Sequence[float] | Array
) -> Lines:
    """All lines of the phase diagram, to be drawn over what was sampled."""
    return Lines(
        temperatures=np.array(temperatures, float),
        spinodal=np.array([spinodal(model, T) for T in temperatures]),
        globally=np.array([global_line(model, T) for T in temperatures]),
        loads=np.array(loads, float),
        glass=np.array([glass_line(model, load) for load in loads]),
    )


def _check(temperature: float = 0.0, load: float = 1.0) -> None:
    if not (0 <= temperature < math.inf and 0 < load < math.inf):
        raise InputError(
            f"temperature = {temperature}, load = {load}: expected a temperature of 0 or more, and "
            f"a load above 0."
        )


def _overlap(T: float, sigma: Any) -> Array:
    """Find the one m > 0 of a noise [...], from above; 0 where there is none."""
    m = np.ones_like(np.asarray(sigma, float))
    for _ in range(100):
        now = visible(T, m, sigma)
        new = np.maximum(m - (now["m"] - m) / np.minimum(now["C"] - 1, -1e-12), 0.0)
        done = np.all(np.abs(new - m) < 1e-15)
        m = np.minimum(new, m)
        if done:
            break
    return m


def _load(model: Model, T: float, sigma: Any, start: Start) -> Array:
    """Give alpha of a noise [...]: a branch as an explicit curve."""
    m = _overlap(T, sigma) if start == "pattern" else 0 * np.asarray(sigma, float)
    spin = visible(T, m, sigma)
    load: Array = np.asarray(sigma, float) ** 2 / hidden(model, T, spin["q"], spin["C"])["r"]
    return load


@functools.lru_cache(maxsize=4096)
def _widest(T: float) -> float:
    """Noise at which C = 1 for m = 0; 0 where there is none.

    Beyond it nothing is retrieved; below it unbounded hidden units run away, if m = 0.
    """
    if T == 0 or T >= HOTTEST:
        return 0.0 if T else TWICE
    return float(brentq(lambda s: float(visible(T, 0.0, s)["C"]) - 1, 1e-9, TWICE, xtol=1e-15))


@functools.lru_cache(maxsize=4096)
def _fold(model: Model, T: float) -> tuple[float, float]:
    """Noise and load at the fold of the retrieval branch; NaN where there is no branch."""
    if model.prior in STATES or T >= HOTTEST:
        return math.nan, math.nan
    grid = np.linspace(0.0, _widest(T), 42)[1:-1]
    best = int(np.argmax(_load(model, T, grid, "pattern")))
    found = minimize_scalar(
        lambda sigma: -float(_load(model, T, sigma, "pattern")),
        bounds=(grid[best] - grid[0], grid[best] + grid[0]),
        method="bounded",
        options={"xatol": 1e-9 * grid[best]},
    )
    return float(found.x), -float(found.fun)


def _noise(model: Model, T: float, load: float, start: Start) -> float:
    """Noise sigma of a load; 0 in a paramagnet, NaN where there is no solution."""

    def excess(t: float) -> float:  # a broken power law, straight at both ends
        return math.log(float(_load(model, T, floor + math.exp(t), start)) / load)

    if start == "pattern":
        fold, most = _fold(model, T)
        if not load < most:
            return fold if load == most else math.nan
        floor, high = 0.0, math.log(fold)
        if excess(high) <= 0:  # the load of the fold, but for rounding
            return fold
    else:
        floor, high = 0.0 if model.prior in STATES else _widest(T), 0.0
        while excess(high) < 0:
            high += 2
    low = high - 2
    while excess(low) > 0:
        low -= 2
        if low < -25:
            return floor
    return floor + math.exp(float(brentq(excess, low, high, xtol=1e-14)))


@functools.lru_cache(maxsize=4096)
def _solved(model: Model, T: float, load: float, start: Start) -> Saddle:
    """As `solve`, at x = 1/2."""
    sigma = _noise(model, T, load, start)
    if math.isnan(sigma):
        return Saddle()
    m = float(_overlap(T, sigma)) if start == "pattern" else 0.0
    q, C = (float(visible(T, m, sigma)[name]) for name in ("q", "C"))
    unit = hidden(model, T, q, C)
    # not the hidden units' own: that cannot be had from C where it diverges, as C reaches 1
    r = sigma**2 / load
    spin = visible(T, m, sigma)
    own = float(unit["r"])
    wrong: list[Any] = [
        spin["m"] - m,
        spin["q"] - q,
        spin["C"] - C,
        (own - r) / max(1.0, own, r),
    ]
    return Saddle(
        m=m,
        q=q,
        r=r,
        C=C,
        f=free_energy(model, T, load, m, r, q, C),
        replicon=1 - load * float(spin["sech4"] * unit["variance"]) if T else -math.inf,
        residual=float(max(map(abs, wrong))),
    )


def _replicon(model: Model, T: float, load: float) -> float:
    """Of the solution with m = 0; where there may be a paramagnet, of that, stable or not.

    The latter passes zero at a finite slope, while the glass is only marginally unstable there.
    """
    if T > 1 or model.prior in STATES:
        unit = hidden(model, T, 0.0, 1 / T)
        if unit["r"] < 1e-24:
            return 1 - load * float(unit["variance"]) / T**2
    return _solved(model, T, load, "random").replicon


def _silent(model: Model) -> bool:
    """Whether x < 1/2 and patterns that are not retrieved leave their hidden units at rest."""
    return model.scaling < 0.5 and model.threshold > 0 and model.prior != "gaussian"


def _scaled(model: Model, T: float) -> tuple[Model, float]:
    """Model at x = 1/2, and its temperature, that one comes to at x < 1/2 if no units are silent.

    Energies grow as N^(1-2x) where h is unbounded and as N^(1/2-x) where it is bounded, so that no
    temperature is left in leading order; unbounded h grow as N^(1/2-x), and have no bias either.
    """
    if model.scaling == 0.5:
        return model, T
    return Model(prior=model.prior, bias=model.bias if model.prior in STATES else 0.0), 0.0


def _closed(model: Model, T: float, load: float, start: Start) -> Saddle:
    """Solution at x < 1/2 where units of patterns that are not retrieved are silent."""
    bounded, rest = model.prior in STATES, -1.0 if model.prior == "binary" else 0.0
    r, jump = (rest - model.bias) ** 2, 1 - rest  # of the unit of the pattern, when it responds
    sure: dict[str, float] = {"r": r, "replicon": 1.0, "residual": 0.0}
    if start == "random":
        if r:  # random fields that grow with N
            f = -TWICE * math.sqrt(load * r) if bounded else 0.0
            return Saddle(m=0.0, q=1.0, C=0.0, f=f, **sure)
        f = -T * math.log(2) if bounded else 0.0
        return Saddle(m=0.0, q=0.0, C=1 / T if T else math.inf, f=f, **sure)
    threshold = 0.0 if model.scaling else model.threshold  # the field N^(1-x) beside N^(1-2x)
    if not bounded and threshold < 1:
        return Saddle(m=1.0, q=1.0, C=0.0, f=-((1 - threshold) ** 2) / 2, **sure)
    if model.scaling and T:
        return Saddle()  # a bounded unit moves a spin by N^-x
    m = math.tanh(jump / T) if T else 1.0
    if r or not bounded or m <= threshold:
        return Saddle()
    free = T * float(np.logaddexp(jump / T, -jump / T)) if T else jump
    C = (1 - m**2) / T if T else 0.0
    return Saddle(m=m, q=m**2, C=C, f=threshold * jump - free, **sure)


def _at_any_load(so: bool) -> float:
    return math.inf if so else math.nan
