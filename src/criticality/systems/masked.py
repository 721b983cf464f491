"""What `pruning` and `topology` share: a network whose removed weights stay at zero.

Its training from scratch, and one step of pruning: remove, then fine-tune.  Pesce, He and
Caldarelli, "Phase transitions in neural networks pruning"; numbers that are lost in the text that
we worked from are controls, and their defaults are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from criticality import data as sources
from criticality import keys
from criticality.base import InputError, control
from criticality.engine import bits, dense, fit, measure, networks, pruning, samples

TYPICAL_EPOCHS = 25  # before early stopping, for estimates of work only
SALIENCY_SAMPLES = 1_000  # of the training subset, over which second derivatives are averaged
CRITERIA = ("magnitude", "random", "saliency")

Masks = tuple[jax.Array, ...]  # of every layer, like its weights: bool, whether they remain


class Fitted(NamedTuple):
    """A network in training.

    Attributes
    ----------
    fit
        State of the fit loop; its parameters are zero wherever a mask is false.
    masks
        Remaining weights.
    key
        Root key of the realization.
    order
        int32 [pool]: random order of the training pool; the first V are for validation, the
        next N are the training subset.
    """

    fit: fit.FitState
    masks: Masks
    key: jax.Array
    order: jax.Array


def masked(params: dense.Params, masks: Masks) -> dense.Params:
    """Parameters, or anything like them, with removed weights at zero; biases stay."""
    return tuple((jnp.where(mask, w, 0), b) for (w, b), mask in zip(params, masks, strict=True))


@dataclass(frozen=True, kw_only=True)
class MaskedNetwork:
    """Controls of a network that is trained, pruned and fine-tuned."""

    architecture: str = control(
        "fc4",
        symbol="network",
        doc="four fully-connected layers, or three convolutions and two fully-connected layers",
        choices=networks.ARCHITECTURES,
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
    dataset: str = control(
        "mnist",
        symbol="data",
        doc="data set",
        choices=sources.NAMES,
        files=True,
        static=True,
    )
    n_train: int = control(
        58_000,
        symbol=r"$N_\mathrm{train}$",
        unit="sample",
        doc="size of the training subset",
        interval="[1, inf)",
    )
    n_validation: int = control(
        2_000,
        symbol=r"$N_\mathrm{val}$",
        unit="sample",
        doc="samples set aside for early stopping, disjoint from the training subset",
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
        doc="epochs without improvement after which the dense network is trained",
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
        200,
        symbol="max epochs",
        unit="epoch",
        doc="limit of the training of the dense network",
        interval="[1, inf)",
    )
    initialization: str = control(
        "he",
        symbol="init",
        doc="random initialisation of the parameters",
        choices=dense.INITIALIZATIONS,
        static=True,
    )
    precision: str = control(
        "float32",
        symbol="precision",
        doc="to which the operands of matrix products are rounded; sums are in float32",
        choices=tuple(dense.ROUNDED),
        static=True,
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
        choices=pruning.SCOPES,
        static=True,
    )
    criterion: str = control(
        "magnitude",
        symbol="criterion",
        doc="what is removed: the smallest weights, random ones, or those of least saliency",
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

    def validate(self) -> None:
        """Raise `InputError` for more samples than there are, or no images to convolve."""
        sizes = sources.classification(self.dataset)
        pool, side = sizes.train, math.isqrt(sizes.features)
        if self.n_train + self.n_validation > pool:
            raise InputError(
                f"n_train = {self.n_train} is larger than what is left after validation: "
                f"{self.dataset} has {pool} training samples, of which n_validation = "
                f"{self.n_validation} are set aside; use n_train <= {pool - self.n_validation}."
            )
        if self.architecture == "cnn5" and (side < 8 or side**2 != sizes.features):
            raise InputError(
                f"architecture = 'cnn5': expects square images of 8 x 8 pixels or more, and "
                f"{self.dataset} has {sizes.features} numbers a sample; use 'fc4'."
            )

    def requires(self) -> str:
        """Name its data set."""
        return self.dataset

    # --- shape and cost ---

    def network(self) -> networks.Network:
        """Shape of the network."""
        sizes = sources.shape(self.dataset)
        return networks.build(
            self.architecture,
            sizes.features,
            self.width,
            self.channels,
            sizes.classes,
            self.precision,
        )

    def training_work(self, updates: float) -> float:
        """FLOP of so many mini-batches; the input of the first layer needs no gradient."""
        products = self.network().products
        return updates * self.batch_size * (6 * sum(products) - 2 * products[0])

    def test_work(self) -> float:
        """FLOP of a look at the whole test set."""
        return 2.0 * sources.shape(self.dataset).test * sum(self.network().products)

    def dense_work(self) -> float:
        """FLOP of the training of the dense network, with a guess of the epochs."""
        epochs = min(self.max_epochs, TYPICAL_EPOCHS)
        checks = 2.0 * self.n_validation * sum(self.network().products)
        return epochs * (self.training_work(self.n_train / self.batch_size) + checks)

    # --- training ---

    def start(self, key: jax.Array, data: Any) -> Fitted:
        """Initialise the dense network and draw the training and validation subsets."""
        shapes = self.network().shapes
        params = dense.initialize(
            keys.stream(key, "initialization"), shapes, scheme=self.initialization
        )
        order = samples.order(keys.stream(key, "subset"), data["train_y"].shape[0])
        masks = tuple(jnp.ones(shape, bool) for shape in shapes)
        return Fitted(fit.begin(params, self.learning_rate), masks, key, order)

    def _logits(self, params: dense.Params, x: jax.Array) -> jax.Array:
        """Logits [K, samples] of samples [samples, D]."""
        return self.network().logits(params, samples.numbers(x))

    def _slope(
        self,
        state: Fitted,
        data: Any,
        params: dense.Params,
        batch: tuple[jax.Array, jax.Array],
    ) -> dense.Params:
        """Gradient of the mean cross-entropy (nat) of a mini-batch; zero for removed weights.

        `batch` is as `samples.mini_batch` gives it.
        """
        chosen, used = batch
        sample = state.order[self.n_validation + chosen]

        def loss(params: dense.Params) -> jax.Array:
            logits = self._logits(params, data["train_x"][sample])
            entropy = measure.cross_entropy(logits, data["train_y"][sample])
            return jnp.sum(jnp.where(used, entropy, 0)) / jnp.sum(used)

        return masked(jax.grad(loss)(params), state.masks)

    def train_epoch(self, state: Fitted, data: Any, stream: keys.Stream, active: Any) -> Fitted:
        """Train for one epoch, with what the masks leave, and look at the validation loss.

        `active` = False does no mini-batch: of two branches that both are computed in lanes, the
        other one then costs little.
        """
        count = jnp.asarray(self.n_train, jnp.int32)
        shuffle = keys.stream(state.key, stream)
        mini_batch = samples.mini_batch(shuffle, state.fit.epoch, count, self.batch_size)

        def gradient(params: dense.Params, number: jax.Array, step: jax.Array) -> dense.Params:
            return self._slope(state, data, params, mini_batch(number))

        def validate(params: dense.Params) -> jax.Array:
            def one_chunk(slot: jax.Array, used: jax.Array) -> jax.Array:
                sample = state.order[slot]
                logits = self._logits(params, data["train_x"][sample])
                entropy = measure.cross_entropy(logits, data["train_y"][sample])
                return jnp.sum(jnp.where(used, entropy, 0))

            total: jax.Array = samples.total(one_chunk, self.n_validation)
            return total / self.n_validation

        batches = jnp.where(active, samples.mini_batches(count, self.batch_size), 0)
        return state._replace(fit=fit.epoch(state.fit, gradient, validate, batches, self.plateau))

    def trained(self, state: Fitted) -> jax.Array:
        """Whether early stopping or the limit of epochs ends the training."""
        return fit.finished(state.fit, self.patience, self.max_epochs)

    def restart(self, state: Fitted, params: dense.Params, masks: Masks, rate: Any) -> Fitted:
        """Begin another fit from given parameters, of which the masks leave some."""
        return state._replace(fit=fit.begin(masked(params, masks), rate), masks=masks)

    # --- pruning ---

    def prune(self, state: Fitted, data: Any, counts: jax.Array, step: jax.Array) -> Fitted:
        """Remove weights down to `counts`; their moments go with them.

        Parameters
        ----------
        counts
            Weights that remain, int32 [layers]; with global scope only their sum counts.
        step
            int32 scalar, number of the pruning; seeds the random criterion.
        """
        network = self.network()
        alive = networks.joined(state.masks)
        if self.criterion == "random":
            seed = bits.seeds(jax.random.fold_in(keys.stream(state.key, "pruning"), step), (2,))
            ranks = bits.words(seed, alive.shape) >> 1
        elif self.criterion == "magnitude":
            ranks = pruning.rank(networks.joined([jnp.abs(w) for w, _ in state.fit.params]))
        else:
            ranks = pruning.rank(networks.joined(self._saliency(state, data)))
        if self.scope == "global":
            kept = pruning.largest(ranks, alive, counts.sum())
        else:
            ends = np.cumsum(network.edges)[:-1]
            parts = zip(jnp.split(ranks, ends), jnp.split(alive, ends), counts, strict=True)
            kept = jnp.concatenate([pruning.largest(*part) for part in parts])
        masks = tuple(networks.split(kept, network))
        mean, square = (masked(moment, masks) for moment in state.fit.moments)
        params = masked(state.fit.params, masks)
        tuned = state.fit._replace(params=params, moments=fit.Moments(mean, square))
        return state._replace(fit=tuned, masks=masks)

    def _saliency(self, state: Fitted, data: Any) -> list[jax.Array]:
        """Saliency h w^2 / 2 of every weight [LeCun, Denker, Solla (1990), Eq. (5)]."""
        network = self.network()
        pool = data["train_y"].shape[0]
        count = min(SALIENCY_SAMPLES, pool - self.n_validation)

        def one_chunk(slot: jax.Array, used: jax.Array) -> list[jax.Array]:
            x = samples.numbers(data["train_x"][state.order[self.n_validation + slot]])
            weight = used & (slot < self.n_train)
            return network.curvature(state.fit.params, x, weight)

        second = samples.total(one_chunk, count)
        return [h * w * w / 2 for h, (w, _) in zip(second, state.fit.params, strict=True)]

    def fine_tune(self, state: Fitted, data: Any, active: Any) -> Fitted:
        """Do `updates` mini-batches; the moments of Adam and the order of samples go on."""
        count = jnp.asarray(self.n_train, jnp.int32)
        an_epoch = samples.mini_batches(count, self.batch_size)
        shuffle = keys.stream(state.key, "fine-tuning")

        def update(_: Any, now: fit.FitState) -> fit.FitState:
            mini_batch = samples.mini_batch(shuffle, now.step // an_epoch, count, self.batch_size)
            slope = self._slope(state, data, now.params, mini_batch(now.step % an_epoch))
            params, moments = fit.adam(now.params, now.moments, slope, now.rate, now.step)
            return now._replace(params=params, moments=moments, step=now.step + 1)

        updates = jnp.where(active, jnp.asarray(self.updates, jnp.int32), 0)
        return state._replace(fit=jax.lax.fori_loop(0, updates, update, state.fit))

    # --- measuring ---

    def measure(self, params: dense.Params, data: Any) -> dict[str, jax.Array]:
        """Measure accuracy, loss and both entropies on the whole test set."""
        labels = data["test_y"]
        count = labels.shape[0]

        def one_chunk(slot: jax.Array, used: jax.Array) -> dict[str, jax.Array]:
            logits = self._logits(params, data["test_x"][slot])

            def summed(values: jax.Array) -> jax.Array:
                return jnp.sum(jnp.where(used, values, 0), axis=-1)

            return {
                "accuracy": summed(measure.correct(logits, labels[slot])),
                "loss": summed(measure.cross_entropy(logits, labels[slot])),
                "prediction_entropy": summed(measure.predicted(logits)),
                "outcome_entropy": summed(measure.outcome_entropy(logits)),
            }

        sums = samples.total(one_chunk, count)
        entropy = measure.prediction_entropy(sums.pop("prediction_entropy"))
        means = {name: value / count for name, value in sums.items()}
        return {**means, "prediction_entropy": entropy}
