"""What a task costs beyond its own work: tasks that do nothing, in small and large stores.

    python -m benchmarks.overhead [--tasks 2000] [--pending 16000] [--repeats 3] [--json]

Every figure is that of a process of its own.  CPU is the sum of user and system time of that
process; of `run`, of the process that hands tasks out, without its workers.  From the cost of a
task, what a process costs with a store of 10 tasks is subtracted (start, imports).  Before a cold
start the file system's cache is dropped, which only root may; a row says whether it was.

A store of `--tasks` finished results is written as a run writes it, by a system that gives 200
bytes.  With `--pending` tasks to do, a run is stopped after 600 results, and the cost of one is
that between the 100th and the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STAND_IN = Path(__file__).parent.parent / "tests" / "stand_in.py"
POINTS = 100  # of the grid; the rest are realizations
FEW = 10  # tasks of a store that tells what a process costs at all
PENDING = (500, 4_000)  # and what is asked for
FIRST, LAST = 100, 600  # results between which pending tasks are timed
OPEN = ("status", "open", "phases", "again")  # all that read a finished store


def study(tasks: int, points: int = POINTS) -> Any:
    """Study of so many tasks that do nothing."""
    from criticality import Study, catalog

    kind = catalog.find(f"{STAND_IN}:Nothing")
    points = min(points, tasks)
    x = [i / points for i in range(points)]
    return Study(system=kind(), grid={"x": x}, realizations=tasks // points)


def spent() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    """Memory of this process at its most, in MB; not that of who started it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


# --- what a process of its own does ---


def command(*words: str) -> dict[str, Any]:
    """Run a command of ours; what it writes is not wanted."""
    from criticality.cli import main

    sys.argv = ["criticality", *words]
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        contextlib.suppress(SystemExit),
    ):
        main()
    return {}


def opened(folder: str) -> dict[str, Any]:
    from criticality import Store

    return {"sizes": dict(Store(folder).open().sizes)}


def again(folder: str, tasks: str) -> dict[str, Any]:
    from criticality import run

    run(study(int(tasks)), folder, observables=())
    return {}


def made(folder: str, tasks: str) -> dict[str, Any]:
    """Finished store, and what writing a result took; provenance is that of a task computed."""
    from criticality import Store, catalog
    from criticality.base import axes, card
    from criticality.study import job, manifest

    plan = study(int(tasks))
    todo, store = plan.tasks(), Store(folder)
    place = catalog.place(type(plan.system))
    about = manifest.card_data(card(plan.system), axes(plan.system), place)
    store.begin(plan.plan(), about)
    ((_, outcome),) = job.compute(todo[:1], None, None)
    # a store of before it had journals has none
    with getattr(store, "recording", contextlib.nullcontext)() as journal:
        more = (journal,) if journal else ()
        store.write(todo[0], outcome.arrays, outcome.provenance, *more)
        start, cpu = time.perf_counter(), spent()
        for number, task in enumerate(todo[1:]):
            arrays = {name: x + (number + 1) * 1e-9 for name, x in outcome.arrays.items()}
            store.write(task, arrays, outcome.provenance, *more)
    writes = len(todo) - 1
    return {"wall": (time.perf_counter() - start) / writes, "cpu": (spent() - cpu) / writes}


def added(folder: str, x: str) -> dict[str, Any]:
    """One more task, as `run` adds it."""
    from criticality import Study, run

    run(Study(system=study(1).system, grid={"x": [float(x)]}), folder, workers=1, observables=())
    return {}


class EnoughError(Exception):
    """So many results are enough."""


