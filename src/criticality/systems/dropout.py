"""Fully-connected network with dropout in training and in evaluation.

Pan, Aggarwal and Pixley, "Pruning-induced phases in fully-connected neural networks: the
eumentia, the dementia, and the amentia", Sec. II and App. D.  Where the text that we worked from
has lost a number (batch size, patience, validation size), the default is our choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from criticality import data as sources
from criticality import keys
from criticality.base import InputError, Observable, control
from criticality.engine import bits, dense, fit, masks, measure, samples

TYPICAL_EPOCHS = 40  # before early stopping, for estimates of work only


class State(NamedTuple):
    """State of one training.

    Attributes
    ----------
    fit
        State of the fit loop.
    key
        Root key of the realization.
    order
        int32 [pool]: random order of the training pool; the first V are for validation, the
        next N are the training subset.
    """

    fit: fit.FitState
    key: jax.Array
    order: jax.Array


@dataclass(frozen=True, kw_only=True)
class DropoutNetwork:
    """Network of `depth` hidden ReLU layers of `width` units, trained with Adam.

    Every hidden layer has inverted dropout (Eq. 20), a fresh mask at every forward pass, at rate
    `p_train` in training and, independently, at each rate `p_eval` in evaluation.  Grey
    values of pixels are divided by 255.  Validation is without dropout.
    """

    name: ClassVar[str] = "dropout"
    version: ClassVar[int] = 2
    source: ClassVar[str] = "Pan, Aggarwal & Pixley, Pruning-induced phases (Sec. II, App. D)"
    observables: ClassVar[tuple[Observable, ...]] = (
        Observable(
            name="loss",
            dims=("p_eval", "pass"),
            unit="nat",
            doc="cross-entropy on the whole test set, Eq. (2)",
        ),
        Observable(
            name="accuracy",
            dims=("p_eval", "pass"),
            unit="1",
            doc="fraction of the test set that is classified correctly, Eq. (3)",
        ),
        Observable(name="epochs", dims=(), unit="epoch", doc="epochs trained until stopped"),
        Observable(
            name="validation_loss",
            dims=(),
            unit="nat",
            doc="validation cross-entropy of the parameters that are evaluated",
        ),
    )

    p_train: float = control(
        0.0, symbol=r"$p_\mathrm{train}$", doc="dropout rate in training", interval="[0, 1)"
    )
    n_train: int = control(
        1_000,
        symbol=r"$N_\mathrm{train}$",
        unit="sample",
        doc="size of the training subset",
        interval="[1, inf)",
    )
    width: int = control(
        100,
        symbol="$W$",
        unit="unit",
        doc="units in a hidden layer",
        interval="[1, inf)",
        static=True,
    )
    depth: int = control(
        3, symbol="$L$", unit="layer", doc="hidden layers", interval="[1, inf)", static=True
    )
    dataset: str = control(
        "mnist",
        symbol="data",
        doc="data set",
        choices=sources.NAMES,
        files=True,
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
    n_validation: int = control(
        2_000,
        symbol=r"$N_\mathrm{val}$",
        unit="sample",
        doc="samples set aside for validation, disjoint from the training subset",
        interval="[1, inf)",
        static=True,
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
    restore_best: bool = control(
        True,
        symbol="restore best",
        doc="evaluate the parameters of the best validation loss, not the last",
        static=True,
    )
    p_eval: tuple[float, ...] = control(
        tuple(round(0.05 * i, 2) for i in range(20)),
        symbol=r"$p_\mathrm{eval}$",
        doc="dropout rates in evaluation",
        interval="[0, 1)",
        inner=True,
    )
    passes: int = control(
        4,
        symbol="passes",
        unit="pass",
        doc="stochastic evaluations of the test set at every rate",
        interval="[1, inf)",
        inner=True,
    )

    @classmethod
    def tiny(cls) -> DropoutNetwork:
        """Give a preset on the synthetic set that runs in a second."""
        return cls(
            dataset="synthetic",
            n_train=200,
            width=12,
            depth=2,
            n_validation=100,
            batch_size=32,
            max_epochs=4,
            p_train=0.1,
            p_eval=(0.0, 0.5),
            passes=2,
        )

    def validate(self) -> None:
        """Raise `InputError` for more samples than there are, or rates that are one to us."""
        if len({int(np.float32(rate) * masks.LEVELS) for rate in self.p_eval}) < len(self.p_eval):
            raise InputError(
                f"p_eval = {list(self.p_eval)}: rates that are one number in 32 bits are the same."
            )
        pool = sources.classification(self.dataset).train
        if self.n_train + self.n_validation > pool:
            raise InputError(
                f"n_train = {self.n_train} is larger than what is left after validation: "
                f"{self.dataset} has {pool} training samples, of which n_validation = "
                f"{self.n_validation} are set aside; use n_train <= {pool - self.n_validation}."
            )

    def inner(self) -> dict[str, tuple[float, ...]]:
        """Coordinates of the inner dimensions `p_eval` and `pass`."""
        return {"p_eval": self.p_eval, "pass": tuple(range(self.passes))}

    def work(self) -> float:
        """FLOP of one realization: a guess of the epochs, then exact matrix products."""
        sizes = sources.shape(self.dataset)
        first = sizes.features * self.width
        rest = (self.depth - 1) * self.width**2 + self.width * sizes.classes
        epoch = self.n_train * (4 * first + 6 * rest) + 2 * self.n_validation * (first + rest)
        tested = 2 * sizes.test * (first + len(self.p_eval) * self.passes * rest)
        return min(self.max_epochs, TYPICAL_EPOCHS) * epoch + tested

    def requires(self) -> str:
        """Name its data set."""
        return self.dataset

    def begin(self, key: jax.Array, data: Any) -> State:
        """Initialise the parameters and draw the training and validation subsets."""
        pool, features = data["train_x"].shape
        classes = sources.shape(self.dataset).classes
        sizes = (features, *[self.width] * self.depth, classes)
        shapes = [(n_out, n_in) for n_in, n_out in itertools.pairwise(sizes)]
        params = dense.initialize(
            keys.stream(key, "initialization"), shapes, scheme=self.initialization
        )
        order = samples.order(keys.stream(key, "subset"), pool)
        return State(fit.begin(params, self.learning_rate), key, order)

    def _first(self, params: dense.Params, x: jax.Array) -> jax.Array:
        """First-layer pre-activations [W, samples] from samples [samples, D]."""
        return dense.preactivations(params, samples.numbers(x), self.precision)

    def _logits(
        self,
        params: dense.Params,
        z: jax.Array,
        drop: Callable[[jax.Array, int], jax.Array] | None = None,
    ) -> jax.Array:
        """Logits [K, samples]; as `dense.logits`."""
        return dense.logits(params, z, drop, self.precision)

    def advance(self, state: State, data: Any) -> State:
        """Train for one epoch: every sample of the subset once, in a fresh random order."""
        drop_seeds = bits.seeds(keys.stream(state.key, "training masks"), (self.depth, 2))
        level = masks.threshold(self.p_train)
        count = jnp.asarray(self.n_train, jnp.int32)
        shuffle = keys.stream(state.key, "batches")
        mini_batch = samples.mini_batch(shuffle, state.fit.epoch, count, self.batch_size)

        def loss(params: dense.Params, batch: jax.Array, step: jax.Array) -> jax.Array:
            chosen, used = mini_batch(batch)
            sample = state.order[self.n_validation + chosen]
            seeds = bits.reseed(drop_seeds, step)
            logits = self._logits(
                params,
                self._first(params, data["train_x"][sample]),
                lambda h, layer: masks.dropout(h, level, seeds[layer]),
            )
            entropy = measure.cross_entropy(logits, data["train_y"][sample])
            return jnp.sum(jnp.where(used, entropy, 0)) / jnp.sum(used)

        held_out = state.order[: self.n_validation]

        def validate(params: dense.Params) -> jax.Array:
            def one_chunk(slot: jax.Array, used: jax.Array) -> jax.Array:
                sample = held_out[slot]
                logits = self._logits(params, self._first(params, data["train_x"][sample]))
                entropy = measure.cross_entropy(logits, data["train_y"][sample])
                return jnp.sum(jnp.where(used, entropy, 0))

            total: jax.Array = samples.total(one_chunk, self.n_validation)
            return total / self.n_validation

        batches = samples.mini_batches(count, self.batch_size)
        return state._replace(
            fit=fit.epoch(state.fit, jax.grad(loss), validate, batches, self.plateau)
        )

    def finished(self, state: State) -> jax.Array:
        """Whether early stopping or the limit of epochs ends the training."""
        return fit.finished(state.fit, self.patience, self.max_epochs)

    def observe(self, state: State, data: Any) -> dict[str, jax.Array]:
        """Measure the test set at every evaluation rate and pass.

        The first layer is computed once, since dropout does not touch the input.  A mask depends
        on the value of the rate and the number of the pass, not on the grid that they stand in.
        """
        params = state.fit.best if self.restore_best else state.fit.params
        tested = data["test_y"].shape[0]
        slots, used = samples.chunks(tested)
        labels = data["test_y"][slots]
        z = jax.lax.map(lambda slot: self._first(params, data["test_x"][slot]), slots)
        root = keys.stream(state.key, "evaluation masks")

        def one_pass(level: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
            key = jax.random.fold_in(jax.random.fold_in(root, level), number)
            layer_seeds = bits.seeds(key, (self.depth, 2))

            def one_chunk(i: jax.Array) -> tuple[jax.Array, jax.Array]:
                seeds = bits.reseed(layer_seeds, i)
                logits = self._logits(
                    params, z[i], lambda h, layer: masks.dropout(h, level, seeds[layer])
                )
                entropy = measure.cross_entropy(logits, labels[i])
                right = measure.correct(logits, labels[i])
                return jnp.sum(jnp.where(used[i], entropy, 0)), jnp.sum(used[i] & right)

            entropy, right = jax.lax.map(one_chunk, jnp.arange(len(slots)))
            return entropy.sum() / tested, right.sum().astype(jnp.float32) / tested

        levels = masks.threshold(jnp.asarray(self.p_eval, jnp.float32))
        grid = jnp.repeat(levels, self.passes), jnp.tile(jnp.arange(self.passes), len(self.p_eval))
        loss, accuracy = jax.lax.map(lambda point: one_pass(*point), grid)
        shape = (len(self.p_eval), self.passes)
        final = state.fit.best_loss if self.restore_best else state.fit.loss
        return {
            "loss": loss.reshape(shape),
            "accuracy": accuracy.reshape(shape),
            "epochs": state.fit.epoch,
            "validation_loss": final,
        }
