"""Runs on one store share its work: each takes what is neither done nor claimed by another.

A claim saves work and decides nothing: results are pure functions, and the first of a task counts.
It lapses when its run ends, or has not been heard of for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from criticality.base import RunError, Task
from criticality.study.flight import alike
from criticality.study.journal import Claim, Failure, Journal
from criticality.study.store import Store

LINE = 8_000  # keys of a claim; it is a line of the journal
BLOCK = 256  # tasks that are looked at together


class Share:
    """Tasks of a store that this run is to compute, or to wait for.

    Parameters
    ----------
    todo
        All of them.
    again
        Keys of those that are computed although there is a result.

    Attributes
    ----------
    others
        Tasks that another run computes, by their key.
    runs
        How many other runs compute at this moment, as far as one can see from here.
    """

    def __init__(
        self, store: Store, journal: Journal, todo: Sequence[Task], again: Collection[str] = ()
    ) -> None:
        self._store, self._journal = store, journal
        self._free = deque(alike(todo))
        self._mine: deque[deque[Task]] = deque()  # claimed
        self._again = {*again}
        self._before = store.failures()
        self._found: list[Task] = []
        self.others: dict[str, Task] = {}
        self.runs = 0

    @property
    def left(self) -> int:
        """Tasks that nobody has begun to compute, as far as is known."""
        return sum(map(len, self._free)) + sum(map(len, self._mine))

    def batch(self, size: Callable[[int], int], worth: int) -> list[Task]:
        """Tasks for one call, which share a template; none if others compute all that is left.

        Parameters
        ----------
        size
            How many are best, if so many are left.
        worth
            Tasks to claim at least, if there are so many.

        Raises
        ------
        RunError
            If the store cannot be written any more.
        """
        most = size(-(-self.left // (1 + self.runs)))
        while not self._mine and self._free:
            self._claim(max(most, worth))
        if not self._mine:
            return []
        group = self._mine[0]
        taken = [group.popleft() for _ in range(min(most, len(group)))]
        if not group:
            self._mine.popleft()
        return taken

    def back(self, tasks: Sequence[Task]) -> None:
        """Take tasks back that were given out, and were not computed."""
        if tasks:
            self._mine.appendleft(deque(tasks))

    def settled(self) -> tuple[list[Task], list[tuple[Task, Failure]]]:
        """Look at what others compute: what they have done, and at what they have failed.

        What they have given up is free again.
        """
        claimed = self._claims()
        self._found += [self.others.pop(key) for key in self._done(self.others)]
        failures = self._store.failures() if self.others else {}
        failed, free = [], []
        for key in self.others.keys() - claimed.keys():
            task, failure = self.others.pop(key), failures.get(key)
            if failure and failure.own and failure != self._before.get(key):
                failed.append((task, failure))
            else:
                free.append(task)
        self._free.extendleft(alike(free))
        done, self._found = self._found, []
        return done, failed

    def _claim(self, count: int) -> None:
        """Claim so many of a group, as far as nobody else has; the first to claim keeps a task."""
        group, claimed = self._free[0], self._claims()
        mine: list[Task] = []
        while group and len(mine) < count:
            some = [group.popleft() for _ in range(min(max(count, BLOCK), len(group)))]
            done = self._done(task.key for task in some)
            for task in some:
                if task.key in done:
                    self._found.append(task)
                elif task.key in claimed:
                    self.others[task.key] = task
                else:
                    mine.append(task)
        group.extendleft(reversed(mine[count:]))
        if not group:
            self._free.popleft()
        for start in range(0, len(mine[:count]), LINE):
            self._agreed(mine[start : min(start + LINE, count)])

    def _agreed(self, tasks: Sequence[Task]) -> None:
        """Claim tasks, and leave those to another run that it has claimed before."""
        keys = [task.key for task in tasks]
        with writing(self._store):
            ours = self._journal.claim(keys), self._journal.path.name
            claimed = self._claims()
            lost = [k for k in keys if k in claimed and (claimed[k].since, claimed[k].run) < ours]
            if lost:
                self._journal.release(lost)
        done = self._done(keys)  # between the first look and the claim
        kept: deque[Task] = deque()
        for task in tasks:
            if task.key in done:
                self._found.append(task)
            elif task.key in lost:
                self.others[task.key] = task
            else:
                kept.append(task)
        if kept:
            self._mine.append(kept)

    def _claims(self) -> dict[str, Claim]:
        with writing(self._store):
            self._store.refresh()
            claimed = self._store.claims(but=self._journal)
        self.runs = len({claim.run for claim in claimed.values()})
        return claimed

    def _done(self, keys: Iterable[str]) -> set[str]:
        return {*self._store.survey(keys)[0]} - self._again


@contextmanager
def writing(store: Store) -> Iterator[None]:
    """Say what it means if the block cannot write."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{store.path}: cannot be written any more ({error}); what is there is kept, and the "
            f"same command goes on from it."
        ) from error
