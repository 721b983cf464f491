"""Topology of pruned networks, from the step at which each weight was removed.

A layer is a 0-1 matrix [out, in]: an edge leads from a unit of the layer below to one above
[M. Newman, Networks, 2nd ed. (2018), ch. 6].  The units of a convolution are its channels, and two
channels may be joined by up to 9 edges, one for each position in the kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from criticality.analysis.stats import Array
from criticality.base import InputError

Mask = NDArray[np.bool_]
Shape = tuple[int, ...]  # of the weights of a layer: (out, in), or (out, in, 3, 3)


def layer_shapes(units: ArrayLike, edges: ArrayLike) -> list[Shape]:
    """Shapes of the layers of a dense network.

    Parameters
    ----------
    units
        [layers + 1], the inputs first; channels count as units.
    edges
        [layers], weights of each.

    Returns
    -------
    list[Shape]
        (out, in), or (out, in, k) where k edges join each pair of units: positions in a kernel, or
        the pixels of a channel that feeds a fully-connected layer.

    Raises
    ------
    InputError
        If a layer does not join all its pairs of units alike.
    """
    counts = [int(n) for n in np.asarray(units)]
    shapes: list[Shape] = []
    for number, count in enumerate(np.asarray(edges, int).tolist()):
        pair = counts[number + 1], counts[number]
        each, rest = divmod(count, math.prod(pair)) if all(pair) else (0, 1)
        if rest or not each:
            raise InputError(
                f"layer {number + 1} has {count} edges; expected a multiple of {pair[0]} x "
                f"{pair[1]}, the units that it joins"
            )
        shapes.append(pair if each == 1 else (*pair, each))
    return shapes


def masks(removed: ArrayLike, shapes: Sequence[Shape], step: int) -> list[Mask]:
    """Edges of each layer that remain after a step of pruning.

    Parameters
    ----------
    removed
        [weights], the step that removed each; larger than every step for those never removed.  All
        layers from the input on, each in C order.
    shapes
        Of the weights of each layer.
    step
        0 is the dense network.

    Returns
    -------
    list[Mask]
        For each layer bool, in its shape.

    Raises
    ------
    InputError
        If the shapes do not hold this many weights, or a weight has no step (NaN: the realization
        is not computed).
    """
    steps = np.asarray(removed)
    sizes = [math.prod(shape) for shape in shapes]
    if steps.shape != (sum(sizes),):
        raise InputError(
            f"removed has shape {steps.shape}; expected ({sum(sizes)},), "
            f"the weights of layers {', '.join(map(str, shapes))}"
        )
    if np.isnan(steps).any():
        raise InputError("removed has NaN; choose a realization that is computed")
    parts = np.split(steps > step, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def degrees(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Degrees of the units at both ends of a layer.

    Parameters
    ----------
    mask
        bool [out, in] or [out, in, ...]; further axes are positions in a kernel, whose edges count
        each.

    Returns
    -------
    into
        int [out], the in-degree of each unit above: edges that lead to it.
    out_of
        int [in], the out-degree of each unit below: edges that leave it.
    """
    multiplicity = mask.sum(axis=tuple(range(2, mask.ndim)))
    return multiplicity.sum(axis=1), multiplicity.sum(axis=0)


@dataclass(frozen=True, kw_only=True)
class DegreeDistribution:
    """How many units have how many edges, averaged over realizations.

    Attributes
    ----------
    degree
        int [degrees], 0 to the largest found.
    probability, probability_error
        [degrees], P(k), the share of units with degree k.
    cumulative, cumulative_error
        [degrees], P(K >= k), the share of units with degree k or more.
    n
        Realizations.
    """

    degree: NDArray[np.int64]
    probability: Array
    probability_error: Array
    cumulative: Array
    cumulative_error: Array
    n: int


