"""Where data are looked for and kept on this machine."""

from __future__ import annotations

import os
import tempfile
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


def keep(path: Path, content: bytes) -> Path:
    """Put a verified download where it is kept: temporary file, then rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}).") from error
    return path


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
