"""A directory of write-once results that opens as one labelled data set.

    DIR/study.json           the plan; grows when the study is extended
    DIR/results/<key>.nc     one netCDF file a task, complete or absent

A file appears by temporary file, fsync and rename, so an interrupted run leaves whole files only.
What is done is judged from the files.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from criticality.base import InputError, Observable, RunError, Task, axes, controls

FORMAT = 1
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Entry:
    """A result file: its path, its coordinates in the grid, and all its attributes."""

    path: Path
    point: dict[str, Any]
    attributes: dict[str, Any]


class DamagedError(OSError):
    """A result file that cannot be read whole."""


class Store:
    """Results of one study in the directory `path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    # --- the plan ---

    def plan(self) -> dict[str, Any]:
        """Give the plan of the study in this store.

        Raises
        ------
        InputError
            If this is no store.
        """
        manifest = self.path / "study.json"
        try:
            plan: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
            needed = {"format", "system", "version", "seed", "realizations", "grid", "controls"}
            missing = needed - plan.keys()
        except FileNotFoundError as error:
            raise InputError(
                f"{self.path}: not a store (no study.json); `criticality run STUDY.toml --store "
                f"{self.path}` makes one."
            ) from error
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{manifest}: cannot be read ({error}).") from error
        if missing or plan["format"] != FORMAT:
            raise InputError(f"{manifest}: not a study of store format {FORMAT}.")
        return plan

    def admit(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """Give the plan that this store will have with `plan` in it; write nothing.

        Raises
        ------
        InputError
            If the store belongs to another study, or the directory holds something else.
        """
        if not self.path.exists():
            return {"format": FORMAT, **plan}
        if not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; a store is a directory.")
        if not (self.path / "study.json").exists():
            if any(self.path.iterdir()):
                raise InputError(f"{self.path}: not empty and not a store; name a new directory.")
            return {"format": FORMAT, **plan}
        old = self.plan()
        advice = "Use another --store."
        for name in ("system", "version", "seed"):
            if old[name] != plan[name]:
                raise InputError(
                    f"{self.path} belongs to another study: {name} is {old[name]!r} there and "
                    f"{plan[name]!r} here. {advice}"
                )
        grid = {name: list(values) for name, values in old["grid"].items()}
        for name in plan["controls"]:
            there, here = _values(old, name), _values(plan, name)
            if name in old["grid"] and name in plan["grid"]:
                grid[name] = sorted({*there, *here})
            elif not any(value in there for value in here):
                raise InputError(
                    f"{self.path} belongs to another study: {name} is {_listed(there)} there and "
                    f"{_listed(here)} here. {advice}"
                )
            elif name in plan["grid"]:
                grid[name] = list(here)
        realizations = max(old["realizations"], plan["realizations"])
        return {**old, "grid": grid, "realizations": realizations}

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Create the store, or extend its plan.

        Raises
        ------
        InputError
            As `admit`, or if the directory cannot be written.
        """
        merged = self.admit(plan)
        try:
            (self.path / "results").mkdir(parents=True, exist_ok=True)
            with _replacing(self.path / "study.json") as temporary:
                temporary.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
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
        with _opened(path) as file:
            if file.attrs.get("key") != key:
                raise DamagedError(f"{path}: not the result of task {key}")
            _arrays(file)
        return True

    def write(self, task: Task, arrays: Arrays, provenance: Mapping[str, Any]) -> None:
        """Write the result of one task, whole or not at all."""
        system = task.system
        inner = system.inner()
        declared = axes(system)
        outer = {k: v for k, v in controls(system).items() if not declared[k].inner}
        observables = type(system).observables
        result = xr.Dataset(
            {o.name: (o.dims, arrays[o.name], _units(o)) for o in observables},
            coords={name: ((name,), np.asarray(values)) for name, values in inner.items()},
            attrs={
                "key": task.key,
                "system": type(system).name,
                "source": type(system).source,
                "version": type(system).version,
                "seed": task.seed,
                "realization": task.realization,
                "controls": json.dumps(outer),
                "axes": json.dumps({a.name: [a.symbol, a.unit, a.doc] for a in declared.values()}),
                "observables": json.dumps({o.name: [o.dims, o.unit, o.doc] for o in observables}),
                "data": task.checksum,
                **provenance,
            },
        )
        # a checksum on every array, so that a flipped bit is found on reading
        encoding = {
            name: {"chunksizes": variable.shape, "fletcher32": True}
            for name, variable in result.data_vars.items()
            if variable.shape
        }
        target = self.file(task.key)
        try:
            with _replacing(target) as temporary:
                result.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
        except OSError as error:
            raise RunError(f"{target}: cannot be written ({error}); the rest is kept.") from error

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

    def entries(self) -> tuple[list[Entry], list[Path]]:
        """Whole results that belong to the plan, and the paths of damaged files."""
        return self._read(self.plan(), lambda entry, file: _arrays(file))

    def _read(
        self, plan: Mapping[str, Any], use: Callable[[Entry, h5py.File], object]
    ) -> tuple[list[Entry], list[Path]]:
        """Open every result once, and hand those of the plan to `use`; else as `entries`."""
        swept = {name: set(values) for name, values in plan["grid"].items()}
        fixed = {name: value for name, value in plan["controls"].items() if name not in swept}
        entries, damaged = [], []
        for path in sorted((self.path / "results").glob("*.nc")):
            try:
                with _opened(path) as file:
                    attributes = {name: _scalar(value) for name, value in file.attrs.items()}
                    outer = json.loads(attributes["controls"])
                    number = attributes["realization"]
                    if (
                        number < plan["realizations"]
                        and all(outer[name] in values for name, values in swept.items())
                        and all(outer.get(name, value) == value for name, value in fixed.items())
                    ):
                        point = {name: outer[name] for name in swept} | {"realization": number}
                        entry = Entry(path, point, attributes)
                        use(entry, file)
                        entries.append(entry)
            except (OSError, KeyError, ValueError):
                damaged.append(path)  # the next run computes it again
        return entries, damaged

    def open(self, study: Mapping[str, Any] | None = None) -> xr.Dataset:
        """Open the results as one data set.

        Parameters
        ----------
        study
            A plan (`Study.plan()`) within the store's; default is all that the store holds.

        Returns
        -------
        xarray.Dataset
            Float64 observables with dims (outer axes..., realization, inner dims...); NaN marks
            what is not computed (yet).  Units, symbols and long names are attributes.

        Raises
        ------
        InputError
            If this is no store, or no result is in it.
        """
        plan = dict(study or self.plan())
        outer: dict[str, list[Any]] = dict(plan["grid"])
        outer["realization"] = list(range(plan["realizations"]))
        shape = tuple(len(values) for values in outer.values())
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        described: dict[str, tuple[list[str], str, str]] = {}
        inner: dict[str, np.ndarray[Any, Any]] = {}
        labels = {"realization": ["realization", "1", "independent realization"]}

        def place(entry: Entry, file: h5py.File) -> None:
            index = tuple(outer[name].index(value) for name, value in entry.point.items())
            if not arrays:
                labels.update(json.loads(entry.attributes["axes"]))
                described.update(json.loads(entry.attributes["observables"]))
                names = {dim for dims, _, _ in described.values() for dim in dims}
                inner.update({name: np.asarray(file[name]) for name in names})
            for name, values in _arrays(file).items():
                if name in described:
                    arrays.setdefault(name, np.full(shape + values.shape, np.nan))[index] = values

        _, damaged = self._read(plan, place)
        if not arrays:
            found = f"{len(damaged)} damaged file(s) and no result" if damaged else "no result yet"
            raise InputError(f"{self.path}: {found}; `criticality run` computes what is missing.")
        fixed = {n: v for n, v in plan["controls"].items() if n not in (*outer, *inner)}
        return xr.Dataset(
            {
                name: ((*outer, *dims), arrays[name], {"units": unit, "long_name": doc})
                for name, (dims, unit, doc) in described.items()
            },
            coords={
                name: ((name,), np.asarray(values), _label(*labels.get(name, [name, "1", name])))
                for name, values in {**outer, **inner}.items()
            },
            attrs={
                **{name: plan[name] for name in ("system", "version", "seed")},
                "controls": json.dumps(fixed),
            },
        )


def _values(plan: Mapping[str, Any], name: str) -> list[Any]:
    """All values that a control takes in a plan."""
    values: list[Any] = plan["grid"].get(name, [plan["controls"][name]])
    return values


def _listed(values: list[Any]) -> str:
    return " or ".join(map(str, values))


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except Exception as error:
        # HDF5 reports damage by many exception types, none of them ours
        raise DamagedError(f"{path}: cannot be read ({error})") from error


def _arrays(file: h5py.File) -> Arrays:
    """Read everything in a result file, which checks the checksum of every array.

    Raises
    ------
    DamagedError
        If a checksum is wrong.
    """
    try:
        return {name: np.asarray(values) for name, values in file.items()}
    except OSError as error:
        raise DamagedError(f"{file.filename}: cannot be read ({error})") from error


def _scalar(value: Any) -> Any:
    """Attribute as Python has it; netCDF keeps a number as an array of one."""
    return value.item() if isinstance(value, np.ndarray | np.generic) else value


def _units(observable: Observable) -> dict[str, str]:
    return {"units": observable.unit, "long_name": observable.doc}


def _label(symbol: str, unit: str, doc: str) -> dict[str, str]:
    return {"units": unit, "long_name": doc, "symbol": symbol}


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Temporary path beside `path` that takes its place, synced, if the block succeeds."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
