"""One realization of a refinement: free energies, refinement, free energies anew, comparison.

Stages, each a state machine of its own: absolute free energies of the given potential at every
state point; the refinement, which begins with the boxes that they leave; absolute free energies of
the refined potential, on the lattice and molten anew; the liquid under the given, the refined and
the true potential.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.lennard_jones import published
from criticality.systems.lennard_jones.model import absolute, dynamics, measure, pairs
from criticality.systems.lennard_jones.refinement import MODELS, LennardJonesRefinement
from criticality.thermo import refinement

START, REFINE, VERIFY, COMPARE, DONE = range(5)
SOLID = 0.5  # share of solid-like atoms
FRICTION = 5.0  # of sampling: energies forget fastest
WEAK = 0.1  # of diffusion, which it lowers by some WEAK D / T
WINDOW = 5.0  # units of time of a block in which atoms diffuse; the first half is ballistic too
FRAMES = 5  # of half a block, for g(r)
INNER = 0.85  # the pair term is constant below
MOVE = 0.35  # width of moves of ln V, over sqrt(N)
SHELL = 0.04  # width of the shells of g(r)
PATH = 3  # temperatures of an absolute calculation
LEAST = 0.15  # of the scale of the potential energy, that of the pair term


class Melting(NamedTuple):
    """What absolute calculations found, [states] each.

    Attributes
    ----------
    temperature, error
        Of melting.
    last, phi, phi_error
        The last temperature that was sampled, Delta phi of the box there, and its error.
    kept
        1 where both phases stayed what they were.
    """

    temperature: jax.Array
    error: jax.Array
    last: jax.Array
    phi: jax.Array
    phi_error: jax.Array
    kept: jax.Array


class Liquids(NamedTuple):
    """Sums over blocks, [models, states, ...].

    Attributes
    ----------
    box
        The box that is followed.
    diffusion
        Of every block [models, states, blocks].
    correlation
        Sum of g(r) over frames [models, states, r].
    """

    box: dynamics.Particles
    diffusion: jax.Array
    correlation: jax.Array


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    key
        Root key.
    stage, item, block
        int32: stage, state point (and model) that it is at, block of the comparison.
    calculation
        The absolute calculation that is going on.
    simulators
        Boxes of the refinement's start, leaves [states, 2, replicas, ...].
    before, after
        Melting temperatures of the given and of the refined potential.
    refined
        The refinement.
    liquids
        The comparison.
    """

    key: jax.Array
    stage: jax.Array
    item: jax.Array
    block: jax.Array
    calculation: absolute.State
    simulators: dynamics.Particles
    before: Melting
    after: Melting
    refined: refinement.Refinement
    liquids: Liquids


def begin(system: LennardJonesRefinement, key: jax.Array, data: object) -> State:
    """Nothing is known but the potential."""
    _atoms, states = system.atoms, system.states
    problem = _problem(system, key)
    calculation = _calculation(system, key, problem.theta, START, jnp.int32(0))
    box = calculation.free[0]
    shape = (states, 2, system.replicas)
    simulators = jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *x.shape)), box)
    unknown = Melting(*(jnp.full(states, jnp.nan) for _ in Melting._fields))
    liquids = Liquids(
        box,
        jnp.full((len(MODELS), states, system.blocks), jnp.nan),
        jnp.zeros((len(MODELS), states, len(system.r))),
    )
    zero = jnp.int32(0)
    return State(
        key,
        jnp.int32(START),
        zero,
        zero,
        calculation,
        simulators,
        unknown,
        unknown,
        refinement.begin(
            problem, stream(key, "refinement"), simulators, problem.temperature, jnp.zeros(states)
        ),
        liquids,
    )


def advance(system: LennardJonesRefinement, state: State, data: object) -> State:
    """Do a piece of the present stage."""
    problem = _problem(system, state.key)
    stages = (_started, _refined, _verified, _compared)
    branches = [lambda s, f=f: f(system, problem, s) for f in stages]
    after: State = jax.lax.switch(state.stage, branches, state)
    return after


