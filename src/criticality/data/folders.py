"""Where data are looked for and kept on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from criticality.base import DataError

Folder = str | os.PathLike[str] | None
VARIABLE = "CRITICALITY_DATA"


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/criticality, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "criticality"


def user_folder(folder: Folder) -> Path | None:
    """Give the folder that the user names here or in the environment, which is looked in first."""
    chosen = folder or os.environ.get(VARIABLE)
    if not chosen:
        return None
    if not Path(chosen).is_dir():
        raise DataError(f"{chosen}: no such folder; --data-dir or {VARIABLE} names it.")
    return Path(chosen)


@contextmanager
def looking_in(folder: Folder) -> Iterator[None]:
    """Look for data in this folder first, here and in processes begun here, during the block.

    It is CRITICALITY_DATA for that time; None leaves this as it is.
    """
    if not folder:
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(Path(folder).absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
