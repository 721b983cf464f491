"""The engine against a plain NumPy implementation of the same experiment, on real MNIST.

The reference below trains one network at a time, keeps its own random numbers and shares no code
with the package but the loading of the data.  Three tests compare the two number by number, where
no randomness is left: forward pass, gradient and Adam step, and a whole training without dropout.
With dropout the two can agree in distribution only, over independent realizations (subset,
initial parameters, mini-batches and masks all drawn anew).

Six observables are compared: log loss and accuracy on the whole test set at p_eval = 0 and 0.5,
log of the best validation loss, and log of the number of epochs.  Each has Welch's t-test (mean)
and the Kolmogorov-Smirnov test (whole distribution) at a significance of 1e-3 / 12 = 8.3e-5, so
that two equal implementations fail a study with a probability below 1e-3 [Bonferroni].  Seeds are
fixed: on one machine the verdict on one version of the code is always the same.

Power, as the shift of the mean log loss that Welch's test finds with a probability of 90 %:

    study         realizations    p_eval = 0    p_eval = 0.5
    small              30            0.08           0.06
    demo (slow)       150            0.03           0.025

At p_eval = 0.5 the log loss falls by about 3.5 per unit of p_train, so 0.06 is an error of 0.017
in p_train.  That the tests have this power is tested too: with resampled ensembles, and with
references that contain a mistake and must be rejected.  The small study is blind to what hardly
moves these observables: one epoch more of patience, no halving of the learning rate, the last
parameters in place of the best.  The training that is compared epoch by epoch is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from criticality import data, keys
from criticality.base import Task, canonical
from criticality.engine import ensemble
from criticality.nn import dense, fit, measure
from criticality.systems.dropout import DropoutNetwork, model

CLASSES = 10
P_EVAL = (0.0, 0.5)
Arrays = list[np.ndarray]  # W1, b1, W2, b2, ...: parameters, or something of the same shapes
Samples = tuple[np.ndarray, np.ndarray]  # grey values in [0, 1] and labels

# --- the reference: one network, one realization, no tricks ------------------------------------


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is trained and how: controls of `DropoutNetwork`, and room for two mistakes."""

    p_train: float
    n_train: int
    width: int
    depth: int
    batch_size: int
    n_validation: int
    patience: int
    plateau: int
    learning_rate: float = 1e-3
    undropped: int = 0  # mistake: so many hidden layers, from the input on, train without dropout
    rescale: bool = True  # mistake if False: dropout in evaluation lacks the factor 1 / (1 - p)

    def rates(self) -> list[float]:
        """Dropout rates of the hidden layers in training."""
        return [0.0] * self.undropped + [self.p_train] * (self.depth - self.undropped)


MISTAKES = ("undropped", "rescale")


