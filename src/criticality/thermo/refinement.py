r"""The inverse problem: parameters of a potential at which two phases coexist where they should.

U_theta(x) = c(theta) . B(x), with features B of a snapshot and any differentiable c.  At state
points (T_k, P_k), both phases are sampled, each by replicas that stay metastable in it, and

    Delta phi_k = beta (G_II - G_I),   u = beta_k (c(theta) . B + P_k V),   phi = -ln Z

is tracked: from one round to the next the state moves a little (theta, T_k or both), both phases
are sampled anew, and Bennett's ratio between the old and the new samples adds what changed.  So it
is known at the state that was sampled last, whatever the moves were, and its error by a jackknife
over replicas whose replicates are tracked alike.

A refinement *locates* the transition of the given potential first: T_k moves until Delta phi_k is
zero.  It then *refines*: T_k goes to its target in relative steps of at most `continuation`, and
theta with it, so that Delta phi_k stays zero and both phases stay metastable.  Every move is
predicted by reweighting, and no longer than the effective share of the samples allows.

`Problem` says what is given, `begin` and `advance` are a state machine: an advance samples one
phase at one state point, the last of a round also moves.  Everything can be jitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from criticality.nn.streams import stream
from criticality.thermo import reweighting

LOCATE, REFINE, SETTLE, DONE, LOST, SPENT = range(6)  # stages; the last three end it
HALVINGS = 6  # of a move, until the effective share is above its floor
NEWTON = 4  # Gauss-Newton steps of theta on the samples of one round
EXACT = jax.lax.Precision.HIGHEST  # of sums over features; a GPU rounds by default

State = tuple[jax.Array, jax.Array]  # theta, and the temperatures of all state points


class Samples(NamedTuple):
    """Snapshots of all replicas of one phase at one state point.

    Attributes
    ----------
    features
        B [replicas, snapshots, features].
    volume
        [replicas, snapshots]; zeros where there is none.
    order
        Order parameter by which phases are told apart [replicas, snapshots].
    """

    features: jax.Array
    volume: jax.Array
    order: jax.Array


class Sampler(Protocol):
    """A simulator: nothing else is known of it."""

    def __call__(
        self,
        key: jax.Array,
        state: Any,
        phase: jax.Array,
        coefficients: jax.Array,
        temperature: jax.Array,
        pressure: jax.Array,
    ) -> tuple[Any, Samples]:
        """Go on from a state, let it come to equilibrium after a small move, and sample.

        Parameters
        ----------
        key
            `jax.random` key of this round.
        state
            Of all replicas of this phase at this state point: any pytree, the first axis of all
            leaves is that of the replicas.  Rejected replicas become copies of others.
        phase
            0 or 1.
        coefficients
            c(theta) [features].
        temperature, pressure
            Scalars.
        """


def nothing(coefficients: jax.Array, features: jax.Array, volume: jax.Array) -> jax.Array:
    """Give no observable."""
    return jnp.zeros((*volume.shape, 0), volume.dtype)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is given; arrays may be traced.

    Attributes
    ----------
    sample
        The simulator.
    coefficients
        theta [parameters] -> c [features], differentiable.
    theta
        The given parameters.
    width
        How far each may go for the same price; 0 keeps it.
    temperature, pressure
        Targets T_k, P_k [state points].
    bounds
        Lowest and highest order parameter within each phase [2, 2]; a replica that was outside
        once is rejected from all averages of this round, and replaced.  Infinite: no check.
    continuation
        Largest relative step of T_k towards its target.  1 or more: none, T_k goes there with the
        given parameters, in steps that reweighting allows, and theta is moved there.
    floor
        Effective share of the samples below which a move is halved.
    gamma
        Weight of the free-energy differences in gamma sum_k Delta phi_k^2 + sum_o gamma_o
        (o - target)^2 + sum_i ((theta_i - theta_0,i)/width_i)^2; 1/gamma is best not below the
        variance of Delta phi, or differences between state points that are noise move theta.
    observables
        (c, features [..., F], volume [...]) -> [..., observables] of single snapshots.
    targets, gammas
        Means that they should have [state points, 2, observables], NaN where none is given, and
        their weights [observables].
    tolerance
        Relative distance from the target temperature that is none.
    settle
        Rounds within the tolerance that end it.
    rounds
        That it has in all.
    blocks
        Of a replica's series within a round, in the jackknife.
    """

    sample: Sampler
    coefficients: Callable[[jax.Array], jax.Array]
    theta: jax.Array
    width: ArrayLike = 1.0
    temperature: jax.Array
    pressure: jax.Array
    bounds: jax.Array = field(default_factory=lambda: jnp.asarray([[-jnp.inf, jnp.inf]] * 2))
    continuation: ArrayLike = 0.01
    floor: ArrayLike = 0.5
    gamma: ArrayLike = 100.0
    observables: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = nothing
    targets: ArrayLike = 0.0
    gammas: ArrayLike = 0.0
    tolerance: ArrayLike = 1e-3
    settle: ArrayLike = 3
    rounds: int = 60
    blocks: int = 1


