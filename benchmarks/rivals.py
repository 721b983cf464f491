"""The same work as people write it today, as well as it goes: PyTorch loops and ensembles.

All have the training set as float32 in memory and pick mini-batches by index, without a data
loader, which would be slower.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy, dropout

from criticality import data

PATIENCE, PLATEAU = 10, 5  # epochs, the defaults of `DropoutNetwork`


@dataclass(frozen=True)
class Work:
    """What is trained: 784-width-...-width-10, Adam, dropout in training."""

    width: int = 100
    depth: int = 3
    batch: int = 128
    rate: float = 0.2
    samples: int = 12_800

    @property
    def sizes(self) -> list[int]:
        """Units in each layer."""
        return [784, *[self.width] * self.depth, 10]

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum((a + 1) * b for a, b in itertools.pairwise(self.sizes))

    @property
    def step_flop(self) -> int:
        """Matrix products of a step, forward and backward; the input needs no gradient."""
        layers = [a * b for a, b in itertools.pairwise(self.sizes)]
        return self.batch * (6 * sum(layers) - 2 * layers[0])


@cache
def samples(part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Give "train" or "test": float32 [samples, 784] in [0, 1], int64 [samples]."""
    arrays = data.load("mnist").arrays()
    pixels = torch.from_numpy(arrays[f"{part}_x"].astype(np.float32) / 255)
    return pixels, torch.from_numpy(arrays[f"{part}_y"].astype(np.int64))


def network(work: Work) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(work.sizes[:-1]):
        layers += [nn.Linear(a, b), nn.ReLU(), nn.Dropout(work.rate)]
    return nn.Sequential(*layers, nn.Linear(work.width, 10))


def plain_loop(work: Work, steps: int, device: str = "cpu") -> float:
    """Seconds of so many steps of one network, in the loop that everybody writes."""
    x, y = (tensor[: work.samples].to(device) for tensor in samples("train"))
    model = network(work).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(steps + 3):
        if step == 3:  # the first ones warm up
            start = time.perf_counter()
        if step % 100 == 0:
            order = torch.randperm(work.samples, device=device)
        chosen = order[(step % 100) * work.batch % work.samples :][: work.batch]
        optimizer.zero_grad()
        loss = cross_entropy(model(x[chosen]), y[chosen])
        loss.backward()
        optimizer.step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def plain_study(
    work: Work, n_train: int, n_validation: int, p_eval: Sequence[float], passes: int, seed: int
) -> tuple[np.ndarray, int]:
    """One realization, in the loop that everybody writes; protocol as of `DropoutNetwork`.

    Returns
    -------
    loss, epochs
        float64 [E, P] in nats, and epochs trained.
    """
    torch.manual_seed(seed)
    x, y = samples("train")
    order = torch.randperm(len(y))
    held_out, chosen = order[:n_validation], order[n_validation : n_validation + n_train]
    held_x, held_y, x, y = x[held_out], y[held_out], x[chosen], y[chosen]
    model = network(work)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    best, best_loss, stale, waited, epochs = model.state_dict(), float("inf"), 0, 0, 0
    while stale < PATIENCE:
        model.train()
        shuffled = torch.randperm(n_train)
        for start in range(0, n_train, work.batch):
            batch = shuffled[start : start + work.batch]
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = cross_entropy(model(held_x), held_y).item()
        epochs += 1
        if loss < best_loss:
            best, best_loss, stale, waited = copy.deepcopy(model.state_dict()), loss, 0, 0
        else:
            stale, waited = stale + 1, waited + 1
        if waited == PLATEAU:
            waited = 0
            for group in optimizer.param_groups:
                group["lr"] /= 2
    model.load_state_dict(best)
    return plain_evaluation(model, p_eval, passes), epochs


def plain_evaluation(
    model: nn.Sequential, p_eval: Sequence[float], passes: int, batch: int = 1000
) -> np.ndarray:
    """Test loss [E, P] in nats, each pass through the whole network, as everybody writes it."""
    x, y = samples("test")
    model.train()  # dropout is on
    loss = np.empty((len(p_eval), passes))
    with torch.no_grad():
        for i, rate in enumerate(p_eval):
            for layer in model:
                if isinstance(layer, nn.Dropout):
                    layer.p = rate
            for j in range(passes):
                total = 0.0
                for start in range(0, len(y), batch):
                    logits = model(x[start : start + batch])
                    target = y[start : start + batch]
                    total += cross_entropy(logits, target, reduction="sum").item()
                loss[i, j] = total / len(y)
    return loss


def one_thread() -> None:
    """Set up a process that is one of as many as there are cores."""
    torch.set_num_threads(1)


