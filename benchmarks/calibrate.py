"""Mean-variance regression: time of a training of both networks, ours and in PyTorch, on one core.

    python -m benchmarks.calibrate [--repeats 5] [--json]

Work: 64 samples, two networks of 2 x 18 units, 5,000 epochs without warm-up (which PyTorch's batch
would train in full), Adam, cyclic learning rate, gradients clipped.  PyTorch trains a batch of
models, each with its own rho and gamma: parameters [models, in, out] and einsum, losses summed, as
the authors of the paper do.  Its time is that of few epochs, times as many, over the models.
"""

from __future__ import annotations

import itertools
from functools import cache, partial

import numpy as np
import torch

from benchmarks import parts
from criticality.base import Task, canonical
from criticality.engine import ensemble
from criticality.systems.mean_variance.network import MeanVarianceNetwork

EPOCHS, SAMPLES = 5000, 64
SIZES = (1, 18, 18, 1)
MODELS = (1, 64, 256, 576)  # in a batch of PyTorch; the last is the plane of the paper
FEW = 12_800  # epochs of all models that are timed


def our_time() -> float:
    """Seconds a training: one after another, data and scores included."""
    system = canonical(MeanVarianceNetwork(), epochs=EPOCHS, warmup=0, rho=0.95, gamma=0.05)
    tasks = [Task(system=system, seed=0, realization=r, checksum="") for r in range(5)]
    return parts.timed(lambda: ensemble.realize(tasks, {})) / len(tasks)


class Batch:
    """Models that PyTorch trains together, of drawn data."""

    def __init__(self, models: int) -> None:
        torch.manual_seed(0)
        self.nets = [
            [self._drawn(models, i, o) for i, o in itertools.pairwise(SIZES)] for _ in "12"
        ]
        self.params = [p for net in self.nets for layer in net for p in layer]
        self.x = torch.linspace(-1.7, 1.7, SAMPLES)[None, :, None].expand(models, -1, 1)
        self.y = torch.randn(models, SAMPLES, 1)
        self.rho, self.gamma = torch.rand(2, models)
        self.adam = torch.optim.Adam(self.params, lr=1e-3)
        self.rate = torch.optim.lr_scheduler.CyclicLR(
            self.adam, 1e-3, 1e-2, step_size_up=500, mode="triangular2", cycle_momentum=False
        )

    @staticmethod
    def _drawn(models: int, into: int, out: int) -> tuple[torch.Tensor, torch.Tensor]:
        w = torch.randn(models, into, out) * (2 / into) ** 0.5
        return w.requires_grad_(), torch.zeros(models, 1, out, requires_grad=True)

    def _output(self, net: int) -> torch.Tensor:
        h = self.x
        for number, (w, b) in enumerate(self.nets[net]):
            h = torch.einsum("bmi,bio->bmo", h, w) + b
            if number < len(SIZES) - 2:
                h = torch.nn.functional.leaky_relu(h)
        return h

    def epoch(self) -> None:
        """Take one step."""
        self.adam.zero_grad()
        mean = self._output(0)
        precision = torch.nn.functional.softplus(self._output(1)) + 1e-8
        terms = precision * (self.y - mean) ** 2 - torch.log(precision)
        squares = [sum((p**2).sum((1, 2)) for layer in net for p in layer) for net in self.nets]
        decay = self.gamma * squares[0] + (1 - self.gamma) * squares[1]
        (self.rho * terms.mean((1, 2)) + (1 - self.rho) * decay).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1000.0)
        self.adam.step()
        self.rate.step()


@cache
def batch(models: int) -> Batch:
    """Give a batch that is warmed up."""
    torch.set_num_threads(1)
    made = Batch(models)
    made.epoch()
    return made


def batched(models: int) -> float:
    """Seconds a training and model."""
    made, epochs = batch(models), min(500, FEW // models)

    def run() -> None:
        for _ in range(epochs):
            made.epoch()

    return parts.timed(run) / epochs * EPOCHS / models


def measure(repeats: int) -> list[parts.Row]:
    """Give the table: times, and ratios within each repetition."""
    every = {f"PyTorch einsum of {many}": partial(batched, many) for many in MODELS}
    times = parts.interleaved({"criticality": our_time, **every}, repeats)
    rows = [parts.row(name, "s a training", values) for name, values in times.items()]
    best = min(every, key=lambda name: float(np.median(times[name])))
    for name in (f"PyTorch einsum of {MODELS[0]}", best):
        ratio = parts.ratios(times["criticality"], times[name])
        rows.append(parts.row(f"criticality against {name}", "x", ratio))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, repeats=5)
    parts.report(measure(options.repeats), options.json)


if __name__ == "__main__":
    main()
