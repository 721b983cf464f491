"""Journals: sealed lines, read as they come; claims that hold; merging and verifying."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from criticality import InputError, Observable, RunError, Store, Study, control, run, system
from criticality.base import axes, card
from criticality.study import journal, manifest, reader
from criticality.study.journal import Journal, machine
from criticality.study.merge import merge
from criticality.study.reader import Reader
from criticality.study.status import status
from criticality.study.verify import verify
from tests.own import results
from tests.test_store import FIRST_EDITION, first_study

GRID = {"x": [0.5, 1.5, 2.5]}


@system(
    observables=(
        Observable(name="level"),
        Observable(name="noise", dims=("time",), unit="s", doc="told"),
        Observable(name="many", dims=("place",)),
    )
)
class Noise:
    """Random numbers, few or many."""

    x: float = control(0.0)
    places: int = control(3, interval="[1, inf)", inner=True)

    def inner(self):
        return {"time": (0.0, 0.25, 1.0), "place": tuple(range(self.places))}

    def compute(self, rng, data):
        noise = rng.normal(size=3).astype(np.float32)
        return {"level": self.x, "noise": noise, "many": rng.normal(size=self.places)}


def filled(path: Path, many: int = 3, realizations: int = 2, grid=GRID, seed: int = 0) -> Store:
    study = Study(system=Noise(places=many), grid=grid, realizations=realizations, seed=seed)
    run(study, path, workers=1)
    return Store(path)


def the_journal(store: Store) -> Path:
    (path,) = (store.path / "results").glob("*.jsonl")
    return path


def test_a_reader_gains_what_was_written_since_wherever_it_was_cut(tmp_path):
    whole = the_journal(filled(tmp_path / "s")).read_bytes()
    every = [result.key for result in Reader(the_journal(Store(tmp_path / "s"))).more()]
    assert len(every) == 6
    rng = np.random.default_rng(0)
    for _ in range(30):
        path = tmp_path / "growing.jsonl"
        path.write_bytes(b"")
        tail, found = Reader(path), []
        for end in [*np.sort(rng.integers(0, len(whole), 6)), len(whole)]:
            path.write_bytes(whole[:end])
            found += [result.key for result in tail.more()]
            assert len(found) == whole[:end].count(b'{"result"') - (
                not whole[:end].endswith(b"\n") and b'{"result"' in whole[:end].rpartition(b"\n")[2]
            )
        assert found == every
        assert not tail.damaged


def test_what_is_no_line_of_ours_costs_itself_only(tmp_path):
    path = the_journal(filled(tmp_path / "s"))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    (head,) = [line for line in lines if b'"head"' in line]
    told = journal.unsealed(head)
    result = journal.unsealed(next(line for line in lines if b'"result"' in line))
    forged = [
        b"x" * (3 * journal.LARGEST) + b"\n",
        b"\n",
        b"\xff\xfe\n",
        journal.sealed({"result": "k", "of": told["head"]}),
        journal.sealed(result | {"about": {"wall_seconds": "long"}}),
        journal.sealed(result | {"about": {"other": 1}}),
        journal.sealed(result | {"controls": {"x": None}}),
        journal.sealed(result | {"realization": -1}),
        journal.sealed(result | {"realization": 0.5}),
        journal.sealed(told | {"numbers": {"level": ["O", []]}}),
        journal.sealed(told | {"numbers": {"level": ["<f8", [10**30]]}}),
        journal.sealed(told | {"inner": {"time": ["<f8", "no base64"]}}),
        journal.sealed(told | {"attributes": {"seed": "0"}}),
        journal.sealed({"claim": 3, "at": 0.0}),
        journal.sealed({"claim": ["k"], "at": "noon"}),
    ]
    path.write_bytes(b"".join(lines[:3] + forged + lines[3:]))
    tail = Reader(path)
    assert len(list(tail.more())) == 6
    assert tail.damaged == list(range(4, 4 + len(forged)))
    nested = b"[" * 100_000
    path.write_bytes(lines[0] + journal.hashlib.sha256(nested).hexdigest().encode() + b" " + nested)
    assert not list(Reader(path).more())


def test_numbers_that_are_not_of_their_head_are_damaged(tmp_path):
    store = filled(tmp_path / "s")
    path = the_journal(store)
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"result"' in line)
    short = journal.unsealed(lines[at])
    lines[at] = journal.sealed(short | {"arrays": short["arrays"][:8]})
    path.write_bytes(b"".join(lines))
    again = Store(store.path)
    assert int(again.open()["level"].isnull().sum()) == 1
    assert again.damaged() == [path]
    assert any("damaged" in problem for problem in verify(again).problems)


def writing(folder: Path) -> Journal:
    (folder / "results").mkdir(parents=True, exist_ok=True)
    return Journal(folder / "results")


def reread(folder: Path) -> Store:
    store = Store(folder)
    store.refresh()
    return store


def test_claims_hold_while_their_run_lives(tmp_path, monkeypatch):
    one, other = writing(tmp_path), writing(tmp_path)
    since = one.claim(["a", "b"])
    other.claim(["c"])
    assert set(reread(tmp_path).claims()) == {"a", "b", "c"}
    claims = reread(tmp_path).claims(but=other)
    assert set(claims) == {"a", "b"}
    assert claims["a"].since == since
    assert claims["a"].where == f"{socket.gethostname()}, process {os.getpid()}"
    one.release(["a"])
    one.fail("b", "no reason", own=True, about={})
    assert set(reread(tmp_path).claims()) == {"c"}
    # of two claims the earlier holds
    one.claim(["c"])
    assert reread(tmp_path).claims()["c"].run == other.path.name
    other.close()
    assert reread(tmp_path).claims()["c"].run == one.path.name
    # a run on another machine, of which nothing is heard
    monkeypatch.setattr(reader, "machine", lambda: "another")
    assert set(reread(tmp_path).claims()) == {"c"}
    old = time.time() - journal.EXPIRES_S - 5
    os.utime(one.path, (old, old))
    assert reread(tmp_path).claims() == {}
    one.beat()
    assert set(reread(tmp_path).claims()) == {"c"}
    one.close()


def test_the_claims_of_a_process_that_is_gone_are_gone_where_one_can_see_it(tmp_path):
    run_of = writing(tmp_path)
    run_of.claim(["a"])
    path = run_of.path
    lines = path.read_bytes().splitlines(keepends=True)
    about = journal.unsealed(lines[0])
    assert about["machine"] == machine() != ""
    gone = SimpleNamespace(pid=2**22 - 3)  # above the largest that Linux gives by default
    path.write_bytes(journal.sealed(about | {"process": gone.pid}) + b"".join(lines[1:]))
    assert reread(tmp_path).claims() == {}
    other = about | {"process": gone.pid, "machine": "another"}
    path.write_bytes(journal.sealed(other) + b"".join(lines[1:]))
    assert set(reread(tmp_path).claims()) == {"a"}


def test_a_failure_holds_until_there_is_a_result(tmp_path):
    study = Study(system=Noise(), realizations=2)
    store = Store(tmp_path)
    store.begin(study.plan())
    first, second = study.tasks()
    with store.recording() as written:
        written.fail(first.key, "it rained", own=False, about={})
        written.fail(first.key, "it snowed", own=True, about={"source_sha256": "abc"})
        written.fail(second.key, "it rained", own=False, about={})
    again = reread(tmp_path)
    failure = again.failures()[first.key]
    assert (failure.reason, failure.own, failure.source_sha256) == ("it snowed", True, "abc")
    assert set(status(again).failed.values()) == {"it snowed", "it rained"}
    arrays = {"level": np.zeros(()), "noise": np.zeros(3), "many": np.zeros(3)}
    again.write(first, arrays, {})
    again.refresh()
    assert set(again.failures()) == {second.key}


def test_a_journal_that_was_taken_away_is_noticed(tmp_path):
    study = Study(system=Noise(), realizations=2)
    store = Store(tmp_path / "s")
    store.begin(study.plan())
    arrays = {"level": np.zeros(()), "noise": np.zeros(3), "many": np.zeros(3)}
    with store.recording() as written:
        store.write(study.tasks()[0], arrays, {}, written)
        shutil.rmtree(store.path)
        with pytest.raises(Exception, match=r"cannot be written .*No such file"):
            store.write(study.tasks()[1], arrays, {}, written)
    assert not store.path.exists()


def test_a_finite_result_takes_the_place_of_one_that_is_not(tmp_path):
    study = Study(system=Noise())
    store = Store(tmp_path)
    store.begin(study.plan())
    (task,) = study.tasks()
    arrays = {"level": np.zeros(()), "noise": np.zeros(3), "many": np.zeros(3)}
    store.write(task, arrays | {"level": np.array(np.nan)}, {})
    assert status(Store(tmp_path)).not_finite == {"level": 1}
    (reason,) = status(Store(tmp_path)).failed.values()
    assert reason == "realization = 0: level not finite"
    store.write(task, arrays, {})
    store.write(task, arrays | {"level": np.array(np.nan)}, {})
    assert status(Store(tmp_path)).not_finite == {}
    assert Store(tmp_path).open()["level"].item() == 0


# --- merge -------------------------------------------------------------------------------------


def test_stores_of_one_study_become_one(tmp_path):
    whole = filled(tmp_path / "whole")
    parts = [
        filled(tmp_path / "a", grid={"x": [0.5]}),
        filled(tmp_path / "b", grid={"x": [0.5, 1.5]}, realizations=1),
        filled(tmp_path / "c", grid={"x": [1.5, 2.5]}),
    ]
    target = Store(tmp_path / "merged")
    assert [merge(part, target) for part in parts] == [2, 1, 3]
    assert [merge(part, target) for part in parts] == [0, 0, 0]
    again = Store(target.path)
    xr.testing.assert_identical(again.open(), whole.open())
    assert (again.total(), len(again.entries()[0])) == (6, 6)
    assert again.card() == whole.card()
    assert {e.attributes["created"] for e in again.entries()[0]}
    assert verify(again).problems == []
    # a run finds nothing to do
    before = results(target.path)
    filled(target.path)
    assert results(target.path) == before


def test_large_results_and_the_first_edition_are_merged(tmp_path):
    large = filled(tmp_path / "large", many=20_000, realizations=1)
    assert len(list((large.path / "results").glob("*.nc"))) == 3
    target = Store(tmp_path / "merged")
    assert merge(large, target) == 3
    xr.testing.assert_identical(target.open(), large.open())
    assert verify(target).problems == []

    old = Store(FIRST_EDITION / "dropout")
    new = Store(tmp_path / "new")
    assert merge(old, new) == 8
    assert [path.suffix for path in (new.path / "results").iterdir()] == [".jsonl"]
    xr.testing.assert_identical(new.open(), old.open())
    assert new.survey(task.key for task in first_study("dropout").tasks())[1:] == ([], [])
    assert verify(new).problems == []


def test_what_is_no_part_of_the_same_study_is_not_merged(tmp_path):
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="belongs to another study: seed"):
        merge(other, one)
    with pytest.raises(InputError, match="into itself"):
        merge(one, Store(tmp_path / "x" / ".." / "one"))
    with pytest.raises(InputError, match="not a store"):
        merge(Store(tmp_path), one)
    assert len(results(one.path)) == 6


def test_nothing_is_merged_where_one_of_several_is_of_another_study(tmp_path, command):
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other", seed=1)
    code, _, said = command("merge", one.path, other.path, "--into", tmp_path / "new")
    assert code == 2
    new = tmp_path / "new"
    assert f"{other.path} cannot be merged: {new} belongs to another study: seed" in said
    assert not new.exists()


def test_failures_are_merged(tmp_path):
    store = filled(tmp_path / "s", realizations=1)
    missing = Study(system=Noise(), grid=GRID, realizations=2)
    store.begin(missing.plan())
    key = missing.tasks()[1].key
    with store.recording() as written:
        point = {"x": 0.5, "places": 3, "realization": 1}
        written.fail(key, "it rained", own=True, about={"source_sha256": "abc"}, point=point)
    store.refresh()
    target = Store(tmp_path / "merged")
    merge(store, target)
    target.refresh()
    assert status(target).failed == {key: "x = 0.5, realization = 1: it rained"}
    assert target.failures()[key].reason == "it rained"
    assert target.failures()[key].source_sha256 == "abc"


# --- verify ------------------------------------------------------------------------------------


def forge(store: Store, change, seal=journal.sealed) -> None:
    """Change the first result of a journal, and seal it again."""
    path = the_journal(store)
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"result"' in line)
    lines[at] = seal(change(journal.unsealed(lines[at])))
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line | {"realization": 1 - line["realization"]}, "key is not that of its"),
        (lambda line: line | {"controls": {"x": 77.0}}, "not of the study of this store"),
        (lambda line: line | {"about": {}}, "does not say its created"),
    ],
)
def test_what_was_sealed_by_others_is_told(tmp_path, change, words):
    store = filled(tmp_path / "s")
    assert verify(store).problems == []
    forge(store, change)
    assert any(words in problem for problem in verify(Store(store.path)).problems)


def test_results_of_one_task_must_agree(tmp_path):
    store = filled(tmp_path / "s")
    path = the_journal(store)
    shutil.copy(path, path.with_name("another.jsonl"))
    found = verify(Store(store.path))
    assert (found.results, found.twice, found.problems) == (12, 6, [])
    other = Store(tmp_path / "other")
    shutil.copytree(store.path, other.path)
    (other.path / "results" / "another.jsonl").unlink()
    forge(other, lambda line: line | {"arrays": "B" * 8 + line["arrays"][8:]})
    shutil.copy(the_journal(other), path.with_name("another.jsonl"))
    found = verify(Store(store.path))
    assert len(found.problems) == 1
    assert "other numbers" in found.problems[0]


def test_status_as_json_has_what_the_text_has(tmp_path, capsys):
    from criticality.cli.store import report

    store = filled(tmp_path / "s")
    store.begin(dataclasses.replace(Study(system=Noise(), grid=GRID), realizations=3).plan())
    with store.recording() as written:
        written.claim(["k"])
        report(Store(store.path), as_json=True)
        found = json.loads(capsys.readouterr().out)
        assert (found["total"], found["done"], found["missing"]) == (9, 6, 3)
        (running,) = found["running"]
        assert running["tasks"] == 1
        report(Store(store.path), as_json=False)
        said = capsys.readouterr().out
    assert "6 of 9 tasks done" in said
    assert f"running on {socket.gethostname()}, process {os.getpid()}: 1 task(s)" in said


# --- edges ------------------------------------------------------------------------------------


@system(observables=(Observable(name="v", dims=("time",)),))
class Foreign:
    """Numbers in the byte order of another machine."""

    x: float = control(0.0)

    def inner(self):
        return {"time": (0.0, 1.0, 2.0)}

    def compute(self, rng, data):
        return {"v": np.array([1.0, 2.0, 3.0], ">f4")}


@system(observables={"m": "m"})
class Raises:
    x: float = control(0.0)

    def compute(self, rng, data):
        if self.x > 1:
            raise ValueError("no such lattice")
        return {"m": self.x}


def test_numbers_of_either_byte_order_are_the_same(tmp_path):
    assert run(Study(system=Foreign()), tmp_path / "s", workers=1)["v"].values.tolist() == [
        [1.0, 2.0, 3.0]
    ]


def test_a_reason_of_any_length_is_kept(tmp_path):
    folder = writing(tmp_path)
    folder.fail("k", "long " * journal.LARGEST, own=True, about={})
    again = reread(tmp_path)
    assert again.failures()["k"].reason.startswith("long long")
    assert not again.damaged()


def test_sealed_numbers_that_nothing_can_be_reckoned_with_are_damage(tmp_path):
    store = filled(tmp_path / "s")
    path = the_journal(store)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    told = journal.unsealed(next(line for line in lines if b'"head"' in line))
    result = journal.unsealed(next(line for line in lines if b'"result"' in line))
    seconds = {"wall_seconds": 10**400}
    forged = [
        told | {"numbers": {"level": ["(1,f8", []]}},
        result | {"about": result["about"] | seconds},
        result | {"about": result["about"] | {"wall_seconds": float("nan")}},
        {"claim": ["k"], "at": float("inf")},
        {"claim": ["k"], "at": float("nan")},
        {"failed": "k", "reason": "", "own": True, "about": {}, "at": float("inf")},
        {"run": "r", "at": float("inf")},
    ]
    path.write_bytes(whole + b"".join(map(journal.sealed, forged)))
    tail = Reader(path)
    assert len(list(tail.more())) == 6
    assert len(tail.damaged) == len(forged)
    assert (tail.claims, tail.failures) == ({}, {})
    forge(store, lambda line: line | {"controls": {"x": float("nan")}})
    assert any(
        "key is not that of" in problem for problem in verify(Store(tmp_path / "s")).problems
    )


def nan_and_number(tmp_path) -> tuple[Store, Store]:
    """Stores of one task: not finite, and finite."""
    study = Study(system=Noise())
    arrays = {"level": np.zeros(()), "noise": np.zeros(3), "many": np.zeros(3)}
    about = {"created": "2026-11-22T10:00:00+00:00", "criticality": "1", "device": "cpu"}
    stores = []
    for name, value in (("nan", np.nan), ("number", 2.0)):
        stores.append(Store(tmp_path / name))
        told = manifest.card_data(card(study.system), axes(study.system), "")
        stores[-1].begin(study.plan(), told)
        stores[-1].write(study.tasks()[0], arrays | {"level": np.array(value)}, about)
    return stores[0], stores[1]


def test_a_finite_result_is_merged_over_one_that_is_not(tmp_path):
    wrong, right = nan_and_number(tmp_path)
    assert (merge(right, wrong), merge(wrong, right)) == (1, 0)
    assert Store(wrong.path).open()["level"].item() == 2
    assert Store(right.path).open()["level"].item() == 2
    # which is no contradiction
    assert verify(Store(wrong.path)).problems == []
    assert verify(Store(wrong.path)).twice == 1


def test_a_store_that_is_being_written_verifies(tmp_path, monkeypatch):
    store, other = filled(tmp_path / "s", realizations=1), filled(tmp_path / "t", realizations=2)
    whole = Store.every

    def every(self):
        if self.path == store.path:  # another run goes on, and has extended the plan
            Store(store.path).begin(Study(system=Noise(), grid=GRID, realizations=2).plan())
            shutil.copy(the_journal(other), store.path / "results" / "another.jsonl")
        return whole(self)

    monkeypatch.setattr(Store, "every", every)
    found = verify(Store(store.path))
    assert (found.results, found.problems) == (9, [])


def test_of_data_that_have_changed_the_new_ones_count(tmp_path, caplog):
    study = Study(system=Noise(), grid=GRID)
    store = Store(tmp_path)
    store.begin(study.plan())
    arrays = {"level": np.zeros(()), "noise": np.zeros(3), "many": np.zeros(3)}
    for checksum, when, points in (("a", "10", 3), ("b", "11", 2)):
        for task in study.tasks()[:points]:
            new = dataclasses.replace(task, checksum=checksum)
            level = {"level": np.array(float(checksum == "b"))}
            store.write(new, arrays | level, {"created": f"2026-11-22T{when}:00:00+00:00"})
    store = Store(tmp_path)
    np.testing.assert_array_equal(store.open()["level"].values.ravel(), [1, 1, np.nan])
    assert (status(store).done, status(store).missing) == (2, 1)
    assert "data have changed" in caplog.text


def test_extensions_are_admitted_in_whatever_order_their_clocks_tell(tmp_path, monkeypatch, caplog):
    store = Store(tmp_path)
    store.begin(Study(system=Noise(x=1.0)).plan())
    store.begin(Study(system=Noise(), grid={"x": [1.0, 2.0]}).plan())
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: 1.0)  # of a host that is behind
        store.begin(Study(system=Noise(x=2.0), realizations=3).plan())
    assert Store(tmp_path).plan()["realizations"] == 3
    assert Store(tmp_path).total() == 4
    assert not caplog.text


def test_extensions_that_only_together_fit_are_merged(tmp_path):
    one, other = filled(tmp_path / "one", grid={}), tmp_path / "other"
    for grid in ({}, {"x": [0.0, 1.0]}, {"x": [1.0, 2.0]}):
        filled(other, grid=grid)
    assert merge(Store(other), Store(one.path)) == 4
    assert Store(one.path).total() == 6


def test_a_failed_task_is_named(tmp_path):
    study = Study(system=Raises(), grid={"x": [0.5, 1.5]})
    with pytest.raises(RunError):
        run(study, tmp_path / "s", workers=1)
    merge(Store(tmp_path / "s"), Store(tmp_path / "t"))
    for name in ("s", "t"):
        (said,) = status(Store(tmp_path / name)).failed.values()
        assert said.startswith("x = 1.5, realization = 0: ")
        assert said.endswith("ValueError: no such lattice")


def test_more_numbers_than_the_head_tells_are_damage(tmp_path):
    store = filled(tmp_path / "s")
    forge(store, lambda line: line | {"arrays": "A" * 32 + line["arrays"]})
    assert int(Store(store.path).open()["level"].isnull().sum()) == 1


def test_results_are_soon_safe_from_a_loss_of_power(tmp_path, monkeypatch):
    synced, clock = [], [0.0]
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(clock[0]))
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Store(tmp_path).recording() as written:
        written.path.parent.mkdir(parents=True)
        for clock[0] in (0.1, 0.2, 1.5, 1.6, 1.7, 3.0):
            written.fail("k", "it rained", own=False, about={})
    assert synced == [1.5, 3.0, 3.0]  # and its end


def test_the_claims_of_a_process_that_nobody_has_waited_for_are_gone(tmp_path):
    written = writing(tmp_path)
    written.claim(["a"])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    lines = written.path.read_bytes().splitlines(keepends=True)
    about = journal.unsealed(lines[0]) | {"process": ended.pid}
    written.path.write_bytes(journal.sealed(about) + b"".join(lines[1:]))
    assert reread(tmp_path).claims() == {}
    ended.wait()


@system(observables={"level": ""})
class Picky:
    """Cannot be computed at one point."""

    x: float = control(0.0)

    def compute(self, rng, data):
        if self.x == 1.5:
            raise ValueError("not this one")
        return {"level": self.x}


def test_status_names_what_failed_and_is_watched_no_longer_than_there_is_hope(
    tmp_path, command, monkeypatch
):
    study = Study(system=Picky(), grid=GRID, realizations=2)
    with pytest.raises(RunError):
        run(study, tmp_path / "s", workers=1)
    found = status(Store(tmp_path / "s"))
    assert (found.missing, found.unable, found.waiting) == (2, 2, 0)
    slept = iter([None])  # once, and then it fails
    monkeypatch.setattr("time.sleep", lambda seconds: next(slept))
    code, said, _ = command("status", tmp_path / "s", "--watch")
    assert code == 0
    for realization in range(2):
        assert f"x = 1.5, realization = {realization}: " in said
    assert next(slept, "not slept") is None
    # what nobody has tried yet is waited for
    store = Store(tmp_path / "s")
    store.begin(dataclasses.replace(study, realizations=3).plan())
    found = status(store)
    assert (found.missing, found.unable, found.waiting) == (5, 2, 3)
    assert dataclasses.replace(found, rate=0.5).left == 6.0
