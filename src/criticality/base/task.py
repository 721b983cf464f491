"""A task: one realization to be computed, and what names its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from criticality.base.controls import axes, controls, stated
from criticality.base.system import System, card


def digest(content: Mapping[str, Any]) -> str:
    """sha256 (hex) of canonical JSON: sorted keys, no spaces, shortest round-trip floats."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Task:
    """One realization to be computed.

    Attributes
    ----------
    system
        In canonical form.
    seed
        Of the study.
    realization
        Number of the independent run, from 0.
    checksum
        Of the data set, empty when the system needs none.
    """

    system: System
    seed: int
    realization: int
    checksum: str

    @property
    def lineage(self) -> str:
        """Digest that fixes the randomness: seed, realization and the outer control values.

        Controls that share their disorder do not enter: the same random numbers serve all values.
        """
        declared = axes(self.system)
        outer = {
            name: value
            for name, value in controls(self.system).items()
            if not (declared[name].inner or declared[name].shared)
        }
        return digest({"seed": self.seed, "realization": self.realization, "controls": outer})

    @cached_property
    def key(self) -> str:
        """Digest of all that the result depends on; names the file in the store."""
        told = card(self.system)
        return digest(
            {
                "system": told.name,
                "version": told.version,
                "controls": stated(controls(self.system), axes(self.system)),
                "seed": self.seed,
                "realization": self.realization,
                "data": self.checksum,
            }
        )
