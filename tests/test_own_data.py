"""A user's own data: every way to keep them, one content one checksum, and no bad file accepted."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from criticality import DataError, InputError, Study, data, run
from criticality.base import Task, canonical, required
from criticality.cli import main
from criticality.data.dataset import ARRAYS
from criticality.engine import ensemble, programs
from criticality.study.job import Failed, compute
from criticality.study.plan import checksum
from criticality.systems import DropoutNetwork
from criticality.systems.pruning import PruningNetwork, controls


def clusters(samples=200, features=20, classes=3, seed=0, spread=0.3):
    """Samples around one random centre a class, in turn; float32 that a text of 9 digits holds."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, features))
    y = np.arange(samples) % classes
    return (centres[y] + spread * rng.normal(size=(samples, features))).astype(np.float32), y


def parts(x, y):
    cut = len(x) - len(x) // 5
    return dict(zip(ARRAYS, (x[:cut], y[:cut], x[cut:], y[cut:]), strict=True))


def write_csv(path, x, y, label="y", delimiter=",", start=""):
    names = [f"c{i}" for i in range(x.shape[1])]
    # the label stands first, so that a reader that takes the last column is wrong
    rows = [
        [label, *names],
        *([str(b), *(f"{v:.9g}" for v in a)] for a, b in zip(x, y, strict=True)),
    ]
    path.write_text(start + "\n".join(delimiter.join(row) for row in rows) + "\n", "utf-8")


def write_tree(path, x, y):
    split = parts(x, y)
    for part in ("train", "test"):
        for i, (a, b) in enumerate(zip(split[f"{part}_x"], split[f"{part}_y"], strict=True)):
            folder = path / part / f"class {b}"
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{i:04d}.npy", a)
    (path / ".hidden").write_text("")


def source(path):
    return f"file:{path}"


def network(path, **controls):
    return DropoutNetwork(
        dataset=source(path),
        **{
            "n_train": 100,
            "n_validation": 40,
            "width": 16,
            "depth": 2,
            "batch_size": 20,
            "max_epochs": 15,
            "learning_rate": 0.01,
            "p_eval": (0.0, 0.5),
            "passes": 1,
            **controls,
        },
    )


# --- reading ---------------------------------------------------------------------------------


def test_an_archive_of_two_parts(tmp_path):
    x, y = clusters()
    np.savez(tmp_path / "a.npz", **parts(x, y), note=np.array([None]))  # what is not ours is left
    found = data.load(source(tmp_path / "a.npz"))
    assert found.shape == data.Shape(train=160, test=40, features=20, classes=3)
    assert found.shape.kind == "classes"
    for name, array in parts(x, y).items():
        np.testing.assert_array_equal(found.arrays()[name], array)
    assert found.train_x.dtype == np.float32


def test_without_parts_the_last_fifth_is_the_test(tmp_path):
    x, y = clusters(samples=203)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    found = data.load(source(tmp_path / "a.npz"))
    assert (found.shape.train, found.shape.test) == (163, 40)
    np.testing.assert_array_equal(np.concatenate([found.train_x, found.test_x]), x)
    np.testing.assert_array_equal(np.concatenate([found.train_y, found.test_y]), y)


def test_bytes_stay_bytes_and_images_become_rows(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (50, 9, 7), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(50) % 2)
    found = data.load(source(tmp_path / "a.npz"))
    assert found.train_x.dtype == np.uint8
    np.testing.assert_array_equal(found.train_x, x[:40].reshape(40, 63))
    np.savez(tmp_path / "a.npz", x=x.astype(np.int64), y=np.arange(50) % 2)
    assert data.load(source(tmp_path / "a.npz")).train_x.dtype == np.float32


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("label", ["y", "label", "target"])
def test_a_table_has_its_label_by_name(tmp_path, suffix, delimiter, label):
    x, y = clusters(samples=30)
    write_csv(tmp_path / f"t.{suffix}", x, y, label, delimiter, start="\ufeff")
    found = data.load(source(tmp_path / f"t.{suffix}"))
    np.testing.assert_array_equal(found.train_x, x[:24])
    np.testing.assert_array_equal(found.test_y, y[24:])


def test_else_the_last_column_is_the_label(tmp_path):
    (tmp_path / "t.csv").write_text('"a","b"\n' + "".join(f"{i}.5,{i % 2}\n\n" for i in range(10)))
    found = data.load(source(tmp_path / "t.csv"))
    assert found.train_x.ravel().tolist() == [i + 0.5 for i in range(8)]
    assert found.test_y.tolist() == [0, 1]


