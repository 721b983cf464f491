"""What benchmarks share: the machine, the matrix-product peak, interleaved timing, the table."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from criticality.engine import programs
from criticality.study.workers import available_cores

CORES = available_cores()
REST_S = 0.3  # between contenders, for threads of the last one to stop spinning
Row = dict[str, Any]


def processor() -> str:
    """Name of the processor, for the table."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def about() -> dict[str, Any]:
    """Date, hardware and versions, for the table."""
    versions = {}
    for name in ("jax", "torch", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": processor(),
        "cores": CORES,
        "device": programs.device_name(),
        **versions,
        "python": platform.python_version(),
    }


def peak(size: int = 2048, repeats: int = 3) -> float:
    """FLOP/s of a large float32 matrix product on all cores: the best library's best."""
    import torch  # not needed, and not there, for what is compared with nothing

    a, b = (np.random.default_rng(i).normal(size=(size, size)).astype(np.float32) for i in (0, 1))
    one, two = torch.from_numpy(a), torch.from_numpy(b)
    x, y = jnp.asarray(a), jnp.asarray(b)
    multiply = jax.jit(jnp.matmul)
    ways = (lambda: one @ two, lambda: a @ b, lambda: multiply(x, y).block_until_ready())
    return 2 * size**3 / min(timed(way) for way in ways for _ in range(repeats + 1))


def bandwidth(size: int = 1 << 28, repeats: int = 5) -> float:
    """Bytes a second of the device's memory: reading and writing a long array."""
    x = jnp.zeros(size, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    add(x).block_until_ready()
    return max(2 * x.nbytes / timed(lambda: add(x).block_until_ready()) for _ in range(repeats))


def timed(work: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(contenders: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Call contenders in turn, `repeats` times over, since machines are shared; give all values."""
    for contender in contenders.values():
        contender()  # compiles, warms up
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            time.sleep(REST_S)
            found[name].append(contender())
    return found


def row(what: str, unit: str, values: list[float], **more: Any) -> Row:
    """Median and quartiles of one quantity."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {"what": what, "unit": unit, "median": middle, "quartiles": [low, high]} | {
        "n": len(values),
        **more,
    }


def ratios(one: list[float], *others: list[float]) -> list[float]:
    """How many times longer the best of the others took, repetition by repetition."""
    return [min(times) / own for own, *times in zip(one, *others, strict=True)]


def absent(what: str) -> Row:
    """Row of what this machine cannot measure."""
    return {"what": what, "unit": "not measured", "median": None, "quartiles": None, "n": 0}


def arguments(doc: str, **counts: int) -> argparse.Namespace:
    """Command-line options: JSON, and the counts given with their defaults."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    for name, default in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    return parser.parse_args()


def report(rows: list[Row], as_json: bool) -> None:
    """Write the table."""
    if as_json:
        json.dump({"about": about(), "rows": rows}, sys.stdout, indent=1)
        return
    print(", ".join(f"{name} {value}" for name, value in about().items()))
    for one in rows:
        print(line(one))


def line(one: Row) -> str:
    """Row as the table has it."""
    value = "not measured"
    if one["n"]:
        low, high = one["quartiles"]
        value = f"{one['median']:>9.4g} [{low:.4g}, {high:.4g}] {one['unit']}, n = {one['n']}"
    return f"{one['what']:<60} {value}"
