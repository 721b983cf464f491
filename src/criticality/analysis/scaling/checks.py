"""Numbers that users give: each finite, of the right sign, and where it belongs."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from criticality.base import InputError


def finite(name: str, value: Any, least: float = -math.inf) -> float:
    """Give a finite number, not below `least`."""
    number = _float(value)
    if not (math.isfinite(number) and number >= least):
        limit = "" if least == -math.inf else f" from {least:g} on"
        raise InputError(f"{name} = {value}: expected a finite number{limit}.")
    return number


def positive(name: str, value: Any) -> float:
    """Give a positive finite number."""
    number = _float(value)
    if not 0 < number < math.inf:
        raise InputError(f"{name} = {value}: expected a positive number.")
    return number


def probability(name: str, value: Any) -> float:
    """Give a number between 0 and 1, neither of them."""
    number = _float(value)
    if not 0 < number < 1:
        raise InputError(f"{name} = {value}: expected a probability between 0 and 1.")
    return number


def whole(name: str, value: Any, least: int = 0) -> int:
    """Give a whole number, not below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{name} = {value}: expected a whole number, {name} >= {least}.")
    return number


def between(name: str, ends: Sequence[Any]) -> tuple[float, float]:
    """Give the ends of a range, which may be infinite."""
    try:
        low, high = map(_float, ends)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise InputError(f"{name} = {ends}: expected two numbers, the lower one first.")
    return low, high


def _float(value: Any) -> float:
    """Give NaN for what is no number; text is none."""
    try:
        return math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
