"""One realization of a refinement: a melting line, the refinement, the line anew, a comparison.

Stages, each a state machine of its own:

1. absolute free energies of both phases of the given potential at the middle pressure;
2. from there along its melting line to the other pressures: at every step in P both phases are
   sampled, Delta phi is integrated by the trapezoidal rule, d phi = U d(1/T) + V d(P/T), and T
   follows so that it stays zero [as Kofke, Mol. Phys. 78, 1331 (1993)];
3. the refinement, which begins with the boxes that these leave;
4. and 5. the same as 1. and 2. of the refined potential, from the lattice and molten anew;
6. the liquid under the given, the refined and the true potential.

The error of the first is common to all state points: it moves the line, and does not bend it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.lennard_jones.model import absolute, dynamics, given, measure, pairs
from criticality.systems.lennard_jones.model.given import FRICTION, MOVE, SOLID
from criticality.systems.lennard_jones.refinement import MODELS, LennardJonesRefinement
from criticality.thermo import refinement, reweighting

ANCHOR, LINE, REFINE, ANCHOR_ANEW, LINE_ANEW, COMPARE, DONE = range(7)
WEAK = 0.1  # of diffusion, which it lowers by some WEAK D / T
FRAMES = 5  # of half a block, for g(r)
SHELL = 0.04  # width of the shells of g(r)


class Melting(NamedTuple):
    """What is known of the melting lines of the given and the refined potential, [2, states].

    Attributes
    ----------
    temperature, error
        Of melting.
    last, phi, phi_error
        The temperature that was sampled, Delta phi of the box there, and its error along the line.
    anchor_error
        That of Delta phi at the middle pressure, which all share: [2].
    kept
        1 where both phases stayed what they were.
    """

    temperature: jax.Array
    error: jax.Array
    last: jax.Array
    phi: jax.Array
    phi_error: jax.Array
    anchor_error: jax.Array
    kept: jax.Array


class Point(NamedTuple):
    """Both phases at one point of the line; all of the box.

    Attributes
    ----------
    boxes
        Leaves [2, replicas, ...].
    temperature, pressure
        Where.
    phi, variance
        Delta phi, and its variance along the line.
    energy, volume
        Differences of the means, liquid - solid.
    """

    boxes: dynamics.Particles
    temperature: jax.Array
    pressure: jax.Array
    phi: jax.Array
    variance: jax.Array
    energy: jax.Array
    volume: jax.Array


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
        int32: stage, what of it comes next, block of the comparison.
    calculation
        The absolute calculation that is going on.
    anchor, at
        Where the line was begun, and where it has come to.
    simulators
        Boxes of the refinement's start, leaves [states, 2, replicas, ...].
    lines
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
    anchor: Point
    at: Point
    simulators: dynamics.Particles
    lines: Melting
    refined: refinement.Refinement
    liquids: Liquids


def begin(system: LennardJonesRefinement, key: jax.Array, data: object) -> State:
    """Nothing is known but the potential."""
    states = system.states
    problem = given.problem(system, key)
    calculation = _calculation(system, problem, key, problem.theta, jnp.int32(0))
    box = calculation.free[0]

    def copies(*shape: int) -> dynamics.Particles:
        many: dynamics.Particles = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (*shape, system.replicas, *x.shape)), box
        )
        return many

    point = Point(copies(2), *(jnp.float32(0) for _ in Point._fields[1:]))
    simulators = copies(states, 2)
    unknown = Melting(*(jnp.full((2, states), jnp.nan) for _ in Melting._fields))
    unknown = unknown._replace(anchor_error=jnp.full(2, jnp.nan))
    liquids = Liquids(
        box,
        jnp.full((len(MODELS), states, system.blocks), jnp.nan),
        jnp.zeros((len(MODELS), states, len(system.r))),
    )
    zero = jnp.int32(0)
    return State(
        key,
        jnp.int32(ANCHOR),
        zero,
        zero,
        calculation,
        point,
        point,
        simulators,
        unknown,
        refinement.begin(
            problem, stream(key, "refinement"), simulators, problem.temperature, jnp.zeros(states)
        ),
        liquids,
    )


def advance(system: LennardJonesRefinement, state: State, data: object) -> State:
    """Do a piece of the present stage."""
    problem = given.problem(system, state.key)
    pieces = (_anchored, _walked, _refined, _compared)  # of the stages 0, 1, 2, 0, 1, 3
    branches = [partial(piece, system, problem) for piece in pieces]
    after: State = jax.lax.switch(jnp.array([0, 1, 2, 0, 1, 3])[state.stage], branches, state)
    return after


def finished(system: LennardJonesRefinement, state: State) -> jax.Array:
    """Whether all is done, or a phase was lost."""
    return state.stage >= DONE


def observe(system: LennardJonesRefinement, state: State, data: object) -> dict[str, jax.Array]:
    """Results; undefined where a phase was lost before."""
    problem = given.problem(system, state.key)
    refined = state.refined
    before, after = (jax.tree.map(lambda x, n=n: x[n], state.lines) for n in range(2))
    predicted = refinement.transition(problem, refined)
    error = reweighting.jackknife_error(predicted)
    lost = _lost(state)
    known = jnp.where(lost, jnp.nan, 1.0)
    target = problem.temperature
    history = refined.history
    rejected = history.rejected
    volumes = jnp.where(refined.kept[..., None], refined.old.volume, 0).sum(axis=(2, 3))
    volumes /= jnp.sum(refined.kept, axis=2) * system.snapshots
    distance = jnp.asarray(system.r, jnp.float32)
    basis, models = given.basis(system), _models(system, problem, state)
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
        "true_density": given.densities(problem),
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


# --- stages ----------------------------------------------------------------------------------


def _middle(system: LennardJonesRefinement) -> int:
    return system.states // 2


def _grid(system: LennardJonesRefinement) -> tuple[list[int], int]:
    """Numbers of the pressures that the line visits from the middle, first down; and their gap."""
    gap = system.line
    middle, last = _middle(system) * gap, (system.states - 1) * gap
    return [*range(middle - 1, -1, -1), *range(middle + 1, last + 1)], middle


def _again(state: State) -> jax.Array:
    """Whether it is at the line of the refined potential: 1, else 0."""
    return (state.stage > REFINE).astype(jnp.int32)


def _models(
    system: LennardJonesRefinement, problem: refinement.Problem, state: State
) -> list[jax.Array]:
    """Coefficients of the given, the refined and the true potential."""
    return [
        given.coefficients(system, problem.theta),
        given.coefficients(system, state.refined.theta),
        pairs.lennard_jones(terms=system.terms),
    ]


def _theta(problem: refinement.Problem, state: State) -> jax.Array:
    return jnp.where(state.stage > REFINE, state.refined.theta, problem.theta)


def _guess(
    system: LennardJonesRefinement, problem: refinement.Problem, again: jax.Array
) -> jax.Array:
    """Where the anchor begins: by corresponding states, or, the second time, at the target."""
    pressure = problem.pressure[_middle(system)]
    reduced = pressure * jnp.asarray(system.sigma, jnp.float32) ** 3 / system.epsilon
    first = system.epsilon * given.melting_line(reduced)
    return jnp.where(again == 1, problem.temperature[_middle(system)], first)


def _calculation(
    system: LennardJonesRefinement,
    problem: refinement.Problem,
    key: jax.Array,
    theta: jax.Array,
    again: jax.Array,
) -> absolute.State:
    return absolute.begin(
        given.schedule(system),
        given.basis(system),
        given.coefficients(system, theta),
        _guess(system, problem, again),
        bits.seeds(stream(key, "absolute", again), (2,)),
        0.98 * jnp.asarray(system.sigma, jnp.float32) ** -3,
    )


def _anchored(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    """Advance the absolute calculation; at its end both phases are known at one point."""
    schedule, middle = given.schedule(system), _middle(system)
    again, pressure = _again(state), problem.pressure[middle]
    guess, c = _guess(system, problem, again), given.coefficients(system, _theta(problem, state))
    now = absolute.advance(schedule, given.basis(system), c, guess, pressure, state.calculation)
    state = state._replace(calculation=now)

    def ended(state: State) -> State:
        found = absolute.result(schedule, guess, pressure, now)
        shares = absolute.solid_shares(now)
        atoms = system.atoms
        volume = atoms * (1 / found.density[-1, 1] - 1 / found.density[-1, 0])
        enthalpy = atoms * (found.enthalpy[-1, 1] - found.enthalpy[-1, 0])

        def copies(*boxes: jax.Array) -> jax.Array:
            both = jnp.stack(boxes)
            return jnp.broadcast_to(both[:, None], (2, system.replicas, *both.shape[1:]))

        point = Point(
            jax.tree.map(copies, *now.free),
            found.temperatures[-1],
            pressure,
            found.delta_phi[-1] * atoms,
            jnp.float32(0),
            enthalpy - pressure * volume,
            volume,
        )
        error = found.delta_phi_error[-1] * atoms
        kept = (shares[0] > SOLID) & (shares[1] < SOLID)
        lines = state.lines._replace(anchor_error=state.lines.anchor_error.at[again].set(error))
        state = _noted(state._replace(lines=lines), middle, point, kept)
        state = _next(state._replace(anchor=point, at=point))
        return state if _grid(system)[0] else _line_ended(system, problem, state)

    after: State = jax.lax.cond(absolute.finished(schedule, now), ended, lambda state: state, state)
    return after


def _walked(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    """Go on to the next pressure of the line, and sample both phases there."""
    order, middle = _grid(system)
    if not order:
        return state
    number = jnp.asarray(order)[state.item]
    first = (state.item == 0) | (state.item == middle)  # of either direction
    at: Point = jax.tree.map(lambda a, b: jnp.where(first, a, b), state.anchor, state.at)
    gap = (system.highest - system.lowest) / max(1, system.line * (system.states - 1))
    pressure = jnp.float32(system.lowest) + number * gap
    again, c = _again(state), given.coefficients(system, _theta(problem, state))

    # Delta phi = 0 there, if U and V stayed as they are
    inverse = (at.energy + at.pressure * at.volume) / at.temperature - at.phi
    inverse /= at.energy + pressure * at.volume
    temperature = 1 / inverse
    beta, work = inverse - 1 / at.temperature, pressure * inverse - at.pressure / at.temperature

    sample, key = given.sampler(system), stream(state.key, "line", again, state.item)

    def one(of: tuple[dynamics.Particles, jax.Array]) -> tuple[dynamics.Particles, jax.Array]:
        boxes, phase = of
        boxes, found = sample(
            jax.random.fold_in(key, phase), boxes, phase, c, temperature, pressure
        )
        energy = jnp.einsum("rsf,f->rs", found.features, c, precision=jax.lax.Precision.HIGHEST)
        return boxes, jnp.stack([energy, found.volume, found.order])

    boxes, series = jax.lax.map(one, (at.boxes, jnp.arange(2)))
    energy, volume, order_ = jnp.mean(series, axis=(2, 3)).T
    energy, volume = energy[1] - energy[0], volume[1] - volume[0]
    # a point counts in both steps that it ends, so that its noise comes in once as a whole
    noise = beta * series[:, 0] + work * series[:, 1]
    long = max(1, system.snapshots // 4)  # of a block, about a quarter of a series
    whole = system.snapshots // long * long
    blocks = noise[..., :whole].reshape(2, -1, long)
    spread = jnp.sum(jnp.var(blocks.mean(axis=2), axis=1, ddof=1)) / blocks.shape[1]
    point = Point(
        boxes,
        temperature,
        pressure,
        at.phi + beta * (at.energy + energy) / 2 + work * (at.volume + volume) / 2,
        at.variance + spread,
        energy,
        volume,
    )
    kept = (order_[0] > SOLID) & (order_[1] < SOLID)
    place = number // system.line
    noted = _noted(state, place, point, kept)
    there = number % system.line == 0
    state = jax.tree.map(lambda a, b: jnp.where(there, a, b), noted, state)
    state = state._replace(at=point, item=state.item + 1)
    after: State = jax.lax.cond(
        state.item == len(order), lambda s: _line_ended(system, problem, s), lambda s: s, state
    )
    return after


def _line_ended(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    """Begin the refinement, or the comparison."""
    again, state = _again(state), _next(state)
    lines, groups = state.lines, system.replicas * problem.blocks
    common, own = (stream(state.key, "errors", jnp.float32(part)) for part in range(2))
    phi = refinement.scattered(own, lines.phi[0], lines.phi_error[0], groups)
    phi = phi + refinement.scattered(common, jnp.zeros(1), lines.anchor_error[:1], groups)
    key = stream(state.key, "refinement")
    begun = refinement.begin(problem, key, state.simulators, lines.last[0], phi)
    begun = jax.tree.map(lambda a, b: jnp.where(again == 0, a, b), begun, state.refined)
    state = state._replace(refined=begun)
    # a potential whose own transition is not known cannot be refined
    return state._replace(stage=jnp.where(_lost(state), DONE, state.stage))


def _noted(state: State, place: jax.Array | int, point: Point, kept: jax.Array) -> State:
    """Note a point of a line as that of one state; its boxes, if they are the refinement's."""
    again, lines = _again(state), state.lines
    enthalpy = point.energy + point.pressure * point.volume
    melting = 1 / (1 / point.temperature - point.phi / enthalpy)
    error = jnp.hypot(lines.anchor_error[again], jnp.sqrt(point.variance)) * melting**2 / enthalpy
    new = {
        "temperature": melting,
        "error": jnp.abs(error),
        "last": point.temperature,
        "phi": point.phi,
        "phi_error": jnp.sqrt(point.variance),
        "kept": kept.astype(jnp.float32),
    }
    found = {name: getattr(lines, name).at[again, place].set(x) for name, x in new.items()}
    simulators = jax.tree.map(
        lambda all, new: all.at[place].set(jnp.where(again == 0, new, all[place])),
        state.simulators,
        point.boxes,
    )
    return state._replace(lines=lines._replace(**found), simulators=simulators)


