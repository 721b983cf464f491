"""Executors that others have started: workers of a Dask cluster, processes of an MPI job."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import importlib.metadata
import logging
import platform
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from criticality.base import InputError, RunError

log = logging.getLogger("criticality")
CONNECT_S = 5  # for a scheduler to answer, and for a first worker to be there
LIBRARIES = ("criticality", "jax", "jaxlib", "numpy")
MPI = "mpiexec -n 5 python -m mpi4py.futures -m criticality run STUDY --store DIR --executor mpi"


@contextmanager
def opened(where: str) -> Iterator[cf.Executor]:
    """Executor at "dask://HOST:PORT" or "mpi".

    Raises
    ------
    InputError
        If there is none, or it has no workers that can compute.
    RunError
        If it is lost.
    """
    if where == "mpi":
        with _mpi() as executor:
            yield executor
    elif address := re.fullmatch(r"dask://([^\s/]+:[0-9]{1,5})/?", where):
        with _dask(address[1]) as executor:
            yield executor
    else:
        raise InputError(f"--executor {where}: expected dask://HOST:PORT, or mpi.")


@contextmanager
def _dask(address: str) -> Iterator[cf.Executor]:
    try:
        from distributed import Client
    except ImportError as error:
        raise _lacking("dask", "cluster", error) from error
    host, _, port = address.rpartition(":")
    try:
        # where nobody listens, or somebody else as its dashboard, Dask would wait for long
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as connection:
            connection.recv(1)  # a scheduler speaks first
        client: Any = Client(f"tcp://{address}", timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"--executor dask://{address}: no scheduler answers ({error}); start one with "
            f"`dask scheduler`, which says its address."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            raise InputError(
                f"--executor dask://{address}: the scheduler has no workers; start them with "
                f"`dask worker tcp://{address} --nthreads 1`."
            ) from error
        try:
            there = client.run(versions)
        except Exception as error:  # whatever a worker raises that has another package, or none
            raise InputError(
                f"--executor dask://{address}: a worker cannot import criticality ({error!r}); "
                f"install the same version there."
            ) from error
        for worker, found in there.items():
            _compare(worker, found)
        # its own tracebacks of a lost connection say less than what we raise
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            yield client.get_executor(pure=False)
        except (cf.CancelledError, RunError) as error:
            if client.status == "running":
                raise
            raise RunError(
                f"--executor dask://{address}: the scheduler was lost, and what it had not given "
                f"back yet; the same command goes on from what is in the store."
            ) from error


@contextmanager
def _mpi() -> Iterator[cf.Executor]:
    try:
        from mpi4py.futures import MPIPoolExecutor
    except ImportError as error:
        raise _lacking("mpi", "mpi", error) from error
    if "mpi4py.futures" not in sys.orig_argv:  # else each process would run the whole study
        raise InputError(f"--executor mpi: is started by MPI, as: {MPI}")
    executor = MPIPoolExecutor()
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _lacking(executor: str, extra: str, error: ImportError) -> InputError:
    return InputError(
        f"--executor {executor}: cannot be used here ({error}); "
        f"pip install 'criticality[{extra}]' installs what it needs."
    )


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, in this process."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _compare(worker: str, there: dict[str, str]) -> None:
    """Say which versions of a worker are not those here."""
    different = [
        f"{name} {there.get(name, 'none')}, here {version}"
        for name, version in versions().items()
        if there.get(name) != version
    ]
    if different:
        log.warning("worker %s has %s; its numbers may differ", worker, "; ".join(different))
