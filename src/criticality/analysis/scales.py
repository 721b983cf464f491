"""Scales of axes, on which steps are alike: where borders are interpolated and figures drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logit

from criticality.base import Scale

_THERE: dict[str, Any] = {"linear": np.asarray, "log": np.log, "logit": logit}
_BACK: dict[str, Any] = {"linear": np.asarray, "log": np.exp, "logit": expit}


def scaled(values: Any, scale: Scale) -> Any:
    """Values on a scale; ends of the axis are infinite."""
    with np.errstate(divide="ignore"):
        return _THERE[scale](np.asarray(values, float))


def unscaled(values: Any, scale: Scale) -> Any:
    """Values of an axis from where they are on its scale; what is beyond all stays infinite."""
    values = np.asarray(values, float)
    return np.where(np.isinf(values), values, _BACK[scale](values))


def scale_of(coordinate: Any) -> Scale:
    """Scale of the coordinate of a data set, linear where nothing is said."""
    scale: Scale = coordinate.attrs.get("scale", "linear")
    return scale
