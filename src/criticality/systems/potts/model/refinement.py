r"""One realization: a whole refinement of couplings, from free energies to a measurement anew.

1. *Walk*: absolute free energies of the given couplings.  Disorder is cooled from beta = 0, where
   phi = -V ln q, and one ordered phase heated from where its excitations are rare, phi = beta E_0
   - V (q-1) exp(-beta Delta), each in steps of Bennett's ratio, until both are at the temperature
   at which phi is the same.
2. *Refine*: `thermo.refinement` locates the transition and moves it to its target.
3. *Check*: new runs of a smaller lattice, which pass from phase to phase often, look for the
   temperature at which order has q times the weight of disorder.  They know the couplings alone.

Order is a single one of the q phases: phases of one bulk free energy coexist where beta f_o = beta
f_d.  All q together would have -ln q more, a shift of T_t of order ln(q)/V.

Spins are updated in 32 bits; what is summed, and what decides about the next state, in 64, so that
the order of a summation changes no spin.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.potts.model import lattice
from criticality.systems.potts.model.histogram import balance
from criticality.systems.potts.refinement import PottsRefinement
from criticality.systems.potts.theory import transition_temperature
from criticality.thermo import refinement, reweighting
from criticality.thermo.refinement import Problem, Refinement, Samples

WALK, REFINE, CHECK, END = range(4)  # stages
EVERY = 4  # sweeps between snapshots
BOUNDS = ((2 / 3, 2.0), (-1.0, 1 / 3))  # order parameters within each phase
STEP = 1.2  # of the walk, in standard deviations of the reduced energy
APART = 0.2  # of the other phase's way to go: how near to the crossing a phase is led meanwhile
WALKED = 100  # rounds of the walk at most
RARE = 0.03  # excitations where the heating of order begins
UPDATES = 100  # of the check in one advance
SOUGHT = 60  # advances that look for a temperature at which it sees both phases alike
GAIN = 0.1  # of the share of copies in order on ln T, at first
SLOWER = 5  # advances after which it is half as much, then a third, ...


class Walk(NamedTuple):
    """Two phases on their way to the temperature at which their free energies are equal.

    Attributes
    ----------
    spins
        int32 [2, copies, L, L]: order, disorder.
    beta, old_beta
        Where they are sampled, and were the round before [2].
    energy, old_energy
        [2, copies, snapshots].
    order
        Order parameters of this round [2, copies, snapshots].
    kept
        Copies that were in their phase the round before [2, copies].
    replicates
        phi of all copies and without one each [1 + copies, 2].
    piece, round
        int32.
    """

    spins: jax.Array
    beta: jax.Array
    old_beta: jax.Array
    energy: jax.Array
    old_energy: jax.Array
    order: jax.Array
    kept: jax.Array
    replicates: jax.Array
    piece: jax.Array
    round: jax.Array


class Check(NamedTuple):
    """Runs that measure the transition anew.

    Attributes
    ----------
    spins
        int32 [copies, l, l].
    log_temperature
        ln T.
    total
        Sum of ln T over the second half of the search.
    energy, order
        [updates, copies].
    round
        int32: advances done, of search and measurement.
    """

    spins: jax.Array
    log_temperature: jax.Array
    total: jax.Array
    energy: jax.Array
    order: jax.Array
    round: jax.Array


class State(NamedTuple):
    """State of one realization; keys are derived from the root key."""

    key: jax.Array
    stage: jax.Array
    walk: Walk
    refined: Refinement
    check: Check


def begin(system: PottsRefinement, key: jax.Array, data: object) -> State:
    """Put all copies into a ground state, or into disorder."""
    copies, length = system.copies, system.length
    sites = length**2
    seeds = bits.seeds(stream(key, "disorder"), (copies, 2))
    spins = jnp.stack(
        [
            jnp.zeros((copies, length, length), jnp.int32),
            jax.vmap(lambda seed: lattice.random(seed, (length, length), system.states))(seeds),
        ]
    )
    given = _given(system)
    excitation = given @ jnp.asarray([4.0, 4.0, 12.0])  # of one site in the ground state
    ways = sites * (system.states - 1)
    cold = (math.log(ways) - math.log(RARE)) / excitation
    ground = -sites * (given @ jnp.asarray([2.0, 2.0, 4.0]))
    phi = jnp.stack([cold * ground - RARE, jnp.asarray(-sites * math.log(system.states), float)])
    series = jnp.zeros((2, copies, _snapshots(system)), float)
    beta = jnp.stack([cold, jnp.zeros((), float)])
    walk = Walk(
        spins=spins,
        beta=beta,
        old_beta=beta,
        energy=series,
        old_energy=series,
        order=series,
        kept=jnp.ones((2, copies), bool),
        replicates=jnp.broadcast_to(phi, (1 + copies, 2)),
        piece=jnp.int32(0),
        round=jnp.int32(0),
    )
    small = (system.check_copies, system.check_length, system.check_length)
    measured = jnp.zeros((_rounds(system) * UPDATES, system.check_copies), float)
    check = Check(
        spins=jnp.zeros(small, jnp.int32),
        log_temperature=jnp.log(_target(system)),
        total=jnp.zeros((), float),
        energy=measured,
        order=measured,
        round=jnp.int32(0),
    )
    return State(key, jnp.int32(WALK), walk, _refined(system, key, walk), check)


def advance(system: PottsRefinement, state: State, data: object) -> State:
    """Sample one phase once, or update all copies of the check some times."""
    branches = [lambda state, stage=stage: stage(system, state) for stage in STAGES]
    after: State = jax.lax.switch(state.stage, branches, state)
    return after


def finished(system: PottsRefinement, state: State) -> jax.Array:
    """Whether the check is done, or a phase was lost."""
    return state.stage == END


def observe(system: PottsRefinement, state: State, data: object) -> dict[str, jax.Array]:
    """Couplings, temperatures with their errors, and all rounds."""
    refined, problem = state.refined, _problem(system)
    history = refined.history
    lost = (refined.stage == refinement.LOST) | (refined.round == 0)

    def told(value: jax.Array) -> jax.Array:
        return jnp.where(lost, jnp.nan, value)

    def error(replicates: jax.Array) -> jax.Array:
        return told(reweighting.jackknife_error(replicates))

    own, here = refined.own[:, 0], refinement.transition(problem, refined)[:, 0]
    measured = _measured(system, state.check)
    target = _target(system)
    return {
        "couplings": told(refined.theta),
        "own_temperature": own[0],
        "own_temperature_error": reweighting.jackknife_error(own),
        "predicted_temperature": told(here[0]),
        "predicted_temperature_error": error(here),
        "temperature": told(measured[0]),
        "temperature_error": error(measured),
        "deviation": told(measured[0] / target - 1),
        "deviation_error": error(measured / target),
        "lost": lost.astype(float),
        "settled": (refined.stage == refinement.DONE).astype(float),
        "rounds_done": refined.round.astype(float),
        "least_effective": jnp.nanmin(history.effective),
        "rejected": jnp.nan_to_num(jnp.nanmean(history.rejected)),
        "path_stage": history.stage,
        "path_temperature": history.temperature[:, 0],
        "path_difference": history.difference[:, 0],
        "path_error": history.error[:, 0],
        "path_effective": jnp.min(history.effective[:, 0], axis=-1),
        "path_couplings": history.theta,
        "path_order": history.order[:, 0],
        "path_rejected": history.rejected[:, 0].mean(axis=-1),
    }


# --- what is given ---------------------------------------------------------------------------


def _given(system: PottsRefinement) -> jax.Array:
    couplings = (system.coupling, system.diagonal_coupling, system.corner_coupling)
    return system.scale * jnp.stack([jnp.asarray(J, float) for J in couplings])


def _target(system: PottsRefinement) -> jax.Array:
    exact = jnp.asarray(transition_temperature(system.states), float)
    return jnp.where(system.target > 0, system.target, exact)


def _snapshots(system: PottsRefinement) -> int:
    return system.sweeps // EVERY


def _rounds(system: PottsRefinement) -> int:
    return -(-system.check_sweeps // UPDATES)


def _bounds(system: PottsRefinement) -> jax.Array:
    everything = jnp.asarray([[-jnp.inf, jnp.inf]] * 2, float)
    return jnp.where(system.phase_check, jnp.asarray(BOUNDS, float), everything)


def _problem(system: PottsRefinement) -> Problem:
    width = {"all": (1.0, 1.0, 1.0), "neighbours": (1.0, 0.0, 0.0), "others": (0.0, 1.0, 1.0)}

    def sample(
        key: jax.Array,
        state: jax.Array,
        phase: jax.Array,
        coefficients: jax.Array,
        temperature: jax.Array,
        pressure: jax.Array,
    ) -> tuple[jax.Array, Samples]:
        return _sampled(system, key, state, coefficients, temperature)

    return Problem(
        sample=sample,
        coefficients=lambda theta: theta,
        theta=_given(system),
        width=jnp.asarray(width[system.learned]),
        temperature=_target(system)[None],
        pressure=jnp.zeros(1),
        bounds=_bounds(system),
        continuation=system.continuation,
        floor=system.floor,
        gamma=1 / jnp.asarray(system.ridge),
        tolerance=system.tolerance,
        rounds=system.rounds,
    )


def _refined(system: PottsRefinement, key: jax.Array, walk: Walk) -> Refinement:
    """Begin to refine where the walk has ended."""
    difference = walk.replicates[:, 1:] - walk.replicates[:, :1]
    own = stream(key, "refinement")
    return refinement.begin(_problem(system), own, walk.spins[None], 1 / walk.beta[:1], difference)


def _sampled(
    system: PottsRefinement,
    key: jax.Array,
    spins: jax.Array,
    couplings: jax.Array,
    temperature: jax.Array,
) -> tuple[jax.Array, Samples]:
    """Sweep all copies [copies, L, L] by the heat bath: a quarter to settle, then snapshots."""
    seeds = bits.seeds(key, (system.copies, 2))
    single = (couplings.astype(jnp.float32), temperature.astype(jnp.float32))

    def run(spins: jax.Array, seed: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(sweep: jax.Array, spins: jax.Array) -> jax.Array:
            noise = bits.reseed(seed, sweep)
            return lattice.heat_bath(spins, *single, noise, system.states)

        def snapshot(spins: jax.Array, end: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
            begin = jnp.where(end == ends[0], 0, end - EVERY)
            spins = jax.lax.fori_loop(begin, end, one, spins)
            return spins, (lattice.features(spins), lattice.ordered(spins, system.states))

        spins, (features, order) = jax.lax.scan(snapshot, spins, ends)
        return spins, features, order

    ends = system.sweeps // 4 + EVERY * jnp.arange(1, 1 + _snapshots(system), dtype=jnp.int32)
    spins, features, order = jax.vmap(run)(spins, seeds)
    order = order.astype(float)
    return spins, Samples(features.astype(float), jnp.zeros_like(order), order)


# --- stages ----------------------------------------------------------------------------------


def _walk(system: PottsRefinement, state: State) -> State:
    """Sample one phase; after both, bring phi there, and go on towards the crossing."""
    walk = state.walk
    phase = walk.piece
    key = stream(jax.random.fold_in(state.key, 2 * walk.round + phase), "walk")
    given = _given(system)
    spins, found = _sampled(system, key, walk.spins[phase], given, 1 / walk.beta[phase])
    energy = jnp.einsum("rsf,f->rs", found.features, given, precision=refinement.EXACT)
    walk = walk._replace(
        spins=walk.spins.at[phase].set(spins),
        energy=walk.energy.at[phase].set(energy),
        order=walk.order.at[phase].set(found.order),
        piece=walk.piece + 1,
    )
    state = state._replace(walk=walk)
    after: State = jax.lax.cond(walk.piece == 2, lambda s: _led(system, s), lambda s: s, state)
    return after


def _led(system: PottsRefinement, state: State) -> State:
    walk, bounds = state.walk, _bounds(system)[:, :, None, None]
    kept = jnp.all((walk.order >= bounds[:, 0]) & (walk.order <= bounds[:, 1]), axis=-1)
    weights = reweighting.jackknife_weights(system.copies, _snapshots(system), 1)
    step = (walk.beta - walk.old_beta)[:, None, None]

    def flat(x: jax.Array) -> jax.Array:
        return x.reshape(2, -1)

    def change(weight: jax.Array) -> jax.Array:
        old, new = (flat(weight * k[..., None]) for k in (walk.kept, kept))
        return reweighting.bar(flat(step * walk.old_energy), old, flat(step * walk.energy), new)

    moved = jnp.where(walk.round > 0, jax.vmap(change)(weights), 0)
    replicates = walk.replicates + moved
    there = jnp.broadcast_to(kept[..., None], walk.energy.shape)
    mean = jnp.mean(walk.energy, axis=(1, 2), where=there)
    spread = jnp.std(walk.energy, axis=(1, 2), where=there)
    # d phi / d beta = <E>: both tangents cross at
    heights = replicates[0] - walk.beta * mean
    crossing = (heights[1] - heights[0]) / (mean[0] - mean[1])
    way = crossing - walk.beta
    longest = STEP / jnp.maximum(spread, 1e-6)
    near = jnp.all(jnp.abs(way) <= longest)
    far = jnp.maximum(jnp.abs(way) - APART * jnp.abs(way[::-1]), 0)
    beta = jnp.where(near, crossing, walk.beta + jnp.sign(way) * jnp.minimum(far, longest))
    met = walk.beta[0] == walk.beta[1]
    lost = jnp.any(2 * jnp.sum(kept, axis=-1) < system.copies)
    lost = lost | (walk.round >= WALKED) | ~jnp.isfinite(crossing)  # where nothing is metastable
    walk = walk._replace(
        spins=refinement.replaced(walk.spins[None], kept[None])[0],
        beta=jnp.where(met, walk.beta, beta),
        old_beta=walk.beta,
        old_energy=walk.energy,
        kept=kept,
        replicates=replicates,
        piece=jnp.int32(0),
        round=walk.round + 1,
    )
    stage = jnp.where(lost, END, jnp.where(met, REFINE, WALK)).astype(jnp.int32)
    return state._replace(stage=stage, walk=walk, refined=_refined(system, state.key, walk))


def _refine(system: PottsRefinement, state: State) -> State:
    refined = refinement.advance(_problem(system), state.refined)
    lost = refined.stage == refinement.LOST
    next_stage = jnp.where(lost, END, CHECK)
    stage = jnp.where(refinement.finished(refined), next_stage, REFINE).astype(jnp.int32)
    return state._replace(stage=stage, refined=refined)


def _check(system: PottsRefinement, state: State) -> State:
    """Update small lattices, first to find the temperature, then to measure at it."""
    check, couplings = state.check, state.refined.theta
    seeking = check.round < SOUGHT
    half = SOUGHT // 2
    found = check.total / half
    log_temperature = jnp.where(check.round == SOUGHT, found, check.log_temperature)
    temperature = jnp.exp(log_temperature)
    clusters = jnp.all(couplings >= 0)
    key = stream(jax.random.fold_in(state.key, check.round), "check")
    seeds = bits.seeds(key, (system.check_copies, 2))
    single = (couplings.astype(jnp.float32), temperature.astype(jnp.float32))

    def one(spins: jax.Array, k: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        def swept(spins: jax.Array, seed: jax.Array) -> jax.Array:
            noise = bits.reseed(seed, 2 * k)
            return lattice.heat_bath(spins, *single, noise, system.states)

        def joined(spins: jax.Array, seed: jax.Array) -> jax.Array:
            noise = bits.reseed(seed, 2 * k + 1)
            return lattice.cluster(spins, *single, noise, system.states)

        spins = jax.vmap(swept)(spins, seeds)
        # clusters join equal spins only: with couplings below 0, the heat bath is alone
        spins = jax.lax.cond(clusters, jax.vmap(joined), lambda spins, _: spins, spins, seeds)
        energy = jax.vmap(lattice.features)(spins).astype(float) @ couplings
        order = jax.vmap(lambda one: lattice.ordered(one, system.states))(spins)
        return spins, (energy, order.astype(float))

    numbers = jnp.arange(UPDATES, dtype=jnp.int32)
    spins, (energy, order) = jax.lax.scan(one, check.spins, numbers)
    # stochastic approximation [H. Robbins & S. Monro, Ann. Math. Stat. 22, 400 (1951)]
    step = GAIN * (jnp.mean(order > 0.5) - 0.5) / (1 + check.round / SLOWER)
    total = check.total + jnp.where(check.round >= half, log_temperature, 0)
    place = jnp.maximum(check.round - SOUGHT, 0) * UPDATES
    done = check.round + 1
    check = check._replace(
        spins=spins,
        log_temperature=log_temperature + jnp.where(seeking, step, 0),
        total=jnp.where(seeking, total, check.total),
        energy=jax.lax.dynamic_update_slice_in_dim(check.energy, energy, place, 0),
        order=jax.lax.dynamic_update_slice_in_dim(check.order, order, place, 0),
        round=done,
    )
    stage = jnp.where(done >= SOUGHT + _rounds(system), END, CHECK).astype(jnp.int32)
    return state._replace(stage=stage, check=check)


def _measured(system: PottsRefinement, check: Check) -> jax.Array:
    """Temperature at which order has q times the weight, and without one copy each [1 + copies]."""
    copies = system.check_copies
    beta = jnp.exp(-check.log_temperature)

    def of(chosen: jax.Array) -> jax.Array:
        energy, order = check.energy[:, chosen], check.order[:, chosen]
        return 1 / (beta + balance(energy, order > 0.5, system.states))

    others = (jnp.arange(copies)[:, None] + jnp.arange(1, copies)) % copies
    every = of(jnp.arange(copies))
    return jnp.concatenate([every[None], jax.lax.map(of, others)])


STAGES = (_walk, _refine, _check, lambda _, state: state)
