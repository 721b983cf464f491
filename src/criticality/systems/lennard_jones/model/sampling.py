"""One realization: a box is molten, equilibrated and measured, at intervals of some steps.

All of it is one schedule of intervals, which differ in temperature, in whether the volume moves and
in what is kept: so one program serves all stages, and noise depends on the number of the step.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.lennard_jones.atoms import BLOCK, SOLID, LennardJones
from criticality.systems.lennard_jones.model import dynamics, measure, pairs
from criticality.thermo.series import autocorrelation

PIECE = 200  # steps of one advance, or an interval
LONG = 50.0  # autocorrelation times that a run must have
WIDTH = 0.01  # of moves of ln V, at first
STEPS = 1e5  # for which a drift is told
SERIES = ("energy", "virial", "kinetic", "volume", "bond_order", "solid_share")


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    seed
        uint32 [2], of all noise of the dynamics.
    particles
        The box.
    width
        Of moves of ln V; constant while measuring.
    interval
        int32 scalar: intervals done, of the whole schedule.
    series
        float32 [measurements, quantities] of `SERIES`: energy and c . W, 2 K, all of the box.
    accepted
        Moves of the volume, while measuring.
    correlation
        float32 [r], the sum over measurements.
    kept
        float32 [frames, 3, N]: scaled coordinates of the last measurements, a ring.
    displacement
        float32 [lags], the sum over measurements.
    """

    seed: jax.Array
    particles: dynamics.Particles
    width: jax.Array
    interval: jax.Array
    series: jax.Array
    accepted: jax.Array
    correlation: jax.Array
    kept: jax.Array
    displacement: jax.Array


def begin(system: LennardJones, key: jax.Array, data: object) -> State:
    """Atoms on an fcc lattice, with momenta of the first temperature."""
    potential, atoms = _potential(system), system.atoms
    seeds = bits.seeds(stream(key, "dynamics"), (2, 2))
    side = (atoms / jnp.asarray(system.density, jnp.float32)) ** (1 / 3)
    box = jnp.full(3, side, jnp.float32)
    first = _temperature(system, jnp.int32(0))
    particles = dynamics.begin(potential, pairs.fcc(system.cells), box, first, seeds[0])
    frames = max(_frames(system)) + 1
    return State(
        seeds[1],
        particles,
        jnp.float32(WIDTH),
        jnp.int32(0),
        jnp.zeros((_measurements(system), len(SERIES)), jnp.float32),
        jnp.int32(0),
        jnp.zeros(len(system.r), jnp.float32),
        jnp.zeros((frames, 3, atoms), jnp.float32),
        jnp.zeros(len(system.lag), jnp.float32),
    )


