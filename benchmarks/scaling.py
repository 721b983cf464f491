"""Speed of the scaling analysis on one core: five sizes x 20 points x 40 networks.

python -m benchmarks.scaling [--repeat N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

# one core: before numpy is loaded
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

from criticality import BKT, Algebraic, ScalingData, collapse, compare  # noqa: E402
from criticality.analysis.scaling import landscape  # noqa: E402


def standard(seed: int) -> ScalingData:
    """Make the 100-point set: nu = 1.3, points of one network correlated at 0.8."""
    rng = np.random.default_rng(seed)
    p = np.linspace(0.3, 0.7, 20)
    rows = []
    for size in (500, 1000, 2000, 4000, 8000):
        x = (p - 0.5) * (size / 8000) ** (1 / 1.3)
        noise = 0.05 * (
            np.sqrt(0.2) * rng.normal(size=(40, 20)) + np.sqrt(0.8) * rng.normal(size=(40, 1))
        )
        for number, values in enumerate(np.tanh(10 * x) + x + noise):
            rows += [(c, size, number, v) for c, v in zip(p, values, strict=True)]
    return ScalingData.from_samples(*zip(*rows, strict=True))


def main() -> None:
    """Print median and range of every measurement, with its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    data = standard(0)
    fit = collapse(data)
    fresh = iter([standard(seed) for seed in range(1, repeat + 1)])  # nothing of them is cached
    tasks: dict[str, tuple[Callable[[], object], float | None]] = {
        "40x40 landscape, local-linear": (lambda: landscape(fit, objective="local-linear"), 0.05),
        "40x40 landscape, GP likelihood": (lambda: landscape(fit), 2.0),
        "GP fit with errors": (lambda: collapse(next(fresh)), 0.3),
        "GP fit, 200 network bootstraps": (lambda: collapse(data, draws=200), 5.0),
        "GP fit, beta free, corrections": (
            lambda: collapse(data, Algebraic(beta="free"), corrections=True),
            None,
        ),
        "BKT fit with errors": (lambda: collapse(data, BKT()), None),
        "six forms compared": (lambda: compare(data), None),
    }
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeat):  # interleaved: the machine is shared
        for name, (task, _limit) in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - start)
    print(f"{'one core':<34} {'median':>9} {'range':>19}   limit")
    for name, (_, limit) in tasks.items():
        low, high = min(times[name]), max(times[name])
        bound = f"{limit:g} s" if limit else ""
        middle = statistics.median(times[name])
        print(f"{name:<34} {middle:8.3f} s {low:8.3f} - {high:6.3f} s   {bound}")


if __name__ == "__main__":
    main()
