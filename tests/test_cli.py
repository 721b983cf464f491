"""The command line: what it says, how it exits, and that bad input harms nothing."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from criticality.cli import main
from tests import known_systems as known

STUDY = """
system = "dropout"
realizations = 3
[controls]
dataset = "synthetic"
width = 12
depth = 2
n_validation = 100
batch_size = 32
max_epochs = 20
p_eval = [0.0, 0.4, 0.8]
passes = 2
[grid]
p_train = [0.0, 0.5]
n_train = [100, 200, 400]
"""


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["criticality", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished store and its study file."""
    from criticality import Study, run

    folder = tmp_path_factory.mktemp("done")
    (folder / "study.toml").write_text(STUDY)
    run(Study.from_toml(folder / "study.toml"), folder / "store")
    return folder


def test_run_status_phases_and_figures(command, done, tmp_path):
    code, out, _ = command("run", done / "study.toml", "--store", done / "store", "--json")
    assert code == 0
    assert json.loads(out)["done"] == 18
    code, out, _ = command("status", done / "store")
    assert code == 0
    assert "18 of 18 tasks" in out
    code, out, _ = command("phases", done / "store", "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found["cells"]) == 6
    assert {cell["phase"] for cell in found["cells"]} <= {
        "eumentia", "dementia", "amentia", "unresolved",
    }  # fmt: skip
    assert all(cell["alpha_error"] > 0 for cell in found["cells"])
    lines = [border for border in found["boundaries"] if border["along"] == "p_eval"]
    assert [line["at"]["p_train"] for line in lines] == [0.0, 0.5]
    assert all(line["estimate"]["level"] == 0.95 for line in lines)
    code, out, _ = command("phases", done / "store")
    assert code == 0
    assert "95 % interval" in out
    code, out, _ = command("figures", done / "store", "--out", tmp_path / "figures")
    assert code == 0
    files = out.split()
    assert len(files) == 3
    assert all((tmp_path / "figures").joinpath(f.rsplit("/", 1)[1]).stat().st_size for f in files)


def test_progress_goes_to_stderr_and_results_to_stdout(command, done, tmp_path):
    code, out, err = command("run", done / "study.toml", "--store", tmp_path / "s", "--json")
    assert code == 0
    assert json.loads(out)["missing"] == 0
    assert "18/18 tasks" in err


def test_dry_run_writes_nothing_and_counts_what_is_missing(command, done, tmp_path):
    words = ("run", done / "study.toml", "--dry-run", "--json", "--set", "realizations=5")
    code, out, _ = command(*words, "--store", tmp_path / "s")
    fresh = json.loads(out)
    assert code == 0
    assert (fresh["tasks"], fresh["missing"]) == (30, 30)
    assert fresh["seconds"] > 0
    assert not (tmp_path / "s").exists()
    _, out, _ = command(*words, "--store", done / "store")
    more = json.loads(out)
    assert (more["tasks"], more["missing"]) == (30, 12)
    assert "18 results in the store" in more["basis"]
    real = sum(f.stat().st_size for f in (done / "store" / "results").iterdir()) / 18
    assert more["disk_bytes"] / 12 == pytest.approx(real, rel=0.5)


def test_lists(command):
    code, out, _ = command("list")
    assert code == 0
    assert "p_train" in out
    assert json.loads(command("list", "--json")[1])["dropout"]["controls"]["depth"]["default"] == 3
    code, out, _ = command("data", "list", "--json")
    assert code == 0
    assert json.loads(out)["mnist"]["training"] == 60_000
    assert command("data", "verify", "synthetic")[0] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("p_trian=[0.1]", "did you mean 'p_train'"),
        ("p_train=1.0", "[0, 1)"),
        ("p_eval=[0.0, -0.5]", "[0, 1)"),
        ("n_train=4000", "n_train = 4000 is larger than what is left"),
        ("width=0", "width"),
        ("depth=-1", "depth"),
        ("dataset=mnits", "did you mean 'mnist'"),
    ],
)
def test_a_bad_value_exits_2_and_writes_nothing(command, done, tmp_path, change, words):
    code, out, err = command("run", done / "study.toml", "--store", tmp_path / "s", "--set", change)
    assert (code, out) == (2, "")
    assert words in err
    assert "study.toml" in err or "--set" in err
    assert "Traceback" not in err
    assert not (tmp_path / "s").exists()


