"""One realization: a system's four functions, called with the traced values of its controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from criticality.base import System, card
from criticality.engine.templates import Traced, model

# values of the traced controls, and state of the root key: on the host, where stacking is cheap
Realization = tuple[Traced, np.ndarray[Any, np.dtype[np.uint32]]]
Result = dict[str, np.ndarray[Any, Any]]
T = TypeVar("T")


def _whole(form: System, traced: Traced) -> System:
    return dataclasses.replace(form, **traced)


def begin(form: System, traced: Traced, words: jax.Array, data: Any) -> Any:
    """State of a new realization whose root key has these `keys.words`."""
    key = jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")
    return model(form).begin(_whole(form, traced), key, data)


def advance(form: System, traced: Traced, state: Any, data: Any) -> Any:
    """State one unit of work later."""
    return model(form).advance(_whole(form, traced), state, data)


def finished(form: System, traced: Traced, state: Any) -> Any:
    """Whether there is nothing left to advance, boolean scalar."""
    return model(form).finished(_whole(form, traced), state)


def observe(form: System, traced: Traced, state: Any, data: Any) -> dict[str, jax.Array]:
    """Every observable, in its declared dimensions."""
    found: dict[str, jax.Array] = model(form).observe(_whole(form, traced), state, data)
    return found


def in_precision(system: System, steps: Iterator[T]) -> Iterator[T]:
    """Run a generator with the numbers that a system asks for, and give back the others' between.

    That is per system, whatever the process was told: results do not depend on the environment.
    """
    wide = card(system).precision == "float64"
    while True:
        with jax.enable_x64(wide):
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step
