"""Serial, threads and processes give the same bits (clusters: `test_clusters`)."""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
import xarray as xr

from criticality import InputError, RunError, Store, Study, control, run, system
from criticality.engine import lanes
from criticality.study import flight, workers


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


class Lazy(cf.Executor):
    """Makes calls only when it is asked to, and counts how many wait at once."""

    def __init__(self, workers=None):
        self.waiting, self.most = [], 0
        if workers:
            self._max_workers = workers

    def submit(self, fn, /, *args, **kwargs):
        future: cf.Future = cf.Future()
        self.waiting.append((future, fn, args, kwargs))
        self.most = max(self.most, len(self.waiting))
        return future

    def work(self, calls=None):
        """Make so many calls, or go on for ever."""
        while calls is None or calls:
            while not self.waiting:
                time.sleep(0.001)
            future, fn, args, kwargs = self.waiting.pop(0)
            if future.set_running_or_notify_cancel():
                future.set_result(fn(*args, **kwargs))
            if calls:
                calls -= 1


@system(observables={"m": "standard normal"})
class Drawn:
    x: int = control(0)

    def compute(self, rng, data):
        return {"m": rng.normal()}


@pytest.mark.parametrize(("workers", "most"), [(3, 6), (None, 2 * flight.MANY)])
def test_as_many_calls_wait_as_keep_the_workers_busy(workers, most, tmp_path):
    study = Study(system=Drawn(), grid={"x": range(3_000)})
    lazy = Lazy(workers)
    threading.Thread(target=lazy.work, daemon=True).start()
    assert run(study, tmp_path / "s", executor=lazy, width=1)["m"].notnull().all()
    assert 1 < lazy.most <= most


@pytest.mark.parametrize("tasks", [500, 2_000])
def test_many_small_tasks_go_as_few_calls(tasks, tmp_path):
    calls = []

    class Counted(Serial):
        _max_workers = 2

        def submit(self, fn, /, *args, **kwargs):
            calls.append(len(args[0]))
            return super().submit(fn, *args, **kwargs)

    study = Study(system=Drawn(), grid={"x": range(tasks)})
    ds = run(study, tmp_path / "s", executor=Counted())
    assert ds["m"].notnull().all()
    assert sum(calls) == tasks
    assert calls[0] == 1  # of which nothing is known
    assert len(calls) < 60


def ended_while(executor: cf.Executor, end, tmp_path, study) -> float:
    """Seconds till a run has failed whose executor was ended in its midst; it goes on elsewhere."""
    started = time.monotonic()
    seen = []

    def watch(progress):
        seen.append(progress)
        if progress.done == 5:
            end()

    with pytest.raises(RunError, match="the executor is lost"):
        run(study, tmp_path / "s", executor=executor, watch=watch)
    took = time.monotonic() - started
    done = len(Store(tmp_path / "s").entries()[0])
    assert 5 <= done < 400
    assert run(study, tmp_path / "s", workers=1)["m"].notnull().all()
    return took


@pytest.mark.parametrize("cancel", [True, False])
def test_an_executor_that_is_shut_down_meanwhile_is_an_error_and_no_hang(cancel, tmp_path):
    study = Study(system=Drawn(), grid={"x": range(400)})
    lazy = Lazy(2)
    threading.Thread(target=lazy.work, args=(5,), daemon=True).start()

    def end():
        if cancel:
            for future, *_ in lazy.waiting:
                future.cancel()
        else:

            def refuse(*_):
                raise RuntimeError("cannot schedule new futures after shutdown")

            lazy.submit = refuse

    assert ended_while(lazy, end, tmp_path, study) < 5


def test_a_pool_of_the_standard_library_may_be_shut_down_with_all_that_waits(tmp_path):
    study = Study(system=Slow(), grid={"x": range(400)})
    pool = cf.ThreadPoolExecutor(2)
    took = ended_while(
        pool, lambda: pool.shutdown(wait=False, cancel_futures=True), tmp_path, study
    )
    assert took < 10


@system(observables={"m": "standard normal"})
class Slow:
    x: int = control(0)

    def compute(self, rng, data):
        time.sleep(0.005)
        return {"m": rng.normal()}


def test_a_pool_of_the_standard_library_of_which_a_worker_is_killed_is_an_error(tmp_path):
    study = Study(system=Slow(), grid={"x": range(400)})
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(2, mp_context=context) as pool:

        def end():
            os.kill(next(iter(pool._processes)), signal.SIGKILL)

        assert ended_while(pool, end, tmp_path, study) < 60


def test_a_worker_that_cannot_be_begun_is_told_and_nobody_waits_for_it(monkeypatch):
    def full(self):
        raise OSError("no room for a process")

    pool = workers.Processes(1, savable=False)
    try:
        dies, waits = pool.submit(os._exit, 9), pool.submit(abs, -1)
        monkeypatch.setattr(workers.Processes, "_new", full)
        assert isinstance(dies.exception(30), workers.DiedError)
        with pytest.raises(cf.BrokenExecutor, match="no room for a process"):
            waits.result(30)
    finally:
        pool.shutdown()
