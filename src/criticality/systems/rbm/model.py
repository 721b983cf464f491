"""One realization: block Gibbs sampling of one sample of patterns, all starts and copies at once.

The patterns are the disorder, drawn from the realization's key alone; all noise comes from streams
that depend on the point and the start.  Their number is data, not shape: patterns lie in blocks of
`BLOCK`, and a sweep visits as many blocks as hold some, so that one program serves all loads.  A
block is used twice while it is in cache: for the fields on its hidden units, and, once these are
drawn, for what they add to the fields on the spins.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtri

from criticality.nn import bits
from criticality.nn.streams import stream
from criticality.systems.rbm import MOST_LOAD, PRIORS, RBM
from criticality.thermo.series import agreement, autocorrelation

BLOCK = 64  # patterns that are visited together
SWEEPS = 64  # of one advance
LONG = 50.0  # autocorrelation times that a run must have
EXACT = jax.lax.Precision.HIGHEST  # of values that are no small integers; a GPU rounds by default
TAIL = 6.0  # standard deviations, beyond which a Gaussian tail has its asymptotic form

SERIES = ("overlap", "best", "replica", "self", "activity", "energy")


class State(NamedTuple):
    """State of one realization.

    Attributes
    ----------
    key
        Root key.
    spins
        float32 [starts, copies, N], +1 and -1.
    kept
        The spins when measuring began.
    sweep
        int32 scalar: sweeps done, of the whole schedule.
    series
        float32 [temperatures * sweeps, quantities, starts, copies]: what each sweep gave.
    """

    key: jax.Array
    spins: jax.Array
    kept: jax.Array
    sweep: jax.Array
    series: jax.Array


class Hidden(NamedTuple):
    """What one block of hidden units gives.

    Attributes
    ----------
    values
        float32 [chains, units].
    cost
        Of each unit, u(h) + theta_N a(h).
    """

    values: jax.Array
    cost: jax.Array


def begin(system: RBM, key: jax.Array, data: object) -> State:
    """Draw the spins of every start: each agrees with the pattern with probability (1 + m_0)/2."""
    pattern = _blocks(system, key, jnp.int32(1))[0, 0]
    chains = (len(system.start), system.copies, system.spins)
    uniform = _uniforms(_noise(system, key, "start"), chains[1:]).reshape(chains)
    start = jnp.asarray(system.start, jnp.float32)[:, None, None]
    spins = jnp.where(uniform < (1 + start) / 2, pattern, -pattern)
    shape = (len(system.annealing) * system.sweeps, len(SERIES), *chains[:2])
    return State(key, spins, spins, jnp.int32(0), jnp.zeros(shape, jnp.float32))


def advance(system: RBM, state: State, data: object) -> State:
    """Sweep `SWEEPS` times, or until the schedule ends."""
    patterns = _patterns(system)
    blocks = _blocks(system, state.key, patterns)
    seeds = _noise(system, state.key, "sweeps")
    last = jnp.minimum(state.sweep + SWEEPS, _length(system))
    stage_length = system.equilibration + system.sweeps
    factors = jnp.asarray(system.annealing, jnp.float32)

    def one(sweep: jax.Array, state: State) -> State:
        stage, at = jnp.divmod(sweep, stage_length)
        temperature = system.temperature * factors[stage]
        new = bits.reseed(seeds, sweep)
        kept = jnp.where(at == system.equilibration, state.spins, state.kept)
        spins, found = _sweep(system, temperature, patterns, blocks, state.spins, kept, new)
        # what is not yet measured stands where the first measurement will replace it
        place = stage * system.sweeps + jnp.maximum(at - system.equilibration, 0)
        series = jax.lax.dynamic_update_index_in_dim(state.series, found, place, 0)
        return State(state.key, spins, kept, sweep + 1, series)

    after: State = jax.lax.fori_loop(state.sweep, last, one, state)
    return after


def finished(system: RBM, state: State) -> jax.Array:
    """Whether the schedule has ended."""
    return state.sweep >= _length(system)


def observe(system: RBM, state: State, data: object) -> dict[str, jax.Array]:
    """Thermal averages over sweeps and copies."""
    form = (len(system.annealing), system.sweeps, *state.series.shape[1:])
    series = jnp.moveaxis(state.series.reshape(form), (2, 3, 0, 1, 4), (0, 1, 2, 3, 4))
    # each [starts, temperatures, sweeps, copies]
    overlap, best, replica, own, activity, energy = series
    late = system.sweeps // 2  # of a copy with itself, overlaps from here on
    temperature = system.temperature * jnp.asarray(system.annealing, jnp.float32)

    def mean(values: jax.Array) -> jax.Array:
        return values.mean(axis=(2, 3))

    size = jnp.abs(overlap)
    second, fourth = mean(overlap**2), mean(overlap**4)
    times = [autocorrelation(one) for one in (size, energy)]
    longer = jnp.nan_to_num(times[0][0]) >= jnp.nan_to_num(times[1][0])
    time, error = (jnp.where(longer, a, b) for a, b in zip(*times, strict=True))
    return {
        "overlap": mean(size),
        "best_overlap": mean(best),
        "replica_overlap": mean(jnp.abs(replica)),
        "self_overlap": mean(own[:, :, late:]),
        "glassiness": jnp.sqrt(mean((replica - own)[:, :, late:] ** 2)),
        "activity": mean(activity),
        "energy": mean(energy),
        "susceptibility": system.spins * _deviation(size) ** 2 / temperature,
        "binder": 1 - fourth / (3 * second**2),
        "autocorrelation_time": time,
        "autocorrelation_time_error": error,
        "long_enough": (~(system.sweeps < LONG * time)).astype(jnp.float32),
        "starts_agree": agreement(energy).astype(jnp.float32),
    }


# --- patterns and noise ----------------------------------------------------------------------


def _length(system: RBM) -> int:
    return len(system.annealing) * (system.equilibration + system.sweeps)


def _patterns(system: RBM) -> jax.Array:
    """Count the patterns, int32 scalar."""
    of_load = jnp.rint(system.load * system.spins).astype(jnp.int32)
    return jnp.where(system.patterns > 0, system.patterns, of_load)


def _blocks(system: RBM, key: jax.Array, patterns: jax.Array) -> jax.Array:
    """Patterns float32 [blocks, BLOCK, N], +1 and -1; those beyond the last are zero.

    Blocks that hold none stay zero, and are not visited.
    """
    n = system.spins
    blocks = -(-math.ceil(MOST_LOAD * n) // BLOCK)
    seed = bits.seeds(stream(key, "patterns"), (2,))
    rows = jnp.arange(BLOCK)[:, None]

    def fill(k: jax.Array, every: jax.Array) -> jax.Array:
        up = bits.words(bits.reseed(seed, k), (BLOCK, n)) >> 31
        there = rows < patterns - k * BLOCK
        return every.at[k].set(jnp.where(there, 2 * up.astype(jnp.float32) - 1, 0))

    nothing = jnp.zeros((blocks, BLOCK, n), jnp.float32)
    every: jax.Array = jax.lax.fori_loop(0, _used(patterns), fill, nothing)
    return every


def _used(patterns: jax.Array) -> jax.Array:
    return (patterns + BLOCK - 1) // BLOCK


def _noise(system: RBM, key: jax.Array, name: str) -> jax.Array:
    """Seeds of the noise of every start, uint32 [starts, 2]: points share patterns, not noise."""
    point = stream(
        key,
        name,
        system.temperature,
        jnp.float32(PRIORS.index(system.prior)),
        system.threshold,
        system.bias,
        system.scaling,
    )
    return jnp.stack([bits.seeds(stream(point, "of start", m), (2,)) for m in system.start])


def _uniforms(seeds: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Numbers inside of (0, 1), of each start's seeds [starts, 2] so many: [starts * a, b]."""
    return _uniform(jnp.concatenate([bits.words(seed, shape) for seed in seeds]))


