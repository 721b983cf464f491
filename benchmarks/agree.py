"""Whether ours and the plain PyTorch loop grok alike: distributions, and runs from one start.

    python -m benchmarks.agree [--networks 200] [--pytorch FILE.npz] [--json]

Distributions: independent realizations of both at `WORK`, where some networks generalise and some
do not.  Times to 90 % accuracy and to an RQI of 0.95, censored at the end, are compared by the
log-rank statistic, RQI and losses at the end by that of Anderson and Darling, both with
permutations.  p is that of the observed statistic if both sides are the same; times the number of
tests it is least [Bonferroni] below 0.01 that says they differ.  Power is the share of simulated
comparisons, of as many networks from the pooled sample, that an alternative moves beyond the 95 %
quantile.

One start: both train the same initial parameters, split and templates.  After the first steps, how
far ours is from PyTorch in float64, in units of how far PyTorch in float32 is; and how far 1 % more
weight decay would bring it.  After whole runs, how far apart are what is compared.

The PyTorch side takes minutes; a FILE keeps it.
"""

from __future__ import annotations

import argparse
import concurrent.futures as cf
import dataclasses
import math
import multiprocessing
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from scipy import stats

from benchmarks import addition, ours, parts, rivals
from benchmarks.addition import Run, Start, Work
from criticality import keys
from criticality.base import Task, canonical
from criticality.engine import realization
from criticality.engine.templates import split
from criticality.systems.grokking.model import targets
from criticality.systems.grokking.network import GrokkingNetwork
from criticality.systems.grokking.tables import table

WORK = Work(decoder_rate=2e-4, decoder_decay=3.0, steps=5000)
TIMES, VALUES = ("t_train", "t_test", "t_rqi"), ("rqi", "train_loss", "test_loss")
SIMULATED, PERMUTED = 1000, 9999
DIGITS = 6  # that float32 has: shares that are equal in it are tied
AFTER, STARTS = (10, 300), 6  # first steps, and realizations, from one start
FIRST = {
    "addition, regression": WORK,
    "modular, classification": dataclasses.replace(
        WORK,
        task="modular",
        loss="classification",
        embedding_dimension=2,
        embedding_decay=1.0,
        decoder_rate=1e-3,
    ),
}
Samples = dict[str, np.ndarray]
Statistic = Callable[[np.ndarray, np.ndarray], float]


def system(work: Work) -> GrokkingNetwork:
    """Give ours."""
    return canonical(GrokkingNetwork(), **dataclasses.asdict(work), time=(work.steps,))


def numbers(run: Run) -> dict[str, float]:
    """Give what is compared, of one PyTorch run."""
    train_loss, test_loss, *_, rqi = run.curves[-1].tolist()
    values = dict(zip(VALUES, (rqi, train_loss, test_loss), strict=True))
    return {name: getattr(run, name) for name in TIMES} | values


def one(work: Work, seed: int) -> dict[str, float]:
    """Give what is compared, of the plain loop with this seed."""
    return numbers(addition.train(work, addition.drawn(work, seed)))


def pytorch(work: Work, networks: int, file: Path | None) -> Samples:
    """Give what is compared, of so many plain loops; from a file that has it."""
    if file and file.exists():
        return dict(np.load(file))
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(parts.CORES, context, rivals.one_thread) as pool:
        found = list(pool.map(partial(one, work), range(networks)))
    samples = {name: np.array([run[name] for run in found]) for name in (*TIMES, *VALUES)}
    if file:
        np.savez(file, **samples)
    return samples


def criticality(work: Work, networks: int) -> Samples:
    """Give what is compared, of so many realizations of ours."""
    tasks = [Task(system=system(work), seed=0, realization=r, checksum="") for r in range(networks)]
    found = list(ours.crew().map(ours.sample, tasks))
    return {name: np.array([run[name] for run in found]) for name in (*TIMES, *VALUES)}


def log_rank(a: np.ndarray, b: np.ndarray) -> float:
    """Size of the log-rank statistic of times, +inf where censored."""

    def censored(times: np.ndarray) -> stats.CensoredData:
        return stats.CensoredData.right_censored(np.minimum(times, WORK.steps), np.isinf(times))

    return float(abs(stats.logrank(censored(a), censored(b)).statistic))


