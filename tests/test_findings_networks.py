"""The phases of networks: what was put in is found, and of nothing there is nothing."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality.papers import entry, tables
from criticality.papers.findings import networks
from tests.own import command

__all__ = ["command"]
mpl.use("Agg")
SIZES = np.array([250, 500, 1000, 2000, 4000, 8000])
RATES, PROBES = np.array([0.0, 0.3, 0.95]), np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.95])


class MadeUp:
    """A store of networks whose loss is exp(alpha), with scatter; at 0.95 they learn nothing."""

    def __init__(self, alpha, scatter=0.05, networks=4, seed=0, amentia=True):
        rng = np.random.default_rng(seed)
        p, size, probe = np.meshgrid(RATES, SIZES, PROBES, indexing="ij")
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
            coords={"p_train": RATES, "n_train": SIZES, "p_eval": PROBES},
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
    border = lines[lines["along"] == "p_train"].iloc[0]
    assert 0.3 < border["low"] <= border["value"] <= border["high"] < 0.95
    cells = found["cells"].set_index(["p_train", "p_eval"])
    pulls = (cells["alpha"] - 0.3 * (cells.index.get_level_values("p_eval") - 0.5)) / cells[
        "alpha_error"
    ]
    assert pulls.loc[0.0].abs().max() < 4
    assert (cells.loc[0.95]["phase"] == "amentia").all()
    said = networks.say(found)
    assert "fully-connected: eumentia yes, dementia yes, amentia yes" in said
    assert f"{line['value']:.3f} [{line['low']:.3f}, {line['high']:.3f}]" in said


def test_losses_are_means_of_networks_with_their_standard_errors():
    found = measured(rising)["losses"]
    ds = MadeUp(rising).ds["loss"].mean("pass")
    one = found[found["p_train"] == 0.3]
    one = one[(one["n_train"] == 500) & (one["p_eval"] == 0.6)].iloc[0]
    values = ds.sel(p_train=0.3, n_train=500, p_eval=0.6).values
    assert one["loss"] == pytest.approx(values.mean())
    assert one["loss_error"] == pytest.approx(values.std(ddof=1) / 2)
    assert one["networks"] == 4


def test_without_any_dependence_on_size_no_phase_is_certain():
    claims = []
    for seed in range(12):
        store = MadeUp(flat, seed=100 + seed, amentia=False)
        found = networks.measure({"networks_dense": store})
        answer = networks.verdict(found, "fully-connected")
        assert answer["amentia"] == "no cell"
        claims.append("yes" in answer.values())
    assert sum(claims) <= 2  # 5 % of 12 are 0.6; 3 or more come with a probability of 2 %


@pytest.mark.parametrize(
    ("counts", "answer"),
    [
        ([(9, 5), (4, 2)], "yes"),
        ([(9, 5), (3, 0)], "undecided"),
        ([(9, 5), (0, 0)], "small sizes only"),
        ([(2, 0), (3, 1)], "undecided"),
        ([(0, 0), (1, 0)], "undecided"),
        ([(0, 0), (0, 0)], "no cell"),
    ],
)
def test_a_phase_must_survive_without_the_small_sizes(counts, answer):
    rows = [
        {"network": "CNN", "least": least, "phase": phase, "cells": cells, "certain": certain}
        for least, (cells, certain) in zip((1000, 250), counts[::-1], strict=True)
        for phase in networks.PHASES
    ]
    found = networks.verdict({"phases": pd.DataFrame(rows)}, "CNN")
    assert found == dict.fromkeys(networks.PHASES, answer)


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
    assert [ax.get_title() for ax in top] == ["fully-connected", "CNN"]
    assert all(len(ax.containers) == len(RATES) - 1 for ax in top)  # error bars of what learns
    assert all(len(ax.containers) == len(SIZES) for ax in figure.axes[2:6])
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
    losses = found["losses"].set_index(["network", "p_train", "n_train", "p_eval"])
    for network in networks.NAMES.values():
        accuracy = losses.loc[network, 0.0]["accuracy"]
        assert accuracy.loc[400, 0.0] > accuracy.loc[400, 0.9] + 0.1  # evaluation dropout hurts
        loss = losses.loc[network, 0.0]["loss"]
        assert loss.loc[400, 0.0] < loss.loc[100, 0.0]  # more data help
        assert networks.verdict(found, network)["eumentia"] != "no cell"
    assert networks.verdict(found, "fully-connected")["amentia"] == "yes"
    assert entry("findings/networks").say(found) in out