def test_other_bad_input_exits_2_with_a_message(command, done, tmp_path, no_network):
    (tmp_path / "file").write_text("precious")
    run = ("run", done / "study.toml", "--store")
    cases = [
        ((*run, done / "store", "--set", "width=16"), "belongs to another study"),
        ((*run, tmp_path / "file"), "is a file"),
        ((*run, tmp_path / "file" / "s"), "cannot be written"),
        ((*run, "/proc/nowhere"), "cannot be written"),
        ((*run, tmp_path / "s", "--workers", "0"), "workers"),
        ((*run, tmp_path / "s", "--set", "dataset=mnist"), "cannot be fetched"),
        (("run", tmp_path / "none.toml", "--store", tmp_path / "s"), "cannot be read"),
        (("status", tmp_path / "none"), "not a store"),
        (("phases", tmp_path), "not a store"),
        (("phases", done / "store", "--sigmas", "-1"), "positive"),
        (("phases", done / "store", "--select", "n_train=123"), "has the values"),
        (("phases", done / "store", "--select", "n_train=100"), "n_train is not an axis here"),
        (("figures", done / "store", "--out", tmp_path / "file" / "f"), "cannot be written"),
        (
            ("figures", done / "store", "--out", tmp_path / "f", "--at", "p_eval=0.33"),
            "not measured",
        ),
        (
            ("figures", done / "store", "--out", tmp_path / "f", "--format", "gif"),
            "png, pdf or svg",
        ),
        (("data", "fetch", "mnits"), "did you mean 'mnist'"),
        (("data", "verify", "kmnist"), "data fetch kmnist"),
        (("data", "fetch", "kmnist", "--data-dir", tmp_path / "none"), "no such folder"),
    ]
    for words, expected in cases:
        code, out, err = command(*words)
        assert (code, out) == (2, ""), words
        assert expected in err, (words, err)
        assert "Traceback" not in err
    assert not (tmp_path / "s").exists()
    assert (tmp_path / "file").read_text() == "precious"


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """Samples and a table of the same curves, in files."""
    rng = np.random.default_rng(0)
    points = known.synthetic(
        "bkt", 0.5, 0.5, **known.STANDARD, noise=0.04, correlation=0.8, rng=rng
    )
    folder = tmp_path_factory.mktemp("csv")
    rows = [
        f"{p},{curve.size},{r},{curve.samples[r, k]}"
        for curve in points.curves
        for r in range(40)
        for k, p in enumerate(curve.control)
    ]
    (folder / "samples.csv").write_text("\n".join(["p,N,network,loss", *rows]))
    rows = [
        f"{p},{curve.size},{y},{d}"
        for curve in points.curves
        for p, y, d in zip(curve.control, curve.mean, curve.error, strict=True)
    ]
    (folder / "table.csv").write_text("\n".join(["p,L,m,e", *rows]))
    return folder


SAMPLES = ("--control", "p", "--size", "N", "--value", "loss", "--realization", "network")
TABLE = ("--mean", "m", "--sem", "e")


