"""One realization: all starts and copies at once, each a chain of sweeps."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.potts import BONDS, ENTERED, ORDERED, Potts
from criticality.systems.potts.model import lattice
from criticality.systems.potts.model.histogram import balance, dip
from criticality.thermo.series import agreement, autocorrelation

UPDATES = 2**21  # of spins in one advance, some
LONG = 50.0  # autocorrelation times that a run must have
SEEN = 0.02  # of the time, below which a phase has been no more than an excursion


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    seeds
        Of the noise of each chain, uint32 [starts, copies, 2].
    spins
        int32 [starts, copies, L, L].
    sweep
        int32 scalar: sweeps done.
    energy, order
        float32 [starts, sweeps, copies]: e and m after each sweep that is measured.
    """

    seeds: jax.Array
    spins: jax.Array
    sweep: jax.Array
    energy: jax.Array
    order: jax.Array


def begin(system: Potts, key: jax.Array, data: object) -> State:
    """Draw the spins of every start: each is in state 0 with probability m_0, or in any."""
    shape, copies = (system.length, system.length), system.copies
    keys = [stream(key, "chains", jnp.float32(start)) for start in system.start]
    seeds = jnp.stack([bits.seeds(of_start, (copies, 2)) for of_start in keys])

    def drawn(start: jax.Array, seed: jax.Array) -> jax.Array:
        of_state, of_order = (bits.reseed(seed, jnp.int32(part)) for part in (-1, -2))
        any_state = lattice.random(of_state, shape, system.states)
        return jnp.where(lattice.uniform(of_order, shape) < start, 0, any_state)

    starts = jnp.asarray(system.start, jnp.float32)
    spins = jax.vmap(jax.vmap(drawn, (None, 0)))(starts, seeds)
    series = jnp.zeros((len(starts), system.sweeps, copies), jnp.float32)
    return State(seeds, spins, jnp.int32(0), series, series)


