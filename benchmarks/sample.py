"""Sampling: spin updates a second of block Gibbs sweeps of the RBM, disorder samples of 16 chains.

    python -m benchmarks.sample [--repeats 7] [--spins 400] [--json]

Ours samples one realization on each core, as `criticality run` does.  The others are what one
would write: NumPy in single precision, a matrix product with all chains of a sample at once, in
one process (whose linear algebra has all cores) or in one for each core; PyTorch with all samples
in one `bmm`.  All measure overlap and energy of every chain at every sweep.  A spin update is one
visible spin drawn; hidden units come on top.
"""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing
from functools import partial

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks import ours, parts
from criticality.base import Task, canonical
from criticality.systems import RBM

CHAINS, SWEEPS = 16, 1000
LOAD, TEMPERATURE = 0.1, 0.5
PRIORS = ("gaussian", "ternary")
SAMPLES = 4  # of disorder: in PyTorch's batch


def our_time(prior: str, spins: int) -> float:
    """Seconds a spin update."""
    system = canonical(
        RBM(),
        prior=prior,
        spins=spins,
        load=LOAD,
        temperature=TEMPERATURE,
        copies=CHAINS // 2,
        equilibration=0,
        sweeps=SWEEPS,
    )
    many = 2 * parts.CORES
    tasks = [Task(system=system, seed=0, realization=i, checksum="") for i in range(many)]
    wall = parts.timed(lambda: list(ours.crew().map(ours.sample, tasks)))
    return wall / (many * CHAINS * SWEEPS * spins)


def numpy_time(prior: str, spins: int, sweeps: int = SWEEPS // 4) -> float:
    """Seconds a spin update of a NumPy loop over sweeps."""
    rng = np.random.default_rng(0)
    units = round(LOAD * spins)
    weights = rng.choice([-1, 1], size=(units, spins)).astype(np.float32) / np.sqrt(spins)
    s = np.repeat(np.sign(weights[:1]), CHAINS, axis=0)
    pattern = np.sign(weights[0])
    found = np.empty((sweeps, 2, CHAINS), np.float32)

    def work(s: np.ndarray) -> None:
        for sweep in range(sweeps):
            x = s @ weights.T
            if prior == "gaussian":
                noise = rng.standard_normal(x.shape, np.float32)
                h = x + np.float32(np.sqrt(TEMPERATURE)) * noise
                cost = (h**2).sum(axis=1) / 2
            else:
                up, down = np.exp(x / TEMPERATURE), np.exp(-x / TEMPERATURE)
                level = rng.random(x.shape, np.float32) * (up + down + 1)
                h = (level < up).astype(np.float32) - (level > up + 1)
                cost = np.zeros(CHAINS, np.float32)
            field = h @ weights
            chance = 1 / (1 + np.exp(-2 * field / TEMPERATURE))
            s = np.where(rng.random(field.shape, np.float32) < chance, 1, -1).astype(np.float32)
            found[sweep] = s @ pattern / spins, (cost - (s * field).sum(axis=1)) / spins

    return parts.timed(lambda: work(s)) / (sweeps * CHAINS * spins)


def _one_thread() -> None:
    threadpool_limits(1)


def _numpy_in_process(work: tuple[str, int]) -> float:
    return numpy_time(*work)


def numpy_on_every_core(pool: cf.Executor, prior: str, spins: int) -> float:
    return max(pool.map(_numpy_in_process, [(prior, spins)] * parts.CORES)) / parts.CORES


def torch_time(prior: str, spins: int, sweeps: int = SWEEPS // 4) -> float:
    """Seconds a spin update of a PyTorch loop over sweeps, samples of disorder in a batch."""
    units = round(LOAD * spins)
    signs = torch.randint(0, 2, (SAMPLES, units, spins)).float() * 2 - 1
    weights = signs / spins**0.5
    s = signs[:, :1].repeat(1, CHAINS, 1)
    pattern = signs[:, :1].transpose(1, 2)
    transposed = weights.transpose(1, 2).contiguous()
    found = torch.empty(sweeps, 2, SAMPLES, CHAINS)

    def work(s: torch.Tensor) -> None:
        for sweep in range(sweeps):
            x = torch.bmm(s, transposed)
            if prior == "gaussian":
                h = x + TEMPERATURE**0.5 * torch.randn_like(x)
                cost = (h**2).sum(dim=2) / 2
            else:
                up, down = torch.exp(x / TEMPERATURE), torch.exp(-x / TEMPERATURE)
                level = torch.rand_like(x) * (up + down + 1)
                h = (level < up).float() - (level > up + 1).float()
                cost = torch.zeros(SAMPLES, CHAINS)
            field = torch.bmm(h, weights)
            chance = torch.sigmoid(2 * field / TEMPERATURE)
            s = 2 * (torch.rand_like(chance) < chance).float() - 1
            found[sweep, 0] = torch.bmm(s, pattern)[..., 0] / spins
            found[sweep, 1] = (cost - (s * field).sum(dim=2)) / spins

    with torch.no_grad():
        return parts.timed(lambda: work(s)) / (sweeps * SAMPLES * CHAINS * spins)


def measure(repeats: int, spins: int) -> list[parts.Row]:
    """Give the table: spin updates a second, and ratios within each repetition."""
    context = multiprocessing.get_context("spawn")
    rows = []
    with cf.ProcessPoolExecutor(parts.CORES, context, _one_thread) as pool:
        for prior in PRIORS:
            contenders = {
                "criticality, one sample a core": partial(our_time, prior, spins),
                "NumPy, 1 process": partial(numpy_time, prior, spins),
                f"NumPy, {parts.CORES} processes": partial(numpy_on_every_core, pool, prior, spins),
                f"PyTorch bmm, {SAMPLES} samples": partial(torch_time, prior, spins),
            }
            times = parts.interleaved(contenders, repeats)
            mine, *others = times
            for name, values in times.items():
                rates = [1e-6 / s for s in values]
                rows.append(parts.row(f"{prior}: {name}", "million spin updates a second", rates))
            for name in others:
                gain = parts.ratios(times[mine], times[name])
                rows.append(parts.row(f"{prior}: criticality against {name}", "x", gain))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, repeats=7, spins=400)
    parts.report(measure(options.repeats, options.spins), options.json)


if __name__ == "__main__":
    main()
