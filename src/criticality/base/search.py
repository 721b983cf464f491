"""How good values of controls are looked for, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from criticality.base.errors import InputError, expect_texts, expect_tuples


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which points are tried, and what tells the best of them.

    Attributes
    ----------
    minimise
        Observable or derived quantity whose mean is smallest at the best point; of samples that
        those of `show` do not see, lest what was chosen be praised for having been chosen.
    path
        Controls that change together: name -> values, as many of each.
    show
        Observables or derived quantities that are reported of the best point.
    realizations
        Of each point, if nothing else is asked for.
    test_share
        Control that is the share of a data set that is for test, where each realization splits the
        data set anew: realizations are then not independent, and errors are larger.
    """

    minimise: str
    path: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    show: tuple[str, ...] = ()
    realizations: int = 10
    test_share: str = ""

    def __post_init__(self) -> None:
        """Raise `InputError` for a path whose controls do not have as many values each."""
        expect_texts(self, "minimise", "test_share")
        expect_tuples(self, str, "show")
        columns = {name: tuple(values) for name, values in self.path.items()}
        if len({len(values) for values in columns.values()}) > 1:
            said = ", ".join(f"{len(values)} of {name}" for name, values in columns.items())
            raise InputError(f"path of a Search: {said}; expected as many values of each.")
        object.__setattr__(self, "path", columns)