def test_labels_of_a_floating_type_are_targets(tmp_path):
    x, y = clusters(samples=20)
    np.savez(tmp_path / "a.npz", x=x, y=y - 0.5)
    write_csv(tmp_path / "t.csv", x, y - 0.5)
    for path in (tmp_path / "a.npz", tmp_path / "t.csv"):
        found = data.load(source(path))
        assert found.shape == data.Shape(train=16, test=4, features=20, classes=0)
        assert found.shape.kind == "targets"
        np.testing.assert_array_equal(found.test_y, (y - 0.5)[16:])
        with pytest.raises(InputError, match="expected classes"):
            network(path, n_train=5, n_validation=5).validate()


# --- one content, one checksum ---------------------------------------------------------------


def test_the_same_numbers_have_one_checksum_however_they_are_kept(tmp_path):
    x, y = clusters(samples=40)
    # a tree has its samples by class
    order = np.concatenate([np.argsort(y[:32], kind="stable"), 32 + np.argsort(y[32:])])
    x, y = x[order], y[order]
    np.savez(tmp_path / "plain.npz", **parts(x, y))
    np.savez_compressed(tmp_path / "small.npz", **parts(x, y))
    np.savez(tmp_path / "big.npz", **parts(x.astype(">f8"), y.astype(np.uint8)))
    np.savez(tmp_path / "whole.npz", x=x, y=y)
    write_csv(tmp_path / "table.csv", x, y)
    write_tree(tmp_path / "tree", x, y)
    kept = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(kept) == 6
    assert len({data.checksum(source(path)) for path in kept}) == 1
    assert len({data.shape(source(path)) for path in kept}) == 1


def test_the_key_changes_with_one_number_and_not_with_the_packing(tmp_path):
    x, y = clusters()
    path = tmp_path / "a.npz"

    def key(save=np.savez, **arrays):
        save(path, **{**parts(x, y), **arrays})
        return Study(system=network(path)).tasks()[0].key

    first = key()
    assert key(np.savez_compressed) == first
    other = x[:160].copy()
    other[7, 3] = np.nextafter(other[7, 3], np.float32(9))
    labels = y[:160].copy()
    labels[5] = (labels[5] + 1) % 3
    changed = [key(train_x=other), key(train_y=labels), key(train_x=x[:160, ::-1])]
    assert len({first, *changed}) == 4
    assert key() == first


def test_a_file_written_again_at_once_is_read_again(tmp_path):
    """Its size is the same, and by the clock of a coarse file system its time is too."""
    now = time.time()
    x, y = np.zeros((10, 2), np.uint8), np.arange(10) % 2
    seen = set()
    for value in range(5):
        x[0, 0] = value
        np.savez(tmp_path / "a.npz", x=x, y=y)
        os.utime(tmp_path / "a.npz", (now, now))
        seen.add(data.checksum(source(tmp_path / "a.npz")))
    assert len(seen) == 5


def test_a_settled_file_is_read_once(tmp_path, monkeypatch):
    x, y = clusters(samples=20)
    write_tree(tmp_path / "tree", x, y)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    for file in tmp_path.rglob("*"):
        os.utime(file, (1e9, 1e9))
    for path in (tmp_path / "a.npz", tmp_path / "tree"):
        first = data.load(source(path))
        assert data.load(source(path)) is first
    file = next((tmp_path / "tree" / "train").rglob("*.npy"))
    np.save(file, np.load(file) + 1)  # in place: the times of all folders stay
    assert data.load(source(tmp_path / "tree")).checksum != first.checksum


# --- studies ---------------------------------------------------------------------------------


def test_a_study_learns_what_is_in_the_file(tmp_path):
    x, y = clusters()
    path = tmp_path / "a.npz"
    accuracy = {}
    shuffled = np.random.default_rng(1).permutation(y)
    for name, labels in (("true", y), ("shuffled", shuffled), ("swapped", (y + 1) % 3)):
        np.savez(path, **parts(x, labels))
        study = Study(system=network(path), grid={"n_train": [50, 100]}, realizations=2)
        accuracy[name] = run(study, tmp_path / name, workers=1)["accuracy"]
    with np.errstate(all="raise"):
        assert accuracy["true"].sel(p_eval=0).min() > 0.95
        assert accuracy["swapped"].sel(p_eval=0).min() > 0.95
        # 40 test samples of three classes: chance is 1/3 with a deviation of 0.075
        assert abs(float(accuracy["shuffled"].sel(p_eval=0).mean()) - 1 / 3) < 0.2
    assert not np.array_equal(accuracy["true"], accuracy["swapped"])


