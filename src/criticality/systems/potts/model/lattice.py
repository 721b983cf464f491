r"""The Potts model on a periodic square lattice: energy, heat bath and cluster update.

    E = - J_1 sum_neighbours [s_i = s_j] - J_2 sum_diagonals [s_i = s_j]
        - J_3 sum_corners [s_i = s_j = s_k]

with k_B = 1 and states 0 .. q - 1.  A corner is a right angle of two bonds of neighbours, four in
each plaquette.  Sites have
2, 2 and 4 of them each.  Sides are even.  Where a side is 2, bonds that go round it are counted as
often as they occur.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from criticality.nn import bits


class Equal(NamedTuple):
    """Which sites of each plaquette, whose upper left one is the site, are equal: [rows, columns].

    Attributes
    ----------
    upper, left
        The two neighbours at its upper and left side.
    falling, rising
        The ends of its diagonals.
    corners
        The three sites at its upper left, upper right, lower left and lower right corner.
    """

    upper: jax.Array
    left: jax.Array
    falling: jax.Array
    rising: jax.Array
    corners: tuple[jax.Array, ...]


def features(spins: jax.Array) -> jax.Array:
    """Minus the numbers of equal neighbours, diagonals and corners: the energy is J . features.

    Parameters
    ----------
    spins
        Integers [rows, columns].

    Returns
    -------
    features
        float32 [3]: exact integers.
    """
    equal = _equal(spins)
    groups = ((equal.upper, equal.left), (equal.falling, equal.rising), equal.corners)
    counts = [jnp.sum(sum(part.astype(jnp.int32) for part in group)) for group in groups]
    return -jnp.stack(counts).astype(jnp.float32)


def ordered(spins: jax.Array, states: int) -> jax.Array:
    """Order parameter (q rho - 1)/(q - 1), rho the share of the most frequent state."""
    most = jnp.max(jnp.zeros(states, jnp.int32).at[spins.reshape(-1)].add(1))
    return (states * most / spins.size - 1) / (states - 1)


def random(seed: jax.Array, shape: tuple[int, ...], states: int) -> jax.Array:
    """Spins int32 that are independent and uniform, from a pair of seeds uint32 [2]."""
    return jnp.floor(states * uniform(seed, shape)).astype(jnp.int32)


def uniform(seed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Numbers inside of (0, 1) from a pair of seeds; a bit more, and the last would round to 1."""
    words = bits.words(seed, shape)
    number: jax.Array = ((words >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2.0**-23)
    return number


def heat_bath(
    spins: jax.Array, couplings: jax.Array, temperature: jax.Array, seed: jax.Array, states: int
) -> jax.Array:
    """Draw every spin given its eight neighbours: one sweep.

    No two sites of a colour share a plaquette, so that these are drawn at once.

    Parameters
    ----------
    spins
        Integers [rows, columns], two or more of each.
    couplings
        J_1, J_2, J_3 [3], of any sign.
    temperature
        Above 0.
    seed
        uint32 [2].
    states
        q.
    """
    strength = couplings / temperature
    colours = itertools.product(*(_colours(side) for side in spins.shape))
    for colour, (rows, columns) in enumerate(colours):
        wrapped = _barrier(jnp.pad(spins, 1, mode="wrap"))
        around = {
            (i, j): wrapped[_moved(rows, 1 + i), _moved(columns, 1 + j)]
            for i, j in itertools.product((-1, 0, 1), repeat=2)
        }
        gain = _gain(around, strength, states)
        number = uniform(bits.reseed(seed, jnp.int32(colour)), gain.shape[1:])
        spins = _replaced(spins, rows, columns, _drawn(gain, number))
    return spins


def _colours(side: int) -> list[slice]:
    """Rows, or columns, none of which is next to another of its colour: every second one.

    The last one of an odd number has a colour of its own.
    """
    even = side - side % 2
    return [slice(0, even, 2), slice(1, even, 2), slice(even, side, 2)][: 2 + side % 2]


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by, part.step)


def _replaced(spins: jax.Array, rows: slice, columns: slice, new: jax.Array) -> jax.Array:
    return spins.at[rows, columns].set(new.astype(spins.dtype))


