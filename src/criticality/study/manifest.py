"""The plan of a store: read, checked, extended; and the card of its system.

DIR/study.json           the plan, as it was begun
DIR/asked/<digest>.json  extensions of it, a file each: nobody's is lost, without a lock
DIR/card.json            what the system tells about itself
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from criticality import files
from criticality.base import Axis, Card, InputError, digest
from criticality.study.plan import check_size

log = logging.getLogger("criticality")
WAIT_S = 2.0  # for a file whose name is there
ASKED = "asked"
OURS = ("results", "checkpoints", "slurm", ASKED, "study.json", "card.json")
FORMATS = (1, 2)  # of the first edition, and with journals
MOST = 1.7e308  # of numbers in a grid; NaN is not less
Plan = dict[str, Any]
KINDS: dict[str, tuple[type, str]] = {
    "system": (str, "a text"),
    "version": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "realizations": (int, "a whole number"),
    "grid": (dict, "a table of lists"),
    "controls": (dict, "a table"),
    "asked": (list, "a list"),
}


def read(folder: Path) -> Plan:
    """Plan of the study in a folder, with all its extensions.

    Raises
    ------
    InputError
        If this is no store.
    """
    manifest = folder / "study.json"
    try:
        _wait_for(manifest)
        plan = _read(manifest)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: not a store (no study.json); `criticality run STUDY.toml --store "
            f"{folder}` makes one{', and finds the results that are there' * _results(folder)}."
        ) from error
    if plan.get("format") not in FORMATS:
        raise InputError(f"{manifest}: not a study of a store format that is known here.")
    _check(manifest, plan)
    left, before = _asked(folder), -1
    refused: dict[Path, InputError] = {}
    while left and len(left) != before:  # clocks differ: one may extend what is told after it
        before, refused, waiting = len(left), {}, []
        for path, ask in left:
            try:
                plan = _extended(folder, plan, ask)
            except InputError as error:
                refused[path] = error
                waiting.append((path, ask))
        left = waiting
    for path, why in refused.items():  # of two that came at once, the first left no room
        log.warning("%s is left out: %s", path, why)
    return plan


def _wait_for(path: Path) -> None:
    """Wait while another run has made the name of a file, and not its content yet."""
    deadline = time.monotonic() + WAIT_S
    while not path.stat().st_size and time.monotonic() < deadline:
        time.sleep(0.01)


def _read(path: Path) -> Plan:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a plan.")
    return content


def _asked(folder: Path) -> list[tuple[Path, Plan]]:
    """Extensions of a plan, in the order in which they were asked for."""
    found = []
    for path in (folder / ASKED).glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            ask = _read(path)
            _check(path, ask | {"asked": []})
            found.append((path, ask))
    return sorted(found, key=lambda each: (str(each[1].get("created")), each[0].name))


def _check(path: Path, plan: Plan) -> None:
    """Raise `InputError` for what is no plan."""
    for name, (kind, words) in KINDS.items():
        value = plan.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{path}: {name} = {value!r}; expected {words}.")
    for ask in (plan, *plan["asked"]):
        if not (
            isinstance(ask, dict)
            and isinstance(ask.get("realizations"), int)
            and ask["realizations"] >= 1
            and isinstance(ask.get("grid"), dict)
            and all(map(_is_axis, ask["grid"].values()))
            and _is_path(ask.get("path", {}))
        ):
            shown = (
                {n: ask.get(n) for n in ("realizations", "grid")} if isinstance(ask, dict) else ask
            )
            raise InputError(
                f"{path}: not a plan: {str(shown)[:200]}; expected a grid of lists of values "
                f"of one kind, and realizations of 1 or more."
            )
        try:
            check_size(ask["grid"], ask["realizations"])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _is_axis(values: Any) -> bool:
    """Whether these are values of one axis: texts, truths or finite numbers."""
    if not isinstance(values, list) or not values:
        return False
    (kind, *others) = {float if type(x) is int else type(x) for x in values}
    return not others and (
        kind in (str, bool) or (kind is float and all(abs(x) < MOST for x in values))
    )


def _is_path(values: Any) -> bool:
    """Whether these are values of axes that change together."""
    return (
        isinstance(values, dict)
        and all(map(_is_axis, values.values()))
        and len({len(column) for column in values.values()}) < 2
    )


def _results(folder: Path) -> bool:
    return any((folder / "results").glob("*.*"))


def admitted(folder: Path, plan: Mapping[str, Any], *more: Mapping[str, Any]) -> Plan:
    """Plan that a folder will have with `plan` in it, and then with `more`; write nothing.

    Raises
    ------
    InputError
        If the store belongs to another study, or the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a store is a directory.")
    if (folder / "study.json").exists():
        found = _extended(folder, read(folder), plan)
    # what another run that is just beginning has made already is no obstacle
    elif folder.exists() and not all(item.name.startswith(OURS) for item in folder.iterdir()):
        raise InputError(f"{folder}: not empty and not a store; name a new directory.")
    else:
        found = {"format": FORMATS[-1], **_without_path(plan), "asked": [_ask(plan)]}
    for each in more:
        found = _extended(folder, found, each)
    return found