def finished(system: LennardJonesRefinement, state: State) -> jax.Array:
    """Whether all is done, or a phase was lost."""
    return state.stage >= DONE


def observe(system: LennardJonesRefinement, state: State, data: object) -> dict[str, jax.Array]:
    """Results; undefined where a phase was lost before."""
    problem = _problem(system, state.key)
    refined, before, after = state.refined, state.before, state.after
    predicted = refinement.transition(problem, refined)
    error = jnp.sqrt(
        (len(predicted) - 2)
        / (len(predicted) - 1)
        * jnp.sum((predicted[1:] - predicted[1:].mean(axis=0)) ** 2, axis=0)
    )
    lost = _lost(state)
    known = jnp.where(lost, jnp.nan, 1.0)
    target = problem.temperature
    history = refined.history
    rejected = history.rejected
    volumes = jnp.where(refined.kept[..., None], refined.old.volume, 0).sum(axis=(2, 3))
    volumes /= jnp.sum(refined.kept, axis=2) * system.snapshots
    distance = jnp.asarray(system.r, jnp.float32)
    basis, models = _basis(system), _models(system, problem, state)
    missed = (after.temperature - target) / jnp.hypot(after.error, error)
    diffusion = state.liquids.diffusion
    spread = jnp.std(diffusion, axis=-1, ddof=1) / math.sqrt(system.blocks)
    done = jnp.where(state.stage == DONE, known, jnp.nan)
    return {
        "state_pressure": problem.pressure,
        "target_temperature": target,
        "start_temperature": before.temperature,
        "start_error": before.error,
        "predicted_temperature": predicted[0] * known,
        "predicted_error": error * known,
        "melting_temperature": after.temperature * done,
        "melting_error": after.error * done,
        "deviation": (after.temperature / target - 1) * done,
        "pull": jnp.sqrt(jnp.mean(missed**2)) * done,
        "refined_density": system.atoms / volumes * known,
        "true_density": _densities(problem),
        "pair_potential": jnp.stack([pairs.potential(basis, c, distance) for c in models]),
        "pair_correlation": state.liquids.correlation / (2 * system.blocks * FRAMES) * done,
        "diffusion": jnp.mean(diffusion, axis=-1) * done,
        "diffusion_error": spread * done,
        "round_temperature": history.temperature,
        "round_difference": history.difference,
        "effective_share": jnp.nanmin(history.effective),
        "rejected": jnp.nansum(rejected) / jnp.maximum(jnp.sum(~jnp.isnan(rejected)), 1),
        "rounds_done": refined.round.astype(jnp.float32),
        "lost": lost.astype(jnp.float32),
    }


# --- what is given ---------------------------------------------------------------------------


def _basis(system: LennardJonesRefinement) -> pairs.Basis:
    return pairs.Basis(cutoff=system.cutoff, terms=system.terms, span=(INNER, system.cutoff))


def _schedule(system: LennardJonesRefinement) -> absolute.Schedule:
    return absolute.Schedule(
        cells=system.cells, nodes=system.nodes, path=PATH, samples=system.samples, dt=system.dt
    )


