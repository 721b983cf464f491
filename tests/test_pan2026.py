"""The figures of Pan, Aggarwal and Pixley: what was put in is found, and what is kept is said."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from criticality.base import axes
from criticality.papers import entry, names, tables
from criticality.papers.pan2026 import line
from criticality.systems import DropoutNetwork

mpl.use("Agg")
SIZES = np.array([500, 1000, 2000, 4000, 8000, 16000])
PROBES = np.round(np.arange(0.02, 0.99, 0.04), 2)
RATES = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.3, 0.95])
FIGURES = [name for name in names() if name.startswith("pan2026/")]


class MadeUp:
    """A store of networks whose loss is f(p_eval) N^alpha, with a line alpha = 0; at 0.95 ln 10."""

    def __init__(self, centre=0.5, slope=0.3, scatter=0.03, networks=8, **swept):
        rng = np.random.default_rng(0)
        probes = np.append(0.0, PROBES)
        rate, size, _, probe = np.meshgrid(RATES, SIZES, np.arange(networks), probes, indexing="ij")
        alpha = slope * (probe - centre - 2 * rate)
        loss = np.exp(3 * probe) * (size / 3000) ** alpha
        accuracy = 0.95 - 0.8 * probe**4
        for values, nothing in ((loss, math.log(10)), (accuracy, 0.1)):
            values *= np.exp(scatter * rng.normal(size=(*rate.shape[:3], 1)))
            values *= np.exp(scatter / 3 * rng.normal(size=rate.shape))
            values[rate == 0.95] = nothing * (1 + 1e-4 * rng.normal(size=(rate == 0.95).sum()))
        dims = ("p_train", "n_train", "realization", "p_eval", "pass")
        self.ds = xr.Dataset(
            {"loss": (dims, loss[..., None]), "accuracy": (dims, accuracy[..., None])},
            coords={"p_train": RATES, "n_train": SIZES, "p_eval": probes},
            attrs={"system": "dropout"},
        )
        for name, about in axes(DropoutNetwork).items():
            if name in self.ds.coords:
                self.ds[name].attrs = {"symbol": about.symbol, "units": about.unit}
        for name, values in swept.items():
            self.ds = self.ds.expand_dims({name: values})

    def open(self, observables):
        return self.ds[observables]