def grey(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / 255


def initial(protocol: Protocol, pixels: int, rng: np.random.Generator) -> Arrays:
    """He initialization: weights N(0, 2 / fan-in), biases zero."""
    sizes = [pixels, *[protocol.width] * protocol.depth, CLASSES]
    params: Arrays = []
    for n_in, n_out in pairwise(sizes):
        w = rng.normal(0, np.sqrt(2 / n_in), size=(n_in, n_out))
        params += [w.astype(np.float32), np.zeros(n_out, np.float32)]
    return params


def forward(
    params: Arrays,
    x: np.ndarray,
    rates: list[float],
    rng: np.random.Generator,
    rescale: bool = True,
) -> tuple[np.ndarray, Arrays, Arrays]:
    """Logits, the input of every layer, and dh/dz of every hidden layer; a rate for each."""
    h, inputs, slopes = x, [x], []
    for layer, rate in enumerate(rates):
        z = h @ params[2 * layer] + params[2 * layer + 1]
        kept = rng.random(z.shape, dtype=np.float32) >= rate
        slope = ((z > 0) & kept).astype(np.float32)  # ReLU, then dropout
        if rescale:
            slope /= 1 - rate
        h = z * slope
        inputs.append(h)
        slopes.append(slope)
    return h @ params[-2] + params[-1], inputs, slopes


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(axis=1, keepdims=True)  # against overflow
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    return -float(log_probabilities(logits)[np.arange(len(y)), y].mean())


def gradient(
    params: Arrays, batch: Samples, rates: list[float], rng: np.random.Generator
) -> Arrays:
    """Gradient of the mean cross-entropy of a mini-batch, by back-propagation."""
    x, y = batch
    logits, inputs, slopes = forward(params, x, rates, rng)
    error = np.exp(log_probabilities(logits))  # dloss/dlogits = (probability - one-hot) / B
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    grad: Arrays = []
    for layer in reversed(range(len(inputs))):
        grad = [inputs[layer].T @ error, error.sum(axis=0), *grad]
        if layer > 0:
            error = (error @ params[2 * layer].T) * slopes[layer - 1]
    return grad


class Adam:
    """Kingma and Ba (2015), Algorithm 1."""

    def __init__(self, params: Arrays) -> None:
        self.t = 0
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]

    def direction(self, grad: Arrays) -> Arrays:
        """What is multiplied by the learning rate and subtracted."""
        self.t += 1
        self.m = [0.9 * m + 0.1 * g for m, g in zip(self.m, grad, strict=True)]
        self.v = [0.999 * v + 0.001 * g**2 for v, g in zip(self.v, grad, strict=True)]
        return [
            (m / (1 - 0.9**self.t)) / (np.sqrt(v / (1 - 0.999**self.t)) + 1e-8)
            for m, v in zip(self.m, self.v, strict=True)
        ]


@dataclass(frozen=True)
class Trained:
    params: Arrays  # of the best validation loss
    validation: list[float]  # loss after every epoch
    rate: float  # of learning, at the end


def train(
    protocol: Protocol,
    params: Arrays,
    training: Samples,
    held_out: Samples,
    rng: np.random.Generator,
) -> Trained:
    """Adam with halvings of the learning rate on a plateau, and early stopping."""
    x, y = training
    adam, rate = Adam(params), protocol.learning_rate
    best, best_loss = params, np.inf
    validation: list[float] = []
    stale = waited = 0
    while stale < protocol.patience:
        shuffled = rng.permutation(len(y))
        for start in range(0, len(y), protocol.batch_size):
            batch = shuffled[start : start + protocol.batch_size]
            grad = gradient(params, (x[batch], y[batch]), protocol.rates(), rng)
            step = adam.direction(grad)
            params = [p - rate * s for p, s in zip(params, step, strict=True)]
        logits, _, _ = forward(params, held_out[0], [0.0] * protocol.depth, rng)
        validation.append(cross_entropy(logits, held_out[1]))
        if validation[-1] < best_loss:
            best, best_loss = params, validation[-1]
            stale = waited = 0
        else:
            stale, waited = stale + 1, waited + 1
        if waited == protocol.plateau:
            rate, waited = rate / 2, 0
    return Trained(best, validation, rate)


def one_realization(protocol: Protocol, seed: tuple[int, int]) -> dict[str, float]:
    """Train and evaluate one network on its own random subset."""
    mnist, rng = data.load("mnist"), np.random.default_rng(seed)
    order = rng.permutation(len(mnist.train_y))
    held_out = order[: protocol.n_validation]
    subset = order[protocol.n_validation : protocol.n_validation + protocol.n_train]
    trained = train(
        protocol,
        initial(protocol, mnist.train_x.shape[1], rng),
        (grey(mnist.train_x[subset]), mnist.train_y[subset]),
        (grey(mnist.train_x[held_out]), mnist.train_y[held_out]),
        rng,
    )
    seen = {
        "log validation loss": np.log(min(trained.validation)),
        "log epochs": np.log(len(trained.validation)),
    }
    test_x = grey(mnist.test_x)
    for p in P_EVAL:
        rates = [p] * protocol.depth
        logits, _, _ = forward(trained.params, test_x, rates, rng, protocol.rescale)
        seen[f"log loss, p_eval = {p}"] = np.log(cross_entropy(logits, mnist.test_y))
        seen[f"accuracy, p_eval = {p}"] = (logits.argmax(axis=1) == mnist.test_y).mean()
    return seen