def _problem(system: LennardJonesRefinement, key: jax.Array) -> refinement.Problem:
    hidden, points = system.hidden, system.states
    pressure = jnp.linspace(system.lowest, system.highest, points, dtype=jnp.float32)
    temperature = system.target * _melting_line(pressure)
    weights = jax.random.normal(stream(key, "pair term"), (2, hidden))
    theta = jnp.concatenate([jnp.zeros(2), (weights * jnp.array([[2.0], [1.0]])).reshape(-1)])
    theta = jnp.concatenate([theta, jnp.zeros(hidden)])
    powers = jnp.where(system.learned != "neural", system.power_width, 0.0)
    neural = jnp.where(system.learned != "powers", system.neural_width, 0.0)
    width = jnp.concatenate([jnp.full(2, powers), jnp.full(3 * hidden, neural)])
    check = jnp.array([[SOLID, jnp.inf], [-jnp.inf, SOLID]])
    none = jnp.array([[-jnp.inf, jnp.inf]] * 2)
    lines = jnp.stack(_table(temperature / system.target), axis=-1)
    return refinement.Problem(
        sample=_sampler(system),
        coefficients=lambda theta: _coefficients(system, theta),
        theta=theta,
        width=width,
        temperature=temperature,
        pressure=pressure,
        bounds=jnp.where(system.phase_check, check, none),
        continuation=system.continuation,
        floor=system.floor,
        observables=lambda c, features, volume: (system.atoms / volume)[..., None],
        targets=lines[..., None],
        gammas=jnp.reshape(system.density_weight, (1,)),
        settle=system.settle,
        rounds=system.rounds,
        blocks=max(2, 10 // system.replicas),
    )


def _melting_line(pressure: jax.Array) -> jax.Array:
    """Temperature of the published line."""
    t = np.linspace(published.LOWEST, published.HIGHEST, 2000)
    p = published.pressure(t)
    return jnp.interp(pressure, jnp.asarray(p, jnp.float32), jnp.asarray(t, jnp.float32))


def _table(temperature: jax.Array) -> list[jax.Array]:
    t = np.linspace(published.LOWEST, published.HIGHEST, 2000)
    at = jnp.asarray(t, jnp.float32)
    return [jnp.interp(temperature, at, jnp.asarray(d)) for d in published.densities(t)]


def _densities(problem: refinement.Problem) -> jax.Array:
    return jnp.asarray(problem.targets)[..., 0]


def _coefficients(system: LennardJonesRefinement, theta: jax.Array) -> jax.Array:
    """c(theta): factors of both powers, and the pair term projected on Chebyshev polynomials.

    The projection is that of interpolation at the zeros of T_terms.
    """
    given = pairs.lennard_jones(system.epsilon, system.sigma)
    w, b, v = theta[2:].reshape(3, system.hidden)
    angle = math.pi * (np.arange(system.terms) + 0.5) / system.terms
    values = jnp.tanh(np.cos(angle)[:, None] * w + b) @ v * LEAST
    cosines = np.cos(np.outer(np.arange(system.terms), angle)) * 2 / system.terms
    cosines[0] /= 2
    series = jnp.asarray(cosines, jnp.float32) @ values
    return jnp.concatenate([given * (1 + theta[:2]), series])


def _models(
    system: LennardJonesRefinement, problem: refinement.Problem, state: State
) -> list[jax.Array]:
    """Coefficients of the given, the refined and the true potential."""
    return [
        _coefficients(system, problem.theta),
        _coefficients(system, state.refined.theta),
        pairs.lennard_jones(terms=system.terms),
    ]


# --- the simulator ---------------------------------------------------------------------------


def _sampler(system: LennardJonesRefinement) -> refinement.Sampler:
    basis = _basis(system)

    def sample(
        key: jax.Array,
        state: dynamics.Particles,
        phase: jax.Array,
        coefficients: jax.Array,
        temperature: jax.Array,
        pressure: jax.Array,
    ) -> tuple[dynamics.Particles, refinement.Samples]:
        potential = dynamics.Potential(basis=basis, c=coefficients)
        seeds = bits.seeds(key, (system.replicas, 2))

        def on(
            box: dynamics.Particles, seed: jax.Array, first: jax.Array, moves: int
        ) -> dynamics.Particles:
            return dynamics.npt(
                potential,
                box,
                temperature,
                pressure,
                seed,
                dt=system.dt,
                friction=FRICTION,
                moves=moves,
                width=MOVE / math.sqrt(system.atoms),
                first=first,
            )[0]

        def one(
            given: tuple[dynamics.Particles, jax.Array],
        ) -> tuple[dynamics.Particles, refinement.Samples]:
            box, seed = given
            box = box._replace(forces=potential.forces(box.s, box.box))
            box = on(box, seed, jnp.int32(0), system.equilibration)

            def snapshot(
                box: dynamics.Particles, number: jax.Array
            ) -> tuple[dynamics.Particles, refinement.Samples]:
                first = system.equilibration + number * system.spacing
                box = on(box, seed, first, system.spacing)
                order = jnp.mean(measure.bond_order(box.s, box.box).solid)
                features = pairs.features(basis, box.s, box.box)
                return box, refinement.Samples(features, jnp.prod(box.box), order)

            return jax.lax.scan(snapshot, box, jnp.arange(system.snapshots))

        after: tuple[dynamics.Particles, refinement.Samples] = jax.lax.map(one, (state, seeds))
        return after

    return sample


# --- stages ----------------------------------------------------------------------------------


def _calculation(
    system: LennardJonesRefinement, key: jax.Array, theta: jax.Array, stage: int, item: jax.Array
) -> absolute.State:
    seed = bits.seeds(stream(key, "absolute", jnp.float32(stage), item), (2,))
    return absolute.begin(
        _schedule(system),
        _basis(system),
        _coefficients(system, theta),
        _guess(system, stage, item),
        seed,
        0.98 * jnp.asarray(system.sigma, jnp.float32) ** -3,
    )


def _guess(system: LennardJonesRefinement, stage: int, item: jax.Array) -> jax.Array:
    """Where an absolute calculation begins: of the given potential by corresponding states."""
    pressure = jnp.linspace(system.lowest, system.highest, system.states, dtype=jnp.float32)[item]
    if stage == VERIFY:
        return system.target * _melting_line(pressure)
    reduced = pressure * jnp.asarray(system.sigma, jnp.float32) ** 3 / system.epsilon
    return system.epsilon * _melting_line(reduced)


def _calculated(
    system: LennardJonesRefinement,
    problem: refinement.Problem,
    state: State,
    theta: jax.Array,
    stage: int,
    known: Melting,
) -> tuple[State, Melting]:
    """Advance the absolute calculation of one state point; note what it found, begin the next."""
    schedule, item = _schedule(system), state.item
    guess, pressure = _guess(system, stage, item), problem.pressure[item]
    c = _coefficients(system, theta)
    now = absolute.advance(schedule, _basis(system), c, guess, pressure, state.calculation)
    done = absolute.finished(schedule, now)

    def note(known: Melting) -> Melting:
        found = absolute.result(schedule, guess, pressure, now)
        shares = absolute.solid_shares(now)
        kept = (shares[0] > SOLID) & (shares[1] < SOLID)
        row = Melting(
            found.melting_temperature,
            found.melting_temperature_error,
            found.temperatures[-1],
            found.delta_phi[-1] * system.atoms,
            found.delta_phi_error[-1] * system.atoms,
            kept.astype(jnp.float32),
        )
        return Melting(*(all.at[item].set(new) for all, new in zip(known, row, strict=True)))

    known = jax.lax.cond(done, note, lambda known: known, known)
    boxes = jax.tree.map(lambda *x: jnp.stack(x), *now.free)  # [2, ...]

    def put(every: jax.Array, new: jax.Array) -> jax.Array:
        copies = jnp.broadcast_to(new[:, None], every.shape[1:])
        return jnp.where(done, every.at[item].set(copies), every)

    following = jnp.minimum(item + 1, system.states - 1)
    fresh = _calculation(system, state.key, theta, stage, following)
    calculation = jax.tree.map(lambda a, b: jnp.where(done, a, b), fresh, now)
    simulators = state.simulators
    if stage == START:
        simulators = jax.tree.map(put, simulators, boxes)
    state = state._replace(
        calculation=calculation, simulators=simulators, item=item + done.astype(jnp.int32)
    )
    return state, known


def _started(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    state, before = _calculated(system, problem, state, problem.theta, START, state.before)
    state = state._replace(before=before)

    def on(state: State) -> State:
        groups = system.replicas * problem.blocks
        key = stream(state.key, "refinement")
        phi = refinement.scattered(key, before.phi, before.phi_error, groups)
        begun = refinement.begin(problem, key, state.simulators, before.last, phi)
        return _next(state)._replace(refined=begun)

    # a potential whose own transition is not known cannot be refined
    state = jax.lax.cond(state.item == system.states, on, lambda state: state, state)
    lost = (state.stage == REFINE) & _lost(state)
    return state._replace(stage=jnp.where(lost, DONE, state.stage))


def _refined(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    refined = refinement.advance(problem, state.refined)
    state = state._replace(refined=refined)

    def on(state: State) -> State:
        fresh = _calculation(system, state.key, refined.theta, VERIFY, jnp.int32(0))
        return _next(state)._replace(calculation=fresh)

    state = jax.lax.cond(refinement.finished(refined), on, lambda state: state, state)
    return state._replace(stage=jnp.where(_lost(state), DONE, state.stage))


def _verified(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    theta = state.refined.theta
    state, after = _calculated(system, problem, state, theta, VERIFY, state.after)
    state = state._replace(after=after)
    ends = state.item == system.states
    followed: State = jax.lax.cond(ends, _next, lambda state: state, state)
    return followed


def _compared(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    """Bring one liquid to equilibrium (block 0), or follow it for a block."""
    model, point = state.item // system.states, state.item % system.states
    c = jnp.stack(_models(system, problem, state))[model]
    potential = dynamics.Potential(basis=_basis(system), c=c)
    temperature, pressure = problem.temperature[point], problem.pressure[point]
    item = state.item * (system.blocks + 1) + state.block
    seed = bits.seeds(stream(state.key, "compare", item), (2,))
    liquid: Any = jax.tree.map(lambda leaf: leaf[point, 1, 0], state.refined.simulators)
    frame_steps = max(1, round(WINDOW / system.dt / 2 / FRAMES))

    def settle(liquids: Liquids) -> Liquids:
        box = liquid._replace(forces=potential.forces(liquid.s, liquid.box))
        box = dynamics.npt(
            potential,
            box,
            temperature,
            pressure,
            seed,
            dt=system.dt,
            friction=FRICTION,
            moves=2 * FRAMES * frame_steps // 10,
            width=MOVE / math.sqrt(system.atoms),
        )[0]
        return liquids._replace(box=box)

    def follow(liquids: Liquids) -> Liquids:
        begun = liquids.box
        begun = begun._replace(forces=potential.forces(begun.s, begun.box))

        def frame(
            at: dynamics.Particles, number: jax.Array
        ) -> tuple[dynamics.Particles, tuple[jax.Array, jax.Array]]:
            at = dynamics.langevin(
                potential,
                at,
                temperature,
                bits.reseed(seed, number),
                dt=system.dt,
                friction=WEAK,
                steps=frame_steps,
            )
            g = measure.pair_correlation(at.s, at.box, jnp.asarray(system.r), SHELL)
            return at, (measure.square_displacement(begun.s, at.s, at.box), g)

        numbers = jnp.arange(2 * FRAMES, dtype=jnp.uint32)
        box, (moved, g) = jax.lax.scan(frame, begun, numbers)
        time = FRAMES * frame_steps * system.dt
        rate = (moved[-1] - moved[FRAMES - 1]) / (6 * time)
        return Liquids(
            box,
            liquids.diffusion.at[model, point, state.block - 1].set(rate),
            liquids.correlation.at[model, point].add(jnp.sum(g, axis=0)),
        )

    liquids = jax.lax.cond(state.block == 0, settle, follow, state.liquids)
    ends = state.block == system.blocks
    state = state._replace(
        liquids=liquids,
        block=jnp.where(ends, 0, state.block + 1),
        item=state.item + ends.astype(jnp.int32),
    )
    done = state.item == len(MODELS) * system.states
    return state._replace(stage=jnp.where(done, DONE, state.stage))


def _next(state: State) -> State:
    return state._replace(stage=state.stage + 1, item=jnp.int32(0))


def _lost(state: State) -> jax.Array:
    """Whether a phase was lost: before the refinement began, or in it."""
    given = jnp.any(state.before.kept == 0) | jnp.any(jnp.isinf(state.before.phi))
    return given | (state.refined.stage == refinement.LOST)
