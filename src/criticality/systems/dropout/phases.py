"""Phases from the scaling of the test loss with the size of the training set.

Pan, Aggarwal and Pixley, Eq. (4): <L> ~ N^alpha.  Eumentia has alpha < 0 (more data help),
dementia alpha > 0 (more data hurt), amentia does not learn at all.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from criticality import data
from criticality.analysis import stats
from criticality.analysis.boundaries import Boundary, boundaries
from criticality.analysis.classify import PhaseDiagram, on_plane, phase_attributes, values
from criticality.analysis.exponents import averaged, exponents
from criticality.base import DataError, Estimate, Flag, InputError
from criticality.systems.dropout import DropoutNetwork

PHASES = DropoutNetwork.card.phases
CLASSES = 10  # where the data do not say of which set they are
UNRESOLVED, EUMENTIA, DEMENTIA, AMENTIA = range(4)  # codes in `cells`


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What decides a phase.

    Attributes
    ----------
    sigmas
        |alpha| above this many standard errors is significant; for few realizations more, so that
        the probability of a false phase is that of a Gaussian beyond so many sigmas.
    accuracy_margin, loss_margin
        A network has not learned when its accuracy is below 1/K + `accuracy_margin` and its loss
        above (1 - `loss_margin`) ln K, for K balanced classes.  Amentia: so without evaluation
        dropout, for the mean over realizations, at every size; never stated if p_eval = 0 was not
        measured.
    fit_probability
        A power law is doubted when chance would fit it worse with less than this probability.
    """

    sigmas: float = 2.0
    accuracy_margin: float = 0.1
    loss_margin: float = 0.1
    fit_probability: float = 0.01


