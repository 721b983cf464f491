"""A plan, and how far it is, for a notebook."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from criticality.base import Axis, html
from criticality.study import journal, netcdf

LOOK = 2**26  # bytes of journals in which results are counted
BLOCK, FILES = 2**21, 100  # bytes and files that are read in no time
RESULT, FAILED = b' {"result":', b' {"failed":'  # how lines of a journal begin, after their seal


def plan(
    title: str,
    told: Mapping[str, Any],
    source: str,
    declared: Mapping[str, Axis],
    more: Mapping[str, object] | None = None,
) -> str:
    """Say what is swept, how many tasks that makes, what else there is, and the controls."""
    swept, path = told["grid"], told.get("path", {})

    def row(name: str, values: list[Any]) -> tuple[object, ...]:
        axis = declared.get(name, Axis(name=name, symbol=name))
        unit = "" if axis.unit == "1" else axis.unit
        kind = "along the path" if name in path else ""
        return name, html.listed(values), len(values), unit, kind, axis.label or axis.doc

    points = prod(len(v) for n, v in swept.items() if n not in path)
    points *= len(next(iter(path.values()))) if path else 1
    realizations = told["realizations"]
    tasks = f"{points * realizations:,} = {_many(points, 'point')}"
    tasks += f" \N{MULTIPLICATION SIGN} {_many(realizations, 'realization')}"
    fixed = {n: v for n, v in told["controls"].items() if n not in swept}
    shown = {n: html.listed(v) if isinstance(v, list) else v for n, v in fixed.items()}
    head = ("swept", "values", "how many", "unit", "", "meaning")
    rows = [row(name, list(values)) for name, values in swept.items()]
    return html.panel(
        f"{title}: {told['system']}",
        html.table(head, rows) if rows else "",
        html.facts({"source": source, "tasks": tasks, **(more or {}), "seed": told["seed"]}),
        html.folded(_many(len(fixed), "other control"), html.facts(shown)) if fixed else "",
    )


def _many(number: int, name: str) -> str:
    return f"{number:,} {name}{'s' * (number != 1)}"


def small(folder: Path) -> bool:
    """Whether all results can be read in no time."""
    there = _files(folder)
    return len(there) <= FILES and sum(size for _, size in there) <= BLOCK


def counted(folder: Path) -> str:
    """Count results and failures without reading them."""
    there = _files(folder)
    journals = [path for path, _ in there if path.suffix == journal.SUFFIX]
    done, failed, looked = len(there) - len(journals), 0, 0
    for line in _lines(journals):
        start = line[journal.DIGITS :]
        done += start.startswith(RESULT)
        failed += start.startswith(FAILED)
        looked += len(line)
        if looked > LOOK:
            break
    at_least = "more than " if looked > LOOK else ""
    failures = f" and {_many(failed, 'failure')}" if failed else ""
    return f"{at_least}{_many(done, 'result')}{failures} counted in the files, not read"


def _lines(journals: Iterable[Path]) -> Iterator[bytes]:
    for path in journals:
        with contextlib.suppress(OSError), path.open("rb") as file:
            yield from iter(lambda: file.readline(journal.LARGEST), b"")


def _files(folder: Path) -> list[tuple[Path, int]]:
    try:
        there = [(Path(item), item.stat().st_size) for item in os.scandir(folder / "results")]
    except OSError:
        return []
    ends = (journal.SUFFIX, netcdf.SUFFIX)
    return sorted((path, size) for path, size in there if path.suffix in ends)
