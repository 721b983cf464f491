"""What was run: controls, where and with what it was computed, and how to do it again."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from criticality.results import Results
from criticality.study.status import Status

MADE_BY = ("criticality", "commit", "python", "libraries", "device", "dtype", "lanes", "data")
LARGEST = 2**53  # whole number of JavaScript
MOST = 200  # failures that are named


def run(results: Results, found: Status) -> dict[str, Any]:
    """Tell what was run, by the plan of a store and by what its results say."""
    plan = found.plan
    controls = []
    for name, axis in results.axes.items():
        swept = name in plan["grid"]
        value = plan["grid"][name] if swept else plan["controls"].get(name)
        controls.append(
            {
                "name": name,
                "symbol": axis.symbol,
                "unit": axis.unit,
                "doc": axis.doc,
                "value": value,
                "swept": swept or (axis.inner and isinstance(value, list)),
                "inner": axis.inner,
            }
        )
    return {
        "controls": controls,
        "seed": plan["seed"],
        "realizations": plan["realizations"],
        "made_by": _made_by(results),
        "created": _between(results),
        "failed": list(found.failed.values())[:MOST],
        "failed_in_all": len(found.failed),
        "damaged": len(found.damaged),
        "study": _studies(plan),
        "command": _command(results),
    }


def digits(content: Any) -> Any:
    """Write whole numbers that a browser would round, such as seeds, as texts."""
    if isinstance(content, Mapping):
        return {name: digits(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [digits(value) for value in content]
    return str(content) if isinstance(content, int) and abs(content) > LARGEST else content


def _made_by(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Versions, libraries, devices: each with the number of results that it gave."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in MADE_BY}
    for entry in results.store.entries()[0]:
        for name in MADE_BY:
            if said := str(entry.attributes.get(name, "")):
                counts[name][said] += 1
    return {
        name: [{"value": value, "results": n} for value, n in count.most_common()]
        for name, count in counts.items()
        if count
    }


def _between(results: Results) -> list[str]:
    """When the first and the last result were made."""
    times = sorted(
        str(entry.attributes["created"])
        for entry in results.store.entries()[0]
        if entry.attributes.get("created")
    )
    return [times[0], times[-1]] if times else []


def _command(results: Results) -> str:
    place, name = "", shlex.quote(results.store.path.absolute().name)
    if results.store.own():
        place = " --system FILE.py:NAME"
    return f"criticality run study.toml{place} --store {name}"


def _studies(plan: Mapping[str, Any]) -> list[str]:
    """Study files that ask for what this store was asked for, one after another."""
    return [_study({**plan, **ask}) for ask in plan["asked"]] or [_study(plan)]


def _study(plan: Mapping[str, Any]) -> str:
    path = plan.get("path", {})
    grid = {name: values for name, values in plan["grid"].items() if name not in path}
    swept = {*grid, *path}
    fixed = {name: value for name, value in plan["controls"].items() if name not in swept}
    parts = [
        f"system = {_toml(plan['system'])}\nseed = {plan['seed']}\n"
        f"realizations = {plan['realizations']}"
    ]
    for title, table in (("controls", fixed), ("grid", grid), ("path", path)):
        if table:
            lines = [f"{_key(name)} = {_toml(value)}" for name, value in table.items()]
            parts.append("\n".join([f"[{title}]", *lines]))
    return "\n\n".join(parts) + "\n"


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").isalnum()
    return name if plain else _quoted(name)


def _quoted(text: str) -> str:
    """Escape as in JSON, but for what TOML has otherwise: no surrogates, and DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any) -> str:
    """Write a value of a control."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
