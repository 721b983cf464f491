"""The journal of a run: an append-only file of sealed lines, of which nobody changes any.

    DIR/results/<start>-<host>-<process>-<random>.jsonl
    <sha256 of what follows> {"head": ...}      what many results share, told again now and then
    <sha256 of what follows> {"result": KEY, "of": HEAD, ...}   the rest of one, arrays in base64
    <sha256 of what follows> {"claim": [KEY, ...]}, {"release": ...}, {"failed": KEY, ...}, {"end"}

One process writes a journal, each line in one call; others read what it has gained.  A line that a
kill has torn is the last one and counts for nothing; a damaged one costs what it held.  To add a
result takes as long in a store of a hundred thousand as in an empty one.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SUFFIX = ".jsonl"
LARGEST = 2**20  # bytes of a line; results with more numbers have files of their own
LONGEST = 2_000  # characters of a reason
SYNC_S = 1.0  # of results that a loss of power may cost
AGAIN = 256  # results after which their head is told again, since all of them need it
EXPIRES_S = 120.0  # after which a run that has not been heard of has no claims any more
NUMBER = (int, float)
OWN: dict[str, tuple[type, ...]] = {  # attributes that each result has for itself
    "not_finite": (str,),
    "wall_seconds": NUMBER,
    "compile_seconds": NUMBER,
    "resumed_after": NUMBER,
    "created": (str,),
}
_decode = json.JSONDecoder().raw_decode
DIGITS = 2 * hashlib.sha256().digest_size
KINDS = "iuf"  # of numbers
Arrays = Mapping[str, np.ndarray[Any, Any]]


class DamagedError(OSError):
    """A result that cannot be read whole."""


@dataclass(frozen=True)
class Head:
    """What many results share.

    Attributes
    ----------
    attributes
        System, version, seed, source, data, provenance.
    controls
        Of the first of the results.
    axes, observables
        Symbol, unit and meaning of each; of an observable also its inner dimensions.
    inner
        Coordinates of the inner dimensions.
    numbers
        Type and shape of the array of each observable, in the order in which they are stored.
    """

    attributes: dict[str, Any]
    controls: dict[str, Any]
    axes: dict[str, list[str]]
    observables: dict[str, list[Any]]
    inner: dict[str, np.ndarray[Any, Any]]
    numbers: dict[str, tuple[np.dtype[Any], tuple[int, ...]]]


class Result(NamedTuple):
    """A result without its arrays: what it adds to its head, and where it is."""

    key: str
    realization: int
    controls: dict[str, Any]
    own: dict[str, Any]
    head: Head
    path: Path
    offset: int = 0
    length: int = 0

    @property
    def point(self) -> dict[str, Any]:
        """Values of all controls."""
        return {**self.head.controls, **self.controls}

    @property
    def attributes(self) -> dict[str, Any]:
        """All that is known of it but controls."""
        return {
            **self.head.attributes,
            **self.own,
            "key": self.key,
            "realization": self.realization,
        }


@dataclass(frozen=True)
class Claim:
    """A task that a run computes: the journal of the run, where it is, since when [s]."""

    run: str
    where: str
    since: float


@dataclass(frozen=True)
class Failure:
    """A task that gave no result.

    Attributes
    ----------
    reason
        In words.
    own
        Whether the task itself is to blame (it would fail again), not the machine.
    where, when
        Host and process; seconds since 1970.
    source_sha256
        Of the system's source, where it is one's own.
    point
        Values of the controls and the realization, as far as they were told.
    """

    reason: str
    own: bool
    where: str
    when: float
    source_sha256: str = ""
    point: dict[str, Any] = field(default_factory=dict)


@cache
def machine() -> str:
    """Name what processes that see each other share: one boot of a machine or container."""
    parts = []
    with contextlib.suppress(OSError):
        parts = [
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            str(Path("/proc/self/ns/pid").readlink()),
        ]
    return " ".join(parts)


def sealed(content: Mapping[str, Any]) -> bytes:
    """Give a line."""
    text = json.dumps(content, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def unsealed(line: bytes) -> dict[str, Any]:
    """Give what a line holds.

    Raises
    ------
    ValueError
        If it is not as it was written.
    """
    text = line[DIGITS + 1 : -1]
    if hashlib.sha256(text).hexdigest().encode() + b" " != line[: DIGITS + 1]:
        raise ValueError("not as it was written")
    words = text.decode()
    content, end = _decode(words)
    if not isinstance(content, dict) or end != len(words):
        raise ValueError("not a line of a journal")
    return content


class Journal:
    """Written by one run; the file appears with the first line.

    Parameters
    ----------
    folder
        Of the journals.

    Raises
    ------
    OSError
        By every method, if nothing can be written.
    """

    def __init__(self, folder: Path) -> None:
        host = "".join(c if c.isalnum() else "_" for c in socket.gethostname())[:40]
        start = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        name = f"{start}-{host}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self.path = folder / name
        self._file = -1
        self._length = 0
        self._heads: dict[Any, tuple[str, dict[str, Any], int]] = {}
        self._synced = time.monotonic()

    def claim(self, keys: Iterable[str]) -> float:
        """Tell others that these tasks are computed here; gives the time of the claim."""
        now = time.time()
        self._append({"claim": list(keys), "at": now})
        return now

    def release(self, keys: Iterable[str]) -> None:
        """Leave these tasks to others."""
        self._append({"release": list(keys)})

    def fail(
        self,
        key: str,
        reason: str,
        own: bool,
        about: Mapping[str, Any],
        point: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep why a task gave no result; `about` is its provenance, `point` which it is."""
        said = {"failed": key, "reason": reason[:LONGEST], "own": own, "at": time.time()}
        said |= {"controls": dict(point)} if point else {}
        self._append(said | {"about": dict(about)}, keep=True)

    def result(self, head: Head, result: Result, arrays: Arrays) -> None:
        """Write one result; `head` is its own."""
        form = (
            tuple(head.attributes.items()),
            tuple(head.numbers.items()),
            tuple((name, x.tobytes()) for name, x in head.inner.items()),
        )
        name, controls, count = self._heads.get(form, ("", {}, 0))
        if count % AGAIN == 0:
            controls = controls or head.controls
            told = _told(Head(**{**vars(head), "controls": controls}))
            name = name or hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
            self._append({"head": name, **told})
        self._heads[form] = name, controls, count + 1
        content = b"".join(_little(arrays[name]).tobytes() for name in head.numbers)
        self._append(
            {
                "result": result.key,
                "of": name,
                "realization": result.realization,
                "controls": {
                    n: v for n, v in head.controls.items() if n not in controls or controls[n] != v
                },
                "about": result.own,
                "arrays": base64.b64encode(content).decode(),
            },
            keep=True,
        )

    def beat(self) -> None:
        """Tell others that this run lives."""
        if self._file >= 0:
            os.utime(self._file)

    def close(self) -> None:
        """Say that nothing follows."""
        if self._file < 0:
            return
        try:
            self._append({"end": time.time()}, keep=True, last=True)
        finally:
            os.close(self._file)
            self._file = -1

    def _append(self, content: Mapping[str, Any], keep: bool = False, last: bool = False) -> None:
        """Write a line; what is to be kept is safe from a loss of power soon."""
        if self._file < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            self._file = os.open(self.path, flags, 0o666)
            self._append({"run": self.path.stem, **_here()})
        elif self.path.stat().st_ino != os.fstat(self._file).st_ino:
            raise OSError(errno.ENOENT, "the journal was replaced", str(self.path))
        line, done = sealed(content), -1
        try:
            done = os.write(self._file, line)
        finally:
            if done != len(line):  # a full disk; nothing may follow half a line
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._length)
        if done != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._length += len(line)
        if keep and (last or time.monotonic() - self._synced > SYNC_S):
            os.fsync(self._file)
            self._synced = time.monotonic()


def _here() -> dict[str, Any]:
    about = {"host": socket.gethostname(), "process": os.getpid(), "machine": machine()}
    return about | {"at": time.time()}


def _little(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Array in the byte order of the store."""
    return x.astype(x.dtype.newbyteorder("<"), copy=False)


def _told(head: Head) -> dict[str, Any]:
    """Plain data of a head."""
    return {
        **{name: getattr(head, name) for name in ("attributes", "controls", "axes")},
        "observables": head.observables,
        "inner": {name: _coded(x) for name, x in head.inner.items()},
        "numbers": {
            name: [kind.newbyteorder("<").str, list(shape)]
            for name, (kind, shape) in head.numbers.items()
        },
    }


def _coded(x: np.ndarray[Any, Any]) -> list[str]:
    if x.dtype.kind not in KINDS:
        x = x.astype("U")
    return [_little(x).dtype.str, base64.b64encode(_little(x).tobytes()).decode()]
