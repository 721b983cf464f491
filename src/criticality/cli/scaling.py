"""Commands of finite-size scaling, on a CSV or on a store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import InputError, unknown
from criticality.cli.app import FORMATS, MOST, Draws, Json, Level, Seed, app, write, write_json
from criticality.cli.curves import DataOptions, with_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from criticality.analysis.scaling import Choice, Decision, Marginal, ScalingData
    from criticality.analysis.scaling.ansatz import Ansatz
    from criticality.analysis.scaling.crossings import Crossings

ANSATZE = ("algebraic", "bkt", "none")

FigureFile = Annotated[
    Path | None, typer.Option("--figure", help="Draw into this file (png, pdf, svg).")
]
Reference = Annotated[
    str | None, typer.Option("--L0", help='Of the BKT form: a number, or "marginal".')
]
Corrections = Annotated[bool, typer.Option("--corrections", help="Allow corrections to scaling.")]
Regular = Annotated[
    bool,
    typer.Option("--regular", help="Allow a regular dependence on the control besides."),
]
Choices = Annotated[
    bool,
    typer.Option(
        "--marginal", help="Integrate out the range, the least size and corrections to scaling."
    ),
]
Centres = Annotated[
    list[float] | None,
    typer.Option("--centre", help="Of a range (with --marginal); again for each."),
]
Widths = Annotated[
    list[float] | None,
    typer.Option("--half-width", help="Of ranges (with --marginal); again for each."),
]
Least = Annotated[
    list[float] | None,
    typer.Option("--least-size", help="Least size kept (with --marginal); again for each."),
]


@app.command()
@with_data
def collapse(
    curves: DataOptions,
    ansatz: Annotated[str, typer.Option(help="algebraic, bkt or none.")] = "algebraic",
    p_c: Annotated[str, typer.Option(help='"free" or a number.')] = "free",
    nu: Annotated[str | None, typer.Option(help='"free" or a number (algebraic).')] = None,
    beta: Annotated[str | None, typer.Option(help='"free" or a number; default 0.')] = None,
    sigma: Annotated[str | None, typer.Option(help='"free" or a number (bkt).')] = None,
    reference: Reference = None,
    objective: Annotated[str, typer.Option(help="gp, local-linear or houdayer-hartmann.")] = "gp",
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Keep points whose scaling variable is in LO HI.", metavar="LO HI"),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(help="Resamplings of realizations; 0: errors of the posterior.", max=MOST),
    ] = 0,
    corrections: Corrections = False,
    regular: Regular = False,
    marginal: Choices = False,
    centre: Centres = None,
    half_width: Widths = None,
    least_size: Least = None,
    level: Level = 0.95,
    seed: Seed = 0,
    figure: FigureFile = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Write measured and scaled points, or all choices, into this CSV file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a finite-size-scaling form: critical point and exponents with errors."""
    form = _ansatz(ansatz, p_c, nu, beta, sigma, reference)
    data = curves.read()
    _drawable(figure)
    from criticality.analysis import scaling

    made = _choices(data, marginal, centre, half_width, least_size)
    if made is not None:
        if objective != "gp" or window is not None or draws or corrections or regular:
            raise InputError(
                "--marginal makes the fits itself: leave out --objective, --window, --draws, "
                "--corrections and --regular."
            )
        found = scaling.marginal(data, form, made, level=level, seed=seed)
        if figure is not None:
            _draw_choices([found], figure)
        if table is not None:
            _write_table(found.table(), table)
        if as_json:
            write_json(found.to_dict())
        else:
            _report_marginal(found)
        return
    fit = scaling.collapse(
        data,
        form,
        objective=objective,  # type: ignore[arg-type]
        window=window,
        corrections=corrections,
        regular=regular,
        draws=draws,
        level=level,
        seed=seed,
    )
    if figure is not None:
        from criticality import figures as draw

        both = {"p_c", fit.exponent} <= set(fit.free)
        gp = fit.objective == "gp"
        page, axes = _page(2 + gp + both)
        panels = iter(axes)
        draw.curves(fit.data, fit=fit, ax=next(panels))
        draw.collapsed(fit, next(panels))
        if gp:
            draw.residuals(fit, next(panels))
        if both:
            draw.objective(scaling.landscape(fit), fit, next(panels))
        _save(page, figure)
    if table is not None:
        _write_table(fit.table(), table)
    if as_json:
        write_json(fit.to_dict())
        return
    write(str(fit))
    for name, fitted in fit.params.items():
        if fitted.fixed:
            write(f"  {name:<6} {fitted.value:.6g}  fixed")
        else:
            percent = f"{100 * fitted.level:g} %"
            interval = f"{percent} [{fitted.low:.6g}, {fitted.high:.6g}]"
            write(f"  {name:<6} {fitted.value:.6g} +- {fitted.error:.2g}  {interval}")
    if math.isfinite(fit.log_evidence):
        write(f"  ln Z   {fit.log_evidence:.2f} +- {fit.log_evidence_error:.2f}")
    write(f"  {len(fit.data.mean)} points, sizes {', '.join(f'{s:g}' for s in fit.data.sizes)}")
    for flag in fit.flags:
        write(f"  note: {flag}")


