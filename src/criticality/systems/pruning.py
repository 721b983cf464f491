"""Pruning of a trained network to its collapse, with fine-tuning after every step.

Pesce, He and Caldarelli, "Phase transitions in neural networks pruning".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from criticality.base import InputError, Observable, control
from criticality.engine import dense, percolation, pruning
from criticality.systems.masked import Fitted, MaskedNetwork, Masks

TRAINING = -1  # number of the step while the dense network is trained


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    now
        The network.
    step
        int32 scalar: prunings done, or `TRAINING`.
    series
        Observables along the steps, each [steps+1, ...].
    weights
        float32 [snapshots, weights].
    removed
        int32 [weights]: step of removal, steps+1 where a weight is still there.
    epochs, validation_loss
        Of the training of the dense network.
    """

    now: Fitted
    step: jax.Array
    series: dict[str, jax.Array]
    weights: jax.Array
    removed: jax.Array
    epochs: jax.Array
    validation_loss: jax.Array


def evolution(later: dense.Params, earlier: dense.Params, masks: Masks) -> jax.Array:
    """Evolution Metric between two steps, float32 [1 + layers]: of the whole, and of each layer.

    EM = 1 - adjusted R^2 with the earlier weights as prediction of the later ones, over the n
    weights that remain at the later step: RSS / TSS (n-1) / (n-2).  NaN where n <= 2 or TSS = 0.
    """
    count, total, rss = [], [], []
    for (w, _), (v, _), mask in zip(later, earlier, masks, strict=True):
        count.append(jnp.sum(mask, dtype=jnp.float32))
        total.append(jnp.sum(jnp.where(mask, w, 0)))
        rss.append(jnp.sum(jnp.where(mask, (w - v) ** 2, 0)))

    def about(means: list[jax.Array]) -> list[jax.Array]:
        layers = zip(later, masks, means, strict=True)
        return [jnp.sum(jnp.where(mask, (w - m) ** 2, 0)) for (w, _), mask, m in layers]

    tss = about([t / n for t, n in zip(total, count, strict=True)])
    n, of_rss = _with_sum(count), _with_sum(rss)
    whole = jnp.sum(jnp.stack(about([jnp.sum(jnp.stack(total)) / n[0]] * len(count))))
    about_mean = jnp.stack([whole, *tss])
    metric = of_rss / about_mean * (n - 1) / (n - 2)
    return jnp.where((n > 2) & (about_mean > 0), metric, jnp.nan)


def _with_sum(parts: list[jax.Array]) -> jax.Array:
    """Scalars of all layers, after their sum."""
    every = jnp.stack(parts)
    return jnp.concatenate([every.sum(keepdims=True), every])


