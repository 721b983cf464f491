"""What the workers of this package do in benchmarks: a module that they can import."""

from __future__ import annotations

import atexit
import concurrent.futures as cf
from contextlib import ExitStack
from functools import cache
from typing import Any

import jax

from criticality import data, keys
from criticality.base import Task
from criticality.engine import ensemble, lanes, programs
from criticality.study.workers import available_cores, pool
from criticality.systems import DropoutNetwork


@cache
def crew() -> cf.Executor:
    """Worker processes, one a core, as `criticality run` has them, until this process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(pool(available_cores()))


def realization(task: Task) -> lanes.Result:
    """Compute one realization."""
    (result,) = ensemble.realize([task], data.load("mnist").arrays())
    return result


@cache
def _untrained(rates: tuple[float, ...], passes: int) -> tuple[Any, ...]:
    """Compiled evaluation, a network, and the data."""
    system = DropoutNetwork(p_eval=rates, passes=passes)
    arrays = programs.on_device("mnist", data.load("mnist").arrays())
    state = system.begin(keys.root(keys.words(f"{1:016x}")), arrays)
    return jax.jit(system.observe), state, arrays


def evaluation(sweep: tuple[tuple[float, ...], int]) -> None:
    """Evaluate a network at these rates, so many passes each."""
    observe, *rest = _untrained(*sweep)
    jax.block_until_ready(observe(*rest))
