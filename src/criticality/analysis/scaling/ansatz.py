"""Finite-size-scaling forms: which combination of control and size makes all curves one.

Every scaling form is y = D(L) f(x) with x = (p - p_c) S(L).  Inside the analysis S and D are
divided by their values at the largest size, so that x has the unit of p and f is the curve of the
largest size; results are given without that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from criticality.analysis.scaling.checks import finite, positive
from criticality.analysis.stats import Array
from criticality.base import InputError

NU = (
    0.1,
    100.0,
)  # range of the exponent nu, and of nu_eff for a BKT form; its prior is log-uniform
BETA = (-5.0, 5.0)  # uniform prior
SMALL = 1e-4  # theta that is zero
# L_0, if not fixed, lies between these shares of the smallest size: it is a microscopic length.  As
# L_0 and sigma go to zero together the form becomes a power law, and would be its own rival.
REFERENCE = (1e-3, 0.1)
PIVOT = 0.9  # of the smallest size: what L_0 of a smooth exponent may be, which is any length
FAR = 100.0  # spans of the control that a p_c which is given may lie away

Fixable = float | Literal["free"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a form on given data.

    Attributes
    ----------
    name
        "p_c", "nu", "sigma", "beta", "L0".
    low, high
        Limits, where it is free; the prior is uniform between them, in the logarithm if `log`.
    log
        Whether its logarithm is what is fitted.
    fixed
        Its value where it is not fitted.
    """

    name: str
    low: float
    high: float
    log: bool = False
    fixed: float | None = None


class Ansatz(Protocol):
    """A form; `Algebraic`, `BKT`, `NoTransition`, `Crossover`, `Drift`, `Free`."""

    @property
    def name(self) -> str:
        """As in reports."""

    @property
    def family(self) -> str:
        """One of "algebraic", "bkt", "no transition", "crossover", "drift", "free"."""

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """Parameters on these points."""

    def coordinates(
        self, values: dict[str, Array], control: Array, size: Array, largest: float
    ) -> tuple[list[Array], Array]:
        """Give the coordinates of f, normally one, and ln D; each broadcasts to [..., N].

        `values` holds the parameters as [..., 1] or scalars; S and D are 1 at size `largest`.
        """

    def slopes(
        self, values: dict[str, float], control: Array, size: Array, largest: float
    ) -> dict[str, tuple[Array, Array]]:
        """Differentiate (x, ln D), [N] each, by every parameter (by its logarithm if `log`)."""

    def scale(self, values: dict[str, float], size: Array) -> tuple[Array, Array]:
        """S(L) and D(L), not normalised, for axes of figures."""


@dataclass(frozen=True)
class Algebraic:
    """y = L^(-beta/nu) f[(p - p_c) L^(1/nu)]: xi ~ |p - p_c|^-nu, Eq. (19) of Pan et al.

    Each parameter is "free" or a number; `beta` = 0 is an observable without anomalous dimension.
    """

    p_c: Fixable = "free"
    nu: Fixable = "free"
    beta: Fixable = 0.0

    @property
    def name(self) -> str:
        """As in reports."""
        return "algebraic"

    @property
    def family(self) -> str:
        """What a verdict is about."""
        return "algebraic"

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """p_c, nu and beta."""
        _least(size)
        return (
            _critical_point(self.p_c, control),
            _exponent(self.nu, "nu", *NU, log=True),
            _exponent(self.beta, "beta", *BETA, log=False),
        )

    def coordinates(
        self, values: dict[str, Array], control: Array, size: Array, largest: float
    ) -> tuple[list[Array], Array]:
        """X and ln D, normalised by the largest size."""
        log = np.log(size / largest) / values["nu"]
        return [(control - values["p_c"]) * np.exp(log)], -values["beta"] * log

    def slopes(
        self, values: dict[str, float], control: Array, size: Array, largest: float
    ) -> dict[str, tuple[Array, Array]]:
        """Differentiate by p_c, ln nu and beta."""
        log = np.log(size / largest) / values["nu"]
        factor = np.exp(log)
        zero = np.zeros_like(log)
        return {
            "p_c": (-factor, zero),
            "nu": (-(control - values["p_c"]) * factor * log, values["beta"] * log),
            "beta": (zero, -log),
        }

    def scale(self, values: dict[str, float], size: Array) -> tuple[Array, Array]:
        """L^(1/nu) and L^(-beta/nu)."""
        return size ** (1 / values["nu"]), size ** (-values["beta"] / values["nu"])