def phase_diagram(
    ds: xr.Dataset,
    *,
    control: str = "p_train",
    probe: str = "p_eval",
    size: str = "n_train",
    criteria: Criteria | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PhaseDiagram:
    """Exponent, phase and phase boundary from the losses of a study.

    Exponents and their errors as in `exponents`, all evaluation rates of a network together.

    Parameters
    ----------
    ds
        `loss` and `accuracy` with dims (control, size, realization, probe, pass) in any order.
    control, probe, size
        Names of the training rate, the evaluation rate and the number of training samples.
    criteria
        Of the classification.
    draws, seed
        Bootstrap resamplings, and their random seed.
    level
        Probability content of the intervals of the boundaries.

    Returns
    -------
    PhaseDiagram
        Its `cells` hold, over (control, probe): `alpha`, `alpha_error` (standard error), `dof`
        (Satterthwaite's degrees of freedom of that error), `log_amplitude`, `chi2_dof`,
        `fit_probability`, `doubted` (no power law fits), `phase`, and at the largest size `loss`
        and `accuracy`.  Its `boundaries`: for each control value the lowest rate where alpha
        changes from negative to positive, NaN where it does not, when the interval is still given;
        and the border of amentia along the control: where accuracy without evaluation dropout
        falls through 1/K + `accuracy_margin`
        at the largest size.

    Raises
    ------
    InputError
        If dims are missing or left over, or there are fewer than two sizes.
    """
    limits = criteria or Criteria()
    for name in ("loss", "accuracy"):
        averaged(ds, name, ())  # is there
    ds = on_plane(ds[["loss", "accuracy"]], (control, probe), size).sortby([control, size, probe])
    if ds.sizes[size] < 2:
        raise InputError(
            f"alpha needs at least two values of {size}; the study has {ds.sizes[size]}."
        )
    fit = exponents(ds, "loss", size, inner=(probe,), from_sizes=False, draws=draws, seed=seed)
    method = dict(fit.attrs)
    fit = fit.rename(exponent="alpha", exponent_error="alpha_error", exponent_dof="dof")
    fit = fit.transpose(control, probe)[
        ["alpha", "alpha_error", "dof", "log_amplitude", "chi2_dof", "fit_probability"]
    ]
    largest = {name: values(ds.isel({size: -1}), name) for name in ("loss", "accuracy")}
    cells = fit.assign({n: v[n].transpose(control, probe) for n, v in largest.items()})
    phase = _classify(cells, _not_learned(ds, size, control, probe, limits), limits)
    cells["phase"] = ((control, probe), phase, phase_attributes(PHASES))
    line = _line(cells, control, probe, level, ds.sizes["realization"])
    cells["doubted"] = cells["fit_probability"] < limits.fit_probability
    cells["doubted"].attrs["long_name"] = (
        "no power law fits, alpha is a mean slope over these sizes"
    )
    cells.attrs = {
        **method,
        "level": level,
        **{f"criterion_{name}": value for name, value in vars(limits).items()},
    }
    border: tuple[Boundary, ...] = ()
    if cells[probe].values[0] == 0:
        border = boundaries(
            largest["accuracy"].isel({probe: [0]}),
            "accuracy",
            control,
            threshold=1 / classes(ds) + limits.accuracy_margin,
            direction="down",
            level=level,
            between=("amentia", ""),
            n=ds.sizes["realization"],
        )
    return PhaseDiagram(
        cells=cells, boundaries=(*line, *border), phases=PHASES, method=dict(cells.attrs)
    )


def classify(ds: xr.Dataset, *, sigmas: float, draws: int, level: float, seed: int) -> PhaseDiagram:
    """Find the phases; as the card of a system asks for it."""
    criteria = Criteria(sigmas=sigmas)
    return phase_diagram(ds, criteria=criteria, draws=draws, level=level, seed=seed)


def classes(ds: xr.Dataset) -> int:
    """Give the number of classes of the data set that the networks learned."""
    controls = json.loads(ds.attrs.get("controls", "{}"))
    try:
        return data.shape(controls["dataset"]).classes
    except (KeyError, InputError, DataError):  # swept, or a user's own file that is not here
        return CLASSES


def _not_learned(
    ds: xr.Dataset, size: str, control: str, probe: str, limits: Criteria
) -> NDArray[np.bool_]:
    """Whether no size is known to have learned, [control], judged without evaluation dropout."""
    nothing = np.zeros(ds.sizes[control], bool)
    if ds[probe].values[0] != 0:
        return nothing
    first = ds.isel({probe: 0})
    loss, accuracy = (
        stats.centre(averaged(first, n, ("pass",)).transpose("realization", control, size).values)
        for n in ("loss", "accuracy")
    )
    many = classes(ds)
    chance = (accuracy < 1 / many + limits.accuracy_margin) & (
        loss > (1 - limits.loss_margin) * math.log(many)
    )
    known = np.isfinite(loss)
    failed: NDArray[np.bool_] = np.any(known, axis=1) & np.all(chance | ~known, axis=1)
    return failed


def _classify(
    cells: xr.Dataset, not_learned: NDArray[np.bool_], limits: Criteria
) -> NDArray[np.int8]:
    """Code of the phase, [control, probe]."""
    alpha = cells["alpha"].values
    limit = stats.quantile_of_few(limits.sigmas, cells["dof"].values) * cells["alpha_error"].values
    phase = np.where(alpha < -limit, EUMENTIA, UNRESOLVED)
    phase = np.where(alpha > limit, DEMENTIA, phase)
    return np.where(not_learned[:, None], AMENTIA, phase).astype(np.int8)


def _line(
    cells: xr.Dataset, control: str, probe: str, level: float, n: int
) -> tuple[Boundary, ...]:
    """Give the border of eumentia and dementia on the probe, at every control value."""
    plane = cells[["alpha", "alpha_error"]].assign(alpha_dof=cells["dof"])
    found = boundaries(
        plane, "alpha", probe, direction="up", level=level, between=("eumentia", "dementia"), n=n
    )
    if not found:  # a single evaluation rate
        nothing = Estimate(value=math.nan, level=level, n=n)
        flag = Flag("no line", "alpha", f"a single {probe}")
        found = tuple(
            Boundary(
                along=probe,
                at={control: p.item()},
                quantity="alpha = 0",
                estimate=nothing,
                between=("eumentia", "dementia"),
                flags=(flag,),
            )
            for p in cells[control].values
        )
    amentic = (cells["phase"] == AMENTIA).all(probe).values
    return tuple(
        dataclasses.replace(
            b,
            estimate=Estimate(value=math.nan, level=level, n=n, method=b.estimate.method),
            flags=(Flag("amentia", "", "amentia"),),
        )
        if dead
        else b
        for b, dead in zip(found, amentic, strict=True)
    )
