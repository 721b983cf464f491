"""Serial, threads, processes and a Dask cluster over TCP give the same bits."""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing

import numpy as np
import pytest
import xarray as xr

from criticality import InputError, RunError, Store, run
from criticality.engine import lanes


class Serial(cf.Executor):
    """Runs each call at once, in this thread."""

    def submit(self, fn, /, *args, **kwargs):
        future: cf.Future = cf.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Failing(Serial):
    """Fails the second call, as a machine that runs out of memory might."""

    calls = 0

    def submit(self, fn, /, *args, **kwargs):
        self.calls += 1
        if self.calls == 2:
            future: cf.Future = cf.Future()
            future.set_exception(MemoryError("no room"))
            return future
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def serial(tiny_study, tmp_path):
    return run(tiny_study, tmp_path / "serial", executor=Serial())


@pytest.mark.parametrize("workers", [1, 2])
def test_one_thread_and_two_processes(tiny_study, tmp_path, serial, workers):
    xr.testing.assert_identical(run(tiny_study, tmp_path / "s", workers=workers), serial)


def test_processes(tiny_study, tmp_path, serial):
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(2, mp_context=context) as pool:
        xr.testing.assert_identical(run(tiny_study, tmp_path / "s", executor=pool), serial)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_dask_cluster_over_tcp(tiny_study, tmp_path, serial):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert cluster.scheduler_address.startswith("tcp://")
        ds = run(tiny_study, tmp_path / "s", executor=client.get_executor())
    xr.testing.assert_identical(ds, serial)


def test_a_vectorised_batch_agrees_to_rounding(tiny_study, tmp_path, serial):
    # 8 tasks: two full batches and a padded one; few epochs, so that rounding stays rounding
    ds = run(tiny_study, tmp_path / "s", width=3, vectorize=True)
    xr.testing.assert_allclose(ds, serial, rtol=1e-5)


@pytest.mark.parametrize("width", [2, 3, 8])
def test_batches_are_the_same_bit_for_bit(tiny_study, tmp_path, serial, width):
    xr.testing.assert_identical(run(tiny_study, tmp_path / "s", width=width), serial)


def test_a_failed_task_is_named_and_the_others_are_kept(tiny_study, tmp_path, serial):
    seen = []
    with pytest.raises(RunError, match=r"1 of 8 tasks failed[\s\S]*MemoryError\('no room'\)"):
        run(tiny_study, tmp_path / "s", executor=Failing(), watch=seen.append)
    assert (seen[-1].done, seen[-1].failed) == (7, 1)
    assert len(Store(tmp_path / "s").entries()[0]) == 7
    xr.testing.assert_identical(run(tiny_study, tmp_path / "s"), serial)


def test_a_failure_in_a_lane_is_told_once_and_what_was_measured_is_kept(
    tiny_study, tmp_path, monkeypatch
):
    real, calls = lanes.Ensemble.advance, []

    def failing(self, state):
        calls.append(1)
        if len(calls) == 6:  # the first batch of lanes has been measured
            raise MemoryError("no room")
        return real(self, state)

    monkeypatch.setattr(lanes.Ensemble, "advance", failing)
    seen = []
    with pytest.raises(RunError, match=r"6 of 8 tasks failed[\s\S]*MemoryError"):
        run(tiny_study, tmp_path / "s", width=2, vectorize=True, watch=seen.append)
    assert (seen[-1].done, seen[-1].failed) == (2, 6)
    monkeypatch.undo()
    assert run(tiny_study, tmp_path / "s").loss.notnull().all()


def test_progress_counts_tasks_and_work(tiny_study, tmp_path):
    seen = []
    run(tiny_study, tmp_path / "s", watch=seen.append)
    assert [p.done for p in seen] == list(range(9))
    assert seen[-1].work_done == pytest.approx(seen[-1].work_total)
    assert np.all(np.diff([p.work_done for p in seen]) > 0)


@pytest.mark.parametrize("option", ["workers", "width"])
def test_no_workers_are_refused(tiny_study, tmp_path, option):
    for number in (0, 10**8):  # these many lanes would take all memory
        with pytest.raises(InputError, match=option):
            run(tiny_study, tmp_path / "s", **{option: number})
    assert not (tmp_path / "s").exists()
