"""The command that finds where an order parameter vanishes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError
from criticality.cli.app import (
    Draws,
    Json,
    Level,
    Own,
    Seed,
    Select,
    StoreDir,
    app,
    between_0_and_1,
    opened,
    write,
    write_json,
)

if TYPE_CHECKING:
    from criticality.analysis.thresholds import CriticalPoints, Options
    from criticality.results import Results

Range = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--control-range",
        help="Control values that are fitted; by default from the data.",
        metavar="LO HI",
    ),
]


@app.command()
def threshold(
    store: StoreDir,
    observable: Annotated[
        str, typer.Option(help="Order parameter; by default what the system says.")
    ] = "",
    control: Annotated[
        str,
        typer.Option(
            help="Axis along which it vanishes; by default what the system says.", metavar="AXIS"
        ),
    ] = "",
    select: Select = None,
    offset: Annotated[
        float | None,
        typer.Option(help="Its value in the disordered phase; by default 0, or as measured."),
    ] = None,
    control_range: Range = None,
    points: Annotated[
        int, typer.Option(help="Control values that are fitted, at most.", min=8)
    ] = 32,
    draws: Draws = 500,
    seed: Seed = 0,
    level: Level = 0.95,
    system: Own = None,
    as_json: Json = False,
) -> None:
    """Find where an order parameter vanishes, and its exponent there."""
    if offset is not None and not math.isfinite(offset):
        raise InputError(f"--offset {offset:g}: expected a finite number.")
    if control_range is not None and not -math.inf < control_range[0] < control_range[1] < math.inf:
        raise InputError(
            f"--control-range {control_range[0]:g} {control_range[1]:g}: expected two numbers, "
            f"least < greatest."
        )
    between_0_and_1("--level", level)
    from criticality.analysis.thresholds import Options

    options = Options(
        observable=observable,
        offset=offset,
        control_range=control_range or (None, None),
        points=points,
        draws=draws,
        seed=seed,
        level=level,
    )
    results = opened(store, select, system)
    own = None if control else results.function("threshold")
    found = own(results, options) if own else _along_axis(results, control, options)
    if as_json:
        write_json(found.to_dict())
    else:
        write(str(found))


def _along_axis(results: Results, control: str, options: Options) -> CriticalPoints:
    """Critical points along one axis, whatever the system."""
    from criticality.analysis import thresholds
    from criticality.analysis.exponents import averaged

    card = results.card
    along = control or (card.plane[-1] if card.plane else "")
    if not along:
        raise InputError(
            f"{card.name}: its card names neither a plane nor a threshold, so that it is not known "
            f"what vanishes where. Declare plane=(...) and order=(...), or give --control AXIS "
            f"--observable NAME."
        )
    name = options.observable or card.order[0]
    told = card.observable(name)
    if told.censored:
        raise InputError(
            f"{name}: is censored (+inf where it did not happen), so that its mean is none; choose "
            f"another order parameter with --observable."
        )
    stored = any(name == observable.name for observable in card.observables)
    ds = averaged(results.open(*[name] * stored), name, card.repeated).to_dataset(name=name)
    axis = results.axes.get(along)
    shared: dict[str, Any] = {"paired": True} if axis is not None and axis.shared else {}
    found = thresholds.along_axis(
        ds, name, along, offset=options.offset or 0.0, **shared, **options.of_fit()
    )
    if not found:
        raise InputError(f"{name}: not a number in any result.")
    heading = (
        f"{name} along {along}, {found[0].order.side} its threshold; errors in the last digits, "
        f"from resampled realizations"
    )
    return thresholds.CriticalPoints(found, thresholds.Wording(heading=heading))