class History(NamedTuple):
    """What each round had, NaN beyond the last.

    Attributes
    ----------
    stage
        LOCATE, REFINE or SETTLE [rounds].
    theta
        [rounds, parameters].
    temperature, difference, error
        Of every state point: T_k, Delta phi_k and its standard error [rounds, K].
    effective
        Share of these samples that was effective at the next state [rounds, K, 2].
    order
        Mean order parameter of every replica [rounds, K, 2, R].
    rejected
        Replicas that had left their phase, 1 or 0 [rounds, K, 2, R].
    """

    stage: jax.Array
    theta: jax.Array
    temperature: jax.Array
    difference: jax.Array
    error: jax.Array
    effective: jax.Array
    order: jax.Array
    rejected: jax.Array


class Refinement(NamedTuple):
    """State of a refinement.

    Attributes
    ----------
    key
        Root key of its noise.
    simulators
        State of every simulator: leaves [K, 2, replicas, ...].
    theta, temperature
        What is sampled now.
    fresh
        Samples of this round, leaves [K, 2, replicas, ...], as far as they have been taken.
    old, old_theta, old_temperature, kept
        Samples of the round before, where, and which replicas count [K, 2, R].
    replicates
        Delta phi where the old samples are, of all replicas and without one group each
        [1 + groups, K].
    own
        T_k of the transition of the given potential, of the replicates likewise [1 + groups, K].
    stage, piece, round, settled
        int32: stage, piece of this round, rounds done, and within the tolerance.
    history
        Of all rounds.
    """

    key: jax.Array
    simulators: Any
    theta: jax.Array
    temperature: jax.Array
    fresh: Samples
    old: Samples
    old_theta: jax.Array
    old_temperature: jax.Array
    kept: jax.Array
    replicates: jax.Array
    own: jax.Array
    stage: jax.Array
    piece: jax.Array
    round: jax.Array
    settled: jax.Array
    history: History


def begin(
    problem: Problem,
    key: jax.Array,
    simulators: Any,
    temperature: jax.Array,
    differences: jax.Array,
) -> Refinement:
    """Begin where the phases of the given potential are known.

    Parameters
    ----------
    simulators
        Equilibrated states, leaves [K, 2, replicas, ...].
    temperature
        Where they are [K].
    differences
        Delta phi there, and replicates of it if it has an error: [K] or [1 + groups, K], with
        replicas * blocks groups (`scattered` makes them of a standard error).
    """
    points = len(temperature)
    one = jax.tree.map(lambda leaf: leaf[0, 0], simulators)
    numbers = (problem.coefficients(problem.theta), temperature[0], problem.pressure[0])
    _, form = jax.eval_shape(problem.sample, key, one, jnp.int32(0), *numbers)
    empty = jax.tree.map(lambda leaf: jnp.zeros((points, 2, *leaf.shape), leaf.dtype), form)
    replicas = form.volume.shape[0]
    groups = 1 + replicas * problem.blocks
    kind = temperature.dtype
    every = jnp.broadcast_to(differences, (groups, points)).astype(kind)

    def blank(*shape: int) -> jax.Array:
        return jnp.full((problem.rounds, *shape), jnp.nan, kind)

    return Refinement(
        key=key,
        simulators=simulators,
        theta=problem.theta,
        temperature=temperature,
        fresh=empty,
        old=empty,
        old_theta=problem.theta,
        old_temperature=temperature,
        kept=jnp.ones((points, 2, replicas), bool),
        replicates=every,
        own=jnp.full((groups, points), jnp.nan, kind),
        stage=jnp.int32(LOCATE),
        piece=jnp.int32(0),
        round=jnp.int32(0),
        settled=jnp.int32(0),
        history=History(
            stage=blank(),
            theta=blank(*problem.theta.shape),
            temperature=blank(points),
            difference=blank(points),
            error=blank(points),
            effective=blank(points, 2),
            order=blank(points, 2, replicas),
            rejected=blank(points, 2, replicas),
        ),
    )