def advance(system: LennardJones, state: State, data: object) -> State:
    """Go on by some intervals, or until the schedule ends."""
    many = max(1, PIECE // system.spacing)
    last = jnp.minimum(state.interval + many, _length(system))

    def one(_: jax.Array, state: State) -> State:
        return _interval(system, state)

    after: State = jax.lax.fori_loop(state.interval, last, one, state)
    return after


def finished(system: LennardJones, state: State) -> jax.Array:
    """Whether the schedule has ended."""
    return state.interval >= _length(system)


def observe(system: LennardJones, state: State, data: object) -> dict[str, jax.Array]:
    """Averages over the measurements of one box."""
    atoms, many = system.atoms, _measurements(system)
    energy, virial, twice_kinetic, volume, order, solid = state.series.T
    conserved = system.ensemble == "nve"
    kinetic_temperature = jnp.mean(twice_kinetic) / (3 * atoms - (3 if conserved else 0))
    temperature = kinetic_temperature if conserved else jnp.float32(system.temperature)
    pressure = (atoms * temperature + virial / 3) / volume
    each = energy / atoms
    undefined = jnp.float32(jnp.nan)
    heat = compressibility = accepted = drift = scatter = undefined
    if system.ensemble == "nvt":
        heat = 1.5 + atoms * jnp.var(each) / temperature**2
    elif system.ensemble == "npt":
        enthalpy = each + system.pressure * volume / atoms
        heat = 1.5 + atoms * jnp.var(enthalpy) / temperature**2
        compressibility = jnp.var(volume) / (temperature * jnp.mean(volume))
        accepted = state.accepted / (many * system.interval)
    else:
        time = jnp.arange(many, dtype=jnp.float32)
        total = each + twice_kinetic / 2 / atoms
        slope = _slope(time, total)
        drift = slope / system.spacing * STEPS
        left = total - jnp.mean(total) - slope * (time - jnp.mean(time))
        scatter = jnp.sqrt(jnp.mean(left**2))
    frames = jnp.array(_frames(system))
    displacement = state.displacement / (many - frames)
    known = jnp.array(system.measured_lags())
    late = known & jnp.array([t >= max(system.lag) / 2 for t in system.lag])
    several = jnp.sum(late) > 1
    tau, error = autocorrelation(jnp.stack([energy, pressure, volume])[..., None])
    longest = jnp.argmax(jnp.nan_to_num(tau))
    tau, error = (x[longest] * system.spacing * system.dt for x in (tau, error))
    inside = solid > SOLID if system.start == "solid" else solid < SOLID
    return {
        "solid_share": jnp.mean(solid),
        "bond_order": jnp.mean(order),
        "mean_density": atoms / jnp.mean(volume),
        "energy": jnp.mean(each),
        "virial_pressure": jnp.mean(pressure),
        "kinetic_temperature": kinetic_temperature,
        "heat_capacity": heat,
        "compressibility": compressibility,
        "pair_correlation": state.correlation / many,
        "square_displacement": jnp.where(known, displacement, jnp.nan),
        "diffusion": jnp.where(
            several, _slope(jnp.array(system.lag), displacement, late) / 6, jnp.nan
        ),
        "energy_drift": drift,
        "energy_scatter": scatter,
        "stayed": jnp.all(inside).astype(jnp.float32),
        "accepted": accepted,
        "autocorrelation_time": tau,
        "autocorrelation_time_error": error,
        "long_enough": (~(system.steps * system.dt < LONG * tau)).astype(jnp.float32),
    }


# --- the schedule ----------------------------------------------------------------------------


def _stages(system: LennardJones) -> tuple[int, int]:
    """Give the number of the first interval that equilibrates, and of the first that measures."""
    melting = system.melting if system.start == "liquid" else 0
    first = -(-melting // system.spacing)
    return first, first - (-system.equilibration // system.spacing)


def _measurements(system: LennardJones) -> int:
    return system.steps // system.spacing


def _length(system: LennardJones) -> int:
    return _stages(system)[1] + _measurements(system)


def _frames(system: LennardJones) -> list[int]:
    """Lags as numbers of measurements."""
    return [round(t / (system.spacing * system.dt)) for t in system.lag]


def _temperature(system: LennardJones, interval: jax.Array) -> jax.Array:
    molten = interval < _stages(system)[0]
    return jnp.where(molten, system.hot, system.temperature).astype(jnp.float32)


def _potential(system: LennardJones) -> dynamics.Potential:
    basis = pairs.Basis(cutoff=system.cutoff, tail=system.tail)
    return dynamics.Potential(basis=basis, c=pairs.lennard_jones(system.epsilon, system.sigma))


def _interval(system: LennardJones, state: State) -> State:
    """Go on to the next measurement, and measure if it is time to."""
    potential, number = _potential(system), state.interval
    cold, measuring = _stages(system)
    particles = state.particles
    if system.ensemble == "nve":
        momenta = dynamics.centred(particles.momenta)
        momenta = jnp.where(number == measuring, momenta, particles.momenta)
        particles = particles._replace(momenta=momenta)

        def conserve(particles: dynamics.Particles) -> dynamics.Particles:
            return dynamics.nve(potential, particles, dt=system.dt, steps=system.spacing)

        def hold(particles: dynamics.Particles) -> dynamics.Particles:
            return _langevin(system, particles, state)

        particles = jax.lax.cond(number >= measuring, conserve, hold, particles)
        accepted = jnp.int32(0)
    elif system.ensemble == "nvt":
        particles, accepted = _langevin(system, particles, state), jnp.int32(0)
    else:
        particles, accepted = dynamics.npt(
            potential,
            particles,
            _temperature(system, number),
            system.pressure,
            state.seed,
            dt=system.dt,
            friction=system.friction,
            moves=system.interval,
            every=BLOCK,
            width=jnp.where(number < cold, 0.0, state.width),  # a lattice would melt at its own
            first=number * system.interval,
        )
    width = dynamics.adapted(state.width, accepted / system.interval)
    width = jnp.where((number >= cold) & (number < measuring), width, state.width)
    state = state._replace(particles=particles, width=width, interval=number + 1)
    after: State = jax.lax.cond(
        number >= measuring,
        lambda state: _measured(system, state, accepted, number - measuring),
        lambda state: state,
        state,
    )
    return after


def _langevin(
    system: LennardJones, particles: dynamics.Particles, state: State
) -> dynamics.Particles:
    return dynamics.langevin(
        _potential(system),
        particles,
        _temperature(system, state.interval),
        state.seed,
        dt=system.dt,
        friction=system.friction,
        steps=system.spacing,
        first=state.interval * system.spacing,
    )


def _measured(system: LennardJones, state: State, accepted: jax.Array, at: jax.Array) -> State:
    """Add measurement number `at`."""
    potential, (s, momenta, _, box) = _potential(system), state.particles
    order = measure.bond_order(s, box)
    row = jnp.stack(
        [
            pairs.energy(potential.basis, s, box, potential.c),
            pairs.virial_features(potential.basis, s, box) @ potential.c,
            2 * dynamics.kinetic(momenta),
            jnp.prod(box),
            jnp.mean(order.averaged),
            jnp.mean(order.solid),
        ]
    )
    frames = state.kept.shape[0]
    kept = state.kept.at[at % frames].set(s)
    displaced = [
        jnp.where(at >= lag, measure.square_displacement(kept[(at - lag) % frames], s, box), 0)
        for lag in _frames(system)
    ]
    return state._replace(
        series=state.series.at[at].set(row),
        accepted=state.accepted + accepted,
        correlation=state.correlation
        + measure.pair_correlation(s, box, jnp.asarray(system.r), system.width),
        kept=kept,
        displacement=state.displacement + jnp.stack(displaced),
    )


def _slope(x: jax.Array, y: jax.Array, weight: jax.Array | float = 1.0) -> jax.Array:
    """Slope of a line by least squares; 0 where there is one x alone."""
    weight = jnp.broadcast_to(weight, x.shape).astype(jnp.float32)
    x = x - jnp.sum(weight * x) / jnp.sum(weight)
    spread = jnp.sum(weight * x**2)
    y = y - jnp.sum(weight * y) / jnp.sum(weight)
    return jnp.sum(weight * x * y) / jnp.where(spread > 0, spread, 1)