def advance(system: Potts, state: State, data: object) -> State:
    """Sweep for some `UPDATES` of spins, or until the end."""
    many = max(1, UPDATES // state.spins.size)
    last = jnp.minimum(state.sweep + many, _length(system))
    couplings = jnp.stack([jnp.asarray(J, jnp.float32) for J in system.couplings])
    temperature = jnp.asarray(system.temperature, jnp.float32)

    def swept(spins: jax.Array, seed: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        for update in range(1 + system.clusters):
            change = lattice.cluster if update else lattice.heat_bath
            of_update = bits.reseed(seed, jnp.int32(update))
            spins = change(spins, couplings, temperature, of_update, system.states)
        energy = couplings @ lattice.features(spins) / spins.size
        return spins, energy, lattice.ordered(spins, system.states)

    def one(sweep: jax.Array, state: State) -> State:
        seeds = bits.reseed(state.seeds, sweep)
        spins, *found = jax.vmap(jax.vmap(swept))(state.spins, seeds)
        # what is not yet measured stands where the first measurement will replace it
        place = jnp.maximum(sweep - system.equilibration, 0)
        energy, order = (
            jax.lax.dynamic_update_index_in_dim(series, new, place, 1)
            for series, new in zip((state.energy, state.order), found, strict=True)
        )
        return State(state.seeds, spins, sweep + 1, energy, order)

    after: State = jax.lax.fori_loop(state.sweep, last, one, state)
    return after


def finished(system: Potts, state: State) -> jax.Array:
    """Whether all sweeps are done."""
    return state.sweep >= _length(system)


def observe(system: Potts, state: State, data: object) -> dict[str, jax.Array]:
    """Thermal averages over sweeps and copies."""
    energy, order = state.energy, state.order
    sites, temperature = system.length**2, jnp.asarray(system.temperature, jnp.float32)
    factors = jnp.asarray(system.reweighting, jnp.float32)
    # one after another, so that none depends on how many there are
    averages = jax.lax.map(
        lambda factor: _averages(energy, order, sites, temperature, factor), factors
    )
    ordered = order > ORDERED
    in_order, in_disorder = _mean_where(energy, ordered), _mean_where(energy, ~ordered)
    shift = balance(sites * energy, ordered, system.states)
    histogram, middles = _histogram(system, energy)
    between = jnp.mean(energy, where=ordered) + jnp.mean(energy, where=~ordered)
    split = jnp.sum(middles < between / 2)
    times = [autocorrelation(one) for one in (order, energy)]
    longer = jnp.nan_to_num(times[0][0]) >= jnp.nan_to_num(times[1][0])
    time, error = (jnp.where(longer, a, b) for a, b in zip(*times, strict=True))
    return {
        **{name: one.T for name, one in averages.items()},
        "histogram": histogram,
        "tunnellings": _tunnellings(order),
        "ordered_energy": in_order,
        "disordered_energy": in_disorder,
        "latent_heat": in_disorder - in_order,
        "balance_temperature": 1 / (1 / temperature + shift),
        "dip": dip(histogram.mean(axis=0), sites * middles, split),
        "autocorrelation_time": time,
        "autocorrelation_time_error": error,
        "long_enough": (~(system.sweeps < LONG * time)).astype(jnp.float32),
        "starts_agree": agreement(energy).astype(jnp.float32),
    }


def _length(system: Potts) -> int:
    return system.equilibration + system.sweeps


def _averages(
    energy: jax.Array, order: jax.Array, sites: int, temperature: jax.Array, factor: jax.Array
) -> dict[str, jax.Array]:
    """Averages [starts] over sweeps and copies, at a temperature times a factor.

    Samples weigh exp(-(1/T' - 1/T) E) [A. M. Ferrenberg & R. H. Swendsen, Phys. Rev. Lett. 61, 2635
    (1988)].
    """
    new = factor * temperature
    gain = (sites * (1 / temperature - 1 / new) * energy).reshape(len(energy), -1)
    logarithm = jax.nn.log_softmax(gain, axis=1)
    weight = jnp.exp(logarithm)

    def mean(values: jax.Array) -> jax.Array:
        values = values.reshape(weight.shape)
        origin = values[:, :1]  # sums of many numbers round less about one of them
        return origin[:, 0] + jnp.sum(weight * (values - origin), axis=1)

    def variance(values: jax.Array) -> jax.Array:
        return mean((values - mean(values)[:, None, None]) ** 2)

    def binder(values: jax.Array) -> jax.Array:
        return 1 - mean(values**4) / (3 * mean(values**2) ** 2)

    ordered = order > ORDERED
    share, rest = mean(ordered.astype(jnp.float32)), mean((~ordered).astype(jnp.float32))
    odds = jnp.log(share) - jnp.log(rest)
    return {
        "order_parameter": mean(order),
        "energy": mean(energy),
        "specific_heat": sites * variance(energy) / new**2,
        "susceptibility": sites * variance(order) / new,
        "binder": binder(order),
        "energy_binder": binder(energy),
        "ordered_share": share,
        "log_odds": jnp.where(jnp.isfinite(odds), odds, jnp.nan),
        "effective_share": jnp.exp(-jnp.sum(weight * logarithm, axis=1)) / weight.shape[1],
    }


def _mean_where(values: jax.Array, where: jax.Array) -> jax.Array:
    """Give the mean of chosen values, or NaN where these are too few."""
    origin = values[0, 0, 0]
    mean = origin + jnp.mean(values - origin, where=where)
    return jnp.where(jnp.mean(where) < SEEN, jnp.nan, mean)


def _histogram(system: Potts, energy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Shares of the sweeps [starts, bins], and the energies a site in the middles of the bins."""
    ends = [-bonds * J for bonds, J in zip(BONDS, system.couplings, strict=True)]
    low, high = (sum(bound(end, 0.0) for end in ends) for bound in (jnp.minimum, jnp.maximum))
    # levels on an edge belong to the bin above, and are not to fall below it by rounding
    at = jnp.floor((energy - low) / (high - low) * system.bins + 1e-3).astype(jnp.int32)
    at = jnp.clip(at, 0, system.bins - 1).reshape(len(energy), -1)
    counts = jax.vmap(lambda one: jnp.zeros(system.bins, jnp.int32).at[one].add(1))(at)
    middles = low + (high - low) * (jnp.arange(system.bins, dtype=jnp.float32) + 0.5) / system.bins
    return counts / at.shape[1], middles


def _tunnellings(order: jax.Array) -> jax.Array:
    """Count passages [starts] from one phase into the other, through all between them."""
    low, high = ENTERED

    def step(
        carry: tuple[jax.Array, jax.Array], now: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        phase, count = carry
        new = jnp.where(now > high, 1, jnp.where(now < low, -1, phase))
        return (new, count + (new * phase < 0)), None

    nothing = jnp.zeros((order.shape[0], order.shape[2]), jnp.int32)
    (_, count), _ = jax.lax.scan(step, (nothing, nothing), jnp.moveaxis(order, 1, 0))
    return jnp.sum(count, axis=1).astype(jnp.float32)
