"""What a reader of a fit must know before using its numbers."""

from __future__ import annotations

import math

import numpy as np

from criticality.analysis.scaling.data import ScalingData
from criticality.analysis.scaling.estimates import Fitted
from criticality.analysis.scaling.search import Search
from criticality.analysis.stats import Array
from criticality.base import Estimate, Flag

FEW = 10  # realizations
POOR = 0.01  # a fit that chance makes worse with less than this probability is flagged
LARGE_NU = 30.0  # curves of different sizes then hardly differ
APART = 3.0  # errors: maxima that are two solutions
EDGE = 0.02  # of the measured range: an interval of p_c that comes so near its end is cut by it


def doubts(
    data: ScalingData,
    search: Search,
    theta: Array,
    params: dict[str, Fitted],
    effective: Estimate | None,
    p_value: float,
) -> list[Flag]:
    """Say what a reader must know."""
    model, flags = search.model, []
    for number, parameter in enumerate(model.free):
        name, low, high = parameter.name, model.lower[number], model.upper[number]
        if min(theta[number] - low, high - theta[number]) < 1e-3 * (high - low):
            flags.append(Flag("at bound", name, f"{name} is at the limit of its range"))
            continue
        fitted, edge = params[name], EDGE * (high - low)
        ends = np.array([fitted.low, fitted.high])
        left, right = np.log(ends) if parameter.log else ends
        if left < low + edge or right > high - edge:
            where = "measured range" if name == "p_c" else "range of its prior"
            text = f"the interval of {name} reaches the end of the {where}"
            flags.append(Flag("interval at bound", name, text))
    if search.objective == "gp":
        place = len(model.free) + model.hyper.index("ln l")
        unresolved = theta[place] < model.lower[place] + 0.05
        if unresolved:
            text = "f changes within the distance of two points: the transition is not resolved"
            flags.append(Flag("unresolved", text=text))
        # without a degree of freedom left only that tells a curve through all points from a fit
        if p_value < POOR or (math.isnan(p_value) and unresolved):
            flags.append(Flag("poor fit", text=f"the curves do not collapse: p = {p_value:.2g}"))
    nu = effective or params.get("nu")
    if nu is not None and nu.value > LARGE_NU:
        text = f"nu = {nu.value:.0f}: curves of different sizes hardly differ"
        flags.append(Flag("size-independent", "nu" if effective is None else "sigma", text))
    if 0 < data.realizations < FEW:
        text = f"only {data.realizations} realizations: errors are rough"
        flags.append(Flag("few realizations", text=text))
    if not data.realizations and data.given is None:
        flags.append(
            Flag("independent points", text="means only: points are taken to be independent")
        )
    if len(data.curves) < 3:
        flags.append(Flag("few sizes", text="only 2 sizes: corrections to scaling cannot be seen"))
    for other, behind in search.others:
        difference = np.abs(other - theta)[: len(model.free)]
        errors = np.array([params[p.name].error for p in model.free])
        scale = np.array([params[p.name].value if p.log else 1.0 for p in model.free])
        if behind > -3 and np.any(difference * scale > APART * errors):
            flags.append(Flag("another solution", text="another solution is nearly as likely"))
            break
    return flags
