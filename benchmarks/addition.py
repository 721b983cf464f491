"""Grokking of toy addition as people write it today: one PyTorch model, or many in one batch.

Written from Liu et al., "Towards understanding grokking" (arXiv:2205.10343), apart from ours, so
that each checks the other.  Samples are the unordered pairs i <= j of p symbols.  The decoder, a
tanh network with PyTorch's initialisation, sees E_i + E_j; its answer is the nearest of fixed
random templates (mean squared error) or the likeliest class (cross-entropy).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

COMPONENTS = 30  # of a template
LEARNED, FORMED = 0.9, 0.95  # accuracy from which an answer is learned, RQI of a representation
NEAR = 0.01  # mean square between combined inputs below which they are the same


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is trained; the controls of our system that the loops need, by their names."""

    task: str = "addition"  # or "modular"
    loss: str = "regression"  # or "classification"
    p: int = 10
    fraction: float = 0.8
    width: int = 100
    embedding_dimension: int = 1
    embedding_rate: float = 1e-3
    embedding_decay: float = 0.0
    decoder_rate: float = 1e-4
    decoder_decay: float = 0.0
    steps: int = 10_000
    every: int = 10

    @property
    def answers(self) -> int:
        """Different sums."""
        return self.p if self.task == "modular" else 2 * self.p - 1

    @property
    def trained(self) -> int:
        """Training samples."""
        return round(self.fraction * self.p * (self.p + 1) / 2)

    @property
    def sizes(self) -> list[int]:
        """Units in each layer of the decoder."""
        out = COMPONENTS if self.loss == "regression" else self.answers
        return [self.embedding_dimension, self.width, self.width, out]

    @property
    def step_flop(self) -> int:
        """Matrix products of a step, forward and backward."""
        return 6 * self.trained * sum(a * b for a, b in itertools.pairwise(self.sizes))

    @cached_property
    def table(self) -> Table:
        """All samples."""
        first, second = torch.triu_indices(self.p, self.p)
        answer = (first + second) % (self.p if self.task == "modular" else 2 * self.p)
        return Table(first, second, answer, (answer[:, None] == answer).triu(1).nonzero().T)


class Table(NamedTuple):
    """All samples, and pairs of different ones with the same answer.

    Attributes
    ----------
    first, second, answer
        int64 [samples].
    alike
        int64 [2, pairs]: numbers of samples.
    """

    first: torch.Tensor
    second: torch.Tensor
    answer: torch.Tensor
    alike: torch.Tensor


class Start(NamedTuple):
    """One realization, in NumPy.

    Attributes
    ----------
    embeddings
        float32 [p, dimensions].
    layers
        Weights [out, in] and biases [out] of each, float32.
    trained
        bool [samples].
    templates
        float32 [answers, COMPONENTS].
    """

    embeddings: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    trained: np.ndarray
    templates: np.ndarray


class Run(NamedTuple):
    """What came of one training.

    Attributes
    ----------
    t_train, t_test, t_rqi
        Steps until the first look at which it was learned or formed, +inf if never.
    predicted
        Share of samples that the representation gives: accuracy predicted.
    curves
        float64 [looks, 5]: train loss, test loss, train accuracy, test accuracy, RQI.
    end
        The realization with its last parameters.
    """

    t_train: float
    t_test: float
    t_rqi: float
    predicted: float
    curves: np.ndarray
    end: Start


class Adder(nn.Module):
    """Embeddings and the decoder of their sum."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(torch.rand(work.p, work.embedding_dimension) - 0.5)
        a, b, c, d = work.sizes
        self.decoder = nn.Sequential(
            nn.Linear(a, b), nn.Tanh(), nn.Linear(b, c), nn.Tanh(), nn.Linear(c, d)
        )

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Give outputs [samples, out]."""
        return self.decoder(self.embeddings[first] + self.embeddings[second])


def linear(model: Adder) -> list[nn.Linear]:
    """Layers of the decoder that have parameters."""
    return [layer for layer in model.decoder if isinstance(layer, nn.Linear)]