def _refined(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    refined = refinement.advance(problem, state.refined)
    state = state._replace(refined=refined)

    def on(state: State) -> State:
        fresh = _calculation(system, problem, state.key, refined.theta, jnp.int32(1))
        return _next(state)._replace(calculation=fresh)

    state = jax.lax.cond(refinement.finished(refined), on, lambda state: state, state)
    return state._replace(stage=jnp.where(_lost(state), DONE, state.stage))


def _compared(system: LennardJonesRefinement, problem: refinement.Problem, state: State) -> State:
    """Bring one liquid to equilibrium (block 0), or follow it for a block."""
    model, point = state.item // system.states, state.item % system.states
    c = jnp.stack(_models(system, problem, state))[model]
    potential = dynamics.Potential(basis=given.basis(system), c=c)
    temperature, pressure = problem.temperature[point], problem.pressure[point]
    item = state.item * (system.blocks + 1) + state.block
    seed = bits.seeds(stream(state.key, "compare", item), (2,))
    liquid: Any = jax.tree.map(lambda leaf: leaf[point, 1, 0], state.refined.simulators)
    frame_steps = max(1, round(system.window / system.dt / 2 / FRAMES))

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
    unknown = jnp.any(state.lines.kept[0] == 0)
    return unknown | (state.refined.stage == refinement.LOST)
