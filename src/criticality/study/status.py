"""How far a study is: what is done, what runs and where, what failed and why, and what is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from criticality.study.journal import Failure
from criticality.study.store import Store


@dataclass(frozen=True, kw_only=True)
class Status:
    """State of a store.

    Attributes
    ----------
    plan
        Of the study.
    total, done, begun
        Tasks that were asked for; with a result; with a checkpoint and no result.
    running
        Of runs that live: where each is, and since when it computes how many tasks [s since 1970].
    failed
        Where and why, by key: tasks without a result, and those that gave numbers that are not
        finite where the card does not allow them.
    unable
        Of these, how many have no result and would fail again.
    not_finite
        Results in which an observable is so, by its name.
    damaged
        Files that cannot be read, or of which a part cannot.
    seconds, compile_seconds
        That the results took.
    devices
        That gave them.
    rate
        Tasks a second, of the runs that live; 0 if none does.
    """

    plan: dict[str, Any]
    total: int = 0
    done: int = 0
    begun: int = 0
    running: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unable: int = 0
    not_finite: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    seconds: float = 0.0
    compile_seconds: float = 0.0
    devices: list[str] = field(default_factory=list)
    rate: float = 0.0

    @property
    def missing(self) -> int:
        """Tasks without a result."""
        return self.total - self.done

    @property
    def waiting(self) -> int:
        """Tasks without a result that `run` would compute."""
        return self.missing - self.unable

    @property
    def left(self) -> float:
        """Seconds that what is waiting takes at this rate; infinite if nothing runs."""
        return self.waiting / self.rate if self.rate else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """Give plain data."""
        return {
            **{name: self.plan[name] for name in ("system", "seed", "realizations", "grid")},
            "total": self.total,
            "done": self.done,
            "begun": self.begun,
            "damaged": self.damaged,
            "missing": self.missing,
            "running": [
                {
                    "where": where,
                    "tasks": len(since),
                    "oldest_seconds": round(time.time() - since[0]),
                }
                for where, since in self.running.items()
            ],
            "failed": self.failed,
            "core_seconds": round(self.seconds, 1),
            "compile_seconds": round(self.compile_seconds, 1),
            "not_finite": self.not_finite,
            "devices": self.devices,
            "tasks_per_hour": round(3600 * self.rate, 1),
            "remaining_seconds": self.left,
        }


def status(store: Store) -> Status:
    """Say how far the study of a store is.

    Raises
    ------
    InputError
        If it is no store.
    """
    plan = store.plan()
    store.refresh()
    names = [*plan["grid"], "realization"]
    failures = store.failures()
    failed = {key: _said(names, failure) for key, failure in failures.items()}
    done, seconds, compiling = 0, 0.0, 0.0
    devices: dict[int, str] = {}
    not_finite: Counter[str] = Counter()
    for done, (place, result) in enumerate(store.of(plan), start=1):  # noqa: B007
        own, head = result.own, result.head
        seconds += own.get("wall_seconds", 0.0)
        compiling += own.get("compile_seconds", 0.0)
        if id(head) not in devices:
            devices[id(head)] = str(head.attributes.get("device", "unknown"))
        if bad := own.get("not_finite", "").split():
            not_finite.update(bad)
            point = dict(zip(names, place, strict=True))
            failed[result.key] = f"{_at(names, point)}{' and '.join(bad)} not finite"
    running: dict[str, list[float]] = {}
    for claim in store.claims().values():
        running.setdefault(claim.where, []).append(claim.since)
    return Status(
        plan=plan,
        total=store.total(),
        done=done,
        begun=store.begun(),
        running={where: sorted(since) for where, since in sorted(running.items())},
        failed=failed,
        unable=sum(failure.own for failure in failures.values()),
        not_finite=dict(not_finite),
        damaged=[str(path) for path in store.damaged()],
        seconds=seconds,
        compile_seconds=compiling,
        devices=sorted({*devices.values()}),
        rate=store.rate(),
    )


def _said(names: Sequence[str], failure: Failure) -> str:
    return _at(names, failure.point) + failure.reason


def _at(names: Sequence[str], point: Mapping[str, Any]) -> str:
    """Say which task it is, by the axes of the study."""
    found = ", ".join(f"{name} = {point[name]}" for name in names if name in point)
    return f"{found}: " if found else ""
