"""Finite-size data of systems whose critical point and exponents are known exactly.

Every generator returns `ScalingData`, the same for the same arguments and the same state of `rng`.
Control values are one grid for all sizes, or a mapping from each size to its own (`window`).  Where
an observable saturates (a lattice that spans always or never) all realizations agree and
`ScalingData` refuses the point: choose a window that stays inside.

    system            variable                 critical point      exponents
    curie_weiss       (T - 1) N^(1/2)          T = 1               nubar = 2, beta = 1/2
    percolation       (p - p_c) L^(3/4)        p_c = 0.592746      nu = 4/3, beta = 5/36
    ising             (K - K_c) L              ln(1 + sqrt 2)/2    nu = 1, beta = 1/8
    random_graph      (c - 1) N^(1/3)          c = 1               nubar = 3, beta = 1
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaln

from criticality.analysis.scaling.data import ScalingData

T_C = 1.0  # Curie-Weiss, J = 1
P_C = 0.592746  # site percolation, square lattice
K_C = float(np.log1p(np.sqrt(2)) / 2)  # Ising, square lattice
C_C = 1.0  # mean degree of a random graph
STANDARD = {  # for `synthetic` with p_c near 0.5
    "sizes": (500, 1000, 2000, 4000, 8000),
    "control": np.linspace(0.3, 0.7, 20),
    "realizations": 40,
}
BLOCK = 1 << 17  # sites simulated at once: what fits the cache

Control = ArrayLike | Mapping[int, ArrayLike]


def window(
    sizes: Sequence[int], centre: float, reach: float, exponent: float, points: int
) -> dict[int, np.ndarray]:
    """Control values at which x = (p - centre) size^(1/exponent) runs from -reach to reach."""
    x = np.linspace(-reach, reach, points)
    return {size: centre + x * size ** (-1 / exponent) for size in sizes}


@dataclass(frozen=True)
class Measured:
    """Several observables of one simulation; `data` takes one of them.

    Attributes
    ----------
    name
        Of the control.
    control
        [points] for every size.
    values
        For every size, [realizations, points] for every observable.
    """

    name: str
    control: dict[int, np.ndarray]
    values: dict[int, dict[str, np.ndarray]]

    def data(self, observable: str) -> ScalingData:
        columns: list[list[np.ndarray]] = [[], [], [], []]
        for size, control in self.control.items():
            table = self.values[size][observable]
            number = np.broadcast_to(np.arange(len(table))[:, None], table.shape)
            parts = (
                np.broadcast_to(control, table.shape),
                np.full(table.shape, size),
                number,
                table,
            )
            for column, part in zip(columns, parts, strict=True):
                column.append(part.ravel())
        names = (self.name, "L", observable)
        return ScalingData.from_samples(*(np.concatenate(column) for column in columns), names)


def _measure(
    name: str,
    sizes: Sequence[int],
    control: Control,
    measure: Callable[[int, np.ndarray], dict[str, np.ndarray]],
) -> Measured:
    grids, values = {}, {}
    for size in sizes:
        grid = control[size] if isinstance(control, Mapping) else control
        grids[size] = np.asarray(grid, float)
        values[size] = measure(size, grids[size])
    return Measured(name, grids, values)


def _magnetic(
    absolute: np.ndarray, square: np.ndarray, fourth: np.ndarray
) -> dict[str, np.ndarray]:
    """Observables from the averages of |m|, m^2 and m^4 of every realization."""
    binder = 1 - fourth / (3 * square**2)
    return {"abs": absolute, "square": square, "fourth": fourth, "binder": binder}


def _components(nodes: int, start: np.ndarray, stop: np.ndarray) -> tuple[int, np.ndarray]:
    """Number of connected components, and the component of every node."""
    edges = coo_array((np.ones(len(start)), (start, stop)), shape=(nodes, nodes))
    count, component = connected_components(edges, directed=False)
    return int(count), component


# --- Curie-Weiss: every spin coupled to every other ---


def curie_weiss_distribution(size: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of m and their exact probabilities, for the energy -(sum of spins)^2 / (2 N)."""
    up = np.arange(size + 1)
    total = 2.0 * up - size
    log = gammaln(size + 1) - gammaln(up + 1) - gammaln(size - up + 1)
    log = log + total**2 / (2 * size * temperature)
    weight = np.exp(log - log.max())
    return total / size, weight / weight.sum()