# --- ensembles and their comparison ------------------------------------------------------------

Ensemble = dict[str, np.ndarray]  # by observable, one value for each realization


@dataclass(frozen=True, kw_only=True)
class Study:
    """An experiment that both sides do.

    Attributes
    ----------
    realizations
        On each side, all independent.
    detectable
        Shift of the log loss at each p_eval that is found with a probability of 90 %.
    """

    protocol: Protocol
    realizations: int
    detectable: dict[float, float]


SMALL = Study(
    protocol=Protocol(
        p_train=0.1,
        n_train=500,
        width=40,
        depth=2,
        batch_size=64,
        n_validation=500,
        patience=5,
        plateau=3,
    ),
    realizations=30,
    detectable={0.0: 0.08, 0.5: 0.06},
)
DEMO = Study(  # the defaults of `DropoutNetwork`
    protocol=Protocol(
        p_train=0.1,
        n_train=1_000,
        width=100,
        depth=3,
        batch_size=128,
        n_validation=2_000,
        patience=10,
        plateau=5,
    ),
    realizations=150,
    detectable={0.0: 0.03, 0.5: 0.025},
)
FALSE_ALARM = 1e-3  # probability that two equal implementations fail one study
OBSERVABLES = (
    *(f"{name}, p_eval = {p}" for p in P_EVAL for name in ("log loss", "accuracy")),
    "log validation loss",
    "log epochs",
)
SIGNIFICANCE = FALSE_ALARM / (2 * len(OBSERVABLES))  # Bonferroni: two tests of each observable
ENGINE_SEED = 0
REFERENCE_SEED, MISTAKEN_SEED = 1, 2


def reference_ensemble(workers: Executor, study: Study, protocol: Protocol, seed: int) -> Ensemble:
    seeds = [(seed, r) for r in range(study.realizations)]
    runs = list(workers.map(partial(one_realization, protocol), seeds))
    return {name: np.array([run[name] for run in runs]) for name in OBSERVABLES}


def system_of(protocol: Protocol, p_eval: tuple[float, ...]) -> DropoutNetwork:
    controls = {k: v for k, v in vars(protocol).items() if k not in MISTAKES}
    return canonical(DropoutNetwork(), **controls, p_eval=p_eval, passes=1)


def engine_ensemble(study: Study) -> Ensemble:
    mnist, system = data.load("mnist"), system_of(study.protocol, P_EVAL)
    tasks = [
        Task(system=system, seed=ENGINE_SEED, realization=r, checksum=mnist.checksum)
        for r in range(study.realizations)
    ]
    runs = ensemble.realize(tasks, mnist.arrays())
    found = {
        "log validation loss": np.array([np.log(run["validation_loss"]) for run in runs]),
        "log epochs": np.array([np.log(run["epochs"]) for run in runs]),
    }
    for i, p in enumerate(P_EVAL):
        found[f"log loss, p_eval = {p}"] = np.array([np.log(run["loss"][i, 0]) for run in runs])
        found[f"accuracy, p_eval = {p}"] = np.array([run["accuracy"][i, 0] for run in runs])
    return found


def p_values(one: Ensemble, other: Ensemble) -> dict[tuple[str, str], float]:
    """Probability of a difference as large as that seen, if both are from one distribution."""
    found = {}
    for name in OBSERVABLES:
        a, b = one[name], other[name]
        found[name, "Welch"] = float(stats.ttest_ind(a, b, equal_var=False).pvalue)
        found[name, "Kolmogorov-Smirnov"] = float(stats.ks_2samp(a, b).pvalue)
    return found


def table(p: dict[tuple[str, str], float]) -> str:
    rows = [f"{name}, {test}: p = {value:.1e}" for (name, test), value in p.items()]
    return "\n".join([f"significance {SIGNIFICANCE:.1e} each", *rows])


