"""What `pruning` and `topology` share: controls, shape and cost of a network that loses weights.

Pesce, He and Caldarelli, "Phase transitions in neural networks pruning"; numbers that are lost in
the text that we worked from are controls, and their defaults are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from criticality import data
from criticality.base import InputError, control, like
from criticality.nn.controls import Supervised, check_samples
from criticality.systems.pruning import architectures, schedules

TYPICAL_EPOCHS = 25  # before early stopping, for estimates of work only
CRITERIA = ("magnitude", "random", "saliency", "relative")
OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True, kw_only=True)
class Masked(Supervised):
    """Controls of a network that is trained, pruned and fine-tuned."""

    architecture: str = control(
        "fc4",
        symbol="network",
        doc="four fully-connected layers, or three convolutions and two fully-connected layers",
        choices=architectures.ARCHITECTURES,
        static=True,
    )
    width: int = control(
        100,
        symbol="$W$",
        unit="unit",
        doc="units in each hidden fully-connected layer",
        interval="[1, inf)",
        static=True,
    )
    channels: int = control(
        16,
        symbol="$C$",
        unit="channel",
        doc="channels of the first convolution; the next ones have 2 and 4 times as many",
        interval="[1, inf)",
        static=True,
    )
    n_train: int = like(Supervised, "n_train", 58_000)
    patience: int = like(
        Supervised,
        "patience",
        10,
        doc="epochs without improvement after which the dense network is trained",
    )
    max_epochs: int = like(
        Supervised, "max_epochs", 200, doc="limit of the training of the dense network"
    )
    steps: int = control(
        5_000,
        symbol="$T$",
        unit="step",
        doc="prunings, each followed by fine-tuning",
        interval="[1, 100000]",
        static=True,
    )
    scope: str = control(
        "global",
        symbol="scope",
        doc="whether weights compete in the whole network, or in each layer for a fixed share",
        choices=schedules.SCOPES,
        static=True,
    )
    criterion: str = control(
        "magnitude",
        symbol="criterion",
        doc="what is removed: the smallest weights, random ones, those of least saliency, or the "
        "smallest by the rms of their layer",
        choices=CRITERIA,
        static=True,
    )
    updates: int = control(
        100,
        symbol="$U$",
        unit="mini-batch",
        doc="mini-batches of fine-tuning after each pruning",
        interval="[0, inf)",
    )
    tuning_rate: float = control(
        1e-3, symbol=r"$\eta_t$", doc="learning rate of fine-tuning", interval="(0, inf)"
    )
    tuning_optimizer: str = control(
        "adam",
        symbol="optimizer",
        doc="of fine-tuning: Adam, or stochastic gradient descent with momentum 0.9",
        choices=OPTIMIZERS,
        static=True,
        shared=True,
        before="adam",
    )
    rate_decay: float = control(
        0.0,
        symbol=r"$\kappa$",
        unit="1/mini-batch",
        doc="the learning rate of fine-tuning falls as 1 / (1 + rate_decay x mini-batches)",
        interval="[0, inf)",
        shared=True,
        before=0.0,
    )
    weight_decay: float = control(
        0.0,
        symbol=r"$\lambda$",
        doc="of fine-tuning, decoupled: parameters shrink by rate x weight_decay a mini-batch",
        interval="[0, inf)",
        shared=True,
        before=0.0,
    )
    fresh_moments: bool = control(
        False,
        symbol="fresh moments",
        doc="whether the optimiser forgets its moments at each pruning",
        static=True,
        shared=True,
        before=False,
    )
    first_layer: float = control(
        1.0,
        symbol="$f_1$",
        doc="factor on the scores of the first layer when weights compete; no weight is changed",
        interval="(0, inf)",
        shared=True,
        before=1.0,
    )


def check(system: Masked) -> None:
    """Raise `InputError` for more samples than there are, or no images to convolve."""
    check_samples(system)
    features = data.shape(system.dataset).features
    side = math.isqrt(features)
    if system.architecture == "cnn5" and (side < 8 or side**2 != features):
        raise InputError(
            f"architecture = 'cnn5': expects square images of 8 x 8 pixels or more, and "
            f"{system.dataset} has {features} numbers a sample; use 'fc4'."
        )


def network(system: Masked) -> architectures.Network:
    """Shape of the network."""
    shape = data.shape(system.dataset)
    return architectures.build(
        system.architecture,
        shape.features,
        system.width,
        system.channels,
        shape.classes,
        system.precision,
    )


def training_work(system: Masked, updates: float) -> float:
    """FLOP of so many mini-batches; the input of the first layer needs no gradient."""
    products = network(system).products
    return updates * system.batch_size * (6 * sum(products) - 2 * products[0])


def test_work(system: Masked) -> float:
    """FLOP of a look at the whole test set."""
    return 2.0 * data.shape(system.dataset).test * sum(network(system).products)


def dense_work(system: Masked) -> float:
    """FLOP of the training of the dense network, with a guess of the epochs."""
    epochs = min(system.max_epochs, TYPICAL_EPOCHS)
    checks = 2.0 * system.n_validation * sum(network(system).products)
    updates = system.n_train / system.batch_size
    return epochs * (training_work(system, updates) + checks)
