"""Networks of users under the protocol of `dropout`: against plain NumPy, and known answers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from criticality import data
from criticality.base import InputError, Task, canonical
from criticality.engine import ensemble
from criticality.nn import bits, dense, masks, measure
from criticality.papers.systems import cnn, transformer
from criticality.study.plan import checksum
from criticality.systems.dropout import DropoutNetwork, model
from tests.own import command

__all__ = ["command"]
KEY = jax.random.key(3)
CNN = cnn.CNN.tiny()
TRANSFORMER = replace(transformer.Transformer.tiny(), heads=2, patch=4)
FORMS = {
    "cnn": CNN,
    "odd": replace(CNN, depth=3),  # sides 8, 4, 2, 1
    "transformer": TRANSFORMER,
    "plain": replace(TRANSFORMER, norm=False),
    "chain": replace(TRANSFORMER, residual=False),
    "bare": replace(TRANSFORMER, residual=False, norm=False),
}
EVERY = pytest.mark.parametrize("system", FORMS.values(), ids=FORMS)
SAMPLES = data.load("synthetic").arrays()["train_x"][:7]


def parameters(system):
    """He's weights, so that samples differ in what comes out, and biases."""
    large, biased = (dense.initialize(KEY, system.network().shapes, x) for x in ("he", "standard"))
    return tuple((w, b) for (w, _), (_, b) in zip(large, biased, strict=True))


def kept(p=0.4, seed=0):
    """Inverted dropout by masks that NumPy draws: the same ones whoever asks."""
    drawn = {}

    def drop(h, place):
        if place not in drawn:
            rng = np.random.default_rng([seed, place])
            drawn[place] = (rng.random(h.shape) >= p).astype(np.float32) / np.float32(1 - p)
        return h * drawn[place]

    return drop, drawn


def logits(system, params, pixels=SAMPLES, drop=None):
    net = system.network()
    return net.logits(params, net.clean(params, jnp.asarray(pixels)), drop)


def plain_cnn(params, pixels, drawn):
    """One sample after another, one output pixel after another."""
    every = []
    for number, image in enumerate(pixels):
        h = image.reshape(1, 8, 8) / 255
        for place, (w, b) in enumerate(params):
            if w.ndim == 4:
                side = (h.shape[1] + 1) // 2
                padded = np.pad(h, ((0, 0), (1, 1), (1, 1)))
                z = np.empty((len(w), side, side))
                for i, j in np.ndindex(side, side):
                    window = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                    z[:, i, j] = (w * window).sum(axis=(1, 2, 3)) + b
            else:
                z = w @ h.reshape(-1) + b
            if place < len(params) - 1:
                h = np.maximum(z, 0)
                h = h * drawn[place][..., number] if drawn else h
        every.append(z)
    return np.array(every).T