@dataclass(frozen=True)
class BKT:
    """y = f[(p - p_c) ln(L/L_0)^(1/sigma)]: xi ~ exp(b |p - p_c|^-sigma).

    Eqs. (9) and (13) of Pan et al.  `sigma` is "free" or a number, 1/2 in the standard theory.
    `L0` is a number, or "marginal": then it is fitted with a log-uniform prior, see
    `REFERENCE`, and integrated out in the errors of the others.
    """

    p_c: Fixable = "free"
    sigma: Fixable = "free"
    L0: float | Literal["marginal"] = 1.0

    @property
    def name(self) -> str:
        """As in reports."""
        return f"bkt (L0 {'marginal' if self.L0 == 'marginal' else f'= {self.L0:g}'})"

    @property
    def family(self) -> str:
        """What a verdict is about."""
        return "bkt"

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """p_c, sigma and L0.

        Raises
        ------
        InputError
            If a size is not above L0, so that its logarithm is not positive.
        """
        least = _least(size)
        if self.L0 == "marginal":
            reference, fixed = math.sqrt(REFERENCE[0] * REFERENCE[1]) * least, None
        else:
            fixed = reference = positive("L0", self.L0)
            if least <= fixed:
                raise InputError(
                    f"size {least:g} is not above L0 = {fixed:g}, so that ln(L/L0) is not "
                    f'positive; choose a smaller L0, or "marginal".'
                )
        geometric = float(np.exp(np.log(np.unique(size)).mean()))
        ratio = math.log(geometric / reference)  # sigma = nu_eff / ratio
        return (
            _critical_point(self.p_c, control),
            _exponent(self.sigma, "sigma", NU[0] / ratio, NU[1] / ratio, log=True),
            Parameter(
                name="L0",
                low=least * REFERENCE[0],
                high=least * REFERENCE[1],
                log=True,
                fixed=fixed,
            ),
        )

    def coordinates(
        self, values: dict[str, Array], control: Array, size: Array, largest: float
    ) -> tuple[list[Array], Array]:
        """X, normalised by the largest size, and ln D = 0."""
        log = np.log(np.log(size / values["L0"]) / np.log(largest / values["L0"]))
        x = (control - values["p_c"]) * np.exp(log / values["sigma"])
        return [x], np.zeros_like(x)

    def slopes(
        self, values: dict[str, float], control: Array, size: Array, largest: float
    ) -> dict[str, tuple[Array, Array]]:
        """Differentiate by p_c, ln sigma and ln L0."""
        here, there = np.log(size / values["L0"]), math.log(largest / values["L0"])
        log = np.log(here / there) / values["sigma"]
        factor = np.exp(log)
        x = (control - values["p_c"]) * factor
        zero = np.zeros_like(log)
        return {
            "p_c": (-factor, zero),
            "sigma": (-x * log, zero),
            "L0": (x / values["sigma"] * (1 / there - 1 / here), zero),
        }

    def scale(self, values: dict[str, float], size: Array) -> tuple[Array, Array]:
        """ln(L/L0)^(1/sigma) and 1."""
        return np.log(size / values["L0"]) ** (1 / values["sigma"]), np.ones_like(size)


