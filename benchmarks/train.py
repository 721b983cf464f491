"""Time of training and evaluation against the machine's matrix-product rate.

    python -m benchmarks.train [--repeats N] [--json]

Work: the demo's network, 784-100-100-100-10 on MNIST, Adam, mini-batches of 128, training dropout
0.2.  Repetitions of everything are interleaved, since machines are shared; compilation and a
warm-up run are excluded; the times are of whole realizations, so everything is in them.
"""

from __future__ import annotations

import argparse
import concurrent.futures as cf
import dataclasses
import datetime
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from pathlib import Path

from criticality import data
from criticality.base import Task, canonical
from criticality.engine import ensemble
from criticality.study.run import available_cores
from criticality.systems import DropoutNetwork

STEPS_AN_EPOCH, SHORT, LONG = 100, 2, 12
PARAMETERS = [784 * 100, 100 * 100, 100 * 100, 100 * 10]
NETWORK = canonical(
    DropoutNetwork(),
    p_train=0.2,
    n_train=128 * STEPS_AN_EPOCH,
    n_validation=128,
    patience=10**6,
    plateau=10**6,
)
# forward and backward; the input needs no gradient
STEP_FLOP = 128 * (6 * sum(PARAMETERS) - 2 * PARAMETERS[0])
EVALUATION_FLOP = 2 * 10_000 * (PARAMETERS[0] + 80 * sum(PARAMETERS[1:]))


def seconds(epochs: int, workers: int, checksum: str, arrays: dict) -> float:
    """Wall time of one realization on each of `workers` threads."""
    system = dataclasses.replace(NETWORK, max_epochs=epochs)
    tasks = [Task(system=system, seed=0, realization=r, checksum=checksum) for r in range(workers)]
    start = time.perf_counter()
    with cf.ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda task: ensemble.realize([task], arrays), tasks))
    return time.perf_counter() - start


def processor() -> str:
    """Name of the processor, for the table."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(repeats: int) -> list[dict]:
    """Give rows of the table: quantity, unit, median, quartiles, n."""
    mnist = data.load("mnist")
    arrays, checksum, cores = mnist.arrays(), mnist.checksum, available_cores()
    seconds(SHORT, cores, checksum, arrays)
    samples: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats):
        peak = ensemble.product_rate()
        samples.setdefault(("matrix products, one core", "GFLOP/s"), []).append(peak / 1e9)
        for workers in sorted({1, cores}):
            short, long = (seconds(e, workers, checksum, arrays) for e in (SHORT, LONG))
            step = (long - short) / ((LONG - SHORT) * STEPS_AN_EPOCH) / workers
            rest = max(short / workers - SHORT * STEPS_AN_EPOCH * step, 1e-9)
            label = f"{workers} core{'s' if workers > 1 else ''}"
            rows = {
                (f"training, {label}", "ms a step a network"): 1e3 * step,
                (f"training, {label}", "GFLOP/s"): STEP_FLOP / step / 1e9,
                (f"training, {label}", "% of products on these cores"): 100
                * (STEP_FLOP / step)
                / (peak * workers),
                (f"evaluation, {label}", "test images a second"): 80 * 10_000 / rest,
                (f"evaluation, {label}", "GFLOP/s"): EVALUATION_FLOP / rest / 1e9,
            }
            for name, value in rows.items():
                samples.setdefault(name, []).append(value)
    table = []
    for (what, unit), values in samples.items():
        low, middle, high = statistics.quantiles(values, n=4) if repeats > 1 else values * 3
        table.append(
            {"what": what, "unit": unit, "median": middle, "quartiles": [low, high], "n": repeats}
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": processor(),
        "cores": available_cores(),
        "jax": importlib.metadata.version("jax"),
        "python": platform.python_version(),
    }
    rows = measure(options.repeats)
    if options.json:
        json.dump({"about": about, "rows": rows}, sys.stdout, indent=1)
        return
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    for row in rows:
        low, high = row["quartiles"]
        print(
            f"{row['what']:<26} {row['median']:>10.4g} [{low:.4g}, {high:.4g}] "
            f"{row['unit']}, n = {row['n']}"
        )


if __name__ == "__main__":
    main()
