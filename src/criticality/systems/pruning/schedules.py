"""Schedules: how many weights remain after each pruning, in all and in each layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
SCHEDULES = ("equal", "geometric", "focused")
SCOPES = ("global", "layer")
COARSE = 0.1  # share of a focused schedule's steps that lead down to where it becomes fine


def remaining(schedule: str, edges: int, steps: int, final: float, focus: float) -> Counts:
    """Weights that remain after 0, 1, ..., `steps` prunings, int64 [steps+1].

    Parameters
    ----------
    schedule
        "equal": as many weights are removed at each step [Pesce et al.]; "geometric": the same
        fraction of those that remain; "focused": geometric in the first tenth of the steps, down
        to the density `focus`, then equal.
    edges
        Weights of the dense network.
    final, focus
        Densities (fractions of `edges`); a geometric schedule cannot end at 0.
    """
    t = np.arange(steps + 1)
    if schedule == "equal":
        density = 1 + (final - 1) * t / steps
    elif schedule == "geometric":
        density = final ** (t / steps)
    else:
        coarse = max(1, round(COARSE * steps))
        fine = focus + (final - focus) * (t - coarse) / max(1, steps - coarse)
        density = np.where(t <= coarse, focus ** (t / coarse), fine)
    return np.rint(edges * density).astype(np.int64)


def paused(totals: Counts, hold: int, at: float) -> Counts:
    """Schedule that stays for `hold` steps where it first has at most `at` weights."""
    reached = int(np.argmax(totals <= np.rint(max(at, totals[-1]))))
    return np.insert(totals, reached, np.full(hold, totals[reached]))


def apportioned(totals: Counts, layers: Counts) -> Counts:
    """Shares of every layer in proportion to its size, int64 [steps+1, layers]; rows sum to totals.

    Largest remainders: each share is its exact one, rounded down or up.  A share may then grow by
    one while the total falls (Alabama paradox), which removed weights cannot follow; it is held,
    and what it would have gained goes to the layer next in line.

    Parameters
    ----------
    totals
        [steps+1], not increasing.
    layers
        [layers]: weights of each.
    """
    shares = np.empty((len(totals), len(layers)), np.int64)
    before = layers
    for step, total in enumerate(totals):
        exact = total * layers / layers.sum()
        share = np.minimum(np.floor(exact).astype(np.int64), before)
        order = np.argsort(share - exact, kind="stable")
        while share.sum() < total:
            free = order[share[order] < before[order]]
            share[free[: total - share.sum()]] += 1
        shares[step] = before = share
    return shares
