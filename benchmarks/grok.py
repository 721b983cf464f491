"""Grokking: time of a training step of one network, ours and in PyTorch, looks included.

    python -m benchmarks.grok [--repeats 7] [--json]

Work: toy addition at the paper's size (p = 10, 44 of 55 samples), full batch, AdamW with a group
for embeddings and one for the decoder, of width 100 and of width 200; every ten steps accuracies
and RQI are measured.  Times are per step and network: whoever trains several at once is divided by
their number.  PyTorch has one thread in a process: these matrices are too small for more, and
threads wait for each other where others use the cores.  All contenders take turns, since machines
are shared; each is compiled and warmed up before.  Ours is timed on whole realizations, as the
difference of long and short ones.
"""

from __future__ import annotations

import concurrent.futures as cf
import dataclasses
import multiprocessing
import statistics
from collections.abc import Callable
from functools import cache, partial

from benchmarks import addition, ours, parts, rivals
from benchmarks.addition import Work
from criticality.base import Task, canonical
from criticality.systems.grokking.network import GrokkingNetwork

WORKS = (Work(), Work(width=200))
SHORT, LONG = 200, 2200  # steps of ours
STEPS = 500  # of a PyTorch loop
LANES = (1, 8)  # networks of ours advanced together on a core
NETWORKS = (8, 64)  # in a batch of PyTorch


def our_time(work: Work, width: int) -> float:
    """Seconds a step and network, so many together on each core."""

    def whole(steps: int) -> float:
        system = canonical(
            GrokkingNetwork(), **dataclasses.asdict(dataclasses.replace(work, steps=steps))
        )
        tasks = [
            Task(system=system, seed=0, realization=r, checksum="")
            for r in range(parts.CORES * width)
        ]
        shares = [tasks[core :: parts.CORES] for core in range(parts.CORES)]
        return parts.timed(lambda: list(ours.crew().map(ours.lanes, shares)))

    return (whole(LONG) - whole(SHORT)) / (LONG - SHORT) / parts.CORES / width


def loop(work: Work, fused: bool | None = None) -> float:
    """Seconds a step of the loop that everybody writes."""
    few = dataclasses.replace(work, steps=STEPS)
    start = addition.drawn(few, 0)
    return parts.timed(lambda: addition.train(few, start, fused=fused)) / STEPS


@cache
def batch(work: Work, networks: int, compiled: bool) -> addition.Batch:
    """Networks of one batch, warmed up."""
    starts = [addition.drawn(work, seed) for seed in range(networks)]
    made = addition.Batch(work, starts, compiled)
    made.run(work.every)
    return made


def batched(work: Work, networks: int, compiled: bool = False) -> float:
    """Seconds a step and network of PyTorch's batch."""
    made, steps = batch(work, networks, compiled), max(20, 1600 // networks)
    return parts.timed(lambda: made.run(steps)) / steps / networks


def in_processes(pool: cf.Executor, seconds: Callable[[], float], count: int) -> float:
    """Seconds a step and network if so many processes do it at once."""
    futures = [pool.submit(seconds) for _ in range(count)]
    return max(future.result() for future in futures) / count


def contenders(work: Work, pool: cf.Executor) -> dict[str, Callable[[], float]]:
    """Seconds a step and network of everybody."""
    large = NETWORKS[-1]
    every = {
        "PyTorch loop": partial(loop, work),
        "PyTorch loop, fused AdamW": partial(loop, work, True),
        **{f"PyTorch bmm of {many}": partial(batched, work, many) for many in NETWORKS},
        f"PyTorch bmm of {large}, compiled": partial(batched, work, large, True),
    }
    return {
        **{f"criticality, {many} a core": partial(our_time, work, many) for many in LANES},
        "PyTorch loop, 1 process": partial(in_processes, pool, partial(loop, work), 1),
        **{
            f"{name}, {parts.CORES} processes": partial(in_processes, pool, seconds, parts.CORES)
            for name, seconds in every.items()
        },
    }


def measure(repeats: int) -> list[parts.Row]:
    """Give the table: times, and ratios within each repetition."""
    rows: list[parts.Row] = []
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(parts.CORES, context, rivals.one_thread) as pool:
        for work in WORKS:
            label = f"W = {work.width}: "
            times = parts.interleaved({"": parts.peak, **contenders(work, pool)}, repeats)
            peaks = times.pop("")
            rows.append(
                parts.row(label + "matrix-product peak", "GFLOP/s", [p / 1e9 for p in peaks])
            )
            for name, values in times.items():
                rows.append(parts.row(label + name, "ms a step", [1e3 * s for s in values]))
            own_names = [name for name in times if name.startswith("criticality")]
            mine = min(own_names, key=lambda name: statistics.median(times[name]))
            own = times[mine]
            rate = [work.step_flop / s for s in own]
            rows.append(parts.row(label + mine, "GFLOP/s", [r / 1e9 for r in rate]))
            share = [100 * r / p for r, p in zip(rate, peaks, strict=True)]
            rows.append(parts.row(label + mine, "% of the peak", share))
            loops = [name for name in times if name.startswith("PyTorch loop")]
            groups = {
                "the 1-process PyTorch loop": loops[:1],
                "the best PyTorch loop": loops,
                "the best batched PyTorch": [name for name in times if "bmm" in name],
            }
            for what, names in groups.items():
                ratio = parts.ratios(own, *(times[name] for name in names))
                rows.append(parts.row(f"{label}{mine} against {what}", "x", ratio))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, repeats=7)
    parts.report(measure(options.repeats), options.json)


if __name__ == "__main__":
    main()