def test_collapse_compare_and_crossings_of_a_csv(command, csv, tmp_path):
    code, out, _ = command("collapse", csv / "samples.csv", *SAMPLES, "--ansatz", "bkt", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["params"]["p_c"]["low"] < 0.5 < found["params"]["p_c"]["high"]
    assert found["params"]["sigma"]["error"] > 0
    assert found["params"]["L0"] == {"value": 1, "error": 0, "low": 1, "high": 1, "fixed": True}
    assert (found["n_points"], found["bootstrap"]) == (100, 0)
    for name in ("covariance", "chi2", "dof", "p_value", "nu_eff", "log_evidence", "flags"):
        assert found[name] is not None
    figure = tmp_path / "fit.png"
    words = ("collapse", csv / "table.csv", *TABLE, "--ansatz", "bkt", "--figure", figure)
    code, out, _ = command(*words, "--bootstrap", 20, "--table", tmp_path / "points.csv")
    assert len((tmp_path / "points.csv").read_text().splitlines()) == 101
    assert code == 0
    assert "sigma = " in out
    assert "nu_eff" in out
    assert "20 parametric bootstraps" in out
    assert figure.stat().st_size > 10_000
    code, out, _ = command("compare", csv / "samples.csv", *SAMPLES, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["verdict"] == "bkt"
    assert {"algebraic", "no transition", "free curves"} < {m["name"] for m in found["models"]}
    code, out, _ = command("compare", csv / "samples.csv", *SAMPLES)
    assert "verdict: bkt" in out
    code, out, _ = command("crossings", csv / "samples.csv", *SAMPLES, "--json")
    found = json.loads(out)
    assert code == 0
    assert [c["sizes"] for c in found["crossings"]] == [
        [500, 1000], [1000, 2000], [2000, 4000], [4000, 8000],
    ]  # fmt: skip
    assert {"error", "flag", "crossing"} <= set(found["crossings"][0])
    assert found["extrapolations"]
    assert command("crossings", csv / "samples.csv", *SAMPLES)[0] == 0


def test_csv_files_of_other_habits_are_read(command, csv):
    lines = (csv / "table.csv").read_text().splitlines()
    (csv / "semicolon.csv").write_text("\n".join(line.replace(",", ";") for line in lines))
    (csv / "spaces.csv").write_text("\n".join(line.replace(",", " , ") for line in lines))
    (csv / "mark.csv").write_text("\ufeff" + "\n".join(lines))
    words = ("--ansatz", "bkt", "--json")
    plain = command("collapse", csv / "table.csv", *TABLE, *words)[1]
    for name in ("semicolon", "spaces", "mark"):
        assert command("collapse", csv / f"{name}.csv", *TABLE, *words)[1] == plain


def test_compare_frees_beta(command, csv):
    code, out, _ = command("compare", csv / "samples.csv", *SAMPLES, "--beta", "free", "--json")
    assert code == 0
    (algebraic,) = [m for m in json.loads(out)["models"] if m["name"] == "algebraic"]
    assert not algebraic["params"]["beta"]["fixed"]


def test_collapse_of_a_store(command, done, tmp_path):
    words = (done / "store", "--select", "p_train=0.5", "--objective", "local-linear")
    code, out, err = command("collapse", *words, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["n_points"] == 9
    assert found["realizations"] == 3
    assert found["params"]["p_c"]["error"] is None  # no bootstrap, no error
    assert any("no errors" in flag for flag in found["flags"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("none.csv",), "cannot be read"),
        (("table.csv", "--mean", "m"), "both"),
        (("table.csv",), "no column 'realization'"),
        (("samples.csv", "--control", "q"), "no column 'q'"),
        (("text.csv", *TABLE), "'much' is not a number"),
        (("nan.csv", *TABLE), "expected a finite number"),
        (("zero.csv", *TABLE), "standard error 0"),
        (("table.csv", *TABLE, "--ansatz", "bkt", "--L0", "600"), "not above L0"),
        (("table.csv", *TABLE, "--ansatz", "bkt", "--L0", "tiny"), "marginal"),
        (("table.csv", *TABLE, "--ansatz", "kt"), "'kt'"),
        (("table.csv", *TABLE, "--sigma", "2"), "no such parameter"),
        (("table.csv", *TABLE, "--nu", "large"), "free"),
        (("table.csv", *TABLE, "--size-min", "5000"), "too few points"),
        (("table.csv", *TABLE, "--window", "50000", "50001"), "too few points"),
        (("table.csv", *TABLE, "--objective", "chi"), "unknown objective"),
        (("table.csv", *TABLE, "--select", "p=1"), "for a store"),
        (("table.csv", *TABLE, "--control-range", "0.6", "0.4"), "the lower one first"),
        (("table.csv", *TABLE, "--window", "1", "-1"), "the lower one first"),
        (("table.csv", *TABLE, "--bootstrap", "1"), "20 or more"),
        (("same.csv", *TABLE), "nothing to scale"),
        (("table.csv", *TABLE, "--figure", "x.gif"), ".png"),
        (("table.csv", *TABLE, "--figure", "none/x.png"), "no folder"),
        (("table.csv", *TABLE, "--table", "none/x.csv"), "cannot be written"),
        (("single.csv", *SAMPLES), "single realization"),
        (("one.csv", *TABLE), "at least two values"),
        (("twice.csv", *TABLE), "duplicate"),
    ],
)
def test_bad_input_of_collapse_exits_2(command, csv, words, expected):
    table = (csv / "table.csv").read_text().splitlines()
    samples = (csv / "samples.csv").read_text().splitlines()
    first = table[1].rsplit(",", 1)[0]
    for name, lines in {
        "text": [table[0], first + ",much", *table[2:]],
        "nan": [table[0], first + ",", *table[2:]],
        "zero": [table[0], first + ",0", *table[2:]],
        "one": table[:21],
        "same": [table[0], *(",".join([*row.split(",")[:2], "1,1"]) for row in table[1:])],
        "twice": [*table, table[1]],
        "single": [line for line in samples if line.split(",")[2] in ("network", "0")],
    }.items():
        (csv / f"{name}.csv").write_text("\n".join(lines))
    code, out, err = command("collapse", csv / words[0], *words[1:])
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err