def plain_transformer(system, params, pixels, drawn):
    """One sample after another, tokens as rows, one head after another."""

    def norm(x):
        if not system.norm:
            return x
        return np.array([(t - t.mean()) / math.sqrt(t.var() + 1e-5) for t in x])

    def times(mask, x, number):
        return x * drawn[mask][..., number].T if drawn else x

    along, side = 8 // system.patch, system.patch
    every = []
    for number, image in enumerate(pixels):
        rows = image.reshape(8, 8) / 255
        tokens = []
        for place in range(along**2):
            i, j = side * (place // along), side * (place % along)
            tokens.append([*rows[i : i + side, j : j + side].ravel(), *np.eye(along**2)[place]])
        w, b = params[0]
        x = np.array(tokens) @ w.T + b
        for block in range(system.depth):
            (wm, bm), (wo, bo), (wi, bi), (wu, bu) = params[1 + 4 * block : 5 + 4 * block]
            d = len(wo)
            mixed = norm(x) @ wm.T + bm
            heads = []
            for part in np.split(np.arange(d), system.heads):
                q, k, v = mixed[:, part], mixed[:, d + part], mixed[:, 2 * d + part]
                weight = np.exp(q @ k.T / math.sqrt(len(part)))
                heads.append(weight / weight.sum(axis=1, keepdims=True) @ v)
            h = times(2 * block, np.hstack(heads) @ wo.T + bo, number)
            x = x + h if system.residual else h
            h = times(2 * block + 1, np.maximum(norm(x) @ wi.T + bi, 0), number) @ wu.T + bu
            x = x + h if system.residual else h
        w, b = params[-1]
        every.append(norm(x).mean(axis=0) @ w.T + b)
    return np.array(every).T


@EVERY
def test_a_network_is_what_plain_numpy_makes_of_its_parameters(system):
    params = parameters(system)
    drop, drawn = kept()
    dropped = logits(system, params, drop=drop)
    assert sorted(drawn) == list(range(system.network().places))
    for masked, found in ((drawn, dropped), ({}, logits(system, params))):
        expected = in_numpy(system, params, masked)
        assert np.ptp(expected, axis=1).max() > 0.01  # samples differ
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def in_numpy(system, params, drawn):
    """Logits in 64 bits."""
    exact = [tuple(np.asarray(x, float) for x in pair) for pair in params]
    if isinstance(system, cnn.CNN):
        return plain_cnn(exact, SAMPLES, drawn)
    return plain_transformer(system, exact, SAMPLES, drawn)


@pytest.mark.slow
@EVERY
def test_slopes_are_the_finite_differences_of_plain_numpy(system):
    params = parameters(system)
    labels = np.arange(len(SAMPLES))
    drop, drawn = kept()

    def loss(params):
        return measure.cross_entropy(logits(system, params, drop=drop), jnp.asarray(labels)).mean()

    slope = jax.jit(jax.grad(loss))(params)

    def plain_loss(params):
        z = in_numpy(system, params, drawn)
        return (np.log(np.exp(z).sum(axis=0)) - z[labels, labels]).mean()

    rng = np.random.default_rng(0)
    for layer in range(len(params)):  # each by itself: one that is left out would show
        toward = [
            tuple(rng.normal(size=x.shape) * (number == layer) for x in pair)
            for number, pair in enumerate(params)
        ]
        pairs = zip(jax.tree.leaves(slope), jax.tree.leaves(toward), strict=True)
        found = sum(np.vdot(a, b) for a, b in pairs)
        ahead, behind = (
            plain_loss(
                jax.tree.map(lambda x, t, e=e: np.asarray(x, float) + e * t, list(params), toward)
            )
            for e in (1e-6, -1e-6)
        )
        assert found == pytest.approx((ahead - behind) / 2e-6, rel=1e-3, abs=1e-6), layer


@pytest.mark.slow
@EVERY
def test_every_place_drops_the_share_it_is_told_and_no_two_alike(system):
    seen = {}
    seeds = bits.seeds(KEY, (system.network().places, 2))

    def drop(h, place):
        mask = masks.dropout(jnp.ones_like(h), masks.level(0.3), seeds[place])
        seen[place] = np.asarray(mask)
        return h * mask

    pixels = data.load("synthetic").arrays()["train_x"][:300]
    logits(system, parameters(system), pixels, drop)
    for mask in seen.values():
        assert mask.shape[-1] == 300
        assert set(np.unique(mask)) == {0, np.float32(1 / 0.7)}
        assert abs((mask == 0).mean() - 0.3) < 4 * math.sqrt(0.21 / mask.size)
        units = mask.reshape(-1, 300)  # a unit of a sample by itself: no whole channel or token
        assert len(np.unique(units, axis=0)) == len(units)
    shapes = {place: mask.shape for place, mask in seen.items()}
    for a in seen:
        for b in range(a):
            assert shapes[a] != shapes[b] or (seen[a] != seen[b]).mean() > 0.3


def test_the_last_layer_makes_the_mean_over_masks_the_network_without():
    # what comes behind the last dropout is linear, and inverted dropout keeps means
    params = parameters(CNN)
    last = CNN.network().places - 1
    pixels = np.repeat(SAMPLES[:1], 4000, axis=0)

    def drop(h, place):
        seed = bits.seeds(jax.random.fold_in(KEY, place), (2,))
        return masks.dropout(h, masks.level(0.6), seed) if place == last else h

    many = np.asarray(logits(CNN, params, pixels, drop), float)
    error = many.std(axis=1) / math.sqrt(4000)
    pulls = (many.mean(axis=1) - np.asarray(logits(CNN, params, SAMPLES[:1]))[:, 0]) / error
    assert (error > 1e-4).all()
    assert np.abs(pulls).max() < 4


def test_with_residuals_something_is_left_when_all_is_dropped_and_nothing_without():
    def nothing(h, place):
        return jnp.zeros_like(h)

    params = parameters(TRANSFORMER)
    rest = logits(TRANSFORMER, params, drop=nothing)
    outer = sum(np.asarray(params[i][1]) for i in (4, 8))  # biases of what was dropped
    net = TRANSFORMER.network()
    z = net.clean(params, jnp.asarray(SAMPLES)) + outer[:, None, None]
    w, b = params[-1]
    np.testing.assert_allclose(
        rest, w @ transformer.normalised(z).mean(axis=1) + b[:, None], rtol=1e-4, atol=1e-5
    )
    assert np.ptp(rest, axis=1).min() > 1e-3
    for name in ("chain", "bare", "cnn"):
        same = logits(FORMS[name], parameters(FORMS[name]), drop=nothing)
        assert np.ptp(same, axis=1).max() == 0


def test_attention_to_equal_keys_is_the_mean_and_to_one_large_key_its_value():
    d, tokens = 4, 5
    mixed = np.random.default_rng(0).normal(size=(3 * d, tokens, 2)).astype(np.float32)
    even = mixed.copy()
    even[d : 2 * d] = 1
    mean = np.broadcast_to(even[2 * d :].mean(axis=1, keepdims=True), (d, tokens, 2))
    np.testing.assert_allclose(transformer.attention(jnp.asarray(even), 2), mean, rtol=1e-5)
    sharp = mixed.copy()
    sharp[:d], sharp[d : 2 * d], sharp[d : 2 * d, 3] = 1, 0, 100
    one = np.broadcast_to(sharp[2 * d :, 3:4], (d, tokens, 2))
    np.testing.assert_allclose(transformer.attention(jnp.asarray(sharp), 2), one, rtol=1e-5)


def test_without_places_tokens_may_be_exchanged_and_with_them_not():
    params = list(parameters(TRANSFORMER))
    image = SAMPLES.reshape(-1, 8, 8)
    turned = np.concatenate([image[:, 4:], image[:, :4]], axis=1).reshape(-1, 64)
    told = logits(TRANSFORMER, params), logits(TRANSFORMER, params, turned)
    assert np.abs(told[0] - told[1]).max() > 1e-3
    w, b = params[0]
    params[0] = w.at[:, 16:].set(0), b
    told = logits(TRANSFORMER, params), logits(TRANSFORMER, params, turned)
    np.testing.assert_allclose(*told, rtol=1e-4, atol=1e-5)


class Same(DropoutNetwork):
    """The fully-connected network, given as a user gives one."""

    def network(self):
        return model.network_of(DropoutNetwork.tiny())


def test_a_network_that_is_given_is_trained_as_the_own_one_bit_for_bit():
    arrays = jax.device_put(data.load("synthetic").arrays())
    found = []
    for kind in (DropoutNetwork, Same):
        system = kind.tiny()
        state = model.begin(system, KEY, arrays)
        state = jax.jit(partial(model.advance, system))(state, arrays)
        found.append(jax.jit(partial(model.observe, system))(state, arrays))
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])


