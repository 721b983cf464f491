"""Tables that are learned: symbols that are combined in pairs, and the answers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

TASKS = ("addition", "modular", "permutations")
ORDER = 6  # of the group S_3
Integers = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Table:
    """All samples of a task.

    Attributes
    ----------
    pairs
        int32 [samples, 2]: symbols that are combined.
    answers
        int32 [samples], from 0.
    classes
        Number of different answers.
    """

    pairs: Integers
    answers: Integers
    classes: int

    def matches(self) -> Integers:
        """Give all unordered pairs of different samples that have the same answer, int32 [Q, 2]."""
        order = np.argsort(self.answers, kind="stable")
        groups = np.split(order, np.cumsum(np.bincount(self.answers, minlength=self.classes))[:-1])
        found = [np.stack(np.triu_indices(len(g), 1), axis=1) for g in groups]
        return np.concatenate([g[i] for g, i in zip(groups, found, strict=True)]).astype(np.int32)


@cache
def table(task: str, p: int) -> Table:
    """Give the table of a task with p symbols.

    Addition: unordered pairs i <= j, the answer i + j; modular: the same modulo p.  Permutations:
    ordered pairs of elements of S_3, the answer is their product.
    """
    if task == "permutations":
        elements = list(itertools.permutations(range(3)))
        pairs = np.array(list(itertools.product(range(ORDER), repeat=2)), np.int32)
        products = [tuple(elements[a][k] for k in elements[b]) for a, b in pairs]
        answers = np.array([elements.index(one) for one in products], np.int32)
        return Table(pairs, answers, ORDER)
    pairs = np.argwhere(np.tri(p, dtype=bool))[:, ::-1].astype(np.int32)  # i <= j
    sums = pairs.sum(axis=1, dtype=np.int32)
    if task == "modular":
        return Table(pairs, sums % p, p)
    return Table(pairs, sums, 2 * p - 1)
