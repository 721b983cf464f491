"""Evaluation: test images a second, through 20 dropout rates x 4 passes x 10,000 images.

    python -m benchmarks.evaluate [--repeats 7] [--json]

Ours evaluates one network on each core; the PyTorch loops send every pass through the whole
network, in chunks of 1,000 images, in one process or in one for each core.  "First layer once" is
the same loop with our shortcut: dropout does not touch the input.
"""

from __future__ import annotations

import concurrent.futures as cf
import itertools
import multiprocessing
from functools import partial

import torch
from torch import nn

from benchmarks import ours, parts, rivals
from benchmarks.rivals import Work
from criticality.systems import DropoutNetwork

WORK = Work()
RATES = DropoutNetwork().p_eval
FEW = RATES[::5]  # for the slow ones
PASSES, IMAGES = 4, 10_000
LATER_FLOP = 2 * sum(a * b for a, b in itertools.pairwise(WORK.sizes[1:]))


def our_time() -> float:
    """Seconds an image."""
    wall = parts.timed(
        lambda: list(ours.crew().map(ours.evaluation, [(RATES, PASSES)] * parts.CORES))
    )
    return wall / (parts.CORES * len(RATES) * PASSES * IMAGES)


def plain(rates: tuple[float, ...] = FEW) -> float:
    """Seconds an image, in one PyTorch loop."""
    model = rivals.network(WORK)
    wall = parts.timed(lambda: rivals.plain_evaluation(model, rates, 1))
    return wall / (len(rates) * IMAGES)


def _plain_in_process(_: int) -> float:
    return plain()


def plain_on_every_core(pool: cf.Executor) -> float:
    return max(pool.map(_plain_in_process, range(parts.CORES))) / parts.CORES


def first_layer_once() -> float:
    """Seconds an image of a PyTorch loop that keeps the first layer's pre-activations."""
    model = rivals.network(WORK)
    x, y = rivals.samples("test")
    rest = nn.Sequential(*list(model)[1:]).train()

    def work() -> None:
        with torch.no_grad():
            z = model[0](x)
            for rate in FEW:
                for layer in rest:
                    if isinstance(layer, nn.Dropout):
                        layer.p = rate
                for start in range(0, IMAGES, 1000):
                    logits = rest(z[start : start + 1000])
                    nn.functional.cross_entropy(logits, y[start : start + 1000]).item()

    return parts.timed(work) / (len(FEW) * IMAGES)


def measure(repeats: int) -> list[parts.Row]:
    """Give the table: images a second, and ratios within each repetition."""
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(parts.CORES, context, rivals.one_thread) as pool:
        contenders = {
            "peak": parts.peak,
            "criticality, one network a core": our_time,
            "PyTorch loop, 1 process": plain,
            f"PyTorch loop, {parts.CORES} processes": partial(plain_on_every_core, pool),
            "PyTorch loop, 1 process, first layer once": first_layer_once,
        }
        times = parts.interleaved(contenders, repeats)
    peaks = times.pop("peak")
    rows = [
        parts.row(name, "test images a second", [1 / s for s in values])
        for name, values in times.items()
    ]
    mine, *others = times
    own = times[mine]
    rate = [LATER_FLOP / s for s in own]
    rows.append(
        parts.row("criticality, layers after the first", "GFLOP/s", [r / 1e9 for r in rate])
    )
    share = [100 * r / p for r, p in zip(rate, peaks, strict=True)]
    rows.append(parts.row("criticality, layers after the first", "% of the peak", share))
    for name in others:
        rows.append(parts.row(f"criticality against {name}", "x", parts.ratios(own, times[name])))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, repeats=7)
    parts.report(measure(options.repeats), options.json)


if __name__ == "__main__":
    main()
