"""Controls that came after results had been kept: those stay good, and are extended along them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from criticality import InputError, Store, Study, run
from criticality.base import Task, axes, canonical, control, controls, system
from criticality.study.merge import merge
from criticality.study.verify import verify
from criticality.systems import PruningNetwork

FIRST_EDITION = Path(__file__).parent / "first_edition" / "pruning"
LATER = [name for name, axis in axes(PruningNetwork).items() if axis.before is not None]


@system(observables={"height": "of it"})
class Hill:
    width: float = control(1.0, doc="of the hill", interval="(0, inf)")

    def compute(self, rng, data):
        return {"height": self.width * rng.random()}


@system("hill", observables={"height": "of it"})
class TallHill:
    """The same, with a control that came later."""

    width: float = control(1.0, doc="of the hill", interval="(0, inf)")
    lift: float = control(0.0, doc="added to the height", shared=True, before=0.0)

    def compute(self, rng, data):
        return {"height": self.width * rng.random() + self.lift}


def task(kind, **changes):
    return Task(system=canonical(kind(), **changes), seed=0, realization=0, checksum="")


def test_what_was_done_before_has_the_key_that_it_had():
    assert task(TallHill).key == task(Hill).key
    assert task(TallHill, lift=-0.0).key == task(Hill).key
    assert task(TallHill, lift=1.0).key != task(Hill).key
    assert task(TallHill, lift=1.0).lineage == task(Hill).lineage


def test_the_default_may_change_and_the_key_of_what_was_done_does_not():
    @system("hill", observables={"height": "of it"})
    class Lifted:
        width: float = control(1.0, interval="(0, inf)")
        lift: float = control(5.0, shared=True, before=0.0)

    assert task(Lifted).key == task(TallHill, lift=5.0).key
    assert task(Lifted, lift=0.0).key == task(Hill).key


@pytest.mark.parametrize("axis", ["grid", "path"])
def test_a_store_is_extended_along_a_control_that_it_did_not_know(axis, tmp_path):
    before = run(
        Study(system=Hill(), grid={"width": [1.0, 2.0]}, realizations=3), tmp_path / "s", workers=1
    )
    there = {"lift": [0.0, 10.0], "width": [1.0, 2.0]}
    swept = {"grid": there} if axis == "grid" else {"grid": {}, "path": there}
    study = Study(system=TallHill(), realizations=3, **swept)
    store = Store(tmp_path / "s")
    found, missing, _ = store.survey(one.key for one in study.tasks())
    assert len(found) == (6 if axis == "grid" else 3)
    now = run(study, tmp_path / "s", workers=1)
    if axis == "grid":
        np.testing.assert_array_equal(now["height"].sel(lift=0.0), before["height"])
        shifted = now["height"].sel(lift=10.0) - now["height"].sel(lift=0.0)
        np.testing.assert_allclose(shifted, 10)  # the same random numbers
    else:
        one = now["height"].sel(lift=0.0, width=1.0)
        np.testing.assert_array_equal(one, before["height"].sel(width=1.0))
        assert (now["height"].sel(lift=10.0, width=2.0) > 10).all()
    assert len(Store(tmp_path / "s").entries()[0]) == len(found) + len(missing) + (
        0 if axis == "grid" else 3
    )
    assert verify(Store(tmp_path / "s")).problems == []


def test_stores_from_before_and_after_are_merged(tmp_path):
    run(Study(system=Hill(), realizations=2), tmp_path / "old", workers=1)
    later = Study(system=TallHill(), grid={"lift": [0.0, 3.0]}, realizations=2)
    run(later, tmp_path / "new", workers=1)
    store = Store(tmp_path / "all")
    for part in ("old", "new"):
        merge(Store(tmp_path / part), store)
    assert store.plan()["grid"] == {"lift": [0.0, 3.0]}
    assert np.isfinite(store.open()["height"]).all()
    assert verify(store).problems == []


def test_another_value_of_a_later_control_is_another_study(tmp_path):
    run(Study(system=Hill()), tmp_path / "s", workers=1)
    with pytest.raises(InputError, match=r"lift is 0\.0 there and 1\.0 here"):
        run(Study(system=TallHill(lift=1.0)), tmp_path / "s", workers=1)


def test_a_store_of_pruning_of_the_first_edition_is_extended_along_a_later_control(tmp_path):
    shutil.copytree(FIRST_EDITION, tmp_path / "s")
    plan = Study(system=PruningNetwork.tiny(), realizations=2, seed=7)
    before = Store(tmp_path / "s").open(plan.plan(), ["accuracy"])
    swept = dataclasses.replace(plan, grid={"weight_decay": [0.0, 5.0]})
    now = run(swept, tmp_path / "s", workers=1)
    np.testing.assert_array_equal(now["accuracy"].sel(weight_decay=0.0), before["accuracy"])
    first, other = (now["accuracy"].sel(weight_decay=value, step=0) for value in (0.0, 5.0))
    np.testing.assert_array_equal(first, other)  # the dense network is the same
    assert (now["accuracy"].sel(weight_decay=5.0) != now["accuracy"].sel(weight_decay=0.0)).any()
    assert verify(Store(tmp_path / "s")).problems == []


def test_later_controls_of_pruning_have_their_old_value_by_default():
    assert LATER
    values = controls(PruningNetwork())
    assert all(values[name] == axes(PruningNetwork)[name].before for name in LATER)
    assert all(axes(PruningNetwork)[name].shared for name in LATER)  # the same random numbers
