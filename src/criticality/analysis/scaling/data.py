"""Curves of one observable against a control parameter, one for each system size.

The unit of data is the realization, whole: its points at several control values are correlated.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from criticality.analysis.scaling import noise
from criticality.analysis.scaling.checks import between, finite
from criticality.analysis.scaling.columns import check_covariance, checked, read_csv
from criticality.analysis.scaling.curve import Curve, from_samples
from criticality.analysis.stats import Array
from criticality.base import InputError, html

SMALLEST = 1e-100  # as `columns.LARGEST`
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
    labels
        What figures call control, size and observable, where that is not their names.
    """

    curves: tuple[Curve, ...]
    names: Names = ("p", "L", "y")
    given: Array | None = None
    labels: Names | None = None

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
        columns = checked(
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
            check_covariance(matrix)
            with np.errstate(invalid="ignore"):
                error = np.sqrt(np.diag(matrix))
        columns = checked({names[0]: control, names[1]: size, names[2]: mean, "error": error})
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
        repeated: Collection[str] = ("pass",),
    ) -> ScalingData:
        """Build from a study's results (`Store.open`).

        Parameters
        ----------
        ds
            With dims `control`, `size` and "realization".
        control, size, observable
            Names in `ds`.
        sel
            A value for each other dimension that has more than one.
        repeated
            Dimensions of repeated measurement on one realization, averaged first.

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
        if len(set(wanted)) < len(wanted):
            raise InputError(f"{control} cannot be the control and {size} the size of one study.")
        for name in wanted:
            if name not in array.dims:
                dims = ", ".join(map(str, array.dims))
                raise InputError(f"{observable} has no axis {name!r}; it has {dims}.")
        again = [dim for dim in array.dims if dim in repeated and dim not in wanted]
        gaps = bool(array.attrs.get("undefined"))  # not a failure of the whole realization
        array = array.mean(again, skipna=gaps, keep_attrs=True)
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
        points = array[control].values.astype(float)
        for length, table in zip(array[size].values, array.values, strict=True):
            measured = np.isfinite(table).any(axis=0)  # a point that all lack costs nobody's others
            table = table[:, measured]
            there = np.isfinite(table).any(axis=1) if gaps else np.isfinite(table).all(axis=1)
            if there.any() and measured.any():
                curves.append(from_samples(float(length), points[measured], table[there]))
        made = cls._checked(curves, (control, size, observable))
        return replace(made, labels=(_symbol(array[control]), _symbol(array[size]), _label(array)))

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
            If the file cannot be read, a column is missing or asked for twice, or a row has a
            field too many, too few, blank, or of text in place of a number.
        """
        if (mean is None) != (error is None):
            raise InputError("a table needs both a column of means and one of standard errors.")
        roles = {"control": control, "size": size}
        if mean is not None and error is not None:
            roles |= {"mean": mean, "standard error": error}
        else:
            roles |= {"realization": realization, "value": value}
        a, b, c, d = read_csv(path, roles)
        try:
            if mean is not None:
                return cls.from_table(a, b, c, d, (control, size, mean))
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
        if len(curves) < 2:
            raise InputError(
                f"finite-size scaling needs at least two values of {size}; there "
                f"{'is 1' if curves else 'are none'} of which a realization has all points."
            )
        made = cls(tuple(curves), names)
        if made.realizations and not made.error.any():
            made.check_errors()
        extents = {
            f"the range of {control}": np.ptp(made.control),
            f"the range of {names[2]}": np.ptp(made.mean),
            "the standard error": made.error.min(),
        }
        for name, extent in extents.items():
            if 0 < extent < SMALLEST:
                raise InputError(
                    f"{name} is {extent:g}: too small to be squared; choose another unit."
                )
        return made

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
        return min(curve.realizations for curve in self.curves)

    @cached_property
    def covariance(self) -> Array:
        """[N, N]: covariance of the means; zero between sizes (`noise.covariance`)."""
        return noise.covariance(self.curves) if self.given is None else self.given

    # --- other data from these ---

    def facts(self) -> dict[str, str]:
        """Say what there is, for people."""
        control, size, observable = self.names
        ends = f"{self.control.min():g} to {self.control.max():g}"
        return {
            "curves": f"{observable} against {control}, {ends}: {len(self.mean)} points",
            f"sizes {size}": html.listed(self.sizes.tolist()),
            "realizations": str(self.realizations or "unknown: means and errors were given"),
        }

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return html.panel("Scaling data", html.facts(self.facts()))

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
            If fewer than two sizes, or fewer than six points, are left, the range is none, or all
            realizations agree exactly at a point that is left.
        """
        ends = (-np.inf, np.inf) if control_range is None else control_range
        low, high = between("control_range", ends)
        least = -np.inf if size_min is None else finite("size_min", size_min, 0)
        curves, chosen = [], []
        for number, curve in enumerate(self.curves):
            mask = np.ones(len(curve.mean), bool) if keep is None else keep[number]
            inside = (curve.control >= low) & (curve.control <= high) & (curve.size >= least)
            mask = mask & inside
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
        left = ScalingData(tuple(curves), self.names, given, self.labels)
        left.check_errors()
        return left

    def check_errors(self) -> None:
        """Refuse points without scatter, once a range has left out those deep in a phase.

        Raises
        ------
        InputError
            If all realizations agree exactly at a point.
        """
        control, size, _ = self.names
        for curve in self.curves:
            still = curve.error <= 0
            if still.any():
                raise InputError(
                    f"all realizations agree exactly at {control} = {curve.control[still][0]:g}, "
                    f"{size} = {curve.size:g}: no error can be estimated; leave that point out "
                    f"(--control-range) or give standard errors."
                )

    def log(self) -> ScalingData:
        """Curves of the logarithm: of means, with relative errors.

        Raises
        ------
        InputError
            If a mean is not positive.
        """
        if not (self.mean > 0).all():
            raise InputError(f"{self.names[2]} is not positive everywhere: it has no logarithm.")
        curves = []
        for curve in self.curves:
            log, m = np.log(curve.mean), curve.mean
            samples = None if curve.samples is None else log + (curve.samples - m) / m
            curves.append(Curve(curve.size, curve.control, log, curve.error / m, samples))
        given = None if self.given is None else self.given / np.outer(self.mean, self.mean)
        names = (*self.names[:2], f"ln {self.names[2]}")
        labels = None if self.labels is None else (*self.labels[:2], f"ln {self.labels[2]}")
        return ScalingData(tuple(curves), names, given, labels)

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


def _symbol(axis: xr.DataArray) -> str:
    return str(axis.attrs.get("symbol") or axis.name)


def _label(observable: xr.DataArray) -> str:
    """Say in words what it is, with its unit unless they do."""
    text = str(observable.attrs.get("label") or observable.name)
    unit = str(observable.attrs.get("units", "1"))
    return text if unit == "1" or unit in text else f"{text} ({unit})"


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
