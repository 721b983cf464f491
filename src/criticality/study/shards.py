"""Shards: a study cut into parts that different jobs compute, each for itself.

The cut depends on the study alone, not on what a store lacks of it: the same shard may be computed
again at any time, and shards need not know of each other.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from criticality.base import InputError, System, Task, plain, work
from criticality.engine.templates import template

# of a core, within a factor of a few; measured rates would make the cut depend on the store
FLOPS = 1e11
TASK_S = 0.03  # of a task beyond its arithmetic: calls, file, lists of one


def parse(text: str) -> tuple[int, int]:
    """Read "I/N": the I-th of N shards, counted from 1.

    Raises
    ------
    InputError
        If it is something else, or there is no such shard.
    """
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
    if not found:
        raise InputError(f"--shard {text}: expected I/N, as 1/4 for the first of four shards.")
    number, count = map(int, found.groups())
    check(number, count)
    return number, count


def check(number: int, count: int) -> None:
    """Raise `InputError` if there is no such shard."""
    if not 1 <= number <= count:
        raise InputError(
            f"shard {number}/{count}: shards are counted from 1 to {max(count, 1)}; in a Slurm "
            f"array, --array=1-{max(count, 1)}."
        )


def shard(tasks: Sequence[Task], part: tuple[int, int] | None) -> list[Task]:
    """Tasks of the shard `part` = (number from 1, count); all of them for None.

    Raises
    ------
    InputError
        If there is no such shard, or there are more shards than tasks.
    """
    if part is None:
        return list(tasks)
    check(*part)
    number, count = part
    return partition(tasks, count)[number - 1]


def partition(tasks: Sequence[Task], count: int) -> list[list[Task]]:
    """Cut the tasks of a study into shards of like total cost, none of them empty.

    Tasks that share compiled programs stand together, those of most work first, and every shard is
    a piece of that line: few programs are compiled in it, and its tasks are of like cost.  A
    shard's cost differs from the mean by that of its most expensive task at most, unless some
    tasks alone cost more than the mean.

    Raises
    ------
    InputError
        If there are more shards than tasks.
    """
    if count > len(tasks):
        raise InputError(
            f"{count} shards of {len(tasks)} tasks: some would be empty; use {len(tasks)} at most."
        )
    groups: dict[Any, list[tuple[float, Task]]] = defaultdict(list)
    for system, several in itertools.groupby(tasks, key=lambda task: task.system):
        alike, cost = _form(system), work(system) / FLOPS + TASK_S
        groups[alike].extend((cost, task) for task in several)
    line = [pair for group in groups.values() for pair in sorted(group, key=lambda pair: -pair[0])]
    costs = np.array([cost for cost, _ in line])
    middle = np.cumsum(costs) - costs / 2
    cuts = np.searchsorted(middle, costs.sum() * np.arange(1, count) / count)
    least = np.arange(1, count)  # a task at least in each
    apart = np.maximum.accumulate(cuts - least).clip(0) + least
    inside = np.minimum(apart, len(line) - least[::-1])
    bounds = [0, *map(int, inside), len(line)]
    return [[task for _, task in line[a:b]] for a, b in itertools.pairwise(bounds)]


def _form(system: System) -> Any:
    return None if plain(system) else template(system)