def scattered(key: jax.Array, differences: jax.Array, errors: jax.Array, groups: int) -> jax.Array:
    """Replicates [1 + groups, K] of differences [K] that come with errors from elsewhere [K]."""
    noise = jax.random.normal(key, (groups, len(differences)), differences.dtype)
    noise = noise - noise.mean(axis=0)
    noise = noise / jnp.sqrt(jnp.sum(noise**2, axis=0) * (groups - 1) / groups)
    return jnp.concatenate([differences[None], differences + noise * errors])


def finished(state: Refinement) -> jax.Array:
    """Whether it has settled, lost a phase, or spent its rounds."""
    return state.stage >= DONE


def advance(problem: Problem, state: Refinement) -> Refinement:
    """Sample one phase at one state point; after the last of a round, judge and move."""
    points = len(state.temperature)
    point, phase = state.piece // 2, state.piece % 2
    one = jax.tree.map(lambda leaf: leaf[point, phase], state.simulators)
    simulator, found = problem.sample(
        stream(jax.random.fold_in(state.key, state.round * 2 * points + state.piece), "sample"),
        one,
        phase,
        problem.coefficients(state.theta),
        state.temperature[point],
        problem.pressure[point],
    )

    def put(leaf: jax.Array, new: jax.Array) -> jax.Array:
        return leaf.at[point, phase].set(new)

    state = state._replace(
        simulators=jax.tree.map(put, state.simulators, simulator),
        fresh=jax.tree.map(put, state.fresh, found),
        piece=state.piece + 1,
    )
    whole = state.piece == 2 * points
    after: Refinement = jax.lax.cond(whole, lambda s: _judged(problem, s), lambda s: s, state)
    return after


def transition(problem: Problem, state: Refinement) -> jax.Array:
    """Temperature of the transition, as the samples of the last round say it: [1 + groups, K].

    T (1 - Delta phi / (d Delta phi / d ln T)) of all replicas, and without one group each.
    """
    snapshots = state.old.volume.shape[-1]
    weights = reweighting.jackknife_weights(state.kept.shape[-1], snapshots, problem.blocks)
    c = problem.coefficients(state.old_theta)
    energy = jnp.einsum("kprsf,f->kprs", state.old.features, c, precision=EXACT)
    t = state.old_temperature
    work = problem.pressure[:, None, None, None] * state.old.volume
    u = (energy + work) / t[:, None, None, None]

    def without(weight: jax.Array) -> jax.Array:
        counts = weight * state.kept[..., None]
        sums = jnp.sum(jnp.where(counts > 0, u, 0), axis=(2, 3))
        average = sums / jnp.sum(counts, axis=(2, 3))
        return average[:, 1] - average[:, 0]

    # d Delta phi / d ln T = -(<u>_II - <u>_I)
    return t * (1 + state.replicates / jax.vmap(without)(weights))


# --- one round -------------------------------------------------------------------------------


