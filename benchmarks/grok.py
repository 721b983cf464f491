"""Grokking: time of a training step of one network, ours and in PyTorch, looks included.

    python -m benchmarks.grok [--repeats 7] [--json]

Work: toy addition at the paper's size (p = 10, 44 of 55 samples), full batch, AdamW with a group
for embeddings and one for the decoder, of width 100 and of width 200; every ten steps accuracies
and RQI are measured.  Times are per step and network: whoever trains several at once is divided by
their number.  All contenders take turns, since machines are shared; each is compiled and warmed up
before.  Ours is timed on whole realizations, as the difference of long and short ones.
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
SHORT, LONG = 200, 1200  # steps of ours
STEPS = 500  # of a PyTorch loop
LANES = (8, 32)  # networks of ours advanced together on a core
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
    short, long = (dataclasses.replace(work, steps=n) for n in (work.every, STEPS + work.every))
    start = addition.drawn(work, 0)
    times = [parts.timed(lambda w=w: addition.train(w, start, fused=fused)) for w in (short, long)]
    return (times[1] - times[0]) / STEPS


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


def on_every_core(pool: cf.Executor, seconds: Callable[[], float]) -> float:
    """Seconds a step and network if each core has its own process."""
    futures = [pool.submit(seconds) for _ in range(parts.CORES)]
    return max(future.result() for future in futures) / parts.CORES


def contenders(work: Work, pool: cf.Executor) -> dict[str, Callable[[], float]]:
    """Seconds a step and network of everybody."""
    every = f"{parts.CORES} processes"
    found = {
        f"criticality, {width} a core": partial(our_time, work, width) for width in (1, *LANES)
    }
    for name, fused in {"PyTorch loop": None, "PyTorch loop, fused AdamW": True}.items():
        found[f"{name}, 1 process"] = partial(loop, work, fused)
        found[f"{name}, {every}"] = partial(on_every_core, pool, partial(loop, work, fused))
    for networks in NETWORKS:
        name, alone = f"PyTorch bmm of {networks}", partial(batched, work, networks)
        found[f"{name}, 1 process"] = alone
        found[f"{name}, {every}"] = partial(on_every_core, pool, alone)
    alone = partial(batched, work, NETWORKS[-1], True)
    found[f"PyTorch bmm of {NETWORKS[-1]}, compiled, {every}"] = partial(on_every_core, pool, alone)
    return found


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
                f"the PyTorch loop, {parts.CORES} processes": loops[1:2],
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
