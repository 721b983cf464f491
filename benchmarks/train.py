"""Training: time of an optimiser step of a network, ours and as PyTorch and JAX are used today.

    python -m benchmarks.train [--repeats 7] [--json]

Work: 784-W-W-W-10 on MNIST, Adam, training dropout 0.2, for four pairs of width and mini-batch.
The times are per step and network: a contender that trains several at once is divided by their
number.  All contenders take turns, since machines are shared; each is compiled and warmed up
before.  Ours is timed on whole realizations, as the difference of a long and a short one, so that
everything is in it but beginning and evaluation.
"""

from __future__ import annotations

import concurrent.futures as cf
import dataclasses
import multiprocessing
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks import ours, parts, rivals
from benchmarks.rivals import Work
from criticality import data
from criticality.base import Task, canonical
from criticality.engine import ensemble, programs
from criticality.systems import DropoutNetwork

WORKS = [Work(), Work(batch=64), Work(width=50), Work(width=200)]
SHORT, LONG = 2, 22  # epochs
NETWORKS = (8, 64)  # in an ensemble
ADAM_BYTES = 24  # of memory traffic for a parameter and a step, at least


def our_time(work: Work, width: int = 1) -> Callable[[], float]:
    """Seconds a step and network: one realization on each core, or `width` in lanes."""
    mnist = data.load("mnist")
    network = canonical(
        DropoutNetwork(),
        width=work.width,
        depth=work.depth,
        batch_size=work.batch,
        p_train=work.rate,
        n_train=work.samples,
        n_validation=128,
        p_eval=[0.0],
        passes=1,
        patience=10**6,
        plateau=10**6,
    )

    def whole(epochs: int) -> float:
        system = dataclasses.replace(network, max_epochs=epochs)
        count = parts.CORES if width == 1 else width
        tasks = [
            Task(system=system, seed=0, realization=r, checksum=mnist.checksum)
            for r in range(count)
        ]
        if width == 1:
            return parts.timed(lambda: list(ours.crew().map(ours.realization, tasks)))
        return parts.timed(lambda: ensemble.realize(tasks, mnist.arrays(), width))

    def seconds() -> float:
        steps = (LONG - SHORT) * -(-work.samples // work.batch)
        return (whole(LONG) - whole(SHORT)) / steps / (parts.CORES if width == 1 else width)

    return seconds


def loop_on_every_core(pool: cf.Executor, work: Work, steps: int) -> float:
    times = list(pool.map(partial(rivals.plain_loop, work), [steps] * parts.CORES))
    return max(times) / steps / parts.CORES


def contenders(work: Work, pool: cf.Executor) -> dict[str, Callable[[], float]]:
    """Seconds a step and network of everybody on this processor."""
    found: dict[str, Callable[[], float]] = {
        "criticality, one network a core": our_time(work),
        "PyTorch loop, 1 process": lambda: rivals.plain_loop(work, 300) / 300,
        f"PyTorch loop, {parts.CORES} processes": partial(loop_on_every_core, pool, work, 300),
    }

    def ensemble_of(kind: Any, networks: int) -> Callable[[], float]:
        made = kind(work, networks)
        steps = max(3, 640 // networks)
        return lambda: made.seconds(steps) / steps / networks

    for networks in NETWORKS:
        found[f"PyTorch vmap of {networks}, fused Adam"] = ensemble_of(rivals.TorchVmap, networks)
        found[f"PyTorch bmm of {networks}, fused Adam"] = ensemble_of(rivals.TorchBmm, networks)
    found["JAX vmap of 64, optax"] = ensemble_of(rivals.JaxVmap, 64)
    return found


def measure(repeats: int) -> list[parts.Row]:
    """Give the table: times, and ratios within each repetition."""
    rows: list[parts.Row] = []
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(parts.CORES, context, rivals.one_thread) as pool:
        for work in WORKS:
            label = f"W = {work.width}, B = {work.batch}: "
            times = parts.interleaved({"": parts.peak, **contenders(work, pool)}, repeats)
            peaks = times.pop("")
            products = [p / 1e9 for p in peaks]
            rows.append(parts.row(label + "matrix-product peak", "GFLOP/s", products))
            for name, values in times.items():
                rows.append(parts.row(label + name, "ms a step", [1e3 * s for s in values]))
            mine, *others = times
            own = times[mine]
            rate = [work.step_flop / s for s in own]
            rows.append(parts.row(label + "criticality", "GFLOP/s", [r / 1e9 for r in rate]))
            share = [100 * r / p for r, p in zip(rate, peaks, strict=True)]
            rows.append(parts.row(label + "criticality", "% of the peak", share))
            groups = {
                "the 1-process PyTorch loop": others[:1],
                "the better PyTorch loop": others[:2],
                "the best batched PyTorch": [name for name in others if "fused" in name],
                "JAX vmap": others[-1:],
            }
            for what, names in groups.items():
                ratio = parts.ratios(own, *(times[name] for name in names))
                rows.append(parts.row(label + f"criticality against {what}", "x", ratio))
    return rows + accelerator(repeats)


def accelerator(repeats: int) -> list[parts.Row]:
    """Give the rows of an accelerator, which say so when there is none."""
    if not (programs.accelerated() and torch.cuda.is_available()):
        return [parts.absent("GPU: lanes against the traffic of Adam, and a PyTorch loop")]
    rows, bandwidth = [], parts.bandwidth()
    for work in WORKS:
        label = f"GPU, W = {work.width}, B = {work.batch}: "
        mnist = data.load("mnist")
        system = canonical(
            DropoutNetwork(), width=work.width, batch_size=work.batch, n_train=work.samples
        )
        many = [
            Task(system=system, seed=0, realization=r, checksum=mnist.checksum) for r in range(4096)
        ]
        width = ensemble.best_width(many, mnist.arrays())
        all_ = {
            "lanes": our_time(work, width),
            "PyTorch loop": lambda work=work: rivals.plain_loop(work, 300, "cuda") / 300,
        }
        times = parts.interleaved(all_, repeats)
        bound = ADAM_BYTES * work.parameters / bandwidth
        for name, values in times.items():
            rows.append(
                parts.row(label + name, "us a step", [1e6 * s for s in values], width=width)
            )
        share = [100 * bound / s for s in times["lanes"]]
        ratio = parts.ratios(times["lanes"], times["PyTorch loop"])
        rows.append(parts.row(label + f"{width} lanes", "% of the traffic bound", share))
        rows.append(parts.row(label + "lanes against the PyTorch loop", "x", ratio))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, repeats=7)
    parts.report(measure(options.repeats), options.json)


if __name__ == "__main__":
    main()