@pytest.fixture(scope="session")
def workers() -> Iterator[Executor]:
    """Two processes for the reference, whose matrix products are too small to share among threads.

    On busy cores such threads mostly wait for each other, which costs a factor of ten; and NumPy
    takes their number from the environment, when it is loaded.
    """
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            for library in ("OPENBLAS", "MKL", "OMP"):
                patch.setenv(f"{library}_NUM_THREADS", "1")
            list(pool.map(int, "00"))  # a process starts with the first task that finds none idle
        yield pool


@pytest.fixture(
    scope="session",
    params=[pytest.param(SMALL, id="small"), pytest.param(DEMO, id="demo", marks=pytest.mark.slow)],
)
def study(request: pytest.FixtureRequest) -> Study:
    return request.param


@pytest.fixture(scope="session")
def engine(study: Study) -> Ensemble:
    return engine_ensemble(study)


@pytest.fixture(scope="session")
def reference(workers: Executor, study: Study) -> Ensemble:
    return reference_ensemble(workers, study, study.protocol, REFERENCE_SEED)


# --- statistics --------------------------------------------------------------------------------


def test_engine_and_reference_agree_in_distribution(engine: Ensemble, reference: Ensemble) -> None:
    p = p_values(engine, reference)
    assert min(p.values()) > SIGNIFICANCE, table(p)


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param({"rescale": False}, id="no rescaling in evaluation", marks=pytest.mark.slow),
        pytest.param({"p_train": 0.12}, id="p_train 0.12 for 0.1", marks=pytest.mark.slow),
        pytest.param({"undropped": 1}, id="no dropout in the first hidden layer"),
    ],
)
def test_a_mistaken_reference_is_rejected(
    workers: Executor, study: Study, engine: Ensemble, mistake: dict[str, float]
) -> None:
    mistaken = replace(study.protocol, **mistake)
    rejected = reference_ensemble(workers, study, mistaken, MISTAKEN_SEED)
    p = p_values(engine, rejected)
    assert min(p.values()) < SIGNIFICANCE, table(p)


@pytest.mark.parametrize("p_eval", P_EVAL)
def test_the_stated_shift_is_found_nine_times_in_ten(
    study: Study, engine: Ensemble, reference: Ensemble, p_eval: float
) -> None:
    name = f"log loss, p_eval = {p_eval}"
    scatter = np.concatenate([sample[name] - sample[name].mean() for sample in (engine, reference)])
    rng = np.random.default_rng(3)
    a, b = rng.choice(scatter, size=(2, 4_000, study.realizations))
    shifted = b + study.detectable[p_eval]
    found = stats.ttest_ind(a, shifted, axis=1, equal_var=False).pvalue < SIGNIFICANCE
    assert found.mean() > 0.9  # by Welch's test alone


# --- without statistics ------------------------------------------------------------------------


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.fixture
def params(rng: np.random.Generator) -> Arrays:
    """Random parameters, with biases that matter."""
    fresh = initial(SMALL.protocol, 28 * 28, rng)
    return [p + rng.normal(0, 0.1, size=p.shape).astype(np.float32) for p in fresh]


def in_layers(params: Arrays) -> dense.Params:
    """Parameters as the engine holds them: weights [out, in]."""
    flat = [jnp.asarray(p.T) for p in params]
    return tuple(zip(flat[0::2], flat[1::2], strict=True))


def engine_logits(params: dense.Params, x: np.ndarray) -> jax.Array:
    """Logits [samples, K]."""
    z = dense.preactivations(params, jnp.asarray(x), "float32")
    return dense.logits(params, z, None, "float32").T


def test_forward_pass_and_cross_entropy_agree(params: Arrays, rng: np.random.Generator) -> None:
    mnist = data.load("mnist")
    x, y = grey(mnist.test_x), mnist.test_y
    expected, _, _ = forward(params, x, [0.0, 0.0], rng)
    logits = engine_logits(in_layers(params), x)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    loss = measure.cross_entropy(logits.T, jnp.asarray(y)).mean()
    np.testing.assert_allclose(loss, cross_entropy(expected, y), rtol=1e-5)
    right = measure.correct(logits.T, jnp.asarray(y)).mean()
    one_tie = 1.5e-4  # rounding may turn one sample of 10,000
    np.testing.assert_allclose(right, (expected.argmax(axis=1) == y).mean(), atol=one_tie)


