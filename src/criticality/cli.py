"""The command `criticality`: results on stdout, progress on stderr.

Exit codes: 0 done, 1 some tasks failed, 2 bad input, 130 interrupted.  Commands import what they
need themselves, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from criticality.base import DataError, InputError, RunError

if TYPE_CHECKING:
    import xarray as xr

app = typer.Typer(
    help="A laboratory for phase transitions in neural networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Data sets: list, fetch, verify.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder with the files of data sets as published; looked in first.",
        envvar="CRITICALITY_DATA",
    ),
]
StoreDir = Annotated[Path, typer.Argument(help="Directory of a store.", show_default=False)]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select", help="axis=value: one value of another swept axis.", metavar="AXIS=VALUE"
    ),
]


def _write(text: str = "") -> None:
    sys.stdout.write(text + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _write_json(content: Any) -> None:
    """Print JSON; what is not a finite number becomes null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: finite(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [finite(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    _write(json.dumps(finite(content), indent=1, allow_nan=False))


@app.command("list")
def list_systems(as_json: Json = False) -> None:
    """List the systems with their control parameters and observables."""
    from criticality.base import axes
    from criticality.systems import SYSTEMS

    if as_json:
        _write_json(
            {
                name: {
                    "version": cls.version,
                    "source": cls.source,
                    "controls": {
                        a.name: {**vars(a), "default": cls.__dataclass_fields__[a.name].default}
                        for a in axes(cls).values()
                    },
                    "observables": {o.name: vars(o) for o in cls.observables},
                }
                for name, cls in SYSTEMS.items()
            }
        )
        return
    for name, cls in SYSTEMS.items():
        _write(f"{name} (version {cls.version}): {cls.source}")
        for axis in axes(cls).values():
            default = cls.__dataclass_fields__[axis.name].default
            shown = f"{default[0]} ... {default[-1]}" if isinstance(default, tuple) else default
            allowed = " | ".join(axis.choices) or axis.interval
            allowed = "true | false" if isinstance(default, bool) else allowed
            kind = "inner" if axis.inner else "outer"
            _write(f"  {kind}  {axis.name:<15} {shown!s:<12} {axis.doc}; {allowed}")
        for observable in cls.observables:
            dims = ", ".join(observable.dims)
            _write(f"  gives  {observable.name:<15} {f'({dims})':<12} {observable.doc}")


@data_app.command("list")
def data_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    from criticality import data

    rows = {}
    for name in data.NAMES:
        source = data.SOURCES.get("kmnist" if name == data.KMNIST_10K else name)
        state, folder = data.state(name, data_dir)
        rows[name] = {
            "state": state,
            "folder": folder,
            "training": data.TRAINING_SAMPLES[name],
            "test": data.TEST_SAMPLES[name],
            "pixels": data.PIXELS[name],
            "title": source.title if source else "seeded synthetic patterns, not real data",
            "licence": source.licence if source else "",
        }
    if as_json:
        _write_json(rows)
        return
    for name, row in rows.items():
        _write(
            f"{name:<14} {row['state']:<8} {row['training']:>6} + {row['test']:<6} "
            f"{row['title']}{', ' if row['licence'] else ''}{row['licence']}  {row['folder']}"
        )


@data_app.command("fetch")
def data_fetch(name: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Bring a data set to this machine and verify it."""
    from criticality import data

    paths = data.fetch(name, data_dir)
    _report_files(name, data.verify(name, data_dir) or paths, as_json)


@data_app.command("verify")
def data_verify(name: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check the files of a data set against their checksums."""
    from criticality import data

    _report_files(name, data.verify(name, data_dir), as_json)


def _report_files(name: str, paths: dict[str, Path], as_json: bool) -> None:
    if as_json:
        _write_json({"name": name, "files": {part: str(path) for part, path in paths.items()}})
    else:
        for path in paths.values():
            _write(f"ok  {path}")
        _write(f"{name}: verified" if paths else f"{name}: made on the spot, no files")


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).", show_default=False)],
    store: Annotated[Path, typer.Option(help="Directory of results; made or resumed.")],
    workers: Annotated[int | None, typer.Option(help="Threads; default one a core.")] = None,
    width: Annotated[
        int | None,
        typer.Option(help="Realizations in a batch; default 1, or 64 if vectorized."),
    ] = None,
    vectorize: Annotated[
        bool | None,
        typer.Option("--vectorize/--serial", help="Advance a batch together; default on a GPU."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change seed, realizations or a control, as in --set p_train='[0.0, 0.1]'; "
            "a list sweeps an outer control.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    data_dir: DataDir = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would cost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute what is missing of a study; interrupted, it goes on where it was."""
    from criticality.study import Store, Study
    from criticality.systems import SYSTEMS

    plan = Study.from_toml(study, SYSTEMS, changes or [])
    for option, value in (("--workers", workers), ("--width", width)):
        if value is not None and value < 1:
            raise InputError(f"{option} {value}: expected a whole number of 1 or more.")
    if dry_run:
        _dry_run(plan, Store(store), workers, as_json)
        return
    from criticality.progress import Display
    from criticality.study import run as runner

    with Display() as display:
        try:
            runner.run(
                plan,
                store,
                workers=workers,
                width=width,
                vectorize=vectorize,
                data_dir=data_dir,
                watch=display.update,
            )
        except KeyboardInterrupt:
            display.close()
            _say(f"interrupted; what is done is in {store}, and the same command goes on from it")
            sys.stdout.flush()
            # Threads that are training cannot be stopped, and they hold nothing that is not in
            # the store or cheap to do again: do not wait for them.
            os._exit(130)
    _report_status(Store(store), as_json)


def _dry_run(plan: Any, store: Any, workers: int | None, as_json: bool) -> None:
    from criticality.study.cost import estimate, human_size, human_time
    from criticality.study.run import available_cores

    count = workers or available_cores()
    cost = estimate(plan, store, count)
    if as_json:
        _write_json({**vars(cost), "workers": count})
        return
    _write(f"{cost.tasks} tasks, {cost.missing} to compute ({cost.work / 1e12:.3g} TFLOP)")
    _write(f"about {human_time(cost.seconds)} with {count} worker(s), within a factor of two")
    _write(f"  rate: {cost.basis}; epochs before early stopping are a guess")
    _write(f"about {human_size(cost.disk_bytes)} on disk; nothing was written")


@app.command()
def status(store: StoreDir, as_json: Json = False) -> None:
    """Say how far a study is."""
    from criticality.study import Store

    _report_status(Store(store), as_json)


def _report_status(store: Any, as_json: bool) -> None:
    plan = store.plan()
    entries, damaged = store.entries()
    total = store.total()
    seconds = sum(float(entry.attributes["wall_seconds"]) for entry in entries)
    content = {
        "store": str(store.path),
        "system": plan["system"],
        "seed": plan["seed"],
        "realizations": plan["realizations"],
        "grid": plan["grid"],
        "total": total,
        "done": len(entries),
        "damaged": [str(path) for path in damaged],
        "missing": total - len(entries),
        "core_seconds": round(seconds, 1),
        "devices": sorted({str(entry.attributes["device"]) for entry in entries}),
    }
    if as_json:
        _write_json(content)
        return
    _write(f"{store.path}: {plan['system']}, seed {plan['seed']}")
    for name, values in plan["grid"].items():
        _write(f"  {name:<15} {', '.join(map(str, values))}")
    _write(f"  {'realizations':<15} {plan['realizations']}")
    _write(f"{len(entries)} of {total} tasks done in {seconds / 3600:.2f} core hours")
    for path in damaged:
        _write(f"cannot be read; if it is this study's, the next run computes it again: {path}")


def _open(store: Path, select: list[str] | None) -> xr.Dataset:
    from criticality.study import Store

    results = Store(store)
    ds = results.open()
    total, done = results.total(), len(results.entries()[0])
    if done < total:
        _say(f"not finished: {done} of {total} tasks are done")
    for choice in select or []:
        name, _, text = choice.partition("=")
        if name not in ds.dims:
            from criticality.base import unknown

            raise unknown("axis", name, [str(d) for d in ds.dims], "--select")
        found = [v for v in ds[name].values if str(v).lower() == text.lower() or _same(v, text)]
        if not found:
            values = ", ".join(str(v) for v in ds[name].values)
            raise InputError(f"--select {choice}: {name} has the values {values}.")
        ds = ds.sel({name: found[0]})
    plane = ("p_train", "n_train", "realization", "p_eval", "pass")
    return ds.squeeze([dim for dim, n in ds.sizes.items() if n == 1 and dim not in plane])


def _same(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except ValueError:
        return False


@app.command()
def phases(
    store: StoreDir,
    select: Select = None,
    sigmas: Annotated[float, typer.Option(help="Errors that make alpha significant.")] = 2.0,
    draws: Annotated[int, typer.Option(help="Bootstrap resamplings.", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Find the phase of every point, and the line between eumentia and dementia."""
    from criticality.analysis.phases import Phase, Thresholds, phase_diagram

    if not sigmas > 0:
        raise InputError(f"--sigmas {sigmas}: expected a positive number.")
    ds = _open(store, select)
    found = phase_diagram(ds, thresholds=Thresholds(sigmas=sigmas), draws=draws, seed=seed)
    names = ("alpha", "alpha_error", "chi2_dof", "fit_probability", "loss", "accuracy")
    ends = ("boundary", "boundary_error", "boundary_low", "boundary_high")
    if as_json:
        cells = [
            {
                "p_train": float(p),
                "p_eval": float(q),
                "phase": Phase(int(found["phase"].sel(p_train=p, p_eval=q))).name.lower(),
                **{name: float(found[name].sel(p_train=p, p_eval=q)) for name in names},
            }
            for p in found["p_train"].values
            for q in found["p_eval"].values
        ]
        line = [
            {
                "p_train": float(p),
                **{
                    name.replace("boundary", "p_eval"): float(found[name].sel(p_train=p))
                    for name in ends
                },
                "status": str(found["boundary_status"].sel(p_train=p).values),
            }
            for p in found["p_train"].values
        ]
        about = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in found.attrs.items()}
        _write_json({"cells": cells, "line": line, "method": about})
        return
    letters = {Phase.EUMENTIA: "E", Phase.DEMENTIA: "D", Phase.AMENTIA: "A", Phase.UNRESOLVED: "?"}
    controls, probes = found["p_train"].values, found["p_eval"].values
    doubted = (found["fit_probability"] < found.attrs["threshold_fit_probability"]).values
    _write("phase of every cell: E eumentia, D dementia, A amentia, ? unresolved")
    _write("lower case: no power law fits, alpha is a mean slope over these sizes\n")
    _write("p_eval \\ p_train" + "".join(f"{p:>7g}" for p in controls))
    for j in reversed(range(len(probes))):
        column = (letters[Phase(int(v))] for v in found["phase"].values[:, j])
        marks = (m.lower() if d else m for m, d in zip(column, doubted[:, j], strict=True))
        _write(f"{probes[j]:>16g}" + "".join(f"{m:>7}" for m in marks))
    percent = round(100 * found.attrs["level"])
    _write(f"\np_eval* where alpha = 0 (eumentia below, dementia above), {percent} % interval")
    for p in controls:
        here = found.sel(p_train=p)
        value, error, low, high = (float(here[name]) for name in ends)
        if math.isnan(low):
            _write(f"  p_train = {p:<5g} none: {here['boundary_status'].values}")
            continue
        middle = f"{value:.3f}" if math.isfinite(value) else f"{here['boundary_status'].values}:"
        spread = f" +- {error:.3f}" if math.isfinite(error) else ""
        bounds = (f"{v:.3f}" if math.isfinite(v) else "beyond the grid" for v in (low, high))
        interval = "beyond the grid" if low == high else f"[{', '.join(bounds)}]"
        _write(f"  p_train = {p:<5g} {middle}{spread}  {interval}")
    _write(f"\n{found.attrs['realizations']} realizations; errors: {found.attrs['error_method']}")


@app.command()
def figures(
    store: StoreDir,
    out: Annotated[Path, typer.Option(help="Directory for the figures.")],
    select: Select = None,
    p_train: Annotated[
        float | None, typer.Option(help="Training rate of the crossing; default: where one is.")
    ] = None,
    p_eval: Annotated[
        float | None, typer.Option(help="Evaluation rate of the scaling; default: near 0.8.")
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    as_json: Json = False,
) -> None:
    """Draw the phase diagram, the scaling with size, and the crossing."""
    if file_format not in ("png", "pdf", "svg"):
        raise InputError(f"--format {file_format}: expected png, pdf or svg.")
    from matplotlib.figure import Figure

    from criticality import figures as draw
    from criticality.analysis.phases import phase_diagram

    ds = _open(store, select)
    found = phase_diagram(ds)
    crossing = found["p_train"].values[found["boundary_status"].values == "crossing"]
    rate = _measured(ds, "p_train", p_train, crossing[0] if len(crossing) else 0.0)
    probe = _measured(ds, "p_eval", p_eval, 0.8)
    pages: dict[str, Figure] = {}

    def page(name: str, columns: int, width: float) -> Any:
        pages[name] = Figure(figsize=(width, 4.2), layout="constrained")
        return pages[name].subplots(1, columns)

    panels = page("phase_diagram", 3, 13)
    draw.phase_map(found, panels[0])
    draw.accuracy_map(found, panels[1])
    draw.exponent_map(found, panels[2])
    panels = page("scaling", 2, 11)
    draw.against_control(ds, probe, panels[0])
    draw.against_size(ds, found, probe, ax=panels[1])
    panels = page("crossing", 3, 15)
    draw.against_probe(ds, found, rate, "loss", panels[0])
    draw.crossing(ds, found, rate, panels[1])
    draw.against_probe(ds, found, rate, "accuracy", panels[2])
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = {}
        for name, figure in pages.items():
            files[name] = str(out / f"{name}.{file_format}")
            figure.savefig(files[name], dpi=160)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error}).") from error
    if as_json:
        _write_json(files)
    else:
        for file in files.values():
            _write(file)


def _measured(ds: xr.Dataset, name: str, wanted: float | None, default: float) -> float:
    """Give a measured value of an axis: the one asked for, or the nearest to a default."""
    values = [float(v) for v in ds[name].values]
    nearest = min(values, key=lambda v: abs(v - (default if wanted is None else wanted)))
    if wanted is not None and not math.isclose(nearest, wanted, abs_tol=1e-9):
        listed = ", ".join(f"{v:g}" for v in values)
        raise InputError(
            f"--{name.replace('_', '-')} {wanted:g} was not measured; it has {listed}."
        )
    return nearest


def main() -> None:
    """Run the command; a user's mistake is a message, never a traceback."""
    try:
        app()
    except (InputError, DataError) as error:
        _say(f"error: {error}")
        sys.exit(2)
    except RunError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except BrokenPipeError:
        os._exit(0)
    except OSError as error:  # a path that the system refuses
        _say(f"error: {error}")
        sys.exit(2)
