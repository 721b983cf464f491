"""Files that appear whole or not at all, and that tell if they are not as they were written.

No jax here: what only reads stored numbers needs this too.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKPOINT = ".state"
SEAL = hashlib.sha256().digest_size


def checkpoint(folder: Path, key: str) -> Path:
    """Where the checkpoint of a task is, if there is one."""
    return folder / f"{key[:32]}{CHECKPOINT}"


def seal(parts: Iterable[Any]) -> bytes:
    """sha256 of bytes, given in parts; it follows them in the file."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def unsealed(path: Path) -> memoryview:
    """Read what a sealed file holds.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is not bit for bit as it was written.
    """
    content = memoryview(path.read_bytes())
    if seal([content[:-SEAL]]) != content[-SEAL:]:
        raise ValueError("not as it was written")
    return content[:-SEAL]


@contextmanager
def replacing(path: Path, exclusive: bool = False) -> Iterator[Path]:
    """Temporary path beside `path` that takes its place, synced, if the block succeeds.

    `exclusive` raises FileExistsError, and changes nothing, if something is at `path` by then.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        if exclusive:
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links: who makes the name, has it
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
                temporary.replace(path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
