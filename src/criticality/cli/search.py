"""Commands that look for the best values of controls."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError, Search
from criticality.cli.app import (
    DataDir,
    Json,
    Level,
    Own,
    Select,
    StoreDir,
    app,
    between_0_and_1,
    opened,
    write,
    write_json,
)
from criticality.cli.study import (
    Changes,
    DryRun,
    Quiet,
    Vectorize,
    Width,
    Workers,
    begin,
    compute,
)

if TYPE_CHECKING:
    from criticality.analysis.search import Best, Loss
    from criticality.results import Results

MOST = 24  # points in the table


@app.command()
def tune(
    system: Annotated[
        str, typer.Argument(help="An installed system, or FILE.py:NAME.", show_default=False)
    ],
    store: Annotated[Path, typer.Option(help="Directory of results; made or resumed.")],
    changes: Changes = None,
    level: Level = 0.95,
    workers: Workers = None,
    width: Width = None,
    vectorize: Vectorize = None,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the search that a system's card declares, and say which of its points is best."""
    from criticality import catalog
    from criticality.study import Study

    between_0_and_1("--level", level)
    plan = Study.along(catalog.find(system), changes or [])
    if begin(plan, store, workers, width, dry_run, as_json):
        compute(plan, store, workers, width, vectorize, data_dir, quiet)
        own = system if ":" in system else None
        _report(opened(store, None, own), None, None, level, as_json)


@app.command()
def best(
    store: StoreDir,
    by: Annotated[
        str | None,
        typer.Option(help="Observable that is smallest there; default: what the card searches by."),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(help="Report this one of the best point; may be repeated."),
    ] = None,
    select: Select = None,
    level: Level = 0.95,
    system: Own = None,
    as_json: Json = False,
) -> None:
    """Say which of the points that were measured is best, and what a search of few would lose."""
    between_0_and_1("--level", level)
    _report(opened(store, select, system), by, show, level, as_json)


def _report(
    results: Results, by: str | None, show: list[str] | None, level: float, as_json: bool
) -> None:
    from criticality.analysis.search import best, loss, searched, split_share

    told = results.card.search
    if told is None and by is None:
        raise InputError(
            f"{results.card.name}: its card has no Search; say with --by which observable is to be "
            f"smallest."
        )
    search = Search(minimise=by or "", show=tuple(show or ())) if told is None else told
    ds = results.open()
    minimise, shown = by or search.minimise, tuple(show or search.show)
    how: Any = {"axes": searched(results.axes), "level": level, "share": split_share(ds, search)}
    every = best(ds, minimise, shown, **how)
    on_path = {name: values for name, values in search.path.items() if name in ds.dims}
    few, lost = None, None
    if len(on_path) == len(search.path) > 0:
        with contextlib.suppress(InputError):  # as where no point of the path was measured
            few = best(ds, minimise, shown, on_path, **how)
            if len(few.points) < len(every.points):
                lost = loss(ds, minimise, shown, on_path, **how)
    if as_json:
        content: dict[str, Any] = every.to_dict()
        if few and lost:
            content |= {"path": few.to_dict(), "loss": lost.to_dict()}
        write_json(content)
        return
    _table(every, results, how["share"])
    if few and lost:
        _compare(few, lost, search)


def _table(found: Best, results: Results, share: float) -> None:
    """Write the points, the best one, and what is known of it."""
    percent = round(100 * found.scores[0].level)
    about = results.card.observable(found.minimised)
    write(f"{found.minimised}, {about.doc or 'minimised'}, at {len(found.points)} points:\n")
    names = list(found.point)
    known = found.scores[0].n > 1
    shown = list(range(len(found.points)))
    if len(shown) > MOST:  # the best of them
        shown = sorted(shown, key=lambda i: found.scores[i].value)[:MOST]
    write("  ".join([*(f"{name:>12}" for name in names), f"{found.minimised:>14}"]))
    for place in shown:
        point = "  ".join(f"{_short(value):>12}" for value in found.points[place].values())
        alike = place in found.alike and known
        mark = "  best" if place == found.place else "  not worse" * alike
        write(f"{point}  {found.scores[place]!s:>14}{mark}".rstrip())
    if len(shown) < len(found.points):
        write(f"  ... and {len(found.points) - len(shown)} more with a larger one")
    write(f"\nbest: {_said(found.point)}")
    for flag in found.flags:
        write(f"  in doubt: {flag}")
    if found.shown:
        interval = f" ({percent} % interval)" * known
        write(f"\nwhere each realization finds its own best point{interval}; all at the best point")
        for name, one in found.own.items():
            write(f"  {name:<24} {one!s:>12}  {_interval(one):<22} {found.shown[name]!s:>12}")
        if share:
            write(
                "  (realizations split one data set: what is for test in one chooses in others, so "
                "the last column flatters)"
            )
    first = found.scores[0]
    write(f"\n{first.n} realization{'s' * known}{f'; {first.method}' * known}")
    if known:
        write("not worse: the interval of the paired difference from the best holds zero")


def _compare(few: Best, lost: Loss, search: Search) -> None:
    """Write what the path loses."""
    whole = len(next(iter(search.path.values())))
    part = f" ({lost.points} of its {whole})" if lost.points < whole else ""
    write(
        f"\n{lost.points} of {lost.of} points lie on the path of {', '.join(search.path)}{part}: "
        f"{100 * lost.points / lost.of:.1f} %. The best of these: {_said(few.point)}"
    )
    write(
        f"path - all, where every realization chooses by itself; {lost.points} points drawn at "
        f"random - all"
    )
    for name, one in lost.differences.items():
        write(f"  {name:<24} {one!s:>12}  {_interval(one):<22} {lost.random[name]!s:>12}")


def _said(point: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {_short(value)}" for name, value in point.items()) or "the only one"


def _interval(found: Any) -> str:
    if not math.isfinite(found.low):
        return ""
    return f"[{found.low:.4g}, {found.high:.4g}]"


def _short(value: Any) -> str:
    return str(value) if isinstance(value, str | bool) else f"{value:.6g}"
