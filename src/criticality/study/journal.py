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
import binascii
import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SUFFIX = ".jsonl"
LARGEST = 2**20  # bytes of a line; results with more numbers have files of their own
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
SHARED: dict[str, tuple[type, ...]] = {"seed": (int,), "version": (int,)}
CONTROL = (str, bool, int, float, list)
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
    """

    reason: str
    own: bool
    where: str
    when: float
    source_sha256: str = ""


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

    def fail(self, key: str, reason: str, own: bool, about: Mapping[str, Any]) -> None:
        """Keep why a task gave no result; `about` is its provenance."""
        said = {"failed": key, "reason": reason, "own": own, "at": time.time()}
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
        "numbers": {name: [kind.str, list(shape)] for name, (kind, shape) in head.numbers.items()},
    }


def _coded(x: np.ndarray[Any, Any]) -> list[str]:
    if x.dtype.kind not in KINDS:
        x = x.astype("U")
    return [_little(x).dtype.str, base64.b64encode(_little(x).tobytes()).decode()]


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
        axes={str(name): [*map(str, about)] for name, about in told["axes"].items()},
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
        if type(value) not in (OWN | SHARED).get(name, (str, int, float)):
            raise ValueError(f"{name} = {value!r}")
    return dict(found)


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
            self.claims |= dict.fromkeys(_texts(content["claim"]), float(content["at"]))
        elif "release" in content:
            for key in _texts(content["release"]):
                self.claims.pop(key, None)
        elif "failed" in content:
            about = checked(content["about"])
            self.failures[str(content["failed"])] = Failure(
                reason=str(content["reason"]),
                own=content["own"] is True,
                where=self.where,
                when=float(content["at"]),
                source_sha256=str(about.get("source_sha256", "")),
            )
            self.claims.pop(content["failed"], None)
        elif "run" in content:
            self.about = content
        elif "end" in content:
            self.ended = True

    def _result(self, content: dict[str, Any], offset: int, length: int) -> Result:
        key, head = str(content["result"]), self.heads[content["of"]]
        self.claims.pop(key, None)
        self.results += 1
        for name, value in content["about"].items():
            if type(value) not in OWN[name]:
                raise ValueError(f"{name} = {value!r}")
        return Result(
            key,
            _length(content["realization"]),
            _controls(content["controls"]),
            content["about"],
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
            os.kill(int(self.about["process"]), 0)
        except (ProcessLookupError, ValueError, KeyError, TypeError, OverflowError):
            return False
        except OSError:  # of another user
            return True
        return True


# what a line can make of us that is sealed and yet none of ours
FAULTS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    binascii.Error,
)


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
