"""Mapping a system, which is written for one realization, over many.

On a CPU one realization at a time fills a core: its parameters and Adam moments stay in cache,
where those of a wide batch do not.  Cores work on different realizations through threads (a
compiled program releases the interpreter lock).  On an accelerator the wide batch is right.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from criticality import keys
from criticality.base import System, Task, axes

log = logging.getLogger("criticality")
Result = dict[str, np.ndarray[Any, Any]]

ACCELERATOR_WIDTH = 64  # realizations advanced together when there is an accelerator
_programs: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()
_resident: dict[str, Any] = {}


def accelerated() -> bool:
    """Whether there is an accelerator, so that a wide batch is right."""
    return jax.default_backend() != "cpu"


def device_name() -> str:
    """Kind of the device that computes, for provenance."""
    device = jax.devices()[0]
    return f"{device.platform}: {device.device_kind}"


def product_rate(repeats: int = 50) -> float:
    """FLOP/s of the first layer's matrix product in one worker: the best of short timings."""
    a, b = jnp.ones((128, 784)), jnp.ones((784, 100))
    multiply = jax.jit(jnp.matmul)
    multiply(a, b).block_until_ready()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        multiply(a, b).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * 128 * 784 * 100 / min(times)


def _split(system: System) -> tuple[System, dict[str, float]]:
    """Template with every traced control at its default, and the values of those controls."""
    traced = {name: getattr(system, name) for name, axis in axes(system).items() if not axis.static}
    fields = {f.name: f.default for f in dataclasses.fields(system)}
    template = dataclasses.replace(system, **{name: fields[name] for name in traced})
    return template, traced


def template(system: System) -> System:
    """Systems with equal templates share one compiled program."""
    return _split(system)[0]


def _realization(
    template: System, traced: Mapping[str, jax.Array], key: jax.Array, data: Any
) -> dict[str, jax.Array]:
    """One whole realization as a single traced computation."""
    system = dataclasses.replace(template, **traced)
    state = jax.lax.while_loop(
        lambda state: ~system.finished(state),
        lambda state: system.advance(state, data),
        system.begin(key, data),
    )
    return system.observe(state, data)


def _program(template: System, lanes: int, *arguments: Any) -> Any:
    """Compile for one template and number of lanes, once a process."""
    shapes = tuple((x.shape, str(x.dtype)) for x in jax.tree.leaves(arguments[-1]))
    name = (template, lanes, shapes)
    if name in _programs:  # without waiting for what another thread compiles
        return _programs[name]
    with _lock:
        if name not in _programs:
            start = time.perf_counter()

            def one(*args: Any) -> dict[str, jax.Array]:
                return _realization(template, *args)

            function = one if lanes == 1 else jax.vmap(one, in_axes=(0, 0, None))
            _programs[name] = jax.jit(function).lower(*arguments).compile()
            log.info(
                "compiled %s for %s in %.1f s",
                type(template).name,
                "one realization" if lanes == 1 else f"{lanes} realizations",
                time.perf_counter() - start,
            )
        return _programs[name]


def _on_device(checksum: str, data: Mapping[str, Any]) -> Any:
    """Arrays of the data set with this checksum on the device, put there once a process."""
    with _lock:
        if checksum not in _resident:
            _resident[checksum] = jax.device_put(dict(data))
        return _resident[checksum]


def realize(tasks: Sequence[Task], data: Mapping[str, Any], lanes: int = 1) -> list[Result]:
    """Compute realizations that share a template.

    Parameters
    ----------
    tasks
        Any number, one after another, with one lane; at most `lanes` of them with more.
    data
        Arrays of the data set that has the tasks' checksum.
    lanes
        Realizations advanced together by `vmap`.

    Returns
    -------
    list of dict
        Observables of each task, in order, each in its declared inner dimensions.
    """
    parts = [_split(task.system) for task in tasks]
    form = parts[0][0]
    if any(other != form for other, _ in parts):
        raise ValueError("tasks of one batch must differ in traced controls only")
    on_device = _on_device(tasks[0].checksum, data)
    scalars = [
        {k: jnp.asarray(v, jnp.int32 if isinstance(v, int) else jnp.float32) for k, v in t.items()}
        for _, t in parts
    ]
    roots = [keys.root(task.lineage) for task in tasks]
    if lanes == 1:
        results = []
        for traced, root in zip(scalars, roots, strict=True):
            out = _program(form, 1, traced, root, on_device)(traced, root, on_device)
            results.append({name: np.asarray(value) for name, value in out.items()})
        return results
    if len(tasks) > lanes:
        raise ValueError(f"{len(tasks)} tasks in {lanes} lanes")
    spare = [0] * (lanes - len(tasks))  # one compiled width; the spare lanes repeat the first
    order = [*range(len(tasks)), *spare]
    traced = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(scalars[i] for i in order))
    batch = jnp.stack([roots[i] for i in order])
    out = jax.device_get(_program(form, lanes, traced, batch, on_device)(traced, batch, on_device))
    return [{name: np.asarray(value[i]) for name, value in out.items()} for i in range(len(tasks))]
