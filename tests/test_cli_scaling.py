"""Collapse, evidence and crossings on the command line, from a CSV or a store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import known_systems as known


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
FIRST_EDITION = Path(__file__).parent / "first_edition"
TABLE = ("--mean", "m", "--sem", "e")
AXES = ("--control", "p_eval", "--size", "n_train", "--value", "loss")


def test_collapse_compare_and_crossings_of_a_csv(command, csv, tmp_path):
    code, out, _ = command("collapse", csv / "samples.csv", *SAMPLES, "--ansatz", "bkt", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["params"]["p_c"]["low"] < 0.5 < found["params"]["p_c"]["high"]
    assert found["params"]["sigma"]["error"] > 0
    assert found["params"]["L0"] == {
        "value": 1, "error": 0, "low": 1, "high": 1, "level": 0.95, "n": 0, "method": "given",
        "fixed": True,
    }  # fmt: skip
    assert (found["n_points"], found["draws"]) == (100, 0)
    for name in ("covariance", "chi2", "dof", "p_value", "nu_eff", "log_evidence", "flags"):
        assert found[name] is not None
    figure = tmp_path / "fit.png"
    words = ("collapse", csv / "table.csv", *TABLE, "--ansatz", "bkt", "--figure", figure)
    code, out, _ = command(*words, "--draws", 20, "--table", tmp_path / "points.csv")
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
    assert found["crossings"][0]["at"]["level"] == 0.95
    assert found["extrapolations"][0]["flags"][0]["name"]
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


def test_collapse_of_a_store(command, done):
    words = (done / "store", *AXES, "--select", "p_train=0.5", "--objective", "local-linear")
    code, out, err = command("collapse", *words, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["n_points"] == 9
    assert found["realizations"] == 3
    assert found["params"]["p_c"]["error"] is None  # no bootstrap, no error
    assert [flag["name"] for flag in found["flags"]].count("no errors") == 1


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
        (("table.csv", *TABLE, "--draws", "1"), "20 or more"),
        (("table.csv", *TABLE, "--draws", "-1"), "draws >= 0"),
        (("table.csv", *TABLE, "--seed", "-1"), "--seed"),
        (("table.csv", *TABLE, "--level", "nan"), "between 0 and 1"),
        (("table.csv", *TABLE, "--size-min", "nan"), "size_min = nan"),
        (("table.csv", *TABLE, "--window", "nan", "1"), "the lower one first"),
        (("table.csv", *TABLE, "--control-range", "0", "nan"), "the lower one first"),
        (("table.csv", *TABLE, "--nu", "nan"), "nu = nan"),
        (("table.csv", *TABLE, "--p-c", "inf"), "p_c = inf"),
        (("table.csv", *TABLE, "--beta", "-inf"), "beta = -inf"),
        (("table.csv", *TABLE, "--ansatz", "bkt", "--sigma", "-1"), "sigma = -1"),
        (("table.csv", *TABLE, "--ansatz", "bkt", "--L0", "nan"), "L0 = nan"),
        (("empty.csv", *TABLE), "is empty"),
        (("blank.csv", *TABLE), "is empty"),
        (("header.csv", *TABLE), "a header only"),
        (("extra.csv", *TABLE), "line 3: 5 fields where the header has 4"),
        (("short.csv", *TABLE), "line 3: 3 fields where the header has 4"),
        (("named.csv", *TABLE), "2 columns are named 'm'"),
        (("huge.csv", *TABLE), "line 2: column 'm': 1e300; expected less than 1e+100"),
        (("table.csv", *TABLE, "--control", "L"), "cannot be both the control and the size"),
        (("nobody.csv", *SAMPLES), "line 3: the realization 'network' is blank"),
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
        "empty": [],
        "blank": ["", "  ", ""],
        "header": table[:1],
        "extra": [*table[:2], table[2] + ",7", *table[3:]],
        "short": [*table[:2], table[2].rsplit(",", 1)[0], *table[3:]],
        "named": ["p,L,m,m", *table[1:]],
        "huge": [table[0], first.rsplit(",", 1)[0] + ",1e300,1e299", *table[2:]],
        "nobody": [*samples[:2], ",".join([*samples[2].split(",")[:2], " ", "0.5"]), *samples[3:]],
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


@pytest.mark.parametrize("decisive", ["nan", "-5", "inf"])
def test_a_decisive_that_decides_nothing_is_refused(command, csv, decisive):
    words = (csv / "table.csv", *TABLE, f"--decisive={decisive}", "--json")
    code, out, err = command("compare", *words)
    assert (code, out) == (2, "")
    assert "expected a positive number" in err


def test_bad_input_of_crossings_exits_2(command, csv):
    for words, expected in [
        (("--pairs", "al"), "did you mean 'all'"),
        (("--draws", "3"), "--draws"),
        (("--level", "1"), "between 0 and 1"),
        (("--size-min", "nan"), "size_min = nan"),
    ]:
        code, out, err = command("crossings", csv / "table.csv", *TABLE, *words)
        assert (code, out) == (2, "")
        assert expected in err


def test_a_level_is_that_of_the_intervals(command, csv):
    wide, narrow = (
        json.loads(command(name, csv / "table.csv", *TABLE, "--level", "0.5", "--json")[1])
        for name in ("collapse", "crossings")
    )
    p_c, crossing = wide["params"]["p_c"], narrow["crossings"][0]["at"]
    assert (p_c["level"], crossing["level"]) == (0.5, 0.5)
    for found in (p_c, crossing):
        # half of a Gaussian lies within 0.67 standard deviations
        assert (found["high"] - found["low"]) / 2 == pytest.approx(0.67 * found["error"], rel=0.3)


def test_commands_of_scaling_share_their_options(command):
    texts = [command(name, "--help")[1] for name in ("collapse", "compare", "crossings")]
    for option in ("--control", "--size", "--value", "--realization", "--mean", "--sem",
                   "--select", "--control-range", "--size-min", "--level", "--seed"):  # fmt: skip
        assert all(option in text for text in texts), option
    assert not any("--bootstrap" in text for text in texts)


def test_curves_of_a_store_are_those_of_its_card(command, done):
    words = ("crossings", done / "store", "--select", "p_train=0.5", "--draws", "20", "--json")
    assert command(*words) == command(*words, *AXES)
    code, _, err = command("crossings", done / "store", "--control", "n_train", *AXES[2:])
    assert code == 2
    assert "cannot be the control" in err


def test_a_store_whose_card_names_no_curves_says_what_there_is(command):
    code, out, err = command("compare", FIRST_EDITION / "topology")
    assert (code, out) == (2, "")
    for word in ("--control", "--size", "topology", "epoch"):
        assert word in err


CHOICES = ("--half-width", 0.2, "--least-size", 2000, "--least-size", 500)


def test_choices_are_integrated_out_by_the_commands(command, csv, tmp_path):
    figure, table = tmp_path / "choices.png", tmp_path / "choices.csv"
    words = (csv / "table.csv", *TABLE, "--marginal", *CHOICES, "--figure", figure)
    code, out, _ = command("collapse", *words, "--ansatz", "bkt", "--table", table)
    assert code == 0
    assert "systematic" in out
    assert len(table.read_text().splitlines()) == 3  # one range, two least sizes
    assert figure.stat().st_size > 10_000
    code, out, _ = command("compare", *words, "--L0", 1, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["verdict"] in ("bkt", "undecided")
    models = {model["name"]: model for model in found["models"]}
    assert {"algebraic", "bkt (L0 = 1)", "smooth crossover", "free curves"} < set(models)
    p_c = models["bkt (L0 = 1)"]["params"]["p_c"]
    assert p_c["low"] < 0.5 < p_c["high"]
    assert [c["size_min"] for c in models["algebraic"]["choices"]] == [2000, 500]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--half-width", 0.1), "--half-width 0.1: is one of the choices of --marginal"),
        (("--centre", 0.5), "--centre 0.5"),
        (("--least-size", 500), "--least-size 500"),
        (("--marginal", "--half-width", -1), "half_widths = -1"),
        (("--marginal", "--half-width", 0.001), "choose wider ones"),
        (("--marginal", "--corrections"), "leave out"),
    ],
)
@pytest.mark.parametrize("name", ["collapse", "compare"])
def test_choices_that_make_no_sense_exit_2(command, csv, name, words, expected):
    code, _, error = command(name, csv / "table.csv", *TABLE, *words)
    assert code == 2
    assert expected in " ".join(error.split())
