"""Measurements at one size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from criticality.analysis.stats import Array


@dataclass(frozen=True, eq=False)
class Curve:
    """Means over realizations, against the control, at one size.

    Attributes
    ----------
    size
        Linear system size, number of training samples, ...
    control
        float64 [points], ascending.
    mean, error
        [points]: mean over realizations and its standard error.
    samples
        [realizations, points] with NaN where a realization lacks a point; None if only means
        are known.
    """

    size: float
    control: Array
    mean: Array
    error: Array
    samples: Array | None = None

    @cached_property
    def pairs(self) -> Array:
        """[points, points]: realizations that have both points; its diagonal, those of each."""
        assert self.samples is not None
        there = np.isfinite(self.samples).astype(float)
        count: Array = there.T @ there
        return count

    @property
    def realizations(self) -> int:
        """Least number of realizations of any point; 0 if only means are known."""
        return 0 if self.samples is None else int(np.diag(self.pairs).min())

    @cached_property
    def correlation(self) -> Array:
        """Sample correlation [points, points] between points of one realization."""
        if self.samples is None:
            return np.eye(len(self.mean))
        deviation = np.nan_to_num(self.samples - self.mean)
        scale = np.sqrt(np.sum(deviation**2, axis=0) / np.diag(self.pairs))
        scale = np.where(scale > 0, scale, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = deviation.T @ deviation / self.pairs / np.outer(scale, scale)
        result: Array = np.clip(np.nan_to_num(found), -1, 1)
        np.fill_diagonal(result, 1)
        return result


def from_samples(size: float, control: Array, samples: Array) -> Curve:
    """Curve from samples [realizations, points]; errors of single realizations are NaN."""
    there = np.isfinite(samples)
    n = there.sum(axis=0)
    mean = np.where(there, samples, 0).sum(axis=0) / np.maximum(n, 1)
    square = np.where(there, (samples - mean) ** 2, 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(square / (n - 1) / n)
    return Curve(size, control, mean, error, samples)
