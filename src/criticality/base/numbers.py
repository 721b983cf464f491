"""What is reported: numbers with their errors, and reasons for doubt."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number that was estimated.

    Attributes
    ----------
    value
        NaN where the data do not determine it.
    error
        Standard error, half the central 68 % interval; NaN where none can be estimated, infinite
        where the data set no bound.
    low, high
        Interval that holds the true value with probability `level`; infinite where open.
    n
        Independent realizations behind it; 0 where only means and errors were given.
    method
        How value and error were made.
    """

    value: float
    error: float = math.nan
    low: float = math.nan
    high: float = math.nan
    level: float = 0.95
    n: int = 0
    method: str = ""

    def __str__(self) -> str:
        """Value with its error in the last digits."""
        return with_error(self.value, self.error)

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python numbers."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Flag:
    """A named reason for doubt.  Decisions look at `name` and `parameter`, never at `text`.

    Attributes
    ----------
    name
        Of the reason, the same wherever it is raised: "at bound", "too few points".
    parameter
        What is doubted, where it is one of several: "p_c", "L0".
    text
        The whole in words, for people; the name if it says enough.
    """

    name: str
    parameter: str = ""
    text: str = ""

    def __str__(self) -> str:
        """Say it in words."""
        return self.text or " ".join(part for part in (self.parameter, self.name) if part)

    def to_dict(self) -> dict[str, str]:
        """Give plain Python texts."""
        return {"name": self.name, "parameter": self.parameter, "text": str(self)}


def flagged(flags: Iterable[Flag], *names: str, parameter: str | None = None) -> bool:
    """Whether one of these names (of this parameter, if one is given) is among the flags."""
    return any(
        flag.name in names and (parameter is None or flag.parameter == parameter) for flag in flags
    )


def finite(content: Any) -> Any:
    """Give plain data for JSON; what is not a finite number becomes None."""
    if isinstance(content, Mapping):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if hasattr(content, "tolist"):
        return finite(content.tolist())
    return None if isinstance(content, float) and not math.isfinite(content) else content


def with_error(value: float, error: float) -> str:
    """Value with its standard error in the last digits: 0.4516(30)."""
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4g}"
    digits = max(0, 1 - int(f"{error:.1e}".partition("e")[2]))  # of the rounded error
    return f"{value:.{digits}f}({round(error * 10**digits)})"
