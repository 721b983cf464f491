"""Arrays as text in a page: exact where they are small, else in 16 bits; deflated, base64."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT = 32_768  # numbers, up to which an array is packed as it is, in 64 bits
NAN, ABOVE, BELOW, ZERO = 65_535, 65_534, 65_533, 65_532  # codes of what is no step of the range
STEPS = 65_531
LARGEST = 1e300  # that has steps
WIDE = 1e3  # ratio of largest and smallest positive number, from which on steps are of logarithms

Packed = dict[str, Any]


def packed(values: NDArray[Any], exact: bool | None = None) -> Packed:
    """Pack an array of numbers.

    Parameters
    ----------
    values
        Of any shape, which is kept beside.
    exact
        Whether all 64 bits are kept; by default those of `EXACT` numbers or fewer.

    Returns
    -------
    dict
        `shape`; `code`: "f8", little-endian numbers, or "u2", codes from 0 to `STEPS` for `low` to
        `high` (of the logarithm if `log`), with codes for NaN, both infinities and zero; `data`.
    """
    array = np.asarray(values, np.float64)
    about: Packed = {"shape": list(array.shape)}
    beyond = bool((np.abs(array[np.isfinite(array)]) > LARGEST).any())
    if beyond or (array.size <= EXACT if exact is None else exact):
        about["code"] = "f8"
        raw = array.astype("<f8").tobytes()
    else:
        codes, about_range = _quantised(array)
        about |= {"code": "u2", **about_range}
        raw = codes.astype("<u2").tobytes()
    return about | {"data": base64.b64encode(zlib.compress(raw, 9)).decode("ascii")}


def unpacked(about: Packed) -> NDArray[np.float64]:
    """Give the array back, as a page does it."""
    raw = zlib.decompress(base64.b64decode(about["data"]))
    if about["code"] == "f8":
        return np.frombuffer(raw, "<f8").reshape(about["shape"])
    codes = np.frombuffer(raw, "<u2").astype(float)
    values = about["low"] + codes * ((about["high"] - about["low"]) / STEPS)
    if about["log"]:
        values = np.exp(values)
    for code, value in ((NAN, math.nan), (ABOVE, math.inf), (BELOW, -math.inf), (ZERO, 0.0)):
        values[codes == code] = value
    found: NDArray[np.float64] = values.reshape(about["shape"])
    return found


def resolution(about: Packed) -> float:
    """Greatest error of a packed number: absolute, or of its logarithm; 0 if it is exact."""
    return (about["high"] - about["low"]) / STEPS / 2 if about["code"] == "u2" else 0.0


def _quantised(array: NDArray[np.float64]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Give codes, and the range that they are of."""
    known = array[np.isfinite(array) & (array != 0)]
    log = bool(len(known)) and bool(0 < known.min() < known.max() / WIDE)
    with np.errstate(divide="ignore", invalid="ignore"):
        on = np.log(array) if log else array
    ends = np.log(known) if log else known
    low, high = (float(ends.min()), float(ends.max())) if len(known) else (0.0, 0.0)
    span = high - low
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.rint((on - low) / span * STEPS) if span else np.zeros(array.shape)
    codes = np.select(
        [np.isnan(array), np.isposinf(array), np.isneginf(array), array == 0],
        [NAN, ABOVE, BELOW, ZERO],
        np.clip(np.nan_to_num(steps), 0, STEPS),
    )
    return codes.astype(np.uint16), {"low": low, "high": high, "log": log}
