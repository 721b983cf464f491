"""Asking this process to stop computing.

What computes looks here between two slices, two rounds of lanes, two tasks.  No jax here: who asks
loads none.
"""

from __future__ import annotations

from dataclasses import dataclass


class StoppedError(Exception):
    """Computing was asked to stop; what can be saved is."""


@dataclass
class Stop:
    """What is asked of those who compute under it; nothing is ever taken back.

    Attributes
    ----------
    finishing
        Begin no other realization.
    saving
        Save what is under way, and stop; begin no other either.
    """

    finishing: bool = False
    saving: bool = False

    def save(self) -> None:
        """Ask for all of it."""
        self.finishing = self.saving = True

    def check(self) -> None:
        """Raise `StoppedError` if what is under way is to stop."""
        if self.saving:
            raise StoppedError


_current = Stop()


def current() -> Stop:
    """Give what holds for whatever begins to compute in this process now."""
    return _current


def renewed() -> Stop:
    """Let what begins from now on go on, whatever was asked of others."""
    global _current
    _current = Stop()
    return _current