@dataclass(frozen=True)
class SmoothExponent(BKT):
    """y = f[(p - p_0) ln(L/L_0)], any f: a power of the size with an exponent that is smooth in p.

    Curves F[a(p) ln L, p] with an analytic a cross where a is zero, and have no singularity.  They
    are a BKT form with sigma = 1, which therefore is no evidence of a transition by itself.
    """

    sigma: Fixable = 1.0
    L0: float | Literal["marginal"] = "marginal"

    @property
    def name(self) -> str:
        """As in reports."""
        return "smooth exponent"

    @property
    def family(self) -> str:
        """What a verdict is about."""
        return "smooth exponent"

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """As of BKT; but L_0 is no microscopic length, and may be as large as logarithms allow."""
        *others, reference = super().parameters(control, size)
        return (*others, replace(reference, high=PIVOT * _least(size)))


@dataclass(frozen=True)
class NoTransition:
    """y = f(p) at every size: nothing depends on the size."""

    @property
    def name(self) -> str:
        """As in reports."""
        return "no transition"

    @property
    def family(self) -> str:
        """What a verdict is about."""
        return "no transition"

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """None."""
        return ()

    def coordinates(
        self, values: dict[str, Array], control: Array, size: Array, largest: float
    ) -> tuple[list[Array], Array]:
        """Give the control itself."""
        return [control], np.zeros_like(control)

    def slopes(
        self, values: dict[str, float], control: Array, size: Array, largest: float
    ) -> dict[str, tuple[Array, Array]]:
        """None."""
        return {}

    def scale(self, values: dict[str, float], size: Array) -> tuple[Array, Array]:
        """1 and 1."""
        return np.ones_like(size), np.ones_like(size)


@dataclass(frozen=True)
class Crossover(NoTransition):
    """y = f[(p - p_0) / (1 + L_x/L)]: curves that sharpen only up to a limit, with no singularity.

    L_x lies between a tenth of the smallest size and the geometric mean of all: the sharpening ends
    within the data.  Slower saturation than 1/L cannot be told from a BKT form.
    """

    @property
    def name(self) -> str:
        """As in reports."""
        return "smooth crossover"

    @property
    def family(self) -> str:
        """What a verdict is about."""
        return "crossover"

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """p_0 and L_x."""
        middle = float(np.exp(np.log(np.unique(size)).mean()))
        return (
            Parameter(name="p_0", low=float(control.min()), high=float(control.max())),
            Parameter(name="L_x", low=_least(size) / 10, high=middle, log=True),
        )

    def coordinates(
        self, values: dict[str, Array], control: Array, size: Array, largest: float
    ) -> tuple[list[Array], Array]:
        """X, normalised by the largest size, and ln D = 0."""
        sharp = (1 + values["L_x"] / largest) / (1 + values["L_x"] / size)
        x = (control - values["p_0"]) * sharp
        return [x], np.zeros_like(x)

    def slopes(
        self, values: dict[str, float], control: Array, size: Array, largest: float
    ) -> dict[str, tuple[Array, Array]]:
        """Differentiate by p_0 and ln L_x."""
        here, there = values["L_x"] / size, values["L_x"] / largest
        sharp = (1 + there) / (1 + here)
        x = (control - values["p_0"]) * sharp
        zero = np.zeros_like(x)
        return {
            "p_0": (-sharp, zero),
            "L_x": (x * (there / (1 + there) - here / (1 + here)), zero),
        }

    def scale(self, values: dict[str, float], size: Array) -> tuple[Array, Array]:
        """1 / (1 + L_x/L) and 1."""
        return 1 / (1 + values["L_x"] / size), np.ones_like(size)