class TorchVmap:
    """`torch.func`: stacked modules, gradient by vmap, fused Adam on the stacked parameters."""

    def __init__(self, work: Work, networks: int) -> None:
        self.work, self.networks = work, networks
        self.x, self.y = samples("train")
        models = [network(work) for _ in range(networks)]
        params, _ = stack_module_state(models)
        self.params = {name: p.detach().clone() for name, p in params.items()}
        base = copy.deepcopy(models[0]).to("meta")

        def loss(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return cross_entropy(functional_call(base, params, (x,)), y)

        self.gradient = vmap(grad(loss), randomness="different")
        self.optimizer = torch.optim.Adam(list(self.params.values()), lr=1e-3, fused=True)

    def seconds(self, steps: int) -> float:
        """Wall time of so many steps of all networks."""
        start = time.perf_counter()
        for _ in range(steps):
            chosen = torch.randint(self.work.samples, (self.networks, self.work.batch))
            slopes = self.gradient(self.params, self.x[chosen], self.y[chosen])
            for name, slope in slopes.items():
                self.params[name].grad = slope
            self.optimizer.step()
        return time.perf_counter() - start


class TorchBmm:
    """One batched matrix product for each layer of all networks, fused Adam."""

    def __init__(self, work: Work, networks: int, device: str = "cpu") -> None:
        self.work, self.networks, self.device = work, networks, device
        self.x, self.y = (tensor.to(device) for tensor in samples("train"))
        self.layers = [
            (
                (torch.randn(networks, a, b, device=device) * (2 / a) ** 0.5).requires_grad_(),
                torch.zeros(networks, 1, b, device=device, requires_grad=True),
            )
            for a, b in itertools.pairwise(work.sizes)
        ]
        flat = [p for layer in self.layers for p in layer]
        self.optimizer = torch.optim.Adam(flat, lr=1e-3, fused=True)

    def seconds(self, steps: int) -> float:
        """Wall time of so many steps of all networks."""
        start = time.perf_counter()
        for _ in range(steps):
            shape = (self.networks, self.work.batch)
            chosen = torch.randint(self.work.samples, shape, device=self.device)
            h = self.x[chosen]
            for w, b in self.layers[:-1]:
                h = dropout(torch.relu(torch.baddbmm(b, h, w)), self.work.rate)
            w, b = self.layers[-1]
            logits = torch.baddbmm(b, h, w)
            self.optimizer.zero_grad()
            loss = cross_entropy(logits.flatten(0, 1), self.y[chosen].flatten(), reduction="sum")
            (loss / self.work.batch).backward()
            self.optimizer.step()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - start


class JaxVmap:
    """`jax.vmap` of one network's step, optax, `jax.random` for everything."""

    def __init__(self, work: Work, networks: int) -> None:
        self.work, self.networks = work, networks
        x, y = samples("train")
        self.x, self.y = jnp.asarray(x[: work.samples].numpy()), jnp.asarray(y.numpy())
        adam = optax.adam(1e-3)

        def begin(key: jax.Array) -> Any:
            keys = jax.random.split(key, work.depth + 1)
            params = [
                (jax.random.normal(k, (a, b)) * (2 / a) ** 0.5, jnp.zeros(b))
                for k, a, b in zip(keys, work.sizes[:-1], work.sizes[1:], strict=True)
            ]
            return params, adam.init(params)

        def loss(params: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
            h = x
            for layer, (w, b) in enumerate(params[:-1]):
                h = jax.nn.relu(h @ w + b)
                keep = jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - work.rate, h.shape)
                h = jnp.where(keep, h / (1 - work.rate), 0)
            w, b = params[-1]
            return optax.softmax_cross_entropy_with_integer_labels(h @ w + b, y).mean()

        def step(params: Any, moments: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> Any:
            one, two = jax.random.split(key)
            chosen = jax.random.randint(one, (work.batch,), 0, work.samples)
            slope = jax.grad(loss)(params, x[chosen], y[chosen], two)
            change, moments = adam.update(slope, moments)
            return optax.apply_updates(params, change), moments

        self.step = jax.jit(jax.vmap(step, in_axes=(0, 0, 0, None, None)), donate_argnums=(0, 1))
        self.state = jax.vmap(begin)(jax.random.split(jax.random.key(0), networks))
        self.count = 0

    def seconds(self, steps: int) -> float:
        """Wall time of so many steps of all networks."""
        start = time.perf_counter()
        for _ in range(steps):
            self.count += 1
            keys = jax.random.split(jax.random.key(self.count), self.networks)
            self.state = self.step(*self.state, keys, self.x, self.y)
        jax.block_until_ready(self.state)
        return time.perf_counter() - start