def measure_curie_weiss(
    sizes: Sequence[int],
    temperatures: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    draws: int = 100,
) -> Measured:
    """Moments of m, each the mean over independent draws; all points are independent."""

    def measure(size: int, control: np.ndarray) -> dict[str, np.ndarray]:
        moments = np.empty((3, realizations, len(control)))
        for at, temperature in enumerate(control):
            m, probability = curie_weiss_distribution(size, temperature)
            drawn = m[rng.choice(len(m), (realizations, draws), p=probability)]
            for row, power in enumerate((1, 2, 4)):
                moments[row, :, at] = (np.abs(drawn) ** power).mean(axis=1)
        return _magnetic(*moments)

    return _measure("T", sizes, temperatures, measure)


def curie_weiss(
    sizes: Sequence[int],
    temperatures: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    draws: int = 100,
    observable: str = "abs",
) -> ScalingData:
    """One of "abs" (N^(-1/4) at T = 1), "square", "fourth" and "binder"."""
    return measure_curie_weiss(sizes, temperatures, realizations, rng, draws=draws).data(observable)


# --- site percolation on the square lattice ---


def _clusters(open_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each lattice [lattices, L, L]: whether it spans from top to bottom; its largest cluster.

    Boundaries are open for the first, periodic for the second.
    """
    count, size, _ = open_.shape
    image = np.zeros((count, size + 1, size), bool)  # a closed row between lattices
    image[:, :size] = open_
    label, number = ndimage.label(image.reshape(-1, size))
    site = label.reshape(image.shape)[:, :size]
    at_top = np.zeros(number + 1, bool)
    at_top[site[:, 0]] = True
    at_top[0] = False
    spans = at_top[site[:, -1]].any(axis=1)
    start = np.concatenate([site[:, 0].ravel(), site[:, :, 0].ravel()])
    stop = np.concatenate([site[:, -1].ravel(), site[:, :, -1].ravel()])
    both = (start > 0) & (stop > 0)
    joined, cluster = _components(number + 1, start[both], stop[both])
    sites = np.bincount(cluster, np.bincount(site.ravel(), minlength=number + 1), joined)
    sites[cluster[0]] = 0
    return spans, sites[cluster][site].max(axis=(1, 2))


def measure_percolation(
    sizes: Sequence[int],
    probabilities: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    lattices: int = 50,
    shared: bool = False,
) -> Measured:
    """Means over `lattices` lattices of every realization.

    With `shared` the same random numbers are compared with every probability, so that all points
    of one realization are correlated, as those of one trained network are.
    """

    def measure(size: int, control: np.ndarray) -> dict[str, np.ndarray]:
        found = np.empty((2, realizations, len(control)))
        for number in range(realizations):
            uniform = None
            for at, probability in enumerate(control):
                if uniform is None or not shared:
                    uniform = rng.random((lattices, size, size), dtype=np.float32)
                spans, largest = _clusters(uniform < probability)
                found[:, number, at] = spans.mean(), largest.mean() / size**2
        return {"spanning": found[0], "strength": found[1]}

    return _measure("p", sizes, probabilities, measure)


def percolation(
    sizes: Sequence[int],
    probabilities: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    lattices: int = 50,
    shared: bool = False,
    observable: str = "spanning",
) -> ScalingData:
    """One of "spanning" and "strength".

    The probability of a cluster from top to bottom (open boundaries), or the fraction of all sites
    in the largest cluster (periodic boundaries), L^(-5/48) at p_c.
    """
    found = measure_percolation(
        sizes, probabilities, realizations, rng, lattices=lattices, shared=shared
    )
    return found.data(observable)


# --- Ising model on the square lattice, periodic boundaries ---


def _swendsen_wang(
    size: int, couplings: np.ndarray, rng: np.random.Generator, sweeps: int, discard: int
) -> np.ndarray:
    """[3, chains]: averages of |m|, m^2 and m^4 of one chain for each coupling.

    Bonds are pixels between the sites, so that `ndimage.label` finds the clusters of open
    lattices; what the periodic bonds join is then found on the graph of clusters.
    """
    chains = len(couplings)
    bond = -np.expm1(-2 * couplings).astype(np.float32)[:, None, None]
    spin = np.ones((chains, size, size), np.int8)
    image = np.zeros((chains, size, 2, size, 2), np.uint8)  # last row and column stay closed
    image[:, :, 0, :, 0] = 1
    label = np.empty((chains * 2 * size, 2 * size), np.int32)
    site = label.reshape(image.shape)[:, :, 0, :, 0]
    moments = np.zeros((3, chains))
    for sweep in range(discard + sweeps):
        right = spin == np.roll(spin, -1, axis=2)
        down = spin == np.roll(spin, -1, axis=1)
        right &= rng.random(spin.shape, dtype=np.float32) < bond
        down &= rng.random(spin.shape, dtype=np.float32) < bond
        image[:, :, 0, :-1, 1] = right[:, :, :-1]
        image[:, :-1, 1, :, 0] = down[:, :-1, :]
        number = ndimage.label(image.reshape(label.shape), output=label)
        side, end = right[:, :, -1], down[:, -1, :]
        start = np.concatenate([site[:, :, -1][side], site[:, -1, :][end]])
        stop = np.concatenate([site[:, :, 0][side], site[:, 0, :][end]])
        count, cluster = _components(number + 1, start, stop)
        spin = rng.integers(0, 2, count, dtype=np.int8)[cluster][site]
        if sweep >= discard:
            m = np.abs(2 * spin.mean(axis=(1, 2), dtype=float) - 1)
            moments += [m, m**2, m**4]
    return moments / sweeps


def measure_ising(
    sizes: Sequence[int],
    couplings: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    sweeps: int = 200,
    discard: int = 40,
) -> Measured:
    """Averages over a Swendsen-Wang chain of its own for every realization and coupling.

    Chains start magnetised.  "binder" is that of each chain alone, biased by the chain's finite
    length; the ratio of the means of "fourth" and "square" is not.  Sizes from 3.
    """

    def measure(size: int, control: np.ndarray) -> dict[str, np.ndarray]:
        each = np.tile(control, realizations)
        block = max(1, BLOCK // size**2)
        parts = [
            _swendsen_wang(size, each[at : at + block], rng, sweeps, discard)
            for at in range(0, len(each), block)
        ]
        shape = (3, realizations, len(control))
        return _magnetic(*np.concatenate(parts, axis=1).reshape(shape))

    return _measure("K", sizes, couplings, measure)


def ising(
    sizes: Sequence[int],
    couplings: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    sweeps: int = 200,
    discard: int = 40,
    observable: str = "abs",
) -> ScalingData:
    """One of "abs" (L^(-1/8) at K_c), "square", "fourth" and "binder"."""
    found = measure_ising(sizes, couplings, realizations, rng, sweeps=sweeps, discard=discard)
    return found.data(observable)


# --- random graph G(N, c/N) ---


def _random_edges(
    size: int, degree: float, graphs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, stop and arrival time in (0, 1) of the edges of a disjoint union of graphs.

    Edges arrive as a Poisson process, some of them repeatedly: every pair is joined independently
    with probability exactly degree / size.
    """
    number = rng.poisson(_edges(size, degree), graphs)
    first = np.repeat(np.arange(graphs) * size, number)
    start = rng.integers(0, size, len(first))
    stop = rng.integers(0, size - 1, len(first))
    stop += stop >= start
    return first + start, first + stop, rng.random(len(first))


def _edges(size: int, degree: float) -> float:
    """Mean number of arrivals that joins every pair with probability degree / size."""
    return float(-size * (size - 1) / 2 * np.log1p(-degree / size))


def random_graph(
    sizes: Sequence[int],
    mean_degrees: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    graphs: int = 10,
    shared: bool = False,
) -> ScalingData:
    """Fraction of nodes in the largest component, N^(-1/3) at c = 1; mean over `graphs` graphs.

    With `shared` the graphs of one realization grow with c by adding edges, so that its points are
    correlated.  Corrections to scaling are large, of relative order N^(-1/3).
    """

    def measure(size: int, control: np.ndarray) -> dict[str, np.ndarray]:
        found = np.zeros((realizations, len(control)))
        block = max(1, BLOCK // 2 // size)
        blocks = [len(part) for part in np.split(np.arange(graphs), range(block, graphs, block))]
        for number, together in itertools.product(range(realizations), blocks):
            edges = None
            for at, degree in enumerate(control):
                most = control.max() if shared else degree
                if edges is None or not shared:
                    edges = _random_edges(size, most, together, rng)
                start, stop, time = edges
                here = time * _edges(size, most) < _edges(size, degree)
                count, component = _components(together * size, start[here], stop[here])
                nodes = np.bincount(component, minlength=count)
                largest = nodes[component].reshape(together, size).max(axis=1)
                found[number, at] += largest.sum() / size / graphs
        return {"S": found}

    return _measure("c", sizes, mean_degrees, measure).data("S")


# --- curves without a transition, and made-up ones with one ---


def network_noise(
    shape: tuple[int, int], noise: float, correlation: float, rng: np.random.Generator
) -> np.ndarray:
    """[realizations, points] from N(0, noise^2); equal correlation of all points of one network."""
    common, own = rng.normal(size=(shape[0], 1)), rng.normal(size=shape)
    return noise * (np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)


def smooth_crossover(
    sizes: Sequence[int],
    control: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    centre: float = 0.5,
    width: float = 0.05,
    excess: float = 1.0,
    noise: float = 0.05,
    correlation: float = 0.5,
) -> ScalingData:
    """A sigmoid whose width saturates: width (1 + excess min(sizes) / size).  No transition."""

    def measure(size: int, p: np.ndarray) -> dict[str, np.ndarray]:
        scale = width * (1 + excess * min(sizes) / size)
        curve = 1 / (1 + np.exp(-(p - centre) / scale))
        return {"y": curve + network_noise((realizations, len(p)), noise, correlation, rng)}

    return _measure("p", sizes, control, measure).data("y")


def no_transition(
    sizes: Sequence[int],
    control: Control,
    realizations: int,
    rng: np.random.Generator,
    *,
    centre: float = 0.5,
    width: float = 0.05,
    noise: float = 0.05,
    correlation: float = 0.5,
) -> ScalingData:
    """The same sigmoid for all sizes: y = f(p)."""
    options = {"centre": centre, "width": width, "noise": noise, "correlation": correlation}
    return smooth_crossover(sizes, control, realizations, rng, excess=0, **options)


def shuffled(data: ScalingData, rng: np.random.Generator) -> ScalingData:
    """The same curves with their sizes permuted.

    No curve keeps its size; of three and more the plain reversal is excluded too, for it scales
    again, with a negative exponent.
    """
    number = len(data.curves)
    index = np.arange(number)
    while True:
        order = rng.permutation(number)
        reverse = number > 2 and np.array_equal(order, index[::-1])
        if (order != index).all() and not reverse:
            break
    curves = [
        replace(curve, size=size)
        for curve, size in zip(data.curves, data.sizes[order], strict=True)
    ]
    return ScalingData(tuple(sorted(curves, key=lambda curve: curve.size)), data.names)


def master_curve(x: ArrayLike) -> np.ndarray:
    """Sigmoid and slope; x from -1 to 1 covers it."""
    x = np.asarray(x, float)
    return 1 / (1 + np.exp(-4 * x)) + 0.2 * x


def growth(ansatz: str, exponent: float, size: ArrayLike, L0: float = 1.0) -> np.ndarray:
    """What p - p_c is multiplied by: L^(1/nu), or [ln(L/L0)]^(1/sigma)."""
    size = np.asarray(size, float)
    base = {"algebraic": size, "bkt": np.log(size / L0)}[ansatz]
    return base ** (1 / exponent)


def synthetic(
    ansatz: str,
    p_c: float,
    exponent: float,
    sizes: Sequence[int],
    control: Control,
    realizations: int,
    noise: float,
    correlation: float,
    rng: np.random.Generator,
    beta: float = 0.0,
    L0: float = 1.0,
) -> ScalingData:
    """Noisy values of L^-k f(x), exactly scaling; see `STANDARD`.

    x = (p - p_c) g(L) / (w g(max L)), with g of `growth` and w the largest |p - p_c| of all
    points: the curve of the largest size covers f (`master_curve`) from -1 to 1 at most, and those
    of smaller sizes less.  The prefactor has k = beta / nu (algebraic) or k = beta (BKT, where
    there is no nu).  Noise: `network_noise`, added after the prefactor.
    """
    grids = control.values() if isinstance(control, Mapping) else [control]
    reach = max(np.abs(np.asarray(grid, float) - p_c).max() for grid in grids)
    power = beta / exponent if ansatz == "algebraic" else beta

    def measure(size: int, p: np.ndarray) -> dict[str, np.ndarray]:
        scale = growth(ansatz, exponent, size, L0) / growth(ansatz, exponent, max(sizes), L0)
        curve = size**-power * master_curve((p - p_c) / reach * scale)
        return {"y": curve + network_noise((realizations, len(p)), noise, correlation, rng)}

    return _measure("p", sizes, control, measure).data("y")
