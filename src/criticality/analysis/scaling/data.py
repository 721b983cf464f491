"""Curves of one observable against a control parameter, one for each system size.

The unit of data is the realization, whole: its points at several control values are correlated.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from criticality.analysis.scaling import noise
from criticality.analysis.scaling.curve import Curve, from_samples
from criticality.analysis.stats import Array
from criticality.base import InputError

Names = tuple[str, str, str]  # of the control, the size and the observable


@dataclass(frozen=True, eq=False)
class ScalingData:
    """Curves of several sizes; immutable.

    Made by `from_samples`, `from_table`, `from_dataset` or `from_csv`; curves may have different
    control values and numbers of realizations.

    Attributes
    ----------
    curves
        By ascending size.
    names
        Of the control, the size and the observable, for labels and messages.
    given
        [N, N]: covariance of the means, where it was given and is not estimated from samples.
    """

    curves: tuple[Curve, ...]
    names: Names = ("p", "L", "y")
    given: Array | None = None

    # --- construction ---

    @classmethod
    def from_samples(
        cls,
        control: ArrayLike,
        size: ArrayLike,
        realization: ArrayLike,
        value: ArrayLike,
        names: Names = ("p", "L", "y"),
    ) -> ScalingData:
        """Build from long form: one row for each control value, size and realization.

        Rows of the same size and realization are one network, and taken to be correlated; give
        every row its own realization number where they are independent.

        Raises
        ------
        InputError
            For columns of unequal length, text or NaN, duplicate rows, a point with a single
            realization, or a point that does not vary.
        """
        columns = _columns(
            {names[0]: control, names[1]: size, "realization": realization, names[2]: value},
            text=("realization",),
        )
        frame = pd.DataFrame(dict(zip(("p", "L", "r", "y"), columns, strict=True)))
        twice = frame.duplicated(["p", "L", "r"])
        if twice.any():
            row = frame[twice].iloc[0]
            raise InputError(
                f"duplicate rows: {names[0]} = {row.p:g}, {names[1]} = {row.L:g}, realization "
                f"{row.r} occurs more than once; expected one value for each."
            )
        curves = []
        for length, part in frame.groupby("L"):
            table = part.pivot(index="r", columns="p", values="y")
            points = table.columns.to_numpy(float)
            curves.append(from_samples(float(length), points, table.to_numpy()))
        return cls._checked(curves, names)

    @classmethod
    def from_table(
        cls,
        control: ArrayLike,
        size: ArrayLike,
        mean: ArrayLike,
        error: ArrayLike,
        names: Names = ("p", "L", "y"),
    ) -> ScalingData:
        """Build from means and their errors.

        Parameters
        ----------
        control, size, mean
            [N].
        error
            [N]: standard errors, and the points are taken to be independent; or [N, N]: the
            covariance of the means.

        Raises
        ------
        InputError
            For columns of unequal length, text or NaN, duplicate rows, or errors that are not
            positive.
        """
        matrix = np.asarray(error, dtype=float) if np.ndim(error) == 2 else None
        if matrix is not None:
            _check_covariance(matrix)
            with np.errstate(invalid="ignore"):
                error = np.sqrt(np.diag(matrix))
        columns = _columns({names[0]: control, names[1]: size, names[2]: mean, "error": error})
        frame = pd.DataFrame(dict(zip(("p", "L", "y", "d"), columns, strict=True)))
        twice = frame.duplicated(["p", "L"])
        if twice.any():
            row = frame[twice].iloc[0]
            raise InputError(
                f"duplicate rows: {names[0]} = {row.p:g}, {names[1]} = {row.L:g} occurs more than "
                f"once; expected one mean for each."
            )
        if (frame.d <= 0).any():
            row = frame[frame.d <= 0].iloc[0]
            raise InputError(
                f"standard error {row.d:g} at {names[0]} = {row.p:g}, {names[1]} = {row.L:g}: "
                f"expected a positive number."
            )
        curves = []
        for length, part in frame.groupby("L"):
            part = part.sort_values("p")
            arrays = (part[name].to_numpy(float) for name in ("p", "y", "d"))
            curves.append(Curve(float(length), *arrays))
        made = cls._checked(curves, names)
        if matrix is None:
            return made
        order = np.lexsort((columns[0], columns[1]))
        return cls(made.curves, names, matrix[np.ix_(order, order)])

    @classmethod
    def from_dataset(
        cls,
        ds: xr.Dataset,
        control: str,
        size: str,
        observable: str,
        sel: Mapping[str, Any] | None = None,
    ) -> ScalingData:
        """Build from a study's results (`Store.open`); passes are averaged first.

        Parameters
        ----------
        ds
            With dims `control`, `size` and "realization".
        control, size, observable
            Names in `ds`.
        sel
            A value for each other dimension that has more than one.

        Raises
        ------
        InputError
            If a name, a value or a dimension is missing, or one is left over.
        """
        if observable not in ds:
            raise InputError(f"no observable {observable!r}; there are {', '.join(map(str, ds))}.")
        array = ds[observable]
        _check_scatter(ds, array)
        for name, value in (sel or {}).items():
            if name not in array.dims:
                dims = ", ".join(map(str, array.dims))
                raise InputError(f"{observable} has no axis {name!r}; it has {dims}.")
            if value not in array[name].values:
                values = ", ".join(map(str, array[name].values))
                raise InputError(f"{name} = {value} was not measured; it has {values}.")
            array = array.sel({name: value})
        wanted = (size, "realization", control)
        for name in wanted:
            if name not in array.dims:
                dims = ", ".join(map(str, array.dims))
                raise InputError(f"{observable} has no axis {name!r}; it has {dims}.")
        gaps = bool(array.attrs.get("undefined"))  # not a failure of the whole realization
        if "pass" in array.dims and "pass" not in wanted:
            array = array.mean("pass", skipna=gaps)
        for dim in [d for d in array.dims if d not in wanted]:
            if array.sizes[dim] > 1:
                values = ", ".join(map(str, array[dim].values))
                raise InputError(f"{observable} also varies with {dim} ({values}): choose one.")
            array = array.isel({dim: 0})
        if len(set(array[control].values)) < array.sizes[control]:
            raise InputError(
                f"{control} has a value twice, up and down: choose one of its branches, as by "
                f"ds.isel({control}=slice({array.sizes[control] // 2}))."
            )
        array = array.transpose(*wanted).sortby([size, control])
        curves = []
        for length, table in zip(array[size].values, array.values, strict=True):
            there = np.isfinite(table).any(axis=1) if gaps else np.isfinite(table).all(axis=1)
            if there.any():
                curves.append(
                    from_samples(float(length), array[control].values.astype(float), table[there])
                )
        return cls._checked(curves, (control, size, observable))

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        *,
        control: str = "p",
        size: str = "L",
        value: str = "value",
        realization: str = "realization",
        mean: str | None = None,
        error: str | None = None,
    ) -> ScalingData:
        """Read a CSV: samples (`value`, `realization`), or a table if `mean` and `error` are given.

        Raises
        ------
        InputError
            If the file cannot be read, a column is missing, or a text stands for a number.
        """
        try:
            frame = pd.read_csv(path, sep=None, engine="python", encoding="utf-8-sig")
            frame.columns = frame.columns.astype(str).str.strip()
        except (OSError, ValueError) as error_read:
            raise InputError(f"{path}: cannot be read as CSV ({error_read}).") from error_read
        if (mean is None) != (error is None):
            raise InputError("a table needs both a column of means and one of standard errors.")
        table = mean is not None and error is not None
        wanted = [control, size, *((mean, error) if table else (realization, value))]
        for name in wanted:
            if name not in frame.columns:
                raise InputError(
                    f"{path}: no column {name!r}; it has {', '.join(map(str, frame.columns))}."
                )
        a, b, c, d = (frame[name].to_numpy() for name in wanted)
        try:
            if table:
                return cls.from_table(a, b, c, d, (control, size, str(mean)))
            return cls.from_samples(a, b, c, d, (control, size, value))
        except InputError as wrong:
            raise InputError(f"{path}: {wrong}") from wrong

    @classmethod
    def _checked(cls, curves: Sequence[Curve], names: Names) -> ScalingData:
        control, size, _ = names
        for curve in curves:
            if curve.samples is not None:
                few = np.diag(curve.pairs) < 2
                where = f"{size} = {curve.size:g}"
                if few.any():
                    raise InputError(
                        f"a single realization at {control} = {curve.control[few][0]:g}, {where}: "
                        f"no error can be estimated; at least 2 are needed, 10 or more are better."
                    )
                still = curve.error <= 0
                if still.any():
                    raise InputError(
                        f"all realizations agree exactly at {control} = "
                        f"{curve.control[still][0]:g}, {where}: no error can be estimated; leave "
                        f"that point out (--control-range) or give standard errors."
                    )
        if len(curves) < 2:
            raise InputError(
                f"finite-size scaling needs at least two values of {size}; there "
                f"{'is 1' if curves else 'are none'}."
            )
        return cls(tuple(curves), names)

    # --- views ---

    @property
    def sizes(self) -> Array:
        """[curves], ascending."""
        return np.array([curve.size for curve in self.curves])

    @property
    def size(self) -> Array:
        """[N]: size of every point, curve after curve."""
        return np.concatenate([np.full(len(c.mean), c.size) for c in self.curves])

    @property
    def control(self) -> Array:
        """[N]: control value of every point."""
        return np.concatenate([c.control for c in self.curves])

    @property
    def mean(self) -> Array:
        """[N]: mean of every point."""
        return np.concatenate([c.mean for c in self.curves])

    @property
    def error(self) -> Array:
        """[N]: standard error of every mean, without its correlations."""
        return np.concatenate([c.error for c in self.curves])

    @property
    def realizations(self) -> int:
        """Least number of realizations of any point; 0 if only means are known."""
        return min(0 if c.samples is None else int(np.diag(c.pairs).min()) for c in self.curves)

    @cached_property
    def covariance(self) -> Array:
        """[N, N]: covariance of the means; zero between sizes (`noise.covariance`)."""
        return noise.covariance(self.curves) if self.given is None else self.given

    # --- other data from these ---

    def restrict(
        self,
        control_range: tuple[float, float] | None = None,
        size_min: float | None = None,
        keep: Sequence[np.ndarray[Any, Any]] | None = None,
    ) -> ScalingData:
        """Leave out points outside a range of the control, sizes below a least, or by mask.

        `keep` holds one boolean mask a curve.

        Raises
        ------
        InputError
            If fewer than two sizes, or fewer than two points of any size, are left.
        """
        curves, chosen = [], []
        for number, curve in enumerate(self.curves):
            mask = np.ones(len(curve.mean), bool) if keep is None else keep[number]
            if control_range is not None:
                low, high = control_range
                mask = mask & (curve.control >= low) & (curve.control <= high)
            if size_min is not None and curve.size < size_min:
                mask = np.zeros_like(mask)
            chosen.append(mask)
            if mask.any():
                samples = None if curve.samples is None else curve.samples[:, mask]
                arrays = (curve.control[mask], curve.mean[mask], curve.error[mask])
                curves.append(Curve(curve.size, *arrays, samples))
        if len(curves) < 2 or sum(len(c.mean) for c in curves) < 6:
            raise InputError(
                f"too few points are left: {sum(len(c.mean) for c in curves)} of "
                f"{len(curves)} size(s); at least 6 points of 2 sizes are needed. Widen the window "
                f"or the range, or lower the least size."
            )
        points = np.flatnonzero(np.concatenate(chosen))
        given = None if self.given is None else self.given[np.ix_(points, points)]
        return ScalingData(tuple(curves), self.names, given)

    def resampled_deviations(self, draws: int, rng: np.random.Generator) -> Array:
        """[draws, N]: deviations of the means when realizations are resampled whole.

        Widened by sqrt(n/(n-1)) (`stats.widening`).  Where only means are known the deviations
        are Gaussian with the given errors.
        """
        if self.given is not None:
            return rng.multivariate_normal(np.zeros(len(self.given)), self.given, size=draws)
        parts = []
        for curve in self.curves:
            if curve.samples is None:
                parts.append(curve.error * rng.normal(size=(draws, len(curve.mean))))
                continue
            n = len(curve.samples)
            there = np.isfinite(curve.samples)
            values = np.nan_to_num(curve.samples - curve.mean)
            counts = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
            number = counts @ there
            deviation = counts @ values / np.maximum(number, 1)
            each = there.sum(axis=0)
            parts.append(np.where(number > 0, deviation, 0) * np.sqrt(each / (each - 1)))
        return np.concatenate(parts, axis=1)


def _columns(
    columns: Mapping[str, ArrayLike], text: tuple[str, ...] = ()
) -> list[np.ndarray[Any, Any]]:
    """Columns of equal length, each of finite numbers unless listed in `text`."""
    arrays = []
    for name, column in columns.items():
        array = np.ravel(np.asarray(column))
        if name not in text:
            try:
                array = array.astype(float)
            except (TypeError, ValueError):
                wrong = next(v for v in array if not _is_number(v))
                raise InputError(f"column {name!r}: {wrong!r} is not a number.") from None
            bad = np.flatnonzero(~np.isfinite(array))
            if len(bad):
                raise InputError(
                    f"column {name!r}: {array[bad[0]]} in row {bad[0] + 1}; expected a finite "
                    f"number, leave the row out if there is none."
                )
        arrays.append(array)
    lengths = {name: len(array) for name, array in zip(columns, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns of unequal length: {lengths}.")
    return arrays


def _check_covariance(matrix: Array) -> None:
    """Raise `InputError` for what is no covariance."""
    square = matrix.shape[0] == matrix.shape[1] and np.isfinite(matrix).all()
    if not square or not np.allclose(matrix, matrix.T, rtol=1e-6, atol=0):
        raise InputError("covariance: expected a symmetric matrix of finite numbers.")
    if np.linalg.eigvalsh(matrix)[0] <= 0:
        raise InputError("covariance: not positive definite; shrink it, or give standard errors.")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _check_scatter(ds: xr.Dataset, array: xr.DataArray) -> None:
    """Refuse what has no mean over realizations, or no error of it."""
    name = array.name
    if ds.attrs.get("deterministic"):
        raise InputError(
            f"{name} is of a deterministic system: without scatter, standard errors cannot be "
            f"estimated, and curves are compared by them. Give means with errors of your own: "
            f"ScalingData.from_table, or a CSV with --mean and --sem."
        )
    if array.attrs.get("censored") and np.isposinf(array).any():
        raise InputError(
            f"{name} is censored: of what did not happen within the budget there is no mean. Take "
            f"medians (analysis.classify.values) for ScalingData.from_table, a larger budget, or "
            f"an observable that is always there, as the share that happened."
        )
