"""Made-up results of the systems `pruning` and `topology`, with known answers."""

from __future__ import annotations

import numpy as np
import xarray as xr

SIZES = np.array([600, 300, 200, 100])  # weights of each layer
UNITS = np.array([40, 15, 20, 10, 10])
SNAPSHOTS = np.geomspace(0.002, 1, 12)
CHANCE, PLATEAU = 0.1, 0.87


def pruning(
    rng,
    datasets=("mnist",),
    *,
    realizations=6,
    steps=400,
    schedule="geometric",
    rho_c=0.01,
    beta=0.5,
    width=0.03,
    jitter=0.0,
    noise=0.003,
    crossover=0.0,
    sweep="dataset",
):
    """A study that collapses as (rho - rho_c)^beta; with `crossover`, smoothly instead.

    `jitter` scatters ln(rho_c) from network to network; each further data set collapses at 1.6
    times the density.  Without `datasets`, there is no outer axis.
    """
    equal = schedule == "equal"
    rho = np.linspace(1, 0, steps + 1) if equal else np.geomspace(1, 1e-3, steps + 1)
    shape = (max(len(datasets), 1), realizations)
    scale = 1.6 ** np.arange(shape[0])[:, None, None]
    centre = rho_c * scale * np.exp(jitter * rng.normal(size=shape))[..., None]
    x = np.clip((rho - centre) / (width * scale), 0, 1) ** beta
    if crossover:
        x = 1 / (1 + (centre / np.maximum(rho, 1e-9)) ** (1 / crossover))
    shaken = noise * rng.normal(size=x.shape) * np.sqrt(x > 0.001)
    quality = 1 + 0.005 * rng.normal(size=(*shape, 1))
    accuracy = CHANCE + PLATEAU * quality * x + shaken
    entropy = np.where(x > 0.001, np.log(10) * np.clip(x, 0, 1) ** 0.7 + shaken, 0)
    outcome = 0.1 + (np.log(10) - 0.3) * (1 - x) + 0.05 * x
    edges = np.maximum(np.round(rho[:, None] ** [1.1, 1.0, 0.8, 0.5] * SIZES), 0)
    live = np.clip(rho[:, None] / 0.02, 0, 1) ** [0.9, 0.7, 0.5, 0.4, 0.2]
    conducting = edges * np.clip(rho[:, None] / 0.01, 0, 1) ** 0.7
    moved = (
        1e-5
        / np.maximum(rho, 1e-4)[:, None]
        * [1, 0.5, 1, 2, 4]
        * np.exp(0.2 * rng.normal(size=(*x.shape, 5)))
    )
    moved[..., 0, :] = 0

    def full(values):
        return np.broadcast_to(values, (*shape, *np.shape(values)))

    weights, removed, at = weight_history(rng, rho, shape)
    series = ("step",)
    variables = {
        "accuracy": (series, accuracy),
        "prediction_entropy": (series, entropy),
        "outcome_entropy": (series, outcome),
        "loss": (series, outcome + 0.2 * x),
        "density": (series, full(rho)),
        "edges": (("step", "layer"), full(edges)),
        "conducting": (("step", "layer"), full(conducting)),
        "live_units": (("step", "unit_layer"), full(np.round(live * UNITS))),
        "evolution": (("step", "part"), moved),
        "weights": (("snapshot", "weight"), weights),
        "removed": (("weight",), removed),
        "snapshot_step": (("snapshot",), full(at)),
        "epochs": ((), np.full(shape, 12.0)),
        "validation_loss": ((), np.full(shape, 0.1)),
    }
    ds = xr.Dataset(
        {
            name: ((sweep, "realization", *dims), values)
            for name, (dims, values) in variables.items()
        },
        coords={
            sweep: list(datasets) or ["none"],
            "realization": np.arange(realizations),
            "step": np.arange(steps + 1),
            "layer": [1, 2, 3, 4],
            "unit_layer": np.arange(5),
            "part": np.arange(5),
            "snapshot": SNAPSHOTS,
            "weight": np.arange(SIZES.sum()),
        },
        attrs={"system": "pruning"},
    )
    return ds if datasets else ds.isel({sweep: 0}, drop=True)


def weight_history(rng, rho, shape):
    """Weights that walk at random while the smallest are removed."""
    count = SIZES.sum()
    at = np.array([int(np.argmax(rho <= s * (1 + 1e-12))) for s in SNAPSHOTS], float)
    weights = np.empty((*shape, len(SNAPSHOTS), count))
    removed = np.empty((*shape, count))
    for where in np.ndindex(*shape):
        start = 0.1 * rng.normal(size=count)
        rank = np.argsort(np.argsort(-np.abs(start)))
        left = np.round(rho * count)
        removed[where] = [int(np.argmax(left <= r)) if left[-1] <= r else len(rho) for r in rank]
        now, before = start.copy(), 0.0
        for s in np.argsort(at):
            now = now + 0.002 * np.sqrt(at[s] - before) * rng.normal(size=count)
            before = at[s]
            weights[(*where, s)] = np.where(removed[where] > at[s], now, 0)
    return weights, removed, at


def topology(rng, realizations=8, epochs=12):
    """Accuracies of four topologies that end at 0.9, 0.85, 0.5 and 0.15."""
    ends = np.array([0.9, 0.85, 0.5, 0.15])
    rise = 1 - np.exp(-np.arange(epochs + 1) / 3)
    mean = CHANCE + (ends[:, None] - CHANCE) * rise
    accuracy = mean + 0.01 * rng.normal(size=(realizations, 1, 1)) + 0.005 * rng.normal(
        size=(realizations, 4, epochs + 1)
    )  # fmt: skip
    series = ("realization", "topology", "epoch")
    return xr.Dataset(
        {
            "accuracy": (series, accuracy),
            "loss": (series, -np.log(np.clip(accuracy, 0.01, 1))),
            "pruned_accuracy": ("realization", 0.95 + 0.005 * rng.normal(size=realizations)),
            "dense_accuracy": ("realization", 0.97 + 0.002 * rng.normal(size=realizations)),
        },
        coords={
            "realization": np.arange(realizations),
            "topology": np.arange(4),
            "epoch": np.arange(epochs + 1),
        },
        attrs={"system": "topology"},
    )
