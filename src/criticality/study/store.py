"""A directory of write-once results that opens as one labelled data set.

    DIR/study.json           the plan; grows when the study is extended
    DIR/results/<key>.nc     one netCDF file a task, complete or absent, sealed by its sha256

A file appears by temporary file, fsync and rename, so an interrupted run leaves whole files only.
What is done is judged from the files.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from criticality.base import InputError, Observable, RunError, Task, axes, controls

FORMAT = 1
SEAL = hashlib.sha256().digest_size
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Entry:
    """A result: its coordinates in the grid, its attributes, its arrays."""

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
            needed = {
                "format",
                "system",
                "version",
                "seed",
                "realizations",
                "grid",
                "controls",
                "asked",
            }
            missing = needed - plan.keys()
        except FileNotFoundError as error:
            raise InputError(
                f"{self.path}: not a store (no study.json); `criticality run STUDY.toml --store "
                f"{self.path}` makes one."
            ) from error
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{manifest}: cannot be read ({error}).") from error
        if missing or plan["format"] != FORMAT or not isinstance(plan["asked"], list):
            raise InputError(f"{manifest}: not a study of store format {FORMAT}.")
        return plan

    def admit(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """Give the plan that this store will have with `plan` in it; write nothing.

        Raises
        ------
        InputError
            If the store belongs to another study, or the directory holds something else.
        """
        ask = {"grid": plan["grid"], "realizations": plan["realizations"]}
        new = {"format": FORMAT, **plan, "asked": [ask]}
        if not self.path.exists():
            return new
        if not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; a store is a directory.")
        if not (self.path / "study.json").exists():
            # what another run that is just beginning has made already is no obstacle
            ours = ("results", "study.json")
            if not all(item.name.startswith(ours) for item in self.path.iterdir()):
                raise InputError(f"{self.path}: not empty and not a store; name a new directory.")
            return new
        old = self.plan()
        for name in ("system", "version", "seed"):
            if old[name] != plan[name]:
                raise self._other(name, old[name], plan[name])
        grid = {name: list(values) for name, values in old["grid"].items()}
        for name in plan["controls"]:
            there, here = _values(old, name), _values(plan, name)
            if name in old["grid"] and name in plan["grid"]:
                grid[name] = sorted({*there, *here})
            elif not any(value in there for value in here):
                raise self._other(name, *(" or ".join(map(str, v)) for v in (there, here)))
            elif name in plan["grid"]:
                grid[name] = list(here)
        realizations = max(old["realizations"], plan["realizations"])
        asked = old["asked"] if ask in old["asked"] else [*old["asked"], ask]
        return {**old, "grid": grid, "realizations": realizations, "asked": asked}

    def _other(self, name: str, there: Any, here: Any) -> InputError:
        return InputError(
            f"{self.path} belongs to another study: {name} is {there} there and {here} here. "
            f"Use another --store."
        )

    def total(self) -> int:
        """Count the tasks that this store was ever asked for; extensions may overlap."""
        plan = self.plan()
        names = [*plan["grid"], "realization"]
        points: set[tuple[Any, ...]] = set()
        for ask in plan["asked"]:
            values = {name: _values({**plan, **ask}, name) for name in plan["grid"]}
            values["realization"] = list(range(ask["realizations"]))
            points.update(itertools.product(*(values[name] for name in names)))
        return len(points)

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Create the store, or extend its plan.

        Raises
        ------
        InputError
            As `admit`, or if the directory cannot be written.
        """
        manifest = self.path / "study.json"
        first = not manifest.exists()
        merged = self.admit(plan)
        try:
            (self.path / "results").mkdir(parents=True, exist_ok=True)
            # other runs may begin on the same store at this moment: who comes second must see
            # what the first one wrote
            with _replacing(manifest, exclusive=first) as temporary:
                temporary.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
        except FileExistsError:
            self.begin(plan)
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
        attributes, _ = _read(path)
        if attributes["key"] != key:
            raise DamagedError(f"{path}: not the result of task {key}")
        return True

    def write(self, task: Task, arrays: Arrays, provenance: Mapping[str, Any]) -> None:
        """Write the result of one task, whole or not at all."""
        system = task.system
        declared = axes(system)
        observables = type(system).observables
        result = xr.Dataset(
            {o.name: (o.dims, arrays[o.name], _units(o)) for o in observables},
            coords={n: ((n,), np.asarray(values)) for n, values in system.inner().items()},
            attrs={
                "key": task.key,
                "system": type(system).name,
                "source": type(system).source,
                "version": type(system).version,
                "seed": task.seed,
                "realization": task.realization,
                "controls": json.dumps(controls(system)),
                "axes": json.dumps({a.name: [a.symbol, a.unit, a.doc] for a in declared.values()}),
                "observables": json.dumps({o.name: [o.dims, o.unit, o.doc] for o in observables}),
                "data": task.checksum,
                **provenance,
            },
        )
        target = self.file(task.key)
        try:
            with _replacing(target) as temporary:
                result.to_netcdf(temporary, engine="h5netcdf")
                content = temporary.read_bytes()
                temporary.write_bytes(content + _seal(content))
        except Exception as error:  # a full disk comes as one of many exception types
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
        """Whole results that belong to the plan, and the paths of files that cannot be read."""
        return self._entries(self.plan())

    def _entries(self, plan: Mapping[str, Any]) -> tuple[list[Entry], list[Path]]:
        swept = {name: set(values) for name, values in plan["grid"].items()}
        fixed = {name: value for name, value in plan["controls"].items() if name not in swept}
        same = {name: plan[name] for name in ("system", "version", "seed")}
        entries, damaged = [], []
        for path in sorted((self.path / "results").glob("*.nc")):
            try:
                attributes, arrays = _read(path)
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
            ):
                where = {name: point[name] for name in swept} | {"realization": number}
                entries.append(Entry(where, attributes, arrays))
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
        entries, damaged = self._entries(plan)
        if not entries:
            found = f"{len(damaged)} damaged file(s) and no result" if damaged else "no result yet"
            raise InputError(f"{self.path}: {found}; `criticality run` computes what is missing.")
        labels = {
            "realization": ["realization", "1", "independent realization"],
            **json.loads(entries[0].attributes["axes"]),
        }
        described = json.loads(entries[0].attributes["observables"])
        inner = {dim: entries[0].arrays[dim] for dims, _, _ in described.values() for dim in dims}
        arrays = {
            name: np.full(shape + entries[0].arrays[name].shape, np.nan) for name in described
        }
        for entry in entries:
            index = tuple(outer[name].index(value) for name, value in entry.point.items())
            for name, array in arrays.items():
                array[index] = entry.arrays[name]
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
    values: list[Any] = plan["grid"].get(name, [plan["controls"].get(name)])
    return values


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Attributes and arrays of a result file.

    Raises
    ------
    DamagedError
        If it is not bit for bit as it was written.
    """
    try:
        content = path.read_bytes()
        # before anything else looks at it: HDF5 may loop without end on a damaged file
        if _seal(content[:-SEAL]) != content[-SEAL:]:
            raise ValueError("not as it was written")
        with h5py.File(io.BytesIO(content), "r") as file:
            attributes = {
                name: value.item() if isinstance(value, np.ndarray | np.generic) else value
                for name, value in file.attrs.items()
                if not name.startswith("_NC")
            }
            arrays = {name: np.asarray(values) for name, values in file.items()}
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path}: cannot be read ({error})") from error
    return attributes, arrays


def _seal(content: bytes) -> bytes:
    """sha256 of a result; it follows the netCDF part of the file, where readers do not look."""
    return hashlib.sha256(content).digest()


def _units(observable: Observable) -> dict[str, str]:
    return {"units": observable.unit, "long_name": observable.doc}


def _label(symbol: str, unit: str, doc: str) -> dict[str, str]:
    return {"units": unit, "long_name": doc, "symbol": symbol}


@contextmanager
def _replacing(path: Path, exclusive: bool = False) -> Iterator[Path]:
    """Temporary path beside `path` that takes its place, synced, if the block succeeds.

    `exclusive` raises FileExistsError, and changes nothing, if something is at `path` by then.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        if exclusive:
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                temporary.replace(path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