def _judged(problem: Problem, state: Refinement) -> Refinement:
    """Reject and replace replicas, bring Delta phi to these samples, record, and move."""
    low, high = problem.bounds[:, 0, None, None], problem.bounds[:, 1, None, None]
    order = state.fresh.order
    kept = jnp.all((order >= low) & (order <= high), axis=-1)
    lost = jnp.any(2 * jnp.sum(kept, axis=-1) < kept.shape[-1])
    change = _tracked(problem, state, kept)
    replicates = state.replicates + jnp.where(state.round > 0, change, 0)
    state = state._replace(
        simulators=replaced(state.simulators, kept),
        old=state.fresh,
        old_theta=state.theta,
        old_temperature=state.temperature,
        kept=kept,
        replicates=replicates,
        piece=jnp.int32(0),
        round=state.round + 1,
    )
    here = transition(problem, state)
    near = jnp.all(jnp.abs(jnp.log(here[0] / state.temperature)) < problem.tolerance)
    there = jnp.all(state.temperature == problem.temperature)
    located = (state.stage == LOCATE) & near
    own = jnp.where(located, here, state.own)
    stage = jnp.where(located, REFINE, state.stage)
    stage = jnp.where((stage == REFINE) & there & ~located, SETTLE, stage)
    settled = state.settled + ((stage == SETTLE) & near)
    sampled = stage
    stage = jnp.where(state.round >= problem.rounds, SPENT, stage)
    stage = jnp.where(settled >= problem.settle, DONE, stage)
    stage = jnp.where(lost, LOST, stage)
    state = state._replace(own=own, stage=stage.astype(jnp.int32), settled=settled)
    theta, temperature = _moved(problem, state)
    on = stage < DONE
    theta = jnp.where(on, theta, state.theta)
    temperature = jnp.where(on, temperature, state.temperature)
    row = History(
        stage=sampled.astype(temperature.dtype),
        theta=state.theta,
        temperature=state.temperature,
        difference=replicates[0],
        error=reweighting.jackknife_error(replicates),
        effective=_effective(problem, state, theta, temperature),
        order=order.mean(axis=-1),
        rejected=1.0 - kept,
    )
    history = jax.tree.map(lambda all, new: all.at[state.round - 1].set(new), state.history, row)
    return state._replace(theta=theta, temperature=temperature, history=history)


def replaced(simulators: Any, kept: jax.Array) -> Any:
    """Put copies of kept replicas, taken in turn, in the place of the others."""
    replicas = kept.shape[-1]
    number = jnp.cumsum(~kept, axis=-1) - 1  # of each rejected one
    count = jnp.maximum(jnp.sum(kept, axis=-1, keepdims=True), 1)
    first = jnp.argsort(~kept, axis=-1, stable=True)  # kept ones first
    copied = jnp.take_along_axis(first, number % count, axis=-1)
    source = jnp.where(kept, jnp.arange(replicas), copied)

    def taken(leaf: jax.Array) -> jax.Array:
        index = source.reshape(*source.shape, *(1,) * (leaf.ndim - 3))
        return jnp.take_along_axis(leaf, index, axis=2)

    return jax.tree.map(taken, simulators)


def _change(
    problem: Problem,
    samples: Samples,
    before: State,
    after: State,
) -> jax.Array:
    """Change of u between two states (theta, T), of all samples [K, 2, R, S]."""
    (theta, t), (new_theta, new_t) = before, after
    # numbers that are alike are subtracted before they multiply large sums
    factor = problem.coefficients(new_theta) / new_t[:, None]
    factor = factor - problem.coefficients(theta) / t[:, None]
    volume = problem.pressure * (1 / new_t - 1 / t)
    energy = jnp.einsum("kprsf,kf->kprs", samples.features, factor, precision=EXACT)
    return energy + volume[:, None, None, None] * samples.volume


def _tracked(problem: Problem, state: Refinement, kept: jax.Array) -> jax.Array:
    """Change of Delta phi from the old samples to the fresh ones, by replicates [1 + groups, K]."""
    before, after = (state.old_theta, state.old_temperature), (state.theta, state.temperature)
    old = _change(problem, state.old, before, after)
    new = _change(problem, state.fresh, before, after)
    points, phases, replicas, snapshots = old.shape
    weights = reweighting.jackknife_weights(replicas, snapshots, problem.blocks).astype(old.dtype)

    def flat(x: jax.Array) -> jax.Array:
        return x.reshape(points, phases, -1)

    def without(weight: jax.Array) -> jax.Array:
        here, there = (flat(weight * kept[..., None]) for kept in (state.kept, kept))
        both = reweighting.bar(flat(old), here, flat(new), there)
        return both[:, 1] - both[:, 0]

    return jax.vmap(without)(weights)


# --- moves -----------------------------------------------------------------------------------


def _weights(state: Refinement) -> jax.Array:
    flags = jnp.broadcast_to(state.kept[..., None], state.old.volume.shape)
    points = len(state.temperature)
    return flags.reshape(points, 2, -1).astype(state.temperature.dtype)


def _flat_change(
    problem: Problem, state: Refinement, theta: jax.Array, temperature: jax.Array
) -> jax.Array:
    here = (state.old_theta, state.old_temperature)
    change = _change(problem, state.old, here, (theta, temperature))
    return change.reshape(*change.shape[:2], -1)


