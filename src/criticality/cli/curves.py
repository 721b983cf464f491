"""Curves of several sizes, from a CSV or a store: options that all commands of scaling share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from criticality.base import InputError
from criticality.cli.app import Own, Select, opened

if TYPE_CHECKING:
    from criticality.analysis.scaling import ScalingData

COLUMNS = ("p", "L", "value")  # of a CSV, unless they are named: control, size, value


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What to read, and which of it to keep."""

    source: Annotated[Path, typer.Argument(help="CSV file or directory of a store.")]
    control: Annotated[str | None, typer.Option(help="Column or axis: control parameter.")] = None
    size: Annotated[str | None, typer.Option(help="Column or axis: system size.")] = None
    value: Annotated[str | None, typer.Option(help="Column or observable: the measured value.")] = (
        None
    )
    realization: Annotated[str, typer.Option(help="Column: number of the realization.")] = (
        "realization"
    )
    mean: Annotated[str | None, typer.Option(help="Column: mean, where there are no samples.")] = (
        None
    )
    sem: Annotated[str | None, typer.Option(help="Column: standard error of the mean.")] = None
    select: Select = None
    control_range: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Keep control values in LO HI.", metavar="LO HI"),
    ] = None
    size_min: Annotated[float | None, typer.Option(help="Keep sizes from this one on.")] = None
    system: Own = None

    def read(self) -> ScalingData:
        """Curves, within the range and from the least size on.

        Raises
        ------
        InputError
            For options that do not belong to the source, or as `ScalingData` does.
        """
        data = self._store() if self.source.is_dir() else self._csv()
        return data.restrict(self.control_range, self.size_min)

    def _store(self) -> ScalingData:
        if self.mean is not None or self.sem is not None:
            raise InputError(
                f"{self.source} is a store and has samples; --mean and --sem are for CSV."
            )
        results = opened(self.source, self.select, self.system)
        return results.curves(self.control, self.size, self.value)

    def _csv(self) -> ScalingData:
        from criticality.analysis.scaling import ScalingData

        if self.system is not None:
            raise InputError(
                f"--system {self.system}: is for a store; {self.source} is not a directory."
            )
        if self.select:
            raise InputError(
                f"--select {self.select[0]}: is for a store; {self.source} is not a directory."
            )
        control, size, value = COLUMNS
        return ScalingData.from_csv(
            self.source,
            control=self.control or control,
            size=self.size or size,
            value=self.value or value,
            realization=self.realization,
            mean=self.mean,
            error=self.sem,
        )


def with_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first parameter is `DataOptions`, these options one by one."""
    hints = get_type_hints(DataOptions, include_extras=True)
    shared = {field.name: field for field in fields(DataOptions)}
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[name],
        )
        for name, field in shared.items()
    ]
    first, *own = inspect.signature(command, eval_str=True).parameters.values()
    options += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        data = DataOptions(**{name: given.pop(name) for name in shared})
        command(**{first.name: data}, **given)

    flat.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    flat.__annotations__ = {one.name: one.annotation for one in options}
    return flat