@dataclass(frozen=True)
class Free(NoTransition):
    """y = f(p, ln L), smooth in both and no more: a curve for each size, with no scaling.

    What a scaling form has to beat before curves of different sizes can be said to collapse; a
    smooth crossover is of this kind.
    """

    @property
    def name(self) -> str:
        """As in reports."""
        return "free curves"

    @property
    def family(self) -> str:
        """What a verdict is about."""
        return "free"

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """None."""
        _least(size)
        return ()

    def coordinates(
        self, values: dict[str, Array], control: Array, size: Array, largest: float
    ) -> tuple[list[Array], Array]:
        """Give the control, and the logarithm of the size in units of a decade."""
        return [control, np.log10(size / largest)], np.zeros_like(control)


@dataclass(frozen=True)
class Drift(NoTransition):
    """y = a(p) + b(p) (L^theta - 1)/theta, smooth a and b: the size acts in one way everywhere.

    At theta = 0 it acts as ln L: a power law at every p, if y is a logarithm.  Where b goes through
    zero curves of all sizes cross, with no singularity anywhere; near there y depends on
    (p - p_c) L^theta, or on (p - p_c) ln L, a BKT form with sigma = 1, L0 = 1.  What tells a
    transition from it is that the whole curve collapses, and not only its slope.
    """

    @property
    def name(self) -> str:
        """As in reports."""
        return "smooth drift"

    @property
    def family(self) -> str:
        """What a verdict is about."""
        return "drift"

    def parameters(self, control: Array, size: Array) -> tuple[Parameter, ...]:
        """Theta."""
        _least(size)
        return (Parameter(name="theta", low=-1.0, high=1.0),)

    def slopes(
        self, values: dict[str, float], control: Array, size: Array, largest: float
    ) -> dict[str, tuple[Array, Array]]:
        """None: theta does not move the control."""
        zero = np.zeros_like(control)
        return {"theta": (zero, zero)}

    def growth(self, theta: Array, size: Array) -> tuple[Array, Array]:
        """(L^theta - 1)/(theta ln 10), L in units of the geometric mean, and its derivative."""
        log = np.log(size) - np.log(np.unique(size)).mean()
        t = np.where(np.abs(theta) < SMALL, SMALL, theta)
        power = np.exp(t * log)
        grown = (power - 1) / t
        return grown / math.log(10), (power * log - grown) / t / math.log(10)


def _least(size: Array) -> float:
    """Smallest size, which must have a logarithm."""
    least = float(size.min())
    if least <= 0:
        raise InputError(f"size {least:g}: scaling needs the logarithm of sizes; expected > 0.")
    return least


def nu_eff(sigma: Any, size: Array, reference: Any) -> Any:
    """Exponent of the power law that a BKT form is nearly equal to: sigma ln(L_geo / L_0).

    On one or two decades of L the two cannot be told apart, and the algebraic fit then gives this.
    `L_geo` is the geometric mean of the sizes; `sigma` and `reference` may be arrays.
    """
    return sigma * np.log(float(np.exp(np.log(np.unique(size)).mean())) / reference)


def _critical_point(value: Fixable, control: Array) -> Parameter:
    low, high = float(control.min()), float(control.max())
    fixed = _number(value, "p_c")
    if fixed is not None and not -FAR < (fixed - low) / (high - low or 1.0) < FAR:
        raise InputError(f"p_c = {fixed:g}: far from the measured range, {low:g} to {high:g}.")
    return Parameter(name="p_c", low=low, high=high, fixed=fixed)


def _exponent(value: Fixable, name: str, low: float, high: float, log: bool) -> Parameter:
    """Parameter that is free, or has a value within its limits."""
    fixed = _number(value, name)
    if fixed is not None and log:
        positive(name, fixed)
    if fixed is not None and not low <= fixed <= high:
        raise InputError(f"{name} = {fixed:g}: expected {low:.3g} to {high:.3g} on these sizes.")
    return Parameter(name=name, low=low, high=high, log=log, fixed=fixed)


def _number(value: Fixable, name: str) -> float | None:
    """Give a number, or None for "free"."""
    if value == "free":
        return None
    if isinstance(value, str):
        raise InputError(f'{name} = {value!r}: expected a number or "free".')
    return finite(name, value)
