"""Phases and the rules that tell them apart, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A phase: its name, the letter that stands for it in tables, and its colour in figures."""

    name: str
    letter: str = ""
    colour: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition for a phase; a cell is in the phase whose rules all hold significantly.

    Attributes
    ----------
    phase
        Name of the phase.
    quantity
        Observable or derived quantity.
    of
        "value": at the largest size; "exponent": alpha of <quantity> ~ size^alpha.
    above, below
        What it must exceed, or not reach.
    """

    phase: str
    quantity: str
    of: Literal["value", "exponent"] = "value"
    above: float | None = None
    below: float | None = None
