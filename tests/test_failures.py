"""Failures are kept in the store with their reasons, and stop no other task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from criticality import RunError, Store, Study, catalog, run
from tests.own import command

__all__ = ["command"]  # a fixture

FRAGILE = """
import pathlib
from criticality import Observable, control, system

@system(observables=(Observable(name="m"), Observable(name="gap", undefined=True)))
def fragile(rng, x=control(0), how=control("fine", choices=("fine", "raises", "memory", "nan",
                                                            "exits", "interrupts", "file"))):
    with open(f"calls-{x}", "a") as file:
        file.write("1")
    if x % 4 == 3 and not pathlib.Path("mended").exists():
        if how == "raises":
            raise ValueError("no such lattice\\nand more")
        if how == "memory":
            raise MemoryError("no room")
        if how == "file":
            open("no such executable")
        if how == "exits":
            raise SystemExit(3)
        if how == "nan":
            return {"m": float("nan"), "gap": 1.0}
    return {"m": rng.normal(), "gap": float("nan")}
"""
OWN = ("raises", "exits")
MACHINE = ("memory", "file")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fragile.py").write_text(FRAGILE)
    return tmp_path


def study(how: str) -> Study:
    return Study(system=catalog.find("fragile.py:fragile")(how=how), grid={"x": range(8)})


def calls() -> list[int]:
    files = [Path(f"calls-{x}") for x in range(8)]
    return [len(file.read_text()) if file.exists() else 0 for file in files]


ONCE = [1] * 8
TWICE = [1, 1, 1, 2, 1, 1, 1, 2]
WAYS = pytest.mark.parametrize(
    "options", [{"workers": 1}, {"workers": 1, "width": 8}, {"workers": 2, "width": 3}]
)


@WAYS
@pytest.mark.parametrize("how", OWN)
def test_what_fails_by_its_own_fault_is_kept_and_tried_again_on_demand(how, options, folder):
    with pytest.raises(RunError, match="2 of 8 tasks failed") as raised:
        run(study(how), "s", **options)
    said = str(raised.value)
    reason = {"raises": "fragile.py, line 12: ValueError: no such lattice", "exits": "SystemExit"}
    assert said.count(reason[how]) == 2
    assert "and more" not in said
    assert "2 would fail again; --retry-failed" in said
    assert calls() == ONCE  # one that fails costs none that shares its batch
    store = Store("s")
    assert {entry.point["x"] for entry in store.entries()[0]} == {0, 1, 2, 4, 5, 6}
    failures = store.failures()
    assert set(failures) == {study(how).tasks()[x].key for x in (3, 7)}
    assert all(failure.own and reason[how] in failure.reason for failure in failures.values())
    with pytest.raises(RunError, match="2 of 8 tasks failed"):
        run(study(how), "s", **options)
    assert calls() == ONCE
    Path("mended").touch()
    ds = run(study(how), "s", retry_failed=True, **options)
    assert calls() == TWICE
    assert ds["m"].notnull().all()
    xr.testing.assert_identical(run(study(how), "s", **options), ds)
    assert calls() == TWICE


@pytest.mark.parametrize("how", MACHINE)
def test_what_the_machine_is_to_blame_for_is_tried_again(how, folder):
    with pytest.raises(RunError, match=r"The same command tries 2 of these again\.\n"):
        run(study(how), "s", workers=1)
    assert not any(failure.own for failure in Store("s").failures().values())
    Path("mended").touch()
    assert run(study(how), "s", workers=1)["m"].notnull().all()
    assert calls() == TWICE


def test_what_failed_with_another_source_is_tried_again(folder):
    with pytest.raises(RunError):
        run(study("raises"), "s", workers=1)
    text = FRAGILE.replace("x % 4 == 3", "x % 4 == 3 and x < 4")
    Path("fragile.py").write_text(text)
    with pytest.raises(RunError, match="1 of 8 tasks failed"):
        run(study("raises"), "s", workers=1)
    assert calls() == TWICE


@WAYS
def test_what_is_not_finite_is_kept_told_and_computed_again_on_demand(options, folder):
    for _ in range(2):
        with pytest.raises(RunError, match="2 of 8 tasks failed") as raised:
            run(study("nan"), "s", **options)
        assert str(raised.value).count("m not finite") == 2  # gap may be undefined
        assert calls() == ONCE
    ds = Store("s").open()
    assert np.flatnonzero(np.isnan(ds["m"])).tolist() == [3, 7]
    assert ds["gap"].values[[3, 7]].ravel().tolist() == [1.0, 1.0]  # the rest of it is there
    with pytest.raises(RunError, match="2 of 8"):
        run(study("nan"), "s", retry_failed=True, **options)
    assert calls() == TWICE
    Path("mended").touch()
    ds = run(study("nan"), "s", retry_failed=True, **options)
    assert calls() == [1, 1, 1, 3, 1, 1, 1, 3]
    assert ds["m"].notnull().all()
    assert run(study("nan"), "s", **options)["m"].notnull().all()


def test_the_command_exits_1_and_says_what_to_do(folder, command):
    Path("study.toml").write_text('system = "fragile"\n[grid]\nx = [0, 1, 2, 3]\n')
    words = ("run", "study.toml", "--store", "s", "--system", "fragile.py:fragile")
    words = (*words, "--workers", 1, "--set", "how=raises")
    for _ in range(2):
        code, _, said = command(*words)
        assert code == 1
        assert "1 of 4 tasks failed" in said
        assert "--retry-failed" in said
        assert "Traceback" not in said
    Path("mended").touch()
    code, out, _ = command(*words, "--retry-failed", "--json")
    assert code == 0
    assert json.loads(out)["done"] == 4


def test_progress_counts_what_failed_before(folder):
    seen = []
    for _ in range(2):
        with pytest.raises(RunError):
            run(study("raises"), "s", workers=1, watch=seen.append)
    assert (seen[-1].done, seen[-1].failed, seen[-1].total) == (6, 2, 8)
    assert seen[-1].work_done == pytest.approx(seen[-1].work_total)