def test_a_store_knows_a_packed_copy_and_refuses_nothing_new(tmp_path):
    from criticality import Store

    x, y = clusters()
    np.savez(tmp_path / "a.npz", x=x, y=y)
    study = Study(system=network(tmp_path / "a.npz", max_epochs=1), realizations=2)
    run(study, tmp_path / "store", workers=1)
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y)
    store = Store(tmp_path / "store")
    assert store.survey({task.key: task for task in study.tasks()})[1] == []
    np.savez(tmp_path / "a.npz", x=x + 1, y=y)
    assert len(store.survey({task.key: task for task in study.tasks()})[1]) == 2
    (tmp_path / "a.npz").unlink()
    assert store.open()["accuracy"].notnull().all()  # what is stored needs no file


def test_data_that_changed_after_the_keys_were_made_are_refused(tmp_path):
    x, y = clusters()
    np.savez(tmp_path / "a.npz", x=x, y=y)
    tasks = Study(system=network(tmp_path / "a.npz", max_epochs=1)).tasks()
    np.savez(tmp_path / "a.npz", x=x + 1, y=y)
    ((_, failed),) = compute(tasks, None, None)
    assert isinstance(failed, Failed)
    assert "changed since" in failed.reason
    assert not failed.own


def test_a_program_is_not_used_for_another_number_of_classes(tmp_path):
    path = tmp_path / "a.npz"

    def result(classes):
        x, y = clusters(classes=classes)
        np.savez(path, x=x, y=y)
        system = canonical(network(path, max_epochs=2))
        task = Task(system=system, seed=0, realization=0, checksum=checksum(system))
        return ensemble.realize([task], data.load(source(path)).arrays())[0]["loss"]

    result(3)
    after = result(4)
    programs._programs.clear()
    np.testing.assert_array_equal(after, result(4))


def test_sizes_come_from_the_file(tmp_path):
    x, y = clusters()
    np.savez(tmp_path / "a.npz", x=x, y=y)
    pruned = PruningNetwork(dataset=source(tmp_path / "a.npz"), width=10, n_validation=20)
    assert controls.network(pruned).units == (20, 10, 10, 10, 3)
    with pytest.raises(InputError, match="use n_train <= 140"):
        canonical(pruned, n_train=141)
    with pytest.raises(InputError, match="20 numbers a sample"):
        canonical(pruned, n_train=140, architecture="cnn5")


def test_what_a_system_requires_is_what_it_says():
    class Silent:
        dataset = "mnist"  # a name that means nothing to the study

    class Nothing:
        def requires(self):
            return None

    assert required(Silent()) == required(Nothing()) == checksum(Silent()) == ""
    assert required(DropoutNetwork.tiny()) == "synthetic"
    assert checksum(DropoutNetwork.tiny()) == data.checksum("synthetic")


@pytest.mark.parametrize("name", data.NAMES)
def test_sizes_of_the_named_sets_are_those_of_their_arrays(name):
    if data.state(name)[0] != "ready":
        expected = data.Shape(train=60_000, test=10_000, features=784, classes=10)
        assert data.shape(name) in (expected, data.shape("kmnist-10k"))
        return
    found = data.load(name)
    assert data.shape(name) == found.shape
    assert set(found.train_y) == set(range(found.shape.classes))


# --- where -----------------------------------------------------------------------------------


