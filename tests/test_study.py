"""The plan: what is allowed, what names a task, how a study file is read."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from criticality import InputError, Study
from criticality.systems import DropoutNetwork

STUDY = """
system = "dropout"
seed = 3
realizations = 2
[controls]
dataset = "synthetic"
width = 12
n_validation = 100
[grid]
p_train = [0, 0.5]
n_train = [100, 200]
"""


def read(tmp_path, text=STUDY, *changes):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return Study.from_toml(path, changes=changes)


def test_a_study_is_the_product_of_its_grid_and_realizations(tmp_path):
    study = read(tmp_path)
    points = {(t.system.p_train, t.system.n_train, t.realization) for t in study.tasks()}
    assert points == {(p, n, r) for p in (0, 0.5) for n in (100, 200) for r in (0, 1)}
    assert len({t.key for t in study.tasks()}) == 8


def test_along_a_path_controls_change_together(tmp_path):
    text = STUDY.replace("n_train = [100, 200]", "width = [12, 14]").replace("width = 12\n", "")
    text += "[path]\nn_train = [300, 100, 200]\nlearning_rate = [0.1, 0.1, 0.2]\n"
    study = read(tmp_path, text)
    names = ("p_train", "width", "n_train", "learning_rate")
    points = [tuple(getattr(s, name) for name in names) for s in study.systems()]
    along = [(100, 0.1), (200, 0.2), (300, 0.1)]
    assert points == [(p, w, *a) for p in (0, 0.5) for w in (12, 14) for a in along]
    assert study.swept()["learning_rate"] == (0.1, 0.2)
    assert pickle.loads(pickle.dumps(study)) == study
    # points have the keys that they have in a grid
    grid = read(
        tmp_path, text.replace("[path]", ""), "learning_rate=[0.1, 0.2]", "n_train=[100, 200, 300]"
    )
    assert {t.key for t in study.tasks()} < {t.key for t in grid.tasks()}
    # a control that is set leaves the path
    fixed = read(tmp_path, text, "learning_rate=0.3")
    assert dict(fixed.path) == {"n_train": (100, 200, 300)}
    assert {point.learning_rate for point in fixed.systems()} == {0.3}
    with pytest.raises(InputError, match=r"path: 3 of learning_rate; .* no point twice"):
        read(tmp_path, text, "n_train=100")
    alone = text.replace("learning_rate = [0.1, 0.1, 0.2]\n", "")
    assert not read(tmp_path, alone, "n_train=100").path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("n_train = [100, 200]\nlearning_rate = [0.1]", "path: 2 of n_train, 1 of learning_rate"),
        ("n_train = [100, 100]\nlearning_rate = [0.1, 0.1]", "no point twice"),
        ("p_train = [0.1, 0.2]", "p_train is both in .grid. and in .path."),
        ("p_eval = [0.1, 0.2]", "path.p_eval: an inner axis"),
        ("n_train = []", "path.n_train: the list is empty"),
        ("n_train = 100", "path.n_train = 100: expected a list"),
        (
            f"n_train = {list(range(1, 1002))}\nwidth = {list(range(1, 1002))}",
            "a study has 1000000",
        ),
        ("n_trian = [100]", "n_trian.*did you mean|n_trian.*n_train"),
    ],
)
def test_what_is_no_path_is_refused(tmp_path, path, words):
    fixed = STUDY.replace("n_train = [100, 200]", "").replace("width = 12\n", "")
    with pytest.raises(InputError, match=words):
        read(tmp_path, f"{fixed}[path]\n{path}\n")


def test_zero_and_zero_point_zero_are_the_same_task(tmp_path):
    whole = read(tmp_path, STUDY, "p_train=[0, 0.5]", "learning_rate=1")
    point = read(tmp_path, STUDY, "p_train=[0.0, 0.5]", "learning_rate=1.0")
    assert [t.key for t in whole.tasks()] == [t.key for t in point.tasks()]


def test_extending_a_study_keeps_every_old_key(tmp_path):
    old = {t.key for t in read(tmp_path).tasks()}
    for change in ("p_train=[0, 0.1, 0.5]", "realizations=5", "width=[12, 20]"):
        new = {t.key for t in read(tmp_path, STUDY, change).tasks()}
        assert old < new


def test_set_changes_one_thing(tmp_path):
    study = read(tmp_path, STUDY, "seed=9", "p_train=0.25", "dataset=mnist", "p_eval=[0.0, 0.1]")
    assert study.seed == 9
    assert set(study.grid) == {"n_train"}
    assert study.system.p_train == 0.25
    assert study.system.dataset == "mnist"
    assert study.system.p_eval == (0.0, 0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("p_train=1", ["p_train", "[0, 1)"]),
        ("p_train=-0.1", ["p_train", "[0, 1)"]),
        ("p_train=nan", ["p_train", "[0, 1)"]),
        ("p_eval=[0.0, 1.0]", ["p_eval", "[0, 1)"]),
        ("p_eval=0.5", ["p_eval", "list"]),
        ("p_eval=[0.1, 0.1]", ["p_eval", "distinct"]),
        ("p_train=[0.1, 0.1]", ["p_train", "twice"]),
        ("p_train=[]", ["p_train", "empty"]),
        ("width=0", ["width", "[1, inf)"]),
        ("depth=-2", ["depth", "[1, inf)"]),
        ("depth=2.5", ["depth", "whole number"]),
        ("depth=true", ["depth", "whole number"]),
        ("width=[10, 0]", ["width", "[1, inf)"]),
        ("width='wide'", ["width", "whole number"]),
        ("n_train=3901", ["n_train", "4000", "n_validation = 100", "3900"]),
        ("n_train=[100, 4000]", ["n_train", "3900"]),
        ("dataset=mnits", ["dataset", "mnits", "did you mean 'mnist'", "fashion-mnist"]),
        ("restore_best=1", ["restore_best", "true or false"]),
        ("initialization=hee", ["initialization", "did you mean 'he'", "standard"]),
        ("learning_rate=0", ["learning_rate", "(0, inf)"]),
        ("learning_rate=inf", ["learning_rate", "(0, inf)"]),
        ("realizations=0", ["realizations", "1 or more"]),
        ("realizations=1.5", ["realizations", "whole number"]),
        ("seed=-1", ["seed", "0 or more"]),
        ("p_trian=0.1", ["p_trian", "did you mean 'p_train'"]),
        ("p_train", ["p_train", "key=value"]),
        ("learning_rate=1e39", ["learning_rate", "32 bits"]),
        ("learning_rate=1e-39", ["learning_rate", "32 bits"]),
        ("patience=3000000000", ["patience", "32 bits"]),
        (f"patience={10**400}", ["patience", "whole number"]),
        (f"seed={2**63}", ["seed", "whole number"]),
        ("p_eval=[0.5, 0.50000001]", ["p_eval", "32 bits"]),
    ],
)
def test_a_bad_value_is_refused_with_what_was_expected(tmp_path, change, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, STUDY, change)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('systm = "dropout"', ["study.toml", "systm", "did you mean 'system'"]),
        ('system = "dropuot"', ["study.toml", "dropuot", "did you mean 'dropout'"]),
        ("seed = 1", ["study.toml", "system"]),
        ('system = "dropout"\n[grid]\np_trian = [0]', ["p_trian", "did you mean 'p_train'"]),
        ('system = "dropout"\n[grid]\np_eval = [0.0]', ["p_eval", "inner axis"]),
        ('system = "dropout"\n[grid]\np_train = 0.5', ["p_train", "list"]),
        ('system = "dropout"\ngrid = 3', ["[grid]", "table"]),
        (
            'system = "dropout"\n[controls]\nwidth = 5\n[grid]\nwidth = [5]',
            ["width", "[controls]", "[grid]"],
        ),
        ('system = "dropout', ["study.toml", "TOML"]),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    for word in words:
        assert word in str(error.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Study.from_toml(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        Study.from_toml(tmp_path / "binary.toml")


def test_python_refuses_what_toml_refuses():
    with pytest.raises(InputError, match=r"p_trian.*did you mean 'p_train'"):
        Study(system=DropoutNetwork(), grid={"p_trian": [0.1]})
    with pytest.raises(InputError, match="n_train = 100000"):
        Study(system=DropoutNetwork(n_train=100_000))
    with pytest.raises(InputError, match="expected a list"):
        Study(system=DropoutNetwork(), grid={"p_train": 0.5})


def test_minus_zero_is_zero():
    def keys(zero):
        network = DropoutNetwork(dataset="synthetic", n_validation=100, p_eval=(zero, 0.5))
        return [t.key for t in Study(system=network, grid={"p_train": [zero, 0.5]}).tasks()]

    assert keys(-0.0) == keys(0.0)
    assert str(Study(system=DropoutNetwork(p_train=-0.0)).system.p_train) == "0.0"


def test_a_study_travels_by_pickle(tmp_path):
    study = read(tmp_path)
    again = pickle.loads(pickle.dumps(study))
    assert again == study
    assert [t.key for t in again.tasks()] == [t.key for t in study.tasks()]


def test_whole_numbers_of_numpy_are_whole_numbers():
    network = DropoutNetwork(width=np.int64(7), n_train=np.int32(100), learning_rate=np.float64(1))
    study = Study(system=network, realizations=np.int64(2), seed=np.uint8(3))
    plain = DropoutNetwork(width=7, n_train=100, learning_rate=1.0)
    assert study == Study(system=plain, realizations=2, seed=3)
    assert [t.key for t in study.tasks()] == [
        t.key for t in Study(system=plain, realizations=2, seed=3).tasks()
    ]


def test_what_is_too_many_is_said_at_once():
    with pytest.raises(InputError, match="10000000 tasks; a study has 1000000 at most"):
        Study(system=DropoutNetwork(), realizations=10_000_000)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "mark.toml").write_text("\ufeff" + STUDY, encoding="utf-8")
    assert Study.from_toml(tmp_path / "mark.toml") == read(tmp_path)


@pytest.mark.parametrize("where", ["file", "--set"])
def test_a_number_without_end_is_refused(tmp_path, where):
    number = "1" * 5_000
    given = {"file": (STUDY.replace("seed = 3", f"seed = {number}"),)}
    with pytest.raises(InputError, match="4300 digits"):
        read(tmp_path, *given.get(where, (STUDY, f"seed={number}")))


def test_the_system_is_not_changed_by_set(tmp_path):
    with pytest.raises(InputError, match=r"named by .*study.toml; an own one by --system"):
        read(tmp_path, STUDY, "system=pruning")
