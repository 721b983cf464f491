"""Curves that scale only near the transition and only for large systems, and nulls beside them.

What real curves do and exactly scaling ones (`known_systems.synthetic`) do not: the range that is
looked at and the least size decide what is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from criticality.analysis.scaling.data import ScalingData
from tests import known_systems as known

SIZES = (500, 1300, 3300, 8500, 22000, 58000)
CONTROL = np.linspace(0.25, 0.85, 16)
P_C = 0.55
SLOPE, RISE = 4.0, 2.1  # together a rise of 20 over CONTROL at the largest size


def curve(x: np.ndarray, t: np.ndarray, rise: float = RISE) -> np.ndarray:
    """A ramp in the scaling variable x times a regular amplitude in t = p - p_c; 1 at p_c."""
    return np.log1p(np.exp(SLOPE * x)) / np.log(2) * np.exp(rise * t)


def measured(
    mean: Callable[[int, np.ndarray], np.ndarray],
    rng: np.random.Generator,
    *,
    sizes: Sequence[int] = SIZES,
    realizations: int = 20,
    noise: float = 0.05,
    correlation: float = 0.8,
    p_c: float = P_C,
) -> ScalingData:
    """Samples about `mean(size, t = p - p_c)` [points], each network with errors relative to it."""
    columns: list[np.ndarray] = []
    for size in sizes:
        y = mean(size, CONTROL - p_c)
        shape = (realizations, len(CONTROL))
        table = y * (1 + known.network_noise(shape, noise, correlation, rng))
        number = np.arange(realizations)[:, None] + np.zeros(shape)
        columns.append(
            np.stack([CONTROL + np.zeros(shape), size + np.zeros(shape), number, table]).reshape(
                4, -1
            )
        )
    return ScalingData.from_samples(*np.concatenate(columns, axis=1))


def transition(
    kind: str,
    exponent: float,
    rng: np.random.Generator,
    *,
    rise: float = RISE,
    sizes: Sequence[int] = SIZES,
    **options: float,
) -> ScalingData:
    """A transition at p_c (P_C): `curve` of a scaling field t + t^2, with a correction L^-omega.

    The correction is 2 to 8 % of y at the smallest size, of either sign; omega is 0.5 to 1.5.
    """
    correction = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.02), np.log(0.08)))
    omega = np.exp(rng.uniform(np.log(0.5), np.log(1.5)))
    largest = known.growth(kind, exponent, max(sizes))

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        scale = known.growth(kind, exponent, size) / largest
        small = correction * (size / min(sizes)) ** -omega * (1 + 2 * t)
        return curve((t + t**2) * scale, t, rise) * (1 + small)

    return measured(mean, rng, sizes=sizes, **options)


def crossover(rng: np.random.Generator, *, power: float = 1.0, **options: float) -> ScalingData:
    """Curves that sharpen like 1 / (1 + (L_x/L)^power) and saturate: no transition."""

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        return curve((t + t**2) / (1 + (1000 / size) ** power), t)

    return measured(mean, rng, **options)


def constant(rng: np.random.Generator, **options: float) -> ScalingData:
    """Curves that do not depend on the size, but for a correction: no transition."""

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        return curve(t, t) * (1 + 0.05 * (size / min(SIZES)) ** -0.5)

    return measured(mean, rng, **options)


def drifting(rng: np.random.Generator, **options: float) -> ScalingData:
    """Curves that shift by a tenth of the range each decade and never settle: no transition."""

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        return curve(t - 0.06 * np.log10(size / 5000), t)

    return measured(mean, rng, **options)


def smooth_exponent(rng: np.random.Generator, **options: float) -> ScalingData:
    """A power of the size whose exponent goes smoothly through zero (y a logarithm): no transition.

    All curves cross at P_C, and nearly collapse with a BKT form.
    """

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        return 3 + 5 * t + (1.2 * t + 0.6 * t**2) * np.log(size / 5000)

    return measured(mean, rng, **options)


def learning_curves(rng: np.random.Generator, **options: float) -> ScalingData:
    """ln(a + b L^alpha) with a, b and alpha smooth in p, and alpha = 0 at P_C: no transition.

    The same as a BKT form with sigma = 1 and a regular part: nothing tells them apart.
    """

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        power = (size / 5000) ** (1.2 * t + 0.6 * t**2)
        return 1.5 + np.log(0.3 * np.exp(2 * t) + np.exp(3 * t) * power)

    return measured(mean, rng, **options)


def learning_losses(rng: np.random.Generator, **options: float) -> ScalingData:
    """a + b L^alpha with a, b and alpha smooth in p, and alpha = 0 at P_C: no transition."""

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        power = (size / 5000) ** (1.2 * t + 0.6 * t**2)
        return 0.3 * np.exp(2 * t) + np.exp(3 * t) * power

    return measured(mean, rng, **options)


def power_laws(rng: np.random.Generator, **options: float) -> ScalingData:
    """A power of the size, of itself and not of a logarithm, with a smooth exponent: no transition.

    The exponent bends, as tanh(3 t), and goes through zero at P_C.
    """

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        return np.exp(4 * t) * (size / 5000) ** (0.6 * np.tanh(3 * t))

    return measured(mean, rng, **options)


def bounded_losses(rng: np.random.Generator, **options: float) -> ScalingData:
    """A loss that ends at ln 10, whose odds are a power of the size with a smooth exponent.

    No transition; and no smooth drift of the loss, or of its logarithm, either.
    """

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        odds = np.exp(6 * t) * (size / 5000) ** (0.6 * np.tanh(3 * t))
        return np.log(10) * odds / (1 + odds)

    return measured(mean, rng, **options)


def accuracies(rng: np.random.Generator, **options: float) -> ScalingData:
    """An accuracy from chance to 0.98, with odds as of `bounded_losses`: no transition."""

    def mean(size: int, t: np.ndarray) -> np.ndarray:
        return 0.1 + 0.88 / (1 + np.exp(6 * t) * (size / 5000) ** (1.2 * t))

    return measured(mean, rng, **options)