def anderson_darling(a: np.ndarray, b: np.ndarray) -> float:
    """Statistic of two samples, ties at their mid-rank."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it caps a p that is not used
        return float(stats.anderson_ksamp([a, b], variant="midrank").statistic)


def chance(statistic: Statistic, a: np.ndarray, b: np.ndarray) -> float:
    """Share of random divisions of the pooled sample whose statistic is as large [permutation]."""
    rng, pooled, observed = np.random.default_rng(0), np.concatenate([a, b]), statistic(a, b)
    mixed = (rng.permutation(pooled) for _ in range(PERMUTED))
    larger = sum(statistic(x[: len(a)], x[len(a) :]) >= observed for x in mixed)
    return (larger + 1) / (PERMUTED + 1)


def power(
    statistic: Statistic, pooled: np.ndarray, change: Callable[..., np.ndarray], networks: int
) -> float:
    """Share of single tests at 5 % that find a change of one of two samples of so many networks."""
    rng = np.random.default_rng(0)

    def simulated(changed: bool) -> float:
        a, b = rng.choice(pooled, (2, networks))
        return statistic(a, change(b, rng) if changed else b)

    critical = np.quantile([simulated(False) for _ in range(SIMULATED)], 0.95)
    return float(np.mean([simulated(True) > critical for _ in range(SIMULATED)]))


def slower(factor: float) -> Callable[..., np.ndarray]:
    """Give times longer by a factor, censored where the run ends."""

    def change(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        longer = times * factor
        return np.where(longer > WORK.steps, np.inf, longer)

    return change


def fewer(amount: float) -> Callable[..., np.ndarray]:
    """RQI lower in the mean: as many networks as it takes have that of one that did not form."""

    def change(rqi: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        formed = rqi > addition.FORMED
        others = rqi[~formed]
        lost = amount / (rqi[formed].mean() - others.mean()) / formed.mean()
        return np.where(formed & (rng.random(len(rqi)) < lost), rng.choice(others, len(rqi)), rqi)

    return change


# what each quantity is compared by, and the alternatives whose power is stated
TESTS: dict[str, tuple[Statistic, dict[str, Callable[..., np.ndarray]]]] = {
    **{
        name: (log_rank, {"1.5 times longer": slower(1.5), "1.25 times longer": slower(1.25)})
        for name in TIMES
    },
    "rqi": (
        anderson_darling,
        {
            "0.1 lower in every network": lambda rqi, _: rqi - 0.1,
            "0.1 lower, in that fewer form": fewer(0.1),
        },
    ),
    **{
        name: (anderson_darling, {"1.5 times larger": lambda loss, _: 1.5 * loss})
        for name in ("train_loss", "test_loss")
    },
}


def distributions(mine: Samples, theirs: Samples) -> list[parts.Row]:
    """Rows of both samples of each quantity, of their test and of its power."""
    rows, least = [], 1.0
    for name, (statistic, alternatives) in TESTS.items():
        a, b = (np.round(side[name], DIGITS) for side in (mine, theirs))
        for who, values in {"criticality": a, "PyTorch": b}.items():
            reached = values[np.isfinite(values)]
            share = f"{len(reached)} of {len(values)}" if name in TIMES else "all"
            rows.append(parts.row(f"{name}, {who}, {share}", "", reached.tolist() or [math.inf]))
        p = chance(statistic, a, b)
        least = min(least, p)
        rows.append(parts.row(f"{name}: p of equality", "1", [p]))
        networks = min(len(a), len(b))
        for what, change in alternatives.items():
            found = power(statistic, np.concatenate([a, b]), change, networks)
            rows.append(parts.row(f"{name}: power, {what}", "1", [found]))
    return [*rows, parts.row("least p, Bonferroni", "1", [min(1.0, least * len(TESTS))])]


def taken(system: GrokkingNetwork, state: Any) -> Start:
    """Give the realization that a state of ours is, in the order of PyTorch's table."""
    pairs = np.sort(table(system.task, system.p).pairs, axis=1)
    chosen = pairs[np.asarray(state.order)[: round(system.fraction * system.samples)]]
    square = np.zeros((system.p, system.p), bool)
    square[tuple(chosen.T)] = True
    trained = square[np.triu_indices(system.p)]
    arrays = state.params.embeddings, state.params.decoder, trained, targets(system, state.key)
    return Start(*jax.tree.map(np.array, arrays))


