"""Phases of a system, and the rules that decide them, as plain data."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from criticality.base.errors import InputError, expect_texts, unknown

OF = ("value", "exponent", "limit", "each")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A phase: its name, the letter that stands for it in tables, and its colour in figures.

    The letter is by default the first of the name; without a colour, figures choose one.
    """

    name: str
    letter: str = ""
    colour: str = ""

    def __post_init__(self) -> None:
        """Take the first letter of the name where none is given."""
        expect_texts(self, "name", "letter", "colour")
        if not self.name:
            raise InputError("Phase: a phase needs a name.")
        if not self.letter:
            object.__setattr__(self, "letter", self.name[:1].upper())


# Okabe and Ito's, told apart in colour-blind vision: of what has no colour of its own
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
UNRESOLVED = Phase(name="unresolved", letter="?", colour="#ffffff")  # hatched; always code 0


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must hold, significantly, in a phase.

    All rules of a system are of "each" realization, or none: either realizations have phases, and a
    point of the plane has the probability of each, or the mean over realizations has one.

    Attributes
    ----------
    phase
        Its name.
    quantity
        An observable, or a derived quantity.
    of
        "value": its mean over realizations (median if it is censored) at the largest size;
        "exponent": of its power law with the size; "limit": its value at infinite size, by a
        straight line in size^-correction; "each": its value in every single realization, at the
        largest size, whose phase is then that of most realizations.  +inf is above every threshold;
        NaN, not defined, is neither above nor below any.
    above, below
        Thresholds; one of them, or both for a range.
    correction
        Of a limit: the leading finite-size correction falls as size^-correction.  In a phase where
        an order parameter vanishes as size^-1/2, its limit by the default is zero exactly.
    """

    phase: str
    quantity: str
    of: Literal["value", "exponent", "limit", "each"] = "value"
    above: float | None = None
    below: float | None = None
    correction: float = 0.5

    def __post_init__(self) -> None:
        """Raise `InputError` for a rule that cannot be judged."""
        expect_texts(self, "phase", "quantity", "of")
        if self.of not in OF:
            raise unknown("kind of rule", self.of, OF, f"Rule of {self.phase}: of")
        ends = [end for end in (self.above, self.below) if end is not None]
        if not ends:
            raise InputError(f"rule of {self.phase} on {self.quantity}: above or below what?")
        numbers = [
            isinstance(n, int | float) and abs(n) <= sys.float_info.max
            for n in (*ends, self.correction)
        ]
        if not numbers[-1] or self.correction <= 0:
            raise InputError(
                f"rule of {self.phase} on {self.quantity}: correction = {self.correction!r}: "
                f"expected a positive number, the power with which corrections fall."
            )
        if not all(numbers) or ends != sorted({*ends}):
            raise InputError(
                f"rule of {self.phase} on {self.quantity}: above = {self.above!r}, below = "
                f"{self.below!r}: expected finite numbers, of both the lower one above."
            )


def of_each(rules: Sequence[Rule], where: str) -> bool:
    """Whether rules judge single realizations.

    Raises
    ------
    InputError
        If some do and others do not; it says where.
    """
    single = {rule.of == "each": f"{rule.phase} on {rule.quantity}" for rule in rules}
    if len(single) > 1:
        raise InputError(
            f"{where}: the rule of {single[True]} judges every single realization, that of "
            f'{single[False]} all together: give of="each" to all rules, or to none.'
        )
    return True in single


def probability_name(phase: str) -> str:
    """Name of the probability of a phase among the numbers of a cell: probability_PHASE."""
    return "probability_" + re.sub(r"\W+", "_", phase)