def _gain(around: dict[tuple[int, int], jax.Array], strength: jax.Array, states: int) -> jax.Array:
    """Minus the energies over T [q, rows, columns] of sites in each state, given neighbours."""
    # written out once: without a barrier they are computed anew for each use
    around = _barrier(around)
    every = jnp.arange(states, dtype=around[0, 1].dtype)[:, None, None]
    equal = {at: jnp.where(one == every, 1.0, 0.0) for at, one in around.items()}
    near = [equal[at] for at in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    corners = (near[0] + near[1]) * (near[2] + near[3])
    across = jnp.zeros_like(corners)
    for i, j in itertools.product((-1, 1), repeat=2):
        across += equal[i, j]
        corners += (equal[i, 0] + equal[0, j]) * equal[i, j]
    gain = strength[0] * sum(near) + strength[1] * across + strength[2] * corners
    return jnp.asarray(_barrier(gain))


def _drawn(gain: jax.Array, number: jax.Array) -> jax.Array:
    """States drawn with weights exp(gain), by a number in (0, 1) for each site."""
    states = len(gain)
    weight = _barrier(jnp.exp(gain - gain.max(axis=0)))
    below = jnp.tril(jnp.ones((states, states), weight.dtype))
    total = jnp.einsum("ij,j...->i...", below, weight, precision=jax.lax.Precision.HIGHEST)
    return jnp.sum(number * total[-1] > total[:-1], axis=0, dtype=jnp.int32)


def cluster(
    spins: jax.Array, couplings: jax.Array, temperature: jax.Array, seed: jax.Array, states: int
) -> jax.Array:
    """Freeze bonds, and give every cluster of them a new state: Swendsen & Wang (1987).

    Every term of the energy whose sites are equal freezes with 1 - exp(-J/T) [Edwards & Sokal
    (1988)]; a corner freezes both of its bonds.  Parameters as of `heat_bath`, but no coupling
    below 0.
    """
    shape = spins.shape
    draws = [uniform(bits.reseed(seed, jnp.int32(k)), shape) for k in range(8)]
    equal = _equal(spins)
    near, diagonal, corner = -jnp.expm1(-couplings / temperature)
    right, down = (equal.upper & (draws[0] < near)), (equal.left & (draws[1] < near))
    falling, rising = equal.falling & (draws[2] < diagonal), equal.rising & (draws[3] < diagonal)
    frozen = [one & (draw < corner) for one, draw in zip(equal.corners, draws[4:], strict=True)]
    # corners are at the upper or lower side of a plaquette, and at its left or right one
    right |= frozen[0] | frozen[1] | jnp.roll(frozen[2] | frozen[3], 1, 0)
    down |= frozen[0] | frozen[2] | jnp.roll(frozen[1] | frozen[3], 1, 1)
    label = _labels((right, down), (falling, rising), couplings[1] > 0)
    new = random(bits.reseed(seed, jnp.int32(8)), shape, states).reshape(-1)[label]
    return new.astype(spins.dtype)


def _labels(
    straight: tuple[jax.Array, jax.Array], slanted: tuple[jax.Array, jax.Array], both: jax.Array
) -> jax.Array:
    """Give the number of the first site of each site's cluster, int32 [rows, columns].

    Labels are numbers of sites of the same cluster.  Every site looks for the least label of its
    bonds, tells it to the site that its own label names (without this, labels creep along paths
    bond by bond), and takes over what that one has found, until no bond joins two labels.

    Parameters
    ----------
    straight
        Bonds to the right and down.
    slanted
        Those down to the right from a site, and from its right neighbour down to the left.
    both
        Whether there may be slanted ones, bool scalar.
    """
    shape, size = straight[0].shape, straight[0].size
    falling, rising = slanted
    near = _walls(((straight[0], (0, 1)), (straight[1], (1, 0))))
    across = _walls(((falling, (1, 1)), (jnp.roll(rising, 1, 1), (1, -1))))

    def least_of(walls: list[tuple[jax.Array, tuple[int, int]]], label: jax.Array) -> jax.Array:
        least = label
        for wall, way in walls:
            least = jnp.minimum(least, jnp.roll(label, way, (0, 1)) + wall)
        return least

    def step(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        label, _ = state
        least = least_of(near, label)
        least = jax.lax.cond(
            both, lambda: jnp.minimum(least, least_of(across, label)), lambda: least
        )
        new = least.reshape(-1).at[label.reshape(-1)].min(least.reshape(-1))
        return new[new].reshape(shape), jnp.any(least != label)

    first = jnp.arange(size, dtype=jnp.int32).reshape(shape)
    label, _ = jax.lax.while_loop(lambda state: state[1], step, (first, jnp.bool_(True)))
    return label


def _walls(
    bonds: tuple[tuple[jax.Array, tuple[int, int]], ...],
) -> list[tuple[jax.Array, tuple[int, int]]]:
    """Give what closes each way, there and back: where no bond is, the number of sites."""
    found = []
    for bond, (i, j) in bonds:
        wall = jnp.where(bond, 0, bond.size)
        found += [(wall, (-i, -j)), (jnp.roll(wall, (i, j), (0, 1)), (i, j))]
    return [(_barrier(wall), way) for wall, way in found]


def _equal(spins: jax.Array) -> Equal:
    down, right = (jnp.roll(spins, -1, axis) for axis in (0, 1))
    across = jnp.roll(down, -1, 1)
    upper, left, lower, far = spins == right, spins == down, down == across, right == across
    corners = (upper & left, upper & far, lower & left, lower & far)
    return Equal(upper, left, spins == across, right == down, corners)


def _barrier(values: Any) -> Any:
    return jax.lax.optimization_barrier(values)  # type: ignore[no-untyped-call]
