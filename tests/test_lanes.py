"""Lanes: refilled when a realization finishes, independent of each other, as wide as is best."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality import data
from criticality.base import Card, Observable, Task, canonical, control
from criticality.engine import ensemble, lanes
from criticality.systems import DropoutNetwork


@dataclass(frozen=True, kw_only=True)
class Countdown:
    """Advances exactly `units` times, and says how often that was; nothing at all for 0."""

    card: ClassVar[Card] = Card(
        name="countdown",
        source="a system whose result is known beforehand",
        observables=(Observable(name="advanced"), Observable(name="drawn")),
    )

    units: int = control(3, symbol="u", doc="units of work", interval="[0, inf)")

    def begin(self, key, data):
        return jnp.int32(0), jax.random.bits(key)

    def advance(self, state, data):
        return state[0] + 1, state[1]

    def finished(self, state):
        return state[0] >= self.units

    def observe(self, state, data):
        return {"advanced": state[0], "drawn": state[1]}


def countdowns(units):
    return [
        Task(system=canonical(Countdown(), units=u), seed=0, realization=r, checksum="none")
        for r, u in enumerate(units)
    ]


@pytest.fixture
def rounds(monkeypatch):
    """Number of calls that advance all lanes."""
    calls = []
    real = lanes.Ensemble.advance
    monkeypatch.setattr(lanes.Ensemble, "advance", lambda *args: (calls.append(1), real(*args))[1])
    return calls


@pytest.mark.parametrize("width", [2, 3, 8])
@pytest.mark.parametrize(
    "units", [[3, 1, 4, 1, 5, 9, 2, 6], [2] * 8, [0, 0, 3, 0, 0, 1, 0, 0], [0] * 5, [7]]
)
def test_each_realization_is_advanced_as_often_as_it_needs(units, width):
    tasks = countdowns(units)
    together = ensemble.realize(tasks, {}, width=width)
    alone = ensemble.realize(tasks, {})
    assert [int(result["advanced"]) for result in together] == units
    assert [int(a["drawn"]) for a in together] == [int(b["drawn"]) for b in alone]
    assert len({int(result["drawn"]) for result in together}) == len(units)


def test_a_lane_that_finishes_is_given_the_next_realization(rounds, caplog):
    # without refilling, pairs would take 8 + 1 + 1 + 1 + 1 rounds
    caplog.set_level(logging.INFO, logger="criticality")
    ensemble.realize(countdowns([8, 1, 1, 1, 1, 1, 1, 1, 1]), {}, width=2)
    assert len(rounds) == 8
    assert "2 lanes, busy 100 % of the time" in caplog.text


def test_results_come_as_they_are_measured_not_at_the_end(rounds):
    stream = ensemble.stream(countdowns([9, 1, 1, 1]), {}, width=2)
    numbers = [next(stream)[0] for _ in range(2)]
    assert numbers == [1, 2]
    assert len(rounds) < 9


def test_a_finished_realization_is_measured_in_time(monkeypatch):
    monkeypatch.setattr(lanes, "PATIENCE_S", 0.0)
    stream = ensemble.stream(countdowns([1, 9, 9, 9]), {}, width=4)
    assert next(stream)[0] == 0
    stream.close()


MIXED = [
    canonical(DropoutNetwork.tiny(), p_train=p, n_train=n, max_epochs=e)
    for p, n, e in [
        (0.1, 200, 5),
        (0.5, 90, 1),
        (0.0, 33, 3),
        (0.9, 150, 2),
        (0.2, 200, 1),
        (0.0, 1, 4),
        (0.3, 64, 2),
    ]
]


def test_mixed_rates_sizes_and_seeds_give_what_each_gives_alone_bit_for_bit():
    arrays = data.load("synthetic").arrays()
    tasks = [
        Task(system=system, seed=i, realization=i, checksum="synthetic")
        for i, system in enumerate(MIXED)
    ]
    together = ensemble.realize(tasks, arrays, width=3)
    for task, mixed in zip(tasks, together, strict=True):
        (alone,) = ensemble.realize([task], arrays, width=3)
        for name, value in alone.items():
            np.testing.assert_array_equal(mixed[name], value, err_msg=name)
        assert mixed["epochs"] == task.system.max_epochs


def test_the_best_width_is_bounded_by_memory_and_by_the_number_of_realizations(monkeypatch):
    monkeypatch.setattr(lanes, "FIRST_WIDTH", 2)
    monkeypatch.setattr(lanes, "WORTHWHILE", 0.0)  # always worth it
    tasks = countdowns([3] * 24)
    assert ensemble.best_width(tasks, {}) == 16
    assert ensemble.best_width(tasks[:1], {}) == 1
    form, realizations, arrays = ensemble._prepared(tasks, {})
    two = lanes.Ensemble(form, 2, arrays)
    need = two.bytes_a_lane(two.begin(realizations[:2]))
    assert 4 * 4 * 3 <= need < 1000  # four times three words, and not much more
    monkeypatch.setattr(lanes, "device_bytes", lambda: 9 * need / lanes.MEMORY_SHARE)
    assert ensemble.best_width(tasks, {}) == 8
    monkeypatch.setattr(lanes, "device_bytes", lambda: 0.5 * need)
    assert ensemble.best_width(tasks, {}) == 2  # what was tried; there is nothing smaller to try


@pytest.mark.parametrize(("seconds", "best"), [([1, 1, 1.9], 4), ([1, 3], 2), ([1, 1, 1, 1], 16)])
def test_the_best_width_is_that_of_the_highest_measured_throughput(monkeypatch, seconds, best):
    # for 2, 4, 8, 16 lanes: a second for all widths, say, means that wider is better
    class Clock:
        readings = iter([reading for s in seconds for reading in (0.0, float(s))])

        def perf_counter(self):
            return next(self.readings)

    monkeypatch.setattr(lanes, "FIRST_WIDTH", 2)
    monkeypatch.setattr(lanes, "time", Clock())
    assert ensemble.best_width(countdowns([3] * 24), {}) == best


CACHED = """
import numpy as np
from criticality import data
from criticality.base import Task
from criticality.engine import ensemble
from criticality.systems import DropoutNetwork
task = Task(system=DropoutNetwork.tiny(), seed=0, realization=0, checksum="synthetic")
(result,) = ensemble.realize([task], data.load("synthetic").arrays())
print(*(value.tobytes().hex() for _, value in sorted(result.items())))
"""


@pytest.mark.slow  # six processes, one after another
def test_compiled_programs_are_kept_and_give_the_same_bits(tmp_path):
    told = ("JAX_COMPILATION_CACHE_DIR", "TF_CPP_MIN_LOG_LEVEL")  # the latter by jax, on import
    environment = {k: v for k, v in os.environ.items() if k not in told}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def printed(**more):
        command = [sys.executable, "-c", CACHED]
        out = subprocess.run(
            command, env=environment | more, capture_output=True, text=True, check=True
        )
        assert "AOT" not in out.stderr
        return out.stdout

    first = printed()
    kept = list((tmp_path / "criticality" / "programs").rglob("*-cache"))
    assert kept
    stamps = [path.stat().st_mtime_ns for path in kept]
    assert printed() == first
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    for path in kept:  # as a process leaves them that is killed while it writes
        path.write_bytes(path.read_bytes()[:100])
    assert printed() == first  # clears the folder
    assert not any(path.exists() and path.stat().st_size == 100 for path in kept)
    # a cache that cannot be written is no reason to stop
    (tmp_path / "file").touch()
    assert printed(XDG_CACHE_HOME=str(tmp_path / "file")) == first
    elsewhere = tmp_path / "elsewhere"
    assert printed(JAX_COMPILATION_CACHE_DIR=str(elsewhere)) == first
    assert list(elsewhere.iterdir())


def test_a_template_is_a_frozen_system_without_its_traced_controls():
    form, _, _ = ensemble._prepared(countdowns([3, 5]), {})
    assert dataclasses.asdict(form) == {"units": 3}
    with pytest.raises(ValueError, match="traced"):
        ensemble.realize(
            [
                Task(
                    system=canonical(DropoutNetwork.tiny(), width=w),
                    seed=0,
                    realization=0,
                    checksum="s",
                )
                for w in (5, 6)
            ],
            {},
        )
