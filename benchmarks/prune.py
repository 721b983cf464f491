"""Pruning: steps of pruning, fine-tuning and measuring a second, ours and in PyTorch.

    python -m benchmarks.prune [--fc4 7] [--cnn5 5] [--channels 16] [--json]

The counts are turns for each network, and channels of the first convolution.  Work of a step, the
same for all: remove the smallest weights of the whole network down to a given number, fine-tune
with Adam for so many mini-batches of 128 out of 58,000 samples, measure accuracy, loss and both
entropies on 10,000 test images.  Rates are networks x steps a second: ours prunes one network on
each core; the PyTorch loops prune one in all threads, or one in each of as many processes as there
are cores.  Ours also counts conducting edges and keeps what a study stores, which is not deducted.

Networks begin with their random weights, since the time of a step does not depend on them.  All
contenders take turns; compiling, beginning and the first whole turn are not counted.
"""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import torch
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax
from torch.nn.utils import prune

from benchmarks import ours, parts, rivals
from criticality import data, keys
from criticality.base import canonical
from criticality.engine import programs, realization
from criticality.engine.templates import split
from criticality.systems.pruning import PruningNetwork
from criticality.systems.pruning.controls import network as shape_of

CHUNKS = {"fc4": 1_000, "cnn5": 250}  # test images at once: the fastest of some for PyTorch
CLASSES = 10
Span = tuple[float, float]  # beginning and end, by a clock that all processes share


def systems(channels: int) -> dict[str, PruningNetwork]:
    """Give what is pruned; the number of steps sets how long a turn takes."""
    common = PruningNetwork(final_density=0.05, snapshots=(0.05, 1.0))
    return {
        "FC4": canonical(common, steps=12, updates=100),
        "CNN5": canonical(
            common, architecture="cnn5", width=64, channels=channels, steps=2, updates=20
        ),
    }


def our_steps(system: PruningNetwork, number: int) -> tuple[Span, dict[str, Any]]:
    """All steps of one network as the engine runs them, and what was measured after each."""
    arrays = programs.on_device("mnist", data.load("mnist").arrays())
    form, traced = split(system)

    def begin(traced: Any, words: Any, arrays: Any) -> Any:
        state = realization.begin(form, traced, words, arrays)
        return state._replace(step=jnp.int32(0))  # as if it had been trained

    def run(traced: Any, state: Any, arrays: Any) -> Any:
        return jax.lax.while_loop(
            lambda state: ~realization.finished(form, traced, state),
            lambda state: realization.advance(form, traced, state, arrays),
            state,
        )

    arguments = traced, keys.words(f"{number:016x}"), arrays
    state = programs.compiled(form, "begin untrained", begin, arguments)(*arguments)
    arguments = traced, state, arrays
    program = programs.compiled(form, "prune to the end", run, arguments, donate=(1,))
    jax.block_until_ready(state)
    start = time.monotonic()
    state = jax.block_until_ready(program(*arguments))
    span = start, time.monotonic()
    return span, jax.device_get(state.series)