@cache
def programs(form: GrokkingNetwork) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiled beginning of a realization of ours, and the rest up to what is observed."""

    def begin(traced: Any, words: Any) -> Any:
        return realization.begin(form, traced, words, {})

    def rest(traced: Any, state: Any) -> tuple[Any, Any]:
        state = jax.lax.while_loop(
            lambda state: ~realization.finished(form, traced, state),
            lambda state: realization.advance(form, traced, state, {}),
            state,
        )
        return state, realization.observe(form, traced, state, {})

    return jax.jit(begin), jax.jit(rest)


def ours_from(work: Work, number: int) -> tuple[Start, Start, dict[str, float]]:
    """One realization of ours: at its beginning, at its end, and what is compared."""
    whole = system(work)
    form, traced = split(whole)
    begin, rest = programs(form)
    task = Task(system=whole, seed=0, realization=number, checksum="")
    state = begin(traced, keys.words(task.lineage))
    last, found = rest(traced, state)
    values = {name: float(found[name]) for name in (*TIMES, *VALUES)}
    return taken(whole, state), taken(whole, last), values


def apart(a: Start, b: Start) -> float:
    """Euclidean distance of all parameters."""
    pairs = zip(*(jax.tree.leaves((of.embeddings, of.layers)) for of in (a, b)), strict=True)
    return float(np.sqrt(sum(np.square(x.astype(float) - y).sum() for x, y in pairs)))


def first_steps(label: str, work: Work) -> list[parts.Row]:
    """Rows of the first steps from one start."""
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    more = dataclasses.replace(work, decoder_decay=1.01 * work.decoder_decay)
    for number in range(STARTS):
        start, end, values = ours_from(work, number)
        exact, other = (addition.train(one, start, torch.float64) for one in (work, more))
        unit = apart(addition.train(work, start).end, exact.end)
        way = unit / apart(start, exact.end)
        rows["PyTorch float32 from float64", "of the way trained"].append(way)
        rows["criticality from float64", "of that"].append(apart(end, exact.end) / unit)
        rows["1 % more weight decay", "of that"].append(apart(other.end, exact.end) / unit)
        of = values["train_loss"] / exact.curves[-1, 0] - 1
        rows["train loss, criticality from float64", "relative"].append(abs(of))
    return [
        parts.row(f"{label}, {work.steps} steps: {what}", unit, values)
        for (what, unit), values in rows.items()
    ]


def whole_runs() -> list[parts.Row]:
    """Rows of whole runs from one start: how many give the same."""
    found = [ours_from(WORK, number) for number in range(STARTS)]
    mine = [values for *_, values in found]
    theirs = [numbers(addition.train(WORK, start)) for start, *_ in found]
    rows = []
    for name in (*TIMES, *VALUES):
        pairs = [(a[name], b[name]) for a, b in zip(mine, theirs, strict=True)]
        far = [0.0 if a == b else abs(a - b) for a, b in pairs]
        rows.append(parts.row(f"one start, whole runs: {name}, difference", "", far))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--networks", type=int, default=200, help="default 200")
    parser.add_argument("--pytorch", type=Path, help="what the PyTorch loops gave")
    options = parser.parse_args()
    rivals.one_thread()
    theirs = pytorch(WORK, options.networks, options.pytorch)
    mine = criticality(WORK, options.networks)
    rows = [
        row
        for label, work in FIRST.items()
        for steps in AFTER
        for row in first_steps(label, dataclasses.replace(work, steps=steps))
    ]
    parts.report(rows + whole_runs() + distributions(mine, theirs), options.json)


if __name__ == "__main__":
    main()
