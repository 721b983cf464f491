"""A store read again from beginning to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from criticality import files
from criticality.base import Axis, digest, stated
from criticality.study.journal import Arrays, Result
from criticality.study.store import Store

PROVENANCE = ("system", "version", "seed", "source", "created", "criticality", "device")


@dataclass
class Verified:
    """What was found: counts, and problems in words.

    Attributes
    ----------
    results, checkpoints
        Read whole.
    twice
        Tasks of which there is more than one result; all that can differ is who computed them.
    """

    results: int = 0
    checkpoints: int = 0
    twice: int = 0
    problems: list[str] = field(default_factory=list)


def verify(store: Store) -> Verified:
    """Read every result and checkpoint of a store again.

    Seals, keys (which are digests of what results depend on), dimensions, provenance, and that
    results of one task have the same numbers.

    Raises
    ------
    InputError
        If it is no store.
    """
    found = Verified()
    store.plan()
    store.refresh()
    found.problems += [f"{path}: damaged" for path in store.damaged()]
    damaged = len(found.problems)
    every = [(None, result) for result in store.every()]
    store.refresh()  # a run may go on
    copies = Counter(result.key for _, result in every)
    found.twice = sum(count > 1 for count in copies.values())
    numbers: dict[str, bytes] = {}
    told, declared = store.card() if every else (None, {})
    names = {o.name for o in told.observables} if told else set()
    ours = {result.key for _, result in store.fitting(store.plan())}
    for _, result, arrays in store.numbers(every, lambda result: tuple(result.head.observables)):
        found.results += 1
        where = f"{result.path.name}, task {result.key[:32]}"
        found.problems += [
            f"{where}: {problem}" for problem in _problems(result, names, declared, arrays)
        ]
        if result.key not in ours and copies[result.key] == 1:
            found.problems.append(f"{where}: not of the study of this store")
        if copies[result.key] > 1 and not result.own.get("not_finite"):  # tried again
            content = files.seal(arrays[name].tobytes() for name in sorted(arrays))
            if numbers.setdefault(result.key, content) != content:
                found.problems.append(f"{where}: another result of it has other numbers")
    if len(store.damaged()) > damaged:
        found.problems += [f"{path}: damaged" for path in store.damaged()[damaged:]]
    for path in sorted(store.checkpoints.glob(f"*{files.CHECKPOINT}")):
        try:
            files.unsealed(path)
            found.checkpoints += 1
        except (OSError, ValueError) as error:
            found.problems.append(f"{path}: damaged ({error}); it will not be used")
    return found


def _problems(
    result: Result, names: set[str], declared: Mapping[str, Axis], arrays: Arrays
) -> list[str]:
    about, problems = result.attributes, []
    for name in PROVENANCE:
        if name not in about:
            problems.append(f"does not say its {name}")
    depends = {name: about.get(name) for name in ("system", "version", "seed", "data")}
    try:
        point = stated(result.point, declared)
        key = digest(depends | {"controls": point, "realization": result.realization})
    except ValueError:  # a control that is no number
        key = ""
    if key != result.key:
        problems.append(f"its key is not that of its controls ({key[:32]})")
    if {*result.head.observables} != names:
        there, expected = ", ".join(result.head.observables), ", ".join(sorted(names))
        problems.append(f"has {there}; expected {expected}")
    for name, (dims, *_) in result.head.observables.items():
        if arrays[name].shape != tuple(len(arrays[dim]) for dim in dims):
            problems.append(f"{name} is not over {', '.join(dims)}")
    return problems