@app.command()
@with_data
def compare(
    curves: DataOptions,
    beta: Annotated[str, typer.Option(help='Of the algebraic form: "free" or a number.')] = "0",
    reference: Reference = None,
    corrections: Corrections = False,
    regular: Regular = False,
    marginal: Choices = False,
    centre: Centres = None,
    half_width: Widths = None,
    least_size: Least = None,
    decisive: Annotated[
        float, typer.Option(help="Difference of ln Z that decides; 5 is odds of 150 to 1.")
    ] = 5.0,
    level: Level = 0.95,
    seed: Seed = 0,
    figure: FigureFile = None,
    as_json: Json = False,
) -> None:
    """Compare forms by their evidence: algebraic, BKT, no transition, or undecided."""
    data = curves.read()
    _drawable(figure)
    from criticality.analysis import scaling

    forms = scaling.default_ansatze(data, _number("--beta", beta))
    if reference is not None:
        forms = [forms[0], scaling.BKT(L0=_reference(reference))]
    made = _choices(data, marginal, centre, half_width, least_size)
    if made is not None:
        if corrections or regular:
            raise InputError("--marginal has corrections: leave out --corrections and --regular.")
        decision = scaling.decide(
            data, [forms[0], forms[-1]], made, decisive=decisive, level=level, seed=seed
        )
        if figure is not None:
            _draw_choices([decision["algebraic"], decision["bkt"]], figure, decision)
        if as_json:
            write_json(decision.to_dict())
            return
        for each in decision.marginals:
            _report_marginal(each)
        write(f"verdict: {decision.verdict} ({decision.reason})")
        return
    found = scaling.compare(
        data,
        forms,
        decisive=decisive,
        corrections=corrections,
        regular=regular,
        level=level,
        seed=seed,
    )
    if figure is not None:
        from criticality import figures as draw

        page, (ax,) = _page(1)
        draw.evidence(found, ax)
        _save(page, figure)
    if as_json:
        write_json(found.to_dict())
        return
    best = found.fits[0].log_evidence
    for fit in found.fits:
        write(f"{fit.log_evidence - best:10.1f}  {fit}")
        for flag in fit.flags:
            write(f"            note: {flag}")
    write(f"verdict: {found.verdict} ({found.reason})")


@app.command()
@with_data
def crossings(
    curves: DataOptions,
    pairs: Annotated[str, typer.Option(help="adjacent or all.")] = "adjacent",
    draws: Draws = 500,
    level: Level = 0.95,
    seed: Seed = 0,
    figure: FigureFile = None,
    as_json: Json = False,
) -> None:
    """Find where curves of two sizes cross, and extrapolate to infinite size."""
    data = curves.read()
    _drawable(figure)
    from criticality.analysis import scaling

    found = scaling.crossings(
        data,
        pairs=pairs,  # type: ignore[arg-type]
        draws=draws,
        level=level,
        seed=seed,
    )
    if figure is not None:
        from criticality import figures as draw

        page, (ax,) = _page(1)
        draw.curves(data, found, ax=ax)
        _save(page, figure)
    if as_json:
        write_json(found.to_dict())
        return
    _report_crossings(found)


def _choices(
    data: ScalingData,
    marginal: bool,
    centres: list[float] | None,
    half_widths: list[float] | None,
    least: list[float] | None,
) -> tuple[Choice, ...] | None:
    """Choices to integrate out, or None without --marginal."""
    from criticality.analysis import scaling

    given = {"--centre": centres, "--half-width": half_widths, "--least-size": least}
    if not marginal:
        for option, values in given.items():
            if values:
                raise InputError(f"{option} {values[0]:g}: is one of the choices of --marginal.")
        return None
    return scaling.choices(
        data, centres=centres or None, half_widths=half_widths or None, size_min=least or None
    )


