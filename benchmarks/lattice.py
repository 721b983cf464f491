"""Lattices: spin updates a second of the Potts model, heat bath and cluster updates.

    python -m benchmarks.lattice [--repeats 7] [--length 32] [--json]

Ours samples one realization on each core, as `criticality run` does, of four chains, and measures
energy and order after each sweep.  The other is what one would write in NumPy, for neighbours
alone: a heat bath on a checkerboard, of four chains at once, and clusters by SciPy's connected
components, in one process for each core.  A spin update is one site visited by a heat-bath sweep,
with a cluster update of the lattice where there are such.
"""

from __future__ import annotations

import concurrent.futures as cf
import math
import multiprocessing
from functools import partial

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from benchmarks import ours, parts
from criticality.base import Task, canonical
from criticality.systems import Potts

CHAINS, SWEEPS = 4, 1000
CASES = ((2, 1), (10, 1), (10, 0))  # states, cluster updates a sweep


def our_time(states: int, clusters: int, length: int) -> float:
    """Seconds a spin update."""
    system = canonical(
        Potts(),
        states=states,
        clusters=clusters,
        length=length,
        temperature=1 / math.log1p(math.sqrt(states)),
        copies=CHAINS // 2,
        equilibration=0,
        sweeps=SWEEPS,
    )
    many = 2 * parts.CORES
    tasks = [Task(system=system, seed=0, realization=i, checksum="") for i in range(many)]
    wall = parts.timed(lambda: list(ours.crew().map(ours.sample, tasks)))
    return wall / (many * CHAINS * SWEEPS * length**2)


def numpy_time(states: int, clusters: int, length: int, sweeps: int = SWEEPS // 20) -> float:
    """Seconds a spin update of NumPy loops over sweeps and colours."""
    rng = np.random.default_rng(0)
    temperature = 1 / math.log1p(math.sqrt(states))
    every = np.arange(states)[:, None, None, None]
    colour = np.indices((length, length)).sum(axis=0) % 2
    site = np.arange(CHAINS * length**2).reshape(CHAINS, length, length)
    spins = np.zeros((CHAINS, length, length), np.int32)
    found = np.empty((sweeps, 2, CHAINS))

    def work(s: np.ndarray) -> None:
        for sweep in range(sweeps):
            for part in (0, 1):
                around = [np.roll(s, by, axis) for axis in (1, 2) for by in (1, -1)]
                equal = np.sum([one == every for one in around], axis=0, dtype=np.float32)
                total = np.exp(equal / np.float32(temperature)).cumsum(axis=0)
                new = (rng.random(s.shape, np.float32) * total[-1] > total[:-1]).sum(axis=0)
                s = np.where(colour == part, new, s)
            for _ in range(clusters):
                frozen = [], []
                for axis in (1, 2):
                    bond = s == np.roll(s, -1, axis)
                    bond &= rng.random(s.shape, np.float32) < -np.expm1(-1 / temperature)
                    frozen[0].append(site[bond])
                    frozen[1].append(np.roll(site, -1, axis)[bond])
                ends = tuple(map(np.concatenate, frozen))
                graph = coo_matrix((np.ones(len(ends[0]), bool), ends), (site.size, site.size))
                number, label = connected_components(graph, directed=False)
                s = rng.integers(states, size=number)[label].reshape(s.shape)
            bonds = [(s == np.roll(s, -1, axis)).sum(axis=(1, 2)) for axis in (1, 2)]
            found[sweep] = -sum(bonds), (s == every).sum(axis=(2, 3)).max(axis=0)

    return parts.timed(lambda: work(spins)) / (sweeps * CHAINS * length**2)


def _one_thread() -> None:
    threadpool_limits(1)


def _numpy_in_process(work: tuple[int, int, int]) -> float:
    return numpy_time(*work)


def numpy_on_every_core(pool: cf.Executor, *work: int) -> float:
    return max(pool.map(_numpy_in_process, [work] * parts.CORES)) / parts.CORES


def measure(repeats: int, length: int) -> list[parts.Row]:
    """Give the table: spin updates a second, and ratios within each repetition."""
    context = multiprocessing.get_context("spawn")
    rows = []
    with cf.ProcessPoolExecutor(parts.CORES, context, _one_thread) as pool:
        for states, clusters in CASES:
            other = f"NumPy, {parts.CORES} processes"
            contenders = {
                "criticality": partial(our_time, states, clusters, length),
                other: partial(numpy_on_every_core, pool, states, clusters, length),
            }
            times = parts.interleaved(contenders, repeats)
            case = f"q = {states}, " + ("with clusters" if clusters else "heat bath")
            for name, values in times.items():
                rates = [1e-6 / s for s in values]
                rows.append(parts.row(f"{case}: {name}", "million spin updates a second", rates))
            gain = parts.ratios(times["criticality"], times[other])
            rows.append(parts.row(f"{case}: criticality against {other}", "x", gain))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, repeats=7, length=32)
    parts.report(measure(options.repeats, options.length), options.json)


if __name__ == "__main__":
    main()
