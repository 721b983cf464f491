"""What differs from the protocol as documented, in words."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import xarray as xr

from criticality.base import controls

Case = tuple[str, xr.Dataset]

USUAL = "as documented"
LOOKS = 2  # at the data, each with its share of false claims: see docs/findings/protocol.md
SURE = 0.05 / LOOKS  # probability of a false claim among all comparisons, at each look
NOT_PROTOCOL = {"dataset", "n_train", "n_validation", "passes", "p_train", "p_eval", "margin"}
TRAINING = ("uniform weights", "rate", "batches")  # not the network: width and depth
WORDS = {
    ("initialization", "standard"): "uniform weights",
    ("restore_best", False): "last parameters",
    ("batch_size", None): "batches of {}",
    ("learning_rate", None): "rate {}",
    ("depth", None): "{} layers",
    ("width", None): "{} units a layer",
}


def variants(ds: xr.Dataset, usual: Any, axes: Sequence[str]) -> Iterator[Case]:
    """Give each variant of the protocol in a store, in words, and its results.

    Parameters
    ----------
    usual
        The system with its defaults: what differs from them is the variant.
    axes
        What stays an axis; where p_train is none, the line at zero is meant.
    """
    defaults = controls(usual)
    free = NOT_PROTOCOL | set(axes)
    if "stall" in ds:  # how long it was watched
        free |= {"patience", "max_epochs"}
    if "p_train" in ds.dims and "p_train" not in axes:
        ds = ds.sel(p_train=0.0)
    swept = [str(name) for name in ds.dims if name in defaults and name not in free]
    fixed = json.loads(ds.attrs["controls"])
    for values in itertools.product(*(ds[name].values.tolist() for name in swept)):
        at = dict(zip(swept, values, strict=True))
        changed = [
            _words(name, value)
            for name, value in (fixed | at).items()
            if name in defaults and name not in free and value != defaults[name]
        ]
        yield ", ".join(changed) or USUAL, ds.sel(at)


def _words(name: str, value: Any) -> str:
    told = WORDS.get((name, value)) or WORDS.get((name, None), f"{name.replace('_', ' ')} {{}}")
    return told.format(value)
