"""Percolation of layered graphs: what of them conducts while edges are taken away.

Edges join neighbouring layers only, and are removed one after another.  Each has a last step at
which it is there; a path is there until the first of its edges goes, and a unit is reached until
the last of its paths goes.  So one sweep forwards and one backwards, with min along and max over
paths (the widest path), give conduction at all steps at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions

from criticality.analysis.stats import Array
from criticality.base import InputError

Steps = NDArray[np.int64]
NEVER = -1  # last step of an edge that is not even there at step 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Conduction:
    """What conducts at every step, on some path from an input to an output.

    Attributes
    ----------
    edges
        int64 [steps+1, layers].
    units
        int64 [steps+1, layers+1]: inputs, hidden units, outputs.
    """

    edges: Steps
    units: Steps


def conduction(last: Sequence[Steps], steps: int) -> Conduction:
    """Edges and units on some path at steps 0, 1, ..., `steps`.

    Parameters
    ----------
    last
        From the inputs on, [out, in] for each layer: last step at which an edge is there, `NEVER`
        where it never is; numbers above `steps` are as good as that.

    Raises
    ------
    InputError
        For layers that do not fit on each other.
    """
    for number, (below, above) in enumerate(itertools.pairwise(last), start=2):
        if above.shape[1] != below.shape[0]:
            raise InputError(
                f"layer {number} has {above.shape[1]} inputs; expected {below.shape[0]}, the "
                f"outputs of the layer below it."
            )
    reached = [np.full(last[0].shape[1], steps)]
    for layer in last:
        reached.append(np.minimum(layer, reached[-1]).max(axis=1))
    useful = [np.full(last[-1].shape[0], steps)]
    for layer in reversed(last):
        useful.append(np.minimum(layer, useful[-1][:, None]).max(axis=0))
    useful.reverse()
    edges = [
        _alive(np.minimum(np.minimum(layer, before), after[:, None]), steps)
        for layer, before, after in zip(last, reached[:-1], useful[1:], strict=True)
    ]
    units = [_alive(np.minimum(r, u), steps) for r, u in zip(reached, useful, strict=True)]
    return Conduction(edges=np.stack(edges, 1), units=np.stack(units, 1))


def remaining(last: Sequence[Steps], steps: int) -> Steps:
    """Count the edges of each layer that are there at steps 0, 1, ..., int64 [steps+1, layers]."""
    return np.stack([_alive(layer, steps) for layer in last], axis=1)


def _alive(last: Steps, steps: int) -> Steps:
    """How many are there at each step, [steps+1]."""
    gone = np.bincount(np.minimum(last, steps).ravel() + 1, minlength=steps + 2)
    return last.size - np.cumsum(gone)[: steps + 1]


def removed_in_layers(counts: Steps, units: Sequence[int], rng: np.random.Generator) -> list[Steps]:
    """Last steps of edges that are removed at random, in each layer as many as `counts` says.

    Parameters
    ----------
    counts
        [steps+1, layers]: edges that are left, not increasing.
    units
        Inputs, hidden units, outputs, [layers+1].
    rng
        Of the order in each layer.

    Raises
    ------
    InputError
        For counts that grow, or more edges than there are places.
    """
    shapes = _shapes(units)
    _check(counts, [math.prod(shape) for shape in shapes])
    return [
        _last(left, rng.permutation(math.prod(shape))).reshape(shape)
        for left, shape in zip(counts.T, shapes, strict=True)
    ]


def removed_anywhere(totals: Steps, units: Sequence[int], rng: np.random.Generator) -> list[Steps]:
    """Last steps of edges that are removed at random from the whole graph.

    Parameters
    ----------
    totals
        [steps+1]: edges that are left, not increasing.
    units, rng
        As of `removed_in_layers`.

    Raises
    ------
    InputError
        As `removed_in_layers`.
    """
    shapes = _shapes(units)
    places = [math.prod(shape) for shape in shapes]
    _check(totals[:, None], [sum(places)])
    last = np.split(_last(totals, rng.permutation(sum(places))), np.cumsum(places)[:-1])
    return [part.reshape(shape) for part, shape in zip(last, shapes, strict=True)]


def _shapes(units: Sequence[int]) -> list[tuple[int, int]]:
    return [(after, before) for before, after in itertools.pairwise(units)]


def _check(counts: Steps, places: Sequence[int]) -> None:
    if counts.shape[1] != len(places) or (np.diff(counts, axis=0) > 0).any():
        raise InputError(f"counts: expected {len(places)} columns of numbers that do not grow.")
    if (counts[0] > places).any():
        raise InputError(f"counts: {counts[0].tolist()} edges are more than there are places.")


def _last(left: Steps, rank: Steps) -> Steps:
    """Last step of edges by their rank: one of rank r is there while more than r are left."""
    return np.searchsorted(-left, -rank, side="left") + NEVER


def outputs_reached(density: float, units: Sequence[int]) -> Array:
    """Exact probabilities of 0, 1, ... outputs that the inputs reach, [outputs+1].

    Every edge is there with probability `density`, independently.  Given how many units of a layer
    are reached, those of the next are reached independently, so that their number is a Markov chain
    from layer to layer with binomial transitions.

    Raises
    ------
    InputError
        For a density that is none.
    """
    if not 0 <= density <= 1:
        raise InputError(f"density = {density}: expected a number from 0 to 1.")
    chance = np.zeros(units[0] + 1)
    chance[-1] = 1.0
    for width in units[1:]:
        sources = np.flatnonzero(chance > 0)
        to = distributions.binom.pmf(
            np.arange(width + 1), width, 1 - (1 - density) ** sources[:, None]
        )
        chance = chance[sources] @ to
    return chance


def share_reached(density: Array, units: Sequence[float]) -> Array:
    """Share of the outputs that the inputs reach, without fluctuations of hidden layers.

    The limit of wide layers: r' = 1 - (1 - density)^(width r), the generating function of a
    branching process from layer to layer, which fluctuations at finite width lower.

    Parameters
    ----------
    density
        [...]: probability of an edge.
    units
        Inputs, hidden units, outputs.
    """
    share = np.ones_like(density)
    for width in units[:-1]:
        share = -np.expm1(width * share * np.log1p(-density))
    return share