def _report_marginal(found: Marginal) -> None:
    write(f"{found.log_evidence:10.1f}  {found}")
    for name, fitted in found.params.items():
        if not fitted.fixed:
            percent = f"{100 * fitted.level:g} %"
            write(f"            {name:<6} {percent} [{fitted.low:.6g}, {fitted.high:.6g}]")
    for flag in found.flags:
        write(f"            note: {flag}")


def _draw_choices(found: Sequence[Marginal], path: Path, decision: Decision | None = None) -> None:
    """Draw p_c and the exponent of each form against all choices, and the evidence."""
    from criticality import figures as draw

    pairs = [(one, name) for one in found for name in ("p_c", "nu", "sigma") if name in one.params]
    page, panels = _page(len(pairs) + (decision is not None))
    for (one, name), ax in zip(pairs, panels, strict=False):
        draw.choices(one, name, ax)
    if decision is not None:
        draw.evidence(decision, panels[-1])
    _save(page, path)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    try:
        table.to_csv(path, index=False)
    except OSError as error:
        raise InputError(f"--table {path}: cannot be written ({error}).") from error


def _report_crossings(found: Crossings) -> None:
    for crossing in found.crossings:
        sizes, at = " x ".join(f"{size:g}" for size in crossing.sizes), crossing.at
        there = math.isfinite(at.value)
        shown, interval = (str(at), f"[{at.low:.5g}, {at.high:.5g}]") if there else ("", "")
        flags = ", ".join(map(str, crossing.flags))
        write(f"{sizes:>20}  {shown:<14} {interval:<22} {flags}")
    for end in found.extrapolations:
        p_c, flags = end.params["p_c"], ", ".join(map(str, end.flags))
        shown = str(p_c) if math.isfinite(p_c.value) else "not determined"
        write(f"  {end.form}: p_c = {shown}  {flags}")


def _ansatz(
    name: str, p_c: str, nu: str | None, beta: str | None, sigma: str | None, reference: str | None
) -> Ansatz:
    """Form from the options; one that does not belong to it is an error."""
    from criticality.analysis.scaling import BKT, Algebraic, NoTransition

    if name not in ANSATZE:
        raise unknown("ansatz", name, ANSATZE, "--ansatz")
    belongs = {"algebraic": ("--nu", "--beta"), "bkt": ("--sigma", "--L0"), "none": ()}[name]
    given = {"--nu": nu, "--beta": beta, "--sigma": sigma, "--L0": reference}
    for option, text in given.items():
        if text is not None and option not in belongs:
            raise InputError(f"{option} {text}: the form {name} has no such parameter.")
    centre = _number("--p-c", p_c)
    if name == "algebraic":
        return Algebraic(centre, _number("--nu", nu or "free"), _number("--beta", beta or "0"))
    if name == "bkt":
        return BKT(centre, _number("--sigma", sigma or "free"), _reference(reference or "1"))
    return NoTransition()


def _number(option: str, text: str) -> Any:
    """Give a number, or the word "free"."""
    if text == "free":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f'{option} {text}: expected a number or "free".') from None


def _reference(text: str) -> Any:
    if text == "marginal":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f'--L0 {text}: expected a number or "marginal".') from None


def _page(number: int) -> tuple[Any, list[Any]]:
    """Give a figure and its panels, at most two in a row."""
    from matplotlib.figure import Figure

    columns = min(number, 2)
    rows = -(-number // columns)
    page = Figure(figsize=(5.2 * columns, 4.0 * rows), layout="constrained")
    parts = page.subfigures(rows, columns, squeeze=False).ravel()
    return page, [part.subplots() for part in parts[:number]]


def _drawable(path: Path | None) -> None:
    """Refuse a figure that could not be written, before anything is computed."""
    if path is not None and path.suffix.removeprefix(".") not in FORMATS:
        raise InputError(f"--figure {path}: expected a name that ends in .png, .pdf or .svg.")
    if path is not None and not path.parent.is_dir():
        raise InputError(f"--figure {path}: there is no folder {path.parent}.")


def _save(page: Any, path: Path) -> None:
    try:
        page.savefig(path, dpi=160)
    except OSError as error:
        raise InputError(f"--figure {path}: cannot be written ({error}).") from error
