"""Controls of a network that is trained on labelled samples; no jax: cards hold them."""

from __future__ import annotations

from dataclasses import dataclass

from criticality import data
from criticality.base import InputError, control

INITIALIZATIONS = ("he", "standard")
ROUNDINGS = ("float32", "tensorfloat32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """Declarations only: what is done with them is in `nn.supervised`."""

    dataset: str = control(
        "mnist", symbol="data", doc="data set", choices=data.NAMES, files=True, static=True
    )
    n_train: int = control(
        1_000,
        symbol=r"$N_\mathrm{train}$",
        unit="sample",
        doc="size of the training subset",
        label="training samples",
        interval="[1, inf)",
    )
    n_validation: int = control(
        2_000,
        symbol=r"$N_\mathrm{val}$",
        unit="sample",
        doc="samples set aside for validation, disjoint from the training subset",
        interval="[1, inf)",
        static=True,
    )
    learning_rate: float = control(
        1e-3, symbol=r"$\eta$", doc="initial learning rate of Adam", interval="(0, inf)"
    )
    batch_size: int = control(
        128,
        symbol="$B$",
        unit="sample",
        doc="samples in a mini-batch; the last of an epoch may be smaller",
        interval="[1, inf)",
        static=True,
    )
    patience: int = control(
        10,
        symbol="patience",
        unit="epoch",
        doc="epochs without improvement after which training ends",
        interval="[1, inf)",
    )
    plateau: int = control(
        5,
        symbol="plateau",
        unit="epoch",
        doc="epochs without improvement after which the learning rate halves",
        interval="[1, inf)",
    )
    max_epochs: int = control(
        1_000,
        symbol="max epochs",
        unit="epoch",
        doc="limit of training, stopped or not",
        interval="[1, inf)",
    )
    initialization: str = control(
        "he",
        symbol="init",
        doc="random initialisation of the parameters",
        choices=INITIALIZATIONS,
        static=True,
    )
    precision: str = control(
        "float32",
        symbol="precision",
        doc="to which the operands of matrix products are rounded; sums are in float32",
        choices=ROUNDINGS,
        static=True,
    )


def check_samples(system: Supervised) -> None:
    """Raise `InputError` for more samples than there are."""
    pool = data.classification(system.dataset).train
    if system.n_train + system.n_validation > pool:
        raise InputError(
            f"n_train = {system.n_train} is larger than what is left after validation: "
            f"{system.dataset} has {pool} training samples, of which n_validation = "
            f"{system.n_validation} are set aside; use n_train <= {pool - system.n_validation}."
        )