def _ask(plan: Mapping[str, Any]) -> Plan:
    """Give what of a plan is kept of every extension."""
    return {name: plan[name] for name in ("grid", "realizations", "path") if name in plan}


def _without_path(plan: Mapping[str, Any]) -> Plan:
    return {name: value for name, value in plan.items() if name not in ("path", "created")}


def _extended(folder: Path, old: Plan, plan: Mapping[str, Any]) -> Plan:
    """Plan `old` of a folder with `plan` in it."""
    ask = _ask(plan)
    if "before" in plan:  # it may be older than some controls
        old = {**old, "controls": plan["before"] | old["controls"], "before": plan["before"]}
    for name in ("system", "version", "seed"):
        if old[name] != plan[name]:
            raise _other(folder, name, old[name], plan[name])
    grid = {name: list(values) for name, values in old["grid"].items()}
    # one value of what is swept here is a grid of one
    ask["grid"] = {name: values(plan, name) for name in (*grid, *plan["grid"])}
    for name in plan["controls"]:
        there, here = values(old, name), values(plan, name)
        texts = {isinstance(value, str) for value in (*there, *here)}
        if name in old["grid"] and len(texts) == 1:
            grid[name] = sorted({*there, *here})
        elif not any(value in there for value in here):
            raise _other(folder, name, *(" or ".join(map(str, v)) for v in (there, here)))
        elif name in plan["grid"]:
            grid[name] = list(here)
    realizations = max(old["realizations"], plan["realizations"])
    try:
        check_size(grid, realizations)  # it could not be read again
    except InputError as error:
        raise InputError(f"{folder} would hold too much: {error}") from error
    asked = old["asked"] if ask in old["asked"] else [*old["asked"], ask]
    return {**old, "grid": grid, "realizations": realizations, "asked": asked}


def ask(folder: Path, plan: Mapping[str, Any]) -> None:
    """Extend the plan of a folder.

    Raises
    ------
    InputError
        If another extension came before, that leaves no room for this one.
    """
    (folder / ASKED).mkdir(exist_ok=True)
    name = f"{ASKED}/{digest(plan)[:32]}.json"
    if not (folder / name).exists():
        write(folder, name, {**plan, "created": f"{time.time():.6f}"})
    _extended(folder, read(folder), plan)


def _other(folder: Path, name: str, there: Any, here: Any) -> InputError:
    return InputError(
        f"{folder} belongs to another study: {name} is {there} there and {here} here. "
        f"Use another store."
    )


def values(plan: Mapping[str, Any], name: str) -> list[Any]:
    """All values that a control takes in a plan."""
    found: list[Any] = plan["grid"].get(name, [plan["controls"].get(name)])
    return found


def asked(plan: Mapping[str, Any]) -> int:
    """Count the points ever asked for; of extensions that overlap, each once."""
    whole = {"grid": plan["grid"], "realizations": plan["realizations"]}
    if whole in plan["asked"]:
        return math.prod(map(len, plan["grid"].values())) * int(plan["realizations"])
    return len(asked_points(plan))


def asked_points(plan: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    """Points, each a value of every axis of the grid and a realization, ever asked for."""
    names = [*plan["grid"], "realization"]
    points: set[tuple[Any, ...]] = set()
    for ask in plan["asked"]:
        each = {name: values({**plan, **ask}, name) for name in plan["grid"]}
        each["realization"] = list(range(ask["realizations"]))
        path = ask.get("path", {})
        free = [name for name in names if name not in path]
        for along in zip(*path.values(), strict=True) if path else [()]:
            together = dict(zip(path, along, strict=True))
            for point in itertools.product(*(each[name] for name in free)):
                here = together | dict(zip(free, point, strict=True))
                points.add(tuple(here[name] for name in names))
    return points


def write(folder: Path, name: str, content: Mapping[str, Any], exclusive: bool = False) -> None:
    """Replace a file of the folder in one go."""
    with files.replacing(folder / name, exclusive=exclusive) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def card_data(told: Card, declared: Mapping[str, Axis], place: str) -> dict[str, Any]:
    """All of a card and its controls, for the store."""
    axes = {name: vars(axis) for name, axis in declared.items()}
    return {"card": told.to_dict(), "axes": axes, "place": place}


def read_card(folder: Path) -> tuple[Card, dict[str, Axis], str] | None:
    """Card, controls and place of the system in a store; None where there is none, or not ours."""
    try:
        content = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        known = Axis.__dataclass_fields__
        axes = {
            name: Axis(**{k: _tuple(v) for k, v in about.items() if k in known})
            for name, about in content["axes"].items()
        }
        return Card.from_dict(content["card"]), axes, str(content.get("place", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
