"""Noise that training dropout makes of the logits before the first step: python noise.py."""

import jax
import jax.numpy as jnp

from criticality import data
from criticality.nn import dense, masks

NETWORKS, DRAWS, SAMPLES = 10, 50, 500
PIXELS = jnp.asarray(data.load("mnist").arrays()["train_x"][:SAMPLES]) / 255


def noise(initialization: str, depth: int, width: int, p_train: float) -> float:
    """Give the standard deviation of the logits over masks, in nat, of the median network."""

    def one(key: jax.Array) -> jax.Array:
        weights, chance = jax.random.split(key)
        shapes = [(width, PIXELS.shape[1]), *[(width, width)] * (depth - 1), (10, width)]
        params = dense.initialize(weights, shapes, initialization)
        z = dense.preactivations(params, PIXELS, "float32")
        level = masks.level(p_train)

        def drawn(seeds: jax.Array) -> jax.Array:
            return dense.logits(
                params, z, lambda h, layer: masks.dropout(h, level, seeds[layer]), "float32"
            )

        seeds = jax.random.bits(chance, (DRAWS, depth, 2), jnp.uint32)
        return jnp.sqrt(jax.lax.map(drawn, seeds).var(axis=0).mean())

    return float(jnp.median(jax.lax.map(one, jax.random.split(jax.random.key(0), NETWORKS))))


for case in (
    ("he", 3, 100, 0.82),
    ("he", 3, 50, 0.81),
    ("he", 2, 100, 0.925),
    ("he", 5, 100, 0.675),
    ("standard", 3, 100, 0.925),
    ("standard", 3, 100, 0.82),
):
    initialization, depth, width, p_train = case
    print(
        f"{initialization:8}  depth {depth}  width {width:3}  p_train {p_train:5}: "
        f"{noise(*case):.2f} nat"
    )
