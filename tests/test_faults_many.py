"""Two hundred kills and more: every store ends complete, nothing lost, twice, or corrupt.

CRITICALITY_KILLS=N is another number of kills in all, CRITICALITY_KILLS_SEED another seed.  What
was done is written at the end (`pytest -s`).
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest
import xarray as xr

from criticality import Store
from tests import faults
from tests.faults import INT, KILL, TERM, USR1, Case, Disturbed, Tally, text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc"),
]
KILLS = int(os.environ.get("CRITICALITY_KILLS", "220"))
SEED = int(os.environ.get("CRITICALITY_KILLS_SEED", "0"))
ONE, TWO = (("--workers", "1"),), (("--workers", "2"),)
SHARDS = tuple(("--shard", f"{i}/4", "--workers", "1") for i in range(1, 5))
BOTH = ("parent", "worker", "worker")
LONG = {"units": 15_000}

# share of the kills of each: short tasks and long ones, small results and large ones, one process,
# two workers, lanes, four shards, two runs that share a store
CASES = [
    Case(name="short", system="Nothing", study=text("nothing", 80, seconds=0.004), words=ONE),
    Case(name="torn", system="Nothing", study=text("nothing", 40), words=ONE, torn=0.02),
    Case(
        name="workers",
        system="Nothing",
        study=text("nothing", 60, seconds=0.01),
        words=TWO,
        targets=BOTH,
    ),
    Case(name="large", system="Large", study=text("large", 4), words=ONE, torn=0.05),
    Case(name="large in workers", system="Large", study=text("large", 4), words=TWO, targets=BOTH),
    Case(
        name="long",
        system="Walk",
        study=text("long-walk", 2, **LONG),
        words=ONE,
        saved=0.05,
        torn=0.05,
    ),
    Case(
        name="long in workers",
        system="Walk",
        study=text("long-walk", 2, **LONG),
        words=TWO,
        targets=BOTH,
        saved=0.05,
        torn=0.05,
    ),
    Case(
        name="lanes",
        system="Walk",
        study=text("long-walk", 2, units=5_000),
        words=(("--vectorize", "--width", "4"),),
        saved=0.05,
    ),
    Case(
        name="shards",
        system="Nothing",
        study=text("nothing", 60, seconds=0.01),
        words=SHARDS,
    ),
    Case(
        name="shared",
        system="Nothing",
        study=text("nothing", 60, seconds=0.01),
        words=ONE * 2,
    ),
]
TALLY = Tally()


@pytest.fixture(scope="module", autouse=True)
def _told():
    begun = time.monotonic()
    yield
    print(f"\n{TALLY}\nin {time.monotonic() - begun:.0f} s, seed {SEED}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_killed_at_random_moments_a_run_ends_as_if_it_was_not(case, tmp_path):
    Disturbed(case, tmp_path, SEED).run(KILLS // (len(CASES) + 1), 4, TALLY)


@pytest.mark.parametrize("system", ["Nothing", "Walk"])
def test_workers_of_a_cluster_are_killed_at_random_moments(system, tmp_path):
    study = (
        text("nothing", 60, seconds=0.02) if system == "Nothing" else text("long-walk", 3, **LONG)
    )
    case = Case(name=f"dask {system}", system=system, study=study, targets=("worker",), words=ONE)
    disturbed = Disturbed(case, tmp_path, SEED)
    with faults.cluster(tmp_path / "cluster") as cluster:
        disturbed.case = dataclasses.replace(
            case, words=(("--executor", f"dask://{cluster.address}"),)
        )
        disturbed.run(KILLS // (2 * len(CASES) + 2), 4, TALLY, cluster.workers)


def test_a_scheduler_that_is_lost_is_an_error_and_the_run_goes_on_with_another(tmp_path):
    case = Case(name="lost", system="Nothing", study=text("nothing", 60, seconds=0.05), words=ONE)
    whole = faults.start(case, tmp_path, tmp_path / "whole", 0)
    assert whole.end() == 0, whole.said()
    store = tmp_path / "s"
    with faults.cluster(tmp_path / "one") as cluster:
        lost = dataclasses.replace(case, words=(("--executor", f"dask://{cluster.address}"),))
        process = faults.start(lost, tmp_path, store, 0)
        while faults.written(store) < 2_000:
            assert not process.ended(), process.said()
            time.sleep(0.01)
        cluster.scheduler.kill()
        assert process.end() == 1, process.said()
        assert "Traceback" not in process.said(), process.said()
        assert "scheduler" in process.said() or "cluster" in process.said(), process.said()
    assert 0 < len(faults.lines_of(store)) < 240
    with faults.cluster(tmp_path / "two") as cluster:
        again = dataclasses.replace(case, words=(("--executor", f"dask://{cluster.address}"),))
        process = faults.start(again, tmp_path, store, 0)
        assert process.end() == 0, process.said()
    xr.testing.assert_identical(Store(store).open(), Store(tmp_path / "whole").open())


def test_a_worker_that_is_frozen_or_starved_changes_nothing(tmp_path):
    """What a machine that swaps looks like: everything stops for a while, and goes on."""
    case = Case(
        name="frozen",
        system="Nothing",
        study=text("nothing", 60, seconds=0.01),
        words=TWO,
        targets=("worker",),
        signals=(KILL, TERM, USR1, INT),
    )
    disturbed = Disturbed(case, tmp_path, SEED)
    process = faults.start(case, tmp_path, tmp_path / "s", 0)
    rng = disturbed.rng
    while not process.ended():
        for pid in rng.sample(there := faults.workers_of(process.pid), min(1, len(there))):
            faults.frozen(pid, rng.random() * 0.3)
        time.sleep(0.1)
    assert process.end() == 0, process.said()
    faults.assert_whole(case, tmp_path / "s", disturbed.whole, Tally())
