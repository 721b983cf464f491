"""What in the structure of a pruned network lets it learn: four topologies, trained anew.

Pesce, He and Caldarelli, "Phase transitions in neural networks pruning", Fig. 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from criticality import keys
from criticality.base import InputError, Observable, control
from criticality.engine import bits, dense, networks, percolation, pruning, rewiring
from criticality.systems.masked import Fitted, MaskedNetwork

# the inner dimension `topology`, in this order
TOPOLOGIES = ("pruned", "same degrees", "random in layers", "random")
LARGEST = 2**31 - 1  # swaps that can be counted
TRAINING = -1  # number of the stage while the dense network is trained


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    now
        The network.
    stage
        int32 scalar: `TRAINING`, then prunings done, then prunings + epochs of retraining done.
    initial
        Parameters before any training.
    masks
        bool [topologies, weights], once the pruning is over.
    dense, pruned
        Test accuracy of the dense network, and after the last pruning.
    accuracy, loss
        float32 [topologies, epochs+1] on the test set.
    """

    now: Fitted
    stage: jax.Array
    initial: dense.Params
    masks: jax.Array
    dense: jax.Array
    pruned: jax.Array
    accuracy: jax.Array
    loss: jax.Array


@dataclass(frozen=True, kw_only=True)
class TopologyNetwork(MaskedNetwork):
    """Network that is pruned to a density, then trained from its pruned initial weights.

    All topologies of a realization come from the same pruned network, keep the same initial
    weights where they have an edge, and see the same mini-batches: they are compared in pairs.

    - pruned (0): the edges that pruning left.
    - same degrees (1): these, randomised by swaps of edges that keep the in- and out-degree of
      every unit, layer by layer; in a convolution, an input channel counts once for every place
      of the kernel.
    - random in layers (2): as many random edges in each layer.
    - random (3): as many random edges in all.
    """

    name: ClassVar[str] = "topology"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Pesce, He & Caldarelli, Phase transitions in neural networks pruning (Fig. 4)"
    )
    observables: ClassVar[tuple[Observable, ...]] = (
        Observable(
            name="accuracy",
            dims=("topology", "epoch"),
            unit="1",
            doc="fraction of the test set that is classified correctly",
        ),
        Observable(
            name="loss", dims=("topology", "epoch"), unit="nat", doc="cross-entropy on the test set"
        ),
        Observable(
            name="dense_accuracy", dims=(), unit="1", doc="test accuracy of the dense network"
        ),
        Observable(
            name="pruned_accuracy",
            dims=(),
            unit="1",
            doc="test accuracy of the pruned and fine-tuned network",
        ),
        Observable(name="edges", dims=("topology", "layer"), unit="1", doc="weights of each layer"),
        Observable(
            name="overlap",
            dims=("topology",),
            unit="1",
            doc="share of the edges that the pruned network has too",
        ),
        Observable(
            name="conducting",
            dims=("topology", "layer"),
            unit="1",
            doc="weights of a layer on a path from the input to the output",
        ),
        Observable(
            name="live_units",
            dims=("topology", "unit_layer"),
            unit="1",
            doc="units on a path from the input (0) to the output (last)",
        ),
    )

    steps: int = control(
        100,
        symbol="$T$",
        unit="step",
        doc="prunings in equal ratios, each followed by fine-tuning",
        interval="[1, 100000]",
        static=True,
    )
    density: float = control(
        0.01,
        symbol=r"$\rho$",
        doc="share of the edges that remain",
        interval="(0, 1]",
        static=True,
    )
    epochs: int = control(
        20,
        symbol="epochs",
        unit="epoch",
        doc="training of each topology",
        interval="[1, 10000]",
        static=True,
    )
    attempts: int = control(
        rewiring.ATTEMPTS,
        symbol="attempts",
        doc="attempted swaps for each edge",
        interval="[0, 100000]",
    )

    @classmethod
    def tiny(cls) -> TopologyNetwork:
        """Give a preset on the synthetic set that runs in a second."""
        return cls(
            dataset="synthetic",
            width=12,
            n_train=200,
            n_validation=100,
            batch_size=32,
            max_epochs=4,
            learning_rate=0.01,
            tuning_rate=0.01,
            steps=4,
            updates=3,
            density=0.2,
            epochs=2,
            attempts=20,
        )

    def validate(self) -> None:
        """Raise `InputError` for a density that leaves no edge."""
        super().validate()
        if self.counts()[-1].sum() == 0:
            raise InputError(
                f"density = {self.density}: not one of {sum(self.network().edges)} edges remains; "
                f"use a larger one."
            )

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions; topologies are numbered as in `TOPOLOGIES`."""
        layers = len(self.network().shapes)
        return {
            "topology": range(len(TOPOLOGIES)),
            "epoch": range(self.epochs + 1),
            "layer": range(1, layers + 1),
            "unit_layer": range(layers + 1),
        }

    def work(self) -> float:
        """FLOP of one realization: a guess of the first epochs, then exact matrix products."""
        epoch = self.training_work(self.n_train / self.batch_size) + self.test_work()
        pruned = self.steps * self.training_work(self.updates)
        return self.dense_work() + pruned + len(TOPOLOGIES) * self.epochs * epoch

    def counts(self) -> pruning.Counts:
        """Weights that remain in each layer if scope fixes them, int64 [steps+1, layers]."""
        edges = np.array(self.network().edges)
        total = pruning.remaining("geometric", int(edges.sum()), self.steps, self.density, 1.0)
        return pruning.apportioned(total, edges)

    def begin(self, key: jax.Array, data: Any) -> State:
        """Initialise the dense network."""
        now = self.start(key, data)
        curves = jnp.zeros((len(TOPOLOGIES), self.epochs + 1))
        return State(
            now=now,
            stage=jnp.int32(TRAINING),
            initial=now.fit.params,
            masks=jnp.ones((len(TOPOLOGIES), sum(self.network().edges)), bool),
            dense=jnp.float32(0),
            pruned=jnp.float32(0),
            accuracy=curves,
            loss=curves,
        )

    def advance(self, state: State, data: Any) -> State:
        """Train for one epoch, or prune once and fine-tune, or train a topology for one epoch."""
        stage = state.stage
        training, retraining = stage == TRAINING, stage >= self.steps

        def train(state: State) -> State:
            now = self.train_epoch(state.now, data, "batches", training)
            over = self.trained(now)
            dense_one = self.restart(now, now.fit.best, now.masks, self.tuning_rate)
            accuracy = self.measure(dense_one.fit.params, data)["accuracy"]
            return state._replace(
                now=jax.tree.map(lambda a, b: jnp.where(over, a, b), dense_one, now),
                stage=jnp.where(over, 0, TRAINING),
                dense=accuracy,
            )

        def prune(state: State) -> State:
            counts = jnp.asarray(self.counts(), jnp.int32)
            now = self.prune(state.now, data, counts[stage + 1], stage + 1)
            now = self.fine_tune(now, data, ~training & ~retraining)
            masks, accuracy = jax.lax.cond(
                stage + 1 == self.steps,
                lambda: (self._topologies(now), self.measure(now.fit.params, data)["accuracy"]),
                lambda: (state.masks, state.pruned),
            )
            return state._replace(now=now, stage=stage + 1, pruned=accuracy, masks=masks)

        def retrain(state: State) -> State:
            network = self.network()
            which, epoch = jnp.divmod(stage - self.steps, self.epochs)
            masks = tuple(networks.split(state.masks[which], network))
            fresh = self.restart(state.now, state.initial, masks, self.learning_rate)
            now = jax.tree.map(lambda a, b: jnp.where(epoch == 0, a, b), fresh, state.now)
            curves = {"accuracy": state.accuracy, "loss": state.loss}

            def look(params: dense.Params) -> dict[str, jax.Array]:
                found = self.measure(params, data)
                return {name: found[name] for name in curves}

            before = jax.lax.cond(
                epoch == 0,
                lambda: look(now.fit.params),
                lambda: {name: curve[which, epoch] for name, curve in curves.items()},
            )
            now = self.train_epoch(now, data, "batches", retraining)
            after = look(now.fit.params)
            for name, curve in curves.items():
                begun = curve.at[which, epoch].set(before[name])
                curves[name] = begun.at[which, epoch + 1].set(after[name])
            accuracy, loss = curves["accuracy"], curves["loss"]
            return state._replace(now=now, stage=stage + 1, accuracy=accuracy, loss=loss)

        branch = jnp.where(training, 0, jnp.where(retraining, 2, 1))
        after: State = jax.lax.switch(branch, (train, prune, retrain), state)
        return after

    def _topologies(self, now: Fitted) -> jax.Array:
        """Remaining edges of each topology, bool [topologies, weights]."""
        network = self.network()
        seeds = bits.seeds(keys.stream(now.key, "topology"), (3, len(now.masks), 2))
        swapped, shared = [], []
        for layer, mask in enumerate(now.masks):
            edges = jnp.sum(mask, dtype=jnp.int32)
            each = jnp.minimum(self.attempts, LARGEST // jnp.maximum(edges, 1))
            table = mask.reshape(len(mask), -1)
            swapped.append(rewiring.swap_edges(table, seeds[0, layer], each * edges)[0])
            shared.append(rewiring.random_mask(seeds[1, layer], mask.size, mask.sum()))
        pruned = networks.joined(now.masks)
        anywhere = rewiring.random_mask(seeds[2, 0], sum(network.edges), pruned.sum())
        found = (pruned, networks.joined(swapped), networks.joined(shared), anywhere)
        return jnp.stack(found)

    def finished(self, state: State) -> jax.Array:
        """Whether the last topology has been trained."""
        return state.stage >= self.steps + len(TOPOLOGIES) * self.epochs

    def observe(self, state: State, data: Any) -> dict[str, jax.Array]:
        """Give what was written along the way, and describe the topologies."""
        network = self.network()
        structures = [networks.split(mask, network) for mask in state.masks]
        edges = [jnp.stack([jnp.sum(mask) for mask in masks]) for masks in structures]
        flow = [percolation.conducting(masks, network.units) for masks in structures]
        return {
            "accuracy": state.accuracy,
            "loss": state.loss,
            "dense_accuracy": state.dense,
            "pruned_accuracy": state.pruned,
            "edges": jnp.stack(edges),
            "overlap": jnp.stack([rewiring.overlap(m, state.masks[0]) for m in state.masks]),
            "conducting": jnp.stack([edges for edges, _ in flow]),
            "live_units": jnp.stack([live for _, live in flow]),
        }
