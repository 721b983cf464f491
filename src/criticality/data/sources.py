"""Sources by name, whatever their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from criticality.base import FILE, OWN, TABLE, InputError, unknown
from criticality.data import download, own, synthetic, tables
from criticality.data.dataset import Dataset, Shape
from criticality.data.folders import Folder
from criticality.data.published import KMNIST_10K, SOURCES

NAMES = (*SOURCES, KMNIST_10K, synthetic.NAME)  # of classes
TABLES = tuple(tables.TABLES)  # of targets


class Kind(Protocol):
    """What the modules `download`, `tables`, `synthetic` and `own` each do for their sources."""

    def load(self, name: str, folder: Folder) -> Dataset: ...  # noqa: D102
    def shape(self, name: str, folder: Folder) -> Shape: ...  # noqa: D102
    def checksum(self, name: str, folder: Folder) -> str: ...  # noqa: D102
    def places(self, name: str, folder: Folder) -> list[Path]: ...  # noqa: D102
    def fetch(self, name: str, folder: Folder) -> dict[str, Path]: ...  # noqa: D102
    def verify(self, name: str, folder: Folder) -> dict[str, Path]: ...  # noqa: D102
    def state(self, name: str, folder: Folder) -> tuple[str, str]: ...  # noqa: D102


def _kind(name: str) -> Kind:
    if own.named(name):
        return own
    if name in TABLES:
        return tables
    if name not in NAMES:
        raise unknown("data set", name, (*NAMES, *TABLES, *OWN))
    return synthetic if name == synthetic.NAME else download


def load(name: str, folder: Folder = None) -> Dataset:
    """Load a data set, verified, fetching it if it is published and not here.

    Parameters
    ----------
    name
        One of `NAMES` or `TABLES`, "file:PATH", or "table:PATH#COLUMN".
    folder
        Looked in first: published files, and what a relative PATH means; default
        $CRITICALITY_DATA.

    Raises
    ------
    InputError
        For an unknown set.
    DataError
        If it cannot be had, or is not what its checksum says, or cannot be used.
    """
    return _kind(name).load(name, folder)


def shape(name: str, folder: Folder = None) -> Shape:
    """Sizes of a data set: of a published one without its files, of a file from the file.

    Raises
    ------
    InputError, DataError
        As `load`.
    """
    return _kind(name).shape(name, folder)


def classification(name: str, folder: Folder = None) -> Shape:
    """Sizes of a data set whose labels are classes.

    Raises
    ------
    InputError
        Also if they are targets of a regression.
    DataError
        As `load`.
    """
    sizes = shape(name, folder)
    if sizes.kind != "classes":
        why = "its labels have a floating type and are taken for targets of a regression"
        if name in TABLES or name.startswith(TABLE):
            why = f"a table has targets of a regression, {FILE}PATH may have classes"
        raise InputError(f"data set {name!r}: {why}; expected classes, whole numbers from 0.")
    return sizes


def checksum(name: str, folder: Folder = None) -> str:
    """sha256 that stands for a data set in task keys.

    Of a published set it is known without the files.  Of a file it is that of the arrays as
    `load` gives them, so that a copy, compressed or not, is the same data, and one other number is
    other data.

    Raises
    ------
    InputError, DataError
        As `load`.
    """
    return _kind(name).checksum(name, folder)


def columns(name: str, folder: Folder = None) -> tuple[list[str], str] | None:
    """Names of a table's features and of its target; None for what is no table.

    Raises
    ------
    InputError, DataError
        As `load`, for a user's own table.
    """
    if name in TABLES:
        return tables.columns(name)
    return own.columns(name, folder) if own.named(name) else None


def described(name: str) -> tuple[str, str]:
    """Title and licence of a data set, as far as they are known.

    Raises
    ------
    InputError
        For an unknown set.
    """
    if own.named(name):
        return "your own", ""
    if _kind(name) is synthetic:
        return "seeded synthetic patterns, not real data", ""
    known = tables.TABLES.get(name) or SOURCES["kmnist" if name == KMNIST_10K else name]
    return known.title, known.licence


def places(name: str, folder: Folder = None) -> list[Path]:
    """Folders in which the files of a set are looked for, in order."""
    return _kind(name).places(name, folder)


def fetch(name: str, folder: Folder = None) -> dict[str, Path]:
    """Make sure that the files of a set are on this machine.

    Returns
    -------
    dict
        Path of every part; empty for the synthetic set, which has no files.

    Raises
    ------
    InputError
        For an unknown set.
    DataError
        If no route leads to it; the message lists what was tried.
    """
    return _kind(name).fetch(name, folder)


def verify(name: str, folder: Folder = None) -> dict[str, Path]:
    """Check the files of a set against their checksums, without the network.

    A user's own file has none to be checked against; that it can be used is checked.

    Raises
    ------
    DataError
        For a missing or a wrong file.
    """
    return _kind(name).verify(name, folder)


def state(name: str, folder: Folder = None) -> tuple[str, str]:
    """Say whether a set is "ready", "absent" or "damaged" on this machine, and where it is."""
    return _kind(name).state(name, folder)
