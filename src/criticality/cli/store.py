"""Commands about a store: how far it is, whether it is whole, and to take it elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from criticality.base import RunError
from criticality.cli.app import Json, StoreDir, app, say, write, write_json

if TYPE_CHECKING:
    from criticality.study import Store
    from criticality.study.status import Status

WATCH_S = 2.0
TOLD = 10  # failed tasks that are named


@app.command()
def status(
    store: StoreDir,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again and again, until nothing is left to do.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how far a study is: what is done, runs, failed, and is missing."""
    from criticality.study import Store

    here = Store(store)
    with contextlib.suppress(KeyboardInterrupt):
        while (found := report(here, as_json, again=watch)).waiting or found.running:
            if not watch:
                break
            time.sleep(WATCH_S)


def report(store: Store, as_json: bool, again: bool = False) -> Status:
    """Write the status of a store; `again` takes the place of what was written before."""
    from criticality.study.status import status
    from criticality.study.store import no_collection

    with no_collection():
        found = status(store)
    if again and not as_json and sys.stdout.isatty():
        write("\033[H\033[2J")
    if as_json:
        write_json({"store": str(store.path), **found.to_dict()})
    else:
        _write(store, found)
    return found


def _write(store: Store, found: Status) -> None:
    from criticality.study.cost import human_time

    plan = found.plan
    write(f"{store.path}: {plan['system']}, seed {plan['seed']}")
    for name, values in plan["grid"].items():
        write(f"  {name:<15} {', '.join(map(str, values))}")
    write(f"  {'realizations':<15} {plan['realizations']}")
    for name, count in found.not_finite.items():
        write(f"  {name}: not finite in {count} of {found.done} results")
    write(
        f"{found.done} of {found.total} tasks done in {found.seconds / 3600:.2f} core hours, "
        f"of which {found.compile_seconds:.0f} s compiling"
    )
    for where, since in found.running.items():
        oldest = human_time(time.time() - since[0])
        write(f"running on {where}: {len(since)} task(s), the oldest for {oldest}")
    if found.rate and found.waiting:
        write(f"{3600 * found.rate:.0f} tasks an hour; {human_time(found.left)} left at this rate")
    if found.begun:
        write(f"{found.begun} more begun; the next run goes on from their checkpoints")
    if found.failed:
        write(f"{len(found.failed)} failed; `criticality run ... --retry-failed` tries them again")
        for reason in list(found.failed.values())[:TOLD]:
            write(f"  {reason}")
        if len(found.failed) > TOLD:
            write(f"  and {len(found.failed) - TOLD} more: --json names all")
    for path in found.damaged:
        write(f"damaged: {path}")
    if found.damaged and found.missing:
        write("what was lost by that is missing, and the next run computes it again")
    elif found.damaged:
        write("nothing was lost by that; `criticality merge ... --into NEW` leaves it out")


@app.command()
def verify(store: StoreDir, as_json: Json = False) -> None:
    """Read all of a store again: every seal, key, dimension and provenance."""
    from criticality.study import Store
    from criticality.study.verify import verify as verified

    here = Store(store)
    found = verified(here)
    if as_json:
        write_json(vars(found))
    else:
        write(f"{here.path}: {found.results} results and {found.checkpoints} checkpoints read")
        if found.twice:
            write(f"  {found.twice} tasks have more than one result")
        for problem in found.problems:
            write(f"  {problem}")
    if found.problems:
        raise RunError(
            f"{here.path}: {len(found.problems)} problem(s). What was lost is computed again by "
            f"`criticality run`, and `criticality merge {here.path} --into NEW` makes a store "
            f"without what is damaged; what is wrong comes from elsewhere, and is best removed."
        )


@app.command()
def merge(
    stores: Annotated[list[Path], typer.Argument(help="Stores of one study.", show_default=False)],
    into: Annotated[Path, typer.Option(help="Store that will hold all; made or extended.")],
    as_json: Json = False,
) -> None:
    """Bring the results of some stores into one; they themselves stay as they are."""
    from criticality.study import Store
    from criticality.study.merge import check
    from criticality.study.merge import merge as merged

    target = Store(into)
    check([Store(path) for path in stores], target)
    for path in stores:
        count = merged(Store(path), target)
        say(f"{path}: {count} result(s) brought to {into}")
    report(target, as_json)


@app.command()
def export(
    store: StoreDir,
    out: Annotated[Path, typer.Option(help="File to write: .nc (netCDF) or .csv.")],
    observables: Annotated[
        list[str] | None, typer.Option("--observable", help="Only this one; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a whole store into one file, with names, units and what is missing as NaN."""
    from criticality.study import Store
    from criticality.study.export import write_to

    shape = write_to(Store(store).open(observables=observables or None), out)
    if as_json:
        write_json({"file": str(out), **shape})
    else:
        write(f"{out}: {', '.join(f'{name} {size}' for name, size in shape.items())}")
