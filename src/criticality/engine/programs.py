"""Compiled programs: one for each template, kept for the process and, cached, for the next."""

from __future__ import annotations

import hashlib
import logging
import platform
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from criticality import data as sources
from criticality.base import System, card, required
from criticality.engine import host

log = logging.getLogger("criticality")

_programs: dict[Any, Any] = {}
_seconds: list[float] = []  # that compiling each of them took
_resident: dict[tuple[str, bool], Any] = {}
_lock = threading.Lock()


def accelerated() -> bool:
    """Whether there is an accelerator, so that a wide batch is right."""
    return jax.default_backend() != "cpu"


def device_name() -> str:
    """Kind of the device that computes, for provenance."""
    device = jax.devices()[0]
    kind = host.processor_name() if device.platform == "cpu" else device.device_kind
    return f"{device.platform}: {kind}"


def compiled(
    form: System,
    name: str,
    function: Callable[..., Any],
    arguments: Any,
    donate: tuple[int, ...] = (),
) -> Any:
    """Compile a function of one template for arguments of these shapes, once a process.

    Parameters
    ----------
    form, name
        Template and what the program does; with the shapes, they name the program.
    function, arguments
        What is compiled, and what it will be called with.
    donate
        Places of arguments that a call uses up: results take their memory.
    """
    shapes = tuple((x.shape, str(x.dtype)) for x in jax.tree.leaves(arguments))
    source = required(form)  # a system may ask for its sizes, and a file may be another by now
    label = (form, name, shapes, sources.shape(source) if source else None)
    if label in _programs:  # without waiting for what another thread compiles
        return _programs[label]
    with _lock:
        if label not in _programs:
            _cache_on_disk()
            start = time.perf_counter()
            lowered = jax.jit(function, donate_argnums=donate).lower(*arguments)
            with warnings.catch_warnings(record=True) as said:
                _programs[label] = lowered.compile()
            _heed(said)
            _seconds.append(time.perf_counter() - start)
            log.info("compiled %s: %s in %.1f s", card(form).name, name, _seconds[-1])
        return _programs[label]


def compile_seconds() -> float:
    """Time that this process has spent on compiling, or on loading what was compiled before."""
    return sum(_seconds)


def _cache_on_disk() -> None:
    """Keep compiled programs in the user's cache, unless JAX was told where to keep them.

    Programs for a CPU use the instructions that it has, and a home directory may be shared among
    machines that have others: each kind of processor has its own folder.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = sources.cache_folder() / "programs" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # compiled anew in every process, then
        log.warning("compiled programs are not kept: %s", error)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call]


def _heed(said: list[warnings.WarningMessage]) -> None:
    """Clear a cache of which something could not be read: JAX would warn of it for ever."""
    for warning in said:
        if "persistent compilation cache" not in str(warning.message):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
            continue
        folder = Path(str(jax.config.jax_compilation_cache_dir))  # type: ignore[attr-defined]
        if sources.cache_folder() in folder.parents:
            for file in folder.glob("*-cache"):
                file.unlink(missing_ok=True)
            log.warning("a compiled program in %s was damaged; all are made again", folder)


def _processor() -> str:
    """Digest of what decides which instructions this processor has."""
    found = host.processor_lines("model name", "flags", "Features")
    text = "\n".join([platform.machine(), platform.processor(), *sorted(set(found))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def on_device(checksum: str, data: Mapping[str, Any]) -> Any:
    """Arrays of the data set with this checksum on the device, put there once a process.

    Systems of 32 and of 64 bits have their own.
    """
    name = checksum, bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    with _lock:
        if name not in _resident:
            _resident[name] = jax.device_put(dict(data))
        return _resident[name]
