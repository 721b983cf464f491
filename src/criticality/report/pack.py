"""Arrays as text in a page: in 64 bits, or in 32 where nobody can tell; deflated, base64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT = 32_768  # numbers, up to which an array is packed as it is
PART = 0.01  # of its error, by which a number may be rounded
DIGITS = 1e-7  # part of itself, by which it may

Packed = dict[str, Any]


def packed(values: NDArray[Any], error: NDArray[Any] | float = 0.0) -> Packed:
    """Pack an array of numbers.

    Parameters
    ----------
    values
        Of any shape, which is kept beside.
    error
        Of each: more than `EXACT` numbers are rounded to 32 bits if that changes none of them by
        more than `PART` of its error, nor by more than `DIGITS` of itself.  NaN where it is not
        known; 0 for numbers that are never rounded.

    Returns
    -------
    dict
        `shape`; `code`, "f8" or "f4": little-endian numbers of so many bytes; `data`.
    """
    array = np.asarray(values, "<f8")
    with np.errstate(over="ignore", invalid="ignore"):
        short = array.astype("<f4")
        away = np.abs(short - array)
        far = away > np.fmin(PART * np.asarray(error), DIGITS * np.abs(array))
    small = array.size > EXACT and not far.any()
    return {
        "shape": list(array.shape),
        "code": "f4" if small else "f8",
        "data": base64.b64encode(zlib.compress((short if small else array).tobytes(), 9)).decode(),
    }


def unpacked(about: Packed) -> NDArray[np.float64]:
    """Give the array back, as a page does it."""
    raw = zlib.decompress(base64.b64decode(about["data"]))
    return np.frombuffer(raw, f"<{about['code']}").astype(float).reshape(about["shape"])
