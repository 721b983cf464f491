"""What journals tell: results, claims, failures, read on as they come, and checked.

A seal says that a line is as it was written, not that it was written by us.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from criticality.study.journal import (
    EXPIRES_S,
    KINDS,
    LARGEST,
    OWN,
    DamagedError,
    Failure,
    Head,
    Result,
    machine,
    unsealed,
)

ANY = (str, int, float)
KNOWN: dict[str, tuple[type, ...]] = {**OWN, "seed": (int,), "version": (int,)}
CONTROL = (str, bool, int, float, list)
MOST = 1e18  # of an attribute, and of seconds; NaN is not less
SEEDS = 2**63  # of which a study takes any
# what a line can make of us that is sealed and yet none of ours
FAULTS = (
    ValueError,
    SyntaxError,  # of a type
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    binascii.Error,
)


def _head(told: Mapping[str, Any]) -> Head:
    """Head of its plain data."""
    inner = {
        name: np.frombuffer(base64.b64decode(content), _kind(kind, KINDS + "U"))
        for name, (kind, content) in told["inner"].items()
    }
    numbers = {
        name: (_kind(kind, KINDS), tuple(map(_length, shape)))
        for name, (kind, shape) in told["numbers"].items()
    }
    observables = {
        str(name): [_texts(dims), str(unit), str(doc)]
        for name, (dims, unit, doc) in told["observables"].items()
    }
    for name, (dims, *_) in observables.items():
        if numbers[name][1] != tuple(len(inner[dim]) for dim in dims):
            raise ValueError(f"{name} is not over {dims}")
    return Head(
        attributes=checked(told["attributes"]),
        controls=_controls(told["controls"]),
        axes={
            str(name): [str(symbol), str(unit), str(doc)]
            for name, (symbol, unit, doc) in told["axes"].items()
        },
        observables=observables,
        inner=inner,
        numbers={name: numbers[name] for name in numbers if name in observables},
    )


def _kind(text: Any, allowed: str) -> np.dtype[Any]:
    kind = np.dtype(str(text))
    if kind.kind not in allowed or kind.hasobject:
        raise ValueError(f"of type {kind}")
    return kind


def _length(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**40:
        raise ValueError(f"a length of {value!r}")
    return value


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("not a list of texts")
    return values


def checked(found: Any) -> dict[str, Any]:
    """Attributes of the kinds that others rely on."""
    for name, value in found.items():
        kind, most = type(value), SEEDS if name == "seed" else MOST
        if kind not in KNOWN.get(name, ANY) or (kind is not str and not abs(value) < most):
            raise ValueError(f"{name} = {value!r}")
    return dict(found)


def _moment(value: Any) -> float:
    """Seconds since 1970."""
    if not abs(value) < MOST:
        raise ValueError(f"at {value!r}")
    return float(value)


def _controls(found: Any) -> dict[str, Any]:
    for value in found.values():
        if type(value) not in CONTROL:
            raise ValueError(f"a control of {value!r}")
    return found  # type: ignore[no-any-return]


@dataclass
class Reader:
    """What one journal has told so far; `more` reads on.

    Attributes
    ----------
    damaged
        Lines that are not as they were written.
    results
        How many there were.
    claims
        Tasks that the run computes, and since when.
    failures
        Of tasks, the last of each.
    """

    path: Path
    offset: int = 0
    lines: int = 0
    about: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)
    results: int = 0
    claims: dict[str, float] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)
    ended: bool = False
    _early: list[tuple[dict[str, Any], int, int, int]] = field(default_factory=list)

    def more(self) -> Iterator[Result]:
        """Results that were written since.

        Raises
        ------
        OSError
            If the journal cannot be read.
        """
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= self.offset:
                return
            file.seek(self.offset)
            while line := file.readline(LARGEST):
                length = len(line)
                while len(line) == LARGEST and not line.endswith(b"\n"):
                    line = file.readline(LARGEST)  # no line of ours, however it goes on
                    length += len(line)
                if not line.endswith(b"\n"):
                    break  # it is being written, or was torn
                at, self.offset, self.lines = self.offset, self.offset + length, self.lines + 1
                try:
                    content = unsealed(line)
                    if "result" not in content:
                        self._tell(content)
                    elif content["of"] in self.heads:
                        yield self._result(content, at, length)
                    else:  # its head was damaged, and is told again further on
                        self._early.append((content, at, length, self.lines))
                except FAULTS:
                    self.damaged.append(self.lines)
        early, self._early = self._early, []
        for content, at, length, number in early:
            try:
                yield self._result(content, at, length)
            except FAULTS:
                self.damaged.append(number)

    def _tell(self, content: dict[str, Any]) -> None:
        """Take in a line that is no result."""
        if "head" in content:
            self.heads[str(content["head"])] = _head(content)
        elif "claim" in content:
            self.claims |= dict.fromkeys(_texts(content["claim"]), _moment(content["at"]))
        elif "release" in content:
            for key in _texts(content["release"]):
                self.claims.pop(key, None)
        elif "failed" in content:
            about = checked(content["about"])
            self.failures[str(content["failed"])] = Failure(
                reason=str(content["reason"]),
                own=content["own"] is True,
                where=self.where,
                when=_moment(content["at"]),
                source_sha256=str(about.get("source_sha256", "")),
                point=_controls(content.get("controls", {})),
            )
            self.claims.pop(content["failed"], None)
        elif "run" in content:
            _moment(content.get("at", 0.0))
            self.about = content
        elif "end" in content:
            self.ended = True

    def _result(self, content: dict[str, Any], offset: int, length: int) -> Result:
        key, head = str(content["result"]), self.heads[content["of"]]
        self.claims.pop(key, None)
        self.results += 1
        own = checked(content["about"])
        if not own.keys() <= OWN.keys():
            raise ValueError(f"{', '.join(own)} of a result")
        return Result(
            key,
            _length(content["realization"]),
            _controls(content["controls"]),
            own,
            head,
            self.path,
            offset,
            length,
        )

    @property
    def where(self) -> str:
        """Host and process of the run."""
        return f"{self.about.get('host', 'unknown')}, process {self.about.get('process', '?')}"

    @property
    def began(self) -> float:
        """When the run began [s since 1970]."""
        at = self.about.get("at")
        return at if isinstance(at, float) else 0.0

    def live(self, now: float) -> bool:
        """Whether the run goes on, as far as one can see from here.

        Parameters
        ----------
        now
            By the clock of the file system.
        """
        if self.ended:
            return False
        if machine() and self.about.get("machine") == machine() and not self._process():
            return False
        with contextlib.suppress(OSError):
            return now - self.path.stat().st_mtime < EXPIRES_S
        return False

    def _process(self) -> bool:
        try:
            process = int(self.about["process"])
            os.kill(process, 0)
            with contextlib.suppress(OSError):  # one that has ended stays until it is waited for
                state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
                return state != "Z"
        except (ProcessLookupError, ValueError, KeyError, TypeError, OverflowError):
            return False
        except OSError:  # of another user
            return True
        return True


def numbers(result: Result, file: Any, names: Iterable[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of some observables of a result in an open journal.

    Raises
    ------
    DamagedError
        If they are not as they were written.
    """
    try:
        file.seek(result.offset)
        content = base64.b64decode(unsealed(file.read(result.length))["arrays"], validate=True)
        found, at = {}, 0
        for name, (kind, shape) in result.head.numbers.items():
            count = math.prod(shape)
            if name in names:
                found[name] = np.frombuffer(content, kind, count, at).reshape(shape)
            at += count * kind.itemsize
        if at != len(content):
            raise ValueError("of another length")
    except (OSError, *FAULTS) as error:
        raise DamagedError(f"{result.path}: cannot be read ({error})") from error
    return found
