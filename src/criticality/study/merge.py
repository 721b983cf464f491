"""Several stores of one study become one."""

from __future__ import annotations

from collections.abc import Sequence

from criticality import files
from criticality.base import InputError, RunError
from criticality.study import manifest, netcdf
from criticality.study.store import INLINE, Store


def check(sources: Sequence[Store], target: Store) -> None:
    """Raise `InputError` if these cannot all be merged; nothing is written."""
    asked: list[manifest.Plan] = []
    for source in sources:
        asked += _asked(source, target)
        try:
            manifest.admitted(target.path, *asked)
        except InputError as error:
            raise InputError(f"{source.path} cannot be merged: {error}") from error


def merge(source: Store, target: Store) -> int:
    """Bring all results and failures of a store into another, and what was asked for.

    Results that are there already stay; a store of many files becomes one of few.

    Returns
    -------
    int
        How many results were new.

    Raises
    ------
    InputError
        If one is no store, or they are of different studies; nothing is written then.
    RunError
        If something cannot be written.
    """
    asked = _asked(source, target)
    manifest.admitted(target.path, *asked)
    plan, told = source.plan(), manifest.read_card(source.path)
    for ask in asked:
        target.begin(ask, manifest.card_data(*told) if told else None)
    source.refresh()
    target.refresh()
    wrong = target.wrong(result.key for _, result in source.of(plan) if target.knows(result.key))
    new = [
        (None, result)
        for _, result in source.of(plan)
        if not target.knows(result.key)
        or (result.key in wrong and not result.own.get("not_finite"))
    ]
    count = 0
    with target.recording() as run:
        for _, result, found in source.numbers(new, lambda result: tuple(result.head.observables)):
            arrays = {name: found[name] for name in result.head.observables}
            size = sum(x.nbytes for x in found.values())
            if result.path.suffix == netcdf.SUFFIX and size > INLINE:
                try:
                    with files.replacing(target.file(result.key)) as temporary:
                        temporary.write_bytes(result.path.read_bytes())
                except OSError as error:
                    raise RunError(f"{target.path}: cannot be written ({error}).") from error
            else:
                target.put(netcdf.whole(result, found), result, arrays, run)
            count += 1
        for key, failure in source.failures().items():
            if not target.knows(key):
                about = {"source_sha256": failure.source_sha256}
                run.fail(key, failure.reason, failure.own, about, failure.point)
    return count


def _asked(source: Store, target: Store) -> list[manifest.Plan]:
    """Plans of all that a store was asked for."""
    if source.path.resolve() == target.path.resolve():
        raise InputError(f"{source.path} cannot be merged into itself; name another --into.")
    plan = source.plan()
    return [_ask(plan, ask) for ask in plan["asked"]]


def _ask(plan: manifest.Plan, ask: manifest.Plan) -> manifest.Plan:
    """Plan of one of the things that a store was asked for."""
    named = ("system", "version", "seed", "controls", "before")
    kept = {name: plan[name] for name in named if name in plan}
    return kept | {name: ask[name] for name in ("grid", "realizations", "path") if name in ask}