def test_a_relative_path_means_the_folder_then_the_environment_then_here(tmp_path, monkeypatch):
    found = {}
    for number, name in enumerate(("given", "environment", "here")):
        (tmp_path / name).mkdir()
        x, y = clusters(samples=20, seed=number)
        np.savez(tmp_path / name / "a.npz", x=x, y=y)
        found[name] = data.checksum(source(tmp_path / name / "a.npz"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("CRITICALITY_DATA", raising=False)
    assert data.checksum("file:a.npz") == found["here"]
    with data.looking_in(tmp_path / "environment"):
        assert data.checksum("file:a.npz") == found["environment"]
        assert data.checksum("file:a.npz", tmp_path / "given") == found["given"]
        with data.looking_in(tmp_path / "given"):
            assert data.checksum("file:a.npz") == found["given"]
        assert data.checksum("file:a.npz") == found["environment"]
        with pytest.raises(DataError) as error:
            data.load("file:none.npz")
    for place in ("environment", "here"):
        assert str(tmp_path / place / "none.npz") in str(error.value)
    assert "CRITICALITY_DATA" not in os.environ
    assert data.checksum("file:a.npz") == found["here"]
    assert data.state("file:none.npz") == ("absent", "")


def test_the_command_line(tmp_path, monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["criticality", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    monkeypatch.delenv("CRITICALITY_DATA", raising=False)
    (tmp_path / "sets").mkdir()
    x, y = clusters()
    np.savez(tmp_path / "sets" / "a.npz", x=x, y=y)
    there = ("--data-dir", tmp_path / "sets")
    out = json.loads(call("data", "verify", "file:a.npz", *there, "--json")[1])
    assert (out["training"], out["test"], out["features"], out["classes"]) == (160, 40, 20, 3)
    assert out["checksum"] == data.checksum(source(tmp_path / "sets" / "a.npz"))
    assert (
        "160 + 40 samples of 20 features, 3 classes"
        in call("data", "verify", "file:a.npz", *there)[1]
    )
    assert json.loads(call("data", "list", "--json")[1])["synthetic"]["features"] == 64
    (tmp_path / "s.toml").write_text(
        'system = "dropout"\n[controls]\ndataset = "file:a.npz"\nn_train = 100\nn_validation = 40\n'
        "width = 8\ndepth = 1\nmax_epochs = 1\n"
    )
    ran = ("run", tmp_path / "s.toml", "--store", tmp_path / "store", "--json")
    code, _, said = call(*ran)
    assert code == 2
    assert "--data-dir" in said
    assert json.loads(call(*ran, *there)[1])["done"] == 1
    code, _, said = call(*ran, *there, "--set", "dataset=a.npz")
    assert code == 2
    assert "file:PATH" in said
    assert "file:PATH" in call("list")[1]


# --- what is refused -------------------------------------------------------------------------

X, Y = clusters(samples=20)


class Evil:
    def __reduce__(self):
        return Path.write_text, (Path("owned"), "owned")


def changed(array, at, value, kind=None):
    array = array.astype(kind or array.dtype)
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, "holds x; expected either"),
        ({}, "holds nothing"),
        ({**parts(X, Y), "x": X, "y": Y}, "expected either"),
        ({k: v for k, v in parts(X, Y).items() if k != "test_y"}, "expected either"),
        ({"x": X, "y": Y[:19]}, "as many samples as labels"),
        ({**parts(X, Y), "test_y": Y[:3]}, "test_x has the shape (4, 20) and test_y (3,)"),
        ({**parts(X, Y), "test_x": X[:4, :19]}, "19 of float32 in the test part"),
        ({**parts(X, Y), "test_x": np.zeros((4, 20), np.uint8)}, "of uint8 in the test part"),
        ({"x": X[:0], "y": Y[:0]}, "none of them 0"),
        ({"x": X[:, :0], "y": Y}, "none of them 0"),
        ({**parts(X, Y), "test_x": X[:0], "test_y": Y[:0]}, "none of them 0"),
        ({"x": X[:, 0], "y": Y}, "expected [samples, features]"),
        ({"x": X[:4], "y": Y[:4]}, "expected 5 or more"),
        ({"x": changed(X, (3, 5), np.nan), "y": Y}, "x[3, 5] is nan"),
        ({"x": changed(X, (3, 5), -np.inf), "y": Y}, "x[3, 5] is -inf"),
        ({"x": changed(X, (0, 1), 1e300, float), "y": Y}, "x[0, 1] is 1e+300"),
        ({"x": X.astype(complex), "y": Y}, "complex128"),
        ({"x": X.astype(str), "y": Y}, "expected real numbers"),
        ({"x": X, "y": Y.astype(str)}, "classes numbered from 0"),
        ({"x": X, "y": Y - 1}, "from -1 to 1"),
        ({"x": X, "y": Y + 1}, "no training sample has class 0, but there is a class 3"),
        ({"x": X, "y": 2 * Y}, "no training sample has class 1, but there is a class 4"),
        ({"x": X, "y": Y.astype(np.uint64) + np.uint64(2**63)}, "numbered from 0"),
        ({"x": X, "y": 0 * Y}, "one class only"),
        ({**parts(X, Y), "test_y": np.array([0, 1, 2, 3])}, "class 3 is in the test part only"),
        ({**parts(X, Y), "test_y": np.array([0, 1, 2, 2.5])}, "classes in one part"),
        ({"x": X, "y": np.sort(Y)}, "does not have every class"),
        ({"x": X, "y": np.eye(3)[Y]}, "one-hot"),
        ({"x": X, "y": changed(Y, 2, np.nan, float)}, "y[2] is nan"),
        ({"x": X, "y": np.array([Evil()] * 20)}, "cannot be read (Object arrays"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(tmp_path, monkeypatch, arrays, words):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", **arrays)
    with pytest.raises(DataError) as error:
        data.load("file:a.npz")
    assert str(error.value).startswith(str(tmp_path / "a.npz"))
    assert words in str(error.value)
    assert data.state("file:a.npz") == ("damaged", str(tmp_path))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "with the names of columns"),
        ("\n \n", "with the names of columns"),
        ("a" * 200_000 + ",y\n1,0\n", "with the names of columns"),
        ("a,y\n", "no rows"),
        ("1,2\n3,4\n", "has to name the columns"),
        ("y\n1\n2\n", "at least 2"),
        ("a,a,y\n1,2,0\n", "distinct names"),
        ("y,label,a\n1,2,0\n", "y and label may each be the label"),
        ("a,y\n1,0\n2\n", "row 2 has 1 cells below 2"),
        ("a,y\n1,0,2\n3,1,4\n", "row 1 has 3 cells below 2"),
        ("a,y\n1,0\nred,1\n", "row 2 has 'red' in column 'a'"),
        ("a,y\n1,0\n,1\n", "row 2 has '' in column 'a'"),
        ("a,y\n1,0\n2,\n", "row 2 has '' in column 'y'"),
        ("a,y\n" + "1,0\n2,1\n" * 5 + "nan,1\n", "x[10, 0] is nan"),
        ("a,y\n" + "1,0\n2,-1\n" * 5, "from -1 to 0"),
        ('a,y\n"1\n2",0\n', "row 1 has a quotation mark that is not closed"),
        ("a,y\n" + "1,0\n1e999,1\n" * 5, "x[1, 0] is inf"),
        ("a,y\n1," + "9" * 4300 + "\n", "expected finite numbers"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError) as error:
        data.load(source(tmp_path / "t.csv"))
    assert words in str(error.value)
    assert "t.csv" in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "test").rename(f / "tests"), "train/CLASS"),
        (lambda f: (f / "train").rename(f / "tests"), "train/CLASS"),
        (lambda f: (f / "test" / "class 1").rename(f / "test" / "cat"), "cat: no class"),
        (lambda f: (f / "train" / "class 1" / "1.png").write_text(""), "1.png: expected .npy"),
        (lambda f: (f / "train" / "class 1" / "x.npy").write_text(""), "x.npy: cannot be read"),
        (lambda f: np.save(f / "train" / "class 1" / "x.npy", X), "x.npy: float32 of shape (20,"),
        (lambda f: np.save(f / "train" / "class 1" / "x.npy", X[0] > 0), "x.npy: bool of shape"),
        (
            lambda f: np.save(f / "test" / "class 1" / "x.npy", np.array([Evil()])),
            "x.npy: cannot be read (Object arrays",
        ),
        (lambda f: [p.unlink() for p in (f / "test").rglob("*.npy")], "holds no sample"),
        (lambda f: (f / "train" / "note.txt").write_text(""), "note.txt: cannot be read"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "tree", X, Y)
    data.load("file:tree")
    change(tmp_path / "tree")
    with pytest.raises(DataError) as error:
        data.load("file:tree")
    assert words in str(error.value)
    assert not Path("owned").exists()


def test_files_that_are_none_of_these_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=X, y=Y)
    content = Path("a.npz").read_bytes()
    Path("text.npz").write_text("hello")
    Path("empty.npz").write_bytes(b"")
    Path("half.npz").write_bytes(content[: len(content) // 2])
    Path("flipped.npz").write_bytes(content[:200] + b"\xff" + content[201:])
    np.save("array", X)
    Path("array.npy").rename("array.npz")
    Path("a.parquet").write_bytes(content)
    Path("wide.csv").write_bytes("a,y\n1,0\n".encode("utf-16"))
    for name in ("text.npz", "empty.npz", "half.npz", "flipped.npz", "array.npz", "wide.csv"):
        with pytest.raises(DataError, match=f"{name}: cannot be read"):
            data.load(f"file:{name}")
    os.mkfifo("pipe.csv")  # would be waited for
    for name in ("a.parquet", "pipe.csv"):
        with pytest.raises(DataError, match=r"expected .npz, .csv, .tsv, or a folder"):
            data.load(f"file:{name}")
    with pytest.raises(DataError, match="no such file"):
        data.load("file:~nobody-of-this-name/a.npz")
    with pytest.raises(DataError, match="train/CLASS"):
        data.load("file:/")  # and not all of the disk is looked at
    for name in ("file:", "file:  "):
        with pytest.raises(InputError, match="file:PATH"):
            data.load(name)
    with pytest.raises(InputError, match="file:PATH"):
        data.load("a.npz")