def _effective(
    problem: Problem, state: Refinement, theta: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Effective share of the last samples at another state [K, 2]."""
    return reweighting.effective(_flat_change(problem, state, theta, temperature), _weights(state))


def _moved(problem: Problem, state: Refinement) -> tuple[jax.Array, jax.Array]:
    """Next theta and temperatures."""
    t = state.temperature
    at_once = jnp.asarray(problem.continuation) >= 1
    longest = jnp.where(at_once, jnp.inf, problem.continuation)
    to_own = jnp.log(transition(problem, state)[0] / t)
    to_target = jnp.log(problem.temperature / t)
    wish = jnp.where(state.stage == LOCATE, to_own, jnp.clip(to_target, -longest, longest))
    share = _allowed(problem, state, lambda f: (state.theta, t * jnp.exp(f * wish)))
    share = jnp.maximum(share, 0.5**HALVINGS)  # or it would stay for ever
    temperature = t * jnp.exp(share * wish)
    whole = (share == 1) & (jnp.abs(to_target) <= longest) & (state.stage != LOCATE)
    temperature = jnp.where(whole, problem.temperature, temperature)
    free = ~at_once | jnp.all(t == problem.temperature)
    solved = _solved(problem, state, temperature)
    return jnp.where((state.stage != LOCATE) & free, solved, state.theta), temperature


def _allowed(problem: Problem, state: Refinement, at: Callable[[jax.Array], State]) -> jax.Array:
    """Give the longest share 1, 1/2, ... [K] of a move that leaves enough effective samples.

    0 if there is none.
    """
    shares = 0.5 ** jnp.arange(HALVINGS + 1)
    points = len(state.temperature)

    def enough(f: jax.Array) -> jax.Array:
        found = _effective(problem, state, *at(jnp.full(points, f)))
        return jnp.all(found >= problem.floor, axis=-1)

    fine = jax.vmap(enough)(shares)
    return jnp.where(jnp.any(fine, axis=0), shares[jnp.argmax(fine, axis=0)], 0)


def _residuals(
    problem: Problem, state: Refinement, theta: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Square roots of the terms of the loss that data have a say in, by reweighting [rows]."""
    change = _flat_change(problem, state, theta, temperature)
    weight = _weights(state)
    moved = reweighting.difference(change, weight)
    missing = state.replicates[0] + moved[:, 1] - moved[:, 0]
    c = problem.coefficients(theta)
    values = problem.observables(c, state.old.features, state.old.volume)
    points, phases, replicas, snapshots, number = values.shape
    values = jnp.moveaxis(values, -1, 0).reshape(number, points, phases, replicas * snapshots)
    means = jax.vmap(reweighting.mean, (0, None, None))(values, change, weight)
    targets = jnp.broadcast_to(jnp.asarray(problem.targets), (points, phases, number))
    apart = jnp.where(jnp.isnan(targets), 0, jnp.moveaxis(means, 0, -1) - targets)
    gammas = jnp.sqrt(jnp.broadcast_to(jnp.asarray(problem.gammas), (number,)))
    return jnp.concatenate(
        [jnp.sqrt(jnp.asarray(problem.gamma)) * missing, (gammas * apart).reshape(-1)]
    )


def _solved(problem: Problem, state: Refinement, temperature: jax.Array) -> jax.Array:
    """Theta that minimises the loss at new temperatures, as far as these samples reach.

    Gauss-Newton steps in their dual form: theta = theta_0 + W J^T z, with W = width^2 and z of as
    many numbers as there are residuals, however many parameters.  So what data do not determine
    stays as it was given.
    """
    square = jnp.broadcast_to(jnp.asarray(problem.width) ** 2, problem.theta.shape)

    def residuals(theta: jax.Array) -> jax.Array:
        return _residuals(problem, state, theta, temperature)

    def step(_: int, theta: jax.Array) -> jax.Array:
        r, j = residuals(theta), jax.jacrev(residuals)(theta)
        gram = j @ (square[:, None] * j.T) + jnp.eye(len(r), dtype=r.dtype)
        z = jnp.linalg.solve(gram, r + j @ (problem.theta - theta))
        wish = problem.theta - square * (j.T @ z) - theta

        share = jnp.min(_allowed(problem, state, lambda f: (theta + f[0] * wish, temperature)))
        return jnp.where(jnp.all(jnp.isfinite(wish)), theta + share * wish, theta)

    found: jax.Array = jax.lax.fori_loop(0, NEWTON, step, state.theta)
    return found