def _uniform(words: jax.Array) -> jax.Array:
    """Numbers inside of (0, 1) from uint32; a bit more, and the last would round to 1."""
    number: jax.Array = ((words >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2.0**-23)
    return number


# --- a sweep ---------------------------------------------------------------------------------


def _sweep(
    system: RBM,
    temperature: jax.Array,
    patterns: jax.Array,
    blocks: jax.Array,
    spins: jax.Array,
    kept: jax.Array,
    seeds: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Draw hidden units given the spins, then spins given them.

    Returns
    -------
    spins, quantities
        New ones [starts, copies, N], and [quantities, starts, copies] as of `SERIES`.
    """
    starts, copies, n = spins.shape
    chains = spins.reshape(-1, n)
    weight = n**-system.scaling
    threshold = system.threshold * n ** (1 - 2 * system.scaling)
    of_units, of_spins = (bits.reseed(seeds, jnp.int32(part)) for part in (0, 1))

    def visit(k: jax.Array, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        field, cost, active, best = sums
        block = jax.lax.dynamic_index_in_dim(blocks, k, keepdims=False)
        product = jax.lax.dot_general(chains, block, (((1,), (1,)), ((), ())))
        uniform = _uniforms(bits.reseed(of_units, k), (copies, BLOCK))
        drawn = _hidden(system.prior, weight * product, threshold, temperature, uniform)
        there = jnp.arange(BLOCK) < patterns - k * BLOCK
        shifted = drawn.values - system.bias
        added = jax.lax.dot_general(shifted, block, (((1,), (0,)), ((), ())), precision=EXACT)
        return (
            field + added,
            cost + jnp.sum(jnp.where(there, drawn.cost, 0), axis=1),
            active + jnp.sum(jnp.where(there, jnp.abs(drawn.values), 0), axis=1),
            jnp.maximum(best, jnp.max(jnp.abs(product), axis=1)),
        )

    nothing = jnp.zeros(len(chains), jnp.float32)
    sums = (jnp.zeros_like(chains), nothing, nothing, nothing)
    field, cost, active, best = jax.lax.fori_loop(0, _used(patterns), visit, sums)
    field = weight * field
    uniform = _uniforms(of_spins, (copies, n))
    new = jnp.where(uniform < jax.nn.sigmoid(2 * field / temperature), 1.0, -1.0)
    spins = new.reshape(spins.shape)
    quantities = (
        new @ blocks[0, 0] / n,
        best / n,
        jnp.mean(spins * jnp.roll(spins, 1, axis=1), axis=2).reshape(-1),
        jnp.mean(spins * kept, axis=2).reshape(-1),
        active / patterns,
        (cost - jnp.sum(new * field, axis=1)) / n,
    )
    return spins, jnp.stack(quantities).reshape(-1, starts, copies)


def _hidden(
    prior: str, field: jax.Array, threshold: jax.Array, temperature: jax.Array, uniform: jax.Array
) -> Hidden:
    """Hidden units given their fields, from one uniform number each."""
    if prior == "gaussian":
        h = field + jnp.sqrt(temperature) * ndtri(uniform)
        return Hidden(h, h**2 / 2)
    if prior == "relu":
        h = _above_zero(field - threshold, jnp.sqrt(temperature), uniform)
        return Hidden(h, h**2 / 2 + threshold * h)
    if prior == "binary":
        h = jnp.where(uniform < jax.nn.sigmoid(2 * (field - threshold) / temperature), 1.0, -1.0)
        return Hidden(h, threshold * h)
    if prior == "zero_one":
        on = uniform < jax.nn.sigmoid((field - threshold) / temperature)
        h = on.astype(jnp.float32)
        return Hidden(h, threshold * h)
    top = jnp.maximum(jnp.abs(field) - threshold, 0)  # relative to it, no exponential overflows
    gains = (field - threshold, -field - threshold, 0.0)
    up, down, rest = (jnp.exp((gain - top) / temperature) for gain in gains)
    level = uniform * (up + down + rest)
    h = jnp.where(level < up, 1.0, jnp.where(level < up + down, -1.0, 0.0))
    return Hidden(h, threshold * jnp.abs(h))


def _above_zero(mean: jax.Array, deviation: jax.Array, uniform: jax.Array) -> jax.Array:
    """Gaussian numbers given that they are positive, by inversion of the upper tail.

    With a = -mean/deviation, the standardised number z > a has Q(z) = u Q(a).  Far in the tail,
    where z - a is small beside z, it comes from ln Q(z) = -z^2/2 - ln z + g(z), iterated.
    """
    a = -mean / deviation
    near = jnp.minimum(a, TAIL)
    close = -ndtri(uniform * jnp.exp(log_ndtr(-near))) - near

    far = jnp.maximum(a, TAIL)
    log_u = jnp.log(uniform)

    def g(z: jax.Array) -> jax.Array:
        w = 1 / z**2
        return jnp.log1p(-w * (1 - w * (3 - 15 * w)))

    step = -log_u  # half the rise of z^2
    for _ in range(3):
        z = jnp.sqrt(far**2 + 2 * step)
        step = -log_u - 0.5 * jnp.log1p(2 * step / far**2) + g(z) - g(far)
    beyond = 2 * step / (far + jnp.sqrt(far**2 + 2 * step))
    return deviation * jnp.maximum(jnp.where(a < TAIL, close, beyond), 0)


# --- statistics of a time series -------------------------------------------------------------


def _deviation(values: jax.Array) -> jax.Array:
    """Give the standard deviation over sweeps and copies."""
    centred = values - values.mean(axis=(2, 3), keepdims=True)
    return jnp.sqrt(jnp.mean(centred**2, axis=(2, 3)))