@pytest.mark.parametrize("system", [CNN, TRANSFORMER], ids=["cnn", "transformer"])
def test_networks_learn_and_dropout_hurts_them(system):
    system = canonical(replace(system, p_train=0.05, n_train=1000, max_epochs=12))
    task = Task(system=system, seed=0, realization=0, checksum=checksum(system))
    (found,) = ensemble.realize([task], data.load("synthetic").arrays(), 1)
    clean, noisy = found["accuracy"].mean(axis=1)
    assert clean > 0.4  # chance is 0.1
    assert noisy < clean - 0.05
    assert found["loss"][1].mean() > found["loss"][0].mean()


def test_the_work_is_that_of_the_products():
    # of a sample: 9 x 4 x 16 before dropout; then 36 x 8 x 4, and two layers of 8 x 4 and 12
    net = replace(CNN, max_epochs=1, p_eval=(0.0,), passes=1)
    clean, rest = 9 * 4 * 16, 36 * 8 * 4 + 8 * 4 * 12 + 12 * 10
    expected = 200 * (4 * clean + 6 * rest) + 2 * 100 * (clean + rest) + 2 * 1000 * (clean + rest)
    assert net.work() == expected
    d, tokens = 8, 4
    block = tokens * (3 * d * d + d * d + 4 * d * d) + 2 * tokens**2 * d
    clean, rest = (16 + tokens) * d * tokens, 2 * block + 10 * d
    expected = 200 * (4 * clean + 6 * rest) + 2 * 100 * (clean + rest) + 2 * 1000 * (clean + rest)
    assert replace(TRANSFORMER, max_epochs=1, p_eval=(0.0,), passes=1).work() == expected


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (replace(TRANSFORMER, patch=3), "patch = 3"),
        (replace(TRANSFORMER, heads=3), "heads = 3"),
        (replace(CNN, n_train=10**6), "n_train = 1000000"),
    ],
)
def test_what_does_not_come_out_even_is_told(system, message):
    with pytest.raises(InputError, match=message):
        system.validate()


def test_data_that_are_no_images_are_told(tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.zeros((40, 6), np.float32), y=np.arange(40) % 2)
    rows = f"file:{tmp_path / 'rows.npz'}"
    for system in (CNN, TRANSFORMER):
        small = replace(system, dataset=rows, n_train=5, n_validation=5)
        with pytest.raises(InputError, match="square"):
            small.validate()


@pytest.mark.parametrize(
    ("module", "name"), [(cnn, "CNN"), (transformer, "Transformer")], ids=["cnn", "transformer"]
)
def test_the_file_alone_is_a_system_of_a_user(module, name, command, tmp_path):
    """A copy somewhere else, named with --system, gives the same numbers and the phases."""
    (tmp_path / "mine.py").write_text(Path(module.__file__).read_text())
    system = getattr(module, name)
    (tmp_path / "mine.toml").write_text(
        f'system = "{system.card.name}"\nrealizations = 2\n[controls]\ndataset = "synthetic"\n'
        "n_validation = 50\nmax_epochs = 2\np_eval = [0.0, 0.5]\npasses = 1\nwidth = 4\n"
        + ("" if name == "CNN" else "patch = 4\n")
        + "[grid]\nn_train = [40, 80]\np_train = [0.0, 0.5]\n"
    )
    found = []
    for number, where in enumerate((f"{tmp_path / 'mine.py'}:{name}", f"{module.__name__}:{name}")):
        store = tmp_path / f"store{number}"
        code, _, err = command(
            "run", tmp_path / "mine.toml", "--store", store, "--system", where, "--workers", "1"
        )
        assert code == 0, err
        found.append(command("phases", store, "--system", where, "--json")[1])
    assert found[0] == found[1]
    assert '"eumentia"' in found[0]
