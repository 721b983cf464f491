"""Whether the line between eumentia and dementia is found, and what is said of it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from criticality import BKT, Algebraic
from criticality.analysis.scaling import collapse
from criticality.analysis.scaling.ansatz import Drift, Free
from criticality.papers import entry, tables
from criticality.papers.findings import line
from tests.own import command

__all__ = ["command"]
SIZES = np.array([500, 1000, 2000, 4000, 8000, 16000])
RATES = np.array([0.0, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9])
NETWORKS = 16


def made_up(log_loss, noise=0.01, seed=0):
    """Results of a study whose loss is exp(log_loss(p, N)), with the noise of networks."""
    rng = np.random.default_rng(seed)
    mean = log_loss(RATES, SIZES[:, None, None])
    shape = (len(SIZES), NETWORKS, len(RATES))
    network = rng.normal(size=(*shape[:2], 1)) + 0.5 * rng.normal(size=shape)
    loss = np.exp(np.broadcast_to(mean, shape) + noise * network)
    dims = ("p_train", "n_train", "realization", "p_eval", "pass")
    coords = {"p_train": [0.0], "n_train": SIZES, "p_eval": RATES}
    array = xr.DataArray(loss[None, ..., None], dims=dims, coords=coords)
    attributes = {"system": "dropout", "controls": json.dumps({"dataset": "mnist"})}
    return xr.Dataset({"loss": array, "accuracy": 0.9 + 0 * array}, attrs=attributes)


class Made:
    """A store that holds made-up results."""

    def __init__(self, ds):
        self.ds = ds

    def open(self, observables):
        return self.ds[observables].assign_attrs(self.ds.attrs)


def power_laws(p, N):
    """An exponent that goes smoothly through zero at p = 0.5; nothing else."""
    return 2 * p + (0.3 * (p - 0.5) - 0.2 * (p - 0.5) ** 2) * np.log(N / 1000)


def moving(p, N):
    """The more samples, the earlier more of them do harm: no line stays where it is."""
    return 2 * p + 0.1 * (np.log(N / 500) * (p - 0.9) + 0.08 * np.log(N / 500) ** 2)


def test_the_line_of_power_laws_stays_where_it_is():
    rows = pd.DataFrame(line._drift(made_up(power_laws)))
    assert list(rows["least"]) == [500, 1000, 2000, 4000]
    assert (np.abs(rows["value"] - 0.5) < 3 * rows["error"]).all()
    assert rows["error"].max() < 0.03
    assert not rows["flags"].any()


def test_a_line_that_moves_with_the_least_size_is_seen_to():
    rows = pd.DataFrame(line._drift(made_up(moving)))
    assert rows["value"].is_monotonic_decreasing
    first, last = rows.iloc[0], rows.iloc[-1]
    assert first["low"] > last["high"]


def test_cases_are_those_of_the_path_and_no_others():
    ds = made_up(power_laws)
    both = xr.concat([ds.assign_coords(p_train=[p]) for p in (0.0, 0.1)], "p_train")
    loss = both["loss"].where(both["p_train"] == 0.1)
    found = list(line.cases({"line": Made(both.assign(loss=loss)), "fashion": Made(ds)}))
    assert [(stem, case) for stem, case, _ in found] == [
        ("line", "p_train 0.1"),
        ("fashion", "p_train 0"),
    ]


def test_few_rates_are_kept_and_both_ends():
    ds = made_up(power_laws)
    kept = line.thinned(ds)["p_eval"].values
    assert kept[0] == 0.2
    assert kept[-1] == 0.9
    assert len(kept) == 13


def test_power_laws_with_a_smooth_exponent_are_a_drift_that_looks_like_bkt_with_sigma_1():
    data = line.curves_of(line.thinned(made_up(power_laws)))
    forms = Drift(), BKT(L0="marginal"), Algebraic(), Free()
    drift, bkt, power, free = (collapse(data, form, regular=True) for form in forms)
    assert drift.log_evidence > max(fit.log_evidence for fit in (bkt, power, free))
    assert drift.p_value > 0.01
    assert abs(drift.params["theta"].value) < 3 * drift.params["theta"].error < 0.05
    assert bkt.params["sigma"].low < 1 < bkt.params["sigma"].high
    assert bkt.log_evidence > power.log_evidence + 5


@pytest.mark.slow
def test_power_laws_are_not_called_a_transition_nor_bkt():
    tables = line.measure({"line": Made(made_up(power_laws))})
    forms = tables["forms"]
    evidence = forms[forms["parameter"] == ""].set_index("form")["log_evidence"]
    assert evidence["free"] == 0
    assert evidence["drift"] > evidence.max() - 2
    assert evidence["drift"] > evidence["algebraic"] + 3
    sigma = forms[forms["parameter"] == "sigma"].iloc[0]
    assert sigma["low"] < 1 < sigma["high"]
    place = forms[(forms["parameter"] == "p_c") & (forms["form"] == "bkt")].iloc[0]
    assert place["low"] < 0.5 < place["high"]
    (verdict,) = tables["verdicts"]["verdict"]
    assert verdict in ("no transition", "undecided")
    assert "kind" not in tables["verdicts"]["reason"][0]
    assert "p_train 0: alpha = 0 at p_eval = 0." in line.say(tables)


def test_every_number_in_the_tables_of_the_page_is_said_of_its_case():
    page = (Path(__file__).parent.parent / "docs" / "findings" / "line.md").read_text()
    said = line.say(tables.read(entry("findings/line").kept)[0])
    cases, numbers = set(), 0
    for row in re.findall(r"^\| (?:p_train|width|fashion).*\|$", page, re.MULTILINE):
        first, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        case = first.split(" (")[0]
        mine = " ".join(
            text for text in re.findall(rf"^{case}[ :].*(?:\n  .*)*", said, re.MULTILINE)
        )
        cases.add(case)
        for cell in cells:
            numbers += 1
            assert cell in mine, (case, cell)
    assert len(cases) == 9
    assert numbers == 9 * (6 + 6)


@pytest.mark.parametrize(
    ("delta", "spread", "text"), [(0.269, 0.734, "0.27(73)"), (-1.67, 0, "-1.7")]
)
def test_an_expectation_below_zero_has_no_spread(delta, spread, text):
    assert line._expected({"delta": delta, "spread": spread}) == text


@pytest.mark.slow
def test_the_quick_version_finds_a_line_at_zero_training_dropout(command, tmp_path):
    code, out, err = command(
        "paper", "findings/line", "--scale", "quick", "--store", tmp_path / "s", "--out", tmp_path
    )
    assert code == 0, err
    tables = {f.stem: pd.read_csv(f) for f in (tmp_path / "findings" / "line").glob("*.csv")}
    first = tables["drift"].query("case == 'p_train 0'").iloc[0]
    assert 0.3 < first["low"] < first["value"] < first["high"] < 0.8
    assert set(tables["verdicts"]["verdict"]) <= {"undecided", "algebraic", "bkt", "no transition"}
    for case in tables["verdicts"]["case"].unique():
        assert case in out
