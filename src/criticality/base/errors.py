"""The three errors; each says what is wrong, where, what was expected, and what to try."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, and what to try."""


class DataError(OSError):
    """A data set cannot be had, or is not what its checksum says."""


class RunError(RuntimeError):
    """Some tasks of a run failed; the others are in the store."""


def reason(error: BaseException, path: str = "") -> str:
    """Say in one line what went wrong in a user's code, and in which line of his file."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    place = f"{Path(path).name}, line {frames[-1].lineno}: " if frames else ""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{place}{type(error).__name__}: {first}".removesuffix(": ")


def unknown(kind: str, name: str, allowed: Collection[str], where: str = "") -> InputError:
    """Build the error for a name that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    place = f"{where}: " if where else ""
    return InputError(f"{place}unknown {kind} {name!r}{hint} Allowed: {', '.join(allowed)}.")


def expect_texts(thing: Any, *fields: str) -> None:
    """Raise `InputError` if one of these fields of a dataclass is no text."""
    for name in fields:
        value = getattr(thing, name)
        if not isinstance(value, str):
            raise InputError(f"{type(thing).__name__}: {name} = {value!r}: expected a text.")


def expect_tuples(thing: Any, kind: type, *fields: str) -> None:
    """Make tuples of these fields of a frozen dataclass; raise `InputError` if one has others.

    A text is no tuple of texts: ("p") is "p".
    """
    for name in fields:
        value = getattr(thing, name)
        several = isinstance(value, Iterable) and not isinstance(value, str)
        listed = tuple(value) if several else ()
        if not several or not all(isinstance(item, kind) for item in listed):
            example = '("x",)' if kind is str else f"({kind.__name__}(...), ...)"
            raise InputError(
                f"{type(thing).__name__}: {name} = {value!r}: expected a tuple, as {example}."
            )
        object.__setattr__(thing, name, listed)