def drawn(work: Work, seed: int) -> Start:
    """Draw a realization."""
    torch.manual_seed(seed)
    model = Adder(work)
    trained = torch.zeros(len(work.table.answer), dtype=torch.bool)
    trained[torch.randperm(len(trained))[: work.trained]] = True
    templates = torch.randn(work.answers, COMPONENTS)
    return kept(model, Start(np.empty(0), (), trained.numpy(), templates.numpy()))


def kept(model: Adder, start: Start) -> Start:
    """Give the realization with the parameters of a model."""

    def copied(parameter: torch.Tensor) -> np.ndarray:
        return parameter.detach().numpy().copy()

    layers = tuple((copied(layer.weight), copied(layer.bias)) for layer in linear(model))
    return start._replace(embeddings=copied(model.embeddings), layers=layers)


def made(work: Work, start: Start, dtype: torch.dtype = torch.float32) -> Adder:
    """Give a model that has the parameters of a realization."""
    model = Adder(work).to(dtype)
    with torch.no_grad():
        model.embeddings.copy_(torch.as_tensor(start.embeddings))
        for layer, (weight, bias) in zip(linear(model), start.layers, strict=True):
            layer.weight.copy_(torch.as_tensor(weight))
            layer.bias.copy_(torch.as_tensor(bias))
    return model


def errors(work: Work, out: torch.Tensor, templates: torch.Tensor) -> torch.Tensor:
    """Loss [..., samples] of each sample of the table, averaged over components."""
    answer = work.table.answer
    if work.loss == "regression":
        return (out - templates[..., answer, :]).square().mean(-1)
    return -out.log_softmax(-1).gather(-1, answer.expand(out.shape[:-1])[..., None])[..., 0]


def right(work: Work, out: torch.Tensor, templates: torch.Tensor) -> torch.Tensor:
    """Whether each sample [..., samples] of the table is answered right."""
    if work.loss == "regression":
        return torch.cdist(out, templates).argmin(-1) == work.table.answer
    return out.argmax(-1) == work.table.answer


def near(work: Work, embeddings: torch.Tensor) -> torch.Tensor:
    """Whether samples with the same answer [..., pairs] look the same to the decoder."""
    scaled = embeddings - embeddings.mean(-2, keepdim=True)
    scaled = scaled / scaled.square().mean((-2, -1), keepdim=True).sqrt()
    combined = scaled[..., work.table.first, :] + scaled[..., work.table.second, :]
    one, other = (combined[..., numbers, :] for numbers in work.table.alike)
    return (one - other).square().mean(-1) < NEAR


def predicted(work: Work, embeddings: torch.Tensor, trained: torch.Tensor) -> float:
    """Share of samples that are trained on or look the same as one that is, of that answer."""
    known = trained.clone()
    for one, other in (work.table.alike, work.table.alike.flip(0)):
        known[one[near(work, embeddings) & trained[other]]] = True
    return known.double().mean().item()


