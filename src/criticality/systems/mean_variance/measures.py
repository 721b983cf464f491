"""What is measured of a fitted mean and precision, and the phases that follow.

Targets are standardised by mean and deviation of the training part, so that errors are shares of
its deviation.  What the networks and the field theory both give is named here once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from criticality.base import Observable, Phase, Rule, control
from criticality.systems.mean_variance import scores

Array = Any  # of NumPy or JAX

# thresholds of the phases: our choice, the paper's text that we worked from has none
UNDERFIT = 0.9  # training MSE above which the mean has learned nothing
OVERFIT = 2.0  # test chi2 above which errors are beyond what was predicted of them
FLAT = 0.1  # deviation of ln precision below which the noise is the same everywhere
CALIBRATED = 0.1  # calibration error below which predicted probabilities are taken for right

LEVELS = (0.5, 0.8, 0.9, 0.95)

PHASES = (
    Phase(name="constant", letter="C", colour="#595959"),
    Phase(name="noise only", letter="N", colour="#cc79a7"),
    Phase(name="calibrated", letter="S", colour="#8fd0f5"),
    Phase(name="overfit, flat", letter="F", colour="#e8c33c"),
    Phase(name="overfit", letter="O", colour="#d55e00"),
)


def rules(of: Any = "each") -> tuple[Rule, ...]:
    """Five phases: mean underfit or overfit, precision flat or not, and calibrated."""
    flat, uneven = {"below": FLAT}, {"above": FLAT}
    fitted, overfit = {"train_mse": {"below": UNDERFIT}}, {"test_chi2": {"above": OVERFIT}}
    conditions: dict[str, dict[str, Any]] = {
        "constant": {"train_mse": {"above": UNDERFIT}, "precision_spread": flat},
        "noise only": {"train_mse": {"above": UNDERFIT}, "precision_spread": uneven},
        "calibrated": {
            **fitted,
            "test_chi2": {"below": OVERFIT},
            "test_ece": {"below": CALIBRATED},
        },
        "overfit, flat": {**fitted, **overfit, "precision_spread": flat},
        "overfit": {**fitted, **overfit, "precision_spread": uneven},
    }
    return tuple(
        Rule(phase=phase, quantity=quantity, of=of, **ends)
        for phase, quantities in conditions.items()
        for quantity, ends in quantities.items()
    )


class Predicted(NamedTuple):
    """Targets and predictions of one part of the data, each [n], standardised."""

    y: Array
    mean: Array
    precision: Array


def observables(dims: tuple[str, ...] = (), *, validation: bool = True) -> tuple[Observable, ...]:
    """Declare what `measured` gives, over these inner dimensions; coverage also over the level."""
    parts = {"train": "training", "test": "test"}
    if validation:
        parts["validation"] = "validation"
    told = []
    for part, word in parts.items():
        for name, unit, doc in (
            ("mse", "1", "mean squared error of the mean"),
            ("nll", "nat", "negative log-likelihood a sample"),
            ("crps", "1", "continuous ranked probability score"),
            ("ece", "1", "expected calibration error, int |P(y < q_tau) - tau| dtau"),
        ):
            label = f"{word} {name.upper()}"
            told.append((f"{part}_{name}", unit, f"{doc}, {word} samples", label))
    told += [
        ("mse_ratio", "1", "training MSE over test MSE", "training MSE / test MSE"),
        (
            "test_chi2",
            "1",
            "mean of precision (y - mean)^2, test samples: 1 if the variance is right",
            r"test $\langle\Lambda(y-\mu)^2\rangle$",
        ),
        (
            "precision_spread",
            "1",
            "standard deviation of ln precision over the training samples",
            r"spread of $\ln\Lambda$",
        ),
        ("mean_energy", "1", "mean of |grad mean|^2", r"$\langle|\nabla\mu|^2\rangle$"),
        (
            "precision_energy",
            "1",
            "mean of |grad precision|^2",
            r"$\langle|\nabla\Lambda|^2\rangle$",
        ),
    ]
    one = tuple(
        Observable(name=name, dims=dims, unit=unit, doc=doc, label=label)
        for name, unit, doc, label in told
    )
    return (
        *one,
        Observable(
            name="coverage",
            dims=(*dims, "level"),
            doc="share of test samples in the central interval that is to hold this share",
        ),
    )


def measured(parts: Mapping[str, Predicted], level: Array, xp: Any, ndtr: Any) -> dict[str, Array]:
    """Every observable but the energies, which need the functions and not their values.

    Parameters
    ----------
    parts
        "train", "test", and "validation" where there is one.
    level
        [k], of the intervals.
    xp, ndtr
        As in `scores`.
    """
    found = {}
    for name, (y, mean, precision) in parts.items():
        rank = scores.ranks(y, mean, precision, xp, ndtr)
        found[f"{name}_mse"] = xp.mean((y - mean) ** 2)
        found[f"{name}_nll"] = scores.nll(y, mean, precision, xp)
        found[f"{name}_crps"] = scores.crps(y, mean, precision, xp, ndtr)
        found[f"{name}_ece"] = scores.calibration_error(rank, xp)
    y, mean, precision = parts["test"]
    found["mse_ratio"] = found["train_mse"] / found["test_mse"]
    found["test_chi2"] = xp.mean(precision * (y - mean) ** 2)
    found["precision_spread"] = xp.std(xp.log(parts["train"].precision))
    found["coverage"] = scores.coverage(scores.ranks(y, mean, precision, xp, ndtr), level, xp)
    return found


RHO: dict[str, Any] = {
    "symbol": r"$\rho$",
    "doc": "weight of the likelihood, 1 - rho that of regularisation",
    "label": "weight of the likelihood",
    "interval": "(0, 1)",
    "scale": "logit",
}


def rho_control(default: float = 0.5) -> Any:
    """Declare the weight of the likelihood."""
    return control(default, shared=True, **RHO)


def gamma_control(default: float = 0.5) -> Any:
    """Declare the share of the mean in regularisation."""
    return control(
        default,
        symbol=r"$\gamma$",
        doc="share of the mean in regularisation, 1 - gamma that of the precision",
        label="share of the mean",
        interval="(0, 1)",
        scale="logit",
        shared=True,
    )


def level_control() -> Any:
    """Declare the probabilities of the intervals whose coverage is measured."""
    return control(
        LEVELS,
        symbol="level",
        doc="probability of the central interval",
        interval="(0, 1)",
        inner=True,
    )
