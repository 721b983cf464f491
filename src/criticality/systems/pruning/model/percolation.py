"""What of a pruned network still conducts: edges and units on a path from the input to the output.

Percolation in its plainest sense: a path is a chain of remaining weights.  Biases are no edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def conducting(masks: Sequence[jax.Array], units: Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """Count the edges of each layer, and the units between them, that lie on some path.

    Parameters
    ----------
    masks
        Remaining weights of every layer, bool [out, in, ...].
    units
        Units before, between and after the layers, [layers+1].  A channel of a convolution is one
        unit; the places of a kernel, or of an image that a dense layer sees, are parallel edges.

    Returns
    -------
    edges, live
        int32 [layers] and int32 [layers+1]; the last of `live` counts the outputs that the input
        reaches.
    """
    graph = [
        mask.reshape(after, before, -1)
        for mask, before, after in zip(masks, units[:-1], units[1:], strict=True)
    ]
    reached = [jnp.ones(units[0], bool)]
    for mask in graph:
        reached.append(jnp.any(mask & reached[-1][:, None], axis=(1, 2)))
    useful = [jnp.ones(units[-1], bool)]
    for mask in reversed(graph):
        useful.append(jnp.any(mask & useful[-1][:, None, None], axis=(0, 2)))
    useful.reverse()
    edges = [
        jnp.sum(mask & before[:, None] & after[:, None, None], dtype=jnp.int32)
        for mask, before, after in zip(graph, reached[:-1], useful[1:], strict=True)
    ]
    live = [jnp.sum(r & u, dtype=jnp.int32) for r, u in zip(reached, useful, strict=True)]
    return jnp.stack(edges), jnp.stack(live)