@torch.no_grad()
def looked(
    work: Work,
    out: torch.Tensor,
    embeddings: torch.Tensor,
    trained: torch.Tensor,
    templates: torch.Tensor,
) -> torch.Tensor:
    """Give a row of `Run.curves` [..., 5], float64, from outputs [..., samples, out]."""
    loss, is_right = errors(work, out, templates), right(work, out, templates)

    def share(of: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
        return torch.where(among, of, 0).sum(-1, dtype=torch.float64) / among.sum(-1)

    quantities = [share(of, among) for of in (loss, is_right) for among in (trained, ~trained)]
    rqi = near(work, embeddings).double().mean(-1)
    return torch.stack([*quantities, rqi], -1)


def groups(work: Work, embeddings: Iterable[Any], decoder: Iterable[Any]) -> list[dict[str, Any]]:
    """Parameter groups of the optimiser."""
    return [
        {"params": embeddings, "lr": work.embedding_rate, "weight_decay": work.embedding_decay},
        {"params": decoder, "lr": work.decoder_rate, "weight_decay": work.decoder_decay},
    ]


def reached(work: Work, enough: np.ndarray) -> np.ndarray:
    """Give steps until the first look [looks, ...] at which it is so, +inf if at none."""
    return np.where(enough.any(0), (enough.argmax(0) + 1.0) * work.every, np.inf)


def train(
    work: Work, start: Start, dtype: torch.dtype = torch.float32, fused: bool | None = None
) -> Run:
    """One network, in the loop that everybody writes."""
    trained = torch.as_tensor(start.trained)
    templates = torch.as_tensor(start.templates).to(dtype)
    model, table = made(work, start, dtype), work.table
    first, second, answer = (of[trained] for of in (table.first, table.second, table.answer))
    target = templates[answer] if work.loss == "regression" else answer
    criterion = nn.MSELoss() if work.loss == "regression" else nn.CrossEntropyLoss()
    parameters = groups(work, [model.embeddings], model.decoder.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=fused)
    curves = []
    for step in range(1, work.steps + 1):
        optimizer.zero_grad()
        criterion(model(first, second), target).backward()
        optimizer.step()
        if step % work.every == 0:
            with torch.no_grad():
                out = model(table.first, table.second)
            curves.append(looked(work, out, model.embeddings, trained, templates))
    found = torch.stack(curves).numpy()

    return Run(
        *(float(reached(work, found[:, column] >= LEARNED)) for column in (2, 3)),
        float(reached(work, found[:, 4] >= FORMED)),
        predicted(work, model.embeddings, trained),
        found,
        kept(model, start),
    )


class Batch:
    """Many networks in one: a batched matrix product for each layer, fused AdamW.

    Sums of embeddings are products with the counts of symbols in samples, which is faster than by
    index.
    """

    def __init__(self, work: Work, starts: Sequence[Start], compiled: bool = False) -> None:
        def stacked(arrays: Iterable[np.ndarray]) -> torch.Tensor:
            return torch.as_tensor(np.stack(list(arrays)))

        self.work, table = work, work.table
        self.trained = stacked(start.trained for start in starts)
        self.templates = stacked(start.templates for start in starts)
        chosen = self.trained.nonzero()[:, 1].view(len(starts), -1)
        self.target = table.answer[chosen]
        if work.loss == "regression":
            rows = self.target[..., None].expand(-1, -1, COMPONENTS)
            self.target = self.templates.gather(1, rows)
        symbols = torch.eye(work.p)
        self.all = symbols[table.first] + symbols[table.second]
        self.counts = self.all[chosen]
        self.embeddings = stacked(start.embeddings for start in starts).requires_grad_()
        self.layers = [
            (
                stacked(w.T for w, _ in layer).contiguous().requires_grad_(),
                stacked(b[None] for _, b in layer).requires_grad_(),
            )
            for layer in zip(*(start.layers for start in starts), strict=True)
        ]
        decoder = [parameter for layer in self.layers for parameter in layer]
        parameters = groups(work, [self.embeddings], decoder)
        self.optimizer = torch.optim.AdamW(parameters, fused=True)
        self.loss = torch.compile(self.total, dynamic=False) if compiled else self.total

    def out(self, counts: torch.Tensor) -> torch.Tensor:
        """Give outputs [networks, samples, out]."""
        h = counts @ self.embeddings
        for w, b in self.layers[:-1]:
            h = torch.baddbmm(b, h, w).tanh()
        w, b = self.layers[-1]
        return torch.baddbmm(b, h, w)

    def total(self) -> torch.Tensor:
        """Sum of the losses of all networks."""
        out = self.out(self.counts)
        if self.work.loss == "regression":
            return mse_loss(out, self.target, reduction="sum") / out[0].numel()
        loss = cross_entropy(out.flatten(0, 1), self.target.flatten(), reduction="sum")
        return loss / out.shape[1]

    def run(self, steps: int) -> torch.Tensor:
        """Train, and give the curves of all networks [looks, networks, 5]."""
        curves = []
        for step in range(1, steps + 1):
            self.optimizer.zero_grad()
            self.loss().backward()
            self.optimizer.step()
            if step % self.work.every == 0:
                with torch.no_grad():
                    out = self.out(self.all)
                curves.append(looked(self.work, out, self.embeddings, self.trained, self.templates))
        return torch.stack(curves)