def test_gradient_and_adam_step_agree(params: Arrays, rng: np.random.Generator) -> None:
    mnist = data.load("mnist")

    def loss(layers: dense.Params, x: np.ndarray, y: np.ndarray) -> jax.Array:
        return measure.cross_entropy(engine_logits(layers, x).T, jnp.asarray(y)).mean()

    layers = in_layers(params)
    still = jax.tree.map(jnp.zeros_like, layers)
    moments, adam = fit.Moments(still, still), Adam(params)
    # three steps, since the first does not show the moments' decay
    for step, start in enumerate((0, 64, 128)):
        x, y = grey(mnist.train_x[start : start + 64]), mnist.train_y[start : start + 64]
        grad = jax.grad(loss)(layers, x, y)
        expected = gradient(params, (x, y), [0.0, 0.0], rng)
        for found, wanted in zip(jax.tree.leaves(grad), expected, strict=True):
            assert np.linalg.norm(found.T - wanted) < 1e-4 * np.linalg.norm(wanted)

        # The same gradient for both: a step does not shrink with the gradient, and so magnifies
        # the rounding of those that are nearly zero; the means of some nearly cancel.
        moved, moments = fit.adam(still, moments, grad, 1.0, jnp.int32(step))
        expected = adam.direction([np.asarray(g).T for g in jax.tree.leaves(grad)])
        for found, wanted in zip(jax.tree.leaves(moved), expected, strict=True):
            np.testing.assert_allclose(-found.T, wanted, rtol=1e-4, atol=1e-6)


def test_a_training_without_dropout_agrees_epoch_by_epoch(rng: np.random.Generator) -> None:
    # One mini-batch, not full, holds the whole subset, so that the order of samples is immaterial.
    protocol = Protocol(
        p_train=0.0,
        n_train=50,
        width=12,
        depth=2,
        batch_size=64,
        n_validation=40,
        patience=7,
        plateau=3,
        learning_rate=0.02,
    )
    system = system_of(protocol, (0.0,))
    mnist = data.load("mnist")
    arrays = {k: jnp.asarray(v) for k, v in mnist.arrays().items()}
    arrays |= {k: arrays[k][:100] for k in ("train_x", "train_y")}
    # This root has the loss fall, stagnate for 5 epochs, fall again, and stagnate for 7.
    key = jax.random.wrap_key_data(keys.words(f"{14:016x}"), impl="threefry2x32")
    state = model.begin(system, key, arrays)
    start = [np.asarray(p).T for p in jax.tree.leaves(state.fit.params)]
    order = np.asarray(state.order)
    advance, validation = jax.jit(partial(model.advance, system)), []
    while not model.finished(system, state):
        state = advance(state, arrays)
        validation.append(float(state.fit.loss))

    held_out, subset = order[:40], order[40:90]
    expected = train(
        protocol,
        start,
        (grey(mnist.train_x[subset]), mnist.train_y[subset]),
        (grey(mnist.train_x[held_out]), mnist.train_y[held_out]),
        rng,
    )
    np.testing.assert_allclose(validation, expected.validation, rtol=1e-3)
    assert float(state.fit.rate) == pytest.approx(expected.rate)
    assert expected.rate == protocol.learning_rate / 8  # after 3, 3 and 6 stagnant epochs
    for found, wanted in zip(jax.tree.leaves(state.fit.best), expected.params, strict=True):
        assert np.linalg.norm(found.T - wanted) < 1e-3 * np.linalg.norm(wanted)
    logits, _, _ = forward(expected.params, grey(mnist.test_x), [0.0, 0.0], rng)
    seen = model.observe(system, state, arrays)
    np.testing.assert_allclose(seen["loss"], cross_entropy(logits, mnist.test_y), rtol=1e-3)
    right = (logits.argmax(axis=1) == mnist.test_y).mean()
    np.testing.assert_allclose(seen["accuracy"], right, atol=1e-3)