def network(system: PruningNetwork) -> nn.Sequential:
    """Give a module of the same shape."""
    shapes = shape_of(system).shapes
    layers: list[nn.Module] = []
    for before, shape in zip((None, *shapes), shapes, strict=False):
        if len(shape) == 4:
            layers += [nn.Conv2d(shape[1], shape[0], shape[2:], padding=1)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        else:
            flat = [nn.Flatten()] if before and len(before) == 4 else []
            layers += [*flat, nn.Linear(shape[1], shape[0]), nn.ReLU()]
    for layer in layers:
        if hasattr(layer, "weight"):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    side = shape_of(system).side
    first = [nn.Unflatten(1, (1, side, side))] if len(shapes[0]) == 4 else []
    return nn.Sequential(*first, *layers[:-1])


class Masks:
    """Pruning as it is mostly written: masks, and weights multiplied by them after an update."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self.weights = [layer.weight for layer in layers]
        self.masks = [torch.ones_like(weight) for weight in self.weights]

    @torch.no_grad()
    def remove(self, count: int) -> None:
        """Remove the `count` smallest of the weights that remain."""
        flat = torch.cat([mask.view(-1) for mask in self.masks])
        score = torch.cat([weight.abs().view(-1) for weight in self.weights])
        gone = int((flat == 0).sum())
        score[flat == 0] = -1
        flat[score.topk(gone + count, largest=False, sorted=False).indices] = 0
        split = flat.split([weight.numel() for weight in self.weights])
        self.masks = [
            part.view_as(weight) for part, weight in zip(split, self.weights, strict=True)
        ]
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Set removed weights to zero, after an update."""
        for weight, mask in zip(self.weights, self.masks, strict=True):
            weight.mul_(mask)

    def remaining(self) -> int:
        """Weights that remain."""
        return int(sum(mask.sum() for mask in self.masks))


class TorchPrune:
    """`torch.nn.utils.prune`: weights are computed from masks and original ones at each pass."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self.layers = layers

    def remove(self, count: int) -> None:
        """Remove the `count` smallest of the weights that remain."""
        where = [(layer, "weight") for layer in self.layers]
        prune.global_unstructured(where, pruning_method=prune.L1Unstructured, amount=count)

    def apply(self) -> None:
        """Nothing: the next pass does it."""

    def remaining(self) -> int:
        """Weights that remain."""
        return int(sum(layer.weight_mask.sum() for layer in self.layers))


def batches(pool: int, size: int) -> Iterator[torch.Tensor]:
    """Mini-batches of epoch after epoch, by index."""
    while True:
        yield from torch.randperm(pool).split(size)


@torch.no_grad()
def measured(model: nn.Module, x: torch.Tensor, y: torch.Tensor, chunk: int) -> dict[str, float]:
    """Accuracy, loss and both entropies on the whole test set."""
    right, loss, entropy, predicted = 0, 0.0, 0.0, torch.zeros(CLASSES)
    for pixels, labels in zip(x.split(chunk), y.split(chunk), strict=True):
        log_p = log_softmax(model(pixels), 1)
        guess = log_p.argmax(1)
        right += int((guess == labels).sum())
        loss -= log_p.gather(1, labels[:, None]).sum().item()
        entropy -= (log_p.exp() * log_p).sum().item()
        predicted += torch.bincount(guess, minlength=CLASSES)
    found = {"accuracy": right, "loss": loss, "outcome_entropy": entropy}
    means = {name: value / len(y) for name, value in found.items()}
    return {**means, "prediction_entropy": torch.special.entr(predicted / len(y)).sum().item()}


def torch_steps(
    kind: type[Masks | TorchPrune], system: PruningNetwork, number: int
) -> tuple[Span, list[dict[str, float]]]:
    """All steps of one network, in the loop that everybody writes, and what was measured."""
    torch.manual_seed(number)
    (x, y), test = rivals.samples("train"), rivals.samples("test")
    x, y = x[: system.n_train], y[: system.n_train]
    model = network(system)
    # before pruning: the parameters stay the same objects
    optimizer = torch.optim.Adam(model.parameters(), lr=system.tuning_rate)
    way = kind([layer for layer in model if hasattr(layer, "weight")])
    chosen, found = batches(system.n_train, system.batch_size), []
    total, _ = system.counts()
    start = time.monotonic()
    for count in (total[:-1] - total[1:]).tolist():
        way.remove(count)
        for _ in range(int(system.updates)):
            batch = next(chosen)
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
            way.apply()
        found.append(
            measured(model, *test, CHUNKS[system.architecture]) | {"edges": way.remaining()}
        )
    return (start, time.monotonic()), found


def on_every_core(
    pool: cf.Executor, steps: Callable[[PruningNetwork, int], Any], of: PruningNetwork
) -> float:
    """Seconds a step and network, one network on each core, from first beginning to last end."""
    found = pool.map(partial(steps, of), range(parts.CORES))
    starts, ends = zip(*(span for span, _ in found), strict=True)
    return (max(ends) - min(starts)) / parts.CORES / of.steps


def one_by_one(steps: Callable[[PruningNetwork, int], Any], of: PruningNetwork) -> float:
    """Seconds a step, in this process."""
    (start, end), _ = steps(of, 0)
    return (end - start) / of.steps


def contenders(system: PruningNetwork, pool: cf.Executor) -> dict[str, Callable[[], float]]:
    """Seconds a step and network of everybody."""
    mine = partial(on_every_core, ours.crew(), our_steps, system)
    found = {"criticality, one network a core": mine}
    for name, kind in {"PyTorch loop": Masks, "torch.nn.utils.prune": TorchPrune}.items():
        steps, every = partial(torch_steps, kind), f"{name}, {parts.CORES} processes"
        found[f"{name}, 1 process"] = partial(one_by_one, steps, system)
        found[every] = partial(on_every_core, pool, steps, system)
    return found


def measure(turns: dict[str, int], channels: int) -> list[parts.Row]:
    """Give the table: rates, and ratios within each turn."""
    rows: list[parts.Row] = []
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(parts.CORES, context, rivals.one_thread) as pool:
        for name, system in systems(channels).items():
            if turns[name]:
                rows += compared(name, system, pool, turns[name])
    return rows


def compared(name: str, system: PruningNetwork, pool: cf.Executor, repeats: int) -> list[parts.Row]:
    """Rows of one network."""
    label = f"{name}, {int(system.updates)} updates: "
    times = parts.interleaved({"": parts.peak, **contenders(system, pool)}, repeats)
    peaks = times.pop("")
    rows = [
        parts.row(label + who, "steps a second", [1 / s for s in values])
        for who, values in times.items()
    ]
    mine, *others = times
    own = times[mine]
    flop = system.training_work(system.updates) + system.test_work()
    share = [100 * flop / s / p for s, p in zip(own, peaks, strict=True)]
    rows.append(parts.row(label + "criticality", "% of the peak", share))
    groups = {
        "the 1-process PyTorch loop": others[:1],
        "the better PyTorch loop": others[:2],
        "the better torch.nn.utils.prune": others[2:],
    }
    for what, names in groups.items():
        ratio = parts.ratios(own, *(times[who] for who in names))
        rows.append(parts.row(label + f"criticality against {what}", "x", ratio))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, fc4=7, cnn5=5, channels=16)
    turns = {"FC4": options.fc4, "CNN5": options.cnn5}
    parts.report(measure(turns, options.channels), options.json)


if __name__ == "__main__":
    main()
