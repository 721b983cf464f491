"""A directory of write-once results that opens as one labelled data set.

    DIR/study.json, card.json  the plan, which grows when the study is extended, and the card
    DIR/results/<key>.nc       one netCDF file a task, complete or absent, sealed by its sha256
    DIR/checkpoints/           states of what is being computed, by the engine

A file appears by temporary file, fsync and rename, so an interrupted run leaves whole files only.
What is done is judged from the files.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

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
    inner,
    unknown,
)
from criticality.study import manifest, netcdf

log = logging.getLogger("criticality")
STALE_S = 600  # after which a temporary file is what a killed process has left
LARGE = 1_000_000  # numbers in an array above which it is opened as it was stored, in 4 bytes
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Entry:
    """A result: its coordinates in the grid, its attributes, those of its arrays that were read."""

    point: dict[str, Any]
    attributes: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]


class DamagedError(OSError):
    """A result file that cannot be read whole."""


class Store:
    """Results of one study in the directory `path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

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
        entry = next(self._entries(plan, (), []), None)
        if entry is None:
            raise InputError(f"{self.path}: no result yet, and no card of {plan['system']}.")
        observables = tuple(
            Observable(name=name, dims=tuple(dims), unit=unit, doc=doc)
            for name, (dims, unit, doc) in json.loads(entry.attributes["observables"]).items()
        )
        axes = {
            name: Axis(name=name, symbol=symbol, unit=unit, doc=doc)
            for name, (symbol, unit, doc) in json.loads(entry.attributes["axes"]).items()
        }
        told = {"name": plan["system"], "version": plan["version"]}
        return Card(observables=observables, source=entry.attributes["source"], **told), axes

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
        return len(manifest.asked_points(self.plan()))

    def begin(self, plan: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        """Create the store, or extend its plan; `about` is its `manifest.card_data`.

        Raises
        ------
        InputError
            As `admit`, or if the directory cannot be written.
        """
        plan_file = self.path / "study.json"
        self.admit(plan)  # what is refused leaves nothing
        try:
            (self.path / "results").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error}).") from error
        try:
            # other runs may begin on the same store at this moment: each must see what those
            # before it have written, also where the file system has no locks and none is there yet
            with files.alone(self.path):
                first = not plan_file.exists()
                manifest.write(self.path, "study.json", self.admit(plan), exclusive=first)
                if about is not None:
                    manifest.write(self.path, "card.json", about)
        except FileExistsError:
            self.begin(plan, about)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error}).") from error

    # --- results ---

    def file(self, key: str) -> Path:
        """Where the result of a task is, or will be."""
        return self.path / "results" / f"{key[:32]}.nc"

    def has(self, key: str) -> bool:
        """Whether a task is done.

        Raises
        ------
        DamagedError
            If its file is there but cannot be read.
        """
        path = self.file(key)
        if not path.exists():
            return False
        attributes, _ = _read(path, ())
        if attributes["key"] != key:
            raise DamagedError(f"{path}: not the result of task {key}")
        return True

    def write(self, task: Task, arrays: Arrays, provenance: Mapping[str, Any]) -> None:
        """Write the result of one task, whole or not at all."""
        system = task.system
        declared, told = axes(system), card(system)
        observables = told.observables
        result = xr.Dataset(
            {o.name: (o.dims, arrays[o.name], _units(o)) for o in observables},
            coords={n: ((n,), np.asarray(values)) for n, values in inner(system).items()},
            attrs={
                "key": task.key,
                "system": told.name,
                "source": told.source,
                "version": told.version,
                "seed": task.seed,
                "realization": task.realization,
                "controls": json.dumps(controls(system)),
                "axes": json.dumps({a.name: [a.symbol, a.unit, a.doc] for a in declared.values()}),
                "observables": json.dumps({o.name: [o.dims, o.unit, o.doc] for o in observables}),
                "data": task.checksum,
                "not_finite": " ".join(_not_finite(observables, arrays)),
                **provenance,
            },
        )
        target = self.file(task.key)
        try:
            with files.replacing(target) as temporary:
                content = netcdf.content(result, temporary)
                temporary.write_bytes(content + files.seal([content]))
        except Exception as error:  # a full disk comes as one of many exception types
            raise RunError(f"{target}: cannot be written ({error}); the rest is kept.") from error
        self.forget(task.key)

    @property
    def checkpoints(self) -> Path:
        """Folder in which the engine keeps states of what it computes."""
        return self.path / "checkpoints"

    def forget(self, key: str) -> None:
        """Remove the checkpoint of a task, and what a killed process has left of one."""
        with contextlib.suppress(OSError):  # it is in nobody's way
            for path in self.checkpoints.glob(f"{key[:32]}*"):
                if path.suffix == files.CHECKPOINT or time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink(missing_ok=True)  # another run may be writing the others

    def begun(self) -> int:
        """Count the tasks that have a checkpoint and no result (yet)."""
        saved = self.checkpoints.glob(f"*{files.CHECKPOINT}")
        return sum(not self.file(path.stem).exists() for path in saved)

    def survey(self, keys: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
        """Sort task keys into done, missing and damaged."""
        done: list[str] = []
        missing: list[str] = []
        damaged: list[str] = []
        for key in keys:
            try:
                (done if self.has(key) else missing).append(key)
            except DamagedError:
                damaged.append(key)
        return done, missing, damaged

    def not_finite(self) -> dict[str, int]:
        """Count the results in which an observable is not finite, where that is a sign of failure.

        What a card declares to be undefined or censored now and then does not count.
        """
        counts: dict[str, int] = {}
        for entry in self.entries()[0]:
            for name in str(entry.attributes.get("not_finite", "")).split():
                counts[name] = counts.get(name, 0) + 1
        return counts

    def other_sources(self, keys: Collection[str], sha256: str) -> int:
        """Count the results among `keys` that a source of another digest gave."""
        wanted = set(keys)
        found = (e.attributes for e in self._entries(self.plan(), (), []))
        return sum(
            about["key"] in wanted and about.get("source_sha256", sha256) not in ("", sha256)
            for about in found
        )

    def entries(self) -> tuple[list[Entry], list[Path]]:
        """Whole results of the plan, without arrays, and the paths of files that cannot be read."""
        damaged: list[Path] = []
        return list(self._entries(self.plan(), (), damaged)), damaged

    def _entries(
        self, plan: Mapping[str, Any], names: Collection[str] | None, damaged: list[Path]
    ) -> Iterator[Entry]:
        """Results that belong to a plan, one by one, with the observables `names` (None: all)."""
        swept = {name: set(values) for name, values in plan["grid"].items()}
        fixed = {name: value for name, value in plan["controls"].items() if name not in swept}
        same = {name: plan[name] for name in ("system", "version", "seed")}
        tied = plan.get("path", {})
        along = {*zip(*tied.values(), strict=True)}
        seen: set[tuple[Any, ...]] = set()
        for path in sorted((self.path / "results").glob("*.nc")):
            try:
                attributes, arrays = _read(path, names)
            except DamagedError:
                damaged.append(path)
                continue
            point = json.loads(attributes["controls"])
            number = attributes["realization"]
            if (
                number < plan["realizations"]
                and all(attributes[name] == value for name, value in same.items())
                and all(point.get(name) in values for name, values in swept.items())
                and all(point.get(name) == value for name, value in fixed.items())
                and (not tied or tuple(point[name] for name in tied) in along)
            ):
                where = {name: point[name] for name in swept} | {"realization": number}
                # the first edition told -0.0 from 0.0
                if (place := tuple(where.values())) not in seen:
                    seen.add(place)
                    yield Entry(where, attributes, arrays)

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
        plan = dict(study or self.plan())
        outer: dict[str, list[Any]] = dict(plan["grid"])
        outer["realization"] = list(range(plan["realizations"]))
        shape = tuple(len(values) for values in outer.values())
        damaged: list[Path] = []
        entries = self._entries(plan, observables, damaged)
        first = next(entries, None)
        if first is None:
            found = f"{len(damaged)} damaged file(s) and no result" if damaged else "no result yet"
            raise InputError(f"{self.path}: {found}; `criticality run` computes what is missing.")
        labels = {
            "realization": ["realization", "1", "independent realization"],
            **json.loads(first.attributes["axes"]),
        }
        described = json.loads(first.attributes["observables"])
        for name in observables or ():
            if name not in described:
                raise unknown("observable", name, described, str(self.path))
        if observables is not None:
            described = {name: about for name, about in described.items() if name in observables}
        inner = {dim: first.arrays[dim] for dims, _, _ in described.values() for dim in dims}
        arrays = {
            name: np.full(shape + first.arrays[name].shape, np.nan, _opened(first.arrays[name]))
            for name in described
        }
        for entry in itertools.chain([first], entries):
            index = tuple(outer[name].index(value) for name, value in entry.point.items())
            for name in list(arrays):
                dims = described[name][0]
                if all(np.array_equal(entry.arrays[dim], inner[dim]) for dim in dims):
                    arrays[name][index] = entry.arrays[name]
                    continue
                reason = (
                    f"{self.path}: {name} is not over the same {' and '.join(dims)} in all results "
                    f"of the grid ({', '.join(plan['grid'])})"
                )
                if observables is not None:
                    raise InputError(f"{reason}; open one value of the axis that decides it.")
                log.warning("%s; it is left out", reason)
                del arrays[name], described[name]
        inner = {dim: inner[dim] for dims, _, _ in described.values() for dim in dims}
        fixed = {n: v for n, v in plan["controls"].items() if n not in (*outer, *inner)}
        kept = manifest.read_card(self.path)
        marks: dict[str, dict[str, Any]] = {}
        if kept is not None:
            marks = {o.name: _marks(o, "censored", "undefined") for o in kept[0].observables}
            named: list[Observable | Axis] = [*kept[0].observables, *kept[1].values()]
            for about in named:
                if about.label:
                    marks.setdefault(about.name, {})["label"] = about.label
        return xr.Dataset(
            {
                name: (
                    (*outer, *dims),
                    arrays[name],
                    {"units": unit, "long_name": doc, **marks.get(name, {})},
                )
                for name, (dims, unit, doc) in described.items()
            },
            coords={
                name: (
                    (name,),
                    np.asarray(values),
                    _label(*labels.get(name, [name, "1", name])) | marks.get(name, {}),
                )
                for name, values in {**outer, **inner}.items()
            },
            attrs={
                **{name: plan[name] for name in ("system", "version", "seed")},
                "controls": json.dumps(fixed),
                "data": str(first.attributes.get("data", "")),  # checksum; of the first, if several
                **_marks(kept[0] if kept else None, "deterministic"),
            },
        )


def _marks(told: Observable | Card | None, *names: str) -> dict[str, int]:
    """Those of the properties that hold; netCDF has no truth values."""
    return {name: 1 for name in names if getattr(told, name, False)}


def _not_finite(observables: Sequence[Observable], arrays: Arrays) -> list[str]:
    """Observables with numbers that are not finite, and should be."""

    def fine(o: Observable) -> Any:
        x = arrays[o.name]
        return np.isfinite(x) | (o.censored & np.isposinf(x)) | (o.undefined & np.isnan(x))

    return [o.name for o in observables if not fine(o).all()]


def _opened(x: np.ndarray[Any, Any]) -> np.dtype[Any]:
    """Type in which a stored array is opened."""
    return np.dtype(np.float32 if x.dtype == np.float32 and x.size > LARGE else np.float64)


def _read(
    path: Path, names: Collection[str] | None
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Attributes of a result file, and the observables `names` (None: all) with their inner axes.

    Raises
    ------
    DamagedError
        If it is not bit for bit as it was written.
    """
    try:
        # checked before anything else looks at it: HDF5 may loop without end on a damaged file
        with h5py.File(io.BytesIO(files.unsealed(path)), "r") as file:
            attributes = {
                name: value.item() if isinstance(value, np.ndarray | np.generic) else value
                for name, value in file.attrs.items()
                if not name.startswith("_NC")
            }
            described = json.loads(attributes["observables"])
            dims = {name: dims for name, (dims, _, _) in described.items()}
            chosen = dims if names is None else dims.keys() & names
            wanted = {*chosen, *(dim for name in chosen for dim in dims[name])}
            arrays = {name: np.asarray(file[name]) for name in wanted}
    except (OSError, ValueError, KeyError) as error:
        raise DamagedError(f"{path}: cannot be read ({error})") from error
    return attributes, arrays


def _units(observable: Observable) -> dict[str, str]:
    return {"units": observable.unit, "long_name": observable.doc}


def _label(symbol: str, unit: str, doc: str) -> dict[str, str]:
    return {"units": unit, "long_name": doc, "symbol": symbol}
