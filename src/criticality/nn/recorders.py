"""What is kept of a time series, in memory that does not grow with its length.

States of these recorders are arrays of fixed shapes, parts of a system's state: they work under
`vmap` and in `while_loop`, and are saved in checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from criticality.base import InputError


def times(
    steps: int, count: int, spacing: Literal["logarithmic", "linear"] = "logarithmic"
) -> tuple[int, ...]:
    """Choose steps at which to record: distinct, ascending, the last of them `steps`.

    Logarithmic ones begin with 1 and are as nearly of one ratio as distinct whole numbers can be.

    Raises
    ------
    InputError
        Unless 1 <= count <= steps, or for another spacing.
    """
    if not 1 <= count <= steps:
        raise InputError(f"{count} times in {steps} steps: expected 1 to {steps} of them.")
    if spacing not in ("logarithmic", "linear"):
        raise InputError(f"spacing = {spacing!r}: expected 'logarithmic' or 'linear'.")
    if count == 1:
        return (steps,)
    wanted = (
        np.geomspace(1, steps, count)
        if spacing == "logarithmic"
        else steps / count * np.arange(1, count + 1)
    )
    order = np.arange(count)
    apart = np.maximum.accumulate(np.rint(wanted).astype(int) - order) + order
    return tuple(np.minimum(apart, steps - order[::-1]).tolist())


@dataclass(frozen=True)
class Recorder:
    """Values at times that are chosen beforehand, each at the first whole step not before it.

    A series is a tree as the values are, each leaf with a first dimension of times.  Where the
    inner dimension has these times as coordinates, it is an observable as it is; what is not
    reached stays NaN, so that the observable is then `undefined`.

    Attributes
    ----------
    times
        Ascending, at least one.
    """

    times: tuple[float, ...]

    @property
    def steps(self) -> jax.Array:
        """Steps of the times, int32 [times]; what is later than 32 bits count is the last step."""
        return jnp.asarray(np.minimum(np.ceil(self.times), np.iinfo(np.int32).max), jnp.int32)

    def empty(self, value: Any) -> Any:
        """Series without values [times, ...], of a tree of arrays like `value` [...]."""

        def leaf(x: ArrayLike) -> jax.Array:
            kind = jnp.promote_types(jnp.result_type(x), jnp.result_type(float))
            return jnp.full((len(self.times), *jnp.shape(x)), jnp.nan, kind)

        return jax.tree.map(leaf, value)

    def record(self, series: Any, step: ArrayLike, value: Any) -> Any:
        """Series with `value` in it, if `step` is one of the times."""
        now = self.steps == step

        def leaf(old: jax.Array, x: ArrayLike) -> jax.Array:
            return jnp.where(now.reshape(-1, *[1] * (old.ndim - 1)), x, old)

        return jax.tree.map(leaf, series, value)


def never(shape: tuple[int, ...] = ()) -> jax.Array:
    """First passages that have not happened: +inf, as observables that are `censored` have it."""
    return jnp.full(shape, jnp.inf)


def first_passage(before: jax.Array, step: ArrayLike, holds: ArrayLike) -> jax.Array:
    """Step at which a condition held first.

    Parameters
    ----------
    before
        [...]: what was known before this step, `never` at the beginning.
    step
        This one; in 32 bits exact up to 2^24.
    holds
        bool [...].
    """
    return jnp.where(jnp.isinf(before) & holds, jnp.asarray(step, before.dtype), before)


class Moments(NamedTuple):
    """Running central moments of a series, without its values.

    The formulas of Welford (1962) for mean and variance and of Pebay (Sandia report SAND2008-6212)
    for higher orders subtract no large numbers from each other.

    Attributes
    ----------
    number
        int32 []: how many values.
    mean
        [...], as the values.
    sums
        [3, ...]: sums of the second, third and fourth powers of deviations from the mean.
    """

    number: jax.Array
    mean: jax.Array
    sums: jax.Array

    @classmethod
    def none(cls, like: ArrayLike) -> Moments:
        """Moments of no values, which will be as `like` [...]."""
        zero = jnp.zeros_like(jnp.asarray(like, jnp.result_type(like, float)))
        return cls(jnp.int32(0), zero, jnp.stack([zero] * 3))

    def add(self, value: ArrayLike) -> Moments:
        """Moments with one more value [...]."""
        n = (self.number + 1).astype(self.mean.dtype)
        second, third, fourth = self.sums
        delta = value - self.mean
        part = delta / n
        square = delta * part * (n - 1)
        fourth += square * part**2 * (n * n - 3 * n + 3) + 6 * part**2 * second - 4 * part * third
        third += square * part * (n - 2) - 3 * part * second
        sums = jnp.stack([second + square, third, fourth])
        return Moments(self.number + 1, self.mean + part, sums)

    @property
    def variance(self) -> jax.Array:
        """Mean squared deviation [...]; NaN of no values."""
        return self.sums[0] / self.number

    @property
    def third(self) -> jax.Array:
        """Mean third power of the deviation [...]."""
        return self.sums[1] / self.number

    @property
    def fourth(self) -> jax.Array:
        """Mean fourth power of the deviation [...]; 3 variance^2 of Gaussian values."""
        return self.sums[2] / self.number
