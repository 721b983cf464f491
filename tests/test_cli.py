"""The command line: what it says, how it exits, and that bad input harms nothing."""

from __future__ import annotations

import json

import pytest


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