@dataclass(frozen=True, kw_only=True)
class PruningNetwork(MaskedNetwork):
    """Network that is trained, then loses weights step by step, fine-tuned after each.

    The test set is looked at after every step, and never used for a decision.
    """

    name: ClassVar[str] = "pruning"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Pesce, He & Caldarelli, Phase transitions in neural networks pruning"
    observables: ClassVar[tuple[Observable, ...]] = (
        Observable(
            name="accuracy",
            dims=("step",),
            unit="1",
            doc="fraction of the test set that is classified correctly",
        ),
        Observable(name="loss", dims=("step",), unit="nat", doc="cross-entropy on the test set"),
        Observable(
            name="prediction_entropy",
            dims=("step",),
            unit="nat",
            doc="entropy of how often each class is predicted, Eq. (1)",
        ),
        Observable(
            name="outcome_entropy",
            dims=("step",),
            unit="nat",
            doc="mean entropy of the softmax, Eq. (2)",
        ),
        Observable(name="density", dims=("step",), unit="1", doc="share of the edges that remain"),
        Observable(
            name="edges", dims=("step", "layer"), unit="1", doc="weights that remain in a layer"
        ),
        Observable(
            name="conducting",
            dims=("step", "layer"),
            unit="1",
            doc="remaining weights of a layer on a path from the input to the output",
        ),
        Observable(
            name="live_units",
            dims=("step", "unit_layer"),
            unit="1",
            doc="units on a path from the input (0) to the output (last)",
        ),
        Observable(
            name="evolution",
            dims=("step", "part"),
            unit="1",
            doc="Evolution Metric from one step to the next; part 0 is the whole network",
        ),
        Observable(
            name="weights",
            dims=("snapshot", "weight"),
            unit="1",
            doc="all weights, layer after layer, at the first step of at most this density",
        ),
        Observable(
            name="snapshot_step", dims=("snapshot",), unit="step", doc="step of the snapshot"
        ),
        Observable(
            name="removed",
            dims=("weight",),
            unit="step",
            doc="step that removed a weight; steps + 1 where none did",
        ),
        Observable(
            name="epochs", dims=(), unit="epoch", doc="epochs in which the dense network trained"
        ),
        Observable(
            name="validation_loss",
            dims=(),
            unit="nat",
            doc="lowest validation cross-entropy of the dense network",
        ),
    )

    schedule: str = control(
        "equal",
        symbol="schedule",
        doc="equal numbers, equal ratios, or equal numbers only below the density focus",
        choices=pruning.SCHEDULES,
        static=True,
    )
    final_density: float = control(
        0.0,
        symbol=r"$\rho_T$",
        doc="share of the edges that remain at the end",
        interval="[0, 1)",
        static=True,
    )
    focus: float = control(
        0.05,
        symbol=r"$\rho_f$",
        doc="density at which a focused schedule becomes fine, after a tenth of its steps",
        interval="(0, 1]",
        static=True,
    )
    snapshots: tuple[float, ...] = control(
        tuple(float(f"{x:.3g}") for x in np.geomspace(0.001, 1, 31)),
        symbol=r"$\rho_s$",
        doc="densities at which all weights are kept, 4 bytes a weight before compression",
        interval="[0, 1]",
        inner=True,
    )

    @classmethod
    def tiny(cls) -> PruningNetwork:
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
            steps=12,
            updates=3,
            schedule="geometric",
            final_density=0.1,
            snapshots=(0.2, 0.5, 1.0),
        )

    def validate(self) -> None:
        """Raise `InputError` for a schedule that cannot be, or snapshots that it does not reach."""
        super().validate()
        if self.schedule == "geometric" and self.final_density == 0:
            raise InputError(
                "final_density = 0: a geometric schedule never ends there; use some 0.001, or "
                "schedule = 'focused'."
            )
        if self.schedule == "focused" and self.steps < 2:
            raise InputError("steps = 1: a focused schedule has two parts; expected 2 or more.")
        if self.schedule == "focused" and self.final_density >= self.focus:
            raise InputError(
                f"final_density = {self.final_density}: expected less than focus = {self.focus}, "
                f"where a focused schedule begins to be fine."
            )
        if self.snapshots[0] < self.final_density:
            raise InputError(
                f"snapshots: density {self.snapshots[0]} is below final_density = "
                f"{self.final_density}, where the schedule ends."
            )

    def totals(self) -> pruning.Counts:
        """Weights that remain in all, int64 [steps+1]."""
        edges = sum(self.network().edges)
        return pruning.remaining(self.schedule, edges, self.steps, self.final_density, self.focus)

    def counts(self) -> pruning.Counts:
        """Weights that remain in each layer if scope fixes them, int64 [steps+1, layers]."""
        return pruning.apportioned(self.totals(), np.array(self.network().edges))

    def snapshot_steps(self) -> np.ndarray:
        """First step of at most each snapshot's density, int64 [snapshots]."""
        total = self.totals()
        wanted = np.maximum(np.rint(total[0] * np.array(self.snapshots)), total[-1])
        return np.array([int(np.argmax(total <= count)) for count in wanted])

    def inner(self) -> dict[str, Sequence[float]]:
        """Coordinates of the inner dimensions."""
        layers = len(self.network().shapes)
        return {
            "step": range(self.steps + 1),
            "layer": range(1, layers + 1),
            "unit_layer": range(layers + 1),
            "part": range(layers + 1),
            "snapshot": self.snapshots,
            "weight": range(sum(self.network().edges)),
        }

    def work(self) -> float:
        """FLOP of one realization: a guess of the first epochs, then exact matrix products."""
        step = self.training_work(self.updates) + self.test_work()
        return self.dense_work() + self.steps * step

    def begin(self, key: jax.Array, data: Any) -> State:
        """Initialise the dense network; nothing is measured yet."""
        network = self.network()
        layers, edges, rows = len(network.shapes), sum(network.edges), self.steps + 1
        sizes = {"layer": layers, "unit_layer": layers + 1, "part": layers + 1}
        shapes = {
            observable.name: (rows, *[sizes[dim] for dim in observable.dims[1:]])
            for observable in self.observables
            if observable.dims[:1] == ("step",)
        }
        kept = len(np.unique(self.snapshot_steps()))
        return State(
            now=self.start(key, data),
            step=jnp.int32(TRAINING),
            series={name: jnp.zeros(shape) for name, shape in shapes.items()},
            weights=jnp.zeros((kept, edges)),
            removed=jnp.full(edges, self.steps + 1, jnp.int32),
            epochs=jnp.int32(0),
            validation_loss=jnp.float32(jnp.inf),
        )

    def advance(self, state: State, data: Any) -> State:
        """Train for one epoch, or prune once, fine-tune and measure."""
        training = state.step == TRAINING

        def train(state: State) -> State:
            now = self.train_epoch(state.now, data, "batches", training)
            over = self.trained(now)
            dense_one = self.restart(now, now.fit.best, now.masks, self.tuning_rate)
            return state._replace(
                now=jax.tree.map(lambda a, b: jnp.where(over, a, b), dense_one, now),
                step=jnp.where(over, 0, TRAINING),
                epochs=now.fit.epoch,
                validation_loss=now.fit.best_loss,
            )

        def prune(state: State) -> State:
            step = state.step + 1
            counts = jnp.asarray(self.counts(), jnp.int32)
            pruned = self.prune(state.now, data, counts[step], step)
            return state._replace(now=self.fine_tune(pruned, data, ~training), step=step)

        # what grows with the number of snapshots stays out of the branches, which copy
        nothing = jnp.zeros(0)
        small = state._replace(series={}, weights=nothing, removed=nothing)
        after: State = jax.lax.cond(training, train, prune, small)
        every = after._replace(series=state.series, weights=state.weights, removed=state.removed)
        return self._record(every, state.now, data)

    def _record(self, state: State, before: Fitted, data: Any) -> State:
        """Measure, and write it into the row of this step; while training, nothing is written."""
        step, network, now = state.step, self.network(), state.now
        written = step >= 0

        def look() -> dict[str, jax.Array]:
            edges = jnp.stack([jnp.sum(mask, dtype=jnp.int32) for mask in now.masks])
            conducting, live = percolation.conducting(now.masks, network.units)
            moved = evolution(now.fit.params, before.fit.params, now.masks)
            values = {
                **self.measure(now.fit.params, data),
                "density": edges.sum() / sum(network.edges),
                "edges": edges,
                "conducting": conducting,
                "live_units": live,
                "evolution": jnp.where(step > 0, moved, 0),
            }
            return {name: jnp.asarray(values[name], jnp.float32) for name in state.series}

        def nothing() -> dict[str, jax.Array]:
            return {name: array[0] for name, array in state.series.items()}

        values = jax.lax.cond(written, look, nothing)
        series = {
            name: _put(array, jnp.maximum(step, 0), values[name], written)
            for name, array in state.series.items()
        }
        taken = np.unique(self.snapshot_steps())
        row = jnp.minimum(jnp.searchsorted(jnp.asarray(taken), step), len(taken) - 1)
        flat = jnp.concatenate([w.reshape(-1) for w, _ in now.fit.params])
        weights = _put(state.weights, row, flat, jnp.asarray(taken)[row] == step)
        alive = jnp.concatenate([mask.reshape(-1) for mask in now.masks])
        fell = ~alive & (state.removed > self.steps)
        removed = jnp.where(fell, step, state.removed)
        return state._replace(series=series, weights=weights, removed=removed)

    def finished(self, state: State) -> jax.Array:
        """Whether the schedule has come to its end."""
        over: jax.Array = state.step >= self.steps
        return over

    def observe(self, state: State, data: Any) -> dict[str, jax.Array]:
        """Give what was written along the way."""
        steps = self.snapshot_steps()
        _, row = np.unique(steps, return_inverse=True)
        return {
            **state.series,
            "weights": state.weights[row],
            "snapshot_step": jnp.asarray(steps, jnp.int32),
            "removed": state.removed,
            "epochs": state.epochs,
            "validation_loss": state.validation_loss,
        }


def _put(rows: jax.Array, at: jax.Array, value: jax.Array, really: jax.Array) -> jax.Array:
    """Write one row in place, if `really`."""
    old = jax.lax.dynamic_index_in_dim(rows, at, keepdims=False)
    new = jnp.where(really, value, old)
    written: jax.Array = jax.lax.dynamic_update_index_in_dim(rows, new, at, 0)
    return written