def worked(folder: str, tasks: str, workers: str, most: str) -> dict[str, Any]:
    """Run, and stop after some results; times of the first and the last of them."""
    from criticality import run

    times: list[tuple[int, float, float]] = []

    def watch(progress: Any) -> None:
        times.append((progress.done, time.perf_counter(), spent()))
        if progress.done >= int(most):
            raise EnoughError

    with contextlib.suppress(EnoughError):
        run(study(int(tasks)), folder, workers=int(workers), watch=watch, observables=())
    first = next(one for one in times if one[0] >= min(FIRST, int(most) // 5))
    count = times[-1][0] - first[0]
    return {
        "wall": (times[-1][1] - first[1]) / count,
        "cpu": (times[-1][2] - first[2]) / count,
        "before": times[0][2],
    }


CHILDREN = {
    "status": lambda folder, tasks: command("status", folder),
    "phases": lambda folder, tasks: command("phases", folder, "--draws", "20"),
    "open": lambda folder, tasks: opened(folder),
    "again": again,
    "made": made,
    "added": added,
    "worked": worked,
}


def child(what: str, *arguments: object, cold: bool = False) -> dict[str, Any]:
    """Do one of `CHILDREN` in a process of its own: what it says, and what the process took."""
    words = [sys.executable, "-m", "benchmarks.overhead", "--child", what, *map(str, arguments)]
    dropped = cold and drop_caches()
    start = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, cwd=STAND_IN.parent.parent)
    wall = time.perf_counter() - start
    return {"process_wall": wall, "cold": dropped, **json.loads(done.stdout.splitlines()[-1])}


def drop_caches() -> bool:
    """Whether the file system's cache could be dropped."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")
    except OSError:
        return False
    return True


# --- the table ---


def measure(tasks: int, pending: int, repeats: int) -> list[dict[str, Any]]:
    """Give the table."""
    from benchmarks import parts

    rows: list[dict[str, Any]] = []

    def row(what: str, unit: str, values: list[float], **more: Any) -> None:
        rows.append(parts.row(what, unit, values, **more))
        print(parts.line(rows[-1]), file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        few, many = f"{folder}/few", f"{folder}/many"
        child("made", few, FEW)
        written = child("made", many, tasks)
        row("a result written, CPU", "ms", [1e3 * written["cpu"]])
        row("a result written, wall", "ms", [1e3 * written["wall"]])
        size = sum(path.stat().st_size for path in Path(many).rglob("*") if path.is_file())
        row("a result on disk", "bytes", [size / tasks])
        row("files of the store", "files", [sum(1 for path in Path(many).rglob("*"))])
        for what in OPEN:
            base = [child(what, few, FEW) for _ in range(repeats)]
            found = [child(what, many, tasks) for _ in range(repeats)]
            cold = child(what, many, tasks, cold=True)
            least = min(one["process_cpu"] for one in base)
            each = [1e3 * (one["process_cpu"] - least) / tasks for one in found]
            row(f"{what}, CPU a task", "ms", each)
            row(f"{what}, {tasks} tasks, warm, wall", "s", [one["process_wall"] for one in found])
            kind = "cold" if cold["cold"] else "warm (cache not dropped: not root)"
            row(f"{what}, {tasks} tasks, {kind}, wall", "s", [cold["process_wall"]])
            row(f"{what}, {tasks} tasks, peak memory", "MB", [one["peak"] for one in found])
        for where, count in ((few, FEW), (many, tasks)):
            found = [child("added", where, 2 + i) for i in range(repeats)]
            name = f"run of one task more beside {count}"
            row(f"{name}, wall", "s", [one["process_wall"] for one in found])
            row(f"{name}, CPU", "s", [one["process_cpu"] for one in found])
        for workers in (1, 2):
            for count in sorted({*PENDING, pending}):
                store = f"{folder}/{workers}-{count}"
                found = [
                    child("worked", f"{store}-{i}", count, workers, min(count, LAST))
                    for i in range(1 if count > max(PENDING) else repeats)
                ]
                name = f"run, {workers} worker(s), {count} pending"
                row(f"{name}, parent's CPU a result", "ms", [1e3 * one["cpu"] for one in found])
                row(f"{name}", "results/s", [1 / one["wall"] for one in found])
                row(f"{name}, CPU before the first", "s", [one["before"] for one in found])
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what, *arguments = sys.argv[2:]
        found = CHILDREN[what](*arguments)
        print(json.dumps({**found, "process_cpu": spent(), "peak": peak()}))
        return
    from benchmarks import parts

    options = parts.arguments(__doc__, tasks=2_000, pending=16_000, repeats=3)
    parts.report(measure(options.tasks, options.pending, options.repeats), options.json)


if __name__ == "__main__":
    main()