def degree_distribution(samples: Sequence[ArrayLike]) -> DegreeDistribution:
    """Distribution of degrees and its complementary cumulative, which needs no bins.

    Errors are standard errors of the mean over realizations, since units of one network are not
    independent; NaN for a single one.  Where no realization has units of some degree, an error of 0
    only says that there were too few.

    Parameters
    ----------
    samples
        For each realization int [units], as from `degrees`.

    Raises
    ------
    InputError
        Without realizations, or for one without units.
    """
    each = [np.asarray(sample, np.int64).ravel() for sample in samples]
    if not each or not all(sample.size for sample in each):
        raise InputError("a degree distribution needs realizations, and units in each")
    bins = max(int(sample.max()) for sample in each) + 1
    shares = np.array([np.bincount(sample, minlength=bins) / sample.size for sample in each])
    tails = shares[:, ::-1].cumsum(axis=1)[:, ::-1]
    n = len(each)

    def error(values: Array) -> Array:
        if n == 1:
            return np.full(bins, np.nan)
        spread: Array = values.std(axis=0, ddof=1) / math.sqrt(n)
        return spread

    return DegreeDistribution(
        degree=np.arange(bins),
        probability=shares.mean(axis=0),
        probability_error=error(shares),
        cumulative=tails.mean(axis=0),
        cumulative_error=error(tails),
        n=n,
    )


def random_tail(degree: ArrayLike, shape: Shape, side: int, edges: ArrayLike) -> Array:
    """Give the expected share of units with degree k or more, if edges lie at random.

    Parameters
    ----------
    degree
        int [degrees], k.
    shape
        Of the weights of a layer.
    side
        0 for in-degrees of the units above, 1 for out-degrees of those below.
    edges
        int [realizations], or one number, that remain in the layer.

    Returns
    -------
    Array
        [degrees], P(K >= k), mean over realizations.  K is hypergeometric: so many edges are drawn
        from all places in the layer, and counted in those of one unit.
    """
    total = math.prod(shape)
    k, drawn = np.asarray(degree)[:, None], np.atleast_1d(np.asarray(edges))
    tail: Array = stats.hypergeom.sf(k - 1, total, drawn, total // shape[side]).mean(axis=1)
    return tail


@dataclass(frozen=True, kw_only=True)
class Conducting:
    """What takes part in paths from an input to an output.

    Attributes
    ----------
    edges
        For each layer bool, in the shape of its mask: on some path.
    units
        For each layer of units, the inputs first, bool [units]: on some path.
    """

    edges: list[Mask]
    units: list[Mask]


def conducting(layers: Sequence[Mask]) -> Conducting:
    """Edges and units on some path of edges from the input to the output.

    A unit is on one if the input reaches it and it reaches the output: one sweep forwards and one
    backwards [the in- and out-components of Newman, sec. 6.12].  An edge is on one if the input
    reaches its lower end and its upper end reaches the output.

    Parameters
    ----------
    layers
        From the input on, bool [out, in] or, for a convolution, [out, in, ...].  Where a layer has
        `positions` times as many inputs as the one below has units, these are channels, flattened
        channel by channel: input i belongs to unit i // positions.  An edge that leaves any
        position of a channel leaves the channel.

    Raises
    ------
    InputError
        If the inputs of a layer are not a multiple of the units below it.
    """
    for number, (below, above) in enumerate(itertools.pairwise(layers), start=2):
        if not below.shape[0] or above.shape[1] % below.shape[0]:
            raise InputError(
                f"layer {number} has {above.shape[1]} inputs; expected a multiple of the "
                f"{below.shape[0]} units below it"
            )
    widths = [layers[0].shape[1], *(mask.shape[0] for mask in layers)]
    joined = [  # units only: kernels and positions are one edge
        mask.reshape(mask.shape[0], width, -1).any(axis=2)
        for mask, width in zip(layers, widths, strict=False)
    ]
    reached: list[Mask] = [np.ones(widths[0], bool)]
    for mask in joined:
        reached.append(np.any(mask & reached[-1], axis=1))
    reaching: list[Mask] = [np.ones(widths[-1], bool)]
    for mask in reversed(joined):
        reaching.insert(0, np.any(mask & reaching[0][:, None], axis=0))

    edges = []
    for mask, lower, upper in zip(layers, reached, reaching[1:], strict=False):
        ends = np.repeat(lower, mask.shape[1] // lower.size) & upper[:, None]
        edges.append(mask & ends.reshape(*ends.shape, *(1,) * (mask.ndim - 2)))
    return Conducting(edges=edges, units=[a & b for a, b in zip(reached, reaching, strict=True)])
