"""What the workers of this package do in benchmarks: a module that they can import."""

from __future__ import annotations

import atexit
import concurrent.futures as cf
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache, partial
from typing import Any

import jax

from criticality import data, keys
from criticality.base import Task
from criticality.engine import ensemble, programs
from criticality.engine.realization import Result
from criticality.study.workers import available_cores, pool
from criticality.systems.dropout import DropoutNetwork, model


@cache
def crew() -> cf.Executor:
    """Worker processes, one a core, as `criticality run` has them, until this process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(pool(available_cores()))


def realization(task: Task) -> Result:
    """Compute one realization."""
    (result,) = ensemble.realize([task], data.load("mnist").arrays())
    return result


def sample(task: Task) -> Result:
    """Sample one realization of a system without data."""
    (result,) = ensemble.realize([task], {})
    return result


def lanes(tasks: Sequence[Task]) -> list[Result]:
    """Compute realizations of a system without data, all together."""
    return ensemble.realize(tasks, {}, len(tasks))


@cache
def _untrained(rates: tuple[float, ...], passes: int) -> tuple[Any, ...]:
    """Compiled evaluation, a network, and the data."""
    system = DropoutNetwork(p_eval=rates, passes=passes)
    arrays = programs.on_device("mnist", data.load("mnist").arrays())
    key = jax.random.wrap_key_data(keys.words(f"{1:016x}"), impl="threefry2x32")
    state = model.begin(system, key, arrays)
    return jax.jit(partial(model.observe, system)), state, arrays


def evaluation(sweep: tuple[tuple[float, ...], int]) -> None:
    """Evaluate a network at these rates, so many passes each."""
    observe, *rest = _untrained(*sweep)
    jax.block_until_ready(observe(*rest))
