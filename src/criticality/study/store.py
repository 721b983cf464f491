"""A directory of write-once results that opens as one labelled data set.

    DIR/study.json, card.json  the plan of the study, and the card of its system
    DIR/asked/                 extensions of the plan, a file each
    DIR/results/<run>.jsonl    what each run has written [`study.journal`]
    DIR/results/<key>.nc       results of many numbers, one netCDF file a task, sealed by its sha256
    DIR/checkpoints/           states of what is being computed, by the engine

What is there is never changed, and nothing is locked: a file appears whole or not at all, and a
journal has one writer.  What is done is judged from the files.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from criticality import files
from criticality.base import (
    Axis,
    Card,
    InputError,
    Observable,
    RunError,
    Task,
    axes,
    card,
    controls,
    html,
    inner,
)
from criticality.study import journal, manifest, netcdf, reader, selection, shown
from criticality.study.journal import (
    Arrays,
    Claim,
    DamagedError,
    Failure,
    Head,
    Journal,
    Result,
)
from criticality.study.reader import Reader

if TYPE_CHECKING:
    import xarray as xr

log = logging.getLogger("criticality")
REASONS = 3  # of failures, that are shown
STALE_S = 600  # after which a temporary file is what a killed process has left
TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # of the disk, which nobody has asked for
INLINE = 65_536  # bytes of numbers above which a result has a file of its own


@dataclass(frozen=True)
class Entry:
    """A result of the plan: its coordinates in the grid, and its attributes."""

    point: dict[str, Any]
    attributes: dict[str, Any]


class Store:
    """Results of one study in the directory `path`.

    What was read of it is remembered; `refresh` reads what has come since.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._results: dict[str, Result] = {}
        self._readers: dict[str, Reader] = {}
        self._seen: dict[str, tuple[int, int]] = {}  # files with one result: time and size
        self._damaged: dict[str, Path] = {}
        self._lock = threading.RLock()  # runs of several threads may be given one store

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def __len__(self) -> int:
        """Count the results that were read, of whatever study they are."""
        return len(self._results)

    def _repr_html_(self) -> str:
        """Show it in a notebook; of a large store results are counted, not read."""
        try:
            told, total = self.plan(), self.total()
        except InputError as error:
            return html.panel(self, html.facts({"no store": error}))
        about = manifest.read_card(self.path)
        more: dict[str, object] = {}
        if shown.small(self.path):
            self.refresh()
            done, failures = sum(1 for _ in self.of(told)), self.failures().values()
            more["done"] = f"{done:,} of {total:,} tasks"
            reasons = Counter(failure.reason for failure in failures).most_common(REASONS)
            more["failed"] = "; ".join(f"{times} times: {reason}" for reason, times in reasons)
            more["damaged"] = ", ".join(path.name for path in self.damaged())
        else:
            more["done"] = f"{shown.counted(self.path)}, of {total:,} tasks"
        source, declared = (about[0].source, about[1]) if about else ("", {})
        return shown.plan(f"Store {self.path}", told, source, declared, more)

    # --- the plan ---

    def plan(self) -> manifest.Plan:
        """Give the plan of the study in this store.

        Raises
        ------
        InputError
            If this is no store.
        """
        return manifest.read(self.path)

    def card(self) -> tuple[Card, dict[str, Axis]]:
        """Give what the system told about itself, and its controls, without the system.

        A store of the first edition has no card: what its results say of observables and controls
        is all then.

        Raises
        ------
        InputError
            If this is no store.
        """
        found = manifest.read_card(self.path)
        if found is not None:
            return found[:2]
        plan = self.plan()
        self.refresh()
        head = next((result.head for _, result in self.of(plan)), None)
        if head is None:
            raise InputError(f"{self.path}: no result yet, and no card of {plan['system']}.")
        observables = tuple(
            Observable(name=name, dims=tuple(dims), unit=unit, doc=doc)
            for name, (dims, unit, doc) in head.observables.items()
        )
        axes = {
            name: Axis(name=name, symbol=symbol, unit=unit, doc=doc)
            for name, (symbol, unit, doc) in head.axes.items()
        }
        told = {"name": plan["system"], "version": plan["version"]}
        return Card(observables=observables, source=str(head.attributes["source"]), **told), axes

    def own(self) -> bool:
        """Whether the system is not an installed one, but one's own."""
        found = manifest.read_card(self.path)
        return found is not None and bool(found[2])

    def admit(self, plan: Mapping[str, Any]) -> manifest.Plan:
        """Give the plan that this store will have with `plan` in it; write nothing.

        Raises
        ------
        InputError
            If the store belongs to another study, or the directory holds something else.
        """
        return manifest.admitted(self.path, plan)

    def total(self) -> int:
        """Count the tasks that this store was ever asked for; extensions may overlap."""
        return manifest.asked(self.plan())

    def begin(self, plan: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        """Create the store, or extend its plan; `about` is its `manifest.card_data`.

        Raises
        ------
        InputError
            As `admit`, or if the directory cannot be written.
        RunError
            If its disk is full or broken.
        """
        self.admit(plan)  # what is refused leaves nothing
        try:
            (self.path / "results").mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # another run begins at this moment
                if not (self.path / "study.json").exists():
                    manifest.write(self.path, "study.json", self.admit(plan), exclusive=True)
            if self.admit(plan) != self.plan():
                manifest.ask(self.path, plan)
            if about is not None:
                manifest.write(self.path, "card.json", about)
        except OSError as error:
            kind = RunError if error.errno in TROUBLE else InputError
            raise kind(f"{self.path}: cannot be written ({error}).") from error

    # --- results ---

    def file(self, key: str) -> Path:
        """Where the result of a task is, or will be."""
        return self.path / "results" / f"{key[:32]}.nc"

    def refresh(self) -> None:
        """Read what others, and this process, have written since."""
        try:
            there = sorted(os.scandir(self.path / "results"), key=lambda item: item.name)
        except OSError:
            return  # a plan without results
        with self._lock, no_collection():
            for item in there:
                with contextlib.suppress(FileNotFoundError):
                    if item.name.endswith(journal.SUFFIX):
                        self._tail(item)
                    elif item.name.endswith(netcdf.SUFFIX):
                        self._take(item)

    def _tail(self, item: os.DirEntry[str]) -> None:
        """Read on in a journal."""
        path = Path(item.path)
        tail = self._readers.setdefault(item.name, Reader(path))
        if tail.ended:
            return  # nothing follows
        try:
            for result in tail.more():
                old = self._results.get(result.key)
                # what was computed again since it was not finite
                if old is None or (old.own.get("not_finite") and not result.own.get("not_finite")):
                    self._results[result.key] = result
        except FileNotFoundError:
            raise
        except OSError:
            self._damaged[item.name] = path
            return
        if tail.damaged:
            self._damaged[item.name] = path

    def _take(self, item: os.DirEntry[str]) -> None:
        """Read a file of one result, if it is not as it was."""
        about, path = item.stat(), Path(item.path)
        stamp = about.st_mtime_ns, about.st_size
        if self._seen.get(item.name) == stamp:
            return
        self._seen[item.name] = stamp
        self._damaged.pop(item.name, None)
        try:
            result = netcdf.read(path)
            self._results[result.key] = result
        except DamagedError:
            self._damaged[item.name] = path
            stem = item.name.removesuffix(netcdf.SUFFIX)
            for key in [key for key in self._results if key.startswith(stem)]:
                del self._results[key]

    def knows(self, key: str) -> bool:
        """Whether a result of a task was read."""
        return key in self._results

    def every(self) -> Iterator[Result]:
        """Read all results again, also several of one task, and those of other studies."""
        for path in sorted((self.path / "results").glob("*")):
            with contextlib.suppress(OSError):  # damaged, which `refresh` has found
                if path.suffix == journal.SUFFIX:
                    yield from Reader(path).more()
                elif path.suffix == netcdf.SUFFIX:
                    yield netcdf.read(path)

    def has(self, key: str) -> bool:
        """Whether a task is done.

        Raises
        ------
        DamagedError
            If its file is there but cannot be read.
        """
        done, _, damaged = self.survey([key])
        if damaged:
            raise DamagedError(f"{self.file(key)}: cannot be read, or is not of task {key}")
        return bool(done)

    def survey(self, keys: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
        """Sort task keys into done, missing and damaged."""
        self.refresh()
        found: tuple[list[str], list[str], list[str]] = [], [], []
        files_of_one = bool(self._seen)
        for key in keys:
            if key in self._results:
                found[0].append(key)
            else:
                found[2 if files_of_one and self.file(key).name in self._seen else 1].append(key)
        return found

    @contextmanager
    def recording(self) -> Iterator[Journal]:
        """Give a journal for what one run writes."""
        run = Journal(self.path / "results")
        try:
            yield run
        finally:
            with contextlib.suppress(OSError):  # it ends when it is not heard of, too
                run.close()

    def write(
        self,
        task: Task,
        arrays: Arrays,
        provenance: Mapping[str, Any],
        run: Journal | None = None,
    ) -> list[str]:
        """Write the result of one task, whole or not at all.

        Parameters
        ----------
        run
            Of `recording`; without one, the result has a journal to itself.

        Returns
        -------
        list of str
            Observables that are not finite, and should be.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        if run is None:
            with self.recording() as run:
                return self.write(task, arrays, provenance, run)
        system = task.system
        told, observables = card(system), card(system).observables
        about = {
            "system": told.name,
            "source": told.source,
            "version": told.version,
            "seed": task.seed,
            "data": task.checksum,
            **provenance,
        }
        own = {name: about.pop(name) for name in journal.OWN if name in about}
        declared = axes(system)
        head = Head(
            attributes=about,
            controls=json.loads(json.dumps(controls(system))),
            axes={a.name: [a.symbol, a.unit, a.doc] for a in declared.values()},
            observables={o.name: [list(o.dims), o.unit, o.doc] for o in observables},
            inner={name: np.asarray(values) for name, values in inner(system).items()},
            numbers={o.name: (arrays[o.name].dtype, arrays[o.name].shape) for o in observables},
        )
        wrong = _not_finite(observables, arrays)
        own["not_finite"] = " ".join(wrong)
        self.put(head, Result(task.key, task.realization, {}, own, head, self.path), arrays, run)
        self.forget(task.key)
        return wrong

    def put(self, head: Head, result: Result, arrays: Arrays, run: Journal) -> None:
        """Write a result that has been put into its form."""
        size = sum(x.nbytes for x in (*arrays.values(), *head.inner.values()))
        target = run.path
        try:
            if size <= INLINE:
                run.result(head, result, arrays)
                return
            target = self.file(result.key)
            content = netcdf.content(head, result, arrays)
            with files.replacing(target) as temporary:
                temporary.write_bytes(content + files.seal([content]))
        except Exception as error:  # a full disk comes as one of many exception types
            rest = (
                "the rest is kept" if self.path.is_dir() else f"{self.path} is not there any more"
            )
            raise RunError(f"{target}: cannot be written ({error}); {rest}.") from error

    # --- runs ---

    def claims(self, but: Journal | None = None) -> dict[str, Claim]:
        """Tasks that runs compute at this moment, as far as one can see from here.

        Parameters
        ----------
        but
            The journal of one's own run.
        """
        now = time.time()
        if but is not None and but.path.exists():
            but.beat()
            now = but.path.stat().st_mtime  # by the clock of the file system
        found: dict[str, Claim] = {}
        for name, one in sorted(self._readers.items()):
            if but is not None and name == but.path.name:
                continue
            with self._lock:
                open_ones = {k: at for k, at in one.claims.items() if k not in self._results}
            if open_ones and one.live(now):
                for key, at in open_ones.items():
                    if key not in found or at < found[key].since:
                        found[key] = Claim(run=name, where=one.where, since=at)
        return found

    def rate(self) -> float:
        """Results a second of all runs that live, each since it began."""
        now = time.time()
        return sum(
            one.results / max(now - one.began, 1.0)
            for one in [*self._readers.values()]
            if one.results and one.live(now)
        )

    def failures(self) -> dict[str, Failure]:
        """Tasks that have failed and gave no result since, each with its last failure."""
        found: dict[str, Failure] = {}
        for one in [*self._readers.values()]:
            for key, failure in [*one.failures.items()]:
                if key not in self._results and (
                    key not in found or failure.when > found[key].when
                ):
                    found[key] = failure
        return found

    @property
    def checkpoints(self) -> Path:
        """Folder in which the engine keeps states of what it computes."""
        return self.path / "checkpoints"

    def forget(self, key: str) -> None:
        """Remove the checkpoint of a task."""
        with contextlib.suppress(OSError):  # it is in nobody's way
            files.checkpoint(self.checkpoints, key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed processes have left: half files, checkpoints of what is done."""
        done = {key[:32] for key in self._results}
        for folder in (self.path, self.path / "results", self.path / "asked", self.checkpoints):
            with contextlib.suppress(OSError):
                for item in os.scandir(folder):
                    path = Path(item)
                    old = path.suffix == ".tmp" and time.time() - item.stat().st_mtime > STALE_S
                    if old or (path.suffix == files.CHECKPOINT and path.stem in done):
                        path.unlink()  # another run may be writing the others

    def begun(self) -> int:
        """Count the tasks that have a checkpoint and no result (yet)."""
        saved = {path.stem for path in self.checkpoints.glob(f"*{files.CHECKPOINT}")}
        return len(saved - {key[:32] for key in self._results}) if saved else 0

    def wrong(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Observables that are not finite, and should be, of the results that have some."""
        every = ((key, self._results[key].own.get("not_finite", "")) for key in keys)
        return {key: names.split() for key, names in every if names}

    def other_sources(self, keys: Collection[str], sha256: str) -> int:
        """Count the results among `keys` that a source of another digest gave."""
        found = (self._results[key].head for key in keys if key in self._results)
        return sum(
            head.attributes.get("source_sha256", sha256) not in ("", sha256) for head in found
        )

    def damaged(self) -> list[Path]:
        """Files that cannot be read, or of which a part cannot."""
        return sorted(self._damaged.values())

    def entries(self) -> tuple[list[Entry], list[Path]]:
        """Whole results of the plan, without arrays, and the paths of files that are damaged."""
        plan = self.plan()
        self.refresh()
        names = [*plan["grid"], "realization"]
        found = [
            Entry(dict(zip(names, place, strict=True)), result.attributes)
            for place, result in self.of(plan)
        ]
        return found, self.damaged()

    def of(self, plan: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], Result]]:
        """Results that belong to a plan: values of the axes of its grid and realization, result.

        Where data have changed under their name, only what the new ones gave belongs to it.
        """
        return selection.current(self.fitting(plan), str(self.path))

    def fitting(self, plan: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], Result]]:
        """Results whose controls are of a plan, whatever the data that they are of."""
        return selection.fitting(self._results, plan)

    def numbers(
        self, results: Iterable[tuple[Any, Result]], names: Callable[[Result], Collection[str]]
    ) -> Iterator[tuple[Any, Result, dict[str, np.ndarray[Any, Any]]]]:
        """Arrays of results, and their inner coordinates, in the order of the files."""
        with contextlib.ExitStack() as stack:
            open_one, file = Path(), None
            for place, result in sorted(results, key=lambda x: (x[1].path, x[1].offset)):
                try:
                    wanted = names(result)
                    if result.path.suffix == netcdf.SUFFIX:
                        yield place, result, netcdf.numbers(result, wanted)
                        continue
                    if result.path != open_one:
                        stack.close()
                        file, open_one = stack.enter_context(result.path.open("rb")), result.path
                    found = reader.numbers(result, file, wanted)
                except OSError:
                    self._damaged[result.path.name] = result.path
                    log.warning("%s: a result cannot be read", result.path)
                    continue
                yield place, result, {**result.head.inner, **found}

    def open(
        self,
        study: Mapping[str, Any] | None = None,
        observables: Collection[str] | None = None,
    ) -> xr.Dataset:
        """Open the results as one data set.

        Parameters
        ----------
        study
            A plan (`Study.plan()`) within the store's; default is all that the store holds.
        observables
            Names of those to load; default is all whose inner coordinates are the same in all
            results.  The others, as the weights of networks of several widths, are left out with
            a warning: open them at one value of the axis, by a narrower plan.

        Returns
        -------
        xarray.Dataset
            Float64 observables with dims (outer axes..., realization, inner dims...); NaN marks
            what is not computed (yet).  An observable of float32 with more than a million numbers
            in each result stays float32.  Units, symbols and long names are attributes; so is what
            means must know: `censored` and `undefined` of an observable, `deterministic` of all.

        Raises
        ------
        InputError
            If this is no store, no result is in it, or an observable is unknown, or asked for by
            name where its inner coordinates differ between results.
        """
        from criticality.study.dataset import opened

        plan = dict(study or self.plan())
        self.refresh()
        results = list(self.of(plan))
        if not results:
            damaged = self.damaged()
            said = f"{len(damaged)} damaged file(s) and no result" if damaged else "no result yet"
            raise InputError(f"{self.path}: {said}; `criticality run` computes what is missing.")
        return opened(self.path, plan, results, self.numbers, observables)


@contextmanager
def no_collection() -> Iterator[None]:
    """Leave the garbage collector out, which would look through all results again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _not_finite(observables: Sequence[Observable], arrays: Arrays) -> list[str]:
    """Observables with numbers that are not finite, and should be."""

    def fine(o: Observable) -> Any:
        x = arrays[o.name]
        return np.isfinite(x) | (o.censored & np.isposinf(x)) | (o.undefined & np.isnan(x))

    return [o.name for o in observables if not fine(o).all()]
