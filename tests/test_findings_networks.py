"""The phases of networks: what was put in is found, and of nothing there is nothing."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

from criticality.papers import entry, tables
from criticality.papers.findings import networks
from criticality.papers.rows import said
from tests.own import command

__all__ = ["command"]
mpl.use("Agg")
SIZES = np.array([250, 500, 1000, 2000, 4000, 8000])
RATES, PROBES = np.array([0.0, 0.3, 0.95]), np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.95])


class MadeUp:
    """A store of networks whose loss is exp(alpha), with scatter; at 0.95 they learn nothing."""

    def __init__(self, alpha, scatter=0.05, networks=4, seed=0, amentia=True, rates=RATES):
        rng = np.random.default_rng(seed)
        p, size, probe = np.meshgrid(rates, SIZES, PROBES, indexing="ij")
        loss = np.exp(alpha(p, size, probe))
        accuracy = np.full(loss.shape, 0.8)
        if amentia:
            loss[p == 0.95], accuracy[p == 0.95] = math.log(10), 0.1
        noise = np.exp(scatter * rng.normal(size=(*loss.shape[:2], networks, 1)))
        noise = noise * np.exp(scatter / 3 * rng.normal(size=(*loss.shape[:2], networks, 6)))
        found = loss[:, :, None] * noise
        dims = ("p_train", "n_train", "realization", "p_eval", "pass")
        known = accuracy[:, :, None] * noise**0.1
        self.ds = xr.Dataset(
            {"loss": (dims, found[..., None]), "accuracy": (dims, known[..., None])},
            coords={"p_train": rates, "n_train": SIZES, "p_eval": PROBES},
        )

    def open(self, observables):
        return self.ds[observables]


def rising(p, size, probe):
    """A crossing at p_eval = 0.5 without training dropout; more data always help with it."""
    return np.where(p == 0, 0.3 * (probe - 0.5), -0.2) * np.log(size / 1000)


def flat(p, size, probe):
    """The same at every size."""
    return probe


def measured(*alphas, **options):
    stems = networks.STUDIES[: len(alphas)]
    stores = {
        stem: MadeUp(alpha, seed=number, **options)
        for number, (stem, alpha) in enumerate(zip(stems, alphas, strict=True))
    }
    return networks.measure(stores)


def test_phases_and_the_line_that_were_put_in_are_found():
    found = measured(rising)
    assert networks.verdict(found, "fully-connected") == dict.fromkeys(networks.PHASES, "yes")
    lines = found["lines"]
    line = lines[(lines["p_train"] == 0) & (lines["least"] == 250)].iloc[0]
    assert line["low"] < 0.5 < line["high"]
    assert line["high"] - line["low"] < 0.2
    assert "by p_train: 0: 4 of 4, 0.3: 4 of 4, 0.95: 0 of 4" in networks.say(found)
    cells = found["cells"].query("least == 250").set_index(["p_train", "p_eval"])
    pulls = (cells["alpha"] - 0.3 * (cells.index.get_level_values("p_eval") - 0.5)) / cells[
        "alpha_error"
    ]
    assert pulls.loc[0.0].abs().max() < 4
    assert (cells.loc[0.95]["phase"] == "amentia").all()
    told = networks.say(found)
    assert "fully-connected: eumentia yes, dementia yes, amentia yes" in told
    assert "18 in all; amentia at p_train = 0.95\n" in told
    assert f"from 250 samples: p_eval* = {said(line)} at" in told


def test_losses_are_means_of_networks_with_their_standard_errors():
    found = measured(rising)["losses"]
    ds = MadeUp(rising).ds["loss"].mean("pass")
    one = found[found["p_train"] == 0.3]
    one = one[(one["n_train"] == 500) & (one["p_eval"] == 0.6)].iloc[0]
    values = ds.sel(p_train=0.3, n_train=500, p_eval=0.6).values
    assert one["loss"] == pytest.approx(values.mean())
    assert one["loss_error"] == pytest.approx(values.std(ddof=1) / 2)
    assert one["networks"] == 4


MAPS = 200  # of as many cells as those of `RATES` and `PROBES`
SURE = float(norm.isf(networks.FALSE / 2 / (len(RATES) * len(PROBES))))


ALL, SMALL, LARGE = slice(None), slice(None, 3), slice(3, None)  # of `SIZES`


def many(alpha, *parts):
    """Exponents of many maps at once, each of so many rates, by parts of the sizes."""
    rates = np.linspace(0, 0.9, MAPS * len(RATES))
    ds = MadeUp(alpha, amentia=False, rates=rates).ds
    return [networks._diagram(ds.isel(n_train=part), SURE) for part in parts]


def maps(cells):
    """Share of maps in which any cell is so."""
    return cells.reshape(MAPS, -1).any(axis=1).mean()


def test_without_any_dependence_on_size_a_map_has_no_certain_phase_but_for_one_in_twenty():
    whole, large = many(flat, ALL, LARGE)
    certain = [
        networks._has(one, "eumentia") | networks._has(one, "dementia") for one in (whole, large)
    ]
    shares = [maps(cells) for cells in certain]
    # 5 % at most, by Bonferroni; of 200 maps with 10 % each less than 6.5 % have one in 20 draws
    assert max(shares) <= 0.06, shares
    assert maps(certain[0] & certain[1]) < 0.02  # "yes"


def growing(p, size, probe):
    """The same power law everywhere: no size is another than the others."""
    return 0.1 * np.log(size / 1000)


def saturating(p, size, probe):
    """More data hurt up to 1,000 samples, and change nothing from then on."""
    return 0.3 * np.log(np.minimum(size, 1000) / 1000)


def test_a_phase_is_lost_only_where_the_exponent_is_another_at_large_sizes():
    small, large = many(growing, SMALL, LARGE)
    assert maps(networks._fell(small, large, 1, SURE)) < 0.04  # one sign of two: 2.5 % at most
    found = measured(growing, amentia=False)
    assert networks.verdict(found, "fully-connected")["dementia"] == "yes"
    found = measured(saturating, amentia=False, networks=8, scatter=0.02)
    assert networks.verdict(found, "fully-connected")["dementia"] == "fades"


def test_networks_that_learn_from_many_samples_have_an_amentia_that_fades():
    store = MadeUp(rising)
    late = store.ds["n_train"] >= 4000
    store.ds["accuracy"] = store.ds["accuracy"].where(~late, 0.5)
    found = networks.measure({"networks_dense": store})
    assert networks.verdict(found, "fully-connected")["amentia"] == "fades"


def test_of_two_sizes_a_phase_can_be_said_of_these_alone():
    store = MadeUp(rising, scatter=0.01)
    store.ds = store.ds.isel(n_train=[0, -1])
    found = networks.measure({"networks_dense": store})
    expected = {"eumentia": "at these sizes", "dementia": "at these sizes"}
    assert networks.verdict(found, "fully-connected").items() >= expected.items()


@pytest.mark.parametrize(
    ("counts", "lost", "answer"),
    [
        ([(9, 5), (4, 2)], 0, "yes"),
        ([(9, 5), (4, 2)], 3, "yes"),
        ([(9, 5), (3, 0)], 2, "fades"),
        ([(9, 5), (0, 0)], 0, "undecided"),
        ([(9, 5), (0, 0)], 1, "fades"),
        ([(2, 0), (3, 1)], 0, "undecided"),
        ([(0, 0), (1, 0)], 0, "undecided"),
        ([(0, 0), (0, 0)], 0, "no cell"),
    ],
)
def test_a_phase_must_survive_without_the_small_sizes(counts, lost, answer):
    rows = [
        {"network": "CNN", "least": least, "phase": phase, "cells": cells, "certain": certain,
         "lost": lost * (least == 1000)}
        for least, (cells, certain) in zip((1000, 250), counts[::-1], strict=True)
        for phase in networks.PHASES
    ]  # fmt: skip
    found = networks.verdict({"phases": pd.DataFrame(rows)}, "CNN")
    assert found == dict.fromkeys(networks.PHASES, answer)


def test_training_rates_that_are_not_computed_at_all_sizes_are_left_out():
    store = MadeUp(rising)
    store.ds = store.ds.where((store.ds["p_train"] != 0.95) | (store.ds["n_train"] < 1000))
    found = networks.measure({"networks_dense": store})
    assert sorted(found["cells"]["p_train"].unique()) == [0.0, 0.3]


def test_networks_are_kept_apart():
    found = measured(rising, flat)
    assert networks.verdict(found, "fully-connected")["dementia"] == "yes"
    assert networks.verdict(found, "CNN")["dementia"] != "yes"


def test_parts_that_are_left_out_are_told_by_name():
    with_residuals = MadeUp(rising).ds.expand_dims(residual=[True], norm=[False])
    with_norm = MadeUp(flat).ds.expand_dims(residual=[False], norm=[True])

    class Both:
        def open(self, observables):
            return xr.combine_by_coords([with_residuals, with_norm], join="outer")[observables]

    found = dict(networks.networks({"networks_parts": Both()}))
    xr.testing.assert_equal(
        found["transformer, no LayerNorm"].drop_vars(["residual", "norm"]), MadeUp(rising).ds
    )
    xr.testing.assert_equal(
        found["transformer, no residuals"].drop_vars(["residual", "norm"]), MadeUp(flat).ds
    )


def test_the_figure_shows_every_network_from_the_tables_alone(tmp_path):
    tables.write(measured(rising, flat), {"entry": "x"}, tmp_path)
    back, _ = tables.read(tmp_path)
    figure = networks.draw(back)
    top = figure.axes[:2]
    assert [ax.get_title() for ax in top] == ["fully-connected\nn = 4", "CNN\nn = 4"]
    assert all(len(ax.containers) == len(RATES) - 1 for ax in top)  # error bars of what learns
    assert all(len(ax.containers) == len(SIZES) for ax in figure.axes[2:8])
    assert networks.say(back) == networks.say(measured(rising, flat))


@pytest.mark.slow
def test_the_quick_version_learns_and_knows_what_does_not(command, tmp_path):
    code, out, err = command(
        "paper", "findings/networks", "--scale", "quick", "--store", tmp_path / "stores",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, err
    found, origin = tables.read(tmp_path / "out" / "findings" / "networks")
    assert {s["done"] for s in origin["studies"].values()} == {
        s["tasks"] for s in origin["studies"].values()
    }
    wanted = {*networks.NAMES.values(), *networks.PARTS.values()}
    assert set(found["cells"]["network"]) == wanted
    losses = found["losses"].set_index(["network", "p_train", "n_train", "p_eval"]).sort_index()
    for network in networks.NAMES.values():
        accuracy = losses.loc[network, 0.0]["accuracy"]
        assert accuracy.loc[400, 0.0] > accuracy.loc[400, 0.9] + 0.1  # evaluation dropout hurts
        loss = losses.loc[network, 0.0]["loss"]
        assert loss.loc[400, 0.0] < loss.loc[100, 0.0]  # more data help
        assert networks.verdict(found, network)["eumentia"] != "no cell"
    assert networks.verdict(found, "fully-connected")["amentia"] == "at these sizes"
    assert entry("findings/networks").say(found) in out
